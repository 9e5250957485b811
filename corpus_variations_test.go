package imapkit

import (
	"bytes"
	"context"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/imapkit/imapkit/internal/recorded"
)

// A trickle is a connection that reads so many bytes at once.
type trickle struct {
	net.Conn
	bytes int
}

func (c trickle) Read(p []byte) (int, error) { return c.Conn.Read(p[:min(len(p), c.bytes)]) }

// A trickler dials for connections that do.
type trickler int

func (n trickler) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return trickle{nc, int(n)}, nil
}

// TestRecordedResponsesInOtherCircumstances gives each recorded response to a
// client as other servers, and other networks, would: the same must come of it.
func TestRecordedResponsesInOtherCircumstances(t *testing.T) {
	cases, err := recorded.Load("testdata/responses")
	if err != nil {
		t.Fatal(err)
	}
	for name, vary := range map[string]struct {
		read     int // bytes at once; 0: as they come
		response func([]byte) []byte
	}{
		"byte by byte":                  {read: 1},
		"in pieces of seven bytes":      {read: 7},
		"with news in between":          {response: interspersed("* 30000 EXISTS", `* 29999 FETCH (FLAGS (\Draft))`, "* OK [ALERT] hello", "+ stray")},
		"with messages removed between": {response: interspersed("* 29999 EXPUNGE")},
		"with items in other order":     {response: turnedRound},
	} {
		t.Run(name, func(t *testing.T) {
			varied := 0
			for _, c := range cases {
				want, err := c.Decode()
				if err != nil {
					t.Fatal(err)
				}
				run := runRecorded(c, want)
				switch {
				case run == nil,
					strings.Contains(name, "news") && want.Select != nil, // which are what is compared
					strings.Contains(name, "removed") && numberOnly.Match(c.Response):
					continue
				}
				if vary.response != nil {
					before := c.Response
					if c.Response = vary.response(before); bytes.Equal(c.Response, before) {
						continue
					}
				}
				varied++
				s, f := replayed(t, c)
				if vary.read > 0 {
					f.client.Proxy = trickler(vary.read)
				}
				if diff := run(f); diff != "" {
					t.Errorf("%s: %s: %s: %s\n%q", c.Name, c.Server, c.Why, diff, c.Response)
				}
				usable(t, s, f.client.Folder("INBOX"), connsAfter(c))
				f.client.Close()
				s.Close()
			}
			if varied < 100 {
				t.Errorf("%d responses", varied)
			}
		})
	}
}

// numberOnly matches a FETCH response that tells of a message by its number only.
var numberOnly = regexp.MustCompile(`(?m)^\* \d+ FETCH \((FLAGS \([^)]*\)|RFC822.SIZE \d+)\)\r$`)

// interspersed puts lines before each untagged response.
func interspersed(lines ...string) func([]byte) []byte {
	noise := []byte(strings.Join(lines, "\r\n") + "\r\n")
	return func(response []byte) []byte {
		var out []byte
		for rest := response; len(rest) > 0; {
			piece := wholeResponse(rest)
			if bytes.HasPrefix(piece, []byte("* ")) {
				out = append(out, noise...)
			}
			out = append(out, piece...)
			rest = rest[len(piece):]
		}
		return out
	}
}

var announced = regexp.MustCompile(`\{(\d+)\+?\} *\r?\n$`)

// wholeResponse returns the first line of b, and what its literals belong to.
func wholeResponse(b []byte) []byte {
	end := 0
	for {
		line := b[end:]
		i := bytes.IndexByte(line, '\n')
		if i < 0 {
			return b
		}
		end += i + 1
		m := announced.FindSubmatch(line[:i+1])
		if m == nil {
			return b[:end]
		}
		n, _ := strconv.Atoi(string(m[1]))
		end = min(end+n, len(b))
	}
}

var fetchStart = regexp.MustCompile(`^\* \d+ FETCH \(`)

// turnedRound puts the items of each FETCH response in the opposite order, if it
// is one that can be taken apart.
func turnedRound(response []byte) []byte {
	var out []byte
	for rest := response; len(rest) > 0; {
		piece := wholeResponse(rest)
		rest = rest[len(piece):]
		head := fetchStart.Find(piece)
		body, closed := bytes.CutSuffix(piece[len(head):], []byte(")\r\n"))
		items := splitItems(body)
		if head == nil || !closed || items == nil {
			out = append(out, piece...)
			continue
		}
		slices.Reverse(items)
		out = append(append(append(out, head...), bytes.Join(items, []byte(" "))...), ")\r\n"...)
	}
	return out
}

// splitItems cuts items with their values, or returns nil.
func splitItems(b []byte) (items [][]byte) {
	for len(b) > 0 {
		name := itemName.Find(b)
		value := valueEnd(b[len(name):])
		if name == nil || value <= 0 {
			return nil
		}
		items = append(items, b[:len(name)+value])
		b = b[len(name)+value:]
		if len(b) > 0 && b[0] != ' ' {
			return nil
		}
		b = bytes.TrimPrefix(b, []byte(" "))
	}
	return items
}

var itemName = regexp.MustCompile(`^[A-Za-z0-9.-]+(\[[^]\r\n]*\](<[0-9.]+>)?)? `)

// valueEnd returns where the value that b begins with ends, or -1.
func valueEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			if i >= len(b) {
				return -1
			}
		case '(':
			depth++
		case ')':
			depth--
		case '{':
			line := bytes.IndexByte(b[i:], '\n')
			if m := announced.FindSubmatch(b[i : i+line+1]); m != nil {
				n, _ := strconv.Atoi(string(m[1]))
				i += line + n
			}
			if i >= len(b) {
				return -1
			}
		case ' ':
			if depth == 0 {
				return i
			}
		}
		if depth < 0 {
			return -1
		}
	}
	if depth != 0 {
		return -1
	}
	return len(b)
}
