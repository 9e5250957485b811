package mimetree

import (
	"slices"
	"strings"

	"github.com/imapkit/imapkit/internal/charset"
)

// maxParams bounds the parameters of one field.
const maxParams = 1000

// A Param is one parameter of a Content-Type or Content-Disposition field.
type Param struct {
	Name  string // lower case
	Value string // decoded, UTF-8
}

// Params are the parameters of a field, each name once.
type Params []Param

// Get returns the value of the parameter with this name in lower case, or "".
func (ps Params) Get(name string) string {
	for _, p := range ps {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// Map returns the parameters as a map, nil if there are none.
func (ps Params) Map() map[string]string {
	if len(ps) == 0 {
		return nil
	}
	m := make(map[string]string, len(ps))
	for _, p := range ps {
		m[p.Name] = p.Value
	}
	return m
}

// A segment is a parameter as written: RFC 2231 allows a value to be encoded
// and to be cut into numbered pieces.
type segment struct {
	name    string
	value   string
	number  int  // of a continuation; -1: none
	encoded bool // name ended in an asterisk
}

// ParseParams reads a value and its parameters: "text/plain; charset=utf-8".
// The value is returned in lower case. Missing and surplus semicolons, missing
// quotes, blanks in file names, a missing value, encoded words and RFC 2231 all
// work.
func ParseParams(s string) (value string, params Params) {
	s = skipComments(strings.TrimLeft(s, " \t"))
	if major, minor, ok := strings.Cut(s, "/"); ok { // "text / plain"
		if major = strings.TrimRight(major, " \t"); !strings.ContainsAny(major, "=; \t(") {
			s = major + "/" + strings.TrimLeft(minor, " \t")
		}
	}
	end := strings.IndexAny(s, "=;, \t(")
	switch {
	case end < 0:
		end = len(s)
	case s[end] == '=':
		end = 0
	}
	value = strings.ToLower(strings.Trim(s[:end], "\"'<>"))
	if end == len(s) {
		return value, nil
	}
	var segments []segment
	s = s[end:]
	for range maxParams {
		var seg segment
		var ok bool
		if seg, s, ok = nextParam(s); !ok {
			break
		}
		if seg.name != "" {
			segments = append(segments, seg)
		}
	}
	return value, join(segments)
}

// nextParam cuts the next parameter off s.
func nextParam(s string) (seg segment, rest string, ok bool) {
	s = skipComments(strings.TrimLeft(s, ";, \t"))
	if s == "" {
		return segment{}, "", false
	}
	end := strings.IndexAny(s, "=;")
	if end < 0 || s[end] == ';' {
		return segment{}, s[max(end, 0):], end >= 0
	}
	name := strings.ToLower(strings.TrimSpace(s[:end]))
	s = strings.TrimLeft(s[end+1:], " \t")
	seg.name, seg.number, seg.encoded = splitName(name)
	if strings.HasPrefix(s, `"`) {
		seg.value, s = quoted(s[1:])
		return seg, s, true
	}
	value, rest, _ := strings.Cut(s, ";")
	if isFileName := seg.name == "name" || seg.name == "filename"; !isFileName {
		// Only file names are known to hold blanks where nobody has put
		// quotes; after others comes a comment or a lost semicolon.
		if i := strings.IndexAny(value, " \t("); i >= 0 {
			value, rest = value[:i], s[i:]
		}
	}
	seg.value = strings.TrimSpace(value)
	return seg, rest, true
}

func skipComments(s string) string {
	for strings.HasPrefix(s, "(") {
		_, after, _ := strings.Cut(s, ")")
		s = strings.TrimLeft(after, "; \t")
	}
	return s
}

// quoted reads a quoted string whose first quote has been read. A backslash
// before other characters than these two stands for itself: Windows paths.
func quoted(s string) (value, rest string) {
	i := strings.IndexAny(s, `"\`)
	if i < 0 {
		return s, ""
	}
	if s[i] == '"' {
		return s[:i], s[i+1:]
	}
	var b []byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return string(b), s[i+1:]
		case c == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
			b = append(b, s[i])
		default:
			b = append(b, c)
		}
	}
	return string(b), ""
}

// splitName takes the RFC 2231 marks off a name: "name*1*" is piece 1 of name,
// encoded.
func splitName(s string) (name string, number int, encoded bool) {
	s, encoded = strings.CutSuffix(s, "*")
	name, digits, found := strings.Cut(s, "*")
	if !found {
		return s, -1, encoded
	}
	for _, c := range digits {
		if c < '0' || c > '9' || number > maxParams {
			return s, -1, encoded
		}
		number = number*10 + int(c-'0')
	}
	return name, number, encoded
}

// join makes parameters of segments. Of several values for one name, an
// encoded one wins over a plain one (RFC 5987 section 3.2.1 has the reason),
// else the first.
func join(segments []segment) Params {
	slices.SortStableFunc(segments, func(a, b segment) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		if a.number != b.number {
			return a.number - b.number
		}
		if a.encoded != b.encoded && a.number < 0 {
			if a.encoded {
				return -1
			}
			return 1
		}
		return 0
	})
	params := make(Params, 0, len(segments))
	for len(segments) > 0 {
		n := 1
		for n < len(segments) && segments[n].name == segments[0].name {
			n++
		}
		params = append(params, Param{Name: segments[0].name, Value: decode(segments[:n])})
		segments = segments[n:]
	}
	return params
}

// decode makes the value of the segments of one name, sorted.
func decode(segs []segment) string {
	first := segs[0]
	if first.number < 0 {
		if pieces := segs[countWhole(segs):]; !first.encoded && len(pieces) > 0 {
			return decode(pieces) // "filename" for old programs, "filename*0" for all others
		}
		if !first.encoded {
			return charset.DecodeHeader(first.value)
		}
		segs = segs[:1]
	}
	var label string
	var b []byte
	for i, seg := range segs {
		if i > 0 && seg.number == segs[i-1].number {
			continue
		}
		value := seg.value
		if !seg.encoded {
			b = append(b, value...)
			continue
		}
		if i == 0 {
			if cs, rest, ok := strings.Cut(value, "'"); ok {
				if _, text, ok := strings.Cut(rest, "'"); ok {
					label, value = cs, text
				}
			}
		}
		b = appendPercent(b, value)
	}
	if !segs[0].encoded {
		return charset.DecodeHeader(string(b))
	}
	// A name in an unknown charset is as readable as it gets.
	text, _ := charset.Decode(label, b)
	return text
}

// countWhole returns how many segments are not numbered.
func countWhole(segs []segment) int {
	n := 0
	for n < len(segs) && segs[n].number < 0 {
		n++
	}
	return n
}

func appendPercent(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := hexValue[s[i+1]], hexValue[s[i+2]]
			if hi >= 0 && lo >= 0 {
				dst = append(dst, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		dst = append(dst, s[i])
	}
	return dst
}

// hexValue maps hexadecimal digits to their values, all else to -1.
var hexValue = func() (t [256]int16) {
	for i := range t {
		t[i] = -1
	}
	for i := range 16 {
		t["0123456789abcdef"[i]] = int16(i)
		t["0123456789ABCDEF"[i]] = int16(i)
	}
	return t
}()
