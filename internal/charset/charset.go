// Package charset turns the text of mail, in whatever charset and however
// mislabelled, into valid UTF-8.
package charset

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
	"golang.org/x/text/runes"
	"golang.org/x/text/transform"
)

// An UnknownError says that text is labelled with a charset nobody knows.
type UnknownError struct {
	Label string // as in the message
}

// Error returns the label.
func (e *UnknownError) Error() string { return fmt.Sprintf("unknown charset %q", e.Label) }

// encodings holds what the WHATWG index, which is asked next, lacks or answers
// differently from what mail needs.
var encodings = map[string]encoding.Encoding{
	// Supersets: mail labelled with the small one often uses the large one.
	"gb2312":         simplifiedchinese.GB18030,
	"gb_2312":        simplifiedchinese.GB18030,
	"gb_2312-80":     simplifiedchinese.GB18030,
	"csgb2312":       simplifiedchinese.GB18030,
	"x-gbk":          simplifiedchinese.GB18030,
	"gbk":            simplifiedchinese.GB18030,
	"cp936":          simplifiedchinese.GB18030,
	"ms936":          simplifiedchinese.GB18030,
	"windows-936":    simplifiedchinese.GB18030,
	"euc-cn":         simplifiedchinese.GB18030,
	"cp949":          korean.EUCKR,
	"ms949":          korean.EUCKR,
	"x-windows-949":  korean.EUCKR,
	"cp950":          traditionalchinese.Big5,
	"x-windows-950":  traditionalchinese.Big5,
	"cp932":          japanese.ShiftJIS,
	"ms_kanji":       japanese.ShiftJIS,
	"iso-2022-jp-1":  japanese.ISO2022JP,
	"iso-2022-jp-2":  japanese.ISO2022JP,
	"iso-2022-jp-3":  japanese.ISO2022JP,
	"iso-2022-jp-ms": japanese.ISO2022JP,
	"cp50220":        japanese.ISO2022JP,
	"cp50221":        japanese.ISO2022JP,
	"latin-1":        charmap.Windows1252,
	"cp850":          charmap.CodePage850,
	"cp437":          charmap.CodePage437,

	// The Encoding Standard has these as "replacement", for the safety of
	// browsers, or reads them in one byte order only.
	"hz-gb-2312": simplifiedchinese.HZGB2312,
	"hz":         simplifiedchinese.HZGB2312,
	"utf-16":     unicode.UTF16(unicode.BigEndian, unicode.UseBOM),
	"utf-32":     utf32.UTF32(utf32.BigEndian, utf32.UseBOM),
	"utf-32be":   utf32.UTF32(utf32.BigEndian, utf32.IgnoreBOM),
	"utf-32le":   utf32.UTF32(utf32.LittleEndian, utf32.IgnoreBOM),

	"utf-7":               utf7{},
	"utf7":                utf7{},
	"unicode-1-1-utf-7":   utf7{},
	"csunicode11utf7":     utf7{},
	"x-unicode-2-0-utf-7": utf7{},
}

// guessed lists the labels that say nothing about bytes above 127.
var guessed = map[string]bool{
	"": true, "us-ascii": true, "ascii": true, "ansi_x3.4-1968": true, "iso646-us": true, "7bit": true,
	"8bit": true, "binary": true, "unknown": true, "unknown-8bit": true, "default": true,
	"x-user-defined": true, "default_charset": true, "none": true, "utf-8": true, "utf8": true,
	"unicode-1-1-utf-8": true, "utf_8": true, "x-utf_8j": true, "utf-8-sig": true,
}

// canonical takes off what does not belong to a label.
func canonical(label string) string {
	return strings.TrimPrefix(strings.ToLower(strings.Trim(label, " \t\r\n\"';")), "charset=")
}

// lookup finds the encoding for a label; nil with known set means that the
// bytes themselves have to tell.
func lookup(label string) (enc encoding.Encoding, known bool) {
	label = canonical(label)
	if guessed[label] {
		return nil, true
	}
	if enc, ok := encodings[label]; ok {
		return enc, true
	}
	if enc, err := htmlindex.Get(label); err == nil && enc != encoding.Replacement {
		return enc, true
	}
	if enc, err := ianaindex.MIME.Encoding(label); err == nil && enc != nil {
		return enc, true
	}
	plain := onlyAlphanumeric(label)
	for _, s := range spellings() {
		if usual := s.pattern.ReplaceAllString(plain, s.label); usual != plain && usual != label {
			return lookup(usual)
		}
	}
	return nil, false
}

type spelling struct {
	pattern *regexp.Regexp
	label   string
}

