package wire

import (
	"math"

	"github.com/emersion/go-imap/v2"
)

// NextFlags reads the next response if it has arrived, holds the flags of the
// message with this UID, and nothing else.
func (r *FetchReader) NextFlags(uid imap.UID) (seq uint32, flags []imap.Flag, ok bool) {
	if r.open || r.Pending() == 0 || !r.flagsOnly(uid) {
		return 0, nil, false
	}
	return r.msg.Seq, r.msg.Flags, true
}

// flagsOnly reads the next response if it is of the shape that comes a hundred
// thousand times when a program looks for changed flags, and has arrived as a
// whole: "* 23 FETCH (UID 42 FLAGS (\Seen))". The general way takes twice as
// long. Whatever is not exactly so is left for it, and if want is not 0 what is
// of another message.
func (r *FetchReader) flagsOnly(want imap.UID) bool {
	c := r.c
	b := c.buf[c.r:c.w]
	seq, i := fetchHead(b)
	if i == 0 || c.nresp >= c.lim.Responses {
		return false
	}
	var uid uint64
	p := Parser{b: b[i:]}
	flags, ok := []imap.Flag(nil), false
	for {
		switch {
		case uid == 0 && startsWith(p.b, "UID "):
			p.b = p.b[len("UID "):]
			if uid, ok = p.number(); !ok || uid == 0 || uid > math.MaxUint32 || want != 0 && imap.UID(uid) != want {
				return false
			}
		case flags == nil && startsWith(p.b, "FLAGS ("):
			p.b = p.b[len("FLAGS "):]
			if flags, ok = r.flags.read(&p); !ok {
				return false
			}
		default:
			return false
		}
		if len(p.b) > 0 && p.b[0] == ' ' {
			p.b = p.b[1:]
			continue
		}
		break
	}
	if uid == 0 || flags == nil || !startsWith(p.b, ")\r\n") || int64(len(b)-len(p.b)) > c.lim.Line {
		return false
	}
	c.r = c.w - len(p.b) + len(")\r\n")
	c.nresp++
	c.answers++
	m := &r.msg
	m.reset()
	m.Seq, m.UID, m.Flags, m.Items = seq, imap.UID(uid), flags, ItemUID|ItemFlags
	c.Knows(m.UID)
	return true
}

func startsWith(b []byte, s string) bool { return len(b) >= len(s) && string(b[:len(s)]) == s }
