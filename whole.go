package imapkit

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/wire"
)

// wholeMessageItem is how a whole message is asked for.
const wholeMessageItem Item = "BODY.PEEK[]"

// wholeForms are other ways to ask for a whole message without marking it as
// read, for servers that bring nothing for [wholeMessageItem]. The last one is
// older than IMAP4rev1; Outlook uses it ([MS-STANOIMAP]).
var wholeForms = []struct {
	items string
	parts []string // of the message, in this order
}{
	{"BODY.PEEK[HEADER] BODY.PEEK[TEXT]", []string{"BODY[HEADER]", "BODY[TEXT]"}},
	{"RFC822.PEEK", []string{"RFC822"}},
}

// A hollow message is one of which nothing has come.
type hollow struct {
	uid   imap.UID
	size  int64 // as the server has told it; 0: it has not
	empty bool  // the server has sent a body of no bytes
}

// wholeAgain fetches a message of which nothing has come another way. It returns
// nil if there is no sign that the message is not empty, ErrNotFound if it is not
// there any more, and an error if the server does not part with it: its refusal,
// if it does not even say that the message exists.
func (s *session) wholeAgain(f *Folder, h hollow) ([]byte, error) {
	told := false // that the message is there, since it was asked for
	var refused error
	for _, form := range wholeForms {
		if form.items == "RFC822.PEEK" && s.is(func(p *profile) bool { return p.noRFC822 }) {
			continue
		}
		sized := false
		parts := make(map[string][]byte)
		err := s.fetchEach(f, []imap.UID{h.uid}, "RFC822.SIZE "+form.items, func(m *wire.Fetched) {
			for _, section := range m.Sections {
				for _, name := range form.parts { // which may come one by one
					if len(form.parts) == 1 && len(m.Sections) == 1 || wire.Answers(name, section.Name) {
						parts[name] = section.Data
					}
				}
			}
			if m.Items&wire.ItemSize != 0 {
				h.size, sized = m.Size, true
			}
			told = told || sized || len(m.Sections) > 0 // and not only a change of flags
		})
		if s.isRefusal(err) {
			refused = err
		}
		if errors.As(err, new(*ServerError)) && s.Err() == nil && !isThrottled(err) {
			continue // it does not know that form
		}
		if err != nil {
			return nil, err
		}
		if sized && h.size == 0 {
			return nil, nil
		}
		var raw []byte
		complete := true
		for _, name := range form.parts {
			part, sent := parts[name]
			raw, complete = append(raw, part...), complete && sent
		}
		if complete && len(raw) > 0 {
			return raw, nil
		}
	}
	if h.empty && h.size == 0 {
		return nil, nil
	}
	if !told {
		there, err := s.present(f, []imap.UID{h.uid})
		switch {
		case s.isRefusal(err):
			return nil, fmt.Errorf("%w: UID %d in %s", cmp.Or(refused, err), h.uid, f.name)
		case err != nil:
			return nil, err
		case len(there) == 0:
			return nil, fmt.Errorf("%w: UID %d in %s", ErrNotFound, h.uid, f.name)
		}
	}
	return nil, fmt.Errorf("%w: the server says that there is UID %d in %s, of %d bytes, and sends nothing of it",
		ErrProtocol, h.uid, f.name, h.size)
}

// apart fetches a message by itself and in pieces, after a command that has left
// it out or was refused, and tells which items have come. It returns ErrNotFound
// if it is not there.
func (s *session) apart(f *Folder, uid imap.UID, info *MessageInfo, refused error) ([]byte, wire.Items, error) {
	there, err := s.present(f, []imap.UID{uid})
	switch {
	case s.isRefusal(err):
		return nil, 0, cmp.Or(refused, err)
	case err != nil:
		return nil, 0, err
	case len(there) == 0:
		return nil, 0, fmt.Errorf("%w: UID %d in %s", ErrNotFound, uid, f.name)
	}
	info.UID = uid
	var have wire.Items
	err = s.fetchEach(f, there, "FLAGS INTERNALDATE RFC822.SIZE", func(m *wire.Fetched) {
		info.fill(m)
		have |= m.Items | m.Bad
	})
	if err != nil && !s.isRefusal(err) {
		return nil, 0, err
	}
	raw, err := s.wholeAgain(f, hollow{uid: uid, size: info.Size})
	if errors.Is(err, ErrProtocol) && refused != nil && s.Err() == nil {
		return nil, 0, refused
	}
	return raw, have, err
}

// hollow reports whether nothing has come of a message that should have come as
// a whole, and is not known to be empty.
func (l *loop) hollow(e *entry) bool {
	if !l.whole || e.tried || e.info == nil || !e.more && !e.there || e.have&wire.ItemSize != 0 && e.info.Size == 0 {
		return false
	}
	return !slices.ContainsFunc(e.sections, func(s wire.Section) bool { return isWhole(s) && s.Size > 0 })
}

// isWhole reports whether a section is the whole message.
func isWhole(s wire.Section) bool { return wire.Answers(string(wholeMessageItem), s.Name) }

// refill gets the first message of a chunk of which nothing has come another
// way, and reports whether there was one.
func (l *loop) refill(s *session, c *chunk) (again bool, err error) {
	i := slices.IndexFunc(c.entries, func(e entry) bool { return l.hollow(&e) })
	if i < 0 {
		return false, nil
	}
	e := &c.entries[i]
	e.tried = true
	raw, err := s.wholeAgain(l.folder,
		hollow{uid: c.uids[i], size: e.info.Size, empty: len(e.sections) >= len(l.sections)})
	switch {
	case errors.Is(err, ErrNotFound):
		l.forget(e)
	case s.isRefusal(err), errors.Is(err, ErrProtocol) && s.Err() == nil:
		e.info.note(err)
	case err != nil:
		e.tried = !isThrottled(err)
		return true, err
	default:
		section := wire.Section{Name: "BODY[]", Size: int64(len(raw)), Data: raw}
		e.sections = slices.DeleteFunc(e.sections, isWhole)
		e.sections = append(e.sections, section)
		e.size += section.Size
		l.held += section.Size
	}
	l.handOut(c)
	return true, nil
}

// again reads a message of which nothing has come another way.
func (r *bodyReader) again(s *session, f *Folder, h hollow) error {
	raw, err := s.wholeAgain(f, h)
	r.body, r.held = nil, bytes.NewReader(raw)
	return err
}
