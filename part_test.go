package imapkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/scripted"
)

// A mixed message: 1 is alternative (1.1 text, 1.2 HTML), 2 an image, 3 a
// forwarded message with one text, 4 a forwarded multipart.
const mixedStructure = `((("TEXT" "PLAIN" ("CHARSET" "utf-8") NIL NIL "QUOTED-PRINTABLE" 9 1)("TEXT" "HTML" NIL NIL NIL "7BIT" 9 1) "ALTERNATIVE")` +
	`("IMAGE" "PNG" ("NAME" "a.png") "<img@x>" NIL "BASE64" 8 NIL ("INLINE" ("FILENAME" "b.png")))` +
	`("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 30 (NIL "inner" NIL NIL NIL NIL NIL NIL NIL NIL) ("TEXT" "PLAIN" NIL NIL NIL "BASE64" 8 1) 3)` +
	`("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 30 (NIL "inner" NIL NIL NIL NIL NIL NIL NIL NIL) (("TEXT" "PLAIN" NIL NIL NIL "7BIT" 8 1)("TEXT" "CSS" NIL NIL NIL "X-ODD" 8 1) "MIXED") 3)` +
	` "MIXED")`

// partServer answers with a structure and with any body that was asked for.
func partServer(structure, body string) map[string]func(*scripted.Conn, scripted.Command) {
	return map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			uid, items, _ := strings.Cut(cmd.Args, " ")
			if uid == "101" {
				answer := "* 1 FETCH (UID 101"
				if strings.Contains(items, "BODYSTRUCTURE") {
					answer += " BODYSTRUCTURE " + structure
				}
				if _, section, ok := strings.Cut(items, "BODY.PEEK["); ok {
					answer += " BODY[" + strings.TrimSuffix(section, ")") + " " + literal(body)
				}
				c.Send(answer + ")")
			}
			c.OK(cmd.Tag, "done")
		},
	}
}

func TestFetchPartDecodesOnePart(t *testing.T) {
	for _, tc := range []struct {
		path, body, want string
		part             Attachment
	}{
		{"1.1", "gr=C3=BCn=\r\n", "grün", Attachment{ContentType: "text/plain", Params: map[string]string{"charset": "utf-8"}}},
		{"1.2", "<b>a=3D</b>", "<b>a=3D</b>", Attachment{ContentType: "text/html"}},
		{"1", "--x\r\n", "--x\r\n", Attachment{ContentType: "multipart/alternative"}},
		{"2", "aGVs\r\nbG8=\r\n", "hello", Attachment{ContentType: "image/png", Name: "b.png", ContentID: "img@x", Inline: true}},
		{"3", "Subject: inner\r\n\r\naGk=", "Subject: inner\r\n\r\naGk=", Attachment{ContentType: "message/rfc822"}},
		{"3.1", "aGk=", "hi", Attachment{ContentType: "text/plain"}},
		{"4.1", "aGk=", "aGk=", Attachment{ContentType: "text/plain"}},
	} {
		t.Run(tc.path, func(t *testing.T) {
			s, f := readFrom(t, scripted.Options{Exists: 1, Handle: partServer(mixedStructure, tc.body)})
			got, err := f.FetchPart(context.Background(), 101, tc.path)
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Data) != tc.want || got.Err != nil || got.Part != tc.path || got.ContentType != tc.part.ContentType ||
				got.ContentID != tc.part.ContentID || got.Name != tc.part.Name || got.Inline != tc.part.Inline ||
				got.Params["charset"] != tc.part.Params["charset"] {
				t.Errorf("got %+v, %q", got, got.Data)
			}
			r, err := f.OpenPart(context.Background(), 101, tc.path)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(r); string(b) != tc.want || err != nil {
				t.Errorf("OpenPart: %q, %v", b, err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			usable(t, s, f, 1)
		})
	}
}

func TestPartThatCannotBeDecodedComesAsItIs(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Exists: 1, Handle: partServer(mixedStructure, "odd")})
	var damage *PartError
	if got, err := f.FetchPart(context.Background(), 101, "4.2"); err != nil || string(got.Data) != "odd" || !errors.As(got.Err, &damage) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := f.OpenPart(context.Background(), 101, "4.2"); !errors.As(err, &damage) || damage.Part != "4.2" {
		t.Errorf("OpenPart: error %v", err)
	}
	usable(t, s, f, 1)
}

func TestPartThatDoesNotExistIsNotFound(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Exists: 1, Handle: partServer(mixedStructure, "")})
	for _, which := range []struct {
		uid  imap.UID
		path string
	}{{101, "5"}, {101, "1.3"}, {101, "2.1"}, {101, "3.2"}, {101, "1.1.1"}, {101, "4294967295"}, {999, "1"}} {
		name := fmt.Sprint(which)
		if _, err := f.FetchPart(context.Background(), which.uid, which.path); !errors.Is(err, ErrNotFound) {
			t.Errorf("FetchPart %s: error %v", name, err)
		}
		if _, err := f.OpenPart(context.Background(), which.uid, which.path); !errors.Is(err, ErrNotFound) {
			t.Errorf("OpenPart %s: error %v", name, err)
		}
	}
	usable(t, s, f, 1)
}

