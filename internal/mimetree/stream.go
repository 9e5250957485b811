package mimetree

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
)

// streamBlock is how much is decoded at a time.
const streamBlock = 32 << 10

// DecodeStream is [DecodeTransfer] for what is too large for the memory. It is
// more forgiving, because by the time it could know that something is no base64
// at all, most of it would have been handed out. The error is one about the
// encoding: it is unknown, or it cannot be decoded piece by piece.
func DecodeStream(encoding string, r io.Reader) (io.Reader, error) {
	switch name := encodingName(encoding); name {
	case "base64", "base-64", "b", "x-base64":
		return &decodingReader{r: r, decode: base64Piece}, nil
	case "quoted-printable", "quoted printable", "quotedprintable", "qp", "q":
		return &decodingReader{r: r, decode: quotedPrintablePiece}, nil
	case "x-uuencode", "uuencode", "x-uue", "uue":
		return nil, fmt.Errorf("transfer encoding %q cannot be decoded as a stream", encoding)
	default:
		if !identity[name] {
			return nil, fmt.Errorf("unknown transfer encoding %q", encoding)
		}
		return r, nil
	}
}

// A decodingReader decodes what it reads, a block at a time.
type decodingReader struct {
	r io.Reader
	// decode appends to dst what can be decoded of src and returns how much of
	// src that is; with last, all is.
	decode func(dst, src []byte, last bool) (out []byte, used int, err error)

	encoded []byte // read, not decoded
	decoded []byte // storage of ready
	ready   []byte // decoded, not handed out
	err     error  // after ready
}

// Read implements io.Reader.
func (d *decodingReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(d.ready) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		if d.encoded == nil {
			d.encoded = make([]byte, 0, streamBlock)
		}
		var err error
		for err == nil && len(d.encoded) < cap(d.encoded) {
			var n int
			n, err = d.r.Read(d.encoded[len(d.encoded):cap(d.encoded)])
			d.encoded = d.encoded[:len(d.encoded)+n]
		}
		out, used, decodeErr := d.decode(d.decoded[:0], d.encoded, err == io.EOF)
		d.encoded = d.encoded[:copy(d.encoded, d.encoded[used:])]
		d.decoded, d.ready = out, out
		if d.err = err; err == io.EOF && decodeErr != nil {
			d.err = decodeErr
		}
	}
	n := copy(p, d.ready)
	d.ready = d.ready[n:]
	return n, nil
}

// base64Piece decodes whole groups of four characters. Characters outside the
// alphabet are skipped (RFC 2045 section 6.8).
func base64Piece(dst, src []byte, last bool) (out []byte, used int, err error) {
	var group [4]byte
	n := 0
	for i, c := range src {
		switch {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '+', c == '/':
			group[n] = c
			n++
		case c == '=' && n >= 2: // what follows is another encoding
			dst, _ = base64.RawStdEncoding.AppendDecode(dst, group[:n])
			n, used = 0, i+1
		}
		if n == len(group) {
			dst, _ = base64.RawStdEncoding.AppendDecode(dst, group[:])
			n, used = 0, i+1
		}
	}
	switch {
	case n == 0:
		used = len(src)
	case last && n == 1:
		return dst, len(src), errBase64Cut
	case last:
		dst, _ = base64.RawStdEncoding.AppendDecode(dst, group[:n])
		used = len(src)
	case used == 0 && len(src) == cap(src): // a block of junk
		used = len(src) - n
		copy(src[used:], group[:n])
	}
	return dst, used, nil
}

// quotedPrintablePiece decodes whole lines.
func quotedPrintablePiece(dst, src []byte, last bool) (out []byte, used int, err error) {
	used = bytes.LastIndexByte(src, '\n') + 1
	switch {
	case last:
		used = len(src)
	case used == 0 && len(src) == cap(src):
		// A line that fills the block is cut where that changes nothing: neither
		// behind a blank nor within a sequence.
		used = len(bytes.TrimRight(src, " \t\r"))
		if i := bytes.LastIndexByte(src[:used], '='); i > 0 && i > used-3 {
			used = i
		}
		if used == 0 {
			used = len(src)
		}
	}
	return append(dst, decodeQuotedPrintable(src[:used])...), used, nil
}
