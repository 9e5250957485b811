package imapkit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
	"github.com/imapkit/imapkit/internal/servertest"
)

// greetings has UTF-8 in its header.
const greetings = "From: a@example.org\r\nSubject: Grüße\r\nMessage-ID: <gr@example.org>\r\n\r\nHello\r\n"

// checkAll compares all commands after the log-in.
func checkAll(t *testing.T, s *scripted.Server, want ...string) {
	t.Helper()
	got := slices.DeleteFunc(s.Commands(), func(cmd string) bool {
		name, _, _ := strings.Cut(cmd, " ")
		return slices.Contains([]string{"CAPABILITY", "LOGIN", "AUTHENTICATE", "LOGOUT"}, name)
	})
	if !slices.Equal(got, want) {
		t.Errorf("commands:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestMessagesWithUTF8InTheHeader(t *testing.T) {
	const enable = "ENABLE UTF8=ACCEPT"
	plain := func(name, msg string) string { return fmt.Sprintf("APPEND %s {%d+}\r\n%s", name, len(msg), msg) }
	data := func(name, length string) string {
		return fmt.Sprintf("APPEND %s () UTF8 (~{%s}\r\n%s)", name, length, greetings)
	}
	n := fmt.Sprint(len(greetings))
	latin := strings.Replace(greetings, "üß", "\xfc\xdf", 1)
	eightBitBody := letter + "Grüße\r\n"
	noHeader := "\r\nGrüße\r\n\r\nHello\r\n"
	longHeader := "Subject: " + strings.Repeat("é", 40_000) // of which half a character is looked at last
	longBody := greetings + strings.Repeat("é", 40_000)
	tests := []struct {
		name    string
		caps    string
		msg     string
		answers map[string][]string
		want    []string
	}{
		{"not offered", "LITERAL+", greetings, nil, []string{plain(`"Entw&APw-rfe"`, greetings)}},
		{"offered", "LITERAL+ UTF8=ACCEPT", greetings, nil, []string{enable, data(`"Entwürfe"`, n)}},
		{"offered, and BINARY", "LITERAL+ BINARY UTF8=ACCEPT", greetings, nil, []string{enable, data(`"Entwürfe"`, n+"+")}},
		{"the only language", "LITERAL+ UTF8=ONLY", greetings, nil, []string{enable, data(`"Entwürfe"`, n)}},
		{"only in the body", "LITERAL+ UTF8=ACCEPT", eightBitBody, nil, []string{plain(`"Entw&APw-rfe"`, eightBitBody)}},
		{"no header at all", "LITERAL+ UTF8=ACCEPT", noHeader, nil, []string{plain(`"Entw&APw-rfe"`, noHeader)}},
		{"a long header", "LITERAL+ BINARY UTF8=ACCEPT", longHeader, nil,
			[]string{enable, fmt.Sprintf("APPEND \"Entwürfe\" () UTF8 (~{%d+}\r\n%s)", len(longHeader), longHeader)}},
		{"another charset", "LITERAL+ UTF8=ACCEPT", latin, nil, []string{plain(`"Entw&APw-rfe"`, latin)}},
		{"a long body", "LITERAL+ BINARY UTF8=ACCEPT", longBody, nil,
			[]string{enable, fmt.Sprintf("APPEND \"Entwürfe\" () UTF8 (~{%d+}\r\n%s)", len(longBody), longBody)}},
		{"not enabled", "LITERAL+ UTF8=ACCEPT", greetings, map[string][]string{"ENABLE": {"* ENABLED\nOK done"}},
			[]string{enable, plain(`"Entw&APw-rfe"`, greetings)}},
		{"refused", "LITERAL+ UTF8=ACCEPT", greetings, map[string][]string{"ENABLE": {"BAD no"}},
			[]string{enable, plain(`"Entw&APw-rfe"`, greetings)}},
		{"by a server that speaks RFC 9755", "LITERAL+ BINARY UTF8=ACCEPT", greetings,
			map[string][]string{"APPEND": {"BAD syntax", "OK done"}},
			[]string{enable, data(`"Entwürfe"`, n+"+"), plain(`"Entwürfe"`, greetings)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 ENABLE " + tt.caps, Handle: answers(tt.answers)})
			c := inClear(s)
			defer c.Close()
			if _, err := add(t, c.Folder("Entwürfe"), tt.msg); err != nil {
				t.Error(err)
			}
			checkAll(t, s, tt.want...)
		})
	}
}

func TestUTF8DataIsNotTriedAgainWhereItCannotBeRead(t *testing.T) {
	s := scripted.New(t, func(c *scripted.Conn) {
		c.AcceptLogin("IMAP4rev1 ENABLE UTF8=ACCEPT")
		tag, _ := c.Expect("ENABLE UTF8=ACCEPT")
		c.Send("* ENABLED UTF8=ACCEPT")
		c.OK(tag, "done")
		c.ManualLiterals = true
		tag, _ = c.Expect("APPEND INBOX () UTF8 (~{")
		c.Bad(tag, "what?") // without having asked for the text
		c.ManualLiterals = false
		for range 3 {
			tag, _ := c.Expect(fmt.Sprintf("APPEND INBOX {%d}", len(greetings)))
			c.OK(tag, "done")
		}
	})
	c := inClear(s)
	defer c.Close()
	f := c.Folder("INBOX")
	if _, err := add(t, f, greetings); err != nil {
		t.Error(err)
	}
	if _, err := add(t, f, greetings); err != nil {
		t.Error(err)
	}
	if got := outcomes(f.AppendAll(limited(t), texts(greetings))); !slices.Equal(got, []string{"0"}) {
		t.Errorf("reports %q", got)
	}
}

func TestUTF8DataIsTriedAgainWhereSomethingElseWasWrong(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 ENABLE BINARY LITERAL+ UTF8=ACCEPT", Handle: answers(map[string][]string{
		"APPEND": {"BAD no such flag", "BAD no such flag", "OK done"}})})
	c := inClear(s)
	defer c.Close()
	f := c.Folder("INBOX")
	var refused *imapkit.ServerError
	if _, err := add(t, f, greetings); !errors.As(err, &refused) || refused.Text != "no such flag" {
		t.Errorf("error %v", err)
	}
	if _, err := add(t, f, greetings); err != nil {
		t.Error(err)
	}
	var ways []string
	for _, cmd := range work(s) {
		line, _, _ := strings.Cut(cmd, "\r\n")
		ways = append(ways, line)
	}
	n := len(greetings)
	data, plain := fmt.Sprintf("APPEND INBOX () UTF8 (~{%d+}", n), fmt.Sprintf("APPEND INBOX {%d+}", n)
	if want := []string{data, plain, data}; !slices.Equal(ways, want) {
		t.Errorf("commands %q, want %q", ways, want)
	}
}

