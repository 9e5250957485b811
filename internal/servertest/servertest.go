package servertest

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
)

// Server is a running IMAP server. Its certificate is good for localhost, 127.0.0.1 and 127.0.0.2.
type Server struct {
	Host    string // 127.0.0.1
	Port    int    // in clear, with STARTTLS; 0: none
	TLSPort int    // TLS from the first byte; 0: none
	// LMTPPort takes new mail for alice and bob (Cyrus only).
	LMTPPort int

	Username, Password string
	RootCAs            *x509.CertPool
}

// Addr is host and port in clear.
func (s *Server) Addr() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// TLSAddr is host and port for TLS from the first byte.
func (s *Server) TLSAddr() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.TLSPort)) }

// TLSConfig trusts the server's certificate.
func (s *Server) TLSConfig() *tls.Config { return &tls.Config{RootCAs: s.RootCAs, ServerName: s.Host} }

// Proxy is a running SOCKS or HTTP CONNECT proxy.
type Proxy struct {
	Addr    string // in clear
	TLSAddr string // HTTP CONNECT over TLS (Squid only)

	Username, Password string // empty: it does not ask
	RootCAs            *x509.CertPool
}

// TLSConfig trusts the proxy's certificate.
func (p *Proxy) TLSConfig() *tls.Config {
	return &tls.Config{RootCAs: p.RootCAs, ServerName: "127.0.0.1"}
}

// An Option changes how a server is started.
type Option func(*spec)

// Setting sets a variable of the start script; the scripts in testdata/servers name theirs.
func Setting(name, value string) Option {
	return func(s *spec) {
		s.env = append(s.env, name+"="+value)
		s.password = s.password || name == "AUTH"
	}
}

// WithPassword makes a proxy ask for Username and Password, the way it does so usually.
func WithPassword() Option {
	return func(s *spec) { Setting("AUTH", s.scheme)(s) }
}

// Dovecot starts Dovecot 2.3. Any user name is good with the password "secret", the OAuth 2.0 token "token" or a
// [ClientCertificate], and has a mail store of its own with the folders Drafts, Sent, Junk, Trash and Archive.
// Setting("QUOTA", "100K") limits every store. A failed login takes it half a second.
//
// With Setting("PLAINTEXT", "no") it does not take passwords in clear at the address 127.0.0.2.
func Dovecot(t testing.TB, opts ...Option) *Server {
	t.Helper()
	return startServer(t, dovecot, opts)
}

// Cyrus starts Cyrus IMAP 3.6 with the users alice and bob; INBOX is made at the first login.
func Cyrus(t testing.TB, opts ...Option) *Server {
	t.Helper()
	return startServer(t, cyrus, opts)
}

// Courier starts Courier IMAP 5 with the users alice@example.org and bob@example.org. A failed login takes it 5 s.
func Courier(t testing.TB, opts ...Option) *Server {
	t.Helper()
	return startServer(t, courier, opts)
}

// Mailutils starts GNU Mailutils imap4d 3.15 with the users alice@example.org and bob@example.org. A change to a
// folder within one second of opening it goes unnoticed.
func Mailutils(t testing.TB, opts ...Option) *Server {
	t.Helper()
	return startServer(t, mailutils, opts)
}

// Stunnel starts stunnel in front of a plain port on 127.0.0.1. It speaks one TLS version, TLSv1, TLSv1.1, TLSv1.2 or
// TLSv1.3, or all of them when version is empty: from the first byte on TLSPort or, with starttls, after that command
// on Port. Setting("VERIFY", "yes") makes it demand a [ClientCertificate].
func Stunnel(t testing.TB, backendPort int, version string, starttls bool, opts ...Option) *Server {
	t.Helper()
	opts = append(opts, Setting("BACKEND", strconv.Itoa(backendPort)), Setting("VERSION", version))
	if starttls {
		opts = append(opts, Setting("STARTTLS", "yes"))
	}
	p := start(t, stunnel, opts)
	s := &Server{Host: "127.0.0.1", RootCAs: p.roots}
	if starttls {
		s.Port = p.ports[0]
	} else {
		s.TLSPort = p.ports[0]
	}
	return s
}

