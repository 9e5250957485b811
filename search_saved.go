package imapkit

import (
	"math"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/wire"
)

// recently is how long ago a server may have looked for changes when it is to
// list messages in one round trip.
const recently = time.Second

// askSaved searches and fetches what is found in one round trip, where the server
// can hand a result on from one command to the next (SEARCHRES, RFC 5182). It
// does so only in a folder that is open and has no more messages than what one
// command may ask for, because the number of those found is not known yet.
func (l *loop) askSaved(s *session) (asked bool, err error) {
	root, ok := s.savable(l.folder, l.query, l.perChunk)
	if !ok {
		return false, nil
	}
	search := s.Command("UID SEARCH").Raw("RETURN (SAVE ALL)")
	root.add(search, asItIs)
	found := new(answer)
	found.collect(search)
	if s.behind() || time.Since(s.looked) > recently {
		if err := s.lookForNew(); err != nil {
			return true, err
		}
	}
	if err := s.Send(search); err != nil {
		return true, err
	}
	l.reader = s.NewFetchReader()
	fetch := l.command(s, "$", l.items)
	l.sent = []*chunk{{cmd: fetch, saved: found}}
	return true, l.reader.Add(fetch)
}

// savable returns the query as it goes to the server, and whether a saved result
// may be used.
func (s *session) savable(f *Folder, query *node, most int) (*node, bool) {
	if !s.has(imap.CapSearchRes) || !s.extendedSearch() || s.client.learnt().noSearchRes {
		return nil, false
	}
	if !s.isOpen(f) || f.sameAs(s.Mailbox()) != nil ||
		int64(s.Mailbox().Messages) >= int64(min(most, mostFound)) || s.measure().messages != math.MaxInt {
		return nil, false
	}
	root, err := s.prepared(query)
	if err != nil || root.kind == kindFalse || !root.ascii() || root.setLength() > s.measure().bytes/2 {
		return nil, false
	}
	exact := true
	root.visit(func(n *node) { exact = exact && n.kind != kindSince })
	return root, exact
}

// learnSaved takes over the UIDs of a saved result, once: their message data
// comes after them.
func (l *loop) learnSaved(c *chunk) {
	if c.uids == nil && c.saved.Found {
		c.uids = wire.Ascending[imap.UID](&c.saved.SearchResult)
		l.query = nil
		l.total.Store(int64(len(c.uids)))
	}
}

// learnRest plans what was found after message data had come.
func (l *loop) learnRest(c *chunk, saved *answer) {
	if saved.Len() == len(c.uids) {
		return
	}
	found := wire.Ascending[imap.UID](&saved.SearchResult)
	l.total.Store(int64(len(found)))
	l.todo = slices.DeleteFunc(found, func(uid imap.UID) bool { return contains(c.uids, uid) })
}

// endSaved ends the chunk of a saved result. What a server has refused although
// it says that it has SEARCHRES is done in the usual way, from now on.
func (l *loop) endSaved(s *session, c *chunk) error {
	saved := c.saved
	c.saved = nil
	if err := s.Wait(saved.cmd); err != nil {
		return err
	}
	refused := refusal(saved.cmd)
	if refused == nil && saved.Found && len(c.uids) == 0 {
		l.sent = nil // whatever the server says to a FETCH of nothing
		return nil
	}
	if refused == nil {
		refused = refusal(c.cmd)
	}
	switch {
	case isThrottled(refused):
		return refused
	case saved.Found && (refused == nil || c.next > 0 || c.entries != nil):
		l.learnRest(c, saved)
		return nil
	}
	s.client.mu.Lock()
	s.client.memory.noSearchRes = true
	s.client.mu.Unlock()
	l.todo, l.sent = c.uids, nil
	return nil
}
