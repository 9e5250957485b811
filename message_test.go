package imapkit

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/imapkit/imapkit/internal/charset"
	"github.com/imapkit/imapkit/internal/lineartest"
)

// file is what a test expects of an attachment. An empty err means none, else
// it is part of the error's text.
type file struct{ name, contentType, data, err string }

const (
	octets = "application/octet-stream"
	noEnd  = "last boundary line"
)

// samples says what is in the messages of testdata/mail. err is as in file.
var samples = []struct {
	name, text, html string
	files            []file
	err              string
}{
	{name: "plain", text: "Grüße\nBen\n"},
	{name: "no-content-type", text: "Hello\n"},
	{name: "format-flowed", text: "A line that \nflows on.\n"},
	{name: "long-lines", text: strings.Repeat("x", 20000) + "\n"},
	{name: "nul-bytes", text: "x\x00y\n"},

	// Where the body is.
	{name: "alternative-and-attachment", text: "Plain body", html: "<p>HTML body</p>",
		files: []file{{"report.pdf", "application/pdf", "%PDF-1.4 ", ""}}},
	{name: "related-in-alternative", text: "Plain body", html: `<img src="cid:logo@x">`,
		files: []file{{"", "image/png", "\x89PNG", ""}}},
	{name: "alternative-with-footer", text: "Plain body\nFooter", html: "<p>HTML body</p>",
		files: []file{{"", "image/png", "\x89PNG", ""}}},
	{name: "related-begins-with-image", html: `<img src="cid:logo@x">`, files: []file{{"", "image/png", "\x89PNG", ""}}},
	{name: "text-after-attachment", text: "Before\nAfter", files: []file{
		{"photo.png", "image/png", "\x89PNG", ""},
		{"notes.txt", "text/plain", "Notes", ""},
		{"", "text/plain", "Attached", ""}}},
	{name: "signed", text: "Signed text", files: []file{
		{"signature.asc", "application/pgp-signature", "-----BEGIN PGP", ""}}},
	{name: "smime", files: []file{{"smime.p7m", "application/pkcs7-mime", "0\x82\x01", ""}}},
	{name: "report", text: "Your message could not be delivered.", files: []file{
		{"", "message/delivery-status", "Reporting-MTA: dns; mx.example.org\r\n\r\nFinal-Recipient", ""},
		{"", "text/rfc822-headers", "Subject: Lost", ""}}},
	{name: "calendar", text: "You are invited", files: []file{{"", "text/calendar", "BEGIN:VCALENDAR", ""}}},
	{name: "forwarded", text: "See below", files: []file{
		{"Grüße.eml", "message/rfc822", "From: carl@example.net\r\nSubject: ", ""}}},
	{name: "forwarded-in-base64", text: "Body", files: []file{
		{"Inner.eml", "message/rfc822", "Subject: Inner\r\n\r\nText", ""}}},
	{name: "digest", files: []file{
		{"One.eml", "message/rfc822", "Subject: One\r\n\r\nText one", ""},
		{"Two.eml", "message/rfc822", "Subject: Two\r\n\r\nText two", ""}}},
	{name: "winmail", text: "Body", files: []file{
		{"winmail.dat", "application/ms-tnef", "\x78\x9f\x3e\x22\x01\x02\x03", ""}}},

	// Boundaries.
	{name: "boundary-end-missing", text: "Body", files: []file{{"a.bin", octets, "Hello", ""}}, err: noEnd},
	{name: "inner-boundary-end-missing", text: "Body", html: "<p>Body</p>",
		files: []file{{"a.bin", octets, "Hello", ""}}, err: "part 1 of the message: multipart without its last"},
	{name: "boundary-parameter-missing", text: "Body", html: "<p>Body</p>"},
	{name: "boundary-differs", text: "Body", html: "<p>Body</p>"},
	{name: "boundary-never-occurs", text: "Just a text.\n", err: "without any boundary"},
	{name: "boundary-with-blanks", text: "Body"},
	{name: "boundary-is-a-prefix", text: "--AB\nBody\n--A--B"},
	{name: "part-header-damaged", text: "Привет\nAfter"},
	{name: "part-without-header", text: "Body without an empty line\nbefore it\nBody with one"},
	{name: "cut-in-attachment", text: "Body", files: []file{{"a.bin", octets, "Hello, thi", ""}}, err: noEnd},
	{name: "cut-in-boundary", text: "Body\n--ABC", err: noEnd},

	// Charsets.
	{name: "charset-unknown", text: "Hello café\n", err: `unknown charset "x-klingon"`,
		files: []file{{"", "text/plain", "Hello caf\xe9\r\n", `unknown charset "x-klingon"`}}},
	{name: "charset-unlabelled-utf8", text: "Grüße\n"},
	{name: "charset-unlabelled-8bit", text: "Grüße €\n"},
	{name: "charset-ascii-with-8bit", text: "Grüße\n"},
	{name: "charset-utf8-is-latin1", text: "Grüße\n"},
	{name: "charset-utf8-cut", text: "Grüße, Grüße\ufffd\n"},
	{name: "charset-iso-8859-1-is-windows-1252", text: "“Grüße” 5 €\n"},
	{name: "charset-gb2312-is-gb18030", text: "朱镕基 你好\n"},
	{name: "charset-gb18030", text: "你好 💩"},
	{name: "charset-iso-2022-jp", text: "こんにちは\n"},
	{name: "charset-shift-jis", text: "こんにちは\n"},
	{name: "charset-euc-kr", text: "안녕하세요\n"},
	{name: "charset-big5", text: "你好\n"},
	{name: "charset-windows-1251", text: "Привет\n"},
	{name: "charset-windows-1255", text: "שלום\n"},
	{name: "charset-koi8-r", text: "Привет\n"},
	{name: "charset-koi8-u", text: "Київ\n"},
	{name: "charset-utf-7", text: "Hi Mom ☺!\n"},
	{name: "charset-utf-16", text: "Grüße\n"},

	// Transfer encodings.
	{name: "base64-junk", text: "Body", files: []file{
		{"a.bin", octets, "Hello, this is a test.", "do not belong there"}}},
	{name: "base64-indented", text: "Body", files: []file{{"a.bin", octets, "Hello, this is a test.", ""}}},
	{name: "base64-padding-missing", text: "Body", files: []file{{"a.bin", octets, "Hello, this is a test.", ""}}},
	{name: "base64-cut", text: "Body", files: []file{{"a.bin", octets, "Hello, this is a test", "ends within a byte"}}},
	{name: "base64-twice", text: "Body", files: []file{{"a.bin", octets, "HelloHello", ""}}},
	{name: "base64-with-footer", text: "Body", files: []file{{"a.bin", octets, "Hello", "after the end"}}},
	{name: "base64-is-none", text: "Body", files: []file{
		{"a.bin", octets, "This was never encoded at all.", "no base64"}}},
	{name: "base64-empty", text: "Body", files: []file{{"a.bin", octets, "", ""}}},
	{name: "base64-text-is-none", text: "This was never encoded at all.\n", err: "no base64",
		files: []file{{"", "text/plain", "This was never encoded at all.\r\n", "no base64"}}},
	{name: "quoted-printable-broken", text: "50=% of =zz ü softbreak\nend=4\nlast"},
	{name: "uuencode", text: "Body", files: []file{{"a.bin", octets, "Hello", ""}}},
	{name: "uuencode-cut", text: "Body", files: []file{{"a.bin", octets, "Hello", "no end"}}},
	{name: "encoding-unknown", text: "Body", files: []file{{"a.bin", octets, "abc", `"x-secret"`}}},
	{name: "encoding-misspelled", text: "Body", files: []file{{"a.bin", octets, "a=b", ""}}},
	{name: "encoding-on-multipart", text: "Body"},

	// Headers.
	{name: "header-folding-broken", text: "Body\n"},
	{name: "header-field-without-colon", text: "Body\n"},
	{name: "header-end-missing", text: "Dear Ben,\nthis is the body.\n", err: "does not end"},
	{name: "header-only"},
	{name: "header-cut"},
	{name: "header-missing", text: "Dear Ben,\nno header here.\n\nAnna\n", err: "no header"},
	{name: "header-empty", text: "Only a body\n"},
	{name: "header-8bit-as-body", text: "Привет\n"},
	{name: "header-8bit", files: []file{{"Übersicht.pdf", "application/pdf", "x\r\n", ""}}},
	{name: "header-encoded-words", text: "Body\n"},
	{name: "empty"},
	{name: "mbox-line", text: "Body\n"},
	{name: "byte-order-mark", text: "Body\n"},
	{name: "bare-lf", text: "One", html: "<p>Two</p>"},
	{name: "bare-cr", text: "One"},
	{name: "line-ends-doubled", text: "One\nTwo\rThree\n"},
	{name: "line-ends-mixed", text: "One"},

	{name: "file-names", files: []file{
		{"Grüße.txt", octets, "x", ""},  // RFC 2231
		{"Grü;ße.txt", octets, "x", ""}, // … in pieces
		{"a very long name.txt", octets, "x", ""},
		{"a-b.txt", octets, "x", ""},   // … out of order
		{"Grüße.txt", octets, "x", ""}, // … beside a name for old programs
		{"Grüße.txt", octets, "x", ""}, // encoded word in quotes
		{"Grüße.txt", octets, "x", ""}, // … without quotes
		{"Grüße.txt", octets, "x", ""}, // … with a character split over two
		{"my report (final).pdf", octets, "x", ""},
		{`C:\temp\new.txt`, octets, "x", ""},
		{`a "quoted" name.txt`, octets, "x", ""},
		{"no end.txt", octets, "x", ""},
		{"type.bin", octets, "x", ""},
		{"lost-semicolon.bin", octets, "x", ""},
		{"Grüße.txt", octets, "x", ""}, // raw UTF-8
		{"../../etc/passwd", octets, "x", ""},
		{"a.txt", octets, "x", ""}, // twice
		{"Upper.TXT", octets, "x", ""}}},
	{name: "content-types-odd", files: []file{
		{"", "text/plain", "x", ""}, {"", "text/plain", "x", ""}, {"", "text/plain", "x", ""},
		{"", "text/html", "x", ""}, {"", "text/plain", "x", ""}, {"", octets, "x", ""},
		{"a.bin", "application/x", "x", ""}, {"", "text/plain", "x", ""}, {"", "text/plain", "x", ""},
		{"", "text/plain", "x", ""}, {"", "*/*", "x", ""}, {"", "text/x-vcard", "x", ""}}},
}

