package imapkit

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

// maxChallenge bounds one challenge in bytes. Real ones have a few hundred.
const maxChallenge = 16 << 10

// An explainer is a sasl.Client that knows more about a refusal than the
// server's tagged NO says.
type explainer interface {
	// Refusal returns what the server said inside the exchange about why it
	// refuses, without the credentials; empty if nothing.
	Refusal() string
}

// An exchange is one log-in by a SASL mechanism. It keeps the credentials in
// closures, where no formatting verb finds them.
type exchange struct {
	mech    AuthMechanism
	initial func() []byte // nil: the server speaks first
	// next answers a challenge; nil: none is expected.
	next func(x *exchange, challenge []byte) ([]byte, error)
	// proved reports whether the server has proved itself; nil: it need not.
	proved func() bool

	refusal  string // what Refusal returns
	judged   bool   // the server has all that it needs to judge the credentials
	rejected bool   // the server has said that it is the credentials
	aborted  bool   // Next returned an error
}

var (
	_ sasl.Client = (*exchange)(nil)
	_ explainer   = (*exchange)(nil)
)

// Start implements sasl.Client.
func (x *exchange) Start() (mech string, ir []byte, err error) {
	if x.initial != nil {
		ir = x.initial()
	}
	return string(x.mech), ir, nil
}

// Next implements sasl.Client.
func (x *exchange) Next(challenge []byte) (response []byte, err error) {
	response, err = x.answer(challenge)
	x.aborted = x.aborted || err != nil
	return response, err
}

func (x *exchange) answer(challenge []byte) ([]byte, error) {
	if x.aborted {
		return nil, x.protocolError("a challenge after the end")
	}
	if len(challenge) > maxChallenge {
		return nil, x.protocolError("challenge of %d bytes", len(challenge))
	}
	if x.next == nil {
		return nil, x.protocolError("unexpected challenge")
	}
	return x.next(x, challenge)
}

// Done returns an error if the server has not proved what the mechanism makes
// it prove. It is called after the server's OK.
func (x *exchange) Done() error {
	if x.proved != nil && !x.proved() {
		return fmt.Errorf("%w: the server accepted %s without proof that it knows the account", ErrAuthentication, x.mech)
	}
	return nil
}

// Refusal implements explainer.
func (x *exchange) Refusal() string { return x.refusal }

func (x *exchange) protocolError(format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrProtocol, x.mech, fmt.Sprintf(format, args...))
}

// saslClient returns one log-in by mechanism m. token is for XOAUTH2 and
// OAUTHBEARER, state, nil without TLS, for channel binding. The result is
// an *exchange.
func (c *Client) saslClient(m AuthMechanism, token string, state *tls.ConnectionState) (sasl.Client, error) {
	switch m {
	case AuthPlain:
		return singleMessage(m, sasl.NewPlainClient("", c.Username, c.Password)), nil
	case AuthExternal:
		return singleMessage(m, sasl.NewExternalClient(c.Username)), nil
	case AuthAnonymous:
		return singleMessage(m, sasl.NewAnonymousClient(c.Username)), nil
	case AuthLogin:
		return newLogin(c.Username, c.Password), nil
	case AuthCRAMMD5:
		return newCRAMMD5(c.Username, c.Password), nil
	case AuthSCRAMSHA1, AuthSCRAMSHA256:
		return newSCRAM(scramOptions{mech: m, secure: state != nil}, c.Username, c.Password)
	case AuthSCRAMSHA256Plus:
		binding := channelBinding(state)
		if !binding.IsSupported() {
			return nil, fmt.Errorf("%w: this connection has nothing to bind %s to", ErrNoMechanism, m)
		}
		return newSCRAM(scramOptions{mech: m, secure: true, binding: binding}, c.Username, c.Password)
	case AuthXOAUTH2:
		return newToken(m, "user="+c.Username+"\x01", token, nil)
	case AuthOAuthBearer:
		return newToken(m, bearerHeader(c.Username, c.Host, c.Port), token, []byte{1})
	}
	return nil, fmt.Errorf("%w: %s is not a SASL mechanism", ErrNoMechanism, m)
}

