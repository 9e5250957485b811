package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/imapkit/imapkit/internal/recorded"
)

// TestARecordedResponseThatIsCutShortIsAnError ends the connection at every byte
// of each response of the corpus: no command may succeed, and of no message may
// come less than it has.
func TestARecordedResponseThatIsCutShortIsAnError(t *testing.T) {
	cases, err := recorded.Load("../../testdata/responses")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		if c.Command == "connect" || c.BrokenLiteral {
			continue
		}
		end := len(c.Response)
		if endsCommand(c) {
			i := verdict.FindIndex(c.Response)[0]
			end = i + bytes.IndexByte(c.Response[i:], '\n')
		}
		fetch := c.Command == "UID FETCH"
		whole := make(map[string]bool)
		if fetch {
			sectionsOf(cutConn(c, len(c.Response), "A1 OK done\r\n"), false, func(section string) { whole[section] = true })
		}
		for cut := range end {
			if !fetch {
				conn := cutConn(c, cut, "")
				if err := conn.Run(underA1(conn.Command(c.Command))); err == nil {
					t.Errorf("%s: cut at %d: no error", c.Name, cut)
				}
				conn.End()
				continue
			}
			for _, stream := range []bool{false, true} {
				err := sectionsOf(cutConn(c, cut, ""), stream, func(section string) {
					if !whole[section] {
						t.Errorf("%s: cut at %d: %s", c.Name, cut, section)
					}
				})
				if errors.Is(err, io.EOF) {
					t.Errorf("%s: cut at %d: no error", c.Name, cut)
				}
			}
		}
	}
}

// cutConn is a connection on which so much of a response arrives and something
// behind it.
func cutConn(c recorded.Case, cut int, behind string) *Conn {
	text := string(c.Response[:cut]) + behind
	conn := NewConn(spoken{r: strings.NewReader(text)}, Limits{1 << 20, 1 << 20, 1 << 20, 1 << 20, 100, 1000}, new(Names), nil)
	conn.Begin(context.Background(), 0, false)
	return conn
}

// sectionsOf tells what a FETCH command brings of bodies before its error, which
// is io.EOF if it succeeds.
func sectionsOf(conn *Conn, stream bool, tell func(section string)) error {
	defer conn.End()
	r := conn.NewFetchReader()
	if stream {
		r.Stream = "BODY.PEEK[]"
	}
	if err := r.Add(underA1(conn.Command("UID FETCH").Raw("1:* X"))); err != nil {
		return err
	}
	for {
		m, err := r.Next()
		if err != nil {
			return err
		}
		for i, s := range m.Sections {
			if m.Body != nil && i == len(m.Sections)-1 {
				if s.Data, err = io.ReadAll(m.Body); err != nil {
					return err
				}
			}
			tell(fmt.Sprintf("message %d, %s: %q", m.Seq, s.Name, s.Data))
		}
	}
}
