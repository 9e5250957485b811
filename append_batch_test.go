package imapkit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
	"github.com/imapkit/imapkit/internal/servertest"
)

const batchCaps = "IMAP4rev1 UIDPLUS MULTIAPPEND LITERAL+"

// inOne is the command that adds these messages together.
func inOne(list ...string) string {
	command := "APPEND INBOX"
	for _, text := range list {
		command += fmt.Sprintf(" {%d+}\r\n%s", len(text), text)
	}
	return command
}

func TestShortMessagesGoOutTogether(t *testing.T) {
	a, b, c := letterNamed("a"), letterNamed("b"), letterNamed("c")
	one := func(text string) imapkit.NewMessage {
		return imapkit.NewMessage{Body: strings.NewReader(text), Size: int64(len(text))}
	}
	flagged := one(b)
	flagged.Options = imapkit.AppendOptions{Flags: []imap.Flag{imap.FlagSeen},
		InternalDate: time.Date(2024, 2, 13, 4, 5, 6, 0, time.UTC)}
	long := strings.Repeat("x", 64<<10+1)
	broken := imapkit.NewMessage{Body: iotest.ErrReader(errors.New("broken")), Size: 5}
	tests := []struct {
		name     string
		caps     string
		messages []imapkit.NewMessage
		want     []string
		reports  string
	}{
		{"with flags and date", batchCaps, []imapkit.NewMessage{one(a), flagged},
			[]string{"APPEND INBOX" + fmt.Sprintf(" {%d+}\r\n%s", len(a), a) +
				` (\Seen) "13-Feb-2024 04:05:06 +0000"` + fmt.Sprintf(" {%d+}\r\n%s", len(b), b)}, "0 0"},
		{"only one", batchCaps, []imapkit.NewMessage{one(a)}, []string{inOne(a)}, "0"},
		{"a long one by itself, in its turn", batchCaps, []imapkit.NewMessage{one(a), one(b), one(long), one(c)},
			[]string{inOne(a, b), inOne(long), inOne(c)}, "0 0 0 0"},
		{"a bad one left out", batchCaps, []imapkit.NewMessage{one(a), broken, one(b)},
			[]string{inOne(a, b)}, "0 error 0"},
		{"without literals that need no permission", "IMAP4rev1 MULTIAPPEND", []imapkit.NewMessage{one(a), one(b)},
			[]string{strings.ReplaceAll(inOne(a, b), "+}", "}")}, "0 0"},
		{"without MULTIAPPEND", "IMAP4rev1 LITERAL+", []imapkit.NewMessage{one(a), one(b)},
			[]string{inOne(a), inOne(b)}, "0 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := scripted.Serve(t, scripted.Options{Caps: tt.caps})
			client := inClear(s)
			defer client.Close()
			got := outcomes(client.Folder("INBOX").AppendAll(limited(t), slices.Values(tt.messages)))
			if strings.Join(got, " ") != tt.reports {
				t.Errorf("reports %q, want %q", got, tt.reports)
			}
			checkCommands(t, s, tt.want...)
		})
	}
}

func TestBatchesAreBounded(t *testing.T) {
	for _, tt := range []struct {
		count, size int
		want        []int // messages per command
	}{
		{130, 100, []int{64, 64, 2}},
		{11, 60 << 10, []int{4, 4, 3}},
		{2, 64 << 10, []int{2}},
	} {
		s := scripted.Serve(t, scripted.Options{Caps: batchCaps})
		c := inClear(s)
		list := slices.Repeat([]string{strings.Repeat("x", tt.size)}, tt.count)
		if got := outcomes(c.Folder("INBOX").AppendAll(limited(t), texts(list...))); len(got) != tt.count {
			t.Errorf("%d reports of %d messages", len(got), tt.count)
		}
		var got []int
		for _, cmd := range work(s) {
			got = append(got, strings.Count(cmd, "+}\r\n"))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%d messages of %d bytes went out as %v, want %v", tt.count, tt.size, got, tt.want)
		}
		c.Close()
	}
}

