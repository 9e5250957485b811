package imapkit

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/proxy"
)

// A relay is a proxy on 127.0.0.1 that really connects. It knows the names in
// routes, which no resolver does.
type relay struct {
	routes map[string]string // "name:port" as asked for to the address behind it
	asked  chan string       // what was asked for
}

// accept reads one request and returns its target and how to say yes.
type accept func(conn *bufio.ReadWriter) (target, yes string, err error)

// start serves connections until the test ends and returns the address.
func (r relay) start(t *testing.T, accept accept) string {
	return listen(t, func(conn net.Conn) {
		// The answer is flushed before anything is read from the target.
		rw := bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn))
		target, yes, err := accept(rw)
		if err != nil {
			t.Error(err)
			return
		}
		r.asked <- target
		if addr, ok := r.routes[target]; ok {
			target = addr
		}
		r.connect(conn, rw, target, yes)
	})
}

// connect joins conn to target.
func (relay) connect(conn net.Conn, rw *bufio.ReadWriter, target, yes string) {
	far, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer far.Close()
	rw.WriteString(yes)
	rw.Flush()
	go func() {
		io.Copy(far, rw)
		far.Close()
	}()
	io.Copy(conn, far)
}

// listen serves each connection to a port of its own with serve.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return l.Addr().String()
}

func acceptSOCKS4a(rw *bufio.ReadWriter) (target, yes string, err error) {
	head := make([]byte, 8)
	if _, err := io.ReadFull(rw, head); err != nil {
		return "", "", err
	}
	host := net.IP(head[4:]).String()
	if _, err := rw.ReadString(0); err != nil {
		return "", "", err
	}
	if host == "0.0.0.1" {
		if host, err = rw.ReadString(0); err != nil {
			return "", "", err
		}
		host = strings.TrimSuffix(host, "\x00")
	}
	return net.JoinHostPort(host, strconv.Itoa(int(head[2])<<8|int(head[3]))), "\x00\x5a\x00\x00\x00\x00\x00\x00", nil
}

func acceptSOCKS5(rw *bufio.ReadWriter) (target, yes string, err error) {
	if _, err := rw.Discard(3); err != nil { // version, one method: none
		return "", "", err
	}
	rw.WriteString("\x05\x00")
	rw.Flush()
	head := make([]byte, 5) // version, command, zero, type, length of the name
	if _, err := io.ReadFull(rw, head); err != nil {
		return "", "", err
	}
	if head[3] != 3 {
		return "", "", errors.New("the proxy was not asked for a name")
	}
	rest := make([]byte, int(head[4])+2)
	if _, err := io.ReadFull(rw, rest); err != nil {
		return "", "", err
	}
	name, port := rest[:head[4]], rest[head[4]:]
	target = net.JoinHostPort(string(name), strconv.Itoa(int(port[0])<<8|int(port[1])))
	return target, "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00", nil
}

func acceptHTTP(rw *bufio.ReadWriter) (target, yes string, err error) {
	request, err := http.ReadRequest(rw.Reader)
	if err != nil {
		return "", "", err
	}
	return request.Host, "HTTP/1.1 200 OK\r\nX-Relay: yes\r\n\r\n", nil
}

// greet is a target that says a line and then echoes.
func greet(conn net.Conn) {
	io.WriteString(conn, "* OK ready\r\n")
	io.Copy(conn, conn)
}

