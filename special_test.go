package imapkit_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

func TestSpecialFoldersAreFoundByAttributeElseByName(t *testing.T) {
	tests := []struct {
		name string
		list []string
		use  imap.MailboxAttr
		want string
	}{
		{"attribute", []string{`(\Trash) "/" "Old things"`, `() "/" Trash`}, imap.MailboxAttrTrash, "Old things"},
		{"English", []string{`() "/" "Sent Items"`}, imap.MailboxAttrSent, "Sent Items"},
		{"German, below INBOX", []string{`() "." INBOX`, `() "." "INBOX.Gel&APY-schte Elemente"`}, imap.MailboxAttrTrash,
			"INBOX.Gelöschte Elemente"},
		{"Russian", []string{`() "/" "&BCcENQRABD0EPgQyBDgEOgQ4-"`}, imap.MailboxAttrDrafts, "Черновики"},
		{"the better name", []string{`() "/" Bin`, `() "/" trash`}, imap.MailboxAttrTrash, "trash"},
		{"not somebody's own", []string{`() "/" Projects/Trash`}, imap.MailboxAttrTrash, ""},
		{"not what cannot be opened", []string{`(\Noselect) "/" Trash`}, imap.MailboxAttrTrash, ""},
		{"no name for it", []string{`() "/" All`}, imap.MailboxAttrAll, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := scripted.Serve(t, scripted.Options{Handle: answers(map[string][]string{
				"LIST": {"* LIST " + strings.Join(tt.list, "\n* LIST ") + "\nOK done"}})})
			c := inClear(s)
			defer c.Close()
			got, err := c.SpecialFolder(limited(t), tt.use)
			if got.Name != tt.want || errors.Is(err, imapkit.ErrNoFolder) != (tt.want == "") {
				t.Errorf("got %q, %v, want %q", got.Name, err, tt.want)
			}
		})
	}
}

func TestTrashMovesToTheTrashFolder(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 MOVE", Exists: 3, Handle: answers(map[string][]string{
		"LIST": {"* LIST () \"/\" Bin\nOK done"}})})
	c := inClear(s)
	defer c.Close()
	if _, err := c.Folder("INBOX").Trash(limited(t), []imap.UID{101}); err != nil {
		t.Error(err)
	}
	if _, err := c.Folder("Bin").Trash(limited(t), []imap.UID{101}); err == nil {
		t.Error("moved from the trash folder to itself")
	}
	checkCommands(t, s, `LIST "" "*"`, `UID MOVE 101 "Bin"`, `LIST "" "*"`)
}

func TestSpecialFoldersAreMadeWhereTheServerCan(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 CREATE-SPECIAL-USE"})
	c := inClear(s)
	defer c.Close()
	if err := c.CreateSpecialFolder(limited(t), "Bin", imap.MailboxAttrTrash); err != nil {
		t.Error(err)
	}
	if err := c.CreateSpecialFolder(limited(t), "Bin", `\Trash)`); err == nil {
		t.Error("a made-up use was sent")
	}
	checkCommands(t, s, `CREATE "Bin" (USE (\Trash))`)
	plain := scripted.Serve(t, scripted.Options{})
	c2 := inClear(plain)
	defer c2.Close()
	err := c2.CreateSpecialFolder(limited(t), "Bin", imap.MailboxAttrTrash)
	if !errors.Is(err, imapkit.ErrNotSupported) || !strings.Contains(err.Error(), "CREATE-SPECIAL-USE") {
		t.Errorf("error %v", err)
	}
}
