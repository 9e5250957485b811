package imapkit_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

// answers makes handlers that give each command its answers in turn, the last
// one again and again. The tag is put before the last line of an answer, unless
// that is "cut".
func answers(lists map[string][]string) map[string]func(*scripted.Conn, scripted.Command) {
	handle := make(map[string]func(*scripted.Conn, scripted.Command))
	for name, list := range lists {
		handle[name] = func(c *scripted.Conn, cmd scripted.Command) {
			answer := list[0]
			if len(list) > 1 {
				list = list[1:]
			}
			if answer == "cut" {
				c.Reset()
				return
			}
			lines := strings.Split(answer, "\n")
			if lines[len(lines)-1] == "cut" {
				c.Send(lines[:len(lines)-1]...)
				c.Close()
				return
			}
			lines[len(lines)-1] = cmd.Tag + " " + lines[len(lines)-1]
			c.Send(lines...)
		}
	}
	return handle
}

// work returns the commands behind those that open connections and folders.
func work(s *scripted.Server) []string {
	return slices.DeleteFunc(s.Commands(), func(cmd string) bool {
		name, _, _ := strings.Cut(cmd, " ")
		return slices.Contains([]string{"CAPABILITY", "LOGIN", "AUTHENTICATE", "SELECT", "LOGOUT", "ID", "ENABLE"}, name)
	})
}

