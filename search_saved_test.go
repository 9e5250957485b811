package imapkit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/scripted"
)

func TestASavedResultIsFetchedInOneRoundTrip(t *testing.T) {
	const save, found = "RETURN (SAVE ALL) UNSEEN", "* ESEARCH (TAG \"%s\") UID ALL 102,104\r\n"
	both := "* 2 FETCH (UID 102 FLAGS (a))\r\n* 4 FETCH (UID 104 FLAGS (b))\r\n"
	refusing := func(status string) func(*scripted.Conn, scripted.Command) {
		return func(c *scripted.Conn, cmd scripted.Command) { c.SendRaw(cmd.Tag + " " + status + "\r\n") }
	}
	finding := func(answer string) func(*scripted.Conn, scripted.Command) {
		return func(c *scripted.Conn, cmd scripted.Command) {
			c.SendRaw(strings.ReplaceAll(answer, "%s", cmd.Tag))
			c.OK(cmd.Tag, "done")
		}
	}
	sending := func(answer string) func(*scripted.Conn, scripted.Command) {
		return func(c *scripted.Conn, cmd scripted.Command) { c.SendRaw(answer); c.OK(cmd.Tag, "done") }
	}
	for name, tc := range map[string]struct {
		caps          string
		exists        int
		search, fetch func(*scripted.Conn, scripted.Command) // answers to the saving search and FETCH $
		want          []imap.UID
		saved         int // how often two loops save a result
	}{
		"usual":             {search: finding(found), fetch: sending(both), want: []imap.UID{102, 104}, saved: 2},
		"nothing found":     {search: finding("* ESEARCH (TAG \"%s\") UID\r\n"), fetch: sending(""), saved: 2},
		"nothing to fetch":  {search: finding("* ESEARCH (TAG \"%s\") UID\r\n"), fetch: refusing("BAD empty set"), saved: 2},
		"flags in between":  {search: finding("* 1 FETCH (UID 101 FLAGS (x))\r\n" + found), fetch: sending("* 3 FETCH (FLAGS (y))\r\n" + both), want: []imap.UID{102, 104}, saved: 2},
		"one is gone":       {search: finding(found), fetch: sending("* 2 EXPUNGE\r\n* 3 FETCH (UID 104 FLAGS (b))\r\n"), want: []imap.UID{104}, saved: 2},
		"search refused":    {search: refusing("BAD what is SAVE"), fetch: refusing("BAD what is $"), want: []imap.UID{102, 104}, saved: 1},
		"result refused":    {search: finding(found), fetch: refusing("BAD what is $"), want: []imap.UID{102, 104}, saved: 1},
		"no result sent":    {search: finding(""), fetch: sending(both), want: []imap.UID{102, 104}, saved: 1},
		"large folder":      {exists: 1000, want: []imap.UID{102, 104}},
		"without SEARCHRES": {caps: "IMAP4rev1 ESEARCH", want: []imap.UID{102, 104}},
		"without ESEARCH":   {caps: "IMAP4rev1 SEARCHRES", want: []imap.UID{102, 104}},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.caps == "" {
				tc.caps = "IMAP4rev1 ESEARCH SEARCHRES"
			}
			s, f := readFrom(t, scripted.Options{Caps: tc.caps, Exists: max(tc.exists, 5), Handle: map[string]func(*scripted.Conn, scripted.Command){
				"UID SEARCH": func(c *scripted.Conn, cmd scripted.Command) {
					switch {
					case cmd.Args == save:
						tc.search(c, cmd)
					case strings.Contains(tc.caps, " ESEARCH"):
						finding(found)(c, cmd)
					default:
						sending("* SEARCH 102 104\r\n")(c, cmd)
					}
				},
				"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
					if strings.HasPrefix(cmd.Args, "$ ") {
						tc.fetch(c, cmd)
						return
					}
					sending(both)(c, cmd)
				},
			}})
			if _, err := f.client.Select(context.Background(), "INBOX"); err != nil {
				t.Fatal(err)
			}
			var got []imap.UID
			for range 2 {
				got = uidsOf(list(t, f, Unseen(), ItemFlags))
				if !slices.Equal(got, tc.want) {
					t.Errorf("got %v, want %v", got, tc.want)
				}
			}
			searches := commandsLike(s, "UID SEARCH")
			if n := len(slices.DeleteFunc(searches, func(args string) bool { return args != save })); n != tc.saved {
				t.Errorf("saved %d times, want %d; commands %q", n, tc.saved, s.Commands())
			}
			usable(t, s, f, 1)
		})
	}
}

