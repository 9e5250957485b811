package imapkit

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/proxy"
)

// forwardFunc is a Forward dialer made of a function.
type forwardFunc func(ctx context.Context, network, addr string) (net.Conn, error)

func (f forwardFunc) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return f(ctx, network, addr)
}

// withForward returns a copy of p that reaches its proxy through forward.
func withForward(p proxy.ContextDialer, forward proxy.ContextDialer) proxy.ContextDialer {
	switch p := p.(type) {
	case SOCKSProxy:
		p.Forward = forward
		return p
	case HTTPProxy:
		p.Forward = forward
		return p
	}
	return nil
}

// A proxyStep is what a scripted proxy waits for and what it then answers.
type proxyStep struct{ want, send string }

// proxyScript is one conversation with a scripted proxy.
type proxyScript []proxyStep

// answer returns all that the proxy sends.
func (script proxyScript) answer() string {
	var all strings.Builder
	for _, step := range script {
		all.WriteString(step.send)
	}
	return all.String()
}

// play lets the proxy at conn follow the script, but send only the first limit
// bytes of its answers. It reports whether the requests were as expected.
func (script proxyScript) play(conn net.Conn, limit int) error {
	for _, step := range script {
		got := make([]byte, len(step.want))
		if n, err := io.ReadFull(conn, got); err != nil {
			return fmt.Errorf("request %q, want %q: %w", got[:n], step.want, err)
		}
		if string(got) != step.want {
			return fmt.Errorf("request %q, want %q", got, step.want)
		}
		send := step.send[:min(limit, len(step.send))]
		if _, err := io.WriteString(conn, send); err != nil {
			return fmt.Errorf("sending %q: %w", send, err)
		}
		if limit -= len(send); len(send) < len(step.send) {
			return nil
		}
	}
	return nil
}

