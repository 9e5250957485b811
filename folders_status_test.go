package imapkit_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

func TestFoldersStatusTakesOneCommandOrSeveral(t *testing.T) {
	const (
		items = "(MESSAGES UNSEEN UIDNEXT UIDVALIDITY)"
		some  = `LIST "" "*" RETURN (CHILDREN SUBSCRIBED SPECIAL-USE)`
		all   = `LIST "" "*" RETURN (CHILDREN SUBSCRIBED SPECIAL-USE STATUS ` + items + `)`
	)
	status := func(name string, n int) string {
		return fmt.Sprintf("* STATUS %s (MESSAGES %d UIDVALIDITY 1)", name, n)
	}
	tests := []struct {
		name, caps string
		answers    map[string][]string
		commands   []string
		want       string
	}{
		{"one", "LIST-EXTENDED LIST-STATUS SPECIAL-USE", map[string][]string{
			"LIST": {"* LIST (\\Subscribed) \"/\" a\n" + status("a", 1) + "\n* LIST (\\Noselect) \"/\" b\nOK done"}},
			[]string{all, all}, "a 1 true, b 0 false"},
		{"figures refused", "LIST-EXTENDED LIST-STATUS SPECIAL-USE", map[string][]string{
			"LIST":   {"BAD no", "* LIST (\\Subscribed) \"/\" a\nOK done"},
			"STATUS": {status("a", 2) + "\nOK done"}},
			[]string{all, some, `STATUS "a" ` + items, some, `STATUS "a" ` + items}, "a 2 true"},
		{"options refused", "LIST-EXTENDED LIST-STATUS SPECIAL-USE", map[string][]string{
			"LIST": {"BAD no", "BAD no", "* LIST () \"/\" a\nOK done"}, "LSUB": {"* LSUB () \"/\" a\nOK done"},
			"STATUS": {status("a", 2) + "\nOK done"}},
			[]string{all, some, `LIST "" "*"`, `LSUB "" "*"`, `STATUS "a" ` + items,
				`LIST "" "*"`, `LSUB "" "*"`, `STATUS "a" ` + items}, "a 2 true"},
		{"refused for now", "LIST-EXTENDED LIST-STATUS SPECIAL-USE", map[string][]string{
			"LIST":   {"NO [UNAVAILABLE] no", "* LIST (\\Subscribed) \"/\" a\nOK done"},
			"STATUS": {status("a", 2) + "\nOK done"}},
			[]string{all, some, `STATUS "a" ` + items, all, `STATUS "a" ` + items}, "a 2 true"},
		{"without LIST-STATUS", "LIST-EXTENDED SPECIAL-USE", map[string][]string{
			"LIST": {"* LIST (\\Subscribed) \"/\" a\n* LIST () \"/\" a\nOK done"}, "STATUS": {status("a", 2) + "\nOK done"}},
			[]string{some, `STATUS "a" ` + items, some, `STATUS "a" ` + items}, "a 2 true"},
		{"no figures", "", map[string][]string{"LIST": {"* LIST () \"/\" a\nOK done"}, "LSUB": {"OK done"}, "STATUS": {"OK done"}},
			[]string{`LIST "" "*"`, `LSUB "" "*"`, `STATUS "a" ` + items, `LIST "" "*"`, `LSUB "" "*"`, `STATUS "a" ` + items},
			"a 0 false imapkit: server broke the protocol: STATUS of a was answered without figures"},
		{"several", "", map[string][]string{
			"LIST": {"* LIST () \"/\" a\n* LIST () \"/\" b\nOK done"}, "LSUB": {"OK done"},
			"STATUS": {"NO hidden", status("b", 3) + "\nOK done"}},
			[]string{`LIST "" "*"`, `LSUB "" "*"`, `STATUS "a" ` + items, `STATUS "b" ` + items,
				`LIST "" "*"`, `LSUB "" "*"`, `STATUS "a" ` + items, `STATUS "b" ` + items}, "a 0 false hidden, b 3 false"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 " + tt.caps, Handle: answers(tt.answers)})
			c := inClear(s)
			defer c.Close()
			list, err := c.FoldersStatus(limited(t), "")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range list {
				line := fmt.Sprint(f.Name, " ", f.Status.Messages, " ", f.Subscribed)
				var refused *imapkit.ServerError
				if errors.As(f.Err, &refused) {
					line += " " + refused.Text
				} else if f.Err != nil {
					line += " " + f.Err.Error()
				}
				got = append(got, line)
			}
			if text := strings.Join(got, ", "); text != tt.want {
				t.Errorf("got %s, want %s", text, tt.want)
			}
			if _, err := c.FoldersStatus(limited(t), ""); err != nil { // which knows what was refused
				t.Fatal(err)
			}
			checkCommands(t, s, tt.commands...)
		})
	}
}

