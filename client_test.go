package imapkit_test

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

// inClear returns a client that talks to a scripted server without TLS.
func inClear(s *scripted.Server) *imapkit.Client {
	return &imapkit.Client{
		Host: s.Host, Port: s.Port, Username: "user", Password: "secret", Security: imapkit.SecurityNone,
	}
}

func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestNothingHappensBeforeTheFirstOperation(t *testing.T) {
	scripted.LeakCheck(t)
	s := scripted.Serve(t, scripted.Options{Exists: 3})
	c := inClear(s)
	defer c.Close()
	f := c.Folder("INBOX")
	if n := s.Conns(); n != 0 {
		t.Fatalf("%d connections before the first operation", n)
	}
	if _, err := f.Search(limited(t), imapkit.All()); err != nil {
		t.Fatal(err)
	}
	if n := s.Conns(); n != 1 {
		t.Fatalf("%d connections after the first operation, want 1", n)
	}
}

func TestMistakesInTheFieldsAreFoundBeforeDialing(t *testing.T) {
	tests := []struct {
		field  string
		change func(*imapkit.Client)
	}{
		{"Host", func(c *imapkit.Client) { c.Host = "" }},
		{"Host", func(c *imapkit.Client) { c.Host = "a b" }},
		{"Port", func(c *imapkit.Client) { c.Port = 70000 }},
		{"Port", func(c *imapkit.Client) { c.Port = -1 }},
		{"Security", func(c *imapkit.Client) { c.Security = 9 }},
		{"MaxConns", func(c *imapkit.Client) { c.MaxConns = -1 }},
		{"Limits", func(c *imapkit.Client) { c.Limits.Line = -1 }},
		{"Auth", func(c *imapkit.Client) { c.Auth = []imapkit.AuthMechanism{"NONSENSE"} }},
		{"Auth", func(c *imapkit.Client) { c.Auth = []imapkit.AuthMechanism{imapkit.AuthXOAUTH2} }},
		{"TLS.Versions", func(c *imapkit.Client) { c.TLS.Versions = imapkit.SSL3 }},
		{"TLS.Versions", func(c *imapkit.Client) {
			c.TLS = imapkit.TLSPolicy{Versions: imapkit.SSL3 | imapkit.TLS13, Strict: true}
		}},
		{"SOCKSProxy.Addr", func(c *imapkit.Client) { c.Proxy = &imapkit.SOCKSProxy{} }},
	}
	for _, tt := range tests {
		t.Run(tt.field, func(t *testing.T) {
			c := &imapkit.Client{Host: "192.0.2.1", Username: "user", Password: "secret"}
			tt.change(c)
			began := time.Now()
			err := c.Connect(limited(t))
			if err == nil || !strings.Contains(err.Error(), tt.field) {
				t.Errorf("error %v does not name %s", err, tt.field)
			}
			if time.Since(began) > time.Second {
				t.Error("it took as long as dialing would")
			}
		})
	}
}

func TestReadOnlySendsNothingThatChanges(t *testing.T) {
	ctx := limited(t)
	c := &imapkit.Client{Host: "192.0.2.1", Username: "user", Password: "secret", ReadOnly: true}
	defer c.Close()
	f := c.Folder("INBOX")
	uids := []imap.UID{101}
	calls := map[string]func() error{
		"AddFlags":     func() error { return f.AddFlags(ctx, uids, imap.FlagSeen) },
		"RemoveFlags":  func() error { return f.RemoveFlags(ctx, uids, imap.FlagSeen) },
		"SetFlags":     func() error { return f.SetFlags(ctx, uids, imap.FlagSeen) },
		"Append":       func() error { _, err := f.Append(ctx, strings.NewReader("x"), 1, imapkit.AppendOptions{}); return err },
		"Copy":         func() error { _, err := f.Copy(ctx, uids, "Trash"); return err },
		"Move":         func() error { _, err := f.Move(ctx, uids, "Trash"); return err },
		"Delete":       func() error { return f.Delete(ctx, uids) },
		"CreateFolder": func() error { return c.CreateFolder(ctx, "New") },
		"DeleteFolder": func() error { return c.DeleteFolder(ctx, "Old") },
		"RenameFolder": func() error { return c.RenameFolder(ctx, "Old", "New") },
		"Subscribe":    func() error { return c.Subscribe(ctx, "Old") },
		"Unsubscribe":  func() error { return c.Unsubscribe(ctx, "Old") },
	}
	for name, call := range calls {
		began := time.Now()
		if err := call(); !errors.Is(err, imapkit.ErrReadOnly) {
			t.Errorf("%s: %v, want ErrReadOnly", name, err)
		}
		if time.Since(began) > time.Second {
			t.Errorf("%s seems to have dialed", name)
		}
	}
}

func TestReadOnlyOpensFoldersWithExamine(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 3})
	c := inClear(s)
	c.ReadOnly = true
	defer c.Close()
	if _, err := c.Folder("INBOX").Search(limited(t), imapkit.All()); err != nil {
		t.Fatal(err)
	}
	got := s.Received()
	if !strings.Contains(got, "EXAMINE INBOX") || strings.Contains(got, "SELECT") {
		t.Errorf("the server received:\n%s", got)
	}
}

// deadline checks that a call ends at about the time it should.
func deadline(t *testing.T, want time.Duration, call func() error) error {
	t.Helper()
	began := time.Now()
	err := call()
	if took := time.Since(began); took < want-50*time.Millisecond || took > want+200*time.Millisecond+want/5 {
		t.Errorf("it took %v, want about %v (%v)", took, want, err)
	}
	return err
}

