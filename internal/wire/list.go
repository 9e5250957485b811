package wire

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"
)

// A ListEntry is one folder as LIST, LSUB or XLIST describes it (RFC 9051
// section 7.3.1).
type ListEntry struct {
	Name    string
	Delim   rune               // between the levels of the hierarchy; 0: there are none
	Attrs   []imap.MailboxAttr // known ones in the spelling of RFC 9051, each once
	OldName string             // what the folder was called before, if the server tells
}

// List reads a LIST, LSUB or XLIST response; ok is false for others, and for
// those without a name.
func (r *Response) List(names *Names, utf8Enabled bool) (entry ListEntry, ok bool) {
	if r.Tag != "" || r.HasNum || r.Name != "LIST" && r.Name != "LSUB" && r.Name != "XLIST" {
		return entry, false
	}
	p := r.Parser
	if entry.Attrs, ok = p.mailboxAttrs(); !ok {
		return entry, false
	}
	if entry.Delim, ok = p.delimiter(); !ok {
		return entry, false
	}
	raw, ok := p.mailboxName(` ("`)
	if !ok {
		return entry, false
	}
	entry.Name = mailboxName(raw, names, utf8Enabled)
	if p.accept('(') {
		for p.peek() != 0 && p.peek() != ')' {
			key, _, ok := p.str()
			if !ok {
				break
			}
			if equalFold(key, "OLDNAME") && p.accept('(') {
				if old, _, ok := p.str(); ok {
					entry.OldName = mailboxName(old, names, utf8Enabled)
				}
				p.accept(')')
			} else if !p.skip() {
				break
			}
		}
	}
	return entry, true
}

func mailboxName(raw []byte, names *Names, utf8Enabled bool) string {
	if equalFold(raw, "INBOX") {
		return "INBOX"
	}
	return names.Decode(string(raw), utf8Enabled)
}

// mostAttrs is how many attributes of a folder are kept: each is compared with
// all others, and there are two dozen.
const mostAttrs = 256

// mailboxAttrs reads a list of attributes, or NIL.
func (p *Parser) mailboxAttrs() ([]imap.MailboxAttr, bool) {
	if !p.accept('(') {
		return nil, isNIL(p.atom())
	}
	var attrs []imap.MailboxAttr
	for !p.accept(')') {
		a := p.backslashed()
		if len(a) == 0 {
			return nil, false
		}
		// Some servers send an empty attribute, or one twice.
		if attr := mailboxAttr(a); attr != `\` && len(attrs) < mostAttrs && !slices.Contains(attrs, attr) {
			attrs = append(attrs, attr)
		}
	}
	return attrs, true
}

// mailboxAttr returns a known attribute in its usual spelling, whatever its
// case and with or without backslash, and others as they came.
func mailboxAttr(a []byte) imap.MailboxAttr {
	name := strings.ToUpper(strings.TrimPrefix(string(a), `\`))
	if attr, ok := knownAttrs[name]; ok {
		return attr
	}
	return imap.MailboxAttr(a)
}

var knownAttrs = func() map[string]imap.MailboxAttr {
	known := map[string]imap.MailboxAttr{ // what XLIST calls otherwise
		"ALLMAIL": imap.MailboxAttrAll,
		"STARRED": imap.MailboxAttrFlagged,
		"SPAM":    imap.MailboxAttrJunk,
	}
	for _, attr := range [...]imap.MailboxAttr{
		imap.MailboxAttrNonExistent, imap.MailboxAttrNoInferiors, imap.MailboxAttrNoSelect,
		imap.MailboxAttrHasChildren, imap.MailboxAttrHasNoChildren, imap.MailboxAttrMarked, imap.MailboxAttrUnmarked,
		imap.MailboxAttrSubscribed, imap.MailboxAttrRemote, imap.MailboxAttrAll, imap.MailboxAttrArchive,
		imap.MailboxAttrDrafts, imap.MailboxAttrFlagged, imap.MailboxAttrJunk, imap.MailboxAttrSent,
		imap.MailboxAttrTrash, imap.MailboxAttrImportant, `\Inbox`,
	} {
		known[strings.ToUpper(string(attr[1:]))] = attr
	}
	return known
}()

// delimiter reads one character, in quotes or not, or NIL. More than one is
// none: nobody could tell where to cut.
func (p *Parser) delimiter() (rune, bool) {
	p.spaces()
	if bytes.HasPrefix(p.b, []byte(`"\" `)) { // a backslash that is not escaped
		p.b = p.b[3:]
		return '\\', true
	}
	s, null, ok := p.str()
	if !ok || null {
		return 0, ok
	}
	if delim, size := utf8.DecodeRune(s); size == len(s) && delim != utf8.RuneError {
		return delim, true
	}
	return 0, true
}

// mailboxName reads the name of a folder as some servers write it: without
// quotes although it has blanks, or with quotes in it that are not escaped. What
// begins with next stands behind it.
func (p *Parser) mailboxName(next string) ([]byte, bool) {
	p.spaces()
	b := p.rest()
	if len(b) == 0 {
		return nil, false
	}
	q := *p
	switch b[0] {
	case '{', '~':
		if s, ok, literal := q.literal(); literal {
			*p = q
			return s, ok
		}
	case '"':
		if s, ok := q.quoted(); ok {
			*p = q
			return s, true
		}
		end := len(b)
		if i := bytes.Index(b, []byte(`"`+next)); i > 0 {
			end = i + 1
		}
		if i := bytes.LastIndexByte(b[1:end], '"'); i >= 0 {
			p.b = p.b[i+2:]
			return bytes.ReplaceAll(b[1:i+1], []byte(`\"`), []byte(`"`)), true
		}
		return nil, false
	}
	if i := bytes.Index(b, []byte(next)); i >= 0 {
		b = b[:i]
	}
	p.b = p.b[len(b):]
	return bytes.TrimRight(b, " "), true
}

