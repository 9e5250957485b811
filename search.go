package imapkit

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"
	"golang.org/x/text/encoding/ianaindex"

	"github.com/imapkit/imapkit/internal/wire"
)

// memory is what a Client learns about its server beyond what that says of
// itself. It is guarded by Client.mu.
type memory struct {
	noESearch      bool             // ESEARCH is advertised and refused
	noSearchRes    bool             // SEARCHRES is advertised and refused
	noListExtended bool             // LIST-EXTENDED is advertised and refused
	noListStatus   bool             // LIST-STATUS is advertised and refused
	noUTF8Data     bool             // RFC 9755 is spoken, which has no UTF8 in APPEND
	shortLines     bool             // long lines are refused
	mostMessages   int              // that one command may name; 0: any number
	charsets       []string         // charsets to search in, the one that works first; nil: not tried
	appendLimits   map[string]int64 // of folders where each has its own
	trash          string           // the folder to which Trash has moved messages
}

// Search returns the UIDs of the messages that match, in ascending order (RFC
// 9051 section 6.4.4). See [Since] for how dates are made exact. It returns
// [ErrNotSupported] for a key that needs an extension the server lacks.
func (f *Folder) Search(ctx context.Context, q Query) ([]imap.UID, error) {
	var uids []imap.UID
	err := f.search(ctx, "Search", q, func(s *session, root *node) (err error) {
		uids, err = s.find(f, root)
		return err
	})
	return uids, err
}

// Count returns the number of messages that match, without fetching their UIDs
// where the server can count (RFC 4731).
func (f *Folder) Count(ctx context.Context, q Query) (int, error) {
	n := 0
	err := f.search(ctx, "Count", q, func(s *session, root *node) error {
		if s.Caps().Has(imap.CapESearch) && countable(root) {
			found, err := s.searchFor(f, "COUNT", root)
			if err != nil {
				return err
			}
			switch a := found[0]; {
			case !a.Counted:
				uids, err := s.complete(f, root, a)
				n = len(uids)
				return err
			case !a.capped():
				n = int(a.Count)
				return nil
			}
		}
		uids, err := s.find(f, root)
		n = len(uids)
		return err
	})
	return n, err
}

func countable(root *node) bool {
	exact := root.kind != kindFalse
	root.visit(func(leaf *node) {
		exact = exact && leaf.kind != kindSince && leaf.kind != kindAge && leaf.kind != kindUIDs
	})
	return exact
}

func (f *Folder) search(ctx context.Context, verb string, q Query, run func(*session, *node) error) error {
	root := q.root()
	if err := root.invalidity(); err != nil {
		return err
	}
	return f.client.do(ctx, f.operation(verb), func(s *session) error { return run(s, root) })
}

// find searches, exactly.
func (s *session) find(f *Folder, root *node) ([]imap.UID, error) {
	if s.confusesUIDs() {
		var err error
		if root, err = s.withoutRanges(f, root); err != nil {
			return nil, err
		}
	}
	root, err := s.prepared(root)
	if err != nil {
		return nil, err
	}
	if root.kind == kindFalse {
		return nil, s.open(f)
	}
	uids, err := s.findInPieces(f, root)
	s.Knows(highest(uids))
	return uids, err
}

// withoutRanges replaces ranges of UIDs by the UIDs that are in them.
func (s *session) withoutRanges(f *Folder, root *node) (*node, error) {
	ranges := false
	root.visit(func(n *node) { ranges = ranges || n.kind == kindRange })
	if !ranges {
		return root, nil
	}
	all, err := s.findExactly(f, matchAll)
	return root.rewrite(true, func(n *node, _ bool) *node {
		if n.kind != kindRange {
			return n
		}
		return UIDs(slices.DeleteFunc(slices.Clone(all), func(uid imap.UID) bool {
			return uid < n.low || n.high != 0 && uid > n.high
		})...).root()
	}), err
}

// prepared returns a query that this server understands, in its simplest form.
func (s *session) prepared(root *node) (*node, error) {
	root, err := s.supported(root)
	if err != nil {
		return nil, err
	}
	return root.rewrite(true, func(n *node, _ bool) *node { return n }), nil
}

