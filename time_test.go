package imapkit_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"golang.org/x/net/proxy"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

// dialFunc is a proxy made of a function.
type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

func (f dialFunc) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return f(ctx, network, addr)
}

// through returns a dialer that wraps each connection.
func through(wrap func(net.Conn) net.Conn) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return wrap(nc), nil
	}
}

// A slowLine takes a millisecond for 128 bytes, in both directions.
type slowLine struct{ net.Conn }

func (l slowLine) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p[:min(len(p), 1024)])
	time.Sleep(time.Duration(n) * time.Millisecond / 128)
	return n, err
}

func (l slowLine) Write(p []byte) (int, error) {
	time.Sleep(time.Duration(len(p)) * time.Millisecond / 128)
	return l.Conn.Write(p)
}

func overTLS(s *scripted.Server) *imapkit.Client {
	c := inClear(s)
	c.Security = imapkit.SecurityImplicitTLS
	c.TLS.Config = &tls.Config{RootCAs: scripted.CertPool()}
	return c
}

func TestASlowLineIsNoSilence(t *testing.T) {
	body := strings.Repeat("0123456789abcde\n", 8<<10)
	options := scripted.Options{Exists: 1, Caps: "IMAP4rev1 AUTH=PLAIN LITERAL+", Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			c.SendRaw(fmt.Sprintf("* 1 FETCH (UID 101 BODY[] {%d}\r\n%s)\r\n", len(body), body))
			c.OK(cmd.Tag, "done")
		},
	}}
	encrypted := options
	encrypted.TLS = true
	for name, c := range map[string]*imapkit.Client{
		"in clear": inClear(scripted.Serve(t, options)), "over TLS": overTLS(scripted.Serve(t, encrypted)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// A TLS record of 16 KiB takes 128 ms, all of the body a second.
			c.Timeout = 400 * time.Millisecond
			c.Proxy = through(func(nc net.Conn) net.Conn { return slowLine{nc} })
			defer c.Close()
			f := c.Folder("INBOX")
			r, err := f.Open(limited(t), 101)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if b, err := io.ReadAll(r); err != nil || string(b) != body {
				t.Errorf("read %d bytes of %d: %v", len(b), len(body), err)
			}
			if _, err := f.Append(limited(t), strings.NewReader(body), int64(len(body)), imapkit.AppendOptions{}); err != nil {
				t.Errorf("Append: %v", err)
			}
		})
	}
}

