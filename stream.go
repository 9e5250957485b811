package imapkit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/wire"
)

// wholeMessage are the items of Fetch and FetchAll.
var wholeMessage = []Item{ItemFlags, ItemDate, ItemSize, wholeMessageItem}

// mostBodiesPerFetch is how many whole messages one command asks for.
const mostBodiesPerFetch = 50

// Fetch fetches a message as a whole and parses it. It is not marked as read.
// [Limits].Message bounds its size ([ErrLimit]); [Folder.Open] has no bound.
// Fetch returns [ErrNotFound] if there is no such message.
func (f *Folder) Fetch(ctx context.Context, uid imap.UID) (*Message, error) {
	if uid == 0 {
		return nil, errors.New("imapkit: UID 0 does not exist")
	}
	return f.fetchOne(ctx, uid, fmt.Sprintf("UID %d", uid), func(s *session) *wire.Command {
		return s.Command("UID FETCH").Number(uint64(uid))
	}, func(m *wire.Fetched) bool { return m.UID == uid })
}

// FetchSeq is Fetch for the message with this sequence number, as of now: 1 is
// the oldest message of the folder. The number of a message changes when older
// ones are removed, so remember the UID in Message.Info instead.
func (f *Folder) FetchSeq(ctx context.Context, seqNum uint32) (*Message, error) {
	if seqNum == 0 {
		return nil, errors.New("imapkit: sequence number 0 does not exist")
	}
	return f.fetchOne(ctx, 0, fmt.Sprintf("sequence number %d", seqNum), func(s *session) *wire.Command {
		return s.Command("FETCH").Number(uint64(seqNum))
	}, func(m *wire.Fetched) bool { return m.Seq == seqNum })
}

