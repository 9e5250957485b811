package imapkit

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/imapkit/imapkit/internal/wire"
)

// A ThrottledError is a refusal by which the server asks to wait, where that was
// not done: it asks for longer than the deadline of the context allows, or
// [Client.Timeout] where the context has none; it does not say how long; or the
// call had changed something before, so that it must not be begun anew. What was
// refused has not happened.
type ThrottledError struct {
	Wait time.Duration // what the server asks for; 0: it does not say
	Err  error         // the refusal
}

// Error returns the refusal and the time.
func (e *ThrottledError) Error() string {
	if e.Wait == 0 {
		return fmt.Sprintf("%v (the server asks to wait, without saying how long)", e.Err)
	}
	return fmt.Sprintf("%v (the server asks to wait %v)", e.Err, e.Wait)
}

// Unwrap returns the refusal.
func (e *ThrottledError) Unwrap() error { return e.Err }

// backoff reports whether a refusal only says that the server wants to be asked
// less often, and after which time it wants to be asked again; 0: it does not
// say.
func backoff(err error) (wait time.Duration, throttled bool) {
	var refused *ServerError
	if !errors.As(err, &refused) || errors.Is(err, ErrUnknownOutcome) {
		return 0, false
	}
	for _, p := range profiles {
		if p.pause == nil {
			continue
		}
		if m := p.pause().FindStringSubmatch(refused.Text); m != nil {
			if len(m) > 1 && m[1] != "" {
				ms, _ := strconv.Atoi(m[1])
				wait = time.Duration(max(ms, 1)) * time.Millisecond
			}
			return wait, true
		}
	}
	return 0, false
}

// isThrottled reports whether a refusal says nothing about what was asked.
func isThrottled(err error) bool {
	if err == nil {
		return false
	}
	_, throttled := backoff(err)
	return throttled
}

// isTemporary reports whether a refused log-in says nothing about the
// credentials: what checks them is out of order or has too much to do (RFC 5530
// section 3).
func isTemporary(err error) bool {
	var refused *ServerError
	if !errors.As(err, &refused) {
		return false
	}
	switch (wire.Status{Code: refused.Code}).CodeName() {
	case "UNAVAILABLE", "INUSE", "LIMIT", "SERVERBUG":
		return true
	}
	return isThrottled(err)
}

// partlyDone marks a failure of an operation that has changed something before,
// so that it must not be begun anew.
type partlyDone struct{ error }

// Unwrap returns the failure.
func (e partlyDone) Unwrap() error { return e.error }

// A patience waits for servers that throttle, within what the caller allows. It
// must be made when the call begins.
type patience struct {
	client  *Client
	ctx     context.Context
	end     time.Time // zero: no limit
	refused int       // times that were waited for
}

func (c *Client) patience(ctx context.Context) *patience {
	p := &patience{client: c, ctx: ctx}
	var limited bool
	if p.end, limited = ctx.Deadline(); !limited && c.timeout() > 0 {
		p.end = time.Now().Add(c.timeout())
	}
	return p
}

// outlast returns nil when the time has passed for which a refusal asks, and the
// error that the caller gets if that is none, or there is no such time.
func (p *patience) outlast(err error) error {
	wait, throttled := backoff(err)
	if !throttled {
		return err
	}
	late := !p.end.IsZero() && time.Until(p.end) < wait
	if errors.As(err, new(partlyDone)) || wait == 0 || late {
		return &ThrottledError{Wait: wait, Err: err}
	}
	// A server that asks again and again gets a little more each time.
	wait += time.Duration(p.refused) * 100 * time.Millisecond
	p.refused++
	p.client.debug("waiting because the server throttles", "time", wait)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-p.ctx.Done():
		return ended(p.ctx)
	case <-p.client.done():
		return ErrClosed
	}
}
