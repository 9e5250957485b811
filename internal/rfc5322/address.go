package rfc5322

import (
	"strings"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/charset"
)

const (
	// maxAddresses bounds what one field can make of a few bytes each.
	maxAddresses = 10000
	// maxWord is how far the end of an encoded word may be from its begin.
	maxWord = 1000
)

// ParseAddresses reads the value of a From, To or similar field. Names are
// decoded. A group begins with an address without a host and ends with an
// empty one, as go-imap has it. Text that holds no address at all, such as
// "root" or "Mail <daemon>", becomes the name of an empty address: without a
// host it would look like a group.
func ParseAddresses(value string) []imap.Address {
	p := addressParser{s: value}
	for p.i < len(p.s) && len(p.list) < maxAddresses {
		p.next()
	}
	if p.group {
		p.list = append(p.list, imap.Address{})
	}
	return p.list
}

type addressParser struct {
	s     string
	i     int
	list  []imap.Address
	group bool

	text     []byte // words outside <> and comments, quotes removed
	at       bool   // there is an '@' in text that was not quoted
	quoted   bool   // the part of an address before its '@' was quoted
	comment  string
	angle    string // what is between < and >
	address  bool   // <> was there
	after    int    // how much of text was before the end of <>
	noQuotes bool   // a quote without its end was found, so that quotes mean nothing any more
}

// begin forgets the address before.
func (p *addressParser) begin() {
	p.text, p.at, p.quoted, p.comment, p.angle, p.address = p.text[:0], false, false, "", "", false
}

// next reads up to the end of one address.
func (p *addressParser) next() {
	p.begin()
	for p.i < len(p.s) {
		c := p.s[p.i]
		switch c {
		case ',', ';':
			p.i++
			p.add()
			if c == ';' && p.group {
				p.group = false
				p.list = append(p.list, imap.Address{})
			}
			return
		case ':':
			p.i++
			if !p.group && !p.address && !p.at {
				p.group = true
				p.list = append(p.list, imap.Address{Mailbox: p.name()})
				return
			}
			p.text = append(p.text, c)
		case '"':
			p.quote()
		case '(':
			if comment := p.skipComment(); p.comment == "" {
				p.comment = comment
			}
		case '<':
			if p.angle != "" && len(p.list) < maxAddresses { // the comma before the next address is missing
				name := string(p.text[p.after:])
				p.text = p.text[:p.after]
				p.add()
				p.begin()
				p.text = append(p.text, name...)
			}
			p.angleAddress()
			p.after = len(p.text)
		case '>': // without its begin
			p.i++
		case '[':
			end := strings.IndexAny(p.s[p.i:], "],")
			if end < 0 {
				end = len(p.s) - p.i - 1
			}
			if p.s[p.i+end] == ',' {
				end--
			}
			p.text = append(p.text, p.s[p.i:p.i+end+1]...)
			p.i += end + 1
		case '\\':
			if p.i++; p.i < len(p.s) {
				p.text = append(p.text, p.s[p.i])
				p.i++
			}
		case '=':
			n := p.encodedWord()
			p.text = append(p.text, p.s[p.i:p.i+n]...)
			p.i += n
		default:
			p.at = p.at || c == '@'
			p.text = append(p.text, c)
			p.i++
		}
	}
	p.add()
}

// name returns the words before <> or, if there are none, the comment.
func (p *addressParser) name() string {
	words := strings.Fields(string(p.text))
	if len(words) == 0 {
		words = strings.Fields(p.comment)
	}
	return charset.DecodeHeader(strings.Join(words, " "))
}

// add takes down the address whose end has been reached.
func (p *addressParser) add() {
	var a imap.Address
	addr := p.angle
	if strings.TrimSpace(addr) == "" {
		addr = p.bare()
	}
	a.Name = p.name()
	addr = strings.Trim(addr, " \t'")
	if !strings.Contains(addr, `"`) {
		addr = compact(addr)
	}
	if strings.HasPrefix(addr, "@") { // a route (RFC 5322 section 4.4)
		_, addr, _ = strings.Cut(addr, ":")
	}
	if at := strings.LastIndexByte(addr, '@'); at >= 0 {
		mailbox := strings.TrimSpace(addr[:at])
		if unquoted, ok := strings.CutPrefix(mailbox, `"`); ok {
			mailbox = escaped.Replace(strings.TrimSuffix(unquoted, `"`))
		}
		a.Mailbox = charset.DecodeHeader(mailbox)
		a.Host = charset.DecodeHeader(strings.TrimSpace(addr[at+1:]))
	} else if addr = charset.DecodeHeader(addr); a.Name == "" {
		a.Name = addr
	} else if addr != "" {
		a.Name += " <" + addr + ">"
	}
	if a != (imap.Address{}) {
		p.list = append(p.list, a)
	}
}

