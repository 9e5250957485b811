package imapkit

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/proxy"
)

// SOCKSVersion is a version of the SOCKS protocol. The zero value is SOCKS5.
type SOCKSVersion int

const (
	// SOCKS5 is SOCKS version 5 (RFC 1928), with or without user name and
	// password (RFC 1929). The proxy resolves host names.
	SOCKS5 SOCKSVersion = iota
	// SOCKS4 is SOCKS version 4. It knows only IPv4 addresses, so host names
	// are resolved on this machine and the first IPv4 address is used.
	SOCKS4
	// SOCKS4a is SOCKS version 4 with host names, which the proxy resolves.
	SOCKS4a
)

var socksSchemes = [...]string{"socks5", "socks4", "socks4a"}

// String returns the version as the scheme of a proxy URL, e.g. "socks5".
func (v SOCKSVersion) String() string {
	if v >= 0 && int(v) < len(socksSchemes) {
		return socksSchemes[v]
	}
	return fmt.Sprintf("SOCKSVersion(%d)", int(v))
}

// A SOCKSProxy makes connections through a SOCKS proxy. It is used as
// [Client.Proxy], as a value or as a pointer. Printing or logging it does not
// show the password.
type SOCKSProxy struct {
	// Addr is the "host:port" of the proxy. Required.
	Addr string
	// Version of the protocol; zero means SOCKS5.
	Version SOCKSVersion
	// Username and Password are the credentials for SOCKS5, 1 to 255 bytes
	// each (RFC 1929); both empty: none. For SOCKS4 and SOCKS4a, Username is
	// the user id, which may be empty, and Password must be empty.
	Username, Password string
	// Forward makes the connection to the proxy, for instance through another
	// proxy. Nil means directly. It must honour its context.
	Forward proxy.ContextDialer
}

// An HTTPProxy makes connections through an HTTP proxy with the CONNECT method
// (RFC 9110 section 9.3.6). The proxy resolves host names. It is used as
// [Client.Proxy], as a value or as a pointer. Printing or logging it does not
// show the password.
type HTTPProxy struct {
	// Addr is the "host:port" of the proxy. Required.
	Addr string
	// Username and Password are the credentials for Basic authentication
	// (RFC 7617), without control characters and without a colon in Username;
	// both empty: none. Without TLS everybody on the way to the proxy can
	// read them.
	Username, Password string
	// TLS is the configuration of the TLS connection to the proxy. Nil means
	// that the proxy is spoken to in clear. It is cloned and never changed;
	// ServerName defaults to the host in Addr, NextProtos is ignored.
	TLS *tls.Config
	// Forward makes the connection to the proxy, for instance through another
	// proxy. Nil means directly. It must honour its context.
	Forward proxy.ContextDialer
}

var (
	_ proxy.ContextDialer = SOCKSProxy{}
	_ proxy.Dialer        = SOCKSProxy{}
	_ proxy.ContextDialer = HTTPProxy{}
	_ proxy.Dialer        = HTTPProxy{}
)

// DialContext connects to addr ("host:port") through the proxy. The network is
// "tcp", "tcp4" or "tcp6". When the context ends before the proxy has agreed,
// DialContext returns at once. The error is a [*ProxyError].
func (p SOCKSProxy) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := p.dial(ctx, network, addr)
	if err != nil {
		return nil, &ProxyError{Proxy: p.String(), Target: addr, Err: err}
	}
	return conn, nil
}

// Dial is like DialContext with a limit of 30 seconds.
func (p SOCKSProxy) Dial(network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), plainDialTimeout)
	defer cancel()
	return p.DialContext(ctx, network, addr)
}

// DialContext connects to addr ("host:port") through the proxy. The network is
// "tcp", "tcp4" or "tcp6". When the context ends before the proxy has agreed,
// DialContext returns at once. The error is a [*ProxyError].
func (p HTTPProxy) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := p.dial(ctx, network, addr)
	if err != nil {
		return nil, &ProxyError{Proxy: p.String(), Target: addr, Err: err}
	}
	return conn, nil
}

// Dial is like DialContext with a limit of 30 seconds.
func (p HTTPProxy) Dial(network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), plainDialTimeout)
	defer cancel()
	return p.DialContext(ctx, network, addr)
}

// plainDialTimeout is the limit where the caller has no context to set one.
const plainDialTimeout = 30 * time.Second

// String returns kind and address, e.g. "socks5://127.0.0.1:1080".
func (p SOCKSProxy) String() string { return p.Version.String() + "://" + withoutUserInfo(p.Addr) }

// Format writes String for every verb, so that no verb shows the password.
func (p SOCKSProxy) Format(s fmt.State, verb rune) { io.WriteString(s, p.String()) }

