package imapkit

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/wire"
)

// A Query says which messages of a folder are meant (RFC 9051 section 6.4.4).
// It is an immutable value; the zero value matches every message. What cannot
// be sent to a server, such as a flag with a blank in it, is an error of the
// call that the query is given to. Strings match without regard to case, as
// substrings, as IMAP defines it.
type Query struct{ node *node }

// A node is part of the tree that a query is. Nodes never change.
type node struct {
	kind kind
	key  string // the search key, for leaves: "FROM"; the raw key
	args []string
	subs []*node
	t    time.Time
	d    time.Duration
	n    int64
	uids []imap.UID
	low  imap.UID
	high imap.UID
	err  error
}

type kind int

const (
	kindTrue   kind = iota
	kindFalse       // no message
	kindAnd         // all of subs
	kindOr          // one of subs, of which there are two or more
	kindNot         // not subs[0]
	kindWord        // key alone
	kindString      // key and strings
	kindNumber      // key and n
	kindDay         // key and the day of t
	kindSince       // internal date at t or later, to the instant
	kindAge         // internal date at most d ago
	kindUIDs        // these UIDs
	kindRange       // the UIDs from low to high, 0 being "*"
)

var (
	matchAll  = &node{kind: kindTrue}
	matchNone = &node{kind: kindFalse}
)

func (q Query) root() *node {
	if q.node == nil {
		return matchAll
	}
	return q.node
}

func word(key string) Query              { return Query{&node{kind: kindWord, key: key}} }
func text(key string, s ...string) Query { return Query{&node{kind: kindString, key: key, args: s}} }

func invalid(format string, args ...any) Query {
	return Query{&node{kind: kindFalse, err: fmt.Errorf("imapkit: "+format, args...)}}
}

// All matches every message, as the zero Query does.
func All() Query { return Query{} }

// Seen matches messages that have been read.
func Seen() Query { return word("SEEN") }

// Unseen matches messages that have not been read.
func Unseen() Query { return word("UNSEEN") }

// systemKeys are the search keys of flags that have one of their own, and of
// their absence.
var systemKeys = map[string][2]string{
	`\seen`:     {"SEEN", "UNSEEN"},
	`\answered`: {"ANSWERED", "UNANSWERED"},
	`\flagged`:  {"FLAGGED", "UNFLAGGED"},
	`\deleted`:  {"DELETED", "UNDELETED"},
	`\draft`:    {"DRAFT", "UNDRAFT"},
	`\recent`:   {"RECENT", "OLD"},
}

func flagQuery(flags []imap.Flag, absent int) Query {
	all := make([]Query, len(flags))
	for i, f := range flags {
		if keys, ok := systemKeys[strings.ToLower(string(f))]; ok {
			all[i] = word(keys[absent])
		} else if wire.IsAtom(string(f)) {
			all[i] = word([...]string{"KEYWORD ", "UNKEYWORD "}[absent] + string(f))
		} else {
			all[i] = invalid("flag %q cannot be searched for", string(f))
		}
	}
	return And(all...)
}

// HasFlag matches messages that have all of these flags or keywords.
func HasFlag(flags ...imap.Flag) Query { return flagQuery(flags, 0) }

// NoFlag matches messages that have none of these flags or keywords.
func NoFlag(flags ...imap.Flag) Query { return flagQuery(flags, 1) }

// From matches messages with s in their From field.
func From(s string) Query { return text("FROM", s) }

// To matches messages with s in their To field.
func To(s string) Query { return text("TO", s) }

// Cc matches messages with s in their Cc field.
func Cc(s string) Query { return text("CC", s) }

// Bcc matches messages with s in their Bcc field.
func Bcc(s string) Query { return text("BCC", s) }

// Subject matches messages with s in their subject.
func Subject(s string) Query { return text("SUBJECT", s) }

// Body matches messages with s in their body.
func Body(s string) Query { return text("BODY", s) }

// Text matches messages with s in their header or body.
func Text(s string) Query { return text("TEXT", s) }

