package mimetree

import (
	"bytes"
	"io"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParams(t *testing.T) {
	tests := []struct {
		in, value string
		params    Params
	}{
		{"", "", nil},
		{"text/plain", "text/plain", nil},
		{"Text/PLAIN; Charset=UTF-8", "text/plain", Params{{"charset", "UTF-8"}}},
		{`text/plain; charset="utf-8"; format=flowed`, "text/plain", Params{{"charset", "utf-8"}, {"format", "flowed"}}},
		{"text/plain charset=utf-8", "text/plain", Params{{"charset", "utf-8"}}},
		{"text/plain;; charset=utf-8;", "text/plain", Params{{"charset", "utf-8"}}},
		{"text/plain; charset = utf-8", "text/plain", Params{{"charset", "utf-8"}}},
		{"text/plain; charset=utf-8 (Unicode); a=b", "text/plain", Params{{"a", "b"}, {"charset", "utf-8"}}},
		{"(text) text / plain; charset=utf-8", "text/plain", Params{{"charset", "utf-8"}}},
		{`"text/plain>", charset=utf-8`, "text/plain", Params{{"charset", "utf-8"}}},
		{`filename="a/b"`, "", Params{{"filename", "a/b"}}},
		{"text/plain (text); charset=utf-8", "text/plain", Params{{"charset", "utf-8"}}},
		{"text/plain; charset=utf-8 a=b", "text/plain", Params{{"a", "b"}, {"charset", "utf-8"}}},
		{"text/plain; charset", "text/plain", Params{}},
		{"text/plain; charset; a=b", "text/plain", Params{{"a", "b"}}},
		{"text/plain; charset=a; charset=b", "text/plain", Params{{"charset", "a"}}},
		{`a; boundary="=_a;b=c"`, "a", Params{{"boundary", "=_a;b=c"}}},
		{`a; boundary==_a=b`, "a", Params{{"boundary", "=_a=b"}}},
		{`a; name="a\"b\\c"`, "a", Params{{"name", `a"b\c`}}},
		{`a; name="C:\b"`, "a", Params{{"name", `C:\b`}}},
		{`a; name="b`, "a", Params{{"name", "b"}}},
		{`a; name=b c.txt; x=y`, "a", Params{{"name", "b c.txt"}, {"x", "y"}}},
		{"a; name*=utf-8'en'%C3%BC", "a", Params{{"name", "ü"}}},
		{"a; name*=%C3%BC", "a", Params{{"name", "ü"}}},
		{"a; name*=utf-8''50%", "a", Params{{"name", "50%"}}},
		{"a; name*=koi8-r''%F0", "a", Params{{"name", "П"}}},
		{"a; name=x; name*=utf-8''y", "a", Params{{"name", "y"}}},
		{"a; name*=utf-8''y; name=x", "a", Params{{"name", "y"}}},
		{"a; name=x; name*0=y; name*1=z", "a", Params{{"name", "yz"}}},
		{"a; name*10=k; name*2=c; name*0=a; name*1=b; name*3=d", "a", Params{{"name", "abcdk"}}},
		{"a; name*0*=utf-8''%C3; name*1*=%BC; name*2=%41", "a", Params{{"name", "ü%41"}}},
		{"a; name*0=x; name*0=y", "a", Params{{"name", "x"}}},
		{"a; name*x=y", "a", Params{{"name*x", "y"}}},
		{"a; name==?utf-8?q?=C3=BC?=", "a", Params{{"name", "ü"}}},
	}
	for _, tt := range tests {
		value, params := ParseParams(tt.in)
		if value != tt.value || !reflect.DeepEqual(params, tt.params) {
			t.Errorf("ParseParams(%q) = %q, %q; want %q, %q", tt.in, value, params, tt.value, tt.params)
		}
	}
}

func TestTransferEncodings(t *testing.T) {
	tests := []struct {
		encoding, in, want string
		err                error
	}{
		{"7bit", "a=3D\r\n", "a=3D\r\n", nil},
		{"", "a", "a", nil},
		{"BASE64", "SGVsbG8=", "Hello", nil},
		{"8bit (raw)", "a", "a", nil},
		{" base64 ; x=y", "SGVs\r\nbG8=\r\n", "Hello", nil},
		{"base64", " SGVs \n\tbG8= \n", "Hello", nil},
		{"base64", "SGVsbG8", "Hello", nil},
		{"base64", "SGVsbG8=\n\n====\n", "Hello", nil},
		{"base64", "SGVsbG8=SGVsbG8=", "HelloHello", nil},
		{"base64", "SGVs!bG8=", "Hello", errJunk},
		{"base64", "SGVsb", "Hel", errBase64Cut},
		{"base64", "", "", nil},
		{"base64", " \r\n", "", nil},
		{"x-uuencode", "\r\n", "", nil},
		{"quoted-printable", "a=3D=3d=C3=BC", "a==\xc3\xbc", nil},
		{"quoted-printable", "soft=\r\nbreak =  \nand \t\r\nhard", "softbreak and\r\nhard", nil},
		{"quoted-printable", "=", "", nil},
		{"quoted-printable", "50=% =Z1 =4", "50=% =Z1 =4", nil},
		{"quoted-printable", "a =20\n", "a  \n", nil},
		{"quoted-printable", "\xfc", "\xfc", nil},
	}
	for _, tt := range tests {
		got, err := DecodeTransfer(tt.encoding, []byte(tt.in))
		if string(got) != tt.want || err != tt.err {
			t.Errorf("%s of %q: %q, %v; want %q, %v", tt.encoding, tt.in, got, err, tt.want, tt.err)
		}
	}
}

func TestUndecodableDataComesBackAsItIs(t *testing.T) {
	for _, tt := range []struct{ encoding, in string }{
		{"base64", "This is no base64."},
		{"base64", "incomprehensible  polysyllabic\nwords  everywhere, incontrovertibly\ntransmogrified  representations\n"},
		{"base64", "!!!"},
		{"base64", "A"},
		{"x-uuencode", "This is not uuencoded."},
		{"x-secret", "abc"},
	} {
		got, err := DecodeTransfer(tt.encoding, []byte(tt.in))
		if err == nil || string(got) != tt.in {
			t.Errorf("%s of %q: %q, %v; want it as it is and an error", tt.encoding, tt.in, got, err)
		}
	}
}

// outline writes down the numbers, types and bodies of a tree.
func outline(p *Part) string {
	if len(p.Parts) == 0 {
		return p.Number + " " + p.Type + " " + string(p.Body)
	}
	var parts []string
	for _, child := range p.Parts {
		parts = append(parts, outline(child))
	}
	return p.Type + "{" + strings.Join(parts, " | ") + "}"
}

func TestPartsAreFound(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"no multipart", "\n\na", "1 text/plain \na"},
		{"two parts", "Content-Type: multipart/mixed; boundary=A\n\nx\n--A\n\na\n--A\n\nb\n--A--\ny",
			"multipart/mixed{1 text/plain a | 2 text/plain b}"},
		{"multipart in a multipart",
			"Content-Type: multipart/mixed; boundary=A\n\n--A\nContent-Type: multipart/x; boundary=B\n\n--B\n\na\n--B--\n--A\n\nb\n--A--",
			"multipart/mixed{multipart/x{1.1 text/plain a} | 2 text/plain b}"},
		{"the inner boundary is the outer one and more",
			"Content-Type: multipart/mixed; boundary=A\n\n--A\nContent-Type: multipart/x; boundary=A-1\n\n--A-1\n\na\n--A-1--\n--A--",
			"multipart/mixed{multipart/x{1.1 text/plain a}}"},
		{"both boundaries are the same",
			"Content-Type: multipart/mixed; boundary=A\n\n--A\nContent-Type: multipart/x; boundary=A\n\n--A\n\na\n--A--\n--A--",
			"multipart/mixed{multipart/x{1.1 text/plain a}}"},
		{"an empty body", "Content-Type: multipart/mixed; boundary=A\n\n--A\n\n--A\nContent-Type: a/b\n--A--",
			"multipart/mixed{1 text/plain  | 2 a/b }"},
		{"a last boundary with the blank of its parameter", "Content-Type: multipart/mixed; boundary=\"A \"\n\n--A \n\na\n--A --\nb",
			"multipart/mixed{1 text/plain a}"},
		{"the body's own line end stays", "Content-Type: multipart/mixed; boundary=A\n\n--A\n\na\r\n\r\n--A--",
			"multipart/mixed{1 text/plain a\r\n}"},
		{"a digest", "Content-Type: multipart/digest; boundary=A\n\n--A\n\na\n--A--", "multipart/digest{1 message/rfc822 a}"},
		{"a multipart without a subtype", "Content-Type: multipart; boundary=A\n\n--A\n\na\n--A--",
			"multipart/mixed{1 text/plain a}"},
		{"a boundary that only looks like one", "Content-Type: multipart/mixed\n\n--\nJo\n", "1 text/plain --\nJo\n"},
	}
	for _, tt := range tests {
		if got := outline(Parse([]byte(tt.in), 64)); got != tt.want {
			t.Errorf("%s:\n got %q\nwant %q", tt.name, got, tt.want)
		}
	}
}

