package imapkit_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

const letter = "From: a@example.org\r\nMessage-ID: <one@example.org>\r\n\r\nHello\r\n"

func add(t *testing.T, f *imapkit.Folder, msg string) (imap.UID, error) {
	t.Helper()
	return f.Append(limited(t), strings.NewReader(msg), int64(len(msg)), imapkit.AppendOptions{})
}

func TestAppendSendsOneCommand(t *testing.T) {
	long := strings.Repeat("x", 5000)
	tests := []struct {
		name, caps, msg, literal string
	}{
		{"synchronizing", "", letter, fmt.Sprintf("{%d}", len(letter))},
		{"LITERAL+", "LITERAL+", long, "{5000+}"},
		{"LITERAL-", "LITERAL-", letter, fmt.Sprintf("{%d+}", len(letter))},
		{"LITERAL- and too long for it", "LITERAL-", long, "{5000}"},
		{"empty", "LITERAL+", "", "{0+}"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 UIDPLUS " + tt.caps, Handle: answers(map[string][]string{
				"APPEND": {"OK [APPENDUID 7 42] done"}})})
			c := inClear(s)
			defer c.Close()
			opts := imapkit.AppendOptions{Flags: []imap.Flag{imap.FlagSeen, "$Keyword"},
				InternalDate: time.Date(2024, 2, 3, 4, 5, 6, 0, time.FixedZone("", 3600))}
			uid, err := c.Folder(`R&D "x"`).Append(limited(t), strings.NewReader(tt.msg), int64(len(tt.msg)), opts)
			if uid != 42 || err != nil {
				t.Errorf("UID %d, %v", uid, err)
			}
			checkCommands(t, s, `APPEND "R&-D \"x\"" (\Seen $Keyword) " 3-Feb-2024 04:05:06 +0100" `+tt.literal+"\r\n"+tt.msg)
		})
	}
}

func TestARefusedAppendLeavesTheConnectionUsable(t *testing.T) {
	for _, caps := range []string{"IMAP4rev1", "IMAP4rev1 LITERAL+"} {
		for _, early := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, early %v", caps, early), func(t *testing.T) {
				scripted.LeakCheck(t)
				s := scripted.New(t, func(c *scripted.Conn) {
					c.AcceptLogin(caps)
					c.ManualLiterals = early
					tag, line := c.Expect("APPEND")
					c.No(tag, "[OVERQUOTA] The box is full")
					if early && strings.HasSuffix(line, "+}") {
						c.ReadN(int64(len(letter)))
						c.ExpectLine("")
					}
					c.ManualLiterals = false
					tag, _ = c.Expect("SUBSCRIBE")
					c.OK(tag, "done")
				})
				c := inClear(s)
				defer c.Close()
				_, err := add(t, c.Folder("INBOX"), letter)
				var refused *imapkit.ServerError
				if !errors.As(err, &refused) || refused.Code != "OVERQUOTA" || refused.Text != "The box is full" {
					t.Errorf("error %v", err)
				}
				if err := c.Subscribe(limited(t), "x"); err != nil {
					t.Errorf("afterwards: %v", err)
				}
				if s.Conns() != 1 {
					t.Errorf("%d connections", s.Conns())
				}
			})
		}
	}
}

func TestReadersThatDoNotKeepToTheirSizeLeaveNoMessage(t *testing.T) {
	for _, size := range []int{10, 100, 5000, 300_000} {
		text := strings.Repeat("x", size)
		broken := errors.New("the disk broke")
		tests := []struct {
			name string
			r    io.Reader
			want error
		}{
			{"early", strings.NewReader(text[1:]), io.ErrUnexpectedEOF},
			{"empty", strings.NewReader(""), io.ErrUnexpectedEOF},
			{"late", strings.NewReader(text + "y"), nil},
			{"fails", io.MultiReader(strings.NewReader(text[1:]), iotest.ErrReader(broken)), broken},
			{"fails at the end", io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)), broken},
		}
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%d bytes, %s", size, tt.name), func(t *testing.T) {
				s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 LITERAL+"})
				c := inClear(s)
				defer c.Close()
				f := c.Folder("INBOX")
				if err := c.Connect(limited(t)); err != nil { // so that the connection is not fresh
					t.Fatal(err)
				}
				_, err := f.Append(limited(t), tt.r, int64(size), imapkit.AppendOptions{})
				if err == nil || tt.want != nil && !errors.Is(err, tt.want) || errors.Is(err, imapkit.ErrUnknownOutcome) {
					t.Errorf("error %v, want %v", err, tt.want)
				}
				if err := c.Subscribe(limited(t), "x"); err != nil {
					t.Errorf("afterwards: %v", err)
				}
				checkCommands(t, s, `SUBSCRIBE "x"`)
			})
		}
	}
}