// Header matches messages that have a field of this name with value in it; an
// empty value matches all that have the field.
func Header(name, value string) Query {
	if !isFieldName(name) {
		return invalid("header field name %q is not valid", name)
	}
	return text("HEADER", name, value)
}

// isFieldName reports whether s is the name of a header field (RFC 5322
// section 2.2).
func isFieldName(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' }) < 0
}

// Since matches messages that arrived at t or later: by INTERNALDATE, exact to
// the instant. Servers only know days, in time zones of their own choice, so
// messages around that day are looked at one by one.
func Since(t time.Time) Query { return instant(t) }

// Before matches messages that arrived before t, by INTERNALDATE, exact to the
// instant.
func Before(t time.Time) Query { return Not(instant(t)) }

// On matches messages that arrived on the day of t, as it was at t's location:
// from midnight to midnight, by INTERNALDATE, exact to the instant.
func On(t time.Time) Query {
	y, m, d := t.Date()
	return And(Since(time.Date(y, m, d, 0, 0, 0, 0, t.Location())),
		Before(time.Date(y, m, d+1, 0, 0, 0, 0, t.Location())))
}

func instant(t time.Time) Query {
	if !writable(t) {
		return invalid("the year of %v cannot be written in IMAP", t)
	}
	return Query{&node{kind: kindSince, t: t}}
}

// writable reports whether the years around t have four digits.
func writable(t time.Time) bool {
	return t.AddDate(0, 0, -3).UTC().Year() >= 1 && t.AddDate(0, 0, 3).UTC().Year() <= 9999
}

func day(key string, t time.Time) Query {
	if !writable(t) {
		return invalid("the year of %v cannot be written in IMAP", t)
	}
	return Query{&node{kind: kindDay, key: key, t: t}}
}

// SentSince matches messages whose Date field names the day of t or a later
// one. The time of day and the time zone do not count.
func SentSince(t time.Time) Query { return day("SENTSINCE", t) }

// SentBefore matches messages whose Date field names a day before that of t.
func SentBefore(t time.Time) Query { return day("SENTBEFORE", t) }

// SentOn matches messages whose Date field names the day of t.
func SentOn(t time.Time) Query { return day("SENTON", t) }

// Younger matches messages that arrived at most d ago (RFC 5032), at the time
// of the search.
func Younger(d time.Duration) Query {
	if d < 0 {
		return invalid("age %v is negative", d)
	}
	return Query{&node{kind: kindAge, d: d}}
}

// Older matches messages that arrived more than d ago (RFC 5032), at the time
// of the search.
func Older(d time.Duration) Query { return Not(Younger(d)) }

func size(key string, n int64) Query {
	if n < 0 {
		return invalid("size %d is negative", n)
	}
	return Query{&node{kind: kindNumber, key: key, n: n}}
}

// Larger matches messages of more than n bytes.
func Larger(n int64) Query { return size("LARGER", n) }

// Smaller matches messages of less than n bytes.
func Smaller(n int64) Query { return size("SMALLER", n) }

// ModSeq matches messages whose mod-sequence is n or greater (RFC 7162 section
// 3.1.5). The server needs CONDSTORE.
func ModSeq(n uint64) Query { return word(fmt.Sprintf("MODSEQ %d", n)) }

// EmailID matches the message, in whatever folder, that the server knows by
// this id (RFC 8474). The server needs OBJECTID.
func EmailID(id string) Query { return objectID("EMAILID", id) }

// ThreadID matches the messages of a thread (RFC 8474). The server needs
// OBJECTID.
func ThreadID(id string) Query { return objectID("THREADID", id) }

func objectID(key, id string) Query {
	if !wire.IsAtom(id) {
		return invalid("%s %q is not valid", key, id)
	}
	return word(key + " " + id)
}

// GmailRaw matches what Gmail's own search finds, such as "has:attachment". The
// server needs X-GM-EXT-1.
func GmailRaw(s string) Query { return text("X-GM-RAW", s) }