var escaped = strings.NewReplacer(`\\`, `\`, `\"`, `"`)

var aroundDots = strings.NewReplacer(" . ", ".", " .", ".", ". ", ".")

// compact removes the comments and blanks that the obsolete syntax allows
// within an address: "a(comment)@b . c".
func compact(addr string) string {
	return aroundDots.Replace(strings.Join(strings.Fields(withoutComments(addr)), " "))
}

// bare returns the address in text without <> and leaves only the other words
// in text.
func (p *addressParser) bare() string {
	text := string(p.text)
	if !strings.Contains(text, "@") {
		return ""
	}
	p.text = p.text[:0]
	words := strings.Fields(text)
	if p.quoted || len(words) == 1 {
		return text
	}
	if glued := compact(text); !strings.Contains(glued, " ") {
		return glued
	}
	for i, word := range words {
		if at := strings.IndexByte(word, '@'); at > 0 && at < len(word)-1 {
			words = append(words[:i], words[i+1:]...)
			p.text = append(p.text, strings.Join(words, " ")...)
			return strings.Trim(word, ",;")
		}
	}
	return strings.Join(words, "")
}

// quote reads a quoted string. One without its end is none: only its quote is
// skipped.
func (p *addressParser) quote() {
	if p.noQuotes {
		p.i++
		return
	}
	start := len(p.text)
	for i := p.i + 1; i < len(p.s); i++ {
		switch c := p.s[i]; {
		case c == '"':
			p.i = i + 1
			p.quoted = p.quoted || strings.HasPrefix(p.s[p.i:], "@")
			return
		case c == '\\' && i+1 < len(p.s):
			i++
			p.text = append(p.text, p.s[i])
		default:
			p.text = append(p.text, c)
		}
	}
	p.text = p.text[:start]
	p.i++
	p.noQuotes = true
}

// skipComment reads a comment with the comments in it and returns its text.
func (p *addressParser) skipComment() string {
	depth := 0
	for i := p.i; i < len(p.s); i++ {
		switch p.s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				text := p.s[p.i+1 : i]
				p.i = i + 1
				return strings.TrimSpace(text)
			}
		}
	}
	text := p.s[p.i+1:]
	p.i = len(p.s)
	return strings.TrimSpace(text)
}

// withoutComments puts a blank where s has a comment.
func withoutComments(s string) string {
	if !strings.Contains(s, "(") {
		return s
	}
	var b strings.Builder
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '(':
			depth++
		case depth == 0:
			b.WriteByte(c)
		case c == '\\':
			i++
		case c == ')':
			if depth--; depth == 0 {
				b.WriteByte(' ')
			}
		}
	}
	return b.String()
}

// angleAddress reads <address>; without its end, up to the next comma.
func (p *addressParser) angleAddress() {
	for p.i < len(p.s) && p.s[p.i] == '<' {
		p.i++
	}
	start := p.i
	p.address = true
	inQuotes := false
	for ; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case c == '\\':
			p.i++
		case c == '"':
			inQuotes = !inQuotes
		case inQuotes:
		case c == '>':
			p.angle = p.s[start:p.i]
			p.i++
			return
		case c == ',' && !strings.HasPrefix(p.s[start:], "@"), c == ';':
			p.angle = p.s[start:p.i]
			return
		}
	}
	p.i = len(p.s)
	p.angle = p.s[start:]
}

// encodedWord returns the length of the encoded word at the current position,
// or 1: it may hold commas and other characters that have a meaning outside.
func (p *addressParser) encodedWord() int {
	s := p.s[p.i:min(len(p.s), p.i+maxWord)]
	if !strings.HasPrefix(s, "=?") {
		return 1
	}
	start := 2
	for range 2 { // the charset and the encoding
		n := strings.IndexByte(s[start:], '?')
		if n < 0 {
			return 1
		}
		start += n + 1
	}
	end := strings.Index(s[start:], "?=")
	if end < 0 {
		return 1
	}
	return start + end + 2
}
