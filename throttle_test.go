package imapkit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

// busyServer refuses the n-th time that a command comes (1 is the first) with
// these words, and answers it as usual otherwise.
func busyServer(t *testing.T, opts scripted.Options, name string, nth int32,
	refusal string) (*scripted.Server, *imapkit.Client) {
	t.Helper()
	var times atomic.Int32
	opts.Handle = map[string]func(*scripted.Conn, scripted.Command){
		name: func(c *scripted.Conn, cmd scripted.Command) {
			if times.Add(1) == nth {
				c.Send(cmd.Tag + " " + refusal)
				return
			}
			c.Answer(cmd)
		},
	}
	s := scripted.Serve(t, opts)
	c := inClear(s)
	t.Cleanup(func() { c.Close() })
	return s, c
}

func backoff(ms int) string {
	return fmt.Sprintf("BAD Request is throttled. Suggested Backoff Time: %d milliseconds", ms)
}

func numbered(n int) []imap.UID {
	uids := make([]imap.UID, n)
	for i := range uids {
		uids[i] = imap.UID(scripted.UID(i + 1))
	}
	return uids
}

func TestEveryOperationWaitsForAThrottlingServer(t *testing.T) {
	const pause = 60
	for _, tt := range []struct {
		what, refused string
		call          func(context.Context, *imapkit.Client, *imapkit.Folder) error
	}{
		{"Connect", "LOGIN", func(ctx context.Context, c *imapkit.Client, _ *imapkit.Folder) error { return c.Connect(ctx) }},
		{"opening a folder", "SELECT", func(ctx context.Context, c *imapkit.Client, _ *imapkit.Folder) error {
			_, err := c.Select(ctx, "INBOX")
			return err
		}},
		{"Status", "STATUS", func(ctx context.Context, _ *imapkit.Client, f *imapkit.Folder) error {
			st, err := f.Status(ctx)
			if err == nil && st.Messages != 3 {
				err = fmt.Errorf("%d messages", st.Messages)
			}
			return err
		}},
		{"Folders", "LIST", func(ctx context.Context, c *imapkit.Client, _ *imapkit.Folder) error {
			_, err := c.Folders(ctx, "")
			return err
		}},
		{"Search", "UID SEARCH", func(ctx context.Context, _ *imapkit.Client, f *imapkit.Folder) error {
			uids, err := f.Search(ctx, imapkit.From("ann"))
			if err == nil && !slices.Equal(uids, numbered(3)) {
				err = fmt.Errorf("found %v", uids)
			}
			return err
		}},
		{"Fetch", "UID FETCH", func(ctx context.Context, _ *imapkit.Client, f *imapkit.Folder) error {
			m, err := f.Fetch(ctx, 102)
			if err == nil && string(m.Raw) != scripted.Message(2) {
				err = fmt.Errorf("message %q", m.Raw)
			}
			return err
		}},
		{"Messages", "UID FETCH", func(ctx context.Context, _ *imapkit.Client, f *imapkit.Folder) error {
			var uids []imap.UID
			for m, err := range f.Messages(ctx, imapkit.All()) {
				if err != nil {
					return err
				}
				uids = append(uids, m.UID)
			}
			if !slices.Equal(uids, numbered(3)) {
				return fmt.Errorf("messages %v", uids)
			}
			return nil
		}},
		{"Open", "UID FETCH", func(ctx context.Context, _ *imapkit.Client, f *imapkit.Folder) error {
			r, err := f.Open(ctx, 103)
			if err != nil {
				return err
			}
			raw, err := io.ReadAll(r)
			if err == nil && string(raw) != scripted.Message(3) {
				err = fmt.Errorf("message %q", raw)
			}
			return err
		}},
		{"CreateFolder", "CREATE", func(ctx context.Context, c *imapkit.Client, _ *imapkit.Folder) error {
			return c.CreateFolder(ctx, "new")
		}},
		{"AddFlags", "UID STORE", func(ctx context.Context, _ *imapkit.Client, f *imapkit.Folder) error {
			return f.AddFlags(ctx, numbered(1), imap.FlagSeen)
		}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			s, c := busyServer(t, scripted.Options{Exists: 3}, tt.refused, 1, backoff(pause))
			began := time.Now()
			if err := tt.call(limited(t), c, c.Folder("INBOX")); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(began); d < pause*time.Millisecond {
				t.Errorf("it was asked again after %v", d)
			}
			n := 0
			for _, cmd := range s.Commands() {
				if strings.HasPrefix(cmd, tt.refused) {
					n++
				}
			}
			if n != 2 {
				t.Errorf("%s was sent %d times:\n%s", tt.refused, n, strings.Join(s.Commands(), "\n"))
			}
		})
	}
}

