package imapkit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/scripted"
)

// searchAnswers answers UID SEARCH with these lines before its OK, one call
// after the other; the last one stays.
func searchAnswers(answers ...string) map[string]func(*scripted.Conn, scripted.Command) {
	n := 0
	return map[string]func(*scripted.Conn, scripted.Command){
		"UID SEARCH": func(c *scripted.Conn, cmd scripted.Command) {
			answer := answers[min(n, len(answers)-1)]
			n++
			if answer != "" {
				c.SendRaw(strings.ReplaceAll(answer, "%tag", cmd.Tag) + "\r\n")
			}
			c.OK(cmd.Tag, "done")
		},
	}
}

func TestSearchReads(t *testing.T) {
	for _, tc := range []struct {
		name, caps, answer string
		want               []imap.UID
	}{
		{"SEARCH", "", "* SEARCH 3 1 2", []imap.UID{1, 2, 3}},
		{"duplicates once", "", "* SEARCH 3 1 3", []imap.UID{1, 3}},
		{"no message", "", "* SEARCH", nil},
		{"no message, with a blank", "", "* SEARCH ", nil},
		{"no response at all", "", "", nil},
		{"several responses", "", "* SEARCH 5\r\n* 9 EXISTS\r\n* SEARCH 2", []imap.UID{2, 5}},
		{"numbers no message has", "", "* SEARCH 0 7 4294967296 4294967295", []imap.UID{7, 4294967295}},
		{"ESEARCH", "ESEARCH", `* ESEARCH (TAG "%tag") UID ALL 1:3,7`, []imap.UID{1, 2, 3, 7}},
		{"ESEARCH of nothing", "ESEARCH", `* ESEARCH (TAG "%tag") UID`, nil},
		{"ESEARCH for another command", "ESEARCH", `* ESEARCH (TAG "x1") UID ALL 9` + "\r\n" + `* ESEARCH (TAG "%tag") UID ALL 1`, []imap.UID{1}},
		{"ESEARCH in any order", "ESEARCH", `* ESEARCH (TAG "%tag") UID ALL 7,3:1`, []imap.UID{1, 2, 3, 7}},
		{"SEARCH in spite of ESEARCH", "ESEARCH", `* SEARCH 4 2`, []imap.UID{2, 4}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, f := readFrom(t, scripted.Options{Caps: "IMAP4rev1 " + tc.caps, Exists: 3, Handle: searchAnswers(tc.answer)})
			got, err := f.Search(context.Background(), Seen())
			if err != nil {
				t.Fatal(err)
			}
			equalUIDs(t, "Search", got, tc.want)
			n, err := f.Count(context.Background(), Seen())
			if err != nil || n != len(tc.want) {
				t.Errorf("Count: got %d, %v, want %d", n, err, len(tc.want))
			}
			usable(t, s, f, 1)
		})
	}
}

func TestSearchIsLimited(t *testing.T) {
	for name, answer := range map[string]string{
		"long line":         "* SEARCH" + strings.Repeat(" 12345", 200_000),
		"range of billions": `* ESEARCH (TAG "%tag") UID ALL 1:4294967295`,
	} {
		t.Run(name, func(t *testing.T) {
			first := true
			s, f := readFrom(t, scripted.Options{Caps: "IMAP4rev1 ESEARCH", Exists: 3,
				Handle: map[string]func(*scripted.Conn, scripted.Command){
					"UID SEARCH": func(c *scripted.Conn, cmd scripted.Command) {
						if !first {
							c.Answer(cmd)
							return
						}
						first = false
						c.SendRaw(strings.ReplaceAll(answer, "%tag", cmd.Tag) + "\r\n")
						c.OK(cmd.Tag, "done")
					},
				}})
			f.client.Limits.Result = 1 << 20
			if _, err := f.Search(context.Background(), Seen()); !errors.Is(err, ErrLimit) {
				t.Errorf("error %v, want ErrLimit", err)
			}
			usable(t, s, f, 2)
		})
	}
}

