package imapkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/proxy"
)

// dialScripted dials target through p, whose proxy follows the script and then
// keeps the connection open without another word.
func dialScripted(t *testing.T, p proxy.ContextDialer, target string, script proxyScript) error {
	t.Helper()
	near, far := net.Pipe()
	defer far.Close()
	played := make(chan error, 1)
	go func() { played <- script.play(far, len(script.answer())) }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := withForward(p, forwardFunc(func(context.Context, string, string) (net.Conn, error) {
		return near, nil
	})).DialContext(ctx, "tcp", target)
	if conn != nil {
		conn.Close()
	}
	if _, writeErr := near.Write([]byte("x")); !errors.Is(writeErr, io.ErrClosedPipe) {
		t.Errorf("the connection is still open: %v", writeErr)
	}
	if playErr := <-played; playErr != nil && !errors.Is(playErr, io.ErrClosedPipe) {
		t.Error(playErr)
	}
	return err
}

func TestProxyRefusalIsExplained(t *testing.T) {
	const (
		hello5   = "\x05\x01\x00"
		connect5 = "\x05\x01\x00\x03\x09imap.test\x03\xe1"
		connect4 = "\x04\x01\x03\xe1\x00\x00\x00\x01\x00imap.test\x00"
		get      = "CONNECT imap.test:993 HTTP/1.1\r\nHost: imap.test:993\r\n"
		getPlain = get + "\r\n"
		getBasic = get + "Proxy-Authorization: Basic YW5uOmh1bnRlcjI=\r\n\r\n"
	)
	socks5 := SOCKSProxy{Addr: "proxy.test:1080"}
	socks5Auth := SOCKSProxy{Addr: "proxy.test:1080", Username: "ann", Password: "hunter2"}
	socks4a := SOCKSProxy{Addr: "proxy.test:1080", Version: SOCKS4a}
	web := HTTPProxy{Addr: "proxy.test:3128"}
	webAuth := HTTPProxy{Addr: "proxy.test:3128", Username: "ann", Password: "hunter2"}
	for _, tt := range []struct {
		name   string
		proxy  proxy.ContextDialer
		script proxyScript
		want   string
	}{
		{"SOCKS5 wants credentials", socks5, proxyScript{{hello5, "\x05\xff"}},
			"the proxy wants credentials: set Username and Password"},
		{"SOCKS5 wants another method", socks5Auth, proxyScript{{"\x05\x02\x00\x02", "\x05\xff"}},
			"no acceptable authentication methods"},
		{"SOCKS5 chooses a method that was not offered", socks5Auth, proxyScript{{"\x05\x02\x00\x02", "\x05\x01"}},
			"unsupported authentication method 1"},
		{"SOCKS5 refuses the password", socks5Auth,
			proxyScript{{"\x05\x02\x00\x02", "\x05\x02"}, {"\x01\x03ann\x07hunter2", "\x01\x01"}},
			"the proxy refused the user name or password"},
		{"SOCKS5 cannot connect", socks5, proxyScript{{hello5, "\x05\x00"}, {connect5, "\x05\x05\x00\x01"}},
			"the proxy answered: connection refused"},
		{"SOCKS5 may not connect", socks5, proxyScript{{hello5, "\x05\x00"}, {connect5, "\x05\x02\x00\x01"}},
			"the proxy answered: connection not allowed by ruleset"},
		{"SOCKS5 with an unknown code", socks5, proxyScript{{hello5, "\x05\x00"}, {connect5, "\x05\x63\x00\x01"}},
			"the proxy answered: unknown code: 99"},
		{"SOCKS4 refuses", socks4a, proxyScript{{connect4, "\x00\x5b"}}, "code 91: it refused or could not reach"},
		{"SOCKS4 finds no identd", socks4a, proxyScript{{connect4, "\x00\x5c"}}, "code 92: it cannot reach an identd"},
		{"SOCKS4 is told another user", socks4a, proxyScript{{connect4, "\x00\x5d"}}, "code 93: the identd on this"},
		{"SOCKS4 with an unknown code", socks4a, proxyScript{{connect4, "\x00\x00"}}, "unknown code 0"},
		{"HTTP wants credentials", web,
			proxyScript{{getPlain, "HTTP/1.1 407 Who are you\r\nproxy-authenticate:Basic realm=\"a, b\"\r\n\r\n"}},
			`set Username and Password: it answered "HTTP/1.1 407 Who are you" and offers Basic`},
		{"HTTP wants credentials but does not say how", web, proxyScript{{getPlain, "HTTP/1.1 407 x\r\n\r\n"}},
			`set Username and Password: it answered "HTTP/1.1 407 x" and offers nothing`},
		{"HTTP refuses the credentials", webAuth,
			proxyScript{{getBasic, "HTTP/1.1 407 No\r\nProxy-Authenticate: NTLM, Basic realm=x\r\n\r\n"}},
			`refused the user name or password: it answered "HTTP/1.1 407 No" and offers NTLM, Basic`},
		{"tinyproxy refuses the credentials", webAuth,
			proxyScript{{getBasic, "HTTP/1.0 401 Unauthorized\r\nServer: tinyproxy\r\n\r\n"}},
			`refused the user name or password: it answered "HTTP/1.0 401 Unauthorized"`},
		{"HTTP wants credentials of another kind", webAuth,
			proxyScript{{getBasic, "HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n"}},
			"in a way other than Basic, which is not supported: " +
				`it answered "HTTP/1.1 407 No" and offers Negotiate, NTLM`},
		{"HTTP may not connect", web, proxyScript{{getPlain, "HTTP/1.1 403 Filtered \x1b[1m\r\nContent-Length: 1\r\n\r\n"}},
			`the proxy answered "HTTP/1.1 403 Filtered \x1b[1m"`},
		{"HTTP redirects", web, proxyScript{{getPlain, "HTTP/1.1 302 Log in first\r\nLocation: /\r\n\r\n"}},
			`the proxy answered "HTTP/1.1 302 Log in first"`},
		{"HTTP switches protocols", web, proxyScript{{getPlain, "HTTP/1.1 101 Switching\r\n\r\n"}},
			`the proxy answered "HTTP/1.1 101 Switching"`},
		{"HTTP with a very long reason", web,
			proxyScript{{getPlain, "HTTP/1.1 500 " + strings.Repeat("y", 1000) + "\r\n\r\n"}},
			`the proxy answered "HTTP/1.1 500 ` + strings.Repeat("y", 187) + `"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := dialScripted(t, tt.proxy, "imap.test:993", tt.script)
			var proxyErr *ProxyError
			if !errors.As(err, &proxyErr) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v shows the password", err)
			}
		})
	}
}

// The peer keeps the connection open, so only noticing at once ends the dial.
func TestProxyThatIsNoneIsNoticedAtOnce(t *testing.T) {
	for _, tt := range healthyProxies {
		for _, garbage := range []string{
			"* OK IMAP4rev1 ready\r\n",
			"SSH-2.0-OpenSSH_9.2p1\r\n",
			"\x15\x03\x03\x00\x02\x02\x28",
			"\x01\x00",
			"HTTP\r\n",
			"HTTP/1.1 OK\r\n\r\n",
			"HTTP/1.1 20 OK\r\n\r\n",
			"HTTP/1.1 +20 OK\r\n\r\n",
			"HTTP/1.1 099 OK\r\n\r\n",
			"HTTP/2 200\r\n\r\n",
		} {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				script := proxyScript{{tt.script[0].want, garbage}}
				err := dialScripted(t, tt.proxy, tt.target, script)
				if proxyErr := (*ProxyError)(nil); !errors.As(err, &proxyErr) || time.Since(begin) > 0 {
					t.Errorf("%s, answered %q: %v", tt.name, garbage, err)
				}
			})
		}
	}
}

func TestHTTPProxyAnswerIsBounded(t *testing.T) {
	for _, tt := range []struct{ name, begin, repeat string }{
		{"endless status line", "HTTP/1.1 200 ", "OK"},
		{"endless header", "HTTP/1.1 200 OK\r\nX: ", "yyyyyyyy"},
		{"endless headers", "HTTP/1.1 200 OK\r\n", "X: y\r\n"},
		{"endless interim answers", "", "HTTP/1.1 100 Continue\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			near, far := net.Pipe()
			sent := make(chan int)
			go func() {
				proxyScript{{want: "CONNECT imap.test:993 HTTP/1.1\r\nHost: imap.test:993\r\n\r\n"}}.play(far, 0)
				total, err := io.WriteString(far, tt.begin)
				for n := 0; err == nil; total += n {
					n, err = io.WriteString(far, tt.repeat)
				}
				sent <- total
			}()
			p := HTTPProxy{Addr: "proxy.test:3128", Forward: forwardFunc(
				func(context.Context, string, string) (net.Conn, error) { return near, nil })}
			_, err := p.DialContext(t.Context(), "tcp", "imap.test:993")
			if proxyErr := (*ProxyError)(nil); !errors.Is(err, ErrLimit) || !errors.As(err, &proxyErr) {
				t.Errorf("got %v", err)
			}
			if n := <-sent; n != 64<<10 {
				t.Errorf("%d bytes were read, want 64 KiB", n)
			}
		})
	}
}

func TestSOCKS4NeedsAnIPv4Address(t *testing.T) {
	unused := forwardFunc(func(context.Context, string, string) (net.Conn, error) {
		t.Error("dialed")
		return nil, errors.New("unexpected")
	})
	p := SOCKSProxy{Addr: "proxy.test:1080", Version: SOCKS4, Forward: unused}
	for _, target := range []string{"[2001:db8::1]:993", "[fe80::1%lo]:993", "0.0.0.0:993", "0.0.0.7:993"} {
		_, err := p.DialContext(t.Context(), "tcp", target)
		if err == nil || !strings.Contains(err.Error(), "no IPv4 address") {
			t.Errorf("%s: %v", target, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.DialContext(ctx, "tcp", "imap.test:993"); !errors.Is(err, context.Canceled) {
		t.Errorf("look-up under an ended context: %v", err)
	}
}

func TestSOCKS4TakesTheFirstIPv4Address(t *testing.T) {
	for _, tt := range []struct{ addrs, want string }{
		{"192.0.2.1 192.0.2.2", "192.0.2.1"},
		{"2001:db8::1 192.0.2.2", "192.0.2.2"},
		{"::ffff:192.0.2.3", "192.0.2.3"},
		{"0.0.0.0 0.0.0.9 192.0.2.4", "192.0.2.4"},
		{"2001:db8::1 ::1", ""},
		{"", ""},
	} {
		var addrs []netip.Addr
		for _, addr := range strings.Fields(tt.addrs) {
			addrs = append(addrs, netip.MustParseAddr(addr))
		}
		got, err := firstIPv4(addrs)
		if (err == nil) != (tt.want != "") || err == nil && got.String() != tt.want {
			t.Errorf("of %q: %v, %v; want %s", tt.addrs, got, err, tt.want)
		}
	}
}

func TestSOCKS4ResolvesTheNameOnThisMachine(t *testing.T) {
	p := SOCKSProxy{Addr: "proxy.test:1080", Version: SOCKS4}
	script := proxyScript{{"\x04\x01\x03\xe1\x7f\x00\x00\x01\x00", "\x00\x5a\x00\x00\x00\x00\x00\x00"}}
	if err := dialScripted(t, p, "localhost:993", script); err != nil {
		t.Error(err)
	}
}

func TestAuthSchemes(t *testing.T) {
	for _, tt := range []struct{ value, want string }{
		{` Basic realm="x"`, "Basic"},
		{`Negotiate`, "Negotiate"},
		{`Negotiate oYG2MIGz==, NTLM`, "Negotiate NTLM"},
		{`Digest realm="a, Fake \", Fake2", qop="auth,auth-int", nonce = x, Basic realm=y`, "Digest Basic"},
		{`, ,Basic,`, "Basic"},
		{"\x1b[1m, Ba\x00sic, B\u00e4sic", ""},
		{`"`, ""},
		{``, ""},
	} {
		if got := strings.Join(authSchemes(tt.value), " "); got != tt.want {
			t.Errorf("%q offers %q, want %q", tt.value, got, tt.want)
		}
	}
}

// answeringConn is a connection whose peer has sent its answers in advance.
type answeringConn struct {
	net.Conn
	answer *strings.Reader
}

func (c answeringConn) Read(p []byte) (int, error)  { return c.answer.Read(p) }
func (c answeringConn) Write(p []byte) (int, error) { return len(p), nil }
func (c answeringConn) Close() error                { return nil }

func FuzzProxyAnswer(f *testing.F) {
	for _, tt := range healthyProxies {
		f.Add(tt.script.answer())
	}
	f.Add("HTTP/1.1 407 x\r\nProxy-Authenticate: Digest realm=\"a,b\", NTLM\r\n\r\n")
	f.Add("HTTP/1.1 403 \x1b\r\n\r\n")
	f.Add("\x00\x5c")
	proxies := []struct {
		proxy    proxy.ContextDialer
		complete func(answer string) bool
	}{
		{SOCKSProxy{Addr: "proxy.test:1080", Username: "ann", Password: "hunter2"}, func(answer string) bool {
			return answer[0] == 5 && len(answer) >= 2+7
		}},
		{SOCKSProxy{Addr: "proxy.test:1080", Version: SOCKS4a}, func(answer string) bool {
			return len(answer) == 8 && answer[:2] == "\x00\x5a"
		}},
		{HTTPProxy{Addr: "proxy.test:3128", Username: "ann", Password: "hunter2"}, func(answer string) bool {
			return strings.HasSuffix(answer, "\n\r\n") || strings.HasSuffix(answer, "\n\n")
		}},
	}
	f.Fuzz(func(t *testing.T, answer string) {
		for _, tt := range proxies {
			conn := answeringConn{answer: strings.NewReader(answer)}
			p := withForward(tt.proxy, forwardFunc(func(context.Context, string, string) (net.Conn, error) {
				return conn, nil
			}))
			_, err := p.DialContext(t.Context(), "tcp", "imap.test:993")
			taken := answer[:len(answer)-conn.answer.Len()]
			if len(taken) > 64<<10 {
				t.Errorf("%v took %d bytes", p, len(taken))
			}
			if err == nil && !tt.complete(taken) {
				t.Errorf("%v accepted %q", p, taken)
			}
			if err != nil && (strings.ContainsFunc(err.Error(), isControl) || strings.Contains(err.Error(), "hunter2")) {
				t.Errorf("error %s", fmt.Sprintf("%q", err))
			}
		}
	})
}
