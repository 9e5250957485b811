package imapkit

import (
	"slices"

	"github.com/imapkit/imapkit/internal/wire"
)

// A nameless is what came of a message without its UID, and not right behind a
// response that has it.
type nameless struct {
	m    wire.Fetched
	text int64 // length of the response
	size int64 // its share of held
	era  int   // in which its sequence number is valid
}

// keep keeps what came without a UID until its command is done: only then is it
// known whose it is. Flags alone are more often a change that another program
// made, to any message.
func (l *loop) keep(c *chunk, m *wire.Fetched) {
	if m.FlagsOnly() {
		if l.wanted&wire.ItemFlags == 0 || len(c.nameless)-c.lost >= mostSmallPerFetch {
			return
		}
	} else {
		if c.lost == len(c.uids) {
			return
		}
		c.lost++
	}
	n := nameless{m: *m, text: l.reader.Text(), era: l.reader.Era()}
	n.size = parsedSize * n.text
	for _, s := range m.Sections {
		n.size += s.Size
	}
	l.held += n.size
	c.nameless = append(c.nameless, n)
}

// reunite gives what came without a UID to the message with the same sequence
// number, if that is known and lacks something.
func (l *loop) reunite(c *chunk) {
	if len(c.nameless) == 0 {
		return
	}
	incomplete := make(map[uint32]*entry)
	for i := range c.entries {
		if e := &c.entries[i]; e.info != nil && e.info.SeqNum != 0 && !l.complete(e) {
			incomplete[e.info.SeqNum] = e
		}
	}
	c.nameless = slices.DeleteFunc(c.nameless, func(n nameless) bool {
		e := incomplete[n.m.Seq]
		if e == nil || e.era != n.era {
			return false
		}
		l.held -= n.size
		n.m.Items &^= e.have & wire.ItemFlags // which may be newer
		l.add(e, &n.m, n.text)
		return true
	})
}

// giveUp makes ready, with an error each, what has come of messages whose UIDs
// remain unknown.
func (l *loop) giveUp(c *chunk) {
	for i := range c.nameless {
		n := &c.nameless[i]
		l.held -= n.size
		if n.m.FlagsOnly() {
			continue
		}
		e := entry{info: new(MessageInfo)}
		l.add(&e, &n.m, n.text)
		e.info.note(withoutUID(&n.m))
		l.ready = append(l.ready, e)
	}
	c.nameless = nil
}

// namedBy reports whether m tells the UID of what came last without one, or makes
// m that.
func (n *nameless) namedBy(m *wire.Fetched, era int) bool {
	switch {
	case m.UID == 0 && len(m.Sections) == 0:
		*n = nameless{m: *m, era: era}
	case m.UID != 0 && n.m.UID == 0 && n.m.Seq != 0 && n.m.Seq == m.Seq && n.era == era:
		n.m.UID = m.UID
		return true
	}
	return false
}
