package servertest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/proxy"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// session is a conversation with an IMAP server, just good enough to see that it works.
type session struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

// greeted takes over a connection and reads the greeting.
func greeted(t *testing.T, conn net.Conn) *session {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	s := &session{t, conn, bufio.NewReader(conn)}
	if line, err := s.r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "* OK") {
		t.Fatalf("greeting %q: %v", line, err)
	}
	return s
}

// do sends a command and returns the answer, whose last line has the tag.
func (s *session) do(command string) string {
	s.t.Helper()
	fmt.Fprintf(s.conn, "a %s\r\n", command)
	var answer strings.Builder
	for {
		line, err := s.r.ReadString('\n')
		answer.WriteString(line)
		if err != nil {
			s.t.Fatalf("%s: %v after %q", command, err, answer.String())
		}
		if strings.HasPrefix(line, "a ") {
			return answer.String()
		}
	}
}

// ok is do with a command that must succeed.
func (s *session) ok(command string) string {
	s.t.Helper()
	answer := s.do(command)
	if !strings.Contains(answer, "a OK") {
		s.t.Fatalf("%s: %q", command, answer)
	}
	return answer
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// connect opens a session in one of the modes "plain", "STARTTLS" and "TLS".
func connect(t *testing.T, s *Server, mode string) *session {
	t.Helper()
	config := s.TLSConfig()
	config.MinVersion = tls.VersionTLS10
	switch mode {
	case "TLS":
		return greeted(t, tls.Client(dial(t, s.TLSAddr()), config))
	case "STARTTLS":
		session := greeted(t, dial(t, s.Addr()))
		session.ok("STARTTLS")
		session.conn = tls.Client(session.conn, config)
		session.r.Reset(session.conn)
		return session
	default:
		return greeted(t, dial(t, s.Addr()))
	}
}

func TestServersServeTheirUsersInEveryMode(t *testing.T) {
	for name, start := range map[string]func(testing.TB, ...Option) *Server{
		"Dovecot": Dovecot, "Cyrus": Cyrus, "Courier": Courier, "Mailutils": Mailutils,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			for _, mode := range []string{"plain", "STARTTLS", "TLS"} {
				s := connect(t, server, mode)
				s.ok("LOGIN " + server.Username + " " + server.Password)
				s.ok("SELECT INBOX")
				s.ok("LOGOUT")
			}
		})
	}
}

func TestDovecotLimitsMail(t *testing.T) {
	t.Parallel()
	s := connect(t, Dovecot(t, Setting("QUOTA", "100K")), "plain")
	s.ok("LOGIN alice secret")
	if answer := s.ok("GETQUOTAROOT INBOX"); !strings.Contains(answer, "STORAGE 0 100") {
		t.Error(answer)
	}
	if answer := s.do("APPEND INBOX {200000+}\r\n" + strings.Repeat("x", 200000)); !strings.Contains(answer, "[OVERQUOTA]") {
		t.Error(answer)
	}
}

func TestDovecotRefusesPasswordsInClear(t *testing.T) {
	t.Parallel()
	server := Dovecot(t, Setting("PLAINTEXT", "no"))
	server.Host = "127.0.0.2"
	if answer := connect(t, server, "plain").ok("CAPABILITY"); !strings.Contains(answer, "LOGINDISABLED") {
		t.Error(answer)
	}
	connect(t, server, "STARTTLS").ok("LOGIN alice secret")
}

func TestDovecotTakesTokensAndCertificates(t *testing.T) {
	t.Parallel()
	server := Dovecot(t)
	s := connect(t, server, "TLS")
	// user=alice ^A auth=Bearer token ^A ^A
	s.ok("AUTHENTICATE XOAUTH2 dXNlcj1hbGljZQFhdXRoPUJlYXJlciB0b2tlbgEB")

	config := server.TLSConfig()
	config.Certificates = []tls.Certificate{ClientCertificate(t, "alice")}
	s = greeted(t, tls.Client(dial(t, server.TLSAddr()), config))
	s.ok("AUTHENTICATE EXTERNAL =")

	connect(t, server, "TLS").ok("AUTHENTICATE ANONYMOUS dHJhY2U=")
}

func TestSharedDovecotGivesEveryTestItsOwnMail(t *testing.T) {
	t.Parallel()
	first, second := SharedDovecot(t), SharedDovecot(t)
	s := connect(t, first, "plain")
	s.ok("LOGIN " + first.Username + " secret")
	s.ok("APPEND INBOX {4+}\r\nA: b")
	if answer := s.ok("STATUS INBOX (MESSAGES)"); !strings.Contains(answer, "MESSAGES 1") {
		t.Error(answer)
	}
	s = connect(t, second, "plain")
	s.ok("LOGIN " + second.Username + " secret")
	if answer := s.ok("STATUS INBOX (MESSAGES)"); !strings.Contains(answer, "MESSAGES 0") {
		t.Error(answer)
	}
}

