package imapkit_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

func TestReadOnlyHoldsOnAnOpenConnectionToo(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 3, Caps: "IMAP4rev1 AUTH=PLAIN MOVE UIDPLUS LITERAL+"})
	c := inClear(s)
	c.ReadOnly = true
	defer c.Close()
	f, err := c.Select(limited(t), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Fetch(limited(t), 101); err != nil {
		t.Fatal(err)
	}
	before := s.Received()
	ctx, uids := limited(t), []imap.UID{101}
	for name, call := range map[string]func() error{
		"AddFlags":    func() error { return f.AddFlags(ctx, uids, imap.FlagSeen) },
		"RemoveFlags": func() error { return f.RemoveFlags(ctx, uids, imap.FlagSeen) },
		"SetFlags":    func() error { return f.SetFlags(ctx, uids) },
		"Append": func() error {
			_, err := f.Append(ctx, strings.NewReader("x"), 1, imapkit.AppendOptions{})
			return err
		},
		"Copy":                func() error { _, err := f.Copy(ctx, uids, "Trash"); return err },
		"Move":                func() error { _, err := f.Move(ctx, uids, "Trash"); return err },
		"Delete":              func() error { return f.Delete(ctx, uids) },
		"CreateFolder":        func() error { return c.CreateFolder(ctx, "New") },
		"DeleteFolder":        func() error { return c.DeleteFolder(ctx, "INBOX") },
		"RenameFolder":        func() error { return c.RenameFolder(ctx, "INBOX", "New") },
		"Subscribe":           func() error { return c.Subscribe(ctx, "INBOX") },
		"Unsubscribe":         func() error { return c.Unsubscribe(ctx, "INBOX") },
		"CreateSpecialFolder": func() error { return c.CreateSpecialFolder(ctx, "New", imap.MailboxAttrTrash) },
		"Trash":               func() error { _, err := f.Trash(ctx, uids); return err },
		"Undelete":            func() error { return f.Undelete(ctx, uids) },
		"SetMetadata":         func() error { return f.SetMetadata(ctx, "/private/comment", []byte("x")) },
		"SetACL": func() error {
			return f.SetACL(ctx, "bob", imap.RightModificationAdd, imap.RightSet("r"))
		},
		"ChangeFlags": func() error {
			_, err := f.ChangeFlags(ctx, uids, 1, imapkit.FlagsAdd, imap.FlagSeen)
			return err
		},
		"AppendAll": func() error {
			messages := slices.Values([]imapkit.NewMessage{{Body: strings.NewReader("x"), Size: 1}})
			for _, err := range f.AppendAll(ctx, messages) {
				return err
			}
			return nil
		},
		"STORE in Do": func() error {
			return c.Do(ctx, "", func(gc *imapclient.Client) error {
				return gc.Store(imap.UIDSetNum(101), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagSeen}}, nil).Close()
			})
		},
		"EXPUNGE in Do": func() error {
			return c.Do(ctx, "", func(gc *imapclient.Client) error { return gc.Expunge().Close() })
		},
		"DELETE in Do": func() error {
			return c.Do(ctx, "", func(gc *imapclient.Client) error { return gc.Delete("INBOX").Wait() })
		},
	} {
		if err := call(); !errors.Is(err, imapkit.ErrReadOnly) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if after := s.Received(); after != before {
		t.Errorf("the server received:\n%s", strings.TrimPrefix(after, before))
	}
	if strings.Contains(before, "SELECT") || !strings.Contains(before, "EXAMINE") || strings.Contains(before, "BODY[") {
		t.Errorf("the server received:\n%s", before)
	}
}