func checkCommands(t *testing.T, s *scripted.Server, want ...string) {
	t.Helper()
	if got := work(s); !slices.Equal(got, want) {
		t.Errorf("commands:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestRemovingTouchesNoOtherMessage(t *testing.T) {
	const (
		mark   = `UID STORE 101:102 +FLAGS.SILENT (\Deleted)`
		search = "UID SEARCH DELETED"
		unmark = `UID STORE 103,105 -FLAGS.SILENT (\Deleted)`
		remark = `UID STORE 103,105 +FLAGS.SILENT (\Deleted)`
		ok     = "OK done"
	)
	type script = map[string][]string
	tests := []struct {
		name    string
		caps    string
		answers script
		want    []string
		err     string // a part of the error; empty: none
	}{
		{"UIDPLUS", "UIDPLUS", nil, []string{mark, "UID EXPUNGE 101:102"}, ""},
		{"UIDPLUS, marking refused", "UIDPLUS", script{"UID STORE": {"NO no"}}, []string{mark}, "STORE with NO"},
		{"UIDPLUS, expunging refused", "UIDPLUS", script{"UID EXPUNGE": {"NO no"}},
			[]string{mark, "UID EXPUNGE 101:102"}, "EXPUNGE with NO"},
		{"UIDPLUS, left marked", "UIDPLUS", script{"UID EXPUNGE": {"NO no"}},
			[]string{mark, "UID EXPUNGE 101:102"}, `marked \Deleted, but not expunged`},
		{"UIDPLUS, cut while marking", "UIDPLUS", script{"UID STORE": {"cut"}}, []string{mark}, "outcome is unknown"},
		{"UIDPLUS, cut while expunging", "UIDPLUS", script{"UID EXPUNGE": {"cut"}},
			[]string{mark, "UID EXPUNGE 101:102"}, `marked \Deleted, and may or may not have been expunged`},
		{"none else marked", "", script{"UID SEARCH": {"* SEARCH\nOK done"}}, []string{search, mark, "EXPUNGE"}, ""},
		{"marked already", "", script{"UID SEARCH": {"* SEARCH 101\nOK done"}}, []string{search, mark, "EXPUNGE"}, ""},
		{"others marked", "", script{"UID SEARCH": {"* SEARCH 101 103 105\nOK done", "* SEARCH\nOK done"}},
			[]string{search, unmark, search, mark, "EXPUNGE", remark}, ""},
		{"search result capped", "",
			script{"UID SEARCH": {"* SEARCH 103 105\nOK done", "* SEARCH 106\nOK done", "* SEARCH\nOK done"}},
			[]string{search, unmark, search, `UID STORE 106 -FLAGS.SILENT (\Deleted)`, search, mark, "EXPUNGE",
				`UID STORE 103,105:106 +FLAGS.SILENT (\Deleted)`}, ""},
		{"marks that do not go away", "", script{"UID SEARCH": {"* SEARCH 103 105\nOK done"}},
			[]string{search, unmark, search, remark}, "not supported"},
		{"search refused", "", script{"UID SEARCH": {"NO no"}}, []string{search}, "SEARCH with NO"},
		{"unmarking refused", "", script{"UID SEARCH": {"* SEARCH 103 105\nOK done"}, "UID STORE": {"NO no", ok}},
			[]string{search, unmark, remark}, "STORE with NO"},
		{"marking refused", "", script{"UID SEARCH": {"* SEARCH 103 105\nOK done", "* SEARCH\nOK done"},
			"UID STORE": {ok, "NO no", ok}}, []string{search, unmark, search, mark, remark}, "STORE with NO"},
		{"expunging refused", "", script{"UID SEARCH": {"* SEARCH 103 105\nOK done", "* SEARCH\nOK done"},
			"EXPUNGE": {"NO no"}}, []string{search, unmark, search, mark, "EXPUNGE", remark}, "EXPUNGE with NO"},
		{"cut while expunging", "", script{"UID SEARCH": {"* SEARCH 103 105\nOK done", "* SEARCH\nOK done"},
			"EXPUNGE": {"cut"}}, []string{search, unmark, search, mark, "EXPUNGE", remark}, "outcome is unknown"},
		{"marks that cannot be given back", "", script{"UID SEARCH": {"* SEARCH 103 105\nOK done", "* SEARCH\nOK done"},
			"UID STORE": {ok, ok, "NO no"}}, []string{search, unmark, search, mark, "EXPUNGE", remark, remark},
			`have lost their \Deleted mark`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			scripted.LeakCheck(t)
			s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 " + tt.caps, Exists: 9, Handle: answers(tt.answers)})
			c := inClear(s)
			defer c.Close()
			err := c.Folder("INBOX").Delete(limited(t), []imap.UID{102, 101, 102})
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			checkCommands(t, s, tt.want...)
		})
	}
}

func TestMoving(t *testing.T) {
	const (
		move    = "UID MOVE 101:102 Archive"
		cp      = `UID COPY 101:102 "Archive"`
		mark    = `UID STORE 101:102 +FLAGS.SILENT (\Deleted)`
		expunge = "UID EXPUNGE 101:102"
		copied  = "OK [COPYUID 7 101:102 5:6] done"
	)
	type script = map[string][]string
	tests := []struct {
		name    string
		caps    string
		answers script
		moved   imapkit.UIDMap
		want    []string
		err     string
	}{
		{"with MOVE", "MOVE UIDPLUS", script{"UID MOVE": {"* OK [COPYUID 7 101:102 5:6] moved\n* 1 EXPUNGE\nOK done"}},
			imapkit.UIDMap{101: 5, 102: 6}, []string{strings.Replace(move, "Archive", `"Archive"`, 1)}, ""},
		{"refused", "MOVE UIDPLUS", script{"UID MOVE": {"NO [TRYCREATE] no such folder"}}, nil,
			[]string{strings.Replace(move, "Archive", `"Archive"`, 1)}, "[TRYCREATE] no such folder"},
		{"without MOVE", "UIDPLUS", script{"UID COPY": {copied}}, imapkit.UIDMap{101: 5, 102: 6},
			[]string{cp, mark, expunge}, ""},
		{"without a word on the copies", "UIDPLUS", nil, nil, []string{cp, mark, expunge}, ""},
		{"only some copied", "UIDPLUS", script{"UID COPY": {"OK [COPYUID 7 102 6] done"}}, imapkit.UIDMap{102: 6},
			[]string{cp, `UID STORE 102 +FLAGS.SILENT (\Deleted)`, "UID EXPUNGE 102"}, ""},
		{"others copied", "UIDPLUS", script{"UID COPY": {"OK [COPYUID 7 201 6] done"}}, imapkit.UIDMap{201: 6},
			[]string{cp}, "kept in INBOX"},
		{"copies counted wrongly", "UIDPLUS", script{"UID COPY": {"OK [COPYUID 7 101:102 6] done"}}, nil,
			[]string{cp}, "kept in INBOX"},
		{"copy refused", "UIDPLUS", script{"UID COPY": {"NO [OVERQUOTA] full"}}, nil, []string{cp}, "[OVERQUOTA] full"},
		{"cut while copying", "UIDPLUS", script{"UID COPY": {"cut"}}, nil, []string{cp}, "outcome is unknown"},
		{"marking refused", "UIDPLUS", script{"UID COPY": {copied}, "UID STORE": {"NO no"}},
			imapkit.UIDMap{101: 5, 102: 6}, []string{cp, mark}, "were copied to Archive, but not removed from INBOX"},
		{"cut while marking", "UIDPLUS", script{"UID COPY": {copied}, "UID STORE": {"cut"}},
			imapkit.UIDMap{101: 5, 102: 6}, []string{cp, mark}, "were copied to Archive, but not removed from INBOX"},
		{"expunging refused", "UIDPLUS", script{"UID COPY": {copied}, "UID EXPUNGE": {"NO no"}},
			imapkit.UIDMap{101: 5, 102: 6}, []string{cp, mark, expunge}, "were copied to Archive, but not removed from INBOX"},
		{"cut while expunging", "UIDPLUS", script{"UID COPY": {copied}, "UID EXPUNGE": {"cut"}},
			imapkit.UIDMap{101: 5, 102: 6}, []string{cp, mark, expunge},
			"were copied to Archive, and may or may not have been removed from INBOX"},
		{"cut while moving", "MOVE UIDPLUS", script{"UID MOVE": {"* OK [COPYUID 7 101 5] moved\ncut"}}, imapkit.UIDMap{101: 5},
			[]string{strings.Replace(move, "Archive", `"Archive"`, 1)}, "outcome is unknown"},
		{"moved in part", "MOVE UIDPLUS", script{"UID MOVE": {"* OK [COPYUID 7 101 5] moved\n* 1 EXPUNGE\nNO [OVERQUOTA] full"}},
			imapkit.UIDMap{101: 5}, []string{strings.Replace(move, "Archive", `"Archive"`, 1)}, "[OVERQUOTA] full"},
		{"rebuilt while copying", "UIDPLUS", script{"UID COPY": {"* OK [UIDVALIDITY 8] new\n" + copied}},
			imapkit.UIDMap{101: 5, 102: 6}, []string{cp}, "were copied to Archive, but not removed from INBOX: imapkit: the folder's UIDVALIDITY"},
		{"rebuilt while marking", "UIDPLUS", script{"UID COPY": {copied}, "UID STORE": {"* OK [UIDVALIDITY 8] new\nOK done"}},
			imapkit.UIDMap{101: 5, 102: 6}, []string{cp, mark}, "UIDVALIDITY has changed"},
		{"without UIDPLUS, rebuilt while searching", "", script{"UID SEARCH": {"* OK [UIDVALIDITY 8] new\n* SEARCH 109\nOK done"}}, nil,
			[]string{cp, "UID SEARCH DELETED"}, "UIDVALIDITY has changed"},
		{"without UIDPLUS", "", script{"UID SEARCH": {"* SEARCH 109\nOK done", "* SEARCH\nOK done"}}, nil,
			[]string{cp, "UID SEARCH DELETED", `UID STORE 109 -FLAGS.SILENT (\Deleted)`, "UID SEARCH DELETED", mark,
				"EXPUNGE", `UID STORE 109 +FLAGS.SILENT (\Deleted)`}, ""},
		{"where nothing can be removed", "UIDPLUS", script{"SELECT": {
			"* OK [PERMANENTFLAGS (\\Seen)] limited\n* OK [UIDVALIDITY 9] ok\nOK [READ-WRITE] done"}}, nil, nil, "not supported"},
		{"where the server allows to read only", "UIDPLUS", script{"SELECT": {"* OK [UIDVALIDITY 9] ok\nOK [READ-ONLY] done"}},
			nil, nil, "not supported"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			scripted.LeakCheck(t)
			s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 " + tt.caps, Exists: 9, Handle: answers(tt.answers)})
			c := inClear(s)
			defer c.Close()
			moved, err := c.Folder("INBOX").Move(limited(t), []imap.UID{101, 102}, "Archive")
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if !maps.Equal(moved, tt.moved) {
				t.Errorf("moved %v, want %v", moved, tt.moved)
			}
			checkCommands(t, s, tt.want...)
		})
	}
}

