package imapkit

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/imapkit/imapkit/internal/testcert"
)

// tlsFixture is a certificate authority and a certificate for localhost.
type tlsFixture struct {
	ca   *testcert.CA
	cert tls.Certificate
}

func newTLSFixture(t *testing.T) *tlsFixture {
	t.Helper()
	ca, err := testcert.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	f := &tlsFixture{ca: ca}
	f.cert = f.issue(t, nil)
	return f
}

func (f *tlsFixture) issue(t *testing.T, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	cert, err := f.ca.Issue(change)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// policy trusts the fixture's authority.
func (f *tlsFixture) policy(versions TLSVersions) TLSPolicy {
	return TLSPolicy{Versions: versions, Config: &tls.Config{RootCAs: f.ca.Pool()}}
}

// server returns the configuration of a server that speaks the versions from
// lowest to highest.
func (f *tlsFixture) server(lowest, highest uint16) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{f.cert}, MinVersion: lowest, MaxVersion: highest}
}

// servePlain hands the connections that come in, one by one, to handle until the test
// ends.
func servePlain(t *testing.T, handle func(net.Conn)) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			handle(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return ln.Addr().String()
}

func serveTLS(t *testing.T, config *tls.Config) (addr string) {
	t.Helper()
	return servePlain(t, func(conn net.Conn) {
		secured := tls.Server(conn, config)
		if secured.Handshake() != nil {
			return
		}
		io.WriteString(secured, "* OK ready\r\n")
		io.Copy(io.Discard, secured)
	})
}

// greetTLS connects under a configuration and reads the server's first byte. Its
// error is one of the handshake or of that read, as it came.
func greetTLS(t *testing.T, addr string, config *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(10 * time.Second))
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return tls.ConnectionState{}, err
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		return tls.ConnectionState{}, err
	}
	return conn.ConnectionState(), nil
}

func mustTLSConfig(t *testing.T, p TLSPolicy, host string) *tls.Config {
	t.Helper()
	config, err := p.config(host)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestTLSVersionSetIsCheckedBeforeDialing(t *testing.T) {
	tests := map[string]struct {
		policy   TLSPolicy
		min, max uint16
		err      string // part of the error; empty: none
	}{
		"zero":            {TLSPolicy{}, tls.VersionTLS12, tls.VersionTLS13, ""},
		"zero, strict":    {TLSPolicy{Strict: true}, tls.VersionTLS12, tls.VersionTLS13, ""},
		"one":             {TLSPolicy{Versions: TLS11}, tls.VersionTLS11, tls.VersionTLS11, ""},
		"all, strict":     {TLSPolicy{Versions: 0x3c, Strict: true}, tls.VersionTLS10, tls.VersionTLS13, ""},
		"SSL 3 left out":  {TLSPolicy{Versions: SSL3 | TLS12}, tls.VersionTLS12, tls.VersionTLS12, ""},
		"SSL 2, a hole":   {TLSPolicy{Versions: SSL2 | TLS10 | TLS13}, tls.VersionTLS10, tls.VersionTLS13, ""},
		"nothing but SSL": {TLSPolicy{Versions: SSL2 | SSL3}, 0, 0, "this Go runtime speaks none of SSL 2.0, SSL 3.0"},
		"SSL 3, strict":   {TLSPolicy{Versions: SSL3 | TLS12, Strict: true}, 0, 0, "this Go runtime cannot speak SSL 3.0"},
		"unknown version": {TLSPolicy{Versions: TLS12 | 1<<6}, 0, 0, "unknown version TLSVersions(0x40)"},
		"unknown, strict": {TLSPolicy{Versions: 1 << 6, Strict: true}, 0, 0, "unknown version"},
		"win over Config": {
			TLSPolicy{Versions: TLS12, Config: &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}},
			tls.VersionTLS12, tls.VersionTLS12, "",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			config, err := test.policy.config("localhost")
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), "Client.TLS.Versions: "+test.err) {
					t.Fatalf("error %v, want one about Client.TLS.Versions: %s", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if config.MinVersion != test.min || config.MaxVersion != test.max {
				t.Errorf("versions %#x to %#x, want %#x to %#x", config.MinVersion, config.MaxVersion, test.min, test.max)
			}
		})
	}
}

