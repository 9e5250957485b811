package wire

import (
	"context"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/imapkit/imapkit/internal/recorded"
)

// smallLimits make limits easy to reach.
var smallLimits = Limits{Line: 4 << 10, Literal: 4 << 10, Result: 16 << 10, Message: 16 << 10, Depth: 16, Responses: 1000}

// A spoken is a transport on which the server has said all it will say.
type spoken struct {
	net.Conn
	r io.Reader
}

func (s spoken) Read(p []byte) (int, error)      { return s.r.Read(p) }
func (s spoken) Write(p []byte) (int, error)     { return len(p), nil }
func (s spoken) Close() error                    { return nil }
func (s spoken) SetReadDeadline(time.Time) error { return nil }

func said(text string) *Conn {
	c := NewConn(spoken{r: strings.NewReader(text)}, smallLimits, &Names{}, nil)
	c.Begin(context.Background(), 0, false)
	return c
}

func addResponses(f *testing.F, command string) {
	cases, err := recorded.Load("../../testdata/responses")
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range cases {
		if command == "" || c.Command == command {
			f.Add(string(c.Response))
		}
	}
}

// FuzzResponses gives any bytes to a session in which a folder is opened, a
// search made and messages fetched.
func FuzzResponses(f *testing.F) {
	addResponses(f, "")
	f.Fuzz(func(t *testing.T, text string) {
		c := said(text)
		var found SearchResult
		search := c.Command("UID SEARCH")
		search.On = found.Collect(search)
		c.Run(c.Select("INBOX", false), search)
		if n := len(Ascending[uint32](&found)); int64(n) > smallLimits.Result/8 {
			t.Errorf("%d messages found", n)
		}
		fetchAll(t, said(text), false)
		fetchAll(t, said(text), true)
	})
}

func fetchAll(t *testing.T, c *Conn, stream bool) {
	r := c.NewFetchReader()
	if stream {
		r.Stream = "BODY.PEEK[]"
	}
	if err := r.Add(c.Command("UID FETCH").Raw("1:* (UID)")); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := r.Next()
		if err != nil {
			return
		}
		for _, s := range m.Sections {
			if m.Body == nil && int64(len(s.Data)) != s.Size {
				t.Errorf("section %s of %d bytes has %d", s.Name, s.Size, len(s.Data))
			}
		}
		if m.Body != nil {
			size := m.Sections[len(m.Sections)-1].Size
			if n, err := io.Copy(io.Discard, m.Body); err == nil && n != size {
				t.Errorf("body of %d bytes had %d", size, n)
			}
		}
	}
}

func FuzzValues(f *testing.F) {
	addResponses(f, "UID FETCH")
	f.Fuzz(func(t *testing.T, text string) {
		for _, read := range []func(*Parser){
			func(p *Parser) { p.envelope(new(envelopeSlab)) },
			func(p *Parser) { p.bodyStructure(16) },
			func(p *Parser) { p.flags() },
			func(p *Parser) { p.skip() },
			func(p *Parser) { p.params() },
		} {
			p := &Parser{b: []byte(text), depth: 16}
			read(p)
			if len(p.b) > len(text) {
				t.Error("the parser went backwards")
			}
		}
		parseDate([]byte(text))
		parseStatus("OK", []byte(text))
	})
}

func FuzzMailboxNames(f *testing.F) {
	for _, name := range []string{"INBOX", "Entwürfe", "R&D", "&AOk-", "台北", "a\x00b", "\xff", "😀/x"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		var n Names
		if raw, ok := n.Encode(name, false); ok && !strings.EqualFold(name, "INBOX") {
			if got := n.Decode(raw, false); got != name && utf8.ValidString(name) {
				t.Errorf("%q is sent as %q, which is read as %q", name, raw, got)
			}
		}
		// What a server says addresses what it said, whatever it is.
		if seen := n.Decode(name, false); name != "" && !strings.EqualFold(seen, "INBOX") {
			if raw, ok := n.Encode(seen, false); !ok || raw != name {
				t.Errorf("the server's %q is seen as %q and sent as %q", name, seen, raw)
			}
		}
	})
}

// FuzzCommandArguments checks that a string is one argument of one command,
// whatever it is and however it is sent.
func FuzzCommandArguments(f *testing.F) {
	for _, s := range []string{
		"", "x", `a"b\c`, "a\r\nk9 LOGOUT", "{5}", "{5+}\r\nhello", "ünï", "(\\Deleted)", "inbox", "&", "\x00",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, add := range []func(*Command) (want string){
			func(cmd *Command) string { cmd.String(s); return s },
			func(cmd *Command) string { cmd.Literal([]byte(s)); return s },
			func(cmd *Command) string {
				cmd.Mailbox(s)
				raw, _ := cmd.conn.names.Encode(s, cmd.conn.utf8)
				return raw
			},
		} {
			for _, caps := range []string{"", "LITERAL+", "LITERAL-"} {
				for _, utf8Enabled := range []bool{false, true} {
					c := said("")
					c.SetCaps(parseCaps(caps))
					c.SetUTF8(utf8Enabled)
					cmd := c.Command("X")
					if want := add(cmd); cmd.Err() == nil {
						checkSent(t, cmd, want)
					}
				}
			}
		}
	})
}

// checkSent reads a command as a server does: it must be one, with one argument.
func checkSent(t *testing.T, cmd *Command, want string) {
	t.Helper()
	var sent []byte
	for i, p := range cmd.parts {
		before := string(sent)
		mustWait := strings.HasSuffix(before, "}\r\n") && !strings.HasSuffix(before, "+}\r\n")
		if i > 0 && mustWait != p.wait {
			t.Errorf("%q is sent without waiting for a continuation request", p.b)
		}
		sent = append(sent, p.b...)
	}
	line, ok := strings.CutPrefix(string(sent), cmd.tag+" X ")
	got, rest := "", ""
	switch {
	case !ok:
	case strings.HasPrefix(line, `"`):
		i := 1
		for ; i < len(line) && line[i] != '"'; i++ {
			if line[i] == '\\' {
				i++
			}
			if i == len(line) || line[i] == '\r' || line[i] == '\n' || line[i] == 0 {
				break
			}
			got += line[i : i+1]
		}
		rest = strings.TrimPrefix(line[min(i, len(line)):], `"`)
	case strings.HasPrefix(line, "{"):
		head, body, _ := strings.Cut(line, "\r\n")
		n, err := strconv.Atoi(strings.TrimRight(head[1:], "+}"))
		if ok = err == nil && n <= len(body); ok {
			got, rest = body[:n], body[n:]
		}
	default:
		got = line
		ok = IsAtom(line)
	}
	if !ok || got != want || rest != "" {
		t.Errorf("%q was sent as %q, which is %q and then %q", want, sent, got, rest)
	}
}
