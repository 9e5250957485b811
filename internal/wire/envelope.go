package wire

import (
	"bytes"
	"slices"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/charset"
)

// envelope reads an ENVELOPE (RFC 9051 section 7.5.2). It is strict about its
// shape: fields that a misplaced quote has shifted would be lies, and the
// header can be fetched instead.
func (p *Parser) envelope() (*imap.Envelope, bool) {
	if !p.accept('(') {
		return nil, false
	}
	env := new(imap.Envelope)
	s, _, ok := p.str()
	if !ok {
		return nil, false
	}
	if len(s) > 0 {
		env.Date = parseDate(s)
	}
	if s, _, ok = p.str(); !ok {
		return nil, false
	}
	env.Subject = charset.DecodeHeaderBytes(s)
	before := p.b
	if env.From, ok = p.addresses(); !ok {
		return nil, false
	}
	from := bytes.TrimLeft(before[:len(before)-len(p.b)], " ")
	for _, list := range [...]*[]imap.Address{&env.Sender, &env.ReplyTo, &env.To, &env.Cc, &env.Bcc} {
		// Sender and Reply-To are nearly always From again.
		if p.spaces(); len(env.From) > 0 && bytes.HasPrefix(p.b, from) {
			p.b = p.b[len(from):]
			*list = slices.Clone(env.From)
			continue
		}
		if *list, ok = p.addresses(); !ok {
			return nil, false
		}
	}
	inReplyTo, _, ok := p.str()
	if !ok {
		return nil, false
	}
	if p.accept(')') {
		// QQ leaves one of the two out. An identifier that is there might be
		// either, so that it says nothing.
		return env, true
	}
	env.InReplyTo = messageIDs(inReplyTo)
	if s, _, ok = p.str(); !ok {
		return nil, false
	}
	env.MessageID = messageID(s)
	for !p.accept(')') {
		// More fields are harmless if they are empty; else all may be shifted.
		if s, _, ok = p.str(); !ok || len(s) > 0 {
			return nil, false
		}
	}
	return env, true
}

// addresses reads a list of addresses; NIL and () are empty ones.
func (p *Parser) addresses() ([]imap.Address, bool) {
	if !p.accept('(') {
		s, null, ok := p.str()
		return nil, ok && (null || len(s) == 0)
	}
	var list []imap.Address
	for {
		if p.accept(')') {
			return list, true
		}
		if !p.accept('(') {
			if a := p.atom(); isNIL(a) { // (NIL) for an empty list
				continue
			}
			return nil, false
		}
		name, _, ok1 := p.str()
		_, _, ok2 := p.str()
		mailbox, _, ok3 := p.str()
		host, _, ok4 := p.str()
		if !ok1 || !ok2 || !ok3 || !ok4 || !p.accept(')') {
			return nil, false
		}
		if list == nil {
			list = make([]imap.Address, 0, 1)
		}
		list = append(list, imap.Address{
			Name:    charset.DecodeHeaderBytes(name),
			Mailbox: charset.DecodeHeaderBytes(mailbox),
			Host:    charset.DecodeHeaderBytes(host),
		})
	}
}

// messageID returns the first identifier, without angle brackets.
func messageID(s []byte) string {
	s = bytes.TrimSpace(s)
	if i := bytes.IndexByte(s, '<'); i >= 0 {
		if j := bytes.IndexByte(s[i:], '>'); j > 0 {
			return string(bytes.TrimSpace(s[i+1 : i+j]))
		}
		s = s[i+1:]
	}
	return string(bytes.TrimSpace(s))
}

// messageIDs returns all identifiers, without angle brackets. Text around them
// ("your message of Monday") is left out.
func messageIDs(s []byte) []string {
	var ids []string
	for {
		i := bytes.IndexByte(s, '<')
		if i < 0 {
			return ids
		}
		s = s[i+1:]
		j := bytes.IndexByte(s, '>')
		if j < 0 {
			return ids
		}
		ids = append(ids, string(bytes.TrimSpace(s[:j])))
		s = s[j+1:]
	}
}
