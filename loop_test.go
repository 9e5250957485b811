package imapkit

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/scripted"
)

// fetchAnswers answers UID FETCH with these bytes and OK.
func fetchAnswers(answer string) map[string]func(*scripted.Conn, scripted.Command) {
	return map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			c.SendRaw(answer)
			c.OK(cmd.Tag, "done")
		},
	}
}

// literal writes a body as servers do.
func literal(s string) string { return fmt.Sprintf("{%d}\r\n%s", len(s), s) }

// list collects what Messages yields, without the errors of single messages.
func list(t *testing.T, f *Folder, q Query, items ...Item) []*MessageInfo {
	t.Helper()
	var all []*MessageInfo
	for m, err := range f.Messages(context.Background(), q, items...) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

func uidsOf(infos []*MessageInfo) []imap.UID {
	var uids []imap.UID
	for _, info := range infos {
		uids = append(uids, info.UID)
	}
	return uids
}

func TestMessagesComeInAscendingOrderAndComplete(t *testing.T) {
	for name, answer := range map[string]string{
		"in order": "* 1 FETCH (UID 101 FLAGS (\\Seen) RFC822.SIZE 1)\r\n* 2 FETCH (UID 102 FLAGS () RFC822.SIZE 2)\r\n" +
			"* 3 FETCH (UID 103 FLAGS () RFC822.SIZE 3)\r\n",
		"descending": "* 3 FETCH (UID 103 FLAGS () RFC822.SIZE 3)\r\n* 2 FETCH (UID 102 FLAGS () RFC822.SIZE 2)\r\n" +
			"* 1 FETCH (UID 101 FLAGS (\\Seen) RFC822.SIZE 1)\r\n",
		"UID last": "* 1 FETCH (FLAGS (\\Seen) RFC822.SIZE 1 UID 101)\r\n* 2 FETCH (FLAGS () RFC822.SIZE 2 UID 102)\r\n" +
			"* 3 FETCH (FLAGS () RFC822.SIZE 3 UID 103)\r\n",
		"split over responses": "* 1 FETCH (UID 101 FLAGS (\\Seen))\r\n* 2 FETCH (UID 102 FLAGS ())\r\n* 3 FETCH (UID 103 FLAGS ())\r\n" +
			"* 1 FETCH (UID 101 RFC822.SIZE 1)\r\n* 2 FETCH (UID 102 RFC822.SIZE 2)\r\n* 3 FETCH (RFC822.SIZE 3 UID 103)\r\n",
		"other news in between": "* 4 EXISTS\r\n* 2 FETCH (FLAGS (\\Answered))\r\n* 9 FETCH (UID 999 FLAGS ())\r\n" +
			"* 1 FETCH (UID 101 FLAGS (\\Seen) RFC822.SIZE 1)\r\n* OK still here\r\n* XYZZY {3}\r\nabc\r\n" +
			"* 2 FETCH (UID 102 FLAGS () RFC822.SIZE 2)\r\n+ stray\r\n* 3 FETCH (UID 103 FLAGS () RFC822.SIZE 3)\r\n* 4 EXPUNGE\r\n",
		"flags changed before their message comes": "* 3 FETCH (UID 103 FLAGS (\\Draft))\r\n" +
			"* 1 FETCH (UID 101 FLAGS (\\Seen) RFC822.SIZE 1)\r\n" +
			"* 2 FETCH (UID 102 FLAGS () RFC822.SIZE 2)\r\n* 3 FETCH (UID 103 FLAGS () RFC822.SIZE 3)\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s, f := readFrom(t, scripted.Options{Exists: 3, Handle: fetchAnswers(answer)})
			got := list(t, f, UIDs(103, 101, 102, 101), ItemFlags, ItemSize)
			equalUIDs(t, "Messages", uidsOf(got), uidsTo(3))
			for i, m := range got {
				if m.Size != int64(i+1) || m.Err != nil {
					t.Errorf("UID %d: size %d, error %v", m.UID, m.Size, m.Err)
				}
			}
			if len(got) > 0 && !slices.Equal(got[0].Flags, []imap.Flag{imap.FlagSeen}) {
				t.Errorf("flags %v", got[0].Flags)
			}
			usable(t, s, f, 1)
		})
	}
}