func TestWhenALongListFailsTheErrorTellsWhatIsDone(t *testing.T) {
	uids := make([]imap.UID, 4000) // in a line of more than 20,000 bytes
	for i := range uids {
		uids[i] = imap.UID(100_001 + 2*i)
	}
	tests := []struct {
		name, caps, fails string
		call              func(*imapkit.Folder) error
	}{
		{"AddFlags", "", "UID STORE", func(f *imapkit.Folder) error { return f.AddFlags(limited(t), uids, imap.FlagSeen) }},
		{"ChangeFlags", "CONDSTORE", "UID STORE", func(f *imapkit.Folder) error {
			_, err := f.ChangeFlags(limited(t), uids, 7, imapkit.FlagsAdd, imap.FlagSeen)
			return err
		}},
		{"Copy", "", "UID COPY", func(f *imapkit.Folder) error { _, err := f.Copy(limited(t), uids, "x"); return err }},
		{"Move", "MOVE", "UID MOVE", func(f *imapkit.Folder) error { _, err := f.Move(limited(t), uids, "x"); return err }},
		{"Move without MOVE", "UIDPLUS", "UID COPY", func(f *imapkit.Folder) error { _, err := f.Move(limited(t), uids, "x"); return err }},
		{"Delete", "UIDPLUS", "UID EXPUNGE", func(f *imapkit.Folder) error { return f.Delete(limited(t), uids) }},
	}
	for _, tt := range tests {
		for _, answer := range []string{"NO no", "cut"} {
			t.Run(tt.name+" "+answer, func(t *testing.T) {
				s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 " + tt.caps, Exists: 9,
					Handle: answers(map[string][]string{tt.fails: {"OK done", answer}})})
				c := inClear(s)
				defer c.Close()
				err := tt.call(c.Folder("INBOX"))
				var sets []string
				touched := make(map[string]int)
				for _, cmd := range work(s) {
					fields := strings.Fields(cmd)
					touched[fields[1]+" "+fields[2]]++
					if strings.HasPrefix(cmd, tt.fails) {
						sets = append(sets, fields[2])
					}
				}
				if len(sets) != 2 {
					t.Fatalf("%s was sent %d times", tt.fails, len(sets))
				}
				done := sets[0][strings.LastIndex(sets[0], ",")+1:]
				if err == nil || !strings.Contains(err.Error(), "the UIDs up to "+done+" are done") ||
					errors.Is(err, imapkit.ErrUnknownOutcome) != (answer == "cut") {
					t.Errorf("done up to %s, error %v", done, err)
				}
				for what, n := range touched {
					if n > 1 && what[:5] != "STORE" {
						t.Errorf("%.20s was sent %d times", what, n)
					}
				}
			})
		}
	}
}

