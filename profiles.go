package imapkit

import (
	"errors"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/wire"
)

// A profile is what is known in advance of a provider or a server: what costs a
// failed try to find out, or cannot be found out.
type profile struct {
	// hosts are the ends of the names of a provider's servers, and greeting is
	// what servers say in their greeting that run anywhere.
	hosts    []string
	greeting string
	// sendID: folders are opened only for a client that has said what it is
	// called (RFC 2971). Others that want this are found by their words: see
	// isUnsafeLogin.
	sendID bool
	// shortLines: command lines must not be longer than all servers have to
	// take them. Others are found out by a refusal: see learnsLimits.
	shortLines bool
	// mostMessages is how many messages one command may name; 0: any number.
	mostMessages int
	// noListStatus: LIST-STATUS (RFC 5819) is offered, but does not work.
	// Others are found out by a refusal: see Client.FoldersStatus.
	noListStatus bool
	// noRFC822: the obsolete items that begin with RFC822 bring nothing.
	noRFC822 bool
	// pause matches a refusal that says nothing about what was asked, but only
	// that it was asked too often. What it captures is the time to wait in
	// milliseconds, as far as the server says it. It is recognized from any
	// server: many stand in front of another one under a name of their own.
	pause func() *regexp.Regexp
	// useless is part of a refusal by which a server says that it will refuse
	// everything else on this connection, too. It is recognized from any server.
	useless string
}

var profiles = []profile{
	// NetEase: "NO SELECT Unsafe Login. Please contact kefu@188.com for help".
	// https://github.com/OfflineIMAP/offlineimap3/issues/71
	// https://github.com/pimalaya/himalaya/issues/549
	{hosts: []string{"163.com", "126.com", "yeah.net", "188.com"}, sendID: true},

	// Yahoo and AOL work on 1,000 messages per command, whether they say so
	// (MESSAGELIMIT=1000, RFC 9738) or not. Their searches look at the last
	// 1,000 messages: see everything.
	// https://senders.yahooinc.com/developer/documentation
	{hosts: []string{"yahoo.com", "aol.com"}, mostMessages: 1000},

	// iCloud answers RFC822 with OK and without a message, where BODY[] brings
	// it: see wholeForms.
	// https://github.com/modern-email/defects/issues/36
	{hosts: []string{"me.com", "icloud.com"}, noRFC822: true},

	// Kerio Connect and MDaemon refuse, or drop, lines that Dovecot and Gmail
	// take. https://github.com/bulwarkmail/legacy-proxy/pull/2
	{greeting: "Kerio Connect", shortLines: true},
	{greeting: "MDaemon", shortLines: true},

	// The front ends of a Cyrus Murder offer LIST-STATUS and then show every
	// folder as one that cannot be opened, without figures.
	// https://github.com/cyrusimap/cyrus-imapd/issues/2179
	{greeting: "Cyrus IMAP Murder", noListStatus: true},

	// Exchange and Microsoft 365: "BAD Request is throttled. Suggested Backoff
	// Time: 89117 milliseconds", mostly with a time of up to five minutes.
	// https://github.com/ikvk/imap_tools/issues/135
	// https://github.com/simonrob/email-oauth2-proxy/issues/191
	{pause: pattern(`(?i)(?:request is throttled.*?)?backoff time: (\d{1,9})\b|request is throttled`)},
	// Microsoft 365 after a log-in that has not led to the mailbox: "BAD User is
	// authenticated but not connected." Often the next one does.
	// https://github.com/atc0005/check-mail/issues/183
	// https://github.com/mscdex/node-imap/issues/523
	{useless: "User is authenticated but not connected"},
	// Gmail: "NO [OVERQUOTA] Account exceeded command or bandwidth limits.",
	// for minutes or for a day.
	// https://github.com/ljmerza/ha-email-sensor/issues/16
	// https://support.google.com/a/answer/1071518
	{pause: pattern(`(?i)exceeded command or bandwidth limits`)},
	// Gmail at log-in: "NO [ALERT] Too many simultaneous connections. (Failure)".
	// https://github.com/zone-eu/wildduck/issues/35
	{pause: pattern(`(?i)too many (?:simultaneous|concurrent) connections`)},
	// Dovecot at log-in: "NO [UNAVAILABLE] Maximum number of connections from
	// user+IP exceeded (mail_max_userip_connections=16)".
	// https://github.com/mscdex/node-imap/issues/606
	{pause: pattern(`(?i)maximum number of connections from user\+ip exceeded`)},
	// Yahoo and AOL: "NO [LIMIT] CAPABILITY Rate limit hit.", also for LOGIN.
	// https://github.com/postalsys/imapflow/issues/75
	// Mailu at log-in: "NO Authentication rate limit from one source exceeded".
	// https://github.com/Mailu/Mailu/issues/1251
	{pause: pattern(`(?i)rate limit (?:hit|.*exceeded)`)},
}

