package imapkit

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/charset"
	"github.com/imapkit/imapkit/internal/rfc5322"
	"github.com/imapkit/imapkit/internal/thread"
	"github.com/imapkit/imapkit/internal/wire"
)

// A SortKey is what messages are sorted by (RFC 5256 section 3). Text is
// compared without regard to case.
type SortKey int

// The sort keys. The smallest, earliest, or first in the alphabet comes first,
// unless [SortKey.Reverse] turns it round.
const (
	SortArrival     SortKey = iota + 1 // internal date
	SortCc                             // mailbox of the first address in Cc: what is before the @
	SortDate                           // Date field, to the second and with its time zone
	SortFrom                           // mailbox of the first address in From
	SortSize                           // bytes of the message
	SortSubject                        // subject without "Re:" and its kin
	SortTo                             // mailbox of the first address in To
	SortDisplayFrom                    // name of the first address in From, else the address (RFC 5957)
	SortDisplayTo                      // name of the first address in To, else the address (RFC 5957)
)

// Reverse returns the key that sorts the other way round.
func (k SortKey) Reverse() SortKey { return -k }

// sortKeys has the names of keys, and what the client needs to sort by them.
var sortKeys = [...]struct {
	name  string
	field thread.Field
	items []Item
}{
	SortArrival:     {"ARRIVAL", thread.ByArrival, []Item{ItemDate}},
	SortCc:          {"CC", thread.ByCc, []Item{ItemEnvelope}},
	SortDate:        {"DATE", thread.ByDate, []Item{ItemEnvelope, ItemDate}},
	SortFrom:        {"FROM", thread.ByFrom, []Item{ItemEnvelope}},
	SortSize:        {"SIZE", thread.BySize, []Item{ItemSize}},
	SortSubject:     {"SUBJECT", thread.BySubject, []Item{ItemEnvelope}},
	SortTo:          {"TO", thread.ByTo, []Item{ItemEnvelope}},
	SortDisplayFrom: {"DISPLAYFROM", thread.ByDisplayFrom, []Item{ItemEnvelope}},
	SortDisplayTo:   {"DISPLAYTO", thread.ByDisplayTo, []Item{ItemEnvelope}},
}

// split returns the key without its direction.
func (k SortKey) split() (key SortKey, reverse bool) { return max(k, -k), k < 0 }

// Sort returns the UIDs of the messages that match, sorted by the keys, the
// first being the most important. Messages that are equal in all keys are in
// ascending order of their UIDs. The server sorts where it has SORT (and
// SORT=DISPLAY, for those keys); else what the keys look at is fetched, and the
// result is the same. Messages and FetchAll give messages back in ascending
// order of their UIDs, whatever the order of the list they are given.
func (f *Folder) Sort(ctx context.Context, q Query, keys ...SortKey) ([]imap.UID, error) {
	var items []Item
	needs := []imap.Cap{imap.CapSort}
	for _, k := range keys {
		key, _ := k.split()
		if key < SortArrival || key > SortDisplayTo {
			return nil, fmt.Errorf("imapkit: sort key %d is none of the constants", int(k))
		}
		if key >= SortDisplayFrom {
			needs = append(needs, imap.CapSortDisplay)
		}
		items = append(items, sortKeys[key].items...)
	}
	if len(keys) == 0 {
		return f.Search(ctx, q)
	}
	var sorted []imap.UID
	done, err := f.byServer(ctx, "Sort", q, needs, func(s *session, root *node, wanted []imap.UID) error {
		found := new(answer)
		cmd := s.Command("UID SORT").Open()
		for _, k := range keys {
			key, reverse := k.split()
			if reverse {
				cmd.Raw("REVERSE")
			}
			cmd.Raw(sortKeys[key].name)
		}
		cmd.Close().Raw("UTF-8")
		root.add(cmd, asItIs)
		found.collect(cmd)
		if err := s.read(f, cmd); err != nil {
			return err
		}
		if found.capped() {
			return errNotHere
		}
		sorted = inOrder(wire.Numbers[imap.UID](&found.SearchResult), wanted)
		return nil
	})
	if done || err != nil {
		return sorted, err
	}
	return f.sortHere(ctx, q, keys, items)
}

// asItIs is the encoding of strings for UTF-8.
func asItIs(s string) string { return s }

// errNotHere makes byServer leave the work to the client.
var errNotHere = errors.New("the server cannot do this")

