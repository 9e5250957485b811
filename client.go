package imapkit

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"golang.org/x/net/proxy"

	"github.com/imapkit/imapkit/internal/wire"
)

// A Client reads and changes the mailbox of one account. It is used
// like an [net/http.Client]: fill in the fields, then call methods. Fields
// must not change after the first call. Methods may be called from many
// goroutines. No I/O happens before the first call that needs the server.
type Client struct {
	// Host is the name or address of the server. Required.
	Host string
	// Port of the server. Zero means 993 for SecurityAuto and
	// SecurityImplicitTLS, 143 otherwise; SecurityAuto then also tries
	// STARTTLS on port 143.
	Port int

	// Username and Password log in.
	Username string
	Password string
	// TokenSource gives OAuth 2.0 access tokens; used instead of Password
	// when set.
	TokenSource TokenSource
	// Auth lists the allowed authentication mechanisms, first choice first.
	// Nil means the strongest one that the server offers.
	Auth []AuthMechanism

	// Security says how the connection is protected; zero: SecurityAuto.
	Security Security
	// TLS says which versions and certificates are good enough.
	TLS TLSPolicy
	// Proxy makes the connections; nil: directly. It is handed "host:port"
	// as configured here, so that names are resolved by the proxy.
	Proxy proxy.ContextDialer

	// Timeout bounds an operation, however many commands it takes. Where
	// messages or parts of them are carried (Messages, Pages, Fetch…, Open…,
	// Raw, Append…, Replace, Do) it bounds the longest silence of the server
	// instead. Zero means 60 seconds, negative none.
	Timeout time.Duration
	// GreetingTimeout bounds the wait for the server's greeting. Zero means
	// 10 seconds, negative none.
	GreetingTimeout time.Duration
	// DialTimeout bounds name look-up, proxy, TCP and TLS together. Zero
	// means 30 seconds, negative none.
	DialTimeout time.Duration

	// ReadOnly makes every call that would change something on the server
	// return [ErrReadOnly] without sending a byte, and opens folders with
	// EXAMINE only.
	ReadOnly bool
	// MaxConns is the largest number of connections; zero means 1.
	MaxConns int
	// Limits bound what a server may send; the zero value has safe defaults.
	Limits Limits
	// Logger gets what goes on; nil: silent. It never sees a credential.
	Logger *slog.Logger

	mu         sync.Mutex
	pool       pool
	closed     bool
	closing    chan struct{}  // closed by Close
	background sync.WaitGroup // goroutines of this Client
	changes    atomic.Uint64  // made so far, maybe in vain
	route      *route         // how the server was reached last
	mechanism  AuthMechanism  // how the last log-in succeeded
	capsBefore imap.CapSet    // capabilities before the log-in, and
	capsAfter  imap.CapSet    // after it, of a server that has to be asked for them
	wantsID    bool           // the server has shown that it does
	memory     memory         // what else was learnt about the server
	names      wire.Names

	checkOnce sync.Once
	checkErr  error
	tlsOnce   sync.Once
	tlsCfg    *tls.Config
	tlsErr    error
}

// A TokenSource gives OAuth 2.0 access tokens (RFC 6750). It may be asked from
// several goroutines at once.
type TokenSource interface {
	// Token returns an access token. refresh is true when the server refused
	// the last one, so that a cached one must not be returned again.
	Token(ctx context.Context, refresh bool) (string, error)
}

// An operation is one use of a connection.
type operation struct {
	what    string // for errors: "Search in INBOX"
	folder  string // the folder it works on, if it does
	changes bool   // it changes something on the server
	stream  bool   // Timeout counts silence only
	lent    bool   // the program has the connection for as long as it likes
}

// do runs fn with a connection. fn must leave the connection in step with the
// server, or lost. An operation that only reads is repeated once if a
// connection from earlier turns out to be dead before its first answer; one
// that changes something is so only if nothing of the change was sent.
// What the server refuses because it throttles is asked again when its time has
// passed, and no connection is held meanwhile.
func (c *Client) do(ctx context.Context, op operation, fn func(*session) error) error {
	l, err := c.start(ctx, op, fn)
	if err != nil {
		return err
	}
	c.finish(l)
	return nil
}

// start does what do does, and leaves the connection with the caller if fn
// succeeds, until finish.
func (c *Client) start(ctx context.Context, op operation, fn func(*session) error) (*lease, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if op.changes && c.ReadOnly {
		return nil, fmt.Errorf("%w: %s", ErrReadOnly, op.what)
	}
	waiting := c.patience(ctx)
	for {
		l, err := c.attempt(ctx, op, fn)
		if err == nil || op.lent { // whose function is the program's, and not run twice
			return l, err
		}
		if err = waiting.outlast(err); err != nil {
			return nil, err
		}
	}
}

