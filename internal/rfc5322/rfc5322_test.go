package rfc5322

import (
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"
)

func TestHeaderIsCutIntoFieldsAndBody(t *testing.T) {
	tests := []struct {
		name, in string
		fields   []string // name=value
		body     string
		damaged  bool
	}{
		{"a header", "A: 1\r\nB: 2\r\n\r\nbody", []string{"A=1", "B=2"}, "body", false},
		{"bare LF", "A: 1\nB: 2\n\nbody", []string{"A=1", "B=2"}, "body", false},
		{"folded lines", "A: 1\r\n 2\r\n\t3\r\n\r\nbody", []string{"A=1 2 3"}, "body", false},
		{"a value on the next line", "A:\r\n 1\r\n\r\n", []string{"A=1"}, "", false},
		{"an empty value", "A:\r\n\r\n", []string{"A="}, "", false},
		{"a blank before the colon", "A : 1\r\n\r\n", []string{"A=1"}, "", false},
		{"no body", "A: 1\r\n", []string{"A=1"}, "", false},
		{"cut within a field", "A: 1\r\nB", []string{"A=1"}, "B", true},
		{"nothing", "", nil, "", false},
		{"an empty header", "\r\nbody", nil, "body", false},
		{"no header", "Hello Ben,\r\nhow are you?\r\n", nil, "Hello Ben,\r\nhow are you?\r\n", true},
		{"text without an empty line before it", "A: 1\r\nHello\r\nBen\r\n", []string{"A=1"}, "Hello\r\nBen\r\n", true},
		{"folding that lost its blank", "A: 1\r\nmore\r\nB: 2\r\n\r\nbody", []string{"A=1 more", "B=2"}, "body", false},
		{"the same at the end", "A: 1\r\nmore\r\n\r\nbody", []string{"A=1 more"}, "body", false},
		{"several such lines", "A: 1\r\nmore\r\nand more\r\nSubject: x\r\nB: 2\r\n\r\nbody", []string{"A=1 more and more", "B=2"}, "body", false},
		{"text with a field in it", "A: 1\r\nHello\r\nBen\r\nPS: bye\r\n\r\n", []string{"A=1"}, "Hello\r\nBen\r\nPS: bye\r\n\r\n", true},
		{"text with a paragraph of fields", "A: 1\r\nHello\r\nBen\r\n\r\nFrom: jo\r\n", []string{"A=1"}, "Hello\r\nBen\r\n\r\nFrom: jo\r\n", true},
		{"a blank line that is folded", "A: 1\r\n \r\nB: 2\r\n\r\nbody", []string{"A=1", "B=2"}, "body", false},
		{"a blank line that ends the header", "A: 1\r\n \r\nbody", []string{"A=1"}, "body", false},
		{"a boundary instead of the empty line", "A: 1\r\n--b: c\r\n", []string{"A=1"}, "--b: c\r\n", true},
		{"text with a colon is no field", "A: 1\r\nDear all: hello\r\n\tyou", []string{"A=1"}, "Dear all: hello\r\n\tyou", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := NewScanner([]byte(tt.in))
			var fields []string
			for {
				f, ok := s.Next()
				if !ok {
					break
				}
				for _, name := range []string{"a", "B", "c"} {
					if f.Is(name) {
						fields = append(fields, strings.ToUpper(name)+"="+f.Value())
					}
				}
			}
			if !reflect.DeepEqual(fields, tt.fields) {
				t.Errorf("fields %q, want %q", fields, tt.fields)
			}
			if body := tt.in[s.Body():]; body != tt.body {
				t.Errorf("body %q, want %q", body, tt.body)
			}
			if s.Damaged != tt.damaged {
				t.Errorf("damaged %v, want %v", s.Damaged, tt.damaged)
			}
		})
	}
}

func TestLeadIsWhatDoesNotBelongToTheMessage(t *testing.T) {
	tests := []struct{ name, lead, message string }{
		{"nothing", "", "A: 1\r\n\r\n"},
		{"byte order mark", "\xef\xbb\xbf", "A: 1\r\n\r\n"},
		{"mailbox separators", "From a@b Tue Jul  1\n>From c@d\n", "A: 1\n\n"},
		{"answer of a POP server", "+OK 120 octets\r\n", "A: 1\r\nB: 2\r\n\r\n"},
		{"a message without a header", "", "Hello Ben,\r\nhow are you?\r\n"},
		{"text and a line with a colon", "", "Hello Ben,\r\nPS: bye\r\n\r\n"},
		{"empty header", "", "\r\nA: 1\r\nB: 2\r\n"},
	}
	for _, tt := range tests {
		if n := Lead([]byte(tt.lead + tt.message)); n != len(tt.lead) {
			t.Errorf("%s: %d bytes, want %d", tt.name, n, len(tt.lead))
		}
	}
}

