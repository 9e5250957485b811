package imapkit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/wire"
)

// A UIDMap maps the UIDs of messages to those of their copies. It is nil where
// the server does not say (without UIDPLUS).
type UIDMap map[imap.UID]imap.UID

// Copy copies messages to the folder named to, all or none of each command's
// (RFC 9051 section 6.4.7). UIDs that do not exist are skipped; without any,
// nothing is sent.
func (f *Folder) Copy(ctx context.Context, uids []imap.UID, to string) (UIDMap, error) {
	if err := f.client.checkNames(to); err != nil {
		return nil, err
	}
	var copies UIDMap
	op := f.operation("Copy")
	op.changes = true
	err := f.withUIDs(ctx, op, uids, func(s *session, sets [][]imap.UID) error {
		for i, set := range sets {
			if err := s.copyTo(f, "UID COPY", set, to, &copies); err != nil {
				return partly(err, sets, i)
			}
		}
		return nil
	})
	return copies, err
}

// Move moves messages to the folder named to (RFC 6851). UIDs that do not exist
// are skipped; without any, nothing is sent.
//
// On servers without MOVE the messages are copied, and once the server has
// confirmed that, deleted as [Folder.Delete] does: where it tells which messages
// it has copied, these only. When a step fails the following ones are not taken;
// the error says whether the messages are in both folders then. The map holds
// what the server has told, also if there is an error.
func (f *Folder) Move(ctx context.Context, uids []imap.UID, to string) (UIDMap, error) {
	if err := f.client.checkNames(to); err != nil {
		return nil, err
	}
	var moved UIDMap
	var spared []imap.UID
	op := f.operation("Move")
	op.changes = true
	err := f.withUIDs(ctx, op, uids, func(s *session, sets [][]imap.UID) error {
		if !s.has(imap.CapMove) {
			if err := s.canDelete(); err != nil {
				return err
			}
		}
		for i, set := range sets {
			if err := s.move(f, set, to, &moved, &spared); err != nil {
				return partly(err, sets, i)
			}
		}
		return nil
	})
	return moved, f.markAgain(ctx, "Move", spared, err)
}

// move runs MOVE, or what does the same on servers without it.
func (s *session) move(f *Folder, uids []imap.UID, to string, moved *UIDMap, spared *[]imap.UID) error {
	if s.has(imap.CapMove) {
		return s.copyTo(f, "UID MOVE", uids, to, moved)
	}
	copied, told, err := s.copyOf(f, "UID COPY", uids, to)
	if err != nil {
		return err
	}
	moved.add(copied)
	if told {
		uids = slices.DeleteFunc(slices.Clone(uids), func(uid imap.UID) bool { return copied[uid] == 0 })
	}
	if len(uids) == 0 {
		return fmt.Errorf("%w: COPYUID names none of the messages that were to be copied to %s, so they are kept in %s as well",
			ErrProtocol, to, f.name)
	}
	doubtful, err := s.deleteUIDs(f, uids, spared)
	switch {
	case err == nil:
		return nil
	case doubtful:
		return partlyDone{fmt.Errorf("imapkit: the messages were copied to %s, and may or may not have been removed from %s: %w",
			to, f.name, err)}
	}
	return partlyDone{fmt.Errorf("imapkit: the messages were copied to %s, but not removed from %s: %w", to, f.name, err)}
}

// copyTo runs COPY or MOVE and adds what the server tells of the new UIDs.
func (s *session) copyTo(f *Folder, verb string, uids []imap.UID, to string, copies *UIDMap) error {
	copied, _, err := s.copyOf(f, verb, uids, to)
	copies.add(copied)
	return err
}