// spellings are the unusual ones, without blanks and punctuation: "win-1251",
// "ISO 8859-1", "iso-utf-8". Most programs never meet one.
var spellings = sync.OnceValue(func() []spelling {
	return []spelling{
		{regexp.MustCompile(`^.*(?:utf8|65001).*$`), "utf-8"},
		{regexp.MustCompile(`^utf(16|32)(le|be)?$`), "utf-$1$2"},
		{regexp.MustCompile(`^x?(?:win|windows|windowscp|cp|ansi)(125\d|874)$`), "windows-$1"},
		{regexp.MustCompile(`^(?:iso)?8859(1?\d)$`), "iso-8859-$1"},
		{regexp.MustCompile(`^koi8([ru])$`), "koi8-$1"},
		{regexp.MustCompile(`^x?(?:eucjp|ujis|cp51932)$`), "euc-jp"},
		{regexp.MustCompile(`^x?(?:euckr|ksc5601)$`), "euc-kr"},
		{regexp.MustCompile(`^x?shiftjis$`), "shift_jis"},
		{regexp.MustCompile(`^iso2022jp.*$`), "iso-2022-jp"},
		{regexp.MustCompile(`^x?gb(?:2312|18030.*)$`), "gb18030"},
		{regexp.MustCompile(`^tis620$`), "tis-620"},
		{regexp.MustCompile(`^(?:usascii|ascii8bit|xunknown|unknown7bit)$`), "us-ascii"},
	}
})

func onlyAlphanumeric(label string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, label)
}

// Decode converts text in the charset called label to UTF-8. The result is
// valid UTF-8 in any case: what makes no sense becomes U+FFFD, and text of an
// unknown charset, with an [*UnknownError], is treated as if unlabelled.
func Decode(label string, b []byte) (string, error) {
	enc, known := lookup(label)
	if !known {
		return ToUTF8(b), &UnknownError{Label: label}
	}
	if enc == nil {
		return ToUTF8(bytes.TrimPrefix(b, []byte("\ufeff"))), nil
	}
	if isASCII(b) && asciiCompatible(enc) {
		return string(b), nil
	}
	out, err := enc.NewDecoder().Bytes(b)
	if err != nil {
		return ToUTF8(b), fmt.Errorf("charset %q: %w", label, err)
	}
	return string(out), nil
}

// ownLabel finds the charset that HTML names itself.
var ownLabel = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)<meta\s[^>]*charset\s*=(?:["'\s]|&quot;)*([\w:.-]+)`)
})

// maxOwnLabel is how far into HTML its charset is looked for.
const maxOwnLabel = 4096

// DecodeHTML is [Decode] for HTML. Where the label says nothing and the bytes
// are no UTF-8, HTML may know its charset itself.
func DecodeHTML(label string, b []byte) (string, error) {
	if guessed[canonical(label)] && (!utf8.Valid(b) || bytes.IndexByte(b, '\x1b') >= 0) {
		own := ownLabel().FindSubmatch(b[:min(len(b), maxOwnLabel)])
		// That the label could be read tells that it is none of the others.
		if own != nil && !bytes.HasPrefix(bytes.ToLower(own[1]), []byte("utf")) {
			if text, err := Decode(string(own[1]), b); err == nil {
				return text, nil
			}
		}
	}
	return Decode(label, b)
}

// asciiCompatible reports whether bytes below 128 always mean ASCII, unless
// after a byte above 127.
func asciiCompatible(enc encoding.Encoding) bool {
	switch enc {
	case charmap.CodePage037, charmap.CodePage1047, charmap.CodePage1140: // EBCDIC
		return false
	}
	_, single := enc.(*charmap.Charmap)
	return single || enc == simplifiedchinese.GB18030 || enc == korean.EUCKR || enc == traditionalchinese.Big5 ||
		enc == japanese.EUCJP || enc == japanese.ShiftJIS
}

// Reader converts what r gives from the charset called label to UTF-8. It is
// what go-message and mime.WordDecoder take as their CharsetReader. The error
// is an [*UnknownError].
func Reader(label string, r io.Reader) (io.Reader, error) {
	enc, known := lookup(label)
	if !known {
		return nil, &UnknownError{Label: label}
	}
	if enc == nil {
		return transform.NewReader(r, runes.ReplaceIllFormed()), nil
	}
	return enc.NewDecoder().Reader(r), nil
}

// ToUTF8 returns text of no known charset as UTF-8: as it is if it is valid,
// with U+FFFD for the odd broken character, else read as windows-1252, the
// charset of most unlabelled 8-bit mail.
func ToUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	good, bad := 0, 0
	for i := 0; i < len(b); {
		if b[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 {
			bad++
		} else {
			good++
		}
		i += size
	}
	if good > bad {
		return string(bytes.ToValidUTF8(b, []byte("\ufffd")))
	}
	out, err := charmap.Windows1252.NewDecoder().Bytes(b)
	if err != nil {
		return string(bytes.ToValidUTF8(b, []byte("\ufffd")))
	}
	return string(out)
}

func isASCII(b []byte) bool {
	for len(b) >= 8 {
		if (b[0]|b[1]|b[2]|b[3]|b[4]|b[5]|b[6]|b[7])&0x80 != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
