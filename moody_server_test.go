package imapkit_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/scripted"
)

// A moody server tells nothing but the truth about its messages, but not always
// all of it, nor when and how it was asked to: it leaves out, refuses, splits,
// repeats, reorders and volunteers, removes and receives mail, puts off and
// hangs up, as the seed has it.
type moody struct {
	mu       sync.Mutex
	rng      *rand.Rand
	calm     bool
	messages []*moodyMessage // all that are or were there
	views    map[*scripted.Conn][]*moodyMessage
	habit    int // what it does about what it keeps back
	excuses  int // how often it has done what a call may fail of
	trace    []string
}

type moodyMessage struct {
	n      int
	gone   bool
	kept   []string // items that it does not part with
	passed bool     // over, when it was asked for by itself last
}

func (m *moodyMessage) uid() imap.UID { return imap.UID(scripted.UID(m.n)) }

func (m *moodyMessage) flag() imap.Flag { return imap.Flag(fmt.Sprint("k", m.n)) }

// What a moody server does about an item that it does not part with.
const (
	omitsItem = iota
	omitsMessage
	stopsWithNo
	endsWithNo
	habits
)

func serveMoody(t testing.TB, seed uint64, messages int) (*moody, *scripted.Server) {
	w := &moody{rng: rand.New(rand.NewPCG(seed, 1)), views: make(map[*scripted.Conn][]*moodyMessage)}
	w.habit = w.rng.IntN(habits)
	for range messages {
		w.receive()
	}
	caps := []string{"IMAP4rev1", "IMAP4rev1 ESEARCH", "IMAP4rev1 ESEARCH SEARCHRES"}[w.rng.IntN(3)]
	locked := func(do func(*scripted.Conn, scripted.Command)) func(*scripted.Conn, scripted.Command) {
		return func(c *scripted.Conn, cmd scripted.Command) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.trace = append(w.trace, "> "+cmd.Tag+" "+cmd.String())
			do(c, cmd)
		}
	}
	return w, scripted.Serve(t, scripted.Options{Caps: caps, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"SELECT": locked(w.open), "EXAMINE": locked(w.open), "NOOP": locked(w.noop),
		"UID SEARCH": locked(w.search), "UID FETCH": locked(w.fetch), "FETCH": locked(w.fetch),
	}})
}

func (w *moody) send(c *scripted.Conn, lines ...string) {
	w.trace = append(w.trace, lines...)
	c.Send(lines...)
}

// chance is true so many times in a hundred, unless the server is calm.
func (w *moody) chance(percent int) bool { return w.rng.IntN(100) < percent && !w.calm }

func (w *moody) receive() {
	m := &moodyMessage{n: len(w.messages) + 1}
	if w.rng.IntN(12) == 0 {
		for _, item := range []string{"FLAGS", "RFC822.SIZE", "ENVELOPE", "BODYSTRUCTURE", "BODY[]", "BODY[HEADER]", "BODY[TEXT]", "RFC822"} {
			if w.rng.IntN(2) == 0 {
				m.kept = append(m.kept, item)
			}
		}
	}
	w.messages = append(w.messages, m)
}

func (w *moody) there() []*moodyMessage {
	return slices.DeleteFunc(slices.Clone(w.messages), func(m *moodyMessage) bool { return m.gone })
}

func (w *moody) open(c *scripted.Conn, cmd scripted.Command) {
	view := w.there()
	w.views[c] = view
	w.send(c, fmt.Sprintf("* %d EXISTS", len(view)), "* OK [UIDVALIDITY 7] x",
		fmt.Sprintf("* OK [UIDNEXT %d] x", scripted.UID(len(w.messages)+1)), cmd.Tag+" OK [READ-WRITE] x")
}

// tell tells a connection what has become of the folder.
func (w *moody) tell(c *scripted.Conn) {
	view := w.views[c]
	for i := 0; i < len(view); {
		if view[i].gone {
			w.send(c, fmt.Sprintf("* %d EXPUNGE", i+1))
			view = slices.Delete(view, i, i+1)
		} else {
			i++
		}
	}
	if now := w.there(); len(now) > len(view) {
		view = now
		w.send(c, fmt.Sprintf("* %d EXISTS", len(view)))
	}
	w.views[c] = view
}

