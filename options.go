package imapkit

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/imapkit/imapkit/internal/wire"
)

// Security says how a connection is protected. The zero value is SecurityAuto.
type Security int

const (
	// SecurityAuto finds out what the server speaks, implicit TLS or
	// STARTTLS, and ends encrypted or fails. It never talks in clear.
	SecurityAuto Security = iota
	// SecurityImplicitTLS speaks TLS from the first byte (RFC 8314), usually
	// on port 993.
	SecurityImplicitTLS
	// SecurityStartTLS connects in clear and changes to TLS before anything
	// else (RFC 9051 section 6.2.1), usually on port 143.
	SecurityStartTLS
	// SecurityNone talks in clear. Everybody on the way can read the mail and,
	// unless CRAM-MD5 or SCRAM is used, the password.
	SecurityNone
)

var securityNames = [...]string{"auto", "implicit TLS", "STARTTLS", "no encryption"}

// String returns the name of the mode.
func (s Security) String() string {
	if s >= 0 && int(s) < len(securityNames) {
		return securityNames[s]
	}
	return fmt.Sprintf("Security(%d)", int(s))
}

// TLSVersions is a set of TLS versions. The zero value means TLS12|TLS13.
type TLSVersions uint

// The members of a TLSVersions set. SSL2 and SSL3 can be named, but this Go
// runtime cannot speak them: see [TLSPolicy.Strict].
const (
	SSL2 TLSVersions = 1 << iota
	SSL3
	TLS10
	TLS11
	TLS12
	TLS13
)

// A TLSPolicy says which TLS is good enough. The zero value means TLS 1.2 or
// 1.3, certificates checked against the system's roots and the name in
// [Client.Host].
type TLSPolicy struct {
	// Versions allowed; zero means TLS12|TLS13. Versions win over MinVersion
	// and MaxVersion of Config.
	Versions TLSVersions
	// Strict makes a version in Versions that this Go runtime cannot speak
	// an error before any dialing. Otherwise such versions are left out,
	// which is an error only if none remains.
	Strict bool
	// Config holds roots, client certificates, server name and so on. It is
	// cloned and never changed. Nil means the defaults of crypto/tls.
	Config *tls.Config
}

// Limits bound what a server may send. Zero fields mean the defaults. Going
// beyond one ends the connection with [ErrLimit].
type Limits struct {
	Line      int64 // bytes of one response line; default 1 MiB
	Literal   int64 // bytes of a literal outside a message body; default 1 MiB
	Result    int64 // bytes of one search, sort or thread result, or memory for a list of folders; default 64 MiB
	Message   int64 // bytes of a message held in memory; default 64 MiB
	Depth     int   // nesting of parentheses; default 64
	Responses int   // responses to one command; default 10,000,000
}

const (
	defaultTimeout         = 60 * time.Second
	defaultGreetingTimeout = 10 * time.Second
	defaultDialTimeout     = 30 * time.Second
)

func (c *Client) timeout() time.Duration { return cmp.Or(c.Timeout, defaultTimeout) }
func (c *Client) greetingTimeout() time.Duration {
	return cmp.Or(c.GreetingTimeout, defaultGreetingTimeout)
}
func (c *Client) dialTimeout() time.Duration { return cmp.Or(c.DialTimeout, defaultDialTimeout) }

func (c *Client) limits() wire.Limits { return c.Limits.withDefaults() }

func (l Limits) withDefaults() wire.Limits {
	return wire.Limits{
		Line:      cmp.Or(l.Line, 1<<20),
		Literal:   cmp.Or(l.Literal, 1<<20),
		Result:    cmp.Or(l.Result, 64<<20),
		Message:   cmp.Or(l.Message, 64<<20),
		Depth:     cmp.Or(l.Depth, 64),
		Responses: cmp.Or(l.Responses, 10_000_000),
	}
}

// check finds mistakes in the fields before anything is dialed. It is the first
// thing that every call does.
func (c *Client) check() error {
	if c.isClosed() {
		return ErrClosed
	}
	c.checkOnce.Do(func() { c.checkErr = c.checkFields() })
	return c.checkErr
}

