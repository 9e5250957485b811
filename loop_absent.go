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
const mostRefused = 6

// isRefusal reports whether a server has refused to fetch something, but not
// because it does not understand the command, or wants to be asked later.
func (s *session) isRefusal(err error) bool {
	var refused *ServerError
	return errors.As(err, &refused) && refused.Command == "UID FETCH" && refused.Status == "NO" &&
		s.Err() == nil && !isThrottled(err)
}

// absent returns those of some messages of a chunk of which nothing has come but,
// maybe, a change of flags.
func (l *loop) absent(c *chunk, uids []imap.UID) []imap.UID {
	var absent []imap.UID
	for _, uid := range uids {
		i, _ := slices.BinarySearch(c.uids, uid)
		if i >= c.next && (c.entries == nil || !c.entries[i].given && l.nothing(&c.entries[i])) {
			absent = append(absent, uid)
		}
	}
	return absent
}

// nothing reports whether nothing is known of a message but, maybe, a change of
// its flags.
func (l *loop) nothing(e *entry) bool {
	return e.info == nil || !e.there && !e.more && (l.wanted&^wire.ItemFlags != 0 || len(l.sections) > 0 || l.others)
}

// mustSeek reports whether the end of a command leaves open what has become of
// some messages.
func (l *loop) mustSeek(c *chunk) bool {
	status := c.cmd.Status
	return c.cmd.Done && !c.sought &&
		(status.Type == "NO" || status.Type == "OK" && len(l.absent(c, c.uids[c.next:])) > 0)
}

// seek asks for what a command has left out although it is there: Exchange says
// OK and sends nothing of a message that it cannot convert, and Gmail and Yahoo
// refuse a command for many messages because of one. It returns the refusal of a
// server that seems to refuse everything.
func (l *loop) seek(s *session, c *chunk, refused error) error {
	c.sought = true
	absent := l.absent(c, c.uids[c.next:])
	if len(absent) == 0 { // some also say NO because of messages that are gone (RFC 2180 section 4.1.2)
		l.refused = 0
		return nil
	}
	if c.came = len(absent) < len(c.uids); c.came {
		l.refused = 0
	}
	there, err := s.present(l.folder, absent)
	certain := err == nil
	switch {
	case s.isRefusal(err):
		there, refused = absent, err
	case err != nil && s.Err() == nil && !isThrottled(err) && c.lost > 0: // these are told as they came, without their UIDs
		return nil
	case err != nil:
		return err
	}
	if err := l.askAgain(s, c, there, certain); err != nil {
		return err
	}
	switch {
	case c.came || l.refused <= mostRefused && certain:
		l.barren = 0
		return nil
	case !certain: // it says nothing at all, which has nothing to do with the messages
		c.entries = nil
		return refused
	}
	if l.barren++; l.barren > 1 {
		return refused
	}
	return nil
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
// them do not come. Of those it asks for one item after the other. certain tells
// that the messages are there. After too many refusals in a row, a set that is
// refused is given up if its first and its last message are refused, too.
func (l *loop) askAgain(s *session, c *chunk, uids []imap.UID, certain bool) error {
	if len(uids) == 0 {
		return nil
	}
	refused := l.receive(s, uids, l.items)
	if refused != nil && !s.isRefusal(refused) {
		return refused
	}
	left := l.absent(c, uids)
	if len(left) < len(uids) {
		c.came, l.refused = true, 0
	}
	if refused == nil || len(uids) == 1 {
		for _, uid := range left {
			if err := l.askPiecemeal(s, c, uid, refused, certain); err != nil {
				return err
			}
		}
		return nil
	}
	if n := len(left); l.refused > mostRefused && n > 2 {
		for _, one := range [][]imap.UID{left[:1], left[n-1:]} {
			if err := l.askAgain(s, c, one, certain); err != nil {
				return err
			}
		}
		if left = left[1 : n-1]; l.refused > mostRefused {
			l.refuse(c, left, refused)
			return nil
		}
	}
	half := (len(left) + 1) / 2
	if err := l.askAgain(s, c, left[:half], certain); err != nil {
		return err
	}
	return l.askAgain(s, c, left[half:], certain)
}

// askPiecemeal takes what it gets of a message that does not come. If the server
// throttles, that is nothing yet.
func (l *loop) askPiecemeal(s *session, c *chunk, uid imap.UID, refused error, certain bool) error {
	before := l.refused
	err := l.eachItem(s, c, uid, refused, certain)
	if isThrottled(err) {
		l.refused = before
		if e := l.known(c, uid); e != nil {
			l.forget(e)
		}
	}
	return err
}

func (l *loop) eachItem(s *session, c *chunk, uid imap.UID, refused error, certain bool) error {
	one := []imap.UID{uid}
	if !certain {
		there, err := s.present(l.folder, one)
		switch {
		case s.isRefusal(err):
			l.refuse(c, one, cmp.Or(refused, err))
			return nil
		case err != nil || len(there) == 0:
			return err
		}
	}
	if refused != nil {
		l.refused++
	}
	e := l.known(c, uid)
	if e == nil {
		return nil
	}
	var why error
	for _, item := range l.items[1:] { // behind UID
		err := l.receive(s, one, []Item{l.items[0], item})
		switch {
		case err != nil && !s.isRefusal(err):
			return err
		case e.info == nil: // it is complete, and has been made ready
			return nil
		case err != nil:
			e.bad |= wireItems[item]
			why = cmp.Or(why, err)
		}
	}
	if why == nil && (e.have|e.bad)&^wire.ItemFlags == 0 && !e.more && len(e.sections) == 0 {
		there, err := s.present(l.folder, one)
		if err != nil && !s.isRefusal(err) {
			return err
		}
		if err == nil && len(there) == 0 { // it has gone since
			l.forget(e)
			return nil
		}
	}
	e.info.note(why)
	return nil
}

// refuse notes of messages that the server has refused to send them.
func (l *loop) refuse(c *chunk, uids []imap.UID, refused error) {
	l.refused += len(uids)
	for _, uid := range uids {
		if e := l.known(c, uid); e != nil {
			e.tried = true
			e.info.note(refused)
		}
	}
}

// known returns the entry of a message that is taken to be there; nil if it is
// complete, and has been made ready.
func (l *loop) known(c *chunk, uid imap.UID) *entry {
	if c.entries == nil {
		c.entries = l.newEntries(len(c.uids))
	}
	i, _ := slices.BinarySearch(c.uids, uid)
	e := &c.entries[i]
	if i < c.next || e.given {
		return nil
	}
	if e.info == nil {
		e.info = new(MessageInfo)
		e.info.UID = uid
	}
	e.there = true
	return e
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
		l.ready = append(l.ready, *e)
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
		info.note(fmt.Errorf("%w: the server did not send %s", ErrProtocol, strings.Join(missing, ", ")))
	}
}
