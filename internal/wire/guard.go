package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A guard ends an operation early by closing the transport, which works for
// every net.Conn, whatever it thinks of deadlines. A connection on which an
// operation was cut short is of no use anyway: nobody knows where its stream of
// responses stands.
type guard struct {
	transport net.Conn

	waiting atomic.Int64 // when the blocking call under way began, in ns since epoch; 0: none
	calm    atomic.Bool  // the server may be silent: IDLE is under way

	mu      sync.Mutex
	why     error // first reason for Abort
	timer   *time.Timer
	op      int           // number of the operation under way
	what    string        // it is for; "": nobody wants to know
	limit   time.Duration // of this operation
	silence bool          // limit counts silence only
	stop    func() bool   // ends the watch on the context
}

var epoch = time.Now()

func (g *guard) enter() { g.waiting.Store(int64(time.Since(epoch)) | 1) }
func (g *guard) leave() { g.waiting.Store(0) }

// progress restarts the count of silence for the blocking call under way.
func (g *guard) progress() {
	if since := g.waiting.Load(); since != 0 {
		g.waiting.CompareAndSwap(since, int64(time.Since(epoch))|1)
	}
}

// Begin starts an operation that ends with End. It is cut short when ctx ends
// or when timeout has passed; with silence only the time counts in which the
// connection makes no progress although somebody waits for it. A timeout of
// zero or less is none.
func (c *Conn) Begin(ctx context.Context, timeout time.Duration, silence bool) {
	c.nresp, c.answers, c.words = 0, 0, ""
	c.guard.begin(ctx, timeout, silence)
}

// End ends the operation begun last. The connection is idle then: no timer and
// no goroutine belongs to it, and its buffer is given back.
func (c *Conn) End() {
	c.guard.end()
	if c.gather != nil {
		c.gather.stop()
	}
	c.release()
}

// For says what the connection is used for from now on. Time-outs name it.
func (g *guard) For(what string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.what = what
}

func (g *guard) begin(ctx context.Context, timeout time.Duration, silence bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.op++
	g.limit, g.silence = timeout, silence
	op := g.op
	if ctx.Done() != nil {
		g.stop = context.AfterFunc(ctx, func() {
			g.mu.Lock()
			g.cutShort(op, contextError(ctx))
		})
	}
	if timeout > 0 {
		g.timer = time.AfterFunc(timeout, func() { g.expire(op) })
	}
}

func (g *guard) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.op++
	if g.timer != nil {
		g.timer.Stop()
		g.timer = nil
	}
	if g.stop != nil {
		g.stop()
		g.stop = nil
	}
}

func (g *guard) expire(op int) {
	g.mu.Lock()
	if g.silence && op == g.op {
		rest := g.limit
		if since := g.waiting.Load(); since != 0 && !g.calm.Load() {
			rest -= time.Since(epoch) - time.Duration(since)
		}
		if rest > 0 {
			g.timer.Reset(rest)
			g.mu.Unlock()
			return
		}
	}
	g.cutShort(op, fmt.Errorf("%w: %s: no answer within %v", ErrTimeout, g.what, g.limit))
}

// cutShort is Abort for the operation op, if that is still under way: a timer or
// a context that comes too late must not hit the next one. g.mu is held, and
// not any more afterwards.
func (g *guard) cutShort(op int, why error) {
	current := op == g.op
	if current && g.why == nil {
		g.why = why
	}
	g.mu.Unlock()
	if current {
		g.close()
	}
}

// close closes the transport. TLS to a proxy would say good-bye first, which
// takes as long as the proxy likes.
func (g *guard) close() {
	if t, ok := g.transport.(*tls.Conn); ok {
		t.NetConn().Close()
	}
	g.transport.Close()
}

// Abort closes the transport. The first reason given is what the operation
// under way returns. It may be called from any goroutine.
func (g *guard) Abort(why error) {
	g.mu.Lock()
	if g.why == nil {
		g.why = why
	}
	g.mu.Unlock()
	g.close()
}

// Interrupter returns a kind of Abort that does nothing once the operation under
// way now has ended.
func (c *Conn) Interrupter() func(why error) {
	g := &c.guard
	g.mu.Lock()
	defer g.mu.Unlock()
	op := g.op
	return func(why error) {
		g.mu.Lock()
		g.cutShort(op, why)
	}
}

// cause returns the reason given to Abort, or nil.
func (g *guard) cause() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.why
}

// contextError is the error of a context that has ended: it matches ctx.Err()
// and, where the program gave one, the cause.
func contextError(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != ctx.Err() {
		return errors.Join(ctx.Err(), cause)
	}
	return ctx.Err()
}
