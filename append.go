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
}

// Append adds a message of size bytes to the folder, streaming it from msg in
// constant memory (RFC 9051 section 6.3.12). The bytes go out as they are; lines
// should end in CRLF. It returns the message's new UID, or 0 where the server
// does not say (without UIDPLUS).
//
// A reader that fails, or holds fewer or more than size bytes, never leaves a
// damaged message: the connection is dropped before the server has it all. The
// server's refusal is a [*ServerError] with codes such as OVERQUOTA, TRYCREATE
// and TOOBIG; nothing was added then.
func (f *Folder) Append(ctx context.Context, msg io.Reader, size int64, opts AppendOptions) (imap.UID, error) {
	if size < 0 {
		return 0, fmt.Errorf("imapkit: Append: size %d is negative", size)
	}
	if err := checkFlags(opts.Flags); err != nil {
		return 0, err
	}
	if y := opts.InternalDate.Year(); !opts.InternalDate.IsZero() && (y < 1 || y > 9999) {
		return 0, fmt.Errorf("imapkit: AppendOptions.InternalDate: the year %d cannot be written in IMAP", y)
	}
	op := f.operation("Append")
	op.folder, op.changes, op.stream = "", true, true // any connection will do
	var uid imap.UID
	source := &countingReader{r: msg}
	err := f.client.do(ctx, op, func(s *session) error {
		if err := s.tooBig(size); err != nil {
			return err
		}
		cmd := s.Command("APPEND").Mailbox(f.name)
		if len(opts.Flags) > 0 {
			cmd.Open()
			for _, flag := range opts.Flags {
				cmd.Flag(flag)
			}
			cmd.Close()
		}
		if !opts.InternalDate.IsZero() {
			cmd.String(opts.InternalDate.Format("_2-Jan-2006 15:04:05 -0700"))
		}
		cmd.LiteralFrom(source, size, false)
		err := s.change(cmd)
		if broken := new(wire.SourceError); errors.As(err, &broken) {
			return broken // the command was not completed: nothing has happened
		}
		if err != nil && source.n > 0 && !errors.Is(err, ErrUnknownOutcome) && s.Err() != nil {
			return unknownOutcome("APPEND", err) // what was read of msg cannot be read again
		}
		if err == nil && cmd.Status.CodeName() == "APPENDUID" {
			if _, uids, ok := wire.ParseAppendUID(cmd.Status.CodeArgs()); ok && len(uids) > 0 {
				uid = imap.UID(uids[0].First)
			}
		}
		return err
	})
	return uid, err
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

// A countingReader knows whether anything has been read.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
