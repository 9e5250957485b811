package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// poison holds responses that end go-imap's connection, or worse, when it sees
// them as they are.
var poison = []string{
	"* VANISHED 1:2", `* LSUB () "/" "a"`, `* XLIST () "/" "a"`, `* LISTRIGHTS a b "" l`, "* LANGUAGE (EN)", "* COMPARATOR x",
	"* GENURLAUTH x", "* ANNOTATION x", "* 3 FOO", "* 3 UIDFETCH (FLAGS ())", "* 3 FETCH (EMAILID (x))", "* 3 FETCH (X-GM-MSGID 1)",
	"* 3 FETCH (RFC822 {3}\r\nabc)", "* 3 FETCH (INTERNALDATE NIL)", `* 3 FETCH (INTERNALDATE "x")`, "* 3 FETCH (RFC822.SIZE -1)",
	"* 3 FETCH (FLAGS NIL)", "* 3 FETCH (ENVELOPE NIL)", "* 3 FETCH (ENVELOPE (nil nil nil nil nil nil nil nil nil nil))",
	"* 3 FETCH (BODYSTRUCTURE NIL)", `* 3 FETCH (BODYSTRUCTURE ("text" NIL NIL NIL NIL "7bit" NIL NIL))`,
	`* 3 FETCH (BODYSTRUCTURE ("text" "plain" ("charset" NIL) NIL NIL "7bit" 1 1))`,
	`* 3 FETCH (BODYSTRUCTURE ("message" "rfc822" NIL NIL NIL "7bit" 1 NIL NIL 1))`,
	`* 3 FETCH (BODYSTRUCTURE ("mixed" ("boundary" "x") NIL NIL))`,
	`* 3 FETCH (BODYSTRUCTURE ("a" "b" NIL NIL NIL "7bit" 4294967296 NIL ("ATTACHMENT") NIL))`,
	"* 3 FETCH (BODYSTRUCTURE " + strings.Repeat("(", 100000) + ")",
	"* 3 FETCH (BODY[] ~{3}\r\nabc UID 5)", "* 3 FETCH (BODY[1.] {1}\r\nx)", "* 3 FETCH (BINARY[1]<0> {1}\r\nx)",
	`* LIST () "/" "R&D"`, "* LIST () \"/\" \"caf\xe9\"", `* LIST () "/" "a&AGE-b"`, "* LIST () \"/\" \"a\tb\"", `* LIST () "//" "a"`,
	`* LIST (\Foo]) "/" a`, "* STATUS a", "* STATUS a (MESSAGES NIL)", "* STATUS a (UIDVALIDITY 4294967296)", `* ID ("name" NIL)`,
	"* OK [UIDNEXT] x", "* OK [UIDNEXT 4294967296] x", "* OK [HIGHESTMODSEQ] x", "* OK [PERMANENTFLAGS NIL] x",
	`* OK [PERMANENTFLAGS (\x)]x)] y`, "* OK [COPYUID 1 2 *] x", `* OK [COPYUID 1 "2" "3"] x`, "* OK [] x", "* OK [never closed",
	`* FLAGS (\Foo] a)`, "* FLAGS NIL", "* SORT 1 2 (MODSEQ 5)", "* SEARCH 4294967296", "* SEARCH 0 4294967295", "* ESEARCH",
	"* ESEARCH UID ALL *", `* ESEARCH (TAG "x" MAILBOX "y") ALL 1`, "* THREAD NIL", "* THREAD (1 (2) 3)", "* NAMESPACE NIL NIL",
	`* QUOTA "" (STORAGE 1 -1)`, "* CAPABILITY IMAP4rev1  ", "* 4294967296 EXISTS", "* EXISTS x y", "* 0 EXPUNGE", "*  2  EXISTS",
	"* 2 EXISTS trailing", "T999 OK who", "+ unasked", "", "* OK", "* GOOD-BYE", "*SORT", "*THREAD 1",
	"* ENABLED UTF8=ACCEPT", "* ACL a b", `* METADATA "" (a`,
}