// pattern returns an expression that is compiled when it is needed: most programs
// never meet such a refusal.
func pattern(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// isOf reports whether the profile is that of the server.
func (p *profile) isOf(host, greeting string) bool {
	if p.greeting != "" && strings.Contains(greeting, p.greeting) {
		return true
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, provider := range p.hosts {
		if host == provider || strings.HasSuffix(host, "."+provider) {
			return true
		}
	}
	return false
}

// is reports whether a profile of the server says so.
func (s *session) is(so func(*profile) bool) bool {
	for i := range profiles {
		if p := &profiles[i]; so(p) && p.isOf(s.client.Host, s.greeting) {
			return true
		}
	}
	return false
}

// learn keeps what was found out about the server.
func (c *Client) learn(what func(*memory)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	what(&c.memory)
}

// learnt returns what was found out about the server.
func (c *Client) learnt() memory {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.memory
}

// longLine is how long a set of messages in a command line may get: RFC 7162
// section 4 asks servers to take lines of 8192 bytes, of which some are for what
// is around the set. Exchange takes about 10,000, Courier 16,000, Dovecot more.
// shortLine is what older servers can be trusted with (RFC 2683 section 3.2.1.5).
const (
	longLine  = 7000
	shortLine = 900
)

// measure returns what one command may name.
func (s *session) measure() measure {
	known := s.client.learnt()
	m := measure{longLine, math.MaxInt}
	if known.shortLines || s.is(func(p *profile) bool { return p.shortLines }) {
		m.bytes = shortLine
	}
	if known.mostMessages > 0 {
		m.messages = known.mostMessages
	}
	for i := range profiles {
		if p := &profiles[i]; p.mostMessages > 0 && p.isOf(s.client.Host, s.greeting) {
			m = m.atMost(p.mostMessages)
		}
	}
	for capability := range s.Caps() {
		for _, name := range []string{"MESSAGELIMIT=", "SAVELIMIT="} { // RFC 9738
			if limit, ok := strings.CutPrefix(string(capability), name); ok {
				m = m.atMost(positive(limit))
			}
		}
	}
	return m
}

// positive returns a number that a server gave as a limit; one that makes no
// sense is none.
func positive(s string) int {
	if n, err := strconv.ParseUint(s, 10, 32); err == nil && n > 0 {
		return int(n)
	}
	return math.MaxInt
}

// learnsLimits reports whether a refusal says, or may say, that a command named
// too much, so that it makes sense to try again with less. That was in vain if
// it is the second try that is refused.
func (c *Client) learnsLimits(err error, first bool) bool {
	var refused *ServerError
	if !errors.As(err, &refused) || errors.As(err, new(partlyDone)) || isThrottled(err) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !first && refused.Status == "BAD":
		c.memory.shortLines = false
	case first && refused.long && !c.memory.shortLines:
		c.memory.shortLines = true
		return true
	case first && isTooMany(refused):
		limit, _, _ := strings.Cut(wire.Status{Code: refused.Code}.CodeArgs(), " ")
		if n := positive(limit); c.memory.mostMessages == 0 || n < c.memory.mostMessages {
			c.memory.mostMessages = n
			return n < math.MaxInt
		}
	}
	return false
}

// isTooMany reports whether a command was refused because it named more messages
// than the server works on at once (RFC 9738).
func isTooMany(refused *ServerError) bool {
	return wire.Status{Code: refused.Code}.CodeName() == "MESSAGELIMIT"
}

// listsStatus reports whether the server can tell the figures of folders
// together with their names.
func (s *session) listsStatus(caps imap.CapSet) bool {
	return caps.Has(imap.CapListExtended) && caps.Has(imap.CapListStatus) && !s.client.learnt().noListStatus &&
		!s.is(func(p *profile) bool { return p.noListStatus })
}

// wantsName reports whether the server wants to be told what the client is
// called.
func (s *session) wantsName() bool {
	if s.is(func(p *profile) bool { return p.sendID }) {
		return true
	}
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	return s.client.wantsID
}

// identify tells the name of this package, but only where it is asked for: it
// costs a round trip, and nobody else needs to know.
func (s *session) identify() error {
	if !s.wantsName() {
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

// isUseless reports whether a refusal makes a connection useless. Nothing has
// happened, so that the operation may be tried on another one.
func isUseless(err error) bool {
	var refused *ServerError
	if !errors.As(err, &refused) {
		return false
	}
	return slices.ContainsFunc(profiles, func(p profile) bool {
		return p.useless != "" && strings.Contains(refused.Text, p.useless)
	})
}

// confusesUIDs reports whether the server may be GNU Mailutils. Version 3.15
// takes the UID of a message that is gone for that of a neighbour, so that UID
// STORE and UID COPY change and copy another message, or it refuses the command;
// in UID SEARCH it takes UIDs for sequence numbers. It does not say what it is.
// What offers the same as it does only pays for a search more.
func (s *session) confusesUIDs() bool {
	caps := s.Caps()
	if caps == nil { // which is not asked for because of this alone
		if !likeMailutils(s.client.recall(&s.client.capsBefore)) {
			return false
		}
		caps, _ = s.capabilities()
	}
	return likeMailutils(caps)
}

func likeMailutils(caps imap.CapSet) bool {
	return caps.Has(imap.CapID) && caps.Has(imap.CapNamespace) && caps.Has(imap.CapUnselect) &&
		!caps.Has(imap.CapUIDPlus) && !caps.Has(imap.CapChildren)
}

// existing returns those of ascending UIDs that may be sent: all, unless the
// server would take one that no message has for another one.
func (s *session) existing(f *Folder, uids []imap.UID) ([]imap.UID, error) {
	if !s.confusesUIDs() {
		return uids, nil
	}
	there, err := s.find(f, matchAll)
	return slices.DeleteFunc(slices.Clone(uids), func(uid imap.UID) bool { return !contains(there, uid) }), err
}
