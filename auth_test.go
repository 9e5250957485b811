package imapkit

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-sasl"
)

// fixedToken is a TokenSource with one token.
type fixedToken string

func (s fixedToken) Token(context.Context, bool) (string, error) { return string(s), nil }

// capSet makes the capabilities of a server from their names.
func capSet(names string) imap.CapSet {
	set := imap.CapSet{}
	for name := range strings.FieldsSeq(names) {
		set[imap.Cap(name)] = struct{}{}
	}
	return set
}

const everyMechanism = "IMAP4rev1 SASL-IR AUTH=LOGIN AUTH=PLAIN AUTH=CRAM-MD5 AUTH=DIGEST-MD5 AUTH=SCRAM-SHA-1 " +
	"AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-256-PLUS AUTH=XOAUTH2 AUTH=OAUTHBEARER AUTH=EXTERNAL AUTH=ANONYMOUS"

func TestMechanismsAreTriedInOrderOfStrength(t *testing.T) {
	withPassword := &Client{Username: "tim", Password: "secret"}
	withToken := &Client{Username: "tim", Password: "secret", TokenSource: fixedToken("t")}
	withCertificate := &Client{TLS: TLSPolicy{Config: &tls.Config{Certificates: []tls.Certificate{{}}}}}
	naming := func(c *Client, auth ...AuthMechanism) *Client {
		return &Client{Username: c.Username, Password: c.Password, TokenSource: c.TokenSource, Auth: auth}
	}
	const clear, secure, bound = 0, 1, 2 // bound: over TLS that has something to bind to
	tests := []struct {
		name   string
		client *Client
		over   int
		caps   string
		want   string
	}{
		{"TLS with binding", withPassword, bound, everyMechanism,
			"SCRAM-SHA-256-PLUS, SCRAM-SHA-256, SCRAM-SHA-1, PLAIN, LOGIN, LOGIN command, CRAM-MD5"},
		{"TLS without binding", withPassword, secure, everyMechanism,
			"SCRAM-SHA-256, SCRAM-SHA-1, PLAIN, LOGIN, LOGIN command, CRAM-MD5"},
		{"in clear", withPassword, clear, everyMechanism,
			"SCRAM-SHA-256, SCRAM-SHA-1, CRAM-MD5, PLAIN, LOGIN, LOGIN command"},
		{"LOGIN command only", withPassword, secure, "IMAP4rev1", "LOGIN command"},
		{"LOGIN command disabled", withPassword, secure, "LOGINDISABLED AUTH=PLAIN", "PLAIN"},
		{"CRAM-MD5 rather than nothing", withPassword, secure, "LOGINDISABLED AUTH=CRAM-MD5", "CRAM-MD5"},
		{"lower case", withPassword, secure, "auth=plain Auth=Scram-Sha-1 LoginDisabled", "SCRAM-SHA-1, PLAIN"},
		{"token", withToken, secure, everyMechanism, "OAUTHBEARER, XOAUTH2"},
		{"token, Microsoft", withToken, secure, "AUTH=PLAIN AUTH=XOAUTH2 SASL-IR", "XOAUTH2"},
		{"token without user name", &Client{TokenSource: fixedToken("t")}, secure, everyMechanism, "OAUTHBEARER"},
		{"certificate", withCertificate, secure, everyMechanism, "EXTERNAL"},
		{"named", naming(withPassword, AuthLogin, AuthPlain), bound, everyMechanism, "LOGIN, PLAIN"},
		{"named, one not offered", naming(withPassword, AuthSCRAMSHA256, AuthLoginCommand), clear, "AUTH=PLAIN",
			"LOGIN command"},
		{"named twice", naming(withPassword, AuthPlain, AuthPlain), secure, everyMechanism, "PLAIN"},
		{"named, nothing to bind to", naming(withPassword, AuthSCRAMSHA256Plus, AuthPlain), secure, everyMechanism, "PLAIN"},
		{"named EXTERNAL with a password", naming(withPassword, AuthExternal), secure, everyMechanism, "EXTERNAL"},
		{"named ANONYMOUS with a user name", naming(withPassword, AuthAnonymous), secure, everyMechanism, "ANONYMOUS"},
		{"named token and password", naming(withToken, AuthXOAUTH2, AuthPlain), secure, everyMechanism, "XOAUTH2, PLAIN"},
	}
	f := newTLSFixture(t)
	state, err := greetTLS(t, serveTLS(t, f.server(0, 0)), mustTLSConfig(t, f.policy(0), "localhost"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := test.client.checkAuth(); err != nil {
				t.Fatal(err)
			}
			var tlsState *tls.ConnectionState
			if test.over == bound {
				tlsState = &state
			}
			got, err := mechanismsFor(test.client, capSet(test.caps), test.over != clear, tlsState)
			if err != nil {
				t.Fatal(err)
			}
			if joinMechanisms(got) != test.want {
				t.Errorf("%s\nwant %s", joinMechanisms(got), test.want)
			}
		})
	}
}

