package imapkit_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

func TestACallDoesNotWaitForALoopLongerThanItsContext(t *testing.T) {
	// The loop has its only connection in the middle of an answer.
	s := scripted.Serve(t, scripted.Options{Exists: 2, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			c.Send("* 1 FETCH (UID 101 FLAGS ())")
			c.Stall()
		},
	}})
	c := inClear(s)
	defer c.Close()
	began := time.Now()
	for _, err := range c.Folder("INBOX").Messages(limited(t), imapkit.UIDs(101, 102), imapkit.ItemFlags) {
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		err := deadline(t, 100*time.Millisecond, func() error { _, err := c.Folders(ctx, ""); return err })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		break
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("leaving the loop took %v", took)
	}
}

func TestALoopGivesItsConnectionToWhoeverWaits(t *testing.T) {
	scripted.LeakCheck(t)
	s := scripted.Serve(t, scripted.Options{Exists: 50})
	c := inClear(s)
	defer c.Close()
	// Whenever another goroutine asks, before, while or after the loop gets
	// its connection, it is served while the loop waits for it.
	for round := range 20 {
		asked, served := make(chan struct{}), make(chan error, 1)
		go func() {
			<-asked
			time.Sleep(time.Duration(round) * 50 * time.Microsecond)
			_, err := c.Folders(limited(t), "")
			served <- err
		}()
		close(asked)
		n := 0
		for _, err := range c.Folder("INBOX").Messages(limited(t), imapkit.All()) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 1 {
				select {
				case err := <-served:
					if err != nil {
						t.Fatal(err)
					}
				case <-time.After(5 * time.Second):
					t.Fatal("nobody was served")
				}
			}
		}
		if n != 50 {
			t.Fatalf("%d messages, want 50", n)
		}
	}
	if n := s.Conns(); n != 1 {
		t.Errorf("%d connections, MaxConns is 1", n)
	}
}

func TestAWaitForOnesOwnConnectionEnds(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 2})
	ask := func(c *imapkit.Client) error { _, err := c.Folders(limited(t), ""); return err }
	for name, holding := range map[string]func(*imapkit.Client) error{
		"Do": func(c *imapkit.Client) error {
			return c.Do(limited(t), "INBOX", func(*imapclient.Client) error { return ask(c) })
		},
		"Open": func(c *imapkit.Client) error {
			r, err := c.Folder("INBOX").Open(limited(t), 101)
			if err != nil {
				return err
			}
			defer r.Close()
			return ask(c)
		},
		"Raw": func(c *imapkit.Client) error {
			for _, err := range c.Folder("INBOX").Raw(limited(t), []imap.UID{101, 102}) {
				if err != nil {
					return err
				}
				return ask(c)
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := inClear(s)
			c.Timeout = 300 * time.Millisecond
			defer c.Close()
			err := deadline(t, 300*time.Millisecond, func() error { return holding(c) })
			if !errors.Is(err, imapkit.ErrTimeout) || !strings.Contains(err.Error(), name+" in INBOX") {
				t.Errorf("error %v", err)
			}
			if err := ask(c); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestCloseEndsLoopsAndReaders(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	s := scripted.Serve(t, scripted.Options{Exists: 2, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			c.SendRaw("* 1 FETCH (UID 101 FLAGS () RFC822.SIZE 1048576 INTERNALDATE \"05-Jan-2026 10:00:00 +0000\" BODY[] {1048576}\r\n" + big + ")\r\n")
			c.Stall()
		},
	}})
	uids := []imap.UID{101, 102}
	for name, use := range map[string]func(*imapkit.Client, *imapkit.Folder) error{
		"Open": func(c *imapkit.Client, f *imapkit.Folder) error {
			r, err := f.Open(limited(t), 101)
			if err != nil {
				return err
			}
			defer r.Close()
			c.Close()
			_, err = io.ReadAll(r)
			return err
		},
		"Raw": func(c *imapkit.Client, f *imapkit.Folder) error {
			for _, err := range f.Raw(limited(t), uids) {
				if err != nil {
					return err
				}
				c.Close()
			}
			return nil
		},
		"FetchAll": func(c *imapkit.Client, f *imapkit.Folder) error {
			for _, err := range f.FetchAll(limited(t), uids) {
				if err != nil {
					return err
				}
				c.Close()
			}
			return nil
		},
		"Do": func(c *imapkit.Client, f *imapkit.Folder) error {
			return c.Do(limited(t), "INBOX", func(gc *imapclient.Client) error {
				c.Close()
				return gc.Noop().Wait()
			})
		},
		"a call after it": func(c *imapkit.Client, f *imapkit.Folder) error {
			c.Close()
			return f.AddFlags(limited(t), nil, imap.FlagSeen)
		},
	} {
		t.Run(name, func(t *testing.T) {
			scripted.LeakCheck(t)
			c := inClear(s)
			began := time.Now()
			if err := use(c, c.Folder("INBOX")); !errors.Is(err, imapkit.ErrClosed) {
				t.Errorf("error %v", err)
			}
			c.Close()
			if took := time.Since(began); took > 2500*time.Millisecond {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestCloseDoesNotWaitForSilentServers(t *testing.T) {
	mute := scripted.Serve(t, scripted.Options{Handle: map[string]func(*scripted.Conn, scripted.Command){
		"LOGOUT": func(c *scripted.Conn, _ scripted.Command) { c.Stall() },
	}})
	frozen := scripted.New(t, func(c *scripted.Conn) {
		c.AcceptLogin("IMAP4rev1 AUTH=PLAIN")
		c.Freeze()
	})
	for name, s := range map[string]*scripted.Server{"mute": mute, "frozen": frozen} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := inClear(s)
			if err := c.Connect(limited(t)); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			var closing sync.WaitGroup
			for range 3 {
				closing.Go(func() { c.Close() })
			}
			closing.Wait()
			if took := time.Since(began); took > 2500*time.Millisecond {
				t.Errorf("Close took %v", took)
			}
			if err := c.Connect(limited(t)); !errors.Is(err, imapkit.ErrClosed) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestManyGoroutinesShareFewConnections(t *testing.T) {
	scripted.LeakCheck(t)
	s := scripted.Serve(t, scripted.Options{Exists: 5})
	c := inClear(s)
	c.MaxConns = 3
	defer c.Close()
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			f := c.Folder([]string{"INBOX", "Archive", "Sent"}[i%3])
			switch i % 4 {
			case 0:
				for m, err := range f.FetchAll(limited(t), []imap.UID{101, 102, 103}) {
					if err != nil {
						t.Error(err)
						return
					}
					if err := f.AddFlags(limited(t), []imap.UID{m.Info.UID}, imap.FlagSeen); err != nil {
						t.Error(err)
					}
				}
			case 1:
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i)*100*time.Microsecond)
				defer cancel()
				if _, err := f.Search(ctx, imapkit.All()); err != nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			case 2:
				for _, err := range f.Messages(limited(t), imapkit.All()) {
					if err != nil {
						t.Error(err)
					}
					break
				}
			default:
				if uids, err := f.Search(limited(t), imapkit.All()); err != nil || len(uids) != 5 {
					t.Error(uids, err)
				}
			}
		})
	}
	all.Wait()
	if err := c.Connect(limited(t)); err != nil {
		t.Error(err)
	}
}
