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
	"github.com/imapkit/imapkit/internal/servertest"
	"github.com/imapkit/imapkit/internal/thread"
)

func TestSortByServer(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Caps: "IMAP4rev1 SORT SORT=DISPLAY", Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID SORT": func(c *scripted.Conn, cmd scripted.Command) {
			c.Send("* SORT 103 101", "* SORT 102 103")
			c.OK(cmd.Tag, "done")
		},
	}})
	got, err := f.Sort(context.Background(), And(Seen(), Subject("grün")), SortDate.Reverse(), SortSubject, SortDisplayTo.Reverse())
	if err != nil {
		t.Fatal(err)
	}
	equalUIDs(t, "Sort", got, []imap.UID{103, 101, 102})
	want := "(REVERSE DATE SUBJECT REVERSE DISPLAYTO) UTF-8 SEEN SUBJECT {5}\r\ngrün"
	if sent := commandsLike(s, "UID SORT"); !slices.Equal(sent, []string{want}) {
		t.Errorf("sent %q", sent)
	}
	usable(t, s, f, 1)
}

func TestSortIsDoneHereWhereTheServerCannot(t *testing.T) {
	refuse := func(answer string) map[string]func(*scripted.Conn, scripted.Command) {
		return map[string]func(*scripted.Conn, scripted.Command){
			"UID SORT":   func(c *scripted.Conn, cmd scripted.Command) { c.Send(cmd.Tag + " " + answer) },
			"UID THREAD": func(c *scripted.Conn, cmd scripted.Command) { c.Send(cmd.Tag + " " + answer) },
		}
	}
	for name, opts := range map[string]scripted.Options{
		"no SORT":           {},
		"no SORT=DISPLAY":   {Caps: "IMAP4rev1 SORT"},
		"BAD":               {Caps: "IMAP4rev1 SORT SORT=DISPLAY", Handle: refuse("BAD unknown command")},
		"charset not taken": {Caps: "IMAP4rev1 SORT SORT=DISPLAY", Handle: refuse("NO [BADCHARSET] no UTF-8")},
	} {
		t.Run(name, func(t *testing.T) {
			opts.Exists = 12
			s, f := readFrom(t, opts)
			got, err := f.Sort(context.Background(), All(), SortDisplayFrom, SortSubject.Reverse())
			if err != nil {
				t.Fatal(err)
			}
			// "Message 9" … "Message 2", "Message 12", "Message 11", …
			var order []int
			for _, uid := range got {
				order = append(order, int(uid)-100)
			}
			if want := []int{9, 8, 7, 6, 5, 4, 3, 2, 12, 11, 10, 1}; !slices.Equal(order, want) {
				t.Errorf("got %v, want %v", order, want)
			}
			usable(t, s, f, 1)
		})
	}
}

func TestSortRefusedByTheServerIsAnError(t *testing.T) {
	_, f := readFrom(t, scripted.Options{Caps: "IMAP4rev1 SORT", Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID SORT": func(c *scripted.Conn, cmd scripted.Command) { c.No(cmd.Tag, "[SERVERBUG] index is broken") },
	}})
	var refused *ServerError
	if _, err := f.Sort(context.Background(), All(), SortSize); !errors.As(err, &refused) || refused.Command != "UID SORT" {
		t.Errorf("error %v", err)
	}
}

func TestSortOfDatesAndLongUIDListsIsExact(t *testing.T) {
	sort := func(c *scripted.Conn, cmd scripted.Command) {
		c.Send("* SORT 4 3 2 1")
		c.OK(cmd.Tag, "done")
	}
	noon := time.Date(2026, 3, 11, 12, 0, 0, 0, time.UTC)
	dates := []time.Time{noon.Add(-time.Second), noon, noon.Add(-time.Hour), noon.Add(time.Hour)}
	server := dateServer{dates, false}
	_, f := readFrom(t, scripted.Options{Caps: "IMAP4rev1 SORT", Exists: 4, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID SEARCH": server.search, "UID FETCH": server.fetch, "UID SORT": sort}})
	got, err := f.Sort(context.Background(), Since(noon), SortArrival.Reverse())
	if err != nil {
		t.Fatal(err)
	}
	equalUIDs(t, "Since", got, []imap.UID{4, 2})
	long := append(manyUIDs(5000), 1, 3)
	_, f = readFrom(t, scripted.Options{Caps: "IMAP4rev1 SORT", Exists: 4, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID SORT": sort, "UID SEARCH": func(c *scripted.Conn, cmd scripted.Command) {
			if strings.HasPrefix(cmd.Args, "UID 1,3,") {
				c.Send("* SEARCH 1 3")
			}
			c.OK(cmd.Tag, "done")
		}}})
	if got, err = f.Sort(context.Background(), UIDs(long...), SortSize); err != nil {
		t.Fatal(err)
	}
	equalUIDs(t, "UIDs", got, []imap.UID{3, 1})
}