func TestNoMechanismSaysWhatWasAllowedAndOffered(t *testing.T) {
	password := &Client{Username: "tim", Password: "secret"}
	tests := []struct {
		name     string
		client   *Client
		secure   bool
		caps     string
		want     []string // parts of the error
		insecure bool
	}{
		{"not offered", &Client{Username: "tim", Password: "secret", Auth: []AuthMechanism{AuthSCRAMSHA256}}, true,
			"AUTH=PLAIN AUTH=LOGIN", []string{"allowed SCRAM-SHA-256", "offered LOGIN, PLAIN"}, false},
		{"STARTTLS first", password, false, "IMAP4rev1 STARTTLS LOGINDISABLED",
			[]string{"offered none", "disabled the LOGIN command"}, true},
		{"disabled over TLS", password, true, "IMAP4rev1 LOGINDISABLED", []string{"disabled the LOGIN command"}, false},
		{"nothing to bind to", &Client{Username: "tim", Password: "secret", Auth: []AuthMechanism{AuthSCRAMSHA256Plus}}, true,
			everyMechanism, []string{"nothing to bind SCRAM-SHA-256-PLUS to"}, false},
		{"no credentials", &Client{}, true, everyMechanism, []string{"Client.Password is empty"}, false},
		{"no password", &Client{Username: "tim"}, true, everyMechanism, []string{"Client.Password is empty"}, false},
		{"certificate without TLS", &Client{TLS: TLSPolicy{Config: &tls.Config{Certificates: []tls.Certificate{{}}}}}, false,
			"AUTH=EXTERNAL", []string{"Client.Password is empty", "offered EXTERNAL"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := mechanismsFor(test.client, capSet(test.caps), test.secure, nil)
			if !errors.Is(err, ErrNoMechanism) || len(got) != 0 {
				t.Fatalf("%v, error %v, want ErrNoMechanism", got, err)
			}
			if errors.Is(err, ErrInsecure) != test.insecure {
				t.Errorf("ErrInsecure: %v, want %v: %v", !test.insecure, test.insecure, err)
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v\nlacks %q", err, part)
				}
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the password is in %v", err)
			}
		})
	}
}

