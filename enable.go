package imapkit

import "github.com/imapkit/imapkit/internal/wire"

// How a connection comes to speak UTF-8 (RFC 6855). Most connections do not: only
// a message with UTF-8 in its header needs it, and servers that speak nothing
// else.

// speakUTF8 enables UTF-8 where the server speaks nothing else. The command goes
// out together with the next one, whose answer does not depend on its own.
func (s *session) speakUTF8() error {
	if !s.Caps().Has("UTF8=ONLY") || s.UTF8() || s.Mailbox() != nil {
		return nil
	}
	cmd := s.EnableUTF8()
	s.SetUTF8(true)
	s.askedUTF8, s.enabledUTF8 = true, true
	return s.Send(cmd)
}

// enableUTF8 enables UTF-8 where the server offers it. As that has to happen
// while no folder is open, one that is gets closed, without expunging anything.
func (s *session) enableUTF8() error {
	if s.UTF8() || s.askedUTF8 || !s.Caps().Has("UTF8=ACCEPT") {
		return nil
	}
	s.askedUTF8 = true
	if s.Mailbox() != nil {
		if err := s.unselect(); err != nil {
			return err
		}
		if s.Mailbox() != nil {
			return nil
		}
	}
	err := s.Run(s.EnableUTF8())
	s.enabledUTF8 = s.UTF8()
	return err
}

// takesUTF8Data reports whether a message with UTF-8 in its header is to be sent
// as UTF8 data. IMAP4rev2 and RFC 9755, the successor of RFC 6855, do without.
func (s *session) takesUTF8Data() bool {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	return s.enabledUTF8 && !c.memory.noUTF8Data
}

// withoutUTF8Data reports whether a message that was refused is worth another try
// as it is, because the server cannot read UTF8 data.
func (src *source) withoutUTF8Data(cmd *wire.Command) bool {
	src.bare = src.wrapped && cmd.Status.Type == "BAD"
	return src.bare && src.rewind()
}

// noteUTF8Data remembers that the server takes as it is what it does not take as
// UTF8 data.
func (s *session) noteUTF8Data(source *source) {
	if source.bare {
		s.client.mu.Lock()
		defer s.client.mu.Unlock()
		s.client.memory.noUTF8Data = true
	}
}
