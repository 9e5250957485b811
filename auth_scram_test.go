package imapkit

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/xdg-go/scram"
)

const clientNonce = "client"

func fixedNonce() string { return clientNonce }

func TestSCRAMFollowsTheRFCs(t *testing.T) {
	tests := []struct {
		name   string
		mech   AuthMechanism
		nonce  string
		script []string // client, server, client, server
	}{
		{"RFC 5802 section 5", AuthSCRAMSHA1, "fyko+d2lbbFgONRv9qkxdawL", []string{
			"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
			"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
			"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
		}},
		{"RFC 7677 section 3", AuthSCRAMSHA256, "rOprNGfwEbeRWgbNEkqO", []string{
			"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
			"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
			"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			opts := scramOptions{mech: test.mech, nonce: func() string { return test.nonce }}
			client, err := newSCRAM(opts, "user", "pencil")
			if err != nil {
				t.Fatal(err)
			}
			if client.Done() == nil {
				t.Error("done before it began")
			}
			saslScript{&test.script[0], []saslTurn{{test.script[1], test.script[2]}, {test.script[3], ""}}}.play(t, client)
			if _, err := client.Next([]byte("e=other-error")); !errors.Is(err, ErrProtocol) {
				t.Errorf("a third challenge: error %v, want ErrProtocol", err)
			}
		})
	}
}

// A scramServer answers one client.
type scramServer struct{ conv *scram.ServerConversation }

func newSCRAMServer(t *testing.T, mech AuthMechanism, password string, binding scram.ChannelBinding) *scramServer {
	t.Helper()
	hash := scram.SHA256
	if mech == AuthSCRAMSHA1 {
		hash = scram.SHA1
	}
	server, err := hash.NewServer(func(string) (scram.StoredCredentials, error) {
		client, err := hash.NewClientUnprepped("tim", password, "")
		if err != nil {
			return scram.StoredCredentials{}, err
		}
		return client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt", Iters: scramMinIterations})
	})
	if err != nil {
		t.Fatal(err)
	}
	return &scramServer{conv: server.NewConversationWithChannelBinding(binding)}
}

// run lets client and server talk. Its error is the client's; accepted is what
// the server thinks.
func (s *scramServer) run(client *exchange) (accepted bool, err error) {
	_, response, err := client.Start()
	if err != nil {
		return false, err
	}
	for !s.conv.Done() {
		challenge, _ := s.conv.Step(string(response)) // its errors are in the challenge
		if response, err = client.Next([]byte(challenge)); err != nil {
			return false, err
		}
	}
	return s.conv.Valid(), nil
}

func TestSCRAMLogsIn(t *testing.T) {
	tests := map[string]string{
		"plain":               "secret",
		"with a comma":        "s,e=c",
		"not ASCII":           "pässwörd",
		"younger than RFC":    "🔑 of mine",
		"both directions":     "אb",
		"very long":           strings.Repeat("x", 4096),
		"of one control char": "\x07",
	}
	for name, password := range tests {
		for _, mech := range []AuthMechanism{AuthSCRAMSHA1, AuthSCRAMSHA256} {
			client, err := newSCRAM(scramOptions{mech: mech}, "tim", password)
			if err != nil {
				t.Fatal(err)
			}
			accepted, err := newSCRAMServer(t, mech, password, scram.ChannelBinding{}).run(client)
			if !accepted || err != nil || client.Done() != nil {
				t.Errorf("%s, password %s: accepted %v, error %v, Done %v", mech, name, accepted, err, client.Done())
			}
		}
	}
}

func TestSCRAMWithAWrongPasswordIsToldSo(t *testing.T) {
	client, err := newSCRAM(scramOptions{mech: AuthSCRAMSHA256}, "tim", "wrong")
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := newSCRAMServer(t, AuthSCRAMSHA256, "secret", scram.ChannelBinding{}).run(client)
	if accepted || err != nil {
		t.Fatalf("accepted %v, error %v, want the server's NO to follow", accepted, err)
	}
	if client.Refusal() != "invalid-proof" {
		t.Errorf("refusal %q, want the server's word", client.Refusal())
	}
	if !errors.Is(client.Done(), ErrAuthentication) {
		t.Errorf("Done: %v, want ErrAuthentication", client.Done())
	}
}