func TestPoisonDoesNotReachTheGuest(t *testing.T) {
	for _, response := range poison {
		name := response
		if len(name) > 60 {
			name = name[:60]
		}
		t.Run(name, func(t *testing.T) {
			c, _ := withGuest(t, "IMAP4rev1", func(string) string { return response + "\r\n$ OK done\r\n" })
			for range 2 {
				if err := lend(c, "", false, noop); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Err(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestFetchIsRewritten(t *testing.T) {
	const answer = "* 3 FETCH (X-UNKNOWN (1 2) BODY[] {5}\r\nhello FLAGS (\\Seen a]b) RFC822.SIZE 5 MODSEQ (7)" +
		` INTERNALDATE "17-Jul-1996 02:44:25 -0700" BINARY.SIZE[1.2] 9` +
		` ENVELOPE ("Wed, 17 Jul 1996 02:23:25 -0700" "=?utf-8?q?=3D=3Fx=3F=3D?=" (("A \"q\" \\" NIL "a" "b.c")) NIL NIL NIL NIL NIL "<x@y>" "<i@d>")` +
		` BODYSTRUCTURE (("TEXT" "PLAIN" ("CHARSET" "utf-8") NIL NIL "7bit" 5 1 NIL ("attachment" ("filename" "=?utf-8?q?=C3=A4?=")) "de" NIL)` +
		`("message" "rfc822" NIL NIL NIL "7bit" 10 (NIL "in" NIL NIL NIL NIL NIL NIL NIL NIL) ("text" "html" NIL NIL NIL "8bit" 3 2) 4) "MIXED" NIL)` +
		" UID 42)\r\n$ OK done\r\n"
	c, _ := withGuest(t, "IMAP4rev1", func(string) string { return answer })
	var msgs []*imapclient.FetchMessageBuffer
	section := &imap.FetchItemBodySection{Peek: true}
	err := lend(c, "", true, func(client *imapclient.Client) (err error) {
		msgs, err = client.Fetch(imap.UIDSetNum(42), &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{section}}).Collect()
		return err
	})
	if err != nil || len(msgs) != 1 {
		t.Fatal(err, len(msgs))
	}
	m := msgs[0]
	if m.UID != 42 || m.SeqNum != 3 || m.RFC822Size != 5 || m.ModSeq != 7 || fmt.Sprint(m.Flags) != `[\Seen]` ||
		string(m.FindBodySection(section)) != "hello" || m.InternalDate.Unix() != 837596665 {
		t.Errorf("message is %+v", m)
	}
	if size, ok := m.FindBinarySectionSize([]int{1, 2}); !ok || size != 9 {
		t.Errorf("binary size is %v, %v", size, ok)
	}
	e := m.Envelope
	if e.Subject != "=?x?=" || e.From[0] != (imap.Address{Name: `A "q" \`, Mailbox: "a", Host: "b.c"}) ||
		e.MessageID != "i@d" || fmt.Sprint(e.InReplyTo) != "[x@y]" || e.Date.Unix() != 837595405 {
		t.Errorf("envelope is %+v", e)
	}
	multi := m.BodyStructure.(*imap.BodyStructureMultiPart)
	text := multi.Children[0].(*imap.BodyStructureSinglePart)
	if text.Filename() != "ä" || text.Params["charset"] != "utf-8" || fmt.Sprint(text.Extended.Language) != "[de]" {
		t.Errorf("text part is %+v", text)
	}
	inner := multi.Children[1].(*imap.BodyStructureSinglePart).MessageRFC822
	if inner.NumLines != 4 || inner.Envelope.Subject != "in" || inner.BodyStructure.MediaType() != "text/html" {
		t.Errorf("inner message is %+v", inner)
	}
}

func TestResultsAreCanonical(t *testing.T) {
	for command, tt := range map[string]struct {
		answer string
		run    func(*imapclient.Client) (any, error)
		want   string
	}{
		"UID SEARCH": {"* SEARCH 9 3 0 3 4294967295 (MODSEQ 8)\r\n", func(cl *imapclient.Client) (any, error) {
			data, err := cl.UIDSearch(&imap.SearchCriteria{}, nil).Wait()
			return data.AllUIDs(), err
		}, "[3 9]"},
		"UID SEARCH with results in ranges": {"* ESEARCH uid COUNT 3 ALL 7:8,2\r\n", func(cl *imapclient.Client) (any, error) {
			data, err := cl.UIDSearch(&imap.SearchCriteria{}, &imap.SearchOptions{ReturnAll: true}).Wait()
			return fmt.Sprint(data.AllUIDs(), data.Count), err
		}, "[2 7 8] 3"},
		"SORT": {"* SORT 5 2 9 (MODSEQ 1)\r\n", func(cl *imapclient.Client) (any, error) {
			return cl.Sort(&imapclient.SortOptions{SearchCriteria: &imap.SearchCriteria{}}).Wait()
		}, "[5 2 9]"},
		"THREAD": {"* THREAD (1 2 (3)(4))\t(5)\r\n", func(cl *imapclient.Client) (any, error) {
			return cl.Thread(&imapclient.ThreadOptions{Algorithm: imap.ThreadReferences, SearchCriteria: &imap.SearchCriteria{}}).Wait()
		}, "[{[1 2] [{[3] []} {[4] []}]} {[5] []}]"},
		"STATUS": {"* STATUS box (MESSAGES 3 MAILBOXID (x) UNSEEN NIL SIZE 9)\r\n", func(cl *imapclient.Client) (any, error) {
			data, err := cl.Status("Box", &imap.StatusOptions{NumMessages: true}).Wait()
			return fmt.Sprint(*data.NumMessages, *data.Size, data.NumUnseen == nil), err
		}, "3 9 true"},
		"LIST": {"* LIST (\\HasNoChildren a]) \"/\" R&D (\"CHILDINFO\" (\"x\"))\r\n", func(cl *imapclient.Client) (any, error) {
			list, err := cl.List("", "*", nil).Collect()
			return fmt.Sprint(list[0].Mailbox, list[0].Attrs, string(list[0].Delim)), err
		}, `R&D[\HasNoChildren]/`},
		"NAMESPACE": {"* NAMESPACE ((\"\" \"/\" X (\"a\"))(\"b\" NIL)) NIL\r\n", func(cl *imapclient.Client) (any, error) {
			data, err := cl.Namespace().Wait()
			return *data, err
		}, "{[{ 47} {b 0}] [] []}"},
		"ID": {"* ID (\"NAME\" \"x\" \"version\" NIL)\r\n", func(cl *imapclient.Client) (any, error) {
			data, err := cl.ID(nil).Wait()
			return data.Name, err
		}, "x"},
		"GETQUOTA": {"* QUOTA \"\" (STORAGE 1 -1 MESSAGE 2 3)\r\n", func(cl *imapclient.Client) (any, error) {
			data, err := cl.GetQuota("").Wait()
			return data.Resources, err
		}, "map[MESSAGE:{2 3}]"},
		"GETMETADATA": {"* METADATA box (/a {1}\r\nx /b NIL)\r\n", func(cl *imapclient.Client) (any, error) {
			data, err := cl.GetMetadata("Box", []string{"/a"}, nil).Wait()
			return fmt.Sprint(string(*data.Entries["/a"]), data.Entries["/b"] == nil), err
		}, "xtrue"},
		"MYRIGHTS": {"* MYRIGHTS box lrs\r\n", func(cl *imapclient.Client) (any, error) {
			data, err := cl.MyRights("Box").Wait()
			return data.Rights, err
		}, "lrs"},
	} {
		t.Run(command, func(t *testing.T) {
			c, _ := withGuest(t, "IMAP4rev1", func(string) string { return tt.answer + "$ OK done\r\n" })
			err := lend(c, "", true, func(client *imapclient.Client) error {
				got, err := tt.run(client)
				if err == nil && fmt.Sprint(got) != tt.want {
					t.Errorf("got %v, want %v", got, tt.want)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestFolderNamesAreTheServersOwn(t *testing.T) {
	c, peer := withGuest(t, "IMAP4rev1", func(command string) string {
		if strings.HasPrefix(command, "LIST") {
			return "* LIST () \"/\" \"R&D\"\r\n$ OK done\r\n"
		}
		return "$ OK [COPYUID 1 2 3] done\r\n"
	})
	err := lend(c, "", false, func(client *imapclient.Client) error {
		list, err := client.List("", "*", nil).Collect()
		if err != nil {
			return err
		}
		_, err = client.Copy(imap.UIDSetNum(2), list[0].Mailbox).Wait()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	c.SetUTF8(true)
	if err := lend(c, "", false, func(client *imapclient.Client) error { return client.Rename("ä", "b", nil).Wait() }); err != nil {
		t.Fatal(err)
	}
	want := []string{`T1 LIST "" "*"`, `T2 UID COPY 2 "R&D"`, `T3 RENAME "ä" "b"`}
	if got := peer.received(); strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("sent %q, want %q", got, want)
	}
}

// FuzzGuest checks that go-imap can read whatever is left of a server's bytes.
func FuzzGuest(f *testing.F) {
	for _, response := range poison {
		if len(response) < 1000 {
			f.Add([]byte(response + "\r\n"))
		}
	}
	f.Fuzz(func(t *testing.T, response []byte) {
		ours, theirs := net.Pipe()
		lim := guestLimits
		lim.Line, lim.Literal, lim.Result, lim.Message = 1<<12, 1<<12, 1<<12, 1<<12
		c := NewConn(ours, lim, new(Names), nil)
		c.SetCaps(parseCaps("IMAP4rev1"))
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer theirs.Close()
			r := bufio.NewReader(theirs)
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				tag, _, _ := strings.Cut(line, " ")
				if _, err := fmt.Fprintf(theirs, "%s\r\n%s OK done\r\n", response, tag); err != nil {
					return
				}
				if !strings.Contains(line, "NOOP") {
					return
				}
			}
		}()
		c.Begin(context.Background(), time.Second, true)
		err := c.Lend(context.Background(), "", false, func(client *imapclient.Client) error {
			if err := client.Noop().Wait(); err != nil {
				return err
			}
			return client.Fetch(imap.SeqSet{{Start: 1, Stop: 0}}, nil).Close()
		})
		if errors.Is(err, errGuestClosed) || errors.Is(c.Err(), errGuestClosed) {
			t.Errorf("go-imap could not read what it got: %v", err)
		}
		c.End()
		c.Discard()
		<-done
	})
}
