package imapkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/wire"
)

// AppendOptions are what [Folder.Append] gives a message beside its text.
type AppendOptions struct {
	Flags        []imap.Flag
	InternalDate time.Time // when it arrived; zero: now
	// CRLF makes line ends of a bare LF into CRLF, as mail must have them. The
	// message must then be an [io.ReadSeeker]: it is read twice, because the
	// server is told the size first.
	CRLF bool
}

// Append adds a message of size bytes to the folder, streaming it from msg in
// constant memory (RFC 9051 section 6.3.12). The bytes go out as they are, unless
// opts.CRLF is set; lines should end in CRLF. It returns the message's new UID,
// or 0 where the server does not say (without UIDPLUS).
//
// A reader that fails, or holds fewer or more than size bytes, never leaves a
// damaged message: the connection is dropped before the server has it all. The
// server's refusal is a [*ServerError] with codes such as OVERQUOTA, TRYCREATE
// and TOOBIG; nothing was added then. If the connection breaks before the whole
// message was sent, nothing was added either.
//
// If it breaks after that, Append looks for the message's Message-ID in the
// folder over a new connection. It succeeds if the message is there. If not, or
// if it cannot tell, it returns [ErrUnknownOutcome]: the server may still be at
// work on it. A message is never sent twice.
func (f *Folder) Append(ctx context.Context, msg io.Reader, size int64, opts AppendOptions) (imap.UID, error) {
	source, err := newSource(msg, size, opts)
	if err != nil {
		return 0, err
	}
	op := f.operation("Append")
	op.folder, op.changes, op.stream = "", true, true // any connection will do
	var uid imap.UID
	var failed error
	err = f.client.patiently(ctx, func() error {
		return f.client.do(ctx, op, func(s *session) error {
			if source.begun {
				return failed // on the connection before this one
			}
			cmd, err := s.appending(f.name, source)
			if err == nil {
				err = source.outcome(s, cmd, s.change(cmd))
			}
			if err == nil {
				uid = f.appended(cmd.Status)
			}
			failed = err
			return err
		})
	})
	if errors.Is(err, ErrUnknownOutcome) {
		return f.settle(ctx, source, err)
	}
	return uid, err
}

// appending makes an APPEND command, unless the server says that it will not
// take the message.
func (s *session) appending(folder string, source *source) (*wire.Command, error) {
	if err := s.tooBig(source.size); err != nil {
		return nil, err
	}
	cmd := s.Command("APPEND").Mailbox(folder)
	if len(source.opts.Flags) > 0 {
		addFlagList(cmd, source.opts.Flags)
	}
	if date := source.opts.InternalDate; !date.IsZero() {
		cmd.String(date.Format("_2-Jan-2006 15:04:05 -0700"))
	}
	return cmd.LiteralFrom(source, source.size, false), nil
}

// outcome says what the failure of an APPEND command means.
func (src *source) outcome(s *session, cmd *wire.Command, err error) error {
	if broken := new(wire.SourceError); errors.As(err, &broken) {
		return broken
	}
	if s.Err() != nil && !cmd.Done && !src.complete() {
		// The server cannot have taken what it has not got.
		return fmt.Errorf("imapkit: APPEND was cut short, nothing was added: %w", s.Err())
	}
	if err != nil && src.begun {
		return partlyDone{err} // the message cannot be read again
	}
	return err
}

// appended takes the UID from APPENDUID (RFC 4315), and remembers that the next
// message will have a higher one.
func (f *Folder) appended(status wire.Status) imap.UID {
	if status.CodeName() != "APPENDUID" {
		return 0
	}
	validity, uids, ok := wire.ParseAppendUID(status.CodeArgs())
	if !ok || len(uids) == 0 {
		return 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.uidValidity == 0 || f.uidValidity == validity {
		f.uidValidity = validity
		f.newerThan = max(f.newerThan, imap.UID(uids[0].First))
	}
	return imap.UID(uids[0].First)
}

// settle finds out whether a message has arrived although the connection broke.
// A message that the folder is known to have had before does not count.
func (f *Folder) settle(ctx context.Context, source *source, unknown error) (imap.UID, error) {
	id := source.id.value()
	if id == "" || ctx.Err() != nil || errors.Is(unknown, ErrTimeout) {
		return 0, unknown
	}
	f.mu.Lock()
	known := f.newerThan
	f.mu.Unlock()
	found, err := f.Search(ctx, Header("Message-ID", id))
	if err != nil {
		return 0, fmt.Errorf("%w (looking for it failed: %w)", unknown, err)
	}
	var uid imap.UID
	for _, candidate := range found {
		switch {
		case candidate <= known:
		case uid != 0:
			return 0, fmt.Errorf("%w (%s holds several messages with its Message-ID)", unknown, f.name)
		default:
			uid = candidate
		}
	}
	if uid == 0 {
		return 0, fmt.Errorf("%w (it is not in %s so far)", unknown, f.name)
	}
	f.mu.Lock()
	f.newerThan = max(f.newerThan, uid)
	f.mu.Unlock()
	return uid, nil
}

// tooBig returns an error for a message that the server says it will not take
// (RFC 7889).
func (s *session) tooBig(size int64) error {
	for capability := range s.Caps() {
		if limit, ok := strings.CutPrefix(string(capability), "APPENDLIMIT="); ok {
			if most, err := strconv.ParseInt(limit, 10, 64); err == nil && size > most {
				return &ServerError{Command: "APPEND", Status: "NO", Code: "TOOBIG",
					Text: fmt.Sprintf("the server takes messages of at most %d bytes, this one has %d (not sent)", most, size)}
			}
		}
	}
	return nil
}
