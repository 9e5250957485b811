package imapkittest

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

// The mechanisms that the server can offer, and those it offers by default.
const (
	scramSHA256Plus = "SCRAM-SHA-256-PLUS"
	scramSHA256     = "SCRAM-SHA-256"
	scramSHA1       = "SCRAM-SHA-1"
	cramMD5         = "CRAM-MD5"
	plain           = "PLAIN"
	login           = "LOGIN"
	oauthBearer     = "OAUTHBEARER"
	xoauth2         = "XOAUTH2"
	external        = "EXTERNAL"
	anonymous       = "ANONYMOUS"
)

var (
	passwordMechanisms = []string{scramSHA256Plus, scramSHA256, scramSHA1, cramMD5, plain, login}
	tokenMechanisms    = []string{oauthBearer, xoauth2}
	allMechanisms      = slices.Concat(passwordMechanisms, tokenMechanisms, []string{external, anonymous})
)

var (
	errCredentials = errors.New("wrong credentials")
	errMalformed   = errors.New("malformed response")
)

// An authenticator knows the account.
type authenticator struct {
	username, password, token string
	mechanisms                []string
	// Keys for SCRAM by hash, made when they are needed first.
	sha1Keys, sha256Keys func() (scram.StoredCredentials, error)
}

func newAuthenticator(opts Options) (*authenticator, error) {
	a := &authenticator{username: opts.Username, password: opts.Password, token: opts.Token}
	for _, mech := range opts.Mechanisms {
		name := strings.ToUpper(string(mech))
		if !slices.Contains(allMechanisms, name) {
			return nil, fmt.Errorf("Options.Mechanisms: %q is not one the server knows", mech)
		}
		a.mechanisms = append(a.mechanisms, name)
	}
	if opts.Mechanisms == nil {
		a.mechanisms = slices.Clone(passwordMechanisms)
		if a.token != "" {
			a.mechanisms = append(a.mechanisms, tokenMechanisms...)
		}
	}
	a.sha1Keys = sync.OnceValues(func() (scram.StoredCredentials, error) { return a.scramKeys(scram.SHA1) })
	a.sha256Keys = sync.OnceValues(func() (scram.StoredCredentials, error) { return a.scramKeys(scram.SHA256) })
	return a, nil
}

// offered returns the mechanisms for a connection with or without TLS.
func (a *authenticator) offered(secure bool) []string {
	return slices.DeleteFunc(slices.Clone(a.mechanisms), func(mech string) bool {
		return !secure && (mech == scramSHA256Plus || mech == external)
	})
}

func (a *authenticator) checkPassword(username, password string) error {
	if !equal(username, a.username) || !equal(password, a.password) {
		return errCredentials
	}
	return nil
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// server returns one exchange of a mechanism that was offered.
func (a *authenticator) server(mech string, conn *tls.Conn) (sasl.Server, error) {
	switch mech {
	case plain:
		return sasl.NewPlainServer(func(identity, username, password string) error {
			if identity != "" && identity != username {
				return errCredentials
			}
			return a.checkPassword(username, password)
		}), nil
	case login:
		return &loginServer{auth: a}, nil
	case cramMD5:
		return &cramServer{auth: a}, nil
	case scramSHA1:
		return a.scramServer(scram.SHA1, a.sha1Keys, nil)
	case scramSHA256:
		return a.scramServer(scram.SHA256, a.sha256Keys, nil)
	case scramSHA256Plus:
		return a.scramServer(scram.SHA256, a.sha256Keys, conn)
	case oauthBearer, xoauth2:
		return &tokenServer{auth: a}, nil
	case external:
		return sasl.NewExternalServer(func(identity string) error {
			if len(conn.ConnectionState().PeerCertificates) == 0 || identity != "" && identity != a.username {
				return errCredentials
			}
			return nil
		}), nil
	default:
		return sasl.NewAnonymousServer(func(string) error { return nil }), nil
	}
}

// authenticate answers the AUTHENTICATE command (RFC 3501 section 6.2.2).
func (c *conn) authenticate(tag, args string) error {
	if !c.mayLogIn() {
		return c.printf("%s NO [PRIVACYREQUIRED] STARTTLS first", tag)
	}
	mech, initial, hasInitial := strings.Cut(args, " ")
	mech = strings.ToUpper(mech)
	if !slices.Contains(c.srv.auth.offered(c.secure()), mech) {
		return c.printf("%s NO [CANNOT] %s is not offered", tag, mech)
	}
	if hasInitial && !c.srv.has("SASL-IR") {
		return c.printf("%s BAD initial responses are not offered", tag)
	}
	tlsConn, _ := c.conn.(*tls.Conn)
	server, err := c.srv.auth.server(mech, tlsConn)
	if err != nil {
		return err
	}
	var response []byte
	if hasInitial {
		if response, err = decodeResponse(initial); err != nil {
			return c.printf("%s BAD %v", tag, err)
		}
	}
	for {
		challenge, done, err := server.Next(response)
		if err != nil || done {
			if err != nil && !errors.Is(err, errCredentials) {
				err = errMalformed
			}
			return c.finishLogin(tag, err)
		}
		if err := c.printf("+ %s", base64.StdEncoding.EncodeToString(challenge)); err != nil {
			return err
		}
		line, err := c.readLine()
		if err != nil {
			return err
		}
		if line == "*" {
			return c.printf("%s BAD cancelled", tag)
		}
		if response, err = decodeResponse(line); err != nil {
			return c.printf("%s BAD %v", tag, err)
		}
	}
}

// decodeResponse decodes base64; "=" is an empty initial response (RFC 4959).
// The result is never nil without an error.
func decodeResponse(line string) ([]byte, error) {
	if line == "=" {
		return []byte{}, nil
	}
	response, err := base64.StdEncoding.AppendDecode([]byte{}, []byte(line))
	if err != nil {
		return nil, errors.New("expected base64")
	}
	return response, nil
}

// loginServer is the LOGIN mechanism (draft-murchison-sasl-login).
type loginServer struct {
	auth     *authenticator
	username *string
}

func (s *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case response == nil:
		return []byte("Username:"), false, nil
	case s.username == nil:
		username := string(response)
		s.username = &username
		return []byte("Password:"), false, nil
	default:
		return nil, true, s.auth.checkPassword(*s.username, string(response))
	}
}

