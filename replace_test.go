package imapkit_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/imapkittest"
	"github.com/imapkit/imapkit/internal/scripted"
)

func replace(t *testing.T, f *imapkit.Folder, uid imap.UID, msg string) (imap.UID, error) {
	t.Helper()
	return f.Replace(limited(t), uid, strings.NewReader(msg), int64(len(msg)), imapkit.AppendOptions{Flags: []imap.Flag{imap.FlagDraft}})
}

func TestReplaceTakesItsStepsOneByOne(t *testing.T) {
	draft := fmt.Sprintf(" (\\Draft) {%d+}\r\n%s", len(letter), letter)
	const (
		look   = "UID FETCH 101 (UID)"
		mark   = `UID STORE 101 +FLAGS.SILENT (\Deleted)`
		remove = "UID EXPUNGE 101"
		there  = "* 1 FETCH (UID 101)\nOK done"
	)
	add := "APPEND INBOX" + draft
	swap := "UID REPLACE 101 INBOX" + draft
	type script = map[string][]string
	tests := []struct {
		name    string
		caps    string
		answers script
		want    []string
		uid     imap.UID
		err     string // a part of the error; empty: none
	}{
		{"REPLACE", "UIDPLUS REPLACE",
			script{"UID REPLACE": {"* OK [APPENDUID 1700000000 102] made\n* 1 EXPUNGE\nOK done"}}, []string{swap}, 102, ""},
		{"REPLACE that tells at the end", "UIDPLUS REPLACE",
			script{"UID REPLACE": {"* 1 EXPUNGE\nOK [APPENDUID 1700000000 102] done"}}, []string{swap}, 102, ""},
		{"REPLACE that does not tell", "REPLACE", script{"UID REPLACE": {"OK done"}}, []string{swap}, 0, ""},
		{"REPLACE refused", "UIDPLUS REPLACE", script{"UID REPLACE": {"NO [OVERQUOTA] full"}}, []string{swap}, 0, "full"},
		{"without REPLACE", "UIDPLUS", script{"UID FETCH": {there}, "APPEND": {"OK [APPENDUID 1700000000 102] done"}},
			[]string{look, add, mark, remove}, 102, ""},
		{"without REPLACE and UIDPLUS", "", script{"UID FETCH": {there}, "UID SEARCH": {"* SEARCH 105\nOK done", "* SEARCH\nOK done"}},
			[]string{look, add, "NOOP", "UID SEARCH DELETED", `UID STORE 105 -FLAGS.SILENT (\Deleted)`,
				"UID SEARCH DELETED", mark, "EXPUNGE", `UID STORE 105 +FLAGS.SILENT (\Deleted)`}, 0, ""},
		{"nothing to replace", "UIDPLUS", script{"UID FETCH": {"OK done"}}, []string{look}, 0, "UID 101 in INBOX"},
		{"another message comes instead", "UIDPLUS", script{"UID FETCH": {"* 1 FETCH (UID 100)\nOK done"}}, []string{look}, 0,
			"UID 101 in INBOX"},
		{"looking refused", "UIDPLUS", script{"UID FETCH": {"NO no"}}, []string{look}, 0, "FETCH with NO"},
		{"nothing can be removed", "UIDPLUS", script{"UID FETCH": {there},
			"SELECT": {"* OK [UIDVALIDITY 1700000000] ok\nOK [READ-ONLY] done"}}, []string{look}, 0, "read-only"},
		{"adding refused", "UIDPLUS", script{"UID FETCH": {there}, "APPEND": {"NO [OVERQUOTA] full"}},
			[]string{look, add}, 0, "UID 101 was kept"},
		{"marking refused", "UIDPLUS",
			script{"UID FETCH": {there}, "APPEND": {"OK [APPENDUID 1700000000 102] done"}, "UID STORE": {"NO no"}},
			[]string{look, add, mark}, 102, "the new message is in INBOX, but removing UID 101"},
		{"removing refused", "UIDPLUS",
			script{"UID FETCH": {there}, "APPEND": {"OK [APPENDUID 1700000000 102] done"}, "UID EXPUNGE": {"NO no"}},
			[]string{look, add, mark, remove}, 102, "the new message is in INBOX, but removing UID 101"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 LITERAL+ " + tt.caps, Exists: 1, Handle: answers(tt.answers)})
			c := inClear(s)
			defer c.Close()
			uid, err := replace(t, c.Folder("INBOX"), 101, letter)
			if uid != tt.uid || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("UID %d, error %v", uid, err)
			}
			if tt.err == "UID 101 in INBOX" && !errors.Is(err, imapkit.ErrNotFound) {
				t.Errorf("error %v", err)
			}
			checkCommands(t, s, tt.want...)
		})
	}
}

