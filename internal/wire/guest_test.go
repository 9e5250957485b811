package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
)

var guestLimits = Limits{Line: 1 << 20, Literal: 1 << 20, Result: 1 << 20, Message: 1 << 24, Depth: 50, Responses: 1 << 20}

// guestPeer is a server of few words: for each command that a Guest or a Conn
// sends it sends what reply returns, in which $ stands for the command's tag.
type guestPeer struct {
	t     *testing.T
	nc    net.Conn
	lines chan string // what was received
}

// withGuest connects a Conn to a peer that answers with reply; an empty answer
// is none, and "* BYE" in it ends the connection after it.
func withGuest(t *testing.T, caps string, reply func(command string) string) (*Conn, *guestPeer) {
	t.Helper()
	return withGuestLimits(t, caps, guestLimits, reply)
}

func withGuestLimits(t *testing.T, caps string, lim Limits, reply func(command string) string) (*Conn, *guestPeer) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer := &guestPeer{t: t, lines: make(chan string, 10000)}
	if peer.nc, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		peer.serve(reply)
	}()
	c := NewConn(nc, lim, new(Names), nil)
	c.SetCaps(parseCaps(caps))
	t.Cleanup(func() {
		c.Discard()
		peer.nc.Close()
		<-done
	})
	return c, peer
}

func (p *guestPeer) serve(reply func(string) string) {
	defer p.nc.Close()
	r := bufio.NewReader(p.nc)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\r\n")
		p.lines <- line
		tag, command, ok := strings.Cut(line, " ")
		if !ok {
			tag, command = "", line
		}
		answer := strings.ReplaceAll(reply(command), "$", tag)
		if _, err := io.WriteString(p.nc, answer); err != nil || strings.Contains(answer, "* BYE") {
			return
		}
	}
}

// received returns the lines that the server got so far.
func (p *guestPeer) received() (lines []string) {
	for {
		select {
		case line := <-p.lines:
			lines = append(lines, line)
		default:
			return lines
		}
	}
}

func lend(c *Conn, box string, readOnly bool, fn func(*imapclient.Client) error) error {
	ctx := context.Background()
	c.Begin(ctx, 10*time.Second, true)
	defer c.End()
	return c.Lend(ctx, box, readOnly, fn)
}

func noop(client *imapclient.Client) error { return client.Noop().Wait() }

// selecting answers SELECT and EXAMINE, and OK to the rest.
func selecting(command string) string {
	if strings.HasPrefix(command, "SELECT") || strings.HasPrefix(command, "EXAMINE") {
		return "* FLAGS (\\Seen)\r\n* 7 EXISTS\r\n* OK [UIDVALIDITY 5] ok\r\n* OK [UIDNEXT 9] ok\r\n$ OK [READ-WRITE] done\r\n"
	}
	return "$ OK done\r\n"
}

