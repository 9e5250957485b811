package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// A Command is one command line with its literals. Its methods add arguments,
// each after a blank; the first thing that cannot be sent makes Run and Send
// fail before a byte leaves.
type Command struct {
	// Name is the command in words, for errors and logs.
	Name string
	// On is offered each untagged response while the command is under way
	// and returns whether it was for this command. May be nil.
	On func(*Response) bool
	// Status is the tagged response, once Done.
	Status Status
	// Done is set when the tagged response has arrived.
	Done bool

	conn     *Conn
	tag      string
	parts    []part
	err      error
	onDone   func() // runs when Done is set
	secret   bool
	joint    bool  // no blank before the next argument
	nonSync  int64 // literals up to this length need no continuation request
	begun    bool  // something of it was handed to the transport
	canceled bool  // the server answered before all was sent
}

// A part is a run of bytes, or a literal that is read from somewhere.
type part struct {
	wait bool // for a continuation request, before it is sent
	b    []byte
	from io.Reader
	n    int64
}

// Command begins a command.
func (c *Conn) Command(name string) *Command {
	cmd := &Command{Name: name, conn: c, nonSync: -1}
	switch {
	case c.caps.Has(imap.CapLiteralPlus):
		cmd.nonSync = 1<<63 - 1
	case c.caps.Has(imap.CapLiteralMinus):
		cmd.nonSync = 4096
	}
	c.lastTag++
	cmd.tag = "k" + strconv.FormatUint(c.lastTag, 36)
	cmd.parts = []part{{b: append(make([]byte, 0, 64), cmd.tag+" "+name...)}}
	return cmd
}

func (cmd *Command) last() *part { return &cmd.parts[len(cmd.parts)-1] }

func (cmd *Command) fail(format string, args ...any) {
	if cmd.err == nil {
		cmd.err = fmt.Errorf("imapkit: %s: %w", fmt.Sprintf(format, args...), ErrArgument)
	}
}

// Text returns the command line up to its first literal, without the tag.
func (cmd *Command) Text() string {
	_, text, _ := strings.Cut(string(cmd.parts[0].b), " ")
	return text
}

// Err returns why the command cannot be sent, or nil.
func (cmd *Command) Err() error { return cmd.err }

// Len returns the length of the command line so far, literals included.
func (cmd *Command) Len() int {
	n := 0
	for _, p := range cmd.parts {
		n += len(p.b)
	}
	return n
}

// Raw adds text as it stands. It must be text of this program's own, never a
// string from elsewhere.
func (cmd *Command) Raw(s string) *Command {
	p := cmd.blank()
	p.b = append(p.b, s...)
	return cmd
}

// Open begins a parenthesized list.
func (cmd *Command) Open() *Command {
	cmd.Raw("(")
	cmd.joint = true
	return cmd
}

// Close ends a parenthesized list.
func (cmd *Command) Close() *Command {
	cmd.joint = false
	return cmd.Glue(")")
}

// blank separates the next argument from the one before.
func (cmd *Command) blank() *part {
	p := cmd.last()
	if !cmd.joint {
		p.b = append(p.b, ' ')
	}
	cmd.joint = false
	return p
}

// Glue adds text as Raw does, without a blank before it.
func (cmd *Command) Glue(s string) *Command {
	p := cmd.last()
	p.b = append(p.b, s...)
	return cmd
}

// Number adds a number.
func (cmd *Command) Number(n uint64) *Command {
	p := cmd.blank()
	p.b = strconv.AppendUint(p.b, n, 10)
	return cmd
}

// Atom adds a string that must be an atom, such as a keyword.
func (cmd *Command) Atom(s string) *Command {
	if !IsAtom(s) {
		cmd.fail("%q is no atom", s)
		return cmd
	}
	return cmd.Raw(s)
}

// IsAtom reports whether s is an atom (RFC 9051 section 9).
func IsAtom(s string) bool {
	for i := 0; i < len(s); i++ {
		if ch := s[i]; ch <= ' ' || ch >= 0x7f || strings.IndexByte(`(){%*"\]`, ch) >= 0 {
			return false
		}
	}
	return s != ""
}