// LogValue returns String, so that no log handler shows the password.
func (p SOCKSProxy) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalText returns String, for JSON and its like.
func (p SOCKSProxy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// String returns kind and address, e.g. "http://127.0.0.1:3128".
func (p HTTPProxy) String() string {
	if p.TLS != nil {
		return "https://" + withoutUserInfo(p.Addr)
	}
	return "http://" + withoutUserInfo(p.Addr)
}

// Format writes String for every verb, so that no verb shows the password.
func (p HTTPProxy) Format(s fmt.State, verb rune) { io.WriteString(s, p.String()) }

// LogValue returns String, so that no log handler shows the password.
func (p HTTPProxy) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalText returns String, for JSON and its like.
func (p HTTPProxy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// withoutUserInfo guards against credentials in an Addr, where they have no
// business but where a whole URL may have been put by mistake.
func withoutUserInfo(addr string) string { return addr[strings.LastIndexByte(addr, '@')+1:] }

// ProxyFromURL makes a proxy, a *SOCKSProxy or an *HTTPProxy, from a URL such
// as "socks5://user:password@127.0.0.1:1080". The schemes are
//
//	socks4           SOCKS4, names resolved on this machine
//	socks4a          SOCKS4a, names resolved by the proxy
//	socks5, socks5h  SOCKS5, names resolved by the proxy with both
//	http             HTTP CONNECT
//	https            HTTP CONNECT over TLS
//
// The default port is 1080 for SOCKS, 80 for http and 443 for https. In the
// user name and password, special characters are written as %XX. No error
// shows any part of them.
func ProxyFromURL(rawURL string) (proxy.ContextDialer, error) {
	p, err := parseProxyURL(rawURL)
	if err == nil {
		err = checkChain(p)
	}
	if err != nil {
		return nil, fmt.Errorf("imapkit: proxy URL: %w", err)
	}
	return p, nil
}

func parseProxyURL(rawURL string) (proxy.ContextDialer, error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil:
		// The error of net/url quotes the URL, and with it the password.
		return nil, errors.New("malformed; special characters in the user name or password must be written as %XX")
	case u.Scheme == "" || u.Opaque != "":
		return nil, errors.New("not of the form scheme://host:port")
	case u.Hostname() == "":
		return nil, errors.New("host is missing")
	case u.Path != "" && u.Path != "/":
		return nil, errors.New("a path makes no sense")
	case u.RawQuery != "" || u.ForceQuery:
		return nil, errors.New("a query makes no sense")
	case u.Fragment != "":
		return nil, errors.New("a fragment makes no sense")
	}
	addr := func(defaultPort string) string {
		port := u.Port()
		if port == "" {
			port = defaultPort
		}
		return net.JoinHostPort(u.Hostname(), port)
	}
	username := u.User.Username()
	password, _ := u.User.Password()
	switch u.Scheme {
	case "socks5", "socks5h":
		return &SOCKSProxy{Addr: addr("1080"), Username: username, Password: password}, nil
	case "socks4":
		return &SOCKSProxy{Addr: addr("1080"), Version: SOCKS4, Username: username, Password: password}, nil
	case "socks4a":
		return &SOCKSProxy{Addr: addr("1080"), Version: SOCKS4a, Username: username, Password: password}, nil
	case "http":
		return &HTTPProxy{Addr: addr("80"), Username: username, Password: password}, nil
	case "https":
		return &HTTPProxy{Addr: addr("443"), Username: username, Password: password, TLS: &tls.Config{}}, nil
	}
	return nil, fmt.Errorf("scheme %q is none of socks4, socks4a, socks5, socks5h, http, https", u.Scheme)
}

// maxProxyChain is how many proxies Forward may string together. It exists to
// notice a proxy that forwards to itself.
const maxProxyChain = 16

// checkProxy reports what is wrong with the configuration of p, as far as that
// is visible without any I/O: nothing for nil or a dialer of another package.
func checkProxy(p proxy.ContextDialer) error {
	if err := checkChain(p); err != nil {
		return fmt.Errorf("imapkit: %w", err)
	}
	return nil
}

// checkChain checks p and what it forwards to. Its errors name the field.
func checkChain(p proxy.ContextDialer) error {
	path := ""
	for range maxProxyChain {
		switch pointer := p.(type) {
		case *SOCKSProxy:
			if pointer == nil {
				return errors.New(path + "SOCKSProxy: nil pointer")
			}
			p = *pointer
		case *HTTPProxy:
			if pointer == nil {
				return errors.New(path + "HTTPProxy: nil pointer")
			}
			p = *pointer
		}
		var err error
		var hop string
		switch value := p.(type) {
		case SOCKSProxy:
			err, p, hop = value.check(), value.Forward, "SOCKSProxy.Forward: "
		case HTTPProxy:
			err, p, hop = value.check(), value.Forward, "HTTPProxy.Forward: "
		default:
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s%w", path, err)
		}
		path += hop
	}
	return fmt.Errorf("more than %d proxies in a row: does a Forward lead back to its own proxy?", maxProxyChain)
}

func (p SOCKSProxy) check() error {
	if _, _, err := splitHostPort(p.Addr); err != nil {
		return fmt.Errorf("SOCKSProxy.Addr: %w", err)
	}
	switch {
	case p.Version != SOCKS5 && p.Version != SOCKS4 && p.Version != SOCKS4a:
		return fmt.Errorf("SOCKSProxy.Version: %v is unknown", p.Version)
	case len(p.Username) > 255:
		return errors.New("SOCKSProxy.Username: longer than 255 bytes")
	case len(p.Password) > 255:
		return errors.New("SOCKSProxy.Password: longer than 255 bytes")
	case p.Version == SOCKS5 && p.Username == "" && p.Password != "":
		return errors.New("SOCKSProxy.Username: empty, but there is a Password")
	case p.Version == SOCKS5 && p.Username != "" && p.Password == "":
		return errors.New("SOCKSProxy.Password: empty, but there is a Username; SOCKS5 needs both or none")
	case p.Version != SOCKS5 && p.Password != "":
		return fmt.Errorf("SOCKSProxy.Password: %v knows no passwords", p.Version)
	case p.Version != SOCKS5 && strings.Contains(p.Username, "\x00"):
		return errors.New("SOCKSProxy.Username: contains a NUL, which ends a user id")
	}
	return nil
}

func (p HTTPProxy) check() error {
	if _, _, err := splitHostPort(p.Addr); err != nil {
		return fmt.Errorf("HTTPProxy.Addr: %w", err)
	}
	switch {
	case strings.Contains(p.Username, ":"):
		return errors.New("HTTPProxy.Username: contains a colon, which ends a user name in Basic authentication")
	case strings.ContainsFunc(p.Username, isControl):
		return errors.New("HTTPProxy.Username: contains a control character")
	case strings.ContainsFunc(p.Password, isControl):
		return errors.New("HTTPProxy.Password: contains a control character")
	}
	return nil
}

// splitTarget is splitHostPort for what DialContext is asked to connect to.
func splitTarget(network, addr string) (host string, port uint16, err error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return "", 0, fmt.Errorf("network %q: a proxy is for TCP only", network)
	}
	if host, port, err = splitHostPort(addr); err != nil {
		return "", 0, fmt.Errorf("target: %w", err)
	}
	return host, port, nil
}

