package imapkit_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

func TestFlagsAreStoredWithOneCommand(t *testing.T) {
	many := make([]imap.UID, 10_000)
	for i := range many {
		many[i] = imap.UID(i + 1)
	}
	tests := []struct {
		name string
		call func(*imapkit.Folder) error
		want []string
	}{
		{"add", func(f *imapkit.Folder) error {
			return f.AddFlags(limited(t), []imap.UID{3, 1, 3, 2}, imap.FlagSeen, "$Work")
		}, []string{`UID STORE 1:3 +FLAGS.SILENT (\Seen $Work)`}},
		{"remove", func(f *imapkit.Folder) error { return f.RemoveFlags(limited(t), []imap.UID{5}, imap.FlagSeen) },
			[]string{`UID STORE 5 -FLAGS.SILENT (\Seen)`}},
		{"set", func(f *imapkit.Folder) error { return f.SetFlags(limited(t), []imap.UID{5, 7}, imap.FlagDraft) },
			[]string{`UID STORE 5,7 FLAGS.SILENT (\Draft)`}},
		{"set none", func(f *imapkit.Folder) error { return f.SetFlags(limited(t), []imap.UID{5}) },
			[]string{`UID STORE 5 FLAGS.SILENT ()`}},
		{"add none", func(f *imapkit.Folder) error { return f.AddFlags(limited(t), []imap.UID{5}) }, nil},
		{"10,000 messages", func(f *imapkit.Folder) error { return f.AddFlags(limited(t), many, imap.FlagSeen) },
			[]string{`UID STORE 1:10000 +FLAGS.SILENT (\Seen)`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := scripted.Serve(t, scripted.Options{Exists: 9})
			c := inClear(s)
			defer c.Close()
			if err := tt.call(c.Folder("INBOX")); err != nil {
				t.Fatal(err)
			}
			checkCommands(t, s, tt.want...)
		})
	}
}

