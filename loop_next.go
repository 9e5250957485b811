package imapkit

import (
	"context"
	"io"
	"iter"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/wire"
)

// all hands out the messages. There is no defer around the program's part of a
// loop, because the compiler then makes it one function with the program's, where
// a MessageInfo that the program does not keep takes no memory. Who leaves such a
// loop by a panic has its connection recalled when that is wanted.
func (l *loop) all(ctx context.Context, verb string) iter.Seq2[*MessageInfo, error] {
	return func(yield func(*MessageInfo, error) bool) {
		l.ctx, l.verb = ctx, verb
		for {
			info, err := l.next(new(MessageInfo))
			if err == io.EOF || !yield(info, err) || err != nil {
				break
			}
		}
		l.leave()
	}
}

// next fills in the next message, which it returns, or returns io.EOF.
func (l *loop) next(info *MessageInfo) (*MessageInfo, error) {
	if l.folder.progress != nil && l.handed > 0 {
		if total := int(l.total.Load()); l.handed < total {
			l.folder.report(l.handed, total)
		}
	}
	if len(l.burst) > 0 && l.ctx.Err() == nil {
		m := &l.burst[0]
		info.UID, info.SeqNum, info.Flags = m.uid, m.seq, m.flags
		l.burst = l.burst[1:]
	} else if err := l.step(info); err != nil {
		if err == io.EOF {
			total := int(l.total.Load())
			l.folder.report(total, total)
		}
		return nil, err
	} else if l.shown && len(l.sections) > 0 {
		info.showSections(l.bodies)
	}
	l.handed++
	return info, nil
}

// step fills in the next message, or returns io.EOF.
func (l *loop) step(info *MessageInfo) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if l.ctx.Err() != nil { // also while messages are ready that have come before
			return ended(l.ctx)
		}
		if l.given < len(l.ready) {
			e := &l.ready[l.given]
			l.given++
			if len(l.sections) > 0 {
				e.header()
			}
			*info = *e.info
			l.bodies = e.sections
			l.held -= e.size
			l.waiting = nil
			*e = entry{}
			return nil
		}
		l.ready = l.ready[:0]
		l.given = 0
		switch {
		case l.err != nil:
			return l.err
		case l.stall != nil:
			if l.waiting == nil {
				l.waiting = l.folder.client.patience(l.ctx)
			}
			l.err = l.stopped(l.waiting.outlast(l.stall))
			l.stall = nil
		case l.query == nil && len(l.todo) == 0 && len(l.sent) == 0:
			return io.EOF
		case l.lease == nil:
			l.attach()
		case len(l.sent) == 0: // the search has to be made in another way
			l.detach()
		default:
			whole, err := l.pump(l.lease.s, true, info)
			if err != nil {
				l.fail(err)
			} else if whole {
				l.waiting = nil
				l.arrived()
				return nil
			}
		}
	}
}

// A flagged message is one of which only the flags were asked for.
type flagged struct {
	uid   imap.UID
	seq   uint32
	flags []imap.Flag
}

// arrived takes in what has come already of the next messages, as far as it is
// just flags: to hand them out one by one takes no lock.
func (l *loop) arrived() {
	c := l.current()
	if c == nil || c.entries != nil || l.wanted != wire.ItemFlags || len(l.items) > 2 {
		return
	}
	l.burst = l.flagged[:0]
	for len(l.burst) < cap(l.burst) && c.next < len(c.uids) {
		uid := c.uids[c.next]
		seq, flags, ok := l.reader.NextFlags(uid)
		if !ok {
			break
		}
		l.burst = append(l.burst, flagged{uid, seq, flags})
		c.next++
	}
}
