package imapkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/wire"
)

// A loop fetches messages while a program ranges over them: in chunks, of which
// the next is asked for before the last has come, and in ascending order.
//
// Between two steps it holds its connection, with at most two chunks in flight.
// When the connection is wanted elsewhere, be it by the body of the loop
// itself, what is in flight is taken into memory and the connection given back;
// the loop gets another one when it needs it.
type loop struct {
	folder       *Folder
	items        []Item
	wanted       wire.Items   // of items
	sections     []string     // body sections among items
	others       bool         // there are also items that wanted has no bit for
	whole        bool         // the whole message is one of them
	shown        bool         // the program is to see sections in Extra
	perChunk     int          // messages of the next chunk
	mostPerChunk int          // which later ones do not exceed
	query        *node        // still to be searched for; nil: the messages are planned
	validity     uint32       // of the folder, as it was last
	total        atomic.Int64 // messages planned; read by the program while recall may find it out

	ctx  context.Context
	verb string

	recalled atomic.Pointer[func(error)] // interrupts recall while that is reading

	mu     sync.Mutex // held while reading
	lease  *lease
	reader *wire.FetchReader
	todo   []imap.UID // not yet asked for
	sent   []*chunk   // asked for, oldest first
	ready  []entry    // to be handed out, from the one at given on
	given  int
	held   int64          // bytes of memory that what has come and is not yet handed out takes, roughly
	bodies []wire.Section // of the message handed out last
	err    error          // after ready
	stall  error          // after ready: the refusal of a server that throttles
	// waiting is for that, since a message was handed out last; nil: not yet
	waiting *patience

	flagged [32]flagged // of which some
	burst   []flagged   // are to be handed out before ready; only the program's goroutine touches these
	handed  int         // messages handed out
	spare   []entry     // of a chunk that is done

	refused int // messages in a row that the server has refused
	barren  int // chunks in a row of which it has refused everything
}

// A chunk is what one command asks for.
type chunk struct {
	uids     []imap.UID
	entries  []entry // for each UID; nil while the messages come whole and in order
	nameless []nameless
	lost     int // of nameless, those that are more than a change of flags
	next     int // entries before this one have been handed out
	cmd      *wire.Command
	saved    *answer // the search whose result it asks for, until that is known
	sought   bool    // what the command has left out has been asked for again,
	came     bool    // of the chunk something has come,
	err      error   // and why that was in vain
}

// forget empties the entry of a message that is gone, or to be asked for again.
func (l *loop) forget(e *entry) {
	l.held -= e.size
	*e = entry{}
}

// An entry is a message of a chunk.
type entry struct {
	info     *MessageInfo // nil: nothing has come
	have     wire.Items   // what has come, readable or not
	bad      wire.Items   // what was not readable
	more     bool         // something has come beside flags, which servers also send unasked
	sections []wire.Section
	size     int64 // its share of held
	era      int   // in which its sequence number is valid, or otherEra
	given    bool  // handed out before those in front of it
	tried    bool  // another way to get the message
	there    bool  // which the server says, and sends it in pieces at most
}

// otherEra is that of another connection.
const otherEra = -1

// aheadOf is how many chunks may be in flight.
const aheadOf = 2

// plan sets the messages to fetch.
func (l *loop) plan(uids []imap.UID) {
	l.query, l.todo = nil, uids
	l.total.Store(int64(len(uids)))
}

// fail ends the loop with an error, or until a server that throttles may be
// asked again.
func (l *loop) fail(err error) {
	if l.lease != nil && l.inFlight() {
		l.lease.s.Discard()
	}
	if isThrottled(err) {
		l.stall = err
		l.putOff(err)
	} else {
		l.err = l.folder.client.outcome(l.stopped(err))
	}
	l.detach()
}