func (w *moody) noop(c *scripted.Conn, cmd scripted.Command) {
	w.tell(c)
	if !w.putsOff(c, cmd, 5) {
		w.send(c, cmd.Tag+" OK done")
	}
}

// putsOff may end a command as servers do that are busy.
func (w *moody) putsOff(c *scripted.Conn, cmd scripted.Command, percent int) bool {
	if !w.chance(percent) {
		return false
	}
	w.send(c, cmd.Tag+" NO Request is throttled. Suggested Backoff Time: 2 milliseconds")
	return true
}

func (w *moody) search(c *scripted.Conn, cmd scripted.Command) {
	if w.putsOff(c, cmd, 5) {
		return
	}
	// A client may rely on what a server with SEARCHRES has looked up a moment ago.
	if strings.HasPrefix(cmd.Args, "RETURN (SAVE") || w.chance(50) {
		w.tell(c)
	}
	var uids []string
	for _, m := range w.views[c] {
		uids = append(uids, fmt.Sprint(m.uid()))
	}
	switch {
	case !strings.HasPrefix(cmd.Args, "RETURN ("):
		w.send(c, strings.TrimSpace("* SEARCH "+strings.Join(uids, " ")))
	case len(uids) == 0:
		w.send(c, fmt.Sprintf(`* ESEARCH (TAG "%s") UID COUNT 0`, cmd.Tag))
	default:
		w.send(c, fmt.Sprintf(`* ESEARCH (TAG "%s") UID MIN %s MAX %s COUNT %d ALL %s`,
			cmd.Tag, uids[0], uids[len(uids)-1], len(uids), strings.Join(uids, ",")))
	}
	w.send(c, cmd.Tag+" OK done")
}

// wants returns the messages that a command names, of those that the connection
// knows.
func (w *moody) wants(c *scripted.Conn, byUID bool, set string) []*moodyMessage {
	view := w.views[c]
	if set == "$" {
		return slices.Clone(view)
	}
	named := named(set)
	var wanted []*moodyMessage
	for i, m := range view {
		if byUID && slices.Contains(named, m.uid()) || !byUID && slices.Contains(named, imap.UID(i+1)) {
			wanted = append(wanted, m)
		}
	}
	return wanted
}

func (w *moody) fetch(c *scripted.Conn, cmd scripted.Command) {
	set, list, _ := strings.Cut(cmd.Args, " ")
	items := strings.Fields(strings.NewReplacer("(", "", ")", "", ".PEEK", "").Replace(list))
	// What it is asked to find out what is there, it answers.
	question := slices.Equal(items, []string{"UID", "INTERNALDATE"})
	wanted := w.wants(c, cmd.Name == "UID FETCH", set)
	if w.chance(10) {
		w.rng.Shuffle(len(wanted), func(i, j int) { wanted[i], wanted[j] = wanted[j], wanted[i] })
	}
	stop := len(wanted) + 1
	if !question && w.chance(15) {
		stop = w.rng.IntN(len(wanted) + 1)
	}
	end := "OK done"
	for i, m := range wanted {
		if i == stop {
			break
		}
		if w.chance(3) && cmd.Name == "UID FETCH" {
			w.change(c)
		}
		if !slices.Contains(w.views[c], m) {
			continue
		}
		keeps := slices.ContainsFunc(items, func(item string) bool { return slices.Contains(m.kept, item) })
		switch {
		case m.gone && w.chance(50):
		case w.calm || !keeps || w.habit == omitsItem:
			w.answer(c, m, items)
		case w.habit == stopsWithNo:
			w.send(c, cmd.Tag+" NO [UNAVAILABLE] one of these is not for you")
			return
		case w.habit == endsWithNo:
			end = "NO Some messages could not be FETCHed (Failure)"
		}
		w.volunteer(c)
	}
	if stop <= len(wanted) {
		switch {
		case w.chance(30):
			w.excuses++
			end = "NO not now"
		case w.chance(30):
			end = "NO [EXPUNGEISSUED] some are gone"
			if stop == 0 && len(wanted) == 1 {
				if wanted[0].passed {
					w.excuses++
				}
				wanted[0].passed = true
			}
		case w.chance(10):
			w.excuses++
			c.Reset()
			return
		case w.chance(5):
			w.excuses++
			end = "BAD what?"
		default:
			end = "NO Request is throttled. Suggested Backoff Time: 2 milliseconds"
		}
	}
	w.send(c, cmd.Tag+" "+end)
}