// supported replaces keys that the server does not know by others that mean the
// same, where there are any.
func (s *session) supported(root *node) (*node, error) {
	var missing error
	now := time.Now()
	root.visit(func(leaf *node) {
		for key, capability := range map[string]imap.Cap{
			"MODSEQ ": imap.CapCondStore, "EMAILID ": imap.CapObjectID, "THREADID ": imap.CapObjectID, "X-GM-RAW": "X-GM-EXT-1",
		} {
			if strings.HasPrefix(leaf.key, key) && missing == nil {
				missing = s.need(capability)
			}
		}
	})
	within := s.Caps().Has(imap.CapWithin)
	return root.rewrite(true, func(n *node, _ bool) *node {
		if n.kind == kindAge && (!within || n.d < time.Second) {
			return &node{kind: kindSince, t: now.Add(-n.d)}
		}
		return n
	}), missing
}

// findInPieces searches. A query whose UIDs would make the line too long, or
// would be misunderstood, is asked in several, whose results are put together
// here.
func (s *session) findInPieces(f *Folder, root *node) ([]imap.UID, error) {
	longest := s.measure().bytes
	if length := root.setLength(); length == 0 || length <= longest/2 && !s.confusesUIDs() {
		return s.findExactly(f, root)
	}
	switch root.kind {
	case kindNot:
		return s.combine(f, matchAll, root.subs[0], false)
	case kindOr:
		return s.findAny(f, root.subs)
	case kindAnd:
		long := func(n *node) bool { return n.kind == kindUIDs && n.setLength() > longest/4 }
		if i := slices.IndexFunc(root.subs, long); i >= 0 {
			return s.findAny(f, splitUIDs(root.subs, i, longest))
		}
		return s.combine(f, root.subs[0], allOf(root.subs[1:]), true)
	default:
		if s.confusesUIDs() {
			return s.existing(f, root.uids)
		}
		return s.findAny(f, splitUIDs([]*node{root}, 0, longest))
	}
}

// findAny returns what matches at least one of the queries.
func (s *session) findAny(f *Folder, roots []*node) ([]imap.UID, error) {
	var found []imap.UID
	for _, root := range roots {
		uids, err := s.findInPieces(f, root)
		if err != nil {
			return nil, err
		}
		found = append(found, uids...)
	}
	return ascending(found), nil
}

// combine returns what matches one query and, or but, another one.
func (s *session) combine(f *Folder, one, other *node, both bool) ([]imap.UID, error) {
	found, err := s.findInPieces(f, one)
	if err != nil {
		return nil, err
	}
	others, err := s.findInPieces(f, other)
	return slices.DeleteFunc(found, func(uid imap.UID) bool { return contains(others, uid) != both }), err
}

// splitUIDs returns several queries for one whose i-th part is a long list.
func splitUIDs(subs []*node, i, longest int) []*node {
	var pieces []*node
	for _, set := range (measure{longest / 4, math.MaxInt}).chunks(subs[i].uids) {
		piece := slices.Clone(subs)
		piece[i] = &node{kind: kindUIDs, uids: set}
		pieces = append(pieces, allOf(piece))
	}
	return pieces
}

// findExactly searches, and looks at the internal dates of those messages of
// which the server's days cannot tell on which side of an instant they are.
func (s *session) findExactly(f *Folder, root *node) ([]imap.UID, error) {
	dated := false
	root.visit(func(n *node) { dated = dated || n.kind == kindSince })
	if !dated {
		found, err := s.searchFor(f, "ALL", root)
		if err != nil {
			return nil, err
		}
		return s.complete(f, root, found[0])
	}
	loose, strict := around(root, false), around(root, true)
	found, err := s.searchFor(f, "ALL", loose, strict)
	if err != nil {
		return nil, err
	}
	possible, err := s.complete(f, loose, found[0])
	if err != nil {
		return nil, err
	}
	certain, err := s.complete(f, strict, found[1])
	if err != nil {
		return nil, err
	}
	doubtful := slices.DeleteFunc(possible, func(uid imap.UID) bool {
		_, is := slices.BinarySearch(certain, uid)
		return is
	})
	if len(doubtful) == 0 {
		return certain, nil
	}
	matching, err := s.byInternalDate(f, root, doubtful)
	if err != nil {
		return nil, err
	}
	all := append(certain, matching...)
	slices.Sort(all)
	return slices.Compact(all), nil
}