func (c *Client) checkFields() error {
	l := c.Limits
	switch host := hostWithoutBrackets(c.Host); {
	case c.Host == "":
		return errors.New("imapkit: Client.Host is empty")
	case strings.ContainsAny(host, " \t\r\n/@[]") || strings.Contains(host, ":") && net.ParseIP(strings.Split(host, "%")[0]) == nil:
		// What stands before an @ may be a password.
		return fmt.Errorf("imapkit: Client.Host %q is no host name or address", c.Host[strings.LastIndexByte(c.Host, '@')+1:])
	case c.Port < 0 || c.Port > 65535:
		return fmt.Errorf("imapkit: Client.Port %d is not between 0 and 65535", c.Port)
	case c.Security < SecurityAuto || c.Security > SecurityNone:
		return fmt.Errorf("imapkit: Client.Security %d is none of the constants", int(c.Security))
	case c.MaxConns < 0:
		return fmt.Errorf("imapkit: Client.MaxConns %d is negative", c.MaxConns)
	case l.Line < 0 || l.Literal < 0 || l.Result < 0 || l.Message < 0 || l.Depth < 0 || l.Responses < 0:
		return errors.New("imapkit: Client.Limits has a negative field")
	}
	if err := c.checkAuth(); err != nil {
		return err
	}
	if c.Security != SecurityNone {
		if _, err := c.tlsConfig(); err != nil {
			return err
		}
	}
	return checkProxy(c.Proxy)
}

// ParseURL makes a Client from a URL:
//
//	imaps://user:password@host:port      implicit TLS, port 993 unless given
//	imap://user:password@host:port       SecurityAuto
//
// The query may set security (auto, tls, starttls, none), readonly=1 and
// maxconns. User name and password are percent-encoded where they contain
// reserved characters. Errors never quote the password.
func ParseURL(rawURL string) (*Client, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// The error of net/url quotes its input, password included.
		var cause *url.Error
		if errors.As(err, &cause) {
			return nil, fmt.Errorf("imapkit: malformed URL: %w", redactedURLError(cause.Err))
		}
		return nil, errors.New("imapkit: malformed URL")
	}
	c := &Client{Host: u.Hostname()}
	switch strings.ToLower(u.Scheme) {
	case "imaps":
		c.Security = SecurityImplicitTLS
	case "imap":
	default:
		return nil, fmt.Errorf("imapkit: URL: scheme %q is neither imap nor imaps", u.Scheme)
	}
	switch {
	case c.Host == "":
		return nil, errors.New("imapkit: URL: the host is missing")
	case u.Path != "" && u.Path != "/":
		return nil, errors.New("imapkit: URL: a path is not supported; / in a password is written %2F")
	case u.Fragment != "":
		return nil, errors.New("imapkit: URL: a fragment is not supported; # in a password is written %23")
	}
	if port := u.Port(); port != "" {
		if c.Port, err = strconv.Atoi(port); err != nil || c.Port < 1 || c.Port > 65535 {
			return nil, errors.New("imapkit: URL: the port is not between 1 and 65535")
		}
	}
	if u.User != nil {
		c.Username = u.User.Username()
		c.Password, _ = u.User.Password()
	}
	if err := c.parseQuery(u.RawQuery); err != nil {
		return nil, err
	}
	return c, nil
}

// redactedURLError drops what quotes its input.
func redactedURLError(err error) error {
	var escape url.EscapeError
	var host url.InvalidHostError
	switch {
	case errors.As(err, &escape):
		return errors.New("invalid percent-encoding")
	case errors.As(err, &host):
		return errors.New("invalid character in the host name")
	case strings.HasPrefix(err.Error(), "invalid port"):
		return errors.New("invalid port")
	}
	return errors.New("cannot be parsed")
}

func (c *Client) parseQuery(raw string) error {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return errors.New("imapkit: URL: malformed query")
	}
	for key, values := range query {
		value := values[0]
		switch key {
		case "security":
			security, ok := map[string]Security{
				"auto": SecurityAuto, "tls": SecurityImplicitTLS, "starttls": SecurityStartTLS, "none": SecurityNone,
			}[strings.ToLower(value)]
			if !ok {
				return fmt.Errorf("imapkit: URL: security %q is none of auto, tls, starttls, none", value)
			}
			if c.Security == SecurityImplicitTLS && security != SecurityImplicitTLS {
				return fmt.Errorf("imapkit: URL: security %q contradicts imaps", value)
			}
			c.Security = security
		case "readonly":
			if c.ReadOnly, err = strconv.ParseBool(value); err != nil {
				return fmt.Errorf("imapkit: URL: readonly %q is neither 1 nor 0", value)
			}
		case "maxconns":
			if c.MaxConns, err = strconv.Atoi(value); err != nil || c.MaxConns < 0 {
				return fmt.Errorf("imapkit: URL: maxconns %q is no number", value)
			}
		default:
			return errors.New("imapkit: URL: a parameter is none of security, readonly, maxconns; ? in a password is written %3F")
		}
	}
	return nil
}