func TestTLSVersionsPrintTheirNames(t *testing.T) {
	for set, want := range map[TLSVersions]string{
		0:                        "TLS 1.2, TLS 1.3",
		SSL2 | SSL3 | TLS10:      "SSL 2.0, SSL 3.0, TLS 1.0",
		TLS11:                    "TLS 1.1",
		TLS13 | TLSVersions(128): "TLS 1.3, TLSVersions(0x80)",
	} {
		if got := set.String(); got != want {
			t.Errorf("%#x: %q, want %q", uint(set), got, want)
		}
	}
}

func TestUsersTLSConfigIsClonedAndKept(t *testing.T) {
	own := &tls.Config{ServerName: "mail.example.org", NextProtos: []string{"imap"}, CipherSuites: []uint16{1},
		ClientSessionCache: tls.NewLRUClientSessionCache(3)}
	config := mustTLSConfig(t, TLSPolicy{Versions: TLS10 | TLS13, Config: own}, "localhost")
	if config == own || own.MinVersion != 0 || own.VerifyConnection != nil {
		t.Error("the user's configuration was changed")
	}
	if config.ServerName != own.ServerName || len(config.NextProtos) != 1 || len(config.CipherSuites) != 1 ||
		config.ClientSessionCache != own.ClientSessionCache {
		t.Errorf("not all of the user's configuration was kept: %+v", config)
	}
}

func TestCertificateNameIsTheHost(t *testing.T) {
	for host, want := range map[string]string{
		"imap.example.org":  "imap.example.org",
		"imap.example.org.": "imap.example.org",
		"127.0.0.1":         "127.0.0.1",
		"::1":               "::1",
		"[::1]":             "::1",
		"[fe80::1%eth0]":    "fe80::1",
		"fe80::1%25":        "fe80::1",
	} {
		if got := mustTLSConfig(t, TLSPolicy{}, host).ServerName; got != want {
			t.Errorf("%s: ServerName %q, want %q", host, got, want)
		}
	}
}

func TestOnlyAllowedTLSVersionsAreSpoken(t *testing.T) {
	f := newTLSFixture(t)
	servers := map[string]string{}
	for _, v := range tlsVersions[2:] {
		servers[v.name] = serveTLS(t, f.server(v.number, v.number))
	}
	sets := []TLSVersions{0, TLS10, TLS11, TLS12, TLS13, TLS10 | TLS11, TLS10 | TLS13, TLS11 | TLS13, TLS10 | TLS12,
		TLS10 | TLS11 | TLS12 | TLS13, SSL3 | TLS10}
	for _, set := range sets {
		for _, v := range tlsVersions[2:] {
			t.Run(fmt.Sprintf("%v against %s", set, v.name), func(t *testing.T) {
				policy := f.policy(set)
				allowed, err := policy.speakable()
				if err != nil {
					t.Fatal(err)
				}
				state, err := greetTLS(t, servers[v.name], mustTLSConfig(t, policy, "localhost"))
				if allowed.has(v.number) {
					if err != nil || state.Version != v.number {
						t.Fatalf("version %#x, error %v", state.Version, policy.explain(err))
					}
					return
				}
				err = policy.explain(err)
				if err == nil || !strings.Contains(err.Error(), "Client.TLS.Versions allows") ||
					!strings.Contains(err.Error(), allowed.String()) {
					t.Fatalf("error %v, want one that names %v", err, allowed)
				}
			})
		}
	}
}

func TestHoleInTLSVersionsNamesBothSides(t *testing.T) {
	f := newTLSFixture(t)
	addr := serveTLS(t, f.server(tls.VersionTLS10, tls.VersionTLS12))
	policy := f.policy(TLS10 | TLS13)
	called := false
	policy.Config.VerifyConnection = func(tls.ConnectionState) error { called = true; return nil }
	_, err := greetTLS(t, addr, mustTLSConfig(t, policy, "localhost"))
	want := "the server picked TLS 1.2, Client.TLS.Versions allows TLS 1.0, TLS 1.3"
	if err = policy.explain(err); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
	if called {
		t.Error("the user was asked about a connection that is not allowed")
	}
}