func TestStunnelSpeaksOneVersion(t *testing.T) {
	t.Parallel()
	server := Dovecot(t)
	for name, version := range map[string]uint16{
		"TLSv1": tls.VersionTLS10, "TLSv1.1": tls.VersionTLS11, "TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13,
	} {
		for _, mode := range []string{"TLS", "STARTTLS"} {
			s := connect(t, Stunnel(t, server.Port, name, mode == "STARTTLS"), mode)
			s.ok("LOGIN alice secret")
			if got := s.conn.(*tls.Conn).ConnectionState().Version; got != version {
				t.Errorf("%s, %s: %s", name, mode, tls.VersionName(got))
			}
		}
	}
}

func TestStunnelDemandsAClientCertificate(t *testing.T) {
	t.Parallel()
	server := Stunnel(t, Dovecot(t).Port, "TLSv1.2", false, Setting("VERIFY", "yes"))
	config := server.TLSConfig()
	if err := tls.Client(dial(t, server.TLSAddr()), config).Handshake(); err == nil {
		t.Error("it let in a client without a certificate")
	}
	config.Certificates = []tls.Certificate{ClientCertificate(t, "alice")}
	greeted(t, tls.Client(dial(t, server.TLSAddr()), config)).ok("LOGIN alice secret")
}

func TestSOCKSProxiesReachTheServer(t *testing.T) {
	t.Parallel()
	server := Dovecot(t)
	proxies := map[string]*Proxy{
		"Dante": Dante(t), "Dante with password": Dante(t, WithPassword()),
		"microsocks": Microsocks(t), "microsocks with password": Microsocks(t, WithPassword()),
		"ssh -D": SSHD(t),
	}
	proxies["V2Ray"], _ = V2Ray(t)
	proxies["V2Ray with password"], _ = V2Ray(t, WithPassword())
	for name, p := range proxies {
		try := func(auth *proxy.Auth) (net.Conn, error) {
			dialer, err := proxy.SOCKS5("tcp", p.Addr, auth, nil)
			if err != nil {
				t.Fatal(err)
			}
			return dialer.Dial("tcp", server.Addr())
		}
		var auth *proxy.Auth
		if p.Username != "" {
			auth = &proxy.Auth{User: p.Username, Password: p.Password}
			if _, err := try(&proxy.Auth{User: p.Username, Password: "wrong"}); err == nil {
				t.Errorf("%s takes a wrong password", name)
			}
		}
		conn, err := try(auth)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		greeted(t, conn).ok("LOGOUT")
	}
}

func TestHTTPProxiesReachTheServer(t *testing.T) {
	t.Parallel()
	server := Dovecot(t)
	proxies := map[string]*Proxy{
		"Tinyproxy": Tinyproxy(t), "Tinyproxy with password": Tinyproxy(t, WithPassword()),
		"Squid": Squid(t), "Squid with password": Squid(t, WithPassword()),
	}
	_, proxies["V2Ray"] = V2Ray(t)
	_, proxies["V2Ray with password"] = V2Ray(t, WithPassword())
	for name, p := range proxies {
		over := map[string]net.Conn{"": dial(t, p.Addr)}
		if p.TLSAddr != "" {
			over[" over TLS"] = tls.Client(dial(t, p.TLSAddr), p.TLSConfig())
		}
		for how, conn := range over {
			t.Run(name+how, func(t *testing.T) {
				if code := requestTunnel(t, conn, server, p.Username, p.Password); code != http.StatusOK {
					t.Fatal(http.StatusText(code))
				}
				greeted(t, conn).ok("LOGOUT")
			})
		}
		if p.Username != "" {
			if code := requestTunnel(t, dial(t, p.Addr), server, "", ""); code != http.StatusProxyAuthRequired {
				t.Errorf("%s without password: %s", name, http.StatusText(code))
			}
		}
	}
}

func TestSquidAsksInOtherWays(t *testing.T) {
	t.Parallel()
	server := Dovecot(t)
	for _, scheme := range []string{"digest", "ntlm"} {
		p := Squid(t, Setting("AUTH", scheme))
		if code := requestTunnel(t, dial(t, p.Addr), server, p.Username, p.Password); code != http.StatusProxyAuthRequired {
			t.Errorf("%s: %s", scheme, http.StatusText(code))
		}
	}
}

// requestTunnel sends CONNECT and reads the head of the answer byte by byte, because the greeting follows it.
func requestTunnel(t *testing.T, conn net.Conn, server *Server, user, password string) int {
	t.Helper()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	request := &http.Request{
		Method: http.MethodConnect, URL: &url.URL{Opaque: server.Addr()}, Host: server.Addr(), Header: http.Header{},
	}
	if user != "" {
		request.SetBasicAuth(user, password)
		request.Header = http.Header{"Proxy-Authorization": request.Header["Authorization"]}
	}
	if err := request.Write(conn); err != nil {
		t.Fatal(err)
	}
	var head strings.Builder
	for b := make([]byte, 1); !strings.HasSuffix(head.String(), "\r\n\r\n"); head.Write(b) {
		if _, err := io.ReadFull(conn, b); err != nil {
			t.Fatalf("%v after %q", err, head.String())
		}
	}
	response, err := http.ReadResponse(bufio.NewReader(strings.NewReader(head.String())), request)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode
}
