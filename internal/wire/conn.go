package wire

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"sync"

	"github.com/emersion/go-imap/v2"
)

// Limits bound what a server may send. Every field must be set.
type Limits struct {
	Line      int64 // bytes of one line
	Literal   int64 // bytes of a literal outside a message body
	Result    int64 // bytes of one search, sort or thread result, or of one response held in memory
	Message   int64 // bytes of a message held in memory
	Depth     int   // nesting of parentheses
	Responses int   // responses to one command
}

// text is how long one response may be, bodies not counted.
func (l *Limits) text() int64 {
	return l.Line + min(8*min(l.Literal, math.MaxInt64/16), math.MaxInt64-l.Line)
}

// bufferSize is the usual size of a read buffer: large, because a system call
// per 4 KiB is what costs most when bodies flow.
const bufferSize = 128 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}

// A Conn is one connection to a server. Its methods must not be called from
// several goroutines at once, except Abort and Close.
type Conn struct {
	guard

	nc     net.Conn  // what is read and written: the transport or TLS over it
	below  *tracked  // what is below TLS, if there is TLS
	gather *gatherer // the transport, if it is TCP
	lim    Limits
	log    *slog.Logger

	// The unread bytes are buf[r:w]. buf is nil while the connection is idle.
	buf  []byte
	r, w int

	sent int64 // bytes written so far
	lost error // why the connection is unusable; nil while it is fine

	out      []byte     // command bytes not yet written
	inFlight []*Command // sent and not yet answered, oldest first
	lastTag  uint64
	nresp    int      // lines since Begin that may be responses
	answers  int      // responses since Begin other than BYE
	resp     Response // the one read last

	bye      *Status     // the server's BYE, if it said so
	login    *login      // under way; nil: none
	words    string      // last since Begin: of an untagged NO, BAD or ALERT, or of what is no response
	caps     imap.CapSet // nil: unknown
	utf8     bool        // in quoted strings: UTF8=ACCEPT is enabled, or IMAP4rev2 is all there is
	secrets  []string    // not to be repeated in logs and errors
	names    *Names
	mailbox  *Mailbox // the open one; nil: none
	removals int      // responses that told of removed messages
	guest    *Guest   // go-imap, once it has moved in
}

// NewConn takes over a freshly made transport. names is shared by all
// connections to one account. log may be nil.
func NewConn(nc net.Conn, lim Limits, names *Names, log *slog.Logger) *Conn {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Conn{nc: nc, lim: lim, names: names, log: log}
	if c.gather = newGatherer(nc); c.gather != nil {
		c.nc = c.gather
	}
	c.guard.transport = c.nc
	return c
}

// StartTLS lays TLS over the transport and performs the handshake. Bytes that
// arrived in clear after the server's OK are refused: they may be an
// attacker's commands' answers (CVE-2011-0411 and its kin). What was learnt
// before is forgotten.
func (c *Conn) StartTLS(cfg *tls.Config) (*tls.ConnectionState, error) {
	if c.r != c.w {
		return nil, c.fail(fmt.Errorf("%w: data in clear between STARTTLS and the TLS handshake", ErrProtocol))
	}
	c.caps, c.bye = nil, nil
	c.below = &tracked{Conn: c.nc, g: &c.guard}
	t := tls.Client(c.below, cfg)
	c.nc = t
	c.enter()
	err := t.Handshake()
	c.leave()
	if err != nil {
		return nil, c.fail(err)
	}
	state := t.ConnectionState()
	return &state, nil
}

// tracked is the transport below TLS. On a slow line a TLS record takes a while
// to come; the bytes of it that do come are no silence.
type tracked struct {
	net.Conn
	g     *guard
	first byte // that came
	read  bool // something came
}

func (t *tracked) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if n > 0 {
		if !t.read {
			t.first, t.read = p[0], true
		}
		t.g.progress()
	}
	return n, err
}

func (t *tracked) Write(p []byte) (int, error) {
	n, err := t.Conn.Write(p)
	if n > 0 {
		t.g.progress()
	}
	return n, err
}

// AnsweredTLS reports whether the server answered StartTLS in TLS, be it with a
// refusal: with a record that holds an alert or a handshake message (RFC 8446
// section 5.1).
func (c *Conn) AnsweredTLS() bool {
	return c.below != nil && c.below.read && (c.below.first == 21 || c.below.first == 22)
}

// Err returns why the connection is unusable, or nil.
func (c *Conn) Err() error {
	if c.lost == nil {
		c.lost = c.timedOut(c.cause())
	}
	return c.lost
}