func readMail(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "mail", name+".eml"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMailIsParsed(t *testing.T) {
	for _, tt := range samples {
		t.Run(tt.name, func(t *testing.T) {
			raw := readMail(t, tt.name)
			m := parseMessage(raw, Limits{})
			if m.Text != tt.text {
				t.Errorf("text %q, want %q", m.Text, tt.text)
			}
			if m.HTML != tt.html {
				t.Errorf("HTML %q, want %q", m.HTML, tt.html)
			}
			checkError(t, "message", m.Err, tt.err)
			if len(m.Attachments) != len(tt.files) {
				t.Fatalf("%d attachments, want %d", len(m.Attachments), len(tt.files))
			}
			for i, want := range tt.files {
				got := m.Attachments[i]
				if got.Name != want.name || got.ContentType != want.contentType {
					t.Errorf("part %s is %q, %q; want %q, %q", got.Part, got.Name, got.ContentType, want.name, want.contentType)
				}
				if !strings.HasPrefix(string(got.Data), want.data) || want.data == "" && len(got.Data) > 0 {
					t.Errorf("part %s holds %q, want %q", got.Part, got.Data, want.data)
				}
				checkError(t, "part "+got.Part, got.Err, want.err)
			}
			if string(m.Raw) != string(raw) {
				t.Errorf("raw bytes differ from the message")
			}
		})
	}
}

func checkError(t *testing.T, what string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: error %v", what, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: error %v, want one with %q", what, err, want)
	}
}