func TestSortWithoutKeysIsASearch(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Exists: 3})
	got, err := f.Sort(context.Background(), Seen())
	if err != nil || len(commandsLike(s, "UID FETCH")) > 0 {
		t.Errorf("%v, sent %q", err, s.Commands())
	}
	equalUIDs(t, "Sort", got, uidsTo(3))
	for _, key := range []SortKey{0, 10, -10, -1 << 62} {
		if _, err := f.Sort(context.Background(), Seen(), key); err == nil {
			t.Errorf("key %d: no error", key)
		}
	}
}

func TestThreadsByServer(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Caps: "IMAP4rev1 THREAD=REFERENCES THREAD=REFS", Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID THREAD": func(c *scripted.Conn, cmd scripted.Command) {
			c.Send("* THREAD (2)(3 6 (4 23)(44 7 96))((5)(8))")
			c.OK(cmd.Tag, "done")
		},
	}})
	got, err := f.Threads(context.Background(), Seen(), imap.ThreadReferences)
	if err != nil {
		t.Fatal(err)
	}
	if want := "(2)(3 (6 (4 (23))(44 (7 (96)))))(0 (5)(8))"; writeThreads(got) != want {
		t.Errorf("got %s, want %s", writeThreads(got), want)
	}
	if sent := commandsLike(s, "UID THREAD"); !slices.Equal(sent, []string{"REFERENCES UTF-8 SEEN"}) {
		t.Errorf("sent %q", sent)
	}
	if _, err := f.Threads(context.Background(), Seen(), "refs"); err != nil {
		t.Errorf("an algorithm of the server's own: %v", err)
	}
	if _, err := f.Threads(context.Background(), Seen(), "OTHER"); !errors.Is(err, ErrNotSupported) {
		t.Errorf("an algorithm nobody has: %v", err)
	}
	if _, err := f.Threads(context.Background(), Seen(), "A B"); err == nil {
		t.Error("no error")
	}
	usable(t, s, f, 1)
}

// writeThreads writes threads in a form that is easy to compare.
func writeThreads(threads []*Thread) string {
	var b strings.Builder
	for _, th := range threads {
		fmt.Fprintf(&b, "(%d", th.UID)
		if len(th.Answers) > 0 {
			b.WriteString(" " + writeThreads(th.Answers))
		}
		b.WriteString(")")
	}
	return b.String()
}

func TestThreadsOfAnyDepth(t *testing.T) {
	const n = 100_000
	nodes := make([]thread.Node, n)
	for i := range nodes {
		nodes[i].UID = uint32(i + 1)
		if i > 0 {
			nodes[i-1].Children = []*thread.Node{&nodes[i]}
		}
	}
	depth := 0
	for th := threadsOfNodes([]*thread.Node{&nodes[0]})[0]; ; th = th.Answers[0] {
		if depth++; th.UID != imap.UID(depth) {
			t.Fatalf("UID %d at depth %d", th.UID, depth)
		}
		if len(th.Answers) == 0 {
			break
		}
	}
	if depth != n {
		t.Errorf("%d deep, want %d", depth, n)
	}
}