// copyOf runs COPY or MOVE. told is whether the server says which messages it
// has copied, however badly.
func (s *session) copyOf(f *Folder, verb string, uids []imap.UID, to string) (copied UIDMap, told bool, err error) {
	cmd := s.Command(verb).Raw(string(appendSet(nil, uids))).Mailbox(to)
	note := func(status wire.Status) {
		if status.CodeName() != "COPYUID" {
			return
		}
		told = true
		if _, from, dest, ok := wire.ParseCopyUID(status.CodeArgs()); ok {
			if copied == nil {
				copied = make(UIDMap)
			}
			pair(copied, uids, from, dest)
		}
	}
	cmd.On = func(r *wire.Response) bool { // MOVE tells before the messages vanish
		note(r.Status)
		return r.Status.CodeName() == "COPYUID"
	}
	err = s.changeIn(f, cmd)
	note(cmd.Status)
	return copied, told, err
}

// add adds what another map has.
func (m *UIDMap) add(other UIDMap) {
	if *m == nil {
		*m = other
		return
	}
	maps.Copy(*m, other)
}

// pair matches two lists of UIDs, one to one. A server may name any number of
// messages that were not asked for: not more of them are kept than of the others.
func pair(m UIDMap, asked []imap.UID, from, to []wire.Range) {
	next := func(list *[]wire.Range) (uint32, bool) {
		if len(*list) == 0 {
			return 0, false
		}
		r := &(*list)[0]
		n := r.First
		if r.First == r.Last {
			*list = (*list)[1:]
		} else {
			r.First++
		}
		return n, true
	}
	from, to = slices.Clone(from), slices.Clone(to)
	for {
		a, ok1 := next(&from)
		b, ok2 := next(&to)
		if !ok1 || !ok2 {
			return
		}
		if len(m) < len(asked) || contains(asked, imap.UID(a)) {
			m[imap.UID(a)] = imap.UID(b)
		}
	}
}

// Delete removes these messages, and no others, for good (RFC 4315). UIDs that
// do not exist are skipped; without any, nothing is sent.
//
// Without UIDPLUS a server can only remove all messages that are marked
// \Deleted. If others than these are so marked, the mark is taken off them
// before and put on again afterwards, over a new connection if need be. Another
// program that marks a message between the search for such messages and EXPUNGE,
// two commands later, loses it, as it would with any program that expunges.
// Where the folder does not keep marks, or does not let go of them, Delete
// returns [ErrNotSupported] and removes nothing.
//
// After a failure the messages that were not removed may be left marked; the error
// says so.
func (f *Folder) Delete(ctx context.Context, uids []imap.UID) error {
	var spared []imap.UID
	op := f.operation("Delete")
	op.changes = true
	err := f.withUIDs(ctx, op, uids, func(s *session, sets [][]imap.UID) error {
		if err := s.canDelete(); err != nil {
			return err
		}
		for i, set := range sets {
			if _, err := s.deleteUIDs(f, set, &spared); err != nil {
				return partly(err, sets, i)
			}
		}
		return nil
	})
	return f.markAgain(ctx, "Delete", spared, err)
}

// Undelete takes the mark \Deleted off messages that were marked but not yet
// expunged. UIDs that do not exist are skipped; without any, nothing is sent.
func (f *Folder) Undelete(ctx context.Context, uids []imap.UID) error {
	return f.storeFlags(ctx, "Undelete", "-FLAGS.SILENT", uids, deletedFlag)
}

// canDelete returns an error if marking messages would not last until they are
// expunged.
func (s *session) canDelete() error {
	box := s.Mailbox()
	if box.ReadOnly {
		return fmt.Errorf("%w: %s was opened read-only by the server, so nothing can be removed", ErrNotSupported, box.Name)
	}
	if box.HasPermanent && !slices.Contains(box.PermanentFlags, imap.FlagDeleted) &&
		!slices.Contains(box.PermanentFlags, imap.FlagWildcard) {
		return fmt.Errorf("%w: %s does not keep \\Deleted, so nothing can be removed", ErrNotSupported, box.Name)
	}
	return nil
}

