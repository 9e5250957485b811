package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/imapkit/imapkit/internal/lineartest"
)

// endless repeats a text for ever.
type endless struct {
	first, text string
	at          int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.first != "" {
		n := copy(p, e.first)
		e.first = e.first[n:]
		return n, nil
	}
	for i := range p {
		p[i] = e.text[e.at]
		e.at = (e.at + 1) % len(e.text)
	}
	return len(p), nil
}

// counted counts what is read.
type counted struct {
	io.Reader
	n int
}

func (r *counted) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n += n
	return n, err
}

// looking is how long it takes to read so many bytes and look at each: what time
// is measured by that is the same on every machine, however busy.
func looking(n int) time.Duration {
	began := time.Now()
	r := io.LimitReader(&endless{text: "abcdefgh"}, int64(n))
	buf, sum := make([]byte, 64<<10), 0
	for {
		k, err := r.Read(buf)
		for _, c := range buf[:k] {
			sum += int(c)
		}
		if err != nil || sum < 0 {
			return time.Since(began)
		}
	}
}

// TestHostileServersMeetALimit wants each to end quickly, with ErrLimit, and in
// little memory.
func TestHostileServersMeetALimit(t *testing.T) {
	limits := Limits{Line: 1 << 20, Literal: 1 << 20, Result: 64 << 20, Message: 64 << 20, Depth: 64, Responses: 100_000}
	tests := map[string]func() io.Reader{
		"a line without an end":            func() io.Reader { return &endless{first: "* ", text: "x"} },
		"a body structure without an end":  func() io.Reader { return &endless{first: "* 1 FETCH (UID 1 BODYSTRUCTURE ", text: "("} },
		"a literal of 4 GB for flags":      func() io.Reader { return strings.NewReader("* 1 FETCH (FLAGS {4294967296}\r\n") },
		"a literal of more digits than 64": func() io.Reader { return strings.NewReader("* LIST () \"/\" {99999999999999999999999}\r\n") },
		"literals without an end": func() io.Reader {
			return &endless{first: "* 1 FETCH (X ", text: "{1000}\r\n" + strings.Repeat("y", 1000)}
		},
		"responses without an end":        func() io.Reader { return &endless{text: "* OK still here\r\n"} },
		"a search result without an end":  func() io.Reader { return &endless{first: "* SEARCH", text: " 7"} },
		"an extended one without an end":  func() io.Reader { return &endless{first: "* ESEARCH UID ALL 1", text: ",7"} },
		"a range of billions":             func() io.Reader { return strings.NewReader("* ESEARCH UID ALL 1:4294967294\r\n") },
		"a message larger than the limit": func() io.Reader { return &endless{first: "* 1 FETCH (UID 1 BODY[] {70000000}\r\n", text: "z"} },
	}
	for name, server := range tests {
		t.Run(name, func(t *testing.T) {
			for attempt := 1; ; attempt++ { // another program may be in the way of one
				from := &counted{Reader: server()}
				c := NewConn(spoken{r: from}, limits, &Names{}, nil)
				c.Begin(context.Background(), 0, false)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				began := time.Now()
				var found SearchResult
				cmd := c.Command("UID FETCH").Raw("1:* (X)")
				cmd.On = found.Collect(cmd)
				r := c.NewFetchReader()
				err := r.Add(cmd)
				for err == nil {
					_, err = r.Next()
				}
				took := time.Since(began)
				if !errors.Is(err, ErrLimit) || c.Err() == nil {
					t.Errorf("error %v", err)
				}
				runtime.ReadMemStats(&after)
				if used := after.TotalAlloc - before.TotalAlloc; used > 150<<20 {
					t.Errorf("it took %d MB", used>>20)
				}
				look := looking(from.n)
				t.Logf("%d bytes: %v, to look at them %v", from.n, took, look)
				if took <= 100*time.Millisecond+20*look {
					break
				}
				if attempt == 5 {
					t.Errorf("it took %v, %v would do to look at the %d bytes", took, look, from.n)
					break
				}
			}
		})
	}
}

func TestNumbersAtTheirLimits(t *testing.T) {
	c := said("* SEARCH 0 4294967295 4294967296 3 2\r\nk1 OK done\r\n")
	var found SearchResult
	cmd := c.Command("UID SEARCH")
	cmd.On = found.Collect(cmd)
	if err := c.Run(cmd); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(Ascending[uint32](&found)); got != "[2 3 4294967295]" {
		t.Errorf("found %s", got)
	}
}

func TestNestingCostsTheItemOnly(t *testing.T) {
	deep := strings.Repeat("(", 100) + `"TEXT" "PLAIN" NIL NIL NIL "7BIT" 1 1` + strings.Repeat(")", 100)
	c := said("* 1 FETCH (UID 9 BODYSTRUCTURE " + deep + " FLAGS (\\Seen))\r\nk1 OK done\r\n")
	r := c.NewFetchReader()
	if err := r.Add(c.Command("UID FETCH")); err != nil {
		t.Fatal(err)
	}
	m, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	if m.UID != 9 || len(m.Flags) != 1 || m.BodyStructure != nil || !errors.Is(m.Err, ErrLimit) {
		t.Errorf("got %+v", m)
	}
}

