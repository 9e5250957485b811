package imapkit_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

// A hoard is a folder in which a server does not part with some of the messages.
type hoard struct {
	kept   map[imap.UID]bool
	always []string // items that it gives of these, too
	says   string   // to a command that names one; "OK" if it says nothing about it
	gone   map[imap.UID]bool
	alone  bool // such a command brings no others
}

func (h hoard) serve(t *testing.T, messages int) *scripted.Server {
	return scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1", Exists: messages,
		Handle: map[string]func(*scripted.Conn, scripted.Command){"UID FETCH": h.fetch}})
}

func (h hoard) fetch(c *scripted.Conn, cmd scripted.Command) {
	args := strings.TrimPrefix(cmd.String(), "UID FETCH ")
	set, items, _ := strings.Cut(args, " ")
	says := "OK done"
	uids := named(set)
	keptBack := slices.ContainsFunc(strings.Fields(strings.Trim(items, "()")), func(item string) bool {
		return item != "UID" && !slices.Contains(h.always, item)
	})
	if h.alone && keptBack && slices.ContainsFunc(uids, func(uid imap.UID) bool { return h.kept[uid] }) {
		c.Send(cmd.Tag + " " + h.says)
		return
	}
	for _, uid := range uids {
		given := func(item string) bool { return strings.Contains(items, item) }
		if h.kept[uid] && keptBack {
			says = h.says
			continue
		}
		if h.gone[uid] {
			continue
		}
		var b strings.Builder
		fmt.Fprintf(&b, "* %d FETCH (UID %d", uid-100, uid)
		if given("FLAGS") {
			b.WriteString(` FLAGS (\Seen)`)
		}
		if given("INTERNALDATE") {
			b.WriteString(` INTERNALDATE "01-Jan-2024 12:00:00 +0000"`)
		}
		if given("RFC822.SIZE") {
			b.WriteString(" RFC822.SIZE 14")
		}
		if given("ENVELOPE") {
			fmt.Fprintf(&b, ` ENVELOPE (NIL "number %d" NIL NIL NIL NIL NIL NIL NIL NIL)`, uid)
		}
		if given("BODY.PEEK[HEADER]") {
			fmt.Fprintf(&b, " BODY[HEADER] {14}\r\nSubject: x%d\r\n", uid%10)
			b.WriteString("\r\n")
		}
		if given("BODY.PEEK[TEXT]") {
			b.WriteString(" BODY[TEXT] {0}\r\n")
		}
		if given("BODY.PEEK[]") {
			fmt.Fprintf(&b, " BODY[] {14}\r\nSubject: x%d\r\n", uid%10)
			b.WriteString("\r\n")
		}
		c.Send(b.String() + ")")
	}
	c.Send(cmd.Tag + " " + says)
}

// Gmail: "NO Some messages could not be FETCHed (Failure)", Yahoo: "NO
// [UNAVAILABLE] UID FETCH Server error while fetching messages". Exchange says OK.
func TestOneMessageThatAServerDoesNotPartWithCostsNoOther(t *testing.T) {
	const messages = 40
	all := named(fmt.Sprintf("101:%d", 100+messages))
	kept := map[imap.UID]bool{101: true, 117: true, 118: true, 140: true}
	for _, says := range []string{
		"OK done", "NO Some messages could not be FETCHed (Failure)",
		"NO [UNAVAILABLE] UID FETCH Server error while fetching messages",
	} {
		alone := strings.Contains(says, "UNAVAILABLE")
		for name, always := range map[string][]string{
			"the body is kept back": {"FLAGS", "INTERNALDATE", "RFC822.SIZE"},
			"all but the date is":   {"INTERNALDATE"},
		} {
			t.Run(name+" with "+says, func(t *testing.T) {
				s := hoard{kept: kept, always: always, says: says, alone: alone}.serve(t, messages)
				c := at(t, s, "")
				f := c.Folder("INBOX")
				i := 0
				for m, err := range f.FetchAll(limited(t), all) {
					if err != nil {
						t.Fatalf("after %d messages: %v", i, err)
					}
					if m.Info.UID != all[i] {
						t.Fatalf("UID %d, want %d", m.Info.UID, all[i])
					}
					i++
					var refused *imapkit.ServerError
					switch {
					case !kept[m.Info.UID]:
						if len(m.Raw) != 14 || m.Info.Err != nil {
							t.Errorf("UID %d: %d bytes, error %v", m.Info.UID, len(m.Raw), m.Info.Err)
						}
					case m.Info.Err == nil || m.Info.InternalDate.IsZero():
						t.Errorf("UID %d: error %v, date %v", m.Info.UID, m.Info.Err, m.Info.InternalDate)
					case says[:2] == "NO" && !errors.As(m.Info.Err, &refused):
						t.Errorf("UID %d: the server's words are not in %v", m.Info.UID, m.Info.Err)
					}
				}
				if i != messages {
					t.Errorf("%d messages", i)
				}
				if s.Conns() != 1 {
					t.Errorf("%d connections", s.Conns())
				}
			})
		}
	}
}

