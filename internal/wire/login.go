package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-sasl"
)

// Greeting waits for the server's greeting and returns it.
func (c *Conn) Greeting() (Status, error) {
	if err := c.expectIMAP(); err != nil {
		return Status{}, err
	}
	for {
		resp, err := c.next()
		if err != nil {
			return Status{}, err
		}
		if resp.Tag == "" && resp.Status.Type != "" {
			// Dovecot says "* OK Waiting for authentication process to respond.." first
			// while it starts; its greeting follows at once.
			status := resp.Status
			c.observe(resp)
			if status.Type == "OK" && status.Code == "" && isWaiting(status.Text) {
				continue
			}
			return status, nil
		}
		if err := c.finish(resp); err != nil {
			return Status{}, err
		}
	}
}

// expectIMAP fails at once if the first line is that of another protocol: there
// is nothing to wait for.
func (c *Conn) expectIMAP() error {
	for {
		line, _, whole := bytes.Cut(bytes.TrimLeft(c.buf[c.r:c.w], "\r\n\x00"), []byte("\n"))
		switch {
		case len(line) > 0 && (line[0] == '*' || line[0] == ' '): // IceWarp has begun with " NO"
			return nil
		case whole || len(line) > 200 || c.w-c.r > 256:
			line = line[:min(len(line), 200)]
			return c.fail(fmt.Errorf("%w: this is no IMAP server, it greets with %q", ErrProtocol, bytes.TrimSpace(line)))
		}
		if err := c.fill(); err != nil {
			return err
		}
	}
}

func isWaiting(text string) bool {
	const waiting = "Waiting for authentication process"
	return len(text) >= len(waiting) && text[:len(waiting)] == waiting
}

// Conceal keeps words out of logs and of what is quoted from the server, which
// may repeat what it does not like. Reveal ends that.
func (c *Conn) Conceal(words ...string) {
	for _, word := range words {
		if len(word) >= shortestSecret {
			c.secrets = append(c.secrets, word)
		}
	}
}

// Reveal forgets what was to be concealed.
func (c *Conn) Reveal() { c.secrets = nil }

// shortestSecret is the length from which on blotting out a word tells less than
// it hides.
const shortestSecret = 4

// Redact blots out what is to be concealed.
func (c *Conn) Redact(s string) string {
	for _, word := range c.secrets {
		s = strings.ReplaceAll(s, word, "***")
	}
	return s
}

// mostChallenges bounds how often a server may ask.
const mostChallenges = 32

// A completer is a mechanism in which the server proves itself too.
type completer interface {
	// Done returns an error unless the server has proved that it knows the
	// password.
	Done() error
}

// A login is a log-in under way. Some servers refuse it in an untagged response
// and never answer it (Stalwart, where an app password was revoked).
type login struct {
	refused Status
	timer   *time.Timer // ends the wait for the answer
}

