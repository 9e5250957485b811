package imapkit_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

func TestAServerThatDoesNotProveItselfIsRefused(t *testing.T) {
	for name, final := range map[string]string{
		"no signature":    "",
		"wrong signature": "v=" + base64.StdEncoding.EncodeToString(make([]byte, 32)),
	} {
		t.Run(name, func(t *testing.T) {
			s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 SASL-IR AUTH=SCRAM-SHA-256 AUTH=PLAIN",
				Handle: map[string]func(*scripted.Conn, scripted.Command){
					"AUTHENTICATE": func(c *scripted.Conn, cmd scripted.Command) {
						_, initial, _ := strings.Cut(cmd.Args, " ")
						first, _ := base64.StdEncoding.DecodeString(initial)
						_, nonce, _ := strings.Cut(string(first), ",r=")
						c.Send("+ " + base64.StdEncoding.EncodeToString([]byte("r="+nonce+"server,s=c2FsdA==,i=4096")))
						c.ReadLine()
						if final != "" {
							c.Send("+ " + base64.StdEncoding.EncodeToString([]byte(final)))
							c.ReadLine()
						}
						c.OK(cmd.Tag, "welcome, whoever you are")
					},
				}})
			c := inClear(s)
			defer c.Close()
			if _, err := c.Folders(limited(t), ""); err == nil {
				t.Error("no error")
			}
			if got := s.Received(); strings.Contains(got, "LIST") || strings.Contains(got, "PLAIN") {
				t.Errorf("the client went on:\n%s", got)
			}
		})
	}
}

func TestASecretThatTheServerRepeatsIsBlottedOut(t *testing.T) {
	const secret = "hunter2-very-secret"
	// The server repeats all that it gets: as a refusal, an alert, and as
	// lines that are no responses.
	repeat := func(c *scripted.Conn, tag, line string) {
		decoded, _ := base64.StdEncoding.DecodeString(line)
		plain := strings.ReplaceAll(string(decoded), "\x00", " ")
		c.Send("* OK [ALERT] I got "+line, "* NO "+plain, "what is "+line+" or "+plain,
			tag+" NO I do not understand "+line+" that is "+plain)
	}
	for _, mechanism := range []imapkit.AuthMechanism{
		imapkit.AuthPlain, imapkit.AuthLogin, imapkit.AuthLoginCommand, imapkit.AuthXOAUTH2, imapkit.AuthOAuthBearer,
	} {
		for _, ir := range []string{"", " SASL-IR"} {
			t.Run(string(mechanism)+ir, func(t *testing.T) {
				s := scripted.Serve(t, scripted.Options{
					Caps: "IMAP4rev1 AUTH=PLAIN AUTH=LOGIN AUTH=XOAUTH2 AUTH=OAUTHBEARER" + ir,
					Handle: map[string]func(*scripted.Conn, scripted.Command){
						"AUTHENTICATE": func(c *scripted.Conn, cmd scripted.Command) {
							_, line, initial := strings.Cut(cmd.Args, " ")
							if !initial {
								c.Send("+ ")
								line, _ = c.ReadLine()
							}
							if mechanism == imapkit.AuthLogin {
								c.Send("+ ")
								line, _ = c.ReadLine()
							}
							repeat(c, cmd.Tag, line)
						},
						"LOGIN": func(c *scripted.Conn, cmd scripted.Command) { repeat(c, cmd.Tag, cmd.Args) },
					}})
				var log bytes.Buffer
				c := inClear(s)
				c.Auth = []imapkit.AuthMechanism{mechanism}
				if mechanism == imapkit.AuthXOAUTH2 || mechanism == imapkit.AuthOAuthBearer {
					c.Password, c.TokenSource = "", secretToken(secret)
				} else {
					c.Password = secret
				}
				c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.Level(-100)}))
				err := c.Connect(limited(t))
				c.Close()
				if !errors.Is(err, imapkit.ErrAuthentication) || !strings.Contains(err.Error(), "***") {
					t.Errorf("error %v", err)
				}
				if !strings.Contains(s.Received(), encoded(secret)) && !strings.Contains(s.Received(), secret) &&
					mechanism != imapkit.AuthPlain && mechanism != imapkit.AuthXOAUTH2 && mechanism != imapkit.AuthOAuthBearer {
					t.Error("the secret was not sent, so nothing was tested")
				}
				for _, text := range []string{log.String(), fmt.Sprintf("%v %+v %#v", err, err, err)} {
					if strings.Contains(text, secret) || strings.Contains(text, encoded(secret)[:20]) {
						t.Errorf("the secret is in:\n%s", text)
					}
					for _, word := range strings.Fields(text) { // in base64 together with others
						if b, err := base64.StdEncoding.DecodeString(word); err == nil && strings.Contains(string(b), secret) {
							t.Errorf("the secret is in %q of:\n%s", word, text)
						}
					}
				}
			})
		}
	}
}

