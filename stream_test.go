package imapkit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/scripted"
)

func TestFetchParsesTheMessage(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Exists: 2})
	for name, call := range map[string]func() (*Message, error){
		"Fetch":    func() (*Message, error) { return f.Fetch(context.Background(), 102) },
		"FetchSeq": func() (*Message, error) { return f.FetchSeq(context.Background(), 2) },
	} {
		m, err := call()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if m.Info.UID != 102 || m.Info.SeqNum != 2 || m.Info.Size != int64(len(m.Raw)) || m.Info.InternalDate.IsZero() ||
			m.Info.Envelope.Subject != "Message 2" || m.Text != "This is message 2.\n" || string(m.Raw) != scripted.Message(2) {
			t.Errorf("%s: got %+v, %q", name, m.Info, m.Text)
		}
	}
	for _, sent := range append(commandsLike(s, "UID FETCH"), commandsLike(s, "FETCH")...) {
		if !strings.HasSuffix(sent, "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])") {
			t.Errorf("sent %q", sent)
		}
	}
	usable(t, s, f, 1)
}

func TestBodiesInEveryFormOfTheProtocol(t *testing.T) {
	const text = "Subject: x\r\n\r\nhello\r\n"
	for _, tc := range []struct{ name, answer, want string }{
		{"literal", "* 1 FETCH (UID 101 BODY[] " + literal(text) + ")\r\n", text},
		{"UID after the body", "* 1 FETCH (BODY[] " + literal(text) + " UID 101)\r\n", text},
		{"literal8", "* 1 FETCH (UID 101 BODY[] ~" + literal(text) + ")\r\n", text},
		{"quoted", "* 1 FETCH (UID 101 BODY[] \"Subject: \\\"x\\\"\")\r\n", `Subject: "x"`},
		{"NIL", "* 1 FETCH (UID 101 BODY[] NIL)\r\n", ""},
		{"empty literal", "* 1 FETCH (UID 101 BODY[] {0}\r\n)\r\n", ""},
		{"empty string", "* 1 FETCH (UID 101 BODY[] \"\")\r\n", ""},
		{"RFC822", "* 1 FETCH (UID 101 RFC822 " + literal(text) + ")\r\n", text},
		{"news before it", "* 2 FETCH (FLAGS (\\Seen))\r\n* 1 FETCH (UID 101 BODY[] " + literal(text) + ")\r\n* 3 EXISTS\r\n", text},
		{"another message before it", "* 2 FETCH (UID 102 BODY[] {1}\r\nx)\r\n* 1 FETCH (UID 101 BODY[] " + literal(text) + ")\r\n", text},
		{"items behind it", "* 1 FETCH (UID 101 BODY[] " + literal(text) + " FLAGS (\\Seen))\r\n", text},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, f := readFrom(t, scripted.Options{Exists: 2, Handle: fetchAnswers(tc.answer)})
			ctx := context.Background()
			if m, err := f.Fetch(ctx, 101); err != nil || string(m.Raw) != tc.want {
				t.Errorf("Fetch: %v, %v", m, err)
			}
			for m, err := range f.FetchAll(ctx, []imap.UID{101}) {
				if err != nil || m.Info.UID != 101 || string(m.Raw) != tc.want {
					t.Errorf("FetchAll: %v, %v", m, err)
				}
			}
			n := 0
			for m, err := range f.Raw(ctx, []imap.UID{101}) {
				if err != nil || m.UID != 101 || m.Size != int64(len(tc.want)) {
					t.Fatalf("Raw: %+v, %v", m, err)
				}
				if b, err := io.ReadAll(m.Body); err != nil || string(b) != tc.want {
					t.Errorf("Raw: %q, %v", b, err)
				}
				n++
			}
			if n != 1 {
				t.Errorf("Raw: %d messages", n)
			}
			r, err := f.Open(ctx, 101)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(r); err != nil || string(b) != tc.want {
				t.Errorf("Open: %q, %v", b, err)
			}
			usable(t, s, f, 1)
		})
	}
}

