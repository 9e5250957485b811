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
	if p.peek() != ')' {
		if ext.Location, ok = p.optional(); !ok {
			return false
		}
	}
	m.Extended = ext
	return p.close()
}

func (p *Parser) singlePart(depth int) (imap.BodyStructure, bool) {
	typ, null, ok := p.str()
	if !ok {
		return nil, false
	}
	// A multipart without parts, which the grammar does not have: Gmail and
	// Exchange write (NIL "MIXED" ...) or ("MIXED" ("BOUNDARY" "x") ...).
	if null || p.peek() == '(' {
		m := new(imap.BodyStructureMultiPart)
		if null {
			return m, p.multipartTail(m)
		}
		m.Subtype = string(typ)
		return m, p.multipartExt(m)
	}
	part := &imap.BodyStructureSinglePart{Type: string(typ)}
	if part.Subtype, ok = p.optional(); !ok {
		return nil, false
	}
	if part.Params, ok = p.params(); !ok {
		return nil, false
	}
	for _, field := range [...]*string{&part.ID, &part.Description, &part.Encoding} {
		if *field, ok = p.optional(); !ok {
			return nil, false
		}
	}
	part.Description = charset.DecodeHeader(part.Description)
	size, ok := p.size()
	if !ok {
		return nil, false
	}
	part.Size = uint32(min(size, math.MaxUint32))
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
		if msg.BodyStructure, ok = p.bodyStructure(depth - 1); !ok {
			return nil, false
		}
		if msg.NumLines, ok = p.lines(); !ok {
			return nil, false
		}
		part.MessageRFC822 = msg
	case strings.EqualFold(part.Type, "message") && isMessageSubtype(part.Subtype) && p.startsNIL():
		// Some servers give NIL for the envelope and body of a message that
		// they cannot parse, others only the number of lines.
		part.MessageRFC822 = &imap.BodyStructureMessageRFC822{}
		for range 2 {
			if !p.skip() {
				return nil, false
			}
		}
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
	if p.peek() != ')' {
		if ext.Location, ok = p.optional(); !ok {
			return nil, false
		}
	}
	part.Extended = ext
	return part, p.close()
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