// around returns a query in days, for one in instants: with certain one that
// matches no other messages, else one that misses none. Internal dates may be
// in any time zone, from -12 to +14 hours.
func around(root *node, certain bool) *node {
	return root.rewrite(true, func(n *node, positive bool) *node {
		if n.kind != kindSince {
			return n
		}
		days := -1
		if positive == certain {
			days = 2
		}
		return &node{kind: kindSince, t: n.t.UTC().AddDate(0, 0, days)}
	})
}

// byInternalDate returns which messages match, by their exact dates. What the
// query asks for beside dates is asked again where the dates alone do not tell.
func (s *session) byInternalDate(f *Folder, root *node, uids []imap.UID) ([]imap.UID, error) {
	// The messages are known to match what stands beside the dates at the top.
	if root.kind == kindAnd {
		var dated []*node
		for _, sub := range root.subs {
			has := false
			sub.visit(func(n *node) { has = has || n.kind == kindSince })
			if has {
				dated = append(dated, sub)
			}
		}
		root = &node{kind: kindAnd, subs: dated}
	}
	var matching []imap.UID
	open := make(map[string][]imap.UID) // undecided messages by what the dates say
	rest := make(map[string]*node)
	m := s.measure().atMost(mostPerFetch)
	for _, chunk := range m.chunks(uids) {
		err := s.fetchEach(f, chunk, "INTERNALDATE", func(m *wire.Fetched) {
			if m.Bad&wire.ItemDate != 0 { // Zarafa has NIL, Domino the year 0: the server's word has to do
				matching = append(matching, m.UID)
			}
			if m.Items&wire.ItemDate == 0 {
				return
			}
			var says strings.Builder
			decided := root.rewrite(true, func(n *node, _ bool) *node {
				if n.kind != kindSince {
					return n
				}
				if m.Date.Before(n.t) {
					says.WriteByte('0')
					return matchNone
				}
				says.WriteByte('1')
				return matchAll
			})
			switch decided.kind {
			case kindTrue:
				matching = append(matching, m.UID)
			case kindFalse:
			default:
				key := says.String()
				open[key] = append(open[key], m.UID)
				rest[key] = decided
			}
		})
		if err != nil {
			return nil, err
		}
	}
	for key, undecided := range open {
		for _, chunk := range (measure{m.bytes / 2, m.messages}).chunks(ascending(undecided)) {
			found, err := s.findInPieces(f, And(Query{&node{kind: kindUIDs, uids: chunk}}, Query{rest[key]}).root())
			if err != nil {
				return nil, err
			}
			matching = append(matching, found...)
		}
	}
	return matching, nil
}

// searchFor sends searches in one go and returns their results. What a server
// refuses because it cannot read it is asked in another way.
func (s *session) searchFor(f *Folder, want string, roots ...*node) ([]*answer, error) {
	ascii := true
	for _, root := range roots {
		ascii = ascii && root.ascii()
	}
	charsets := []string{""}
	if !ascii {
		charsets = s.client.searchCharsets()
	}
	for i := 0; ; i++ {
		charset := charsets[i]
		encode, ok := encoderFor(charset, roots)
		var refused *ServerError
		if ok {
			results, err := s.searchOnce(f, want, charset, encode, roots)
			if err == nil {
				if !ascii {
					s.client.rememberCharset(charset)
				}
				return results, nil
			}
			if refused, ok = err.(*ServerError); !ok || !strings.HasPrefix(refused.Command, "UID SEARCH") || isThrottled(err) {
				return nil, err
			}
			if s.forgetESearch(refused) {
				i--
				continue
			}
		}
		if refused != nil {
			status := wire.Status{Code: refused.Code}
			if ascii || status.CodeName() != "BADCHARSET" && refused.Status != "BAD" {
				return nil, refused
			}
			charsets = append(charsets, offeredCharsets(status.CodeArgs(), charsets)...)
		}
		if i+1 == len(charsets) {
			if refused != nil {
				return nil, fmt.Errorf("%w: no charset for this search: %w", ErrNotSupported, refused)
			}
			return nil, fmt.Errorf("%w: the search cannot be written in any charset that the server takes", ErrNotSupported)
		}
	}
}