// healthyProxies are conversations that end well, byte by byte.
var healthyProxies = []struct {
	name   string
	proxy  proxy.ContextDialer
	target string
	script proxyScript
}{
	{
		name:   "SOCKS5 resolves the name at the proxy",
		proxy:  SOCKSProxy{Addr: "proxy.test:1080"},
		target: "imap.test:993",
		script: proxyScript{
			{"\x05\x01\x00", "\x05\x00"},
			{"\x05\x01\x00\x03\x09imap.test\x03\xe1", "\x05\x00\x00\x01\x7f\x00\x00\x01\x12\x34"},
		},
	},
	{
		name:   "SOCKS5 with user name and password, answered with a bound name",
		proxy:  SOCKSProxy{Addr: "proxy.test:1080", Username: "ann", Password: "hunter2"},
		target: "192.0.2.7:143",
		script: proxyScript{
			{"\x05\x02\x00\x02", "\x05\x02"},
			{"\x01\x03ann\x07hunter2", "\x01\x00"},
			{"\x05\x01\x00\x01\xc0\x00\x02\x07\x00\x8f", "\x05\x00\x00\x03\x03out\x12\x34"},
		},
	},
	{
		name:   "SOCKS5 with credentials that the proxy does not ask for, IPv6",
		proxy:  SOCKSProxy{Addr: "proxy.test:1080", Username: "ann", Password: "hunter2"},
		target: "[2001:db8::1]:143",
		script: proxyScript{
			{"\x05\x02\x00\x02", "\x05\x00"},
			{
				"\x05\x01\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x8f",
				"\x05\x00\x00\x04" + strings.Repeat("\x00", 18),
			},
		},
	},
	{
		name:   "SOCKS4 with an address",
		proxy:  SOCKSProxy{Addr: "proxy.test:1080", Version: SOCKS4, Username: "ann"},
		target: "192.0.2.7:143",
		script: proxyScript{{"\x04\x01\x00\x8f\xc0\x00\x02\x07ann\x00", "\x00\x5a\x00\x00\x00\x00\x00\x00"}},
	},
	{
		name:   "SOCKS4a resolves the name at the proxy",
		proxy:  SOCKSProxy{Addr: "proxy.test:1080", Version: SOCKS4a, Username: "ann"},
		target: "imap.test:993",
		script: proxyScript{{"\x04\x01\x03\xe1\x00\x00\x00\x01ann\x00imap.test\x00", "\x00\x5a\x00\x00\x00\x00\x00\x00"}},
	},
	{
		name:   "SOCKS4a with an address needs no name",
		proxy:  SOCKSProxy{Addr: "proxy.test:1080", Version: SOCKS4a},
		target: "192.0.2.7:143",
		script: proxyScript{{"\x04\x01\x00\x8f\xc0\x00\x02\x07\x00", "\x00\x5a\x00\x00\x00\x00\x00\x00"}},
	},
	{
		name:   "SOCKS4a hands an IPv6 address over as text",
		proxy:  SOCKSProxy{Addr: "proxy.test:1080", Version: SOCKS4a},
		target: "[2001:db8::1]:143",
		script: proxyScript{
			{"\x04\x01\x00\x8f\x00\x00\x00\x01\x002001:db8::1\x00", "\x00\x5a\x00\x00\x00\x00\x00\x00"},
		},
	},
	{
		name:   "HTTP without credentials",
		proxy:  HTTPProxy{Addr: "proxy.test:3128"},
		target: "imap.test:993",
		script: proxyScript{{
			"CONNECT imap.test:993 HTTP/1.1\r\nHost: imap.test:993\r\n\r\n",
			"HTTP/1.1 200 Connection established\r\n\r\n",
		}},
	},
	{
		name:   "HTTP with Basic credentials, answered by HTTP/1.0",
		proxy:  HTTPProxy{Addr: "proxy.test:3128", Username: "ann", Password: "hunter2"},
		target: "192.0.2.7:143",
		script: proxyScript{{
			"CONNECT 192.0.2.7:143 HTTP/1.1\r\nHost: 192.0.2.7:143\r\n" +
				"Proxy-Authorization: Basic YW5uOmh1bnRlcjI=\r\n\r\n",
			"HTTP/1.0 200 Connection established\r\nProxy-agent: x\r\n\r\n",
		}},
	},
	{
		name:   "HTTP with a password alone",
		proxy:  HTTPProxy{Addr: "proxy.test:3128", Password: "hunter2"},
		target: "imap.test:143",
		script: proxyScript{{
			"CONNECT imap.test:143 HTTP/1.1\r\nHost: imap.test:143\r\nProxy-Authorization: Basic Omh1bnRlcjI=\r\n\r\n",
			"HTTP/1.1 200\r\n\r\n",
		}},
	},
	{
		name:   "HTTP with an IPv6 target, interim answers and a length that means nothing",
		proxy:  HTTPProxy{Addr: "proxy.test:3128"},
		target: "[2001:db8::1]:993",
		script: proxyScript{{
			"CONNECT [2001:db8::1]:993 HTTP/1.1\r\nHost: [2001:db8::1]:993\r\n\r\n",
			"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" +
				"HTTP/1.1 204 Fine\r\nContent-Length: 1000\r\n\r\n",
		}},
	},
	{
		name:   "HTTP with bare line feeds",
		proxy:  HTTPProxy{Addr: "proxy.test:3128"},
		target: "imap.test:993",
		script: proxyScript{{
			"CONNECT imap.test:993 HTTP/1.1\r\nHost: imap.test:993\r\n\r\n",
			"HTTP/1.0 200 OK\nProxy-agent: x\n\n",
		}},
	},
}