func TestEveryFileOfTestdataHasAnExpectation(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "mail", "*.eml"))
	if err != nil || len(files) != len(samples) {
		t.Errorf("%d files, %d expectations, error %v", len(files), len(samples), err)
	}
}

func TestAttachmentTellsWhatItIsFor(t *testing.T) {
	logo := parseMessage(readMail(t, "related-in-alternative"), Limits{}).Attachments[0]
	if logo.ContentID != "logo@x" || !logo.Inline || logo.Part != "2.1" {
		t.Errorf("image: id %q, inline %v, part %q", logo.ContentID, logo.Inline, logo.Part)
	}
	invitation := parseMessage(readMail(t, "calendar"), Limits{}).Attachments[0]
	if want := map[string]string{"charset": "utf-8", "method": "REQUEST"}; !reflect.DeepEqual(invitation.Params, want) {
		t.Errorf("calendar: parameters %v, want %v", invitation.Params, want)
	}
	report := parseMessage(readMail(t, "alternative-and-attachment"), Limits{}).Attachments[0]
	if report.Inline || report.Part != "2" {
		t.Errorf("report: inline %v, part %q", report.Inline, report.Part)
	}
}

func TestDamageIsATypedError(t *testing.T) {
	m := parseMessage(readMail(t, "charset-unknown"), Limits{})
	for _, err := range []error{m.Err, m.Attachments[0].Err} {
		var part *PartError
		if !errors.As(err, &part) || part.Part != "1" {
			t.Errorf("error %v, want a PartError of part 1", err)
		}
		var unknown *charset.UnknownError
		if !errors.As(err, &unknown) {
			t.Errorf("error %v does not wrap its cause", err)
		}
	}
}

