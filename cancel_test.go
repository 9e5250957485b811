package imapkit_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

// TestCancellationAtEachStage stalls the server at a stage of the first
// connection, cancels, and wants the call back at once and the client usable.
func TestCancellationAtEachStage(t *testing.T) {
	stall := func(c *scripted.Conn, cmd scripted.Command) {
		if c.Num == 1 {
			c.Stall()
			return
		}
		c.Answer(cmd)
	}
	handle := func(command string) scripted.Options {
		return scripted.Options{Exists: 3, Caps: "IMAP4rev1 AUTH=PLAIN",
			Handle: map[string]func(*scripted.Conn, scripted.Command){command: stall}}
	}
	search := func(ctx context.Context, c *imapkit.Client) error {
		_, err := c.Folder("INBOX").Search(ctx, imapkit.All())
		return err
	}
	withoutCaps := handle("CAPABILITY")
	withoutCaps.Greeting = "* OK ready"
	stages := map[string]struct {
		server *scripted.Server
		mode   imapkit.Security
		call   func(context.Context, *imapkit.Client) error
	}{
		"greeting": {scripted.New(t, func(c *scripted.Conn) {
			if c.Num == 1 {
				c.Stall()
			}
			c.AcceptLogin("IMAP4rev1 AUTH=PLAIN")
			c.Serve(scripted.Options{Exists: 3})
		}), imapkit.SecurityNone, search},
		"TLS": {scripted.New(t, func(c *scripted.Conn) {
			if c.Num == 1 {
				c.Stall()
			}
			if err := c.StartTLS(scripted.TLSConfig()); err != nil {
				return
			}
			c.AcceptLogin("IMAP4rev1 AUTH=PLAIN")
			c.Serve(scripted.Options{Exists: 3})
		}), imapkit.SecurityImplicitTLS, search},
		"CAPABILITY": {scripted.Serve(t, withoutCaps), imapkit.SecurityNone, search},
		"log-in":     {scripted.Serve(t, handle("AUTHENTICATE")), imapkit.SecurityNone, search},
		"SELECT":     {scripted.Serve(t, handle("SELECT")), imapkit.SecurityNone, search},
		"SEARCH":     {scripted.Serve(t, handle("UID SEARCH")), imapkit.SecurityNone, search},
		"a body": {scripted.Serve(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
			"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
				c.SendRaw("* 1 FETCH (UID 101 BODY[] {100}\r\nhalf")
				c.Stall()
			},
		}}), imapkit.SecurityNone, func(ctx context.Context, c *imapkit.Client) error {
			_, err := c.Folder("INBOX").Fetch(ctx, 101)
			return err
		}},
		"a change": {scripted.Serve(t, handle("UID STORE")), imapkit.SecurityNone, func(ctx context.Context, c *imapkit.Client) error {
			return c.Folder("INBOX").AddFlags(ctx, []imap.UID{101}, imap.FlagSeen)
		}},
	}
	for name, stage := range stages {
		t.Run(name, func(t *testing.T) {
			c := inClear(stage.server)
			c.Security = stage.mode
			c.TLS.Config = &tls.Config{RootCAs: scripted.CertPool()}
			defer c.Close()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			result := make(chan error, 1)
			go func() { result <- stage.call(ctx, c) }()
			time.Sleep(100 * time.Millisecond) // to get to the stage
			cancel()
			select {
			case err := <-result:
				if !errors.Is(err, context.Canceled) {
					t.Errorf("error %v", err)
				}
			case <-time.After(200 * time.Millisecond):
				t.Fatal("it did not return within 200 ms")
			}
			if _, err := c.Capabilities(limited(t)); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// A link counts how often the direction of the traffic changes, which is how
// many half round trips a slow network would have cost.
type link struct {
	net.Conn
	turns  *atomic.Int32
	toward *atomic.Bool
}

func (l link) Write(p []byte) (int, error) {
	if !l.toward.Swap(true) {
		l.turns.Add(1)
	}
	return l.Conn.Write(p)
}

func (l link) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if n > 0 && l.toward.Swap(false) {
		l.turns.Add(1)
	}
	return n, err
}

type linkDialer struct{ turns atomic.Int32 }

func (d *linkDialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	d.turns.Store(0)
	return link{c, &d.turns, new(atomic.Bool)}, nil
}

func TestRoundTripsToTheFirstSearchResult(t *testing.T) {
	for name, greeting := range map[string]string{
		"capabilities in the greeting": "",
		"no capabilities anywhere":     "* OK ready",
	} {
		t.Run(name, func(t *testing.T) {
			s := scripted.Serve(t, scripted.Options{Exists: 3, TLS: true, TLSConfig: scripted.TLSConfig(), Greeting: greeting,
				Caps: "IMAP4rev1 SASL-IR AUTH=PLAIN"})
			d := new(linkDialer)
			c := inClear(s)
			c.Security, c.Proxy = imapkit.SecurityImplicitTLS, d
			c.TLS.Config = &tls.Config{RootCAs: scripted.CertPool()}
			defer c.Close()
			if _, err := c.Folder("INBOX").Search(limited(t), imapkit.All()); err != nil {
				t.Fatal(err)
			}
			// TCP takes one round trip that is not seen here. TLS and the
			// greeting, which cannot be counted apart, take two together.
			trips := 1 + float64(d.turns.Load())/2
			t.Logf("%.1f round trips", trips)
			limit := 5.2
			if greeting != "" {
				limit = 6.2 // the server has to be asked what it can do
			}
			if trips > limit {
				t.Errorf("%.1f round trips, at most %.1f are allowed", trips, limit)
			}
		})
	}
}

func TestASlowBodyIsNotCutWhileItFlows(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 1, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			c.SendRaw("* 1 FETCH (UID 101 BODY[] {10}\r\n")
			for range 10 {
				time.Sleep(100 * time.Millisecond)
				c.SendRaw("x")
			}
			c.SendRaw(")\r\n")
			c.OK(cmd.Tag, "done")
		},
	}})
	c := inClear(s)
	c.Timeout = 400 * time.Millisecond
	defer c.Close()
	r, err := c.Folder("INBOX").Open(limited(t), 101)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil || string(b) != strings.Repeat("x", 10) {
		t.Errorf("read %q %v", b, err)
	}
}

