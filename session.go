package imapkit

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/wire"
)

// A session is one logged-in connection. One operation at a time has it.
type session struct {
	*wire.Conn
	client   *Client
	tls      *tls.ConnectionState
	loggedIn bool
	spoke    bool          // the server has answered in the protocol that was tried
	late     time.Duration // by which the attempt began after the first one
	greeting string
	used     bool // by the program's own code, which is not run twice
	current  bool // the server has looked for changes in the open folder during this operation

	seen   uint64    // of Client.changes, those that were made when the server looked last,
	looked time.Time // which was then

	askedUTF8   bool // ENABLE UTF8=ACCEPT was sent
	enabledUTF8 bool // and the server has agreed
}

// serverError makes an error of a refusal.
func serverError(command string, s wire.Status) *ServerError {
	return &ServerError{Command: command, Status: s.Type, Code: s.Code, Text: s.Text}
}

// refusal returns the error of a command that the server did not answer with
// OK, or of which it did a part only (RFC 9738; of a search that is enough), or
// nil.
func refusal(cmd *wire.Command) error {
	partial := cmd.Status.CodeName() == "MESSAGELIMIT" && cmd.Name != "UID SEARCH"
	if cmd.Status.Type == "OK" && !partial {
		return nil
	}
	err := serverError(cmd.Name, cmd.Status)
	err.long = cmd.Status.Type == "BAD" && cmd.Len() > shortLine
	return err
}

// login makes the connection ready for use.
func (s *session) login(ctx context.Context) error {
	c := s.client
	s.For("log-in")
	s.Begin(ctx, c.timeout(), false)
	defer s.End()
	if !s.loggedIn {
		if err := s.authenticate(ctx); err != nil {
			return err
		}
		s.loggedIn = true
	}
	if s.Caps() == nil {
		s.SetCaps(c.recall(&c.capsAfter))
	}
	if err := s.identify(); err != nil {
		return err
	}
	return s.speakUTF8()
}

// authenticate logs in. A server that has to be asked what it offers is asked
// once per Client, and again if the log-in fails.
func (s *session) authenticate(ctx context.Context) error {
	c := s.client
	s.Conceal(c.Password)
	defer s.Reveal()
	if s.Caps() != nil {
		return s.authenticateAs(ctx)
	}
	before := c.recall(&c.capsBefore)
	if before != nil {
		s.SetCaps(before)
		err := s.authenticateAs(ctx)
		if err == nil || s.Err() != nil || isTemporary(err) {
			return err
		}
		if now, aerr := s.askCaps(); aerr != nil || maps.Equal(now, before) {
			return err
		}
	} else if _, err := s.askCaps(); err != nil {
		return err
	}
	c.remember(&c.capsBefore, s.Caps())
	return s.authenticateAs(ctx)
}

// askCaps asks for the capabilities, which may remain unknown.
func (s *session) askCaps() (imap.CapSet, error) {
	err := s.Run(s.Command("CAPABILITY"))
	return s.Caps(), err
}

// remember keeps what a server had to be asked for, and recall returns it.
func (c *Client) remember(what *imap.CapSet, caps imap.CapSet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*what = caps.Copy()
}

func (c *Client) recall(what *imap.CapSet) imap.CapSet {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *what
}

// authenticateAs logs in with the strongest mechanism that is allowed and
// offered.
func (s *session) authenticateAs(ctx context.Context) error {
	c := s.client
	secure := s.tls != nil
	list, err := mechanismsFor(c, s.Caps(), secure, s.tls)
	if err != nil {
		return err
	}
	c.mu.Lock()
	if c.mechanism != "" { // what worked last time, if it is still allowed
		for i, m := range list {
			if m == c.mechanism {
				list = list[i:]
				break
			}
		}
	}
	c.mu.Unlock()
	for {
		m := list[0]
		list = list[1:]
		next, err := s.loginWith(ctx, m, list, secure)
		if err == nil {
			c.mu.Lock()
			c.mechanism = m
			c.mu.Unlock()
			c.debug("logged in", "mechanism", string(m))
			return nil
		}
		if len(next) == 0 || s.Err() != nil {
			return err
		}
		list = next
	}
}