// Answered reports whether the server has sent a response since Begin, other
// than its good-bye.
func (c *Conn) Answered() bool { return c.answers > 0 }

// Sent returns the number of bytes that were handed to the transport so far.
func (c *Conn) Sent() int64 { return c.sent }

// fail makes err, or what made the operation end early, the reason why the
// connection is unusable, and closes it.
func (c *Conn) fail(err error) error {
	if c.lost == nil {
		if cause := c.cause(); cause != nil {
			err = cause
		}
		c.lost = c.timedOut(err)
	}
	c.Abort(c.lost)
	return c.lost
}

// timedOut adds to a time-out what the server said before it fell silent.
func (c *Conn) timedOut(err error) error {
	if errors.Is(err, ErrTimeout) {
		return c.withWords(err)
	}
	return err
}

// mostWords is how many bytes of a server's words an error repeats that are not
// the answer to a command.
const mostWords = 500

func (c *Conn) withWords(err error) error {
	if c.words == "" {
		return err
	}
	return fmt.Errorf("%w; the server had said %.*s", err, mostWords, c.words)
}

// fill reads more bytes behind the unread ones.
func (c *Conn) fill() error {
	if c.lost != nil {
		return c.lost
	}
	if c.buf == nil {
		c.buf = *buffers.Get().(*[]byte)
		c.r, c.w = 0, 0
	}
	if c.r > 0 && (c.r == c.w || len(c.buf)-c.w < len(c.buf)/2) {
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	}
	if c.w == len(c.buf) {
		grown := make([]byte, 2*len(c.buf))
		c.w = copy(grown, c.buf[c.r:c.w])
		c.r = 0
		c.buf = grown
	}
	n, err := c.read(c.buf[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	return err
}

// read reads from the transport; an error is final.
func (c *Conn) read(p []byte) (int, error) {
	if c.lost != nil {
		return 0, c.lost
	}
	c.enter()
	n, err := c.nc.Read(p)
	c.leave()
	if n > 0 {
		return n, nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return 0, c.fail(c.explain(err))
}

// explain puts the server's parting words before the transport's error.
func (c *Conn) explain(err error) error {
	if c.bye != nil {
		return &ByeError{Status: *c.bye, Err: err}
	}
	if errors.Is(err, io.EOF) {
		return c.withWords(fmt.Errorf("imapkit: connection closed by the server: %w", io.ErrUnexpectedEOF))
	}
	return c.withWords(fmt.Errorf("imapkit: connection lost: %w", err))
}

// A ByeError is the loss of a connection that the server announced.
type ByeError struct {
	Status
	Err error // what the transport said
}

// Error returns the server's words.
func (e *ByeError) Error() string {
	return fmt.Sprintf("imapkit: server said BYE %s: %v", e.Text, e.Err)
}

// Unwrap returns the transport's error.
func (e *ByeError) Unwrap() error { return e.Err }

// writeSize is how much is written at once. Each write that gets through counts
// as progress: it must not take long on a slow line.
const writeSize = 16 << 10

// write writes all of p to the transport; an error is final.
func (c *Conn) write(p []byte) error {
	for len(p) > 0 && c.lost == nil {
		c.enter()
		n, err := c.nc.Write(p[:min(len(p), writeSize)])
		c.leave()
		c.sent += int64(n)
		if err != nil {
			return c.fail(c.explain(c.lastWords(err)))
		}
		p = p[n:]
	}
	return c.lost
}

// lastWords looks for a BYE in what had arrived before a write failed.
func (c *Conn) lastWords(err error) error {
	if c.cause() == nil && c.tryFill() {
		for c.r < c.w && c.bye == nil {
			resp, rerr := c.buffered()
			if rerr != nil || resp == nil {
				break
			}
			c.observe(resp)
		}
	}
	return err
}

// flush writes the commands collected so far.
func (c *Conn) flush() error {
	if len(c.out) == 0 {
		return c.lost
	}
	err := c.write(c.out)
	if cap(c.out) > 64<<10 {
		c.out = nil
	}
	c.out = c.out[:0]
	return err
}

// release gives the read buffer back when nothing is in it.
func (c *Conn) release() {
	if c.buf != nil && c.r == c.w {
		if len(c.buf) == bufferSize {
			b := c.buf
			buffers.Put(&b)
		}
		c.buf, c.r, c.w = nil, 0, 0
	}
}

// closeGuest ends go-imap's goroutine, if it has one.
func (c *Conn) closeGuest() {
	if c.guest != nil {
		c.guest.close()
	}
}
