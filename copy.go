package imapkit

import (
	"context"
	"fmt"
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
	var copies UIDMap
	op := f.operation("Copy")
	op.changes = true
	err := f.withUIDs(ctx, op, uids, func(s *session, sets [][]imap.UID) error {
		for i, set := range sets {
			if err := s.copyTo("UID COPY", set, to, &copies); err != nil {
				return partly(err, i, len(sets))
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
// confirmed that, deleted as [Folder.Delete] does. When a step fails the
// following ones are not taken; the error says whether the messages are in both
// folders then.
func (f *Folder) Move(ctx context.Context, uids []imap.UID, to string) (UIDMap, error) {
	var moved UIDMap
	op := f.operation("Move")
	op.changes = true
	err := f.withUIDs(ctx, op, uids, func(s *session, sets [][]imap.UID) error {
		if s.has(imap.CapMove) {
			for i, set := range sets {
				if err := s.copyTo("UID MOVE", set, to, &moved); err != nil {
					return partly(err, i, len(sets))
				}
			}
			return nil
		}
		if err := s.canDelete(); err != nil {
			return err
		}
		for i, set := range sets {
			if err := s.copyTo("UID COPY", set, to, &moved); err != nil {
				return partly(err, i, len(sets))
			}
			if err := s.deleteUIDs(set); err != nil {
				return partly(fmt.Errorf("imapkit: the messages were copied to %s, but not removed from %s: %w", to, f.name, err), i, len(sets))
			}
		}
		return nil
	})
	return moved, err
}

// copyTo runs COPY or MOVE and adds what the server tells of the new UIDs.
func (s *session) copyTo(verb string, uids []imap.UID, to string, copies *UIDMap) error {
	cmd := s.Command(verb).Raw(string(appendSet(nil, uids))).Mailbox(to)
	note := func(status wire.Status) {
		if status.CodeName() != "COPYUID" {
			return
		}
		_, from, dest, ok := wire.ParseCopyUID(status.CodeArgs())
		if !ok {
			return
		}
		if *copies == nil {
			*copies = make(UIDMap)
		}
		pair(*copies, from, dest)
	}
	cmd.On = func(r *wire.Response) bool { // MOVE tells before the messages vanish
		note(r.Status)
		return r.Status.Type != ""
	}
	err := s.change(cmd)
	note(cmd.Status)
	return err
}

// pair matches two lists of UIDs, one to one.
func pair(m UIDMap, from, to []wire.Range) {
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
		m[imap.UID(a)] = imap.UID(b)
	}
}

// Delete removes these messages, and no others, for good (RFC 4315). UIDs that
// do not exist are skipped; without any, nothing is sent.
//
// Without UIDPLUS a server can only remove all messages that are marked
// \Deleted. If others than these are so marked, the mark is taken off them
// before and put on again afterwards; another program that marks a message in
// the meantime loses it, as it would with any program that expunges. Where even
// that is not possible, because the folder does not keep the mark, Delete
// returns [ErrNotSupported] and removes nothing.
func (f *Folder) Delete(ctx context.Context, uids []imap.UID) error {
	op := f.operation("Delete")
	op.changes = true
	return f.withUIDs(ctx, op, uids, func(s *session, sets [][]imap.UID) error {
		if err := s.canDelete(); err != nil {
			return err
		}
		for i, set := range sets {
			if err := s.deleteUIDs(set); err != nil {
				return partly(err, i, len(sets))
			}
		}
		return nil
	})
}

// canDelete returns an error if marking messages would not last until they are
// expunged.
func (s *session) canDelete() error {
	box := s.Mailbox()
	if box.HasPermanent && !slices.Contains(box.PermanentFlags, imap.FlagDeleted) && !slices.Contains(box.PermanentFlags, imap.FlagWildcard) {
		return fmt.Errorf("%w: %s does not keep \\Deleted, so nothing can be removed", ErrNotSupported, box.Name)
	}
	return nil
}

var deletedFlag = []imap.Flag{imap.FlagDeleted}

// deleteUIDs marks messages and expunges them, each step once the one before is
// confirmed.
func (s *session) deleteUIDs(uids []imap.UID) error {
	if err := s.change(s.store(uids, "+FLAGS.SILENT", deletedFlag)); err != nil {
		return err
	}
	if s.has(imap.CapUIDPlus) {
		return s.change(s.Command("UID EXPUNGE").Raw(string(appendSet(nil, uids))))
	}
	return s.expungeOnly(uids)
}

// expungeOnly removes messages with EXPUNGE, sparing others marked \Deleted.
func (s *session) expungeOnly(uids []imap.UID) error {
	marked := new(wire.SearchResult)
	cmd := s.Command("UID SEARCH").Raw("DELETED")
	cmd.On = marked.Collect(cmd)
	if err := s.run(cmd); err != nil {
		return err
	}
	others := slices.DeleteFunc(toUIDs(marked.Ascending()), func(uid imap.UID) bool { return contains(uids, uid) })
	for _, set := range chunks(others, longestLine, 1<<30) {
		if err := s.change(s.store(set, "-FLAGS.SILENT", deletedFlag)); err != nil {
			return err
		}
	}
	expunged := s.change(s.Command("EXPUNGE"))
	for _, set := range chunks(others, longestLine, 1<<30) {
		if err := s.change(s.store(set, "+FLAGS.SILENT", deletedFlag)); err != nil && expunged == nil {
			return fmt.Errorf("imapkit: the messages are removed, but others have lost their \\Deleted mark: %w", err)
		}
	}
	return expunged
}
