package imapkit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/wire"
)

// wholeMessage are the items of Fetch and FetchAll.
var wholeMessage = []Item{ItemFlags, ItemDate, ItemSize, wholeMessageItem}

// mostBodiesPerFetch is how many whole messages one command asks for.
const mostBodiesPerFetch = 50

// Fetch fetches a message as a whole and parses it. It is not marked as read.
// [Limits].Message bounds its size ([ErrLimit]); [Folder.Open] has no bound.
// Fetch returns [ErrNotFound] if there is no such message.
func (f *Folder) Fetch(ctx context.Context, uid imap.UID) (*Message, error) {
	if uid == 0 {
		return nil, errors.New("imapkit: UID 0 does not exist")
	}
	return f.fetchOne(ctx, uid, fmt.Sprintf("UID %d", uid), func(s *session) *wire.Command {
		return s.Command("UID FETCH").Number(uint64(uid))
	}, func(m *wire.Fetched) bool { return m.UID == uid })
}

// FetchSeq is Fetch for the message with this sequence number, as of now: 1 is
// the oldest message of the folder. The number of a message changes when older
// ones are removed, so remember the UID in Message.Info instead.
func (f *Folder) FetchSeq(ctx context.Context, seqNum uint32) (*Message, error) {
	if seqNum == 0 {
		return nil, errors.New("imapkit: sequence number 0 does not exist")
	}
	return f.fetchOne(ctx, 0, fmt.Sprintf("sequence number %d", seqNum), func(s *session) *wire.Command {
		return s.Command("FETCH").Number(uint64(seqNum))
	}, func(m *wire.Fetched) bool { return m.Seq == seqNum })
}

// fetchOne fetches a message whose UID is known, or 0.
func (f *Folder) fetchOne(ctx context.Context, uid imap.UID, which string, command func(*session) *wire.Command,
	is func(*wire.Fetched) bool) (*Message, error) {
	op := f.operation("Fetch")
	op.stream = true
	var info *MessageInfo
	var raw []byte
	var have wire.Items
	found := false
	err := f.client.do(ctx, op, func(s *session) error {
		info, raw, have, found = new(MessageInfo), nil, 0, false
		cmd := command(s)
		cmd.Open()
		for _, item := range append([]Item{"UID"}, wholeMessage...) {
			cmd.Raw(string(item))
		}
		cmd.Close()
		err := s.fetchInto(f, uid, cmd, func(m *wire.Fetched) error {
			switch {
			case m.UID == 0 && len(m.Sections) > 0:
				return withoutUID(m)
			case is(m):
				info.fill(m)
				have |= m.Items | m.Bad
				if body := m.Section(string(wholeMessageItem)); body != nil {
					raw, found = body.Data, true
				}
			}
			return nil
		})
		switch {
		case err == nil && len(raw) == 0 && info.UID != 0 && info.Size > 0 && info.Err == nil:
			raw, err = s.wholeAgain(f, hollow{uid: info.UID, size: info.Size})
			found = true
		case (err == nil || s.isRefusal(err)) && uid != 0 && (info.UID == 0 || !found && info.Err == nil):
			raw, have, err = s.apart(f, uid, info, err)
			found = true
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case !found && info.Err != nil:
		return nil, info.Err
	case !found:
		return nil, fmt.Errorf("%w: %s in %s", ErrNotFound, which, f.name)
	}
	info.lacks(missing(wholeMessage, have))
	return f.message(info, raw), nil
}

// message parses what was fetched.
func (f *Folder) message(info *MessageInfo, raw []byte) *Message {
	m := parseMessage(raw, f.client.Limits)
	info.Envelope = envelopeFromHeader(m.Header)
	m.Info = info
	return m
}

// fetchInto opens the folder and runs one FETCH command, in one go, for a message
// whose UID is known, or 0. A refusal that only says that the message is not there
// is not an error.
func (s *session) fetchInto(f *Folder, uid imap.UID, cmd *wire.Command, each func(*wire.Fetched) error) error {
	opening, err := s.beginFor(f, uid)
	if err != nil {
		return err
	}
	r := s.NewFetchReader()
	if err := r.Add(cmd); err != nil {
		return err
	}
	var bad error
	var early nameless
	var told int64 // bytes that say more than which flags there are
	most := s.client.limits().Message / parsedSize
	for {
		m, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if !m.FlagsOnly() {
			told += r.Text()
		}
		if told > most {
			s.Discard()
			return fmt.Errorf("%w: more than %d bytes about a single message", ErrLimit, most)
		}
		if early.namedBy(m, r.Era()) {
			bad = cmp.Or(bad, each(&early.m))
		}
		bad = cmp.Or(bad, each(m))
	}
	if err := s.settled(f, opening); err != nil {
		return err
	}
	if bad != nil {
		return bad
	}
	return s.fetchRefusal(cmd)
}

// fetchRefusal returns the error of a FETCH command. Cyrus says NO, Mailutils
// BAD, for a sequence number that no message has; Mailutils also for a UID.
func (s *session) fetchRefusal(cmd *wire.Command) error {
	err := refusal(cmd)
	if err == nil || gone(cmd.Status) || s.confusesUIDs() && strings.Contains(cmd.Status.Text, "message set") {
		return nil
	}
	var seq uint32
	if n, _ := fmt.Sscanf(cmd.Text(), "FETCH %d ", &seq); n == 1 && s.Mailbox() != nil && seq > s.Mailbox().Messages {
		return nil
	}
	return err
}

// FetchAll fetches messages as a whole and parses them, in ascending order of
// their UIDs. UIDs that do not exist are skipped; what the server keeps to itself
// of a message is told in Message.Info.Err. Nothing is marked as read.
// Each message is bounded by [Limits].Message; [Folder.Raw] has no bound.
//
// An error ends the loop, and tells which message is the first that has not
// come. Leaving the loop early is fine. Other calls may be made inside it, also
// with one connection.
func (f *Folder) FetchAll(ctx context.Context, uids []imap.UID) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		l, err := f.newLoop(UIDs(uids...), wholeMessage)
		if err != nil {
			yield(nil, err)
			return
		}
		l.perChunk, l.mostPerChunk = mostBodiesPerFetch, mostBodiesPerFetch
		l.plan(ascending(uids))
		defer l.leave()
		for info, err := range l.all(ctx, "FetchAll") {
			if err != nil {
				yield(nil, err)
				return
			}
			var raw []byte
			if len(l.bodies) > 0 {
				raw = l.bodies[0].Data
			}
			if !yield(f.message(info, raw), nil) {
				return
			}
		}
	}
}

// streaming marks a connection as being in the program's hands; for orphan see
// lease. It reports false if the Client is closed.
func (c *Client) streaming(l *lease, orphan func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.stream, l.orphan = true, orphan
	return !c.closed
}
