package imapkittest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
)

// A session is a session of the memory server, with what that one does wrong
// put right: it has no special use, lets EXAMINE change things, announces moved
// messages twice, and keeps the first half of a message that was cut off.
type session struct {
	*imapmemserver.UserSession
	srv      *Server
	readOnly bool

	idling sync.Mutex // held while Idle runs
	closed bool       // guarded by idling
}

var _ imapserver.SessionIMAP4rev2 = (*session)(nil)

func (s *Server) newSession(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
	sess := &session{UserSession: imapmemserver.NewUserSession(s.store.user), srv: s}
	return sess, &imapserver.GreetingData{PreAuth: true}, nil
}

// Login is never called: sessions begin logged in.
func (s *session) Login(string, string) error { return imapserver.ErrAuthFailed }

// Close waits for Idle, which a lost connection leaves running for a moment.
func (s *session) Close() error {
	s.idling.Lock()
	defer s.idling.Unlock()
	s.closed = true
	return s.UserSession.Close()
}

// idlePoll is how often Idle looks for news.
const idlePoll = 10 * time.Millisecond

// Idle announces changes until stop is closed. The memory server's own Idle
// keeps silent about what happened before it began.
func (s *session) Idle(w *imapserver.UpdateWriter, stop <-chan struct{}) error {
	s.idling.Lock()
	defer s.idling.Unlock()
	ticker := time.NewTicker(idlePoll)
	defer ticker.Stop()
	for !s.closed {
		if err := s.Poll(w, true); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-stop:
			return nil
		}
	}
	return nil
}

func (s *session) Select(name string, opts *imap.SelectOptions) (*imap.SelectData, error) {
	s.readOnly = opts.ReadOnly
	data, err := s.UserSession.Select(name, opts)
	if err == nil && s.readOnly {
		data.PermanentFlags = nil
	}
	return data, err
}

func (s *session) Create(name string, opts *imap.CreateOptions) error {
	return s.srv.store.create(name, opts.SpecialUse)
}

func (s *session) Delete(name string) error { return s.srv.store.remove(name) }

func (s *session) Rename(from, to string, _ *imap.RenameOptions) error {
	return s.srv.store.rename(from, to)
}

func (s *session) Subscribe(name string) error   { return s.srv.store.subscribe(name, true) }
func (s *session) Unsubscribe(name string) error { return s.srv.store.subscribe(name, false) }

func (s *session) List(w *imapserver.ListWriter, ref string, patterns []string, opts *imap.ListOptions) error {
	if len(patterns) == 0 {
		return s.UserSession.List(w, ref, patterns, opts)
	}
	for _, data := range s.srv.store.list(ref, patterns, opts) {
		if err := w.WriteList(&data); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) Append(name string, r imap.LiteralReader, opts *imap.AppendOptions) (*imap.AppendData, error) {
	// To the memory server, the end of the connection is the end of the message.
	var text bytes.Buffer
	if n, err := text.ReadFrom(r); err != nil {
		return nil, err
	} else if n < r.Size() {
		return nil, fmt.Errorf("%w: %d bytes of a message of %d", io.ErrUnexpectedEOF, n, r.Size())
	}
	if err := servable(text.Bytes()); err != nil {
		return nil, refusal(imap.ResponseCodeCannot, err.Error())
	}
	data, err := s.UserSession.Append(name, literal{&text, r.Size()}, opts)
	if err != nil || !s.srv.has(imap.CapUIDPlus) {
		return nil, err
	}
	return data, nil
}

// A literal is a message that has arrived.
type literal struct {
	io.Reader
	size int64
}

// Size returns the length of the message.
func (l literal) Size() int64 { return l.size }

func (s *session) Fetch(w *imapserver.FetchWriter, set imap.NumSet, opts *imap.FetchOptions) error {
	if s.readOnly {
		// Only the flag \Seen depends on Peek; the answer reads the same.
		for _, section := range opts.BodySection {
			section.Peek = true
		}
	}
	return s.UserSession.Fetch(w, set, opts)
}

func (s *session) Store(w *imapserver.FetchWriter, set imap.NumSet, flags *imap.StoreFlags,
	opts *imap.StoreOptions) error {
	if s.readOnly {
		return errReadOnly
	}
	return s.UserSession.Store(w, set, flags, opts)
}

var errReadOnly = refusal("READ-ONLY", "folder was opened with EXAMINE")

// Expunge does nothing in a folder opened with EXAMINE: CLOSE calls it as well
// and must succeed.
func (s *session) Expunge(w *imapserver.ExpungeWriter, uids *imap.UIDSet) error {
	if s.readOnly {
		return nil
	}
	return s.UserSession.Expunge(w, uids)
}

func (s *session) Copy(set imap.NumSet, to string) (*imap.CopyData, error) {
	data, err := s.copy(set, to)
	if err != nil || len(data.SourceUIDs) == 0 || !s.srv.has(imap.CapUIDPlus) {
		return nil, err
	}
	return data, nil
}

func (s *session) copy(set imap.NumSet, to string) (*imap.CopyData, error) {
	s.srv.store.copying.Lock()
	defer s.srv.store.copying.Unlock()
	return s.UserSession.Copy(set, to)
}

// Move copies and expunges, also if the client is not there any more to be told
// of it. The expunged messages are announced by the poll that ends every command.
func (s *session) Move(w *imapserver.MoveWriter, set imap.NumSet, to string) error {
	if s.readOnly {
		return errReadOnly
	}
	data, err := s.copy(set, to)
	if err != nil || len(data.SourceUIDs) == 0 {
		return err
	}
	deleted := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}
	err = errors.Join(
		s.UserSession.Store(nil, data.SourceUIDs, deleted, nil),
		s.UserSession.Expunge(nil, &data.SourceUIDs),
	)
	if err != nil || !s.srv.has(imap.CapUIDPlus) {
		return err
	}
	return w.WriteCopyData(data)
}
