package wire

import (
	"bytes"

	"github.com/emersion/go-imap/v2"
)

// flags reads a list of flags; NIL is an empty one. Names that come often are
// not allocated again.
func (p *Parser) flags() ([]imap.Flag, bool) { return p.appendFlags(nil) }

// appendFlags does so and appends them to list.
func (p *Parser) appendFlags(list []imap.Flag) ([]imap.Flag, bool) {
	if !p.accept('(') {
		s, null, ok := p.str()
		return list, ok && (null || len(s) == 0)
	}
	for !p.accept(')') {
		a := p.flagName()
		if len(a) == 0 {
			return nil, false
		}
		list = append(list, flag(a))
	}
	return list, true
}

// A flagReader reads the flags of one message after the other. Their lists are
// cut from a larger piece of memory, and what was read last is not parsed again.
type flagReader struct {
	block  []imap.Flag // of which so many are
	used   int         // used
	text   []byte      // parsed last, and
	parsed []imap.Flag // what it holds
}

// read reads a list that belongs to the caller.
func (r *flagReader) read(p *Parser) ([]imap.Flag, bool) {
	if len(r.block)-r.used < 8 {
		r.block, r.used = make([]imap.Flag, 128), 0
	}
	unused := r.block[r.used:r.used]
	if p.spaces(); len(r.text) > 0 && bytes.HasPrefix(p.b, r.text) {
		p.b = p.b[len(r.text):]
		return r.cut(append(unused, r.parsed...)), true
	}
	before := p.b
	list, ok := p.appendFlags(unused)
	if !ok {
		return nil, false
	}
	if before[0] == '(' && len(list) > 0 && len(list) <= 8 {
		r.text = append(r.text[:0], before[:len(before)-len(p.b)]...)
		r.parsed = append(r.parsed[:0], list...)
	}
	return r.cut(list), true
}

// cut marks as used what a list takes up of the block, if it fits there.
func (r *flagReader) cut(list []imap.Flag) []imap.Flag {
	if len(list) <= len(r.block)-r.used {
		r.used += len(list)
	}
	return list[:len(list):len(list)]
}

// flagName reads a flag. Where quotes are around it they do not belong to it.
func (p *Parser) flagName() []byte {
	if p.peek() == '"' {
		q := *p
		if s, ok := q.quoted(); ok && len(s) > 0 && bytes.IndexByte(s, ' ') < 0 {
			*p = q
			return s
		}
	}
	return p.backslashed()
}

// backslashed reads an atom, but only up to a backslash within one that begins
// with a backslash: home.pl leaves out blanks between flags.
func (p *Parser) backslashed() []byte {
	p.spaces()
	end := 0
	for end < len(p.b) && !atomEnd[p.b[end]] {
		if end > 1 && p.b[end] == '\\' && p.b[0] == '\\' && p.b[1] != '\\' {
			break
		}
		end++
	}
	a := p.b[:end]
	p.b = p.b[end:]
	return a
}

// flag returns a system flag in the spelling of RFC 9051, a keyword as it came.
func flag(a []byte) imap.Flag {
	if a[0] == '\\' || a[0] == '$' {
		for _, f := range knownFlags {
			if len(f.upper) == len(a) && equalFold(a, f.upper) {
				return f.flag
			}
		}
	}
	return imap.Flag(a)
}

var knownFlags = [...]struct {
	upper string
	flag  imap.Flag
}{
	{`\SEEN`, imap.FlagSeen},
	{`\ANSWERED`, imap.FlagAnswered},
	{`\FLAGGED`, imap.FlagFlagged},
	{`\DELETED`, imap.FlagDeleted},
	{`\DRAFT`, imap.FlagDraft},
	{`\RECENT`, `\Recent`},
	{`\*`, imap.FlagWildcard},
	{`$FORWARDED`, imap.FlagForwarded},
	{`$MDNSENT`, imap.FlagMDNSent},
	{`$JUNK`, imap.FlagJunk},
	{`$NOTJUNK`, imap.FlagNotJunk},
	{`$PHISHING`, imap.FlagPhishing},
	{`$IMPORTANT`, imap.FlagImportant},
}
