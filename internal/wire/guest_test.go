package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
)

var guestLimits = Limits{Line: 1 << 20, Literal: 1 << 20, Result: 1 << 20, Message: 1 << 24, Depth: 50, Responses: 1 << 20}

// guestPeer is a server of few words: for each command that a Guest or a Conn
// sends it sends what reply returns, in which $ stands for the command's tag.
type guestPeer struct {
	t     *testing.T
	nc    net.Conn
	lines chan string // what was received
}

// withGuest connects a Conn to a peer that answers with reply; an empty answer
// is none, and "* BYE" in it ends the connection after it.
func withGuest(t *testing.T, caps string, reply func(command string) string) (*Conn, *guestPeer) {
	t.Helper()
	return withGuestLimits(t, caps, guestLimits, reply)
}

func withGuestLimits(t *testing.T, caps string, lim Limits, reply func(command string) string) (*Conn, *guestPeer) {
	t.Helper()
	nc, server := connected(t)
	peer := &guestPeer{t: t, nc: server, lines: make(chan string, 10000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		peer.serve(reply)
	}()
	c := NewConn(nc, lim, new(Names), nil)
	c.SetCaps(parseCaps(caps))
	t.Cleanup(func() {
		c.Discard()
		peer.nc.Close()
		<-done
	})
	return c, peer
}

func (p *guestPeer) serve(reply func(string) string) {
	defer p.nc.Close()
	r := bufio.NewReader(p.nc)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\r\n")
		p.lines <- line
		tag, command, ok := strings.Cut(line, " ")
		if !ok {
			tag, command = "", line
		}
		answer := strings.ReplaceAll(reply(command), "$", tag)
		if _, err := io.WriteString(p.nc, answer); err != nil || strings.Contains(answer, "* BYE") {
			return
		}
	}
}

// received returns the lines that the server got so far.
func (p *guestPeer) received() (lines []string) {
	for {
		select {
		case line := <-p.lines:
			lines = append(lines, line)
		default:
			return lines
		}
	}
}

func lend(c *Conn, box string, readOnly bool, fn func(*imapclient.Client) error) error {
	ctx := context.Background()
	c.Begin(ctx, 10*time.Second, true)
	defer c.End()
	return c.Lend(ctx, box, readOnly, fn)
}

func noop(client *imapclient.Client) error { return client.Noop().Wait() }

// selecting answers SELECT and EXAMINE, and OK to the rest.
func selecting(command string) string {
	if strings.HasPrefix(command, "SELECT") || strings.HasPrefix(command, "EXAMINE") {
		return "* FLAGS (\\Seen)\r\n* 7 EXISTS\r\n* OK [UIDVALIDITY 5] ok\r\n* OK [UIDNEXT 9] ok\r\n$ OK [READ-WRITE] done\r\n"
	}
	return "$ OK done\r\n"
}