func TestAnEnvelopeThatIsRefusedIsMadeFromTheHeader(t *testing.T) {
	h := hoard{kept: map[imap.UID]bool{102: true}, says: "NO [UNAVAILABLE] Server error",
		always: []string{"FLAGS", "INTERNALDATE", "BODY.PEEK[HEADER]"}}
	c := at(t, h.serve(t, 3), "")
	var subjects []string
	for m, err := range c.Folder("INBOX").Messages(limited(t), imapkit.All(), imapkit.ItemFlags, imapkit.ItemEnvelope) {
		if err != nil || m.Envelope == nil {
			t.Fatal(m, err)
		}
		subjects = append(subjects, m.Envelope.Subject)
	}
	if want := []string{"number 101", "x2", "number 103"}; !slices.Equal(subjects, want) {
		t.Errorf("subjects %q, want %q", subjects, want)
	}
}

func TestRawBringsAllThatTheServerPartsWithBeforeItsRefusal(t *testing.T) {
	const messages = 1500
	kept := map[imap.UID]bool{101: true, 650: true, 1600: true}
	for _, h := range []hoard{
		{says: "OK done"},
		{says: "NO Some messages could not be FETCHed (Failure)"},
		{says: "NO [UNAVAILABLE] UID FETCH Server error while fetching messages", alone: true},
	} {
		h.kept, h.always = kept, []string{"INTERNALDATE"}
		t.Run(h.says, func(t *testing.T) {
			s := h.serve(t, messages)
			c := at(t, s, "")
			got := make(map[imap.UID]int)
			var failed error
			for m, err := range c.Folder("INBOX").Raw(limited(t), named(fmt.Sprintf("101:%d", 100+messages))) {
				if failed = err; err != nil {
					break
				}
				if b, err := io.ReadAll(m.Body); err != nil || len(b) != 14 {
					t.Fatalf("UID %d: %d bytes, error %v", m.UID, len(b), err)
				}
				got[m.UID]++
			}
			for uid := range got {
				if got[uid] != 1 || kept[uid] {
					t.Errorf("UID %d came %d times", uid, got[uid])
				}
			}
			if len(got) != messages-len(kept) {
				t.Errorf("%d messages", len(got))
			}
			for uid := range kept {
				if failed == nil || !strings.Contains(failed.Error(), fmt.Sprintf("UID %d ", uid)) {
					t.Errorf("UID %d is not in the error %v", uid, failed)
				}
			}
			if n := len(work(s)); n > 150 {
				t.Errorf("%d commands", n)
			}
		})
	}
}

func TestASingleMessageThatIsLeftOutIsFetchedInAnotherWay(t *testing.T) {
	parts := []string{"FLAGS", "INTERNALDATE", "RFC822.SIZE", "BODY.PEEK[HEADER]", "BODY.PEEK[TEXT]"}
	for _, says := range []string{"OK done", "NO System Error (Failure)"} {
		t.Run(says, func(t *testing.T) {
			s := hoard{kept: map[imap.UID]bool{101: true, 102: true}, always: parts, says: says}.serve(t, 2)
			f := at(t, s, "").Folder("INBOX")
			m, err := f.Fetch(limited(t), 101)
			if err != nil || m.Info.UID != 101 || len(m.Raw) != 14 || m.Info.Size != 14 || len(m.Info.Flags) != 1 {
				t.Fatalf("message %+v, error %v", m, err)
			}
			body, err := f.Open(limited(t), 101)
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			if b, err := io.ReadAll(body); len(b) != 14 || err != nil {
				t.Errorf("%d bytes, error %v", len(b), err)
			}
		})
	}
}