// Dante starts a SOCKS 4 and 5 proxy.
func Dante(t testing.TB, opts ...Option) *Proxy {
	t.Helper()
	return startProxy(t, dante, opts)
}

// Microsocks starts a SOCKS 5 proxy.
func Microsocks(t testing.TB, opts ...Option) *Proxy {
	t.Helper()
	return startProxy(t, microsocks, opts)
}

// SSHD starts "ssh -D", a SOCKS 4, 4a and 5 proxy without passwords, and the sshd behind it.
func SSHD(t testing.TB) *Proxy {
	t.Helper()
	return startProxy(t, sshd, nil)
}

// V2Ray starts a SOCKS 4, 4a and 5 proxy, with a password only 5, and an HTTP CONNECT proxy. Both report success
// before they have reached the target.
func V2Ray(t testing.TB, opts ...Option) (socks, connect *Proxy) {
	t.Helper()
	p := start(t, v2ray, opts)
	return p.proxy(0), p.proxy(1)
}

// Tinyproxy starts an HTTP CONNECT proxy.
func Tinyproxy(t testing.TB, opts ...Option) *Proxy {
	t.Helper()
	return startProxy(t, tinyproxy, opts)
}

// Squid starts an HTTP CONNECT proxy, in clear and over TLS. Setting("AUTH", "digest") or "ntlm" makes it demand
// proxyuser and proxypass in that way.
func Squid(t testing.TB, opts ...Option) *Proxy {
	t.Helper()
	p := start(t, squid, opts)
	proxy := p.proxy(0)
	proxy.TLSAddr = p.addr(1)
	return proxy
}

// start starts a server that ends with the test.
func start(t testing.TB, s spec, opts []Option) *process {
	t.Helper()
	p := launch(t, s, opts)
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("%s printed:\n%s", s.name, p.printed())
		}
	})
	return p
}

func startServer(t testing.TB, s spec, opts []Option) *Server {
	t.Helper()
	return start(t, s, opts).server()
}

func startProxy(t testing.TB, s spec, opts []Option) *Proxy {
	t.Helper()
	return start(t, s, opts).proxy(0)
}

func (p *process) server() *Server {
	s := &Server{
		Host: "127.0.0.1", Port: p.ports[0], TLSPort: p.ports[1],
		Username: p.spec.user, Password: "secret", RootCAs: p.roots,
	}
	if len(p.ports) > 2 {
		s.LMTPPort = p.ports[2]
	}
	return s
}

func (p *process) proxy(port int) *Proxy {
	proxy := &Proxy{Addr: p.addr(port), RootCAs: p.roots}
	if p.spec.password {
		proxy.Username, proxy.Password = "proxyuser", "proxypass"
	}
	return proxy
}

// shared is the Dovecot of the whole test binary.
var shared struct {
	sync.Mutex
	main  bool // Main will stop it
	run   *process
	users int
}

// SharedDovecot returns the one Dovecot of a test binary whose TestMain calls [Main], with a user of its own for
// every call.
func SharedDovecot(t testing.TB) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if !shared.main {
		t.Fatal("SharedDovecot needs a TestMain that calls servertest.Main")
	}
	if shared.run == nil {
		shared.run = launch(t, dovecot, nil)
	}
	shared.users++
	s := shared.run.server()
	s.Username = fmt.Sprintf("user%d", shared.users)
	return s
}

// Main runs the tests and stops what they share. It returns the exit code, for [os.Exit].
func Main(m *testing.M) int {
	shared.main = true
	code := m.Run()
	if shared.run != nil {
		shared.run.stop()
	}
	return code
}