func TestPartNumbersAreChecked(t *testing.T) {
	s, f := readFrom(t, scripted.Options{})
	for _, path := range []string{"", ".", "1.", "0", "01", "1.0", "-1", "+1", "1]", "1\r\n", "TEXT", "1.MIME", "4294967296"} {
		if _, err := f.FetchPart(context.Background(), 101, path); err == nil {
			t.Errorf("FetchPart %q: no error", path)
		}
		if _, err := f.OpenPart(context.Background(), 101, path); err == nil {
			t.Errorf("OpenPart %q: no error", path)
		}
	}
	for _, r := range [][2]int64{{-1, 1}, {0, 0}, {0, -1}, {1 << 32, 1}, {0, 1 << 32}} {
		if _, err := f.OpenRange(context.Background(), 101, r[0], r[1]); err == nil {
			t.Errorf("OpenRange %v: no error", r)
		}
	}
	if s.Conns() != 0 {
		t.Error("the server was called")
	}
}

func TestFetchPartMakesAnUnreadableStructureFromTheMessage(t *testing.T) {
	const message = "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n"
	s, f := readFrom(t, scripted.Options{Exists: 1, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			if strings.Contains(cmd.Args, "[]") {
				c.Send("* 1 FETCH (UID 101 BODY[] " + literal(message) + ")")
			} else {
				c.Send(`* 1 FETCH (UID 101 BODYSTRUCTURE ((( BODY[1] ` + literal("aGVsbG8=\r\n") + ")")
			}
			c.OK(cmd.Tag, "done")
		},
	}})
	if got, err := f.FetchPart(context.Background(), 101, "1"); err != nil || string(got.Data) != "hello" {
		t.Errorf("got %+v, %v", got, err)
	}
	usable(t, s, f, 1)
}

func TestFetchHeader(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Exists: 1})
	h, err := f.FetchHeader(context.Background(), 101)
	if err != nil {
		t.Fatal(err)
	}
	if subject, err := h.Subject(); subject != "Message 1" || err != nil {
		t.Errorf("subject %q, %v", subject, err)
	}
	if _, err := f.FetchHeader(context.Background(), 999); !errors.Is(err, ErrNotFound) {
		t.Errorf("error %v", err)
	}
	if got := commandsLike(s, "UID FETCH")[0]; got != "101 (UID BODY.PEEK[HEADER])" {
		t.Errorf("sent %q", got)
	}
	usable(t, s, f, 1)
}

// Another session's removal made a command fail that was for a message that is
// still there.
func TestAPartThatWasPassedOverIsAskedForAgain(t *testing.T) {
	for name, call := range map[string]func(context.Context, *Folder) error{
		"FetchHeader": func(ctx context.Context, f *Folder) error {
			h, err := f.FetchHeader(ctx, 101)
			if err == nil && h.Get("Subject") != "x" {
				err = fmt.Errorf("subject %q", h.Get("Subject"))
			}
			return err
		},
		"OpenRange": func(ctx context.Context, f *Folder) error {
			r, err := f.OpenRange(ctx, 101, 0, 100)
			if err != nil {
				return err
			}
			defer r.Close()
			b, err := io.ReadAll(r)
			if err == nil && string(b) != "Subject: x\r\n\r\n" {
				err = fmt.Errorf("read %q", b)
			}
			return err
		},
	} {
		for _, says := range []string{"OK done", "NO [EXPUNGEISSUED] some are gone"} {
			for times, wanted := range map[int]error{1: nil, 2: ErrProtocol} {
				answer := partServer("", "Subject: x\r\n\r\n")["UID FETCH"]
				passed := 0
				_, f := readFrom(t, scripted.Options{Exists: 1, Handle: map[string]func(*scripted.Conn, scripted.Command){
					"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
						switch {
						case strings.Contains(cmd.Args, "INTERNALDATE"):
							c.Send(`* 1 FETCH (UID 101 INTERNALDATE "05-Jan-2026 10:00:00 +0000")`)
							c.OK(cmd.Tag, "done")
						case passed < times:
							passed++
							c.Send(cmd.Tag + " " + says)
						default:
							answer(c, cmd)
						}
					},
				}})
				if err := call(t.Context(), f); !errors.Is(err, wanted) {
					t.Errorf("%s, %d times %s: %v", name, times, says, err)
				}
			}
		}
	}
}

func TestOpenRangeStreamsAPiece(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Exists: 1, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			var uid, offset, length int
			n, _ := fmt.Sscanf(cmd.Args, "%d (UID BODY.PEEK[]<%d.%d>)", &uid, &offset, &length)
			if n != 3 && cmd.Args != "999 (UID INTERNALDATE)" {
				c.Errorf("sent %q", cmd.Args)
			}
			if uid == 101 {
				text := "0123456789"
				piece := text[min(offset, 10):min(offset+length, 10)]
				c.Sendf("* 1 FETCH (UID 101 BODY[]<%d> {%d}\r\n%s)", offset, len(piece), piece)
			}
			c.OK(cmd.Tag, "done")
		},
	}})
	for want, r := range map[string][2]int64{"0": {0, 1}, "456": {4, 3}, "89": {8, 100}, "": {10, 5}} {
		body, err := f.OpenRange(context.Background(), 101, r[0], r[1])
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(body); string(got) != want || err != nil {
			t.Errorf("%v: got %q, %v", r, got, err)
		}
	}
	if _, err := f.OpenRange(context.Background(), 999, 0, 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("error %v", err)
	}
	usable(t, s, f, 1)
}