func TestReplaceLooksForWhatIsNewInAnOpenFolder(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 UIDPLUS", Exists: 1})
	c := inClear(s)
	defer c.Close()
	f, err := c.Select(limited(t), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := replace(t, f, 101, letter); err != nil {
		t.Fatal(err)
	}
	if got := work(s); len(got) < 2 || got[0] != "NOOP" || got[1] != "UID FETCH 101 (UID)" {
		t.Errorf("commands %q", got)
	}
}

func TestReplaceOverABrokenConnection(t *testing.T) {
	tests := []struct {
		name  string
		caps  string
		cut   string // the command that is not answered
		after string // what a search finds afterwards: the message with the Message-ID, and 101
		uid   imap.UID
		err   string // a part of the error; empty: none
		sent  int    // times that the message was sent
	}{
		{"REPLACE, done", "REPLACE", "UID REPLACE", "102 -", 102, "", 1},
		{"REPLACE, not done", "REPLACE", "UID REPLACE", "101 101", 0, "it is not in INBOX so far", 1},
		{"REPLACE, half done", "REPLACE", "UID REPLACE", "101 102 101", 102, "the old one as well so far", 1},
		{"REPLACE, both gone", "REPLACE", "UID REPLACE", "- -", 0, "it is not in INBOX so far", 1},
		{"APPEND, done", "UIDPLUS", "APPEND", "101 102 101", 102, "", 1},
		{"APPEND, not done", "UIDPLUS", "APPEND", "101 101", 0, "UID 101 was kept", 1},
		{"marking", "UIDPLUS", "UID STORE", "- 101", 102, "the new message is in INBOX, but removing UID 101", 1},
		{"removing", "UIDPLUS", "UID EXPUNGE", "- 101", 102, "the new message is in INBOX, but removing UID 101", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			scripted.LeakCheck(t)
			last := strings.LastIndex(tt.after, " ")
			byID, old := tt.after[:last], tt.after[last+1:]
			find := func(list string) string { return strings.TrimRight("* SEARCH "+strings.Trim(list, "-"), " ") }
			handle := map[string]func(*scripted.Conn, scripted.Command){
				"APPEND": func(c *scripted.Conn, cmd scripted.Command) { c.OK(cmd.Tag, "[APPENDUID 1700000000 102] done") },
				"UID SEARCH": func(c *scripted.Conn, cmd scripted.Command) {
					if strings.Contains(cmd.Args, "HEADER") {
						c.Send(find(byID))
					} else {
						c.Send(find(old))
					}
					c.OK(cmd.Tag, "done")
				},
				"SELECT": func(c *scripted.Conn, cmd scripted.Command) { // without UIDNEXT
					c.Send("* 1 EXISTS", "* OK [UIDVALIDITY 1700000000] ok", cmd.Tag+" OK [READ-WRITE] done")
				},
			}
			handle[tt.cut] = func(c *scripted.Conn, cmd scripted.Command) {
				if c.Num == 1 {
					c.Reset()
				} else {
					c.OK(cmd.Tag, "done")
				}
			}
			s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 LITERAL+ " + tt.caps, Exists: 1, Handle: handle})
			c := inClear(s)
			defer c.Close()
			uid, err := replace(t, c.Folder("INBOX"), 101, letter)
			if uid != tt.uid || (err == nil) != (tt.err == "") ||
				err != nil && (!errors.Is(err, imapkit.ErrUnknownOutcome) || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("UID %d, error %v", uid, err)
			}
			sent := 0
			for _, cmd := range s.Commands() {
				if strings.HasPrefix(cmd, "APPEND") || strings.HasPrefix(cmd, "UID REPLACE") {
					sent++
				}
			}
			if sent != tt.sent {
				t.Errorf("the message was sent %d times", sent)
			}
		})
	}
}

func TestReplaceWithABadReaderChangesNothing(t *testing.T) {
	for _, caps := range []string{"REPLACE", "UIDPLUS"} {
		for _, size := range []int64{10, 200_000} {
			s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 LITERAL+ " + caps, Exists: 1})
			c := inClear(s)
			text := strings.Repeat("x", int(size-1))
			if _, err := c.Folder("INBOX").Replace(limited(t), 101, strings.NewReader(text), size, imapkit.AppendOptions{}); err == nil ||
				errors.Is(err, imapkit.ErrUnknownOutcome) {
				t.Errorf("%s, %d bytes: %v", caps, size, err)
			}
			for _, cmd := range work(s) {
				if cmd != "UID FETCH 101 (UID)" {
					t.Errorf("%s, %d bytes: sent %.100q", caps, size, cmd)
				}
			}
			c.Close()
		}
	}
}

