package thread

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// collationKey returns a string that compares byte by byte as s compares under
// i;unicode-casemap (RFC 5051), the collation that RFC 5256 section 2 asks
// for: each character in title case, then decomposed. On ASCII that is the
// same as i;ascii-casemap.
//
// The decomposition is character by character, as RFC 5051 has it: unlike in
// NFKD, marks are not reordered. Hangul syllables decompose as well, which
// UnicodeData.txt leaves to an algorithm; Dovecot does the same. A byte that
// is not UTF-8 stands for itself.
func collationKey(s string) string {
	i := 0
	for i < len(s) && s[i] < utf8.RuneSelf && (s[i] < 'a' || s[i] > 'z') {
		i++
	}
	if i == len(s) {
		return s
	}
	out := append(make([]byte, 0, len(s)), s[:i]...)
	var char []byte
	for i < len(s) {
		c := s[i]
		if c < utf8.RuneSelf {
			if 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			out = append(out, c)
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			out = append(out, c)
			i++
			continue
		}
		char = utf8.AppendRune(char[:0], unicode.ToTitle(r))
		out = append(out, norm.NFKD.Bytes(char)...)
		i += size
	}
	return string(out)
}
