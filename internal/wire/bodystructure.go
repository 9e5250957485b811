package wire

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/charset"
)

// bodyStructure reads a BODYSTRUCTURE or BODY item (RFC 9051 section 7.5.2).
// Fields that servers leave out or fill with NIL are zero. depth is how deep
// bodies may still nest.
func (p *Parser) bodyStructure(depth int) (imap.BodyStructure, bool) {
	if depth <= 0 {
		p.deep = true
		return nil, false
	}
	if !p.accept('(') {
		return nil, false
	}
	if p.peek() == '(' {
		return p.multipart(depth)
	}
	return p.singlePart(depth)
}

func (p *Parser) multipart(depth int) (imap.BodyStructure, bool) {
	m := new(imap.BodyStructureMultiPart)
	for p.peek() == '(' {
		child, ok := p.bodyStructure(depth - 1)
		if !ok {
			return nil, false
		}
		m.Children = append(m.Children, child)
	}
	return m, p.multipartTail(m)
}

func (p *Parser) multipartTail(m *imap.BodyStructureMultiPart) bool {
	subtype, _, ok := p.str()
	if !ok {
		return false
	}
	m.Subtype = string(subtype)
	return p.multipartExt(m)
}

func (p *Parser) multipartExt(m *imap.BodyStructureMultiPart) (ok bool) {
	if p.accept(')') {
		return true
	}
	ext := new(imap.BodyStructureMultiPartExt)
	if ext.Params, ok = p.params(); !ok {
		return false
	}
	if p.peek() != ')' {
		if ext.Disposition, ok = p.disposition(); !ok {
			return false
		}
	}
	if p.peek() != ')' {
		if ext.Language, ok = p.strings(); !ok {
			return false
		}
	}
	if p.peek() != ')' && !p.acceptEmpty() {
		if ext.Location, ok = p.optional(); !ok {
			return false
		}
	}
	m.Extended = ext
	return p.close()
}

func (p *Parser) singlePart(depth int) (imap.BodyStructure, bool) {
	start := p.b
	part, ok := p.basicFields(true)
	if !ok {
		p.b = start
		part, ok = p.basicFields(false)
	}
	if !ok {
		p.b = start
		return p.emptyMultipart()
	}
	if strings.EqualFold(part.Type, "multipart") {
		// GMX writes a multipart whose boundary never comes like a single part.
		m := &imap.BodyStructureMultiPart{Subtype: part.Subtype}
		m.Extended = &imap.BodyStructureMultiPartExt{Params: part.Params}
		return m, p.close()
	}
	switch {
	case strings.EqualFold(part.Type, "message") && p.peek() == '(':
		msg := new(imap.BodyStructureMessageRFC822)
		if msg.Envelope, ok = p.envelope(new(envelopeSlab)); !ok {
			return nil, false
		}
		if !p.acceptEmpty() { // of a message that the server cannot parse
			if msg.BodyStructure, ok = p.bodyStructure(depth - 1); !ok {
				return nil, false
			}
		}
		if msg.NumLines, ok = p.lines(); !ok {
			return nil, false
		}
		part.MessageRFC822 = msg
	case strings.EqualFold(part.Type, "message") && isMessageSubtype(part.Subtype) && p.acceptUnparsed():
		part.MessageRFC822 = &imap.BodyStructureMessageRFC822{}
		if part.MessageRFC822.NumLines, ok = p.lines(); !ok {
			return nil, false
		}
	case strings.EqualFold(part.Type, "text") || p.startsNumber():
		lines, ok := p.lines()
		if !ok {
			return nil, false
		}
		if strings.EqualFold(part.Type, "text") {
			part.Text = &imap.BodyStructureText{NumLines: lines}
		}
	}
	if p.accept(')') {
		return part, true
	}
	if p.peek() == '(' {
		// A list is no MD5: the fields are shifted.
		return part, p.close()
	}
	ext := new(imap.BodyStructureSinglePartExt)
	if _, ok = p.optional(); !ok { // MD5
		return nil, false
	}
	if p.peek() != ')' {
		if ext.Disposition, ok = p.disposition(); !ok {
			return nil, false
		}
	}
	if p.peek() != ')' {
		if ext.Language, ok = p.strings(); !ok {
			return nil, false
		}
	}
	if p.peek() != ')' && !p.acceptEmpty() {
		if ext.Location, ok = p.optional(); !ok {
			return nil, false
		}
	}
	part.Extended = ext
	return part, p.close()
}

