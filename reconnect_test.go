package imapkit_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
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

func TestWhatIsFoundDeadAtTheFirstCommandIsReadAgain(t *testing.T) {
	// Every old connection ends when a command comes: the client cannot know
	// before. Three are waiting for it.
	s := scripted.Serve(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"LIST": func(c *scripted.Conn, cmd scripted.Command) {
			if c.Num <= 3 {
				c.Reset()
				return
			}
			c.Answer(cmd)
		},
	}})
	c := inClear(s)
	c.MaxConns = 3
	defer c.Close()
	err := c.Do(limited(t), "", func(*imapclient.Client) error {
		return c.Do(limited(t), "", func(*imapclient.Client) error {
			return c.Connect(limited(t))
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Folders(limited(t), ""); err != nil {
		t.Error(err)
	}
	if n := s.Conns(); n != 4 {
		t.Errorf("%d connections, want 4", n)
	}
}

func TestAChangeIsNeverMadeTwice(t *testing.T) {
	uids := []imap.UID{101}
	for name, change := range map[string]func(*imapkit.Client) error{
		"UID STORE": func(c *imapkit.Client) error {
			return c.Folder("INBOX").AddFlags(limited(t), uids, imap.FlagSeen)
		},
		"UID COPY": func(c *imapkit.Client) error {
			_, err := c.Folder("INBOX").Copy(limited(t), uids, "Archive")
			return err
		},
		"UID MOVE": func(c *imapkit.Client) error {
			_, err := c.Folder("INBOX").Move(limited(t), uids, "Archive")
			return err
		},
		"APPEND": func(c *imapkit.Client) error {
			_, err := c.Folder("INBOX").Append(limited(t), strings.NewReader("x\r\n"), 3, imapkit.AppendOptions{})
			return err
		},
		"CREATE": func(c *imapkit.Client) error { return c.CreateFolder(limited(t), "New") },
		"RENAME": func(c *imapkit.Client) error { return c.RenameFolder(limited(t), "Old", "New") },
	} {
		for way, end := range map[string]func(*scripted.Conn){
			"closed": func(c *scripted.Conn) { c.Close() },
			"reset":  func(c *scripted.Conn) { c.Reset() },
			"BYE":    func(c *scripted.Conn) { c.Send("* BYE [UNAVAILABLE] out of order"); c.Close() },
			"silent": func(c *scripted.Conn) { c.Stall() },
		} {
			t.Run(name+" "+way, func(t *testing.T) {
				s := scripted.Serve(t, scripted.Options{Exists: 3, Caps: "IMAP4rev1 AUTH=PLAIN MOVE UIDPLUS",
					Handle: map[string]func(*scripted.Conn, scripted.Command){
						name: func(c *scripted.Conn, _ scripted.Command) { end(c) },
					}})
				c := inClear(s)
				c.Timeout = 300 * time.Millisecond
				defer c.Close()
				if _, err := c.Select(limited(t), "INBOX"); err != nil { // so that the connection is an old one
					t.Fatal(err)
				}
				err := change(c)
				if !errors.Is(err, imapkit.ErrUnknownOutcome) {
					t.Errorf("error %v", err)
				}
				var said *imapkit.ServerError
				switch way {
				case "closed":
					if !errors.Is(err, io.ErrUnexpectedEOF) {
						t.Errorf("error %v does not tell the cause", err)
					}
				case "BYE":
					if !errors.As(err, &said) || said.Text != "out of order" {
						t.Errorf("error %v does not quote the server", err)
					}
				case "silent":
					if !errors.Is(err, imapkit.ErrTimeout) {
						t.Errorf("error %v does not tell the cause", err)
					}
				}
				if n := strings.Count(s.Received(), " "+name+" "); n != 1 {
					t.Errorf("%s was sent %d times", name, n)
				}
				if _, err := c.Select(limited(t), "INBOX"); err != nil {
					t.Errorf("afterwards: %v", err)
				}
			})
		}
	}
}

func TestAChangeFindsItsFolderClosedWithTheConnection(t *testing.T) {
	// The server dies at the SELECT that comes before the change: nothing of
	// the change has been sent, so it is made on a new connection.
	s := scripted.Serve(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"SELECT": func(c *scripted.Conn, cmd scripted.Command) {
			if c.Num == 1 {
				c.Close()
				return
			}
			c.Answer(cmd)
		},
	}})
	c := inClear(s)
	defer c.Close()
	if err := c.Connect(limited(t)); err != nil {
		t.Fatal(err)
	}
	if err := c.Folder("INBOX").AddFlags(limited(t), []imap.UID{101}, imap.FlagSeen); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(s.Received(), "UID STORE"); n != 1 {
		t.Errorf("STORE was sent %d times", n)
	}
}

func TestTheServersPartingWordsAreQuoted(t *testing.T) {
	farewell := func(c *scripted.Conn, _ scripted.Command) {
		c.Send("* BYE [ALERT] maintenance begins")
		c.Close()
	}
	s := scripted.Serve(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"LIST": farewell, "UID SEARCH": farewell,
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			c.SendRaw("* 1 FETCH (UID 101 BODY[] {5}\r\n12345)\r\n")
			farewell(c, cmd)
		},
	}})
	var log bytes.Buffer
	c := inClear(s)
	c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	defer c.Close()
	f := c.Folder("INBOX")
	for name, call := range map[string]func() error{
		"Folders": func() error { _, err := c.Folders(limited(t), ""); return err },
		"Search":  func() error { _, err := f.Search(limited(t), imapkit.All()); return err },
		"FetchAll": func() error {
			for _, err := range f.FetchAll(limited(t), []imap.UID{101, 102}) {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"Raw": func() error {
			for _, err := range f.Raw(limited(t), []imap.UID{101, 102}) {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"Open": func() error {
			r, err := f.Open(limited(t), 101)
			if err != nil {
				return err
			}
			defer r.Close()
			_, err = io.ReadAll(r)
			return err
		},
	} {
		var said *imapkit.ServerError
		if err := call(); !errors.As(err, &said) || said.Status != "BYE" || said.Text != "maintenance begins" {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if !strings.Contains(log.String(), "maintenance begins") {
		t.Errorf("the alert is not in the log:\n%s", log.String())
	}
}

// A channel is a connection that deadlines mean nothing to.
type channel struct {
	net.Conn
	err error // of setting a deadline
}

func (c channel) SetReadDeadline(time.Time) error { return c.err }
func (c channel) SetDeadline(time.Time) error     { return c.err }

func TestConnectionsWithoutDeadlinesWork(t *testing.T) {
	for name, err := range map[string]error{"they are refused": errors.New("no deadlines"), "they are ignored": nil} {
		t.Run(name, func(t *testing.T) {
			s := scripted.Serve(t, scripted.Options{Exists: 3})
			c := inClear(s)
			c.Proxy = through(func(nc net.Conn) net.Conn { return channel{nc, err} })
			defer c.Close()
			for range 3 {
				began := time.Now()
				if err := c.Folder("INBOX").AddFlags(limited(t), []imap.UID{101}, imap.FlagSeen); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("it took %v", took)
				}
			}
		})
	}
}

func TestCapabilitiesAreAskedForOnce(t *testing.T) {
	// Mailutils tells its capabilities neither in the greeting nor after the
	// log-in.
	s := scripted.Serve(t, scripted.Options{Exists: 3, Greeting: "* OK ready", Handle: map[string]func(*scripted.Conn, scripted.Command){
		"CAPABILITY": func(c *scripted.Conn, cmd scripted.Command) {
			c.Send("* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR UNSELECT")
			c.OK(cmd.Tag, "done")
		},
		"AUTHENTICATE": func(c *scripted.Conn, cmd scripted.Command) { c.OK(cmd.Tag, "welcome") },
		"UID STORE":    func(c *scripted.Conn, cmd scripted.Command) { c.OK(cmd.Tag, "done"); c.Close() },
	}})
	c := inClear(s)
	defer c.Close()
	f := c.Folder("INBOX")
	if _, err := f.Search(limited(t), imapkit.All()); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(s.Received(), "CAPABILITY"); n != 1 {
		t.Errorf("up to the first result, the capabilities were asked for %d times", n)
	}
	for range 3 {
		if caps, err := c.Capabilities(limited(t)); err != nil || !caps.Has(imap.CapUnselect) {
			t.Fatal(caps, err)
		}
		if err := f.AddFlags(limited(t), []imap.UID{101}, imap.FlagSeen); err != nil { // after which the server hangs up
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // for the end to arrive
	}
	if s.Conns() != 3 || strings.Count(s.Received(), "CAPABILITY") != 2 {
		t.Errorf("%d connections:\n%s", s.Conns(), s.Received())
	}
}

func TestCapabilitiesBeforeTheLogInDoNotCountAfterIt(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 3, Caps: "IMAP4rev1 AUTH=PLAIN SASL-IR ESEARCH MOVE",
		Handle: map[string]func(*scripted.Conn, scripted.Command){
			"AUTHENTICATE": func(c *scripted.Conn, cmd scripted.Command) { c.OK(cmd.Tag, "welcome") },
			"CAPABILITY": func(c *scripted.Conn, cmd scripted.Command) {
				c.Send("* CAPABILITY IMAP4rev1 UIDPLUS")
				c.OK(cmd.Tag, "done")
			},
		}})
	c := inClear(s)
	defer c.Close()
	f := c.Folder("INBOX")
	if _, err := f.Search(limited(t), imapkit.All()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Move(limited(t), []imap.UID{101}, "Archive"); err != nil {
		t.Fatal(err)
	}
	if got := s.Received(); strings.Contains(got, "RETURN") || strings.Contains(got, "UID MOVE") {
		t.Errorf("the server received:\n%s", got)
	}
}

func TestALogInThatServersChangeTheirMindAboutIsDoneAnew(t *testing.T) {
	var mu sync.Mutex
	offer := "AUTH=PLAIN SASL-IR"
	s := scripted.Serve(t, scripted.Options{Greeting: "* OK ready", Handle: map[string]func(*scripted.Conn, scripted.Command){
		"CAPABILITY": func(c *scripted.Conn, cmd scripted.Command) {
			mu.Lock()
			defer mu.Unlock()
			c.Send("* CAPABILITY IMAP4rev1 " + offer)
			c.OK(cmd.Tag, "done")
		},
		"AUTHENTICATE": func(c *scripted.Conn, cmd scripted.Command) {
			mu.Lock()
			defer mu.Unlock()
			if mechanism, _, _ := strings.Cut(cmd.Args, " "); !strings.Contains(offer, mechanism) {
				c.No(cmd.Tag, "unsupported mechanism")
				return
			}
			c.Answer(cmd)
		},
		"LIST": func(c *scripted.Conn, cmd scripted.Command) { c.Answer(cmd); c.Close() },
	}})
	c := inClear(s)
	defer c.Close()
	for range 2 {
		if _, err := c.Folders(context.Background(), ""); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		offer = "AUTH=LOGIN"
		mu.Unlock()
	}
}

func TestAServerThatSaysByeAndStaysIsLeft(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Handle: map[string]func(*scripted.Conn, scripted.Command){
		"LIST": func(c *scripted.Conn, _ scripted.Command) {
			c.Send("* BYE out of order")
			c.Stall()
		},
	}})
	c := inClear(s)
	defer c.Close()
	began := time.Now()
	var said *imapkit.ServerError
	if _, err := c.Folders(limited(t), ""); !errors.As(err, &said) || said.Text != "out of order" {
		t.Errorf("error %v", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestTheProgramsCodeIsNotRunTwice(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID STORE": func(c *scripted.Conn, _ scripted.Command) { c.Close() },
	}})
	c := inClear(s)
	defer c.Close()
	if _, err := c.Select(limited(t), "INBOX"); err != nil { // so that the connection is an old one
		t.Fatal(err)
	}
	runs := 0
	err := c.Do(limited(t), "", func(gc *imapclient.Client) error {
		runs++
		return gc.Store(imap.UIDSetNum(101), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagSeen}}, nil).Close()
	})
	if err == nil || runs != 1 || strings.Count(s.Received(), "UID STORE") != 1 {
		t.Errorf("%d runs, error %v", runs, err)
	}
}

func TestAllWhoWaitLearnThatThereIsNoConnection(t *testing.T) {
	tests := map[string]struct {
		server *scripted.Server
		is     error
	}{
		"silence": {scripted.New(t, func(c *scripted.Conn) { c.Stall() }), imapkit.ErrGreetingTimeout},
		"a wrong password": {scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 AUTH=PLAIN SASL-IR",
			Handle: map[string]func(*scripted.Conn, scripted.Command){
				"AUTHENTICATE": func(c *scripted.Conn, cmd scripted.Command) {
					time.Sleep(200 * time.Millisecond) // in which the others come
					c.No(cmd.Tag, "wrong password")
				},
			}}), imapkit.ErrAuthentication},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := inClear(tt.server)
			c.GreetingTimeout = 400 * time.Millisecond
			defer c.Close()
			began := time.Now()
			var all sync.WaitGroup
			for range 10 {
				all.Go(func() {
					if _, err := c.Folders(limited(t), ""); !errors.Is(err, tt.is) {
						t.Errorf("error %v", err)
					}
				})
			}
			all.Wait()
			if took := time.Since(began); took > 900*time.Millisecond {
				t.Errorf("it took %v", took)
			}
			if n := tt.server.Conns(); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}
