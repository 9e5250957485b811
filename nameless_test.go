package imapkit

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/scripted"
)

func TestWhatComesWithoutAUIDBelongsToTheMessageWithItsNumber(t *testing.T) {
	for name, answer := range map[string]string{
		"flags before": "* 1 FETCH (FLAGS (\\Seen))\r\n* 1 FETCH (UID 101 RFC822.SIZE 5)\r\n",
		"flags behind": "* 1 FETCH (UID 101 RFC822.SIZE 5)\r\n* 1 FETCH (FLAGS (\\Seen))\r\n",
		"size before":  "* 1 FETCH (RFC822.SIZE 5)\r\n* 1 FETCH (UID 101 FLAGS (\\Seen))\r\n",
		"UID by itself": "* 1 FETCH (UID 101)\r\n* 1 FETCH (FLAGS (\\Seen))\r\n* 1 FETCH (RFC822.SIZE 5)\r\n" +
			"* 2 FETCH (RFC822.SIZE 6)\r\n* 2 FETCH (FLAGS ())\r\n* 2 FETCH (UID 102)\r\n",
		"one kind after the other": "* 1 FETCH (FLAGS (\\Seen))\r\n* 2 FETCH (FLAGS ())\r\n* 1 FETCH (UID 101)\r\n* 2 FETCH (UID 102)\r\n" +
			"* 1 FETCH (RFC822.SIZE 5)\r\n* 2 FETCH (RFC822.SIZE 6)\r\n",
		"news in between": "* 1 FETCH (FLAGS (\\Seen))\r\n* 3 EXISTS\r\n* 2 FETCH (FLAGS ())\r\n* 9 FETCH (FLAGS (\\Draft))\r\n" +
			"* 1 FETCH (UID 101 RFC822.SIZE 5)\r\n",
		"a removal before": "* 1 EXPUNGE\r\n* 1 FETCH (FLAGS (\\Seen))\r\n* 1 FETCH (UID 101 RFC822.SIZE 5)\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			uids := []imap.UID{101}
			if strings.Contains(answer, "102") {
				uids = append(uids, 102)
			}
			s, f := readFrom(t, scripted.Options{Exists: 2, Handle: fetchAnswers(answer)})
			got := list(t, f, UIDs(uids...), ItemFlags, ItemSize)
			equalUIDs(t, "Messages", uidsOf(got), uids)
			for i, m := range got {
				flags := [][]imap.Flag{{imap.FlagSeen}, {}}[i]
				if m.Err != nil || m.Size != int64(5+i) || !slices.Equal(m.Flags, flags) {
					t.Errorf("UID %d: size %d, flags %v, error %v", m.UID, m.Size, m.Flags, m.Err)
				}
			}
			usable(t, s, f, 1)
		})
	}
}

func TestANumberFromBeforeARemovalNamesNoMessage(t *testing.T) {
	for name, answer := range map[string]string{
		"flags before": "* 1 FETCH (FLAGS (\\Seen))\r\n* 1 EXPUNGE\r\n* 1 FETCH (UID 102 RFC822.SIZE 5)\r\n",
		"flags behind": "* 1 FETCH (UID 102 RFC822.SIZE 5)\r\n* 1 EXPUNGE\r\n* 1 FETCH (FLAGS (\\Seen))\r\n",
		"vanished":     "* 1 FETCH (FLAGS (\\Seen))\r\n* VANISHED 101\r\n* 1 FETCH (UID 102 RFC822.SIZE 5)\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, f := readFrom(t, scripted.Options{Exists: 2, Handle: fetchAnswers(answer)})
			got := list(t, f, UIDs(102), ItemFlags, ItemSize)
			if len(got) != 1 || len(got[0].Flags) != 0 || !errors.Is(got[0].Err, ErrProtocol) {
				t.Errorf("got %+v, want one message without flags", got)
			}
			m, err := f.Fetch(context.Background(), 102)
			if err == nil && len(m.Info.Flags) != 0 {
				t.Errorf("Fetch: flags %v", m.Info.Flags)
			}
		})
	}
}

func TestFlagsThatAMessageHasAreNotReplacedByOlderOnes(t *testing.T) {
	_, f := readFrom(t, scripted.Options{Exists: 1, Handle: fetchAnswers(
		"* 1 FETCH (FLAGS (\\Seen))\r\n* 1 FETCH (UID 101 FLAGS (\\Seen \\Deleted))\r\n* 2 FETCH (FLAGS ())\r\n* 1 FETCH (RFC822.SIZE 5)\r\n")})
	got := list(t, f, UIDs(101), ItemFlags, ItemSize)
	if len(got) != 1 || len(got[0].Flags) != 2 || got[0].Size != 5 || got[0].Err != nil {
		t.Errorf("got %+v", got)
	}
}

func TestSingleMessageInSeveralResponsesOfWhichOneHasTheUID(t *testing.T) {
	body := literal("Subject: x\r\n\r\nhello\r\n")
	rest := " INTERNALDATE \"05-Jan-2026 10:00:00 +0000\" RFC822.SIZE 21"
	for name, answer := range map[string]string{
		"flags before": "* 1 FETCH (FLAGS (\\Seen))\r\n* 1 FETCH (UID 101" + rest + " BODY[] " + body + ")\r\n",
		"flags behind": "* 1 FETCH (UID 101" + rest + " BODY[] " + body + ")\r\n* 1 FETCH (FLAGS (\\Seen))\r\n",
		"body behind":  "* 1 FETCH (UID 101" + rest + " FLAGS (\\Seen))\r\n* 1 FETCH (BODY[] " + body + ")\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s, f := readFrom(t, scripted.Options{Exists: 1, Handle: fetchAnswers(answer)})
			m, err := f.Fetch(context.Background(), 101)
			if err != nil {
				t.Fatal(err)
			}
			if m.Info.Err != nil || !slices.Equal(m.Info.Flags, []imap.Flag{imap.FlagSeen}) || m.Text != "hello\n" {
				t.Errorf("text %q, %+v", m.Text, m.Info)
			}
			for m, err := range f.FetchAll(context.Background(), []imap.UID{101}) {
				if err != nil || m.Info.Err != nil || len(m.Info.Flags) != 1 || m.Text != "hello\n" {
					t.Errorf("FetchAll: %v, %v", m, err)
				}
			}
			r, err := f.Open(context.Background(), 101)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(r); err != nil || len(b) != 21 {
				t.Errorf("Open: %q, %v", b, err)
			}
			n := 0
			for m, err := range f.Raw(context.Background(), []imap.UID{101}) {
				if n++; err != nil || m.UID != 101 || m.Size != 21 {
					t.Errorf("Raw: %+v, %v", m, err)
				}
			}
			if n != 1 {
				t.Errorf("Raw: %d messages", n)
			}
			usable(t, s, f, 1)
		})
	}
}