func TestFlagsThatCannotBeSetAreRefusedBeforeAnythingIsChanged(t *testing.T) {
	for _, flag := range []imap.Flag{`\Recent`, `\recent`, "", `\`, "a b", "a)", "a(", "a\r\nb", "{3}", `"a"`, "a]", "ä", `\*`, "%"} {
		c := &imapkit.Client{Host: "192.0.2.1", Username: "user"}
		err := c.Folder("INBOX").AddFlags(limited(t), []imap.UID{1}, flag)
		if err == nil || !strings.Contains(err.Error(), "flag") {
			t.Errorf("%q: error %v", flag, err)
		}
	}
	s := scripted.Serve(t, scripted.Options{Exists: 9, Handle: answers(map[string][]string{
		"SELECT": {"* OK [PERMANENTFLAGS (\\Seen $Work)] limited\n* OK [UIDVALIDITY 9] ok\n* OK [UIDNEXT 10] ok\nOK [READ-WRITE] done"}})})
	c := inClear(s)
	defer c.Close()
	f := c.Folder("INBOX")
	err := f.AddFlags(limited(t), []imap.UID{1}, "$Other")
	if !errors.Is(err, imapkit.ErrNotSupported) || !strings.Contains(err.Error(), "$Other") {
		t.Errorf("error %v", err)
	}
	for name, err := range map[string]error{
		"AddFlags": f.AddFlags(limited(t), []imap.UID{1}, imap.FlagFlagged),
		"SetFlags": f.SetFlags(limited(t), []imap.UID{1}, imap.FlagSeen, imap.FlagFlagged),
	} {
		if !errors.Is(err, imapkit.ErrNotSupported) || !strings.Contains(err.Error(), `\Flagged`) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if err := f.AddFlags(limited(t), []imap.UID{1}, "$WORK", `\SEEN`); err != nil {
		t.Error(err)
	}
	if err := f.RemoveFlags(limited(t), []imap.UID{1}, imap.FlagFlagged); err != nil {
		t.Error(err)
	}
	checkCommands(t, s, `UID STORE 1 +FLAGS.SILENT ($WORK \SEEN)`, `UID STORE 1 -FLAGS.SILENT (\Flagged)`)
}

func TestConditionalChangesTellWhatWasSkipped(t *testing.T) {
	const command = `UID STORE 101:104 (UNCHANGEDSINCE 55) +FLAGS.SILENT (\Seen)`
	tests := []struct {
		name, answer string
		skipped      []imap.UID
		err          string
	}{
		{"none", "OK done", nil, ""},
		{"some", "OK [MODIFIED 102,104] conditional store failed", []imap.UID{102, 104}, ""},
		{"a range", "OK [MODIFIED 103:4294967295] failed", []imap.UID{103, 104}, ""},
		{"all, with NO", "NO [MODIFIED 101:104] failed", []imap.UID{101, 102, 103, 104}, ""},
		{"unreadable", "OK [MODIFIED *] failed", nil, "broke the protocol"},
		{"refused", "NO no", nil, "STORE with NO"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 CONDSTORE", Exists: 9,
				Handle: answers(map[string][]string{"UID STORE": {tt.answer}})})
			c := inClear(s)
			defer c.Close()
			skipped, err := c.Folder("INBOX").ChangeFlags(limited(t), []imap.UID{101, 102, 103, 104}, 55, imapkit.FlagsAdd, imap.FlagSeen)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v", err)
			}
			if !slices.Equal(skipped, tt.skipped) {
				t.Errorf("skipped %v, want %v", skipped, tt.skipped)
			}
			checkCommands(t, s, command)
		})
	}
	s := scripted.Serve(t, scripted.Options{Exists: 9})
	c := inClear(s)
	defer c.Close()
	_, err := c.Folder("INBOX").ChangeFlags(limited(t), []imap.UID{1}, 55, imapkit.FlagsAdd, imap.FlagSeen)
	if !errors.Is(err, imapkit.ErrNotSupported) || !strings.Contains(err.Error(), "CONDSTORE") {
		t.Errorf("without CONDSTORE: %v", err)
	}
	checkCommands(t, s)

	s = scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 CONDSTORE", Handle: answers(map[string][]string{
		"SELECT": {"* OK [NOMODSEQ] none here\n* OK [UIDVALIDITY 9] ok\nOK done"}})})
	c2 := inClear(s)
	defer c2.Close()
	_, err = c2.Folder("INBOX").ChangeFlags(limited(t), []imap.UID{1}, 55, imapkit.FlagsAdd, imap.FlagSeen)
	if !errors.Is(err, imapkit.ErrNotSupported) {
		t.Errorf("without mod-sequences: %v", err)
	}
	_, err = c2.Folder("INBOX").ChangeFlags(limited(t), []imap.UID{1}, 1<<63, imapkit.FlagsAdd, imap.FlagSeen)
	if err == nil || !strings.Contains(err.Error(), "modSeq") {
		t.Errorf("modSeq 1<<63: %v", err)
	}
	checkCommands(t, s)
}

func TestARebuiltFolderIsNotTouched(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 UIDPLUS MOVE", Exists: 9, Handle: answers(map[string][]string{
		"SELECT":    {"* OK [UIDVALIDITY 1] ok\nOK done", "* OK [UIDVALIDITY 2] ok\nOK done"},
		"UID STORE": {"OK done", "cut"},
	})})
	c := inClear(s)
	defer c.Close()
	f := c.Folder("INBOX")
	one := []imap.UID{101}
	if err := f.AddFlags(limited(t), one, imap.FlagSeen); err != nil {
		t.Fatal(err)
	}
	f.AddFlags(limited(t), one, imap.FlagSeen) // loses the connection
	before := len(work(s))
	_, moving := f.Move(limited(t), one, "x")
	_, copying := f.Copy(limited(t), one, "x")
	for _, err := range []error{f.AddFlags(limited(t), one, imap.FlagSeen), f.Delete(limited(t), one), moving, copying} {
		if !errors.Is(err, imapkit.ErrUIDValidity) {
			t.Errorf("error %v, want ErrUIDValidity", err)
		}
	}
	if got := work(s); len(got) != before {
		t.Errorf("sent all the same: %q", got[before:])
	}
}
