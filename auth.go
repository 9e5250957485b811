package imapkit

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-sasl"
)

// An AuthMechanism names a way to log in: a SASL mechanism (RFC 4422) as the
// server lists it after "AUTH=", or the LOGIN command.
type AuthMechanism string

// The mechanisms that this package speaks.
const (
	// AuthPlain sends user name and password (RFC 4616).
	AuthPlain AuthMechanism = "PLAIN"
	// AuthLogin sends user name and password when prompted; for servers that
	// lack PLAIN.
	AuthLogin AuthMechanism = "LOGIN"
	// AuthCRAMMD5 hides the password from eavesdroppers (RFC 2195), but the
	// server has to store it in clear. Over TLS it is the last choice.
	AuthCRAMMD5 AuthMechanism = "CRAM-MD5"
	// AuthSCRAMSHA1 hides the password from eavesdroppers and server alike,
	// and makes the server prove that it knows the account (RFC 5802).
	AuthSCRAMSHA1 AuthMechanism = "SCRAM-SHA-1"
	// AuthSCRAMSHA256 is SCRAM with a better hash (RFC 7677).
	AuthSCRAMSHA256 AuthMechanism = "SCRAM-SHA-256"
	// AuthSCRAMSHA256Plus also proves that nobody sits between the two ends
	// of the TLS connection: with tls-exporter in TLS 1.3 (RFC 9266), with
	// tls-unique in TLS 1.2 and older (RFC 5929).
	AuthSCRAMSHA256Plus AuthMechanism = "SCRAM-SHA-256-PLUS"
	// AuthXOAUTH2 sends an OAuth 2.0 token the way Gmail and Microsoft began
	// it. Microsoft offers nothing else.
	AuthXOAUTH2 AuthMechanism = "XOAUTH2"
	// AuthOAuthBearer sends an OAuth 2.0 token (RFC 7628).
	AuthOAuthBearer AuthMechanism = "OAUTHBEARER"
	// AuthExternal relies on the TLS client certificate (RFC 4422 appendix
	// A). [Client.Username] is the identity asked for, empty: the
	// certificate's own.
	AuthExternal AuthMechanism = "EXTERNAL"
	// AuthAnonymous logs in as nobody (RFC 4505), only where it is named in
	// [Client.Auth]. [Client.Username] is left as a trace.
	AuthAnonymous AuthMechanism = "ANONYMOUS"
	// AuthLoginCommand is the LOGIN command of IMAP itself (RFC 9051 section
	// 6.2.3), which sends user name and password.
	AuthLoginCommand AuthMechanism = "LOGIN command"
)

// A credential is what a mechanism logs in with.
type credential int

const (
	credentialPassword credential = iota
	credentialToken
	credentialCertificate
	credentialNone
)

var mechanismCredentials = map[AuthMechanism]credential{
	AuthPlain:           credentialPassword,
	AuthLogin:           credentialPassword,
	AuthCRAMMD5:         credentialPassword,
	AuthSCRAMSHA1:       credentialPassword,
	AuthSCRAMSHA256:     credentialPassword,
	AuthSCRAMSHA256Plus: credentialPassword,
	AuthXOAUTH2:         credentialToken,
	AuthOAuthBearer:     credentialToken,
	AuthExternal:        credentialCertificate,
	AuthAnonymous:       credentialNone,
	AuthLoginCommand:    credentialPassword,
}

// The order in which passwords are used where the user names none. Without
// TLS, what hides the password comes before what does not. Over TLS nothing
// needs hiding from eavesdroppers, and CRAM-MD5 comes last, because it is the
// one that makes a server keep passwords in clear.
var (
	passwordsOverTLS = []AuthMechanism{AuthSCRAMSHA256Plus, AuthSCRAMSHA256, AuthSCRAMSHA1,
		AuthPlain, AuthLogin, AuthLoginCommand, AuthCRAMMD5}
	passwordsInClear = []AuthMechanism{AuthSCRAMSHA256, AuthSCRAMSHA1, AuthCRAMMD5,
		AuthPlain, AuthLogin, AuthLoginCommand}
)

// hidesPassword reports whether an eavesdropper does not get the password.
func (m AuthMechanism) hidesPassword() bool {
	return m.isSCRAM() || m == AuthCRAMMD5
}

func (m AuthMechanism) isSCRAM() bool {
	return m == AuthSCRAMSHA1 || m == AuthSCRAMSHA256 || m == AuthSCRAMSHA256Plus
}

// checkAuth reports credentials that contradict each other or the mechanisms
// in Auth. What is merely missing may turn out not to be needed, as with a
// server that greets with PREAUTH; that is for mechanismsFor.
func (c *Client) checkAuth() error {
	// NUL ends a field in PLAIN, control-A in XOAUTH2 and OAUTHBEARER.
	if strings.ContainsAny(c.Username, "\x00\x01") {
		return errors.New("imapkit: Client.Username contains a control character that cannot be sent")
	}
	if strings.ContainsRune(c.Password, 0) {
		return errors.New("imapkit: Client.Password contains a NUL, which cannot be sent")
	}
	if c.Password != "" && c.Username == "" {
		return errors.New("imapkit: Client.Password is set, but Client.Username is empty")
	}
	if c.Auth == nil {
		return nil
	}
	if len(c.Auth) == 0 {
		return errors.New("imapkit: Client.Auth allows no mechanism; nil would mean any")
	}
	var usesToken bool
	for _, m := range c.Auth {
		if _, known := mechanismCredentials[m]; !known {
			return fmt.Errorf("imapkit: Client.Auth: unknown mechanism %q", m)
		}
		if missing := c.missingFor(m); missing != "" {
			return fmt.Errorf("imapkit: Client.Auth names %s, but %s", m, missing)
		}
		usesToken = usesToken || mechanismCredentials[m] == credentialToken
	}
	if c.TokenSource != nil && !usesToken {
		return fmt.Errorf("imapkit: Client.TokenSource is set, but Client.Auth (%s) names neither %s nor %s",
			joinMechanisms(c.Auth), AuthOAuthBearer, AuthXOAUTH2)
	}
	return nil
}

