package wire

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/recorded"
)

// overhear runs a command, under the tag A1, that gets the recorded response,
// and offers each untagged response to on. What ends the session is an error,
// unless the server said BYE.
func overhear(t *testing.T, c recorded.Case, on func(*Response)) (*Conn, *Command) {
	t.Helper()
	conn := said(string(c.Response) + "A1 OK done\r\n")
	cmd := underA1(conn.Command(c.Command))
	cmd.On = func(r *Response) bool {
		on(r)
		return false
	}
	if err := conn.Run(cmd); err != nil && conn.Bye() == nil {
		t.Fatalf("%s: the session ended: %v", c.Name, err)
	}
	return conn, cmd
}

func eachRecorded(t *testing.T, test func(*testing.T, recorded.Case, recorded.Want)) {
	cases, err := recorded.Load("../../testdata/responses")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		want, err := c.Decode()
		if err != nil {
			t.Fatal(err)
		}
		t.Run(c.Name, func(t *testing.T) { test(t, c, want) })
	}
}

func TestRecordedFolderLists(t *testing.T) {
	eachRecorded(t, func(t *testing.T, c recorded.Case, want recorded.Want) {
		lists := want.Lists
		if want.List != nil {
			lists = []recorded.List{*want.List}
		}
		if lists == nil && c.Name != "list-without-name" {
			return
		}
		var got []ListEntry
		overhear(t, c, func(r *Response) {
			if entry, ok := r.List(new(Names), false); ok {
				got = append(got, entry)
			}
		})
		if len(got) != len(lists) {
			t.Fatalf("%d folders, want %d", len(got), len(lists))
		}
		for i, w := range lists {
			delim := ""
			if got[i].Delim != 0 {
				delim = string(got[i].Delim)
			}
			if w.Name != nil && got[i].Name != *w.Name || w.Delim != nil && delim != *w.Delim {
				t.Errorf("got %q with delimiter %q", got[i].Name, delim)
			}
			if attrs := attrNames(got[i].Attrs); w.Attrs != nil && !strings.EqualFold(attrs, strings.Join(w.Attrs, " ")) {
				t.Errorf("attributes %s", attrs)
			}
		}
	})
}

func attrNames(attrs []imap.MailboxAttr) string {
	var names []string
	for _, a := range attrs {
		names = append(names, string(a))
	}
	return strings.Join(names, " ")
}

func TestRecordedStatus(t *testing.T) {
	eachRecorded(t, func(t *testing.T, c recorded.Case, want recorded.Want) {
		if want.Status == nil {
			return
		}
		var got *MailboxStatus
		overhear(t, c, func(r *Response) {
			if status, ok := r.MailboxStatus(new(Names), false); ok {
				got = &status
			}
		})
		if got == nil {
			t.Fatal("no status")
		}
		for key, value := range want.Status {
			if figure := statusFigure(t, got, key); figure != string(value) {
				t.Errorf("%s: got %s, want %s", key, figure, value)
			}
		}
	})
}

// statusFigure returns an item as JSON, or "none".
func statusFigure(t *testing.T, s *MailboxStatus, key string) string {
	t.Helper()
	var item StatusItems
	var value any
	switch key {
	case "name":
		name, err := json.Marshal(s.Name)
		if err != nil {
			t.Fatal(err)
		}
		return string(name)
	case "messages":
		item, value = StatusMessages, s.Messages
	case "recent":
		item, value = StatusRecent, s.Recent
	case "unseen":
		item, value = StatusUnseen, s.Unseen
	case "uidnext":
		item, value = StatusUIDNext, s.UIDNext
	case "uidvalidity":
		item, value = StatusUIDValidity, s.UIDValidity
	case "highestmodseq":
		item, value = StatusHighestModSeq, s.HighestModSeq
	case "size":
		item, value = StatusSize, s.Size
	default:
		t.Fatalf("the corpus has an item %q", key)
	}
	if s.Items&item == 0 {
		return "none"
	}
	return fmt.Sprint(value)
}

func TestFolderAttributesInTheirUsualSpelling(t *testing.T) {
	for _, tt := range []struct{ sent, want string }{
		{`(\AllMail)`, `\All`},
		{`(\Starred \Spam)`, `\Flagged \Junk`},
		{`(\HASNOCHILDREN \noselect)`, `\HasNoChildren \Noselect`},
		{`(HasNoChildren)`, `\HasNoChildren`},
		{`(\Junk \Spam \ )`, `\Junk`},
		{`(\X-Own)`, `\X-Own`},
		{`NIL`, ``},
	} {
		entry := listed(t, tt.sent+` "/" a`)
		if got := attrNames(entry.Attrs); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.sent, got, tt.want)
		}
	}
}

func listed(t *testing.T, line string) (entry ListEntry) {
	t.Helper()
	conn := said("* LIST " + line + "\r\nk1 OK done\r\n")
	found := false
	cmd := conn.Command("LIST")
	cmd.On = func(r *Response) bool {
		entry, found = r.List(new(Names), false)
		return true
	}
	if err := conn.Run(cmd); err != nil || !found {
		t.Fatalf("%s: no folder, %v", line, err)
	}
	return entry
}

func TestARenamedFolderHasItsOldName(t *testing.T) {
	entry := listed(t, `() "/" "new" ("CHILDINFO" ("SUBSCRIBED") "OLDNAME" ("&AOQ-"))`)
	if entry.Name != "new" || entry.OldName != "ä" {
		t.Errorf("got %+v", entry)
	}
}