func TestUTF8IsEnabledOnceAndOnlyWhileNoFolderIsOpen(t *testing.T) {
	for caps, leave := range map[string]string{
		"UNSELECT": "UNSELECT",
		"":         `EXAMINE "imapkit-no-such-folder"`,
	} {
		s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 ENABLE UTF8=ACCEPT " + caps,
			Handle: map[string]func(*scripted.Conn, scripted.Command){
				"EXAMINE": func(c *scripted.Conn, cmd scripted.Command) { c.No(cmd.Tag, "no such folder") }}})
		c := inClear(s)
		f, err := c.Select(limited(t), "Entwürfe")
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := add(t, f, greetings); err != nil {
				t.Error(err)
			}
		}
		if _, err := f.Search(limited(t), imapkit.Subject("Grüße")); err != nil {
			t.Error(err)
		}
		data := fmt.Sprintf("APPEND \"Entwürfe\" () UTF8 (~{%d}\r\n%s)", len(greetings), greetings)
		checkAll(t, s, `SELECT "Entw&APw-rfe"`, leave, "ENABLE UTF8=ACCEPT", data, data,
			`SELECT "Entwürfe"`, `UID SEARCH SUBJECT "Grüße"`)
		c.Close()
	}
}

func TestAFolderThatStaysOpenKeepsUTF8FromBeingEnabled(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 ENABLE UTF8=ACCEPT UNSELECT LITERAL+",
		Handle: answers(map[string][]string{"UNSELECT": {"NO not now"}})})
	c := inClear(s)
	defer c.Close()
	f, err := c.Select(limited(t), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := add(t, f, greetings); err != nil {
		t.Error(err)
	}
	checkAll(t, s, "SELECT INBOX", "UNSELECT", fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(greetings), greetings))
}