// singleMessage is a mechanism in which the client says everything at once.
func singleMessage(m AuthMechanism, client sasl.Client) *exchange {
	return &exchange{
		mech:   m,
		judged: true,
		initial: func() []byte {
			_, ir, _ := client.Start() // go-sasl's one-message mechanisms do not fail
			return ir
		},
	}
}

// newLogin is the LOGIN mechanism. Servers differ in what they call the two
// things they ask for ("User Name\x00", "Username:", other languages), but not
// in the order.
func newLogin(username, password string) *exchange {
	answers := []func() []byte{
		func() []byte { return []byte(username) },
		func() []byte { return []byte(password) },
	}
	return &exchange{mech: AuthLogin, next: func(x *exchange, _ []byte) ([]byte, error) {
		if len(answers) == 0 {
			return nil, x.protocolError("a third prompt")
		}
		answer := answers[0]
		answers = answers[1:]
		x.judged = len(answers) == 0
		return answer(), nil
	}}
}

// newCRAMMD5 is CRAM-MD5 (RFC 2195 section 2).
func newCRAMMD5(username, password string) *exchange {
	return &exchange{mech: AuthCRAMMD5, next: func(x *exchange, challenge []byte) ([]byte, error) {
		if x.judged {
			return nil, x.protocolError("a second challenge")
		}
		if len(challenge) == 0 {
			// The digest of nothing would be good for every later log-in.
			return nil, x.protocolError("empty challenge")
		}
		x.judged = true
		mac := hmac.New(md5.New, []byte(password))
		mac.Write(challenge)
		return []byte(username + " " + hex.EncodeToString(mac.Sum(nil))), nil
	}}
}

// bearerHeader is what goes before the token in OAUTHBEARER (RFC 7628 section
// 3.1). The port is only sent when it was configured: what it is for is to
// name the service, not the connection.
func bearerHeader(username, host string, port int) string {
	var b strings.Builder
	b.WriteString("n,")
	if username != "" {
		b.WriteString("a=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(username))
	}
	b.WriteString(",\x01")
	if host != "" {
		b.WriteString("host=" + host + "\x01")
	}
	if port != 0 {
		b.WriteString("port=" + strconv.Itoa(port) + "\x01")
	}
	return b.String()
}

// newToken is XOAUTH2 or OAUTHBEARER. A server that refuses the token says why
// in a challenge, and says NO only after another answer of the client.
func newToken(m AuthMechanism, header, token string, answer []byte) (*exchange, error) {
	if token == "" {
		return nil, errors.New("imapkit: Client.TokenSource returned an empty token")
	}
	for _, r := range token {
		if r <= ' ' || r > '~' {
			return nil, errors.New("imapkit: Client.TokenSource returned a token that holds a space, a line end or " +
				"another character that tokens do not have (RFC 6750 section 2.1)")
		}
	}
	var refused bool
	return &exchange{
		mech:    m,
		judged:  true,
		initial: func() []byte { return []byte(header + "auth=Bearer " + token + "\x01\x01") },
		next: func(x *exchange, challenge []byte) ([]byte, error) {
			if refused {
				return nil, x.protocolError("a second challenge")
			}
			refused = true
			x.refusal = printable(strings.ReplaceAll(string(challenge), token, "(token)"))
			return append([]byte{}, answer...), nil
		},
	}, nil
}

// maxRefusal bounds what is quoted of a server's reason, in bytes.
const maxRefusal = 500

// printable makes a server's words fit for an error text.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	s = strings.TrimSpace(s)
	if len(s) > maxRefusal {
		s = strings.ToValidUTF8(s[:maxRefusal], "") + "…"
	}
	return s
}

// channelBinding returns what SCRAM-PLUS can be bound to on a TLS connection,
// or nothing. TLS 1.3 has tls-exporter (RFC 9266). Older versions have
// tls-unique, which crypto/tls withholds where it is not safe: on sessions
// resumed without the extended master secret.
func channelBinding(state *tls.ConnectionState) scram.ChannelBinding {
	switch {
	case state == nil || !state.HandshakeComplete:
	case state.Version >= tls.VersionTLS13:
		if binding, err := scram.NewTLSExporterBinding(state); err == nil {
			return binding
		}
	case len(state.TLSUnique) > 0:
		return scram.NewTLSUniqueBinding(state.TLSUnique)
	}
	return scram.ChannelBinding{}
}
