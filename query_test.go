package imapkit

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/scripted"
)

func TestQueryIsSentAs(t *testing.T) {
	afternoon := time.Date(2024, 2, 29, 15, 4, 5, 0, time.FixedZone("", 3600))
	for _, tc := range []struct {
		name  string
		query Query
		want  string
	}{
		{"zero value", Query{}, `ALL`},
		{"All", All(), `ALL`},
		{"Seen", Seen(), `SEEN`},
		{"Unseen", Unseen(), `UNSEEN`},
		{"HasFlag of none", HasFlag(), `ALL`},
		{"HasFlag of system flags in any case", HasFlag(`\FLAGGED`, imap.FlagAnswered, imap.FlagDraft, imap.FlagDeleted, `\Recent`),
			`FLAGGED ANSWERED DRAFT DELETED RECENT`},
		{"HasFlag of a keyword", HasFlag("$Forwarded"), `KEYWORD $Forwarded`},
		{"NoFlag", NoFlag(imap.FlagSeen, "work"), `UNSEEN UNKEYWORD work`},
		{"From", From("ann"), `FROM "ann"`},
		{"To", To("ann"), `TO "ann"`},
		{"Cc", Cc("ann"), `CC "ann"`},
		{"Bcc", Bcc("ann"), `BCC "ann"`},
		{"Subject", Subject("a b"), `SUBJECT "a b"`},
		{"Body", Body("x"), `BODY "x"`},
		{"Text", Text("x"), `TEXT "x"`},
		{"empty string", Subject(""), `SUBJECT ""`},
		{"quote and backslash", Subject(`say "C:\"`), `SUBJECT "say \"C:\\\""`},
		{"what looks like a key", Subject(`x" DELETED (`), `SUBJECT "x\" DELETED ("`},
		{"what looks like a literal", Subject(`{3}`), `SUBJECT "{3}"`},
		{"atom specials", Subject("%*]()"), `SUBJECT "%*]()"`},
		{"line break", Subject("x\r\na2 LOGOUT"), "SUBJECT {12}\r\nx\r\na2 LOGOUT"},
		{"line feed", Subject("x\ny"), "SUBJECT {3}\r\nx\ny"},
		{"TAB", Subject("x\ty"), "SUBJECT \"x\ty\""},
		{"very long", Subject(strings.Repeat("x", 1001)), "SUBJECT {1001}\r\n" + strings.Repeat("x", 1001)},
		{"Header", Header("List-Id", "go"), `HEADER "List-Id" "go"`},
		{"Header present", Header("X-Spam", ""), `HEADER "X-Spam" ""`},
		{"Header with an odd name", Header("X(1)", "y"), `HEADER "X(1)" "y"`},
		{"SentSince", SentSince(afternoon), `SENTSINCE 29-Feb-2024`},
		{"SentBefore", SentBefore(afternoon), `SENTBEFORE 29-Feb-2024`},
		{"SentOn a day of one digit", SentOn(time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)), `SENTON 1-Mar-2024`},
		{"Larger", Larger(1 << 33), `LARGER 8589934592`},
		{"Smaller", Smaller(0), `SMALLER 0`},
		{"Younger", Younger(90 * time.Second), `YOUNGER 90`},
		{"Older", Older(time.Hour), `NOT YOUNGER 3600`},
		{"ModSeq", ModSeq(18446744073709551615), `MODSEQ 18446744073709551615`},
		{"EmailID", EmailID("M6d99ac"), `EMAILID M6d99ac`},
		{"ThreadID", ThreadID("T1"), `THREADID T1`},
		{"GmailRaw", GmailRaw("has:attachment"), `X-GM-RAW "has:attachment"`},
		{"RawKey", RawKey(`OLDER 5 (FUZZY "a)b")`), `OLDER 5 (FUZZY "a)b")`},
		{"UIDs", UIDs(7, 3, 4, 5, 3, 4294967295), `UID 3:5,7,4294967295`},
		{"UIDRange", UIDRange(7, 9), `UID 7:9`},
		{"UIDRange of one", UIDRange(7, 7), `UID 7:7`},
		{"UIDRange to the end", UIDRange(7, 0), `UID 7:* NOT UID 1:6`},
		{"UIDRange of all", UIDRange(1, 0), `UID 1:*`},
		{"Not UIDRange", Not(UIDRange(7, 0)), `NOT (UID 7:* NOT UID 1:6)`},
		{"And of none", And(), `ALL`},
		{"And of one", And(Seen()), `SEEN`},
		{"And", And(Seen(), From("a"), All()), `SEEN FROM "a"`},
		{"And in And", And(And(Seen(), Larger(1)), Smaller(2)), `SEEN LARGER 1 SMALLER 2`},
		{"Or of one", Or(Seen()), `SEEN`},
		{"Or", Or(Seen(), From("a")), `OR SEEN FROM "a"`},
		{"Or of three", Or(Seen(), From("a"), From("b")), `OR SEEN OR FROM "a" FROM "b"`},
		{"Or of four is balanced", Or(From("a"), From("b"), From("c"), From("d")), `OR OR FROM "a" FROM "b" OR FROM "c" FROM "d"`},
		{"And in Or", Or(And(Seen(), From("a")), From("b")), `OR (SEEN FROM "a") FROM "b"`},
		{"Or in And", And(Or(Seen(), From("a")), From("b")), `OR SEEN FROM "a" FROM "b"`},
		{"Or with everything", Or(Seen(), All()), `ALL`},
		{"Or with nothing", Or(Seen(), UIDs()), `SEEN`},
		{"Not", Not(From("a")), `NOT FROM "a"`},
		{"Not of And", Not(And(Seen(), From("a"))), `NOT (SEEN FROM "a")`},
		{"Not of Or", Not(Or(Seen(), From("a"))), `NOT OR SEEN FROM "a"`},
		{"Not of Not", Not(Not(From("a"))), `FROM "a"`},
		{"Not of Not of Not", Not(Not(Not(From("a")))), `NOT FROM "a"`},
		{"Not of nothing", Not(UIDs()), `ALL`},
		{"And in Not in Or", Or(Not(And(Seen(), Larger(1))), Not(Or(From("a"), From("b")))),
			`OR NOT (SEEN LARGER 1) NOT OR FROM "a" FROM "b"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, f := readFrom(t, scripted.Options{Caps: "IMAP4rev1 WITHIN CONDSTORE OBJECTID X-GM-EXT-1", Exists: 2})
			if _, err := f.Search(context.Background(), tc.query); err != nil {
				t.Fatal(err)
			}
			if got := commandsLike(s, "UID SEARCH"); len(got) != 1 || got[0] != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestQueryThatMatchesNothingIsNotSent(t *testing.T) {
	for name, q := range map[string]Query{
		"UIDs of none":      UIDs(),
		"Or of none":        Or(),
		"Not of everything": Not(All()),
		"And with nothing":  And(Seen(), UIDs()),
	} {
		t.Run(name, func(t *testing.T) {
			s, f := readFrom(t, scripted.Options{Exists: 2})
			uids, err := f.Search(context.Background(), q)
			if err != nil || len(uids) != 0 {
				t.Errorf("got %v, %v", uids, err)
			}
			if n, err := f.Count(context.Background(), q); n != 0 || err != nil {
				t.Errorf("Count: got %d, %v", n, err)
			}
			for range f.Messages(context.Background(), q) {
				t.Error("a message came")
			}
			if sent := commandsLike(s, "UID SEARCH"); len(sent) > 0 {
				t.Errorf("sent %q", sent)
			}
		})
	}
}

func TestQueryThatCannotBeSentIsRefusedBeforeAnythingIs(t *testing.T) {
	for name, q := range map[string]Query{
		"UID 0":                    UIDs(1, 0),
		"negative size":            Larger(-1),
		"range of UIDs from 0":     UIDRange(0, 9),
		"range of UIDs backwards":  UIDRange(9, 7),
		"negative size, smaller":   Smaller(-1),
		"negative age":             Younger(-time.Second),
		"year 10000":               Since(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)),
		"year 0":                   Before(time.Time{}.AddDate(-1, 0, 0)),
		"sent in the year 10000":   SentOn(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)),
		"flag with a blank":        HasFlag("a b"),
		"flag with a line break":   NoFlag("a\r\nb"),
		"empty flag":               HasFlag(""),
		"8-bit flag":               HasFlag("käse"),
		"header without a name":    Header("", "x"),
		"header with a colon":      Header("a:b", "x"),
		"header with line break":   Header("a\r\nb", "x"),
		"8-bit header name":        Header("ä", "x"),
		"id with a blank":          EmailID("a b"),
		"empty id":                 ThreadID(""),
		"raw key with line break":  RawKey("SEEN\r\na LOGOUT"),
		"raw key with a literal":   RawKey("SUBJECT {3}"),
		"raw key with parenthesis": RawKey("SEEN)"),
		"raw key with open quote":  RawKey(`SUBJECT "a`),
		"empty raw key":            RawKey(" "),
		"deep inside":              And(Seen(), Not(Or(From("a"), HasFlag("a b")))),
	} {
		t.Run(name, func(t *testing.T) {
			s, f := readFrom(t, scripted.Options{Exists: 2})
			ctx := context.Background()
			if _, err := f.Search(ctx, q); err == nil {
				t.Error("Search: no error")
			}
			if _, err := f.Count(ctx, q); err == nil {
				t.Error("Count: no error")
			}
			for _, err := range f.Messages(ctx, q) {
				if err == nil {
					t.Error("Messages: no error")
				}
			}
			if s.Conns() != 0 {
				t.Error("the server was called")
			}
		})
	}
}