func TestAChangeThatMayHaveHappenedIsNotRepeated(t *testing.T) {
	one := []imap.UID{101}
	tests := map[string]func(*imapkit.Client, *testing.T) error{
		"UID STORE": func(c *imapkit.Client, t *testing.T) error {
			return c.Folder("INBOX").AddFlags(limited(t), one, imap.FlagSeen)
		},
		"UID COPY": func(c *imapkit.Client, t *testing.T) error {
			_, err := c.Folder("INBOX").Copy(limited(t), one, "Archive")
			return err
		},
		"UID MOVE": func(c *imapkit.Client, t *testing.T) error {
			_, err := c.Folder("INBOX").Move(limited(t), one, "Archive")
			return err
		},
		"CREATE": func(c *imapkit.Client, t *testing.T) error { return c.CreateFolder(limited(t), "x") },
		"DELETE": func(c *imapkit.Client, t *testing.T) error { return c.DeleteFolder(limited(t), "x") },
		"RENAME": func(c *imapkit.Client, t *testing.T) error { return c.RenameFolder(limited(t), "x", "y") },
	}
	for name, call := range tests {
		t.Run(name, func(t *testing.T) {
			s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 UIDPLUS MOVE", Exists: 9,
				Handle: answers(map[string][]string{name: {"cut"}})})
			c := inClear(s)
			defer c.Close()
			if _, err := c.Folder("INBOX").Count(limited(t), imapkit.All()); err != nil { // the connection is not fresh
				t.Fatal(err)
			}
			if err := call(c, t); !errors.Is(err, imapkit.ErrUnknownOutcome) {
				t.Errorf("error %v, want ErrUnknownOutcome", err)
			}
			n := 0
			for _, cmd := range s.Commands() {
				if strings.HasPrefix(cmd, name+" ") {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%s was sent %d times", name, n)
			}
			if _, err := c.Folder("INBOX").Count(limited(t), imapkit.All()); err != nil {
				t.Errorf("the client is of no use afterwards: %v", err)
			}
		})
	}
}