func TestUsersVerifyConnectionIsAskedWithAHoleToo(t *testing.T) {
	f := newTLSFixture(t)
	addr := serveTLS(t, f.server(tls.VersionTLS13, tls.VersionTLS13))
	refused := errors.New("pin does not match")
	for _, set := range []TLSVersions{TLS13, TLS10 | TLS13} {
		policy := f.policy(set)
		policy.Config.VerifyConnection = func(tls.ConnectionState) error { return refused }
		if _, err := greetTLS(t, addr, mustTLSConfig(t, policy, "localhost")); !errors.Is(policy.explain(err), refused) {
			t.Errorf("%v: error %v, want the user's", set, err)
		}
	}
}

func TestOldServersWithoutForwardSecrecyAreSpokenToWhenAskedFor(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	addr := serveTLS(t, &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion:   tls.VersionTLS10, MaxVersion: tls.VersionTLS12,
		CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA},
	})
	for set, works := range map[TLSVersions]bool{
		TLS10: true, TLS11: true, TLS10 | TLS11 | TLS12: true,
		0: false, TLS12: false,
	} {
		policy := TLSPolicy{Versions: set, Config: &tls.Config{RootCAs: pool}}
		_, err := greetTLS(t, addr, mustTLSConfig(t, policy, "localhost"))
		if (err == nil) != works {
			t.Errorf("%v: error %v", set, policy.explain(err))
		}
		if !works && !strings.Contains(policy.explain(err).Error(), "no common parameters") {
			t.Errorf("%v: error %v does not say that there are no common parameters", set, policy.explain(err))
		}
	}
}

func TestForwardSecrecyIsPreferredWithOldVersionsToo(t *testing.T) {
	f := newTLSFixture(t)
	addr := serveTLS(t, f.server(tls.VersionTLS10, tls.VersionTLS12))
	state, err := greetTLS(t, addr, mustTLSConfig(t, f.policy(TLS10|TLS12), "localhost"))
	if err != nil {
		t.Fatal(err)
	}
	if name := tls.CipherSuiteName(state.CipherSuite); !strings.Contains(name, "ECDHE") {
		t.Errorf("cipher suite %s", name)
	}
}

func TestSecondConnectionResumesTheSession(t *testing.T) {
	f := newTLSFixture(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		addr := serveTLS(t, f.server(version, version))
		config := mustTLSConfig(t, f.policy(0), "localhost")
		for i, resumed := range []bool{false, true} {
			state, err := greetTLS(t, addr, config)
			if err != nil {
				t.Fatal(err)
			}
			if state.DidResume != resumed {
				t.Errorf("%s, connection %d: resumed %v, want %v", tls.VersionName(version), i+1, state.DidResume, resumed)
			}
		}
	}
}

func TestClientCertificateIsPresented(t *testing.T) {
	f := newTLSFixture(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server := f.server(version, version)
		server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, f.ca.Pool()
		addr := serveTLS(t, server)

		policy := f.policy(0)
		policy.Config.Certificates = []tls.Certificate{f.issue(t, nil)}
		if _, err := greetTLS(t, addr, mustTLSConfig(t, policy, "localhost")); err != nil {
			t.Errorf("%s: %v", tls.VersionName(version), policy.explain(err))
		}

		policy.Config.Certificates[0] = newTLSFixture(t).cert
		_, err := greetTLS(t, addr, mustTLSConfig(t, policy, "localhost"))
		// crypto/tls does not present a certificate of an authority that the
		// server did not list, so that both look the same to the server.
		if err = policy.explain(err); err == nil || !strings.Contains(err.Error(), "client certificate") {
			t.Errorf("%s, certificate of a stranger: %v", tls.VersionName(version), err)
		}

		none := f.policy(0)
		_, err = greetTLS(t, addr, mustTLSConfig(t, none, "localhost"))
		if err = none.explain(err); err == nil || !strings.Contains(err.Error(), "wants a client certificate") {
			t.Errorf("%s, no certificate: %v", tls.VersionName(version), err)
		}
	}
}