// basicFields reads what every part begins with, up to its size. Some servers
// leave out the subtype that a message does not give: ("X-ZIP" NIL NIL NIL
// "BASE64" 4096). Only the size tells such a part from a multipart without parts.
func (p *Parser) basicFields(subtype bool) (part *imap.BodyStructureSinglePart, ok bool) {
	part = new(imap.BodyStructureSinglePart)
	if part.Type, ok = p.optional(); !ok {
		return nil, false
	}
	if subtype {
		if part.Subtype, ok = p.optional(); !ok {
			return nil, false
		}
	}
	if part.Params, ok = p.params(); !ok {
		return nil, false
	}
	for _, field := range [...]*string{&part.ID, &part.Description, &part.Encoding} {
		if *field, ok = p.optional(); !ok {
			return nil, false
		}
	}
	if (part.Type == "" || !subtype) && !p.startsNumber() {
		return nil, false
	}
	size, ok := p.size()
	if !ok {
		return nil, false
	}
	part.Description = charset.DecodeHeader(part.Description)
	part.Size = uint32(min(size, math.MaxUint32))
	return part, true
}

// emptyMultipart reads a multipart without parts, which the grammar does not
// have: Gmail and Exchange write (NIL "MIXED" ...), ("MIXED") or ("RELATED" NIL
// ("ATTACHMENT" NIL) NIL).
func (p *Parser) emptyMultipart() (imap.BodyStructure, bool) {
	p.acceptEmpty()
	m := new(imap.BodyStructureMultiPart)
	return m, p.multipartTail(m)
}

// acceptUnparsed skips what some servers give for the envelope and the structure
// of a message that they cannot parse: NIL and NIL, or NIL and a list. It leaves
// NIL and a list that are an MD5 and a disposition: no number of lines follows.
func (p *Parser) acceptUnparsed() bool {
	q := *p
	if !q.startsNIL() || !q.skip() || !q.acceptEmpty() && !(q.skip() && q.startsNumber()) {
		return false
	}
	*p = q
	return true
}

// acceptEmpty skips NIL or (), if one of them comes next.
func (p *Parser) acceptEmpty() bool {
	q := *p
	if p.startsNIL() {
		return p.skip()
	}
	if !q.accept('(') || !q.accept(')') {
		return false
	}
	*p = q
	return true
}

// close skips extension data up to the closing parenthesis.
func (p *Parser) close() bool {
	for !p.accept(')') {
		if !p.skip() {
			return false
		}
	}
	return true
}

// optional reads a string or NIL as a string.
func (p *Parser) optional() (string, bool) {
	s, _, ok := p.str()
	return string(s), ok
}

func (p *Parser) startsNIL() bool {
	p.spaces()
	return len(p.b) > 3 && hasPrefixFold(p.b, "NIL") && atomEnd[p.b[3]]
}

func (p *Parser) startsNumber() bool {
	ch := p.peek()
	return ch >= '0' && ch <= '9'
}

// size reads a number of octets. NIL, and the negative numbers of servers whose
// counter overflowed, are 0.
func (p *Parser) size() (uint64, bool) {
	s, null, ok := p.str()
	if !ok || null || len(s) > 1 && s[0] == '-' {
		return 0, ok
	}
	if i := bytes.IndexByte(s, 'e'); i > 0 && i < len(s)-1 && len(s) < 32 {
		// mail.ru writes 9.3736e+06.
		f, err := strconv.ParseFloat(string(s), 64)
		return uint64(f), err == nil && f >= 0 && f < math.MaxInt64
	}
	return parseNumber(s)
}

// lines reads a number of lines, which some servers leave out.
func (p *Parser) lines() (int64, bool) {
	if p.peek() == ')' {
		return 0, true
	}
	n, ok := p.size()
	return int64(min(n, math.MaxInt64)), ok
}

// disposition reads ("attachment" ("filename" "x")), NIL, or the bare string of
// servers that forget the list.
func (p *Parser) disposition() (*imap.BodyStructureDisposition, bool) {
	if !p.accept('(') {
		s, null, ok := p.str()
		if !ok || null || len(s) == 0 {
			return nil, ok
		}
		return &imap.BodyStructureDisposition{Value: string(s)}, true
	}
	if p.accept(')') {
		return nil, true
	}
	d := new(imap.BodyStructureDisposition)
	var ok bool
	if d.Value, ok = p.optional(); !ok {
		return nil, false
	}
	if p.peek() != ')' {
		if d.Params, ok = p.params(); !ok {
			return nil, false
		}
	}
	return d, p.close()
}

// strings reads a string, NIL, or a list of strings.
func (p *Parser) strings() ([]string, bool) {
	if !p.accept('(') {
		s, null, ok := p.str()
		if !ok || null || len(s) == 0 {
			return nil, ok
		}
		return []string{string(s)}, true
	}
	var list []string
	for !p.accept(')') {
		s, null, ok := p.str()
		if !ok {
			return nil, false
		}
		if !null {
			list = append(list, string(s))
		}
	}
	return list, true
}

func isMessageSubtype(s string) bool {
	return strings.EqualFold(s, "rfc822") || strings.EqualFold(s, "global")
}
