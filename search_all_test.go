package imapkit

import (
	"math"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/wire"
)

// FuzzWhatASearchLeavesOut makes sure that asking for the rest comes to an end:
// whatever a server says, what is still to be asked for gets less.
func FuzzWhatASearchLeavesOut(f *testing.F) {
	f.Add("MESSAGELIMIT 1000 23221", uint32(1), uint32(0), uint32(5))
	f.Add("messagelimit 1000 1", uint32(1), uint32(100), uint32(5))
	f.Add("MESSAGELIMIT 1000", uint32(1), uint32(0), uint32(0))
	f.Add("MESSAGELIMIT 1000 4294967296", uint32(7), uint32(9), uint32(8))
	f.Add("", uint32(1), uint32(math.MaxUint32), uint32(math.MaxUint32))
	f.Fuzz(func(t *testing.T, code string, first, last, found uint32) {
		if first == 0 || last != 0 && last < first {
			return
		}
		r := span{imap.UID(first), imap.UID(last)}
		a := &answer{cmd: new(wire.Command), told: wire.Status{Code: code}}
		var uids []imap.UID
		if r.has(imap.UID(found)) {
			uids = []imap.UID{imap.UID(found)}
		}
		rest, err := a.leftOut(r, uids)
		if err != nil && rest != nil {
			t.Fatal("an error and a rest")
		}
		for _, part := range rest {
			below := part.first == r.first && part.last != 0 && (r.last == 0 || part.last < r.last)
			above := part.first > r.first && part.last == r.last
			if !below && !above || part.last != 0 && part.last < part.first {
				t.Errorf("%q leaves %v of %v", code, part, r)
			}
		}
	})
}

// FuzzBackoff makes sure that no refusal makes anybody wait for ever.
func FuzzBackoff(f *testing.F) {
	f.Add("Request is throttled. Suggested Backoff Time: 299961 milliseconds")
	f.Add("backoff time: 99999999999999999999")
	f.Add("Account exceeded command or bandwidth limits. (Failure)")
	f.Add("LOGIN Rate limit hit.")
	f.Fuzz(func(t *testing.T, text string) {
		wait, throttled := backoff(&ServerError{Command: "NOOP", Status: "NO", Text: text})
		if wait < 0 || wait.Hours() > 24*12 || wait > 0 && !throttled {
			t.Errorf("%q: %v, %v", text, wait, throttled)
		}
	})
}