// attach gets a connection, and begins or goes on.
func (l *loop) attach() {
	c := l.folder.client
	op := l.folder.operation(l.verb)
	op.stream = true
	held, err := c.start(l.ctx, op, func(s *session) error {
		if err := l.prepare(s); err != nil {
			l.again()
			return err
		}
		if len(l.sent) == 0 {
			return nil
		}
		if err := l.pumpReady(s, true); err != nil {
			l.putOff(err)
			return l.stopped(err)
		}
		return nil
	})
	if err != nil {
		l.err = err
		return
	}
	l.lease = held
	if len(l.sent) == 0 {
		l.detach()
		return
	}
	if !c.offer(held, l.recall, l.orphan) {
		l.fail(ErrClosed)
	}
}

// prepare opens the folder, searches if that is still to do, and asks for the
// first chunks.
func (l *loop) prepare(s *session) error {
	for _, item := range l.items {
		if capability, ok := neededCaps[item]; ok {
			if err := s.need(capability); err != nil {
				return err
			}
		}
	}
	if l.query != nil {
		if asked, err := l.askSaved(s); asked || err != nil {
			return err
		}
		uids, err := s.find(l.folder, l.query)
		if err != nil {
			return err
		}
		l.plan(uids)
	}
	there, err := s.existing(l.folder, l.todo)
	if err != nil {
		return err
	}
	l.todo = there
	l.reader = s.NewFetchReader()
	uids := l.todo
	if len(uids) == 0 && len(l.sent) > 0 {
		uids = l.sent[len(l.sent)-1].uids
	}
	return s.openWith(l.folder, uids, func() error { return l.ask(s) })
}

// putOff puts what is in flight back to what is to do. Only if a server that
// throttles has answered all that and puts off what was asked for after it,
// because something was left out, is what has come kept.
func (l *loop) putOff(err error) {
	if !isThrottled(err) || slices.ContainsFunc(l.sent, func(c *chunk) bool {
		return !c.cmd.Done || c.saved != nil || isThrottled(refusal(c.cmd))
	}) {
		l.again()
		return
	}
	for _, c := range l.sent {
		for i := range c.entries {
			c.entries[i].era = otherEra
		}
	}
}

// again puts what is in flight back to what is to do.
func (l *loop) again() {
	var back []imap.UID
	for _, c := range l.sent {
		back = append(back, c.missing()...)
		for i := range c.entries {
			l.held -= c.entries[i].size
		}
		for i := range c.nameless {
			l.held -= c.nameless[i].size
		}
	}
	l.todo, l.sent = append(back, l.todo...), nil
}

// missing returns the messages of a chunk that have not been handed out.
func (c *chunk) missing() []imap.UID {
	if c.entries == nil {
		return c.uids[c.next:]
	}
	var missing []imap.UID
	for i := c.next; i < len(c.uids); i++ {
		if !c.entries[i].given {
			missing = append(missing, c.uids[i])
		}
	}
	return missing
}

// ask keeps the link busy, unless something has to be asked for again first.
func (l *loop) ask(s *session) error {
	if slices.ContainsFunc(l.sent, l.needsRepair) {
		return nil
	}
	for len(l.sent) < aheadOf && len(l.todo) > 0 {
		uids, rest := s.measure().atMost(l.perChunk).cut(l.todo)
		cmd := l.command(s, string(appendSet(nil, uids)), l.items)
		l.todo = rest
		l.perChunk = min(2*l.perChunk, l.mostPerChunk)
		l.sent = append(l.sent, &chunk{uids: uids, cmd: cmd})
		if err := l.reader.Add(cmd); err != nil {
			return err
		}
	}
	return nil
}

// command makes the command that asks for items of a set of messages.
func (l *loop) command(s *session, set string, items []Item) *wire.Command {
	cmd := s.Command("UID FETCH").Raw(set).Open()
	for _, item := range items {
		cmd.Raw(string(item))
	}
	return cmd.Close()
}

// newEntries reuses the entries of a chunk that is done.
func (l *loop) newEntries(n int) []entry {
	if cap(l.spare) < n {
		return make([]entry, n)
	}
	entries := l.spare[:n]
	l.spare = nil
	clear(entries)
	return entries
}