func TestSCRAMIsBoundToTheTLSConnection(t *testing.T) {
	f := newTLSFixture(t)
	c := &Client{Username: "tim", Password: "secret"}
	for version, want := range map[uint16]scram.ChannelBindingType{
		tls.VersionTLS10: scram.ChannelBindingTLSUnique,
		tls.VersionTLS12: scram.ChannelBindingTLSUnique,
		tls.VersionTLS13: scram.ChannelBindingTLSExporter,
	} {
		addr := serveTLS(t, f.server(version, version))
		config := mustTLSConfig(t, f.policy(TLS10|TLS11|TLS12|TLS13), "localhost")
		for range 2 { // the second one resumes the session of the first
			state, err := greetTLS(t, addr, config)
			if err != nil {
				t.Fatal(err)
			}
			binding := channelBinding(&state)
			if state.DidResume && version < tls.VersionTLS12 && !binding.IsSupported() {
				continue
			}
			if binding.Type != want {
				t.Fatalf("%s, resumed %v: binding %q, want %q", tls.VersionName(version), state.DidResume, binding.Type, want)
			}
			client, err := c.saslClient(AuthSCRAMSHA256Plus, "", &state)
			if err != nil {
				t.Fatal(err)
			}
			accepted, err := newSCRAMServer(t, AuthSCRAMSHA256Plus, "secret", binding).run(client.(*exchange))
			if !accepted || err != nil {
				t.Errorf("%s: accepted %v, error %v", tls.VersionName(version), accepted, err)
			}

			binding.Data = []byte("of another connection")
			client, err = c.saslClient(AuthSCRAMSHA256Plus, "", &state)
			if err != nil {
				t.Fatal(err)
			}
			accepted, err = newSCRAMServer(t, AuthSCRAMSHA256Plus, "secret", binding).run(client.(*exchange))
			if accepted || err != nil || client.(explainer).Refusal() != "channel-bindings-dont-match" {
				t.Errorf("%s, man in the middle: accepted %v, error %v", tls.VersionName(version), accepted, err)
			}
		}
	}
}

func TestUnboundSCRAMIsAcceptedWhereBindingIsOffered(t *testing.T) {
	client, err := newSCRAM(scramOptions{mech: AuthSCRAMSHA256, secure: true}, "tim", "secret")
	if err != nil {
		t.Fatal(err)
	}
	offered := scram.NewTLSUniqueBinding([]byte("something"))
	accepted, err := newSCRAMServer(t, AuthSCRAMSHA256, "secret", offered).run(client)
	if !accepted || err != nil {
		t.Errorf("accepted %v, error %v: the server refuses clients that think it cannot bind", accepted, err)
	}
}

func TestSCRAMServerHasToProveItself(t *testing.T) {
	const first = "r=" + clientNonce + "server,s=c2FsdA==,i=4096"
	forged := "v=" + base64.StdEncoding.EncodeToString(make([]byte, 32))
	tests := map[string]struct {
		challenges []string
		err        error // of the last challenge; nil: answered
	}{
		"OK at once":                         {nil, nil},
		"OK after the proof":                 {[]string{first}, nil},
		"signature of another":               {[]string{first, forged}, ErrAuthentication},
		"empty signature":                    {[]string{first, "v="}, ErrAuthentication},
		"signature cut short":                {[]string{first, "v=6rriTRBi"}, ErrAuthentication},
		"signature that is not base64":       {[]string{first, "v=***"}, ErrAuthentication},
		"empty message":                      {[]string{first, ""}, ErrAuthentication},
		"the first message again":            {[]string{first, first}, ErrAuthentication},
		"error, then OK":                     {[]string{first, "e=other-error"}, nil},
		"error instead of the first message": {[]string{"e=unknown-user"}, nil},
		"error, then a signature":            {[]string{first, "e=other-error", "v=AAAA"}, ErrProtocol},
		"two errors":                         {[]string{"e=other-error", "e=other-error"}, ErrProtocol},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			client, err := newSCRAM(scramOptions{mech: AuthSCRAMSHA256, nonce: fixedNonce}, "tim", "secret")
			if err != nil {
				t.Fatal(err)
			}
			client.Start()
			for i, challenge := range test.challenges {
				var want error
				if i == len(test.challenges)-1 {
					want = test.err
				}
				if _, err := client.Next([]byte(challenge)); !errors.Is(err, want) {
					t.Fatalf("challenge %q: error %v, want %v", challenge, err, want)
				}
			}
			if err := client.Done(); !errors.Is(err, ErrAuthentication) {
				t.Errorf("the server's OK was believed: Done: %v", err)
			}
		})
	}
}

