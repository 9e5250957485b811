package thread

import "strings"

// ParseReferences returns the message IDs in the value of a References,
// In-Reply-To or Message-ID header, without their angle brackets and in a form
// in which equal IDs are equal strings: no white space, no quoting. What is not
// of the form <left@right> is left out. It takes linear time.
//
// It is more lenient than RFC 5322: whatever stands between the IDs is skipped,
// an ID may be folded in its middle, and any character may be in it except
// "<" and ">".
func ParseReferences(header string) []string {
	var ids []string
	for {
		end := strings.IndexByte(header, '>')
		if end < 0 {
			return ids
		}
		start := strings.LastIndexByte(header[:end], '<')
		if start >= 0 {
			if id := unquoteID(header[start+1 : end]); id != "" {
				ids = append(ids, id)
			}
		}
		header = header[end+1:]
	}
}

// unquoteID takes white space and the quoting of quoted-strings from an ID. It
// returns the empty string if a side of the "@" is missing.
func unquoteID(s string) string {
	if strings.ContainsAny(s, " \t\r\n\"") {
		plain := make([]byte, 0, len(s))
		quoted, escaped := false, false
		for i := range len(s) {
			switch c := s[i]; {
			case c == ' ', c == '\t', c == '\r', c == '\n':
			case c == '"' && !escaped:
				quoted = !quoted
			case c == '\\' && quoted && !escaped:
				escaped = true
			default:
				plain = append(plain, c)
				escaped = false
			}
		}
		s = string(plain)
	}
	if at := strings.LastIndexByte(s, '@'); at <= 0 || at == len(s)-1 {
		return ""
	}
	return s
}