// StatusItems says which items a STATUS response held.
type StatusItems uint16

// The items of STATUS.
const (
	StatusMessages StatusItems = 1 << iota
	StatusRecent
	StatusUnseen
	StatusUIDNext
	StatusUIDValidity
	StatusHighestModSeq
	StatusSize
	StatusDeleted
	StatusAppendLimit
	StatusMailboxID
)

// MailboxStatus is what a STATUS response says of a folder (RFC 9051 section
// 7.3.4). Items that are not there, or unreadable, are zero.
type MailboxStatus struct {
	Name  string
	Items StatusItems // what is there

	Messages      uint32
	Recent        uint32
	Unseen        uint32
	UIDNext       imap.UID
	UIDValidity   uint32
	HighestModSeq uint64
	Size          int64 // bytes
	Deleted       uint32
	AppendLimit   int64 // bytes
	MailboxID     string
}

// MailboxStatus reads a STATUS response; ok is false for others, and for those
// without a name.
func (r *Response) MailboxStatus(names *Names, utf8Enabled bool) (status MailboxStatus, ok bool) {
	if r.Tag != "" || r.HasNum || r.Name != "STATUS" {
		return status, false
	}
	p := r.Parser
	raw, ok := p.statusName()
	if !ok {
		return status, false
	}
	status.Name = mailboxName(raw, names, utf8Enabled)
	p.accept('(')
	for {
		name := p.atom()
		if len(name) == 0 || p.peek() == ')' || !status.item(&p, name) {
			return status, true
		}
	}
}

// statusName reads the name of a folder that a list of items follows, up to the
// end of the line. Only where it does not does a parenthesis belong to the name,
// which some servers write without quotes.
func (p *Parser) statusName() ([]byte, bool) {
	whole := *p
	whole.spaces()
	first := whole
	raw, ok := first.mailboxName(" (")
	if ok && first.itemsOnly() {
		*p = first
		return raw, true
	}
	literal := whole.peek() == '{' || whole.peek() == '~'
	for i, tried := 1, 0; i < len(whole.b) && tried < mostParens && !literal; i++ {
		if whole.b[i] != '(' {
			continue
		}
		tried++
		if (Parser{b: whole.b[i:], depth: p.depth}).itemsOnly() {
			name := bytes.TrimRight(whole.b[:i], " ")
			if n := len(name); n > 1 && name[0] == '"' && name[n-1] == '"' {
				name = bytes.ReplaceAll(name[1:n-1], []byte(`\"`), []byte(`"`))
			}
			p.b = whole.b[i:]
			return name, true
		}
	}
	*p = first
	return raw, ok
}

// mostParens is how many parentheses the name of a folder may have where it is
// written so that they might as well begin the list of items.
const mostParens = 64

// itemsOnly reports whether nothing follows but a list of items and their values.
func (p Parser) itemsOnly() bool {
	if !p.accept('(') {
		return false
	}
	for !p.accept(')') {
		if len(p.atom()) == 0 || p.peek() == ')' || !p.skip() {
			return false
		}
	}
	return p.end()
}

// item reads the value of an item; false means that the rest is unreadable.
func (s *MailboxStatus) item(p *Parser, name []byte) bool {
	var buf [32]byte
	known := string(upper(name, &buf))
	if known == "MAILBOXID" { // RFC 8474
		id, ok := p.objectID()
		if ok {
			s.MailboxID = id
			s.Items |= StatusMailboxID
		}
		return ok
	}
	if p.peek() == '(' {
		return p.skip()
	}
	value, null, ok := p.str()
	if !ok {
		return false
	}
	n, ok := parseNumber(value)
	if null || !ok {
		return true
	}
	small := uint32(min(n, math.MaxUint32))
	fits, positive := n <= math.MaxUint32, n > 0
	set := func(item StatusItems, field *uint32, valid bool) {
		if valid {
			*field = small
			s.Items |= item
		}
	}
	switch known {
	case "MESSAGES":
		set(StatusMessages, &s.Messages, fits)
	case "RECENT":
		set(StatusRecent, &s.Recent, fits)
	case "UNSEEN":
		set(StatusUnseen, &s.Unseen, fits)
	case "DELETED":
		set(StatusDeleted, &s.Deleted, fits)
	case "UIDNEXT":
		set(StatusUIDNext, (*uint32)(&s.UIDNext), fits && positive)
	case "UIDVALIDITY":
		set(StatusUIDValidity, &s.UIDValidity, fits && positive)
	case "HIGHESTMODSEQ":
		s.HighestModSeq = n
		s.Items |= StatusHighestModSeq
	case "SIZE":
		s.Size = int64(min(n, math.MaxInt64))
		s.Items |= StatusSize
	case "APPENDLIMIT":
		s.AppendLimit = int64(min(n, math.MaxInt64))
		s.Items |= StatusAppendLimit
	}
	return true
}
