package imapkit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/wire"
)

// AddFlags adds flags to messages (RFC 9051 section 6.4.6). UIDs that do not
// exist are skipped; without any, or without flags, nothing is sent. A keyword
// that the folder does not allow is an error, found before anything is changed.
func (f *Folder) AddFlags(ctx context.Context, uids []imap.UID, flags ...imap.Flag) error {
	if len(flags) == 0 {
		return nil
	}
	return f.storeFlags(ctx, "AddFlags", "+FLAGS.SILENT", uids, flags)
}

// RemoveFlags removes flags from messages. See [Folder.AddFlags].
func (f *Folder) RemoveFlags(ctx context.Context, uids []imap.UID, flags ...imap.Flag) error {
	if len(flags) == 0 {
		return nil
	}
	return f.storeFlags(ctx, "RemoveFlags", "-FLAGS.SILENT", uids, flags)
}

// SetFlags replaces the flags of messages; without flags, all are removed. See
// [Folder.AddFlags].
func (f *Folder) SetFlags(ctx context.Context, uids []imap.UID, flags ...imap.Flag) error {
	return f.storeFlags(ctx, "SetFlags", "FLAGS.SILENT", uids, flags)
}

func (f *Folder) storeFlags(ctx context.Context, verb, item string, uids []imap.UID, flags []imap.Flag) error {
	if err := checkFlags(flags); err != nil {
		return err
	}
	op := f.operation(verb)
	op.changes = true
	return f.withUIDs(ctx, op, uids, func(s *session, sets [][]imap.UID) error {
		if item[0] != '-' {
			if err := allowed(s.Mailbox(), flags); err != nil {
				return fmt.Errorf("%w in %s", err, f.name)
			}
		}
		for i, set := range sets {
			if err := s.change(s.store(set, item, flags)); err != nil {
				return partly(err, i, len(sets))
			}
		}
		return nil
	})
}

// store makes a STORE command.
func (s *session) store(uids []imap.UID, item string, flags []imap.Flag) *wire.Command {
	cmd := s.Command("UID STORE").Raw(string(appendSet(nil, uids))).Raw(item).Open()
	for _, flag := range flags {
		cmd.Flag(flag)
	}
	return cmd.Close()
}

// partly tells, when a long list of UIDs was split, that some are done.
func partly(err error, done, of int) error {
	if of > 1 {
		return fmt.Errorf("imapkit: %d of %d commands were done before: %w", done, of, err)
	}
	return err
}

// withUIDs opens the folder and runs fn with the UIDs in pieces that fit a
// command line. UIDs that cannot exist are refused before anything is sent;
// without any, nothing is sent.
func (f *Folder) withUIDs(ctx context.Context, op operation, uids []imap.UID, fn func(*session, [][]imap.UID) error) error {
	if slices.Contains(uids, 0) {
		return errors.New("imapkit: UID 0 does not exist")
	}
	if err := f.client.check(); err != nil {
		return err
	}
	if f.client.ReadOnly && op.changes {
		return fmt.Errorf("%w: %s", ErrReadOnly, op.what)
	}
	if len(uids) == 0 {
		return nil
	}
	sets := chunks(ascending(uids), longestLine, 1<<30)
	return f.client.do(ctx, op, func(s *session) error {
		if err := s.open(f); err != nil {
			return err
		}
		return fn(s, sets)
	})
}

func checkFlags(flags []imap.Flag) error {
	for _, flag := range flags {
		switch name := string(flag); {
		case strings.EqualFold(name, `\Recent`):
			return errors.New(`imapkit: flag \Recent is the server's own and cannot be set`)
		case !wire.IsAtom(strings.TrimPrefix(name, `\`)):
			return fmt.Errorf("imapkit: flag %q cannot be sent", name)
		}
	}
	return nil
}

// allowed returns an error for a keyword that the folder does not take. What a
// server without PERMANENTFLAGS takes cannot be known (RFC 9051 section 7.1).
func allowed(box *wire.Mailbox, flags []imap.Flag) error {
	if !box.HasPermanent {
		return nil
	}
	for _, flag := range flags {
		known := func(f imap.Flag) bool { return f == imap.FlagWildcard || strings.EqualFold(string(f), string(flag)) }
		if !strings.HasPrefix(string(flag), `\`) && !slices.ContainsFunc(box.PermanentFlags, known) {
			return fmt.Errorf("%w: keyword %q is not allowed", ErrNotSupported, string(flag))
		}
	}
	return nil
}
