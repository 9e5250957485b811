package wire

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/emersion/go-imap/v2"
)

// readAll returns what a reader makes of the responses and the end. With ahead it
// takes in what NextFlags does.
func readAll(r io.Reader, ahead bool) (all []string) {
	c := NewConn(spoken{r: r}, smallLimits, &Names{}, nil)
	c.Begin(context.Background(), 0, false)
	defer c.End()
	f := c.NewFetchReader()
	err := f.Add(c.Command("UID FETCH").Raw("1:* (X)"))
	add := func(m *Fetched) {
		s := fmt.Sprintf("%d: has %b, bad %b %v, %d sections", m.Seq, m.Items, m.Bad, m.Err, len(m.Sections))
		if m.Items&ItemUID != 0 {
			s += fmt.Sprintf(", UID %d", m.UID)
		}
		if m.Items&ItemFlags != 0 {
			s += fmt.Sprintf(", flags %q", m.Flags)
		}
		all = append(all, s)
	}
	for err == nil {
		for uid := imap.UID(1); ahead && uid < 64; uid++ {
			seq, flags, ok := f.NextFlags(uid)
			if ok {
				add(&Fetched{Seq: seq, UID: uid, Flags: flags, Items: ItemUID | ItemFlags})
				uid = 0
			}
		}
		var m *Fetched
		if m, err = f.Next(); err == nil {
			add(m)
		}
	}
	return append(all, err.Error())
}

// What has arrived as a whole is read in another way than what arrives in
// pieces; both must come to the same.
func FuzzFlagsWholeAndInPieces(f *testing.F) {
	for _, text := range []string{
		"* 23 FETCH (UID 42 FLAGS (\\Seen \\Answered))\r\n* 24 FETCH (FLAGS (\\Seen) UID 43)\r\n* 25 FETCH (UID 44 FLAGS ())\r\n",
		"* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n* 2 FETCH (UID 2 FLAGS (\\Seen)) \r\n* 3 FETCH (UID 3 FLAGS (\\Seen) MODSEQ (5))\r\n",
		"* 1 FETCH (UID 0 FLAGS (\\Seen))\r\n* 2 FETCH (UID 99999999999 FLAGS (a))\r\n* 3 FETCH (UID 3 UID 4 FLAGS (a))\r\n",
		"* 1 FETCH (UID 5 FLAGS (a) FLAGS (b))\r\n* 2 FETCH (FLAGS (\"q q\" x))\r\n* 4294967296 FETCH (UID 5 FLAGS (a))\r\n",
		"* 1 FETCH (UID 5 FLAGS (a {3}\r\nb c))\r\n* 2 FETCH (UID 6 FLAGS (a\r\n* 3 FETCH (UID 7 FLAGS (a))\n",
		"* 1 FETCH (UID 5 FLAGS NIL)\r\n* 2 FETCH (UID \"6\" FLAGS ((a)))\r\n* 0 FETCH (UID 7 FLAGS (a))\r\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text += "k1 OK done and something behind it\r\n"
		pieces := readAll(iotest.OneByteReader(strings.NewReader(text)), false)
		for _, ahead := range []bool{false, true} {
			if whole := readAll(strings.NewReader(text), ahead); fmt.Sprint(whole) != fmt.Sprint(pieces) {
				t.Errorf("as a whole %q\nin pieces  %q", whole, pieces)
			}
		}
	})
}
