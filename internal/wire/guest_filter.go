package wire

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// untagged takes in a response other than FETCH and queues what go-imap is to
// see of it: the same in the form that it can read, or nothing. What it cannot
// read would end the connection.
func (g *Guest) untagged(r *Response) {
	c := g.c
	c.observe(r)
	g.mu.Lock()
	for _, cmd := range g.pending {
		if cmd.open != nil {
			copied := *r
			cmd.open.collect(&copied)
			break
		}
	}
	if g.idle != nil {
		c.nresp = 0
	}
	g.mu.Unlock()

	line, ok := g.canonical(r)
	if !ok {
		c.debug("kept from go-imap: "+r.Name, r.Parser.rest())
		return
	}
	line = append(line, "\r\n"...)
	g.mu.Lock()
	g.deliver(line)
	g.mu.Unlock()
}

// canonical returns a response without its line end.
func (g *Guest) canonical(r *Response) ([]byte, bool) {
	b := []byte("* ")
	if r.HasNum {
		switch r.Name {
		case "EXISTS", "RECENT":
		case "EXPUNGE":
			if r.Num == 0 { // which would end go-imap's list of what was expunged
				return nil, false
			}
		default:
			return nil, false
		}
		return append(append(strconv.AppendUint(b, uint64(r.Num), 10), ' '), r.Name...), true
	}
	p := &r.Parser
	switch r.Name {
	case "OK", "NO", "BAD", "BYE":
		return g.appendStatus(b, r.Status, untaggedCodes), true
	case "CAPABILITY":
		g.told = guestCaps(g.c.caps)
		return append(b, "CAPABILITY "+g.told...), true
	case "SEARCH", "SORT", "ESEARCH", "THREAD":
		if r.lines == nil { // "*SEARCH", without the blank
			return nil, false
		}
		if r.Name == "THREAD" {
			return threads(append(b, "THREAD"...), r.lines)
		}
		return g.searched(b, r)
	}
	form, ok := canonicalForms[r.Name]
	if !ok {
		return nil, false
	}
	return form(g, append(append(b, r.Name...), ' '), p)
}

// canonicalForms holds what reads the responses that go-imap knows and appends
// them as it can read them.
var canonicalForms = map[string]func(*Guest, []byte, *Parser) ([]byte, bool){
	"FLAGS":     func(_ *Guest, b []byte, p *Parser) ([]byte, bool) { return canonicalFlags(b, p) },
	"ENABLED":   func(_ *Guest, b []byte, p *Parser) ([]byte, bool) { return canonicalEnabled(b, p) },
	"NAMESPACE": func(_ *Guest, b []byte, p *Parser) ([]byte, bool) { return canonicalNamespace(b, p) },
	"ID":        func(_ *Guest, b []byte, p *Parser) ([]byte, bool) { return canonicalID(b, p) },
	"QUOTA":     func(_ *Guest, b []byte, p *Parser) ([]byte, bool) { return canonicalQuota(b, p) },
	"LIST":      (*Guest).canonicalList,
	"STATUS":    (*Guest).canonicalStatus,
	"QUOTAROOT": (*Guest).canonicalStrings,
	"ACL":       (*Guest).canonicalACL,
	"MYRIGHTS":  (*Guest).canonicalMyRights,
	"METADATA":  (*Guest).canonicalMetadata,
}

// folder reads the name of a folder and appends it in modified UTF-7, which
// go-imap always decodes. A name that differs only in case from the one that a
// command asks about becomes that one: go-imap compares them byte by byte.
func (g *Guest) folder(b []byte, p *Parser) ([]byte, bool) {
	raw, null, ok := p.str()
	if !ok {
		return nil, false
	}
	name := g.c.names.Decode(string(raw), g.c.utf8)
	if null {
		name = "NIL"
	}
	g.mu.Lock()
	for _, cmd := range g.pending {
		if cmd.box != "" && strings.EqualFold(cmd.box, name) {
			name = cmd.box
			break
		}
	}
	g.mu.Unlock()
	return appendString(b, encodeUTF7(name)), true
}

