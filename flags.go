package imapkit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/wire"
)

// AddFlags adds flags to messages (RFC 9051 section 6.4.6). UIDs that do not
// exist are skipped; without any, or without flags, nothing is sent. A flag that
// the folder does not keep is [ErrNotSupported], found before anything is changed.
func (f *Folder) AddFlags(ctx context.Context, uids []imap.UID, flags ...imap.Flag) error {
	return f.storeFlags(ctx, "AddFlags", "+FLAGS.SILENT", uids, flags)
}

// RemoveFlags removes flags from messages. See [Folder.AddFlags].
func (f *Folder) RemoveFlags(ctx context.Context, uids []imap.UID, flags ...imap.Flag) error {
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
	if len(flags) == 0 && item[0] != 'F' {
		uids = nil
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
			if err := s.changeIn(f, s.store(set, item, flags)); err != nil {
				return partly(err, sets, i)
			}
		}
		return nil
	})
}

// A FlagChange is what [Folder.ChangeFlags] does to the flags of messages.
type FlagChange int

// The kinds of change.
const (
	FlagsAdd FlagChange = iota
	FlagsRemove
	FlagsReplace
)

var flagItems = [...]string{FlagsAdd: "+FLAGS.SILENT", FlagsRemove: "-FLAGS.SILENT", FlagsReplace: "FLAGS.SILENT"}

// ChangeFlags changes the flags of those messages that nobody has changed since
// modSeq, as [FolderStatus].HighestModSeq or [Extra].ModSeq told it, and
// returns the UIDs of the others, which it leaves alone (RFC 7162 section
// 3.1.3). Look at their flags and try again with a newer modSeq. It returns
// [ErrNotSupported] without CONDSTORE, or if the folder keeps no such numbers.
func (f *Folder) ChangeFlags(ctx context.Context, uids []imap.UID, modSeq uint64, change FlagChange,
	flags ...imap.Flag) (skipped []imap.UID, err error) {
	if change < FlagsAdd || change > FlagsReplace {
		return nil, fmt.Errorf("imapkit: ChangeFlags: FlagChange %d is none of the constants", int(change))
	}
	if modSeq > math.MaxInt64 { // RFC 7162 section 7
		return nil, fmt.Errorf("imapkit: ChangeFlags: modSeq %d %w", modSeq, wire.ErrArgument)
	}
	if err := checkFlags(flags); err != nil {
		return nil, err
	}
	op := f.operation("ChangeFlags")
	op.changes = true
	err = f.withUIDs(ctx, op, uids, func(s *session, sets [][]imap.UID) error {
		skipped = nil
		if err := s.need(imap.CapCondStore); err != nil {
			return err
		}
		if s.Mailbox().NoModSeq {
			return fmt.Errorf("%w: %s has no mod-sequences (CONDSTORE)", ErrNotSupported, f.name)
		}
		if change != FlagsRemove {
			if err := allowed(s.Mailbox(), flags); err != nil {
				return fmt.Errorf("%w in %s", err, f.name)
			}
		}
		for i, set := range sets {
			cmd := s.Command("UID STORE").Raw(string(appendSet(nil, set))).Raw("(UNCHANGEDSINCE").Number(modSeq).Glue(")")
			err := s.changeIn(f, addFlagList(cmd.Raw(flagItems[change]), flags))
			if cmd.Status.CodeName() == "MODIFIED" { // with OK, or with NO where nothing was changed
				ranges, ok := wire.ParseModified(cmd.Status.CodeArgs())
				if !ok {
					return fmt.Errorf("%w: STORE was answered with [%s]", ErrProtocol, cmd.Status.Code)
				}
				skipped = append(skipped, within(set, ranges)...)
				if cmd.Status.Type == "NO" {
					err = nil
				}
			}
			if err != nil {
				return partly(err, sets, i)
			}
		}
		return nil
	})
	return skipped, err
}

// within returns those UIDs that are in one of the ranges.
func within(uids []imap.UID, ranges []wire.Range) []imap.UID {
	return slices.DeleteFunc(slices.Clone(uids), func(uid imap.UID) bool {
		return !slices.ContainsFunc(ranges, func(r wire.Range) bool { return r.First <= uint32(uid) && uint32(uid) <= r.Last })
	})
}

// store makes a STORE command.
func (s *session) store(uids []imap.UID, item string, flags []imap.Flag) *wire.Command {
	return addFlagList(s.Command("UID STORE").Raw(string(appendSet(nil, uids))).Raw(item), flags)
}

func addFlagList(cmd *wire.Command, flags []imap.Flag) *wire.Command {
	cmd.Open()
	for _, flag := range flags {
		cmd.Flag(flag)
	}
	return cmd.Close()
}

// partly tells, when a long list of UIDs was split, which are done.
func partly(err error, sets [][]imap.UID, failed int) error {
	if failed == 0 {
		return err
	}
	done := sets[failed-1]
	return partlyDone{fmt.Errorf("imapkit: the UIDs up to %d are done, the next command failed: %w", done[len(done)-1], err)}
}

// changeIn runs one command that changes something in an open folder, unless
// that was rebuilt since the command before.
func (s *session) changeIn(f *Folder, cmd *wire.Command) error {
	if err := f.sameAs(s.Mailbox()); err != nil {
		return err
	}
	return s.change(cmd)
}

// withUIDs opens the folder and runs fn with the UIDs in pieces that fit a
// command line. UIDs that cannot exist are refused before anything is sent;
// without any, nothing is sent.
func (f *Folder) withUIDs(ctx context.Context, op operation, uids []imap.UID, fn func(*session, [][]imap.UID) error) error {
	if err := f.checkUIDs(op, uids); err != nil || len(uids) == 0 {
		return err
	}
	uids = ascending(uids)
	return f.client.do(ctx, op, func(s *session) error {
		there, err := s.existing(f, uids)
		if err != nil || len(there) == 0 {
			return err
		}
		if err := s.openFor(f, highest(there)); err != nil {
			return err
		}
		return fn(s, s.measure().chunks(there))
	})
}

// checkUIDs returns why an operation on these messages cannot be, whatever the
// server says.
func (f *Folder) checkUIDs(op operation, uids []imap.UID) error {
	if slices.Contains(uids, 0) {
		return errors.New("imapkit: UID 0 does not exist")
	}
	if err := f.client.check(); err != nil {
		return err
	}
	if f.client.ReadOnly && op.changes {
		return fmt.Errorf("%w: %s", ErrReadOnly, op.what)
	}
	return f.client.checkNames(f.name)
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

// allowed returns an error for a flag that the folder does not keep: servers
// ignore it, or forget it at the end of the session, and say nothing. What a
// server without PERMANENTFLAGS keeps cannot be known (RFC 9051 section 7.1).
func allowed(box *wire.Mailbox, flags []imap.Flag) error {
	if !box.HasPermanent || slices.Contains(box.PermanentFlags, imap.FlagWildcard) {
		return nil
	}
	for _, flag := range flags {
		same := func(f imap.Flag) bool { return strings.EqualFold(string(f), string(flag)) }
		switch {
		case slices.ContainsFunc(box.PermanentFlags, same):
		case strings.HasPrefix(string(flag), `\`):
			return fmt.Errorf("%w: flag %s is not kept", ErrNotSupported, string(flag))
		default:
			return fmt.Errorf("%w: keyword %q is not allowed", ErrNotSupported, string(flag))
		}
	}
	return nil
}
