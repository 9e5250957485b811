package imapkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

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
	mostAppendsAhead     = 32
	mostAppendBytesAhead = 1 << 20
)

// AppendAll adds messages to the folder and reports on each in turn: its UID,
// as [Folder.Append] returns it, or its error. Where the server takes literals
// without being asked (LITERAL+, or LITERAL- for short messages, RFC 7888) many
// are sent ahead of its answers. Unlike with MULTIAPPEND, a message that the
// server refuses takes no other with it.
//
// A refusal ([*ServerError]) and a message that cannot be sent leave the loop
// going. After any other error the messages that were already sent are reported
// on, and the loop ends; those behind them were not touched. The loop holds its
// connection. Breaking out waits for what was sent.
func (f *Folder) AppendAll(ctx context.Context, messages iter.Seq[NewMessage]) iter.Seq2[imap.UID, error] {
	return func(yield func(imap.UID, error) bool) {
		a := &appender{f: f, ctx: ctx}
		defer a.leave()
		for m := range messages {
			a.send(m)
			for len(a.sent) > mostAppendsAhead || a.bytes > mostAppendBytesAhead || a.failed {
				if len(a.sent) == 0 {
					return
				}
				if !yield(a.next()) {
					return
				}
			}
		}
		for len(a.sent) > 0 {
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
	sent    []*appended // not yet reported, oldest first
	bytes   int64       // of sent
	sending bool        // a command is incomplete
	failed  bool        // nothing more is to be sent
}

// An appended message is on its way, or cannot be sent.
type appended struct {
	source *source
	cmd    *wire.Command
	err    error
}

// send sends a message, or takes down why that cannot be done.
func (a *appender) send(m NewMessage) {
	one := new(appended)
	a.sent = append(a.sent, one)
	if one.source, one.err = newSource(m.Body, m.Size, m.Options); one.err != nil {
		return
	}
	a.bytes += one.source.size
	if one.err = a.attach(); one.err != nil {
		a.failed = true
		return
	}
	s := a.s
	if one.cmd, one.err = s.appending(a.f.name, one.source); one.err != nil {
		return
	}
	a.sending = true
	err := s.Send(one.cmd)
	a.sending = false
	if s.Err() != nil {
		a.failed = true
		if broken := new(wire.SourceError); errors.As(err, &broken) {
			one.err = broken
		}
	} else if err != nil {
		one.err = err
	}
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
		a.f.client.streaming(l)
	}
	return err
}

// next waits for the oldest message and tells what became of it.
func (a *appender) next() (imap.UID, error) {
	one := a.sent[0]
	a.sent = a.sent[1:]
	if one.source != nil {
		a.bytes -= one.source.size
	}
	if one.err != nil {
		return 0, one.err
	}
	if !one.cmd.Done {
		if err := a.s.Wait(one.cmd); err != nil {
			a.failed = true
		}
	}
	if one.cmd.Done {
		if err := refusal(one.cmd); err != nil {
			return 0, err
		}
		return a.f.appended(one.cmd.Status), nil
	}
	return a.lost(one)
}

// lost tells what became of a message whose answer has not come.
func (a *appender) lost(one *appended) (imap.UID, error) {
	cause := a.s.Err()
	if broken := new(wire.SourceError); errors.As(cause, &broken) {
		cause = fmt.Errorf("the connection was given up for another message: %w", broken.Err)
	}
	if !one.cmd.Begun() || !one.source.complete() {
		return 0, fmt.Errorf("imapkit: APPEND was cut short, nothing was added: %w", cause)
	}
	unknown := unknownOutcome("APPEND", cause)
	a.giveBack() // which makes room for another connection
	return a.f.settle(a.ctx, one.source, unknown)
}

// leave waits for what is under way and gives the connection back.
func (a *appender) leave() {
	if a.sending { // the program's reader has panicked
		a.s.Discard()
	}
	for _, one := range a.sent {
		if one.cmd != nil && !one.cmd.Done && a.s.Err() == nil {
			a.s.Wait(one.cmd)
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