func TestProxyConnectsAndLosesNoByte(t *testing.T) {
	const greeting = "* OK the target greets at once\r\n"
	for _, tt := range healthyProxies {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer near.Close()
				played := make(chan error, 1)
				go func() {
					// The greeting comes in the same write as the end of the answer.
					script := append(proxyScript{}, tt.script...)
					script[len(script)-1].send += greeting
					played <- script.play(far, len(script.answer()))
				}()
				var dialed string
				p := withForward(tt.proxy, forwardFunc(func(_ context.Context, network, addr string) (net.Conn, error) {
					dialed = network + " " + addr
					return near, nil
				}))
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				conn, err := p.DialContext(ctx, "tcp", tt.target)
				if err != nil {
					t.Fatalf("%v; script: %v", err, <-played)
				}
				if want := "tcp " + fmt.Sprint(p)[strings.Index(fmt.Sprint(p), "//")+2:]; dialed != want {
					t.Errorf("dialed %q, want %q", dialed, want)
				}
				if conn != near {
					t.Errorf("connection is %T, not the one to the proxy", conn)
				}
				// The end of the context concerns the dial only.
				cancel()
				synctest.Wait()
				got := make([]byte, len(greeting))
				if _, err := io.ReadFull(conn, got); err != nil || string(got) != greeting {
					t.Errorf("read %q, %v", got, err)
				}
				if err := <-played; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestProxyAnswerCutShortIsAnError(t *testing.T) {
	for _, tt := range healthyProxies {
		t.Run(tt.name, func(t *testing.T) {
			for limit := range len(tt.script.answer()) {
				near, far := net.Pipe()
				played := make(chan error, 1)
				go func() {
					err := tt.script.play(far, limit)
					far.Close()
					played <- err
				}()
				p := withForward(tt.proxy, forwardFunc(func(context.Context, string, string) (net.Conn, error) {
					return near, nil
				}))
				conn, err := p.DialContext(t.Context(), "tcp", tt.target)
				var proxyErr *ProxyError
				if conn != nil || !errors.As(err, &proxyErr) {
					t.Fatalf("after %d bytes: %v, %v", limit, conn, err)
				}
				if proxyErr.Target != tt.target || proxyErr.Proxy != fmt.Sprint(p) {
					t.Errorf("error names %q and %q", proxyErr.Proxy, proxyErr.Target)
				}
				if !strings.Contains(err.Error(), "the proxy closed the connection") {
					t.Errorf("after %d bytes: %v", limit, err)
				}
				if err := <-played; err != nil {
					t.Error(err)
				}
				if _, err := near.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
					t.Errorf("after %d bytes the connection is still open: %v", limit, err)
				}
			}
		})
	}
}

// A synctest bubble ends only when every goroutine started in it has.
func TestProxyFallenSilentIsLeftWhenTheContextEnds(t *testing.T) {
	cases := healthyProxies
	cases = append(cases[:len(cases):len(cases)], struct {
		name   string
		proxy  proxy.ContextDialer
		target string
		script proxyScript
	}{
		name:   "HTTP over TLS",
		proxy:  HTTPProxy{Addr: "proxy.test:3128", TLS: &tls.Config{}},
		target: "imap.test:993",
		script: proxyScript{{"\x16\x03\x01", "\x16\x03\x03"}},
	})
	ends := []struct {
		name string
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		want error
	}{
		{"deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 5*time.Second)
		}, context.DeadlineExceeded},
		{"cancel", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(5*time.Second, cancel)
			return ctx, cancel
		}, context.Canceled},
	}
	for _, tt := range cases {
		for _, end := range ends {
			t.Run(tt.name+", "+end.name, func(t *testing.T) {
				for limit := range len(tt.script.answer()) {
					synctest.Test(t, func(t *testing.T) {
						near, far := net.Pipe()
						defer far.Close()
						go tt.script.play(far, limit)
						p := withForward(tt.proxy, forwardFunc(func(context.Context, string, string) (net.Conn, error) {
							return near, nil
						}))
						ctx, cancel := end.ctx(t.Context())
						defer cancel()
						begin := time.Now()
						conn, err := p.DialContext(ctx, "tcp", tt.target)
						if elapsed := time.Since(begin); elapsed != 5*time.Second {
							t.Errorf("after %d bytes: returned after %v", limit, elapsed)
						}
						var proxyErr *ProxyError
						if conn != nil || !errors.Is(err, end.want) || !errors.As(err, &proxyErr) {
							t.Errorf("after %d bytes: %v, %v", limit, conn, err)
						}
						if _, err := near.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
							t.Errorf("after %d bytes the connection is still open: %v", limit, err)
						}
					})
				}
			})
		}
	}
}

func TestProxyDialHasALimitOfItsOwn(t *testing.T) {
	for _, p := range []proxy.ContextDialer{SOCKSProxy{Addr: "proxy.test:1080"}, HTTPProxy{Addr: "proxy.test:3128"}} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			defer far.Close()
			p := withForward(p, forwardFunc(func(context.Context, string, string) (net.Conn, error) {
				return near, nil
			}))
			begin := time.Now()
			_, err := p.(proxy.Dialer).Dial("tcp", "imap.test:993")
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 30*time.Second {
				t.Errorf("%v after %v", err, time.Since(begin))
			}
		})
	}
}

func TestProxyOutOfReach(t *testing.T) {
	refused := errors.New("connection refused")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	pastDeadline, cancelPast := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancelPast()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		want error
	}{
		{"the dialer's own error", t.Context(), refused},
		{"cancelled", ended, context.Canceled},
		{"too late", pastDeadline, context.DeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			forward := forwardFunc(func(context.Context, string, string) (net.Conn, error) { return nil, refused })
			for _, p := range healthyProxies {
				_, err := withForward(p.proxy, forward).DialContext(tt.ctx, "tcp", p.target)
				if proxyErr := (*ProxyError)(nil); !errors.Is(err, tt.want) || !errors.As(err, &proxyErr) {
					t.Errorf("%s: %v", p.name, err)
				}
			}
		})
	}
}

