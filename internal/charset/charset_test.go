package charset

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"
)

func TestDecodeReadsTheCharsetsOfMail(t *testing.T) {
	tests := []struct{ label, in, want string }{
		{"utf-8", "Grüße", "Grüße"},
		{"UTF8", "Grüße", "Grüße"},
		{" \"utf-8\" ", "Grüße", "Grüße"},
		{"charset=koi8-r", "\xf0", "П"},
		{"iso-utf-8", "Grüße", "Grüße"},
		{"utf8mb4", "Grüße", "Grüße"},
		{"utf-16-le", "A\x00", "A"},
		{"win1251", "\xcf", "П"},
		{"Windows_CP1251", "\xcf", "П"},
		{"ISO 8859-5", "\xbf", "П"},
		{"koi8r", "\xf0", "П"},
		{"euc_jp", "\xa4\xb3\xa4\xf3", "こん"},
		{"ks_c_5601", "\xbe\xc8\xb3\xe7", "안녕"},
		{"shiftjis", "\x82\xb1\x82\xf1", "こん"},
		{"iso2022jp", "\x1b$B$3$s\x1b(B", "こん"},
		{"x-gb2312", "\xc4\xe3\xba\xc3", "你好"},
		{"tis620", "\xe4\xb7\xc2", "ไทย"},
		{"us_ascii", "caf\xe9", "café"},
		{"utf-8", "\xef\xbb\xbfGrüße", "Grüße"},
		{"utf-8", "caf\xe9", "café"},
		{"us-ascii", "caf\xe9", "café"},
		{"us-ascii", "café", "café"},
		{"unknown-8bit", "caf\xe9", "café"},
		{"", "caf\xe9 \x80", "café €"},
		{"iso-8859-1", "\x93caf\xe9\x94 \x80", "“café” €"},
		{"latin1", "\x80", "€"},
		{"iso-8859-15", "\xa4", "€"},
		{"iso-8859-2", "\xe8\xb9", "čš"},
		{"windows-1250", "\xe8\x9a", "čš"},
		{"windows-1251", "\xcf\xf0\xe8\xe2\xe5\xf2", "Привет"},
		{"cp1251", "\xcf\xf0\xe8\xe2\xe5\xf2", "Привет"},
		{"windows-1253", "\xc1\xe8\xde\xed\xe1", "Αθήνα"},
		{"windows-1254", "\xdd\xfe", "İş"},
		{"windows-1255", "\xf9\xec\xe5\xed", "שלום"},
		{"iso-8859-8-i", "\xf9\xec\xe5\xed", "שלום"},
		{"windows-1256", "\xd3\xe1\xc7\xe3", "سلام"},
		{"windows-1257", "\xe0\xe8", "ąč"},
		{"koi8-r", "\xf0\xd2\xc9\xd7\xc5\xd4", "Привет"},
		{"koi8-u", "\xeb\xc9\xa7\xd7", "Київ"},
		{"ibm866", "\x8f\xe0\xa8\xa2\xa5\xe2", "Привет"},
		{"tis-620", "\xe4\xb7\xc2", "ไทย"},
		{"gb2312", "\xc4\xe3\xba\xc3", "你好"},
		{"gb2312", "\x81\x30\x89\x38\x80", "ß€"},
		{"gbk", "\xe9F", "镕"},
		{"gb18030", "\x94\x39\xda\x33", "💩"},
		{"hz-gb-2312", "~{<:Ky2;S{#,NpJ)l6HK!#~}", "己所不欲，勿施於人。"},
		{"big5", "\xa7\x41\xa6\x6e", "你好"},
		{"iso-2022-jp", "\x1b$B$3$s\x1b(B", "こん"},
		{"cp50220", "\x1b$B$3$s\x1b(B", "こん"},
		{"x-sjis", "\x82\xb1\x82\xf1", "こん"},
		{"euc-jp", "\xa4\xb3\xa4\xf3", "こん"},
		{"euc-kr", "\xbe\xc8\xb3\xe7", "안녕"},
		{"ks_c_5601-1987", "\xbe\xc8\xb3\xe7", "안녕"},
		{"cp949", "\xbe\xc8\xb3\xe7", "안녕"},
		{"utf-16", "\xff\xfeA\x00", "A"},
		{"utf-16le", "A\x00", "A"},
		{"utf-16be", "\x00A", "A"},
		{"utf-32be", "\x00\x00\x00A", "A"},
		{"utf-7", "Hi Mom +Jjo-!", "Hi Mom ☺!"},
		{"unicode-1-1-utf-7", "1 +- 1 +2D3cqQ.", "1 + 1 💩."},
		{"utf-7", "+2D0-x", "�x"},
		{"macintosh", "caf\x8e", "café"},
		{"ibm037", "\xc1", "A"},
		{"ibm037", "@@", "  "},
		{"cp850", "caf\x82", "café"},
	}
	for _, tt := range tests {
		got, err := Decode(tt.label, []byte(tt.in))
		if err != nil || got != tt.want {
			t.Errorf("Decode(%q, %q) = %q, %v; want %q", tt.label, tt.in, got, err, tt.want)
		}
	}
}