// conversation is mail that is hard to sort and to thread.
var conversation = []struct{ header, date string }{
	{"From: Zoe <zoe@example.org>\nTo: ann@example.org\nSubject: plans\nDate: Mon, 05 Jan 2026 10:00:00 +0000\nMessage-ID: <1@x>", "05-Jan-2026 12:00:00 +0000"},
	{"From: ann@example.org\nTo: Zoe <zoe@example.org>\nSubject: Re: plans\nDate: Mon, 05 Jan 2026 11:30:00 +0200\nMessage-ID: <2@x>\nIn-Reply-To: <1@x>", "05-Jan-2026 11:00:00 +0000"},
	{"From: bob@example.org\nCc: b@x\nSubject: RE: Re: Plans\nDate: Tue, 06 Jan 2026 09:00:00 +0000\nMessage-ID: <3@x>\nReferences: <1@x> <2@x>", "04-Jan-2026 10:00:00 +0000"},
	{"From: Ärger <a@example.org>\nSubject: =?utf-8?q?=C3=84pfel?=\nMessage-ID: <4@x>", "07-Jan-2026 10:00:00 +0000"},
	{"From: \"bob\" <zzz@example.org>\nCc: a@x\nSubject: [list] plans (fwd)\nDate: Mon, 05 Jan 2026 10:00:00 -0500\nMessage-ID: <5@x>", "07-Jan-2026 10:00:00 +0000"},
	{"Subject: lost parent, one\nFrom: c@x\nDate: Thu, 01 Jan 2026 00:00:00 +0000\nReferences: <gone@x>\nMessage-ID: <6@x>", "01-Jan-2026 10:00:00 +0000"},
	{"Subject: lost parent, two\nFrom: d@x\nDate: Fri, 02 Jan 2026 00:00:00 +0000\nReferences: <gone@x>\nMessage-ID: <7@x>", "01-Jan-2026 10:00:00 +0000"},
	{"Subject: \nFrom: e@x\nTo: aa@x\nDate: Sat, 03 Jan 2026 00:00:00 +0000", "01-Jan-2026 09:00:00 +0000"},
	{"Subject: apfel\nFrom: =?utf-8?q?Zo=C3=AB?= <e@x>\nTo: =?utf-8?q?=C3=84nne?= <b@x>\nDate: Sat, 03 Jan 2026 00:00:00 +0000\nMessage-ID: <9@x>\nReferences: <4@x>", "01-Jan-2026 09:00:00 +0000"},
}

// TestSortAndThreadsHereAreAsByTheServer compares with servers that do both.
func TestSortAndThreadsHereAreAsByTheServer(t *testing.T) {
	for name, start := range map[string]func(testing.TB, ...servertest.Option) *servertest.Server{
		"Dovecot": servertest.Dovecot, "Cyrus": servertest.Cyrus, // Courier goes its own ways
	} {
		t.Run(name, func(t *testing.T) {
			server := start(t)
			c := &Client{Host: server.Host, Port: server.Port, Username: server.Username, Password: server.Password, Security: SecurityNone}
			defer c.Close()
			ctx := context.Background()
			f := c.Folder("INBOX")
			for i, m := range conversation {
				text := strings.ReplaceAll(m.header, "\n", "\r\n") + "\r\n\r\n" + strings.Repeat("x", 100-7*i) + "\r\n"
				date, err := time.Parse("02-Jan-2006 15:04:05 -0700", m.date)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := f.Append(ctx, strings.NewReader(text), int64(len(text)), AppendOptions{InternalDate: date}); err != nil {
					t.Fatal(err)
				}
			}
			caps, err := c.Capabilities(ctx)
			if err != nil || !caps.Has(imap.CapSort) {
				t.Fatalf("capabilities %v, %v", caps, err)
			}
			for key := SortArrival; key <= SortDisplayTo; key++ {
				if key >= SortDisplayFrom && !caps.Has(imap.CapSortDisplay) {
					continue
				}
				if name == "Cyrus" && key == SortSubject {
					continue // to it, letters with marks come behind all others (RFC 5051 decomposes them)
				}
				for _, k := range []SortKey{key, key.Reverse()} {
					by, err := f.Sort(ctx, All(), k)
					if err != nil {
						t.Fatal(err)
					}
					here, err := f.sortHere(ctx, All(), []SortKey{k}, sortKeys[key].items)
					if err != nil {
						t.Fatal(err)
					}
					equalUIDs(t, sortKeys[key].name+fmt.Sprint(int(k)), here, by)
				}
			}
			for algorithm, arrange := range map[imap.ThreadAlgorithm]func([]thread.Message) []*thread.Node{
				imap.ThreadReferences: thread.References, imap.ThreadOrderedSubject: thread.OrderedSubject,
			} {
				by, err := f.Threads(ctx, All(), algorithm)
				if err != nil {
					t.Fatal(err)
				}
				here, err := f.threadsHere(ctx, All(), arrange)
				if err != nil {
					t.Fatal(err)
				}
				if writeThreads(by) != writeThreads(here) {
					t.Errorf("%s: by the server %s, here %s", algorithm, writeThreads(by), writeThreads(here))
				}
			}
		})
	}
}
