package imapkit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

// at returns a client for a scripted server that believes to talk to a provider.
func at(t *testing.T, s *scripted.Server, host string) *imapkit.Client {
	t.Helper()
	c := inClear(s)
	if host != "" {
		c.Host, c.Proxy = host, &ports{to: map[string]string{fmt.Sprint(s.Port): s.Addr}}
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// sparse returns UIDs that make long sets.
func sparse(n int) []imap.UID {
	uids := make([]imap.UID, n)
	for i := range uids {
		uids[i] = imap.UID(100001 + 2*i)
	}
	return uids
}

// named returns the UIDs of a set.
func named(set string) []imap.UID {
	var uids []imap.UID
	for part := range strings.SplitSeq(set, ",") {
		from, to, isRange := strings.Cut(part, ":")
		first, _ := strconv.Atoi(from)
		last := first
		if isRange {
			last, _ = strconv.Atoi(to)
		}
		for uid := first; uid <= last; uid++ {
			uids = append(uids, imap.UID(uid))
		}
	}
	return uids
}

// sets returns the sets that were sent with a command, and the longest line.
func sets(s *scripted.Server, name string) (sets []string, longest int) {
	for _, cmd := range s.Commands() {
		if args, ok := strings.CutPrefix(cmd, name+" "); ok {
			set, _, _ := strings.Cut(args, " ")
			sets, longest = append(sets, set), max(longest, len(cmd))
		}
	}
	return sets, longest
}

func TestServersWithShortLinesGetThem(t *testing.T) {
	for _, tt := range []struct {
		name, greeting string
		most           int // bytes of a line; longer ones are refused
		refused        int // commands
	}{
		{"Kerio Connect", "* OK Kerio Connect 9.4.2 IMAP4rev1 server ready", 1000, 0},
		{"MDaemon", "* OK example.org IMAP4rev1 MDaemon 21.5.0 ready", 1000, 0},
		{"any", "* OK ready", 1000, 1},
		{"one that takes what it must", "* OK ready", 8192, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			refused := 0
			short := func(c *scripted.Conn, cmd scripted.Command) {
				if len(cmd.Tag)+1+len(cmd.String()) > tt.most {
					refused++
					c.Bad(cmd.Tag, "command line too long")
					return
				}
				if args, isFetch := strings.CutPrefix(cmd.String(), "UID FETCH "); isFetch {
					set, _, _ := strings.Cut(args, " ")
					for _, uid := range named(set) {
						c.Send(fmt.Sprintf(`* 1 FETCH (UID %d FLAGS (\Seen))`, uid))
					}
				}
				c.OK(cmd.Tag, "done")
			}
			s := scripted.Serve(t, scripted.Options{Greeting: tt.greeting, Exists: 3,
				Handle: map[string]func(*scripted.Conn, scripted.Command){"UID STORE": short, "UID FETCH": short, "UID COPY": short}})
			c := at(t, s, "")
			f := c.Folder("INBOX")
			uids := sparse(2000)
			if err := f.AddFlags(limited(t), uids, imap.FlagSeen); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Copy(limited(t), uids, "x"); err != nil {
				t.Fatal(err)
			}
			for _, err := range f.Messages(limited(t), imapkit.UIDs(uids...), imapkit.ItemFlags) {
				if err != nil {
					t.Fatal(err)
				}
			}
			if s.Conns() != 1 {
				t.Errorf("%d connections", s.Conns())
			}
			if refused != tt.refused {
				t.Errorf("%d lines were too long, want %d", refused, tt.refused)
			}
			for _, name := range []string{"UID STORE", "UID COPY", "UID FETCH"} {
				list, _ := sets(s, name)
				if name == "UID STORE" {
					list = list[tt.refused:]
				}
				if got := named(strings.Join(list, ",")); !slices.Equal(got, uids) {
					t.Errorf("%s named %d messages in %d commands", name, len(got), len(list))
				}
			}
		})
	}
}

func TestARefusalThatWasNotForTheLengthIsReturned(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Handle: answers(map[string][]string{"UID STORE": {"BAD no"}})})
	c := at(t, s, "")
	f := c.Folder("INBOX")
	for range 2 {
		err := f.AddFlags(limited(t), sparse(1000), imap.FlagSeen)
		if refused := new(imapkit.ServerError); !errors.As(err, &refused) || refused.Text != "no" {
			t.Errorf("error %v", err)
		}
	}
	list, longest := sets(s, "UID STORE")
	if len(list) != 4 || longest < 1000 {
		t.Errorf("%d commands of up to %d bytes, want a long one and a short one each time", len(list), longest)
	}
}