func TestAddresses(t *testing.T) {
	jo := imap.Address{Name: "Jo Doe", Mailbox: "jo", Host: "example.org"}
	bare := imap.Address{Mailbox: "jo", Host: "example.org"}
	tests := []struct {
		in   string
		want []imap.Address
	}{
		{"", nil},
		{" , ;", nil},
		{"jo@example.org", []imap.Address{bare}},
		{"<jo@example.org>", []imap.Address{bare}},
		{"Jo  Doe <jo@example.org>", []imap.Address{jo}},
		{`"Jo Doe" <jo@example.org>`, []imap.Address{jo}},
		{`'Jo Doe' <'jo@example.org'>`, []imap.Address{{Name: "'Jo Doe'", Mailbox: "jo", Host: "example.org"}}},
		{"jo@example.org (Jo Doe)", []imap.Address{jo}},
		{"(Jo (the first) Doe) jo@example.org", []imap.Address{{Name: "Jo (the first) Doe", Mailbox: "jo", Host: "example.org"}}},
		{"Jo Doe jo@example.org", []imap.Address{jo}},
		{"Jo Doe <jo@example.org", []imap.Address{jo}},
		{`Jo Doe" <jo@example.org>`, []imap.Address{jo}},
		{"jo @ example.org", []imap.Address{bare}},
		{"<@a.example,@b.example:jo@example.org>", []imap.Address{bare}},
		{"jo@example.org; jo@example.org", []imap.Address{bare, bare}},
		{"jo@example.org,, jo@example.org,", []imap.Address{bare, bare}},
		{`"Doe, Jo \"J\"" <jo@example.org>`, []imap.Address{{Name: `Doe, Jo "J"`, Mailbox: "jo", Host: "example.org"}}},
		{`"jo@home" <jo@example.org>`, []imap.Address{{Name: "jo@home", Mailbox: "jo", Host: "example.org"}}},
		{`"jo doe"@example.org`, []imap.Address{{Mailbox: "jo doe", Host: "example.org"}}},
		{`<"jo\"\\"@example.org>`, []imap.Address{{Mailbox: `jo"\`, Host: "example.org"}}},
		{"jo@example.org (Jo\t Doe)", []imap.Address{jo}},
		{`"jo@home"@example.org`, []imap.Address{{Mailbox: "jo@home", Host: "example.org"}}},
		{`"jo@example.org"`, []imap.Address{bare}},
		{"jo@[IPv6:2001:db8::1]", []imap.Address{{Mailbox: "jo", Host: "[IPv6:2001:db8::1]"}}},
		{"=?utf-8?q?J=C3=B6?= =?utf-8?q?_D?= <jo@example.org>", []imap.Address{{Name: "Jö D", Mailbox: "jo", Host: "example.org"}}},
		{"=?utf-8?q?Doe, Jo <x>?= <jo@example.org>", []imap.Address{{Name: "Doe, Jo <x>", Mailbox: "jo", Host: "example.org"}}},
		{"J\xf6 <jo@example.org>", []imap.Address{{Name: "Jö", Mailbox: "jo", Host: "example.org"}}},
		{"jö@exämple.org", []imap.Address{{Mailbox: "jö", Host: "exämple.org"}}},
		{"Jo Doe <jo@example.org>Al <al@example.org>", []imap.Address{jo, {Name: "Al", Mailbox: "al", Host: "example.org"}}},
		{`"Jo Doe" jo@example.org`, []imap.Address{jo}},
		{`"jo@example.org, Doe"`, []imap.Address{{Name: "Doe", Mailbox: "jo", Host: "example.org"}}},
		{"Jo Doe <<jo@example.org>>", []imap.Address{jo}},
		{"Jo Doe jo@example.org>", []imap.Address{jo}},
		{"Jo Doe <jo(at home)@example(a (b)).org>", []imap.Address{jo}},
		{"jo@example . org", []imap.Address{bare}},
		{"Jo Doe <jo@example. org>", []imap.Address{jo}},
		{"root", []imap.Address{{Name: "root"}}},
		{"Charlie <root>", []imap.Address{{Name: "Charlie <root>"}}},
		{"<>", nil},
		{`"Jo Doe" <>`, []imap.Address{{Name: "Jo Doe"}}},
		{"jo@example.org <>", []imap.Address{bare}},
		{"Friends: jo@example.org, Jo Doe <jo@example.org>;, jo@example.org",
			[]imap.Address{{Mailbox: "Friends"}, bare, jo, {}, bare}},
		{"Undisclosed recipients:;", []imap.Address{{Mailbox: "Undisclosed recipients"}, {}}},
		{"Open: jo@example.org", []imap.Address{{Mailbox: "Open"}, bare, {}}},
	}
	for _, tt := range tests {
		if got := ParseAddresses(tt.in); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("ParseAddresses(%q) =\n%+v, want\n%+v", tt.in, got, tt.want)
		}
	}
}

func TestMessageIDs(t *testing.T) {
	tests := []struct {
		in   string
		want []string
	}{
		{"", nil},
		{"<a@b>", []string{"a@b"}},
		{"<a@b> <c@d>", []string{"a@b", "c@d"}},
		{"<a@b>,<c@d>", []string{"a@b", "c@d"}},
		{"Your message of Monday <a@b>", []string{"a@b"}},
		{"< a@ b >", []string{"a@b"}},
		{"<a@b", []string{"a@b"}},
		{"a@b", []string{"a@b"}},
		{"your message of Monday", nil},
		{"<>", nil},
	}
	for _, tt := range tests {
		if got := MessageIDs(tt.in); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("MessageIDs(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestDates(t *testing.T) {
	at := func(offset int) time.Time {
		return time.Date(2003, 7, 1, 10, 52, 37, 0, time.FixedZone("", offset))
	}
	tests := []struct {
		in   string
		want time.Time
	}{
		{"Tue, 1 Jul 2003 10:52:37 +0200", at(7200)},
		{"Tue, 1 Jul 2003 10:52:37 +0200 (CEST)", at(7200)},
		{"Tue,1 Jul 2003 10:52:37 -0330", at(-12600)},
		{"1 July 2003 10:52:37 GMT", at(0)},
		{"01 jul 03 10:52:37 UT", at(0)},
		{"Tue, 01 Jul 2003 10:52:37 EST", at(-5 * 3600)},
		{"Tue, 01 Jul 2003 10:52:37 PDT", at(-7 * 3600)},
		{"Tue, 01 Jul 2003 10:52:37 GMT+0200", at(7200)},
		{"Tue, 01 Jul 2003 10:52:37 +02:00", at(7200)},
		{"Tue, 01 Jul 2003 10:52:37", at(0)},
		{"Tue, 01 Jul 2003 10:52:37 0200", at(7200)},
		{"Tue, 01 Jul 2003 10:52:37 -9999", at(0)},
		{"Tue Jul  1 10:52:37 2003", at(0)},
		{"1-Jul-2003 10:52:37 +0200", at(7200)},
		{"2003-07-01T10:52:37+02:00", at(7200)},
		{"2003-07-01 10:52:37Z", at(0)},
		{"2003-07-01 10:52:37 +0200", at(7200)},
		{"2003-07-01 10:52:37", at(0)},
		{"2003-07-01", at(0).Add(-10*time.Hour - 52*time.Minute - 37*time.Second)},
		{"Tue, 1 Jul 2003 10.52.37 +0200", at(7200)},
		{"Tuesday, July 1, 2003 10:52:37 AM", at(0)},
		{"Tuesday, July 1, 2003 10:52:37 PM", at(0).Add(12 * time.Hour)},
		{"Tue, 1 Jul 2003 12:52:37 am +0200", at(7200).Add(-10 * time.Hour)},
		{"Tue, 1 Jul 2003 10(a (b)): 52 : 37 +0200", at(7200)},
		{"(a comment) Tue, 1 Jul 2003 10:52:37 +0200", at(7200)},
		{"Tue, 1 Jul 2003 10:52 +0000", at(0).Add(-37 * time.Second)},
		{"1 Jul 99 00:00:00 +0000", time.Date(1999, 7, 1, 0, 0, 0, 0, time.UTC)},
		{"1 Jul 103 00:00:00 +0000", time.Date(2003, 7, 1, 0, 0, 0, 0, time.UTC)},
	}
	for _, tt := range tests {
		if got, ok := ParseDate(tt.in); !ok || !got.Equal(tt.want) {
			t.Errorf("ParseDate(%q) = %v, %v; want %v", tt.in, got, ok, tt.want)
		}
	}
	for _, in := range []string{"", "yesterday", "Tue, 41 Jul 2003 10:52:37 +0200", "31 Jun 2003", "1 Foo 2003", "1 Jul",
		"1 Jul 2003 25:00", "Jul 2003", "2003-99-01T00:00:00Z"} {
		if got, ok := ParseDate(in); ok {
			t.Errorf("ParseDate(%q) = %v, want none", in, got)
		}
	}
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte("From a@b\r\nA: Jo <a@b>, Friends: \"c\" (d) <@e:f@g>;\r\nmore\r\n \r\n\r\nbody"))
	f.Add([]byte("Date: Tue, 1 Jul 2003 10:52:37 +0200 (CEST)\nMessage-ID: <a@b>\nTo: =?utf-8?q?a,?= <[a]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := NewScanner(b[Lead(b):])
		for {
			before := s.Body()
			field, ok := s.Next()
			if !ok {
				break
			}
			if s.Body() != before+len(field.Raw) {
				t.Fatalf("field %q does not follow the one before", field.Raw)
			}
			value := field.Value()
			for _, a := range ParseAddresses(value) {
				if !utf8.ValidString(a.Name + a.Mailbox + a.Host) {
					t.Errorf("address %+v of %q is not valid UTF-8", a, value)
				}
			}
			MessageIDs(value)
			ParseDate(value)
		}
	})
}