func TestTheLastBytesWaitForTheEndOfTheReader(t *testing.T) {
	for _, size := range []int64{1, 64, 65, 1000, 200_000} {
		s := scripted.New(t, func(c *scripted.Conn) {
			c.AcceptLogin("IMAP4rev1 LITERAL+")
			c.Stall()
		})
		c := inClear(s)
		text := strings.Repeat("x", int(size))
		if _, err := c.Folder("INBOX").Append(limited(t), strings.NewReader(text+"y"), size, imapkit.AppendOptions{}); err == nil {
			t.Error("no error")
		}
		c.Close()
		s.Close()
		if got := int64(strings.Count(s.Received(), "x")); got >= size {
			t.Errorf("the server got all %d bytes", got)
		}
	}
}

func TestAnUnknownOutcomeIsSettledByTheMessageID(t *testing.T) {
	tests := []struct {
		name   string
		before string // UIDNEXT that the client knows; empty: none
		found  string
		uid    imap.UID
		sure   bool
	}{
		{"there", "", "* SEARCH 7", 7, true},
		{"not there", "", "* SEARCH", 0, false},
		{"there before", "8", "* SEARCH 7", 0, false},
		{"there twice, once before", "8", "* SEARCH 7 8", 8, true},
		{"there twice", "", "* SEARCH 7 8", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			scripted.LeakCheck(t)
			s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 LITERAL+", Handle: answers(map[string][]string{
				"APPEND": {"cut"}, "UID SEARCH": {tt.found + "\nOK done"},
				"SELECT": {"* OK [UIDVALIDITY 1] ok\n* OK [UIDNEXT " + tt.before + "] ok\nOK [READ-WRITE] done"}})})
			c := inClear(s)
			defer c.Close()
			f := c.Folder("INBOX")
			if tt.before != "" {
				var err error
				if f, err = c.Select(limited(t), "INBOX"); err != nil {
					t.Fatal(err)
				}
			}
			uid, err := add(t, f, letter)
			if uid != tt.uid || (err == nil) != tt.sure || !tt.sure && !errors.Is(err, imapkit.ErrUnknownOutcome) {
				t.Errorf("UID %d, %v", uid, err)
			}
			appends := 0
			for _, cmd := range s.Commands() {
				if strings.HasPrefix(cmd, "APPEND") {
					appends++
				} else if strings.HasPrefix(cmd, "UID SEARCH") && !strings.Contains(cmd, `"<one@example.org>"`) {
					t.Errorf("looked for it with %q", cmd)
				}
			}
			if appends != 1 {
				t.Errorf("it was sent %d times", appends)
			}
		})
	}
}

func TestACutBeforeTheEndOfTheMessageAddsNothing(t *testing.T) {
	s := scripted.New(t, func(c *scripted.Conn) {
		c.AcceptLogin("IMAP4rev1")
		c.ManualLiterals = true
		c.Expect("APPEND")
		c.Reset()
	})
	c := inClear(s)
	defer c.Close()
	if _, err := add(t, c.Folder("INBOX"), letter); err == nil || errors.Is(err, imapkit.ErrUnknownOutcome) {
		t.Errorf("error %v", err)
	}
}

func TestAMessageBeyondTheServersLimitIsNotSent(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 APPENDLIMIT=20"})
	c := inClear(s)
	defer c.Close()
	_, err := add(t, c.Folder("INBOX"), letter)
	var refused *imapkit.ServerError
	if !errors.As(err, &refused) || refused.Code != "TOOBIG" {
		t.Errorf("error %v", err)
	}
	checkCommands(t, s)
}

func TestAppendMakesCRLFOnRequest(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "\n": "\r\n", "a\nb\r\nc\r": "a\r\nb\r\nc\r", "\n\n\r\n\r\r\n": "\r\n\r\n\r\n\r\r\n",
		strings.Repeat("a\n", 5000): strings.Repeat("a\r\n", 5000),
	} {
		s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 LITERAL+"})
		c := inClear(s)
		_, err := c.Folder("INBOX").Append(limited(t), strings.NewReader(in), int64(len(in)), imapkit.AppendOptions{CRLF: true})
		if err != nil {
			t.Errorf("%.20q: %v", in, err)
		}
		checkCommands(t, s, fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(want), want))
		c.Close()
	}
}

func TestWhatCannotBeAppendedIsRefusedLocally(t *testing.T) {
	c := &imapkit.Client{Host: "192.0.2.1", Username: "user"}
	tests := map[string]struct {
		r    io.Reader
		size int64
		opts imapkit.AppendOptions
	}{
		"size":         {strings.NewReader(""), -1, imapkit.AppendOptions{}},
		"nil":          {nil, 0, imapkit.AppendOptions{}},
		`\Recent`:      {strings.NewReader(""), 0, imapkit.AppendOptions{Flags: []imap.Flag{`\Recent`}}},
		"a b":          {strings.NewReader(""), 0, imapkit.AppendOptions{Flags: []imap.Flag{"a b"}}},
		"InternalDate": {strings.NewReader(""), 0, imapkit.AppendOptions{InternalDate: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}},
		"ReadSeeker":   {io.MultiReader(), 0, imapkit.AppendOptions{CRLF: true}},
		"has 1 bytes":  {strings.NewReader("x"), 2, imapkit.AppendOptions{CRLF: true}},
	}
	for want, tt := range tests {
		_, err := c.Folder("INBOX").Append(limited(t), tt.r, tt.size, tt.opts)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
}
