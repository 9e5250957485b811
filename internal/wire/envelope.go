package wire

import (
	"bytes"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/charset"
)

// envelope reads an ENVELOPE (RFC 9051 section 7.5.2) into memory of slab. It is
// strict about its shape: fields that a misplaced quote has shifted would be
// lies, and the header can be fetched instead.
func (p *Parser) envelope(slab *envelopeSlab) (*imap.Envelope, bool) {
	if !p.accept('(') {
		return nil, false
	}
	env := slab.envelope()
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
	if env.From, ok = p.addresses(slab); !ok {
		return nil, false
	}
	from := bytes.TrimLeft(before[:len(before)-len(p.b)], " ")
	for _, list := range [...]*[]imap.Address{&env.Sender, &env.ReplyTo, &env.To, &env.Cc, &env.Bcc} {
		// Sender and Reply-To are nearly always From again.
		if p.spaces(); len(env.From) > 0 && bytes.HasPrefix(p.b, from) {
			p.b = p.b[len(from):]
			*list = slab.cut(append(slab.unused(), env.From...))
			continue
		}
		if *list, ok = p.addresses(slab); !ok {
			return nil, false
		}
	}
	// QQ leaves out In-Reply-To, Message-ID or both. An identifier that is there
	// alone might be either, so that it says nothing.
	if p.accept(')') {
		return env, true
	}
	inReplyTo, _, ok := p.str()
	if !ok {
		return nil, false
	}
	if p.accept(')') {
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

// An envelopeSlab is memory for the envelopes of several messages, made at once:
// 4 KiB of each kind.
type envelopeSlab struct {
	envelopes     []imap.Envelope
	addresses     []imap.Address
	usedEnvelopes int
	usedAddresses int
}

const (
	envelopesAtOnce = 18
	addressesAtOnce = 85
)

func (s *envelopeSlab) envelope() *imap.Envelope {
	if s.usedEnvelopes == len(s.envelopes) {
		s.envelopes, s.usedEnvelopes = make([]imap.Envelope, envelopesAtOnce), 0
	}
	s.usedEnvelopes++
	return &s.envelopes[s.usedEnvelopes-1]
}

// unused returns where a list of addresses may be put, of length 0.
func (s *envelopeSlab) unused() []imap.Address {
	if len(s.addresses)-s.usedAddresses < 4 {
		s.addresses, s.usedAddresses = make([]imap.Address, addressesAtOnce), 0
	}
	return s.addresses[s.usedAddresses:s.usedAddresses]
}

// cut marks as used what a list takes up, if it fits, and returns the list.
func (s *envelopeSlab) cut(list []imap.Address) []imap.Address {
	if len(list) == 0 {
		return nil
	}
	if len(list) <= len(s.addresses)-s.usedAddresses {
		s.usedAddresses += len(list)
	}
	return list[:len(list):len(list)]
}

// addresses reads a list of addresses; NIL and () are empty ones.
func (p *Parser) addresses(slab *envelopeSlab) ([]imap.Address, bool) {
	if !p.accept('(') {
		s, null, ok := p.str()
		return nil, ok && (null || len(s) == 0)
	}
	list := slab.unused()
	for {
		if p.accept(')') {
			return slab.cut(list), true
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
// ("your message of Monday") is left out; what is nothing but an identifier
// needs no brackets.
func messageIDs(s []byte) []string {
	var ids []string
	if words := bytes.Fields(s); len(words) == 1 && bytes.IndexByte(s, '@') > 0 && bytes.IndexByte(s, '<') < 0 {
		return []string{string(words[0])}
	}
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