// loginWith tries one mechanism and returns, with the error, which of the
// others are worth a try after it.
func (s *session) loginWith(ctx context.Context, m AuthMechanism, others []AuthMechanism, secure bool) ([]AuthMechanism, error) {
	if m == AuthLoginCommand {
		status, err := s.Login(s.client.Username, s.client.Password)
		if err != nil {
			return nil, err
		}
		if status.Type == "OK" {
			return nil, nil
		}
		refused := serverError("LOGIN", status)
		if isTemporary(refused) {
			return nil, refused
		}
		return afterRefusal(others, m, nil, refused, secure), fmt.Errorf("%w: %w", ErrAuthentication, refused)
	}
	token := m == AuthOAuthBearer || m == AuthXOAUTH2
	for refresh := false; ; refresh = true {
		var secret string
		if token {
			var err error
			if secret, err = s.token(ctx, refresh); err != nil {
				return nil, err
			}
			s.Conceal(secret)
		}
		mech, err := s.client.saslClient(m, secret, s.tls)
		if err != nil {
			return nil, err
		}
		status, err := s.Authenticate(mech)
		switch lost := s.Err(); {
		case lost != nil && (err != nil || status.Type == "OK"):
			return nil, cmp.Or(err, lost)
		case status.Type == "OK":
			return nil, nil
		case status.Type == "":
			return nil, err
		}
		refused := serverError("AUTHENTICATE "+string(m), status)
		if isTemporary(refused) {
			return nil, refused
		}
		if token && !refresh && status.Type == "NO" && s.Err() == nil {
			continue // once, with a token that the source does not take from its cache
		}
		detail := error(refused)
		if x, ok := mech.(explainer); ok && x.Refusal() != "" {
			detail = fmt.Errorf("%w (%s)", refused, s.Redact(x.Refusal()))
		}
		if err != nil { // the exchange was broken off by us
			return nil, err
		}
		return afterRefusal(others, m, mech, refused, secure), fmt.Errorf("%w: %w", ErrAuthentication, detail)
	}
}

// token asks the TokenSource, which may take its time over the network: Timeout
// does not count it. One that does not notice the end of its context is left
// behind.
func (s *session) token(ctx context.Context, refresh bool) (string, error) {
	s.End()
	defer s.Begin(ctx, s.client.timeout(), false)
	type result struct {
		token    string
		err      error
		panicked any
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			r.panicked = recover()
			done <- r
		}()
		r.token, r.err = s.client.TokenSource.Token(ctx, refresh)
	}()
	select {
	case r := <-done:
		switch {
		case r.panicked != nil:
			panic(r.panicked)
		case r.err != nil:
			return "", fmt.Errorf("imapkit: TokenSource: %w", r.err)
		case r.token == "":
			return "", errors.New("imapkit: TokenSource returned an empty token")
		}
		return r.token, nil
	case <-ctx.Done():
		return "", ended(ctx)
	}
}

// capabilities returns what the server can do, asking it if it has not said so.
func (s *session) capabilities() (imap.CapSet, error) {
	if s.Caps() == nil {
		cmd := s.Command("CAPABILITY")
		if err := s.Run(cmd); err != nil {
			return nil, err
		}
		if err := refusal(cmd); err != nil {
			return nil, err
		}
		if s.Caps() == nil {
			s.SetCaps(imap.CapSet{})
		}
		s.client.remember(&s.client.capsAfter, s.Caps())
		if err := s.speakUTF8(); err != nil {
			return nil, err
		}
	}
	return s.Caps(), nil
}

// has reports whether the server has an extension.
func (s *session) has(capability imap.Cap) bool {
	caps, err := s.capabilities()
	return err == nil && caps.Has(capability)
}

