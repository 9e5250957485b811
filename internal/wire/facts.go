package wire

import (
	"math"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// is reports whether r is the untagged response with this name.
func (r *Response) is(name string) bool { return r.Tag == "" && !r.HasNum && r.Name == name }

// Namespace reads a NAMESPACE response (RFC 2342 section 5); ok is false for
// others. Lists that are left out are empty.
func (r *Response) Namespace(names *Names, utf8Enabled bool) (data *imap.NamespaceData, ok bool) {
	if !r.is("NAMESPACE") {
		return nil, false
	}
	p := r.Parser
	data = new(imap.NamespaceData)
	for _, list := range [...]*[]imap.NamespaceDescriptor{&data.Personal, &data.Other, &data.Shared} {
		if !p.accept('(') {
			p.str() // NIL
			continue
		}
		for !p.accept(')') {
			if !p.accept('(') {
				return nil, false
			}
			prefix, _, ok1 := p.str()
			delim, ok2 := p.delimiter()
			if !ok1 || !ok2 || !p.close() {
				return nil, false
			}
			*list = append(*list, imap.NamespaceDescriptor{Prefix: names.Decode(string(prefix), utf8Enabled), Delim: delim})
		}
	}
	return data, true
}

// ServerID reads an ID response (RFC 2971 section 3.2); ok is false for others.
// Fields of other names are left out.
func (r *Response) ServerID() (id *imap.IDData, ok bool) {
	if !r.is("ID") {
		return nil, false
	}
	id = new(imap.IDData)
	fields := map[string]*string{
		"name": &id.Name, "version": &id.Version, "os": &id.OS, "os-version": &id.OSVersion, "vendor": &id.Vendor,
		"support-url": &id.SupportURL, "address": &id.Address, "date": &id.Date, "command": &id.Command,
		"arguments": &id.Arguments, "environment": &id.Environment,
	}
	p := r.Parser
	if !p.accept('(') {
		_, null, ok := p.str()
		return id, ok && null
	}
	for !p.accept(')') {
		name, _, ok1 := p.str()
		value, _, ok2 := p.str()
		if !ok1 || !ok2 {
			return nil, false
		}
		if field := fields[strings.ToLower(string(name))]; field != nil {
			*field = string(value)
		}
	}
	return id, true
}

// Quota reads a QUOTA response (RFC 9208 section 4.2.1); ok is false for others.
// Resources without a limit are left out: some servers give it as -1, others no
// list at all (Courier).
func (r *Response) Quota() (quota imapclient.QuotaData, ok bool) {
	if !r.is("QUOTA") {
		return quota, false
	}
	p := r.Parser
	root, _, _ := p.str()
	quota.Root = string(root)
	quota.Resources = make(map[imap.QuotaResourceType]imapclient.QuotaResourceData)
	if !p.accept('(') {
		return quota, p.end()
	}
	for !p.accept(')') {
		name := strings.ToUpper(string(p.atom()))
		used, _, ok1 := p.str()
		limit, _, ok2 := p.str()
		if !ok1 || !ok2 {
			return quota, false
		}
		usage, ok1 := parseNumber(used)
		most, ok2 := parseNumber(limit)
		if ok1 && ok2 {
			quota.Resources[imap.QuotaResourceType(name)] = imapclient.QuotaResourceData{
				Usage: int64(min(usage, math.MaxInt64)), Limit: int64(min(most, math.MaxInt64))}
		}
	}
	return quota, true
}

// MyRights reads a MYRIGHTS response (RFC 4314 section 3.8); ok is false for
// others.
func (r *Response) MyRights() (rights imap.RightSet, ok bool) {
	if !r.is("MYRIGHTS") {
		return nil, false
	}
	p := r.Parser
	if _, ok := p.mailboxName(" "); !ok {
		return nil, false
	}
	s, _, ok := p.str()
	for ok && !p.end() { // of a name with blanks and without quotes
		s, _, ok = p.str()
	}
	return imap.RightSet(string(s)), ok
}

// ACL reads an ACL response (RFC 4314 section 3.6); ok is false for others.
func (r *Response) ACL() (rights map[imap.RightsIdentifier]imap.RightSet, ok bool) {
	if !r.is("ACL") {
		return nil, false
	}
	p := r.Parser
	if _, ok := p.mailboxName(" "); !ok {
		return nil, false
	}
	rights = make(map[imap.RightsIdentifier]imap.RightSet)
	for !p.end() {
		who, _, ok1 := p.str()
		what, _, ok2 := p.str()
		if !ok1 || !ok2 {
			return nil, false
		}
		rights[imap.RightsIdentifier(who)] = imap.RightSet(string(what))
	}
	return rights, true
}

// Metadata reads a METADATA response with values (RFC 5464 section 4.4.1); ok is
// false for others. Values that are not set are nil.
func (r *Response) Metadata() (values map[string][]byte, ok bool) {
	if !r.is("METADATA") {
		return nil, false
	}
	p := r.Parser
	if _, ok := p.mailboxName(" ("); !ok || !p.accept('(') {
		return nil, false
	}
	values = make(map[string][]byte)
	for !p.accept(')') {
		entry, _, ok1 := p.str()
		value, null, ok2 := p.str()
		if !ok1 || !ok2 {
			return nil, false
		}
		if null {
			values[string(entry)] = nil
		} else {
			values[string(entry)] = append([]byte{}, value...)
		}
	}
	return values, true
}