func TestQueryWithNULSendsNothing(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Exists: 2})
	for range 2 {
		if _, err := f.Search(context.Background(), Subject("a\x00b")); err == nil {
			t.Error("no error")
		}
	}
	if sent := s.Received(); strings.Contains(sent, "SEARCH") || strings.Contains(sent, "\x00") {
		t.Errorf("sent %q", sent)
	}
	usable(t, s, f, 1)
}

func TestQueryNeedsItsExtension(t *testing.T) {
	for capability, q := range map[string]Query{
		"CONDSTORE": ModSeq(1), "OBJECTID": Or(Seen(), EmailID("M1")), "X-GM-EXT-1": Not(GmailRaw("x")),
	} {
		t.Run(capability, func(t *testing.T) {
			s, f := readFrom(t, scripted.Options{Exists: 2})
			_, err := f.Search(context.Background(), q)
			if !errors.Is(err, ErrNotSupported) || !strings.Contains(err.Error(), capability) {
				t.Errorf("error %v", err)
			}
			usable(t, s, f, 1)
		})
	}
}

func TestQueryIsImmutable(t *testing.T) {
	uids := []imap.UID{5, 6}
	subs := []Query{Seen(), UIDs(uids...)}
	q := And(subs...)
	uids[0], subs[0] = 9, UIDs()
	s, f := readFrom(t, scripted.Options{Exists: 2})
	if _, err := f.Search(context.Background(), q); err != nil {
		t.Fatal(err)
	}
	if got := commandsLike(s, "UID SEARCH")[0]; got != "SEEN UID 5:6" {
		t.Errorf("got %q", got)
	}
}