func TestALoopOverASavedResultMayBeLeftAndInterrupted(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Caps: "IMAP4rev1 ESEARCH SEARCHRES", Exists: 20, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			for i := 1; i <= 20 && strings.HasPrefix(cmd.Args, "$"); i++ {
				c.Send(fmt.Sprintf("* %d FETCH (UID %d FLAGS ())", i, 100+i))
			}
			c.OK(cmd.Tag, "done")
		},
	}})
	if _, err := f.client.Select(context.Background(), "INBOX"); err != nil {
		t.Fatal(err)
	}
	for range f.Messages(context.Background(), All(), ItemFlags) {
		break
	}
	var got []imap.UID
	for m, err := range f.Messages(context.Background(), All(), ItemFlags) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, m.UID); len(got) == 3 {
			if _, err := f.Search(context.Background(), Seen()); err != nil {
				t.Fatal(err)
			}
		}
	}
	equalUIDs(t, "Messages", got, uidsTo(20))
	usable(t, s, f, 1)
}

func TestProgressOverASavedResultIsToldWhileAnotherGoroutineAsks(t *testing.T) {
	_, f := readFrom(t, scripted.Options{Caps: "IMAP4rev1 ESEARCH SEARCHRES", Exists: 20, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			for i := 1; i <= 20 && strings.HasPrefix(cmd.Args, "$"); i++ {
				c.Send(fmt.Sprintf("* %d FETCH (UID %d FLAGS ())", i, 100+i))
			}
			c.OK(cmd.Tag, "done")
		},
	}})
	if _, err := f.client.Select(context.Background(), "INBOX"); err != nil {
		t.Fatal(err)
	}
	told := 0
	watched := f.WithProgress(func(done, total int) {
		if told++; done != told || total != 20 {
			t.Errorf("call %d: %d of %d", told, done, total)
		}
	})
	served := make(chan error, 1)
	for m, err := range watched.Messages(context.Background(), All(), ItemFlags) {
		if err != nil {
			t.Fatal(err)
		}
		if m.UID == 101 {
			go func() { served <- f.client.Connect(context.Background()) }()
			// Nothing tells the loop that its connection is being lent: only
			// so does the race detector see what both of them touch.
			time.Sleep(20 * time.Millisecond)
		}
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if told != 20 {
		t.Errorf("%d calls", told)
	}
}

// No server sends a result after the messages, or in several responses.
func TestASavedResultThatComesInPiecesIsFetchedAsAWhole(t *testing.T) {
	_, f := readFrom(t, scripted.Options{Caps: "IMAP4rev1 ESEARCH SEARCHRES", Exists: 9, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID SEARCH": func(c *scripted.Conn, search scripted.Command) {
			fetch, _ := c.ReadCommand()
			c.Sendf(`* ESEARCH (TAG "%s") UID ALL 103:104`, search.Tag)
			c.Send(`* 4 FETCH (UID 104 FLAGS ())`)
			c.Sendf(`* ESEARCH (TAG "%s") UID ALL 101:102,105:109`, search.Tag)
			c.Send(`* 9 FETCH (UID 109 FLAGS ())`, `* 3 FETCH (UID 103 FLAGS ())`)
			c.OK(search.Tag, "done")
			c.OK(fetch.Tag, "done")
		},
	}})
	if _, err := f.client.Select(context.Background(), "INBOX"); err != nil {
		t.Fatal(err)
	}
	got := uidsOf(list(t, f, Unseen(), ItemFlags))
	slices.Sort(got)
	if !slices.Equal(got, uidsTo(9)) {
		t.Errorf("got %v", got)
	}
}