func canonicalFlags(b []byte, p *Parser) ([]byte, bool) {
	flags, ok := p.flags()
	return appendFlags(b, flags), ok
}

func canonicalEnabled(b []byte, p *Parser) ([]byte, bool) {
	b = bytes.TrimRight(b, " ")
	for _, name := range strings.Fields(string(p.rest())) {
		if IsAtom(name) && !strings.HasPrefix(strings.ToUpper(name), "UTF8=") && !strings.EqualFold(name, "IMAP4rev2") {
			b = append(append(b, ' '), name...)
		}
	}
	return b, true
}

// canonicalList leaves out extended data and attributes that are none.
func (g *Guest) canonicalList(b []byte, p *Parser) ([]byte, bool) {
	attrs, ok := p.flags()
	if !ok {
		return nil, false
	}
	b = appendFlags(b, attrs)
	delim, null, ok := p.str()
	if !ok {
		return nil, false
	}
	return g.folder(append(appendDelim(append(b, ' '), delim, null), ' '), p)
}

// appendDelim appends a hierarchy delimiter. One that is longer than a
// character is none.
func appendDelim(b, delim []byte, null bool) []byte {
	if ch, size := utf8.DecodeRune(delim); null || ch == utf8.RuneError || size != len(delim) || ch < ' ' {
		return append(b, "NIL"...)
	}
	return appendQuoted(b, string(delim))
}

func (g *Guest) canonicalStatus(b []byte, p *Parser) ([]byte, bool) {
	b, ok := g.folder(b, p)
	if !ok || !p.accept('(') {
		return nil, false
	}
	sep := " ("
	for !p.accept(')') {
		name := strings.ToUpper(string(p.atom()))
		s, null, ok := p.str()
		if !ok {
			if p.peek() != '(' || !p.skip() { // MAILBOXID (x)
				return nil, false
			}
			continue
		}
		n, ok := parseNumber(s)
		switch name {
		case "MESSAGES", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "DELETED", "APPENDLIMIT":
			ok = ok && n <= math.MaxUint32
		case "SIZE", "DELETED-STORAGE":
			ok = ok && n <= math.MaxInt64
		case "HIGHESTMODSEQ":
		default:
			ok = false
		}
		if ok && !null {
			b = append(append(append(b, sep...), name...), ' ')
			b = strconv.AppendUint(b, n, 10)
			sep = " "
		} else if null && name == "APPENDLIMIT" {
			b = append(append(b, sep...), "APPENDLIMIT NIL"...)
			sep = " "
		}
	}
	if sep == " (" {
		b = append(b, sep...)
	}
	return append(b, ')'), true
}

// canonicalNamespace supplies lists that are left out.
func canonicalNamespace(b []byte, p *Parser) ([]byte, bool) {
	for i := range 3 {
		if i > 0 {
			b = append(b, ' ')
		}
		if !p.accept('(') {
			if !p.end() {
				if s, null, ok := p.str(); !ok || !null && len(s) > 0 {
					return nil, false
				}
			}
			b = append(b, "NIL"...)
			continue
		}
		start := len(b)
		for !p.accept(')') {
			if !p.accept('(') {
				return nil, false
			}
			prefix, _, ok1 := p.str()
			delim, null, ok2 := p.str()
			if !ok1 || !ok2 || !p.close() {
				return nil, false
			}
			b = appendString(append(b, sepOrOpen(b, start)...), string(prefix))
			b = append(appendDelim(append(b, ' '), delim, null), ')')
		}
		if len(b) == start {
			b = append(b, "NIL"...)
		} else {
			b = append(b, ')')
		}
	}
	return b, true
}

// sepOrOpen separates namespaces, or opens the list of them.
func sepOrOpen(b []byte, start int) string {
	if len(b) == start {
		return "(("
	}
	return " ("
}