func TestBodyWithoutAnyUIDIsAnError(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Exists: 2, Handle: fetchAnswers("* 1 FETCH (BODY[] {1}\r\nx)\r\n")})
	ctx := context.Background()
	if _, err := f.Fetch(ctx, 101); !errors.Is(err, ErrProtocol) {
		t.Errorf("Fetch: error %v", err)
	}
	if _, err := f.Open(ctx, 101); !errors.Is(err, ErrProtocol) {
		t.Errorf("Open: error %v", err)
	}
	n := 0
	for m, err := range f.FetchAll(ctx, []imap.UID{101}) {
		if n++; err != nil || !errors.Is(m.Info.Err, ErrProtocol) || string(m.Raw) != "x" {
			t.Errorf("FetchAll: %+v, %v", m, err)
		}
	}
	for _, err := range f.Raw(ctx, []imap.UID{101}) {
		if n++; !errors.Is(err, ErrProtocol) {
			t.Errorf("Raw: error %v", err)
		}
	}
	if n != 2 {
		t.Errorf("%d results of FetchAll and Raw", n)
	}
	if _, err := f.Search(ctx, Seen()); err != nil {
		t.Errorf("afterwards: %v, %d connections", err, s.Conns())
	}
}

func TestMissingMessageIsNotFound(t *testing.T) {
	for name, handle := range map[string]func(*scripted.Conn, scripted.Command){
		"nothing comes": func(c *scripted.Conn, cmd scripted.Command) { c.OK(cmd.Tag, "done") },
		"NO, as Cyrus says of a number beyond the last": func(c *scripted.Conn, cmd scripted.Command) {
			if cmd.Name == "FETCH" {
				c.No(cmd.Tag, "no such message")
				return
			}
			c.OK(cmd.Tag, "done")
		},
		"another message comes, as from Mailutils": func(c *scripted.Conn, cmd scripted.Command) {
			c.Send("* 2 FETCH (UID 102 FLAGS () BODY[] {1}\r\nx)")
			c.OK(cmd.Tag, "done")
		},
		"EXPUNGEISSUED": func(c *scripted.Conn, cmd scripted.Command) { c.No(cmd.Tag, "[EXPUNGEISSUED] gone") },
		"only a flag change": func(c *scripted.Conn, cmd scripted.Command) {
			c.Send("* 5 FETCH (UID 999 FLAGS ())")
			c.OK(cmd.Tag, "done")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := readFrom(t, scripted.Options{Exists: 2, Handle: map[string]func(*scripted.Conn, scripted.Command){
				"UID FETCH": handle, "FETCH": handle}})
			ctx := context.Background()
			for call, err := range map[string]error{
				"Fetch":    func() error { _, err := f.Fetch(ctx, 999); return err }(),
				"FetchSeq": func() error { _, err := f.FetchSeq(ctx, 5); return err }(),
				"Open":     func() error { _, err := f.Open(ctx, 999); return err }(),
			} {
				if !errors.Is(err, ErrNotFound) {
					t.Errorf("%s: error %v", call, err)
				}
			}
			for m, err := range f.FetchAll(ctx, []imap.UID{999}) {
				t.Errorf("FetchAll: %v, %v", m, err)
			}
			for m, err := range f.Raw(ctx, []imap.UID{999}) {
				t.Errorf("Raw: %v, %v", m, err)
			}
			usable(t, s, f, 1)
		})
	}
}

