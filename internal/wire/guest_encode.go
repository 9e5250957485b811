package wire

import (
	"encoding/base64"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
)

// fetched reads a FETCH response as tolerantly as ever and queues it as go-imap
// can read it: the UID first, or go-imap would not know what the rest belongs
// to; items that it does not know, or that are unreadable, left out.
func (g *Guest) fetched(resp *Response) error {
	r := g.fetch
	r.begin(resp)
	for r.open {
		if err := r.items(); err != nil {
			return err
		}
	}
	m := &r.msg
	if m.Err != nil {
		g.c.debug("kept from go-imap: "+m.Err.Error(), nil)
	}
	b := append(strconv.AppendUint([]byte("* "), uint64(m.Seq), 10), " FETCH ("...)
	pieces := appendFetch(b, m)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.idle != nil {
		g.c.nresp = 0
	}
	g.deliver(pieces...)
	return nil
}

// appendFetch appends items to b and returns it in pieces, bodies apart.
func appendFetch(b []byte, m *Fetched) (pieces [][]byte) {
	start := len(b)
	item := func(name string) {
		if len(b) > start || len(pieces) > 0 {
			b = append(b, ' ')
		}
		b = append(append(b, name...), ' ')
	}
	if m.Items&ItemUID != 0 {
		item("UID")
		b = strconv.AppendUint(b, uint64(m.UID), 10)
	}
	if m.Items&ItemFlags != 0 {
		item("FLAGS")
		b = appendFlags(b, m.Flags)
	}
	if t, ok := storable(m.Date); ok && m.Items&ItemDate != 0 {
		item("INTERNALDATE")
		b = append(t.AppendFormat(append(b, '"'), "_2-Jan-2006 15:04:05 -0700"), '"')
	}
	if m.Items&ItemSize != 0 {
		item("RFC822.SIZE")
		b = strconv.AppendInt(b, m.Size, 10)
	}
	if m.Items&ItemModSeq != 0 {
		item("MODSEQ")
		b = append(strconv.AppendUint(append(b, '('), m.ModSeq, 10), ')')
	}
	if m.Items&ItemEnvelope != 0 {
		item("ENVELOPE")
		b = appendEnvelope(b, m.Envelope)
	}
	if m.Items&ItemBodyStructure != 0 {
		item("BODYSTRUCTURE")
		b = appendBodyStructure(b, m.BodyStructure)
	}
	for name, raw := range m.Other {
		if part, ok := strings.CutPrefix(strings.ToUpper(name), "BINARY.SIZE["); ok {
			part, ok = strings.CutSuffix(part, "]")
			if n, isNumber := parseNumber([]byte(raw)); ok && isPart(part) && isNumber && n <= math.MaxUint32 {
				item("BINARY.SIZE[" + part + "]")
				b = strconv.AppendUint(b, n, 10)
			}
		}
	}
	for _, s := range m.Sections {
		name, ok := canonicalSection(s.Name)
		if !ok {
			continue
		}
		item(name)
		b = append(strconv.AppendInt(append(b, '{'), int64(len(s.Data)), 10), "}\r\n"...)
		pieces = append(pieces, b)
		if len(s.Data) > 0 {
			pieces = append(pieces, s.Data)
		}
		b = nil
	}
	return append(pieces, append(b, ")\r\n"...))
}

// storable returns t as go-imap can parse it.
func storable(t time.Time) (time.Time, bool) {
	if _, offset := t.Zone(); offset <= -24*3600 || offset >= 24*3600 || offset%60 != 0 {
		t = t.UTC()
	}
	return t, !t.IsZero() && t.Year() > 0 && t.Year() < 10000
}

