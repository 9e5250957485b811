package imapkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/wire"
)

// A NewMessage is one of the messages that [Folder.AppendAll] adds.
type NewMessage struct {
	Body    io.Reader
	Size    int64 // bytes that Body holds
	Options AppendOptions
}

// What may be sent ahead of the server's answers.
const (
	mostAppendsAhead     = 32 // commands
	mostAppendBytesAhead = 1 << 20
)

// What goes into one command. More gains hardly anything.
const (
	mostPerBatch     = 64
	mostBatchedBytes = 256 << 10
)

// AppendAll adds messages to the folder and reports on each in turn: its UID,
// as [Folder.Append] returns it, or its error. Up to 64 short messages, of at
// most 64 KiB each, go out in one command where the server takes that
// (MULTIAPPEND, RFC 3502), and where it takes literals without being asked
// (LITERAL+, or LITERAL- for short ones, RFC 7888) many commands are sent ahead
// of its answers. So reports may come a good while after their messages. At most
// about a megabyte is held in memory. A Body has been read when the next message
// is asked for: it may be that of a [Folder.Raw] loop, which has its own connection.
//
// A message that cannot be sent, or that the server refuses ([*ServerError]),
// takes no other with it, and the loop goes on: servers take all messages of a
// command or none, so those of a refused one are sent again one by one. Only the
// order in which the folder has them may change by that. A reader that fails
// spoils the connection only if its message is longer than 64 KiB.
//
// After any other error the messages that were already sent are reported on, and
// the loop ends; those behind them were not touched. The loop holds its
// connection. Breaking out waits for what was sent.
func (f *Folder) AppendAll(ctx context.Context, messages iter.Seq[NewMessage]) iter.Seq2[imap.UID, error] {
	return func(yield func(imap.UID, error) bool) {
		a := &appender{f: f, ctx: ctx}
		defer a.leave()
		for m := range messages {
			a.take(m)
			for a.known() || a.ahead > mostAppendsAhead || a.bytes > mostAppendBytesAhead || a.failed {
				if len(a.queue) == 0 {
					return
				}
				if !yield(a.next()) {
					return
				}
			}
		}
		a.sendBatch()
		for len(a.queue) > 0 {
			if !yield(a.next()) {
				return
			}
		}
	}
}

// An appender sends messages ahead.
type appender struct {
	f       *Folder
	ctx     context.Context
	lease   *lease      // nil: none, or given back
	s       *session    // of the lease
	queue   []*appended // not yet reported, oldest first
	bytes   int64       // of queue
	batch   []*appended // the end of queue, to be sent in one command
	ahead   int         // commands whose answer is not known
	sending bool        // a command is incomplete
	single  bool        // the server cannot read batches
	failed  bool        // nothing more is to be sent
	highest imap.UID    // messages that the broken connection may have added have higher ones
}

// An appended message waits, is on its way, or cannot be sent.
type appended struct {
	source *source
	in     *shipment // nil: not sent
	err    error
}

// A shipment is a command with its messages.
type shipment struct {
	cmd      *wire.Command
	messages []*appended
	over     bool       // the answer, or that there will be none, was noticed
	uids     []imap.UID // after OK
}

// take sends a message, puts it into the batch, or notes why that cannot be done.
func (a *appender) take(m NewMessage) {
	one := new(appended)
	a.queue = append(a.queue, one)
	if one.source, one.err = newSource(m.Body, m.Size, m.Options); one.err != nil {
		return
	}
	a.bytes += one.source.size
	if one.err = a.attach(); one.err != nil {
		a.failed = true
		return
	}
	if one.err = a.s.ready(a.f, one.source); one.err != nil {
		a.failed = a.s.Err() != nil
		return
	}
	if !a.batched(one.source) {
		a.sendBatch()
		a.send(one)
		return
	}
	size := one.source.size
	for _, other := range a.batch {
		size += other.source.size
	}
	if len(a.batch) == mostPerBatch || size > mostBatchedBytes {
		a.sendBatch()
	}
	a.batch = append(a.batch, one)
}

func (a *appender) attach() error {
	if a.lease != nil {
		return nil
	}
	op := a.f.operation("AppendAll")
	op.folder, op.changes, op.stream = "", true, true
	l, err := a.f.client.start(a.ctx, op, func(*session) error { return nil })
	if err == nil {
		a.lease, a.s = l, l.s
		a.f.client.streaming(l, nil)
	}
	return err
}

// batched reports whether a message may share a command with others.
func (a *appender) batched(src *source) bool {
	return src.short() && !src.utf8 && src.nul < 0 && !a.single && a.s.Caps().Has(imap.CapMultiAppend)
}

// sendBatch sends what was put aside.
func (a *appender) sendBatch() {
	batch := a.batch
	a.batch = nil
	if len(batch) > 0 && !a.failed {
		a.send(batch...)
		a.s.Flush() // the next batch may be a while; a failure shows when the answer is missing
	}
}

