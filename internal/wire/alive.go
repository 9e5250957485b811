package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// Alive reports whether an idle connection is still of use, without waiting:
// it takes in what the server said meanwhile, and notices if the server has
// closed it.
func (c *Conn) Alive() bool {
	if c.lost == nil && c.bye == nil && c.r == c.w && !readable(c.transport) {
		return c.Err() == nil
	}
	// A transport that only pretends to know deadlines is closed here, rather
	// than waited for.
	c.Begin(context.Background(), 100*glance, false)
	defer c.End()
	for c.lost == nil && c.bye == nil {
		if !c.tryFill() {
			break
		}
		for {
			resp, err := c.buffered()
			if err != nil || resp == nil {
				break
			}
			c.dispatch(resp)
		}
	}
	if c.bye != nil && c.lost == nil {
		c.fail(c.explain(io.EOF))
	}
	return c.Err() == nil
}

// glance is how long to wait for what is already there. A TLS record may be
// there in part.
const glance = 2 * time.Millisecond

// tryFill reads what has arrived, if anything has.
func (c *Conn) tryFill() bool {
	if !readable(c.transport) {
		return false
	}
	if c.transport.SetReadDeadline(time.Now().Add(glance)) != nil {
		return false // a channel of SSH, for instance, has no deadlines
	}
	defer c.transport.SetReadDeadline(time.Time{})
	if c.buf == nil {
		c.buf = *buffers.Get().(*[]byte)
		c.r, c.w = 0, 0
	}
	if c.w == len(c.buf) {
		return false
	}
	n, err := c.nc.Read(c.buf[c.w:])
	c.w += n
	if n > 0 {
		return true
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("imapkit: connection closed by the server while idle: %w", io.ErrUnexpectedEOF)
		}
		c.fail(err)
	}
	return false
}

// readable reports whether reading from the transport would return at once, or
// true if that cannot be told.
func readable(nc net.Conn) bool {
	for {
		if peeked, known := peek(nc); known {
			return peeked
		}
		wrapper, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return true
		}
		nc = wrapper.NetConn()
	}
}
