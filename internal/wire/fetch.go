package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/charset"
)

// Items says which FETCH items a response held.
type Items uint32

// The items that have a field of their own in Fetched.
const (
	ItemUID Items = 1 << iota
	ItemFlags
	ItemDate
	ItemSize
	ItemEnvelope
	ItemBodyStructure
	ItemModSeq
	ItemEmailID
	ItemThreadID
	ItemPreview
	ItemSaveDate
	ItemGmailMessageID
	ItemGmailThreadID
	ItemGmailLabels
)

// Fetched is what one FETCH response says of a message.
type Fetched struct {
	Seq   uint32
	UID   imap.UID // 0: unknown
	Items Items    // what is there; the fields of other items mean nothing
	Bad   Items    // what was there and unreadable
	Err   error    // why
	nbad  int      // how often

	Flags         []imap.Flag
	Date          time.Time
	Size          int64
	Envelope      *imap.Envelope
	BodyStructure imap.BodyStructure
	ModSeq        uint64
	EmailID       string
	ThreadID      string
	Preview       string
	SaveDate      time.Time
	GmailMsgID    uint64
	GmailThread   uint64
	GmailLabels   []string

	Sections []Section         // bodies, in the order in which they came
	Other    map[string]string // items without a field, raw

	// Body is the body that is being streamed: its section is the last one
	// and has no Data. Both are valid until the next call of Next.
	Body *Body
}

// FlagsOnly reports whether nothing is there that does not change: any number of
// such responses may come unasked, about any message.
func (f *Fetched) FlagsOnly() bool {
	return (f.Items|f.Bad)&^(ItemUID|ItemFlags|ItemModSeq) == 0 && f.Err == nil && f.Other == nil && f.Sections == nil
}

func (f *Fetched) bad(item Items, name string, why error) {
	f.Bad |= item
	f.nbad++
	f.Err = errors.Join(f.Err, fmt.Errorf("imapkit: unreadable %s: %w", name, why))
}

var errMalformed = errors.New("malformed")

// A FetchReader reads the responses to FETCH commands, one at a time, in place.
type FetchReader struct {
	c    *Conn
	cmds []*Command
	// Stream makes the body section that this item asks for come as
	// Fetched.Body instead of in memory, and be the last of its response.
	Stream string

	msg      Fetched
	open     bool // msg's response is not yet at its end
	nested   int  // parentheses open around the next item
	era      int  // of msg's sequence number
	body     Body
	streamed [1]Section // nearly always all that there is beside a streamed body
	memory   int64      // bytes of msg's bodies held in memory
	flags    flagReader
	slab     envelopeSlab
}

// NewFetchReader makes a reader for commands to be sent with Add.
func (c *Conn) NewFetchReader() *FetchReader { return &FetchReader{c: c} }

// Add sends a further command whose responses are to be read.
func (r *FetchReader) Add(cmd *Command) error {
	if err := r.c.Send(cmd); err != nil {
		return err
	}
	r.cmds = append(slices.DeleteFunc(r.cmds, func(cmd *Command) bool { return cmd.Done }), cmd)
	return r.c.Flush()
}

// Text returns the length of the response read last, without bodies. What is
// parsed from it takes several times as much memory.
func (r *FetchReader) Text() int64 { return r.c.resp.text }

// Era returns a number that grows whenever a message is removed from the folder:
// the same sequence number means the same message in one era only.
func (r *FetchReader) Era() int { return r.c.removals }

// Pending returns the number of commands that are not done.
func (r *FetchReader) Pending() int {
	n := 0
	for _, cmd := range r.cmds {
		if !cmd.Done {
			n++
		}
	}
	return n
}

// Next returns what the next FETCH response says, or io.EOF when a command is
// done (its Status tells how) and again when nothing is under way. The result
// is valid until the next call, except what its fields point to.
func (r *FetchReader) Next() (*Fetched, error) {
	for r.open { // the last one was left within a streamed body
		if err := r.body.discard(); err != nil {
			return nil, err
		}
		if err := r.items(); err != nil {
			return nil, err
		}
	}
	before := r.Pending()
	for before > 0 {
		if r.flagsOnly(0) {
			return &r.msg, nil
		}
		resp, err := r.c.next()
		if err != nil {
			return nil, err
		}
		if resp.Name == "FETCH" || resp.Name == "UIDFETCH" {
			r.begin(resp)
			if err := r.items(); err != nil {
				return nil, err
			}
			return &r.msg, nil
		}
		r.c.dispatch(resp)
		if err := r.c.finish(resp); err != nil {
			return nil, err
		}
		if r.Pending() < before {
			break
		}
	}
	return nil, io.EOF
}