// RawKey is a search key as it is sent, for what this package has no function
// for. It must be complete: strings quoted, parentheses balanced, no literals.
// Never build one from what a user has typed.
func RawKey(key string) Query {
	if err := checkRawKey(key); err != nil {
		return invalid("raw search key: %w", err)
	}
	return word(key)
}

func checkRawKey(key string) error {
	depth, quoted := 0, false
	for i := 0; i < len(key); i++ {
		switch ch := key[i]; {
		case ch < ' ' || ch == 0x7f:
			return errors.New("it contains a control character")
		case quoted && ch == '\\':
			i++
		case ch == '"':
			quoted = !quoted
		case quoted:
		case ch == '{':
			return errors.New("it contains a literal")
		case ch == '(':
			depth++
		case ch == ')':
			if depth--; depth < 0 {
				return errors.New("its parentheses are not balanced")
			}
		}
	}
	if quoted || depth != 0 || strings.TrimSpace(key) == "" {
		return errors.New("it is not complete")
	}
	return nil
}

// UIDs matches the messages with these UIDs; without arguments, none.
func UIDs(uids ...imap.UID) Query {
	if len(uids) == 0 {
		return Query{matchNone}
	}
	if slices.Contains(uids, 0) {
		return invalid("UID 0 does not exist")
	}
	return Query{&node{kind: kindUIDs, uids: ascending(uids)}}
}

// UIDRange matches the messages with UIDs from first to last, if there are any;
// if last is 0, all from first on: what has come since another one was seen.
func UIDRange(first, last imap.UID) Query {
	if first == 0 || last != 0 && first > last {
		return invalid("there is no range of UIDs from %d to %d", first, last)
	}
	return Query{&node{kind: kindRange, low: first, high: last}}
}