// aBigFolder answers as a server does that works on limit messages per command,
// as RFC 9738 says, or cuts off results.
type aBigFolder struct {
	uids  []imap.UID
	limit int
	say   bool // MESSAGELIMIT; else results are cut off silently
	head  bool // to the lowest UIDs instead of the highest
}

func (b aBigFolder) serve(t *testing.T, caps string) *scripted.Server {
	return scripted.Serve(t, scripted.Options{Caps: caps, Exists: len(b.uids),
		Handle: map[string]func(*scripted.Conn, scripted.Command){
			"UID SEARCH": b.search, "UID STORE": b.change, "UID COPY": b.change}})
}

func (b aBigFolder) search(c *scripted.Conn, cmd scripted.Command) {
	uids := b.uids
	words := strings.Fields(cmd.Args)
	for i, word := range words {
		if word == "UID" {
			from, to, _ := strings.Cut(words[i+1], ":")
			first, _ := strconv.Atoi(from)
			last, err := strconv.Atoi(to)
			if err != nil {
				if last = int(uids[len(uids)-1]); first > last {
					first, last = last, first
				}
			}
			uids = slices.DeleteFunc(slices.Clone(uids), func(uid imap.UID) bool { return int(uid) < first || int(uid) > last })
		}
	}
	code := ""
	if len(uids) > b.limit {
		if b.head {
			uids = uids[:b.limit]
		} else {
			uids = uids[len(uids)-b.limit:]
		}
		if b.say {
			code = fmt.Sprintf("[MESSAGELIMIT %d %d] ", b.limit, uids[0])
		}
	}
	// FLAGGED are the messages whose UIDs end in 1.
	if strings.Contains(cmd.Args, "FLAGGED") {
		uids = slices.DeleteFunc(slices.Clone(uids), func(uid imap.UID) bool { return uid%10 != 1 })
	}
	list := make([]string, len(uids))
	for i, uid := range uids {
		list[i] = fmt.Sprint(uid)
	}
	switch {
	case strings.Contains(cmd.Args, "RETURN (COUNT)"):
		c.Sendf(`* ESEARCH (TAG "%s") UID COUNT %d`, cmd.Tag, len(uids))
	case strings.Contains(cmd.Args, "RETURN (ALL)"):
		c.Sendf(`* ESEARCH (TAG "%s") UID ALL %s`, cmd.Tag, strings.Join(list, ","))
	default:
		c.Send("* SEARCH " + strings.Join(list, " "))
	}
	c.OK(cmd.Tag, code+"done")
}

func (b aBigFolder) change(c *scripted.Conn, cmd scripted.Command) {
	set, _, _ := strings.Cut(cmd.Args, " ")
	uids := named(set)
	switch {
	case len(uids) <= b.limit:
		c.OK(cmd.Tag, "done")
	case cmd.Name == "UID COPY":
		c.No(cmd.Tag, fmt.Sprintf("[MESSAGELIMIT %d] too many messages", b.limit))
	default:
		c.OK(cmd.Tag, fmt.Sprintf("[MESSAGELIMIT %d %d] done in part", b.limit, uids[len(uids)-b.limit]))
	}
}

func TestNoMessageIsMissedWhereSearchesAreLimited(t *testing.T) {
	uids := sparse(3500)
	var flagged []imap.UID
	for _, uid := range uids {
		if uid%10 == 1 {
			flagged = append(flagged, uid)
		}
	}
	for name, folder := range map[string]aBigFolder{
		"Yahoo, which says so":       {uids: uids, limit: 1000, say: true},
		"another limit":              {uids: uids, limit: 600, say: true},
		"cut off at the lowest UIDs": {uids: uids, limit: 1000, head: true},
		"cut off at the highest":     {uids: uids, limit: 1000},
		"just so many":               {uids: uids[:1000], limit: 1000},
	} {
		for _, caps := range []string{"IMAP4rev1", "IMAP4rev1 ESEARCH"} {
			t.Run(name+", "+caps, func(t *testing.T) {
				s := folder.serve(t, caps)
				f := at(t, s, "").Folder("INBOX")
				got, err := f.Search(limited(t), imapkit.All())
				if err != nil || !slices.Equal(got, folder.uids) {
					t.Errorf("found %d of %d messages, %v", len(got), len(folder.uids), err)
				}
				if n, err := f.Count(limited(t), imapkit.All()); err != nil || n != len(folder.uids) {
					t.Errorf("counted %d of %d messages, %v", n, len(folder.uids), err)
				}
				if !folder.say {
					return
				}
				if got, err := f.Search(limited(t), imapkit.HasFlag(imap.FlagFlagged)); err != nil || !slices.Equal(got, flagged) {
					t.Errorf("found %d of %d flagged messages, %v", len(got), len(flagged), err)
				}
			})
		}
	}
}