// NetEase 163 sends an empty list.
func TestAStatusWithoutFiguresIsNotTakenForZeros(t *testing.T) {
	for _, figures := range []string{"", " ()", " NIL", " (", " (MESSAGES)", " (MESSAGES NIL UNSEEN -1)", " MESSAGES 3"} {
		for _, caps := range []string{"IMAP4rev1", "IMAP4rev1 LIST-EXTENDED LIST-STATUS"} {
			status := "* STATUS a" + figures
			s := scripted.Serve(t, scripted.Options{Caps: caps, Exists: 1, Handle: answers(map[string][]string{
				"LIST":   {"* LIST () \"/\" a\n" + status + "\nOK done"},
				"LSUB":   {"OK done"},
				"STATUS": {status + "\nOK done"}})})
			c := inClear(s)
			defer c.Close()
			if got, err := c.Folder("a").Status(limited(t)); !errors.Is(err, imapkit.ErrProtocol) {
				t.Errorf("%q: Status: %+v, %v", status, got, err)
			}
			list, err := c.FoldersStatus(limited(t), "")
			if err != nil || len(list) != 1 || !errors.Is(list[0].Err, imapkit.ErrProtocol) {
				t.Errorf("%q: FoldersStatus: %+v, %v", status, list, err)
			}
			if _, err := c.Folder("INBOX").Search(limited(t), imapkit.All()); err != nil || s.Conns() != 1 {
				t.Errorf("%q: the next call: %v, %d connections", status, err, s.Conns())
			}
		}
	}
}

func TestAThrottlingServerIsAskedAgainWhenItsTimeHasPassed(t *testing.T) {
	const refusal = "NO Request is throttled. Suggested Backoff Time: %d milliseconds"
	one := []imap.UID{101}
	t.Run("in time", func(t *testing.T) {
		s := scripted.Serve(t, scripted.Options{Exists: 3, Handle: answers(map[string][]string{
			"UID COPY": {fmt.Sprintf(refusal, 40), "OK done"}})})
		c := inClear(s)
		defer c.Close()
		began := time.Now()
		if _, err := c.Folder("INBOX").Copy(limited(t), one, "x"); err != nil {
			t.Error(err)
		}
		if d := time.Since(began); d < 40*time.Millisecond {
			t.Errorf("it was asked again after %v", d)
		}
		checkCommands(t, s, `UID COPY 101 "x"`, `UID COPY 101 "x"`)
	})
	t.Run("too late", func(t *testing.T) {
		s := scripted.Serve(t, scripted.Options{Exists: 3, Handle: answers(map[string][]string{
			"UID STORE": {fmt.Sprintf(refusal, 299961)}})})
		c := inClear(s)
		defer c.Close()
		err := c.Folder("INBOX").AddFlags(limited(t), one, imap.FlagSeen)
		var throttled *imapkit.ThrottledError
		if !errors.As(err, &throttled) || throttled.Wait != 299961*time.Millisecond || !strings.Contains(err.Error(), "4m59.961s") {
			t.Errorf("error %v", err)
		}
		checkCommands(t, s, `UID STORE 101 +FLAGS.SILENT (\Seen)`)
	})
	t.Run("after a copy was made", func(t *testing.T) {
		s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 UIDPLUS", Exists: 3, Handle: answers(map[string][]string{
			"UID STORE": {fmt.Sprintf(refusal, 1)}})})
		c := inClear(s)
		defer c.Close()
		_, err := c.Folder("INBOX").Move(limited(t), one, "x")
		if !errors.As(err, new(*imapkit.ThrottledError)) {
			t.Errorf("error %v", err)
		}
		checkCommands(t, s, `UID COPY 101 "x"`, `UID STORE 101 +FLAGS.SILENT (\Deleted)`)
	})
}

