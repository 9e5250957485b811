package imapkit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/wire"
)

// Open streams one message of any size, as it is on the server, in constant
// memory. It is not marked as read. Open returns [ErrNotFound] if there is no
// such message.
//
// The reader has a connection to itself until it has been read to its end or
// closed, or ctx ends: another call meanwhile needs a second one (see
// [Client.MaxConns]). It may not be read from several goroutines; Close may be
// called from any.
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
		opening, err := s.beginFor(f, uid)
		if err != nil {
			return err
		}
		ask := func() error {
			r.cmd = s.Command("UID FETCH").Number(uint64(uid)).Raw("(UID " + section + ")")
			r.reader = s.NewFetchReader()
			r.reader.Stream = section
			return r.reader.Add(r.cmd)
		}
		asked := 1
		if err := ask(); err != nil {
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
				if err := s.missing(f, uid); !errors.Is(err, errSendsNothing) || asked == 2 {
					return err
				}
				asked, opening = 2, nil
				if err := ask(); err != nil {
					return err
				}
				continue
			}
			if err != nil {
				return err
			}
			there = there || m.UID == uid && !(m.FlagsOnly() && m.Items&wire.ItemFlags != 0) // which may come unasked
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
				return withoutUID(m)
			}
			if opening != nil && !opening.Done { // while a body is under way no answer can be read
				s.Discard()
				return fmt.Errorf("%w: UID %d was sent before %s was open", ErrProtocol, uid, f.name)
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
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lease, r.conn, r.interrupt = l, l.s, l.s.Interrupter()
	r.unwatch = context.AfterFunc(ctx, func() {
		r.mu.Lock() // a Read under way ends with the context as well
		defer r.mu.Unlock()
		r.abandon(ended(ctx))
	})
	if !f.client.streaming(l, r.orphan) {
		r.abandon(ErrClosed)
		return nil, r.err
	}
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
	client    *Client
	conn      *session
	interrupt func(error)   // ends a Read under way
	unwatch   func() bool   // ends the watch on the context
	cmd       *wire.Command // nil: it is done
	reader    *wire.FetchReader
	body      *wire.Body    // streamed
	held      *bytes.Reader // or in memory

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
			r.err = cmp.Or(r.lease.s.fetchRefusal(r.cmd), io.EOF)
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
		r.unwatch()
		r.client.finish(r.lease)
		r.lease = nil
	}
}

// abandon gives the connection up when the context has ended or the Client is
// closed: the program may have forgotten the reader, which would keep others
// waiting for its turn. r.mu is held.
func (r *bodyReader) abandon(why error) {
	if r.lease == nil {
		return
	}
	r.conn.Abort(why)
	r.err = r.client.outcome(r.conn.Err())
	r.giveBack()
}

// orphan does so, unless a Read or Close is under way, which sees the same.
func (r *bodyReader) orphan() {
	if r.mu.TryLock() {
		defer r.mu.Unlock()
		r.abandon(ErrClosed)
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
		r.interrupt(errReaderClosed)
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
