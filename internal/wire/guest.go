package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// ErrGuestReadOnly is returned by Lend when go-imap was about to change
// something on a connection lent for reading.
var ErrGuestReadOnly = errors.New("imapkit: refused to change anything")

var (
	errGuestClosed = errors.New("imapkit: go-imap closed the connection")
	errUnfinished  = errors.New("imapkit: a command was left unfinished")
	errUnread      = errors.New("imapkit: a command's results were left unread")
	errPanicked    = errors.New("imapkit: the function that used the connection did not return")
)

// A Guest is go-imap's client on a connection whose socket it does not own. Its
// reader goroutine uses the Conn only while the connection is lent and a
// command of go-imap is unanswered, and is parked the rest of the time.
type Guest struct {
	c      *Conn
	client *imapclient.Client
	fetch  *FetchReader
	told   string // the capabilities that go-imap knows

	mu   sync.Mutex
	cond sync.Cond // any of what follows has changed

	lent     bool
	readOnly bool
	refused  error // the first command that readOnly forbade
	gone     bool  // go-imap is to see the end of the connection
	broken   bool  // writing has failed
	sent     int64 // bytes written, to be added to the Conn's

	// The reader's side.
	queue   [][]byte // what go-imap has not read yet
	away    bool     // go-imap is dealing with what it has read
	reading bool     // it uses the Conn
	visits  int      // how often it came to read

	// The writer's side.
	line    []byte        // of a command, not yet complete
	literal int64         // bytes that are left of a literal
	cur     *guestCommand // the command that is being written
	prev    *guestCommand // the one before the next
	idle    *guestCommand // the IDLE that go-imap has not yet ended
	lastTag uint64
	ours    *Mailbox // of the SELECT that Lend itself makes
	moved   bool     // go-imap selected another folder, or none

	pending []*guestCommand // sent and not answered, oldest first
}

// Lend lends the connection to go-imap while fn runs, after having opened box
// with SELECT, or EXAMINE if readOnly, unless box is empty. It belongs between
// Begin and End, which cut it short. A command that would change something is
// refused if readOnly, and Lend returns ErrGuestReadOnly.
//
// fn must finish its commands: read all their results and end IDLE. Where it
// does not, the connection is lost, and with results left unread a goroutine of
// go-imap, which waits for them for ever. The client must not be used after fn.
//
// The error is fn's, or that of opening box, which is an *imap.Error if the
// server refused. If the connection was lost it wraps the cause, as Err does.
func (c *Conn) Lend(ctx context.Context, box string, readOnly bool, fn func(*imapclient.Client) error) error {
	if err := ctx.Err(); err != nil {
		return contextError(ctx)
	}
	if n := len(c.inFlight); len(c.out) > 0 && n > 0 { // go-imap would be given the answer
		if err := c.Wait(c.inFlight[n-1]); err != nil {
			return err
		}
	}
	if c.caps == nil {
		if err := c.Run(c.Command("CAPABILITY")); err != nil {
			return err
		}
	}
	if c.guest == nil {
		c.guest = newGuest(c)
	}
	return c.guest.host(box, readOnly, fn)
}

func newGuest(c *Conn) *Guest {
	g := &Guest{c: c, fetch: c.NewFetchReader(), told: guestCaps(c.caps), away: true}
	g.cond.L = &g.mu
	g.queue = [][]byte{[]byte("* PREAUTH [CAPABILITY " + g.told + "] ready\r\n")}
	g.client = imapclient.New(guestConn{g}, nil)
	return g
}