func TestLoopsGoOnAfterAThrottlingServerHasRefusedTheMiddle(t *testing.T) {
	const n = 1120 // more than one command asks for
	for _, tt := range []struct {
		what string
		n    int
		loop func(context.Context, *imapkit.Folder) ([]imap.UID, error)
	}{
		{"Messages", n, func(ctx context.Context, f *imapkit.Folder) (uids []imap.UID, err error) {
			for m, err := range f.Messages(ctx, imapkit.All(), imapkit.ItemFlags) {
				if err != nil {
					return uids, err
				}
				uids = append(uids, m.UID)
			}
			return uids, nil
		}},
		{"FetchAll", 120, func(ctx context.Context, f *imapkit.Folder) (uids []imap.UID, err error) {
			for m, err := range f.FetchAll(ctx, numbered(120)) {
				if err != nil {
					return uids, err
				}
				uids = append(uids, m.Info.UID)
			}
			return uids, nil
		}},
		{"Raw", n, func(ctx context.Context, f *imapkit.Folder) (uids []imap.UID, err error) {
			for m, err := range f.Raw(ctx, numbered(n)) {
				if err != nil {
					return uids, err
				}
				if b, err := io.ReadAll(m.Body); err != nil || len(b) != int(m.Size) {
					return uids, fmt.Errorf("UID %d: %d bytes, %w", m.UID, len(b), err)
				}
				uids = append(uids, m.UID)
			}
			return uids, nil
		}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			scripted.LeakCheck(t)
			_, c := busyServer(t, scripted.Options{Exists: tt.n}, "UID FETCH", 2, backoff(1))
			uids, err := tt.loop(limited(t), c.Folder("INBOX"))
			if err != nil || !slices.Equal(uids, numbered(tt.n)) {
				t.Errorf("%d messages, each once and in order: %v; error %v", len(uids), slices.Equal(uids, numbered(tt.n)), err)
			}
		})
		t.Run(tt.what+" in vain", func(t *testing.T) {
			_, c := busyServer(t, scripted.Options{Exists: tt.n}, "UID FETCH", 2, backoff(299961))
			uids, err := tt.loop(limited(t), c.Folder("INBOX"))
			var throttled *imapkit.ThrottledError
			if !errors.As(err, &throttled) || throttled.Wait != 299961*time.Millisecond || len(uids) == 0 || len(uids) == tt.n {
				t.Errorf("error %v after %d messages", err, len(uids))
			}
		})
	}
}

func TestAPartOfAThrottledFetchIsNotHandedOutTwice(t *testing.T) {
	for _, verb := range []string{"Messages", "Raw"} {
		t.Run(verb, func(t *testing.T) {
			times := 0
			s := scripted.Serve(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
				"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
					if times++; times > 1 {
						c.Answer(cmd)
						return
					}
					c.Answer(scripted.Command{Tag: "*", Name: "UID FETCH", Args: strings.Replace(cmd.Args, "101:103", "101", 1)})
					c.Send(cmd.Tag + " " + backoff(1))
				}}})
			c := inClear(s)
			defer c.Close()
			f := c.Folder("INBOX")
			var got []imap.UID
			if verb == "Raw" {
				for m, err := range f.Raw(limited(t), numbered(3)) {
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, m.UID)
				}
			} else {
				for m, err := range f.Messages(limited(t), imapkit.UIDs(numbered(3)...), imapkit.ItemFlags) {
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, m.UID)
				}
			}
			if !slices.Equal(got, numbered(3)) {
				t.Errorf("messages %v", got)
			}
			asked := slices.DeleteFunc(work(s), func(cmd string) bool { return !strings.HasPrefix(cmd, "UID FETCH") })
			if len(asked) != 2 || !strings.HasPrefix(asked[1], "UID FETCH 102:103 ") {
				t.Errorf("commands %q", asked)
			}
		})
	}
}

