package imapkit

import (
	"fmt"
	"slices"

	"github.com/imapkit/imapkit/internal/wire"
)

// parsedSize is how much more memory values may take than their text.
const parsedSize = 8

// count adds the memory that a response takes, of those of which one command may
// bring any number. Together they may take what a single result may.
func (s *session) count(r *wire.Response, held *int64) {
	*held += parsedSize * r.Len()
	if most := s.client.limits().Result; *held > most {
		s.Fail(fmt.Errorf("%w: more than %d bytes for the answer to one command", ErrLimit, most))
	}
}

// tooMuch reports whether more is held than a message may take, and a little for
// the text around it.
func (l *loop) tooMuch() bool {
	limits := l.folder.client.limits()
	return l.held-limits.Line > limits.Message
}

// add adds what a response, of so many bytes without bodies, says of a message.
// Sections are kept each once, however often they come, if they were asked for.
func (l *loop) add(e *entry, m *wire.Fetched, text int64) {
	before := e.size
	e.info.fill(m)
	e.have |= m.Items | m.Bad
	e.bad |= m.Bad
	e.more = e.more || !m.FlagsOnly()
	e.era = l.reader.Era()
	e.size += parsedSize * text
	for _, s := range m.Sections {
		i := slices.IndexFunc(e.sections, func(had wire.Section) bool { return had.Name == s.Name })
		switch {
		case i >= 0:
			e.size += s.Size - e.sections[i].Size
			e.sections[i] = s
		case len(e.sections) < len(l.sections) && (len(m.Sections) == 1 || l.askedFor(s)):
			e.size += s.Size
			e.sections = append(e.sections, s)
		}
	}
	l.held += e.size - before
}

// askedFor reports whether a section answers one of the items.
func (l *loop) askedFor(s wire.Section) bool {
	return slices.ContainsFunc(l.sections, func(item string) bool { return wire.Answers(item, s.Name) })
}

// giveWay makes all messages ready that are complete, in order or not.
func (l *loop) giveWay() {
	for _, c := range l.sent {
		for i := c.next; i < len(c.entries); i++ {
			if e := &c.entries[i]; l.complete(e) {
				l.ready = append(l.ready, *e)
				*e = entry{given: true}
			}
		}
	}
}
