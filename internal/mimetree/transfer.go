package mimetree

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Errors of [DecodeTransfer].
var (
	errNotBase64   = errors.New("this is no base64")
	errJunk        = errors.New("characters within the base64 that do not belong there, the data may be damaged")
	errBase64Cut   = errors.New("the base64 ends within a byte, data is missing")
	errBase64After = errors.New("text after the end of the base64 has been left out")
	errNotUU       = errors.New("this is not uuencoded")
	errUUCut       = errors.New("the uuencoded data has no end, some may be missing")
)

// identity lists the names under which mail programs say "not encoded",
// correct ones first.
var identity = map[string]bool{
	"": true, "7bit": true, "8bit": true, "binary": true,
	"7-bit": true, "8-bit": true, "7bits": true, "8bits": true, "none": true, "plain": true, "text/plain": true,
	"utf-8": true, "utf8": true, "us-ascii": true, "iso-8859-1": true,
}

// encodingName takes comments and parameters, which do not belong there, off a
// Content-Transfer-Encoding.
func encodingName(encoding string) string {
	if end := strings.IndexAny(encoding, ";("); end >= 0 {
		encoding = encoding[:end]
	}
	return strings.ToLower(strings.Trim(encoding, " \t\"'"))
}

// DecodeTransfer undoes a Content-Transfer-Encoding (RFC 2045 section 6). With
// an error, it returns what could be decoded, or b itself where nothing could.
// The result shares memory with b if there was nothing to decode.
func DecodeTransfer(encoding string, b []byte) ([]byte, error) {
	switch name := encodingName(encoding); name {
	case "base64", "base-64", "b", "x-base64":
		return decodeBase64(b)
	case "quoted-printable", "quoted printable", "quotedprintable", "qp", "q":
		return decodeQuotedPrintable(b), nil
	case "x-uuencode", "uuencode", "x-uue", "uue":
		return decodeUU(b)
	default:
		if !identity[name] {
			return b, fmt.Errorf("unknown transfer encoding %q", encoding)
		}
		return b, nil
	}
}

func decodeBase64(b []byte) ([]byte, error) {
	out := make([]byte, base64.StdEncoding.DecodedLen(len(b)))
	if n, err := base64.StdEncoding.Decode(out, b); err == nil {
		return out[:n], nil
	}
	return repairBase64(out[:0], b)
}

// repairBase64 decodes what a strict decoder refuses. Characters outside the
// alphabet are skipped, as RFC 2045 section 6.8 wants it, padding is optional.
func repairBase64(out, b []byte) ([]byte, error) {
	clean := make([]byte, 0, len(b))
	junk, words := 0, 0
	rest := []byte(nil)
	for i, c := range b {
		switch {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '+', c == '/':
			clean = append(clean, c)
			continue
		case c == '\r' || c == '\n':
			continue
		case c == '=' && len(clean)%4 >= 2:
			rest = bytes.TrimLeft(b[i:], "= \t\r\n")
		case (c == ' ' || c == '\t') && !betweenWords(b, i):
			continue
		case c == ' ':
			words++
			junk++
			continue
		default:
			junk++
			continue
		}
		break
	}
	// Real base64 is damaged here and there. Where every sixth character
	// makes no sense, or a line has several words, it is something else, mostly
	// plain text.
	if junk*6 > len(clean) || words > 3 && words*32 > len(clean) || len(clean) < 2 && len(clean)+junk > 0 {
		return b, errNotBase64
	}
	var err error
	if junk > 0 {
		err = errJunk
	}
	if len(clean)%4 == 1 {
		clean = clean[:len(clean)-1]
		err = errBase64Cut
	}
	// Only the alphabet is left, so that nothing can fail.
	out, _ = base64.RawStdEncoding.AppendDecode(out, clean)
	if len(rest) > 0 {
		more := make([]byte, base64.StdEncoding.DecodedLen(len(rest)))
		n, moreErr := base64.StdEncoding.Decode(more, rest)
		if moreErr != nil {
			return out, errBase64After
		}
		out = append(out, more[:n]...) // two encodings, one after the other
	}
	return out, err
}

// betweenWords reports whether the blank at b[i] is the first after a word and
// another word follows in the line.
func betweenWords(b []byte, i int) bool {
	if i == 0 || b[i-1] <= ' ' {
		return false
	}
	next := bytes.TrimLeft(b[i:], " \t")
	return len(next) > 0 && next[0] > ' '
}

// decodeQuotedPrintable decodes RFC 2045 section 6.7. What is no valid
// sequence stands for itself.
func decodeQuotedPrintable(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		line := b
		ending := []byte(nil)
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			line, b = b[:i], b[i+1:]
			ending = []byte("\n")
			if i > 0 && line[i-1] == '\r' {
				ending = []byte("\r\n")
			}
		} else {
			b = nil
		}
		line = bytes.TrimRight(line, " \t\r")
		for {
			i := bytes.IndexByte(line, '=')
			if i < 0 {
				break
			}
			out = append(out, line[:i]...)
			line = line[i:]
			if len(line) == 1 { // a soft line break
				line, ending = nil, nil
				break
			}
			if len(line) >= 3 && hexValue[line[1]] >= 0 && hexValue[line[2]] >= 0 {
				out = append(out, byte(hexValue[line[1]]<<4|hexValue[line[2]]))
				line = line[3:]
				continue
			}
			out = append(out, '=')
			line = line[1:]
		}
		out = append(out, line...)
		out = append(out, ending...)
	}
	return out
}

// decodeUU decodes what uuencode makes, from its "begin" to its "end" line.
func decodeUU(b []byte) ([]byte, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, nil
	}
	start := 0
	if !bytes.HasPrefix(b, []byte("begin ")) {
		if start = bytes.Index(b, []byte("\nbegin ")); start < 0 {
			return b, errNotUU
		}
		start++
	}
	out := make([]byte, 0, len(b)/4*3)
	first := true
	for line := range bytes.Lines(b[start:]) {
		if first {
			first = false
			continue
		}
		line = bytes.TrimRight(line, "\r\n")
		if string(line) == "end" {
			return out, nil
		}
		if len(line) == 0 {
			continue
		}
		n := int(line[0]-' ') & 0x3f
		before := len(out)
		for line = line[1:]; len(line) > 0 && len(out)-before < n; {
			var v uint32
			for i := range 4 { // blanks at the end of a line may be lost
				v <<= 6
				if i < len(line) {
					v |= uint32(line[i]-' ') & 0x3f
				}
			}
			out = append(out, byte(v>>16), byte(v>>8), byte(v))
			line = line[min(4, len(line)):]
		}
		out = out[:min(len(out), before+n)]
	}
	return out, errUUCut
}
