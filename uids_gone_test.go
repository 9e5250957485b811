package imapkit_test

import (
	"fmt"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

// Mailutils takes UIDs of messages that are gone for those of others.
func TestAServerThatConfusesUIDsGetsOnlyThoseThatMessagesHave(t *testing.T) {
	const list = "UID SEARCH ALL"
	uids := []imap.UID{101, 103, 999}
	tests := []struct {
		name string
		caps string
		call func(*imapkit.Folder) (any, error)
		want []string
		got  string
	}{
		{"flags", "ID NAMESPACE UNSELECT", func(f *imapkit.Folder) (any, error) {
			return nil, f.AddFlags(limited(t), uids, imap.FlagSeen)
		}, []string{list, `UID STORE 101 +FLAGS.SILENT (\Seen)`}, "<nil>"},
		{"all are gone", "ID NAMESPACE UNSELECT", func(f *imapkit.Folder) (any, error) {
			return nil, f.Delete(limited(t), uids[1:])
		}, []string{list}, "<nil>"},
		{"copy", "ID NAMESPACE UNSELECT", func(f *imapkit.Folder) (any, error) {
			return f.Copy(limited(t), uids, "Archive")
		}, []string{list, `UID COPY 101 "Archive"`}, "map[]"},
		{"search", "ID NAMESPACE UNSELECT", func(f *imapkit.Folder) (any, error) {
			return f.Search(limited(t), imapkit.And(imapkit.UIDs(uids...), imapkit.Unseen()))
		}, []string{list, "UID SEARCH UNSEEN"}, "[101]"},
		{"search in a range", "ID NAMESPACE UNSELECT", func(f *imapkit.Folder) (any, error) {
			return f.Search(limited(t), imapkit.And(imapkit.UIDRange(102, 0), imapkit.Unseen()))
		}, []string{list, list, "UID SEARCH UNSEEN"}, "[102]"},
		{"search in an empty range", "ID NAMESPACE UNSELECT", func(f *imapkit.Folder) (any, error) {
			return f.Search(limited(t), imapkit.And(imapkit.UIDRange(103, 0), imapkit.Unseen()))
		}, []string{list}, "[]"},
		{"search without UIDs", "ID NAMESPACE UNSELECT", func(f *imapkit.Folder) (any, error) {
			return f.Search(limited(t), imapkit.Unseen())
		}, []string{"UID SEARCH UNSEEN"}, "[101 102]"},
		{"another server", "ID NAMESPACE UNSELECT UIDPLUS", func(f *imapkit.Folder) (any, error) {
			return nil, f.AddFlags(limited(t), uids, imap.FlagSeen)
		}, []string{`UID STORE 101,103,999 +FLAGS.SILENT (\Seen)`}, "<nil>"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 " + tt.caps, Exists: 2, Handle: answers(map[string][]string{
				"UID SEARCH": {"* SEARCH 101 102\nOK done"}})})
			c := inClear(s)
			defer c.Close()
			got, err := tt.call(c.Folder("INBOX"))
			if err != nil || fmt.Sprint(got) != tt.got {
				t.Errorf("got %v, %v, want %s", got, err, tt.got)
			}
			checkCommands(t, s, tt.want...)
		})
	}
}