func TestNumberZeroDoesNotExist(t *testing.T) {
	s, f := readFrom(t, scripted.Options{})
	ctx := context.Background()
	if _, err := f.Fetch(ctx, 0); err == nil {
		t.Error("Fetch: no error")
	}
	if _, err := f.FetchSeq(ctx, 0); err == nil {
		t.Error("FetchSeq: no error")
	}
	if _, err := f.Open(ctx, 0); err == nil {
		t.Error("Open: no error")
	}
	for _, err := range f.Raw(ctx, []imap.UID{1, 0}) {
		if err == nil {
			t.Error("Raw: no error")
		}
	}
	for _, err := range f.FetchAll(ctx, []imap.UID{0}) {
		if err == nil {
			t.Error("FetchAll: no error")
		}
	}
	if s.Conns() != 0 {
		t.Error("the server was called")
	}
}

// bigBody sends one message of n bytes as the answer to FETCH.
func bigBody(n int) map[string]func(*scripted.Conn, scripted.Command) {
	return map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			c.SendRaw(fmt.Sprintf("* 1 FETCH (UID 101 BODY[] {%d}\r\n", n))
			piece := bytes.Repeat([]byte("0123456789abcdef"), 4096)
			for left := n; left > 0; left -= len(piece) {
				piece = piece[:min(left, len(piece))]
				c.SendBytes(piece)
			}
			c.SendRaw(")\r\n")
			c.OK(cmd.Tag, "done")
		},
	}
}

func TestLargeMessageIsLimitedInMemoryAndNotInStreams(t *testing.T) {
	const size = 3 << 20
	s, f := readFrom(t, scripted.Options{Exists: 1, Handle: bigBody(size)})
	f.client.Limits.Message = 1 << 20
	ctx := context.Background()
	if _, err := f.Fetch(ctx, 101); !errors.Is(err, ErrLimit) {
		t.Errorf("Fetch: error %v", err)
	}
	for _, err := range f.FetchAll(ctx, []imap.UID{101}) {
		if !errors.Is(err, ErrLimit) {
			t.Errorf("FetchAll: error %v", err)
		}
	}
	before := s.Conns()
	for m, err := range f.Raw(ctx, []imap.UID{101}) {
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, m.Body); n != size || err != nil {
			t.Errorf("Raw: %d bytes, %v", n, err)
		}
	}
	r, err := f.Open(ctx, 101)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, r); n != size || err != nil {
		t.Errorf("Open: %d bytes, %v", n, err)
	}
	if n := s.Conns() - before; n != 1 {
		t.Errorf("Raw and Open took %d connections", n)
	}
}

func TestStreamsTakeConstantMemory(t *testing.T) {
	const size, allowed = 100 << 20, 1 << 20
	_, f := readFrom(t, scripted.Options{Exists: 1, Handle: bigBody(size)})
	// The server is in this process too. What it and the connection keep for the
	// next time is there after the first.
	first, err := f.Open(context.Background(), 101)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, first); n != size || err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	live := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := live()
	r, err := f.Open(context.Background(), 101)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if n, err := io.CopyN(io.Discard, r, size/10); err != nil {
			t.Fatalf("%d bytes, %v", n, err)
		}
		if grown := live() - before; grown > allowed {
			t.Fatalf("%d bytes are held in memory", grown)
		}
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d bytes, %v", n, err)
	}
}

func TestRawSkipsWhatIsNotRead(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Exists: 5})
	var got []imap.UID
	for m, err := range f.Raw(context.Background(), uidsTo(5)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, m.UID)
		if m.UID%2 == 0 {
			if _, err := io.ReadFull(m.Body, make([]byte, 10)); err != nil {
				t.Error(err)
			}
		}
	}
	equalUIDs(t, "Raw", got, uidsTo(5))
	usable(t, s, f, 1)
}

func TestRawLeftEarly(t *testing.T) {
	scripted.LeakCheck(t)
	_, f := readFrom(t, scripted.Options{Exists: 50})
	for m, err := range f.Raw(context.Background(), uidsTo(50)) {
		if err != nil {
			t.Fatal(err)
		}
		io.ReadFull(m.Body, make([]byte, 3))
		break
	}
	if m, err := f.Fetch(context.Background(), 101); err != nil || m.Info.UID != 101 {
		t.Errorf("then: %v, %v", m, err)
	}
}

