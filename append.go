package imapkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
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
// The first 64 KiB are read before anything is sent. If there is UTF-8 in the
// header, the server is told so where it takes that (RFC 6855); if there are NUL
// bytes, the message goes out as binary, and Append returns [ErrNotSupported]
// where the server does not take that (RFC 3516).
//
// A reader that fails, holds fewer or more than size bytes, or has its first NUL
// byte behind the first 64 KiB, never leaves a damaged message: if need be, the
// connection is dropped before the server has it all. The server's refusal is a
// [*ServerError] with codes such as OVERQUOTA, TRYCREATE and TOOBIG; nothing was
// added then. A message beyond the server's APPENDLIMIT (RFC 7889) is not even
// sent. If the connection breaks before the whole message was sent, nothing was
// added either.
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
	return f.append(ctx, source)
}

// append does what Append does. The source may have been looked at, but not
// sent.
func (f *Folder) append(ctx context.Context, source *source) (imap.UID, error) {
	op := f.operation("Append")
	op.folder, op.changes, op.stream = "", true, true // any connection will do
	var uid imap.UID
	var failed error
	err := f.client.do(ctx, op, func(s *session) error {
		if !source.rewind() {
			return failed // on the connection before this one
		}
		if failed = s.ready(f, source); failed != nil {
			return failed
		}
		uid, failed = f.send(s, source, func() *wire.Command { return s.Command("APPEND").Mailbox(f.name) })
		return failed
	})
	if errors.Is(err, ErrUnknownOutcome) {
		return f.settle(ctx, source, f.highest(), err)
	}
	return uid, err
}

// send completes a command with a message, and runs it.
func (f *Folder) send(s *session, source *source, begin func() *wire.Command) (imap.UID, error) {
	for {
		cmd := begin()
		s.addMessage(cmd, source)
		err := source.outcome(s, cmd, s.change(cmd))
		if err == nil {
			s.noteUTF8Data(source)
			return f.appended(cmd.Status, 1)[0], nil
		}
		if !source.withoutUTF8Data(cmd) {
			return 0, err
		}
	}
}

// ready loads a message, unless the server says that it will not take it, and
// makes the connection ready for it.
func (s *session) ready(f *Folder, source *source) error {
	caps, err := s.capabilities() // which also tell what literals it takes
	if err != nil {
		return err
	}
	if err := s.tooBig(f.name, source.size); err != nil {
		return err
	}
	if err := source.load(); err != nil {
		return err
	}
	if source.nul >= 0 && !caps.Has(imap.CapBinary) {
		return fmt.Errorf("%w: byte %d of the message is a NUL, and the server lacks BINARY", ErrNotSupported, source.nul)
	}
	if source.utf8 {
		return s.enableUTF8()
	}
	return nil
}

// addMessage adds flags, date and text to a command.
func (s *session) addMessage(cmd *wire.Command, source *source) {
	source.wrapped = source.utf8 && !source.bare && s.takesUTF8Data()
	// Courier reads UTF8 data only behind flags or a date.
	if len(source.opts.Flags) > 0 || source.wrapped && source.opts.InternalDate.IsZero() {
		addFlagList(cmd, source.opts.Flags)
	}
	if date := source.opts.InternalDate; !date.IsZero() {
		cmd.String(date.Format("_2-Jan-2006 15:04:05 -0700"))
	}
	if source.wrapped {
		cmd.Raw("UTF8").Open().LiteralFrom(source, source.size, true).Close()
	} else {
		cmd.LiteralFrom(source, source.size, source.nul >= 0)
	}
}

// outcome says what the failure of an APPEND command means.
func (src *source) outcome(s *session, cmd *wire.Command, err error) error {
	if broken := new(wire.SourceError); errors.As(err, &broken) {
		return broken
	}
	if s.Err() != nil && !cmd.Done && !src.complete() {
		// The server cannot have taken what it has not got.
		return fmt.Errorf("imapkit: %s was cut short, nothing was added: %w", cmd.Name, s.Err())
	}
	if err != nil && src.past {
		return partlyDone{err} // the message cannot be read again
	}
	return err
}

// appended takes the UIDs of so many messages from APPENDUID (RFC 4315), and
// remembers that the next message will have a higher one. They are all 0 if the
// server does not say, or does not say it of just so many in ascending order.
func (f *Folder) appended(status wire.Status, count int) []imap.UID {
	uids := make([]imap.UID, count)
	if status.CodeName() != "APPENDUID" {
		return uids
	}
	validity, told, ok := wire.ParseAppendUID(status.CodeArgs())
	if !ok {
		return uids
	}
	list := make([]imap.UID, 0, count)
	for _, r := range told {
		if len(list) > 0 && imap.UID(r.First) <= list[len(list)-1] || int64(r.Last-r.First) >= int64(count-len(list)) {
			return uids
		}
		for n := r.First; ; n++ {
			list = append(list, imap.UID(n))
			if n == r.Last {
				break
			}
		}
	}
	if len(list) != count {
		return uids
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.uidValidity == 0 || f.uidValidity == validity {
		f.uidValidity = validity
		f.newerThan = max(f.newerThan, list[count-1])
	}
	return list
}

// highest returns a UID below those of messages that are appended from now on.
func (f *Folder) highest() imap.UID {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.newerThan
}

// settle finds out whether a message has arrived although the connection broke.
// One that the folder had before does not count: its UID is at most known.
func (f *Folder) settle(ctx context.Context, source *source, known imap.UID, unknown error) (imap.UID, error) {
	if source.id == "" || ctx.Err() != nil || errors.Is(unknown, ErrTimeout) {
		return 0, unknown
	}
	found, err := f.Search(ctx, Header("Message-ID", source.id))
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

// tooBig returns an error for a message that the server says it will not take.
func (s *session) tooBig(folder string, size int64) error {
	most, err := s.appendLimit(folder)
	if err != nil || size <= most {
		return err
	}
	return &ServerError{Command: "APPEND", Status: "NO", Code: "TOOBIG",
		Text: fmt.Sprintf("the server takes messages of at most %d bytes, this one has %d (not sent)", most, size)}
}

// appendLimit returns the size up to which the server takes messages (RFC 7889).
// Where each folder has its own, it is asked for once per Client.
func (s *session) appendLimit(folder string) (int64, error) {
	for capability := range s.Caps() {
		if limit, ok := strings.CutPrefix(string(capability), "APPENDLIMIT="); ok {
			if most, err := strconv.ParseInt(limit, 10, 64); err == nil {
				return most, nil
			}
		}
	}
	if !s.Caps().Has("APPENDLIMIT") {
		return math.MaxInt64, nil
	}
	c := s.client
	c.mu.Lock()
	most, known := c.memory.appendLimits[folder]
	c.mu.Unlock()
	if known {
		return most, nil
	}
	most = math.MaxInt64 // also if the answer is NIL, or a refusal
	cmd := s.Command("STATUS").Mailbox(folder).Raw("(APPENDLIMIT)")
	cmd.On = func(r *wire.Response) bool {
		status, ok := r.MailboxStatus(&c.names, s.UTF8())
		if ok && status.Items&wire.StatusAppendLimit != 0 {
			most = status.AppendLimit
		}
		return ok
	}
	if err := s.Run(cmd); err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.memory.appendLimits == nil {
		c.memory.appendLimits = make(map[string]int64)
	}
	c.memory.appendLimits[folder] = most
	return most, nil
}