func TestLendTellsCapabilitiesWithoutAsking(t *testing.T) {
	c, peer := withGuest(t, "IMAP4rev1 IMAP4rev2 IDLE UTF8=ACCEPT AUTH=PLAIN STARTTLS LOGINDISABLED COMPRESS=DEFLATE", selecting)
	err := lend(c, "", false, func(client *imapclient.Client) error {
		caps := client.Caps()
		if len(caps) != 2 || !caps.Has(imap.CapIdle) || !caps.Has(imap.CapIMAP4rev1) {
			t.Errorf("go-imap knows %v", caps)
		}
		if client.State() != imap.ConnStateAuthenticated {
			t.Errorf("state is %v", client.State())
		}
		return noop(client)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := peer.received(); len(got) != 1 || got[0] != "T1 NOOP" {
		t.Errorf("sent %q", got)
	}
}

func TestLendAsksForUnknownCapabilities(t *testing.T) {
	c, _ := withGuest(t, "", func(command string) string {
		return "* CAPABILITY IMAP4rev1 MOVE\r\n$ OK done\r\n"
	})
	c.SetCaps(nil)
	err := lend(c, "", false, func(client *imapclient.Client) error {
		if !client.Caps().Has(imap.CapMove) {
			t.Errorf("go-imap knows %v", client.Caps())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLendSelectsForBothBooks(t *testing.T) {
	c, peer := withGuest(t, "IMAP4rev1", selecting)
	for _, readOnly := range []bool{false, true} {
		err := lend(c, "Ärger", readOnly, func(client *imapclient.Client) error {
			if client.State() != imap.ConnStateSelected || client.Mailbox().NumMessages != 7 {
				t.Errorf("state %v, mailbox %+v", client.State(), client.Mailbox())
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		m := c.Mailbox()
		if m == nil || m.Name != "Ärger" || m.Messages != 7 || m.UIDValidity != 5 || m.UIDNext != 9 || m.ReadOnly != readOnly {
			t.Fatalf("the open mailbox is %+v", m)
		}
	}
	want := []string{`T1 SELECT "&AMQ-rger"`, `T2 EXAMINE "&AMQ-rger"`}
	if got := peer.received(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("sent %q, want %q", got, want)
	}
}

func TestMailboxIsUnknownAfterTheGuestLeftIt(t *testing.T) {
	for name, leave := range map[string]func(*imapclient.Client) error{
		"select":   func(cl *imapclient.Client) error { _, err := cl.Select("B", nil).Wait(); return err },
		"unselect": func(cl *imapclient.Client) error { return cl.Unselect().Wait() },
		"close":    func(cl *imapclient.Client) error { return cl.UnselectAndExpunge().Wait() },
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := withGuest(t, "IMAP4rev1", selecting)
			if err := lend(c, "A", false, leave); err != nil {
				t.Fatal(err)
			}
			if c.Mailbox() != nil {
				t.Errorf("the open mailbox is %+v", c.Mailbox())
			}
		})
	}
}

func TestRefusedSelectIsAnErrorAndKeepsTheConnection(t *testing.T) {
	c, _ := withGuest(t, "IMAP4rev1", func(command string) string {
		if strings.HasPrefix(command, "SELECT") {
			return "$ NO [NONEXISTENT] no such folder\r\n"
		}
		return "$ OK done\r\n"
	})
	err := lend(c, "A", false, func(*imapclient.Client) error { t.Error("fn was called"); return nil })
	var refusal *imap.Error
	if !errors.As(err, &refusal) || refusal.Text != "no such folder" || refusal.Code != imap.ResponseCodeNonExistent {
		t.Errorf("error is %v", err)
	}
	if c.Mailbox() != nil {
		t.Errorf("the open mailbox is %+v", c.Mailbox())
	}
	if err := lend(c, "", false, noop); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestOwnCommandsBetweenLoans(t *testing.T) {
	c, _ := withGuest(t, "IMAP4rev1", func(command string) string {
		return "* 3 EXISTS\r\n* VANISHED 4:5\r\n$ OK done\r\n"
	})
	before := runtime.NumGoroutine()
	for range 200 {
		if err := lend(c, "", false, noop); err != nil {
			t.Fatal(err)
		}
		c.Begin(context.Background(), 10*time.Second, true)
		cmd := c.Command("NOOP")
		if err := c.Run(cmd); err != nil || cmd.Status.Type != "OK" {
			t.Fatal(err, cmd.Status)
		}
		c.End()
		if c.buf != nil {
			t.Fatal("an idle connection holds a buffer")
		}
	}
	if n := runtime.NumGoroutine() - before; n > 1 {
		t.Errorf("%d goroutines after the first loan, want one", n)
	}
}

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
	"* 2 EXISTS trailing", "T999 OK who", "+ unasked", "", "* OK", "* GOOD-BYE", "* ENABLED UTF8=ACCEPT", "* ACL a b", `* METADATA "" (a`,
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

func TestReadOnlyLoansRefuseChanges(t *testing.T) {
	one := imap.UIDSetNum(1)
	peeking := &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{{Peek: true,
		Specifier: imap.PartSpecifierHeader, HeaderFields: []string{"BODY[]"}}}}
	for name, tt := range map[string]struct {
		run     func(*imapclient.Client) error
		allowed bool
	}{
		"NOOP": {noop, true},
		"EXAMINE": {func(cl *imapclient.Client) error {
			_, err := cl.Select("A", &imap.SelectOptions{ReadOnly: true}).Wait()
			return err
		}, true},
		"FETCH that peeks": {func(cl *imapclient.Client) error { return cl.Fetch(one, peeking).Close() }, true},
		"SELECT":           {func(cl *imapclient.Client) error { _, err := cl.Select("A", nil).Wait(); return err }, false},
		"FETCH BODY[]": {func(cl *imapclient.Client) error {
			return cl.Fetch(one, &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{{}}}).Close()
		}, false},
		"FETCH BINARY[]": {func(cl *imapclient.Client) error {
			return cl.Fetch(one, &imap.FetchOptions{BinarySection: []*imap.FetchItemBinarySection{{}}}).Close()
		}, false},
		"STORE": {func(cl *imapclient.Client) error {
			return cl.Store(one, &imap.StoreFlags{Op: imap.StoreFlagsAdd}, nil).Close()
		}, false},
		"CLOSE":   {func(cl *imapclient.Client) error { return cl.UnselectAndExpunge().Wait() }, false},
		"EXPUNGE": {func(cl *imapclient.Client) error { return cl.Expunge().Close() }, false},
		"COPY":    {func(cl *imapclient.Client) error { _, err := cl.Copy(one, "B").Wait(); return err }, false},
		"MOVE":    {func(cl *imapclient.Client) error { _, err := cl.Move(one, "B").Wait(); return err }, false},
		"CREATE":  {func(cl *imapclient.Client) error { return cl.Create("B", nil).Wait() }, false},
		"APPEND": {func(cl *imapclient.Client) error {
			cmd := cl.Append("B", 3, nil)
			io.WriteString(cmd, "abc")
			cmd.Close()
			_, err := cmd.Wait()
			return err
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			c, peer := withGuest(t, "IMAP4rev1", func(string) string { return "$ OK done\r\n" })
			err := lend(c, "", true, tt.run)
			if refused := errors.Is(err, ErrGuestReadOnly); refused == tt.allowed || tt.allowed && err != nil {
				t.Errorf("error is %v", err)
			}
			if got := peer.received(); (len(got) > 0) != tt.allowed {
				t.Errorf("sent %q", got)
			}
			if err := lend(c, "", true, noop); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestWhatIsNotForTheGuestIsRefused(t *testing.T) {
	c, peer := withGuest(t, "IMAP4rev1 ENABLE", func(string) string { return "$ OK done\r\n" })
	err := lend(c, "", false, func(client *imapclient.Client) error {
		for name, err := range map[string]error{
			"LOGIN":          client.Login("u", "p\xe4").Wait(),
			"LOGOUT":         client.Logout().Wait(),
			"UNAUTHENTICATE": client.Unauthenticate().Wait(),
			"ENABLE":         func() error { _, err := client.Enable(imap.CapUTF8Accept).Wait(); return err }(),
		} {
			var refusal *imap.Error
			if !errors.As(err, &refusal) || strings.Contains(refusal.Text, "p\xe4") {
				t.Errorf("%s: %v", name, err)
			}
		}
		return noop(client)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := peer.received(); len(got) != 1 || !strings.HasSuffix(got[0], "NOOP") {
		t.Errorf("sent %q", got)
	}
}

func TestRefusedLiteralKeepsTheConnection(t *testing.T) {
	c, peer := withGuest(t, "IMAP4rev1", func(command string) string {
		if strings.HasPrefix(command, "APPEND") {
			return "$ NO [OVERQUOTA] full\r\n"
		}
		return "$ OK done\r\n"
	})
	err := lend(c, "", false, func(client *imapclient.Client) error {
		cmd := client.Append("A", 3, nil)
		io.WriteString(cmd, "abc")
		cmd.Close()
		_, err := cmd.Wait()
		var refusal *imap.Error
		if !errors.As(err, &refusal) || refusal.Code != "OVERQUOTA" || refusal.Text != "full" {
			t.Errorf("error is %v", err)
		}
		return noop(client)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := peer.received(); fmt.Sprint(got) != "[T1 APPEND \"A\" {3} T2 NOOP]" {
		t.Errorf("sent %q", got)
	}
}

func TestMoveWithoutExtensionKeepsMessagesThatWereNotCopied(t *testing.T) {
	c, peer := withGuest(t, "IMAP4rev1 UIDPLUS", func(command string) string {
		if strings.HasPrefix(command, "UID COPY") {
			return "$ NO [TRYCREATE] no such folder\r\n"
		}
		return "$ OK done\r\n"
	})
	err := lend(c, "", false, func(client *imapclient.Client) error {
		_, err := client.Move(imap.UIDSetNum(1), "B").Wait()
		return err
	})
	var refusal *imap.Error
	if !errors.As(err, &refusal) || refusal.Code != imap.ResponseCodeTryCreate {
		t.Errorf("error is %v", err)
	}
	if got := peer.received(); len(got) != 1 {
		t.Errorf("sent %q", got)
	}
	if err := lend(c, "", false, noop); err != nil {
		t.Error(err)
	}
}

func TestLineBreaksAreNotSmuggledIntoCommands(t *testing.T) {
	for name, run := range map[string]func(*imapclient.Client) error{
		"in quotes": func(cl *imapclient.Client) error {
			_, err := cl.ID(&imap.IDData{Name: "x\r\nT2 DELETE \"INBOX\"\r\n"}).Wait()
			return err
		},
		"in an atom": func(cl *imapclient.Client) error {
			_, err := cl.Thread(&imapclient.ThreadOptions{Algorithm: "X UTF-8 ALL\r\nT2 DELETE INBOX\r\nT3",
				SearchCriteria: &imap.SearchCriteria{}}).Wait()
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, peer := withGuest(t, "IMAP4rev1", func(string) string { return "$ OK done\r\n" })
			if err := lend(c, "", false, run); !errors.Is(err, ErrArgument) {
				t.Errorf("error is %v", err)
			}
			if got := peer.received(); len(got) != 0 {
				t.Errorf("sent %q", got)
			}
		})
	}
}

func TestIdleMayBeSilent(t *testing.T) {
	c, _ := withGuest(t, "IMAP4rev1 IDLE", func(command string) string {
		switch command {
		case "IDLE":
			return "+ idling\r\n"
		case "DONE":
			return "* 4 EXISTS\r\nT1 OK done\r\n"
		}
		return "$ OK done\r\n"
	})
	c.Begin(context.Background(), 50*time.Millisecond, true)
	defer c.End()
	err := c.Lend(context.Background(), "", false, func(client *imapclient.Client) error {
		idle, err := client.Idle()
		if err != nil {
			return err
		}
		time.Sleep(200 * time.Millisecond) // beyond the limit, which does not count
		if err := idle.Close(); err != nil {
			return err
		}
		if err := idle.Wait(); err != nil {
			return err
		}
		return noop(client)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSilenceAfterACommandEndsTheLoan(t *testing.T) {
	c, _ := withGuest(t, "IMAP4rev1", func(string) string { return "" })
	c.Begin(context.Background(), 50*time.Millisecond, true)
	defer c.End()
	if err := c.Lend(context.Background(), "", false, noop); !errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(c.Err(), ErrTimeout) {
		t.Errorf("error is %v, connection's %v", err, c.Err())
	}
}

func TestCancellingEndsTheLoan(t *testing.T) {
	asked := make(chan struct{})
	c, _ := withGuest(t, "IMAP4rev1", func(string) string { close(asked); return "" })
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-asked; cancel() }()
	c.Begin(ctx, time.Minute, true)
	defer c.End()
	if err := c.Lend(ctx, "", false, noop); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

func TestPartingWordsAreTheError(t *testing.T) {
	c, _ := withGuest(t, "IMAP4rev1", func(string) string { return "* BYE going down\r\n" })
	err := lend(c, "", false, noop)
	var bye *ByeError
	if !errors.As(err, &bye) || bye.Text != "going down" {
		t.Errorf("error is %v", err)
	}
}

func TestUnfinishedCommandsEndTheConnection(t *testing.T) {
	fetched := "* 1 FETCH (UID 1)\r\n* 2 FETCH (UID 2 BODY[] {3}\r\nabc)\r\n"
	for name, tt := range map[string]struct {
		run  func(*imapclient.Client) error
		want error
	}{
		"IDLE":    {func(cl *imapclient.Client) error { _, err := cl.Idle(); return err }, errUnfinished},
		"APPEND":  {func(cl *imapclient.Client) error { cl.Append("A", 10, nil); return nil }, errUnfinished},
		"FETCH":   {func(cl *imapclient.Client) error { cl.Fetch(imap.SeqSetNum(1, 2), nil); return nil }, errUnread},
		"EXPUNGE": {func(cl *imapclient.Client) error { cl.Expunge(); return nil }, errUnread},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := withGuest(t, "IMAP4rev1 IDLE", func(command string) string {
				switch {
				case command == "IDLE", strings.HasPrefix(command, "APPEND"):
					return "+ go on\r\n"
				case strings.HasPrefix(command, "FETCH"):
					return fetched + "$ OK done\r\n"
				case command == "EXPUNGE":
					return strings.Repeat("* 1 EXPUNGE\r\n", 1000) + "$ OK done\r\n"
				}
				return ""
			})
			if err := lend(c, "", false, tt.run); !errors.Is(err, tt.want) {
				t.Errorf("error is %v", err)
			}
			if c.Err() == nil {
				t.Error("the connection is thought to be fine")
			}
		})
	}
}

func TestCommandsNobodyWaitedForAreAnsweredBeforeTheLoanEnds(t *testing.T) {
	c, _ := withGuest(t, "IMAP4rev1", func(string) string { return "$ OK done\r\n" })
	for range 50 {
		if err := lend(c, "", false, func(client *imapclient.Client) error { client.Noop(); return nil }); err != nil {
			t.Fatal(err)
		}
		c.Begin(context.Background(), time.Minute, true)
		if err := c.Run(c.Command("NOOP")); err != nil {
			t.Fatal(err)
		}
		c.End()
	}
}

func TestPanicEndsTheConnectionAndGoesOn(t *testing.T) {
	c, _ := withGuest(t, "IMAP4rev1", func(string) string { return "$ OK done\r\n" })
	defer func() {
		if v := recover(); v != "mine" {
			t.Errorf("recovered %v", v)
		}
		if !errors.Is(c.Err(), errPanicked) {
			t.Errorf("the connection's error is %v", c.Err())
		}
	}()
	lend(c, "", false, func(*imapclient.Client) error { panic("mine") })
}

func TestNoGoroutineIsLeftAfterTheEnd(t *testing.T) {
	c, _ := withGuest(t, "IMAP4rev1", func(string) string { return "$ OK done\r\n" })
	var client *imapclient.Client
	if err := lend(c, "", false, func(cl *imapclient.Client) error { client = cl; return noop(cl) }); err != nil {
		t.Fatal(err)
	}
	c.Discard()
	<-client.Closed()
	if err := client.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestErrorOfTheFunctionIsReturned(t *testing.T) {
	c, _ := withGuest(t, "IMAP4rev1", func(string) string { return "$ OK done\r\n" })
	mine := errors.New("mine")
	if err := lend(c, "", false, func(*imapclient.Client) error { return mine }); err != mine {
		t.Errorf("error is %v", err)
	}
	err := lend(c, "", false, func(client *imapclient.Client) error { client.Close(); return mine })
	if !errors.Is(err, mine) || !errors.Is(err, errGuestClosed) {
		t.Errorf("error is %v", err)
	}
}

func TestLendWithAnotherServer(t *testing.T) {
	mem := imapmemserver.New()
	user := imapmemserver.NewUser("u", "p")
	user.Create("INBOX", nil)
	mem.AddUser(user)
	server := imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return mem.NewSession(), nil, nil
		},
		Caps:         imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapIMAP4rev2: {}},
		InsecureAuth: true,
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(ln)
	defer server.Close()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := NewConn(nc, guestLimits, new(Names), nil)
	defer c.Discard()
	c.Begin(context.Background(), time.Minute, true)
	if _, err := c.next(); err != nil {
		t.Fatal(err)
	}
	if err := c.Run(c.Command("LOGIN").String("u").String("p")); err != nil {
		t.Fatal(err)
	}
	c.End()
	section := &imap.FetchItemBodySection{Peek: true}
	for i := range 20 {
		body := fmt.Sprintf("Subject: %d\r\n\r\n%s", i, strings.Repeat("x", i*1000))
		err := lend(c, "INBOX", false, func(client *imapclient.Client) error {
			cmd := client.Append("INBOX", int64(len(body)), nil)
			io.WriteString(cmd, body)
			if err := cmd.Close(); err != nil {
				return err
			}
			data, err := cmd.Wait()
			if err != nil {
				return err
			}
			msgs, err := client.Fetch(imap.UIDSetNum(data.UID), &imap.FetchOptions{Envelope: true,
				BodyStructure: &imap.FetchItemBodyStructure{Extended: true}, BodySection: []*imap.FetchItemBodySection{section}}).Collect()
			if err != nil {
				return err
			}
			if len(msgs) != 1 || string(msgs[0].FindBodySection(section)) != body || msgs[0].Envelope.Subject != fmt.Sprint(i) {
				t.Errorf("fetched %+v", msgs)
			}
			found, err := client.UIDSearch(&imap.SearchCriteria{Body: []string{"é"}}, nil).Wait()
			if err == nil && len(found.AllUIDs()) != 0 {
				t.Errorf("found %v", found.AllUIDs())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if c.Mailbox().Messages != uint32(i+1) {
			t.Errorf("%d messages, want %d", c.Mailbox().Messages, i+1)
		}
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
		c.Begin(context.Background(), 5*time.Second, true)
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