// send sends messages in one command.
func (a *appender) send(messages ...*appended) {
	s := a.s
	shipped := &shipment{cmd: s.Command("APPEND").Mailbox(a.f.name), messages: messages}
	for _, one := range messages {
		one.source.rewind()
		s.addMessage(shipped.cmd, one.source)
		one.in = shipped
	}
	a.ahead++
	a.sending = true
	err := s.Send(shipped.cmd)
	a.sending = false
	broken := new(wire.SourceError)
	switch {
	case errors.As(err, &broken): // which only a message that is streamed by itself can be
		a.failed = true
		messages[0].err = broken
	case s.Err() != nil:
		a.failed = true
	case err != nil: // not sent
		a.ahead--
		for _, one := range messages {
			one.err = err
		}
	}
}

// known reports whether the outcome of the oldest message is.
func (a *appender) known() bool {
	return len(a.queue) > 0 && (a.queue[0].err != nil || a.queue[0].in != nil && a.queue[0].in.over)
}

// next waits for the oldest message and tells what became of it.
func (a *appender) next() (imap.UID, error) {
	one := a.queue[0]
	a.queue = a.queue[1:]
	if one.source != nil {
		a.bytes -= one.source.size
	}
	var uid imap.UID
	uid, one.err = a.fate(one)
	return uid, a.f.client.outcome(one.err)
}

// fate waits until it is known what became of a message.
func (a *appender) fate(one *appended) (imap.UID, error) {
	waiting := a.f.client.patience(a.ctx)
	for one.err == nil && one.in != nil {
		shipped := one.in
		a.await(shipped)
		refused := refusal(shipped.cmd)
		switch {
		case !shipped.cmd.Done:
			return a.lost(one)
		case refused == nil:
			a.s.noteUTF8Data(one.source)
			return shipped.uids[slices.Index(shipped.messages, one)], nil
		case isThrottled(refused):
			if !one.source.rewind() {
				refused = partlyDone{refused}
			}
			if err := waiting.outlast(refused); err != nil {
				return 0, err
			}
			a.again(shipped.messages...)
		case len(shipped.messages) > 1:
			// None of them was added: find out which is refused.
			a.single = a.single || shipped.cmd.Status.Type == "BAD"
			for _, each := range shipped.messages {
				a.again(each)
			}
		case one.source.withoutUTF8Data(shipped.cmd):
			a.again(one)
		default:
			return 0, refused
		}
	}
	if one.err == nil {
		return a.lost(one)
	}
	return 0, one.err
}

// again sends messages that were refused, except those that were reported as such.
func (a *appender) again(messages ...*appended) {
	messages = slices.DeleteFunc(slices.Clone(messages), func(one *appended) bool { return one.err != nil })
	for _, one := range messages {
		one.in = nil
	}
	if !a.failed {
		a.send(messages...)
	}
}

// await waits for the answer to a command.
func (a *appender) await(shipped *shipment) {
	if shipped.over {
		return
	}
	shipped.over = true
	a.ahead--
	if a.s.Wait(shipped.cmd) != nil {
		a.failed = true
	}
	if shipped.cmd.Status.Type == "OK" {
		shipped.uids = a.f.appended(shipped.cmd.Status, len(shipped.messages))
	}
}

// lost tells what became of a message whose answer has not come.
func (a *appender) lost(one *appended) (imap.UID, error) {
	cause := a.s.Err()
	if broken := new(wire.SourceError); errors.As(cause, &broken) {
		cause = fmt.Errorf("the connection was given up for another message: %w", broken.Err)
	}
	if one.in == nil || !one.in.complete() {
		return 0, fmt.Errorf("imapkit: APPEND was cut short, nothing was added: %w", cause)
	}
	unknown := unknownOutcome("APPEND", cause)
	if a.lease != nil { // before the folder is looked at again
		a.highest = a.f.highest()
	}
	a.giveBack() // which makes room for another connection
	uid, err := a.f.settle(a.ctx, one.source, a.highest, unknown)
	a.highest = max(a.highest, uid)
	return uid, err
}

// complete reports whether the whole command may have been sent.
func (shipped *shipment) complete() bool {
	whole := shipped.cmd.Begun()
	for _, one := range shipped.messages {
		whole = whole && one.source.complete()
	}
	return whole
}

// leave waits for what is under way and gives the connection back.
func (a *appender) leave() {
	if a.sending { // the program's reader has panicked
		a.s.Discard()
	}
	for _, one := range a.queue {
		if one.in != nil && !one.in.cmd.Done && a.s.Err() == nil {
			a.s.Wait(one.in.cmd)
		}
	}
	a.giveBack()
}

func (a *appender) giveBack() {
	if a.lease != nil {
		a.f.client.finish(a.lease)
		a.lease = nil
	}
}
