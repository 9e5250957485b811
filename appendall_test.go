package imapkit_test

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/imapkittest"
	"github.com/imapkit/imapkit/internal/scripted"
)

func texts(list ...string) iter.Seq[imapkit.NewMessage] {
	return func(yield func(imapkit.NewMessage) bool) {
		for _, text := range list {
			if !yield(imapkit.NewMessage{Body: strings.NewReader(text), Size: int64(len(text))}) {
				return
			}
		}
	}
}

// outcomes writes down what a loop reports: a UID, or what kind of error.
func outcomes(seq iter.Seq2[imap.UID, error]) []string {
	var list []string
	for uid, err := range seq {
		var refused *imapkit.ServerError
		switch {
		case err == nil:
			list = append(list, fmt.Sprint(uid))
		case errors.Is(err, imapkit.ErrUnknownOutcome):
			list = append(list, "unknown")
		case errors.As(err, &refused):
			list = append(list, refused.Code)
		default:
			list = append(list, "error")
		}
	}
	return list
}

func TestAppendAllReportsMessageByMessage(t *testing.T) {
	tests := []struct {
		name    string
		answers []string
		want    []string
		search  string
	}{
		{"all taken", []string{"OK [APPENDUID 7 1] ok", "OK ok", "OK [APPENDUID 7 3] ok"}, []string{"1", "0", "3"}, ""},
		{"one refused", []string{"OK [APPENDUID 7 1] ok", "NO [TOOBIG] no", "OK [APPENDUID 7 2] ok"},
			[]string{"1", "TOOBIG", "2"}, ""},
		{"cut", []string{"OK [APPENDUID 7 1] ok", "cut"}, []string{"1", "unknown", "unknown"}, "* SEARCH"},
		{"cut, all there", []string{"OK [APPENDUID 7 1] ok", "cut"}, []string{"1", "5", "unknown"}, "* SEARCH 5"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			scripted.LeakCheck(t)
			s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 LITERAL+", Handle: answers(map[string][]string{
				"APPEND": tt.answers, "UID SEARCH": {tt.search + "\nOK done"},
				"SELECT": {"* OK [UIDVALIDITY 7] ok\n* OK [UIDNEXT 9] ok\nOK done"}})})
			c := inClear(s)
			defer c.Close()
			got := outcomes(c.Folder("INBOX").AppendAll(limited(t), texts(letter, letter, letter)))
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAppendAllSendsAheadWithinBounds(t *testing.T) {
	const count = 100
	ahead := 0
	s := scripted.New(t, func(c *scripted.Conn) {
		c.AcceptLogin("IMAP4rev1 LITERAL+")
		var tags []string
		for range 32 { // all of these before the first answer
			tag, _ := c.Expect("APPEND")
			tags = append(tags, tag)
		}
		ahead = len(tags)
		for _, tag := range tags {
			c.OK(tag, "done")
		}
		for range count - len(tags) {
			tag, _ := c.Expect("APPEND")
			c.OK(tag, "done")
		}
	})
	c := inClear(s)
	defer c.Close()
	list := slices.Repeat([]string{letter}, count)
	if got := outcomes(c.Folder("INBOX").AppendAll(limited(t), texts(list...))); len(got) != count {
		t.Errorf("%d reports, want %d", len(got), count)
	}
	if ahead != 32 {
		t.Errorf("%d were sent ahead", ahead)
	}
}

func TestAppendAllGoesOnAfterWhatCannotBeSent(t *testing.T) {
	server, err := imapkittest.NewServer(imapkittest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	c := server.Client()
	defer c.Close()
	size := int64(len(letter))
	messages := []imapkit.NewMessage{
		{Body: strings.NewReader(""), Size: -1},
		{Body: strings.NewReader(letter), Size: size},
		{Body: io.MultiReader(strings.NewReader("x"), iotest.ErrReader(errors.New("broken"))), Size: 50},
		{Body: strings.NewReader(letter[1:]), Size: size},
		{Body: strings.NewReader(letter + "x"), Size: size},
		{Body: strings.NewReader(letter), Size: size},
	}
	f := c.Folder("Archive/2024")
	before, err := f.Status(limited(t))
	if err != nil {
		t.Fatal(err)
	}
	got := outcomes(f.AppendAll(limited(t), slices.Values(messages)))
	first, second := fmt.Sprint(before.UIDNext), fmt.Sprint(before.UIDNext+1)
	if want := []string{"error", first, "error", "error", "error", second}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	after, err := f.Status(limited(t))
	if added := after.Messages - before.Messages; err != nil || added != 2 {
		t.Errorf("%d messages were added, %v", added, err)
	}
}

func TestAppendAllEndsAfterALongMessageWithABadReader(t *testing.T) {
	server, err := imapkittest.NewServer(imapkittest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	c := server.Client()
	defer c.Close()
	long := strings.Repeat("x", 300_000)
	messages := []imapkit.NewMessage{
		{Body: strings.NewReader(letter), Size: int64(len(letter))},
		{Body: io.MultiReader(strings.NewReader(long), iotest.ErrReader(errors.New("broken"))), Size: 300_001},
		{Body: strings.NewReader(letter), Size: int64(len(letter))},
	}
	f := c.Folder("Archive/2024")
	before, err := f.Status(limited(t))
	if err != nil {
		t.Fatal(err)
	}
	got := outcomes(f.AppendAll(limited(t), slices.Values(messages)))
	if len(got) != 2 || got[1] != "error" {
		t.Errorf("got %q", got)
	}
	after, err := f.Status(limited(t))
	if added := after.Messages - before.Messages; err != nil || added > 1 || got[0] != "unknown" && added != 1 {
		t.Errorf("%d messages were added, %v; reports %q", added, err, got)
	}
}

func TestBreakingOutOfAppendAllLeavesTheClientUsable(t *testing.T) {
	scripted.LeakCheck(t)
	s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 LITERAL+"})
	c := inClear(s)
	defer c.Close()
	for range c.Folder("INBOX").AppendAll(limited(t), texts(slices.Repeat([]string{letter}, 90)...)) {
		break
	}
	if err := c.Subscribe(limited(t), "x"); err != nil || s.Conns() != 1 {
		t.Errorf("afterwards: %v, %d connections", err, s.Conns())
	}
}