func TestATransferThatStallsIsCut(t *testing.T) {
	const limit = 300 * time.Millisecond
	stalling := scripted.Serve(t, scripted.Options{Exists: 2, Caps: "IMAP4rev1 AUTH=PLAIN LITERAL+",
		Handle: map[string]func(*scripted.Conn, scripted.Command){
			"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
				c.SendRaw("* 1 FETCH (UID 101 BODY[] {1000000}\r\nbegin")
				c.Stall()
			},
		}})
	full := scripted.New(t, func(c *scripted.Conn) {
		c.AcceptLogin("IMAP4rev1 AUTH=PLAIN LITERAL+")
		if c.Num == 1 {
			c.Freeze()
			return
		}
		c.Serve(scripted.Options{})
	})
	endless := io.LimitReader(blanks{}, 1<<30)
	for name, tt := range map[string]struct {
		server *scripted.Server
		call   func(*imapkit.Folder) error
	}{
		"Open": {stalling, func(f *imapkit.Folder) error {
			r, err := f.Open(limited(t), 101)
			if err != nil {
				return err
			}
			defer r.Close()
			_, err = io.ReadAll(r)
			return err
		}},
		"Fetch": {stalling, func(f *imapkit.Folder) error { _, err := f.Fetch(limited(t), 101); return err }},
		"FetchAll": {stalling, func(f *imapkit.Folder) error {
			for _, err := range f.FetchAll(limited(t), []imap.UID{101}) {
				return err
			}
			return nil
		}},
		"Append": {full, func(f *imapkit.Folder) error {
			_, err := f.Append(limited(t), endless, 1<<30, imapkit.AppendOptions{})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := inClear(tt.server)
			c.Timeout = limit
			defer c.Close()
			began := time.Now()
			err := tt.call(c.Folder("INBOX"))
			if !errors.Is(err, imapkit.ErrTimeout) {
				t.Errorf("error %v", err)
			}
			// Filling the buffers of the network takes time, too.
			if took := time.Since(began); took < limit || took > limit+time.Second {
				t.Errorf("it took %v", took)
			}
			if _, err := c.Folders(limited(t), ""); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// blanks reads as a text of blanks that does not end.
type blanks struct{}

func (blanks) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestTheProgramMayTakeItsTime(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 3})
	c := inClear(s)
	c.Timeout = 100 * time.Millisecond
	defer c.Close()
	f := c.Folder("INBOX")
	slowly := func() { time.Sleep(250 * time.Millisecond) }
	n := 0
	for _, err := range f.Raw(limited(t), []imap.UID{101, 102}) {
		if err != nil {
			t.Fatal(err)
		}
		slowly()
		n++
	}
	for _, err := range f.Messages(limited(t), imapkit.UIDs(101, 102)) {
		if err != nil {
			t.Fatal(err)
		}
		slowly()
		n++
	}
	err := c.Do(limited(t), "INBOX", func(gc *imapclient.Client) error {
		slowly()
		n++
		return gc.Noop().Wait()
	})
	if err != nil || n != 5 {
		t.Errorf("%d steps: %v", n, err)
	}
}

func TestNegativeTimeoutsAreNone(t *testing.T) {
	s := scripted.New(t, func(c *scripted.Conn) {
		time.Sleep(50 * time.Millisecond)
		c.AcceptLogin("IMAP4rev1 AUTH=PLAIN")
		c.Serve(scripted.Options{Exists: 1})
	})
	c := inClear(s)
	c.Timeout, c.GreetingTimeout, c.DialTimeout = -1, -1, -1
	defer c.Close()
	if _, err := c.Folder("INBOX").Fetch(limited(t), 101); err != nil {
		t.Error(err)
	}
}

// TestCancellationOnTheWayToALogIn cancels where the first connection is not
// made, and wants the second one to work.
func TestCancellationOnTheWayToALogIn(t *testing.T) {
	healthy := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 STARTTLS AUTH=PLAIN AUTH=XOAUTH2"})
	until := make(chan struct{})
	t.Cleanup(func() { close(until) })
	silent := scripted.New(t, func(c *scripted.Conn) { c.Stall() })
	noSTARTTLS := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 STARTTLS", Handle: map[string]func(*scripted.Conn, scripted.Command){
		"STARTTLS": func(c *scripted.Conn, _ scripted.Command) { c.Stall() },
	}})
	noTLS := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 STARTTLS", Handle: map[string]func(*scripted.Conn, scripted.Command){
		"STARTTLS": func(c *scripted.Conn, cmd scripted.Command) { c.OK(cmd.Tag, "go"); c.Stall() },
	}})
	to := func(s *scripted.Server) dialFunc {
		return func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.Addr)
		}
	}
	stages := map[string]struct {
		first  proxy.ContextDialer
		change func(*imapkit.Client)
	}{
		"dialing": {dialFunc(func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}), nil},
		"a dialer that does not notice": {dialFunc(func(context.Context, string, string) (net.Conn, error) {
			<-until
			return nil, errors.New("too late")
		}), nil},
		"a SOCKS proxy":  {imapkit.SOCKSProxy{Addr: silent.Addr}, nil},
		"an HTTP proxy":  {imapkit.HTTPProxy{Addr: silent.Addr}, nil},
		"STARTTLS":       {to(noSTARTTLS), func(c *imapkit.Client) { c.Security = imapkit.SecurityStartTLS }},
		"TLS after that": {to(noTLS), func(c *imapkit.Client) { c.Security = imapkit.SecurityStartTLS }},
		"Auto":           {to(silent), func(c *imapkit.Client) { c.Security = imapkit.SecurityAuto }},
		"a TokenSource that does not notice": {to(healthy), func(c *imapkit.Client) {
			c.Password, c.TokenSource = "", new(wakingUp)
		}},
	}
	for name, stage := range stages {
		t.Run(name, func(t *testing.T) {
			c := inClear(healthy)
			c.TLS.Config = &tls.Config{RootCAs: scripted.CertPool()}
			cancelled := make(chan struct{})
			c.Proxy = dialFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
				select {
				case <-cancelled:
					return to(healthy)(ctx, network, addr)
				default:
					return stage.first.DialContext(ctx, network, addr)
				}
			})
			if stage.change != nil {
				stage.change(c)
			}
			defer c.Close()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			result := make(chan error, 1)
			go func() { result <- c.Connect(ctx) }()
			time.Sleep(100 * time.Millisecond) // to get to the stage
			close(cancelled)
			cancel()
			select {
			case err := <-result:
				if !errors.Is(err, context.Canceled) {
					t.Errorf("error %v", err)
				}
				var failed *imapkit.ProxyError
				if strings.HasSuffix(name, "proxy") && !errors.As(err, &failed) {
					t.Errorf("error %v does not name the proxy", err)
				}
			case <-time.After(200 * time.Millisecond):
				t.Fatal("it did not return within 200 ms")
			}
			if err := c.Connect(limited(t)); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// wakingUp is a TokenSource that is deaf the first time.
type wakingUp struct{ asked atomic.Int32 }

func (w *wakingUp) Token(context.Context, bool) (string, error) {
	if w.asked.Add(1) == 1 {
		time.Sleep(time.Second)
	}
	return "token", nil
}

func TestCancellationOfAnUpload(t *testing.T) {
	s := scripted.New(t, func(c *scripted.Conn) {
		c.AcceptLogin("IMAP4rev1 AUTH=PLAIN LITERAL+")
		if c.Num == 1 {
			c.Freeze()
			return
		}
		c.Serve(scripted.Options{})
	})
	c := inClear(s)
	defer c.Close()
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() {
		_, err := c.Folder("INBOX").Append(ctx, blanks{}, 1<<30, imapkit.AppendOptions{})
		result <- err
	}()
	time.Sleep(300 * time.Millisecond) // to fill the buffers of the network
	cancel()
	select {
	case err := <-result:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	case <-time.After(200 * time.Millisecond):
		t.Fatal("it did not return within 200 ms")
	}
	if _, err := c.Folders(limited(t), ""); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestTheTimeATokenTakesIsNotTheServers(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 AUTH=XOAUTH2"})
	c := inClear(s)
	c.Password, c.TokenSource = "", new(wakingUp)
	c.Timeout = 200 * time.Millisecond
	defer c.Close()
	if err := c.Connect(limited(t)); err != nil {
		t.Error(err)
	}
}

func TestAContextThatEndsAfterItsOperationHarmsNoOther(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 1})
	c := inClear(s)
	defer c.Close()
	for range 200 {
		ctx, cancel := context.WithCancel(context.Background())
		go cancel()
		if _, err := c.Folders(ctx, ""); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if _, err := c.Folders(limited(t), ""); err != nil {
			t.Fatalf("after an operation that was cancelled: %v", err)
		}
	}
}
