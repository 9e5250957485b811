package imapkit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/wire"
)

// A RawMessage is a message as it is on the server.
type RawMessage struct {
	UID  imap.UID
	Size int64     // length of Body
	Body io.Reader // valid until the next step of the loop
}

// Raw streams messages of any size in constant memory, in ascending order of
// their UIDs. UIDs that do not exist are skipped. What the loop does not read of
// a Body is skipped. Nothing is marked as read. Messages that the server does not
// send as a whole come after all others, out of order and from memory
// ([Limits].Message bounds them). If some do not come at all, the loop ends with
// an error that has the server's reasons.
//
// An error ends the loop, and tells which message is the first that has not
// come. The loop has its connection to itself: another call inside it needs a
// second one (see [Client.MaxConns]).
func (f *Folder) Raw(ctx context.Context, uids []imap.UID) iter.Seq2[RawMessage, error] {
	return func(yield func(RawMessage, error) bool) {
		q := UIDs(uids...)
		if err := q.root().invalidity(); err != nil {
			yield(RawMessage{}, err)
			return
		}
		if len(uids) == 0 {
			return
		}
		wanted := ascending(uids)
		r := &rawLoop{folder: f, todo: wanted, perChunk: mostPerFetch}
		l, err := r.start(ctx)
		if err != nil {
			yield(RawMessage{}, err)
			return
		}
		defer func() { r.leave(l) }()
		for done, total := 0, len(wanted); ; {
			msg, err := r.next(l.s)
			if isThrottled(err) {
				r.leave(l)
				if l, err = r.resume(ctx, err); err == nil {
					continue
				}
			}
			if err == io.EOF {
				f.report(total, total)
				return
			}
			if !yield(msg, f.client.outcome(r.stopped(err))) || err != nil {
				return
			}
			if done++; done < total {
				f.report(done, total)
			}
		}
	}
}

// A rawLoop asks for the next chunk before the last one has come.
type rawLoop struct {
	folder *Folder
	todo   []imap.UID // not yet asked for
	retry  []imap.UID // to be asked for again before those
	sent   []*rawChunk
	hollow map[imap.UID]bool // of which nothing has come; true: an empty body has
	absent []imap.UID        // that commands have left out, or were refused because of
	rest   []imap.UID        // of hollow, when all else is done
	lost   []error           // of those that the server does not part with
	reader *wire.FetchReader
	first  *wire.Fetched
	ended  error

	perChunk int       // messages of the next command
	came     int       // messages that have come
	refused  int       // those in a row for which the server says NO
	validity uint32    // of the folder, as it was last
	waiting  *patience // since a message was handed out last, for a server that throttles; nil: not yet
}

// A rawChunk is what one command asks for.
type rawChunk struct {
	cmd   *wire.Command
	asked int        // messages
	left  []imap.UID // those that have not come
}

func (r *rawLoop) start(ctx context.Context) (*lease, error) {
	op := r.folder.operation("Raw")
	op.stream = true
	all := r.todo
	l, err := r.folder.client.start(ctx, op, func(s *session) error {
		there, err := s.existing(r.folder, all)
		if err != nil {
			return err
		}
		r.todo, r.sent = there, nil
		r.reader = s.NewFetchReader()
		r.reader.Stream = string(wholeMessageItem)
		if err := s.openWith(r.folder, r.todo, func() error { return r.ask(s) }); err != nil {
			return err
		}
		r.first, r.ended = r.reader.Next()
		if r.ended != nil && r.ended != io.EOF {
			return r.stopped(r.ended)
		}
		return nil
	})
	if err == nil {
		r.folder.client.streaming(l, nil)
	}
	return l, err
}

// leave gives the connection back.
func (r *rawLoop) leave(l *lease) {
	if l == nil {
		return
	}
	if r.reader.Pending() > 0 {
		l.s.Discard() // there may be gigabytes to come
	}
	r.folder.client.finish(l)
}