// fetchOne fetches a message whose UID is known, or 0.
func (f *Folder) fetchOne(ctx context.Context, uid imap.UID, which string, command func(*session) *wire.Command,
	is func(*wire.Fetched) bool) (*Message, error) {
	op := f.operation("Fetch")
	op.stream = true
	var info *MessageInfo
	var raw []byte
	var have wire.Items
	found := false
	err := f.client.do(ctx, op, func(s *session) error {
		info, raw, have, found = new(MessageInfo), nil, 0, false
		cmd := command(s)
		cmd.Open()
		for _, item := range append([]Item{"UID"}, wholeMessage...) {
			cmd.Raw(string(item))
		}
		cmd.Close()
		err := s.fetchInto(f, cmd, func(m *wire.Fetched) error {
			switch {
			case m.UID == 0 && len(m.Sections) > 0:
				return fmt.Errorf("%w: message %d was sent without its UID", ErrProtocol, m.Seq)
			case is(m):
				info.fill(m)
				have |= m.Items | m.Bad
				if body := m.Section(string(wholeMessageItem)); body != nil {
					raw, found = body.Data, true
				}
			}
			return nil
		})
		switch {
		case err == nil && len(raw) == 0 && info.UID != 0 && info.Size > 0 && info.Err == nil:
			raw, err = s.wholeAgain(f, hollow{uid: info.UID, size: info.Size})
			found = true
		case (err == nil || s.isRefusal(err)) && uid != 0 && info.UID == 0:
			raw, have, err = s.apart(f, uid, info, err)
			found = true
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case !found && info.Err != nil:
		return nil, info.Err
	case !found:
		return nil, fmt.Errorf("%w: %s in %s", ErrNotFound, which, f.name)
	}
	info.lacks(missing(wholeMessage, have))
	return f.message(info, raw), nil
}

// message parses what was fetched.
func (f *Folder) message(info *MessageInfo, raw []byte) *Message {
	m := parseMessage(raw, f.client.Limits)
	info.Envelope = envelopeFromHeader(m.Header)
	m.Info = info
	return m
}

// fetchInto opens the folder and runs one FETCH command, in one go. A refusal
// that only says that the message is not there is not an error.
func (s *session) fetchInto(f *Folder, cmd *wire.Command, each func(*wire.Fetched) error) error {
	opening := s.opening(f)
	if opening != nil {
		if err := s.Send(opening); err != nil {
			return err
		}
	}
	r := s.NewFetchReader()
	if err := r.Add(cmd); err != nil {
		return err
	}
	var bad error
	var early nameless
	var told int64 // bytes that say more than which flags there are
	most := s.client.limits().Message / parsedSize
	for {
		m, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if !m.FlagsOnly() {
			told += r.Text()
		}
		if told > most {
			s.Discard()
			return fmt.Errorf("%w: more than %d bytes about a single message", ErrLimit, most)
		}
		if early.namedBy(m, r.Era()) {
			bad = cmp.Or(bad, each(&early.m))
		}
		bad = cmp.Or(bad, each(m))
	}
	if err := s.settled(f, opening); err != nil {
		return err
	}
	if bad != nil {
		return bad
	}
	return s.fetchRefusal(cmd)
}

// fetchRefusal returns the error of a FETCH command. Cyrus says NO, Mailutils
// BAD, for a sequence number that no message has; Mailutils also for a UID.
func (s *session) fetchRefusal(cmd *wire.Command) error {
	err := refusal(cmd)
	if err == nil || gone(cmd.Status) || s.confusesUIDs() && strings.Contains(cmd.Status.Text, "message set") {
		return nil
	}
	var seq uint32
	if n, _ := fmt.Sscanf(cmd.Text(), "FETCH %d ", &seq); n == 1 && s.Mailbox() != nil && seq > s.Mailbox().Messages {
		return nil
	}
	return err
}

// FetchAll fetches messages as a whole and parses them, in ascending order of
// their UIDs. UIDs that do not exist are skipped; what the server keeps to itself
// of a message is told in Message.Info.Err. Nothing is marked as read.
// Each message is bounded by [Limits].Message; [Folder.Raw] has no bound.
//
// An error ends the loop. Leaving it early is fine. Other calls may be made
// inside the loop, also with one connection.
func (f *Folder) FetchAll(ctx context.Context, uids []imap.UID) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		l, err := f.newLoop(UIDs(uids...), wholeMessage)
		if err != nil {
			yield(nil, err)
			return
		}
		l.perChunk, l.mostPerChunk = mostBodiesPerFetch, mostBodiesPerFetch
		l.plan(ascending(uids))
		for info, err := range l.all(ctx, "FetchAll") {
			if err != nil {
				yield(nil, err)
				return
			}
			var raw []byte
			if len(l.bodies) > 0 {
				raw = l.bodies[0].Data
			}
			if !yield(f.message(info, raw), nil) {
				return
			}
		}
	}
}

// A RawMessage is a message as it is on the server.
type RawMessage struct {
	UID  imap.UID
	Size int64     // length of Body
	Body io.Reader // valid until the next step of the loop
}

// Raw streams messages of any size in constant memory, in the order of the
// server, which is ascending. UIDs that do not exist are skipped. What the loop
// does not read of a Body is skipped. Nothing is marked as read. Messages of
// which a server sends nothing when asked for them as a whole come last, and
// from memory ([Limits].Message bounds them). Those that it keeps to itself are
// the last error.
//
// An error ends the loop. The loop has its connection to itself: another call
// inside it needs a second one (see [Client.MaxConns]).
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
			if !yield(msg, f.client.outcome(err)) || err != nil {
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
	todo   []imap.UID
	sent   []*wire.Command
	uids   [][]imap.UID      // of sent, that have not come
	hollow map[imap.UID]bool // of which nothing has come; true: an empty body has
	absent []imap.UID        // that commands have left out, or were refused because of
	there  []imap.UID        // of absent, ascending: those that are in the folder
	rest   []imap.UID        // of hollow, when all else is done
	lost   error             // of those that the server does not part with
	reader *wire.FetchReader
	first  *wire.Fetched
	ended  error

	perChunk int // messages of the next command
	refused  int // messages in a row for which the server says NO
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
		r.todo, r.sent, r.uids = there, nil, nil
		r.reader = s.NewFetchReader()
		r.reader.Stream = string(wholeMessageItem)
		if err := s.openWith(r.folder, func() error { return r.ask(s) }); err != nil {
			return err
		}
		r.first, r.ended = r.reader.Next()
		if r.ended != nil && r.ended != io.EOF {
			return r.ended
		}
		return nil
	})
	if err == nil {
		r.folder.client.streaming(l)
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
	if err := r.folder.client.patience(ctx).outlast(refused); err != nil {
		return nil, err
	}
	r.todo = append(slices.Concat(r.uids...), r.todo...)
	return r.start(ctx)
}