// guestCaps lists the capabilities that go-imap is told. Left out are those
// that make it write what this connection has not enabled, and those about what
// it must not do here.
func guestCaps(caps imap.CapSet) string {
	list := []string{string(imap.CapIMAP4rev1)}
	if !caps.Has(imap.CapIMAP4rev1) { // it has these without naming them
		for _, name := range [...]imap.Cap{imap.CapESearch, imap.CapEnable, imap.CapIdle, imap.CapListExtended,
			imap.CapListStatus, imap.CapLiteralMinus, imap.CapMove, imap.CapNamespace, imap.CapSpecialUse,
			imap.CapStatusSize, imap.CapUIDPlus, imap.CapUnselect} {
			if _, named := caps[name]; !named && caps.Has(name) {
				list = append(list, string(name))
			}
		}
	}
	for name := range caps {
		switch {
		case name == imap.CapIMAP4rev1, name == imap.CapIMAP4rev2, strings.HasPrefix(string(name), "UTF8="),
			strings.HasPrefix(string(name), "AUTH="), strings.HasPrefix(string(name), "COMPRESS="),
			name == imap.CapStartTLS, name == imap.CapLoginDisabled, name == imap.CapSASLIR,
			name == imap.CapUnauthenticate, !IsAtom(string(name)):
		default:
			list = append(list, string(name))
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// host opens box and runs fn.
func (g *Guest) host(box string, readOnly bool, fn func(*imapclient.Client) error) error {
	g.mu.Lock()
	g.lent, g.readOnly, g.refused, g.moved = true, readOnly, nil, false
	if caps := guestCaps(g.c.caps); caps != g.told {
		g.told = caps
		g.deliver([]byte("* CAPABILITY " + caps + "\r\n"))
	}
	g.mu.Unlock()

	returned := false
	defer func() {
		if !returned {
			g.c.Abort(errPanicked)
			g.takeBack()
		}
	}()
	err := g.open(box, readOnly)
	if err == nil {
		err = fn(g.client)
	}
	returned = true
	answered := g.takeBack()

	lost := g.c.Err()
	switch {
	case lost != nil && (err == nil && answered || errors.Is(err, lost)):
		return err
	case lost != nil && (err == nil || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)):
		return lost // go-imap knows only that the connection is gone
	case lost != nil:
		return fmt.Errorf("%w (%w)", err, lost)
	case g.refused != nil && err != nil:
		return fmt.Errorf("%w (%w)", g.refused, err)
	case g.refused != nil:
		return g.refused
	}
	return err
}

// open makes go-imap select box.
func (g *Guest) open(box string, readOnly bool) error {
	if err := g.client.WaitGreeting(); err != nil || box == "" {
		return err
	}
	g.mu.Lock()
	g.ours = &Mailbox{Name: box, ReadOnly: readOnly}
	g.mu.Unlock()
	_, err := g.client.Select(box, &imap.SelectOptions{ReadOnly: readOnly}).Wait()
	// go-imap reports a command as done before it has taken over the result.
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ours = nil
	for !g.gone && (g.away || len(g.queue) > 0) {
		g.cond.Wait()
	}
	return err
}

// patience is how long go-imap may take for what it has read when nobody is left
// to take the results: then it waits for ever.
const patience = time.Second

// takeBack waits for the answers to commands that are under way and ends the
// loan. It reports whether all were answered.
func (g *Guest) takeBack() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cur != nil || len(g.line) > 0 || g.idle != nil {
		g.c.Abort(errUnfinished)
	}
	seen := g.visits
	var watch *time.Timer
	watch = time.AfterFunc(patience, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if !g.lent {
			return
		}
		if g.away && g.visits == seen {
			g.abandon()
			return
		}
		seen = g.visits
		watch.Reset(patience)
	})
	defer watch.Stop()
	for g.reading || !g.gone && (g.away || len(g.queue) > 0 || len(g.pending) > 0) {
		g.cond.Wait()
	}
	g.lent = false
	answered := len(g.pending) == 0 && g.cur == nil
	c := g.c
	c.sent += g.sent
	g.sent = 0
	c.calm.Store(false)
	if g.moved {
		c.mailbox = nil
	}
	if cause := c.cause(); cause != nil && c.lost == nil {
		c.fail(cause)
	}
	if c.lost != nil {
		g.gone = true
		g.cond.Broadcast()
	}
	return answered
}

// abandon gives up a connection whose reader waits for somebody to take what it
// has read. g.mu is held.
func (g *Guest) abandon() {
	g.c.Abort(errUnread)
	g.gone = true
	g.cond.Broadcast()
}

// close lets go-imap see the end of the connection.
func (g *Guest) close() {
	g.mu.Lock()
	g.gone = true
	g.cond.Broadcast()
	g.mu.Unlock()
}

// deliver queues what go-imap is to read. g.mu is held.
func (g *Guest) deliver(pieces ...[]byte) {
	g.queue = append(g.queue, pieces...)
	g.cond.Broadcast()
}

// A guestConn is the net.Conn that go-imap reads and writes.
type guestConn struct{ g *Guest }

// Read waits until go-imap may read and there is something for it.
func (gc guestConn) Read(p []byte) (int, error) {
	g := gc.g
	g.mu.Lock()
	defer g.mu.Unlock()
	g.visits++
	g.away = false
	g.cond.Broadcast()
	for len(g.queue) == 0 {
		switch {
		case g.gone:
			g.away = true
			g.cond.Broadcast()
			return 0, io.EOF // between responses, where go-imap takes it for the end
		case g.lent && len(g.pending) > 0:
			if err := g.receive(); err != nil {
				g.gone = true
			}
			g.cond.Broadcast()
		default:
			g.cond.Wait()
		}
	}
	n := copy(p, g.queue[0])
	if g.queue[0] = g.queue[0][n:]; len(g.queue[0]) == 0 {
		g.queue[0] = nil
		g.queue = g.queue[1:]
	}
	g.away = true
	return n, nil
}

// receive reads a response and queues what go-imap is to see of it. g.mu is
// held, except while the Conn is used.
func (g *Guest) receive() error {
	g.reading = true
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		g.reading = false
	}()
	c := g.c
	resp, err := c.next()
	if err != nil {
		return err
	}
	switch {
	case resp.Tag != "":
		g.mu.Lock()
		g.answered(resp)
		g.mu.Unlock()
	case resp.Name == "FETCH" || resp.Name == "UIDFETCH":
		return g.fetched(resp)
	default:
		g.untagged(resp)
	}
	if err := c.finish(resp); err != nil {
		return err
	}
	return c.checkLimit(resp)
}

// Close is called by go-imap when it cannot go on, or when the program asked
// for it.
func (gc guestConn) Close() error {
	g := gc.g
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.broken { // else the reader is to find out why
		g.c.Abort(errGuestClosed)
	}
	g.gone = true
	g.cond.Broadcast()
	return nil
}

// go-imap's deadlines are ignored: an operation's own limits hold, and they
// count differently.
func (gc guestConn) SetDeadline(time.Time) error      { return nil }
func (gc guestConn) SetReadDeadline(time.Time) error  { return nil }
func (gc guestConn) SetWriteDeadline(time.Time) error { return nil }

func (gc guestConn) LocalAddr() net.Addr  { return gc.g.c.nc.LocalAddr() }
func (gc guestConn) RemoteAddr() net.Addr { return gc.g.c.nc.RemoteAddr() }
