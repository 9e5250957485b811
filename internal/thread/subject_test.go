package thread

import (
	"strings"
	"testing"
)

func TestBaseSubject(t *testing.T) {
	tests := []struct {
		name, in, want string
		reply          bool
	}{
		{"empty", "", "", false},
		{"plain", "Lunch", "Lunch", false},
		{"case is kept", "LuNcH", "LuNcH", false},
		{"spaces only", " \t ", "", false},
		{"spaces around", "  Lunch ", "Lunch", false},
		{"runs of spaces and tabs", "a \t b\tc", "a b c", false},
		{"continuation", "a\r\n b\r\n\tc", "a b c", false},
		{"non-ASCII is kept", "re: Größe  日本", "Größe 日本", true},

		{"trailer", "Lunch (fwd)", "Lunch", true},
		{"trailer without space", "Lunch(FWD)", "Lunch", true},
		{"several trailers", "Lunch (fwd) (Fwd)  ", "Lunch", true},
		{"only a trailer", "(fwd)", "", true},
		{"trailer in the middle", "a (fwd) b", "a (fwd) b", false},

		{"re", "Re: Lunch", "Lunch", true},
		{"fw", "FW: Lunch", "Lunch", true},
		{"fwd", "fwd: Lunch", "Lunch", true},
		{"without space", "re:Lunch", "Lunch", true},
		{"space before the colon", "re \t: Lunch", "Lunch", true},
		{"several", "Re: FW: re:fwd: Lunch", "Lunch", true},
		{"only a mark", "Re:", "", true},
		{"mark and trailer", "re: (fwd)", "", true},
		{"blob before the colon", "Re [2]: Lunch", "Lunch", true},
		{"blob and space before the colon", "Re[2] : Lunch", "Lunch", true},
		{"two blobs before the colon", "Re[2][3]: Lunch", "Re[2][3]: Lunch", false},
		{"number before the colon", "Re2: Lunch", "Re2: Lunch", false},
		{"word that begins like a mark", "reason: none", "reason: none", false},
		{"mark without colon", "re Lunch", "re Lunch", false},
		{"other languages have no marks", "AW: Lunch", "AW: Lunch", false},
		{"mark at the end", "Lunch re:", "Lunch re:", false},

		{"blob", "[list] Lunch", "Lunch", false},
		{"several blobs", "[a] [b][c]Lunch", "Lunch", false},
		{"blob then mark", "[list] Re: Lunch", "Lunch", true},
		{"blobs then mark", "[a][b] [c] re: Lunch", "Lunch", true},
		{"mark then blob", "Re: [list] Lunch", "Lunch", true},
		{"marks and blobs in turn", "Re: [a] Fw: [b] Re[3]: Lunch", "Lunch", true},
		{"only a blob", "[list]", "[list]", false},
		{"the last of only blobs", "[a] [b]", "[b]", false},
		{"mark and only a blob", "Re: [list]", "[list]", true},
		{"blob then only a mark", "[list] Re:", "", true},
		{"empty blob", "[] Lunch", "Lunch", false},
		{"blob in the middle", "a [b] c", "a [b] c", false},
		{"blob not closed", "[list Lunch", "[list Lunch", false},
		{"blob in a blob", "[a[b]] Lunch", "[a[b]] Lunch", false},
		{"mark behind a bad blob", "[a[ re: Lunch", "[a[ re: Lunch", false},

		{"forward", "[fwd: Lunch]", "Lunch", true},
		{"forward, another case", "[FWD:Lunch]", "Lunch", true},
		{"nothing forwarded", "[fwd:]", "", true},
		{"forward of a reply", "[fwd: Re: Lunch]", "Lunch", true},
		{"reply to a forward", "Re: [fwd: Lunch]", "Lunch", true},
		{"blob before a forward", "[list] [fwd: Lunch]", "Lunch", true},
		{"forward of a forward", "[fwd: [fwd: Lunch]]", "Lunch", true},
		{"everything nested", "[a] Re: [Fwd: [b] fw: [fwd: Lunch (fwd)] (fwd)] (fwd)", "Lunch", true},
		{"forward with text behind is a blob", "[fwd: a] Lunch", "Lunch", false},
		{"forward not closed", "[fwd: Lunch", "[fwd: Lunch", false},
		{"forward with a blob in it", "[fwd: a [b]", "a [b", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, reply := BaseSubject(tt.in)
			if got != tt.want || reply != tt.reply {
				t.Errorf("BaseSubject(%q) = %q, %v; want %q, %v", tt.in, got, reply, tt.want, tt.reply)
			}
		})
	}
}

// hostileSubjects are long enough that an algorithm which looks at parts again
// and again would not finish.
func hostileSubjects() map[string]string {
	const n = 1 << 20
	repeat := func(s string) string { return strings.Repeat(s, n/len(s)) }
	return map[string]string{
		"blobs":                          repeat("[a]"),
		"blobs, then text":               repeat("[a]") + "x",
		"blobs, then a mark cut short":   repeat("[a]") + "re [" + repeat("a"),
		"open brackets":                  repeat("["),
		"an open bracket and text":       "[" + repeat("a"),
		"marks":                          repeat("re:"),
		"marks and blobs":                repeat("[a]re:"),
		"trailers":                       repeat("(fwd)"),
		"spaces":                         "a" + repeat(" ") + "b",
		"nested forwards":                repeat("[fwd:") + repeat("]"),
		"nested forwards and trailers":   repeat("[fwd:") + repeat("](fwd)"),
		"nested forwards with a reply":   repeat("[a][fwd: re:") + repeat("]"),
		"nested forwards and open blobs": repeat("[fwd:[a ") + repeat("]"),
	}
}

func TestBaseSubjectIsLinearOnHostileInput(t *testing.T) {
	for name, s := range hostileSubjects() {
		t.Run(name, func(t *testing.T) {
			base, _ := BaseSubject(s)
			if len(base) > len(s) {
				t.Errorf("grew from %d to %d bytes", len(s), len(base))
			}
		})
	}
}

func FuzzBaseSubject(f *testing.F) {
	for _, s := range []string{"", "Re: [a] [fwd: x (fwd)]", "[a][b]re[c]:d", "a\r\n\tb", "[fwd:[fwd:]]", "\xff re:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		base, reply := BaseSubject(s)
		again, againReply := BaseSubject(base)
		if again != base || againReply {
			t.Errorf("base subject of %q is %q, of which it is %q, %v", s, base, again, againReply)
		}
		if plain := singleSpaces(s); !strings.Contains(plain, base) {
			t.Errorf("base subject %q is not a part of %q", base, plain)
		} else if stripped := strings.Trim(plain, " "); !reply && len(base) < len(stripped) && stripped[0] != '[' {
			t.Errorf("%q lost more than blobs without a mark of a reply: %q", s, base)
		}
	})
}

func BenchmarkBaseSubject(b *testing.B) {
	for b.Loop() {
		BaseSubject("[list] Re: [Fwd: Lunch on Thursday (fwd)]")
	}
}
