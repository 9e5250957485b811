package imapkit_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
	"github.com/imapkit/imapkit/internal/servertest"
)

// binaryLetter has a NUL in its body.
const binaryLetter = "From: a@example.org\r\nSubject: nul\r\nMessage-ID: <nul@example.org>\r\n\r\na\x00b\r\n"

func TestMessagesWithNULsGoOutAsBinary(t *testing.T) {
	late := strings.Repeat("x", 70_000) + "\x00"
	for caps, literal := range map[string]string{"BINARY": "~{%d}", "BINARY LITERAL+": "~{%d+}", "BINARY LITERAL-": "~{%d+}"} {
		s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 " + caps})
		c := inClear(s)
		f := c.Folder("INBOX")
		if _, err := add(t, f, binaryLetter); err != nil {
			t.Errorf("%s: %v", caps, err)
		}
		n := len(binaryLetter)
		want := []string{fmt.Sprintf("APPEND INBOX "+literal+"\r\n%s", n, binaryLetter)}
		if caps == "BINARY LITERAL+" { // once there is one, there may be others at any place
			if _, err := add(t, f, "\x00"+late); err != nil {
				t.Errorf("%s: %v", caps, err)
			}
			want = append(want, fmt.Sprintf("APPEND INBOX ~{%d+}\r\n\x00%s", len(late)+1, late))
		}
		checkCommands(t, s, want...)
		c.Close()
	}
}

func TestNULsAreNotSentToServersWithoutBinary(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 LITERAL+ MULTIAPPEND"})
	c := inClear(s)
	defer c.Close()
	f := c.Folder("INBOX")
	_, err := add(t, f, binaryLetter)
	if !errors.Is(err, imapkit.ErrNotSupported) || !strings.Contains(err.Error(), "BINARY") {
		t.Errorf("error %v", err)
	}
	got := outcomes(f.AppendAll(limited(t), texts(letter, binaryLetter, letter)))
	if want := []string{"0", "error", "0"}; !slices.Equal(got, want) {
		t.Errorf("reports %q, want %q", got, want)
	}
	checkCommands(t, s, inOne(letter, letter))
}

func TestALateNULNeverLeavesADamagedMessage(t *testing.T) {
	const size = 200_000
	for _, at := range []int{64 << 10, 100_000, size - 65, size - 64, size - 1} {
		for _, caps := range []string{"LITERAL+", "LITERAL+ BINARY"} {
			t.Run(fmt.Sprintf("byte %d, %s", at, caps), func(t *testing.T) {
				s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 " + caps})
				c := inClear(s)
				defer c.Close()
				text := strings.Repeat("x", at) + "\x00" + strings.Repeat("x", size-at-1)
				_, err := add(t, c.Folder("INBOX"), text)
				if err == nil || errors.Is(err, imapkit.ErrUnknownOutcome) || !strings.Contains(err.Error(), fmt.Sprintf("byte %d is a NUL", at)) {
					t.Errorf("error %v", err)
				}
				if err := c.Subscribe(limited(t), "x"); err != nil {
					t.Errorf("afterwards: %v", err)
				}
				checkCommands(t, s, `SUBSCRIBE "x"`)
				if strings.Contains(s.Received(), "\x00") {
					t.Error("the NUL was sent")
				}
			})
		}
	}
}

func TestRealServersKeepNULs(t *testing.T) {
	for name, start := range map[string]func(testing.TB, ...servertest.Option) *servertest.Server{
		"Dovecot": servertest.Dovecot, "Cyrus": servertest.Cyrus,
	} {
		t.Run(name, func(t *testing.T) {
			c := clientFor(start(t), imapkit.SecurityNone)
			defer c.Close()
			f, err := c.Select(limited(t), "INBOX")
			if err != nil {
				t.Fatal(err)
			}
			uid, err := add(t, f, binaryLetter)
			if err != nil || uid == 0 {
				t.Fatalf("UID %d, %v", uid, err)
			}
			body, err := f.Open(limited(t), uid)
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			got, err := io.ReadAll(body)
			// Dovecot shows a NUL only as a part of BINARY, else as 0x80.
			if want := strings.Replace(binaryLetter, "\x00", "\x80", 1); err != nil || string(got) != binaryLetter && string(got) != want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestARefusedMessageIsReadFromTheBeginning(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for _, text := range []string{letter, long} {
		s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 LITERAL+", Handle: answers(map[string][]string{
			"APPEND": {"NO Request is throttled. Suggested Backoff Time: 5 milliseconds", "OK [APPENDUID 7 3] done"}})})
		c := inClear(s)
		uid, err := add(t, c.Folder("INBOX"), text)
		command := inOne(text)
		if text == long { // which is gone
			var throttled *imapkit.ThrottledError
			if !errors.As(err, &throttled) {
				t.Errorf("error %v", err)
			}
			checkCommands(t, s, command)
		} else {
			if uid != 3 || err != nil {
				t.Errorf("UID %d, %v", uid, err)
			}
			checkCommands(t, s, command, command)
		}
		c.Close()
	}
}