func TestAFolderThatWasRenamedIsOpenedAnew(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 UNSELECT", Exists: 3})
	c := inClear(s)
	defer c.Close()
	if _, err := c.Select(limited(t), "a"); err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteFolder(limited(t), "b"); err != nil {
		t.Fatal(err)
	}
	if err := c.RenameFolder(limited(t), "a", "c"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Folder("a").Count(limited(t), imapkit.All()); err != nil {
		t.Fatal(err)
	}
	want := []string{`SELECT "a"`, `DELETE "b"`, "UNSELECT", `RENAME "a" "c"`, `SELECT "a"`}
	var got []string
	for _, cmd := range s.Commands() {
		for _, known := range want {
			if cmd == known {
				got = append(got, cmd)
				break
			}
		}
	}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNamesThatCannotBeDecodedAddressTheirFolderInEveryCommand(t *testing.T) {
	const message = "Subject: x\r\n\r\nx\r\n"
	one := []imap.UID{101}
	send := func(f *imapkit.Folder) error {
		_, err := f.Append(limited(t), strings.NewReader(message), int64(len(message)), imapkit.AppendOptions{})
		return err
	}
	commands := map[string]func(*imapkit.Client, string) error{
		"SELECT":                 func(c *imapkit.Client, name string) error { _, err := c.Select(limited(t), name); return err },
		"LIST":                   func(c *imapkit.Client, name string) error { _, err := c.Folders(limited(t), name); return err },
		"STATUS":                 func(c *imapkit.Client, name string) error { _, err := c.Folder(name).Status(limited(t)); return err },
		"CREATE":                 func(c *imapkit.Client, name string) error { return c.CreateFolder(limited(t), name) },
		"DELETE":                 func(c *imapkit.Client, name string) error { return c.DeleteFolder(limited(t), name) },
		"RENAME":                 func(c *imapkit.Client, name string) error { return c.RenameFolder(limited(t), name, "x") },
		"RENAME by its new name": func(c *imapkit.Client, name string) error { return c.RenameFolder(limited(t), "x", name) },
		"SUBSCRIBE":              func(c *imapkit.Client, name string) error { return c.Subscribe(limited(t), name) },
		"UNSUBSCRIBE":            func(c *imapkit.Client, name string) error { return c.Unsubscribe(limited(t), name) },
		"APPEND":                 func(c *imapkit.Client, name string) error { return send(c.Folder(name)) },
		"GETQUOTAROOT":           func(c *imapkit.Client, name string) error { _, err := c.Folder(name).Quota(limited(t)); return err },
		"MYRIGHTS":               func(c *imapkit.Client, name string) error { _, err := c.Folder(name).Rights(limited(t)); return err },
		"GETACL":                 func(c *imapkit.Client, name string) error { _, err := c.Folder(name).ACL(limited(t)); return err },
		"SETACL": func(c *imapkit.Client, name string) error {
			return c.Folder(name).SetACL(limited(t), "bob", imap.RightModificationAdd, imap.RightSet("l"))
		},
		"GETMETADATA": func(c *imapkit.Client, name string) error {
			_, err := c.Folder(name).Metadata(limited(t), "/private/comment")
			return err
		},
		"SETMETADATA": func(c *imapkit.Client, name string) error {
			return c.Folder(name).SetMetadata(limited(t), "/private/comment", nil)
		},
		"UID COPY": func(c *imapkit.Client, name string) error {
			_, err := c.Folder("INBOX").Copy(limited(t), one, name)
			return err
		},
		"UID MOVE": func(c *imapkit.Client, name string) error {
			_, err := c.Folder("INBOX").Move(limited(t), one, name)
			return err
		},
		"SELECT by Do": func(c *imapkit.Client, name string) error {
			return c.Do(limited(t), name, func(*imapclient.Client) error { return nil })
		},
	}
	ok := map[string][]string{"MYRIGHTS": {"* MYRIGHTS x lrs\nOK done"}, "GETACL": {"* ACL x bob l\nOK done"}}
	for _, verb := range []string{"GETQUOTAROOT", "SETACL", "GETMETADATA", "SETMETADATA"} {
		ok[verb] = []string{"OK done"}
	}
	// What one server spells as nobody would, and what another folder is called that would have the same name.
	for _, list := range [][]string{{"caf\xe9"}, {"R&D"}, {"a&AGE-b"}, {"&Jjo!"}, {"R&D", "R&-D"}, {"R&-D", "R&D"}, {"&-AGE-b", "&AGE-b"}} {
		for command, run := range commands {
			ok["LIST"] = []string{`* LIST () "/" "` + strings.Join(list, "\"\n* LIST () \"/\" \"") + "\"\nOK done"}
			s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 LITERAL+ MOVE QUOTA ACL METADATA", Exists: 1, Handle: answers(ok)})
			c := inClear(s)
			folders, err := c.Folders(limited(t), "")
			if err != nil || len(folders) != len(list) {
				t.Fatalf("%q: %+v, %v", list, folders, err)
			}
			for i, raw := range list {
				if err := run(c, folders[i].Name); err != nil {
					t.Errorf("%s %q: %v", command, folders[i].Name, err)
				}
				command, _, _ := strings.Cut(command, " by ")
				sent := s.Commands()
				last := sent[len(sent)-1]
				quoted, literal := `"`+raw+`"`, fmt.Sprintf("{%d+}\r\n%s", len(raw), raw)
				if !strings.HasPrefix(last, command+" ") || !strings.Contains(last, quoted) && !strings.Contains(last, literal) {
					t.Errorf("%s did not use %q: %q", command, raw, sent)
				}
			}
			c.Close()
		}
	}
}