func TestCredentialsAreCheckedBeforeDialing(t *testing.T) {
	token := fixedToken("t")
	tests := []struct {
		name   string
		client *Client
		want   string // part of the error; empty: none
	}{
		{"nothing", &Client{}, ""},
		{"password", &Client{Username: "tim", Password: "secret"}, ""},
		{"user name alone", &Client{Username: "tim"}, ""},
		{"password without user name", &Client{Password: "secret"}, "Client.Username is empty"},
		{"NUL in the user name", &Client{Username: "t\x00m"}, "Client.Username"},
		{"control-A in the user name", &Client{Username: "t\x01m"}, "Client.Username"},
		{"NUL in the password", &Client{Username: "tim", Password: "sec\x00ret"}, "Client.Password"},
		{"empty list", &Client{Auth: []AuthMechanism{}}, "Client.Auth allows no mechanism"},
		{"unknown mechanism", &Client{Auth: []AuthMechanism{"NTLM"}}, `Client.Auth: unknown mechanism "NTLM"`},
		{"token mechanism without TokenSource",
			&Client{Username: "tim", Password: "secret", Auth: []AuthMechanism{AuthXOAUTH2}},
			"Client.Auth names XOAUTH2, but Client.TokenSource is nil"},
		{"one of several without TokenSource", &Client{Username: "tim", Password: "secret",
			Auth: []AuthMechanism{AuthPlain, AuthOAuthBearer}}, "Client.TokenSource is nil"},
		{"password mechanism with a TokenSource only",
			&Client{Username: "tim", TokenSource: token, Auth: []AuthMechanism{AuthPlain}},
			"Client.Auth names PLAIN, but Client.Password is empty"},
		{"TokenSource that no mechanism uses", &Client{Username: "tim", Password: "secret", TokenSource: token,
			Auth: []AuthMechanism{AuthPlain}}, "Client.TokenSource is set, but Client.Auth (PLAIN)"},
		{"XOAUTH2 without user name", &Client{TokenSource: token, Auth: []AuthMechanism{AuthXOAUTH2}},
			"Client.Username is empty"},
		{"OAUTHBEARER without user name", &Client{TokenSource: token, Auth: []AuthMechanism{AuthOAuthBearer}}, ""},
		{"LOGIN command without password", &Client{Username: "tim", Auth: []AuthMechanism{AuthLoginCommand}},
			"Client.Password is empty"},
		{"EXTERNAL alone", &Client{Auth: []AuthMechanism{AuthExternal}}, ""},
		{"ANONYMOUS alone", &Client{Auth: []AuthMechanism{AuthAnonymous}}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.client.checkAuth()
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v, want one with %q", err, test.want)
			}
			if strings.Contains(err.Error(), "sec") {
				t.Errorf("the password is in %v", err)
			}
		})
	}
}

func TestOnlyRefusalsThatDidNotJudgeThePasswordAreFollowedByAnotherMechanism(t *testing.T) {
	c := &Client{Username: "tim", Password: "secret"}
	refusedClient := func(m AuthMechanism, challenges ...string) sasl.Client {
		t.Helper()
		if m == AuthLoginCommand {
			return nil
		}
		client, err := c.withFixedNonce(m, "")
		if err != nil {
			t.Fatal(err)
		}
		client.Start()
		for _, challenge := range challenges {
			client.Next([]byte(challenge))
		}
		return client
	}
	no := &ServerError{Status: "NO", Code: "AUTHENTICATIONFAILED"}
	const first = "r=" + clientNonce + "server,s=c2FsdA==,i=4096"
	tests := []struct {
		name       string
		refused    AuthMechanism
		challenges []string
		refusal    *ServerError
		secure     bool
		want       string
	}{
		{"PLAIN", AuthPlain, nil, no, true, ""},
		{"PLAIN not understood", AuthPlain, nil, &ServerError{Status: "BAD"}, true, "LOGIN, LOGIN command, CRAM-MD5"},
		{"SCRAM after the proof", AuthSCRAMSHA256, []string{first}, no, true, ""},
		{"SCRAM before the proof", AuthSCRAMSHA256, nil, no, true, "SCRAM-SHA-1, PLAIN, LOGIN, LOGIN command, CRAM-MD5"},
		{"SCRAM before the proof, server unavailable", AuthSCRAMSHA256, nil,
			&ServerError{Status: "NO", Code: "UNAVAILABLE"}, true, ""},
		{"SCRAM before the proof, in clear", AuthSCRAMSHA256, nil, no, false, "SCRAM-SHA-1, CRAM-MD5"},
		{"SCRAM not understood, in clear", AuthSCRAMSHA1, nil, &ServerError{Status: "BAD"}, false, "CRAM-MD5"},
		{"binding after the proof", AuthSCRAMSHA256Plus, []string{first}, no, true, "SCRAM-SHA-256, SCRAM-SHA-1"},
		{"binding does not match", AuthSCRAMSHA256Plus, []string{first, "e=channel-bindings-dont-match"}, no, true,
			"SCRAM-SHA-256, SCRAM-SHA-1"},
		{"binding, but the password is wrong", AuthSCRAMSHA256Plus, []string{first, "e=invalid-proof"}, no, true, ""},
		{"binding of unknown type", AuthSCRAMSHA256Plus, nil, no, true,
			"SCRAM-SHA-256, SCRAM-SHA-1, PLAIN, LOGIN, LOGIN command, CRAM-MD5"},
		{"forged signature", AuthSCRAMSHA256, []string{first, "v=AAAA"}, &ServerError{Status: "BAD"}, true, ""},
		{"nonsense instead of a challenge", AuthSCRAMSHA256, []string{"?"}, &ServerError{Status: "BAD"}, true, ""},
		{"LOGIN before the password", AuthLogin, []string{"Username:"}, no, true, "LOGIN command, CRAM-MD5"},
		{"LOGIN", AuthLogin, []string{"Username:", "Password:"}, no, true, ""},
		{"LOGIN command", AuthLoginCommand, nil, no, true, ""},
		{"BYE", AuthLogin, nil, &ServerError{Status: "BYE"}, true, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			order := passwordsInClear
			if test.secure {
				order = passwordsOverTLS
			}
			rest := order[slices.Index(order, test.refused)+1:]
			got := afterRefusal(rest, test.refused, refusedClient(test.refused, test.challenges...), test.refusal, test.secure)
			if joinMechanisms(got) != test.want {
				t.Errorf("%q, want %q", joinMechanisms(got), test.want)
			}
		})
	}
}