func encoded(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

type secretToken string

func (s secretToken) Token(context.Context, bool) (string, error) { return string(s), nil }

func TestAClientPrintsWithoutItsSecrets(t *testing.T) {
	c := &imapkit.Client{
		Host: "imap.example.org", Username: "ann", Password: "hunter2", TokenSource: secretToken("hunter2"),
		Proxy: imapkit.SOCKSProxy{Addr: "localhost:1080", Username: "u", Password: "hunter2"},
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("using", "client", c)
	for _, text := range []string{
		fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c), fmt.Sprintf("%s %q", c, c), log.String(),
		fmt.Sprintf("%v %+v %#v", c.Folder("INBOX"), c.Folder("INBOX"), c.Folder("INBOX")),
	} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("the password is in %s", text)
		}
	}
	if text := fmt.Sprint(c); !strings.Contains(text, "imap.example.org:993") || !strings.Contains(text, "ann") {
		t.Errorf("%s does not tell which client it is", text)
	}
}

// tokenFunc is a TokenSource made of a function.
type tokenFunc func(refresh bool) (string, error)

func (f tokenFunc) Token(_ context.Context, refresh bool) (string, error) { return f(refresh) }

func TestATokenSourceThatFailsLeavesTheClientUsable(t *testing.T) {
	scripted.LeakCheck(t)
	s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 AUTH=XOAUTH2"})
	failure := errors.New("no token today")
	fail := func() (string, error) { return "", failure }
	c := inClear(s)
	c.Password, c.TokenSource = "", tokenFunc(func(bool) (string, error) { return fail() })
	defer c.Close()
	if err := c.Connect(limited(t)); !errors.Is(err, failure) {
		t.Errorf("error %v", err)
	}
	fail = func() (string, error) { return "", nil }
	if err := c.Connect(limited(t)); err == nil || !strings.Contains(err.Error(), "TokenSource") {
		t.Errorf("error %v", err)
	}
	fail = func() (string, error) { panic("oops") }
	func() {
		defer func() {
			if v := recover(); v != "oops" {
				t.Errorf("recovered %v", v)
			}
		}()
		c.Connect(limited(t))
	}()
	fail = func() (string, error) { return "token", nil }
	if err := c.Connect(limited(t)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestAMechanismThatWorkedIsTriedFirst(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 SASL-IR AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-1 AUTH=CRAM-MD5",
		Handle: map[string]func(*scripted.Conn, scripted.Command){
			"AUTHENTICATE": func(c *scripted.Conn, cmd scripted.Command) {
				if cmd.Args != "CRAM-MD5" { // as Dovecot does where passwords are stored as another hash
					c.No(cmd.Tag, "the account has no such credentials")
					return
				}
				c.Send("+ " + encoded("<1@example.org>"))
				c.ReadLine()
				c.OK(cmd.Tag, "welcome")
			},
			"LIST": func(c *scripted.Conn, cmd scripted.Command) { c.Answer(cmd); c.Close() },
		}})
	c := inClear(s)
	defer c.Close()
	for range 3 {
		if _, err := c.Folders(limited(t), ""); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(s.Received(), "AUTHENTICATE SCRAM"); n != 2 {
		t.Errorf("SCRAM was tried %d times, want twice on the first connection and never again", n)
	}
}

func TestAWrongPasswordIsSentOnce(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 SASL-IR AUTH=PLAIN AUTH=LOGIN",
		Handle: map[string]func(*scripted.Conn, scripted.Command){
			"AUTHENTICATE": func(c *scripted.Conn, cmd scripted.Command) {
				c.No(cmd.Tag, "[AUTHENTICATIONFAILED] wrong password")
			},
		}})
	c := inClear(s)
	defer c.Close()
	if err := c.Connect(limited(t)); !errors.Is(err, imapkit.ErrAuthentication) {
		t.Errorf("error %v", err)
	}
	if n := strings.Count(s.Received(), "AUTHENTICATE"); n != 1 || strings.Contains(s.Received(), "LOGIN ") {
		t.Errorf("the server received:\n%s", s.Received())
	}
}