func TestSeveralBatchesAreSentAhead(t *testing.T) {
	list := slices.Repeat([]string{letter}, 640)
	s := scripted.New(t, func(c *scripted.Conn) {
		c.AcceptLogin(batchCaps)
		var tags []string
		for range 10 { // all of them before the first answer
			tag, _ := c.Expect("APPEND")
			tags = append(tags, tag)
		}
		for i, tag := range tags {
			c.OK(tag, fmt.Sprintf("[APPENDUID 7 %d:%d] done", i*64+1, i*64+64))
		}
	})
	c := inClear(s)
	defer c.Close()
	got := outcomes(c.Folder("INBOX").AppendAll(limited(t), texts(list...)))
	for i := range list {
		if i >= len(got) || got[i] != fmt.Sprint(i+1) {
			t.Fatalf("reports %q", got)
		}
	}
}

func TestUIDsOfABatchAreMatchedInOrderOrNotAtAll(t *testing.T) {
	for code, want := range map[string]string{
		"[APPENDUID 7 4:6]":          "4 5 6",
		"[APPENDUID 7 4,6,9]":        "4 6 9",
		"[APPENDUID 7 4:5,9]":        "4 5 9",
		"[APPENDUID 7 4:5]":          "0 0 0",
		"[APPENDUID 7 4:7]":          "0 0 0",
		"[APPENDUID 7 6,5,4]":        "0 0 0",
		"[APPENDUID 7 4,4,5]":        "0 0 0",
		"[APPENDUID 7 1:4294967295]": "0 0 0",
		"[APPENDUID 7 4:*]":          "0 0 0",
		"[APPENDUID 0 4:6]":          "0 0 0",
		"":                           "0 0 0",
	} {
		s := scripted.Serve(t, scripted.Options{Caps: batchCaps, Handle: answers(map[string][]string{
			"APPEND": {"OK " + code + " done"}})})
		c := inClear(s)
		got := strings.Join(outcomes(c.Folder("INBOX").AppendAll(limited(t), texts(letter, letter, letter))), " ")
		if got != want {
			t.Errorf("%s: UIDs %s, want %s", code, got, want)
		}
		c.Close()
	}
}

func TestARefusedBatchIsSentAgainOneByOne(t *testing.T) {
	a, b, c := letterNamed("a"), letterNamed("b"), letterNamed("c")
	all := inOne(a, b, c)
	tests := []struct {
		name    string
		answers []string
		want    []string
		reports string
	}{
		{"one is bad", []string{"NO [TOOBIG] no", "OK [APPENDUID 7 1] ok", "NO [TOOBIG] no", "OK [APPENDUID 7 2] ok"},
			[]string{all, inOne(a), inOne(b), inOne(c)}, "1 TOOBIG 2"},
		{"no folder", []string{"NO [TRYCREATE] no"},
			[]string{all, inOne(a), inOne(b), inOne(c)}, "TRYCREATE TRYCREATE TRYCREATE"},
		{"the last one does not fit", []string{"NO [OVERQUOTA] full", "OK ok", "OK ok", "NO [OVERQUOTA] full"},
			[]string{all, inOne(a), inOne(b), inOne(c)}, "0 0 OVERQUOTA"},
		{"a server that throttles gets the batch again", []string{"NO Suggested Backoff Time: 5", "OK [APPENDUID 7 1:3] ok"},
			[]string{all, all}, "1 2 3"},
	}
	for _, tt := range tests {
		for _, caps := range []string{batchCaps, strings.TrimSuffix(batchCaps, " LITERAL+")} {
			t.Run(tt.name+" "+caps, func(t *testing.T) {
				s := scripted.Serve(t, scripted.Options{Caps: caps, Handle: answers(map[string][]string{"APPEND": tt.answers})})
				client := inClear(s)
				defer client.Close()
				got := strings.Join(outcomes(client.Folder("INBOX").AppendAll(limited(t), texts(a, b, c))), " ")
				if got != tt.reports {
					t.Errorf("reports %s, want %s", got, tt.reports)
				}
				want := slices.Clone(tt.want)
				for i := range want {
					if !strings.Contains(caps, "LITERAL+") {
						want[i] = strings.ReplaceAll(want[i], "+}", "}")
					}
				}
				checkCommands(t, s, want...)
			})
		}
	}
}

