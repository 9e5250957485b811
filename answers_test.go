package imapkit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/imapkit/imapkit/internal/scripted"
)

// TestATaggedAnswerWithoutAKnownStatusIsNotWaitedFor has the server answer with
// other words than OK, NO and BAD.
func TestATaggedAnswerWithoutAKnownStatusIsNotWaitedFor(t *testing.T) {
	for _, tt := range []struct{ answer, refusal string }{
		{"ERROR no such thing", "ERROR no such thing"},
		{"Error", "ERROR"},
		{"NO: no such thing", "no such thing"},
		{"BAD. no such thing", "no such thing"},
		{"OK. done", ""},
		{"OK: done", ""},
		{"UID SEARCH SUBJECT x\r\n%s OK done", ""}, // the command again
		{"\r\n%s OK done", ""},
	} {
		t.Run(tt.answer, func(t *testing.T) {
			first := true
			s, f := readFrom(t, scripted.Options{Exists: 1, Handle: map[string]func(*scripted.Conn, scripted.Command){
				"UID SEARCH": func(c *scripted.Conn, cmd scripted.Command) {
					if !first {
						c.Answer(cmd)
						return
					}
					first = false
					c.SendRaw("* SEARCH 101\r\n" + cmd.Tag + " " + strings.ReplaceAll(tt.answer, "%s", cmd.Tag) + "\r\n")
				}}})
			f.client.Timeout = 5 * time.Second
			uids, err := f.Search(context.Background(), Subject("x"))
			var refused *ServerError
			switch {
			case tt.refusal == "":
				if err != nil || fmt.Sprint(uids) != "[101]" {
					t.Errorf("%v, %v", uids, err)
				}
			case !errors.As(err, &refused) || refused.Text != tt.refusal:
				t.Errorf("%v, %v, want a refusal with %q", uids, err, tt.refusal)
			}
			usable(t, s, f, 1)
		})
	}
}

// TestALogInThatIsRefusedAndNotAnswered follows Stalwart, which refuses a revoked
// app password in an untagged response and then waits.
func TestALogInThatIsRefusedAndNotAnswered(t *testing.T) {
	const refusal = "* NO [AUTHENTICATIONFAILED] Authentication failed"
	for _, tt := range []struct {
		name  string
		after func(*scripted.Conn, scripted.Command)
		works bool
	}{
		{"silence", func(c *scripted.Conn, _ scripted.Command) { c.Stall() }, false},
		{"closed", func(c *scripted.Conn, _ scripted.Command) { c.Close() }, false},
		{"BYE", func(c *scripted.Conn, _ scripted.Command) { c.Send("* BYE Connection timed out."); c.Close() }, false},
		{"refused", func(c *scripted.Conn, cmd scripted.Command) { c.Send(cmd.Tag + " NO failed") }, false},
		{"accepted", func(c *scripted.Conn, cmd scripted.Command) { c.OK(cmd.Tag, "welcome") }, true},
	} {
		for _, m := range []AuthMechanism{AuthLoginCommand, AuthPlain, AuthXOAUTH2} {
			t.Run(tt.name+" "+string(m), func(t *testing.T) {
				t.Parallel()
				verdict := func(c *scripted.Conn, cmd scripted.Command) {
					c.Send(refusal)
					tt.after(c, cmd)
				}
				s := scripted.Serve(t, scripted.Options{Exists: 1, Caps: "IMAP4rev1 SASL-IR AUTH=PLAIN AUTH=XOAUTH2",
					Handle: map[string]func(*scripted.Conn, scripted.Command){"LOGIN": verdict, "AUTHENTICATE": verdict}})
				client := &Client{Host: s.Host, Port: s.Port, Username: "u", Password: "p", Security: SecurityNone,
					Auth: []AuthMechanism{m}, Timeout: 30 * time.Second}
				if m == AuthXOAUTH2 {
					client.TokenSource = fixedToken("token")
				}
				defer client.Close()
				begin := time.Now()
				err := client.Connect(context.Background())
				if took := time.Since(begin); took > 15*time.Second {
					t.Errorf("waited for %v", took)
				}
				if tt.works {
					if err != nil {
						t.Fatal(err)
					}
					time.Sleep(1500 * time.Millisecond) // and nothing interrupts it later
					if _, err := client.Folder("INBOX").Fetch(context.Background(), 101); err != nil {
						t.Error(err)
					}
					return
				}
				if !errors.Is(err, ErrAuthentication) || errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "failed") {
					t.Errorf("error %v", err)
				}
				if n := s.Conns(); n != 1 && m != AuthXOAUTH2 {
					t.Errorf("%d connections", n)
				}
			})
		}
	}
}

func TestAContextThatEndsDuringARefusedLogInIsItsError(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 1, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"LOGIN": func(c *scripted.Conn, _ scripted.Command) {
			c.Send("* NO [AUTHENTICATIONFAILED] Authentication failed")
			c.Stall()
		}}})
	client := &Client{Host: s.Host, Port: s.Port, Username: "u", Password: "p", Security: SecurityNone,
		Auth: []AuthMechanism{AuthLoginCommand}}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if err := client.Connect(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrAuthentication) {
		t.Errorf("error %v", err)
	}
}

// TestARequestToGoOnMayCarryTheTag follows Gromox, which has sent "a1 + idling".
func TestARequestToGoOnMayCarryTheTag(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 1, Caps: "IMAP4rev1 AUTH=PLAIN",
		Handle: map[string]func(*scripted.Conn, scripted.Command){
			"AUTHENTICATE": func(c *scripted.Conn, cmd scripted.Command) {
				c.Send(cmd.Tag + " + go on")
				if line, _ := c.ReadLine(); line != "AHUAcA==" {
					c.No(cmd.Tag, line)
					return
				}
				c.OK(cmd.Tag, "welcome")
			}}})
	client := &Client{Host: s.Host, Port: s.Port, Username: "u", Password: "p", Security: SecurityNone,
		Auth: []AuthMechanism{AuthPlain}, Timeout: 5 * time.Second}
	defer client.Close()
	if err := client.Connect(context.Background()); err != nil {
		t.Fatal(err)
	}
	usable(t, s, client.Folder("INBOX"), 1)
}
