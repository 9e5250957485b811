package wire

import (
	"bytes"

	"github.com/emersion/go-imap/v2"
)

// flags reads a list of flags; NIL is an empty one. Names that come often are
// not allocated again. Where buf is given, the list is cut from it.
func (p *Parser) flags(buf *[]imap.Flag) ([]imap.Flag, bool) {
	if !p.accept('(') {
		s, null, ok := p.str()
		return nil, ok && (null || len(s) == 0)
	}
	var list []imap.Flag
	if buf != nil {
		if cap(*buf)-len(*buf) < 8 {
			*buf = make([]imap.Flag, 0, 128)
		}
		list = (*buf)[len(*buf):len(*buf)]
	}
	for {
		if p.accept(')') {
			break
		}
		a := p.flagName()
		if len(a) == 0 {
			return nil, false
		}
		list = append(list, flag(a))
	}
	if buf != nil && len(list) <= cap(*buf)-len(*buf) {
		*buf = (*buf)[:len(*buf)+len(list)]
	}
	return list[:len(list):len(list)], true
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
	return p.atom()
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
