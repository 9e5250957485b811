package wire

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNamesOfFolders(t *testing.T) {
	for _, tt := range []struct {
		what, raw, name string
		utf8            bool
	}{
		{"ASCII", "Archive/2024", "Archive/2024", false},
		{"modified UTF-7", "Entw&APw-rfe", "Entwürfe", false},
		{"an ampersand", "R&-D", "R&D", false},
		{"a bare ampersand is kept", "R&D", "R&D", false},
		{"UTF-7 that nobody would write is kept", "&AGE-b", "&AGE-b", false},
		{"UTF-7 for a line break is kept", "a&AA0ACg-b", "a&AA0ACg-b", false},
		{"UTF-7 for NUL is kept", "O-&AAA-", "O-&AAA-", false},
		{"the replacement character", "&,,0-", "\ufffd", false},
		{"control characters", "a&AAkAfw-b", "a\t\x7fb", false},
		{"half a surrogate pair is kept", "&2D0-", "&2D0-", false},
		{"Latin-1 is kept", "Entw\xfcrfe", "Entw\xfcrfe", false},
		{"UTF-8 where UTF-7 is due is kept", "Entwürfe", "Entwürfe", false},
		{"UTF-8", "Entwürfe", "Entwürfe", true},
		{"UTF-7 where UTF-8 is due", "Entw&APw-rfe", "Entw&APw-rfe", true},
	} {
		var names Names
		name := names.Decode(tt.raw, tt.utf8)
		if name != tt.name {
			t.Errorf("%s: %q is seen as %q, want %q", tt.what, tt.raw, name, tt.name)
		}
		if raw, ok := names.Encode(name, tt.utf8); !ok || raw != tt.raw {
			t.Errorf("%s: %q is sent as %q, %v; want %q", tt.what, name, raw, ok, tt.raw)
		}
	}
}

func TestNamesThatNoFolderCanHave(t *testing.T) {
	for _, name := range []string{"", "a\x00", "a\r\nk9 LOGOUT", "\xff"} {
		if raw, ok := new(Names).Encode(name, false); ok {
			t.Errorf("%q is sent as %q", name, raw)
		}
	}
}

func TestInboxInAnyCase(t *testing.T) {
	if raw, ok := new(Names).Encode("inbox", false); !ok || raw != "INBOX" {
		t.Errorf("got %q, %v", raw, ok)
	}
}

func TestEveryCharacterHasOneSpelling(t *testing.T) {
	var names Names
	for r := rune(1); r <= utf8.MaxRune; r++ {
		// All of the first plane, the ends of the others and what lies between in steps.
		if r > 0xffff && r&0xfffe != 0xfffe && r%251 != 0 || r >= 0xd800 && r < 0xe000 || strings.ContainsRune(unsendable, r) {
			continue
		}
		name := "a" + string(r) + "&" + string(r) + string(r)
		raw, ok := names.Encode(name, false)
		if !ok || strings.IndexFunc(raw, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
			t.Fatalf("%U: %q is sent as %q, %v", r, name, raw, ok)
		}
		if got := new(Names).Decode(raw, false); got != name {
			t.Fatalf("%U: %q comes back as %q", r, name, got)
		}
		if raw, ok := names.Encode(name, true); !ok || raw != name {
			t.Fatalf("%U: %q is sent as %q, %v", r, name, raw, ok)
		}
	}
}

func TestTwoFoldersNeverShareAName(t *testing.T) {
	spellings := []string{
		"R&D", "R&-D", "R&--D", "R&---D", "&AGE-b", "&-AGE-b", "ab", "Entw\u00fcrfe", "Entw&APw-rfe", "Entw\xfcrfe",
		"Entw&-APw-rfe", "INBOX/&", "INBOX/&-",
	}
	for range len(spellings) { // in different orders
		spellings = append(spellings[1:], spellings[0])
		for _, utf8 := range []bool{false, true} {
			var names Names
			given := make(map[string]string)
			for range 2 { // the second time as the first
				for _, raw := range spellings {
					name := names.Decode(raw, utf8)
					if other, taken := given[name]; taken && other != raw {
						t.Fatalf("%q and %q are both %q", raw, other, name)
					}
					given[name] = raw
				}
			}
			if len(given) != len(spellings) {
				t.Errorf("%d folders have %d names: %q", len(spellings), len(given), given)
			}
			for name, raw := range given {
				if got, ok := names.Encode(name, utf8); !ok || got != raw {
					t.Errorf("%q, which is %q, is sent as %q, %v", name, raw, got, ok)
				}
			}
		}
	}
}

func TestWhatAServerMakesUsRememberIsBounded(t *testing.T) {
	var names Names
	for i := range mostNames + 10 {
		names.Decode(fmt.Sprintf("%d&", i), false)
		names.Decode(fmt.Sprintf("%d&AOQ-", i), false)
	}
	if n := len(names.raw) + len(names.got); n > mostNames {
		t.Errorf("%d names", n)
	}
	names = Names{}
	long := strings.Repeat("&", 1<<20)
	for i := range 100 {
		names.Decode(fmt.Sprintf("%d%s", i, long), false)
		names.Decode(fmt.Sprintf("%d&AOQ-%s", i, long), false)
	}
	if n := len(names.raw) + len(names.got); n > 20 {
		t.Errorf("%d names of a megabyte each", n)
	}
}

func FuzzNamesOfSeveralFolders(f *testing.F) {
	for _, seed := range []string{"R&D|R&-D", "&AGE-b|ab", "Entw\u00fcrfe|Entw&APw-rfe", "\xff|&2D0-|&,,0-", "a&|a&-|a&--"} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, list string, utf8 bool) {
		var names Names
		given := make(map[string]string)
		for raw := range strings.SplitSeq(list, "|") {
			if raw == "" || strings.EqualFold(raw, "INBOX") {
				continue
			}
			name := names.Decode(raw, utf8)
			if other, taken := given[name]; taken && other != raw {
				t.Errorf("%q and %q are both %q", raw, other, name)
			}
			given[name] = raw
		}
		for name, raw := range given {
			if got, ok := names.Encode(name, utf8); got != raw && (ok || !strings.ContainsAny(raw, unsendable)) {
				t.Errorf("%q, which is %q, is sent as %q, %v", name, raw, got, ok)
			}
		}
	})
}