// change removes a message or lets one come, and may tell of it.
func (w *moody) change(c *scripted.Conn) {
	if there := w.there(); len(there) > 0 && w.rng.IntN(3) > 0 {
		there[w.rng.IntN(len(there))].gone = true
	} else {
		w.receive()
	}
	if w.chance(70) {
		w.tell(c)
	}
}

// answer sends of a message what was asked for, in one piece or in several.
func (w *moody) answer(c *scripted.Conn, m *moodyMessage, items []string) {
	m.passed = m.passed && slices.Equal(items, []string{"UID", "INTERNALDATE"})
	items = slices.DeleteFunc(slices.Clone(items), func(item string) bool {
		return item == "UID" || slices.Contains(m.kept, item) && !w.calm
	})
	if w.chance(10) { // and more
		for _, item := range []string{"FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"} {
			if !slices.Contains(items, item) {
				items = append(items, item)
			}
		}
	}
	if w.chance(20) {
		w.rng.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
	}
	for {
		n := len(items)
		if n > 1 && w.chance(15) {
			n = 1 + w.rng.IntN(n-1)
		}
		values := []string{fmt.Sprint("UID ", m.uid())}
		for _, item := range items[:n] {
			values = append(values, w.value(m, item))
		}
		if w.chance(10) {
			w.rng.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
		}
		w.send(c, fmt.Sprintf("* %d FETCH (%s)", 1+slices.Index(w.views[c], m), strings.Join(values, " ")))
		if items = items[n:]; len(items) == 0 {
			return
		}
		w.volunteer(c)
	}
}

func (w *moody) value(m *moodyMessage, item string) string {
	message := scripted.Message(m.n)
	header, text, _ := strings.Cut(message, "\r\n\r\n")
	literal := func(name, s string) string { return fmt.Sprintf("%s {%d}\r\n%s", name, len(s), s) }
	switch item {
	case "FLAGS":
		return fmt.Sprintf("FLAGS (%s)", m.flag())
	case "INTERNALDATE":
		return `INTERNALDATE "05-Jan-2026 10:00:00 +0000"`
	case "RFC822.SIZE":
		return fmt.Sprint("RFC822.SIZE ", len(message))
	case "ENVELOPE":
		if w.chance(5) {
			return "ENVELOPE NIL"
		}
		return "ENVELOPE " + scripted.Envelope(m.n)
	case "BODYSTRUCTURE":
		return fmt.Sprintf(`BODYSTRUCTURE ("TEXT" "PLAIN" ("CHARSET" "utf-8") NIL NIL "7BIT" %d 1 NIL NIL NIL NIL)`, len(text))
	case "BODY[]", "RFC822":
		return literal(item, message)
	case "BODY[HEADER]":
		return literal(item, header+"\r\n\r\n")
	case "BODY[TEXT]":
		return literal(item, text)
	}
	panic("no such item: " + item)
}

// volunteer says something that nobody has asked for.
func (w *moody) volunteer(c *scripted.Conn) {
	view := w.views[c]
	if !w.chance(15) || len(view) == 0 {
		return
	}
	i := w.rng.IntN(len(view))
	m := view[i]
	switch w.rng.IntN(5) {
	case 0:
		w.send(c, fmt.Sprintf("* %d FETCH (FLAGS (%s))", i+1, m.flag()))
	case 1:
		w.send(c, fmt.Sprintf("* %d FETCH (UID %d FLAGS (%s))", i+1, m.uid(), m.flag()))
	case 2:
		w.send(c, fmt.Sprintf("* %d FETCH (UID %d FLAGS (%s) RFC822.SIZE %d)", i+1, m.uid(), m.flag(), len(scripted.Message(m.n))))
	case 3:
		w.send(c, "* OK still here")
	case 4:
		w.send(c, "* X-WEATHER (fine (and dry))")
	}
}
