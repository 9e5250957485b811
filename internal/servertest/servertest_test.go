package servertest

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
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
	xoauth2 := func(token string) string {
		return base64.StdEncoding.EncodeToString([]byte("user=alice\x01auth=Bearer " + token + "\x01\x01"))
	}
	connect(t, server, "TLS").ok("AUTHENTICATE XOAUTH2 " + xoauth2("token"))
	// The second line answers the error that the server explains first.
	answer := connect(t, server, "TLS").do("AUTHENTICATE XOAUTH2 " + xoauth2("wrong") + "\r\n")
	if !strings.Contains(answer, "a NO") {
		t.Error(answer)
	}
	connect(t, server, "TLS").ok("AUTHENTICATE ANONYMOUS dHJhY2U=")

	config := server.TLSConfig()
	config.Certificates = []tls.Certificate{ClientCertificate(t, "alice")}
	greeted(t, tls.Client(dial(t, server.TLSAddr()), config)).ok("AUTHENTICATE EXTERNAL =")
	if answer := connect(t, server, "TLS").do("AUTHENTICATE EXTERNAL YWxpY2U="); !strings.Contains(answer, "a NO") {
		t.Error("without a certificate:", answer)
	}
}

func TestDovecotAnswersAfterManyWrongPasswords(t *testing.T) {
	t.Parallel()
	server := Dovecot(t)
	start := time.Now()
	for range 3 {
		if answer := connect(t, server, "plain").do("LOGIN alice wrong"); !strings.Contains(answer, "[AUTHENTICATIONFAILED]") {
			t.Error(answer)
		}
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
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
	v2ray := func(t testing.TB, opts ...Option) *Proxy { socks, _ := V2Ray(t, opts...); return socks }
	for name, start := range map[string]func(testing.TB, ...Option) *Proxy{
		"Dante": Dante, "microsocks": Microsocks, "V2Ray": v2ray,
		"ssh -D": func(t testing.TB, _ ...Option) *Proxy { return SSHD(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := throughSOCKS(start(t), server, "", "")
			if err != nil {
				t.Fatal(err)
			}
			greeted(t, conn).ok("LOGOUT")
		})
		if name == "ssh -D" {
			continue
		}
		t.Run(name+" with password", func(t *testing.T) {
			t.Parallel()
			p := start(t, WithPassword())
			conn, err := throughSOCKS(p, server, p.Username, p.Password)
			if err != nil {
				t.Fatal(err)
			}
			greeted(t, conn).ok("LOGOUT")
			if _, err := throughSOCKS(p, server, p.Username, "wrong"); err == nil {
				t.Error("it takes a wrong password")
			}
		})
	}
}

func throughSOCKS(p *Proxy, server *Server, user, password string) (net.Conn, error) {
	var auth *proxy.Auth
	if user != "" {
		auth = &proxy.Auth{User: user, Password: password}
	}
	dialer, err := proxy.SOCKS5("tcp", p.Addr, auth, nil)
	if err != nil {
		return nil, err
	}
	return dialer.Dial("tcp", server.Addr())
}

func TestHTTPProxiesReachTheServer(t *testing.T) {
	t.Parallel()
	server := Dovecot(t)
	v2ray := func(t testing.TB, opts ...Option) *Proxy { _, connect := V2Ray(t, opts...); return connect }
	for name, start := range map[string]func(testing.TB, ...Option) *Proxy{
		"Tinyproxy": Tinyproxy, "Squid": Squid, "V2Ray": v2ray,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t)
			conn := dial(t, p.Addr)
			tunnel(t, conn, server, p, http.StatusOK)
			greeted(t, conn).ok("LOGOUT")
			if p.TLSAddr != "" {
				conn := tls.Client(dial(t, p.TLSAddr), p.TLSConfig())
				tunnel(t, conn, server, p, http.StatusOK)
				greeted(t, conn).ok("LOGOUT")
			}
		})
		t.Run(name+" with password", func(t *testing.T) {
			t.Parallel()
			p := start(t, WithPassword())
			conn := dial(t, p.Addr)
			tunnel(t, conn, server, p, http.StatusOK)
			greeted(t, conn).ok("LOGOUT")
			tunnel(t, dial(t, p.Addr), server, &Proxy{}, http.StatusProxyAuthRequired)
		})
	}
}

func TestSquidAsksForDigestAndNTLM(t *testing.T) {
	for scheme, challenge := range map[string]string{"digest": "Digest ", "ntlm": "NTLM"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			p := Squid(t, Setting("AUTH", scheme))
			response := tunnel(t, dial(t, p.Addr), &Server{Host: "127.0.0.1", Port: 143}, p, http.StatusProxyAuthRequired)
			if got := response.Header.Get("Proxy-Authenticate"); !strings.HasPrefix(got, challenge) {
				t.Errorf("it asks for %q", got)
			}
		})
	}
}

// tunnel sends CONNECT with the proxy's password and demands the status. It reads the head of the answer byte by byte,
// because the greeting follows it.
func tunnel(t *testing.T, conn net.Conn, server *Server, p *Proxy, status int) *http.Response {
	t.Helper()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	request := &http.Request{
		Method: http.MethodConnect, URL: &url.URL{Opaque: server.Addr()}, Host: server.Addr(), Header: http.Header{},
	}
	if p.Username != "" {
		request.SetBasicAuth(p.Username, p.Password)
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
	if response.StatusCode != status {
		t.Fatalf("%s, want %s", response.Status, http.StatusText(status))
	}
	return response
}
