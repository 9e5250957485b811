package mimetree

import (
	"bytes"
	"encoding/base64"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestDecodeStreamDecodesAsInMemory(t *testing.T) {
	long := bytes.Repeat([]byte("0123456789\xff\x00"), 10_000)
	encoded := base64.StdEncoding.EncodeToString(long)
	for name, tc := range map[string]struct{ encoding, in, want string }{
		"identity":                  {"8bit", "a=3Db", "a=3Db"},
		"base64":                    {"BASE64", "aGVsbG8=", "hello"},
		"base64 without padding":    {"base64", "aGVsbG8", "hello"},
		"base64 in lines":           {"base64", "aGVs\r\nbG8h\r\n", "hello!"},
		"base64 in odd lines":       {"base64", "aG\r\nVsb\r\nG8=\r\n", "hello"},
		"base64 with junk":          {"base64", "aG!Vs\x80bG8=", "hello"},
		"two base64":                {"base64", "aGVsbG8=\r\naGVsbG8=\r\n", "hellohello"},
		"long base64 on one line":   {"base64", encoded, string(long)},
		"base64 after much junk":    {"base64", "aG" + strings.Repeat("!", 3*streamBlock) + "Vs", "hel"},
		"quoted-printable":          {"quoted-printable", "a=3Db=\r\nc\r\n", "a=bc\r\n"},
		"blanks at the end of line": {"quoted-printable", "a  \r\nb", "a\r\nb"},
		"long line":                 {"quoted-printable", strings.Repeat("=3D", 50_000), strings.Repeat("=", 50_000)},
		"long line with blanks":     {"quoted-printable", strings.Repeat("a  =41", 50_000), strings.Repeat("a  A", 50_000)},
		"nothing":                   {"base64", "", ""},
	} {
		for kind, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "by byte": iotest.OneByteReader, "EOF with data": iotest.DataErrReader,
		} {
			r, err := DecodeStream(tc.encoding, wrap(strings.NewReader(tc.in)))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got, err := io.ReadAll(r); err != nil || string(got) != tc.want {
				t.Errorf("%s, %s: got %d bytes %.40q, %v, want %d", name, kind, len(got), got, err, len(tc.want))
			}
		}
	}
}

func TestDecodeStreamTellsDamage(t *testing.T) {
	for _, encoding := range []string{"x-uuencode", "rot13"} {
		if _, err := DecodeStream(encoding, strings.NewReader("")); err == nil || !strings.Contains(err.Error(), encoding) {
			t.Errorf("%s: error %v", encoding, err)
		}
	}
	r, _ := DecodeStream("base64", strings.NewReader("aGVsb"))
	if got, err := io.ReadAll(r); string(got) != "hel" || err != errBase64Cut {
		t.Errorf("cut: %q, %v", got, err)
	}
	r, _ = DecodeStream("base64", iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("aGVsbG8="))))
	if _, err := io.ReadAll(r); err != iotest.ErrTimeout {
		t.Errorf("the reader's error: %v", err)
	}
	r, _ = DecodeStream("base64", io.MultiReader(strings.NewReader("aGVs"), iotest.ErrReader(io.ErrUnexpectedEOF)))
	if got, err := io.ReadAll(r); string(got) != "hel" || err != io.ErrUnexpectedEOF {
		t.Errorf("a source that is cut off: %q, %v", got, err)
	}
}

func FuzzDecodeStream(f *testing.F) {
	f.Add("aGVsbG8=", true)
	f.Add("a=3Db=\r\nc  \r\n", false)
	f.Fuzz(func(t *testing.T, in string, b64 bool) {
		encoding := "quoted-printable"
		if b64 {
			encoding = "base64"
		}
		read := func(r io.Reader) string {
			d, err := DecodeStream(encoding, r)
			if err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(d)
			return string(got)
		}
		if whole, pieces := read(strings.NewReader(in)), read(iotest.OneByteReader(strings.NewReader(in))); whole != pieces {
			t.Errorf("whole %q, by byte %q", whole, pieces)
		}
	})
}