// TestALiteralCutShortIsAnError cuts a session at every byte.
func TestALiteralCutShortIsAnError(t *testing.T) {
	const whole = "* 1 FETCH (UID 5 BODY[] {11}\r\nhello world FLAGS ())\r\nk1 OK done\r\n"
	for cut := range len(whole) {
		for _, stream := range []bool{false, true} {
			c := said(whole[:cut])
			r := c.NewFetchReader()
			if stream {
				r.Stream = "BODY.PEEK[]"
			}
			err := r.Add(c.Command("UID FETCH"))
			for err == nil {
				var m *Fetched
				if m, err = r.Next(); err == nil && m.Body != nil {
					var b []byte
					if b, err = io.ReadAll(m.Body); err == nil && string(b) != "hello world" {
						t.Fatalf("cut at %d: read %q without an error", cut, b)
					}
				} else if err == nil && len(m.Sections) > 0 && string(m.Sections[0].Data) != "hello world" {
					t.Fatalf("cut at %d: held %q without an error", cut, m.Sections[0].Data)
				}
			}
			if err == io.EOF || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("cut at %d: %v", cut, err)
			}
		}
	}
}

// TestMalformedLinesTakeLinearTime gives up to a megabyte of what makes parsers
// go back and forth.
func TestMalformedLinesTakeLinearTime(t *testing.T) {
	const fetch = "* 1 FETCH ("
	for _, tt := range []struct{ head, text string }{
		{fetch, "ENVELOPE ( "}, {fetch, "BODY[ "}, {fetch, `"`}, {fetch, `" (`}, {fetch, "UID x "}, {fetch, "("},
		{fetch, "BODYSTRUCTURE ((("}, {fetch, `\`}, {fetch, "{1} "}, {fetch, "FLAGS ("},
		{fetch + "FLAGS (", `\a[`}, {fetch + "ENVELOPE (NIL ", "b[1]<[ (a "}, {fetch + "ENVELOPE (NIL ", "b[ "}, {fetch + `ENVELOPE (NIL "`, "=?utf-8?b?a b,"},
		{"* LIST (", `\a%`}, {"* LIST (", `\a `}, {"* LIST () ", `" (`}, {"* STATUS ", `" (`}, {"* STATUS ", "(a "}, {"* STATUS ", `" (1,"{1} 1 `},
	} {
		t.Run(tt.head+tt.text, func(t *testing.T) {
			lineartest.Check(t, 1<<18-32, func(n int) {
				line := tt.head + strings.Repeat(tt.text, n/len(tt.text)) + "\r\nk1 OK done\r\n"
				c := NewConn(spoken{r: strings.NewReader(line)}, Limits{1 << 20, 1 << 20, 64 << 20, 64 << 20, 64, 1000}, &Names{}, nil)
				c.Begin(context.Background(), 0, false)
				r := c.NewFetchReader()
				cmd := c.Command("UID FETCH")
				cmd.On = func(r *Response) bool {
					r.List(&Names{}, false)
					r.MailboxStatus(&Names{}, false)
					return true
				}
				err := r.Add(cmd)
				for err == nil {
					_, err = r.Next()
				}
				if err != io.EOF {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}

// TestALongScatteredResultIsWhole has no two numbers in a row, so that each is a
// range of its own, and comes in pieces that cut numbers apart.
func TestALongScatteredResultIsWhole(t *testing.T) {
	const messages = 200_000
	var text strings.Builder
	text.WriteString("* SEARCH")
	for i := range messages {
		fmt.Fprintf(&text, " %d", 2*i+1)
	}
	text.WriteString("\r\nk1 OK done\r\n")
	limits := Limits{1 << 20, 1 << 20, 64 << 20, 1 << 20, 64, 1000}
	c := NewConn(spoken{r: iotest.HalfReader(strings.NewReader(text.String()))}, limits, &Names{}, nil)
	c.Begin(context.Background(), 0, false)
	var found SearchResult
	cmd := c.Command("UID SEARCH")
	cmd.On = found.Collect(cmd)
	if err := c.Run(cmd); err != nil {
		t.Fatal(err)
	}
	got, ranges := Ascending[uint32](&found), found.Ranges()
	if len(got) != messages || len(ranges) != messages || found.Len() != messages {
		t.Fatalf("%d numbers in %d ranges, want %d", len(got), len(ranges), messages)
	}
	for i, n := range got {
		if want := uint32(2*i + 1); n != want || ranges[i] != (Range{want, want}) {
			t.Fatalf("number %d is %d in %v, want %d", i, n, ranges[i], want)
		}
	}
}
