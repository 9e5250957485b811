package scripted

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

// maxLiteral is the largest literal a Conn reads into memory, in bytes.
const maxLiteral = 256 << 20

// A Conn is one connection, seen from the server. Its methods are for the
// handler's goroutine.
//
// A write that fails because the client has gone ends the handler, and so does
// an expectation that is not met, which also fails the test.
type Conn struct {
	// Num counts the server's connections; the first one has 1.
	Num int
	// ManualLiterals makes commands end where a literal is announced. The
	// handler then answers by itself and reads the bytes with ReadN.
	ManualLiterals bool

	s    *Server
	raw  net.Conn // the TCP connection
	conn net.Conn // raw, or TLS over it
	r    *bufio.Reader
	rec  record

	opts     Options
	loggedIn bool
	secured  bool // TLS was begun
}

// record keeps what the client sent.
type record struct {
	mu            sync.Mutex
	clear, secret bytes.Buffer
	commands      []string
}

// recorder reads from r and writes what it got to one of rec's buffers.
type recorder struct {
	r   io.Reader
	rec *record
	buf *bytes.Buffer
}

func (r recorder) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.rec.mu.Lock()
	r.buf.Write(p[:n])
	r.rec.mu.Unlock()
	return n, err
}

func newConn(s *Server, raw net.Conn, num int) *Conn {
	c := &Conn{Num: num, s: s, raw: raw, conn: raw}
	if s.tls != nil {
		c.secure(raw, s.tls)
	} else {
		c.r = bufio.NewReader(recorder{raw, &c.rec, &c.rec.clear})
	}
	return c
}

func (c *Conn) secure(raw net.Conn, config *tls.Config) *tls.Conn {
	conn := tls.Server(raw, config)
	c.conn = conn
	c.secured = true
	c.r = bufio.NewReader(recorder{conn, &c.rec, &c.rec.secret})
	return conn
}

// StartTLS changes to TLS, as a server does after its OK to STARTTLS. It
// returns the error of the handshake. A nil config means [TLSConfig].
func (c *Conn) StartTLS(config *tls.Config) error {
	if config == nil {
		config = TLSConfig()
	}
	early, err := c.r.Peek(c.r.Buffered())
	if err != nil {
		return err
	}
	return c.secure(earlyConn{c.raw, io.MultiReader(bytes.NewReader(early), c.raw)}, config).Handshake()
}

// earlyConn is a connection of which some bytes were read before their time.
type earlyConn struct {
	net.Conn
	r io.Reader
}

func (c earlyConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// TLS returns the state of the TLS connection; ok is false when there is none.
// It completes the handshake.
func (c *Conn) TLS() (state tls.ConnectionState, ok bool) {
	conn, ok := c.conn.(*tls.Conn)
	if !ok || conn.Handshake() != nil {
		return tls.ConnectionState{}, false
	}
	return conn.ConnectionState(), true
}

// Errorf fails the test; the handler goes on.
func (c *Conn) Errorf(format string, args ...any) {
	c.s.t.Errorf("scripted: connection %d: %s", c.Num, fmt.Sprintf(format, args...))
}

// fail fails the test and ends the handler.
func (c *Conn) fail(format string, args ...any) {
	c.Errorf(format, args...)
	runtime.Goexit()
}

// Send writes the lines, with CRLF after each, in one piece.
func (c *Conn) Send(lines ...string) {
	c.SendRaw(strings.Join(lines, "\r\n") + "\r\n")
}

// Sendf writes one formatted line with CRLF.
func (c *Conn) Sendf(format string, args ...any) {
	c.SendRaw(fmt.Sprintf(format, args...) + "\r\n")
}

// SendRaw writes s and nothing else.
func (c *Conn) SendRaw(s string) { c.SendBytes([]byte(s)) }

// SendBytes is SendRaw without making a copy, for much that is sent where
// memory is measured.
func (c *Conn) SendBytes(b []byte) {
	if _, err := c.conn.Write(b); err != nil {
		runtime.Goexit()
	}
}

// OK writes the tagged OK that ends a command.
func (c *Conn) OK(tag, text string) { c.Send(tag + " OK " + text) }

// No writes a tagged NO.
func (c *Conn) No(tag, text string) { c.Send(tag + " NO " + text) }

// Bad writes a tagged BAD.
func (c *Conn) Bad(tag, text string) { c.Send(tag + " BAD " + text) }

// ReadLine reads one line and returns it without CRLF; ok is false when the
// client has closed the connection.
func (c *Conn) ReadLine() (line string, ok bool) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return line, false
	}
	return strings.TrimRight(line, "\r\n"), true
}

