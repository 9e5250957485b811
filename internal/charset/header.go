package charset

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// maxLabel bounds the charset name within an encoded word.
const maxLabel = 80

// DecodeHeader decodes the encoded words (RFC 2047) in the text of a header
// field and returns valid UTF-8. It takes what mail programs really send:
// spaces or 8-bit bytes within a word, characters split over adjacent words,
// padding that is missing, words that touch other text or lack their end. Line
// folding is undone, and line breaks within a word become spaces. What is not
// an encoded word stays as it is.
func DecodeHeader(s string) string {
	if strings.IndexByte(s, '\n') >= 0 || strings.IndexByte(s, '\r') >= 0 {
		s = unfold(s)
	}
	if !strings.Contains(s, "=?") {
		if utf8.ValidString(s) {
			return s
		}
		return ToUTF8([]byte(s))
	}
	d := headerDecoder{out: make([]byte, 0, len(s))}
	d.decode(s)
	return string(d.out)
}

// DecodeHeaderBytes is [DecodeHeader] for a field that is not a string yet.
func DecodeHeaderBytes(b []byte) string { return DecodeHeader(string(b)) }

// unfold removes line breaks before white space; others become a space
// (RFC 5322 section 2.2.3).
func unfold(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	s = strings.TrimRight(s, "\r\n")
	for i := 0; i < len(s); i++ {
		if s[i] != '\r' && s[i] != '\n' {
			b.WriteByte(s[i])
			continue
		}
		for i+1 < len(s) && (s[i+1] == '\r' || s[i+1] == '\n') {
			i++
		}
		if i+1 < len(s) && s[i+1] != ' ' && s[i+1] != '\t' {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// A headerDecoder collects the bytes of adjacent words of one charset before
// it converts them, because characters may be split between words.
type headerDecoder struct {
	out     []byte
	pending []byte // decoded bytes of the words since the last flush
	label   string // their charset
	words   bool   // whether there was one: white space before the next is dropped
	end     int    // where the next "?=" was last found, and
	follow  int    // where the next " =?" was; keeps the search linear
}

func (d *headerDecoder) decode(s string) {
	textStart := 0
	for i := 0; ; {
		j := strings.Index(s[i:], "=?")
		if j < 0 {
			break
		}
		i += j
		label, enc, text, next, ok := d.word(s, i)
		if !ok {
			i += 2
			continue
		}
		d.plain(s[textStart:i], true)
		if !strings.EqualFold(label, d.label) {
			d.flush()
			d.label = label
		}
		d.words = true
		if enc == 'q' {
			d.pending = appendQ(d.pending, text)
		} else {
			d.pending = appendB(d.pending, text)
		}
		i, textStart = next, next
	}
	d.plain(s[textStart:], false)
	d.flush()
}

// plain takes text between words.
func (d *headerDecoder) plain(s string, wordFollows bool) {
	if s == "" || d.words && wordFollows && strings.Trim(s, " \t") == "" {
		return
	}
	d.flush()
	d.words = false
	d.out = append(d.out, ToUTF8([]byte(s))...)
}

func (d *headerDecoder) flush() {
	if len(d.pending) > 0 {
		// An unknown charset leaves the best guess, which is all there is.
		text, _ := Decode(d.label, d.pending)
		if strings.ContainsAny(text, "\r\n") { // a field is one line, whoever wants it to be two
			text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\r' || r == '\n' }), " ")
		}
		d.out = append(d.out, text...)
		d.pending = d.pending[:0]
	}
}

// word parses the encoded word at s[i:], which begins with "=?".
func (d *headerDecoder) word(s string, i int) (label string, enc byte, text string, next int, ok bool) {
	start := i + 2
	n := strings.IndexByte(s[start:min(len(s), start+maxLabel)], '?')
	if n <= 0 || start+n+2 >= len(s) || s[start+n+2] != '?' {
		return "", 0, "", 0, false
	}
	label, _, _ = strings.Cut(s[start:start+n], "*") // RFC 2231 section 5: charset*language
	enc = s[start+n+1] | 0x20
	if enc != 'q' && enc != 'b' || strings.ContainsAny(label, " \t=") {
		return "", 0, "", 0, false
	}
	start += n + 3
	if d.end < start {
		if n := strings.Index(s[start:], "?="); n >= 0 {
			d.end = start + n
		} else {
			d.end = len(s)
		}
	}
	end, next := d.end, min(d.end+2, len(s))
	// Without an end of its own, a word ends before the next one, or if there
	// is none at white space.
	if d.follow < start {
		if n := strings.Index(s[start:], " =?"); n >= 0 {
			d.follow = start + n
		} else {
			d.follow = len(s)
		}
	}
	if d.follow+len(" =?") <= end {
		end, next = d.follow, d.follow
	} else if d.end == len(s) {
		if n := strings.IndexAny(s[start:], " \t"); n >= 0 {
			end, next = start+n, start+n
		}
	}
	return label, enc, s[start:end], next, true
}

// appendQ appends the decoded text of a "Q" word (RFC 2047 section 4.2).
func appendQ(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '_':
			dst = append(dst, ' ')
		case c == '=' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			dst = append(dst, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// appendB appends the decoded text of a "B" word, with or without its padding,
// which may also be between several texts.
func appendB(dst []byte, s string) []byte {
	clean := make([]byte, 0, len(s))
	for piece := range strings.SplitSeq(s, "=") {
		clean = clean[:0]
		for i := range len(piece) {
			if base64Value[piece[i]] >= 0 {
				clean = append(clean, piece[i])
			}
		}
		if len(clean)%4 == 1 { // the first bits of a byte that was cut off
			clean = clean[:len(clean)-1]
		}
		// Only the alphabet is left, so that nothing can fail.
		dst, _ = base64.RawStdEncoding.AppendDecode(dst, clean)
	}
	return dst
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