// reset forgets the message before, but for values whose item is not said to be
// there any more.
func (f *Fetched) reset() {
	const plain = ItemUID | ItemFlags | ItemDate | ItemSize | ItemEnvelope | ItemModSeq
	if f.Items|f.Bad|plain != plain || f.Err != nil || f.Sections != nil || f.Other != nil || f.Body != nil {
		*f = Fetched{}
	}
	f.UID, f.Items, f.Bad = 0, 0, 0
}

func (r *FetchReader) begin(resp *Response) {
	before, uid := r.msg.Seq, r.msg.UID
	r.msg.reset()
	r.msg.Seq = resp.Num
	switch {
	case resp.Name == "UIDFETCH": // RFC 9586
		r.msg.Seq, r.msg.UID, r.msg.Items = 0, imap.UID(resp.Num), ItemUID
	case resp.Num == before && r.era == r.c.removals:
		r.msg.UID = uid // of the response before, on the same message
	}
	r.era = r.c.removals
	r.open, r.nested, r.memory = true, 0, 0
	r.c.resp.accept('(')
}

// mostBad is how many items of a response may be malformed before the rest of
// it is given up: looking for where to go on takes time.
const mostBad = 16

// items reads the items of a response up to its end, which clears open, or, when
// streaming, up to a body.
func (r *FetchReader) items() error {
	resp := &r.c.resp
	p := resp.Parser // of which a copy is cheaper to change than what is on the heap
	for {
		if r.nested > 0 && p.accept(')') {
			r.nested--
			continue
		}
		if p.end() || p.peek() == ')' || r.msg.nbad > mostBad {
			if resp.body >= 0 { // a literal that belongs to no item
				if err := r.skipBody(); err != nil {
					return err
				}
				p = resp.Parser
				continue
			}
			r.open = false
			return nil
		}
		if p.accept('(') { // Domino puts (ENVELOPE (...)) in one more pair
			r.nested++
			continue
		}
		switch name := p.itemName(); {
		case len(name) == 0:
			r.msg.bad(0, "response", errMalformed)
			p.b = nil
		case isSection(name):
			resp.Parser = p
			streaming, err := r.section(sectionName(name))
			if streaming || err != nil {
				return err
			}
			p = resp.Parser
		default:
			r.item(&p, name)
		}
	}
}

// skipBody reads past a body that nobody wants and goes on behind it.
func (r *FetchReader) skipBody() error {
	if err := r.c.discard(r.c.resp.body); err != nil {
		return err
	}
	return r.c.resume(&r.c.resp)
}

// malformed notes that the value at start is, and continues behind it.
func (r *FetchReader) malformed(p *Parser, item Items, name string, start []byte) {
	why := errMalformed
	if p.deep {
		why = fmt.Errorf("%w: nested more than %d deep", ErrLimit, p.depth)
		p.deep = false
	}
	r.msg.bad(item, name, why)
	r.resync(p, start)
}

// item reads one item that is no body section. If its value is malformed, what
// follows the value is looked for.
func (r *FetchReader) item(p *Parser, name []byte) {
	start := p.b
	var buf [32]byte
	ok := true
	m := &r.msg
	set := func(item Items) { m.Items |= item }
	var item Items
	switch string(upper(name, &buf)) {
	case "UID":
		item = ItemUID
		var n uint32
		if n, ok = p.number32(); ok && n > 0 {
			m.UID = imap.UID(n)
			r.c.Knows(m.UID)
			set(item)
		}
	case "FLAGS":
		item = ItemFlags
		if m.Flags, ok = r.flags.read(p); ok {
			set(item)
		}
	case "INTERNALDATE":
		item = ItemDate
		var s []byte
		if s, _, ok = p.str(); ok {
			if m.Date, ok = parseInternalDate(s); ok {
				set(item)
			} else {
				m.bad(item, "INTERNALDATE", fmt.Errorf("%w: %q", errMalformed, s[:min(len(s), 64)]))
				return
			}
		}
	case "RFC822.SIZE":
		item = ItemSize
		var n uint64
		if n, ok = p.number(); ok && n <= math.MaxInt64 {
			m.Size = int64(n)
			set(item)
		}
	case "ENVELOPE":
		item = ItemEnvelope
		if m.Envelope, ok = p.envelope(&r.slab); ok {
			set(item)
		} else {
			m.Envelope = nil
		}
	case "BODYSTRUCTURE", "BODY":
		item = ItemBodyStructure
		if m.BodyStructure, ok = p.bodyStructure(p.depth); ok {
			set(item)
		} else {
			m.BodyStructure = nil
		}
	case "MODSEQ":
		item = ItemModSeq
		paren := p.accept('(')
		m.ModSeq, ok = p.size() // Zoho has -1 for messages that have none
		if ok = ok && (!paren || p.accept(')')); ok {
			set(item)
		}
	default:
		item, ok = r.extension(p, string(upper(name, &buf)), name)
	}
	if !ok {
		r.malformed(p, item, string(name), start)
	}
}