// ReadN reads n bytes, such as those of a literal. Fewer end the handler.
func (c *Conn) ReadN(n int64) string {
	var b bytes.Buffer
	if _, err := io.CopyN(&b, c.r, n); err != nil {
		runtime.Goexit()
	}
	return b.String()
}

// A Command is what a client sent up to the end of a line, literals included.
type Command struct {
	Tag  string
	Name string // in upper case, e.g. "SELECT" or "UID FETCH"
	Args string // what follows the name; a literal appears as it came: {3}, CRLF, three bytes
}

// String returns the command without its tag.
func (cmd Command) String() string {
	return strings.TrimSuffix(cmd.Name+" "+cmd.Args, " ")
}

// literalRE matches the announcement of a literal, or of a literal8 (RFC 3516),
// at the end of a line.
var literalRE = regexp.MustCompile(`\{(\d+)(\+?)\}$`)

// ReadCommand reads one command and answers "+ OK" to each synchronizing
// literal, unless ManualLiterals is set. ok is false when the client has
// closed the connection.
func (c *Conn) ReadCommand() (cmd Command, ok bool) {
	text, ok := c.ReadLine()
	if !ok {
		return Command{}, false
	}
	for line := text; !c.ManualLiterals; {
		m := literalRE.FindStringSubmatch(line)
		if m == nil {
			break
		}
		size, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil || size > maxLiteral {
			c.fail("literal of %s bytes", m[1])
		}
		if m[2] == "" {
			c.Send("+ OK")
		}
		data := c.ReadN(size)
		if line, ok = c.ReadLine(); !ok {
			return Command{}, false
		}
		text += "\r\n" + data + line
	}
	cmd = parseCommand(text)
	c.rec.mu.Lock()
	c.rec.commands = append(c.rec.commands, cmd.String())
	c.rec.mu.Unlock()
	return cmd, true
}

func parseCommand(text string) Command {
	var cmd Command
	cmd.Tag, cmd.Args, _ = strings.Cut(text, " ")
	cmd.Name, cmd.Args, _ = strings.Cut(cmd.Args, " ")
	cmd.Name = strings.ToUpper(cmd.Name)
	if cmd.Name == "UID" {
		var sub string
		sub, cmd.Args, _ = strings.Cut(cmd.Args, " ")
		cmd.Name += " " + strings.ToUpper(sub)
	}
	return cmd
}

// Expect reads one command, which must contain substr. It returns the tag and
// the command without it.
func (c *Conn) Expect(substr string) (tag, line string) {
	cmd, ok := c.ReadCommand()
	if !ok {
		c.fail("the client closed the connection, expected a command with %q", substr)
	}
	if !strings.Contains(cmd.String(), substr) {
		c.fail("got the command %q, expected one with %q", cmd, substr)
	}
	return cmd.Tag, cmd.String()
}

// ExpectLine reads one line that is not a command, such as "DONE" or the answer
// to a challenge; it must contain substr.
func (c *Conn) ExpectLine(substr string) string {
	line, ok := c.ReadLine()
	if !ok {
		c.fail("the client closed the connection, expected a line with %q", substr)
	}
	if !strings.Contains(line, substr) {
		c.fail("got the line %q, expected one with %q", line, substr)
	}
	return line
}

// Close closes the connection. Handlers that return need not call it.
func (c *Conn) Close() {
	c.conn.Close()
}

// Reset breaks the connection, so that the client gets a reset (RST) instead
// of an orderly end.
func (c *Conn) Reset() {
	c.raw.(*net.TCPConn).SetLinger(0)
	c.raw.Close()
}

// Stall says nothing and reads, until the client closes the connection or the
// test ends.
func (c *Conn) Stall() {
	io.Copy(io.Discard, c.r)
}

// Freeze neither says nor reads anything until the test ends. What the client
// writes fills its send buffer.
func (c *Conn) Freeze() {
	<-c.s.done
}