func TestNoNameAddsToACommand(t *testing.T) {
	for _, name := range []string{`a" "b`, `a\`, "a\" \"b\\", "{3}", "a b", "(x)", "é", "*", "%", "&", "~{3}"} {
		s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1", Exists: 1})
		c := inClear(s)
		if _, err := c.Folder("INBOX").Copy(limited(t), []imap.UID{101}, name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if got := work(s); len(got) != 1 || !strings.HasPrefix(got[0], `UID COPY 101 "`) || !strings.HasSuffix(got[0], `"`) {
			t.Errorf("%q: commands %q", name, got)
		}
		c.Close()
	}
	for _, name := range []string{"", "a\r\nb", "a\x00b", "\xff"} {
		s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1", Exists: 1})
		c := inClear(s)
		f := c.Folder(name)
		one := []imap.UID{101}
		calls := map[string]func() error{
			"Copy":         func() error { _, err := c.Folder("INBOX").Copy(limited(t), one, name); return err },
			"Move":         func() error { _, err := c.Folder("INBOX").Move(limited(t), one, name); return err },
			"Select":       func() error { _, err := c.Select(limited(t), name); return err },
			"CreateFolder": func() error { return c.CreateFolder(limited(t), name) },
			"CreateSpecialFolder": func() error {
				return c.CreateSpecialFolder(limited(t), name, imap.MailboxAttrTrash)
			},
			"DeleteFolder": func() error { return c.DeleteFolder(limited(t), name) },
			"RenameFolder": func() error { return c.RenameFolder(limited(t), "a", name) },
			"Subscribe":    func() error { return c.Subscribe(limited(t), name) },
			"Unsubscribe":  func() error { return c.Unsubscribe(limited(t), name) },
			"Status":       func() error { _, err := f.Status(limited(t)); return err },
			"ID":           func() error { _, err := f.ID(limited(t)); return err },
			"AddFlags":     func() error { return f.AddFlags(limited(t), one, imap.FlagSeen) },
			"Delete":       func() error { return f.Delete(limited(t), one) },
			"Trash":        func() error { _, err := f.Trash(limited(t), one); return err },
		}
		for call, run := range calls {
			if err := run(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("folder name %q", name)) {
				t.Errorf("%s %q: %v", call, name, err)
			}
		}
		if n := s.Conns(); n > 0 {
			t.Errorf("%d connections were made for it", n)
		}
		c.Close()
	}
}

func TestEmptyListsDoNothingAndBadUIDsAreRefused(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 1})
	c := inClear(s)
	defer c.Close()
	f := c.Folder("INBOX")
	calls := map[string]func([]imap.UID) error{
		"AddFlags":    func(uids []imap.UID) error { return f.AddFlags(limited(t), uids, imap.FlagSeen) },
		"RemoveFlags": func(uids []imap.UID) error { return f.RemoveFlags(limited(t), uids, imap.FlagSeen) },
		"SetFlags":    func(uids []imap.UID) error { return f.SetFlags(limited(t), uids) },
		"Copy":        func(uids []imap.UID) error { _, err := f.Copy(limited(t), uids, "x"); return err },
		"Move":        func(uids []imap.UID) error { _, err := f.Move(limited(t), uids, "x"); return err },
		"Delete":      func(uids []imap.UID) error { return f.Delete(limited(t), uids) },
		"Undelete":    func(uids []imap.UID) error { return f.Undelete(limited(t), uids) },
	}
	for name, call := range calls {
		if err := call(nil); err != nil {
			t.Errorf("%s of nothing: %v", name, err)
		}
		if err := call([]imap.UID{5, 0}); err == nil || !strings.Contains(err.Error(), "UID 0") {
			t.Errorf("%s of UID 0: %v", name, err)
		}
	}
	if n := s.Conns(); n != 0 {
		t.Errorf("%d connections were made for it", n)
	}
}

func TestTheSameChangesLeaveTheSameMailOnEveryServer(t *testing.T) {
	for name, start := range realServers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			c := clientFor(server, imapkit.SecurityNone)
			defer c.Close()
			ctx := limited(t)
			infos, err := c.Folders(ctx, "")
			if err != nil {
				t.Fatal(err)
			}
			target := "Kept"
			for _, info := range infos {
				if strings.HasPrefix(info.Name, "INBOX.") || name == "Courier" || name == "Cyrus" && info.Delim == '.' {
					target = "INBOX" + string(info.Delim) + "Kept"
				}
			}
			if err := c.CreateFolder(ctx, target); err != nil {
				t.Fatal(err)
			}
			inbox, err := c.Select(ctx, "INBOX") // which makes it (Mailutils)
			if err != nil {
				t.Fatal(err)
			}
			for i := 1; i <= 8; i++ {
				msg := fmt.Sprintf("From: a@example.org\r\nSubject: %d\r\nMessage-ID: <%d@example.org>\r\n\r\n%d\r\n", i, i, i)
				if _, err := inbox.Append(ctx, strings.NewReader(msg), int64(len(msg)), imapkit.AppendOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			c.Close() // Mailutils does not see what comes right after it has opened a folder
			c = clientFor(server, imapkit.SecurityNone)
			defer c.Close()
			inbox = c.Folder("INBOX")
			uids, err := inbox.Search(ctx, imapkit.All())
			if err != nil || len(uids) < 8 {
				t.Fatalf("found %v, %v", uids, err)
			}
			uids = uids[len(uids)-8:]
			steps := []struct {
				name string
				err  error
			}{
				{"AddFlags", inbox.AddFlags(ctx, uids[:1], imap.FlagSeen, imap.FlagFlagged)},
				{"mark", inbox.AddFlags(ctx, uids[7:], imap.FlagDeleted)},
				{"SetFlags", inbox.SetFlags(ctx, uids[1:2], imap.FlagAnswered)},
				{"RemoveFlags", inbox.RemoveFlags(ctx, uids[:1], imap.FlagSeen)},
				{"Delete", inbox.Delete(ctx, uids[2:4])},
			}
			_, err = inbox.Copy(ctx, uids[4:5], target)
			steps = append(steps, struct {
				name string
				err  error
			}{"Copy", err})
			_, err = inbox.Move(ctx, uids[5:7], target)
			steps = append(steps, struct {
				name string
				err  error
			}{"Move", err})
			for _, step := range steps {
				if step.err != nil {
					t.Errorf("%s: %v", step.name, step.err)
				}
			}
			if got, want := contents(t, inbox), `1 \Flagged, 2 \Answered, 5, 8 \Deleted`; got != want {
				t.Errorf("INBOX has %s, want %s", got, want)
			}
			if got, want := contents(t, c.Folder(target)), "5, 6, 7"; got != want {
				t.Errorf("%s has %s, want %s", target, got, want)
			}
		})
	}
}

// contents lists subjects and flags.
func contents(t *testing.T, f *imapkit.Folder) string {
	t.Helper()
	var list []string
	for m, err := range f.Messages(limited(t), imapkit.All(), imapkit.ItemFlags, imapkit.ItemEnvelope) {
		if err != nil {
			t.Fatal(err)
		}
		line := m.Envelope.Subject
		for _, flag := range []imap.Flag{imap.FlagSeen, imap.FlagAnswered, imap.FlagFlagged, imap.FlagDeleted} {
			if slices.Contains(m.Flags, flag) {
				line += " " + string(flag)
			}
		}
		list = append(list, line)
	}
	return strings.Join(list, ", ")
}
