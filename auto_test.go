package imapkit_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

// onAuto returns a client that has to find out what a scripted server speaks.
func onAuto(s *scripted.Server) *imapkit.Client {
	c := inClear(s)
	c.Security = imapkit.SecurityAuto
	c.TLS.Config = &tls.Config{RootCAs: scripted.CertPool()}
	return c
}

func TestAutoGivesUpAtOnceWhereWaitingIsInVain(t *testing.T) {
	foreign := func(greeting string) *scripted.Server {
		return scripted.New(t, func(c *scripted.Conn) {
			c.SendRaw(greeting)
			c.Stall()
		})
	}
	wrongName := scripted.TLSConfig()
	wrongName.Certificates = []tls.Certificate{scripted.Certificate(t, func(cert *x509.Certificate) {
		cert.DNSNames, cert.IPAddresses = []string{"elsewhere.example.org"}, nil
	})}
	old := scripted.TLSConfig()
	old.MaxVersion = tls.VersionTLS11
	closed := scripted.New(t, func(*scripted.Conn) {})
	closed.Close()
	var name x509.HostnameError
	var said *imapkit.ServerError
	var network *net.OpError

	tests := map[string]struct {
		server   *scripted.Server
		attempts int
		is       error
		as       any
	}{
		"the certificate is for another name": {scripted.Serve(t, scripted.Options{TLS: true, TLSConfig: wrongName}), 1, nil, &name},
		"no common TLS version":               {scripted.Serve(t, scripted.Options{TLS: true, TLSConfig: old}), 1, nil, nil},
		"BYE over TLS": {scripted.NewTLS(t, nil, func(c *scripted.Conn) {
			c.Send("* BYE too many connections")
		}), 1, nil, &said},
		"BYE in clear": {scripted.New(t, func(c *scripted.Conn) {
			c.Send("* BYE too many connections")
		}), 2, nil, &said},
		"the port closes":        {scripted.New(t, func(c *scripted.Conn) { c.Close() }), 2, io.ErrUnexpectedEOF, nil},
		"nobody listens":         {closed, 2, nil, &network},
		"SMTP":                   {foreign("220 mail.example.org ESMTP\r\n"), 2, imapkit.ErrProtocol, nil},
		"POP3":                   {foreign("+OK POP3 ready\r\n"), 2, imapkit.ErrProtocol, nil},
		"bytes without an end":   {foreign(strings.Repeat("\x00", 300)), 2, imapkit.ErrProtocol, nil},
		"PREAUTH before TLS":     {foreign("* PREAUTH welcome\r\n"), 2, imapkit.ErrInsecure, nil},
		"STARTTLS not on offer":  {scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 AUTH=PLAIN"}), 2, imapkit.ErrInsecure, nil},
		"no capabilities at all": {scripted.Serve(t, scripted.Options{Greeting: "* OK hello"}), 2, imapkit.ErrInsecure, nil},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			scripted.LeakCheck(t)
			c := onAuto(tt.server)
			defer c.Close()
			began := time.Now()
			err := c.Connect(limited(t))
			if took := time.Since(began); took > time.Second {
				t.Errorf("it took %v", took)
			}
			var failed *imapkit.ConnectError
			if !errors.As(err, &failed) || len(failed.Attempts) != tt.attempts {
				t.Fatalf("error %v, want one of %d attempts", err, tt.attempts)
			}
			for _, attempt := range failed.Attempts {
				if attempt.Err == nil || attempt.Addr != tt.server.Addr {
					t.Errorf("attempt %+v", attempt)
				}
			}
			if tt.is != nil && !errors.Is(err, tt.is) || tt.as != nil && !errors.As(err, tt.as) {
				t.Errorf("error %v", err)
			}
			if errors.Is(err, context.Canceled) {
				t.Errorf("error %v says that the program cancelled", err)
			}
			if strings.Count(err.Error(), "imapkit:") != 1 {
				t.Errorf("error %v does not say once whose it is", err)
			}
			if got := tt.server.Cleartext(); strings.Contains(got, "secret") || strings.Contains(got, "AUTHENTICATE") {
				t.Errorf("sent in clear: %q", got)
			}
		})
	}
}

