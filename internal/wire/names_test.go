package wire

import "testing"

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