// pumpReady does what pump does, and puts the message with the others that are
// ready.
func (l *loop) pumpReady(s *session, ahead bool) error {
	info := new(MessageInfo)
	whole, err := l.pump(s, ahead, info)
	if whole {
		e := entry{info: info, size: parsedSize * l.reader.Text()}
		l.ready = append(l.ready, e)
		l.held += e.size
	}
	return err
}

// pump reads one response, or the end of a chunk. If it is the message which
// nearly every response is, the next one and all of it, that is filled in.
func (l *loop) pump(s *session, ahead bool, info *MessageInfo) (whole bool, err error) {
	m, err := l.reader.Next()
	if c := l.sent[0]; c.saved != nil {
		l.learnSaved(c)
	}
	if box := s.Mailbox(); box != nil && box.UIDValidity != l.validity {
		l.validity = box.UIDValidity
		if err := l.folder.sameAs(box); err != nil {
			return false, err
		}
	}
	switch {
	case err == nil:
		if c := l.current(); l.isNext(c, m) {
			info.fill(m)
			c.next++
			return true, nil
		}
		return false, l.take(m)
	case err != io.EOF:
		return false, err
	}
	return false, l.endChunks(s, ahead)
}

// endChunks takes leave of the chunks whose commands are done, and asks for more.
func (l *loop) endChunks(s *session, ahead bool) error {
	for len(l.sent) > 0 && l.sent[0].cmd.Done {
		c := l.sent[0]
		if c.saved != nil {
			if err := l.endSaved(s, c); err != nil {
				return err
			}
			continue
		}
		err := refusal(c.cmd)
		if isThrottled(err) {
			return err
		}
		l.reunite(c)
		if l.needsRepair(c) {
			if l.inFlight() {
				return nil // until the connection is ours alone
			}
			if l.mustSeek(c) {
				c.err = l.seek(s, c, err)
				if c.sought = !isThrottled(c.err); s.Err() != nil || !c.sought {
					return c.err
				}
			}
			if err := l.repair(s, c); err != nil {
				return err
			}
			if again, err := l.refill(s, c); again || err != nil {
				return err
			}
		}
		l.sent = l.sent[1:]
		l.flush(c)
		if c.entries != nil {
			l.spare = c.entries
		}
		switch {
		case c.sought:
			err = c.err
		case gone(c.cmd.Status):
			err = nil
		}
		if err != nil {
			return err
		}
	}
	if c := l.current(); c != nil {
		l.handOut(c) // what has come before its turn
	}
	if ahead {
		return l.ask(s)
	}
	return nil
}

// gone reports whether a refusal only says that some of the messages are not
// there any more (RFC 5530).
func gone(s wire.Status) bool { return s.Type == "NO" && s.CodeName() == "EXPUNGEISSUED" }

func (l *loop) inFlight() bool {
	return slices.ContainsFunc(l.sent, func(c *chunk) bool { return !c.cmd.Done })
}

// take files a response under its message. Where too much is held because
// something in front is missing, order gives way.
func (l *loop) take(m *wire.Fetched) error {
	if l.held > 0 && len(l.ready) == l.given && l.tooMuch() {
		if l.giveWay(); len(l.ready) == l.given {
			return fmt.Errorf("%w: %d bytes of messages none of which is complete", ErrLimit, l.held)
		}
	}
	if m.UID == 0 {
		l.keep(l.sent[0], m)
		return nil
	}
	for _, c := range l.sent {
		pos := c.next
		if pos >= len(c.uids) || c.uids[pos] != m.UID {
			var asked bool
			if pos, asked = slices.BinarySearch(c.uids, m.UID); !asked || pos < c.next {
				continue
			}
		}
		if c.entries == nil {
			c.entries = l.newEntries(len(c.uids))
		}
		e := &c.entries[pos]
		if e.given {
			return nil
		}
		if e.info == nil {
			e.info = new(MessageInfo)
		}
		l.add(e, m, l.reader.Text())
		l.handOut(c)
		return nil
	}
	return nil
}