func TestAutoWaitsForAServerThatIsSlow(t *testing.T) {
	slow := 400 * time.Millisecond
	tests := map[string]*scripted.Server{
		"greeting over TLS": scripted.NewTLS(t, nil, func(c *scripted.Conn) {
			time.Sleep(slow)
			c.AcceptLogin("IMAP4rev1 AUTH=PLAIN")
			c.Serve(scripted.Options{})
		}),
		"greeting in clear": scripted.New(t, func(c *scripted.Conn) {
			time.Sleep(slow)
			c.AcceptLogin("IMAP4rev1 STARTTLS AUTH=PLAIN")
			c.Serve(scripted.Options{})
		}),
		"handshake": scripted.New(t, func(c *scripted.Conn) {
			time.Sleep(slow)
			if c.StartTLS(nil) == nil {
				c.AcceptLogin("IMAP4rev1 AUTH=PLAIN")
				c.Serve(scripted.Options{})
			}
		}),
	}
	for what, server := range tests {
		t.Run(what, func(t *testing.T) {
			c := onAuto(server)
			defer c.Close()
			began := time.Now()
			if err := c.Connect(limited(t)); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestAutoTakesNoLongerThanTheTimeouts(t *testing.T) {
	silent := scripted.New(t, func(c *scripted.Conn) { c.Stall() })
	c := onAuto(silent)
	c.GreetingTimeout = 500 * time.Millisecond
	defer c.Close()
	err := deadline(t, 500*time.Millisecond, func() error { return c.Connect(limited(t)) })
	if !errors.Is(err, imapkit.ErrGreetingTimeout) {
		t.Errorf("error %v", err)
	}
	c = onAuto(silent)
	c.Proxy = &ports{} // drops everything
	c.DialTimeout = 500 * time.Millisecond
	defer c.Close()
	err = deadline(t, 500*time.Millisecond, func() error { return c.Connect(limited(t)) })
	if !errors.Is(err, imapkit.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestAutoDoesNotWaitForAFilteredPortWhenTheOtherHasAnswered(t *testing.T) {
	clear := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 AUTH=PLAIN"})
	untrusted := scripted.Serve(t, scripted.Options{TLS: true})
	tests := map[string]struct {
		to    map[string]string
		roots *x509.CertPool
	}{
		"143 answers": {map[string]string{"143": clear.Addr}, scripted.CertPool()},
		"993 answers": {map[string]string{"993": untrusted.Addr}, x509.NewCertPool()},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			scripted.LeakCheck(t)
			c := &imapkit.Client{Host: "localhost", Username: "user", Password: "secret", Proxy: &ports{to: tt.to}}
			c.TLS.Config = &tls.Config{RootCAs: tt.roots}
			defer c.Close()
			began := time.Now()
			err := c.Connect(limited(t))
			var failed *imapkit.ConnectError
			if !errors.As(err, &failed) || len(failed.Attempts) != 2 || errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// closings counts the connections that were made and those that were closed.
type closings struct {
	mu           sync.Mutex
	made, closed int
}

type closing struct {
	net.Conn
	once  sync.Once
	count *closings
}

func (c *closing) Close() error {
	c.once.Do(func() {
		c.count.mu.Lock()
		c.count.closed++
		c.count.mu.Unlock()
	})
	return c.Conn.Close()
}

func (d *closings) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.made++
	return &closing{Conn: nc, count: d}, nil
}

func TestTheAttemptThatLosesIsClosed(t *testing.T) {
	s := scripted.New(t, func(c *scripted.Conn) { // TLS, but slow enough for a second attempt
		time.Sleep(300 * time.Millisecond)
		if c.StartTLS(nil) == nil {
			c.AcceptLogin("IMAP4rev1 AUTH=PLAIN")
			c.Serve(scripted.Options{})
		}
	})
	c := onAuto(s)
	count := new(closings)
	c.Proxy = count
	defer c.Close()
	if err := c.Connect(limited(t)); err != nil {
		t.Fatal(err)
	}
	count.mu.Lock()
	defer count.mu.Unlock()
	if count.made != 2 || count.closed != 1 {
		t.Errorf("%d connections made, %d closed; want 2 and 1", count.made, count.closed)
	}
}

func TestAutoRemembersWhatTheServerSpeaks(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 STARTTLS AUTH=PLAIN", Greeting: "* OK hello",
		Handle: map[string]func(*scripted.Conn, scripted.Command){
			"LIST": func(c *scripted.Conn, cmd scripted.Command) { c.Answer(cmd); c.Close() },
		}})
	c := onAuto(s)
	defer c.Close()
	for range 3 {
		if _, err := c.Folders(limited(t), ""); err != nil { // after which the server hangs up
			t.Fatal(err)
		}
	}
	if n := s.Conns(); n != 4 {
		t.Errorf("%d connections, want 4: one to find out that the server does not speak TLS, and three", n)
	}
	if n := strings.Count(s.Cleartext(), "CAPABILITY"); n != 1 {
		t.Errorf("before TLS, the capabilities were asked for %d times, want once", n)
	}
	if n := strings.Count(s.Received(), "CAPABILITY"); n != 2 {
		t.Errorf("the capabilities were asked for %d times, want once before and once after TLS:\n%s", n, s.Received())
	}
}

func TestAutoFindsOutAnewWhenTheServerHasChanged(t *testing.T) {
	implicit := scripted.Serve(t, scripted.Options{TLS: true})
	starttls := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 STARTTLS AUTH=PLAIN"})
	p := &ports{to: map[string]string{"993": implicit.Addr, "143": starttls.Addr}}
	c := &imapkit.Client{Host: "localhost", Username: "user", Password: "secret", Proxy: p}
	c.TLS.Config = &tls.Config{RootCAs: scripted.CertPool()}
	defer c.Close()
	if err := c.Connect(limited(t)); err != nil {
		t.Fatal(err)
	}
	implicit.Close()
	if err := c.Connect(limited(t)); err != nil {
		t.Fatalf("after the server has moved: %v", err)
	}
}
