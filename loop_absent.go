package imapkit

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/wire"
)

// mostRefused is how many messages in a row a server may refuse until that is
// taken to have nothing to do with the messages.
const mostRefused = 20

// isRefusal reports whether a server has refused to fetch something, but not
// because it does not understand the command, or wants to be asked later.
func (s *session) isRefusal(err error) bool {
	var refused *ServerError
	return errors.As(err, &refused) && refused.Command == "UID FETCH" && refused.Status == "NO" &&
		s.Err() == nil && !isThrottled(err)
}

// chunkDone checks on a command that has ended and asks for more; io.EOF tells
// that there is no more.
func (r *rawLoop) chunkDone(s *session) error {
	for len(r.sent) > 0 && r.sent[0].Done {
		if err := r.settle(s, r.sent[0], r.uids[0]); err != nil {
			return err
		}
		r.sent, r.uids = r.sent[1:], r.uids[1:]
	}
	if err := r.ask(s); err != nil {
		return err
	}
	if len(r.sent) == 0 {
		return io.EOF
	}
	return nil
}

// settle decides what becomes of the messages that a command has left out. One
// that was refused because of some of them is sent anew with fewer.
func (r *rawLoop) settle(s *session, cmd *wire.Command, left []imap.UID) error {
	err := refusal(cmd)
	switch {
	case gone(cmd.Status):
		return nil
	case err != nil && !s.isRefusal(err):
		return err
	case err != nil && len(left) > 1:
		r.perChunk = (len(left) + 1) / 2
		r.todo = slices.Concat(left, r.todo)
		return nil
	case err == nil:
		r.perChunk, r.refused = min(2*r.perChunk, mostPerFetch), 0
	case len(left) == 1:
		if r.refused++; r.refused > mostRefused {
			return err
		}
	}
	for _, uid := range left {
		if _, told := r.hollow[uid]; !told {
			r.absent = append(r.absent, uid)
		}
	}
	return nil
}

// seek finds out which of the messages that were left out are there.
func (r *rawLoop) seek(s *session) error {
	for _, chunk := range s.measure().atMost(mostPerFetch).chunks(ascending(r.absent)) {
		there, err := s.present(r.folder, chunk)
		if err != nil && !s.isRefusal(err) {
			return err
		}
		r.lost = errors.Join(r.lost, err)
		for _, uid := range there {
			r.expect(uid, false)
		}
		r.there = ascending(append(r.there, there...))
	}
	r.absent = nil
	return nil
}

// absent returns the messages of a chunk of which nothing has come but, maybe, a
// change of flags.
func (l *loop) absent(c *chunk) []imap.UID {
	if c.entries == nil {
		return c.uids[c.next:]
	}
	var absent []imap.UID
	for i := c.next; i < len(c.entries); i++ {
		if e := &c.entries[i]; !e.given && l.nothing(e) {
			absent = append(absent, c.uids[i])
		}
	}
	return absent
}

// nothing reports whether nothing is known of a message but, maybe, a change of
// its flags.
func (l *loop) nothing(e *entry) bool {
	return e.info == nil || !e.there && e.flagsOnly() && l.wanted&^wire.ItemFlags != 0
}

// mustSeek reports whether the end of a command leaves open what has become of
// some messages.
func (l *loop) mustSeek(c *chunk) bool {
	status := c.cmd.Status
	return c.cmd.Done && !c.sought && !gone(status) && (status.Type == "NO" || status.Type == "OK" && len(l.absent(c)) > 0)
}

// seek asks for what a command has left out although it is there: Exchange says
// OK and sends nothing of a message that it cannot convert, and Gmail and Yahoo
// refuse a command for many messages because of one. It returns the refusal if
// that remains unexplained.
func (l *loop) seek(s *session, c *chunk, refused error) error {
	c.sought = true
	absent := l.absent(c)
	if len(absent) == 0 { // some also say NO because of messages that are gone (RFC 2180 section 4.1.2)
		return nil
	}
	there, err := s.present(l.folder, absent)
	if s.isRefusal(err) {
		return refused
	}
	if err != nil {
		return err
	}
	return l.askAgain(s, c, there)
}

