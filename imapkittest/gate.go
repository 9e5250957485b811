package imapkittest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// Read passes what the client sends on to the memory server, at most a line at
// a time. It is called when that server has answered everything before, so
// that this is the moment to answer commands in its place.
func (c *conn) Read(p []byte) (int, error) {
	for len(c.pending) == 0 {
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.pending)
	c.pending = c.pending[n:]
	return n, nil
}

// fill reads the next piece into pending; none if it has answered a command.
func (c *conn) fill() error {
	if c.awaited != noLiteral {
		// Refused literals do not come: then a new command does.
		if c.midst = c.out.invited(); c.midst {
			c.literal = c.awaited
		}
		c.awaited = noLiteral
	}
	if c.literal > 0 {
		if _, err := c.r.Peek(1); err != nil {
			return err
		}
		buf, _ := c.r.Peek(int(min(c.literal, int64(c.r.Buffered()))))
		c.pending = append(c.pending[:0], buf...)
		c.literal -= int64(len(buf))
		c.r.Discard(len(buf))
		return nil
	}
	line, err := c.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		io.WriteString(c.out, "* BYE line too long\r\n")
		return errLineTooLong
	}
	if err != nil {
		return err
	}
	text := strings.TrimRight(string(line), "\r\n")
	size, sync, literal := announcedLiteral(text)
	if !c.midst && !literal && c.answerInstead(text) {
		return nil
	}
	c.pending = append(c.pending[:0], line...)
	c.midst = literal
	switch {
	case literal && sync:
		c.awaited = size
	case literal:
		c.literal = size
	}
	return nil
}

// answerInstead answers a command that the memory server does not know, or
// must not seem to know.
func (c *conn) answerInstead(text string) bool {
	tag, name, _ := splitCommand(text)
	var answer string
	switch {
	case !c.srv.knows(name):
		answer = tag + " BAD unknown command"
	case name == "CAPABILITY":
		answer = "* CAPABILITY " + c.caps() + "\r\n" + tag + " OK CAPABILITY completed"
	case name == "ID":
		answer = idResponse + "\r\n" + tag + " OK ID completed"
	default:
		return false
	}
	io.WriteString(c.out, answer+"\r\n")
	return true
}

// Write queues what the memory server says.
func (c *conn) Write(p []byte) (int, error) { return c.out.Write(p) }

// Close is called by the memory server at the end of the session.
func (c *conn) Close() error {
	c.out.Close()
	c.close()
	return nil
}

// LocalAddr and the methods that follow make a conn a net.Conn.
func (c *conn) LocalAddr() net.Addr  { return c.raw.LocalAddr() }
func (c *conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

func (c *conn) SetDeadline(t time.Time) error     { return c.SetReadDeadline(t) }
func (c *conn) SetReadDeadline(t time.Time) error { return c.conn.SetReadDeadline(t) }

// SetWriteDeadline does nothing: the outbox takes everything at once.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// A handover is the listener from which the memory server gets connections.
type handover struct {
	conns   chan *conn
	closed  chan struct{}
	closing sync.Once
}

func newHandover() *handover {
	return &handover{conns: make(chan *conn), closed: make(chan struct{})}
}

// pass gives c to the memory server, or closes it if that has ended.
func (h *handover) pass(c *conn) {
	select {
	case h.conns <- c:
	case <-h.closed:
		c.Close()
	}
}

func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *handover) Close() error {
	h.closing.Do(func() { close(h.closed) })
	return nil
}

func (h *handover) Addr() net.Addr { return &net.TCPAddr{} }