func TestFiguresOfFoldersThatHaveComeAreNotAskedForAgain(t *testing.T) {
	times := 0
	s := scripted.Serve(t, scripted.Options{Handle: map[string]func(*scripted.Conn, scripted.Command){
		"LIST": func(c *scripted.Conn, cmd scripted.Command) {
			c.Send(`* LIST () "/" a`, `* LIST () "/" b`)
			c.OK(cmd.Tag, "done")
		},
		"LSUB": func(c *scripted.Conn, cmd scripted.Command) { c.OK(cmd.Tag, "done") },
		"STATUS": func(c *scripted.Conn, cmd scripted.Command) {
			if times++; times == 2 {
				c.Send(cmd.Tag + " " + backoff(1))
				return
			}
			name, _, _ := strings.Cut(cmd.Args, " ")
			c.Sendf("* STATUS %s (MESSAGES %d)", name, times)
			c.OK(cmd.Tag, "done")
		},
	}})
	c := inClear(s)
	defer c.Close()
	list, err := c.FoldersStatus(limited(t), "")
	if err != nil || len(list) != 2 || list[0].Status.Messages != 1 || list[1].Status.Messages != 3 || list[1].Err != nil {
		t.Errorf("%+v, %v", list, err)
	}
	if n := strings.Count(strings.Join(s.Commands(), "\n"), "LIST"); n != 1 {
		t.Errorf("LIST was sent %d times", n)
	}
}

func TestNobodyIsKeptFromTheConnectionByOneWhoWaits(t *testing.T) {
	const pause = 500
	s, c := busyServer(t, scripted.Options{Exists: 3}, "UID SEARCH", 1, backoff(pause))
	began := time.Now()
	searched := make(chan error, 1)
	go func() {
		_, err := c.Folder("INBOX").Search(limited(t), imapkit.All())
		searched <- err
	}()
	for !strings.Contains(s.Received(), "UID SEARCH") {
		time.Sleep(time.Millisecond)
	}
	if _, err := c.Folder("INBOX").Status(limited(t)); err != nil {
		t.Error(err)
	}
	if d := time.Since(began); d > pause*time.Millisecond {
		t.Errorf("the other call took %v", d)
	}
	if err := <-searched; err != nil {
		t.Error(err)
	}
	if s.Conns() != 1 {
		t.Errorf("%d connections", s.Conns())
	}
}