// streaming marks a connection as being in the program's hands.
func (c *Client) streaming(l *lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.stream = true
}

func (r *rawLoop) ask(s *session) error {
	for len(r.sent) < aheadOf && len(r.todo) > 0 {
		uids, rest := s.measure().atMost(r.perChunk).cut(r.todo)
		cmd := s.Command("UID FETCH").Raw(string(appendSet(nil, uids))).Raw("(UID " + string(wholeMessageItem) + ")")
		r.sent, r.uids, r.todo = append(r.sent, cmd), append(r.uids, uids), rest
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
			return RawMessage{}, fmt.Errorf("%w: message %d was sent without its UID", ErrProtocol, m.Seq)
		}
		i := slices.IndexFunc(r.uids, func(uids []imap.UID) bool { return contains(uids, m.UID) })
		if i < 0 {
			continue
		}
		if section == nil || section.Size == 0 && isWhole(*section) {
			// Or it is a change of flags, and the body is still to come.
			r.expect(m.UID, section != nil)
			continue
		}
		r.strike(i, m.UID)
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
func (r *rawLoop) strike(i int, uid imap.UID) {
	uids := r.uids[i]
	if at, _ := slices.BinarySearch(uids, uid); at == 0 { // as servers send them
		r.uids[i] = uids[1:]
	} else {
		r.uids[i] = slices.Concat(uids[:at], uids[at+1:])
	}
	delete(r.hollow, uid)
}

// Open streams one message of any size, as it is on the server, in constant
// memory. It is not marked as read. Open returns [ErrNotFound] if there is no
// such message.
//
// The reader has a connection to itself until it has been read to its end or
// closed: another call meanwhile needs a second one (see [Client.MaxConns]).
// It may not be read from several goroutines; Close may be called from any.
func (f *Folder) Open(ctx context.Context, uid imap.UID) (io.ReadCloser, error) {
	return f.openSection(ctx, "Open", uid, string(wholeMessageItem))
}

func (f *Folder) openSection(ctx context.Context, verb string, uid imap.UID, section string) (io.ReadCloser, error) {
	if uid == 0 {
		return nil, errors.New("imapkit: UID 0 does not exist")
	}
	op := f.operation(verb)
	op.stream = true
	r := &bodyReader{client: f.client}
	l, err := f.client.start(ctx, op, func(s *session) error {
		opening := s.opening(f)
		if opening != nil {
			if err := s.Send(opening); err != nil {
				return err
			}
		}
		r.cmd = s.Command("UID FETCH").Number(uint64(uid)).Raw("(UID " + section + ")")
		r.reader = s.NewFetchReader()
		r.reader.Stream = section
		if err := r.reader.Add(r.cmd); err != nil {
			return err
		}
		h := hollow{uid: uid}
		there := false
		for {
			m, err := r.reader.Next()
			if err == io.EOF {
				if err := s.settled(f, opening); err != nil {
					return err
				}
				err := s.fetchRefusal(r.cmd)
				switch {
				case err != nil && !s.isRefusal(err):
					return err
				case err == nil && there && section == string(wholeMessageItem):
					return r.again(s, f, h)
				case section == string(wholeMessageItem):
					raw, _, err := s.apart(f, uid, new(MessageInfo), err)
					r.cmd, r.held = nil, bytes.NewReader(raw)
					return err
				case err != nil:
					return err
				case there:
					return fmt.Errorf("%w: the server did not send %s of UID %d", ErrProtocol, section, uid)
				}
				return fmt.Errorf("%w: UID %d in %s", ErrNotFound, uid, f.name)
			}
			if err != nil {
				return err
			}
			there = there || m.UID == uid
			found := m.Section(section)
			if found == nil || m.UID != 0 && m.UID != uid {
				continue
			}
			if m.UID == uid && found.Size == 0 && section == string(wholeMessageItem) {
				h.empty = true
				continue
			}
			if m.UID == 0 {
				if err := s.finishFetch(r.reader); err != nil {
					return err
				}
				return fmt.Errorf("%w: message %d was sent without its UID", ErrProtocol, m.Seq)
			}
			if err := s.settled(f, opening); err != nil {
				s.Discard()
				return err
			}
			r.body = m.Body
			if m.Body == nil {
				r.held = bytes.NewReader(found.Data)
			}
			return nil
		}
	})
	if err != nil {
		return nil, err
	}
	r.lease, r.conn = l, l.s
	f.client.streaming(l)
	return r, nil
}

// finishFetch reads what is left of FETCH commands.
func (s *session) finishFetch(r *wire.FetchReader) error {
	for r.Pending() > 0 {
		if _, err := r.Next(); err != nil && err != io.EOF {
			return err
		}
	}
	return nil
}

// A bodyReader is what Open returns.
type bodyReader struct {
	client *Client
	conn   *session
	cmd    *wire.Command // nil: it is done
	reader *wire.FetchReader
	body   *wire.Body    // streamed
	held   *bytes.Reader // or in memory

	mu    sync.Mutex // held while reading
	lease *lease     // nil: given back
	err   error
}

// left returns how many bytes there are still to read.
func (r *bodyReader) left() int64 {
	if r.body != nil {
		return r.body.Len()
	}
	return int64(r.held.Len())
}

// Read implements io.Reader.
func (r *bodyReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return 0, r.err
	}
	n, err := 0, r.conn.Err() // the context may end while all has arrived
	if err != nil {
		r.err = r.client.outcome(err)
		r.giveBack()
		return 0, r.err
	}
	if r.body != nil {
		n, err = r.body.Read(p)
	} else {
		n, err = r.held.Read(p)
	}
	if err == io.EOF {
		r.err = io.EOF
		if ferr := r.lease.s.finishFetch(r.reader); ferr != nil {
			r.err = r.client.outcome(ferr)
		} else if r.cmd != nil {
			r.err = cmp.Or(refusal(r.cmd), io.EOF)
		}
		r.giveBack()
		return n, r.err
	}
	if err != nil {
		r.err = r.client.outcome(err)
		r.giveBack()
	}
	return n, r.err
}

func (r *bodyReader) giveBack() {
	if r.lease != nil {
		r.client.finish(r.lease)
		r.lease = nil
	}
}

// cheapBytes is how much of a body is rather read and forgotten than a new
// connection made.
const cheapBytes = 256 << 10

var errReaderClosed = errors.New("imapkit: reader is closed")

// Close implements io.Closer. It never waits long: what is left of a large
// message is dropped together with the connection.
func (r *bodyReader) Close() error {
	if !r.mu.TryLock() { // a Read is under way in another goroutine
		r.conn.Abort(errReaderClosed)
		r.mu.Lock()
	}
	defer r.mu.Unlock()
	if r.lease == nil {
		return nil
	}
	s := r.lease.s
	if r.body != nil && r.body.Len() > cheapBytes {
		s.Discard()
	} else {
		s.End()
		s.Begin(context.Background(), time.Second, false)
		s.finishFetch(r.reader) // an error ends the connection, which is all right here
	}
	r.err = errReaderClosed
	r.giveBack()
	return nil
}