// splitHostPort takes "host:port" apart. Its errors quote nothing, because what
// looks like a port can be a password in the wrong place ("user:password@host").
func splitHostPort(addr string) (host string, port uint16, err error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, errors.New(`not of the form "host:port"`)
	}
	n, err := strconv.ParseUint(service, 10, 16)
	switch {
	case err != nil || n == 0:
		return "", 0, errors.New("the port is not a number from 1 to 65535")
	case host == "":
		return "", 0, errors.New("the host is missing")
	case len(host) > 255:
		return "", 0, errors.New("the host is longer than 255 bytes")
	case strings.ContainsFunc(host, isControl) || strings.ContainsAny(host, " @/?#"):
		return "", 0, errors.New("the host contains a character that no host name has")
	}
	return host, uint16(n), nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// dialProxy connects to the proxy at addr and lets handshake ask it for the
// connection to the target. No matter what a handshake waits for, the end of
// the context wakes it up by closing the connection below it.
func dialProxy(
	ctx context.Context, forward proxy.ContextDialer, addr string, handshake func(net.Conn) (net.Conn, error),
) (net.Conn, error) {
	if forward == nil {
		forward = new(net.Dialer)
	}
	conn, err := forward.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the proxy: %w", contextError(ctx, err))
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	through, err := handshake(conn)
	if !stop() {
		conn.Close()
		return nil, fmt.Errorf("the proxy has not answered: %w", ctx.Err())
	}
	if err != nil {
		conn.Close()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("the proxy closed the connection before its answer was complete: %w", err)
		}
		return nil, err
	}
	return through, nil
}

// contextError returns the error of ctx if that is why a dial failed with err.
// A dialer that watches the deadline by itself can be a moment ahead of ctx.
func contextError(ctx context.Context, err error) error {
	if ctxErr := ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return err
}
