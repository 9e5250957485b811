package imapkit

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// flagsOf returns a folder with n messages, of which the answers are already
// there when they are asked for.
func flagsOf(t *testing.T, n int) *Folder {
	c := &Client{Host: "memory", Username: "u", Password: "p", Security: SecurityNone,
		Proxy: newMemoryServer(n, func(i int) string {
			if i%100 == 0 { // in another form, which is read in another way
				return fmt.Sprintf("* %d FETCH (MODSEQ (7) FLAGS (\\Seen k%d) UID %d)\r\n", i, i, i)
			}
			return fmt.Sprintf("* %d FETCH (UID %d FLAGS (\\Seen))\r\n", i, i)
		})}
	t.Cleanup(func() { c.Close() })
	return c.Folder("INBOX")
}

func TestMessagesThatALoopDoesNotKeepTakeNoMemory(t *testing.T) {
	const messages = 20_000
	f := flagsOf(t, messages)
	pass := func() (n int) {
		for m, err := range f.Messages(context.Background(), All(), ItemFlags) {
			if err != nil {
				t.Fatal(err)
			}
			n += len(m.Flags)
		}
		return n
	}
	pass() // connects
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	flags := pass()
	runtime.ReadMemStats(&after)
	// A flag takes 16 bytes, a UID 4, and a MessageInfo would take 112.
	if each := (after.TotalAlloc - before.TotalAlloc) / messages; each > 64 || flags != messages+messages/100 {
		t.Errorf("%d bytes for each message, %d flags", each, flags)
	}
}

func TestMessagesThatALoopKeepsStayAsTheyAre(t *testing.T) {
	const messages = 3000
	f := flagsOf(t, messages)
	var kept []*MessageInfo
	for m, err := range f.Messages(context.Background(), All(), ItemFlags) {
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, m)
		m.Flags = append(m.Flags, "mine")
	}
	if len(kept) != messages {
		t.Fatalf("%d messages, want %d", len(kept), messages)
	}
	for i, m := range kept {
		want := []imap.Flag{imap.FlagSeen, "mine"}
		if n := i + 1; n%100 == 0 {
			want = []imap.Flag{imap.FlagSeen, imap.Flag(fmt.Sprint("k", n)), "mine"}
		}
		if m.UID != imap.UID(i+1) || m.SeqNum != uint32(i+1) || fmt.Sprint(m.Flags) != fmt.Sprint(want) {
			t.Errorf("message %d: UID %d, number %d, flags %q", i+1, m.UID, m.SeqNum, m.Flags)
		}
	}
}

func TestAContextThatEndsEndsALoopWhoseMessagesHaveArrived(t *testing.T) {
	f := flagsOf(t, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n := 0
	var last error
	for _, err := range f.Messages(ctx, All(), ItemFlags) {
		if last = err; err == nil {
			if n++; n == 10 {
				cancel()
			}
		}
	}
	if n != 10 || last != context.Canceled {
		t.Errorf("%d messages, then %v", n, last)
	}
}