func TestWaitingEndsWithTheContextAndTheClient(t *testing.T) {
	wait := func(t *testing.T, ctx context.Context, c *imapkit.Client, s *scripted.Server, end func()) error {
		done := make(chan error, 1)
		go func() {
			_, err := c.Folder("INBOX").Search(ctx, imapkit.All())
			done <- err
		}()
		for !strings.Contains(s.Received(), "UID SEARCH") {
			time.Sleep(time.Millisecond)
		}
		time.AfterFunc(20*time.Millisecond, end)
		return deadline(t, 20*time.Millisecond, func() error { return <-done })
	}
	t.Run("context", func(t *testing.T) {
		scripted.LeakCheck(t)
		s, c := busyServer(t, scripted.Options{}, "UID SEARCH", 1, backoff(30000))
		ctx, cancel := context.WithCancel(context.Background())
		if err := wait(t, ctx, c, s, cancel); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("Close", func(t *testing.T) {
		scripted.LeakCheck(t)
		s, c := busyServer(t, scripted.Options{}, "UID SEARCH", 1, backoff(30000))
		if err := wait(t, context.Background(), c, s, func() { c.Close() }); !errors.Is(err, imapkit.ErrClosed) {
			t.Errorf("error %v", err)
		}
	})
}

func TestHowLongIsWaited(t *testing.T) {
	search := func(ctx context.Context, c *imapkit.Client) error {
		_, err := c.Folder("INBOX").Search(ctx, imapkit.All())
		return err
	}
	t.Run("no longer than Timeout without a deadline", func(t *testing.T) {
		_, c := busyServer(t, scripted.Options{}, "UID SEARCH", 1, backoff(2000))
		c.Timeout = time.Second
		err := deadline(t, 0, func() error { return search(context.Background(), c) })
		var throttled *imapkit.ThrottledError
		if !errors.As(err, &throttled) || throttled.Wait != 2*time.Second || !strings.Contains(err.Error(), "2s") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("as long as the deadline allows, whatever Timeout is", func(t *testing.T) {
		_, c := busyServer(t, scripted.Options{}, "UID SEARCH", 1, backoff(300))
		c.Timeout = 200 * time.Millisecond
		if err := deadline(t, 300*time.Millisecond, func() error { return search(limited(t), c) }); err != nil {
			t.Error(err)
		}
	})
	t.Run("in all, when the server refuses again and again", func(t *testing.T) {
		s := scripted.Serve(t, scripted.Options{Handle: answers(map[string][]string{"UID SEARCH": {backoff(0)}})})
		c := inClear(s)
		defer c.Close()
		c.Timeout = 400 * time.Millisecond
		began := time.Now()
		err := search(context.Background(), c)
		if !errors.As(err, new(*imapkit.ThrottledError)) || time.Since(began) > time.Second {
			t.Errorf("error %v after %v", err, time.Since(began))
		}
		if n := strings.Count(s.Received(), "UID SEARCH"); n < 2 || n > 5 {
			t.Errorf("the server was asked %d times", n)
		}
	})
}

func TestARefusalThatDoesNotSayHowLongIsReturnedAtOnce(t *testing.T) {
	for _, refusal := range []string{
		"NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)", // Gmail
		"NO [LIMIT] UID SEARCH Rate limit hit.",                                  // Yahoo
		"BAD Request is throttled.",                                              // Exchange
		"BAD Request is throttled. Suggested Backoff Time: 99999999999 milliseconds",
	} {
		t.Run(refusal, func(t *testing.T) {
			s, c := busyServer(t, scripted.Options{Exists: 3}, "UID SEARCH", 1, refusal)
			_, err := c.Folder("INBOX").Search(limited(t), imapkit.All())
			var throttled *imapkit.ThrottledError
			var said *imapkit.ServerError
			if !errors.As(err, &throttled) || throttled.Wait != 0 ||
				!errors.As(err, &said) || !strings.HasSuffix(refusal, said.Text) {
				t.Errorf("error %v", err)
			}
			checkCommands(t, s, "UID SEARCH ALL")
		})
	}
	t.Run("a full mailbox is another matter", func(t *testing.T) {
		_, c := busyServer(t, scripted.Options{Exists: 3}, "UID COPY", 1,
			"NO [OVERQUOTA] Quota exceeded (mailbox for user is full)")
		_, err := c.Folder("INBOX").Copy(limited(t), numbered(1), "x")
		if errors.As(err, new(*imapkit.ThrottledError)) || !errors.As(err, new(*imapkit.ServerError)) {
			t.Errorf("error %v", err)
		}
	})
}

func TestAThrottledLogInIsNoWrongPassword(t *testing.T) {
	for _, tt := range []struct {
		refusal   string
		throttled bool
	}{
		// Gmail
		{"NO [ALERT] Too many simultaneous connections. (Failure)", true},
		// Dovecot
		{"NO [UNAVAILABLE] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=16)", true},
		{"NO [UNAVAILABLE] Temporary authentication failure.", false},
		// Yahoo
		{"NO [LIMIT] LOGIN Rate limit hit.", true},
		// Mailu
		{"NO Authentication rate limit from one source exceeded", true},
		// Exchange
		{"NO Request is throttled. Suggested Backoff Time: 299961 milliseconds", true},
		// RFC 5530
		{"NO [INUSE] Mailbox is locked by another session", false},
	} {
		for _, caps := range []string{"IMAP4rev1", "IMAP4rev1 AUTH=PLAIN AUTH=LOGIN SASL-IR"} {
			t.Run(tt.refusal, func(t *testing.T) {
				s := scripted.Serve(t, scripted.Options{Caps: caps, Handle: answers(map[string][]string{
					"LOGIN": {tt.refusal}, "AUTHENTICATE": {tt.refusal}})})
				c := inClear(s)
				defer c.Close()
				err := c.Connect(limited(t))
				if errors.Is(err, imapkit.ErrAuthentication) || errors.As(err, new(*imapkit.ThrottledError)) != tt.throttled ||
					!errors.As(err, new(*imapkit.ServerError)) {
					t.Errorf("error %v", err)
				}
				if n := strings.Count(s.Received(), "LOGIN ") + strings.Count(s.Received(), "AUTHENTICATE "); n != 1 {
					t.Errorf("the server received:\n%s", s.Received())
				}
			})
		}
	}
	t.Run("greeting", func(t *testing.T) {
		s := scripted.New(t, func(c *scripted.Conn) { c.Send("* BYE Too many concurrent connections") })
		c := inClear(s)
		defer c.Close()
		err := c.Connect(limited(t))
		if !errors.As(err, new(*imapkit.ThrottledError)) || !errors.As(err, new(*imapkit.ConnectError)) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a token is not fetched anew", func(t *testing.T) {
		s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 SASL-IR AUTH=XOAUTH2", Handle: answers(map[string][]string{
			"AUTHENTICATE": {backoff(5), "OK done"}})})
		c := inClear(s)
		defer c.Close()
		c.Password = ""
		var refreshed atomic.Bool
		c.TokenSource = tokenFunc(func(refresh bool) (string, error) {
			if refresh {
				refreshed.Store(true)
			}
			return "token", nil
		})
		if err := c.Connect(limited(t)); err != nil || refreshed.Load() {
			t.Errorf("error %v, refreshed %v", err, refreshed.Load())
		}
	})
}