func TestDecodeKeepsTextOfAnUnknownCharset(t *testing.T) {
	got, err := Decode("x-klingon", []byte("caf\xe9"))
	var unknown *UnknownError
	if !errors.As(err, &unknown) || unknown.Label != "x-klingon" {
		t.Errorf("error %v, want an UnknownError for x-klingon", err)
	}
	if got != "café" {
		t.Errorf("text %q, want %q", got, "café")
	}
	for _, label := range []string{"iso-8859-12", "iso885912", "cp1259"} {
		if _, err := Decode(label, []byte("caf\xe9")); !errors.As(err, &unknown) {
			t.Errorf("%s: error %v, want an UnknownError", label, err)
		}
	}
}

func TestHTMLMayKnowItsCharset(t *testing.T) {
	const cyrillic, japanese = "\xcf\xf0\xe8\xe2\xe5\xf2", "\x1b$B$3$s\x1b(B"
	tests := []struct{ name, label, head, body, want string }{
		{"by name", "", `<meta charset="windows-1251">`, cyrillic, "Привет"},
		{"as a header field", "us-ascii", `<META http-equiv=Content-Type content="text/html; charset=cp1251">`, cyrillic, "Привет"},
		{"quoted twice", "", `<meta content="text/html; charset=&quot;cp1251&quot;">`, cyrillic, "Привет"},
		{"in seven bits", "", `<meta charset=iso-2022-jp>`, japanese, "こん"},
		{"the message knows better", "koi8-r", `<meta charset="windows-1251">`, "\xf0", "П"},
		{"it has been converted", "", `<meta charset="windows-1251">`, "Привет", "Привет"},
		{"it may be wrong", "", `<meta charset="utf-8">`, "caf\xe9", "café"},
		{"it may be unknown", "", `<meta charset="x-klingon">`, "caf\xe9", "café"},
		{"only a meta element counts", "", `<p title="charset=koi8-r">`, "caf\xe9", "café"},
	}
	for _, tt := range tests {
		got, err := DecodeHTML(tt.label, []byte(tt.head+tt.body))
		if err != nil || got != tt.head+tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.name, got, err, tt.head+tt.want)
		}
	}
}

func TestReaderConvertsTheSameAtAnyReadSize(t *testing.T) {
	tests := []struct{ label, in, want string }{
		{"koi8-r", "\xf0\xd2\xc9\xd7\xc5\xd4", "Привет"},
		{"iso-2022-jp", "\x1b$B$3$s\x1b(B", "こん"},
		{"utf-7", "1 +- 1 +2D3cqQ.", "1 + 1 💩."},
		{"utf-8", "Gr\xfc\xc3\x9fe", "Gr�ße"},
	}
	for _, tt := range tests {
		r, err := Reader(tt.label, iotest.OneByteReader(strings.NewReader(tt.in)))
		if err != nil {
			t.Errorf("%s: %v", tt.label, err)
			continue
		}
		got, err := io.ReadAll(r)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: read %q, %v; want %q", tt.label, got, err, tt.want)
		}
	}
	var unknown *UnknownError
	if _, err := Reader("x-klingon", strings.NewReader("")); !errors.As(err, &unknown) {
		t.Errorf("unknown charset: error %v, want an UnknownError", err)
	}
}

