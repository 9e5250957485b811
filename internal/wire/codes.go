package wire

import (
	"bytes"
	"math"
)

// mostCopies bounds the UIDs in one code, so that a program may expand them.
const mostCopies = 1 << 20

// ParseCopyUID reads the arguments of COPYUID (RFC 4315 section 3): the n-th
// UID of src became the n-th of dst in the folder with that UIDVALIDITY. Both
// have the same number of UIDs, which is about a million at most; ok is false if
// not, and if the arguments are unreadable.
func ParseCopyUID(args string) (validity uint32, src, dst []Range, ok bool) {
	p := codeParser(args)
	validity, ok = p.number32()
	if !ok || validity == 0 {
		return 0, nil, nil, false
	}
	src, n, ok1 := p.ranges()
	dst, m, ok2 := p.ranges()
	if !ok1 || !ok2 || n != m || n > mostCopies {
		return 0, nil, nil, false
	}
	return validity, src, dst, true
}

// ParseAppendUID reads the arguments of APPENDUID (RFC 4315 section 3): the UIDs
// of what was appended, about a million at most; ok is false if they are
// unreadable.
func ParseAppendUID(args string) (validity uint32, uids []Range, ok bool) {
	p := codeParser(args)
	validity, ok = p.number32()
	if !ok || validity == 0 {
		return 0, nil, false
	}
	uids, n, ok := p.ranges()
	if !ok || n > mostCopies {
		return 0, nil, false
	}
	return validity, uids, true
}

// ParseModified reads the argument of MODIFIED (RFC 7162 section 3.1.3): the
// messages that a conditional STORE left alone. A range may be of any size.
func ParseModified(args string) (messages []Range, ok bool) {
	p := codeParser(args)
	messages, _, ok = p.ranges()
	return messages, ok
}

// Vanished reads a VANISHED response (RFC 7162 section 3.2.10); ok is false for
// others. A range may be of any size. earlier means that the messages were gone
// before the command.
func (r *Response) Vanished() (uids []Range, earlier, ok bool) {
	if r.Tag != "" || r.HasNum || r.Name != "VANISHED" {
		return nil, false, false
	}
	p := r.Parser
	if p.accept('(') {
		earlier = equalFold(p.atom(), "EARLIER")
		if !p.accept(')') {
			return nil, false, false
		}
	}
	uids, _, ok = p.ranges()
	return uids, earlier, ok
}

func codeParser(args string) *Parser { return &Parser{b: []byte(args), depth: 1} }

// ranges reads a set of numbers, in quotes or not, and how many there are. What
// is no number of a message makes it unreadable, "*" too.
func (p *Parser) ranges() (list []Range, n uint64, ok bool) {
	set, null, ok := p.str()
	if !ok || null {
		return nil, 0, false
	}
	for more := true; more; {
		var one []byte
		one, set, more = bytes.Cut(set, []byte(","))
		from, to, isRange := bytes.Cut(one, []byte(":"))
		first, ok1 := parseNumber(from)
		last, ok2 := first, true
		if isRange {
			last, ok2 = parseNumber(to)
		}
		if first > last {
			first, last = last, first
		}
		if !ok1 || !ok2 || first == 0 || last > math.MaxUint32 {
			return nil, 0, false
		}
		list = append(list, Range{uint32(first), uint32(last)})
		n += last - first + 1
	}
	return list, n, true
}
