package imapkit

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/wire"
)

// Replace puts a new message in the place of the one with this UID, as programs
// do when a draft is saved again (RFC 8508). The new message is given as in
// [Folder.Append], and its UID is returned, or 0 where the server does not say.
//
// On servers without REPLACE the new message is appended, and once it is known to
// be there the old one is deleted as [Folder.Delete] does. Replace returns
// [ErrNotFound] if there is no old one. When a step fails the following ones are
// not taken: the old message is lost under no circumstances unless the new one is
// there. If only the deletion has failed, the error says so, and the new UID is
// returned with it.
//
// If the connection breaks under way, [ErrUnknownOutcome] is returned unless the
// new message can be found by its Message-ID and the old one is gone.
func (f *Folder) Replace(ctx context.Context, uid imap.UID, msg io.Reader, size int64, opts AppendOptions) (imap.UID, error) {
	if uid == 0 {
		return 0, errors.New("imapkit: UID 0 does not exist")
	}
	source, err := newSource(msg, size, opts)
	if err != nil {
		return 0, err
	}
	op := f.operation("Replace")
	op.changes, op.stream = true, true
	var made imap.UID
	var failed error
	done := false
	err = f.client.do(ctx, op, func(s *session) error {
		if !source.rewind() {
			return failed // on the connection before this one
		}
		if failed = s.ready(f, source); failed != nil { // before the folder is open
			return failed
		}
		if done = s.has(capReplace); done {
			made, failed = f.replaceOn(s, uid, source)
		} else {
			failed = s.canReplace(f, uid)
		}
		return failed
	})
	switch {
	case errors.Is(err, ErrUnknownOutcome):
		return f.settleReplaced(ctx, uid, source, err)
	case err != nil || done:
		return made, err
	}
	f.mu.Lock()
	f.newerThan = max(f.newerThan, uid)
	f.mu.Unlock()
	if made, err = f.append(ctx, source); err != nil {
		return 0, fmt.Errorf("%w (UID %d was kept)", err, uid)
	}
	if err := f.Delete(ctx, []imap.UID{uid}); err != nil {
		return made, fmt.Errorf("imapkit: the new message is in %s, but removing UID %d, which it replaces: %w", f.name, uid, err)
	}
	return made, nil
}

const capReplace imap.Cap = "REPLACE"

// replaceOn runs REPLACE.
func (f *Folder) replaceOn(s *session, uid imap.UID, source *source) (imap.UID, error) {
	if err := s.openFor(f, uid); err != nil {
		return 0, err
	}
	var told wire.Status
	made, err := f.send(s, source, func() *wire.Command {
		cmd := s.Command("UID REPLACE").Number(uint64(uid)).Mailbox(f.name)
		cmd.On = func(r *wire.Response) bool { // before the old message vanishes
			if r.Status.CodeName() != "APPENDUID" {
				return false
			}
			told = r.Status
			return true
		}
		return cmd
	})
	if err == nil && made == 0 {
		made = f.appended(told, 1)[0]
	}
	return made, err
}

// canReplace returns an error if there is nothing to replace, or if it could not
// be removed.
func (s *session) canReplace(f *Folder, uid imap.UID) error {
	if s.isOpen(f) { // then it may be new, and servers have to be asked for that
		if err := s.lookForNew(); err != nil {
			return err
		}
	}
	there := false
	// Mailutils takes the UID in a SEARCH for a sequence number.
	cmd := s.Command("UID FETCH").Number(uint64(uid)).Raw("(UID)")
	err := s.fetchInto(f, uid, cmd, func(m *wire.Fetched) error {
		there = there || m.UID == uid
		return nil
	})
	switch {
	case err != nil:
		return err
	case !there:
		return fmt.Errorf("%w: UID %d in %s", ErrNotFound, uid, f.name)
	}
	return s.canDelete()
}

// settleReplaced finds out whether a message was replaced although the connection
// broke.
func (f *Folder) settleReplaced(ctx context.Context, uid imap.UID, source *source, unknown error) (imap.UID, error) {
	made, err := f.settle(ctx, source, max(f.highest(), uid), unknown)
	if err != nil {
		return 0, err
	}
	left, err := f.Search(ctx, UIDs(uid))
	switch {
	case err != nil:
		return made, fmt.Errorf("%w (the new message is in %s; looking for the old one failed: %w)", unknown, f.name, err)
	case len(left) > 0:
		return made, fmt.Errorf("%w (the new message is in %s, the old one as well so far)", unknown, f.name)
	}
	return made, nil
}