func TestToUTF8TellsBrokenUTF8From8BitText(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{"plain", "plain"},
		{"Grüße", "Grüße"},
		{"Gr\xfc\xdfe", "Grüße"},
		{"Grüße und mehr Gr\xc3", "Grüße und mehr Gr�"},
		{"\x93hi\x94", "“hi”"},
	}
	for _, tt := range tests {
		if got := ToUTF8([]byte(tt.in)); got != tt.want {
			t.Errorf("ToUTF8(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestDecodeHeader(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain text", "Hello = there?", "Hello = there?"},
		{"Q word", "=?iso-8859-1?Q?a=E9_b?=", "aé b"},
		{"B word", "=?UTF-8?B?R3LDvMOfZQ==?=", "Grüße"},
		{"lower-case encodings", "=?utf-8?q?=c3=bc?= =?utf-8?b?w7w=?=", "üü"},
		{"text around words", "Re: =?utf-8?q?=C3=BC?= x", "Re: ü x"},
		{"white space between words vanishes", "=?utf-8?q?a?= \t =?utf-8?q?b?= c", "ab c"},
		{"white space between words of two charsets vanishes", "=?utf-8?q?a?= =?koi8-r?q?=F0?=", "aП"},
		{"character split over two B words", "=?utf-8?B?w7zD?= =?utf-8?B?vA==?=", "üü"},
		{"character split over two Q words", "=?utf-8?Q?=C3?= =?utf-8?Q?=BC?=", "ü"},
		{"character split over a Q and a B word", "=?utf-8?Q?=C3?= =?UTF-8?B?vA==?=", "ü"},
		{"spaces within a Q word", "=?utf-8?Q?a b=C3=BC c?=", "a bü c"},
		{"spaces within a B word", "=?utf-8?B?R3LD vMOfZQ==?=", "Grüße"},
		{"line breaks within words", "=?utf-8?q?a=0D=0ABcc:_b=0A?=", "a Bcc: b"},
		{"two texts in a B word", "=?utf-8?B?w7w=w7w=?=", "üü"},
		{"missing padding", "=?utf-8?B?w7w?=", "ü"},
		{"base64 cut within a byte", "=?utf-8?B?w7xhY?=", "üa"},
		{"8-bit text within a Q word", "=?utf-8?Q?Gr\xc3\xbc=C3=9Fe?=", "Grüße"},
		{"words that touch text", "a=?utf-8?q?b?=c", "abc"},
		{"words that touch each other", "=?utf-8?q?a?==?utf-8?q?b?=", "ab"},
		{"Q text that begins with =", "=?utf-8?Q?=41?=", "A"},
		{"question mark in a Q word", "=?utf-8?Q?what? now?=", "what? now"},
		{"broken hex", "=?utf-8?Q?50=_=4x?=", "50= =4x"},
		{"empty word", "a =?utf-8?Q??= b", "a  b"},
		{"language", "=?us-ascii*en?Q?hi?=", "hi"},
		{"word without its end", "=?utf-8?Q?abc=C3=BC", "abcü"},
		{"word without its end, text after it", "=?utf-8?Q?abc def", "abc def"},
		{"word without its end before another", "=?utf-8?Q?abc =?utf-8?Q?def?=", "abcdef"},
		{"UTF-8 labelled as another charset it is not", "=?utf-8?Q?caf=E9?=", "café"},
		{"unknown charset", "=?x-klingon?Q?caf=E9?=", "café"},
		{"unknown encoding", "=?utf-8?X?abc?=", "=?utf-8?X?abc?="},
		{"no charset", "=??Q?abc?=", "=??Q?abc?="},
		{"not a word at all", "a =? b", "a =? b"},
		{"cut after the charset", "=?utf-8?", "=?utf-8?"},
		{"GB2312 word with characters of GBK", "=?GB2312?B?1uzpRg==?=", "朱镕"},
		{"ISO-2022-JP", "=?ISO-2022-JP?B?GyRCJDMkcxsoQg==?=", "こん"},
		{"unlabelled UTF-8", "Grüße", "Grüße"},
		{"unlabelled 8-bit text", "Gr\xfc\xdfe", "Grüße"},
		{"unlabelled 8-bit text beside a word", "Gr\xfc\xdfe =?utf-8?q?=C3=BC?=", "Grüße ü"},
		{"folded lines", "a\r\n b\r\n\tc\r\n", "a b\tc"},
		{"folded words", "=?utf-8?q?a?=\r\n =?utf-8?q?b?=", "ab"},
		{"line break without white space", "a\nb", "a b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := DecodeHeader(tt.in); got != tt.want {
				t.Errorf("DecodeHeader(%q) = %q, want %q", tt.in, got, tt.want)
			}
			if got := DecodeHeaderBytes([]byte(tt.in)); got != tt.want {
				t.Errorf("DecodeHeaderBytes(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestDecodeHeaderAllocatesOnceForPlainText(t *testing.T) {
	b := []byte("Minutes of the meeting on Tuesday")
	if n := testing.AllocsPerRun(100, func() { DecodeHeaderBytes(b) }); n > 1 {
		t.Errorf("%v allocations, want at most 1", n)
	}
	s := string(b)
	if n := testing.AllocsPerRun(100, func() { DecodeHeader(s) }); n > 0 {
		t.Errorf("%v allocations for a string, want none", n)
	}
}

func TestDecodeHeaderIsLinear(t *testing.T) {
	for _, unit := range []string{"=?", "=?utf-8?q?", " =?utf-8?q?x", "=?utf-8?q?x?=", "=?a?b?=?"} {
		start := time.Now()
		DecodeHeader(strings.Repeat(unit, 4<<20/len(unit)))
		DecodeHeader(strings.Repeat(unit, 4<<20/len(unit)) + "?=")
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("4 MiB of %q took %v", unit, d)
		}
	}
}

func FuzzDecodeHeader(f *testing.F) {
	for _, s := range []string{"=?utf-8?q?=C3=BC?= =?utf-8?b?w7w?=", "=?utf-7?q?+Jjo-?= \xfc\r\n =?", "=?iso-2022-jp?B?GyRC?="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := DecodeHeader(s)
		if !utf8.ValidString(got) {
			t.Errorf("DecodeHeader(%q) = %q is not valid UTF-8", s, got)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, label := range []string{"utf-7", "iso-2022-jp", "gb2312", "hz-gb-2312", "utf-16", "utf-32", "big5", "x-klingon"} {
		f.Add(label, []byte("\x1b$B+2D0-\xff~{a"))
	}
	f.Fuzz(func(t *testing.T, label string, b []byte) {
		whole := bytes.Clone(b)
		got, err := Decode(label, b)
		if !utf8.ValidString(got) {
			t.Errorf("Decode(%q, %q) = %q, %v is not valid UTF-8", label, b, got, err)
		}
		if !bytes.Equal(whole, b) {
			t.Errorf("Decode changed its input")
		}
	})
}

func BenchmarkDecodeHeader(b *testing.B) {
	for _, s := range []string{"Minutes of the meeting on Tuesday", "=?UTF-8?B?R3LDvMOfZQ==?= und =?iso-8859-1?Q?a=E9_b?="} {
		b.Run(s[:7], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				DecodeHeader(s)
			}
		})
	}
}