func TestABatchRefusedAtItsSecondLiteralAddsNothing(t *testing.T) {
	a, b := letterNamed("a"), letterNamed("b")
	s := scripted.New(t, func(c *scripted.Conn) {
		c.AcceptLogin("IMAP4rev1 MULTIAPPEND")
		c.ManualLiterals = true
		tag, _ := c.Expect(fmt.Sprintf("APPEND INBOX {%d}", len(a)))
		c.Send("+ go on")
		c.ReadN(int64(len(a)))
		c.ExpectLine(fmt.Sprintf(" {%d}", len(b)))
		c.No(tag, "[OVERQUOTA] full")
		c.ManualLiterals = false
		for _, answer := range []string{"OK done", "NO [OVERQUOTA] full"} {
			tag, _ := c.Expect("APPEND INBOX {")
			c.Send(tag + " " + answer)
		}
		tag, _ = c.Expect("SUBSCRIBE")
		c.OK(tag, "done")
	})
	c := inClear(s)
	defer c.Close()
	got := outcomes(c.Folder("INBOX").AppendAll(limited(t), texts(a, b)))
	if want := []string{"0", "OVERQUOTA"}; !slices.Equal(got, want) {
		t.Errorf("reports %q, want %q", got, want)
	}
	if err := c.Subscribe(limited(t), "x"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestAServerThatCannotReadBatchesIsSentNoMore(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Caps: batchCaps, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"APPEND": func(c *scripted.Conn, cmd scripted.Command) {
			if strings.Count(cmd.Args, "+}") > 1 {
				c.Bad(cmd.Tag, "syntax error")
				return
			}
			c.OK(cmd.Tag, "done")
		}}})
	c := inClear(s)
	defer c.Close()
	const count = 64 * 40 // more than is sent ahead
	got := outcomes(c.Folder("INBOX").AppendAll(limited(t), texts(slices.Repeat([]string{letterNamed("a")}, count)...)))
	if len(got) != count || slices.ContainsFunc(got, func(s string) bool { return s != "0" }) {
		t.Errorf("%d reports %.200q", len(got), got)
	}
	batches := 0
	for _, cmd := range work(s) {
		if strings.Count(cmd, "+}") > 1 {
			batches++
		}
	}
	if batches == 0 || batches > 33 {
		t.Errorf("%d batches were sent", batches)
	}
}

func TestWhatBecameOfABatchWhenTheConnectionBreaks(t *testing.T) {
	named := []string{letterNamed("a"), letterNamed("b"), "no Message-ID\r\n"}
	tests := []struct {
		name   string
		before string // UIDNEXT that the client knows; empty: none
		there  string // by Message-ID
		want   string
	}{
		{"it was added", "", "<a@example.org> <b@example.org>", "1 2 unknown"},
		{"it was not", "", "", "unknown unknown unknown"},
		{"the messages were there before", "3", "<a@example.org> <b@example.org>", "unknown unknown unknown"},
		{"one was there before", "2", "<a@example.org> <b@example.org>", "unknown 2 unknown"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			scripted.LeakCheck(t)
			s := scripted.Serve(t, scripted.Options{Caps: batchCaps, Handle: map[string]func(*scripted.Conn, scripted.Command){
				"APPEND": func(c *scripted.Conn, _ scripted.Command) { c.Reset() },
				"SELECT": func(c *scripted.Conn, cmd scripted.Command) {
					next := "99" // after the break, whatever was added counts
					if c.Num == 1 {
						next = tt.before
					}
					c.Send("* OK [UIDVALIDITY 1] ok", "* OK [UIDNEXT "+next+"] ok")
					c.OK(cmd.Tag, "[READ-WRITE] done")
				},
				"UID SEARCH": func(c *scripted.Conn, cmd scripted.Command) {
					found := "* SEARCH"
					for i, id := range strings.Fields(tt.there) {
						if strings.Contains(cmd.Args, id) {
							found += fmt.Sprint(" ", i+1)
						}
					}
					c.Send(found)
					c.OK(cmd.Tag, "done")
				}}})
			c := inClear(s)
			defer c.Close()
			f := c.Folder("INBOX")
			if tt.before != "" {
				var err error
				if f, err = c.Select(limited(t), "INBOX"); err != nil {
					t.Fatal(err)
				}
			}
			got := strings.Join(outcomes(f.AppendAll(limited(t), texts(named...))), " ")
			if got != tt.want {
				t.Errorf("reports %s, want %s", got, tt.want)
			}
			if n := strings.Count(strings.Join(s.Commands(), "\n"), "APPEND"); n != 1 {
				t.Errorf("APPEND was sent %d times", n)
			}
			if s.Conns() != 2 {
				t.Errorf("%d connections", s.Conns())
			}
		})
	}
}