func TestHeaderKeepsAllFieldsInOrder(t *testing.T) {
	h := parseMessage(readMail(t, "header-folding-broken"), Limits{}).Header
	var keys []string
	for f := h.Fields(); f.Next(); {
		keys = append(keys, f.Key())
	}
	if want := []string{"From", "Subject", "To", "References", "Message-Id"}; !reflect.DeepEqual(keys, want) {
		t.Errorf("fields %q, want %q", keys, want)
	}
	if got := h.Get("Subject"); got != "A subject that was folded without a blank" {
		t.Errorf("subject %q", got)
	}
	if ids, err := h.MsgIDList("References"); err != nil || !reflect.DeepEqual(ids, []string{"a@x", "b@x"}) {
		t.Errorf("references %q, %v", ids, err)
	}
	h = parseMessage([]byte("Subject: =?iso-2022-jp?B?GyRCJDMkcxsoQg==?=\r\n\r\n"), Limits{}).Header
	if got, err := h.Subject(); err != nil || got != "こん" {
		t.Errorf("subject %q, %v", got, err)
	}
}

// nested returns a message of so many multiparts, one within the other.
func nested(levels int) string {
	var b strings.Builder
	for i := range levels {
		boundary := "b" + strings.Repeat("x", i%50) + string(rune('a'+i%26)) + string(rune('a'+i/26%26))
		b.WriteString("Content-Type: multipart/mixed; boundary=" + boundary + "\r\n\r\n--" + boundary + "\r\n")
	}
	b.WriteString("\r\ninnermost\r\n")
	return b.String()
}

func TestNestingIsLimited(t *testing.T) {
	if m := parseMessage([]byte(nested(64)), Limits{}); m.Text != "innermost\n" || len(m.Attachments) != 0 {
		t.Errorf("64 levels: text %q, %d attachments", m.Text, len(m.Attachments))
	}
	m := parseMessage([]byte(nested(65)), Limits{})
	if m.Text != "" || len(m.Attachments) != 1 || m.Attachments[0].Err == nil ||
		!strings.Contains(string(m.Attachments[0].Data), "innermost") {
		t.Errorf("65 levels: text %q, attachments %v", m.Text, m.Attachments)
	}
	if m := parseMessage([]byte(nested(3)), Limits{Depth: 2}); len(m.Attachments) != 1 {
		t.Errorf("3 levels of 2: %d attachments, want 1", len(m.Attachments))
	}
}

func TestHostileMailIsParsedInLinearTime(t *testing.T) {
	fill := func(head, unit string) func(int) string {
		return func(size int) string { return head + strings.Repeat(unit, size/len(unit)) }
	}
	tests := []struct {
		name    string
		message func(size int) string
	}{
		{"parts", fill("Content-Type: multipart/mixed; boundary=A\r\n\r\n", "--A\r\n\r\nx\r\n")},
		{"multiparts within each other", func(size int) string { return nested(size / 100) }},
		{"multiparts without boundary", fill("", "Content-Type: multipart/mixed\r\n\r\n--A\r\n")},
		{"multiparts with a boundary of their own each, never seen again",
			fill(nested(64), "\r\n--\r\n--b\r\n--bxa")},
		{"lines of hyphens", fill("Content-Type: multipart/mixed; boundary=A\r\n\r\n--A\r\n\r\n", "\n--")},
		{"fields", fill("", "a:\r\n")},
		{"a folded field", fill("Subject: a", "\r\n b")},
		{"lines that are no fields", fill("Subject: a\r\n", "b\r\n")},
		{"encoded words", fill("Subject: ", "=?utf-8?q?a")},
		{"encoded words without an end", fill("Subject: ", "=?utf-8?b?a b,")},
		{"addresses", fill("To: ", "a@b,")},
		{"quotes in addresses", fill("To: ", `\"<"([`)},
		{"colons after an address", fill("To: @", "a:")},
		{"parameters", fill("Content-Type: text/plain", ";a*1*=%")},
		{"parameters without names", fill("Content-Type: text/plain", " =a")},
		{"backslashes in parameters", fill("Content-Type: ", `name="\'' [`)},
		{"comments in parameters", fill("Content-Type: text/plain;", "(")},
		{"dates", fill("Date: ", "1 ")},
		{"identifiers", fill("References: <", "<a ")},
		{"base64", fill("Content-Transfer-Encoding: base64\r\n\r\n", "QQ==")},
		{"quoted-printable", fill("Content-Transfer-Encoding: quoted-printable\r\n\r\n", "= \t")},
		{"forwarded messages", fill("Content-Type: multipart/digest; boundary=A\r\n\r\n", "--A\r\n\r\na\r\n")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lineartest.Check(t, 1<<18, func(size int) { parseMessage([]byte(tt.message(size)), Limits{}) })
		})
	}
}