func TestMessagesWithoutItemsHasTheUsualOnes(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Exists: 2})
	got := list(t, f, All())
	equalUIDs(t, "Messages", uidsOf(got), uidsTo(2))
	m := got[1]
	if m.Envelope == nil || m.Envelope.Subject != "Message 2" || m.InternalDate.IsZero() || m.Size == 0 || m.SeqNum != 2 || m.Err != nil {
		t.Errorf("got %+v", m)
	}
	if sent := commandsLike(s, "UID FETCH"); !slices.Equal(sent, []string{"101:102 (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)"}) {
		t.Errorf("sent %q", sent)
	}
}

func TestMessagesSkipsWhatIsGone(t *testing.T) {
	for name, handle := range map[string]func(*scripted.Conn, scripted.Command){
		"silently": nil,
		"with NO [EXPUNGEISSUED]": func(c *scripted.Conn, cmd scripted.Command) {
			c.Send(`* 2 FETCH (UID 102 FLAGS ())`)
			c.No(cmd.Tag, "[EXPUNGEISSUED] some are gone")
		},
	} {
		t.Run(name, func(t *testing.T) {
			opts := scripted.Options{Exists: 2, Handle: map[string]func(*scripted.Conn, scripted.Command){}}
			if handle != nil {
				opts.Handle["UID FETCH"] = handle
			}
			s, f := readFrom(t, opts)
			got := list(t, f, UIDs(1, 102, 5000), ItemFlags)
			equalUIDs(t, "Messages", uidsOf(got), []imap.UID{102})
			usable(t, s, f, 1)
		})
	}
}

func TestMessagesTellsWhatTheServerDidNotSend(t *testing.T) {
	_, f := readFrom(t, scripted.Options{Exists: 2, Handle: fetchAnswers(
		"* 1 FETCH (UID 101 FLAGS ())\r\n* 2 FETCH (UID 102 FLAGS () INTERNALDATE \"05-Jan-2026 10:00:00 +0000\" RFC822.SIZE 5)\r\n")})
	got := list(t, f, UIDs(101, 102), ItemDate, ItemSize)
	// Of the first only flags have come: for all we know it is a change that
	// another program has made to a message that is gone now.
	equalUIDs(t, "Messages", uidsOf(got), []imap.UID{102})

	_, f = readFrom(t, scripted.Options{Exists: 2, Handle: fetchAnswers("* 1 FETCH (UID 101 RFC822.SIZE 5)\r\n")})
	got = list(t, f, UIDs(101), ItemDate, ItemSize)
	if len(got) != 1 || !errors.Is(got[0].Err, ErrProtocol) || !strings.Contains(got[0].Err.Error(), "INTERNALDATE") || got[0].Size != 5 {
		t.Errorf("got %+v", got)
	}
}

func TestMessageWithoutUIDIsNeverSilent(t *testing.T) {
	_, f := readFrom(t, scripted.Options{Exists: 2, Handle: fetchAnswers(
		"* 1 FETCH (RFC822.SIZE 5)\r\n* 2 FETCH (UID 102 RFC822.SIZE 6)\r\n")})
	got := list(t, f, UIDs(101, 102), ItemSize)
	if len(got) != 2 {
		t.Fatalf("got %d messages", len(got))
	}
	if lost := got[1]; lost.UID != 0 || lost.SeqNum != 1 || !errors.Is(lost.Err, ErrProtocol) || lost.Size != 5 {
		t.Errorf("got %+v", lost)
	}
}

func TestMalformedItemCostsOnlyItself(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Exists: 2, Handle: fetchAnswers(
		"* 1 FETCH (UID 101 INTERNALDATE \"yesterday\" RFC822.SIZE 5 FLAGS (\\Seen))\r\n* 2 FETCH (UID 102 INTERNALDATE \"05-Jan-2026 10:00:00 +0000\" RFC822.SIZE 6 FLAGS ())\r\n")})
	got := list(t, f, UIDs(101, 102), ItemDate, ItemSize, ItemFlags)
	equalUIDs(t, "Messages", uidsOf(got), []imap.UID{101, 102})
	if m := got[0]; m.Err == nil || !m.InternalDate.IsZero() || m.Size != 5 || len(m.Flags) != 1 {
		t.Errorf("got %+v", m)
	}
	if got[1].Err != nil {
		t.Error(got[1].Err)
	}
	usable(t, s, f, 1)
}