func TestTheRestOfALimitedSearchIsAskedFor(t *testing.T) {
	s := aBigFolder{uids: sparse(2500), limit: 1000, say: true}.serve(t, "IMAP4rev1")
	if _, err := at(t, s, "").Folder("INBOX").Search(limited(t), imapkit.Unseen()); err != nil {
		t.Fatal(err)
	}
	checkCommands(t, s, "UID SEARCH UNSEEN", "UID SEARCH UID 1:103000 UNSEEN", "UID SEARCH UID 1:101000 UNSEEN")
}

func TestASearchThatCannotBeCompletedIsAnError(t *testing.T) {
	for name, code := range map[string]string{
		"no UID":           "[MESSAGELIMIT 1000]",
		"no number":        "[MESSAGELIMIT 1000 x]",
		"UID 0":            "[MESSAGELIMIT 1000 0]",
		"no end in sight":  "[MESSAGELIMIT 1000 4000000000]",
		"refused as whole": "NO",
	} {
		t.Run(name, func(t *testing.T) {
			answer := "* SEARCH 5 6\nOK " + code + " done"
			if code == "NO" {
				answer = "NO [MESSAGELIMIT 1000] too many messages"
			}
			s := scripted.Serve(t, scripted.Options{Exists: 3, Handle: answers(map[string][]string{"UID SEARCH": {answer}})})
			uids, err := at(t, s, "").Folder("INBOX").Search(limited(t), imapkit.All())
			if err == nil || uids != nil {
				t.Errorf("%v, %v", uids, err)
			}
			if n := len(work(s)); n > 3 {
				t.Errorf("%d commands", n)
			}
		})
	}
}

func TestNothingIsExpungedBecauseASearchWasLimited(t *testing.T) {
	// All of the first thousand marked messages are those to be deleted.
	var marks []imap.UID
	for i := range 1001 {
		marks = append(marks, imap.UID(1+i))
	}
	folder := aBigFolder{uids: marks, limit: 1000, head: true}
	s := folder.serve(t, "IMAP4rev1")
	c := at(t, s, "")
	err := c.Folder("INBOX").Delete(limited(t), marks[:1000])
	// The server never lets go of the mark, which is found out.
	if !errors.Is(err, imapkit.ErrNotSupported) {
		t.Errorf("error %v", err)
	}
	for _, cmd := range work(s) {
		if strings.HasPrefix(cmd, "EXPUNGE") {
			t.Errorf("sent %s", cmd)
		}
	}
	if list, _ := sets(s, "UID STORE"); len(list) == 0 || list[0] != "1001" {
		t.Errorf("STORE of %q, want the mark taken off UID 1001 first", list)
	}
}

func TestServersThatWorkOnAThousandMessagesGetNoMore(t *testing.T) {
	uids := sparse(2500)
	for _, tt := range []struct {
		name, host, caps string
		partial          int // commands that were not carried out in full
	}{
		{"Yahoo", "imap.mail.yahoo.com", "IMAP4rev1", 0},
		{"AOL", "imap.aol.com", "IMAP4rev1", 0},
		{"one that says so", "", "IMAP4rev1 MESSAGELIMIT=1000", 0},
		{"one that says so of copies", "", "IMAP4rev1 SAVELIMIT=1000", 0},
		{"one that does not say so", "", "IMAP4rev1", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := aBigFolder{uids: uids, limit: 1000}.serve(t, tt.caps)
			f := at(t, s, tt.host).Folder("INBOX")
			many := numbered(2500) // a short set
			if err := f.AddFlags(limited(t), many, imap.FlagSeen); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Copy(limited(t), many, "x"); err != nil {
				t.Fatal(err)
			}
			want := []string{"101:1100", "1101:2100", "2101:2600"}
			stores, _ := sets(s, "UID STORE")
			copies, _ := sets(s, "UID COPY")
			if !slices.Equal(stores[tt.partial:], want) || !slices.Equal(copies, want) {
				t.Errorf("STORE %q, COPY %q, want %q", stores, copies, want)
			}
		})
	}
}