// attempt does what start does, without waiting for a server that throttles.
func (c *Client) attempt(ctx context.Context, op operation, fn func(*session) error) (*lease, error) {
	fresh := false
	for again := true; ; again = false {
		l, reused, err := c.acquire(ctx, op, fresh)
		if err != nil {
			return nil, c.outcome(err)
		}
		s := l.s
		s.For(op.what)
		s.Begin(ctx, c.timeout(), op.stream)
		s.current, s.used = false, false
		err = c.guarded(l, fn)
		if op.changes {
			s.changed()
		}
		if err == nil {
			return l, nil
		}
		dead := reused && !s.used && s.Err() != nil && !s.Answered() && !errors.Is(err, ErrTimeout) && ctx.Err() == nil
		useless := c.isUnsafeLogin(err) || isUseless(err)
		if useless {
			s.Discard()
		}
		shorter := c.learnsLimits(err, again)
		c.finish(l)
		tryAgain := dead || shorter || useless && !s.used && !errors.As(err, new(partlyDone))
		if !again || !tryAgain || errors.Is(err, ErrUnknownOutcome) {
			return nil, c.outcome(err)
		}
		fresh = dead || useless
	}
}

// finish takes a connection back.
func (c *Client) finish(l *lease) {
	l.s.End()
	c.release(l)
}

// guarded runs fn. If it panics, because code of the program that it calls
// does, the connection is given up before the panic goes on.
func (c *Client) guarded(l *lease, fn func(*session) error) error {
	defer func() {
		if v := recover(); v != nil {
			l.s.Discard()
			c.finish(l)
			panic(v)
		}
	}()
	return fn(l.s)
}

// outcome makes of an error what the program gets to see: ErrClosed after Close,
// whatever that made go wrong, and the server's parting words as a ServerError.
func (c *Client) outcome(err error) error {
	if err == nil {
		return nil
	}
	if c.isClosed() && !errors.Is(err, ErrUnknownOutcome) {
		return ErrClosed
	}
	if bye := new(wire.ByeError); errors.As(err, &bye) {
		return &partingError{err, serverError("", bye.Status)}
	}
	return err
}

func (c *Client) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// A partingError is the loss of a connection that the server announced.
type partingError struct {
	error
	said *ServerError
}

func (e *partingError) Unwrap() []error { return []error{e.error, e.said} }

// Connect connects and logs in now instead of at the first operation. It is
// the way to find out early whether host, credentials and certificates are
// right; nothing needs it. Errors are [*ConnectError], [ErrAuthentication],
// [ErrNoMechanism], or those of an operation.
func (c *Client) Connect(ctx context.Context) error {
	return c.do(ctx, operation{what: "Connect"}, func(*session) error { return nil })
}

// Capabilities returns what the server says it can do (RFC 9051 section
// 6.1.1), as of after the log-in.
func (c *Client) Capabilities(ctx context.Context) (imap.CapSet, error) {
	var caps imap.CapSet
	err := c.do(ctx, operation{what: "Capabilities"}, func(s *session) error {
		known, err := s.capabilities()
		caps = known.Copy()
		return err
	})
	return caps, err
}

// Do lends one ready connection to fn, with folder opened when it is not "".
// It is the way to what this package has no method for. The connection behind
// the argument is this package's: it is already logged in, keeps the Client's
// limits, time-outs (Timeout bounds the server's silence, but for IDLE) and context, shows
// go-imap only responses that it can read, and refuses commands that change
// the log-in or the transport, and, for a [Client.ReadOnly] Client, all that
// change something. fn must wait for the commands it starts, and not use the
// argument after it has returned. Do returns the error of fn.
func (c *Client) Do(ctx context.Context, folder string, fn func(*imapclient.Client) error) error {
	op := operation{what: "Do", folder: folder, stream: true, lent: true}
	if folder != "" {
		op.what += " in " + folder
	}
	return c.do(ctx, op, func(s *session) error {
		err := s.Lend(ctx, folder, c.ReadOnly, func(gc *imapclient.Client) error {
			s.used = true
			return fn(gc)
		})
		s.changed() // maybe
		if errors.Is(err, wire.ErrGuestReadOnly) {
			return fmt.Errorf("%w: Do: %w", ErrReadOnly, err)
		}
		return err
	})
}

// String returns user name, host and port, without credentials.
func (c *Client) String() string {
	way := c.attempts()[0]
	return fmt.Sprintf("imapkit.Client(%s at %s, %v)", c.Username, c.addr(way.port), c.Security)
}

// Format implements [fmt.Formatter], so that no verb prints a password.
func (c *Client) Format(s fmt.State, verb rune) { io.WriteString(s, c.String()) }

// LogValue implements [slog.LogValuer].
func (c *Client) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText implements [encoding.TextMarshaler], so that the JSON of what holds
// a Client has no password either.
func (c *Client) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

func (c *Client) debug(msg string, args ...any) {
	if c.Logger != nil {
		c.Logger.Debug(msg, args...)
	}
}