func TestUnreadableEnvelopeIsMadeFromTheHeader(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Exists: 2, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			if !strings.Contains(cmd.Args, "ENVELOPE") {
				c.Answer(cmd)
				return
			}
			c.Send(`* 1 FETCH (UID 101 ENVELOPE ("Mon, 5 Jan" "say "no"" NIL NIL NIL NIL NIL NIL NIL NIL) RFC822.SIZE 7)`,
				`* 2 FETCH (UID 102 ENVELOPE `+scripted.Envelope(2)+` RFC822.SIZE 8)`)
			c.OK(cmd.Tag, "done")
		},
	}})
	got := list(t, f, UIDs(101, 102), ItemEnvelope, ItemSize)
	equalUIDs(t, "Messages", uidsOf(got), []imap.UID{101, 102})
	m := got[0]
	if m.Envelope == nil || m.Envelope.Subject != "Message 1" || m.Size != 7 || m.Err == nil {
		t.Errorf("got %+v", m)
	}
	if m.Envelope.From[0].Addr() != "ann@example.org" || m.Envelope.MessageID != "1@example.org" {
		t.Errorf("got %+v", m.Envelope)
	}
	if got[1].Envelope.Subject != "Message 2" || got[1].Err != nil {
		t.Errorf("got %+v", got[1])
	}
	usable(t, s, f, 1)
}

func TestUnreadableBodyStructureIsMadeFromTheMessage(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Exists: 1, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			if !strings.Contains(cmd.Args, "BODYSTRUCTURE") {
				c.Answer(cmd)
				return
			}
			c.Send(`* 1 FETCH (UID 101 BODYSTRUCTURE ("TEXT" (((("PLAIN") FLAGS (\Seen))`)
			c.OK(cmd.Tag, "done")
		},
	}})
	got := list(t, f, UIDs(101), ItemBodyStructure, ItemFlags)
	if len(got) != 1 || got[0].BodyStructure == nil || got[0].BodyStructure.MediaType() != "text/plain" || got[0].Err == nil {
		t.Errorf("got %+v", got)
	}
	usable(t, s, f, 1)
}

func TestItemsAndWhereTheyEndUp(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Caps: "IMAP4rev1 CONDSTORE OBJECTID PREVIEW SAVEDATE X-GM-EXT-1", Exists: 1,
		Handle: fetchAnswers("* 1 FETCH (UID 101 MODSEQ (12) EMAILID (M1) THREADID NIL PREVIEW \"Hi\" SAVEDATE \"05-Jan-2026 10:00:00 +0000\"" +
			" X-GM-MSGID 5 X-GM-THRID 6 X-GM-LABELS (\\Inbox \"a b\") BODY[HEADER.FIELDS (SUBJECT \"LIST-ID\")] " +
			literal("Subject: x\r\nList-Id: y\r\n\r\n") + " X-ODD (1 \"two\" (3)))\r\n")})
	got := list(t, f, UIDs(101), ItemModSeq, ItemEmailID, ItemThreadID, ItemPreview, ItemSaveDate, ItemGmailMessageID,
		ItemGmailThreadID, ItemGmailLabels, HeaderFields("Subject", "List-Id"), "X-ODD")
	if len(got) != 1 || got[0].Err != nil {
		t.Fatalf("got %+v", got)
	}
	x := got[0].Extra
	if x.ModSeq != 12 || x.EmailID != "M1" || x.ThreadID != "" || x.Preview != "Hi" || x.SaveDate.Day() != 5 ||
		x.GmailMessageID != 5 || x.GmailThreadID != 6 || !slices.Equal(x.GmailLabels, []string{`\Inbox`, "a b"}) ||
		x.Header.Get("Subject") != "x" || x.Header.Get("List-Id") != "y" || x.Other["X-ODD"] != `(1 "two" (3))` {
		t.Errorf("got %+v", x)
	}
	usable(t, s, f, 1)
}