// Flag adds a flag: a keyword, or a backslash and an atom.
func (cmd *Command) Flag(f imap.Flag) *Command {
	if !IsAtom(strings.TrimPrefix(string(f), `\`)) {
		cmd.fail("%q is no flag", string(f))
		return cmd
	}
	return cmd.Raw(string(f))
}

// longestQuoted is the length up to which a string is sent in quotes: servers
// have limits on their lines, not on their literals.
const longestQuoted = 1000

// String adds a string, quoted where that is possible, else as a literal.
func (cmd *Command) String(s string) *Command {
	quotable := len(s) <= longestQuoted
	for i := 0; i < len(s); i++ {
		switch ch := s[i]; {
		case ch == 0:
			cmd.fail("%q contains a NUL", s)
			return cmd
		case ch == '\r' || ch == '\n' || ch == 0x7f || ch < ' ' && ch != '\t' || ch >= 0x80 && !cmd.conn.utf8:
			quotable = false
		}
	}
	if !quotable {
		return cmd.Literal([]byte(s))
	}
	p := cmd.blank()
	p.b = append(p.b, '"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			p.b = append(p.b, '\\')
		}
		p.b = append(p.b, s[i])
	}
	p.b = append(p.b, '"')
	return cmd
}

// Literal adds a literal that is in memory.
func (cmd *Command) Literal(b []byte) *Command {
	cmd.blank()
	cmd.announce("", int64(len(b)))
	p := cmd.last()
	p.b = append(p.b, b...)
	return cmd
}

// LiteralFrom adds a literal of n bytes that is read from r while it is sent.
// binary makes it a literal8 (RFC 3516).
func (cmd *Command) LiteralFrom(r io.Reader, n int64, binary bool) *Command {
	cmd.blank()
	prefix := ""
	if binary {
		prefix = "~"
	}
	cmd.announce(prefix, n)
	p := cmd.last()
	p.from, p.n = r, n
	cmd.parts = append(cmd.parts, part{})
	return cmd
}

func (cmd *Command) announce(prefix string, n int64) {
	p := cmd.last()
	p.b = append(p.b, prefix...)
	p.b = append(p.b, '{')
	p.b = strconv.AppendInt(p.b, n, 10)
	// RFC 7888 section 6: a literal8 need not wait either where there is BINARY.
	if n <= cmd.nonSync && (prefix == "" || cmd.conn.caps.Has(imap.CapBinary)) {
		p.b = append(p.b, "+}\r\n"...)
		cmd.parts = append(cmd.parts, part{})
		return
	}
	p.b = append(p.b, "}\r\n"...)
	cmd.parts = append(cmd.parts, part{wait: true})
}

// Secret keeps the command out of the log, its name aside.
func (cmd *Command) Secret() *Command {
	cmd.secret = true
	return cmd
}

// Begun reports whether any byte of the command may have reached the server.
func (cmd *Command) Begun() bool { return cmd.begun }

// Send sends a command, or collects it to be sent with the next ones that are
// waited for. It waits only where the server must ask for a literal.
func (c *Conn) Send(cmd *Command) error {
	if cmd.err != nil {
		return cmd.err
	}
	if c.lost != nil {
		return c.lost
	}
	if c.log.Enabled(context.Background(), levelTrace) {
		c.traceCommand(cmd)
	}
	c.inFlight = append(c.inFlight, cmd)
	for i := range cmd.parts {
		p := &cmd.parts[i]
		if p.wait {
			cmd.begun = true
			if err := c.awaitContinuation(cmd); err != nil || cmd.Done {
				return err
			}
		}
		c.out = append(c.out, p.b...)
		if p.from != nil {
			cmd.begun = true
			if err := c.sendFrom(p.from, p.n); err != nil {
				return err
			}
		}
	}
	c.out = append(c.out, '\r', '\n')
	if len(c.out) > 16<<10 {
		cmd.begun = true
		return c.flush()
	}
	return nil
}

// awaitContinuation flushes and waits for "+", or for the server's refusal.
func (c *Conn) awaitContinuation(cmd *Command) error {
	if err := c.flush(); err != nil {
		return err
	}
	for {
		resp, err := c.step()
		if err != nil {
			return err
		}
		if resp.Tag == "+" {
			return nil
		}
		if cmd.Done {
			cmd.canceled = true
			return nil
		}
	}
}

// A SourceError is the failure of a reader whose bytes were being sent. The
// connection was closed so that the server does not keep half a message.
type SourceError struct{ Err error }

// Error returns the failure.
func (e *SourceError) Error() string { return fmt.Sprintf("imapkit: reading what to send: %v", e.Err) }

// Unwrap returns the reader's error.
func (e *SourceError) Unwrap() error { return e.Err }

// sendFrom sends n bytes of r, which must hold exactly that many.
func (c *Conn) sendFrom(r io.Reader, n int64) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for n > 0 {
		b := *buf
		if int64(len(b)) > n {
			b = b[:n]
		}
		k, err := r.Read(b)
		if k > 0 {
			n -= int64(k)
			if werr := c.sendChunk(b[:k]); werr != nil {
				return werr
			}
		}
		if n > 0 && err != nil {
			if err == io.EOF {
				err = fmt.Errorf("%w, %d bytes before the announced size", io.ErrUnexpectedEOF, n)
			}
			return c.fail(&SourceError{err})
		}
		if n == 0 && err != nil && err != io.EOF {
			return c.fail(&SourceError{err})
		}
	}
	var extra [1]byte
	for {
		switch k, err := r.Read(extra[:]); {
		case k > 0:
			return c.fail(&SourceError{errors.New("there is more than the announced size")})
		case err == io.EOF:
			return nil
		case err != nil:
			return c.fail(&SourceError{err})
		}
	}
}

// sendChunk writes small chunks together with what is waiting, large ones by
// themselves.
func (c *Conn) sendChunk(b []byte) error {
	if len(c.out)+len(b) <= 16<<10 {
		c.out = append(c.out, b...)
		return nil
	}
	if err := c.flush(); err != nil {
		return err
	}
	if len(b) <= 8<<10 {
		c.out = append(c.out, b...)
		return nil
	}
	return c.write(b)
}

// Wait reads until the command is done. An error means that the connection is
// lost; a refusal is in cmd.Status.
func (c *Conn) Wait(cmd *Command) error {
	if cmd.err != nil {
		return cmd.err
	}
	for !cmd.Done {
		if err := c.Flush(); err != nil {
			return err
		}
		if _, err := c.step(); err != nil {
			return err
		}
	}
	return nil
}

// Busy reports whether a command is under way, or waits to be sent.
func (c *Conn) Busy() bool { return len(c.inFlight) > 0 || len(c.out) > 0 }

// WaitAll reads until no command is under way.
func (c *Conn) WaitAll() error {
	for len(c.inFlight) > 0 {
		if err := c.Wait(c.inFlight[0]); err != nil {
			return err
		}
	}
	return c.lost
}

// Flush sends the commands collected so far.
func (c *Conn) Flush() error {
	if len(c.out) > 0 {
		for _, cmd := range c.inFlight {
			cmd.begun = true
		}
	}
	return c.flush()
}

// Run sends commands in one go and waits for all of them.
func (c *Conn) Run(cmds ...*Command) error {
	for _, cmd := range cmds {
		if cmd.err != nil {
			return cmd.err
		}
	}
	for _, cmd := range cmds {
		if err := c.Send(cmd); err != nil {
			return err
		}
	}
	for _, cmd := range cmds {
		if err := c.Wait(cmd); err != nil {
			return err
		}
	}
	return nil
}

// step reads one response and does what it asks for.
func (c *Conn) step() (*Response, error) {
	resp, err := c.next()
	if err != nil {
		return nil, err
	}
	c.dispatch(resp)
	if err := c.finish(resp); err != nil {
		return nil, err
	}
	return resp, c.checkLimit(resp)
}

// checkLimit returns the error of a response that was read as it came, or with
// which somebody gave the connection up.
func (c *Conn) checkLimit(resp *Response) error {
	if resp.lines != nil && resp.lines.err != nil {
		return resp.lines.err
	}
	return c.lost
}

// Fail gives the connection up because of what the server has sent. It is for
// the On field of a command, which then fails with this error.
func (c *Conn) Fail(why error) { c.fail(why) }

// Len returns how many bytes a response has that is not read as it comes.
func (r *Response) Len() int64 { return r.text }

// dispatch completes the command that a tagged response belongs to and offers
// an untagged one to the commands under way.
func (c *Conn) dispatch(resp *Response) {
	switch {
	case resp.Tag == "+":
		return
	case resp.Tag != "":
		c.complete(resp)
		return
	}
	c.observe(resp)
	for _, cmd := range c.inFlight {
		if cmd.On != nil && cmd.On(resp) {
			return
		}
	}
}

// complete ends the command with the response's tag; commands before it whose
// tagged response was lost stay under way.
func (c *Conn) complete(resp *Response) {
	for i, cmd := range c.inFlight {
		if cmd.tag == resp.Tag {
			cmd.Status, cmd.Done = resp.Status, true
			c.inFlight = append(c.inFlight[:i], c.inFlight[i+1:]...)
			c.observe(resp)
			if cmd.onDone != nil {
				cmd.onDone()
			}
			return
		}
	}
	c.debug("skipped a response with an unknown tag", []byte(resp.Tag+" "+resp.Name+" "+resp.Status.Text))
}
