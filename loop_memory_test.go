package imapkit

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/scripted"
)

// heap returns how much memory is in use, in MiB.
func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc >> 20)
}

// TestRepeatedBodiesAreNotCollected sends 64 bodies of 1 MiB for two messages,
// and looks at what is held of them before the command is done.
func TestRepeatedBodiesAreNotCollected(t *testing.T) {
	for name, head := range map[string]string{
		"whole message":         "* 2 FETCH (UID 102 FLAGS () INTERNALDATE \"05-Jan-2026 10:00:00 +0000\" RFC822.SIZE 1048576 BODY[] {1048576}\r\n",
		"part":                  "* 2 FETCH (UID 102 BODY[1] {1048576}\r\n",
		"message without a UID": "* 2 FETCH (BODY[] {1048576}\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			body := []byte(strings.Repeat("x", 1<<20))
			held := 0
			_, f := readFrom(t, scripted.Options{Exists: 2, Handle: map[string]func(*scripted.Conn, scripted.Command){
				"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
					before := heap()
					for range 64 {
						c.SendRaw(head)
						c.SendBytes(body)
						c.SendRaw(")\r\n")
					}
					held = max(held, heap()-before)
					c.OK(cmd.Tag, "done")
				},
			}})
			for _, err := range f.FetchAll(context.Background(), uidsTo(2)) {
				if err != nil {
					break
				}
			}
			if held > 16 {
				t.Errorf("%d MiB are held of two messages of 1 MiB", held)
			}
		})
	}
}

func TestWhatIsSaidOfAMessageIsBounded(t *testing.T) {
	numbered := func(format string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	for name, answer := range map[string]string{
		"unknown items, each in a response":    numbered("* 1 FETCH (UID 101 X-%d (a b))\r\n", 20000),
		"unreadable items, each in a response": strings.Repeat("* 1 FETCH (UID 101 INTERNALDATE \"never\")\r\n", 20000),
		"bodies in one response":               "* 1 FETCH (UID 101" + strings.Repeat(" BODY[1] {0}\r\n", 20000) + ")\r\n",
	} {
		s, f := readFrom(t, scripted.Options{Exists: 1, Handle: fetchAnswers(answer)})
		f.client.Limits = Limits{Line: 8 << 10, Literal: 8 << 10, Message: 256 << 10}
		for call, run := range map[string]func() error{
			"Messages": func() error {
				for _, err := range f.Messages(context.Background(), UIDs(101), ItemFlags, ItemSize) {
					return err
				}
				return nil
			},
			"Fetch": func() error { _, err := f.Fetch(context.Background(), 101); return err },
			"FetchPart": func() error {
				_, err := f.FetchPart(context.Background(), 101, "1")
				return err
			},
		} {
			if err := run(); !errors.Is(err, ErrLimit) {
				t.Errorf("%s, %s: %v, want ErrLimit", name, call, err)
			}
		}
		if _, err := f.Search(context.Background(), All()); err != nil {
			t.Errorf("%s: the next call: %v", name, err)
		}
		_ = s
	}
}

// TestLoopOverLargeMessagesIsNotTakenIntoMemory calls something inside a loop of
// which more is in flight than may be held: it comes again on the next connection.
func TestLoopOverLargeMessagesIsNotTakenIntoMemory(t *testing.T) {
	const count, size = 40, 256 << 10
	body := strings.Repeat("x", size)
	s, f := readFrom(t, scripted.Options{Exists: count, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			set, _, _ := strings.Cut(cmd.Args, " ")
			first, last := 0, 0
			if n, _ := fmt.Sscanf(set, "%d:%d", &first, &last); n == 1 {
				last = first
			}
			for uid := first; uid <= last; uid++ {
				c.SendRaw(fmt.Sprintf("* %d FETCH (UID %d FLAGS () INTERNALDATE \"05-Jan-2026 10:00:00 +0000\" "+
					"RFC822.SIZE %d BODY[] {%d}\r\n%s)\r\n", uid-100, uid, size, size, body))
			}
			c.OK(cmd.Tag, "done")
		},
	}})
	f.client.Limits.Message = 1 << 20
	var got []imap.UID
	for m, err := range f.FetchAll(context.Background(), uidsTo(count)) {
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Raw) != size {
			t.Errorf("UID %d: %d bytes", m.Info.UID, len(m.Raw))
		}
		if got = append(got, m.Info.UID); len(got) == 1 {
			if _, err := f.Status(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	equalUIDs(t, "FetchAll", got, uidsTo(count))
	if n := s.Conns(); n < 2 {
		t.Errorf("%d bytes were taken into memory", count*size)
	}
}

func TestUnreadableMessageWithoutUIDIsNeverSilent(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Exists: 1, Handle: fetchAnswers("* 1 FETCH (ENVELOPE (\"broken)\r\n UID 101)\r\n")})
	got := list(t, f, UIDs(101), ItemEnvelope)
	if len(got) != 1 || !errors.Is(got[0].Err, ErrProtocol) {
		t.Errorf("got %d messages, want one with an error", len(got))
	}
	usable(t, s, f, 1)
}