// TestACancelledContextEndsALoopAtOnce cancels at the first message, when the
// others have arrived already: the server sends the first one last, so that all
// are ready together.
func TestACancelledContextEndsALoopAtOnce(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 8, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			for n := 8; n >= 1; n-- {
				c.Sendf("* %d FETCH (UID %d FLAGS () INTERNALDATE \"01-Jan-2024 00:00:00 +0000\" RFC822.SIZE 2 BODY[] {2}\r\nhi)", n, 100+n)
			}
			c.OK(cmd.Tag, "done")
		},
	}})
	c := inClear(s)
	defer c.Close()
	f := c.Folder("INBOX")
	uids := []imap.UID{101, 102, 103, 104, 105, 106, 107, 108}
	loops := map[string]func(ctx context.Context, each func(error)){
		"Messages": func(ctx context.Context, each func(error)) {
			for _, err := range f.Messages(ctx, imapkit.All(), imapkit.ItemFlags) {
				each(err)
			}
		},
		"FetchAll": func(ctx context.Context, each func(error)) {
			for _, err := range f.FetchAll(ctx, uids) {
				each(err)
			}
		},
		"Raw": func(ctx context.Context, each func(error)) {
			for _, err := range f.Raw(ctx, uids) {
				each(err)
			}
		},
	}
	for name, loop := range loops {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			var steps []error
			loop(ctx, func(err error) {
				steps = append(steps, err)
				cancel()
				time.Sleep(20 * time.Millisecond) // for all to arrive, and for the end of the context to be noticed
			})
			if len(steps) != 2 || steps[0] != nil || !errors.Is(steps[1], context.Canceled) {
				t.Errorf("steps %v, want one message and context.Canceled", steps)
			}
			if _, err := f.Search(limited(t), imapkit.All()); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}
