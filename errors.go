package imapkit

import (
	"errors"
	"fmt"
	"strings"

	"github.com/imapkit/imapkit/internal/wire"
)

// Errors that calls of this package return, wrapped with what happened where.
// Tell them apart with [errors.Is].
var (
	// ErrClosed is returned by every call after [Client.Close].
	ErrClosed = errors.New("imapkit: client is closed")

	// ErrReadOnly is returned, before anything is sent, by every call that
	// would change the server's state while [Client.ReadOnly] is set.
	ErrReadOnly = errors.New("imapkit: client is read-only")

	// ErrNotSupported is returned when the server lacks the extension that a
	// call needs; the message names the extension.
	ErrNotSupported = errors.New("imapkit: not supported by the server")

	// ErrNotFound is returned by calls for a single message that is not in
	// the folder (any more).
	ErrNotFound = errors.New("imapkit: no such message")

	// ErrLimit is returned when the server sends more than [Limits] allows.
	// The connection has been closed.
	ErrLimit = wire.ErrLimit

	// ErrProtocol is returned when the server's bytes make no sense as IMAP.
	ErrProtocol = wire.ErrProtocol

	// ErrUIDValidity is returned when the folder was rebuilt on the server
	// since this [Folder] was first used, so that UIDs known so far may name
	// other messages now (RFC 9051 section 2.3.1.1). Select it anew.
	ErrUIDValidity = errors.New("imapkit: the folder's UIDVALIDITY has changed, known UIDs are void")

	// ErrInsecure is returned when going on would mean talking without TLS,
	// which only [SecurityNone] allows.
	ErrInsecure = errors.New("imapkit: refused to go on without TLS")

	// ErrAuthentication is returned when the server refuses the credentials.
	// It comes together with a [*ServerError] that holds the server's words.
	// A log-in that is refused because the server has too much to do, or is
	// out of order, is a [*ThrottledError] or a ServerError without this.
	ErrAuthentication = errors.New("imapkit: authentication failed")

	// ErrNoMechanism is returned when no allowed authentication mechanism is
	// offered by the server.
	ErrNoMechanism = errors.New("imapkit: no usable authentication mechanism")

	// ErrGreetingTimeout is returned when the server accepts the connection
	// but does not greet within [Client.GreetingTimeout]. It also matches
	// [os.ErrDeadlineExceeded].
	ErrGreetingTimeout = wire.ErrGreetingTimeout

	// ErrTimeout is returned when [Client.Timeout] or [Client.DialTimeout]
	// has passed; the text tells what was waited for. It also matches
	// [os.ErrDeadlineExceeded].
	ErrTimeout = wire.ErrTimeout

	// ErrUnknownOutcome is returned when the connection broke while a change
	// was under way: it may or may not have happened. It comes together with
	// its cause: a transport error, [os.ErrDeadlineExceeded] or the error of
	// the context.
	ErrUnknownOutcome = errors.New("imapkit: connection lost during a change, the outcome is unknown")
)

// A ServerError is a refusal in the server's own words: a tagged NO or BAD, or
// a BYE (RFC 9051 section 7.1).
type ServerError struct {
	Command string // what was asked, e.g. "SELECT"; "greeting" for a BYE instead of a greeting
	Status  string // "NO", "BAD" or "BYE"
	Code    string // response code without brackets, arguments included, e.g. "OVERQUOTA"; often empty
	Text    string // human-readable text

	long bool // the command line was longer than all servers must take
}

// Error returns the refusal in one line.
func (e *ServerError) Error() string {
	var b strings.Builder
	b.WriteString("imapkit: server answered ")
	if e.Command != "" {
		b.WriteString(e.Command)
		b.WriteString(" with ")
	}
	b.WriteString(e.Status)
	if e.Code != "" {
		b.WriteString(" [" + e.Code + "]")
	}
	if e.Text != "" {
		b.WriteString(" " + e.Text)
	}
	return b.String()
}

// A ProxyError is returned when a proxy could not or would not connect to the
// target.
type ProxyError struct {
	Proxy  string // kind and address of the proxy, without credentials, e.g. "socks5://127.0.0.1:1080"
	Target string // host:port that was asked for
	Err    error
}

// Error returns the failure in one line.
func (e *ProxyError) Error() string {
	return fmt.Sprintf("imapkit: proxy %s, connecting to %s: %v", e.Proxy, e.Target, e.Err)
}

// Unwrap returns the cause.
func (e *ProxyError) Unwrap() error { return e.Err }

// An Attempt is one try to reach the server: part of a [ConnectError].
type Attempt struct {
	Security Security // SecurityImplicitTLS, SecurityStartTLS or SecurityNone
	Addr     string   // host:port
	Err      error    // why it failed
}

// A ConnectError is returned when no connection to the server could be made.
// It matches, with [errors.Is] and [errors.As], whatever one of its attempts
// failed with.
type ConnectError struct {
	Attempts []Attempt // in the order in which they were begun
}

// Error lists the attempts.
func (e *ConnectError) Error() string {
	var b strings.Builder
	b.WriteString("imapkit: cannot connect: ")
	for i, a := range e.Attempts {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s with %v: %s", a.Addr, a.Security, strings.TrimPrefix(a.Err.Error(), "imapkit: "))
	}
	return b.String()
}

// Unwrap returns the errors of the attempts.
func (e *ConnectError) Unwrap() []error {
	errs := make([]error, len(e.Attempts))
	for i, a := range e.Attempts {
		errs[i] = a.Err
	}
	return errs
}