func TestSectionsWithoutAFieldAreInOther(t *testing.T) {
	_, f := readFrom(t, scripted.Options{Exists: 1, Handle: fetchAnswers(
		"* 1 FETCH (BODY[TEXT] {3}\r\nabc BINARY[2] ~{2}\r\nde UID 101 BODY[HEADER.FIELDS (SUBJECT)] {14}\r\nSubject: Hi\r\n\r\n)\r\n")})
	got := list(t, f, UIDs(101), "body.peek[text]", "BINARY.PEEK[2]", HeaderFields("Subject"))
	if len(got) != 1 || got[0].Err != nil || got[0].Extra == nil {
		t.Fatalf("got %+v", got)
	}
	x := got[0].Extra
	if x.Other["BODY[TEXT]"] != "abc" || x.Other["BINARY[2]"] != "de" || x.Header.Get("Subject") != "Hi" {
		t.Errorf("sections %q, subject %q", x.Other, x.Header.Get("Subject"))
	}
}

// TestHeadersAreParsedWhenTheyAreHandedOut sends 100 headers, each of which takes
// forty times its length when parsed, before the message whose turn it is.
func TestHeadersAreParsedWhenTheyAreHandedOut(t *testing.T) {
	const count = 100
	header := strings.Repeat("X: y\r\n", 10000) + "\r\n"
	held := 0
	_, f := readFrom(t, scripted.Options{Exists: count, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			before := heap()
			for n := count; n > 0; n-- {
				if n == 1 {
					held = heap() - before
				}
				c.SendRaw(fmt.Sprintf("* %d FETCH (UID %d BODY[HEADER] %s)\r\n", n, n+100, literal(header)))
			}
			c.OK(cmd.Tag, "done")
		},
	}})
	n := 0
	for m, err := range f.Messages(context.Background(), UIDs(uidsTo(count)...), ItemHeader) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; m.Extra == nil || m.Extra.Header.Len() != 10000 {
			t.Fatalf("message %d has no header", n)
		}
	}
	if n != count || held > 32 {
		t.Errorf("%d messages, %d MiB held", n, held)
	}
}

func TestListsOfAnyLengthAreBounded(t *testing.T) {
	flood := func(format string) func(*scripted.Conn, scripted.Command) {
		return func(c *scripted.Conn, cmd scripted.Command) {
			for i := range 20000 {
				c.SendRaw(fmt.Sprintf(format, i))
			}
			c.OK(cmd.Tag, "done")
		}
	}
	opts := scripted.Options{Caps: "IMAP4rev1 QUOTA", Exists: 1, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"LIST":         flood("* LIST () \"/\" folder%d\r\n"),
		"GETQUOTAROOT": flood("* QUOTA root%d (STORAGE 1 2)\r\n"),
	}}
	s, f := readFrom(t, opts)
	f.client.Limits.Result = 1 << 20
	if list, err := f.client.Folders(context.Background(), ""); !errors.Is(err, ErrLimit) {
		t.Errorf("%d folders, error %v", len(list), err)
	}
	if list, err := f.Quota(context.Background()); !errors.Is(err, ErrLimit) {
		t.Errorf("%d quotas, error %v", len(list), err)
	}
	usable(t, s, f, 3)
	_, f = readFrom(t, opts)
	f.client.Limits.Result = 16 << 20
	if list, err := f.client.Folders(context.Background(), ""); len(list) != 20000 || err != nil {
		t.Errorf("%d folders, error %v", len(list), err)
	}
}

func TestCopiesThatWereNotAskedForAreNotCollected(t *testing.T) {
	_, f := readFrom(t, scripted.Options{Caps: "IMAP4rev1 UIDPLUS MOVE", Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID MOVE": func(c *scripted.Conn, cmd scripted.Command) {
			for i := range 100 {
				c.Sendf("* OK [COPYUID 7 %d:%d 1:1000] moved", 1000*i+2000, 1000*i+2999)
			}
			c.Send("* OK [COPYUID 7 101:103 5:7] moved")
			c.OK(cmd.Tag, "done")
		},
	}})
	copies, err := f.Move(context.Background(), uidsTo(3), "x")
	if err != nil || len(copies) > 6 || copies[101] != 5 || copies[103] != 7 {
		t.Errorf("%d copies, error %v", len(copies), err)
	}
}
