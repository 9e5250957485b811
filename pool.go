package imapkit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A pool hands out at most Client.MaxConns connections, first come, first
// served. It is guarded by Client.mu.
type pool struct {
	idle    []*session // the one used last is last
	total   int        // connections, dials under way included
	waiters []*waiter
	leases  map[*lease]struct{}
}

// A waiter waits for a connection, or for the right to make one.
type waiter struct{ got chan grant }

// A grant is what a waiter gets: a connection, an error, or neither, which is
// the right to make a connection.
type grant struct {
	s   *session
	err error
}

// A lease is a connection in use.
type lease struct {
	s      *session
	what   string // what it is used for
	stream bool   // until the program closes it
	// recall takes the connection back from a loop that is not reading at the
	// moment. It is called without Client.mu and may take its time.
	recall func()
	// orphan gives the connection back when the Client is closed while the program
	// holds it but is not using it: nobody else may do so if it has left a loop by
	// a panic, or forgotten a reader. It does not wait.
	orphan func()
}

// acquire returns a connection, one that has the folder open if there is one, or
// a fresh one. reused tells that it is not fresh, so that it may turn out dead.
func (c *Client) acquire(ctx context.Context, op operation, fresh bool) (l *lease, reused bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, false, ended(ctx)
	}
	s, err := c.take(ctx, op.folder)
	if err != nil {
		return nil, false, err
	}
	if s != nil {
		if !fresh && s.Alive() {
			return c.lend(s, op), true, nil
		}
		c.debug("replacing a connection", "cause", s.Err())
		s.Discard()
	}
	defer func() { // also if code of the program panics
		if l == nil {
			c.giveUpSlot(ctx, err)
		}
	}()
	if s, err = c.dialAndLogin(ctx); err != nil {
		return nil, false, err
	}
	return c.lend(s, op), false, nil
}

func (c *Client) lend(s *session, op operation) *lease {
	l := &lease{s: s, what: op.what, stream: op.lent}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pool.leases == nil {
		c.pool.leases = make(map[*lease]struct{})
	}
	c.pool.leases[l] = struct{}{}
	if c.closed {
		s.Abort(ErrClosed)
	}
	return l
}

// take returns an idle connection, or nil for the right to make one.
func (c *Client) take(ctx context.Context, folder string) (*session, error) {
	c.mu.Lock()
	p := &c.pool
	switch {
	case c.closed:
		c.mu.Unlock()
		return nil, ErrClosed
	case len(p.idle) > 0:
		i := len(p.idle) - 1
		for k, s := range p.idle {
			if box := s.Mailbox(); folder != "" && box != nil && box.Name == folder {
				i = k
			}
		}
		s := p.idle[i]
		p.idle = slices.Delete(p.idle, i, i+1)
		c.mu.Unlock()
		return s, nil
	case p.total < max(c.MaxConns, 1):
		p.total++
		c.mu.Unlock()
		return nil, nil
	}
	w := &waiter{got: make(chan grant, 1)}
	p.waiters = append(p.waiters, w)
	c.callBack()
	c.mu.Unlock()
	return c.await(ctx, w)
}

// offer lets others have the connection of a loop while that is not reading:
// recall gives it back. It reports false if the Client is closed.
func (c *Client) offer(l *lease, recall, orphan func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	l.recall, l.orphan = recall, orphan
	if len(c.pool.waiters) > 0 {
		c.callBack()
	}
	return true
}

// callBack makes one of the loops give its connection back, in the background,
// because what is in flight may take a while to come. Client.mu is held.
func (c *Client) callBack() {
	for l := range c.pool.leases {
		if recall := l.recall; recall != nil && !c.closed {
			l.recall = nil
			c.background.Go(recall)
			return
		}
	}
}

// await waits for a connection: as long as operations take, or Timeout if it is
// streams that have them all, because the program may be waiting for itself.
func (c *Client) await(ctx context.Context, w *waiter) (*session, error) {
	var expired <-chan time.Time
	if limit := c.timeout(); limit > 0 {
		timer := time.NewTicker(limit)
		defer timer.Stop()
		expired = timer.C
	}
	for {
		select {
		case g := <-w.got:
			return g.s, g.err
		case <-c.done():
			c.withdraw(w)
			return nil, ErrClosed
		case <-ctx.Done():
			c.withdraw(w)
			return nil, ended(ctx)
		case <-expired:
			if open := c.openStream(); open != "" {
				c.withdraw(w)
				return nil, fmt.Errorf("%w: no free connection (MaxConns is %d) within %v: %s is still open",
					ErrTimeout, max(c.MaxConns, 1), c.timeout(), open)
			}
		}
	}
}

