package imapkittest

import (
	"slices"
	"strings"
	"testing"
)

func TestParseStrings(t *testing.T) {
	tests := []struct {
		args string
		want []string // nil: malformed
	}{
		{"a b", []string{"a", "b"}},
		{`"a b" c`, []string{"a b", "c"}},
		{`"a\"b\\" ""`, []string{`a"b\`, ""}},
		{"{3}\r\na b {0+}\r\n", []string{"a b", ""}},
		{"", nil},
		{"a  b", nil},
		{"a ", nil},
		{`"a`, nil},
		{`"a\`, nil},
		{`"a"b`, nil},
		{`a"b`, nil},
		{"{3}", nil},
		{"{3}\r\nab", nil},
		{"{x}\r\nab", nil},
	}
	for _, test := range tests {
		got, ok := parseStrings(test.args)
		if ok != (test.want != nil) || !slices.Equal(got, test.want) {
			t.Errorf("%q: got %q, %v, want %q", test.args, got, ok, test.want)
		}
	}
}

func FuzzParseStrings(f *testing.F) {
	for _, seed := range []string{
		"user password", `"u" {1}` + "\r\nx", `"a\"`, "{99999999999999999999}\r\n", "{3+}\r\nabc d",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, args string) {
		words, ok := parseStrings(args)
		if ok == (words == nil) {
			t.Errorf("%q: %q, %v", args, words, ok)
		}
		if total := len(strings.Join(words, "")); total > len(args) {
			t.Errorf("%q: %d bytes out of %d", args, total, len(args))
		}
	})
}
