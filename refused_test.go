package imapkit_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

// A server may refuse any number of messages, in any order, and even to say that
// they are there: all others come, and each of these is told.
func TestHowManyMessagesAreRefusedCostsNoOther(t *testing.T) {
	const messages = 2200
	all := named(fmt.Sprintf("101:%d", 100+messages))
	patterns := map[string]func(n int) bool{
		"every third":         func(n int) bool { return n%3 == 0 },
		"every fiftieth":      func(n int) bool { return n%50 == 0 },
		"thirty in a row":     func(n int) bool { return n > 1010 && n <= 1040 },
		"those of two chunks": func(n int) bool { return n > 960 && n <= 1040 },
	}
	for name, is := range patterns {
		kept := make(map[imap.UID]bool)
		for n := range messages {
			if is(n) {
				kept[imap.UID(101+n)] = true
			}
		}
		for _, h := range []hoard{
			{says: "NO Some messages could not be FETCHed (Failure)"},
			{says: "NO [UNAVAILABLE] UID FETCH Server error while fetching messages", alone: true},
		} {
			for _, h.always = range [][]string{{"INTERNALDATE"}, nil} {
				h.kept = kept
				t.Run(fmt.Sprintf("%s, alone %v, known %v", name, h.alone, h.always != nil), func(t *testing.T) {
					s := h.serve(t, messages)
					f := at(t, s, "").Folder("INBOX")
					check := func(what string, got []imap.UID, bad map[imap.UID]bool) {
						t.Helper()
						if !slices.Equal(got, all) {
							t.Errorf("%s: %d of %d messages", what, len(got), len(all))
						}
						for _, uid := range all {
							if bad[uid] != kept[uid] {
								t.Errorf("%s: UID %d: error %v, refused %v", what, uid, bad[uid], kept[uid])
								break
							}
						}
					}
					var got []imap.UID
					bad := make(map[imap.UID]bool)
					for m, err := range f.FetchAll(limited(t), all) {
						if err != nil {
							t.Fatalf("FetchAll after %d messages: %v", len(got), err)
						}
						got = append(got, m.Info.UID)
						bad[m.Info.UID] = m.Info.Err != nil && len(m.Raw) == 0
					}
					check("FetchAll", got, bad)

					got, bad = nil, make(map[imap.UID]bool)
					for m, err := range f.Messages(limited(t), imapkit.UIDs(all...), imapkit.ItemSize, imapkit.ItemFlags) {
						if err != nil {
							t.Fatalf("Messages after %d messages: %v", len(got), err)
						}
						got = append(got, m.UID)
						bad[m.UID] = m.Err != nil && m.Size == 0
					}
					check("Messages", got, bad)

					got = nil
					var lost error
					for m, err := range f.Raw(limited(t), all) {
						if lost = err; err != nil {
							break
						}
						if b, err := io.ReadAll(m.Body); err != nil || len(b) != 14 {
							t.Fatalf("UID %d: %d bytes, error %v", m.UID, len(b), err)
						}
						got = append(got, m.UID)
					}
					if lost == nil {
						t.Fatal("Raw does not tell that messages are missing")
					}
					bad = make(map[imap.UID]bool)
					for uid := range kept {
						got = append(got, uid)
						bad[uid] = true
					}
					slices.Sort(got)
					check("Raw", got, bad)
					for uid := range kept {
						if words := strings.FieldsFunc(lost.Error(), func(r rune) bool { return r == ' ' || r == ',' }); !slices.Contains(words, fmt.Sprint(uid)) {
							t.Errorf("Raw: UID %d is not named", uid)
							break
						}
					}
					if n := len(work(s)); n > 600+60*len(kept) {
						t.Errorf("%d commands for %d messages that are refused", n, len(kept))
					}
				})
			}
		}
	}
}