func TestAMessageThatIsLeftOutAndThereIsNotCalledMissing(t *testing.T) {
	for _, tt := range []struct{ says, want string }{
		{"OK done", "sends nothing of it"},
		{"NO System Error (Failure)", "NO System Error (Failure)"},
	} {
		s := hoard{kept: map[imap.UID]bool{101: true}, always: []string{"INTERNALDATE"}, says: tt.says}.serve(t, 2)
		f := at(t, s, "").Folder("INBOX")
		_, err := f.Fetch(limited(t), 101)
		if err == nil || errors.Is(err, imapkit.ErrNotFound) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Fetch: error %v", err)
		}
		_, err = f.Open(limited(t), 101)
		if err == nil || errors.Is(err, imapkit.ErrNotFound) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Open: error %v", err)
		}
	}
}

// RFC 2180 section 4.1.2 lets servers say NO because of messages that are gone.
func TestARefusalBecauseOfMessagesThatAreGoneIsNone(t *testing.T) {
	gone := map[imap.UID]bool{102: true}
	h := hoard{kept: gone, gone: gone, always: []string{"INTERNALDATE"},
		says: "NO Some of the requested messages no longer exist."}
	f := at(t, h.serve(t, 3), "").Folder("INBOX")
	var got []imap.UID
	for m, err := range f.FetchAll(limited(t), named("101:103")) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, m.Info.UID)
	}
	if !slices.Equal(got, []imap.UID{101, 103}) {
		t.Errorf("got %d", got)
	}
	if _, err := f.Fetch(limited(t), 102); !errors.Is(err, imapkit.ErrNotFound) {
		t.Errorf("Fetch of a message that is gone: %v", err)
	}
}

func TestAServerThatRefusesEverythingIsNotAskedForEachMessage(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 1000,
		Handle: answers(map[string][]string{"UID FETCH": {"NO [NOPERM] no"}})})
	f := at(t, s, "").Folder("INBOX")
	refused := func(err error) bool {
		server := new(imapkit.ServerError)
		return errors.As(err, &server) && server.Code == "NOPERM"
	}
	for _, err := range f.FetchAll(limited(t), named("101:1100")) {
		if !refused(err) {
			t.Fatalf("FetchAll: %v", err)
		}
	}
	for _, err := range f.Raw(limited(t), named("101:1100")) {
		if !refused(err) {
			t.Fatalf("Raw: %v", err)
		}
	}
	if n := len(work(s)); n > 100 {
		t.Errorf("%d commands", n)
	}
}

func TestMoreBytesThanWereAskedForAreAnError(t *testing.T) {
	for name, section := range map[string]string{"hMailServer": "BODY[]<5>", "without origin": "BODY[]"} {
		s := scripted.Serve(t, scripted.Options{Exists: 1, Handle: answers(map[string][]string{
			"UID FETCH": {"* 1 FETCH (UID 101 " + section + " {10}\n0123456789)\nOK done"}})})
		f := at(t, s, "").Folder("INBOX")
		if _, err := f.OpenRange(limited(t), 101, 5, 3); !errors.Is(err, imapkit.ErrProtocol) {
			t.Errorf("%s: error %v", name, err)
		}
		body, err := f.OpenRange(limited(t), 101, 5, 10)
		if err != nil {
			t.Fatal(name, err)
		}
		body.Close()
	}
}

// Zarafa: INTERNALDATE NIL. Domino: "00-Jan-0000 00:00:00 +0000".
func TestMessagesWithoutAReadableDateAreNotLostFromASearchByDate(t *testing.T) {
	for _, date := range []string{"NIL", `"00-Jan-0000 00:00:00 +0000"`} {
		s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1", Exists: 1, Handle: answers(map[string][]string{
			"UID SEARCH": {"* SEARCH 101\nOK it may match", "* SEARCH\nOK it may not"},
			"UID FETCH":  {"* 1 FETCH (UID 101 INTERNALDATE " + date + ")\nOK done"}})})
		uids, err := at(t, s, "").Folder("INBOX").Search(limited(t), imapkit.Since(time.Now()))
		if err != nil || !slices.Equal(uids, []imap.UID{101}) {
			t.Errorf("%s: got %d, error %v", date, uids, err)
		}
	}
}

// Xeams closes the list of items behind the body.
func TestFetchTellsWhichItemsHaveNotCome(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 1, Handle: answers(map[string][]string{
		"UID FETCH": {"* 1 FETCH (UID 101 BODY[] {4}\n\nhi)\n FLAGS (\\Seen) RFC822.SIZE 4)\nOK done"}})})
	m, err := at(t, s, "").Folder("INBOX").Fetch(limited(t), 101)
	if err != nil || len(m.Raw) != 4 || !errors.Is(m.Info.Err, imapkit.ErrProtocol) {
		t.Errorf("message %+v, error %v", m, err)
	}
}

