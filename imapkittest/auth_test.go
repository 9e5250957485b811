package imapkittest

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"

	"github.com/imapkit/imapkit"
)

// exchange is the client's side of a mechanism: an initial response, which may
// be nil, and an answer to each challenge.
type exchange struct {
	mech    string
	initial []byte
	next    func(challenge string) (string, error)
}

func (e exchange) Start() (string, []byte, error) { return e.mech, e.initial, nil }
func (e exchange) Next(challenge []byte) ([]byte, error) {
	answer, err := e.next(string(challenge))
	return []byte(answer), err
}

// answers are sent one after another, whatever the challenge.
func answers(list ...string) func(string) (string, error) {
	return func(string) (string, error) {
		if len(list) == 0 {
			return "", fmt.Errorf("unexpected challenge")
		}
		answer := list[0]
		list = list[1:]
		return answer, nil
	}
}

func cramClient(username, password string) sasl.Client {
	return exchange{cramMD5, nil, func(challenge string) (string, error) {
		mac := hmac.New(md5.New, []byte(password))
		mac.Write([]byte(challenge))
		return fmt.Sprintf("%s %x", username, mac.Sum(nil)), nil
	}}
}

func scramClient(t *testing.T, mech string, hash scram.HashGeneratorFcn, state *tls.ConnectionState,
	password string) sasl.Client {
	t.Helper()
	client, err := hash.NewClient("user", password, "")
	if err != nil {
		t.Fatal(err)
	}
	conv := client.NewConversation()
	if state != nil {
		binding, err := scram.NewTLSExporterBinding(state)
		if err != nil {
			t.Fatal(err)
		}
		conv = client.NewConversationWithChannelBinding(binding)
	}
	first, err := conv.Step("")
	if err != nil {
		t.Fatal(err)
	}
	return exchange{mech, []byte(first), conv.Step}
}

// saslLogin authenticates on a new connection, with an initial response or without.
func saslLogin(t *testing.T, s *Server, config *tls.Config, initial bool,
	client func(*tls.Conn) sasl.Client) (string, error) {
	t.Helper()
	conn, err := tls.Dial("tcp", s.TLSAddr(), config)
	if err != nil {
		t.Fatal(err)
	}
	w := newWire(t, conn)
	c := client(conn)
	mech, response, err := c.Start()
	if err != nil {
		return "", err
	}
	if initial && response != nil {
		w.send("x AUTHENTICATE %s %s\r\n", mech, encodeInitial(response))
	} else {
		w.send("x AUTHENTICATE %s\r\n", mech)
	}
	sent := initial || response == nil
	for {
		line := w.line()
		encoded, ok := strings.CutPrefix(line, "+ ")
		if !ok {
			return line, nil
		}
		challenge, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return "", err
		}
		if sent {
			if response, err = c.Next(challenge); err != nil {
				return "", err
			}
		}
		sent = true
		w.send("%s\r\n", base64.StdEncoding.EncodeToString(response))
	}
}

func encodeInitial(response []byte) string {
	if len(response) == 0 {
		return "="
	}
	return base64.StdEncoding.EncodeToString(response)
}

func TestEveryMechanismTellsRightFromWrong(t *testing.T) {
	s := start(t, Options{Token: "tok=en", Mechanisms: []imapkit.AuthMechanism{
		scramSHA256Plus, scramSHA256, scramSHA1, cramMD5, plain, login, oauthBearer, xoauth2,
	}})
	bearer := func(token string) string { return "auth=Bearer " + token + "\x01\x01" }
	tests := map[string]func(conn *tls.Conn, secret string) sasl.Client{
		plain:   func(_ *tls.Conn, secret string) sasl.Client { return sasl.NewPlainClient("", "user", secret) },
		cramMD5: func(_ *tls.Conn, secret string) sasl.Client { return cramClient("user", secret) },
		login: func(_ *tls.Conn, secret string) sasl.Client {
			return exchange{login, nil, answers("user", secret)}
		},
		scramSHA1: func(_ *tls.Conn, secret string) sasl.Client {
			return scramClient(t, scramSHA1, scram.SHA1, nil, secret)
		},
		scramSHA256: func(_ *tls.Conn, secret string) sasl.Client {
			return scramClient(t, scramSHA256, scram.SHA256, nil, secret)
		},
		scramSHA256Plus: func(conn *tls.Conn, secret string) sasl.Client {
			state := conn.ConnectionState()
			return scramClient(t, scramSHA256Plus, scram.SHA256, &state, secret)
		},
		xoauth2: func(_ *tls.Conn, secret string) sasl.Client {
			return exchange{xoauth2, []byte("user=user\x01" + bearer(secret)), answers("")}
		},
		oauthBearer: func(_ *tls.Conn, secret string) sasl.Client {
			return exchange{oauthBearer, []byte("n,a=user,\x01host=127.0.0.1\x01" + bearer(secret)), answers("\x01")}
		},
	}
	for mech, client := range tests {
		for _, initial := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, initial response %v", mech, initial), func(t *testing.T) {
				secret := "password"
				if slices.Contains(tokenMechanisms, mech) {
					secret = "tok=en"
				}
				for _, try := range []struct{ secret, want string }{
					{secret, "x OK [CAPABILITY "},
					{"wrong", "x NO [AUTHENTICATIONFAILED]"},
				} {
					line, err := saslLogin(t, s, s.clientTLS(), initial, func(conn *tls.Conn) sasl.Client {
						return client(conn, try.secret)
					})
					if err != nil || !strings.HasPrefix(line, try.want) {
						t.Errorf("with %q: %q, %v, want %q", try.secret, line, err, try.want)
					}
				}
			})
		}
	}
}