// A server that throttles and sends no message in between ends a loop as it ends
// any other call.
func TestAServerThatThrottlesWithoutEndEndsALoop(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 2, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			c.Send("* 1 FETCH (FLAGS ())", cmd.Tag+" "+backoff(1))
		},
	}})
	c := at(t, s, "")
	c.Timeout = 300 * time.Millisecond
	f := c.Folder("INBOX")
	ends := func(what string, err error) {
		t.Helper()
		if !errors.As(err, new(*imapkit.ThrottledError)) {
			t.Errorf("%s: error %v", what, err)
		}
	}
	for _, err := range f.Messages(t.Context(), imapkit.UIDs(numbered(2)...)) {
		ends("Messages", err)
	}
	for _, err := range f.FetchAll(t.Context(), numbered(2)) {
		ends("FetchAll", err)
	}
	for _, err := range f.Raw(t.Context(), numbered(2)) {
		ends("Raw", err)
	}
}

func TestAFolderThatIsRebuiltUnderALoopEndsIt(t *testing.T) {
	const messages = 3000
	for name, loop := range map[string]func(*imapkit.Folder) (n int, err error){
		"Messages": func(f *imapkit.Folder) (n int, err error) {
			for _, err := range f.Messages(limited(t), imapkit.UIDs(numbered(messages)...), imapkit.ItemFlags) {
				if err != nil {
					return n, err
				}
				n++
			}
			return n, nil
		},
		"Raw": func(f *imapkit.Folder) (n int, err error) {
			for _, err := range f.Raw(limited(t), numbered(messages)) {
				if err != nil {
					return n, err
				}
				n++
			}
			return n, nil
		},
	} {
		first := true
		s := scripted.Serve(t, scripted.Options{Exists: messages, Handle: map[string]func(*scripted.Conn, scripted.Command){
			"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
				if !first {
					c.Send("* OK [UIDVALIDITY 99] rebuilt")
				}
				first = false
				c.Answer(cmd)
			},
		}})
		if n, err := loop(at(t, s, "").Folder("INBOX")); n != 1000 || !errors.Is(err, imapkit.ErrUIDValidity) {
			t.Errorf("%s: %d messages, error %v", name, n, err)
		}
	}
}

func TestWhatIsSaidOfNoMessageInParticularIsNotLost(t *testing.T) {
	answer := func(list ...string) *imapkit.Folder {
		s := scripted.Serve(t, scripted.Options{Exists: 2, Handle: answers(map[string][]string{"UID FETCH": list})})
		return at(t, s, "").Folder("INBOX")
	}
	const date = `INTERNALDATE "01-Jan-2024 12:00:00 +0000"`
	t.Run("flags", func(t *testing.T) {
		f := answer("* 1 FETCH (FLAGS (a))\n* 2 FETCH (FLAGS (a))\nOK", "* 1 FETCH ("+date+")\n* 2 FETCH ("+date+")\nOK")
		var failed error
		for _, err := range f.Messages(limited(t), imapkit.UIDs(101, 102), imapkit.ItemFlags) {
			failed = err
		}
		if !errors.Is(failed, imapkit.ErrProtocol) {
			t.Errorf("error %v", failed)
		}
	})
	t.Run("what is sorted by", func(t *testing.T) {
		f := answer("* 1 FETCH (RFC822.SIZE 7)\n* 2 FETCH (UID 102 RFC822.SIZE 3)\nOK", "OK")
		if uids, err := f.Sort(limited(t), imapkit.UIDs(101, 102), imapkit.SortSize); !errors.Is(err, imapkit.ErrProtocol) {
			t.Errorf("UIDs %d, error %v", uids, err)
		}
	})
	t.Run("what threads are made of", func(t *testing.T) {
		f := answer("* 1 FETCH ("+date+" BODY[HEADER.FIELDS (X)] {2}\n\n)\nOK", "OK")
		if _, err := f.Threads(limited(t), imapkit.UIDs(101), imap.ThreadReferences); !errors.Is(err, imapkit.ErrProtocol) {
			t.Errorf("error %v", err)
		}
	})
}

