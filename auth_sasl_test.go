package imapkit

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
)

// A saslTurn is a challenge of the server and what the client answers to it.
type saslTurn struct{ challenge, response string }

// saslScript is a log-in as it should go.
type saslScript struct {
	initial *string // nil: the client waits for a challenge
	turns   []saslTurn
}

func (script saslScript) play(t *testing.T, client sasl.Client) {
	t.Helper()
	_, ir, err := client.Start()
	if err != nil {
		t.Fatal(err)
	}
	if script.initial == nil {
		if ir != nil {
			t.Fatalf("initial response %q, want none", ir)
		}
	} else if ir == nil || string(ir) != *script.initial {
		t.Fatalf("initial response %q, want %q", ir, *script.initial)
	}
	for _, turn := range script.turns {
		response, err := client.Next([]byte(turn.challenge))
		if err != nil {
			t.Fatal(err)
		}
		if response == nil || string(response) != turn.response {
			t.Fatalf("answer to %q: %q, want %q", turn.challenge, response, turn.response)
		}
	}
	if err := client.(*exchange).Done(); err != nil {
		t.Errorf("Done: %v", err)
	}
}

func fromBase64(t *testing.T, s string) string {
	t.Helper()
	decoded, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(decoded)
}

func TestMechanismsFollowTheirDocuments(t *testing.T) {
	const rfc7628Error = `{"status":"invalid_token","scope":"example_scope",` +
		`"openid-configuration":"https://example.com/.well-known/openid-configuration"}`
	initial := func(s string) *string { return &s }
	tests := []struct {
		name   string
		mech   AuthMechanism
		client *Client
		token  string
		script saslScript
	}{
		{"RFC 4616 section 4", AuthPlain, &Client{Username: "tim", Password: "tanstaaftanstaaf"}, "",
			saslScript{initial("\x00tim\x00tanstaaftanstaaf"), nil}},
		{"RFC 2195 section 2", AuthCRAMMD5, &Client{Username: "tim", Password: "tanstaaftanstaaf"}, "",
			saslScript{nil, []saslTurn{{"<1896.697170952@postoffice.reston.mci.net>", "tim b913a602c7eda7a495b4e6e7334d3890"}}}},
		{"CRAM-MD5 with a long password", AuthCRAMMD5, &Client{Username: "a b", Password: strings.Repeat("x", 100)}, "",
			saslScript{nil, []saslTurn{{"<1@x>", "a b ce40aa1060ace0b1f8d1c216b6e68039"}}}},
		{"LOGIN", AuthLogin, &Client{Username: "tim", Password: "secret"}, "",
			saslScript{nil, []saslTurn{{"Username:", "tim"}, {"Password:", "secret"}}}},
		{"LOGIN as in the draft", AuthLogin, &Client{Username: "tim", Password: "secret"}, "",
			saslScript{nil, []saslTurn{{"User Name\x00", "tim"}, {"Password\x00", "secret"}}}},
		{"LOGIN in German", AuthLogin, &Client{Username: "tim", Password: "secret"}, "",
			saslScript{nil, []saslTurn{{"Benutzername:", "tim"}, {"Passwort:", "secret"}}}},
		{"LOGIN without prompts", AuthLogin, &Client{Username: "tim", Password: "secret"}, "",
			saslScript{nil, []saslTurn{{"", "tim"}, {"", "secret"}}}},
		{"EXTERNAL as the certificate says", AuthExternal, &Client{}, "", saslScript{initial(""), nil}},
		{"EXTERNAL as somebody", AuthExternal, &Client{Username: "tim"}, "", saslScript{initial("tim"), nil}},
		{"ANONYMOUS", AuthAnonymous, &Client{}, "", saslScript{initial(""), nil}},
		{"XOAUTH2 as Google documents it", AuthXOAUTH2, &Client{Username: "someuser@example.com"},
			"ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg",
			saslScript{initial(fromBase64(t, "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52Yj"+
				"NSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==")), nil}},
		{"XOAUTH2 refused", AuthXOAUTH2, &Client{Username: "tim"}, "t",
			saslScript{initial("user=tim\x01auth=Bearer t\x01\x01"), []saslTurn{{`{"status":"401","schemes":"bearer"}`, ""}}}},
		{"RFC 7628 section 4.1", AuthOAuthBearer, &Client{Username: "user@example.com", Host: "server.example.com", Port: 143},
			"vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==",
			saslScript{initial(fromBase64(t, "bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9"+
				"QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB")), nil}},
		{"RFC 7628 section 4.2", AuthOAuthBearer,
			&Client{Username: "user@example.com", Host: "server.example.com", Port: 143}, "t",
			saslScript{initial("n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer t\x01\x01"),
				[]saslTurn{{rfc7628Error, "\x01"}}}},
		{"OAUTHBEARER with an odd user name and no port", AuthOAuthBearer, &Client{Username: "a,b=c", Host: "h"}, "t",
			saslScript{initial("n,a=a=2Cb=3Dc,\x01host=h\x01auth=Bearer t\x01\x01"), nil}},
		{"OAUTHBEARER as the token says", AuthOAuthBearer, &Client{Host: "h"}, "t",
			saslScript{initial("n,,\x01host=h\x01auth=Bearer t\x01\x01"), nil}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client, err := test.client.saslClient(test.mech, test.token, nil)
			if err != nil {
				t.Fatal(err)
			}
			test.script.play(t, client)
		})
	}
}