// present returns those of ascending UIDs that belong to messages. It asks for
// what no server sends unasked.
func (s *session) present(f *Folder, uids []imap.UID) ([]imap.UID, error) {
	if s.confusesUIDs() {
		return s.existing(f, uids)
	}
	var there []imap.UID
	err := s.fetchEach(f, uids, string(ItemDate), func(m *wire.Fetched) {
		if (m.Items|m.Bad)&wire.ItemDate != 0 {
			there = append(there, m.UID)
		}
	})
	return ascending(there), err
}

// askAgain asks for messages in ever smaller sets, until it is known which of
// them do not come. Of those it asks for one item after the other.
func (l *loop) askAgain(s *session, c *chunk, uids []imap.UID) error {
	if len(uids) == 0 {
		return nil
	}
	refused := l.receive(s, uids, l.items)
	if refused != nil && !s.isRefusal(refused) {
		return refused
	}
	absent := l.absent(c)
	left := slices.DeleteFunc(slices.Clone(uids), func(uid imap.UID) bool { return !contains(absent, uid) })
	if len(left) < len(uids) {
		l.refused = 0
	}
	if refused != nil && len(uids) > 1 {
		half := (len(left) + 1) / 2
		if err := l.askAgain(s, c, left[:half]); err != nil {
			return err
		}
		return l.askAgain(s, c, left[half:])
	}
	for _, uid := range left {
		if err := l.askPiecemeal(s, c, uid, refused); err != nil {
			return err
		}
	}
	return nil
}

// askPiecemeal takes what it gets of a message that does not come.
func (l *loop) askPiecemeal(s *session, c *chunk, uid imap.UID, refused error) error {
	if l.refused++; refused != nil && l.refused > mostRefused {
		return refused
	}
	if c.entries == nil {
		c.entries = l.newEntries(len(c.uids))
	}
	i, _ := slices.BinarySearch(c.uids, uid)
	e := &c.entries[i]
	if e.info == nil {
		e.info = l.newInfo()
		e.info.UID = uid
	}
	e.there = true
	info := e.info
	var why error
	for _, item := range l.items[1:] { // behind UID
		err := l.receive(s, []imap.UID{uid}, []Item{l.items[0], item})
		if err != nil && !s.isRefusal(err) {
			return err
		}
		if err != nil {
			e.bad |= wireItems[item]
			why = cmp.Or(why, err)
		}
	}
	info.Err = errors.Join(info.Err, why)
	return nil
}

// receive asks for items of messages and files what comes.
func (l *loop) receive(s *session, uids []imap.UID, items []Item) error {
	cmd := l.command(s, string(appendSet(nil, uids)), items)
	if err := l.reader.Add(cmd); err != nil {
		return err
	}
	for {
		m, err := l.reader.Next()
		if err == io.EOF {
			return refusal(cmd)
		}
		if err != nil {
			return err
		}
		if err := l.take(m); err != nil {
			return err
		}
	}
}

// flush makes the rest of a chunk ready when its command is done. Messages of
// which nothing has come do not exist any more.
func (l *loop) flush(c *chunk) {
	l.reunite(c)
	for i := c.next; i < len(c.entries); i++ {
		e := &c.entries[i]
		if l.nothing(e) {
			l.held -= e.size
			continue // or a change of flags is all that is known of it
		}
		missing := missing(l.items, e.have)
		if len(e.sections) < len(l.sections) {
			missing = append(missing, "a body section")
		}
		e.info.lacks(missing)
		l.deliver(e)
		*e = entry{given: true}
	}
	l.giveUp(c)
}

// missing returns the items that are not among those that have come.
func missing(items []Item, have wire.Items) []string {
	var names []string
	for _, item := range items {
		if bit := wireItems[item]; bit != 0 && have&bit == 0 {
			names = append(names, string(item))
		}
	}
	return names
}

// lacks tells what has not come of a message.
func (info *MessageInfo) lacks(missing []string) {
	if len(missing) > 0 {
		info.Err = errors.Join(info.Err, fmt.Errorf("%w: the server did not send %s", ErrProtocol, strings.Join(missing, ", ")))
	}
}