// resume goes on after a refusal, when the time has passed for which the server
// asks, with the messages that have not come.
func (r *rawLoop) resume(ctx context.Context, refused error) (*lease, error) {
	if r.waiting == nil {
		r.waiting = r.folder.client.patience(ctx)
	}
	if err := r.waiting.outlast(refused); err != nil {
		return nil, err
	}
	todo := slices.Concat(r.retry, r.todo)
	for _, c := range r.sent {
		todo = append(todo, c.left...)
	}
	r.todo, r.retry = ascending(todo), nil
	return r.start(ctx)
}

func (r *rawLoop) ask(s *session) error {
	for len(r.sent) < aheadOf && len(r.retry)+len(r.todo) > 0 {
		from := &r.retry
		if len(r.retry) == 0 {
			from = &r.todo
		}
		uids, rest := s.measure().atMost(r.perChunk).cut(*from)
		*from = rest
		cmd := s.Command("UID FETCH").Raw(string(appendSet(nil, uids))).Raw("(UID " + string(wholeMessageItem) + ")")
		r.sent = append(r.sent, &rawChunk{cmd: cmd, asked: len(uids), left: uids})
		if err := r.reader.Add(cmd); err != nil {
			return err
		}
	}
	return nil
}

// next returns the next message, or io.EOF after the last.
func (r *rawLoop) next(s *session) (RawMessage, error) {
	for {
		if err := s.Err(); err != nil { // the context may end while all has arrived
			return RawMessage{}, err
		}
		m, err := r.first, r.ended
		if m == nil && err == nil {
			m, err = r.reader.Next()
		}
		r.first, r.ended = nil, nil
		if box := s.Mailbox(); box != nil && box.UIDValidity != r.validity {
			r.validity = box.UIDValidity
			if err := r.folder.sameAs(box); err != nil {
				return RawMessage{}, err
			}
		}
		if err == io.EOF {
			if err = r.chunkDone(s); err == io.EOF {
				return r.again(s)
			}
			if err != nil {
				return RawMessage{}, err
			}
			continue
		}
		if err != nil {
			return RawMessage{}, err
		}
		section := m.Section(string(wholeMessageItem))
		if section != nil && m.UID == 0 {
			return RawMessage{}, withoutUID(m)
		}
		i := slices.IndexFunc(r.sent, func(c *rawChunk) bool { return contains(c.left, m.UID) })
		if i < 0 || m.FlagsOnly() && m.Items&wire.ItemFlags != 0 { // nothing that was asked for
			continue
		}
		if section == nil || section.Size == 0 && isWhole(*section) {
			// Or the body is still to come.
			r.expect(m.UID, section != nil)
			continue
		}
		r.strike(r.sent[i], m.UID)
		r.came++
		r.waiting = nil
		msg := RawMessage{UID: m.UID, Size: section.Size}
		if m.Body != nil {
			msg.Body = m.Body
		} else {
			msg.Body = bytes.NewReader(section.Data)
		}
		return msg, nil
	}
}

// strike takes a message that has come off the lists.
func (r *rawLoop) strike(c *rawChunk, uid imap.UID) {
	if at, _ := slices.BinarySearch(c.left, uid); at == 0 { // as servers send them
		c.left = c.left[1:]
	} else {
		c.left = slices.Concat(c.left[:at], c.left[at+1:])
	}
	delete(r.hollow, uid)
}

// chunkDone checks on a command that has ended and asks for more; io.EOF tells
// that there is no more.
func (r *rawLoop) chunkDone(s *session) error {
	for len(r.sent) > 0 && r.sent[0].cmd.Done {
		if err := r.settle(s, r.sent[0]); err != nil {
			return err
		}
		r.sent = r.sent[1:]
	}
	if err := r.ask(s); err != nil {
		return err
	}
	if len(r.sent) == 0 {
		return io.EOF
	}
	return nil
}