// extension reads items of extensions; one that is unknown is kept as it came.
func (r *FetchReader) extension(p *Parser, upperName string, name []byte) (item Items, ok bool) {
	m := &r.msg
	switch upperName {
	case "EMAILID": // RFC 8474: EMAILID (id)
		item = ItemEmailID
		m.EmailID, ok = p.objectID()
	case "THREADID":
		item = ItemThreadID
		m.ThreadID, ok = p.objectID()
	case "PREVIEW": // RFC 8970; older servers: PREVIEW (FUZZY "text")
		item = ItemPreview
		paren := p.accept('(')
		if paren {
			p.atom()
		}
		var s []byte
		s, _, ok = p.str()
		m.Preview = charset.ToUTF8(s)
		if paren {
			ok = ok && p.accept(')')
		}
	case "SAVEDATE": // RFC 8514
		item = ItemSaveDate
		var s []byte
		var null bool
		if s, null, ok = p.str(); ok && !null {
			m.SaveDate, ok = parseInternalDate(s)
		}
	case "X-GM-MSGID":
		item = ItemGmailMessageID
		m.GmailMsgID, ok = p.number()
	case "X-GM-THRID":
		item = ItemGmailThreadID
		m.GmailThread, ok = p.number()
	case "X-GM-LABELS":
		item = ItemGmailLabels
		m.GmailLabels, ok = p.strings()
		for i, label := range m.GmailLabels {
			if decoded, isUTF7 := decodeUTF7(label); isUTF7 {
				m.GmailLabels[i] = decoded
			}
		}
	default:
		start := p.b
		if ok = p.skip(); ok {
			if m.Other == nil {
				m.Other = make(map[string]string)
			}
			raw := start[:len(start)-len(p.b)]
			m.Other[string(name)] = string(trimLeft(raw))
		}
		return 0, ok
	}
	if ok {
		m.Items |= item
	}
	return item, ok
}

func trimLeft(b []byte) []byte {
	for len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	return b
}

// objectID reads (id), a bare id, or NIL.
func (p *Parser) objectID() (string, bool) {
	paren := p.accept('(')
	id, ok := p.optional()
	return id, ok && (!paren || p.accept(')'))
}

// resync continues behind the malformed value that starts at b: after the
// balanced list or the string there, else at the next item that can be told.
func (r *FetchReader) resync(p *Parser, b []byte) {
	q := Parser{b: b, depth: len(b)}
	if q.skip() {
		after := q.b
		if q.end() || q.peek() == ')' || knownItem(q.itemName()) {
			p.b = after
			return
		}
	}
	brackets := 0
	for i := range b {
		if i > 0 && b[i-1] != ' ' && b[i-1] != ')' || atomEnd[b[i]] {
			continue
		}
		if q := (Parser{b: b[i:]}); b[i]|0x20 == 'b' && bytes.IndexByte(q.atom(), '[') > 0 {
			if brackets++; brackets > mostBrackets {
				break
			}
		}
		q := Parser{b: b[i:], depth: p.depth}
		if q.startsItem() {
			p.b = b[i:]
			return
		}
	}
	p.b = nil
}

// mostBrackets bounds how often the end of BODY[... is looked for.
const mostBrackets = 1000

// startsItem reports whether the name of a known item comes next and something
// behind it.
func (p *Parser) startsItem() bool {
	q := *p
	return knownItem(q.itemName()) && len(q.b) > 0 && q.b[0] == ' '
}

// knownItem reports whether name is that of an item which may follow another.
func knownItem(name []byte) bool {
	var buf [32]byte
	switch string(upper(name, &buf)) {
	case "UID", "FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODYSTRUCTURE", "MODSEQ",
		"EMAILID", "THREADID", "PREVIEW", "SAVEDATE", "X-GM-MSGID", "X-GM-THRID", "X-GM-LABELS":
		return true
	}
	return isSection(name)
}