// current returns the chunk whose turn it is, or nil. The command of the one
// before may not be done: Dovecot begins to answer a FETCH before it says OK to
// the last one.
func (l *loop) current() *chunk {
	for _, c := range l.sent {
		if c.next < len(c.uids) {
			return c
		}
	}
	return nil
}

// isNext reports whether a response holds all of the message whose turn it is,
// and nothing of its chunk has come out of order.
func (l *loop) isNext(c *chunk, m *wire.Fetched) bool {
	return c != nil && c.entries == nil && c.uids[c.next] == m.UID && len(l.sections) == 0 && len(m.Sections) == 0 &&
		(m.Items|m.Bad)&l.wanted == l.wanted && m.Bad&repairable == 0 && !(l.others && m.FlagsOnly())
}

// handOut makes those messages ready that are complete and next in order.
func (l *loop) handOut(c *chunk) {
	current := c == l.current()
	for current && c.next < len(c.entries) && (c.entries[c.next].given || l.complete(&c.entries[c.next])) {
		if e := &c.entries[c.next]; !e.given {
			l.ready = append(l.ready, *e)
			*e = entry{} // its body is the program's alone
		}
		c.next++
	}
}

func (l *loop) complete(e *entry) bool {
	return e.info != nil && e.have&l.wanted == l.wanted && len(e.sections) >= len(l.sections) && e.bad&repairable == 0 &&
		(e.more || !l.others) && !l.hollow(e)
}

// recall takes what is in flight into memory and gives the connection back. What
// would be too much for that is asked for again later.
func (l *loop) recall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lease != nil {
		interrupt := l.lease.s.Interrupter()
		l.recalled.Store(&interrupt)
		defer l.recalled.Store(nil)
	}
	for l.lease != nil && len(l.sent) > 0 {
		if l.tooMuch() {
			l.lease.s.Discard()
			l.again()
			break
		}
		if err := l.pumpReady(l.lease.s, false); err != nil {
			l.fail(err)
		}
	}
	l.detach()
}

// orphan ends the loop, unless somebody is reading, who finds out that the Client
// is closed.
func (l *loop) orphan() {
	if l.mu.TryLock() {
		defer l.mu.Unlock()
		if l.lease != nil {
			l.fail(ErrClosed)
		}
	}
}

// detach gives the connection back.
func (l *loop) detach() {
	if l.lease == nil {
		return
	}
	c := l.folder.client
	c.mu.Lock()
	l.lease.recall, l.lease.orphan = nil, nil
	c.mu.Unlock()
	c.finish(l.lease)
	l.lease = nil
}

var errLeft = errors.New("imapkit: the loop was left")

const (
	cheapToDiscard = 300             // messages without bodies: less than what connecting anew costs
	discardTime    = 2 * time.Second // and no longer than this
)

// leave ends the loop, early or not. What is in flight is read and forgotten if
// that is cheap, else the connection is dropped.
func (l *loop) leave() {
	if interrupt := l.recalled.Load(); interrupt != nil {
		defer time.AfterFunc(discardTime, func() { (*interrupt)(errLeft) }).Stop()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lease == nil {
		return
	}
	s := l.lease.s
	if l.inFlight() {
		left := 0
		for _, c := range l.sent {
			left += len(c.uids) - c.next
		}
		if len(l.sections) > 0 || left > cheapToDiscard {
			s.Discard()
		} else {
			s.End()
			s.Begin(context.Background(), discardTime, false)
			for len(l.sent) > 0 && s.Err() == nil {
				if err := l.pumpReady(s, false); err != nil {
					break
				}
			}
		}
	}
	l.detach()
}

// header parses the header fields among the sections fetched.
func (e *entry) header() {
	for _, section := range e.sections {
		if isHeader(section.Name) {
			e.info.extra().Header, _ = readHeader(section.Data) // what can be read of it
		}
	}
}