func TestAThrottlingServerMayCloseTheConnection(t *testing.T) {
	// As Microsoft 365 does.
	for name, call := range map[string]func(context.Context, *imapkit.Folder) error{
		"UID SEARCH": func(ctx context.Context, f *imapkit.Folder) error {
			_, err := f.Search(ctx, imapkit.All())
			return err
		},
		"UID STORE": func(ctx context.Context, f *imapkit.Folder) error {
			return f.AddFlags(ctx, numbered(1), imap.FlagSeen)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := scripted.Serve(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
				name: func(c *scripted.Conn, cmd scripted.Command) {
					if c.Num > 1 {
						c.Answer(cmd)
						return
					}
					c.Send(cmd.Tag+" "+backoff(20), "* BYE Connection closed. 14")
					c.Close()
				}}})
			c := inClear(s)
			defer c.Close()
			if err := call(limited(t), c.Folder("INBOX")); err != nil {
				t.Error(err)
			}
			if n := strings.Count(strings.Join(work(s), "\n"), name); n != 2 || s.Conns() != 2 {
				t.Errorf("%s was sent %d times over %d connections", name, n, s.Conns())
			}
		})
	}
}

func TestAllWhoWaitForAThrottledLogInGetTheirConnection(t *testing.T) {
	s, c := busyServer(t, scripted.Options{}, "LOGIN", 1, backoff(50))
	errs := make(chan error)
	for range 5 {
		go func() { errs <- c.Connect(limited(t)) }()
	}
	for range 5 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := strings.Count(s.Received(), "LOGIN "); n != 2 {
		t.Errorf("LOGIN was sent %d times", n)
	}
}

func TestWhatTheProgramDoesInDoIsNotRepeated(t *testing.T) {
	_, c := busyServer(t, scripted.Options{Exists: 3}, "NOOP", 1, backoff(1))
	calls := 0
	err := c.Do(limited(t), "", func(guest *imapclient.Client) error {
		calls++
		return guest.Noop().Wait()
	})
	if err == nil || calls != 1 {
		t.Errorf("%d calls, error %v", calls, err)
	}
}