func TestCertificatesAreVerified(t *testing.T) {
	f := newTLSFixture(t)
	expired := f.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
	future := f.issue(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) })
	clientOnly := f.issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	tests := map[string]struct {
		cert   tls.Certificate
		host   string
		policy TLSPolicy
		want   string // part of the error; empty: none
		is     any
	}{
		"good name":         {cert: f.cert, host: "localhost"},
		"good address":      {cert: f.cert, host: "127.0.0.1"},
		"good IPv6 address": {cert: f.cert, host: "[::1]"},
		"absolute name":     {cert: f.cert, host: "localhost."},
		"other name": {f.cert, "imap.example.org", TLSPolicy{}, "another name than imap.example.org",
			new(x509.HostnameError)},
		"other address":   {f.cert, "127.0.0.2", TLSPolicy{}, "another name than 127.0.0.2", new(x509.HostnameError)},
		"expired":         {expired, "localhost", TLSPolicy{}, "has expired", new(x509.CertificateInvalidError)},
		"not valid yet":   {future, "localhost", TLSPolicy{}, "not valid yet", new(x509.CertificateInvalidError)},
		"not for servers": {clientOnly, "localhost", TLSPolicy{}, "not acceptable", new(x509.CertificateInvalidError)},
		"unknown authority": {newTLSFixture(t).cert, "localhost", TLSPolicy{},
			"issuer of the server's certificate is not trusted", new(x509.UnknownAuthorityError)},
		"name in the config": {f.cert, "imap.example.org", TLSPolicy{Config: &tls.Config{ServerName: "localhost"}}, "", nil},
		"not to be verified": {expired, "imap.example.org", TLSPolicy{Config: &tls.Config{InsecureSkipVerify: true}}, "", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			addr := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{test.cert}})
			policy := test.policy
			if policy.Config == nil {
				policy.Config = new(tls.Config)
			}
			policy.Config.RootCAs = f.ca.Pool()
			_, err := greetTLS(t, addr, mustTLSConfig(t, policy, test.host))
			err = policy.explain(err)
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v, want one with %q", err, test.want)
			}
			var verification *tls.CertificateVerificationError
			if !errors.As(err, &verification) || !errors.As(err, test.is) {
				t.Errorf("the cause is not a %T any more: %v", test.is, err)
			}
		})
	}
}

func TestPeersThatDoNotSpeakTLSAreExplained(t *testing.T) {
	tests := map[string]struct {
		send string
		want string
	}{
		"greeting":        {"* OK [CAPABILITY IMAP4rev1] ready\r\n", "greets in clear text"},
		"BYE":             {"* BYE too many connections\r\n", "greets in clear text"},
		"another service": {"220 mail.example.org ESMTP\r\n", "not TLS"},
		"nothing at all":  {"", "closed the connection"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			addr := servePlain(t, func(conn net.Conn) {
				io.WriteString(conn, test.send)
				conn.(*net.TCPConn).CloseWrite()
				io.Copy(io.Discard, conn)
			})
			_, err := greetTLS(t, addr, mustTLSConfig(t, TLSPolicy{}, "localhost"))
			if err = (TLSPolicy{}).explain(err); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestAlertsAreExplained(t *testing.T) {
	remote := func(code tls.AlertError) error { return &net.OpError{Op: "remote error", Err: code} }
	withCertificate := TLSPolicy{Config: &tls.Config{Certificates: []tls.Certificate{{}}}}
	tests := []struct {
		policy TLSPolicy
		code   tls.AlertError
		want   string
	}{
		{TLSPolicy{Versions: TLS13}, alertProtocolVersion, "allows (TLS 1.3)"},
		{TLSPolicy{}, alertHandshakeFailure, "wants a client certificate"},
		{withCertificate, alertHandshakeFailure, "did not like the client certificate"},
		{TLSPolicy{}, alertBadCertificate, "wants a client certificate"},
		{withCertificate, alertBadCertificate, "did not accept the client certificate"},
		{withCertificate, alertUnknownCA, "did not accept the client certificate"},
		{TLSPolicy{}, alertCertificateRequired, "wants a client certificate"},
		{TLSPolicy{}, alertUnrecognizedName, "does not know the name"},
		{TLSPolicy{}, 80, "TLS: remote error: tls: internal error"},
	}
	for _, test := range tests {
		err := test.policy.explain(remote(test.code))
		if !strings.Contains(err.Error(), test.want) || !errors.Is(err, test.code) {
			t.Errorf("alert %d: %v, want %q and the alert", uint8(test.code), err, test.want)
		}
	}
}

func TestExplainKeepsTheCause(t *testing.T) {
	if err := (TLSPolicy{}).explain(nil); err != nil {
		t.Errorf("no error became %v", err)
	}
	for _, cause := range []error{context.Canceled, os.ErrDeadlineExceeded, io.EOF} {
		if err := (TLSPolicy{}).explain(cause); !errors.Is(err, cause) {
			t.Errorf("%v is lost in %v", cause, err)
		}
	}
}