// talk checks that conn leads to greet.
func talk(t *testing.T, conn net.Conn) {
	t.Helper()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(conn, "a NOOP\r\n")
	got := make([]byte, len("* OK ready\r\na NOOP\r\n"))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "* OK ready\r\na NOOP\r\n" {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestProxiesInARow(t *testing.T) {
	target := listen(t, greet)
	asked := make(chan string, 3)
	// First SOCKS4a, through it HTTP, through that SOCKS5.
	last := relay{map[string]string{"imap.test:993": target}, asked}.start(t, acceptSOCKS5)
	middle := relay{map[string]string{"last.test:1080": last}, asked}.start(t, acceptHTTP)
	first := relay{map[string]string{"middle.test:3128": middle}, asked}.start(t, acceptSOCKS4a)
	chain := &SOCKSProxy{Addr: "last.test:1080", Forward: &HTTPProxy{
		Addr: "middle.test:3128", Forward: SOCKSProxy{Addr: first, Version: SOCKS4a},
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := chain.DialContext(ctx, "tcp", "imap.test:993")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	talk(t, conn)
	if a, b, c := <-asked, <-asked, <-asked; a != "middle.test:3128" || b != "last.test:1080" || c != "imap.test:993" {
		t.Errorf("the proxies were asked for %s, %s, %s", a, b, c)
	}
}

func TestProxiesInARowNameTheOneThatFailed(t *testing.T) {
	chain := SOCKSProxy{Addr: "last.test:1080", Forward: HTTPProxy{Addr: listen(t, func(conn net.Conn) {
		acceptHTTP(bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn)))
		io.WriteString(conn, "HTTP/1.1 403 Not you\r\n\r\n")
	})}}
	_, err := chain.DialContext(t.Context(), "tcp", "imap.test:993")
	var outer, inner *ProxyError
	if !errors.As(err, &outer) || outer.Target != "imap.test:993" || outer.Proxy != chain.String() {
		t.Fatalf("got %v", err)
	}
	if !errors.As(outer.Err, &inner) || inner.Target != "last.test:1080" || !strings.Contains(inner.Error(), "Not you") {
		t.Errorf("got %v", err)
	}
}

func TestProxyUsableAsForwardOfOtherPackages(t *testing.T) {
	asked := make(chan string, 2)
	target := listen(t, greet)
	last := relay{map[string]string{"imap.test:993": target}, asked}.start(t, acceptSOCKS5)
	first := relay{map[string]string{"last.test:1080": last}, asked}.start(t, acceptHTTP)
	dialer, err := proxy.SOCKS5("tcp", "last.test:1080", nil, HTTPProxy{Addr: first})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := dialer.Dial("tcp", "imap.test:993")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	talk(t, conn)
}

// tlsProxy is an HTTP proxy made of net/http, behind TLS.
func tlsProxy(t *testing.T, target string) *httptest.Server {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		user, password, _ := parseProxyAuthorization(request)
		if request.Method != http.MethodConnect || request.TLS.NegotiatedProtocol != "http/1.1" ||
			user != "ann" || password != "hunter2" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		relay{}.connect(conn, rw, target, "HTTP/1.1 200 OK\r\n\r\n")
	}))
	server.TLS = &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused certificates
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// parseProxyAuthorization returns the credentials for a proxy in request.
func parseProxyAuthorization(request *http.Request) (user, password string, ok bool) {
	r := http.Request{Header: http.Header{"Authorization": request.Header["Proxy-Authorization"]}}
	return r.BasicAuth()
}

func TestHTTPProxyOverTLS(t *testing.T) {
	server := tlsProxy(t, listen(t, greet))
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	config := &tls.Config{RootCAs: roots, NextProtos: []string{"h2"}}
	p := HTTPProxy{Addr: server.Listener.Addr().String(), Username: "ann", Password: "hunter2", TLS: config}
	conn, err := p.DialContext(t.Context(), "tcp", "imap.test:993")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	talk(t, conn)
	if config.ServerName != "" || config.NextProtos[0] != "h2" {
		t.Error("the configuration was changed")
	}
}

func TestHTTPProxyOverTLSChecksTheCertificate(t *testing.T) {
	server := tlsProxy(t, listen(t, greet))
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	for _, tt := range []struct {
		name   string
		config *tls.Config
		want   any
	}{
		{"signer", &tls.Config{RootCAs: x509.NewCertPool()}, new(x509.UnknownAuthorityError)},
		{"name", &tls.Config{RootCAs: roots, ServerName: "other.test"}, new(x509.HostnameError)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := HTTPProxy{Addr: server.Listener.Addr().String(), TLS: tt.config}
			_, err := p.DialContext(t.Context(), "tcp", "imap.test:993")
			if proxyErr := (*ProxyError)(nil); !errors.As(err, tt.want) || !errors.As(err, &proxyErr) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestHTTPProxyOverTLSAtAPlainPort(t *testing.T) {
	addr := listen(t, func(conn net.Conn) { io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n") })
	_, err := HTTPProxy{Addr: addr, TLS: &tls.Config{}}.DialContext(t.Context(), "tcp", "imap.test:993")
	if err == nil || !strings.Contains(err.Error(), "TLS with the proxy") {
		t.Errorf("got %v", err)
	}
}