func TestProxyIsAskedOnlyForWhatCanBeATarget(t *testing.T) {
	unused := forwardFunc(func(_ context.Context, _, addr string) (net.Conn, error) {
		t.Errorf("dialed %s", addr)
		return nil, errors.New("unexpected")
	})
	proxies := []proxy.ContextDialer{
		SOCKSProxy{Addr: "proxy.test:1080", Forward: unused},
		&SOCKSProxy{Addr: "proxy.test:1080", Version: SOCKS4, Forward: unused},
		SOCKSProxy{Addr: "proxy.test:1080", Version: SOCKS4a, Forward: unused},
		&HTTPProxy{Addr: "proxy.test:1080", Forward: unused},
	}
	for _, tt := range []struct{ network, target, want string }{
		{"udp", "imap.test:993", `network "udp"`},
		{"tcp", "imap.test", `"host:port"`},
		{"tcp", "2001:db8::1:993", `"host:port"`},
		{"tcp", ":993", "host is missing"},
		{"tcp", "imap.test:0", "port"},
		{"tcp", "imap.test:65536", "port"},
		{"tcp", "imap.test:+993", "port"},
		{"tcp", "imap.test:imaps", "port"},
		{"tcp", "imap.test\r\nX: y:993", `"host:port"`},
		{"tcp", "imap.test\r\nX:993", "character"},
		{"tcp", "imap\x00.test:993", "character"},
		{"tcp", "imap .test:993", "character"},
		{"tcp", strings.Repeat("a", 256) + ":993", "longer than 255 bytes"},
	} {
		for _, p := range proxies {
			_, err := p.DialContext(t.Context(), tt.network, tt.target)
			var proxyErr *ProxyError
			if !errors.As(err, &proxyErr) || !strings.Contains(proxyErr.Err.Error(), tt.want) {
				t.Errorf("%v to %s %q: %v", p, tt.network, tt.target, err)
			}
		}
	}
}

func TestProxyConfigurationErrorsNameTheField(t *testing.T) {
	long := strings.Repeat("x", 256)
	loop := &SOCKSProxy{Addr: "proxy.test:1080"}
	loop.Forward = loop
	const addr = "proxy.test:1080"
	for _, tt := range []struct {
		proxy proxy.ContextDialer
		want  string
	}{
		{SOCKSProxy{}, "imapkit: SOCKSProxy.Addr: "},
		{&SOCKSProxy{Addr: "proxy.test"}, "imapkit: SOCKSProxy.Addr: "},
		{SOCKSProxy{Addr: "proxy.test:99999"}, "imapkit: SOCKSProxy.Addr: "},
		{SOCKSProxy{Addr: ":1080"}, "imapkit: SOCKSProxy.Addr: "},
		{SOCKSProxy{Addr: "ann:hunter2@proxy.test:1080"}, "imapkit: SOCKSProxy.Addr: "},
		{SOCKSProxy{Addr: "ann:hunter2@proxy.test"}, "imapkit: SOCKSProxy.Addr: "},
		{SOCKSProxy{Addr: "ann@proxy.test:1080"}, "imapkit: SOCKSProxy.Addr: "},
		{SOCKSProxy{Addr: addr, Version: 3}, "imapkit: SOCKSProxy.Version: SOCKSVersion(3) "},
		{SOCKSProxy{Addr: addr, Version: -1}, "imapkit: SOCKSProxy.Version: SOCKSVersion(-1) "},
		{SOCKSProxy{Addr: addr, Username: long, Password: "hunter2"}, "imapkit: SOCKSProxy.Username: "},
		{SOCKSProxy{Addr: addr, Username: "ann", Password: long}, "imapkit: SOCKSProxy.Password: "},
		{SOCKSProxy{Addr: addr, Password: "hunter2"}, "imapkit: SOCKSProxy.Username: "},
		{SOCKSProxy{Addr: addr, Username: "ann"}, "imapkit: SOCKSProxy.Password: "},
		{SOCKSProxy{Addr: addr, Version: SOCKS4, Username: long}, "imapkit: SOCKSProxy.Username: "},
		{SOCKSProxy{Addr: addr, Version: SOCKS4a, Username: "a\x00b"}, "imapkit: SOCKSProxy.Username: "},
		{SOCKSProxy{Addr: addr, Version: SOCKS4, Password: "hunter2"}, "imapkit: SOCKSProxy.Password: "},
		{HTTPProxy{}, "imapkit: HTTPProxy.Addr: "},
		{HTTPProxy{Addr: addr, Username: "a:b", Password: "hunter2"}, "imapkit: HTTPProxy.Username: "},
		{&HTTPProxy{Addr: addr, Username: "a\r\nb", Password: "hunter2"}, "imapkit: HTTPProxy.Username: "},
		{HTTPProxy{Addr: addr, Username: "ann", Password: "hunter2\n"}, "imapkit: HTTPProxy.Password: "},
		{(*SOCKSProxy)(nil), "imapkit: SOCKSProxy: nil"},
		{(*HTTPProxy)(nil), "imapkit: HTTPProxy: nil"},
		{
			SOCKSProxy{Addr: addr, Forward: &HTTPProxy{Addr: addr, Forward: SOCKSProxy{Addr: addr, Version: 9}}},
			"imapkit: SOCKSProxy.Forward: HTTPProxy.Forward: SOCKSProxy.Version: ",
		},
		{loop, "imapkit: more than 16 proxies in a row: does a Forward "},
	} {
		err := checkProxy(tt.proxy)
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v, want %s…", err, tt.want)
		}
	}
}

