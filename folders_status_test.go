package imapkit_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

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
			"a 0 false imapkit: server broke the protocol: STATUS of a was answered with OK only"},
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

func TestNamesThatCannotBeDecodedStillAddressTheirFolder(t *testing.T) {
	for _, raw := range []string{"caf\xe9", "R&D", "a&AGE-b", "&Jjo!"} {
		s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 LITERAL+", Exists: 1, Handle: answers(map[string][]string{
			"LIST": {"* LIST () \"/\" \"" + raw + "\"\nOK done"}})})
		c := inClear(s)
		list, err := c.Folders(limited(t), "")
		if err != nil || len(list) != 1 {
			t.Fatalf("%q: %v, %v", raw, list, err)
		}
		name := list[0].Name
		if _, err := c.Select(limited(t), name); err != nil {
			t.Errorf("Select %q: %v", name, err)
		}
		if err := c.RenameFolder(limited(t), name, "new"); err != nil {
			t.Errorf("RenameFolder %q: %v", name, err)
		}
		if err := c.DeleteFolder(limited(t), name); err != nil {
			t.Errorf("DeleteFolder %q: %v", name, err)
		}
		for _, verb := range []string{"SELECT", "RENAME", "DELETE"} {
			found := false
			for _, cmd := range s.Commands() {
				found = found || strings.HasPrefix(cmd, verb) && strings.Contains(cmd, raw)
			}
			if !found {
				t.Errorf("%s did not use %q: %q", verb, raw, s.Commands())
			}
		}
		c.Close()
	}
}
