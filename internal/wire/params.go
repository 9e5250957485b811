package wire

import (
	"bytes"
	"math"
	"slices"
	"strings"

	"github.com/imapkit/imapkit/internal/charset"
)

// params reads a list of names and values. Names are in lower case; values that
// are encoded or cut into pieces (RFC 2231) are decoded under their plain name.
func (p *Parser) params() (map[string]string, bool) {
	if !p.accept('(') {
		s, null, ok := p.str()
		return nil, ok && (null || len(s) == 0)
	}
	var params map[string]string
	var pieces []piece
	for !p.accept(')') {
		name, _, ok := p.str()
		if !ok {
			return nil, false
		}
		if p.accept(')') { // a name without a value
			break
		}
		value, null, ok := p.str()
		if !ok {
			return nil, false
		}
		if null {
			continue
		}
		if params == nil {
			params = make(map[string]string)
		}
		if bytes.IndexByte(name, '*') > 0 {
			if piece, ok := newPiece(name, value); ok {
				pieces = append(pieces, piece)
				continue
			}
		}
		params[paramName(name)] = charset.DecodeHeaderBytes(value)
	}
	joinPieces(params, pieces)
	return params, true
}

// paramName returns a name in lower case, without allocating for those that
// come often.
func paramName(b []byte) string {
	for _, known := range [...]struct{ upper, lower string }{
		{"CHARSET", "charset"}, {"NAME", "name"}, {"FILENAME", "filename"}, {"BOUNDARY", "boundary"},
		{"FORMAT", "format"}, {"SIZE", "size"},
	} {
		if equalFold(b, known.upper) {
			return known.lower
		}
	}
	return strings.ToLower(string(b))
}

// A piece is a value under a name such as filename*, filename*0 or filename*0*.
type piece struct {
	name    string
	number  int
	encoded bool
	value   []byte
}

func newPiece(name, value []byte) (piece, bool) {
	base, rest, _ := bytes.Cut(name, []byte("*"))
	pc := piece{name: paramName(base), value: value, encoded: len(rest) == 0}
	if len(rest) > 0 {
		number, encoded := bytes.CutSuffix(rest, []byte("*"))
		n, ok := parseNumber(number)
		if !ok || n > math.MaxInt32 {
			return pc, false
		}
		pc.number, pc.encoded = int(n), encoded
	}
	return pc, true
}

// joinPieces puts the pieces together that belong to one name, up to the first
// that is missing. The result takes precedence over a value under the plain
// name, which is for programs that cannot read it.
func joinPieces(params map[string]string, pieces []piece) {
	slices.SortStableFunc(pieces, func(a, b piece) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return a.number - b.number
	})
	for len(pieces) > 0 {
		n := 1
		for n < len(pieces) && pieces[n].name == pieces[0].name {
			n++
		}
		if value, ok := join(pieces[:n]); ok {
			params[pieces[0].name] = value
		}
		pieces = pieces[n:]
	}
}

// join returns the value that pieces of one name, in order, make up.
func join(pieces []piece) (string, bool) {
	if pieces[0].number != 0 {
		return "", false
	}
	var label string
	var text []byte
	encoded := false
	next := 0
	for _, pc := range pieces {
		if pc.number < next { // again
			continue
		}
		if pc.number > next {
			break
		}
		value := pc.value
		if pc.encoded {
			// charset'language'text; only the first piece has it.
			if parts := bytes.SplitN(value, []byte("'"), 3); next == 0 && len(parts) == 3 {
				label, value = string(parts[0]), parts[2]
			}
			value = unescapePercent(value)
			encoded = true
		}
		text = append(text, value...)
		next++
	}
	if !encoded { // some programs cut encoded words into pieces
		return charset.DecodeHeaderBytes(text), true
	}
	s, _ := charset.Decode(label, text) // of an unknown charset it is the best guess
	return s, true
}

func unescapePercent(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '%' && i+2 < len(b) {
			hi, ok1 := hexDigit(b[i+1])
			lo, ok2 := hexDigit(b[i+2])
			if ok1 && ok2 {
				out = append(out, hi<<4|lo)
				i += 2
				continue
			}
		}
		out = append(out, b[i])
	}
	return out
}

func hexDigit(ch byte) (byte, bool) {
	switch {
	case ch >= '0' && ch <= '9':
		return ch - '0', true
	case ch|0x20 >= 'a' && ch|0x20 <= 'f':
		return ch | 0x20 - 'a' + 10, true
	}
	return 0, false
}