// ascending returns a sorted copy without duplicates.
func ascending(uids []imap.UID) []imap.UID {
	sorted := slices.Clone(uids)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

// And matches what all of the queries match; without arguments, every message.
func And(q ...Query) Query {
	subs := make([]*node, 0, len(q))
	for _, sub := range q {
		switch n := sub.root(); {
		case n.kind == kindAnd:
			subs = append(subs, n.subs...)
		case n.kind != kindTrue:
			subs = append(subs, n)
		}
	}
	return Query{allOf(subs)}
}

func allOf(subs []*node) *node {
	switch len(subs) {
	case 0:
		return matchAll
	case 1:
		return subs[0]
	}
	return &node{kind: kindAnd, subs: subs}
}

// Or matches what at least one of the queries matches; without arguments, no
// message.
func Or(q ...Query) Query {
	switch len(q) {
	case 0:
		return Query{matchNone}
	case 1:
		return q[0]
	}
	subs := make([]*node, len(q))
	for i, sub := range q {
		subs[i] = sub.root()
	}
	return Query{&node{kind: kindOr, subs: subs}}
}

// Not matches what q does not match.
func Not(q Query) Query { return Query{&node{kind: kindNot, subs: []*node{q.root()}}} }

// invalidity returns the first thing in the tree that cannot be sent.
func (n *node) invalidity() error {
	if n.err != nil {
		return n.err
	}
	for _, sub := range n.subs {
		if err := sub.invalidity(); err != nil {
			return err
		}
	}
	return nil
}

// rewrite returns the tree with its leaves replaced by what leaf returns for
// them, and with constants folded. leaf is told whether the number of
// negations above is even.
func (n *node) rewrite(positive bool, leaf func(n *node, positive bool) *node) *node {
	switch n.kind {
	case kindNot:
		switch sub := n.subs[0].rewrite(!positive, leaf); sub.kind {
		case kindTrue:
			return matchNone
		case kindFalse:
			return matchAll
		case kindNot:
			return sub.subs[0]
		default:
			return &node{kind: kindNot, subs: []*node{sub}}
		}
	case kindAnd, kindOr:
		neutral, final := matchAll, matchNone
		if n.kind == kindOr {
			neutral, final = final, neutral
		}
		subs := make([]*node, 0, len(n.subs))
		for _, sub := range n.subs {
			switch sub := sub.rewrite(positive, leaf); sub.kind {
			case final.kind:
				return final
			case neutral.kind:
			default:
				subs = append(subs, sub)
			}
		}
		switch len(subs) {
		case 0:
			return neutral
		case 1:
			return subs[0]
		}
		return &node{kind: n.kind, subs: subs}
	case kindTrue, kindFalse:
		return n
	default:
		return leaf(n, positive)
	}
}

// visit calls f for every leaf.
func (n *node) visit(f func(*node)) {
	if len(n.subs) == 0 {
		f(n)
	}
	for _, sub := range n.subs {
		sub.visit(f)
	}
}

// ascii reports whether every string in the tree is plain ASCII.
func (n *node) ascii() bool {
	plain := true
	n.visit(func(leaf *node) {
		for _, s := range append(leaf.args, leaf.key) {
			plain = plain && strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
		}
	})
	return plain
}

// setLength returns how long all UID sets in the tree are together.
func (n *node) setLength() int {
	length := 0
	n.visit(func(leaf *node) { length += len(appendSet(nil, leaf.uids)) })
	return length
}

// dayFormat is IMAP's date (RFC 9051 section 9).
const dayFormat = "2-Jan-2006"

// add appends the search keys of the tree. encode translates strings to the
// search's charset.
func (n *node) add(cmd *wire.Command, encode func(string) string) {
	switch n.kind {
	case kindTrue:
		cmd.Raw("ALL")
	case kindFalse:
		cmd.Raw("NOT ALL")
	case kindAnd:
		for _, sub := range n.subs {
			sub.add(cmd, encode)
		}
	case kindOr:
		addOr(cmd, n.subs, encode)
	case kindNot:
		if sub := n.subs[0]; sub.kind == kindSince {
			cmd.Raw("BEFORE").Raw(sub.t.UTC().Format(dayFormat))
			return
		}
		cmd.Raw("NOT")
		n.subs[0].addOne(cmd, encode)
	case kindWord:
		cmd.Raw(n.key)
	case kindString:
		cmd.Raw(n.key)
		for _, s := range n.args {
			cmd.String(encode(s))
		}
	case kindNumber:
		cmd.Raw(n.key).Number(uint64(n.n))
	case kindDay:
		cmd.Raw(n.key).Raw(n.t.Format(dayFormat))
	case kindSince:
		cmd.Raw("SINCE").Raw(n.t.UTC().Format(dayFormat))
	case kindAge:
		cmd.Raw("YOUNGER").Number(uint64(n.d / time.Second))
	case kindUIDs:
		cmd.Raw("UID").Raw(string(appendSet(nil, n.uids)))
	case kindRange:
		switch {
		case n.high != 0:
			cmd.Raw(fmt.Sprintf("UID %d:%d", n.low, n.high))
		case n.low == 1:
			cmd.Raw("UID 1:*")
		default: // "n:*" always has the newest message, even if that is older than n
			cmd.Raw(fmt.Sprintf("UID %d:* NOT UID 1:%d", n.low, n.low-1))
		}
	}
}

// addOne appends the tree as a single key.
func (n *node) addOne(cmd *wire.Command, encode func(string) string) {
	if n.kind != kindAnd && n.kind != kindRange {
		n.add(cmd, encode)
		return
	}
	cmd.Open()
	n.add(cmd, encode)
	cmd.Close()
}

// addOr appends ORs as a balanced tree: servers may limit how deep keys nest.
func addOr(cmd *wire.Command, subs []*node, encode func(string) string) {
	if len(subs) == 1 {
		subs[0].addOne(cmd, encode)
		return
	}
	cmd.Raw("OR")
	half := len(subs) / 2
	addOr(cmd, subs[:half], encode)
	addOr(cmd, subs[half:], encode)
}