func TestAServerThatSpeaksOnlyUTF8IsAddressedInItWithoutAnotherRoundTrip(t *testing.T) {
	const caps = "IMAP4rev1 ENABLE UTF8=ONLY"
	for _, told := range []bool{true, false} {
		t.Run(fmt.Sprintf("capabilities told %v", told), func(t *testing.T) {
			s := scripted.New(t, func(c *scripted.Conn) {
				if told {
					c.AcceptLogin(caps)
				} else {
					c.Send("* OK hello")
					for range 2 {
						tag, line := c.Expect("")
						if strings.HasPrefix(line, "CAPABILITY") {
							c.Send("* CAPABILITY IMAP4rev1")
						}
						c.OK(tag, "done")
					}
					tag, _ := c.Expect("CAPABILITY")
					c.Send("* CAPABILITY " + caps)
					c.OK(tag, "done")
				}
				first, _ := c.Expect("ENABLE UTF8=ACCEPT")
				second, line := c.Expect(`STATUS "Entwürfe" (`)
				c.Send("* ENABLED UTF8=ACCEPT")
				c.OK(first, "done")
				c.Send(`* STATUS "Entwürfe" (MESSAGES 5)`)
				c.OK(second, line[:6])
				tag, _ := c.Expect(`LIST "" "*"`)
				c.Send(`* LIST () "/" "Entwürfe"`, `* LIST () "/" "A&B"`, `* LIST () "/" "R&-D"`)
				c.OK(tag, "done")
			})
			c := inClear(s)
			defer c.Close()
			status, err := c.Folder("Entwürfe").Status(limited(t))
			if err != nil || status.Messages != 5 {
				t.Errorf("status %+v, %v", status, err)
			}
			folders, err := c.Folders(limited(t), "")
			var names []string
			for _, f := range folders {
				names = append(names, f.Name)
			}
			if want := []string{"Entwürfe", "A&B", "R&-D"}; err != nil || !slices.Equal(names, want) {
				t.Errorf("folders %q, %v", names, err)
			}
		})
	}
}

func TestALentConnectionSpeaksUTF8(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 ENABLE UTF8=ONLY"})
	c := inClear(s)
	defer c.Close()
	err := c.Do(limited(t), "Entwürfe", func(guest *imapclient.Client) error {
		if _, err := guest.UIDSearch(&imap.SearchCriteria{Body: []string{"Grüße", "a CHARSET UTF-8 b"}}, nil).Wait(); err != nil {
			return err
		}
		_, err := guest.Status("Entwürfe", &imap.StatusOptions{NumMessages: true}).Wait()
		return err
	})
	if err != nil {
		t.Error(err)
	}
	got := s.Commands()
	got = got[slices.Index(got, "ENABLE UTF8=ACCEPT"):]
	want := []string{"ENABLE UTF8=ACCEPT", `SELECT "Entwürfe"`,
		"UID SEARCH BODY {7}\r\nGrüße BODY \"a CHARSET UTF-8 b\"", `STATUS "Entwürfe" (MESSAGES)`}
	if !slices.Equal(got, want) {
		t.Errorf("commands:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestMessagesWithUTF8InTheHeaderOnRealServers(t *testing.T) {
	for name, start := range realServers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			c := clientFor(server, imapkit.SecurityNone)
			defer c.Close()
			ctx := limited(t)
			inbox, err := c.Select(ctx, "INBOX")
			if err != nil {
				t.Fatal(err)
			}
			folder := "Entwürfe"
			if name == "Cyrus" || name == "Courier" {
				folder = "INBOX." + folder
			}
			if err := c.CreateFolder(ctx, folder); err != nil {
				t.Fatal(err)
			}
			if _, err := add(t, inbox, greetings); err != nil { // where offered, the connection speaks UTF-8 from here on
				t.Fatal(err)
			}
			f := c.Folder(folder)
			if _, err := add(t, f, greetings); err != nil {
				t.Fatal(err)
			}
			list := []string{letterNamed("a"), greetings, letterNamed("b")}
			if got := outcomes(f.AppendAll(ctx, texts(list...))); slices.Contains(got, "error") || len(got) != 3 {
				t.Errorf("reports %q", got)
			}
			if err := c.CreateFolder(ctx, folder+"2"); err != nil {
				t.Error(err)
			}
			c.Close()

			again := clientFor(server, imapkit.SecurityNone) // and speaks modified UTF-7
			defer again.Close()
			checkGreetings(ctx, t, again, folder, name != "Cyrus") // which puts X for what is not ASCII
		})
	}
}

func checkGreetings(ctx context.Context, t *testing.T, c *imapkit.Client, folder string, kept bool) {
	t.Helper()
	folders, err := c.Folders(ctx, "")
	var names []string
	for _, f := range folders {
		names = append(names, f.Name)
	}
	if err != nil || !slices.Contains(names, folder) || !slices.Contains(names, folder+"2") {
		t.Errorf("folders %q, %v", names, err)
	}
	n := 0
	for m, err := range c.Folder(folder).FetchAll(ctx, []imap.UID{1, 2, 3, 4}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if text := string(m.Raw); kept && strings.Contains(text, "<gr@") && text != greetings {
			t.Errorf("UID %d holds %q", m.Info.UID, text)
		}
	}
	if n != 4 {
		t.Errorf("%d messages", n)
	}
}

func TestCourierIsContentWithMessagesInUTF8(t *testing.T) {
	server := servertest.Courier(t)
	c := clientFor(server, imapkit.SecurityNone)
	defer c.Close()
	var log strings.Builder
	c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	if _, err := add(t, c.Folder("INBOX"), greetings); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), "alerts") { // "does not appear to correctly implement Unicode messages"
		t.Errorf("the log holds %s", log.String())
	}
}
