package wire

import (
	"bytes"
	"math"
)

// A Parser reads values from a response that lies in memory as a whole, its
// literals inline. It never panics and never reads beyond its bytes. Slices it
// returns are parts of the response, valid until more is read.
type Parser struct {
	b     []byte
	depth int  // largest nesting
	deep  bool // it was exceeded
}

// rest returns what has not been read, without the line end.
func (p *Parser) rest() []byte { return bytes.TrimRight(p.b, "\r\n") }

// end reports whether nothing but the line end is left.
func (p *Parser) end() bool {
	p.spaces()
	return len(p.b) == 0 || p.b[0] == '\r' || p.b[0] == '\n'
}

// spaces skips white space; servers put two blanks, or a TAB, where the grammar
// has one.
func (p *Parser) spaces() {
	if len(p.b) > 0 && blank[p.b[0]] {
		p.skipBlanks()
	}
}

var blank = [256]bool{' ': true, '\t': true}

func (p *Parser) skipBlanks() {
	i := 1
	for i < len(p.b) && blank[p.b[i]] {
		i++
	}
	p.b = p.b[i:]
}

// accept skips white space and then ch, if ch comes next.
func (p *Parser) accept(ch byte) bool {
	p.spaces()
	if len(p.b) > 0 && p.b[0] == ch {
		p.b = p.b[1:]
		return true
	}
	return false
}

// peek returns the next byte that is not white space, or 0 at the end.
func (p *Parser) peek() byte {
	if p.end() {
		return 0
	}
	return p.b[0]
}

// atom reads up to white space, a parenthesis or the line end. Quotes and
// brackets are part of it: flags and capability names of real servers contain
// them.
func (p *Parser) atom() []byte {
	p.spaces()
	i := 0
	for i < len(p.b) && !atomEnd[p.b[i]] {
		i++
	}
	a := p.b[:i]
	p.b = p.b[i:]
	return a
}

var atomEnd = [256]bool{' ': true, '\t': true, '(': true, ')': true, '\r': true, '\n': true}

// nameEnd are the bytes at which an item's name ends, or has to be looked at
// closely.
var nameEnd = [256]bool{' ': true, '\t': true, '(': true, ')': true, '\r': true, '\n': true, '{': true, '[': true}

// itemName reads the name of a FETCH item: an atom in which the brackets of
// BODY[...] and BINARY[...] hold blanks and parentheses, followed by an optional
// <origin>. A literal may follow without a blank.
func (p *Parser) itemName() []byte {
	p.spaces()
	i := 0
	for i < len(p.b) && !nameEnd[p.b[i]] {
		i++
	}
	for i < len(p.b) && i < longestSection && !atomEnd[p.b[i]] && p.b[i] != '{' {
		if p.b[i] == '[' && p.b[0]|0x20 == 'b' {
			j := closingBracket(p.b[i:])
			if j < 0 {
				break
			}
			i += j
		}
		i++
	}
	a := p.b[:i]
	p.b = p.b[i:]
	return a
}

// longestSection bounds the search for a closing bracket, and for the next one
// behind it.
const longestSection = 4096

// closingBracket returns the offset of the bracket that closes the section
// which b begins with, or -1. Header names in it may be quoted (Courier), or
// literals.
func closingBracket(b []byte) int {
	b = b[:min(len(b), longestSection)]
	quoted := false
	for i := 0; i < len(b); i++ {
		switch ch := b[i]; {
		case ch == '\r' || ch == '\n':
			return -1
		case ch == '"':
			quoted = !quoted
		case ch == ']' && !quoted:
			return i
		case ch == '{' && !quoted:
			if n, size := literalHead(b[i:]); size > 0 && n < int64(len(b)) {
				i += size + int(n) - 1
			}
		}
	}
	return -1
}

// str reads a string or NIL. An atom is taken for a string: some servers forget
// the quotes. ok is false if there is none.
func (p *Parser) str() (s []byte, null, ok bool) {
	p.spaces()
	if len(p.b) == 0 {
		return nil, false, false
	}
	switch p.b[0] {
	case '"':
		s, ok = p.quoted()
		return s, false, ok
	case '{', '~':
		if s, ok, literal := p.literal(); literal {
			return s, false, ok
		}
	case '(', ')', '\r', '\n':
		return nil, false, false
	}
	a := p.atom()
	if isNIL(a) {
		return nil, true, true
	}
	return a, false, len(a) > 0
}

func isNIL(a []byte) bool { return len(a) == 3 && equalFold(a, "NIL") }

// quoted reads a quoted string. A closing quote must be followed by something
// that can follow a value, so that quotes which a server forgot to escape are
// noticed instead of shifting the fields behind them.
func (p *Parser) quoted() ([]byte, bool) {
	b := p.b[1:]
	i := bytes.IndexByte(b, '"')
	if i < 0 {
		return nil, false
	}
	s := b[:i]
	if bytes.IndexByte(s, '\\') >= 0 {
		var unescaped []byte
		for i = 0; ; i++ {
			if i >= len(b) {
				return nil, false
			}
			if b[i] == '"' {
				break
			}
			if b[i] == '\\' && i+1 < len(b) && (b[i+1] == '"' || b[i+1] == '\\') {
				i++ // other backslashes stand for themselves: Windows paths as file names
			}
			unescaped = append(unescaped, b[i])
		}
		s = unescaped
	}
	p.b = b[i+1:]
	if len(p.b) > 0 && !atomEnd[p.b[0]] && p.b[0] != '"' && p.b[0] != '{' {
		return nil, false
	}
	return s, true
}