// canonicalSection returns the name of a body section as go-imap reads it. The
// items of RFC 1730 stand for sections.
func canonicalSection(name string) (string, bool) {
	switch upper := strings.ToUpper(name); upper {
	case "RFC822":
		return "BODY[]", true
	case "RFC822.HEADER":
		return "BODY[HEADER]", true
	case "RFC822.TEXT":
		return "BODY[TEXT]", true
	}
	open, shut := strings.IndexByte(name, '['), strings.LastIndexByte(name, ']')
	if open < 0 || shut < open {
		return "", false
	}
	item, inside, origin := strings.ToUpper(name[:open]), name[open+1:shut], name[shut+1:]
	if item == "BINARY" { // whose origin go-imap cannot read
		return "BINARY[" + inside + "]", isPart(inside)
	}
	if origin != "" {
		digits, ok := strings.CutPrefix(origin, "<")
		digits, ok2 := strings.CutSuffix(digits, ">")
		if n, isNumber := parseNumber([]byte(digits)); !ok || !ok2 || !isNumber || n > math.MaxUint32 {
			return "", false
		}
	}
	section, ok := canonicalSpec(inside)
	return "BODY[" + section + "]" + origin, ok && item == "BODY"
}

// canonicalSpec reads what stands between the brackets of BODY[].
func canonicalSpec(s string) (string, bool) {
	if isPart(s) {
		return s, true
	}
	spec, fields, hasFields := strings.Cut(s, " ")
	i := 0
	for i < len(spec) && (spec[i] == '.' || spec[i] >= '0' && spec[i] <= '9') {
		i++
	}
	part := strings.TrimSuffix(spec[:i], ".")
	if !isPart(part) || part != "" && part == spec[:i] {
		return "", false
	}
	kind := strings.ToUpper(spec[i:])
	canonical := spec[:i] + kind
	switch kind {
	case "HEADER", "TEXT", "MIME":
		return canonical, !hasFields
	case "HEADER.FIELDS", "HEADER.FIELDS.NOT":
	default:
		return "", false
	}
	p := Parser{b: []byte(fields), depth: 1}
	if !hasFields || !p.accept('(') {
		return "", false
	}
	b := append([]byte(canonical), " ("...)
	for n := 0; !p.accept(')'); n++ {
		field, _, ok := p.str()
		if !ok {
			return "", false
		}
		if n > 0 {
			b = append(b, ' ')
		}
		b = appendString(b, string(field))
	}
	return string(append(b, ')')), p.end()
}

// isPart reports whether s is empty or a part number such as 1.2.
func isPart(s string) bool {
	if s == "" {
		return true
	}
	for _, n := range strings.Split(s, ".") {
		if _, ok := digits([]byte(n)); !ok {
			return false
		}
	}
	return true
}

