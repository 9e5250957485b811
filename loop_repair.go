package imapkit

import (
	"errors"
	"slices"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/wire"
)

// repairable are the items that can be made from the message itself.
const repairable = wire.ItemEnvelope | wire.ItemBodyStructure

func (l *loop) needsRepair(c *chunk) bool {
	return slices.ContainsFunc(c.entries, func(e entry) bool {
		return e.bad&repairable != 0 || c.cmd.Done && l.hollow(&e)
	}) || l.mustSeek(c)
}

// repair makes unreadable envelopes from the messages' headers, and body
// structures from the messages.
func (l *loop) repair(s *session, c *chunk) error {
	for _, job := range []struct {
		item wire.Items
		get  string
		fix  func(*MessageInfo, []byte)
	}{
		{wire.ItemEnvelope, "BODY.PEEK[HEADER]", func(info *MessageInfo, raw []byte) {
			h, _ := readHeader(raw)
			info.Envelope = envelopeFromHeader(h)
		}},
		{wire.ItemBodyStructure, "BODY.PEEK[]", func(info *MessageInfo, raw []byte) {
			info.BodyStructure = bodyStructureOf(raw, l.folder.client.Limits)
		}},
	} {
		var uids []imap.UID
		for i := range c.entries {
			e := &c.entries[i]
			if e.bad&job.item != 0 && !errors.Is(e.info.Err, ErrLimit) {
				uids = append(uids, c.uids[i])
			}
			e.bad &^= job.item
		}
		for todo := s.measure().atMost(mostPerFetch).chunks(uids); len(todo) > 0; {
			chunk := todo[0]
			todo = todo[1:]
			err := s.fetchEach(l.folder, chunk, job.get, func(m *wire.Fetched) {
				section := m.Section(job.get)
				if i, ok := slices.BinarySearch(c.uids, m.UID); ok && section != nil {
					job.fix(c.entries[i].info, section.Data)
				}
			})
			switch n := len(chunk); {
			case s.isRefusal(err) && n > 1: // because of one of them, maybe
				todo = append(todo, chunk[:n/2], chunk[n/2:])
			case s.isRefusal(err):
				i, _ := slices.BinarySearch(c.uids, chunk[0])
				c.entries[i].info.note(err)
			case err != nil:
				for _, uid := range slices.Concat(append(todo, chunk)...) {
					i, _ := slices.BinarySearch(c.uids, uid)
					c.entries[i].bad |= job.item // still to be done
				}
				return err
			}
		}
	}
	return nil
}
