package imapkit_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

// ports sends what is dialed to other addresses, by port.
type ports struct {
	to map[string]string

	mu     sync.Mutex
	dialed []string
}

func (p *ports) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	p.mu.Lock()
	p.dialed = append(p.dialed, addr)
	p.mu.Unlock()
	_, port, _ := net.SplitHostPort(addr)
	to, ok := p.to[port]
	if !ok { // a firewall that drops
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return new(net.Dialer).DialContext(ctx, network, to)
}

func TestAutoWithoutAPortTries993And143(t *testing.T) {
	implicit := scripted.Serve(t, scripted.Options{TLS: true})
	starttls := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 STARTTLS AUTH=PLAIN"})
	tests := map[string]struct {
		to     map[string]string
		server *scripted.Server
	}{
		"both answer":      {map[string]string{"993": implicit.Addr, "143": starttls.Addr}, implicit},
		"993 is dropped":   {map[string]string{"143": starttls.Addr}, starttls},
		"143 is dropped":   {map[string]string{"993": implicit.Addr}, implicit},
		"993 speaks clear": {map[string]string{"993": starttls.Addr, "143": starttls.Addr}, starttls},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			scripted.LeakCheck(t)
			p := &ports{to: tt.to}
			c := &imapkit.Client{Host: "localhost", Username: "user", Password: "secret", Proxy: p, MaxConns: 2}
			c.TLS.Config = &tls.Config{RootCAs: scripted.CertPool()}
			defer c.Close()
			began := time.Now()
			if err := c.Connect(limited(t)); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("it took %v", took)
			}
			// What has been found out is remembered for the next connection.
			p.mu.Lock()
			p.dialed = nil
			p.mu.Unlock()
			err := c.Do(limited(t), "", func(*imapclient.Client) error {
				_, err := c.Capabilities(limited(t))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(p.dialed) != 1 {
				t.Errorf("the second connection dialed %v", p.dialed)
			}
		})
	}
}

func TestConnectionsAreHandedOutFirstComeFirstServed(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 3})
	c := inClear(s)
	defer c.Close()
	release := make(chan struct{})
	holding := make(chan struct{})
	go c.Do(limited(t), "", func(*imapclient.Client) error {
		close(holding)
		<-release
		return nil
	})
	<-holding
	var wg sync.WaitGroup
	for i := range 5 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c.Folder(fmt.Sprintf("F%d", i)).Search(limited(t), imapkit.All())
		}()
		time.Sleep(30 * time.Millisecond) // for the goroutine to be in the line
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Capabilities(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting with a context: %v", err)
	}
	close(release)
	wg.Wait()
	at := -1
	for i := range 5 {
		next := strings.Index(s.Received(), fmt.Sprintf("SELECT \"F%d\"", i))
		if next < at || next < 0 {
			t.Errorf("F%d was not served in its turn:\n%s", i, s.Received())
		}
		at = next
	}
	if n := s.Conns(); n != 1 {
		t.Errorf("%d connections, MaxConns is 1", n)
	}
}

func TestAConnectionThatHasTheFolderOpenIsPreferred(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 3})
	c := inClear(s)
	c.MaxConns = 2
	defer c.Close()
	a, b := c.Folder("A"), c.Folder("B")
	err := c.Do(limited(t), "A", func(*imapclient.Client) error {
		_, err := b.Search(limited(t), imapkit.All())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		for _, f := range []*imapkit.Folder{a, b} {
			if _, err := f.Search(limited(t), imapkit.All()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := strings.Count(s.Received(), "SELECT"); n != 2 {
		t.Errorf("%d SELECT commands, want 2:\n%s", n, s.Received())
	}
}

func TestAPanicInTheProgramLeavesTheClientUsable(t *testing.T) {
	scripted.LeakCheck(t)
	s := scripted.Serve(t, scripted.Options{Exists: 5000})
	c := inClear(s)
	c.MaxConns = 1
	defer c.Close()
	f := c.Folder("INBOX")
	panics := map[string]func(){
		"in Do": func() { c.Do(limited(t), "", func(*imapclient.Client) error { panic("oops") }) },
		"in a loop": func() {
			for range f.Messages(limited(t), imapkit.All()) {
				panic("oops")
			}
		},
		"in a loop over flags": func() {
			for m := range f.Messages(limited(t), imapkit.All(), imapkit.ItemFlags) {
				if m.SeqNum == 20 {
					panic("oops")
				}
			}
		},
		"in a loop whose context ends then": func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			for range f.Messages(ctx, imapkit.All(), imapkit.ItemFlags) {
				panic("oops")
			}
		},
		"in a loop over whole messages": func() {
			for range f.FetchAll(limited(t), []imap.UID{101, 102, 103}) {
				panic("oops")
			}
		},
		"in a raw loop": func() {
			for range f.Raw(limited(t), []imap.UID{101, 102}) {
				panic("oops")
			}
		},
	}
	for name, call := range panics {
		t.Run(name, func(t *testing.T) {
			func() {
				defer func() {
					if recover() == nil {
						t.Error("the panic was swallowed")
					}
				}()
				call()
			}()
			if _, err := f.Search(limited(t), imapkit.All()); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	scripted.LeakCheck(t)
	s := scripted.Serve(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID SEARCH": func(c *scripted.Conn, _ scripted.Command) { c.Stall() },
		"LOGOUT":     func(c *scripted.Conn, _ scripted.Command) { c.Stall() },
	}})
	silent := scripted.New(t, func(c *scripted.Conn) { c.Stall() })
	for name, server := range map[string]*scripted.Server{"an operation": s, "a log-in": silent} {
		t.Run(name, func(t *testing.T) {
			c := inClear(server)
			results := make(chan error, 3)
			for range 3 { // one at work, two waiting
				go func() {
					_, err := c.Folder("INBOX").Search(limited(t), imapkit.All())
					results <- err
				}()
			}
			time.Sleep(100 * time.Millisecond)
			began := time.Now()
			c.Close()
			if took := time.Since(began); took > 2500*time.Millisecond {
				t.Errorf("Close took %v", took)
			}
			for range 3 {
				if err := <-results; !errors.Is(err, imapkit.ErrClosed) {
					t.Errorf("error %v", err)
				}
			}
		})
	}
}