func TestReplaceIsRefusedLocally(t *testing.T) {
	c := &imapkit.Client{Host: "192.0.2.1", Username: "user"}
	if _, err := replace(t, c.Folder("INBOX"), 0, letter); err == nil || !strings.Contains(err.Error(), "UID 0") {
		t.Errorf("error %v", err)
	}
	if _, err := c.Folder("INBOX").Replace(limited(t), 1, nil, 0, imapkit.AppendOptions{}); err == nil {
		t.Error("no message, no error")
	}
	readOnly := &imapkit.Client{Host: "192.0.2.1", Username: "user", ReadOnly: true}
	if _, err := replace(t, readOnly.Folder("INBOX"), 1, letter); !errors.Is(err, imapkit.ErrReadOnly) {
		t.Errorf("error %v", err)
	}
}

func TestReplaceOfAMessageWithUTF8InTheHeader(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 ENABLE UNSELECT UTF8=ACCEPT REPLACE", Exists: 1,
		Handle: answers(map[string][]string{"UID REPLACE": {"OK done"}})})
	c := inClear(s)
	defer c.Close()
	f, err := c.Select(limited(t), "Entwürfe")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := replace(t, f, 101, greetings); err != nil {
		t.Error(err)
	}
	checkAll(t, s, `SELECT "Entw&APw-rfe"`, "UNSELECT", "ENABLE UTF8=ACCEPT", `SELECT "Entwürfe"`,
		fmt.Sprintf("UID REPLACE 101 \"Entwürfe\" (\\Draft) UTF8 (~{%d}\r\n%s)", len(greetings), greetings))
}

// replaceDrafts saves a draft again twice beside other messages.
func replaceDrafts(t *testing.T, c *imapkit.Client, folder string, settle func()) {
	t.Helper()
	f, err := c.Select(limited(t), folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "draft", "two"} {
		settle()
		if _, err := add(t, f, letterNamed(name)); err != nil {
			t.Fatal(err)
		}
	}
	find := func(name string) []imap.UID {
		uids, err := f.Search(limited(t), imapkit.Header("Message-ID", "<"+name+"@example.org>"))
		if err != nil {
			t.Fatal(err)
		}
		return uids
	}
	settle()
	first := find("draft")
	for i := range 2 {
		uids := find("draft")
		if len(uids) != 1 {
			t.Fatalf("%d drafts", len(uids))
		}
		text := letterNamed("draft") + strings.Repeat("A line more.\r\n", i+1)
		made, err := f.Replace(limited(t), uids[0], strings.NewReader(text), int64(len(text)), imapkit.AppendOptions{})
		if err != nil {
			t.Fatal(err)
		}
		settle()
		now := find("draft")
		if len(now) != 1 || now[0] == uids[0] || made != 0 && made != now[0] {
			t.Fatalf("UID %d became %v, told %d", uids[0], now, made)
		}
		m, err := f.Fetch(limited(t), now[0])
		if err != nil || string(m.Raw) != text {
			t.Errorf("it holds %q, %v", m.Raw, err)
		}
	}
	// Mailutils answers BAD where there is no message with the UID.
	if _, err := replace(t, f, first[0], letterNamed("draft")); !errors.Is(err, imapkit.ErrNotFound) &&
		(err == nil || !strings.Contains(err.Error(), "Failed to parse message set")) {
		t.Errorf("the draft that was replaced before: %v", err)
	}
	if len(find("one")) != 1 || len(find("two")) != 1 || len(find("draft")) != 1 {
		t.Error("other messages were touched")
	}
}

func TestReplaceOnTheMemoryServer(t *testing.T) {
	for _, without := range [][]imap.Cap{nil, {imap.CapUIDPlus}} {
		server, err := imapkittest.NewServer(imapkittest.Options{Without: without})
		if err != nil {
			t.Fatal(err)
		}
		c := server.Client()
		replaceDrafts(t, c, "Drafts", func() {})
		c.Close()
		server.Close()
	}
}

func TestReplaceOnRealServers(t *testing.T) {
	for name, start := range realServers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := clientFor(start(t), imapkit.SecurityNone)
			defer c.Close()
			replaceDrafts(t, c, "INBOX", func() {
				if name == "Mailutils" { // which looks at a Maildir once a second
					time.Sleep(1100 * time.Millisecond)
				}
			})
		})
	}
}