func TestSCRAMFirstMessageIsBounded(t *testing.T) {
	nonceOf := func(size int) string { return "r=" + clientNonce + strings.Repeat("X", size-len(clientNonce)) }
	saltOf := func(size int) string { return ",s=" + base64.StdEncoding.EncodeToString(make([]byte, size)) }
	tests := map[string]struct {
		message string
		secure  bool
		want    string // part of the error; empty: answered
	}{
		"good":                        {"r=clientX,s=c2FsdA==,i=4096", false, ""},
		"with an extension after it":  {"r=clientX,s=c2FsdA==,i=4096,x=1", false, ""},
		"largest salt and nonce":      {nonceOf(scramMaxNonce) + saltOf(scramMaxSalt) + ",i=4096", false, ""},
		"few iterations over TLS":     {"r=clientX,s=c2FsdA==,i=1", true, ""},
		"few iterations in clear":     {"r=clientX,s=c2FsdA==,i=4095", false, "iteration count 4095 is below 4096"},
		"no iterations":               {"r=clientX,s=c2FsdA==,i=0", true, "iteration count 0 is below 1"},
		"too many iterations":         {"r=clientX,s=c2FsdA==,i=2000001", true, "iteration count 2000001 is above"},
		"more than an int":            {"r=clientX,s=c2FsdA==,i=99999999999999999999", true, "no iteration count"},
		"negative":                    {"r=clientX,s=c2FsdA==,i=-4096", true, "no iteration count"},
		"iterations missing":          {"r=clientX,s=c2FsdA==", true, "2 fields of 3"},
		"iterations cut off":          {"r=clientX,s=c2FsdA==,i=", true, "no iteration count"},
		"not extending our nonce":     {"r=clientele", true, "1 fields of 3"},
		"nonce of another":            {"r=otherX,s=c2FsdA==,i=4096", true, "does not extend"},
		"nonce of ours and no more":   {"r=client,s=c2FsdA==,i=4096", true, "does not extend"},
		"nonce cut short":             {"r=clien,s=c2FsdA==,i=4096", true, "does not extend"},
		"nonce too long":              {nonceOf(scramMaxNonce+1) + ",s=c2FsdA==,i=4096", true, "nonce of 1025 characters"},
		"salt missing":                {"r=clientX,s=,i=4096", true, "no salt"},
		"salt that is not base64":     {"r=clientX,s=%%%,i=4096", true, "no salt"},
		"salt too long":               {"r=clientX" + saltOf(scramMaxSalt+1) + ",i=4096", true, "salt of 1025 bytes"},
		"extension that is mandatory": {"m=x,r=clientX,s=c2FsdA==,i=4096", true, "does not begin with a nonce"},
		"empty":                       {"", true, "1 fields of 3"},
		"longer than any challenge":   {strings.Repeat(",", maxChallenge+1), true, "challenge of 16385 bytes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			client, err := newSCRAM(scramOptions{mech: AuthSCRAMSHA256, secure: test.secure, nonce: fixedNonce}, "tim", "secret")
			if err != nil {
				t.Fatal(err)
			}
			client.Start()
			response, err := client.Next([]byte(test.message))
			if test.want == "" {
				if err != nil || !strings.HasPrefix(string(response), "c=biws,r=client") {
					t.Errorf("answered %q, error %v", response, err)
				}
				return
			}
			if !errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), test.want) || response != nil {
				t.Errorf("answered %q, error %v, want ErrProtocol with %q", response, err, test.want)
			}
			if _, err := client.Next([]byte("r=clientX,s=c2FsdA==,i=4096")); !errors.Is(err, ErrProtocol) {
				t.Errorf("a second chance was given: error %v", err)
			}
		})
	}
}

func FuzzSASLChallenges(f *testing.F) {
	const first = "r=clientX,s=c2FsdA==,i=4096"
	for _, seed := range []string{
		first, first + "\nv=AAAA", first + "\ne=other-error", "e=", "m=1", "r=client,,,", "i=9,s=,r=",
		"Username:\nPassword:", "<1@x>", "", "{\"status\":\"401\"}", "open-sesame", "ya29.sesame\xff",
	} {
		f.Add(seed)
	}
	const password, token = "open-sesame", "ya29.sesame"
	f.Fuzz(func(t *testing.T, conversation string) {
		for _, m := range []AuthMechanism{AuthPlain, AuthLogin, AuthCRAMMD5, AuthXOAUTH2, AuthOAuthBearer, AuthSCRAMSHA1,
			AuthSCRAMSHA256} {
			client, err := (&Client{Username: "tim", Password: password}).withFixedNonce(m, token)
			if err != nil {
				t.Fatal(err)
			}
			client.Start()
			for challenge := range strings.SplitSeq(conversation, "\n") {
				response, err := client.Next([]byte(challenge))
				if err != nil {
					if response != nil {
						t.Errorf("%s: both a response and an error", m)
					}
					if printed := err.Error(); strings.Contains(printed, password) || strings.Contains(printed, token) {
						t.Errorf("%s: a secret in %q", m, printed)
					}
					break
				}
				if response == nil {
					t.Errorf("%s: neither a response nor an error", m)
				}
			}
			if m.isSCRAM() && client.Done() == nil {
				t.Errorf("%s: %q is taken for a proof", m, conversation)
			}
			if len(client.Refusal()) > maxRefusal+len("…") || strings.Contains(client.Refusal(), token) {
				t.Errorf("%s: refusal %q", m, client.Refusal())
			}
		}
	})
}

// withFixedNonce is saslClient with a nonce that a script can know.
func (c *Client) withFixedNonce(m AuthMechanism, token string) (*exchange, error) {
	if m.isSCRAM() {
		return newSCRAM(scramOptions{mech: m, secure: m == AuthSCRAMSHA256Plus, nonce: fixedNonce}, c.Username, c.Password)
	}
	client, err := c.saslClient(m, token, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m, err)
	}
	return client.(*exchange), nil
}