func TestAHeaderThatIsKeptBackIsNotCalledMissing(t *testing.T) {
	s := hoard{kept: map[imap.UID]bool{101: true}, always: []string{"INTERNALDATE"}, says: "OK done"}.serve(t, 2)
	f := at(t, s, "").Folder("INBOX")
	if _, err := f.FetchHeader(limited(t), 101); !errors.Is(err, imapkit.ErrProtocol) {
		t.Errorf("a header that is kept back: %v", err)
	}
	if _, err := f.FetchPart(limited(t), 101, "1"); !errors.Is(err, imapkit.ErrProtocol) {
		t.Errorf("a part that is kept back: %v", err)
	}
	if _, err := f.OpenRange(limited(t), 101, 0, 10); !errors.Is(err, imapkit.ErrProtocol) {
		t.Errorf("a range that is kept back: %v", err)
	}
}

func TestAMessageThatGoesWhileItIsLookedForIsSkipped(t *testing.T) {
	five := named("101:105")
	all := func(f *imapkit.Folder) ([]imap.UID, error) {
		return uidsFrom(f.FetchAll(limited(t), five), func(m *imapkit.Message) imap.UID { return m.Info.UID })
	}
	raw := func(f *imapkit.Folder) ([]imap.UID, error) {
		return uidsFrom(f.Raw(limited(t), five), func(m imapkit.RawMessage) imap.UID { return m.UID })
	}
	messages := func(f *imapkit.Folder) ([]imap.UID, error) {
		return uidsFrom(f.Messages(limited(t), imapkit.UIDs(five...)), func(m *imapkit.MessageInfo) imap.UID { return m.UID })
	}
	fetch := func(f *imapkit.Folder) ([]imap.UID, error) { _, err := f.Fetch(limited(t), 103); return nil, err }
	open := func(f *imapkit.Folder) ([]imap.UID, error) { _, err := f.Open(limited(t), 103); return nil, err }
	rest := []imap.UID{101, 102, 104, 105}
	for name, tt := range map[string]struct {
		get  func(*imapkit.Folder) ([]imap.UID, error)
		want []imap.UID
		err  error
	}{
		"FetchAll": {all, rest, nil}, "Raw": {raw, rest, nil}, "Messages": {messages, rest, nil},
		"Fetch": {fetch, nil, imapkit.ErrNotFound}, "Open": {open, nil, imapkit.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			var gone atomic.Bool
			s := scripted.Serve(t, scripted.Options{Exists: 5, Handle: map[string]func(*scripted.Conn, scripted.Command){
				"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
					set, items, _ := strings.Cut(cmd.Args, " ")
					for _, uid := range named(set) {
						switch {
						case uid != 103:
							c.Answer(scripted.Command{Tag: "other", Name: cmd.Name, Args: fmt.Sprint(uid, " ", items)})
						case items == "(UID INTERNALDATE)" && gone.CompareAndSwap(false, true):
							c.Send(`* 3 FETCH (UID 103 INTERNALDATE "01-Jan-2024 12:00:00 +0000")`)
						}
					}
					c.OK(cmd.Tag, "done")
				},
			}})
			c := inClear(s)
			defer c.Close()
			got, err := tt.get(c.Folder("INBOX"))
			if !gone.Load() {
				t.Error("the message was not looked for")
			}
			if !errors.Is(err, tt.err) || !slices.Equal(got, tt.want) {
				t.Errorf("messages %v, error %v, want %v, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestAnItemThatIsRefusedAndComesWithAnother(t *testing.T) {
	const all = `* 2 FETCH (UID 102 FLAGS (\Seen) ENVELOPE (NIL "two" NIL NIL NIL NIL NIL NIL NIL NIL))`
	for name, says := range map[string]func(c *scripted.Conn, items string) (refused bool){
		"later": func(c *scripted.Conn, items string) bool {
			if items == "(UID ENVELOPE)" {
				c.Send(all)
			}
			return items != "(UID ENVELOPE)"
		},
		"before": func(c *scripted.Conn, items string) bool {
			if items == "(UID FLAGS)" {
				c.Send(all)
			}
			return items != "(UID FLAGS)"
		},
		"with the refusal": func(c *scripted.Conn, items string) bool {
			if items == "(UID ENVELOPE)" {
				c.Send(all)
			}
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := scripted.Serve(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
				"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
					set, items, _ := strings.Cut(cmd.Args, " ")
					for _, uid := range named(set) {
						switch {
						case uid != 102 || items == "(UID INTERNALDATE)":
							c.Answer(scripted.Command{Tag: "other", Name: cmd.Name, Args: fmt.Sprint(uid, " ", items)})
						case says(c, items):
							c.No(cmd.Tag, "not this one")
							return
						}
					}
					c.OK(cmd.Tag, "done")
				},
			}})
			c := inClear(s)
			defer c.Close()
			var got []imap.UID
			for m, err := range c.Folder("INBOX").Messages(limited(t), imapkit.All(), imapkit.ItemFlags, imapkit.ItemEnvelope) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, m.UID)
				if m.UID == 102 && (m.Envelope == nil || m.Envelope.Subject != "two" || len(m.Flags) != 1) {
					t.Errorf("UID 102: envelope %+v, flags %v, error %v", m.Envelope, m.Flags, m.Err)
				}
			}
			if want := named("101:103"); !slices.Equal(got, want) {
				t.Errorf("messages %v, want %v", got, want)
			}
		})
	}
}

