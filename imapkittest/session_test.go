package imapkittest

import (
	"crypto/tls"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

func TestExamineChangesNothing(t *testing.T) {
	w := loggedInWire(t, start(t, Options{}))
	if lines := w.must("EXAMINE INBOX"); !strings.Contains(strings.Join(lines, "\n"), "[PERMANENTFLAGS ()]") {
		t.Errorf("EXAMINE: %q", lines)
	}
	for _, command := range []string{`STORE 8 +FLAGS (\Seen)`, "MOVE 8 Trash"} {
		if lines := w.do(command); !strings.HasPrefix(lines[0], "x NO [READ-ONLY]") {
			t.Errorf("%s: %q", command, lines)
		}
	}
	w.must("FETCH 8 BODY[]")
	if lines := w.must("FETCH 8 FLAGS"); lines[0] != "* 8 FETCH (UID 8 FLAGS ())" {
		t.Errorf("after fetching a body: %q", lines)
	}
	w.must("SELECT INBOX")
	w.must(`STORE 8 +FLAGS.SILENT (\Deleted)`)
	w.must("EXAMINE INBOX")
	w.must("CLOSE")
	if lines := w.must("STATUS INBOX (MESSAGES)"); lines[0] != "* STATUS INBOX (MESSAGES 8)" {
		t.Errorf("after CLOSE: %q", lines)
	}
	w.must("SELECT INBOX")
	w.must("CLOSE")
	if lines := w.must("STATUS INBOX (MESSAGES)"); lines[0] != "* STATUS INBOX (MESSAGES 7)" {
		t.Errorf("after CLOSE of a folder that was selected: %q", lines)
	}
}

func TestMovedMessagesAreAnnouncedOnce(t *testing.T) {
	s := start(t, Options{})
	w, other := loggedInWire(t, s), loggedInWire(t, s)
	w.must("SELECT INBOX")
	other.must("SELECT INBOX")
	got := w.must("UID MOVE 2,4 Trash")
	want := []string{"* OK [COPYUID 7 2,4 2:3] COPY completed", "* 4 EXPUNGE", "* 2 EXPUNGE", "x OK UID MOVE completed"}
	uidValidity := strings.Fields(got[0])[3]
	want[0] = strings.Replace(want[0], "7", uidValidity, 1)
	// A flag change may be announced in between, as it happened.
	got = slices.DeleteFunc(got, func(line string) bool { return strings.Contains(line, "FETCH") })
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	var expunged []string
	for _, line := range other.must("NOOP") {
		if strings.HasSuffix(line, "EXPUNGE") {
			expunged = append(expunged, line)
		}
	}
	if !slices.Equal(expunged, want[1:3]) {
		t.Errorf("another session saw %q", expunged)
	}
	other.must("SELECT Trash")
	flags := strings.Join(other.must("UID FETCH 2:3 FLAGS"), " ")
	if strings.Contains(strings.ToLower(flags), `\deleted`) {
		t.Errorf("moved messages: %q", flags)
	}
	if lines := w.must("UID MOVE 99 Trash"); len(lines) != 1 {
		t.Errorf("moving nothing: %q", lines)
	}
	if lines := w.must("UID COPY 99 Trash"); len(lines) != 1 || strings.Contains(lines[0], "COPYUID") {
		t.Errorf("copying nothing: %q", lines)
	}
}

func TestFolderAdministration(t *testing.T) {
	s := start(t, Options{})
	w := loggedInWire(t, s)
	list := func(command string) string {
		t.Helper()
		var names []string
		lines := w.must(command)
		for _, line := range lines[:len(lines)-1] {
			if strings.HasPrefix(line, "* STATUS") {
				continue
			}
			names = append(names, strings.Trim(line[strings.LastIndex(line, " ")+1:], `"`))
		}
		return strings.Join(names, " ")
	}
	w.must("CREATE Work/2026/Q1")
	if got := list(`LIST "" Work*`); got != "Work Work/2026 Work/2026/Q1" {
		t.Errorf("after CREATE: %s", got)
	}
	w.must("RENAME Work/2026 Old")
	if got := list(`LIST "" Work*`) + ", " + list(`LIST "" Old*`); got != "Work, Old Old/Q1" {
		t.Errorf("after RENAME: %s", got)
	}
	w.must("SELECT Old/Q1")
	w.must("DELETE Old/Q1")
	if got := list(`LIST "" %`); got != "Archive Drafts INBOX Junk Old Sent Trash Work" {
		t.Errorf("top level: %s", got)
	}
	w.must("UNSUBSCRIBE Old")
	w.must("SUBSCRIBE Work")
	w.must("UNSUBSCRIBE Work")
	if got := list(`LSUB "" *`); got != "Archive Archive/2024 Drafts INBOX Junk Sent Trash" {
		t.Errorf("subscribed: %s", got)
	}
	w.must(`CREATE Notes (USE (\Flagged))`)
	if got := list(`LIST (SPECIAL-USE) "" *`); got != "Archive Drafts Junk Notes Sent Trash" {
		t.Errorf("special use: %s", got)
	}
	if got := list(`LIST (SUBSCRIBED) "" T% RETURN (STATUS (MESSAGES))`); got != "Trash" {
		t.Errorf("extended list: %s", got)
	}
	if lines := w.must(`LIST "" ""`); lines[0] != `* LIST (\Noselect) "/" ""` {
		t.Errorf("hierarchy delimiter: %q", lines)
	}
	for command, want := range map[string]string{
		"CREATE INBOX":             "x NO [ALREADYEXISTS]",
		"CREATE /x":                "x NO [CANNOT]",
		"DELETE inbox":             "x NO [CANNOT]",
		"DELETE Archive":           "x NO [HASCHILDREN]",
		"DELETE Nothing":           "x NO [NONEXISTENT]",
		"RENAME INBOX x":           "x NO [CANNOT]",
		"RENAME Archive Trash":     "x NO [ALREADYEXISTS]",
		"RENAME Archive Archive/x": "x NO [CANNOT]",
		"RENAME Nothing x":         "x NO [NONEXISTENT]",
		"SUBSCRIBE Nothing":        "x NO [NONEXISTENT]",
	} {
		if lines := w.do(command); !strings.HasPrefix(lines[0], want) {
			t.Errorf("%s: %q, want %s", command, lines, want)
		}
	}
}

func TestDeliveredMailIsAnnounced(t *testing.T) {
	s := start(t, Options{})
	counts := make(chan uint32, 10)
	c := connect(t, s, &imapclient.UnilateralDataHandler{Mailbox: func(data *imapclient.UnilateralDataMailbox) {
		if data.NumMessages != nil {
			counts <- *data.NumMessages
		}
	}})
	if err := c.Login("user", "password").Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	idle, err := c.Idle()
	if err != nil {
		t.Fatal(err)
	}
	uid, err := s.Deliver("INBOX", []byte("Subject: news\n\nHello\n"), imap.FlagFlagged)
	if err != nil || uid != 9 {
		t.Fatalf("Deliver: %d, %v", uid, err)
	}
	if n := <-counts; n != 9 {
		t.Errorf("%d messages announced, want 9", n)
	}
	if err := idle.Close(); err != nil {
		t.Fatal(err)
	}
	if err := idle.Wait(); err != nil {
		t.Fatal(err)
	}
	messages, err := c.Fetch(imap.UIDSetNum(uid), &imap.FetchOptions{
		Flags: true, BodySection: []*imap.FetchItemBodySection{{}},
	}).Collect()
	if err != nil || len(messages) != 1 || string(messages[0].BodySection[0].Bytes) != "Subject: news\r\n\r\nHello\r\n" ||
		!slices.Contains(messages[0].Flags, imap.FlagFlagged) {
		t.Errorf("%+v, %v", messages, err)
	}
	if _, err := s.Deliver("Nowhere", nil); err == nil {
		t.Error("delivered to a folder that does not exist")
	}
}

func TestASlowReaderDoesNotKeepOthersOut(t *testing.T) {
	s := start(t, Options{})
	body := "Subject: big\r\n\r\n" + strings.Repeat("0123456789abcdef", 1<<20)
	if _, err := s.Deliver("INBOX", []byte(body)); err != nil {
		t.Fatal(err)
	}
	slow, other := loggedInWire(t, s), loggedInWire(t, s)
	slow.must("SELECT INBOX")
	slow.send("x FETCH 9 BODY.PEEK[]\r\n")
	if line := slow.line(); !strings.HasPrefix(line, "* 9 FETCH") {
		t.Fatalf("FETCH: %q", line)
	}
	other.must("SELECT INBOX")
	other.must(`STORE 9 +FLAGS (\Flagged)`)
	got := slow.answer()
	if text := strings.Join(got, "\r\n"); !strings.Contains(text, "0123456789abcdef)") {
		t.Errorf("the slow reader got %d bytes", len(text))
	}
}

func TestCopiesInOppositeDirections(t *testing.T) {
	s := start(t, Options{})
	a, b := loggedInWire(t, s), loggedInWire(t, s)
	a.must("SELECT INBOX")
	b.must("SELECT Trash")
	for range 20 {
		a.send("x UID COPY 1:8 Trash\r\n")
		b.send("x UID COPY 1 INBOX\r\n")
		for name, w := range map[string]*wire{"a": a, "b": b} {
			if lines := w.answer(); !strings.HasPrefix(lines[len(lines)-1], "x OK") {
				t.Fatalf("%s: %q", name, lines)
			}
		}
	}
}

func TestSearchesSeeDecodedText(t *testing.T) {
	w := loggedInWire(t, start(t, Options{}))
	w.must("SELECT INBOX")
	for _, test := range []struct{ text, want string }{
		{"駅の北口", "* SEARCH 6"},
		{"Квитки", "* SEARCH 8"},
		{"Łukasz", "* SEARCH 2 3"},
		{"nothing of the kind", "* SEARCH"},
	} {
		command := fmt.Sprintf("UID SEARCH CHARSET UTF-8 TEXT {%d+}\r\n%s", len(test.text), test.text)
		if lines := w.must(command); lines[0] != test.want {
			t.Errorf("%s: %q, want %q", test.text, lines[0], test.want)
		}
	}
}

func TestAMessageThatIsCutOffIsNotKept(t *testing.T) {
	s := start(t, Options{})
	const text = "Subject: whole\r\n\r\nHello\r\n"
	for sent := range len(text) {
		w := loggedInWire(t, s)
		w.send("x APPEND INBOX {%d+}\r\n%s", len(text), text[:sent])
		if err := w.Conn.(*tls.Conn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, w) // the server is done when it ends the connection
	}
	w := loggedInWire(t, s)
	if lines := w.must("STATUS INBOX (MESSAGES)"); lines[0] != "* STATUS INBOX (MESSAGES 8)" {
		t.Errorf("after cuts: %q", lines)
	}
	w.must(fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(text), text))
	if lines := w.must("STATUS INBOX (MESSAGES)"); lines[0] != "* STATUS INBOX (MESSAGES 9)" {
		t.Errorf("after a whole message: %q", lines)
	}
}