// literal reads {n} CRLF and n bytes, also as literal8. found is false if no
// literal is here.
func (p *Parser) literal() (s []byte, ok, found bool) {
	b := p.b
	if len(b) > 0 && b[0] == '~' {
		b = b[1:]
	}
	n, size := literalHead(b)
	if size == 0 {
		return nil, false, false
	}
	b = b[size:]
	if n > int64(len(b)) {
		return nil, false, true
	}
	p.b = b[n:]
	return b[:n], true, true
}

// literalHead reads {n} and the line break at the beginning of b. size is how
// long that is, or 0 if it is something else.
func literalHead(b []byte) (n int64, size int) {
	if len(b) == 0 || b[0] != '{' {
		return 0, 0
	}
	i := 1
	for i < len(b) && (b[i] >= '0' && b[i] <= '9' || b[i] == '+') {
		i++
	}
	for i < len(b) && b[i] != '\n' && (b[i] == '}' || b[i] == '\r') {
		i++
	}
	if i == len(b) || b[i] != '\n' {
		return 0, 0
	}
	n, ok := literalLength(b[:i+1])
	if !ok {
		return 0, 0
	}
	return n, i + 1
}

// literalLength returns the length that a line announces at its end.
func literalLength(line []byte) (n int64, ok bool) {
	i := len(line) - 1
	if i >= 0 && line[i] == '\n' {
		i--
	}
	if i >= 0 && line[i] == '\r' {
		i--
	}
	if i < 0 || line[i] != '}' {
		return 0, false
	}
	i--
	if i >= 0 && line[i] == '+' {
		i--
	}
	last := i
	for i >= 0 && line[i] >= '0' && line[i] <= '9' {
		i--
	}
	if i < 0 || i == last || line[i] != '{' {
		return 0, false
	}
	for _, ch := range line[i+1 : last+1] {
		d := int64(ch - '0')
		if n > (math.MaxInt64-d)/10 {
			return math.MaxInt64, true // beyond every limit
		}
		n = n*10 + d
	}
	return n, true
}

// skip reads one value of any kind: an atom, a string, a literal or a list.
func (p *Parser) skip() bool {
	depth := 0
	for {
		if p.end() {
			return false
		}
		switch p.b[0] {
		case '(':
			depth++
			if depth > p.depth {
				p.deep = true
				return false
			}
			p.b = p.b[1:]
		case ')':
			if depth == 0 {
				return false
			}
			depth--
			p.b = p.b[1:]
		default:
			if _, _, ok := p.str(); !ok {
				return false
			}
		}
		if depth == 0 {
			return true
		}
	}
}

// number reads a number of at most 64 bits; quotes around it are ignored.
func (p *Parser) number() (uint64, bool) {
	p.spaces()
	var n uint64
	i := 0
	for i < len(p.b) && i < 19 && '0' <= p.b[i] && p.b[i] <= '9' { // which do not overflow
		n = n*10 + uint64(p.b[i]-'0')
		i++
	}
	if i > 0 && i < len(p.b) && atomEnd[p.b[i]] {
		p.b = p.b[i:]
		return n, true
	}
	s, null, ok := p.str()
	if !ok || null {
		return 0, false
	}
	return parseNumber(s)
}

// number32 reads a number of at most 32 bits.
func (p *Parser) number32() (uint32, bool) {
	n, ok := p.number()
	return uint32(n), ok && n <= math.MaxUint32
}

func parseNumber(s []byte) (uint64, bool) {
	if len(s) == 0 || len(s) > 20 {
		return 0, false
	}
	var n uint64
	for _, ch := range s {
		if ch < '0' || ch > '9' || n > (math.MaxUint64-uint64(ch-'0'))/10 {
			return 0, false
		}
		n = n*10 + uint64(ch-'0')
	}
	return n, true
}

// equalFold compares b with an upper-case ASCII string.
func equalFold(b []byte, upper string) bool {
	if len(b) != len(upper) {
		return false
	}
	for i := range b {
		ch := b[i]
		if 'a' <= ch && ch <= 'z' {
			ch -= 'a' - 'A'
		}
		if ch != upper[i] {
			return false
		}
	}
	return true
}

// hasPrefixFold is bytes.HasPrefix for an upper-case ASCII prefix.
func hasPrefixFold(b []byte, upper string) bool {
	return len(b) >= len(upper) && equalFold(b[:len(upper)], upper)
}

// upper copies b in upper case to a buffer, for switches that do not allocate;
// what is longer than the buffer is no known name.
func upper(b []byte, buf *[32]byte) []byte {
	if len(b) > len(buf) {
		return nil
	}
	for i, ch := range b {
		if 'a' <= ch && ch <= 'z' {
			ch -= 'a' - 'A'
		}
		buf[i] = ch
	}
	return buf[:len(b)]
}