// hollowServer answers as a server does that sends a message only in some ways.
func hollowServer(works string, empty string, size string) map[string]func(*scripted.Conn, scripted.Command) {
	header, body, _ := strings.Cut(scripted.Message(1), "\r\n\r\n")
	header += "\r\n\r\n"
	return map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			answer := `UID 101 FLAGS () INTERNALDATE "05-Jan-2026 10:00:00 +0000"`
			if strings.Contains(cmd.Args, "RFC822.SIZE") {
				answer += " RFC822.SIZE " + size
			}
			if strings.Contains(cmd.Args, "BODY.PEEK[]") {
				answer += empty
			}
			if strings.Contains(cmd.Args, "BODY.PEEK[HEADER] BODY.PEEK[TEXT]") {
				if works == "halves" {
					answer += fmt.Sprintf(" BODY[TEXT] {%d}\r\n%s BODY[HEADER] {%d}\r\n%s", len(body), body, len(header), header)
				} else {
					answer += ` BODY[HEADER] "" BODY[TEXT] NIL`
				}
			}
			if strings.Contains(cmd.Args, "RFC822.PEEK") {
				if works != "RFC822.PEEK" {
					c.Bad(cmd.Tag, "unknown item")
					return
				}
				answer += fmt.Sprintf(" RFC822 {%d}\r\n%s", len(scripted.Message(1)), scripted.Message(1))
			}
			c.Sendf("* 1 FETCH (%s)", answer)
			c.OK(cmd.Tag, "done")
		},
	}
}

// readings are the ways to read one message as a whole.
var readings = map[string]func(context.Context, *imapkit.Folder) (string, error){
	"Fetch": func(ctx context.Context, f *imapkit.Folder) (string, error) {
		m, err := f.Fetch(ctx, 101)
		if err != nil {
			return "", err
		}
		return string(m.Raw), nil
	},
	"FetchAll": func(ctx context.Context, f *imapkit.Folder) (string, error) {
		for m, err := range f.FetchAll(ctx, numbered(1)) {
			if err != nil {
				return "", err
			}
			return string(m.Raw), m.Info.Err
		}
		return "", imapkit.ErrNotFound
	},
	"Raw": func(ctx context.Context, f *imapkit.Folder) (string, error) {
		for m, err := range f.Raw(ctx, numbered(1)) {
			if err != nil {
				return "", err
			}
			raw, err := io.ReadAll(m.Body)
			return string(raw), err
		}
		return "", imapkit.ErrNotFound
	},
	"Open": func(ctx context.Context, f *imapkit.Folder) (string, error) {
		r, err := f.Open(ctx, 101)
		if err != nil {
			return "", err
		}
		raw, err := io.ReadAll(r)
		return string(raw), err
	},
}

