// Package rfc5322 reads the header of mail: fields, addresses, identifiers and
// dates. It takes whatever mail programs have put there and never fails.
package rfc5322

import (
	"bytes"
	"strings"
)

// A Scanner cuts a message into the fields of its header and its body. Line
// ends are CRLF or bare LF. Lines that are no fields are taken as badly folded
// where more of the header follows, else as the begin of the body.
type Scanner struct {
	// Damaged is set when text follows the fields without an empty line.
	Damaged bool

	b   []byte
	pos int
}

// NewScanner returns a Scanner that reads the header at the begin of b.
func NewScanner(b []byte) Scanner { return Scanner{b: b} }

// Lead returns how many bytes precede the header of a whole message without
// belonging to it: a byte order mark, the separator of a Unix mailbox file, or
// a single line of another program, such as an answer of a POP server.
func Lead(b []byte) int {
	n := 0
	if bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) {
		n = 3
	}
	for bytes.HasPrefix(b[n:], []byte("From ")) || bytes.HasPrefix(b[n:], []byte(">From ")) {
		n += lineEnd(b[n:])
	}
	if first := b[n:]; len(first) > 0 && fieldName(first) < 0 && !isBlankLine(first) {
		end := lineEnd(first)
		second := first[end:]
		if fieldName(second) >= 0 && continues(second[lineEnd(second):]) {
			n += end
		}
	}
	return n
}

func (s *Scanner) rest() []byte { return s.b[s.pos:] }

// Body returns how many bytes the header takes up, its empty line included,
// once Next has returned false.
func (s *Scanner) Body() int { return s.pos }

// Next returns the next field with all its lines, or false at the end of the
// header.
func (s *Scanner) Next() (Field, bool) {
	rest := s.rest()
	end := lineEnd(rest)
	line := rest[:end]
	switch {
	case end == 0:
		return Field{}, false
	case isBlank(line):
		s.pos += end
		return Field{}, false
	}
	colon := fieldName(line)
	if colon < 0 {
		s.Damaged = true
		return Field{}, false
	}
	for end < len(rest) {
		next := rest[end:]
		n := lineEnd(next)
		if isBlank(next[:n]) {
			// White space alone is a folded line only if the header goes on.
			if !isSpace(next[0]) || !continues(next[n:]) {
				break
			}
		} else if !isSpace(next[0]) {
			if fieldName(next) >= 0 || bytes.HasPrefix(next, []byte("--")) || !endsFolding(next[n:]) {
				break
			}
		}
		end += n
	}
	s.pos += end
	return Field{Raw: rest[:end], colon: colon}, true
}

// continues reports whether b begins with a field or a folded line.
func continues(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	return fieldName(b) >= 0 || isSpace(b[0]) && !isBlankLine(b)
}

// maxUnfolded bounds the lines of a field that were folded without a blank.
const maxUnfolded = 16

// endsFolding reports whether a line before b that looks like text can be part
// of a field. Before the last line that is certain if a field follows, or the
// end of the header; several lines are the body unless a field follows that
// hardly begins a line of text.
func endsFolding(b []byte) bool {
	if fieldName(b) >= 0 || isBlankLine(b) {
		return true
	}
	for range maxUnfolded {
		if len(b) == 0 || isBlankLine(b) || bytes.HasPrefix(b, []byte("--")) {
			return false
		}
		if colon := fieldName(b); colon >= 0 {
			return unmistakable[strings.ToLower(string(b[:colon]))]
		}
		b = b[lineEnd(b):]
	}
	return false
}

var unmistakable = map[string]bool{
	"content-type": true, "content-transfer-encoding": true, "content-disposition": true, "mime-version": true,
	"message-id": true, "received": true, "return-path": true, "reply-to": true, "in-reply-to": true,
	"references": true, "from": true, "to": true, "cc": true, "date": true, "subject": true, "x-mailer": true,
}

func isBlankLine(b []byte) bool {
	return len(b) > 0 && isBlank(b[:lineEnd(b)])
}

// isBlank reports whether a line holds nothing but white space.
func isBlank(line []byte) bool {
	for _, c := range line {
		if !isSpace(c) && c != '\r' && c != '\n' {
			return false
		}
	}
	return true
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// lineEnd returns the length of the first line of b, its end included.
func lineEnd(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	return len(b)
}

// maxFieldName bounds the name of a field; a longer one is text with a colon.
const maxFieldName = 128

// fieldName returns where the colon of the field is that b begins with, or -1.
// Blanks before the colon are allowed (RFC 5322 section 4.5). A line that
// begins with two hyphens is a boundary, whatever it contains.
func fieldName(b []byte) int {
	if bytes.HasPrefix(b, []byte("--")) {
		return -1
	}
	blank := false
	for i, c := range b[:min(len(b), maxFieldName)] {
		switch {
		case c == ':':
			if i == 0 {
				return -1
			}
			return i
		case isSpace(c):
			if i == 0 {
				return -1
			}
			blank = true
		case c < '!' || c > '~' || blank:
			return -1
		}
	}
	return -1
}

// A Field is one field of a header.
type Field struct {
	Raw   []byte // as in the message, all lines with their ends
	colon int
}

// Is reports whether the field has this name, in whatever case.
func (f Field) Is(name string) bool {
	n := f.colon
	for n > 0 && isSpace(f.Raw[n-1]) {
		n--
	}
	if n != len(name) {
		return false
	}
	for i := range n {
		if lower(f.Raw[i]) != lower(name[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// Value returns what follows the colon, unfolded, without the blanks around
// it. Nothing is decoded.
func (f Field) Value() string {
	v := bytes.TrimSpace(f.Raw[f.colon+1:])
	if bytes.IndexByte(v, '\n') < 0 {
		return string(v)
	}
	var b strings.Builder
	b.Grow(len(v))
	for line := range bytes.Lines(v) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.Write(line)
		}
	}
	return b.String()
}