// A server that leaves out some messages puts off each of the commands in turn
// that look for them. What has come by then is not asked for again.
func TestThrottlingWhileMessagesAreLookedForCostsNothingThatHasCome(t *testing.T) {
	const n = 20
	answer := func(c *scripted.Conn, cmd scripted.Command) {
		set, list, _ := strings.Cut(cmd.Args, " ")
		items := strings.Fields(strings.NewReplacer("(", "", ")", "", ".PEEK", "").Replace(list))
		end := "OK done"
		for _, uid := range named(set) {
			num := int(uid) - scripted.UID(0)
			message := scripted.Message(num)
			header, text, _ := strings.Cut(message, "\r\n\r\n")
			values := []string{fmt.Sprint("UID ", uid)}
			refused := false
			for _, item := range items {
				switch item {
				case "FLAGS":
					values = append(values, "FLAGS ()")
					refused = refused || num == 12
				case "INTERNALDATE":
					values = append(values, `INTERNALDATE "05-Jan-2026 10:00:00 +0000"`)
					refused = refused || num == 12 && len(items) > 2
				case "RFC822.SIZE":
					values = append(values, fmt.Sprint("RFC822.SIZE ", len(message)))
					refused = refused || num == 12
				case "ENVELOPE":
					values = append(values, "ENVELOPE "+scripted.Envelope(num))
					if num == 15 { // which can be made from the header
						values[len(values)-1] = "ENVELOPE NIL"
					}
					refused = refused || num == 5 || num == 12
				case "BODY[]":
					if num != 18 { // which comes in two parts
						values = append(values, fmt.Sprintf("BODY[] {%d}\r\n%s", len(message), message))
					}
					refused = refused || num == 5 || num == 12
				case "BODY[HEADER]":
					values = append(values, fmt.Sprintf("BODY[HEADER] {%d}\r\n%s\r\n\r\n", len(header)+4, header))
				case "BODY[TEXT]":
					values = append(values, fmt.Sprintf("BODY[TEXT] {%d}\r\n%s", len(text), text))
				}
			}
			if refused {
				end = "NO Some messages could not be FETCHed (Failure)"
				continue
			}
			c.Send(fmt.Sprintf("* %d FETCH (%s)", num, strings.Join(values, " ")))
		}
		c.Send(cmd.Tag + " " + end)
	}
	for verb, loop := range map[string]func(*imapkit.Folder) []string{
		"Messages": func(f *imapkit.Folder) (got []string) {
			for m, err := range f.Messages(limited(t), imapkit.UIDs(numbered(n)...), imapkit.ItemFlags, imapkit.ItemEnvelope) {
				if err != nil {
					return append(got, err.Error())
				}
				got = append(got, fmt.Sprint(m.UID, m.Flags != nil, m.Envelope, m.Err))
			}
			return got
		},
		"FetchAll": func(f *imapkit.Folder) (got []string) {
			for m, err := range f.FetchAll(limited(t), numbered(n)) {
				if err != nil {
					return append(got, err.Error())
				}
				got = append(got, fmt.Sprint(m.Info.UID, m.Info.Flags != nil, m.Info.Size, len(m.Raw), m.Info.Err))
			}
			return got
		},
	} {
		var want []string
		for nth := 0; ; nth++ { // the first is the one for all, and 0 is none
			if nth == 1 {
				continue
			}
			times := 0
			s := scripted.Serve(t, scripted.Options{Exists: n, Handle: map[string]func(*scripted.Conn, scripted.Command){
				"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
					if times++; times == nth {
						c.Send(cmd.Tag + " NO Request is throttled. Suggested Backoff Time: 1 milliseconds")
						return
					}
					answer(c, cmd)
				}}})
			c := inClear(s)
			got := loop(c.Folder("INBOX"))
			c.Close()
			if nth == 0 {
				if want = got; len(want) != n {
					t.Fatalf("%s: %d messages: %q", verb, len(want), want)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, command %d: got\n%s\nwant\n%s", verb, nth, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			asked := slices.DeleteFunc(work(s), func(cmd string) bool { return !strings.Contains(cmd, "120 (UID ") })
			if len(asked) != 1 {
				t.Errorf("%s, command %d: the last message was asked for %d times", verb, nth, len(asked))
			}
			if nth > times {
				if nth < 10 {
					t.Errorf("%s: no more than %d commands", verb, nth)
				}
				break
			}
		}
	}
}