func TestCountAsksForTheNumberWhereTheServerCounts(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Caps: "IMAP4rev1 ESEARCH", Exists: 3,
		Handle: searchAnswers(`* ESEARCH (TAG "%tag") UID COUNT 4711`)})
	n, err := f.Count(context.Background(), From("a"))
	if err != nil || n != 4711 {
		t.Errorf("got %d, %v", n, err)
	}
	if got := commandsLike(s, "UID SEARCH"); !slices.Equal(got, []string{`RETURN (COUNT) FROM "a"`}) {
		t.Errorf("sent %q", got)
	}
}

func TestCountIsExactForDatesAndLongUIDLists(t *testing.T) {
	for _, caps := range []string{"IMAP4rev1", "IMAP4rev1 ESEARCH"} {
		_, f := readFrom(t, scripted.Options{Caps: caps, Exists: 3})
		for name, q := range map[string]Query{
			"dates": Since(time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)),
			"UIDs":  UIDs(uidsTo(3)...),
		} {
			if n, err := f.Count(context.Background(), q); n != 3 || err != nil {
				t.Errorf("%s, %s: got %d, %v", caps, name, n, err)
			}
		}
	}
}

func TestSelectAndSearchGoOutTogether(t *testing.T) {
	s := scripted.New(t, func(c *scripted.Conn) {
		c.AcceptLogin("IMAP4rev1 ESEARCH")
		// Neither is answered before both have come.
		open, _ := c.Expect("SELECT")
		find, _ := c.Expect("UID SEARCH")
		c.Send("* 3 EXISTS", "* OK [UIDVALIDITY 1] valid")
		c.OK(open, "[READ-WRITE] done")
		c.Sendf(`* ESEARCH (TAG "%s") UID ALL 1:2`, find)
		c.OK(find, "done")
		c.Stall()
	})
	c := &Client{Host: s.Host, Port: s.Port, Username: "u", Password: "p", Security: SecurityNone, Timeout: 5 * time.Second}
	defer c.Close()
	got, err := c.Folder("INBOX").Search(context.Background(), Seen())
	if err != nil {
		t.Fatal(err)
	}
	equalUIDs(t, "Search", got, []imap.UID{1, 2})
}

func TestSearchReturnsTheServersWordsForAFolderThatIsNotThere(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Handle: map[string]func(*scripted.Conn, scripted.Command){
		"SELECT":     func(c *scripted.Conn, cmd scripted.Command) { c.No(cmd.Tag, "[NONEXISTENT] no such mailbox") },
		"UID SEARCH": func(c *scripted.Conn, cmd scripted.Command) { c.Bad(cmd.Tag, "select first") },
	}})
	_, err := f.Search(context.Background(), Seen())
	var refused *ServerError
	if !errors.As(err, &refused) || refused.Code != "NONEXISTENT" || refused.Command != "SELECT" {
		t.Errorf("error %v", err)
	}
	if err := f.client.Connect(context.Background()); err != nil || s.Conns() != 1 {
		t.Errorf("connection lost: %v, %d connections", err, s.Conns())
	}
}

func TestSearchGoesOnWithoutAnESEARCHThatIsOnlyAdvertised(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Caps: "IMAP4rev1 ESEARCH", Exists: 2,
		Handle: map[string]func(*scripted.Conn, scripted.Command){
			"UID SEARCH": func(c *scripted.Conn, cmd scripted.Command) {
				if strings.HasPrefix(cmd.Args, "RETURN") {
					c.Bad(cmd.Tag, "unknown argument RETURN")
					return
				}
				c.Answer(cmd)
			},
		}})
	for range 2 {
		got, err := f.Search(context.Background(), Seen())
		if err != nil {
			t.Fatal(err)
		}
		equalUIDs(t, "Search", got, uidsTo(2))
		if n, err := f.Count(context.Background(), Seen()); n != 2 || err != nil {
			t.Errorf("Count: %d, %v", n, err)
		}
	}
	want := []string{"RETURN (ALL) SEEN", "SEEN", "SEEN", "SEEN", "SEEN"}
	if got := commandsLike(s, "UID SEARCH"); !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
}