func TestItemsThatWouldMarkAsReadOrDoMoreAreRefused(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Exists: 1})
	for _, item := range []Item{"BODY[]", "body[text]", "RFC822", "RFC822.TEXT", "BINARY[1]", "FLAGS UID", "FLAGS) (", "FLAGS\r\nx LOGOUT",
		"BODY.PEEK[", "BODY.PEEK[HEADER.FIELDS ({3}", `"x"`, HeaderFields("a b"), HeaderFields("a)"), HeaderFields("ä")} {
		for _, err := range f.Messages(context.Background(), UIDs(101), item) {
			if err == nil {
				t.Errorf("%q is sent", string(item))
			}
		}
	}
	if s.Conns() != 0 {
		t.Errorf("the server was called: %q", s.Commands())
	}
}

func TestItemNeedsItsExtension(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Exists: 1})
	for _, err := range f.Messages(context.Background(), UIDs(101), ItemPreview) {
		if !errors.Is(err, ErrNotSupported) || !strings.Contains(err.Error(), "PREVIEW") {
			t.Errorf("error %v", err)
		}
	}
	usable(t, s, f, 1)
}

func TestLoopLeftEarly(t *testing.T) {
	for _, n := range []int{1, 50, 5000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			scripted.LeakCheck(t)
			_, f := readFrom(t, scripted.Options{Exists: n})
			for range f.Messages(context.Background(), All()) {
				break
			}
			if got := list(t, f, UIDs(101)); len(got) != 1 {
				t.Errorf("then got %d messages", len(got))
			}
		})
	}
}

func TestCallsInsideALoopWorkWithOneConnection(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Exists: 3000})
	f.client.Timeout = 5 * time.Second
	n := 0
	for m, err := range f.Messages(context.Background(), All(), ItemFlags) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; m.UID != imap.UID(scripted.UID(n)) {
			t.Fatalf("message %d has UID %d", n, m.UID)
		}
		if n%700 == 1 {
			if _, err := f.Fetch(context.Background(), m.UID); err != nil {
				t.Fatal(err)
			}
			if _, err := f.client.Folder("Other").Status(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n != 3000 || s.Conns() != 1 {
		t.Errorf("%d messages, %d connections", n, s.Conns())
	}
}

func TestLoopsInsideLoopsWorkWithOneConnection(t *testing.T) {
	_, f := readFrom(t, scripted.Options{Exists: 30})
	f.client.Timeout = 5 * time.Second
	n := 0
	for m, err := range f.Messages(context.Background(), All(), ItemFlags) {
		if err != nil {
			t.Fatal(err)
		}
		for inner, err := range f.FetchAll(context.Background(), []imap.UID{m.UID, 130}) {
			if err != nil {
				t.Fatal(err)
			}
			n += len(inner.Raw) / len(scripted.Message(int(inner.Info.UID)-100))
		}
	}
	if n != 59 {
		t.Errorf("%d messages, want 59", n)
	}
}

func TestCancellingEndsALoopAtOnce(t *testing.T) {
	scripted.LeakCheck(t)
	_, f := readFrom(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			if c.Num > 1 {
				c.Answer(cmd)
				return
			}
			c.Send(`* 1 FETCH (UID 101 FLAGS ())`)
			c.Stall()
		},
	}})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n := 0
	var ended error
	for _, err := range f.Messages(ctx, UIDs(uidsTo(3)...), ItemFlags) {
		if ended = err; err == nil {
			n++
			time.AfterFunc(10*time.Millisecond, cancel)
		}
	}
	if n != 1 || !errors.Is(ended, context.Canceled) {
		t.Errorf("%d messages, error %v", n, ended)
	}
	if got := list(t, f, UIDs(uidsTo(3)...), ItemFlags); len(got) != 3 {
		t.Errorf("then got %d messages", len(got))
	}
}

func TestConnectionLostInTheMiddleIsAnError(t *testing.T) {
	_, f := readFrom(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			c.Send(`* 1 FETCH (UID 101 FLAGS ())`)
			c.Close()
		},
	}})
	n := 0
	var ended error
	for _, err := range f.Messages(context.Background(), UIDs(uidsTo(3)...), ItemFlags) {
		if ended = err; err == nil {
			n++
		}
	}
	if n != 1 || ended == nil {
		t.Errorf("%d messages, error %v", n, ended)
	}
}

