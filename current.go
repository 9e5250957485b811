package imapkit

import (
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/wire"
)

// lookForNew makes the server look for changes in the open folder, once in an
// operation. Of a folder that has been open servers know what has arrived, or has
// been changed in other connections, only after NOOP. That has to be waited for:
// Dovecot puts it off while there are further commands.
func (s *session) lookForNew() error {
	if s.current {
		return nil
	}
	changes, now := s.client.changes.Load(), time.Now()
	if err := s.run(s.Command("NOOP")); err != nil {
		return err // it has not looked
	}
	s.current, s.seen, s.looked = true, changes, now
	return nil
}

// looks notes that the server is about to look for changes.
func (s *session) looks() { s.current, s.seen, s.looked = true, s.client.changes.Load(), time.Now() }

// changed notes that something was changed in this connection.
func (s *session) changed() {
	if now := s.client.changes.Add(1); s.seen == now-1 {
		s.seen = now
	}
}

// behind reports whether this Client may have changed something in other
// connections since the server has looked for changes in this one.
func (s *session) behind() bool { return s.seen != s.client.changes.Load() }

// catchUp makes the server look for changes in the open folder, unless it is known
// to know of the messages up to this UID and of what this Client has changed in
// other connections. What is to be done with a message that it does not know of
// it does not do, and says OK.
func (s *session) catchUp(uid imap.UID) error {
	if uid <= s.Mailbox().Highest && !s.behind() {
		return nil
	}
	return s.lookForNew()
}

// highest returns the last of ascending UIDs, or 0.
func highest(uids []imap.UID) imap.UID {
	if len(uids) == 0 {
		return 0
	}
	return uids[len(uids)-1]
}

// beginFor sends the command that opens the folder, for settled, or catches up
// with it if it is open.
func (s *session) beginFor(f *Folder, uid imap.UID) (opening *wire.Command, err error) {
	if opening = s.opening(f); opening != nil {
		return opening, s.Send(opening)
	}
	if err := f.sameAs(s.Mailbox()); err != nil {
		return nil, err
	}
	return nil, s.catchUp(uid)
}

// openFor opens the folder for what is to be done with messages up to this UID.
func (s *session) openFor(f *Folder, uid imap.UID) error {
	opening, err := s.beginFor(f, uid)
	if err != nil {
		return err
	}
	return s.settled(f, opening)
}