var deletedFlag = []imap.Flag{imap.FlagDeleted}

// deleteUIDs marks messages and expunges them, each step once the one before is
// confirmed. In spared are afterwards those that have lost their mark. After an
// error doubtful says that the messages may have been removed nevertheless.
func (s *session) deleteUIDs(f *Folder, uids []imap.UID, spared *[]imap.UID) (doubtful bool, err error) {
	if s.has(imap.CapUIDPlus) {
		return s.markAndExpunge(f, uids)
	}
	if err := s.spareOthers(f, uids, spared); err != nil {
		return false, err
	}
	doubtful, err = s.markAndExpunge(f, uids)
	if s.Err() == nil {
		if marking := s.mark(f, *spared); marking == nil {
			*spared = nil
		}
	}
	return doubtful, err
}

func (s *session) markAndExpunge(f *Folder, uids []imap.UID) (doubtful bool, err error) {
	if err := s.changeIn(f, s.store(uids, "+FLAGS.SILENT", deletedFlag)); err != nil {
		return false, err
	}
	if s.has(imap.CapUIDPlus) {
		err = s.changeIn(f, s.Command("UID EXPUNGE").Raw(string(appendSet(nil, uids))))
	} else {
		err = s.changeIn(f, s.Command("EXPUNGE"))
	}
	switch {
	case err == nil:
		return false, nil
	case errors.Is(err, ErrUnknownOutcome):
		return true, fmt.Errorf("imapkit: the messages were marked \\Deleted, and may or may not have been expunged: %w", err)
	}
	return false, fmt.Errorf("imapkit: the messages were marked \\Deleted, but not expunged: %w", err)
}

// spareOthers takes the mark off all other messages, and looks again whether it
// is off: some servers only pretend to store.
func (s *session) spareOthers(f *Folder, uids []imap.UID, spared *[]imap.UID) error {
	if err := s.lookForNew(); err != nil { // for marks that were set in other connections
		return err
	}
	for {
		marked, err := everything(func(r span) (*answer, error) {
			a := new(answer)
			cmd := s.Command("UID SEARCH")
			if !r.whole() {
				cmd.Raw(r.key())
			}
			a.collect(cmd.Raw("DELETED"))
			return a, s.run(cmd)
		})
		if err != nil {
			return err
		}
		others := slices.DeleteFunc(marked, func(uid imap.UID) bool { return contains(uids, uid) })
		if len(others) == 0 {
			return nil
		}
		if contains(*spared, others[0]) {
			return fmt.Errorf("%w: without UIDPLUS, other messages marked \\Deleted (UID %d) cannot be spared",
				ErrNotSupported, others[0])
		}
		*spared = ascending(append(*spared, others...))
		for _, set := range s.measure().chunks(others) {
			if err := s.changeIn(f, s.store(set, "-FLAGS.SILENT", deletedFlag)); err != nil {
				return err
			}
		}
	}
}

// mark marks messages \Deleted.
func (s *session) mark(f *Folder, uids []imap.UID) error {
	for _, set := range s.measure().chunks(uids) {
		if err := s.changeIn(f, s.store(set, "+FLAGS.SILENT", deletedFlag)); err != nil {
			return err
		}
	}
	return nil
}

// markAgain gives spared messages their mark back where the connection that
// took it off them could not. It returns err, or its own failure besides.
func (f *Folder) markAgain(ctx context.Context, verb string, spared []imap.UID, err error) error {
	if len(spared) == 0 {
		return err
	}
	marking := f.AddFlags(ctx, spared, imap.FlagDeleted)
	if marking == nil {
		return err
	}
	lost := fmt.Errorf("%d other messages in %s have lost their \\Deleted mark: %w", len(spared), f.name, marking)
	if err == nil {
		return fmt.Errorf("imapkit: %s was done, but %w", verb, lost)
	}
	return fmt.Errorf("%w; and %w", err, lost)
}
