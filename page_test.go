package imapkit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/scripted"
)

// A growingServer has messages that may come and go.
type growingServer struct{ uids []imap.UID }

func (g *growingServer) start(t *testing.T) (*scripted.Server, *Folder) {
	return readFrom(t, scripted.Options{Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID SEARCH": func(c *scripted.Conn, cmd scripted.Command) {
			var first, below imap.UID
			fmt.Sscanf(cmd.Args, "UID %d:* NOT UID 1:%d", &first, &below)
			var found strings.Builder
			for i, uid := range g.uids {
				if uid > below && (uid >= first || i == len(g.uids)-1) {
					fmt.Fprintf(&found, " %d", uid)
				}
			}
			c.Send("* SEARCH" + found.String())
			c.OK(cmd.Tag, "done")
		},
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			set, _, _ := strings.Cut(cmd.Args, " ")
			uids, err := parseTestSet(set)
			if err != nil {
				c.Errorf("set %q: %v", set, err)
			}
			for i, uid := range g.uids {
				if slices.Contains(uids, uid) {
					c.Sendf("* %d FETCH (UID %d FLAGS ())", i+1, uid)
				}
			}
			c.OK(cmd.Tag, "done")
		},
	}})
}

func TestPagesLeafBothWays(t *testing.T) {
	g := &growingServer{}
	for uid := imap.UID(1); uid <= 7; uid++ {
		g.uids = append(g.uids, uid*10)
	}
	s, f := g.start(t)
	p := f.Pages(All(), 3, ItemFlags)
	if s.Conns() != 0 {
		t.Error("Pages has called the server")
	}
	turn := func(newer bool, want ...imap.UID) {
		t.Helper()
		next := p.Older
		if newer {
			next = p.Newer
		}
		page, err := next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		equalUIDs(t, "page", uidsOf(page), want)
	}
	turn(false, 70, 60, 50)
	g.uids = append(g.uids, 80, 90)                                                  // arrives
	g.uids = slices.DeleteFunc(g.uids, func(uid imap.UID) bool { return uid == 30 }) // goes
	turn(false, 40, 20)
	turn(false, 10)
	turn(false)
	turn(false)
	turn(true, 40, 20)
	turn(true, 70, 60, 50)
	if n, newer := p.Known(); n != 7 || newer != 0 {
		t.Errorf("%d messages, %d newer", n, newer)
	}
	turn(true, 90, 80)
	turn(true)
	turn(false, 70, 60, 50)
	if n, newer := p.Known(); n != 9 || newer != 2 {
		t.Errorf("%d messages, %d newer", n, newer)
	}
	usable(t, s, f, 1)
}

func TestPagesCostOneRoundTripEachAfterTheFirst(t *testing.T) {
	g := &growingServer{uids: uidsTo(50)}
	s, f := g.start(t)
	p := f.Pages(Seen(), 10, ItemFlags)
	for range 4 {
		if page, err := p.Older(context.Background()); err != nil || len(page) != 10 {
			t.Fatalf("%d messages, %v", len(page), err)
		}
	}
	if n, m := len(commandsLike(s, "UID SEARCH")), len(commandsLike(s, "UID FETCH")); n != 1 || m != 4 {
		t.Errorf("%d searches, %d fetches", n, m)
	}
}

func TestPagesSkipThoseOfWhichNothingIsLeft(t *testing.T) {
	g := &growingServer{uids: uidsTo(9)}
	_, f := g.start(t)
	p := f.Pages(All(), 3, ItemFlags)
	if _, err := p.Older(context.Background()); err != nil {
		t.Fatal(err)
	}
	g.uids = slices.Delete(g.uids, 3, 6)
	page, err := p.Older(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	equalUIDs(t, "page", uidsOf(page), []imap.UID{103, 102, 101})
	if page, err = p.Newer(context.Background()); err != nil {
		t.Fatal(err)
	}
	equalUIDs(t, "page", uidsOf(page), []imap.UID{109, 108, 107})
}

func TestPagesOfAnEmptyFolderFindWhatArrives(t *testing.T) {
	g := &growingServer{}
	_, f := g.start(t)
	p := f.Pages(All(), 3, ItemFlags)
	for _, next := range []func(context.Context) ([]*MessageInfo, error){p.Newer, p.Older, p.Newer} {
		if page, err := next(context.Background()); err != nil || len(page) != 0 {
			t.Errorf("got %v, %v", page, err)
		}
	}
	g.uids = uidsTo(1)
	if page, err := p.Newer(context.Background()); err != nil || len(page) != 1 {
		t.Errorf("got %v, %v", page, err)
	}
	if _, err := f.Pages(All(), 0).Older(context.Background()); err == nil {
		t.Error("pages without messages: no error")
	}
}

func TestPageCanBeAskedForAgainAfterAnError(t *testing.T) {
	g := &growingServer{uids: uidsTo(6)}
	_, f := g.start(t)
	p := f.Pages(All(), 2, ItemFlags)
	if _, err := p.Older(context.Background()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Older(ctx); err == nil {
		t.Fatal("no error")
	}
	page, err := p.Older(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	equalUIDs(t, "page", uidsOf(page), []imap.UID{104, 103})
}