func TestRefusedFetchIsTheLoopsError(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) { c.No(cmd.Tag, "[SERVERBUG] index corrupt") },
	}})
	var refused *ServerError
	for _, err := range f.Messages(context.Background(), UIDs(101), ItemFlags) {
		if !errors.As(err, &refused) || refused.Code != "SERVERBUG" {
			t.Errorf("error %v", err)
		}
	}
	usable(t, s, f, 1)
}

func TestFolderRebuiltBetweenTwoCalls(t *testing.T) {
	validity := 1
	_, f := readFrom(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"SELECT": func(c *scripted.Conn, cmd scripted.Command) {
			c.Send("* 3 EXISTS", fmt.Sprintf("* OK [UIDVALIDITY %d] valid", validity))
			c.OK(cmd.Tag, "[READ-WRITE] done")
			validity++
		},
	}})
	ctx := context.Background()
	if _, err := f.Search(ctx, All()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.client.Select(ctx, "Other"); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() error{
		"Search": func() error { _, err := f.Search(ctx, All()); return err },
		"Fetch":  func() error { _, err := f.Fetch(ctx, 101); return err },
		"Open":   func() error { _, err := f.Open(ctx, 101); return err },
		"Messages": func() error {
			for _, err := range f.Messages(ctx, UIDs(101)) {
				return err
			}
			return nil
		},
		"Raw": func() error {
			for _, err := range f.Raw(ctx, []imap.UID{101}) {
				return err
			}
			return nil
		},
	} {
		if err := call(); !errors.Is(err, ErrUIDValidity) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := f.client.Select(ctx, "INBOX"); err != nil {
		t.Errorf("selecting it anew: %v", err)
	}
}

// Dovecot begins to answer a FETCH before it says OK to the one before.
func TestMessagesAreHandedOutBeforeTheCommandBeforeThemIsDone(t *testing.T) {
	const first, all = mostBodiesPerFetch, mostBodiesPerFetch + 10
	second := make(chan bool)
	var tags []string
	_, f := readFrom(t, scripted.Options{Exists: all, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			tags = append(tags, cmd.Tag)
			from, to := 1, first
			if len(tags) == 2 {
				from, to = first+1, all
			}
			for i := from; i <= to; i++ {
				c.SendRaw(fmt.Sprintf("* %d FETCH (UID %d FLAGS () INTERNALDATE \"05-Jan-2026 10:00:00 +0000\" RFC822.SIZE 4 BODY[] {4}\r\na\r\n%d)\r\n",
					i, 100+i, i%10))
			}
			if len(tags) == 2 {
				select {
				case <-second:
				case <-time.After(10 * time.Second):
				}
				c.OK(tags[0], "done")
				c.OK(tags[1], "done")
			}
		},
	}})
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var got []imap.UID
	for m, err := range f.FetchAll(ctx, uidsTo(all)) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, m.Info.UID); len(got) == all {
			close(second)
		}
	}
	equalUIDs(t, "FetchAll", got, uidsTo(all))
}

func TestFetchAllHoldsOneMessageAtATime(t *testing.T) {
	const count, size, allowed = 40, 1 << 20, 6 << 20
	body := []byte(strings.Repeat("0123456789abcde\n", size/16))
	_, f := readFrom(t, scripted.Options{Exists: count, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			for i := 1; i <= count; i++ {
				c.SendRaw(fmt.Sprintf("* %d FETCH (UID %d FLAGS () INTERNALDATE \"05-Jan-2026 10:00:00 +0000\" RFC822.SIZE %d BODY[] {%d}\r\n",
					i, 100+i, size, size))
				c.SendBytes(body)
				c.SendRaw(")\r\n")
			}
			c.OK(cmd.Tag, "done")
		},
	}})
	live := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before, n := live(), 0
	for m, err := range f.FetchAll(context.Background(), uidsTo(count)) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == count-5 {
			if grown := live() - before; grown > allowed {
				t.Errorf("%d bytes are held after %d messages", grown, n)
			}
		}
		runtime.KeepAlive(m)
	}
	if n != count {
		t.Errorf("%d messages", n)
	}
}