func TestWhatIsRefusedWhileAMessageIsLookedForIsAnErrorOfTheLoop(t *testing.T) {
	refusals := []string{"NO [EXPUNGEISSUED] one is gone", "BAD what?"}
	s := scripted.Serve(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			if strings.Contains(cmd.Args, "ENVELOPE") && len(refusals) > 0 {
				c.Send(cmd.Tag + " " + refusals[0])
				refusals = refusals[1:]
				return
			}
			c.Answer(cmd)
		},
	}})
	c := inClear(s)
	defer c.Close()
	got, err := uidsFrom(c.Folder("INBOX").Messages(limited(t), imapkit.All()), func(m *imapkit.MessageInfo) imap.UID { return m.UID })
	var refused *imapkit.ServerError
	if !errors.As(err, &refused) || refused.Status != "BAD" {
		t.Errorf("messages %v, error %v, want the refusal", got, err)
	}
}

func TestABodyThatIsWholeIsGoodThoughOthersAreGone(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			c.Answer(scripted.Command{Tag: "other", Name: cmd.Name, Args: cmd.Args})
			c.No(cmd.Tag, "[EXPUNGEISSUED] some are gone")
		},
	}})
	c := inClear(s)
	defer c.Close()
	body, err := c.Folder("INBOX").Open(limited(t), 102)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if b, err := io.ReadAll(body); string(b) != scripted.Message(2) || err != nil {
		t.Errorf("body %q, error %v", b, err)
	}
}

func TestARawMessageIsNotLostBecauseAnotherIsGone(t *testing.T) {
	refused := false
	s := scripted.Serve(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			if !refused {
				refused = true
				c.No(cmd.Tag, "[EXPUNGEISSUED] some are gone")
				return
			}
			if strings.Contains(cmd.Args, "[TEXT]") {
				c.Send("* 2 FETCH (UID 102 BODY[HEADER] {2}", "", " BODY[TEXT] {2}", "hi)")
				c.OK(cmd.Tag, "done")
				return
			}
			c.Answer(cmd)
		},
	}})
	c := inClear(s)
	defer c.Close()
	got, err := uidsFrom(c.Folder("INBOX").Raw(limited(t), named("102")), func(m imapkit.RawMessage) imap.UID { return m.UID })
	if err != nil || !slices.Equal(got, named("102")) {
		t.Errorf("messages %v, error %v", got, err)
	}
}

// Message 101 is left out at first, so that those left out have been looked for
// before it shows that nothing more comes of 102.
func TestAMessageThatIsKnownOnlyFromWhatCameUnaskedIsNotLost(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			set, items, _ := strings.Cut(cmd.Args, " ")
			for _, uid := range named(set) {
				if uid != 102 && (uid != 101 || set != "101:103") || items == "(UID INTERNALDATE)" {
					c.Answer(scripted.Command{Tag: "other", Name: cmd.Name, Args: fmt.Sprint(uid, " ", items)})
				}
			}
			if set == "101:103" {
				c.Send("* 2 FETCH (UID 102 FLAGS () RFC822.SIZE 207)")
			}
			c.OK(cmd.Tag, "done")
		},
	}})
	c := inClear(s)
	defer c.Close()
	var got []imap.UID
	for m, err := range c.Folder("INBOX").FetchAll(limited(t), named("101:103")) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, m.Info.UID); (m.Info.UID == 102) != (m.Info.Err != nil) {
			t.Errorf("UID %d: error %v", m.Info.UID, m.Info.Err)
		}
	}
	if !slices.Equal(got, named("101:103")) {
		t.Errorf("messages %v", got)
	}
}
