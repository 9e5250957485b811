package imapkit

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/net/proxy"
)

// A Client reads, follows and changes the mailbox of one account. It is used
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

	// Timeout bounds an operation; for streams (Messages, Fetch, FetchAll,
	// Open, Raw, Append) the longest silence of the server instead. Zero
	// means 60 seconds, negative none.
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
}

// A TokenSource gives OAuth 2.0 access tokens (RFC 6750).
type TokenSource interface {
	// Token returns an access token. refresh is true when the server refused
	// the last one, so that a cached one must not be returned again.
	Token(ctx context.Context, refresh bool) (string, error)
}