func TestOneChallengeTooManyIsRefused(t *testing.T) {
	c := &Client{Username: "tim", Password: "secret"}
	for m, expected := range map[AuthMechanism]int{
		AuthPlain: 0, AuthExternal: 0, AuthAnonymous: 0, AuthCRAMMD5: 1, AuthLogin: 2, AuthXOAUTH2: 1, AuthOAuthBearer: 1,
	} {
		client, err := c.saslClient(m, "t", nil)
		if err != nil {
			t.Fatal(err)
		}
		client.Start()
		for range expected {
			if _, err := client.Next([]byte("challenge")); err != nil {
				t.Fatalf("%s: %v", m, err)
			}
		}
		if response, err := client.Next([]byte("challenge")); !errors.Is(err, ErrProtocol) || response != nil {
			t.Errorf("%s: answered %q, error %v, want ErrProtocol", m, response, err)
		}
	}
}

func TestChallengesThatMustNotBeAnsweredAreRefused(t *testing.T) {
	c := &Client{Username: "tim", Password: "secret"}
	for name, test := range map[string]struct {
		mech      AuthMechanism
		challenge string
	}{
		"CRAM-MD5, empty": {AuthCRAMMD5, ""},
		"CRAM-MD5, huge":  {AuthCRAMMD5, strings.Repeat("x", maxChallenge+1)},
		"LOGIN, huge":     {AuthLogin, strings.Repeat("x", maxChallenge+1)},
	} {
		client, err := c.saslClient(test.mech, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := client.Next([]byte(test.challenge)); !errors.Is(err, ErrProtocol) || response != nil {
			t.Errorf("%s: answered %q, error %v, want ErrProtocol", name, response, err)
		}
	}
}

func TestRefusedTokenIsExplainedWithoutTheToken(t *testing.T) {
	const token = "ya29.sesame"
	tests := map[string]struct{ challenge, want string }{
		"JSON":          {`{"status":"401"}`, `{"status":"401"}`},
		"token in it":   {`{"bad":"` + token + `"}`, `{"bad":"(token)"}`},
		"not text":      {"a\x00\r\nb\xff", "a   b?"},
		"nothing":       {"", ""},
		"a whole novel": {strings.Repeat("é", maxRefusal), strings.Repeat("é", maxRefusal/2) + "…"},
	}
	for name, test := range tests {
		for _, m := range []AuthMechanism{AuthXOAUTH2, AuthOAuthBearer} {
			client, err := (&Client{Username: "tim"}).saslClient(m, token, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.Next([]byte(test.challenge)); err != nil {
				t.Fatal(err)
			}
			if got := client.(explainer).Refusal(); got != test.want {
				t.Errorf("%s, %s: %q, want %q", m, name, got, test.want)
			}
		}
	}
}

func TestTokensThatCannotBeSentAreRefused(t *testing.T) {
	for _, token := range []string{"", "se same", "sesame\n", "ses\x01ame", "sésame"} {
		for _, m := range []AuthMechanism{AuthXOAUTH2, AuthOAuthBearer} {
			_, err := (&Client{Username: "tim"}).saslClient(m, token, nil)
			if err == nil || !strings.Contains(err.Error(), "Client.TokenSource") {
				t.Errorf("%s with %q: error %v, want one that names Client.TokenSource", m, token, err)
			} else if token != "" && strings.Contains(err.Error(), token) {
				t.Errorf("the token is in %v", err)
			}
		}
	}
}