// byServer runs a command that takes search keys, if the server can: done tells.
// A query that the server cannot answer exactly becomes one for the UIDs that
// were found before; where they are too many for a line, all messages are asked
// for, and those wanted are to be picked.
func (f *Folder) byServer(ctx context.Context, verb string, q Query, needs []imap.Cap,
	run func(s *session, root *node, wanted []imap.UID) error) (done bool, err error) {
	err = f.search(ctx, verb, q, func(s *session, root *node) error {
		for _, capability := range needs {
			if !s.has(capability) {
				return errNotHere
			}
		}
		root, err := s.supported(root)
		if err != nil {
			return err
		}
		root = root.rewrite(true, func(n *node, _ bool) *node { return n })
		if root.kind == kindFalse {
			return s.open(f)
		}
		var wanted []imap.UID
		if !countable(root) {
			if wanted, err = s.find(f, root); err != nil || len(wanted) == 0 {
				return err
			}
			root = UIDs(wanted...).root()
			if root.setLength() > s.measure().bytes {
				root = matchAll
			}
		}
		err = run(s, root, wanted)
		var refused *ServerError
		if errors.As(err, &refused) && !isThrottled(err) && (refused.Status == "BAD" || isBadCharset(refused) || isTooMany(refused)) {
			return errNotHere // advertised, and refused
		}
		return err
	})
	if errors.Is(err, errNotHere) {
		return false, nil
	}
	return true, err
}

func isBadCharset(refused *ServerError) bool {
	return wire.Status{Code: refused.Code}.CodeName() == "BADCHARSET"
}

// inOrder returns uids, each once and only those wanted; nil wants all.
func inOrder(uids, wanted []imap.UID) []imap.UID {
	all := ascending(uids)
	if len(all) == len(uids) && wanted == nil {
		return uids
	}
	seen := make([]bool, len(all)) // which takes less memory than a map
	return slices.DeleteFunc(uids, func(uid imap.UID) bool {
		i, _ := slices.BinarySearch(all, uid)
		drop := seen[i] || wanted != nil && !contains(wanted, uid)
		seen[i] = true
		return drop
	})
}

// sortHere sorts on the client's side.
func (f *Folder) sortHere(ctx context.Context, q Query, keys []SortKey, items []Item) ([]imap.UID, error) {
	l, err := f.newLoop(q, items)
	if err != nil {
		return nil, err
	}
	var msgs []thread.Message
	for info, err := range l.all(ctx, "Sort") {
		if err = withUID(info, err); err != nil {
			return nil, err
		}
		msgs = append(msgs, sortable(info))
	}
	order := make([]thread.Key, len(keys))
	for i, k := range keys {
		key, reverse := k.split()
		order[i] = thread.Key{Field: sortKeys[key].field, Reverse: reverse}
	}
	thread.Sort(msgs, order)
	uids := make([]imap.UID, len(msgs))
	for i := range msgs {
		uids[i] = imap.UID(msgs[i].UID)
	}
	return uids, nil
}

// withUID returns the error of a loop, or that of a message without a UID, which
// cannot be part of a result.
func withUID(info *MessageInfo, err error) error {
	if err == nil && info.UID == 0 {
		return info.Err
	}
	return err
}

// sortable returns what sorting looks at.
func sortable(info *MessageInfo) thread.Message {
	m := thread.Message{UID: uint32(info.UID), Arrival: info.InternalDate, Size: info.Size}
	if env := info.Envelope; env != nil {
		m.Subject, m.Sent = env.Subject, env.Date
		m.From, m.DisplayFrom = firstAddress(env.From)
		m.To, m.DisplayTo = firstAddress(env.To)
		m.Cc, _ = firstAddress(env.Cc)
	}
	return m
}

func firstAddress(list []imap.Address) (mailbox, display string) {
	if len(list) == 0 {
		return "", ""
	}
	a := list[0]
	return a.Mailbox, thread.DisplayName(a.Name, a.Mailbox, a.Host)
}

// threadable returns what threading looks at, from a few fields of the header.
func threadable(info *MessageInfo) thread.Message {
	m := thread.Message{UID: uint32(info.UID), Arrival: info.InternalDate}
	if info.Extra == nil {
		return m
	}
	h := &info.Extra.Header
	m.Subject = charset.DecodeHeader(h.Get("Subject"))
	m.Sent, _ = rfc5322.ParseDate(h.Get("Date"))
	if ids := thread.ParseReferences(h.Get("Message-Id")); len(ids) > 0 {
		m.MessageID = ids[0]
	}
	m.References = thread.ParseReferences(h.Get("References"))
	m.InReplyTo = thread.ParseReferences(h.Get("In-Reply-To"))
	return m
}