func TestAChangeOfFlagsIsNotTakenForTheAnswer(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		items        []imapkit.Item
		want         string
	}{
		{"before an item of no known kind", "* 1 FETCH (UID 101 FLAGS (a))\n* 1 FETCH (UID 101 FLAGS (a) X-FOO (1))\nOK",
			[]imapkit.Item{imapkit.ItemFlags, "X-FOO"}, "101 map[X-FOO:(1)] <nil>\n"},
		{"with a mod-sequence, of a message that goes", "* 1 FETCH (UID 101 FLAGS (a) MODSEQ (7))\n* 1 EXPUNGE\nOK",
			[]imapkit.Item{imapkit.ItemFlags, imapkit.ItemSize}, ""},
		{"of a message that goes before its header comes", "* 1 FETCH (UID 101 FLAGS (a))\n* 1 EXPUNGE\nOK",
			[]imapkit.Item{imapkit.ItemHeader}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := scripted.Serve(t, scripted.Options{Exists: 1, Handle: answers(map[string][]string{"UID FETCH": {tt.answer, "OK"}})})
			got := ""
			for m, err := range at(t, s, "").Folder("INBOX").Messages(limited(t), imapkit.UIDs(101), tt.items...) {
				if err != nil {
					t.Fatal(err)
				}
				other := "none"
				if m.Extra != nil {
					other = fmt.Sprint(m.Extra.Other)
				}
				got += fmt.Sprintln(m.UID, other, m.Err)
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestTheReasonsOfAMessageAreBounded(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 1, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			c.SendRaw(strings.Repeat("* 1 FETCH (UID 101 INTERNALDATE NOW)\r\n", 20000))
			c.Send("* 1 FETCH (UID 101 RFC822.SIZE 4 FLAGS () BODY[] {4}\r\n\r\nhi)", cmd.Tag+" OK done")
		},
	}})
	f := at(t, s, "").Folder("INBOX")
	m, err := f.Fetch(limited(t), 101)
	if err != nil {
		t.Fatal(err)
	}
	if text := m.Info.Err.Error(); len(text) > 2000 || !strings.Contains(text, "INTERNALDATE") {
		t.Errorf("%d bytes: %.80s", len(text), text)
	}
}

func TestAMessageThatIsPutTogetherFromPartsThatComeOneByOne(t *testing.T) {
	const header, text = "* 1 FETCH (UID 101 BODY[HEADER] {6}\na:\n\n)", "* 1 FETCH (UID 101 BODY[TEXT] {3}\nx\n)"
	for name, parts := range map[string]string{"header first": header + "\n" + text, "text first": text + "\n" + header} {
		t.Run(name, func(t *testing.T) {
			s := scripted.Serve(t, scripted.Options{Exists: 1, Handle: map[string]func(*scripted.Conn, scripted.Command){
				"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
					switch {
					case strings.Contains(cmd.Args, "BODY.PEEK[]"):
						c.No(cmd.Tag, "not as a whole")
						return
					case strings.Contains(cmd.Args, "TEXT"):
						c.SendRaw(strings.ReplaceAll(parts, "\n", "\r\n") + "\r\n")
					default:
						c.Send(`* 1 FETCH (UID 101 INTERNALDATE "01-Jan-2024 12:00:00 +0000")`)
					}
					c.OK(cmd.Tag, "done")
				},
			}})
			m, err := at(t, s, "").Folder("INBOX").Fetch(limited(t), 101)
			if err != nil || string(m.Raw) != "a:\r\n\r\nx\r\n" {
				t.Errorf("message %+v, error %v", m, err)
			}
		})
	}
}

func TestAChangeOfFlagsDoesNotHideThatAMessageIsKeptBack(t *testing.T) {
	h := hoard{kept: map[imap.UID]bool{101: true}, always: []string{"INTERNALDATE"}, says: "OK done"}
	s := scripted.Serve(t, scripted.Options{Exists: 2, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			c.Send("* 1 FETCH (UID 101 FLAGS (a))")
			h.fetch(c, cmd)
		},
	}})
	n := 0
	var lost error
	for _, err := range at(t, s, "").Folder("INBOX").Raw(limited(t), named("101:102")) {
		if lost = err; err == nil {
			n++
		}
	}
	if n != 1 || lost == nil || !strings.Contains(lost.Error(), "UID 101 ") {
		t.Errorf("%d messages, error %v", n, lost)
	}
}