func TestLendTellsCapabilitiesWithoutAsking(t *testing.T) {
	c, peer := withGuest(t, "IMAP4rev1 IMAP4rev2 IDLE UTF8=ACCEPT AUTH=PLAIN STARTTLS LOGINDISABLED COMPRESS=DEFLATE", selecting)
	err := lend(c, "", false, func(client *imapclient.Client) error {
		caps := client.Caps()
		if len(caps) != 2 || !caps.Has(imap.CapIdle) || !caps.Has(imap.CapIMAP4rev1) {
			t.Errorf("go-imap knows %v", caps)
		}
		if client.State() != imap.ConnStateAuthenticated {
			t.Errorf("state is %v", client.State())
		}
		return noop(client)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := peer.received(); len(got) != 1 || got[0] != "T1 NOOP" {
		t.Errorf("sent %q", got)
	}
}

func TestLendAsksForUnknownCapabilities(t *testing.T) {
	c, _ := withGuest(t, "", func(command string) string {
		return "* CAPABILITY IMAP4rev1 MOVE\r\n$ OK done\r\n"
	})
	c.SetCaps(nil)
	err := lend(c, "", false, func(client *imapclient.Client) error {
		if !client.Caps().Has(imap.CapMove) {
			t.Errorf("go-imap knows %v", client.Caps())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLendSelectsForBothBooks(t *testing.T) {
	c, peer := withGuest(t, "IMAP4rev1", selecting)
	for _, readOnly := range []bool{false, true} {
		err := lend(c, "Ärger", readOnly, func(client *imapclient.Client) error {
			if client.State() != imap.ConnStateSelected || client.Mailbox().NumMessages != 7 {
				t.Errorf("state %v, mailbox %+v", client.State(), client.Mailbox())
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		m := c.Mailbox()
		if m == nil || m.Name != "Ärger" || m.Messages != 7 || m.UIDValidity != 5 || m.UIDNext != 9 || m.ReadOnly != readOnly {
			t.Fatalf("the open mailbox is %+v", m)
		}
	}
	want := []string{`T1 SELECT "&AMQ-rger"`, `T2 EXAMINE "&AMQ-rger"`}
	if got := peer.received(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("sent %q, want %q", got, want)
	}
}

func TestMailboxIsUnknownAfterTheGuestLeftIt(t *testing.T) {
	for name, leave := range map[string]func(*imapclient.Client) error{
		"select":   func(cl *imapclient.Client) error { _, err := cl.Select("B", nil).Wait(); return err },
		"unselect": func(cl *imapclient.Client) error { return cl.Unselect().Wait() },
		"close":    func(cl *imapclient.Client) error { return cl.UnselectAndExpunge().Wait() },
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := withGuest(t, "IMAP4rev1", selecting)
			if err := lend(c, "A", false, leave); err != nil {
				t.Fatal(err)
			}
			if c.Mailbox() != nil {
				t.Errorf("the open mailbox is %+v", c.Mailbox())
			}
		})
	}
}

func TestRefusedSelectIsAnErrorAndKeepsTheConnection(t *testing.T) {
	c, _ := withGuest(t, "IMAP4rev1", func(command string) string {
		if strings.HasPrefix(command, "SELECT") {
			return "$ NO [NONEXISTENT] no such folder\r\n"
		}
		return "$ OK done\r\n"
	})
	err := lend(c, "A", false, func(*imapclient.Client) error { t.Error("fn was called"); return nil })
	var refusal *imap.Error
	if !errors.As(err, &refusal) || refusal.Text != "no such folder" || refusal.Code != imap.ResponseCodeNonExistent {
		t.Errorf("error is %v", err)
	}
	if c.Mailbox() != nil {
		t.Errorf("the open mailbox is %+v", c.Mailbox())
	}
	if err := lend(c, "", false, noop); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestOwnCommandsBetweenLoans(t *testing.T) {
	c, _ := withGuest(t, "IMAP4rev1", func(command string) string {
		return "* 3 EXISTS\r\n* VANISHED 4:5\r\n$ OK done\r\n"
	})
	before := runtime.NumGoroutine()
	for range 200 {
		if err := lend(c, "", false, noop); err != nil {
			t.Fatal(err)
		}
		c.Begin(context.Background(), 10*time.Second, true)
		cmd := c.Command("NOOP")
		if err := c.Run(cmd); err != nil || cmd.Status.Type != "OK" {
			t.Fatal(err, cmd.Status)
		}
		c.End()
		if c.buf != nil {
			t.Fatal("an idle connection holds a buffer")
		}
	}
	if n := runtime.NumGoroutine() - before; n > 1 {
		t.Errorf("%d goroutines after the first loan, want one", n)
	}
}

func TestIdleMayBeSilent(t *testing.T) {
	c, _ := withGuest(t, "IMAP4rev1 IDLE", func(command string) string {
		switch command {
		case "IDLE":
			return "+ idling\r\n"
		case "DONE":
			return "* 4 EXISTS\r\nT1 OK done\r\n"
		}
		return "$ OK done\r\n"
	})
	c.Begin(context.Background(), 50*time.Millisecond, true)
	defer c.End()
	err := c.Lend(context.Background(), "", false, func(client *imapclient.Client) error {
		idle, err := client.Idle()
		if err != nil {
			return err
		}
		time.Sleep(200 * time.Millisecond) // beyond the limit, which does not count
		if err := idle.Close(); err != nil {
			return err
		}
		if err := idle.Wait(); err != nil {
			return err
		}
		return noop(client)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSilenceAfterACommandEndsTheLoan(t *testing.T) {
	c, _ := withGuest(t, "IMAP4rev1", func(string) string { return "" })
	c.Begin(context.Background(), 50*time.Millisecond, true)
	defer c.End()
	if err := c.Lend(context.Background(), "", false, noop); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(c.Err(), ErrTimeout) {
		t.Errorf("error is %v, connection's %v", err, c.Err())
	}
}

func TestCancellingEndsTheLoan(t *testing.T) {
	asked := make(chan struct{})
	c, _ := withGuest(t, "IMAP4rev1", func(string) string { close(asked); return "" })
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-asked; cancel() }()
	c.Begin(ctx, time.Minute, true)
	defer c.End()
	if err := c.Lend(ctx, "", false, noop); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

func TestPartingWordsAreTheError(t *testing.T) {
	c, _ := withGuest(t, "IMAP4rev1", func(string) string { return "* BYE going down\r\n" })
	err := lend(c, "", false, noop)
	var bye *ByeError
	if !errors.As(err, &bye) || bye.Text != "going down" {
		t.Errorf("error is %v", err)
	}
}

func TestUnfinishedCommandsEndTheConnection(t *testing.T) {
	fetched := "* 1 FETCH (UID 1)\r\n* 2 FETCH (UID 2 BODY[] {3}\r\nabc)\r\n"
	for name, tt := range map[string]struct {
		run  func(*imapclient.Client) error
		want error
	}{
		"IDLE":    {func(cl *imapclient.Client) error { _, err := cl.Idle(); return err }, errUnfinished},
		"APPEND":  {func(cl *imapclient.Client) error { cl.Append("A", 10, nil); return nil }, errUnfinished},
		"FETCH":   {func(cl *imapclient.Client) error { cl.Fetch(imap.SeqSetNum(1, 2), nil); return nil }, errUnread},
		"EXPUNGE": {func(cl *imapclient.Client) error { cl.Expunge(); return nil }, errUnread},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := withGuest(t, "IMAP4rev1 IDLE", func(command string) string {
				switch {
				case command == "IDLE", strings.HasPrefix(command, "APPEND"):
					return "+ go on\r\n"
				case strings.HasPrefix(command, "FETCH"):
					return fetched + "$ OK done\r\n"
				case command == "EXPUNGE":
					return strings.Repeat("* 1 EXPUNGE\r\n", 1000) + "$ OK done\r\n"
				}
				return ""
			})
			if err := lend(c, "", false, tt.run); !errors.Is(err, tt.want) {
				t.Errorf("error is %v", err)
			}
			if c.Err() == nil {
				t.Error("the connection is thought to be fine")
			}
		})
	}
}

func TestCommandsNobodyWaitedForAreAnsweredBeforeTheLoanEnds(t *testing.T) {
	c, _ := withGuest(t, "IMAP4rev1", func(string) string { return "$ OK done\r\n" })
	for range 50 {
		if err := lend(c, "", false, func(client *imapclient.Client) error { client.Noop(); return nil }); err != nil {
			t.Fatal(err)
		}
		c.Begin(context.Background(), time.Minute, true)
		if err := c.Run(c.Command("NOOP")); err != nil {
			t.Fatal(err)
		}
		c.End()
	}
}

func TestPanicEndsTheConnectionAndGoesOn(t *testing.T) {
	c, _ := withGuest(t, "IMAP4rev1", func(string) string { return "$ OK done\r\n" })
	defer func() {
		if v := recover(); v != "mine" {
			t.Errorf("recovered %v", v)
		}
		if !errors.Is(c.Err(), errPanicked) {
			t.Errorf("the connection's error is %v", c.Err())
		}
	}()
	lend(c, "", false, func(*imapclient.Client) error { panic("mine") })
}

func TestNoGoroutineIsLeftAfterTheEnd(t *testing.T) {
	c, _ := withGuest(t, "IMAP4rev1", func(string) string { return "$ OK done\r\n" })
	var client *imapclient.Client
	if err := lend(c, "", false, func(cl *imapclient.Client) error { client = cl; return noop(cl) }); err != nil {
		t.Fatal(err)
	}
	c.Discard()
	<-client.Closed()
	if err := client.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestErrorOfTheFunctionIsReturned(t *testing.T) {
	c, _ := withGuest(t, "IMAP4rev1", func(string) string { return "$ OK done\r\n" })
	mine := errors.New("mine")
	if err := lend(c, "", false, func(*imapclient.Client) error { return mine }); err != mine {
		t.Errorf("error is %v", err)
	}
	err := lend(c, "", false, func(client *imapclient.Client) error { client.Close(); return mine })
	if !errors.Is(err, mine) || !errors.Is(err, errGuestClosed) {
		t.Errorf("error is %v", err)
	}
}

func TestLendWithAnotherServer(t *testing.T) {
	mem := imapmemserver.New()
	user := imapmemserver.NewUser("u", "p")
	user.Create("INBOX", nil)
	mem.AddUser(user)
	server := imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return mem.NewSession(), nil, nil
		},
		Caps:         imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapIMAP4rev2: {}},
		InsecureAuth: true,
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(ln)
	defer server.Close()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := NewConn(nc, guestLimits, new(Names), nil)
	defer c.Discard()
	c.Begin(context.Background(), time.Minute, true)
	if _, err := c.next(); err != nil {
		t.Fatal(err)
	}
	if err := c.Run(c.Command("LOGIN").String("u").String("p")); err != nil {
		t.Fatal(err)
	}
	c.End()
	section := &imap.FetchItemBodySection{Peek: true}
	for i := range 20 {
		body := fmt.Sprintf("Subject: %d\r\n\r\n%s", i, strings.Repeat("x", i*1000))
		err := lend(c, "INBOX", false, func(client *imapclient.Client) error {
			cmd := client.Append("INBOX", int64(len(body)), nil)
			io.WriteString(cmd, body)
			if err := cmd.Close(); err != nil {
				return err
			}
			data, err := cmd.Wait()
			if err != nil {
				return err
			}
			msgs, err := client.Fetch(imap.UIDSetNum(data.UID), &imap.FetchOptions{Envelope: true,
				BodyStructure: &imap.FetchItemBodyStructure{Extended: true}, BodySection: []*imap.FetchItemBodySection{section}}).Collect()
			if err != nil {
				return err
			}
			if len(msgs) != 1 || string(msgs[0].FindBodySection(section)) != body || msgs[0].Envelope.Subject != fmt.Sprint(i) {
				t.Errorf("fetched %+v", msgs)
			}
			found, err := client.UIDSearch(&imap.SearchCriteria{Body: []string{"é"}}, nil).Wait()
			if err == nil && len(found.AllUIDs()) != 0 {
				t.Errorf("found %v", found.AllUIDs())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if c.Mailbox().Messages != uint32(i+1) {
			t.Errorf("%d messages, want %d", c.Mailbox().Messages, i+1)
		}
	}
}
