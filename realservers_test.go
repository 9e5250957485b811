package imapkit_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"golang.org/x/net/proxy"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/servertest"
)

// realServers are the servers that are started where they are installed.
var realServers = map[string]func(testing.TB, ...servertest.Option) *servertest.Server{
	"Dovecot": servertest.Dovecot, "Cyrus": servertest.Cyrus, "Courier": servertest.Courier, "Mailutils": servertest.Mailutils,
}

// clientFor returns a client for a mode.
func clientFor(s *servertest.Server, mode imapkit.Security) *imapkit.Client {
	c := &imapkit.Client{
		Host: s.Host, Port: s.Port, Username: s.Username, Password: s.Password, Security: mode,
		TLS: imapkit.TLSPolicy{Config: &tls.Config{RootCAs: s.RootCAs}},
	}
	if mode == imapkit.SecurityImplicitTLS {
		c.Port = s.TLSPort
	}
	return c
}

func TestRealServersInEachMode(t *testing.T) {
	for name, start := range realServers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			for i, mode := range []imapkit.Security{
				imapkit.SecurityNone, imapkit.SecurityStartTLS, imapkit.SecurityImplicitTLS, imapkit.SecurityAuto,
			} {
				t.Run(mode.String(), func(t *testing.T) {
					c := clientFor(server, mode)
					defer c.Close()
					session(t, c, fmt.Sprintf("mode %d", i))
				})
			}
		})
	}
}

// session does what most programs do.
func session(t *testing.T, c *imapkit.Client, subject string) {
	t.Helper()
	ctx := limited(t)
	inbox, err := c.Select(ctx, "inbox")
	if err != nil {
		t.Fatal(err)
	}
	// Mailutils does not notice a message added in the second in which it has
	// looked at a Maildir.
	time.Sleep(1100 * time.Millisecond)
	text := "From: Ada <ada@example.org>\r\nTo: Bob <bob@example.org>\r\nSubject: " + subject +
		"\r\nDate: Mon, 01 Jan 2024 00:00:00 +0000\r\nMessage-ID: <" + strings.ReplaceAll(subject, " ", ".") + "@example.org>\r\n\r\nHello\r\n"
	if _, err := inbox.Append(ctx, strings.NewReader(text), int64(len(text)), imapkit.AppendOptions{}); err != nil {
		t.Fatal(err)
	}
	uids, err := inbox.Search(ctx, imapkit.Subject(subject))
	if err != nil {
		t.Fatal(err)
	}
	if len(uids) != 1 {
		t.Fatalf("found %v, want one message", uids)
	}
	m, err := inbox.Fetch(ctx, uids[0])
	if err != nil {
		t.Fatal(err)
	}
	if m.Info.Envelope.Subject != subject || strings.TrimSpace(m.Text) != "Hello" {
		t.Errorf("fetched %+v %q", m.Info.Envelope, m.Text)
	}
	n := 0
	for info, err := range inbox.Messages(ctx, imapkit.UIDs(uids...)) {
		if err != nil || info.Err != nil {
			t.Fatal(err, info)
		}
		if info.Envelope.Subject != subject || info.Size == 0 || info.InternalDate.IsZero() {
			t.Errorf("listed %+v", info)
		}
		n++
	}
	if n != 1 {
		t.Errorf("listed %d messages", n)
	}
	if err := inbox.AddFlags(ctx, uids, imap.FlagSeen, imap.FlagFlagged); err != nil {
		t.Fatal(err)
	}
	if n, err := inbox.Count(ctx, imapkit.And(imapkit.Subject(subject), imapkit.HasFlag(imap.FlagFlagged))); n != 1 || err != nil {
		t.Errorf("counted %d %v", n, err)
	}
	for raw, err := range inbox.Raw(ctx, uids) {
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(raw.Body); err != nil || b.String() != text {
			t.Errorf("raw %q %v", b.String(), err)
		}
	}
	folders, err := c.Folders(ctx, "")
	if err != nil || len(folders) == 0 {
		t.Errorf("folders %v %v", folders, err)
	}
	if status, err := inbox.Status(ctx); err != nil || status.Messages == 0 {
		t.Errorf("status %+v %v", status, err)
	}
	if err := inbox.Delete(ctx, uids); err != nil {
		t.Fatal(err)
	}
	if n, err := inbox.Count(ctx, imapkit.Subject(subject)); n != 0 || err != nil {
		t.Errorf("after Delete: counted %d %v", n, err)
	}
}