// Microsoft 365 accepts a log-in and then says this to everything.
func TestAConnectionThatLeadsNowhereIsReplaced(t *testing.T) {
	for _, tt := range []struct {
		name       string
		lost       int // connections that lead nowhere
		works      bool
		afterwards int // connections after a second call
	}{
		{"the next one works", 1, true, 2},
		{"two in a row", 2, false, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			nowhere := func(c *scripted.Conn, cmd scripted.Command) {
				if c.Num <= tt.lost {
					c.Bad(cmd.Tag, "User is authenticated but not connected.")
					return
				}
				c.Answer(cmd)
			}
			s := scripted.Serve(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
				"SELECT": nowhere, "LIST": nowhere, "NOOP": nowhere, "UID STORE": nowhere}})
			f := at(t, s, "").Folder("INBOX")
			err := f.AddFlags(limited(t), []imap.UID{101}, imap.FlagSeen)
			if refused := new(imapkit.ServerError); (err == nil) != tt.works || !tt.works && !errors.As(err, &refused) {
				t.Errorf("first call: error %v", err)
			}
			if _, err := f.Search(limited(t), imapkit.All()); err != nil {
				t.Errorf("second call: error %v", err)
			}
			if s.Conns() != tt.afterwards {
				t.Errorf("%d connections, want %d", s.Conns(), tt.afterwards)
			}
		})
	}
}

func TestProvidersThatWantANameGetIt(t *testing.T) {
	serve := func(host string) (*scripted.Server, *imapkit.Client) {
		named := make(map[int]bool)
		s := scripted.Serve(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
			"ID": func(c *scripted.Conn, cmd scripted.Command) { named[c.Num] = true; c.Answer(cmd) },
			"SELECT": func(c *scripted.Conn, cmd scripted.Command) {
				if strings.HasSuffix(host, "example.org") || named[c.Num] {
					c.Answer(cmd)
					return
				}
				c.No(cmd.Tag, "SELECT Unsafe Login. Please contact kefu@188.com for help")
			},
		}})
		c := inClear(s)
		c.Host, c.Proxy = host, &ports{to: map[string]string{fmt.Sprint(s.Port): s.Addr}}
		t.Cleanup(func() { c.Close() })
		return s, c
	}
	for _, tt := range []struct {
		host       string
		ids, conns int
	}{
		{"imap.163.com", 1, 1}, {"IMAP.126.com.", 1, 1}, {"imap.yeah.net", 1, 1}, {"imap.188.com", 1, 1},
		{"imap.another.net", 1, 2}, {"imap.example.org", 0, 1}, {"no163.com.example.org", 0, 1},
	} {
		t.Run(tt.host, func(t *testing.T) {
			s, c := serve(tt.host)
			f := c.Folder("INBOX")
			if err := f.AddFlags(limited(t), []imap.UID{101}, imap.FlagSeen); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Search(limited(t), imapkit.All()); err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(s.Received(), `ID ("name" "imapkit")`); n != tt.ids || s.Conns() != tt.conns {
				t.Errorf("%d times ID on %d connections, want %d on %d", n, s.Conns(), tt.ids, tt.conns)
			}
		})
	}
}

func TestAServerWithoutRev1IsSpokenToInUTF8(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev2 AUTH=PLAIN", Exists: 2, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"LIST": func(c *scripted.Conn, cmd scripted.Command) {
			c.Send(`* LIST () "/" "Entwürfe"`, `* LIST () "/" "R&D"`)
			c.OK(cmd.Tag, "done")
		},
	}})
	c := inClear(s)
	defer c.Close()
	folders, err := c.Folders(limited(t), "")
	if err != nil || len(folders) != 2 || folders[0].Name != "Entwürfe" || folders[1].Name != "R&D" {
		t.Errorf("folders %v: %v", folders, err)
	}
	uids, err := c.Folder("Entwürfe").Search(limited(t), imapkit.Subject("Grüße"))
	if err != nil || len(uids) != 2 {
		t.Errorf("found %v: %v", uids, err)
	}
	if got := s.Received(); !strings.Contains(got, `SELECT "Entwürfe"`) || strings.Contains(got, "CHARSET") {
		t.Errorf("the server received:\n%s", got)
	}
}

func TestAnythingButAGreetingIsToldAtOnce(t *testing.T) {
	s := scripted.New(t, func(c *scripted.Conn) {
		c.Send("220 mail.example.org ESMTP")
		c.Stall()
	})
	c := inClear(s)
	defer c.Close()
	began := time.Now()
	err := c.Connect(limited(t))
	if !errors.Is(err, imapkit.ErrProtocol) || !strings.Contains(err.Error(), "220 mail.example.org ESMTP") {
		t.Errorf("error %v", err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v", took)
	}
}