func TestFolderNamesWhoseQuotesAreNotEscaped(t *testing.T) {
	for _, tt := range []struct{ sent, want string }{
		{`"a"b"`, `a"b`},
		{`"a"b" ("OLDNAME" ("c"))`, `a"b`},
		{`"ends with\"`, `ends with\`},
		{`never closed"`, `never closed"`},
	} {
		if entry := listed(t, `() "/" `+tt.sent); entry.Name != tt.want {
			t.Errorf("%s: got %s, want %s", tt.sent, entry.Name, tt.want)
		}
	}
}

func TestStatusOfFoldersWhoseNamesHaveParentheses(t *testing.T) {
	for _, tt := range []struct{ sent, name string }{
		{`a (MESSAGES 3)`, "a"},
		{`a (b) (MESSAGES 3)`, "a (b)"},
		{`a (b c) d (MESSAGES 3)`, "a (b c) d"},
		{`a(b (MESSAGES 3)`, "a(b"},
		{`a (MESSAGES 3 MAILBOXID (F1))`, "a"},
		{`"a (b c)" (MESSAGES 3)`, "a (b c)"},
		{`"a" (b c)" (MESSAGES 3)`, `a" (b c)`},
		{`"a\"b" (MESSAGES 3)`, `a"b`},
		{"{9}\r\n(MSN 1) b (MESSAGES 3)", "(MSN 1) b"},
		{`a (MESSAGES 3 UNSEEN)`, "a"},
		{`a (MESSAGES 3`, "a"},
	} {
		conn := said("* STATUS " + tt.sent + "\r\nk1 OK done\r\n")
		var got MailboxStatus
		cmd := conn.Command("STATUS")
		cmd.On = func(r *Response) (ok bool) {
			got, ok = r.MailboxStatus(new(Names), false)
			return ok
		}
		if err := conn.Run(cmd); err != nil {
			t.Fatal(err)
		}
		if got.Name != tt.name || got.Messages != 3 {
			t.Errorf("%s: got %q with %d messages, want %q with 3", tt.sent, got.Name, got.Messages, tt.name)
		}
	}
}

func TestStatusHasOnlyWhatTheServerSaid(t *testing.T) {
	conn := said("* STATUS a (MESSAGES 3 UIDNEXT 0 MAILBOXID (F1) APPENDLIMIT NIL DELETED 1)\r\nk1 OK done\r\n")
	var got MailboxStatus
	cmd := conn.Command("STATUS")
	cmd.On = func(r *Response) (ok bool) {
		got, ok = r.MailboxStatus(new(Names), false)
		return ok
	}
	if err := conn.Run(cmd); err != nil {
		t.Fatal(err)
	}
	want := MailboxStatus{Name: "a", Messages: 3, Deleted: 1, MailboxID: "F1"}
	want.Items = StatusMessages | StatusMailboxID | StatusDeleted
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestRecordedCapabilities(t *testing.T) {
	eachRecorded(t, func(t *testing.T, c recorded.Case, want recorded.Want) {
		if want.Caps == nil || c.Command == "connect" {
			return
		}
		conn, _ := overhear(t, c, func(*Response) {})
		for _, name := range want.Caps {
			if !conn.Caps().Has(canonicalCap(name)) {
				t.Errorf("%s is missing", name)
			}
		}
		if len(conn.Caps()) != len(want.Caps) {
			t.Errorf("got %v", conn.Caps())
		}
	})
}

func TestRecordedGreetings(t *testing.T) {
	eachRecorded(t, func(t *testing.T, c recorded.Case, want recorded.Want) {
		if c.Command != "connect" {
			return
		}
		const next = "the next one"
		conn := said(string(c.Response) + "* OK " + next + "\r\n")
		got, err := conn.Greeting()
		if err != nil {
			t.Fatal(err)
		}
		if want.Skipped != (got.Text == next) {
			t.Errorf("greeting %q", got.Text)
		}
		for _, v := range []struct {
			want *string
			got  string
		}{{want.Type, got.Type}, {want.Code, got.Code}, {want.Text, got.Text}} {
			if v.want != nil && *v.want != v.got {
				t.Errorf("got %q, want %q", v.got, *v.want)
			}
		}
		for _, name := range want.Caps {
			if !conn.Caps().Has(canonicalCap(name)) {
				t.Errorf("capability %s is missing", name)
			}
		}
	})
}

// TestRecordedUnaskedResponses checks that what comes unasked, of untagged
// status responses too, is offered to the command under way.
func TestRecordedUnaskedResponses(t *testing.T) {
	eachRecorded(t, func(t *testing.T, c recorded.Case, want recorded.Want) {
		if c.Command == "connect" || c.Command == "UID FETCH" || c.BrokenLiteral {
			return
		}
		var exists, expunged []uint32
		var status []Status
		_, cmd := overhear(t, c, func(r *Response) {
			switch {
			case r.Name == "EXISTS" && r.HasNum:
				exists = append(exists, r.Num)
			case r.Name == "EXPUNGE" && r.HasNum && r.Num > 0:
				expunged = append(expunged, r.Num)
			case r.Status.Type != "":
				status = append(status, r.Status)
			}
		})
		status = append(status, cmd.Status)
		if want.Exists != nil && (len(exists) == 0 || exists[len(exists)-1] != *want.Exists) {
			t.Errorf("EXISTS %d, want %d", exists, *want.Exists)
		}
		if want.Expunge != nil && !slices.Equal(expunged, want.Expunge) {
			t.Errorf("EXPUNGE %d, want %d", expunged, want.Expunge)
		}
		if want.Type != nil && !slices.ContainsFunc(status, func(s Status) bool {
			return s.Type == *want.Type && (want.Code == nil || s.Code == *want.Code) &&
				(want.Text == nil || s.Text == *want.Text)
		}) {
			t.Errorf("status responses %q", status)
		}
		if want.Skipped && (exists != nil || expunged != nil) {
			t.Errorf("it should have no effect: EXISTS %d, EXPUNGE %d", exists, expunged)
		}
	})
}