func TestTheServersPartingWordsComeWithEachMessage(t *testing.T) {
	s := scripted.New(t, func(c *scripted.Conn) {
		c.AcceptLogin("IMAP4rev1 MULTIAPPEND")
		c.ManualLiterals = true
		c.Expect("APPEND INBOX {")
		c.Send("* BYE [ALERT] going down for maintenance")
	})
	c := inClear(s)
	defer c.Close()
	n := 0
	for _, err := range c.Folder("INBOX").AppendAll(limited(t), texts(letter, letter)) {
		var said *imapkit.ServerError
		if n++; !errors.As(err, &said) || said.Status != "BYE" || said.Text != "going down for maintenance" {
			t.Errorf("error %v", err)
		}
	}
	if n != 2 {
		t.Errorf("%d reports", n)
	}
}

func TestLittleIsHeldInMemory(t *testing.T) {
	const size, most = 20_000, 1<<20 + 256<<10
	for _, caps := range []string{"IMAP4rev1 LITERAL+", batchCaps} {
		asked := make(chan int, 1)
		s := scripted.New(t, func(c *scripted.Conn) {
			c.AcceptLogin(caps)
			for {
				if _, ok := c.ReadCommand(); !ok {
					return
				}
			}
		})
		c := inClear(s)
		c.Timeout = 300 * time.Millisecond // the server reads, and answers nothing
		n := 0
		text := strings.Repeat("x", size)
		endless := func(yield func(imapkit.NewMessage) bool) {
			for n++; yield(imapkit.NewMessage{Body: strings.NewReader(text), Size: size}); n++ {
			}
			asked <- n
		}
		reports := 0
		for _, err := range c.Folder("INBOX").AppendAll(limited(t), endless) {
			if reports++; err == nil {
				t.Error("no error")
			}
		}
		if <-asked; n < 30 || n*size > most+size || reports != n {
			t.Errorf("%s: %d messages were asked for, %d reported on", caps, n, reports)
		}
		c.Close()
	}
}

func TestABatchThatIsCutShortAddsNothing(t *testing.T) {
	a, b := letterNamed("a"), letterNamed("b")
	s := scripted.New(t, func(c *scripted.Conn) {
		c.AcceptLogin("IMAP4rev1 MULTIAPPEND")
		c.ManualLiterals = true
		c.Expect("APPEND INBOX {")
		c.Send("+ go on")
		c.ReadN(int64(len(a)))
		c.Reset()
	})
	c := inClear(s)
	defer c.Close()
	n := 0
	for uid, err := range c.Folder("INBOX").AppendAll(limited(t), texts(a, b)) {
		if n++; err == nil || errors.Is(err, imapkit.ErrUnknownOutcome) || !strings.Contains(err.Error(), "nothing was added") {
			t.Errorf("UID %d, error %v", uid, err)
		}
	}
	if n != 2 || s.Conns() != 1 {
		t.Errorf("%d reports, %d connections", n, s.Conns())
	}
}

func TestLeavingAppendAllAtAnyPointLeavesTheClientUsable(t *testing.T) {
	list := slices.Repeat([]string{letter}, 200)
	for _, leave := range []int{1, 63, 64, 65, 128, 200} {
		scripted.LeakCheck(t)
		s := scripted.Serve(t, scripted.Options{Caps: batchCaps})
		c := inClear(s)
		n := 0
		for range c.Folder("INBOX").AppendAll(limited(t), texts(list...)) {
			if n++; n == leave {
				break
			}
		}
		if err := c.Subscribe(limited(t), "x"); err != nil || s.Conns() != 1 || n != leave {
			t.Errorf("after %d of %d: %v, %d connections", n, leave, err, s.Conns())
		}
		c.Close()
	}
}

