package imapkit

import (
	"crypto/tls"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/net/proxy"
)

func TestProxyFromURL(t *testing.T) {
	for _, tt := range []struct {
		url  string
		want proxy.ContextDialer
	}{
		{"socks5://proxy.test:1081", &SOCKSProxy{Addr: "proxy.test:1081"}},
		{"socks5h://ann:p%40ss%3A%2F@proxy.test", &SOCKSProxy{Addr: "proxy.test:1080", Username: "ann", Password: "p@ss:/"}},
		{"socks4://proxy.test", &SOCKSProxy{Addr: "proxy.test:1080", Version: SOCKS4}},
		{"socks4a://ann@[::1]", &SOCKSProxy{Addr: "[::1]:1080", Version: SOCKS4a, Username: "ann"}},
		{"http://127.0.0.1", &HTTPProxy{Addr: "127.0.0.1:80"}},
		{"HTTP://proxy.test:3128/", &HTTPProxy{Addr: "proxy.test:3128"}},
		{"https://ann:hunter2@proxy.test", &HTTPProxy{
			Addr: "proxy.test:443", Username: "ann", Password: "hunter2", TLS: &tls.Config{},
		}},
	} {
		got, err := ProxyFromURL(tt.url)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %T %v, %v", tt.url, got, got, err)
		}
	}
}

func TestProxyFromURLRefuses(t *testing.T) {
	long := strings.Repeat("x", 256)
	for _, tt := range []struct{ url, want string }{
		{"", "scheme://host:port"},
		{"proxy.test", "scheme://host:port"},
		{"proxy.test:1080", "scheme://host:port"},
		{"ann:hunter2@proxy.test:1080", "scheme://host:port"},
		{"//ann:hunter2@proxy.test:1080", "scheme://host:port"},
		{"socks5:ann:hunter2@proxy.test", "scheme://host:port"},
		{"ftp://ann:hunter2@proxy.test", `scheme "ftp"`},
		{"socks5://", "host is missing"},
		{"http://:3128", "host is missing"},
		{"http://ann:hunter2@", "host is missing"},
		{"http://proxy.test/path", "path"},
		{"http://proxy.test?q", "query"},
		{"http://proxy.test?", "query"},
		{"http://ann:hunter2@proxy.test#x", "fragment"},
		{"http://proxy.test:port", "malformed"},
		{"http://proxy.test:0", "HTTPProxy.Addr: the port"},
		{"http://proxy.test:65536", "HTTPProxy.Addr: the port"},
		{"socks5://ann:hunter2%zz@proxy.test", "malformed"},
		{"socks5://ann:hunter2#@proxy.test", "malformed"},
		{"socks5://ann:hunter2/@proxy.test", "malformed"},
		{"socks5://ann:hunter2 @proxy.test\n", "malformed"},
		{"socks4://ann:hunter2@proxy.test", "SOCKSProxy.Password"},
		{"socks4a://ann:hunter2@proxy.test", "SOCKSProxy.Password"},
		{"socks4://a%00b@proxy.test", "SOCKSProxy.Username"},
		{"socks5://:hunter2@proxy.test", "SOCKSProxy.Username"},
		{"socks5://ann@proxy.test", "SOCKSProxy.Password"},
		{"socks5://" + long + ":hunter2@proxy.test", "SOCKSProxy.Username"},
		{"http://a%3Ab:hunter2@proxy.test", "HTTPProxy.Username"},
		{"http://ann:hunter2%0d%0aX@proxy.test", "HTTPProxy.Password"},
	} {
		p, err := ProxyFromURL(tt.url)
		if p != nil || err == nil || !strings.HasPrefix(err.Error(), "imapkit: proxy URL: ") ||
			!strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, %v; want %s", tt.url, p, err, tt.want)
		}
	}
}

func FuzzProxyFromURL(f *testing.F) {
	for _, scheme := range []string{"socks4", "socks4a", "socks5", "http", "https", "ftp"} {
		f.Add(scheme, "ann:", "@proxy.test:1080")
		f.Add(scheme, ":", "%@proxy.test")
		f.Add(scheme, "ann:", "#@[::1]/")
	}
	f.Fuzz(func(t *testing.T, scheme, before, after string) {
		const secret = "correct-horse-battery"
		p, err := ProxyFromURL(scheme + "://" + before + secret + after)
		if err != nil {
			if p != nil || strings.Contains(err.Error(), secret) {
				t.Errorf("%v, %v", p, err)
			}
			return
		}
		if err := checkProxy(p); err != nil {
			t.Errorf("made an unusable proxy: %v", err)
		}
	})
}
