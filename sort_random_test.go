package imapkit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/servertest"
	"github.com/imapkit/imapkit/internal/thread"
)

// randomLetter returns a message whose header is odd in ways that matter to
// sorting and threading.
func randomLetter(r *rand.Rand) string {
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	id := func() string { return fmt.Sprintf("<%d@x>", r.IntN(60)) }
	header := []string{
		pick("", "Subject: "+pick("hello", "Re: hello", "[list] Re: hello", "RE: [x] re[2]: hello", "hello (fwd)", "[fwd: hello]",
			"Fwd: other", "", "Re:", "[a] [b]", "re : hello", "=?utf-8?q?h=C3=A9llo?=", "fw: other (fwd) (fwd)",
			"re: [fwd: [y] other]", "  hello\tworld  ", "[unclosed hello", "re:re:re: x", "[x]re:", "[fwd:]")),
		pick("", "Date: rubbish", fmt.Sprintf("Date: %d Jan 2026 10:00 EST", 1+r.IntN(9)),
			fmt.Sprintf("Date: Mon, %02d Jan 2026 %02d:00:00 +0%d00", 1+r.IntN(9), r.IntN(24), r.IntN(9))),
		pick("", "From: "+pick("a@x", "B <b@y>", `"Zed, Q" <a@z>`, "group: c@x, d@x;", "=?utf-8?q?=C3=84nne?= <q@x>", "nobody")),
		pick("", "To: "+pick("z@x", "A <y@x>", "B@y, a@x"), "Cc: K <K@x>"),
		pick("", "Message-ID: "+id()),
		pick("", "References: "+id()+" "+id(), "References: "+id()+" junk "+id()),
		pick("", "In-Reply-To: "+id()),
	}
	var b strings.Builder
	for _, field := range header {
		if field != "" {
			b.WriteString(field + "\r\n")
		}
	}
	return b.String() + "X: y\r\n\r\n" + strings.Repeat("x", r.IntN(20)) + "\r\n"
}

func TestSortAndThreadsHereAreAsByTheServerInRandomMailboxes(t *testing.T) {
	server := servertest.Dovecot(t)
	c := &Client{Host: server.Host, Port: server.Port, Username: server.Username, Password: server.Password, Security: SecurityNone}
	defer c.Close()
	ctx := context.Background()
	for seed := range uint64(5) {
		random := rand.New(rand.NewPCG(seed, 1))
		name := fmt.Sprint("random", seed)
		if err := c.CreateFolder(ctx, name); err != nil {
			t.Fatal(err)
		}
		f := c.Folder(name)
		for range 60 {
			text := randomLetter(random)
			opts := AppendOptions{InternalDate: time.Date(2026, 1, 1+random.IntN(9), 1, 0, 0, 0, time.UTC)}
			if _, err := f.Append(ctx, strings.NewReader(text), int64(len(text)), opts); err != nil {
				t.Fatal(err)
			}
		}
		for key := SortArrival; key <= SortDisplayTo; key++ {
			by, err := f.Sort(ctx, All(), key)
			if err != nil {
				t.Fatal(err)
			}
			here, err := f.sortHere(ctx, All(), []SortKey{key}, sortKeys[key].items)
			if err != nil {
				t.Fatal(err)
			}
			equalUIDs(t, name+" by "+sortKeys[key].name, here, by)
		}
		by, err := f.Threads(ctx, All(), imap.ThreadReferences)
		if err != nil {
			t.Fatal(err)
		}
		here, err := f.threadsHere(ctx, All(), thread.References)
		if err != nil {
			t.Fatal(err)
		}
		if writeThreads(by) != writeThreads(here) {
			t.Errorf("%s: by the server %s, here %s", name, writeThreads(by), writeThreads(here))
		}
	}
}