func TestTextOfAnAttachmentIsReadInItsCharset(t *testing.T) {
	for name, tt := range map[string]struct {
		contentType, charset, data, want string
		bad                              bool
	}{
		"named":       {"text/plain", "iso-8859-1", "gr\xfcn\r\nblau\r\n", "grün\nblau\n", false},
		"Chinese":     {"text/csv", "gb18030", "\xc4\xe3\xba\xc3", "你好", false},
		"unlabelled":  {"text/plain", "", "gr\xc3\xbcn", "grün", false},
		"HTML itself": {"text/html", "", "<meta charset=koi8-r>\xf0", "<meta charset=koi8-r>П", false},
		"unknown":     {"text/plain", "x-mine", "gr\xc3\xbcn", "grün", true},
	} {
		a := Attachment{Part: "2", ContentType: tt.contentType, Data: []byte(tt.data)}
		if tt.charset != "" {
			a.Params = map[string]string{"charset": tt.charset}
		}
		text, err := a.Text()
		var part *PartError
		if text != tt.want || errors.As(err, &part) != tt.bad {
			t.Errorf("%s: %q, %v, want %q", name, text, err, tt.want)
		}
	}
}

func TestPartsAreCounted(t *testing.T) {
	const parts = 12000
	m := parseMessage([]byte("Content-Type: multipart/mixed; boundary=A\r\n\r\n"+
		strings.Repeat("--A\r\nContent-Type: image/png\r\n\r\nx\r\n", parts)+"--A--\r\n"), Limits{})
	last := m.Attachments[len(m.Attachments)-1]
	if len(m.Attachments) != 10000 || last.Err == nil || strings.Count(string(last.Data), "image/png") != parts-9999 {
		t.Errorf("%d attachments, the last with %d bytes and error %v", len(m.Attachments), len(last.Data), last.Err)
	}
}

func FuzzParseMessage(f *testing.F) {
	for _, tt := range samples {
		f.Add(readMail(f, tt.name))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := string(raw)
		m := parseMessage(raw, Limits{})
		if !utf8.ValidString(m.Text) || !utf8.ValidString(m.HTML) {
			t.Errorf("text %q or HTML %q is not valid UTF-8", m.Text, m.HTML)
		}
		if string(m.Raw) != before {
			t.Errorf("the raw message was changed")
		}
		for _, a := range m.Attachments {
			if !utf8.ValidString(a.Name) || a.ContentType == "" || a.Part == "" {
				t.Errorf("attachment %+v has no valid name, type or number", a)
			}
		}
	})
}

func BenchmarkParseMessage(b *testing.B) {
	body := strings.Repeat("The quick brown fox jumps over the lazy dog, again and again and again.\r\n", 38)
	plain := string(readMail(b, "no-content-type")) + body + body
	alternative := strings.ReplaceAll(string(readMail(b, "alternative-and-attachment")), " body", " body\r\n"+body)
	quoted := string(readMail(b, "charset-koi8-r")) + strings.Repeat("=F0=D2=C9=D7=C5=D4 =F0=D2=C9=D7=C5=D4\r\n", 140)
	for name, message := range map[string]string{"plain": plain, "alternative": alternative, "koi8": quoted} {
		b.Run(name, func(b *testing.B) {
			raw := []byte(message)
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				parseMessage(raw, Limits{})
			}
		})
	}
}