func TestOpenGivesItsConnectionBack(t *testing.T) {
	for name, use := range map[string]func(io.ReadCloser) error{
		"at the end":     func(r io.ReadCloser) error { _, err := io.Copy(io.Discard, r); return err },
		"closed at once": func(r io.ReadCloser) error { return r.Close() },
		"closed in the middle": func(r io.ReadCloser) error {
			if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
				return err
			}
			return errors.Join(r.Close(), r.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := readFrom(t, scripted.Options{Exists: 1})
			for range 3 {
				r, err := f.Open(context.Background(), 101)
				if err != nil {
					t.Fatal(err)
				}
				if err := use(r); err != nil {
					t.Error(err)
				}
			}
			usable(t, s, f, 1)
		})
	}
}

func TestOpenClosedWithMuchToComeDropsTheConnection(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Exists: 1, Handle: bigBody(64 << 20)})
	r, err := f.Open(context.Background(), 101)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	r.Close()
	if took := time.Since(began); took > time.Second {
		t.Errorf("Close took %v", took)
	}
	if _, err := r.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("reading then: %v", err)
	}
	usable(t, s, f, 2)
}

func TestOpenStreamHoldsTheOnlyConnection(t *testing.T) {
	_, f := readFrom(t, scripted.Options{Exists: 2})
	f.client.Timeout = 100 * time.Millisecond
	r, err := f.Open(context.Background(), 101)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Search(context.Background(), Seen())
	if !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "Open in INBOX") {
		t.Errorf("beside Open: error %v", err)
	}
	r.Close()
	for _, err := range f.Raw(context.Background(), uidsTo(2)) {
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Search(context.Background(), Seen())
		if !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "Raw in INBOX") {
			t.Errorf("inside Raw: error %v", err)
		}
	}
	if _, err := f.Search(context.Background(), Seen()); err != nil {
		t.Error(err)
	}
}

func TestOpenStreamLeavesASecondConnectionToOthers(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Exists: 2})
	f.client.MaxConns = 2
	r, err := f.Open(context.Background(), 101)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	usable(t, s, f, 2)
}

func TestLiteralCutShortIsAnErrorAtEveryByte(t *testing.T) {
	const answer = "* 1 FETCH (UID 101 BODY[] {12}\r\nSubject: x\r\n)\r\n"
	for cut := range answer {
		_, f := readFrom(t, scripted.Options{Exists: 1, Handle: map[string]func(*scripted.Conn, scripted.Command){
			"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
				c.SendRaw(answer[:cut])
				c.Close()
			}}})
		ctx := context.Background()
		if m, err := f.Fetch(ctx, 101); err == nil {
			t.Errorf("cut at %d: Fetch got %q", cut, m.Raw)
		}
		for m, err := range f.FetchAll(ctx, []imap.UID{101}) {
			if err == nil && cut < len(answer)-2 {
				t.Errorf("cut at %d: FetchAll got %q", cut, m.Raw)
			}
		}
		var ended error
		for m, err := range f.Raw(ctx, []imap.UID{101}) {
			if ended = err; err == nil {
				_, ended = io.ReadAll(m.Body)
			}
		}
		if ended == nil || ended == io.EOF {
			t.Errorf("cut at %d: Raw ended with %v", cut, ended)
		}
		r, err := f.Open(ctx, 101)
		if err == nil {
			_, err = io.ReadAll(r)
		}
		if err == nil {
			t.Errorf("cut at %d: Open: no error", cut)
		}
	}
}