func TestAuthenticationIsForTheAccountOnly(t *testing.T) {
	s := start(t, Options{Token: "token", Mechanisms: []imapkit.AuthMechanism{plain, cramMD5, xoauth2, oauthBearer}})
	tests := map[string]sasl.Client{
		"PLAIN with another name":       sasl.NewPlainClient("", "other", "password"),
		"PLAIN for another":             sasl.NewPlainClient("other", "user", "password"),
		"CRAM-MD5 with another name":    cramClient("other", "password"),
		"XOAUTH2 with another name":     exchange{xoauth2, []byte("user=x\x01auth=Bearer token\x01\x01"), answers("")},
		"XOAUTH2 with another scheme":   exchange{xoauth2, []byte("user=user\x01auth=Basic token\x01\x01"), answers("")},
		"OAUTHBEARER without a name":    exchange{oauthBearer, []byte("n,,\x01auth=Bearer token\x01\x01"), answers("\x01")},
		"OAUTHBEARER with nothing":      exchange{oauthBearer, []byte{}, answers("\x01")},
		"PLAIN with a broken response":  exchange{plain, []byte("user"), answers()},
		"CRAM-MD5 with an empty answer": exchange{cramMD5, nil, answers("")},
	}
	for name, client := range tests {
		line, err := saslLogin(t, s, s.clientTLS(), true, func(*tls.Conn) sasl.Client { return client })
		if err != nil || !strings.HasPrefix(line, "x NO [AUTHENTICATIONFAILED]") {
			t.Errorf("%s: %q, %v", name, line, err)
		}
	}
}

func TestExternalNeedsACertificate(t *testing.T) {
	s := start(t, Options{Mechanisms: []imapkit.AuthMechanism{external}})
	cert, err := s.ClientCertificate()
	if err != nil {
		t.Fatal(err)
	}
	with := s.clientTLS()
	with.Certificates = []tls.Certificate{cert}
	for _, test := range []struct {
		config   *tls.Config
		identity string
		want     string
	}{
		{with, "", "x OK"},
		{with, "user", "x OK"},
		{with, "other", "x NO"},
		{s.clientTLS(), "", "x NO"},
	} {
		line, err := saslLogin(t, s, test.config, true, func(*tls.Conn) sasl.Client {
			return sasl.NewExternalClient(test.identity)
		})
		if err != nil || !strings.HasPrefix(line, test.want) {
			t.Errorf("as %q: %q, %v, want %s", test.identity, line, err, test.want)
		}
	}
}

func TestAnonymousIsWelcomeWhereOffered(t *testing.T) {
	s := start(t, Options{Mechanisms: []imapkit.AuthMechanism{anonymous}})
	line, err := saslLogin(t, s, s.clientTLS(), true, func(*tls.Conn) sasl.Client { return sasl.NewAnonymousClient("me") })
	if err != nil || !strings.HasPrefix(line, "x OK") {
		t.Errorf("%q, %v", line, err)
	}
}

func TestOfferedMechanisms(t *testing.T) {
	tests := []struct {
		name string
		opts Options
		tls  bool
		want string
	}{
		{"default", Options{}, true,
			"AUTH=SCRAM-SHA-256-PLUS AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-1 AUTH=CRAM-MD5 AUTH=PLAIN AUTH=LOGIN"},
		{"in clear", Options{InsecureAuth: true}, false,
			"AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-1 AUTH=CRAM-MD5 AUTH=PLAIN AUTH=LOGIN"},
		{"with a token", Options{Token: "t"}, true,
			"AUTH=SCRAM-SHA-256-PLUS AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-1 AUTH=CRAM-MD5 AUTH=PLAIN AUTH=LOGIN " +
				"AUTH=OAUTHBEARER AUTH=XOAUTH2"},
		{"chosen", Options{Mechanisms: []imapkit.AuthMechanism{"plain"}}, true, "AUTH=PLAIN"},
		{"none", Options{Mechanisms: []imapkit.AuthMechanism{}}, true, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := start(t, test.opts)
			w := dialClear(t, s)
			if test.tls {
				w = dialTLS(t, s)
			}
			caps := strings.Fields(w.must("CAPABILITY")[0])
			offered := slices.DeleteFunc(caps, func(c string) bool { return !strings.HasPrefix(c, "AUTH=") })
			if got := strings.Join(offered, " "); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestExchangesThatGoWrongKeepTheConversationInStep(t *testing.T) {
	w := dialTLS(t, start(t, Options{Without: []imap.Cap{imap.CapSASLIR}}))
	w.send("x AUTHENTICATE PLAIN\r\n")
	w.line()
	w.send("*\r\n")
	if line := w.line(); !strings.HasPrefix(line, "x BAD") {
		t.Errorf("cancelled: %q", line)
	}
	w.send("x AUTHENTICATE LOGIN\r\n")
	w.line()
	w.send("not base64!\r\n")
	if line := w.line(); !strings.HasPrefix(line, "x BAD") {
		t.Errorf("not base64: %q", line)
	}
	if lines := w.do("AUTHENTICATE FROB"); !strings.HasPrefix(lines[0], "x NO") {
		t.Errorf("unknown mechanism: %q", lines)
	}
	if lines := w.do("AUTHENTICATE PLAIN AHVzZXIAcGFzc3dvcmQ="); !strings.HasPrefix(lines[0], "x BAD") {
		t.Errorf("initial response without SASL-IR: %q", lines)
	}
	w.must("LOGIN user password")
}