func TestTimeouts(t *testing.T) {
	silent := scripted.New(t, func(c *scripted.Conn) { c.Stall() })
	mute := scripted.Serve(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID SEARCH": func(c *scripted.Conn, _ scripted.Command) { c.Stall() },
	}})
	t.Run("GreetingTimeout", func(t *testing.T) {
		c := inClear(silent)
		c.GreetingTimeout = 300 * time.Millisecond
		defer c.Close()
		err := deadline(t, 300*time.Millisecond, func() error { return c.Connect(limited(t)) })
		if !errors.Is(err, imapkit.ErrGreetingTimeout) || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("DialTimeout counts TLS", func(t *testing.T) {
		c := inClear(silent)
		c.Security = imapkit.SecurityImplicitTLS
		c.DialTimeout = 300 * time.Millisecond
		defer c.Close()
		err := deadline(t, 300*time.Millisecond, func() error { return c.Connect(limited(t)) })
		if !errors.Is(err, imapkit.ErrTimeout) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("Timeout of an operation", func(t *testing.T) {
		c := inClear(mute)
		c.Timeout = 300 * time.Millisecond
		defer c.Close()
		err := deadline(t, 300*time.Millisecond, func() error {
			_, err := c.Folder("INBOX").Search(limited(t), imapkit.All())
			return err
		})
		if !errors.Is(err, imapkit.ErrTimeout) || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if _, err := c.Capabilities(limited(t)); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
	t.Run("the context on top", func(t *testing.T) {
		c := inClear(mute)
		defer c.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		err := deadline(t, 200*time.Millisecond, func() error {
			_, err := c.Folder("INBOX").Search(ctx, imapkit.All())
			return err
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if _, err := c.Capabilities(limited(t)); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestAutoFindsOutWhatTheServerSpeaks(t *testing.T) {
	starttls := scripted.Serve(t, scripted.Options{Exists: 1, Caps: "IMAP4rev1 STARTTLS AUTH=PLAIN", TLSConfig: scripted.TLSConfig()})
	implicit := scripted.Serve(t, scripted.Options{Exists: 1, TLS: true, TLSConfig: scripted.TLSConfig()})
	clear := scripted.Serve(t, scripted.Options{Exists: 1, Caps: "IMAP4rev1 AUTH=PLAIN"})
	tests := []struct {
		name   string
		server *scripted.Server
		err    error
	}{
		{"STARTTLS", starttls, nil}, {"implicit TLS", implicit, nil}, {"clear text only", clear, imapkit.ErrInsecure},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := inClear(tt.server)
			c.Security = imapkit.SecurityAuto
			c.TLS.Config = &tls.Config{RootCAs: scripted.CertPool()}
			defer c.Close()
			began := time.Now()
			err := c.Connect(limited(t))
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			var attempts *imapkit.ConnectError
			if tt.err != nil && (!errors.As(err, &attempts) || len(attempts.Attempts) != 2) {
				t.Errorf("error %v does not list two attempts", err)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("it took %v", took)
			}
			if got := tt.server.Cleartext(); strings.Contains(got, "secret") || strings.Contains(got, "AUTHENTICATE") || strings.Contains(got, "LOGIN") {
				t.Errorf("sent in clear:\n%s", got)
			}
		})
	}
}

func TestAConnectionClosedWhileIdleIsReplaced(t *testing.T) {
	closing := map[string]func(*scripted.Conn){
		"close": func(c *scripted.Conn) { c.Close() },
		"reset": func(c *scripted.Conn) { c.Reset() },
		"BYE":   func(c *scripted.Conn) { c.Send("* BYE idle for too long"); c.Close() },
	}
	for name, end := range closing {
		t.Run(name, func(t *testing.T) {
			s := scripted.Serve(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
				"UID STORE": func(c *scripted.Conn, cmd scripted.Command) { c.OK(cmd.Tag, "done"); end(c) },
			}})
			c := inClear(s)
			defer c.Close()
			f := c.Folder("INBOX")
			for i := range 3 {
				if err := f.AddFlags(limited(t), []imap.UID{101}, imap.FlagSeen); err != nil {
					t.Fatalf("call %d: %v", i+1, err)
				}
				time.Sleep(20 * time.Millisecond) // for the end to arrive
			}
			if n := strings.Count(s.Received(), "UID STORE"); n != 3 {
				t.Errorf("%d STORE commands, want 3", n)
			}
		})
	}
}

func TestAChangeCutShortHasAnUnknownOutcome(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID STORE": func(c *scripted.Conn, cmd scripted.Command) { c.Close() },
	}})
	c := inClear(s)
	defer c.Close()
	err := c.Folder("INBOX").AddFlags(limited(t), []imap.UID{101}, imap.FlagSeen)
	if !errors.Is(err, imapkit.ErrUnknownOutcome) {
		t.Errorf("error %v", err)
	}
	if n := strings.Count(s.Received(), "UID STORE"); n != 1 {
		t.Errorf("%d STORE commands, want 1", n)
	}
}

func TestCloseIsFinal(t *testing.T) {
	scripted.LeakCheck(t)
	s := scripted.Serve(t, scripted.Options{Exists: 3})
	c := inClear(s)
	if err := c.Connect(limited(t)); err != nil {
		t.Fatal(err)
	}
	c.Close()
	c.Close()
	if err := c.Connect(limited(t)); !errors.Is(err, imapkit.ErrClosed) {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(s.Received(), "LOGOUT") {
		t.Error("no LOGOUT")
	}
}
