package imapkit_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

func TestFoldersOfRealServersHaveIDsAndFigures(t *testing.T) {
	for name, start := range realServers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := clientFor(start(t), imapkit.SecurityNone)
			defer c.Close()
			ctx := limited(t)
			if _, err := c.Select(ctx, "INBOX"); err != nil { // which makes it (Mailutils)
				t.Fatal(err)
			}
			before, after := own(t, c, "Before"), own(t, c, "After")
			if err := c.CreateFolder(ctx, before); err != nil {
				t.Fatal(err)
			}
			caps, err := c.Capabilities(ctx)
			if err != nil {
				t.Fatal(err)
			}
			has := caps.Has(imap.CapObjectID)
			old, err := c.Folder(before).ID(ctx)
			if !has && !errors.Is(err, imapkit.ErrNotSupported) || has && err != nil {
				t.Fatal(err)
			}
			if err := c.RenameFolder(ctx, before, after); err != nil {
				t.Fatal(err)
			}
			if id, err := c.Folder(after).ID(ctx); id != old || has != (err == nil) || has != (id != "") {
				t.Errorf("the ID was %q and is %q, %v", old, id, err)
			}
			status, err := c.Folder(after).Status(ctx)
			if err != nil {
				t.Fatal(err)
			}
			list, err := c.FoldersStatus(ctx, "")
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, f := range list {
				if f.Name == after {
					found = true
					if name == "Mailutils" { // which makes up another one each time, until the folder is opened
						f.Status.UIDValidity = status.UIDValidity
					}
					if f.Status != status || f.Err != nil {
						t.Errorf("in the list of all folders it has %+v, %v, by itself %+v", f.Status, f.Err, status)
					}
				}
			}
			if !found {
				t.Errorf("%s is not among %+v", after, list)
			}
		})
	}
}

func TestFolderIDsComeWhenTheFolderIsOpened(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 OBJECTID", Handle: answers(map[string][]string{
		"SELECT": {"* OK [MAILBOXID (F2212ea87-6097)] ok\nOK done", "OK done"}})})
	c := inClear(s)
	defer c.Close()
	for range 2 {
		if id, err := c.Folder("a").ID(limited(t)); id != "F2212ea87-6097" || err != nil {
			t.Errorf("got %q, %v", id, err)
		}
	}
	if id, err := c.Folder("b").ID(limited(t)); id != "" || !errors.Is(err, imapkit.ErrProtocol) {
		t.Errorf("without an ID: %q, %v", id, err)
	}
	if got := s.Commands(); !slices.Equal(got[len(got)-2:], []string{`SELECT "a"`, `SELECT "b"`}) {
		t.Errorf("commands %q", got)
	}
}