func TestSilenceEndsAStreamAndSlowBytesDoNot(t *testing.T) {
	_, f := readFrom(t, scripted.Options{Exists: 1, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			c.SendRaw("* 1 FETCH (UID 101 BODY[] {20}\r\n")
			for i := range 20 {
				time.Sleep(15 * time.Millisecond)
				c.SendRaw("x")
				if i == 9 && c.Num > 1 {
					c.Stall()
				}
			}
			c.SendRaw(")\r\n")
			c.OK(cmd.Tag, "done")
			c.Close()
		}}})
	f.client.Timeout = 150 * time.Millisecond
	m, err := f.Fetch(context.Background(), 101)
	if err != nil || len(m.Raw) != 20 {
		t.Errorf("slow: %v", err)
	}
	if _, err := f.Fetch(context.Background(), 101); !errors.Is(err, ErrTimeout) {
		t.Errorf("silent: error %v", err)
	}
}

func TestATimeOutTellsWhatTheServerHasSaid(t *testing.T) {
	var silent atomic.Bool
	_, f := readFrom(t, scripted.Options{Exists: 1, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID SEARCH": func(c *scripted.Conn, cmd scripted.Command) {
			c.Send("* NO [ALERT] mailbox is being repaired", "* OK still here")
			if silent.Load() {
				c.Stall()
			}
			c.Answer(cmd)
		},
		"UID FETCH": func(c *scripted.Conn, _ scripted.Command) { c.Stall() },
	}})
	if _, err := f.Search(context.Background(), All()); err != nil {
		t.Fatal(err)
	}
	f.client.Timeout = 100 * time.Millisecond
	if _, err := f.Fetch(context.Background(), 101); !errors.Is(err, ErrTimeout) || strings.Contains(err.Error(), "repaired") {
		t.Errorf("error %v, want a time-out without what was said before", err)
	}
	silent.Store(true)
	_, err := f.Search(context.Background(), All())
	if !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "the server had said NO mailbox is being repaired") {
		t.Errorf("error %v", err)
	}
	if errors.As(err, new(*ServerError)) {
		t.Errorf("%v is no refusal", err)
	}
}

func TestALostConnectionTellsWhatTheServerHasSaid(t *testing.T) {
	for _, line := range []string{"* NO [ALERT] maintenance begins", "maintenance begins", "* BAD maintenance begins"} {
		_, f := readFrom(t, scripted.Options{Exists: 1, Handle: map[string]func(*scripted.Conn, scripted.Command){
			"UID SEARCH": func(c *scripted.Conn, cmd scripted.Command) {
				c.Send(line, "")
				c.Close()
			}}})
		_, err := f.Search(context.Background(), All())
		if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "maintenance begins") {
			t.Errorf("%q: error %v", line, err)
		}
	}
}

func TestFetchAllKeepsOrderAndSplits(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Exists: 120})
	uids := uidsTo(120)
	slices.Reverse(uids)
	var got []imap.UID
	for m, err := range f.FetchAll(context.Background(), append(uids, 5000)) {
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(m.Raw, []byte(scripted.Message(int(m.Info.UID)-100))) {
			t.Errorf("UID %d: got %q", m.Info.UID, m.Raw)
		}
		got = append(got, m.Info.UID)
	}
	equalUIDs(t, "FetchAll", got, uidsTo(120))
	if n := len(commandsLike(s, "UID FETCH")); n < 2 || n > 5 {
		t.Errorf("%d commands", n)
	}
}

func TestReadingNeverSetsSeen(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Exists: 2})
	ctx := context.Background()
	list(t, f, All(), ItemHeader, HeaderFields("Subject"), "BODY.PEEK[TEXT]", ItemBodyStructure)
	f.Fetch(ctx, 101)
	f.FetchSeq(ctx, 1)
	for range f.FetchAll(ctx, uidsTo(2)) {
	}
	for range f.Raw(ctx, uidsTo(2)) {
	}
	if r, err := f.Open(ctx, 101); err == nil {
		r.Close()
	}
	sent := strings.ToUpper(s.Received())
	for _, bad := range []string{" BODY[", "(BODY[", "RFC822 ", "RFC822)", "RFC822.TEXT", "BINARY[", "STORE"} {
		if strings.Contains(sent, bad) {
			t.Errorf("%q was sent", bad)
		}
	}
}