func TestTextOfHTMLIsInItsOwnCharset(t *testing.T) {
	const html = `<meta charset="koi8-r">`
	for contentType, want := range map[string]string{"text/html": html + "П", "text/plain": html + "ð"} {
		got, err := Parse([]byte("Content-Type: "+contentType+"\n\n"+html+"\xf0"), 64).Text()
		if err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", contentType, got, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("Content-Type: multipart/mixed; boundary=A\n\n--A\nContent-Type: multipart/x\n\n--B\nContent-ID: <a>\n\na\n--A--"))
	f.Fuzz(func(t *testing.T, b []byte) {
		size := 0
		var walk func(p *Part)
		walk = func(p *Part) {
			if p.Type == "" || !utf8.ValidString(p.Name) {
				t.Errorf("part %s has the type %q, the name %q", p.Number, p.Type, p.Name)
			}
			size += len(p.Body)
			for _, child := range p.Parts {
				walk(child)
			}
		}
		walk(Parse(b, 64))
		if size > len(b) {
			t.Errorf("the parts of a message of %d bytes have %d", len(b), size)
		}
	})
}

func FuzzDecodeTransfer(f *testing.F) {
	for _, s := range []string{"SGVs!bG8=SGVs", "a=3D=\r\n =4 \r\n=", "begin 644 a\n%2&5L;&\\\n`\nend"} {
		f.Add("base64", []byte(s))
		f.Add("quoted-printable", []byte(s))
		f.Add("x-uuencode", []byte(s))
	}
	f.Fuzz(func(t *testing.T, encoding string, b []byte) {
		in := bytes.Clone(b)
		out, err := DecodeTransfer(encoding, b)
		if !bytes.Equal(in, b) || len(out) > len(b) {
			t.Errorf("%d bytes made of %d, or the input changed", len(out), len(b))
		}
		r, unsupported := DecodeStream(encoding, bytes.NewReader(b))
		if unsupported != nil {
			return
		}
		streamed, _ := io.ReadAll(r)
		if err == nil && !bytes.Equal(streamed, out) {
			t.Errorf("%s of %q: %q at once, %q streamed", encoding, b, out, streamed)
		}
	})
}