// missingFor says which field has to be filled in before m can be used; empty
// if none. Whether EXTERNAL can do without a certificate is the server's
// business.
func (c *Client) missingFor(m AuthMechanism) string {
	switch {
	case mechanismCredentials[m] == credentialToken && c.TokenSource == nil:
		return "Client.TokenSource is nil"
	case mechanismCredentials[m] == credentialPassword && c.Password == "":
		return "Client.Password is empty"
	case m == AuthXOAUTH2 && c.Username == "":
		return "Client.Username is empty"
	}
	return ""
}

// wanted returns the mechanisms that the Client's fields ask for, best first.
func (c *Client) wanted(secure bool) []AuthMechanism {
	switch {
	case c.Auth != nil:
		return c.Auth
	case c.TokenSource != nil:
		return []AuthMechanism{AuthOAuthBearer, AuthXOAUTH2}
	case c.Password == "" && secure && c.TLS.hasClientCertificate():
		return []AuthMechanism{AuthExternal}
	case secure:
		return passwordsOverTLS
	default:
		return passwordsInClear
	}
}

// mechanismsFor returns the mechanisms worth trying on a connection, best
// first and never none without an error. secure says that the connection is
// encrypted, state how if it is this package that encrypts it.
func mechanismsFor(c *Client, caps imap.CapSet, secure bool, state *tls.ConnectionState) ([]AuthMechanism, error) {
	var offered []string
	var loginDisabled bool
	for capability := range caps {
		name := strings.ToUpper(string(capability))
		if mech, ok := strings.CutPrefix(name, "AUTH="); ok {
			offered = append(offered, mech)
		}
		loginDisabled = loginDisabled || name == string(imap.CapLoginDisabled)
	}
	slices.Sort(offered)

	wanted := c.wanted(secure)
	var usable []AuthMechanism
	var reasons []string
	var disabled bool
	for _, m := range wanted {
		reason := c.missingFor(m)
		switch {
		case reason != "":
		case m == AuthLoginCommand && loginDisabled:
			disabled = true
			reason = "the server has disabled the LOGIN command"
		case m != AuthLoginCommand && !slices.Contains(offered, string(m)):
			continue
		case m == AuthSCRAMSHA256Plus && !channelBinding(state).IsSupported():
			reason = "this connection has nothing to bind " + string(m) + " to"
		case !slices.Contains(usable, m):
			usable = append(usable, m)
		}
		if reason != "" && !slices.Contains(reasons, reason) {
			reasons = append(reasons, reason)
		}
	}
	if len(usable) > 0 {
		return usable, nil
	}

	err := fmt.Errorf("%w: allowed %s; offered %s", ErrNoMechanism, joinMechanisms(wanted),
		cmp.Or(strings.Join(offered, ", "), "none"))
	if len(reasons) > 0 {
		err = fmt.Errorf("%w; %s", err, strings.Join(reasons, "; "))
	}
	if disabled && !secure {
		err = fmt.Errorf("%w: %w", ErrInsecure, err)
	}
	return nil, err
}

// afterRefusal returns which of the mechanisms that come after the refused one
// are still worth a try. A wrong password must not be sent again and again,
// so that is only those where the refusal said nothing about the password:
//
//   - the command was not understood (BAD), or the server gave up before it
//     had seen a proof of the password, e.g. Dovecot with SCRAM for an account
//     whose password is stored as another hash;
//   - SCRAM without channel binding after SCRAM with it: Cyrus IMAP 3.6 knows
//     only tls-unique, and GNU Mailutils 3.15 refuses every binding.
//
// Nothing follows an exchange that the client broke off, e.g. because the
// server could not prove itself: it must not get the password another way.
// Without TLS nothing that shows the password follows what hides it.
func afterRefusal(rest []AuthMechanism, refused AuthMechanism, client sasl.Client, refusal *ServerError,
	secure bool) []AuthMechanism {
	code, _, _ := strings.Cut(strings.ToUpper(refusal.Code), " ")
	switch code {
	case "UNAVAILABLE", "AUTHORIZATIONFAILED", "EXPIRED", "PRIVACYREQUIRED", "CONTACTADMIN", "LIMIT", "INUSE":
		return nil // about the account or the server, whatever the mechanism (RFC 5530)
	}
	login, _ := client.(*exchange)
	if refusal.Status == "BYE" || login != nil && login.aborted {
		return nil
	}
	undecided := refusal.Status == "BAD" || login != nil && !login.judged
	unbound := refused == AuthSCRAMSHA256Plus && login != nil && !login.rejected
	var next []AuthMechanism
	for _, m := range rest {
		exposes := !secure && refused.hidesPassword() && !m.hidesPassword()
		if !exposes && (undecided || unbound && m.isSCRAM()) {
			next = append(next, m)
		}
	}
	return next
}

func joinMechanisms(list []AuthMechanism) string {
	names := make([]string, len(list))
	for i, m := range list {
		names[i] = string(m)
	}
	return strings.Join(names, ", ")
}