// appendFlags appends a list of flags without those that are no atoms: servers
// with "]" in a keyword exist, and go-imap cannot represent them.
func appendFlags(b []byte, flags []imap.Flag) []byte {
	b = append(b, '(')
	start := len(b)
	for _, f := range flags {
		if f != imap.FlagWildcard && !IsAtom(strings.TrimPrefix(string(f), `\`)) {
			continue
		}
		if len(b) > start {
			b = append(b, ' ')
		}
		b = append(b, f...)
	}
	return append(b, ')')
}

// appendString appends s in quotes, or as a literal where these cannot hold it.
func appendString(b []byte, s string) []byte {
	if len(s) <= longestQuoted && !strings.ContainsAny(s, "\x00\r\n") {
		return appendQuoted(b, s)
	}
	b = strconv.AppendInt(append(b, '{'), int64(len(s)), 10)
	return append(append(b, "}\r\n"...), s...)
}

func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

// appendText appends text that go-imap is going to decode (RFC 2047), although
// it has been decoded before.
func appendText(b []byte, s string) []byte {
	if strings.Contains(s, "=?") {
		s = "=?utf-8?b?" + base64.StdEncoding.EncodeToString([]byte(s)) + "?="
	}
	return appendString(b, s)
}

func appendEnvelope(b []byte, e *imap.Envelope) []byte {
	date := ""
	if t, ok := storable(e.Date); ok {
		date = t.Format(time.RFC1123Z)
	}
	b = appendString(append(b, '('), date)
	b = appendText(append(b, ' '), e.Subject)
	for _, list := range [...][]imap.Address{e.From, e.Sender, e.ReplyTo, e.To, e.Cc, e.Bcc} {
		b = appendAddresses(append(b, ' '), list)
	}
	b = appendString(append(b, ' '), bracketed(e.InReplyTo...))
	id := ""
	if e.MessageID != "" {
		id = bracketed(e.MessageID)
	}
	return append(appendString(append(b, ' '), id), ')')
}

func bracketed(ids ...string) string {
	if len(ids) == 0 {
		return ""
	}
	return "<" + strings.Join(ids, "> <") + ">"
}

func appendAddresses(b []byte, list []imap.Address) []byte {
	if len(list) == 0 {
		return append(b, "NIL"...)
	}
	for i, a := range list {
		if i == 0 {
			b = append(b, "(("...)
		} else {
			b = append(b, " ("...)
		}
		b = append(appendText(b, a.Name), " NIL "...)
		b = appendString(b, a.Mailbox)
		b = append(appendString(append(b, ' '), a.Host), ')')
	}
	return append(b, ')')
}

func appendBodyStructure(b []byte, bs imap.BodyStructure) []byte {
	if m, ok := bs.(*imap.BodyStructureMultiPart); ok {
		return appendMultiPart(b, m)
	}
	return appendSinglePart(b, bs.(*imap.BodyStructureSinglePart))
}

func appendMultiPart(b []byte, m *imap.BodyStructureMultiPart) []byte {
	b = append(b, '(')
	if len(m.Children) == 0 {
		// The grammar has no multipart without parts; as a part of this type
		// it keeps its name.
		b = appendString(append(b, `"multipart" `...), m.Subtype)
		var params map[string]string
		if m.Extended != nil {
			params = m.Extended.Params
		}
		return append(appendParams(append(b, ' '), params), ` NIL NIL "7bit" 0)`...)
	}
	for _, child := range m.Children {
		b = appendBodyStructure(b, child)
	}
	b = appendString(append(b, ' '), m.Subtype)
	if e := m.Extended; e != nil {
		b = appendParams(append(b, ' '), e.Params)
		b = appendExtension(b, e.Disposition, e.Language, e.Location)
	}
	return append(b, ')')
}

func appendSinglePart(b []byte, s *imap.BodyStructureSinglePart) []byte {
	b = appendString(append(b, '('), s.Type)
	b = appendString(append(b, ' '), s.Subtype)
	b = appendParams(append(b, ' '), s.Params)
	b = appendString(append(b, ' '), s.ID)
	b = appendText(append(b, ' '), s.Description)
	b = appendString(append(b, ' '), s.Encoding)
	b = strconv.AppendUint(append(b, ' '), uint64(s.Size), 10)
	switch {
	case strings.EqualFold(s.Type, "message") && isMessageSubtype(s.Subtype):
		msg := s.MessageRFC822
		if msg == nil || msg.Envelope == nil || msg.BodyStructure == nil {
			return append(b, ')') // go-imap takes all of it or nothing
		}
		b = appendEnvelope(append(b, ' '), msg.Envelope)
		b = appendBodyStructure(append(b, ' '), msg.BodyStructure)
		b = strconv.AppendInt(append(b, ' '), msg.NumLines, 10)
	case strings.EqualFold(s.Type, "text"):
		var lines int64
		if s.Text != nil {
			lines = s.Text.NumLines
		}
		b = strconv.AppendInt(append(b, ' '), lines, 10)
	}
	if e := s.Extended; e != nil {
		b = append(b, " NIL"...)
		b = appendExtension(b, e.Disposition, e.Language, e.Location)
	}
	return append(b, ')')
}

func appendExtension(b []byte, d *imap.BodyStructureDisposition, language []string, location string) []byte {
	if d == nil {
		b = append(b, " NIL"...)
	} else {
		b = appendString(append(b, " ("...), d.Value)
		b = append(appendParams(append(b, ' '), d.Params), ')')
	}
	b = append(b, " ("...)
	for i, l := range language {
		if i > 0 {
			b = append(b, ' ')
		}
		b = appendString(b, l)
	}
	return appendString(append(b, ") "...), location)
}

func appendParams(b []byte, params map[string]string) []byte {
	sep := "("
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if name == "" {
			continue // go-imap takes an empty name for a value
		}
		b = appendString(append(b, sep...), name)
		b = appendText(append(b, ' '), params[name])
		sep = " "
	}
	if sep == "(" {
		return append(b, "NIL"...)
	}
	return append(b, ')')
}