func TestProxyConfigurationIsCheckedBeforeDialing(t *testing.T) {
	unused := forwardFunc(func(context.Context, string, string) (net.Conn, error) {
		t.Error("dialed")
		return nil, errors.New("unexpected")
	})
	for _, p := range []proxy.ContextDialer{
		SOCKSProxy{Addr: "proxy.test:1080", Password: "hunter2", Forward: unused},
		&HTTPProxy{Addr: "ann:hunter2@proxy.test", Forward: unused},
	} {
		_, err := p.DialContext(t.Context(), "tcp", "imap.test:993")
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}

func TestProxyConfigurationsThatAreFine(t *testing.T) {
	full := strings.Repeat("x", 255)
	for _, p := range []proxy.ContextDialer{
		nil,
		&net.Dialer{},
		SOCKSProxy{Addr: "[::1]:1", Username: full, Password: full},
		&SOCKSProxy{Addr: "proxy.test:65535", Version: SOCKS4a, Username: full},
		HTTPProxy{Addr: "proxy.test:3128", Password: "only:a password"},
		&HTTPProxy{Addr: "proxy.test:3128", TLS: &tls.Config{}, Forward: &SOCKSProxy{Addr: "127.0.0.1:1080"}},
	} {
		if err := checkProxy(p); err != nil {
			t.Errorf("%v: %v", p, err)
		}
	}
}

func TestProxyPrintsWithoutPassword(t *testing.T) {
	socks := SOCKSProxy{Addr: "proxy.test:1080", Username: "ann", Password: "hunter2"}
	web := HTTPProxy{Addr: "proxy.test:3128", Username: "ann", Password: "hunter2", TLS: &tls.Config{}, Forward: &socks}
	for _, tt := range []struct {
		value any
		want  string
	}{
		{socks, "socks5://proxy.test:1080"},
		{&socks, "socks5://proxy.test:1080"},
		{SOCKSProxy{Addr: "10.0.0.1:1", Version: SOCKS4}, "socks4://10.0.0.1:1"},
		{SOCKSProxy{Addr: "[::1]:1", Version: SOCKS4a}, "socks4a://[::1]:1"},
		{SOCKSProxy{Addr: "ann:hunter2@proxy.test:1080"}, "socks5://proxy.test:1080"},
		{web, "https://proxy.test:3128"},
		{&web, "https://proxy.test:3128"},
		{HTTPProxy{Addr: "http://ann:hunter2@proxy.test:3128"}, "http://proxy.test:3128"},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if got := fmt.Sprintf(verb, tt.value); got != tt.want {
				t.Errorf("%s prints %s, want %s", verb, got, tt.want)
			}
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("text", "proxy", tt.value)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "proxy", tt.value)
		if strings.Count(log.String(), tt.want) != 2 || strings.Contains(log.String(), "hunter2") {
			t.Errorf("logged %s, want %s", log.String(), tt.want)
		}
		if holder := fmt.Sprintf("%+v %#v", Client{Proxy: web}, Client{Proxy: &socks}); strings.Contains(holder, "hunter2") {
			t.Errorf("a Client prints %s", holder)
		}
	}
}