// cramServer is CRAM-MD5 (RFC 2195).
type cramServer struct {
	auth      *authenticator
	challenge string
}

func (s *cramServer) Next(response []byte) (challenge []byte, done bool, err error) {
	if s.challenge == "" {
		if response != nil {
			return nil, false, errMalformed
		}
		s.challenge = "<" + rand.Text() + "@localhost>"
		return []byte(s.challenge), false, nil
	}
	username, digest, _ := cutLast(string(response), " ")
	mac := hmac.New(md5.New, []byte(s.auth.password))
	mac.Write([]byte(s.challenge))
	if !equal(username, s.auth.username) || !equal(digest, hex.EncodeToString(mac.Sum(nil))) {
		return nil, true, errCredentials
	}
	return nil, true, nil
}

// cutLast is strings.Cut for the last sep: user names may hold spaces.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// tokenServer is XOAUTH2 and OAUTHBEARER (RFC 7628): key=value fields between
// control-A characters, in the latter after a GS2 header.
type tokenServer struct {
	auth    *authenticator
	refused bool
}

func (s *tokenServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case s.refused:
		return nil, true, errCredentials
	case response == nil:
		return nil, false, nil
	case s.accepts(string(response)):
		return nil, true, nil
	default:
		s.refused = true
		return []byte(`{"status":"invalid_token","schemes":"bearer"}`), false, nil
	}
}

func (s *tokenServer) accepts(response string) bool {
	var username, token string
	for field := range strings.SplitSeq(response, "\x01") {
		if header, ok := strings.CutPrefix(field, "n,a="); ok {
			username = strings.NewReplacer("=2C", ",", "=3D", "=").Replace(strings.TrimSuffix(header, ","))
		}
		if user, ok := strings.CutPrefix(field, "user="); ok {
			username = user
		}
		if credentials, ok := strings.CutPrefix(field, "auth="); ok {
			scheme, value, _ := strings.Cut(credentials, " ")
			if strings.EqualFold(scheme, "Bearer") {
				token = value
			}
		}
	}
	return s.auth.token != "" && equal(token, s.auth.token) && equal(username, s.auth.username)
}

// scramIterations is what RFC 7677 asks for at least.
const scramIterations = 4096

func (a *authenticator) scramKeys(hash scram.HashGeneratorFcn) (scram.StoredCredentials, error) {
	client, err := hash.NewClient(a.username, a.password, "")
	if err != nil {
		return scram.StoredCredentials{}, errCredentials
	}
	return client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: rand.Text(), Iters: scramIterations})
}

// scramServer begins a SCRAM exchange (RFC 5802), bound to conn if that is not
// nil.
func (a *authenticator) scramServer(hash scram.HashGeneratorFcn, keys func() (scram.StoredCredentials, error),
	conn *tls.Conn) (sasl.Server, error) {
	server, err := hash.NewServer(func(username string) (scram.StoredCredentials, error) {
		if !equal(username, a.username) {
			return scram.StoredCredentials{}, errCredentials
		}
		return keys()
	})
	if err != nil {
		return nil, err
	}
	if conn == nil {
		return &scramExchange{conv: server.NewConversation()}, nil
	}
	state := conn.ConnectionState()
	binding, err := scram.NewTLSExporterBinding(&state)
	if err != nil {
		return nil, err
	}
	return &scramExchange{conv: server.NewConversationWithChannelBindingRequired(binding)}, nil
}

type scramExchange struct {
	conv *scram.ServerConversation
}

func (s *scramExchange) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case response == nil:
		return nil, false, nil
	case s.conv.Done():
		return nil, true, nil
	}
	answer, err := s.conv.Step(string(response))
	if err != nil {
		return nil, true, errCredentials
	}
	return []byte(answer), false, nil
}