// A charsetServer takes searches in some charsets only.
func charsetServer(refusal string, taken ...string) map[string]func(*scripted.Conn, scripted.Command) {
	return map[string]func(*scripted.Conn, scripted.Command){
		"UID SEARCH": func(c *scripted.Conn, cmd scripted.Command) {
			charset := ""
			if rest, ok := strings.CutPrefix(cmd.Args, "CHARSET "); ok {
				charset, _, _ = strings.Cut(rest, " ")
			}
			if slices.Contains(taken, charset) || !strings.ContainsFunc(cmd.Args, func(r rune) bool { return r >= 0x80 }) {
				c.Answer(cmd)
				return
			}
			c.Send(cmd.Tag + " " + refusal)
		},
	}
}

func TestSearchFindsACharsetThatTheServerTakes(t *testing.T) {
	const utf8Grün, latin1Grün = "grün", "gr\xfcn"
	for _, tc := range []struct {
		name, word, refusal string
		taken               []string
		first, second       []string // what the first and the second search send
	}{
		{"UTF-8 at once", "grün", "BAD no", []string{"UTF-8"},
			[]string{"CHARSET UTF-8 SUBJECT {5}\r\n" + utf8Grün}, []string{"CHARSET UTF-8 SUBJECT {5}\r\n" + utf8Grün}},
		{"BAD, then without a label", "grün", "BAD unknown argument CHARSET", []string{""},
			[]string{"CHARSET UTF-8 SUBJECT {5}\r\n" + utf8Grün, "SUBJECT {5}\r\n" + utf8Grün}, []string{"SUBJECT {5}\r\n" + utf8Grün}},
		{"BADCHARSET, then Latin 1", "grün", "NO [BADCHARSET] unknown charset", []string{"ISO-8859-1"},
			[]string{"CHARSET UTF-8 SUBJECT {5}\r\n" + utf8Grün, "SUBJECT {5}\r\n" + utf8Grün, "CHARSET ISO-8859-1 SUBJECT {4}\r\n" + latin1Grün},
			[]string{"CHARSET ISO-8859-1 SUBJECT {4}\r\n" + latin1Grün}},
		{"BADCHARSET with a list", "мир", "NO [BADCHARSET (US-ASCII KOI8-R)] unknown charset", []string{"KOI8-R"},
			[]string{"CHARSET UTF-8 SUBJECT {6}\r\nмир", "SUBJECT {6}\r\nмир", "CHARSET KOI8-R SUBJECT {3}\r\n\xcd\xc9\xd2"},
			[]string{"CHARSET KOI8-R SUBJECT {3}\r\n\xcd\xc9\xd2"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, f := readFrom(t, scripted.Options{Exists: 2, Handle: charsetServer(tc.refusal, tc.taken...)})
			for _, want := range [][]string{tc.first, append(slices.Clone(tc.first), tc.second...)} {
				got, err := f.Search(context.Background(), Subject(tc.word))
				if err != nil {
					t.Fatal(err)
				}
				equalUIDs(t, "Search", got, uidsTo(2))
				if sent := commandsLike(s, "UID SEARCH"); !slices.Equal(sent, want) {
					t.Errorf("sent %q, want %q", sent, want)
				}
			}
			// ASCII is never labelled.
			if _, err := f.Search(context.Background(), Subject("green")); err != nil {
				t.Error(err)
			}
			if sent := commandsLike(s, "UID SEARCH"); sent[len(sent)-1] != `SUBJECT "green"` {
				t.Errorf("ASCII was sent as %q", sent[len(sent)-1])
			}
		})
	}
}

