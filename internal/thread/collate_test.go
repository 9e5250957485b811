package thread

import (
	"cmp"
	"testing"
)

func TestCollationIsUnicodeCasemap(t *testing.T) {
	tests := []struct {
		name, a, b string
		want       int
	}{
		{"case of ASCII", "Lunch", "lUNCH", 0},
		{"case of Latin letters", "größe", "GRÖßE", 0},
		{"case of Greek and Cyrillic", "αбя", "ΑБЯ", 0},
		{"composed and decomposed", "caf\u00e9", "cafe\u0301", 0},
		{"composed capital and decomposed small", "CAF\u00c9", "cafe\u0301", 0},
		{"digraph in each of three cases", "\u01c4", "\u01c6", 0},
		{"digraph decomposes after its title case", "\u01c4", "Dz\u030c", +1},
		{"Hangul syllable and its letters", "\ud55c", "\u1112\u1161\u11ab", 0},
		{"marks are not reordered", "a\u0301\u0323", "a\u0323\u0301", -1},
		{"full width", "\uff21", "\u0041", 0},
		{"ligature decomposes into small letters", "\ufb01", "fi", +1},
		{"sharp s has no simple title case", "ß", "SS", +1},
		{"letters before the underscore", "z", "_", -1},
		{"accented sorts by its letter", "\u00e9", "f", -1},
		{"prefix first", "a", "ab", -1},
		{"empty first", "", "a", -1},
		{"bytes that are not UTF-8 differ", "\xff", "\xfe", +1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := cmp.Compare(collationKey(tt.a), collationKey(tt.b)); got != tt.want {
				t.Errorf("%q against %q: %d, want %d", tt.a, tt.b, got, tt.want)
			}
		})
	}
}