// settle decides what becomes of the messages that a command has left out. What
// was refused because of some of them is sent anew with fewer, unless too many in
// a row were refused.
func (r *rawLoop) settle(s *session, c *rawChunk) error {
	err := refusal(c.cmd)
	if err == nil || len(c.left) < c.asked {
		r.refused = 0
	}
	switch {
	case gone(c.cmd.Status) && len(c.left) > 1: // some are, and others may have been left out as well
		if n := len(c.left); n == c.asked {
			r.perChunk = (n + 1) / 2
		}
		r.retry = ascending(slices.Concat(c.left, r.retry))
		return nil
	case gone(c.cmd.Status): // or another one is (RFC 5530)
	case err != nil && !s.isRefusal(err):
		return err
	case err == nil:
		r.perChunk = min(2*r.perChunk, mostPerFetch)
	case r.hopeless():
		r.perChunk = min(2*r.perChunk, mostPerFetch)
		r.refused += len(c.left)
	case len(c.left) > 1:
		r.perChunk = (len(c.left) + 1) / 2
		r.retry = ascending(slices.Concat(c.left, r.retry))
		return nil
	default:
		r.refused += len(c.left)
	}
	for _, uid := range c.left {
		if _, told := r.hollow[uid]; !told {
			r.absent = append(r.absent, uid)
		}
	}
	return nil
}

// hopeless reports whether so many messages in a row were refused that it seems
// to have nothing to do with them. A server that has sent some is trusted more.
func (r *rawLoop) hopeless() bool { return r.refused > mostRefused+min(r.came, 100) }

// seek finds out which of the messages that were left out are there. Those of
// which the server does not say are taken to be.
func (r *rawLoop) seek(s *session) error {
	for _, chunk := range s.measure().atMost(mostPerFetch).chunks(ascending(r.absent)) {
		there, err := s.present(r.folder, chunk)
		switch {
		case s.isRefusal(err):
			there = chunk
		case err != nil:
			return err
		}
		for _, uid := range there {
			r.expect(uid, false)
		}
	}
	if r.absent != nil {
		r.absent, r.refused = nil, 0
	}
	return nil
}

// again returns a message of which nothing has come, when all else is done.
func (r *rawLoop) again(s *session) (RawMessage, error) {
	if err := r.seek(s); err != nil {
		return RawMessage{}, err
	}
	for len(r.hollow) > 0 {
		if len(r.rest) == 0 {
			r.rest = slices.Sorted(maps.Keys(r.hollow))
		}
		uid := r.rest[0]
		raw, err := s.wholeAgain(r.folder, hollow{uid: uid, empty: r.hollow[uid]})
		if s.Err() != nil || isThrottled(err) {
			return RawMessage{}, err
		}
		r.rest = r.rest[1:]
		delete(r.hollow, uid)
		switch {
		case err == nil:
			r.waiting, r.refused = nil, 0
			return RawMessage{UID: uid, Size: int64(len(raw)), Body: bytes.NewReader(raw)}, nil
		case errors.Is(err, ErrNotFound):
			continue
		case s.isRefusal(err):
			r.refused++
		}
		r.lost = append(r.lost, err)
		if r.hopeless() && len(r.rest) > 0 {
			r.lost = append(r.lost, fmt.Errorf("%w: UIDs %s in %s", err, appendSet(nil, r.rest), r.folder.name))
			r.hollow, r.rest = nil, nil
		}
	}
	if len(r.lost) > 0 {
		return RawMessage{}, errors.Join(r.lost...)
	}
	return RawMessage{}, io.EOF
}

// expect notes a message of which nothing has come, or an empty body.
func (r *rawLoop) expect(uid imap.UID, empty bool) {
	if r.hollow == nil {
		r.hollow = make(map[imap.UID]bool)
	}
	r.hollow[uid] = r.hollow[uid] || empty
}