// searchOnce sends searches in one charset.
func (s *session) searchOnce(f *Folder, want, charset string, encode func(string) string,
	roots []*node) ([]*answer, error) {
	results := make([]*answer, len(roots))
	cmds := make([]*wire.Command, len(roots))
	for i, root := range roots {
		cmd := s.Command("UID SEARCH")
		if s.extendedSearch() {
			cmd.Raw("RETURN (" + want + ")")
		}
		if charset != "" && charset != unlabelled && !s.UTF8() {
			cmd.Raw("CHARSET " + charset)
		}
		root.add(cmd, encode)
		results[i] = new(answer)
		results[i].collect(cmd)
		cmds[i] = cmd
	}
	if len(cmds) > 1 && !s.extendedSearch() {
		// Without ESEARCH results do not say which search they answer.
		for _, cmd := range cmds {
			if err := s.read(f, cmd); err != nil {
				return nil, err
			}
		}
		return results, nil
	}
	return results, s.read(f, cmds...)
}

func (s *session) extendedSearch() bool {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	return s.Caps().Has(imap.CapESearch) && !s.client.memory.noESearch
}

// forgetESearch reports whether it makes sense to try again without ESEARCH:
// some servers behind proxies advertise it without having it.
func (s *session) forgetESearch(refused *ServerError) bool {
	if refused.Status != "BAD" || !s.extendedSearch() {
		return false
	}
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	s.client.memory.noESearch = true
	return true
}

// unlabelled stands for UTF-8 without saying so.
const unlabelled = "unlabelled"

// searchCharsets returns in which charsets to try a search that is not ASCII.
func (c *Client) searchCharsets() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.memory.charsets == nil {
		c.memory.charsets = []string{"UTF-8", unlabelled, "ISO-8859-1"}
	}
	return slices.Clone(c.memory.charsets)
}

// rememberCharset puts what has worked first.
func (c *Client) rememberCharset(charset string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	others := slices.DeleteFunc(slices.Clone(c.memory.charsets), func(s string) bool { return s == charset })
	c.memory.charsets = append([]string{charset}, others...)
}

// offeredCharsets reads the list of a BADCHARSET code, without what is known.
func offeredCharsets(args string, known []string) []string {
	var offered []string
	for _, name := range strings.Fields(strings.NewReplacer("(", " ", ")", " ", `"`, " ").Replace(args)) {
		is := func(s string) bool { return strings.EqualFold(s, name) }
		if wire.IsAtom(name) && !slices.ContainsFunc(known, is) && !strings.EqualFold(name, "US-ASCII") && len(offered) < 8 {
			offered = append(offered, name)
		}
	}
	return offered
}

// encoderFor returns how to write strings in a charset; ok is false if it does
// not have all their characters.
func encoderFor(charset string, roots []*node) (encode func(string) string, ok bool) {
	same := func(s string) string { return s }
	if charset == "" || charset == unlabelled || strings.EqualFold(charset, "UTF-8") {
		return same, true
	}
	enc, err := ianaindex.MIME.Encoding(charset)
	if err != nil || enc == nil {
		return nil, false
	}
	ok = true
	encode = func(s string) string {
		out, err := enc.NewEncoder().String(s)
		if err != nil {
			ok = false
		}
		return out
	}
	for _, root := range roots {
		root.visit(func(n *node) {
			for _, arg := range n.args {
				ok = ok && utf8.ValidString(arg)
				encode(arg)
			}
		})
	}
	return encode, ok
}