func TestSearchThatNoCharsetFitsIsNotSupported(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Exists: 2, Handle: charsetServer("NO [BADCHARSET (US-ASCII)] no")})
	_, err := f.Search(context.Background(), Subject("grün"))
	var refused *ServerError
	if !errors.Is(err, ErrNotSupported) || !errors.As(err, &refused) || !strings.HasPrefix(refused.Code, "BADCHARSET") {
		t.Errorf("error %v", err)
	}
	usable(t, s, f, 1)
}

func TestSearchRefusedForAnotherReasonIsNotRepeated(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Exists: 2, Handle: charsetServer("NO [UNAVAILABLE] index is being rebuilt")})
	_, err := f.Search(context.Background(), Subject("grün"))
	var refused *ServerError
	if !errors.As(err, &refused) || refused.Code != "UNAVAILABLE" || errors.Is(err, ErrNotSupported) {
		t.Errorf("error %v", err)
	}
	if sent := commandsLike(s, "UID SEARCH"); len(sent) != 1 {
		t.Errorf("sent %q", sent)
	}
}

// manyUIDs returns n UIDs that no range can shorten, in descending order.
func manyUIDs(n int) []imap.UID {
	uids := make([]imap.UID, n)
	for i := range uids {
		uids[i] = imap.UID(4_000_000_000 - 2*i)
	}
	return uids
}

func TestLongUIDListsAreSplitIntoLinesThatServersTake(t *testing.T) {
	uids := manyUIDs(100_000)
	uidSet := func(args string) string {
		set, _, _ := strings.Cut(strings.TrimPrefix(args, "UID "), " ")
		return set
	}
	echo := func(c *scripted.Conn, cmd scripted.Command) {
		set := cmd.Args
		if i := strings.Index(set, "UID "); i >= 0 {
			set = uidSet(set[i:])
		}
		c.Send("* SEARCH " + strings.ReplaceAll(set, ",", " "))
		c.OK(cmd.Tag, "done")
	}
	s, f := readFrom(t, scripted.Options{Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID SEARCH": echo,
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			set, _, _ := strings.Cut(cmd.Args, " ")
			var b strings.Builder
			for i, uid := range strings.Split(set, ",") {
				fmt.Fprintf(&b, "* %d FETCH (UID %s FLAGS ())\r\n", i+1, uid)
			}
			c.SendRaw(b.String())
			c.OK(cmd.Tag, "done")
		},
	}})
	want := ascending(uids)
	found, err := f.Search(context.Background(), And(Seen(), UIDs(uids...)))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(found, want) {
		t.Errorf("Search found %d messages, want %d", len(found), len(want))
	}
	if n, err := f.Count(context.Background(), UIDs(uids...)); n != len(uids) || err != nil {
		t.Errorf("Count: %d, %v", n, err)
	}
	var fetched []imap.UID
	for m, err := range f.Messages(context.Background(), UIDs(uids...), ItemFlags) {
		if err != nil {
			t.Fatal(err)
		}
		fetched = append(fetched, m.UID)
	}
	if !slices.Equal(fetched, want) {
		t.Errorf("Messages found %d messages, want %d", len(fetched), len(want))
	}
	for line := range strings.Lines(s.Received()) {
		if len(line) > 8000 {
			t.Fatalf("a line of %d bytes was sent", len(line))
		}
	}
}

func TestLongUIDListsInsideOrAndNot(t *testing.T) {
	uids := manyUIDs(3000)
	s, f := readFrom(t, scripted.Options{Exists: 5})
	for name, q := range map[string]Query{"Not": Not(UIDs(uids...)), "Or": Or(Seen(), UIDs(uids...))} {
		if _, err := f.Search(context.Background(), q); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for line := range strings.Lines(s.Received()) {
		if len(line) > 8000 {
			t.Fatalf("a line of %d bytes was sent", len(line))
		}
	}
}