func TestMechanismsOverTLSNameEveryPasswordMechanism(t *testing.T) {
	for m, needs := range mechanismCredentials {
		if needs == credentialPassword && !slices.Contains(passwordsOverTLS, m) {
			t.Errorf("%s is never tried", m)
		}
	}
}

func TestEveryMechanismHasAClient(t *testing.T) {
	f := newTLSFixture(t)
	state, err := greetTLS(t, serveTLS(t, f.server(0, 0)), mustTLSConfig(t, f.policy(0), "localhost"))
	if err != nil {
		t.Fatal(err)
	}
	const password, token = "open-sesame", "ya29.sesame"
	c := &Client{Host: "localhost", Username: "tim", Password: password}
	for m := range mechanismCredentials {
		client, err := c.saslClient(m, token, &state)
		if m == AuthLoginCommand {
			if !errors.Is(err, ErrNoMechanism) {
				t.Errorf("%s is a command, but got error %v", m, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", m, err)
		}
		if name, _, err := client.Start(); name != string(m) || err != nil {
			t.Errorf("%s calls itself %q, error %v", m, name, err)
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			printed := fmt.Sprintf(verb, client)
			for _, secret := range []string{password, token, fmt.Sprintf("%x", password), fmt.Sprintf("%x", token)} {
				if strings.Contains(printed, secret) {
					t.Errorf("%s printed with %s shows a secret: %s", m, verb, printed)
				}
			}
		}
	}
}

func TestChannelBindingNeedsTLSThatHasOne(t *testing.T) {
	c := &Client{Username: "tim", Password: "secret"}
	for name, state := range map[string]*tls.ConnectionState{
		"no TLS":                     nil,
		"handshake not finished":     {Version: tls.VersionTLS13},
		"TLS 1.2 without tls-unique": {Version: tls.VersionTLS12, HandshakeComplete: true},
	} {
		if _, err := c.saslClient(AuthSCRAMSHA256Plus, "", state); !errors.Is(err, ErrNoMechanism) {
			t.Errorf("%s: error %v, want ErrNoMechanism", name, err)
		}
	}
}