func TestReportsOfWhatIsKnownDoNotWait(t *testing.T) {
	c := &imapkit.Client{Host: "192.0.2.1", Username: "user"}
	endless := func(yield func(imapkit.NewMessage) bool) {
		for yield(imapkit.NewMessage{Body: strings.NewReader(""), Size: -1}) {
		}
	}
	n := 0
	for _, err := range c.Folder("INBOX").AppendAll(limited(t), endless) {
		if n++; err == nil || n == 1000 {
			break
		}
	}
	if n != 1000 {
		t.Errorf("%d reports", n)
	}
}

func TestACancelledAppendAllEndsAtOnce(t *testing.T) {
	scripted.LeakCheck(t)
	s := scripted.New(t, func(c *scripted.Conn) {
		c.AcceptLogin(batchCaps)
		c.Stall()
	})
	c := inClear(s)
	defer c.Close()
	ctx, cancel := context.WithCancel(limited(t))
	began := time.Now()
	time.AfterFunc(50*time.Millisecond, cancel)
	n := 0
	for _, err := range c.Folder("INBOX").AppendAll(ctx, texts(slices.Repeat([]string{letter}, 3000)...)) {
		if n++; !errors.Is(err, context.Canceled) {
			t.Fatalf("report %d: %v", n, err)
		}
	}
	if took := time.Since(began); n == 0 || took > 2*time.Second {
		t.Errorf("%d reports, it took %v", n, took)
	}
}

func TestBatchesOnRealServers(t *testing.T) {
	for name, start := range realServers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			c := clientFor(server, imapkit.SecurityNone)
			defer c.Close()
			f, err := c.Select(limited(t), "INBOX")
			if err != nil {
				t.Fatal(err)
			}
			var list []string
			for i := range 150 {
				list = append(list, letterNamed(fmt.Sprintf("batch%d", i))+strings.Repeat("A line of text.\r\n", i))
			}
			list[75] = list[75] + strings.Repeat("A long line of text.\r\n", 5000)
			time.Sleep(1100 * time.Millisecond) // Mailutils looks at a Maildir once a second
			at := make(map[imap.UID]string)
			n := 0
			for uid, err := range f.AppendAll(limited(t), texts(list...)) {
				if err != nil {
					t.Fatalf("message %d: %v", n, err)
				}
				at[uid] = list[n]
				n++
			}
			c.Close()
			time.Sleep(1100 * time.Millisecond)
			c = clientFor(server, imapkit.SecurityNone)
			defer c.Close()
			f = c.Folder("INBOX")
			uids, err := f.Search(limited(t), imapkit.Header("Message-ID", "batch"))
			if err != nil || len(uids) != len(list) || n != len(list) {
				t.Fatalf("%d messages, %d reports, %v", len(uids), n, err)
			}
			for raw, err := range f.Raw(limited(t), uids) {
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(raw.Body)
				want, told := at[raw.UID]
				if err != nil || !told && name != "Mailutils" || told && string(body) != want {
					t.Errorf("UID %d: %.100q, %v", raw.UID, body, err)
				}
			}
		})
	}
}

func TestAMessageBeyondTheQuotaTakesNoOtherWithIt(t *testing.T) {
	server := servertest.Dovecot(t, servertest.Setting("QUOTA", "100K"))
	c := clientFor(server, imapkit.SecurityNone)
	defer c.Close()
	big := letterNamed("big") + strings.Repeat("A line of text.\r\n", 3600)
	small := letterNamed("small")
	got := outcomes(c.Folder("INBOX").AppendAll(limited(t), texts(small, big, small, big, small)))
	if want := []string{"1", "2", "3", "OVERQUOTA", "4"}; !slices.Equal(got, want) {
		t.Errorf("reports %q, want %q", got, want)
	}
}
