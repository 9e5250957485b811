package imapkit

import (
	"errors"
	"regexp"
	"strings"
)

// A profile is what is known in advance of a provider or a server: what costs a
// failed try to find out, or cannot be found out.
type profile struct {
	// hosts are the ends of the names of a provider's servers.
	hosts []string
	// sendID: folders are opened only for a client that has said what it is
	// called (RFC 2971). Others that want this are found by their words: see
	// isUnsafeLogin.
	sendID bool
	// pause matches a refusal that says nothing about what was asked, but only
	// that it was asked too often. What it captures is the time to wait in
	// milliseconds, as far as the server says it. It is recognized from any
	// server: many stand in front of another one under a name of their own.
	pause *regexp.Regexp
}

var profiles = []profile{
	// NetEase: "NO SELECT Unsafe Login. Please contact kefu@188.com for help".
	// https://github.com/OfflineIMAP/offlineimap3/issues/71
	// https://github.com/pimalaya/himalaya/issues/549
	{hosts: []string{"163.com", "126.com", "yeah.net", "188.com"}, sendID: true},

	// Exchange and Microsoft 365: "BAD Request is throttled. Suggested Backoff
	// Time: 89117 milliseconds", mostly with a time of up to five minutes.
	// https://github.com/ikvk/imap_tools/issues/135
	// https://github.com/simonrob/email-oauth2-proxy/issues/191
	{pause: regexp.MustCompile(`(?i)(?:request is throttled.*?)?backoff time: (\d{1,9})\b|request is throttled`)},
	// Gmail: "NO [OVERQUOTA] Account exceeded command or bandwidth limits.",
	// for minutes or for a day.
	// https://github.com/ljmerza/ha-email-sensor/issues/16
	// https://support.google.com/a/answer/1071518
	{pause: regexp.MustCompile(`(?i)exceeded command or bandwidth limits`)},
	// Gmail at log-in: "NO [ALERT] Too many simultaneous connections. (Failure)".
	// https://github.com/zone-eu/wildduck/issues/35
	{pause: regexp.MustCompile(`(?i)too many (?:simultaneous|concurrent) connections`)},
	// Dovecot at log-in: "NO [UNAVAILABLE] Maximum number of connections from
	// user+IP exceeded (mail_max_userip_connections=16)".
	// https://github.com/mscdex/node-imap/issues/606
	{pause: regexp.MustCompile(`(?i)maximum number of connections from user\+ip exceeded`)},
	// Yahoo and AOL: "NO [LIMIT] CAPABILITY Rate limit hit.", also for LOGIN.
	// https://github.com/postalsys/imapflow/issues/75
	// Mailu at log-in: "NO Authentication rate limit from one source exceeded".
	// https://github.com/Mailu/Mailu/issues/1251
	{pause: regexp.MustCompile(`(?i)rate limit (?:hit|.*exceeded)`)},
}

// serves reports whether a server is one of the provider's.
func (p *profile) serves(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, provider := range p.hosts {
		if host == provider || strings.HasSuffix(host, "."+provider) {
			return true
		}
	}
	return false
}

// known reports whether a profile of the server says so.
func (c *Client) known(says func(*profile) bool) bool {
	for i := range profiles {
		if p := &profiles[i]; says(p) && p.serves(c.Host) {
			return true
		}
	}
	return false
}

// wantsName reports whether the server wants to be told what the client is
// called.
func (c *Client) wantsName() bool {
	if c.known(func(p *profile) bool { return p.sendID }) {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wantsID
}

// identify tells the name of this package, but only where it is asked for: it
// costs a round trip, and nobody else needs to know.
func (s *session) identify() error {
	if !s.client.wantsName() {
		return nil
	}
	return s.Run(s.Command("ID").Raw(`("name" "imapkit")`)) // a refusal does no harm
}

// isUnsafeLogin reports whether a folder was not opened because the client has
// not said what it is called, and makes connections from now on say so.
func (c *Client) isUnsafeLogin(err error) bool {
	var refused *ServerError
	if !errors.As(err, &refused) || !strings.Contains(refused.Text, "Unsafe Login") {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.wantsID
	c.wantsID = true
	return !known
}