func canonicalID(b []byte, p *Parser) ([]byte, bool) {
	if !p.accept('(') {
		_, null, ok := p.str()
		return append(b, "NIL"...), ok && null
	}
	sep := "("
	for !p.accept(')') {
		key, _, ok1 := p.str()
		value, null, ok2 := p.str()
		if !ok1 || !ok2 {
			return nil, false
		}
		if !null && len(key) > 0 {
			b = appendString(append(b, sep...), strings.ToLower(string(key)))
			b = appendString(append(b, ' '), string(value))
			sep = " "
		}
	}
	if sep == "(" {
		return append(b, "NIL"...), true
	}
	return append(b, ')'), true
}

// canonicalQuota leaves out resources without a limit, which some servers give
// as -1.
func canonicalQuota(b []byte, p *Parser) ([]byte, bool) {
	root, _, ok := p.str()
	if !ok {
		root = nil
	}
	if !p.accept('(') {
		return nil, false
	}
	b = append(appendString(b, string(root)), " ("...)
	start := len(b)
	for !p.accept(')') {
		name := string(p.atom())
		used, _, ok1 := p.str()
		limit, _, ok2 := p.str()
		if !ok1 || !ok2 {
			return nil, false
		}
		n, ok1 := parseNumber(used)
		m, ok2 := parseNumber(limit)
		if !ok1 || !ok2 || n > math.MaxInt64 || m > math.MaxInt64 || !IsAtom(name) {
			continue
		}
		if len(b) > start {
			b = append(b, ' ')
		}
		b = strconv.AppendUint(append(append(b, name...), ' '), n, 10)
		b = strconv.AppendUint(append(b, ' '), m, 10)
	}
	return append(b, ')'), true
}

// canonicalStrings is for a folder and strings behind it.
func (g *Guest) canonicalStrings(b []byte, p *Parser) ([]byte, bool) {
	b, ok := g.folder(b, p)
	for ok && !p.end() {
		var s []byte
		if s, _, ok = p.str(); ok {
			b = appendString(append(b, ' '), string(s))
		}
	}
	return b, ok
}

func (g *Guest) canonicalACL(b []byte, p *Parser) ([]byte, bool) {
	b, ok := g.folder(b, p)
	for ok && !p.end() {
		who, _, ok1 := p.str()
		rights, _, ok2 := p.str()
		if ok = ok1 && ok2; ok {
			b = appendString(append(b, ' '), string(who))
			b = appendString(append(b, ' '), string(rights))
		}
	}
	return b, ok
}

func (g *Guest) canonicalMyRights(b []byte, p *Parser) ([]byte, bool) {
	b, ok := g.folder(b, p)
	if !ok {
		return nil, false
	}
	rights, _, ok := p.str()
	return appendString(append(b, ' '), string(rights)), ok
}

func (g *Guest) canonicalMetadata(b []byte, p *Parser) ([]byte, bool) {
	if p.peek() != '(' {
		raw := p.b
		if _, _, ok := p.str(); ok && p.peek() != '(' && !p.end() { // names of entries that have changed
			p.b = raw
			return g.canonicalStrings(b, p)
		}
		p.b = raw
	}
	b, ok := g.folder(b, p)
	if !ok || !p.accept('(') {
		return nil, false
	}
	b = append(b, " ("...)
	start := len(b)
	for !p.accept(')') {
		entry, _, ok1 := p.str()
		value, null, ok2 := p.str()
		if !ok1 || !ok2 {
			return nil, false
		}
		if len(b) > start {
			b = append(b, ' ')
		}
		b = append(appendString(b, string(entry)), ' ')
		if null {
			b = append(b, "NIL"...)
		} else {
			b = appendString(b, string(value))
		}
	}
	return append(b, ')'), true
}

