package thread

import (
	"slices"
	"strings"
	"testing"
)

func TestParseReferences(t *testing.T) {
	tests := []struct {
		name, in string
		want     []string
	}{
		{"empty", "", nil},
		{"one", "<a@b>", []string{"a@b"}},
		{"several, folded", "<a@b> <c@d>\r\n\t<e@f>", []string{"a@b", "c@d", "e@f"}},
		{"nothing between", "<a@b><c@d>", []string{"a@b", "c@d"}},
		{"commas between", "<a@b>, <c@d>", []string{"a@b", "c@d"}},
		{"the same twice", "<a@b> <a@b>", []string{"a@b", "a@b"}},
		{"words around", `Your message of "Mon, 1 Jan" <a@b> (by Joe)`, []string{"a@b"}},
		{"case differs", "<A@b>", []string{"A@b"}},
		{"quoting is taken away", `<"01KF8JCEOCBS0045PS"@xxx.yyy.com>`, []string{"01KF8JCEOCBS0045PS@xxx.yyy.com"}},
		{"quoted pair", `<"a\"b\\c"@d>`, []string{`a"b\c@d`}},
		{"quoted at sign", `<"a@b"@c>`, []string{"a@b@c"}},
		{"backslash without quotes", `<a\b@c>`, []string{`a\b@c`}},
		{"domain literal", "<a@[127.0.0.1]>", []string{"a@[127.0.0.1]"}},
		{"folded in the middle", "<abc\r\n def@ghi >", []string{"abcdef@ghi"}},
		{"no at sign", "<abc> <a@b>", []string{"a@b"}},
		{"nothing left of the at sign", "<@b>", nil},
		{"nothing right of the at sign", "<a@>", nil},
		{"only quotes left of the at sign", `<""@b>`, nil},
		{"no brackets", "a@b", nil},
		{"not closed", "<a@b", nil},
		{"not closed, then another", "<a@b <c@d>", []string{"c@d"}},
		{"not opened, then another", "a@b> <c@d>", []string{"c@d"}},
		{"double brackets", "<<a@b>>", []string{"a@b"}},
		{"quote not closed", `<"a@b> <c@d>`, []string{"a@b", "c@d"}},
		{"backslash at the end", `<"a@b\>`, []string{"a@b"}},
		{"quoted line break", "<\"a\\\r\n b\"@c>", []string{"ab@c"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := ParseReferences(tt.in); !slices.Equal(got, tt.want) {
				t.Errorf("ParseReferences(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestParseReferencesIsLinearOnHostileInput(t *testing.T) {
	const n = 1 << 20
	tests := []struct {
		part string
		want int
	}{
		{"<", 0}, {">", 0}, {`<"`, 0}, {`"`, 0}, {"<a@b>", n}, {"<>", 0}, {"(", 0}, {`\`, 0},
	}
	for _, tt := range tests {
		if got := ParseReferences(strings.Repeat(tt.part, n)); len(got) != tt.want {
			t.Errorf("%d times %q: %d IDs, want %d", n, tt.part, len(got), tt.want)
		}
	}
}

func FuzzParseReferences(f *testing.F) {
	for _, s := range []string{"", "<a@b> <c@d>", `<"a\"b"@c>`, "<<a@b>", "<a@\r\n b>", `<"\>`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		length := 0
		for _, id := range ParseReferences(s) {
			length += len(id) + len("<>")
			if strings.ContainsAny(id, "<>\r\n") {
				t.Errorf("%q has the ID %q", s, id)
			}
			if at := strings.LastIndexByte(id, '@'); at <= 0 || at == len(id)-1 {
				t.Errorf("%q has the ID %q, of which a side is empty", s, id)
			}
		}
		if length > len(s) {
			t.Errorf("%q has %d bytes of IDs", s, length)
		}
	})
}
