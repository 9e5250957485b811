package charset

import (
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/transform"
)

// utf7 decodes UTF-7 (RFC 2152), still sent by old Exchange servers and
// devices. It never encodes it.
type utf7 struct{}

func (utf7) NewDecoder() *encoding.Decoder { return &encoding.Decoder{Transformer: &utf7Decoder{}} }
func (utf7) NewEncoder() *encoding.Encoder { return encoding.Replacement.NewEncoder() }

type utf7Decoder struct {
	shifted bool   // within +…-
	first   bool   // at the first byte after '+'
	bits    uint32 // collected, not yet a UTF-16 unit
	nbits   uint
	high    rune // a first surrogate that waits for the second
}

func (d *utf7Decoder) Reset() { *d = utf7Decoder{} }

// Transform needs, per byte of src, room for at most two runes: a lone
// surrogate's replacement and what follows it.
func (d *utf7Decoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for ; nSrc < len(src); nSrc++ {
		if len(dst)-nDst < 2*utf8.UTFMax {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += d.step(dst[nDst:], src[nSrc])
	}
	return nDst, nSrc, nil
}

// step consumes one byte and returns how many it wrote.
func (d *utf7Decoder) step(dst []byte, c byte) int {
	if !d.shifted {
		switch {
		case c == '+':
			*d = utf7Decoder{shifted: true, first: true}
			return 0
		case c >= utf8.RuneSelf:
			return utf8.EncodeRune(dst, utf8.RuneError)
		}
		dst[0] = c
		return 1
	}
	first := d.first
	d.first = false
	v := base64Value[c]
	if v < 0 {
		d.shifted = false
		n := d.loneSurrogate(dst)
		switch {
		case c == '-' && first:
			dst[n] = '+'
			return n + 1
		case c == '-':
			return n
		case c >= utf8.RuneSelf:
			return n + utf8.EncodeRune(dst[n:], utf8.RuneError)
		}
		dst[n] = c
		return n + 1
	}
	d.bits = d.bits<<6 | uint32(v)
	d.nbits += 6
	if d.nbits < 16 {
		return 0
	}
	d.nbits -= 16
	unit := rune(d.bits >> d.nbits & 0xffff)
	d.bits &= 1<<d.nbits - 1
	if d.high != 0 {
		if r := utf16.DecodeRune(d.high, unit); r != utf8.RuneError {
			d.high = 0
			return utf8.EncodeRune(dst, r)
		}
	}
	n := d.loneSurrogate(dst)
	if unit >= 0xd800 && unit < 0xdc00 {
		d.high = unit
		return n
	}
	return n + utf8.EncodeRune(dst[n:], unit)
}

// loneSurrogate writes U+FFFD if a first surrogate stayed alone.
func (d *utf7Decoder) loneSurrogate(dst []byte) int {
	if d.high == 0 {
		return 0
	}
	d.high = 0
	return utf8.EncodeRune(dst, utf8.RuneError)
}

// base64Value maps the base64 alphabet to its values, all else to -1.
var base64Value = func() (t [256]int8) {
	for i := range t {
		t[i] = -1
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for i := range len(alphabet) {
		t[alphabet[i]] = int8(i)
	}
	return t
}()