// searched reads a search result. go-imap must not see the number 4294967295,
// on which it would never end, and numbers in another order than the ascending
// one take it very long.
func (g *Guest) searched(b []byte, r *Response) ([]byte, bool) {
	var s SearchResult
	var err error
	if r.Name == "ESEARCH" {
		tag := searchTag(r.lines)
		cmd := g.search(tag)
		if cmd == nil {
			return nil, false
		}
		b = append(append(append(b, `ESEARCH (TAG "`...), cmd.tag...), `")`...)
		if strings.HasPrefix(cmd.verb, "UID ") {
			b = append(b, " UID"...)
		}
		if _, err = s.extended(r.lines, tag); err == nil {
			b = appendESearch(b, &s)
		}
	} else if err = s.plain(r.lines); err == nil {
		b = append(b, r.Name...)
		nums := Numbers[uint32](&s)
		if r.Name == "SEARCH" {
			nums = Ascending[uint32](&s)
		}
		for _, n := range nums {
			if n != math.MaxUint32 {
				b = strconv.AppendUint(append(b, ' '), uint64(n), 10)
			}
		}
		if r.Name == "SEARCH" && s.ModSeq > 0 {
			b = append(strconv.AppendUint(append(b, " (MODSEQ "...), s.ModSeq, 10), ')')
		}
	}
	if err != nil && r.lines.err == nil {
		r.lines.done, r.lines.err = true, g.c.fail(err)
	}
	return b, err == nil
}

// search returns the search with a tag, or the oldest one if tag is empty.
func (g *Guest) search(tag string) *guestCommand {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, cmd := range g.pending {
		if (tag == "" || cmd.tag == tag) && strings.HasSuffix(cmd.verb, "SEARCH") {
			return cmd
		}
	}
	return nil
}

// searchTag reads the (TAG "x") at the beginning of an ESEARCH response.
func searchTag(l *lineReader) (tag string) {
	if l.spaces() != '(' {
		return ""
	}
	l.advance()
	for !l.done && l.spaces() != ')' {
		key := l.word()
		if l.spaces() == '(' {
			l.advance()
			l.skipList()
			continue
		}
		if value := l.word(); strings.EqualFold(key, "TAG") {
			tag = strings.Trim(value, `"`)
		}
	}
	if !l.done {
		l.advance()
	}
	return tag
}

func appendESearch(b []byte, s *SearchResult) []byte {
	for _, item := range [...]struct {
		name  string
		n     uint64
		given bool
	}{
		{" MIN ", uint64(s.Min), s.Min > 0},
		{" MAX ", uint64(s.Max), s.Max > 0},
		{" COUNT ", uint64(s.Count), s.Counted},
		{" MODSEQ ", s.ModSeq, s.ModSeq > 0},
	} {
		if item.given {
			b = strconv.AppendUint(append(b, item.name...), item.n, 10)
		}
	}
	if s.Partial != "" { // go-imap would take it for all
		return b
	}
	ranges := s.Ranges()
	slices.SortFunc(ranges, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	sep := " ALL "
	for _, r := range ranges {
		if r.Last = min(r.Last, math.MaxUint32-1); r.First > r.Last {
			continue
		}
		b = strconv.AppendUint(append(b, sep...), uint64(r.First), 10)
		b = strconv.AppendUint(append(b, ':'), uint64(r.Last), 10)
		sep = ","
	}
	return b
}

// threads reads a THREAD response and passes it on if go-imap can read it.
func threads(b []byte, l *lineReader) ([]byte, bool) {
	var nested []bool // for each open list: a list within it has been seen
	for {
		switch ch := l.spaces(); {
		case ch == 0 && l.done:
			return b, l.err == nil && len(nested) == 0
		case ch == '(':
			l.advance()
			if len(nested) >= l.c.lim.Depth {
				return nil, false
			}
			if len(nested) > 0 {
				nested[len(nested)-1] = true
			}
			nested = append(nested, false)
			b = append(b, " ("...)
		case ch == ')' && len(nested) > 0:
			l.advance()
			nested = nested[:len(nested)-1]
			b = append(b, ')')
		case ch >= '0' && ch <= '9' && len(nested) > 0 && !nested[len(nested)-1]:
			n, _ := l.number()
			if n == 0 || n > math.MaxUint32 {
				return nil, false
			}
			if b[len(b)-1] != '(' {
				b = append(b, ' ')
			}
			b = strconv.AppendUint(b, n, 10)
		default:
			return nil, false
		}
	}
}
