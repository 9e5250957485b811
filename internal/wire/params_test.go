package wire

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestParametersAreDecoded(t *testing.T) {
	for _, tt := range []struct{ what, sent, want string }{
		{"plain", `("CHARSET" "utf-8" "Format" "flowed")`, "charset=utf-8 format=flowed"},
		{"an encoded word", `("name" "=?utf-8?q?=C3=A4.pdf?=")`, "name=ä.pdf"},
		{"raw 8-bit", "(\"name\" \"\xe4.pdf\")", "name=ä.pdf"},
		{"encoded", `("filename*" "utf-8''%C3%A4%20b.pdf")`, "filename=ä b.pdf"},
		{"encoded in another charset", `("FILENAME*" "ISO-8859-1'de'%E4.pdf")`, "filename=ä.pdf"},
		{"encoded without charset", `("filename*" "%C3%A4.pdf")`, "filename=ä.pdf"},
		{"encoded in an unknown charset", `("filename*" "x-none''%C3%A4.pdf")`, "filename=ä.pdf"},
		{"in pieces", `("name*0" "abc" "name*1" "def.pdf")`, "name=abcdef.pdf"},
		{"pieces in any order", `("name*2" "c" "name*0" "a" "name*1" "b")`, "name=abc"},
		{"the tenth piece is not the second", `("n*0" "a" "n*10" "k" "n*1" "b" "n*2" "c")`, "n=abc"},
		{"encoded pieces", `("name*0*" "utf-8''%C3" "name*1*" "%A4" "name*2" ".p%20f")`, "name=ä.p%20f"},
		{"an encoded word in pieces", `("name*0" "=?utf-8?q?=C3=A4" "name*1" ".pdf?=")`, "name=ä.pdf"},
		{"a piece is missing", `("name*0" "a" "name*2" "c")`, "name=a"},
		{"the first piece is missing", `("name*1" "b")`, ""},
		{"a piece comes twice", `("name*0" "a" "name*0" "b" "name*1" "c")`, "name=ac"},
		{"encoded after plain", `("filename" "a.pdf" "filename*" "utf-8''%C3%A4.pdf")`, "filename=ä.pdf"},
		{"encoded before plain", `("filename*" "utf-8''%C3%A4.pdf" "filename" "a.pdf")`, "filename=ä.pdf"},
		{"an apostrophe in the text", `("filename*" "utf-8''it's.pdf")`, "filename=it's.pdf"},
		{"a percent sign of its own", `("filename*" "utf-8''100%.pdf")`, "filename=100%.pdf"},
		{"an asterisk that means nothing", `("a*b" "c")`, "a*b=c"},
		{"a value is NIL", `("boundary" NIL "charset" "x")`, "charset=x"},
		{"the last value is missing", `("charset" "x" "name")`, "charset=x"},
		{"NIL", `NIL`, ""},
	} {
		p := Parser{b: []byte(tt.sent), depth: 1}
		params, ok := p.params()
		var got []string
		for _, name := range slices.Sorted(maps.Keys(params)) {
			got = append(got, name+"="+params[name])
		}
		if !ok || strings.Join(got, " ") != tt.want || len(p.b) > 0 {
			t.Errorf("%s: got %q, %v, left %q; want %s", tt.what, got, ok, p.b, tt.want)
		}
	}
}

func TestManyPiecesTakeLinearTime(t *testing.T) {
	p := Parser{b: []byte("(" + strings.Repeat(`"a*1" "b" `, 100_000) + ")"), depth: 1}
	if got, ok := p.params(); !ok || len(got) != 0 {
		t.Errorf("got %d values, %v", len(got), ok)
	}
}