func TestAMessageThatCannotBeReadAgainIsNotSentAgain(t *testing.T) {
	s := scripted.New(t, func(c *scripted.Conn) {
		c.AcceptLogin("IMAP4rev1 LITERAL+")
		if c.Num > 1 {
			c.Serve(scripted.Options{})
		}
		tag, _ := c.Expect("SUBSCRIBE")
		c.OK(tag, "done")
		c.ManualLiterals = true
		c.Expect("APPEND")
		c.ReadN(100_000)
		c.Reset()
	})
	c := inClear(s)
	defer c.Close()
	if err := c.Subscribe(limited(t), "x"); err != nil {
		t.Fatal(err)
	}
	_, err := add(t, c.Folder("INBOX"), strings.Repeat("x", 20<<20)) // more than the network holds
	if err == nil || errors.Is(err, imapkit.ErrUnknownOutcome) || !strings.Contains(err.Error(), "nothing was added") {
		t.Errorf("error %v", err)
	}
	if n := strings.Count(strings.Join(s.Commands(), "\n"), "APPEND"); n != 1 {
		t.Errorf("it was sent %d times", n)
	}
}

func TestAppendLimitOfAFolderIsAskedForOnce(t *testing.T) {
	tests := []struct {
		name, caps, status string
		refused            bool
		asked              int
	}{
		{"lower", "APPENDLIMIT", "* STATUS INBOX (APPENDLIMIT 20)\nOK done", true, 1},
		{"just enough", "APPENDLIMIT", fmt.Sprintf("* STATUS INBOX (APPENDLIMIT %d)\nOK done", len(letter)), false, 1},
		{"none", "APPENDLIMIT", "* STATUS INBOX (APPENDLIMIT NIL)\nOK done", false, 1},
		{"not told", "APPENDLIMIT", "* STATUS INBOX ()\nOK done", false, 1},
		{"refused", "APPENDLIMIT", "NO no such folder", false, 1},
		{"of all folders", "APPENDLIMIT=20", "BAD no", true, 0},
		{"of all folders, enough", "APPENDLIMIT=20000", "BAD no", false, 0},
		{"unreadable", "APPENDLIMIT=many", "BAD no", false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 LITERAL+ " + tt.caps,
				Handle: answers(map[string][]string{"STATUS": {tt.status}})})
			c := inClear(s)
			defer c.Close()
			var want []string
			if tt.asked > 0 {
				want = append(want, "STATUS INBOX (APPENDLIMIT)")
			}
			for range 2 {
				_, err := add(t, c.Folder("INBOX"), letter)
				var refused *imapkit.ServerError
				if errors.As(err, &refused) != tt.refused || tt.refused && refused.Code != "TOOBIG" || !tt.refused && err != nil {
					t.Errorf("error %v", err)
				}
				if !tt.refused {
					want = append(want, inOne(letter))
				}
			}
			checkCommands(t, s, want...)
		})
	}
}

func TestRefusalsComeInTheServersWords(t *testing.T) {
	for _, answer := range []imapkit.ServerError{
		{Status: "NO", Code: "TRYCREATE", Text: "there is no such folder"},
		{Status: "NO", Code: "OVERQUOTA", Text: "the mailbox is full"},
		{Status: "NO", Code: "TOOBIG", Text: "at most 10 MB"},
		{Status: "NO", Code: "NOPERM", Text: "not yours"},
		{Status: "BAD", Code: "", Text: "syntax error"},
	} {
		said := answer.Status + " " + answer.Text
		if answer.Code != "" {
			said = answer.Status + " [" + answer.Code + "] " + answer.Text
		}
		s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 LITERAL+", Handle: answers(map[string][]string{"APPEND": {said}})})
		c := inClear(s)
		answer.Command = "APPEND"
		var refused *imapkit.ServerError
		if _, err := add(t, c.Folder("INBOX"), letter); !errors.As(err, &refused) || *refused != answer {
			t.Errorf("error %v, want %v", err, &answer)
		}
		if err := c.Subscribe(limited(t), "x"); err != nil || s.Conns() != 1 {
			t.Errorf("afterwards: %v, %d connections", err, s.Conns())
		}
		c.Close()
	}
}

func TestAppendToAFolderThatDoesNotExistAddsNothing(t *testing.T) {
	for name, start := range realServers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := clientFor(start(t), imapkit.SecurityNone)
			defer c.Close()
			folder := "nowhere"
			if name == "Cyrus" || name == "Courier" {
				folder = "INBOX.nowhere"
			}
			var refused *imapkit.ServerError
			long := letter + strings.Repeat("A line of text.\r\n", 10_000)
			for _, text := range []string{letter, long} {
				_, err := add(t, c.Folder(folder), text)
				if !errors.As(err, &refused) || !strings.Contains(refused.Code+refused.Text, "TRYCREATE") {
					t.Errorf("%d bytes: %v", len(text), err)
				}
			}
			got := outcomes(c.Folder(folder).AppendAll(limited(t), texts(letter, letter, long, letter)))
			if len(got) != 4 || slices.ContainsFunc(got, func(s string) bool { return s != refused.Code }) {
				t.Errorf("reports %q", got)
			}
			if _, err := c.Select(limited(t), "INBOX"); err != nil {
				t.Errorf("afterwards: %v", err)
			}
			if _, err := add(t, c.Folder("INBOX"), letter); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestTheUIDOfOneMessageIsToldOrNot(t *testing.T) {
	for code, want := range map[string]imap.UID{
		"[APPENDUID 7 4]": 4, "[APPENDUID 7 4:5]": 0, "[APPENDUID 7 0]": 0, "[APPENDUID 7 x]": 0, "[APPENDUID]": 0,
	} {
		s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 LITERAL+", Handle: answers(map[string][]string{"APPEND": {"OK " + code + " done"}})})
		c := inClear(s)
		if uid, err := add(t, c.Folder("INBOX"), letter); uid != want || err != nil {
			t.Errorf("%s: UID %d, %v", code, uid, err)
		}
		c.Close()
	}
}