// need returns ErrNotSupported, naming the extension, if the server lacks it.
func (s *session) need(capability imap.Cap) error {
	caps, err := s.capabilities()
	if err != nil {
		return err
	}
	if !caps.Has(capability) {
		return fmt.Errorf("%w: it lacks %s", ErrNotSupported, capability)
	}
	return nil
}

// run sends commands in one go, waits for all, and returns the first refusal.
func (s *session) run(cmds ...*wire.Command) error {
	if err := s.Run(cmds...); err != nil {
		return err
	}
	for _, cmd := range cmds {
		if err := refusal(cmd); err != nil {
			return err
		}
	}
	return nil
}

// opening returns the command that opens the folder, or nil if it is open. It
// may be sent together with commands that only read; settled tells whether it
// worked.
func (s *session) opening(f *Folder) *wire.Command {
	if s.isOpen(f) {
		return nil
	}
	s.looks()
	return s.Select(f.name, s.client.ReadOnly)
}

func (s *session) isOpen(f *Folder) bool {
	box := s.Mailbox()
	return box != nil && box.Name == f.name && (box.ReadOnly || !s.client.ReadOnly)
}

// settled returns an error unless the folder is open, and is the one that it
// was when f was used first.
func (s *session) settled(f *Folder, opening *wire.Command) error {
	if opening != nil {
		if err := s.Wait(opening); err != nil {
			return err
		}
		if err := refusal(opening); err != nil {
			return err
		}
	}
	return f.sameAs(s.Mailbox())
}

// open opens the folder.
func (s *session) open(f *Folder) error {
	opening := s.opening(f)
	if opening != nil {
		if err := s.Send(opening); err != nil {
			return err
		}
	}
	return s.settled(f, opening)
}

// openWith opens the folder and sends commands that only read, all in one go.
// What they bring is still to be read if it returns nil.
func (s *session) openWith(f *Folder, uids []imap.UID, send func() error) error {
	opening := s.opening(f)
	if opening == nil {
		if err := f.sameAs(s.Mailbox()); err != nil {
			return err
		}
		if err := s.catchUp(highest(uids)); err != nil {
			return err
		}
		return send()
	}
	if err := s.Send(opening); err != nil {
		return err
	}
	if err := send(); err != nil {
		return err
	}
	err := s.settled(f, opening)
	switch {
	case err == nil || s.Err() != nil:
	case opening.Status.Type == "OK":
		s.Discard() // mail of another folder than the one that was asked for
	default:
		s.WaitAll() // for refusals: no folder is open
	}
	return err
}

// read opens the folder and runs commands that only read, all in one go.
func (s *session) read(f *Folder, cmds ...*wire.Command) error {
	opening := s.opening(f)
	if opening == nil {
		if err := f.sameAs(s.Mailbox()); err != nil {
			return err
		}
		if err := s.lookForNew(); err != nil {
			return err
		}
		return s.run(cmds...)
	}
	s.current = true
	if err := s.Run(append([]*wire.Command{opening}, cmds...)...); err != nil {
		return err
	}
	if err := s.settled(f, opening); err != nil {
		return err
	}
	for _, cmd := range cmds {
		if err := refusal(cmd); err != nil {
			return err
		}
	}
	return nil
}

// change runs one command that changes something. When the connection breaks
// after any of it was sent, nobody knows what has happened.
func (s *session) change(cmd *wire.Command) error {
	before := s.Sent()
	err := s.Run(cmd)
	if err == nil {
		return refusal(cmd)
	}
	if s.Err() != nil && s.Sent() > before && !cmd.Done {
		return unknownOutcome(cmd.Name, err)
	}
	return err
}

// unknownOutcome marks a failure after which the change may have happened. A
// source that failed is different: the command was not completed.
func unknownOutcome(command string, err error) error {
	return fmt.Errorf("%w: %s: %w", ErrUnknownOutcome, command, err)
}
