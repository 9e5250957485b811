package wire

import (
	"math"
	"strings"
)

// untaggedCodes and taggedCodes hold the response codes whose arguments go-imap
// reads.
var (
	untaggedCodes = map[string]func(string) (string, bool){
		"PERMANENTFLAGS": codeFlags,
		"UIDNEXT":        codeNumber32,
		"UIDVALIDITY":    codeNumber32,
		"HIGHESTMODSEQ":  codeNumber64,
		"COPYUID":        codeCopyUID,
	}
	taggedCodes = map[string]func(string) (string, bool){
		"APPENDUID": codeAppendUID,
		"COPYUID":   codeCopyUID,
	}
)

// appendStatus appends a status response. Of codes that go-imap does not read
// the name is left; one whose arguments are wrong is left out.
func (g *Guest) appendStatus(b []byte, s Status, codes map[string]func(string) (string, bool)) []byte {
	b = append(append(b, s.Type...), ' ')
	text := strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' || r == 0 {
			return ' '
		}
		return r
	}, s.Text)
	name := s.CodeName()
	read, known := codes[name]
	args, ok := "", IsAtom(name)
	switch {
	case name == "CAPABILITY":
		g.told = guestCaps(g.c.caps)
		args = g.told
	case known:
		args, ok = read(strings.TrimSpace(s.CodeArgs()))
	}
	if ok {
		b = append(append(b, '['), name...)
		if args != "" {
			b = append(append(b, ' '), args...)
		}
		b = append(b, "] "...)
	} else {
		text = strings.TrimLeft(text, "[ ") // or it would be taken for a code
	}
	return append(b, text...)
}

// taggedStatus is the response that ends a command.
func (g *Guest) taggedStatus(tag string, s Status) []byte {
	if s.Type != "OK" && s.Type != "NO" {
		s.Type = "BAD"
	}
	return append(g.appendStatus([]byte(tag+" "), s, taggedCodes), "\r\n"...)
}

func codeFlags(args string) (string, bool) {
	p := Parser{b: []byte(args), depth: 1}
	if p.peek() != '(' {
		return "", false
	}
	flags, ok := p.flags()
	return string(appendFlags(nil, flags)), ok
}

func codeNumber32(args string) (string, bool) {
	n, ok := parseNumber([]byte(args))
	return args, ok && n <= math.MaxUint32
}

func codeNumber64(args string) (string, bool) {
	_, ok := parseNumber([]byte(args))
	return args, ok
}

func codeAppendUID(args string) (string, bool) {
	validity, uid, _ := strings.Cut(args, " ")
	_, ok1 := codeNumber32(validity)
	_, ok2 := codeNumber32(uid)
	return args, ok1 && ok2
}

// codeCopyUID accepts two sets of UIDs that go-imap can expand.
func codeCopyUID(args string) (string, bool) {
	f := strings.Fields(strings.ReplaceAll(args, `"`, ""))
	if len(f) != 3 {
		return "", false
	}
	if _, ok := codeNumber32(f[0]); !ok {
		return "", false
	}
	for _, set := range f[1:] {
		for _, r := range strings.Split(set, ",") {
			first, last, isRange := strings.Cut(r, ":")
			if !isRange {
				last = first
			}
			for _, s := range [...]string{first, last} {
				if n, ok := parseNumber([]byte(s)); !ok || n == 0 || n >= math.MaxUint32 {
					return "", false
				}
			}
		}
	}
	return strings.Join(f, " "), true
}