func TestAMessageOfWhichNothingComesIsAskedForAnotherWay(t *testing.T) {
	const (
		whole  = "BODY.PEEK[]"
		halves = "BODY.PEEK[HEADER] BODY.PEEK[TEXT]"
		old    = "RFC822.PEEK"
	)
	for _, tt := range []struct {
		name, host, works, size string
		text                    string
		asked                   []string
		err                     error
	}{
		{"in halves", "", "halves", "300", scripted.Message(1), []string{whole, halves}, nil},
		{"as Outlook does", "", "RFC822.PEEK", "300", scripted.Message(1), []string{whole, halves, old}, nil},
		{"no way", "", "", "300", "", []string{whole, halves, old}, imapkit.ErrProtocol},
		{"no way at iCloud", "imap.mail.me.com", "", "300", "", []string{whole, halves}, imapkit.ErrProtocol},
	} {
		for verb, read := range readings {
			for _, empty := range []string{" BODY[] NIL", ` BODY[] ""`, " BODY[] {0}\r\n", ""} {
				t.Run(fmt.Sprintf("%s, %s,%s", tt.name, verb, strings.TrimSpace(empty)), func(t *testing.T) {
					s := scripted.Serve(t, scripted.Options{Exists: 1, Handle: hollowServer(tt.works, empty, tt.size)})
					f := at(t, s, tt.host).Folder("INBOX")
					text, err := read(limited(t), f)
					if text != tt.text || !errors.Is(err, tt.err) {
						t.Errorf("%q, %v, want %q, %v", text, err, tt.text, tt.err)
					}
					asked := work(s)
					if len(asked) != len(tt.asked) {
						t.Fatalf("commands %q, want %q", asked, tt.asked)
					}
					for i := range asked {
						if !strings.Contains(asked[i], tt.asked[i]) {
							t.Errorf("sent %q, want %q in it", asked[i], tt.asked[i])
						}
					}
					if _, err := f.Status(limited(t)); err != nil || s.Conns() != 1 {
						t.Errorf("afterwards: %v, %d connections", err, s.Conns())
					}
				})
			}
		}
	}
	for verb, read := range readings {
		t.Run("an empty message, "+verb, func(t *testing.T) {
			s := scripted.Serve(t, scripted.Options{Exists: 1, Handle: hollowServer("", " BODY[] NIL", "0")})
			if text, err := read(limited(t), at(t, s, "").Folder("INBOX")); text != "" || err != nil {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
}

func TestRFC822IsNeverAskedFor(t *testing.T) {
	// iCloud answers it with OK and without a message.
	s := scripted.Serve(t, scripted.Options{Exists: 1})
	f := at(t, s, "imap.mail.me.com").Folder("INBOX")
	for verb, read := range readings {
		if text, err := read(limited(t), f); err != nil || text != scripted.Message(1) {
			t.Errorf("%s: %q, %v", verb, text, err)
		}
	}
	if got := strings.ReplaceAll(s.Received(), "RFC822.SIZE", ""); strings.Contains(got, "RFC822") {
		t.Errorf("the server received:\n%s", got)
	}
}

func TestLISTSTATUSIsAskedForWhereItWorks(t *testing.T) {
	const (
		caps     = "IMAP4rev1 LIST-EXTENDED LIST-STATUS"
		murder   = "* OK [CAPABILITY " + caps + "] mail.example.org Cyrus IMAP Murder 2.5.11 server ready"
		together = `LIST "" "*" RETURN (CHILDREN SUBSCRIBED STATUS (MESSAGES UNSEEN UIDNEXT UIDVALIDITY))`
		single   = `STATUS "a" (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)`
	)
	simple := []string{`LIST "" "*" RETURN (CHILDREN SUBSCRIBED)`, single}
	for _, tt := range []struct {
		name, greeting, refusal string
		first, second           []string
	}{
		{"it does", "", "", []string{together}, []string{together}},
		{"it is refused", "", "BAD LIST failed. Illegal arguments.", append([]string{together}, simple...), simple},
		{"a Cyrus Murder", murder, "BAD it does not work", simple, simple},
		{"it is throttled", "", backoff(1), []string{together, together}, []string{together}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			times := 0
			s := scripted.Serve(t, scripted.Options{Caps: caps, Greeting: tt.greeting,
				Handle: map[string]func(*scripted.Conn, scripted.Command){
					"LIST": func(c *scripted.Conn, cmd scripted.Command) {
						figures := strings.Contains(cmd.Args, "STATUS")
						if figures {
							times++
						}
						if figures && tt.refusal != "" && (times == 1 || !strings.Contains(tt.refusal, "throttled")) {
							c.Send(cmd.Tag + " " + tt.refusal)
							return
						}
						c.Send(`* LIST () "/" a`)
						if figures {
							c.Send("* STATUS a (MESSAGES 3)")
						}
						c.OK(cmd.Tag, "done")
					},
					"STATUS": func(c *scripted.Conn, cmd scripted.Command) {
						c.Send("* STATUS a (MESSAGES 3)")
						c.OK(cmd.Tag, "done")
					},
				}})
			c := at(t, s, "")
			for range 2 {
				list, err := c.FoldersStatus(limited(t), "")
				if err != nil || len(list) != 1 || list[0].Status.Messages != 3 {
					t.Fatalf("%+v, %v", list, err)
				}
			}
			checkCommands(t, s, slices.Concat(tt.first, tt.second)...)
		})
	}
}
