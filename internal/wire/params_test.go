package wire

import (
	"maps"
	"strings"
	"testing"
)

func TestParametersAreDecoded(t *testing.T) {
	for name, tt := range map[string]struct {
		sent string
		want map[string]string
	}{
		"plain":                          {`("CHARSET" "utf-8" "Format" "flowed")`, map[string]string{"charset": "utf-8", "format": "flowed"}},
		"encoded word":                   {`("name" "=?utf-8?q?=C3=A4.pdf?=")`, map[string]string{"name": "ä.pdf"}},
		"raw 8-bit":                      {"(\"name\" \"\xe4.pdf\")", map[string]string{"name": "ä.pdf"}},
		"encoded":                        {`("filename*" "utf-8''%C3%A4%20b.pdf")`, map[string]string{"filename": "ä b.pdf"}},
		"encoded in another charset":     {`("FILENAME*" "ISO-8859-1'de'%E4.pdf")`, map[string]string{"filename": "ä.pdf"}},
		"encoded without charset":        {`("filename*" "%C3%A4.pdf")`, map[string]string{"filename": "ä.pdf"}},
		"encoded in an unknown one":      {`("filename*" "x-none''%C3%A4.pdf")`, map[string]string{"filename": "ä.pdf"}},
		"in pieces":                      {`("name*0" "abc" "name*1" "def.pdf")`, map[string]string{"name": "abcdef.pdf"}},
		"pieces in any order":            {`("name*2" "c" "name*0" "a" "name*1" "b")`, map[string]string{"name": "abc"}},
		"more than ten pieces":           {`("n*0" "a" "n*1" "b" "n*10" "k" "n*2" "c" "n*3" "d" "n*4" "e" "n*5" "f" "n*6" "g" "n*7" "h" "n*8" "i" "n*9" "j")`, map[string]string{"n": "abcdefghijk"}},
		"encoded pieces":                 {`("filename*0*" "utf-8''%C3" "filename*1*" "%A4" "filename*2" ".p%20f")`, map[string]string{"filename": "ä.p%20f"}},
		"encoded words in pieces":        {`("filename*0" "=?utf-8?q?=C3=A4" "filename*1" ".pdf?=")`, map[string]string{"filename": "ä.pdf"}},
		"a piece is missing":             {`("name*0" "a" "name*2" "c")`, map[string]string{"name": "a"}},
		"the first piece is missing":     {`("name*1" "b")`, map[string]string{}},
		"a piece comes twice":            {`("name*0" "a" "name*0" "b" "name*1" "c")`, map[string]string{"name": "ac"}},
		"encoded before plain":           {`("filename" "a.pdf" "filename*" "utf-8''%C3%A4.pdf")`, map[string]string{"filename": "ä.pdf"}},
		"encoded before plain, after":    {`("filename*" "utf-8''%C3%A4.pdf" "filename" "a.pdf")`, map[string]string{"filename": "ä.pdf"}},
		"an apostrophe in the text":      {`("filename*" "utf-8''it's.pdf")`, map[string]string{"filename": "it's.pdf"}},
		"a percent sign of its own":      {`("filename*" "utf-8''100%.pdf")`, map[string]string{"filename": "100%.pdf"}},
		"an asterisk that means nothing": {`("a*b" "c")`, map[string]string{"a*b": "c"}},
		"a value is NIL":                 {`("boundary" NIL "charset" "x")`, map[string]string{"charset": "x"}},
		"the last value is missing":      {`("charset" "x" "name")`, map[string]string{"charset": "x"}},
		"NIL":                            {`NIL`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := Parser{b: []byte(tt.sent), depth: 1}
			got, ok := p.params()
			if !ok || !maps.Equal(got, tt.want) || len(p.b) > 0 {
				t.Errorf("%s: got %q, %v, left %q", tt.sent, got, ok, p.b)
			}
		})
	}
}

func TestManyPiecesTakeLinearTime(t *testing.T) {
	p := Parser{b: []byte("(" + strings.Repeat(`"a*1" "b" `, 100_000) + ")"), depth: 1}
	if got, ok := p.params(); !ok || len(got) != 0 {
		t.Errorf("got %d values, %v", len(got), ok)
	}
}