func TestThroughRealProxies(t *testing.T) {
	server := servertest.Dovecot(t)
	// Dovecot 2.3 makes an INBOX when it is opened first, and trips over itself
	// when that happens in two connections at once.
	first := clientFor(server, imapkit.SecurityNone)
	defer first.Close()
	if _, err := first.Select(limited(t), "INBOX"); err != nil {
		t.Fatal(err)
	}
	tests := map[string]func(t *testing.T) (proxy.ContextDialer, error){
		"Dante, SOCKS 5": func(t *testing.T) (proxy.ContextDialer, error) {
			return imapkit.ProxyFromURL("socks5://" + servertest.Dante(t).Addr)
		},
		"Dante, SOCKS 4": func(t *testing.T) (proxy.ContextDialer, error) {
			return imapkit.ProxyFromURL("socks4://" + servertest.Dante(t).Addr)
		},
		"microsocks, SOCKS 5 with password": func(t *testing.T) (proxy.ContextDialer, error) {
			p := servertest.Microsocks(t, servertest.WithPassword())
			return imapkit.SOCKSProxy{Addr: p.Addr, Username: p.Username, Password: p.Password}, nil
		},
		"ssh -D, SOCKS 4a": func(t *testing.T) (proxy.ContextDialer, error) {
			return imapkit.ProxyFromURL("socks4a://" + servertest.SSHD(t).Addr)
		},
		"v2ray, SOCKS 4a": func(t *testing.T) (proxy.ContextDialer, error) {
			socks, _ := servertest.V2Ray(t)
			return imapkit.ProxyFromURL("socks4a://" + socks.Addr)
		},
		"tinyproxy": func(t *testing.T) (proxy.ContextDialer, error) {
			return imapkit.ProxyFromURL("http://" + servertest.Tinyproxy(t).Addr)
		},
		"tinyproxy with password": func(t *testing.T) (proxy.ContextDialer, error) {
			p := servertest.Tinyproxy(t, servertest.WithPassword())
			return imapkit.HTTPProxy{Addr: p.Addr, Username: p.Username, Password: p.Password}, nil
		},
		"squid over TLS": func(t *testing.T) (proxy.ContextDialer, error) {
			p := servertest.Squid(t)
			return imapkit.HTTPProxy{Addr: p.TLSAddr, TLS: p.TLSConfig()}, nil
		},
	}
	for name, dialer := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := dialer(t)
			if err != nil {
				t.Fatal(err)
			}
			for _, mode := range []imapkit.Security{imapkit.SecurityImplicitTLS, imapkit.SecurityStartTLS, imapkit.SecurityNone} {
				c := clientFor(server, mode)
				c.Proxy = d
				if _, err := c.Select(limited(t), "INBOX"); err != nil {
					t.Errorf("%v: %v", mode, err)
				}
				c.Close()
			}
		})
	}
}

func TestRealTLSVersions(t *testing.T) {
	server := servertest.Dovecot(t)
	versions := map[string]imapkit.TLSVersions{
		"TLSv1": imapkit.TLS10, "TLSv1.1": imapkit.TLS11, "TLSv1.2": imapkit.TLS12, "TLSv1.3": imapkit.TLS13,
	}
	for spoken, version := range versions {
		for _, starttls := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s STARTTLS %v", spoken, starttls), func(t *testing.T) {
				t.Parallel()
				stunnel := servertest.Stunnel(t, server.Port, spoken, starttls)
				for name, allowed := range versions {
					c := &imapkit.Client{
						Host: server.Host, Port: stunnel.TLSPort, Username: server.Username, Password: server.Password,
						Security: imapkit.SecurityImplicitTLS,
						TLS:      imapkit.TLSPolicy{Versions: allowed, Config: &tls.Config{RootCAs: stunnel.RootCAs}},
					}
					if starttls {
						c.Security, c.Port = imapkit.SecurityStartTLS, stunnel.Port
					}
					if err := c.Connect(limited(t)); (err == nil) != (allowed == version) {
						t.Errorf("allowing %s: %v", name, err)
					}
					c.Close()
				}
			})
		}
	}
}