// verdicts are the codes that refuse who logs in (RFC 5530 section 3).
var verdicts = [...]string{"AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "EXPIRED"}

// observe takes in an untagged response.
func (l *login) observe(c *Conn, s Status) {
	if l.timer != nil || s.Type != "NO" && s.Type != "BAD" || !slices.Contains(verdicts[:], s.CodeName()) {
		return
	}
	l.refused = s
	interrupt := c.Interrupter()
	l.timer = time.AfterFunc(byePatience, func() { interrupt(errUnanswered) })
}

var errUnanswered = fmt.Errorf("%w: a log-in was refused and never answered", ErrProtocol)

// logIn runs a log-in. If the server refuses it without an answer, the status is
// that refusal, and the connection is lost.
func (c *Conn) logIn(run func() (Status, error)) (Status, error) {
	l := new(login)
	c.login = l
	status, err := run()
	c.login = nil
	if l.timer == nil {
		return status, err
	}
	l.timer.Stop()
	ended := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	if c.lost != nil && status.Type == "" && !ended {
		return l.refused, nil
	}
	return status, err
}

// Authenticate runs a SASL exchange (RFC 9051 section 6.2.2). The status is the
// server's verdict. An error other than the connection's means that the
// mechanism gave up; the exchange was cancelled and the connection is in step.
// What was known of the server's capabilities is forgotten when it succeeds.
func (c *Conn) Authenticate(mech sasl.Client) (Status, error) {
	return c.logIn(func() (Status, error) { return c.authenticate(mech) })
}

func (c *Conn) authenticate(mech sasl.Client) (Status, error) {
	name, first, err := mech.Start()
	if err != nil {
		return Status{}, err
	}
	before := c.caps
	cmd := c.Command("AUTHENTICATE").Atom(name).Secret()
	cmd.Name = "AUTHENTICATE " + name
	sentFirst := first == nil
	if first != nil && before.Has(imap.CapSASLIR) {
		encoded := encodeResponse(first, true)
		c.Conceal(encoded)
		cmd.Raw(encoded)
		sentFirst = true
	}
	c.caps = nil
	defer func() {
		if cmd.Status.Type != "OK" && c.caps == nil {
			c.caps = before
		}
	}()
	if err := c.Send(cmd); err != nil {
		return Status{}, err
	}
	var gaveUp error
	for rounds := 0; !cmd.Done; {
		if err := c.Flush(); err != nil {
			return Status{}, err
		}
		resp, err := c.step()
		if err != nil {
			return Status{}, err
		}
		if resp.Tag != "+" {
			continue
		}
		if rounds++; rounds > mostChallenges {
			return Status{}, c.fail(fmt.Errorf("%w: more than %d authentication challenges", ErrProtocol, mostChallenges))
		}
		var answer []byte
		switch challenge, derr := base64.StdEncoding.DecodeString(resp.Status.Text); {
		case gaveUp != nil:
			return Status{}, c.fail(fmt.Errorf("%w: the server goes on with a cancelled authentication", ErrProtocol))
		case !sentFirst:
			// Whatever the text is ("+ Go ahead"), the server waits for the
			// initial response.
			answer, sentFirst = first, true
		case derr != nil && rounds > 1:
			gaveUp = fmt.Errorf("%w: a challenge that is not base64", ErrProtocol)
		default:
			answer, gaveUp = mech.Next(challenge)
		}
		if gaveUp != nil {
			c.out = append(c.out, "*\r\n"...)
			continue
		}
		encoded := encodeResponse(answer, false)
		c.Conceal(encoded)
		c.out = append(append(c.out, encoded...), '\r', '\n')
	}
	if cmd.Status.Type != "OK" {
		return cmd.Status, gaveUp
	}
	if gaveUp == nil {
		if both, ok := mech.(completer); ok {
			gaveUp = both.Done()
		}
	}
	if gaveUp != nil {
		return Status{}, c.fail(gaveUp)
	}
	return cmd.Status, nil
}

// encodeResponse encodes for the wire. An empty initial response is "=" (RFC
// 4959), an empty later one an empty line.
func encodeResponse(b []byte, initial bool) string {
	if len(b) == 0 && initial {
		return "="
	}
	return base64.StdEncoding.EncodeToString(b)
}

// Login runs the LOGIN command (RFC 9051 section 6.2.3).
func (c *Conn) Login(username, password string) (Status, error) {
	cmd := c.Command("LOGIN").String(username).String(password).Secret()
	if cmd.err != nil {
		return Status{}, fmt.Errorf("imapkit: user name or password: %w", ErrArgument) // and not quoted
	}
	before := c.caps
	c.caps = nil
	return c.logIn(func() (Status, error) {
		err := c.Run(cmd)
		if cmd.Status.Type != "OK" && c.caps == nil {
			c.caps = before
		}
		return cmd.Status, err
	})
}

// Logout says good-bye and closes the connection.
func (c *Conn) Logout() {
	if c.lost == nil {
		c.Run(c.Command("LOGOUT")) // the connection ends in any case
	}
	if t, ok := c.nc.(*tls.Conn); ok && c.lost == nil {
		t.Close() // says good-bye in TLS as well
	}
	c.fail(errLoggedOut)
	c.closeGuest()
}

var errLoggedOut = fmt.Errorf("imapkit: connection closed: %w", io.ErrClosedPipe)

// Discard closes the connection without a good-bye.
func (c *Conn) Discard() {
	c.fail(errLoggedOut)
	c.closeGuest()
}
