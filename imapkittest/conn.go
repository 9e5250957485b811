package imapkittest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// maxLine is the longest line that a client may send, in bytes. It is what the
// memory server takes for a whole command.
const maxLine = 50 << 10

var errLineTooLong = errors.New("imapkittest: line too long")

// A conn is one connection. Up to the login it talks to the client by itself
// (serve). Then it becomes the net.Conn of a session of the memory server,
// which it spares the commands that one does not know (Read).
type conn struct {
	srv  *Server
	raw  net.Conn // the TCP connection
	conn net.Conn // raw, or TLS over it
	r    *bufio.Reader

	loggedIn bool
	closing  sync.Once

	// From here on for the time after the login.
	out     *outbox
	pending []byte // read, but not yet passed on
	literal int64  // bytes of a literal still to be passed on
	awaited int64  // size of a literal for which the client awaits a "+", or noLiteral
	midst   bool   // the next line continues a command
}

// noLiteral is the size of a literal that is not there.
const noLiteral = -1

func newConn(s *Server, raw net.Conn) *conn {
	c := &conn{srv: s, raw: raw, awaited: noLiteral}
	c.use(raw)
	return c
}

// use makes conn the one to read from and to write to.
func (c *conn) use(conn net.Conn) {
	c.conn = conn
	c.r = bufio.NewReaderSize(conn, maxLine)
}

func (c *conn) secure() bool {
	_, ok := c.conn.(*tls.Conn)
	return ok
}

func (c *conn) mayLogIn() bool { return c.secure() || c.srv.opts.InsecureAuth }

// serve greets, talks until the client has logged in, and passes the
// connection on to the memory server.
func (c *conn) serve(secure bool) {
	if secure {
		c.use(tls.Server(c.raw, c.srv.tls))
	}
	c.printf("* OK [CAPABILITY %s] imapkittest ready", c.caps())
	for !c.loggedIn {
		if err := c.answer(); err != nil {
			c.close()
			return
		}
	}
	c.out = newOutbox(c.conn)
	c.srv.lines.pass(c)
}

func (c *conn) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(c.conn, format+"\r\n", args...)
	return err
}

// readLine reads a line without its end.
func (c *conn) readLine() (string, error) {
	line, err := c.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		c.printf("* BYE line too long")
		return "", errLineTooLong
	}
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

// readCommand reads a command and the literals in it, all of it not longer
// than maxLine.
func (c *conn) readCommand() (string, error) {
	text, err := c.readLine()
	if err != nil {
		return "", err
	}
	for line := text; ; {
		size, sync, ok := announcedLiteral(line)
		if !ok {
			return text, nil
		}
		if int64(len(text))+size > maxLine {
			c.printf("* BYE command too long")
			return "", errLineTooLong
		}
		if sync {
			if err := c.printf("+ go ahead"); err != nil {
				return "", err
			}
		}
		data := make([]byte, size)
		if _, err := io.ReadFull(c.r, data); err != nil {
			return "", err
		}
		if line, err = c.readLine(); err != nil {
			return "", err
		}
		text += "\r\n" + string(data) + line
	}
}

// answer reads and answers one command before the login. It returns an error
// when the conversation is over.
func (c *conn) answer() error {
	text, err := c.readCommand()
	if err != nil {
		return err
	}
	tag, name, args := splitCommand(text)
	if tag == "" {
		tag = "*"
	}
	switch {
	case name == "CAPABILITY":
		c.printf("* CAPABILITY %s", c.caps())
	case name == "NOOP":
	case name == "ID" && c.srv.knows(name):
		c.printf("%s", idResponse)
	case name == "LOGOUT":
		c.printf("* BYE see you")
		c.printf("%s OK LOGOUT completed", tag)
		return net.ErrClosed
	case name == "STARTTLS":
		return c.startTLS(tag)
	case name == "LOGIN":
		return c.login(tag, args)
	case name == "AUTHENTICATE":
		return c.authenticate(tag, args)
	default:
		return c.printf("%s BAD unknown command, or not before the login", tag)
	}
	return c.printf("%s OK %s completed", tag, name)
}

const idResponse = `* ID ("name" "imapkittest")`

func (c *conn) startTLS(tag string) error {
	if c.secure() || !c.srv.has("STARTTLS") {
		return c.printf("%s BAD STARTTLS is not available", tag)
	}
	if c.r.Buffered() > 0 {
		c.printf("* BYE clear text after STARTTLS")
		return net.ErrClosed
	}
	if err := c.printf("%s OK begin TLS now", tag); err != nil {
		return err
	}
	c.use(tls.Server(c.raw, c.srv.tls))
	return nil
}

func (c *conn) login(tag, args string) error {
	if !c.mayLogIn() {
		return c.printf("%s NO [PRIVACYREQUIRED] STARTTLS first", tag)
	}
	words, ok := parseStrings(args)
	if !ok || len(words) != 2 {
		return c.printf("%s BAD expected a user name and a password", tag)
	}
	return c.finishLogin(tag, c.srv.auth.checkPassword(words[0], words[1]))
}

func (c *conn) finishLogin(tag string, err error) error {
	if err != nil {
		return c.printf("%s NO [AUTHENTICATIONFAILED] %v", tag, err)
	}
	c.loggedIn = true
	return c.printf("%s OK [CAPABILITY %s] logged in", tag, c.caps())
}

// close ends the connection and makes the server forget it.
func (c *conn) close() {
	c.closing.Do(func() {
		c.conn.SetWriteDeadline(time.Now().Add(drainTime))
		c.conn.Close()
		c.raw.Close()
		c.srv.forget(c)
	})
}