// withdraw takes a waiter out of the line; what it was given meanwhile goes to
// the next.
func (c *Client) withdraw(w *waiter) {
	c.mu.Lock()
	if i := slices.Index(c.pool.waiters, w); i >= 0 {
		c.pool.waiters = slices.Delete(c.pool.waiters, i, i+1)
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	switch g := <-w.got; {
	case g.s != nil:
		c.putBack(g.s)
	case g.err == nil:
		c.giveUpSlot(context.Background(), nil)
	}
}

// openStream names a stream if nothing but streams have the connections.
func (c *Client) openStream() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	what := ""
	for l := range c.pool.leases {
		if !l.stream {
			return ""
		}
		what = l.what
	}
	return what
}

// release takes a connection back. One on which answers are still to come is
// given up: they would be taken for those to the next commands.
func (c *Client) release(l *lease) {
	c.mu.Lock()
	delete(c.pool.leases, l)
	c.mu.Unlock()
	if l.s.Err() != nil || l.s.Busy() {
		l.s.Discard()
		c.giveUpSlot(context.Background(), nil)
		return
	}
	c.putBack(l.s)
}

func (c *Client) putBack(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		c.pool.total--
		s.Discard()
	case len(c.pool.waiters) > 0:
		c.pool.waiters[0].got <- grant{s: s}
		c.pool.waiters = slices.Delete(c.pool.waiters, 0, 1)
	default:
		c.pool.idle = append(c.pool.idle, s)
	}
}

// giveUpSlot lets somebody else make a connection. If that has just failed, for
// a reason that is not the caller's context, and there is no other connection to
// wait for, all who wait have waited for this: otherwise each would find out by
// itself, one time-out after another, or send the same wrong password again.
func (c *Client) giveUpSlot(ctx context.Context, failed error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	its := ctx.Err() != nil || errors.Is(failed, context.DeadlineExceeded) || errors.Is(failed, context.Canceled)
	if failed != nil && !its && c.pool.total == 1 {
		for _, w := range c.pool.waiters {
			w.got <- grant{err: failed}
		}
		c.pool.waiters = nil
	}
	if len(c.pool.waiters) > 0 {
		c.pool.waiters[0].got <- grant{}
		c.pool.waiters = slices.Delete(c.pool.waiters, 0, 1)
		return
	}
	c.pool.total--
}

// goodbyeTime is how long a server may take over LOGOUT.
const goodbyeTime = 2 * time.Second

// goodbye logs out in the background; Close waits for it. Client.mu is held.
func (c *Client) goodbye(s *session) {
	c.background.Add(1)
	go func() {
		defer c.background.Done()
		s.Begin(context.Background(), goodbyeTime, false)
		s.Logout()
		s.End()
	}()
}

// Close says LOGOUT on idle connections and ends all others; calls under way
// return [ErrClosed], as does every later call. It takes two seconds at most,
// whatever the servers do, and no goroutine of the Client is left afterwards.
// It is safe to call Close twice. The error is always nil.
func (c *Client) Close() error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.doneLocked())
		for _, s := range c.pool.idle {
			c.goodbye(s)
		}
		c.pool.idle = nil
		for l := range c.pool.leases {
			l.s.Abort(ErrClosed)
			l.recall = nil
			if l.orphan != nil {
				c.background.Go(l.orphan)
			}
		}
	}
	c.mu.Unlock()
	c.background.Wait()
	return nil
}

// done is closed when the Client is.
func (c *Client) done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.doneLocked()
}

func (c *Client) doneLocked() chan struct{} {
	if c.closing == nil {
		c.closing = make(chan struct{})
	}
	return c.closing
}

// dialAndLogin makes a connection that is ready for use.
func (c *Client) dialAndLogin(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Close ends what is under way here and waits for it.
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, ErrClosed
	}
	c.background.Add(1)
	closing := c.doneLocked()
	c.mu.Unlock()
	defer c.background.Done()
	watched := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-closing:
			cancel(ErrClosed)
		case <-stop:
		}
	}()
	defer func() { close(stop); <-watched }()
	s, err := c.connect(ctx)
	if err == nil {
		ready := false
		defer func() { // also if code of the program panics
			if !ready {
				s.Discard()
			}
		}()
		if err = s.login(ctx); err == nil {
			ready = true
			return s, nil
		}
	}
	if context.Cause(ctx) == ErrClosed {
		return nil, ErrClosed
	}
	return nil, err
}

// ended is the error of a context that has ended, together with its cause
// where the program gave one.
func ended(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != ctx.Err() {
		return errors.Join(ctx.Err(), cause)
	}
	return ctx.Err()
}
