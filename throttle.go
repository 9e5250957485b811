package imapkit

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// A ThrottledError is a refusal by which the server asks to wait, longer than
// the context's deadline or [Client.Timeout] allow.
type ThrottledError struct {
	Wait time.Duration // what the server asks for
	Err  error         // the refusal
}

// Error returns the refusal and the time.
func (e *ThrottledError) Error() string {
	return fmt.Sprintf("%v (the server asks to wait %v)", e.Err, e.Wait)
}

// Unwrap returns the refusal.
func (e *ThrottledError) Unwrap() error { return e.Err }

// backoffTime is how Exchange asks to wait, in milliseconds: "NO Request is
// throttled. Suggested Backoff Time: 2500 milliseconds".
var backoffTime = regexp.MustCompile(`(?i)suggested backoff time: (\d{1,9})\b`)

// backoff returns how long the server asks to wait before it is asked again.
func backoff(err error) (time.Duration, bool) {
	var refused *ServerError
	if !errors.As(err, &refused) || errors.Is(err, ErrUnknownOutcome) {
		return 0, false
	}
	m := backoffTime.FindStringSubmatch(refused.Text)
	if m == nil {
		return 0, false
	}
	ms, _ := strconv.Atoi(m[1])
	return time.Duration(ms) * time.Millisecond, true
}

// partlyDone marks a failure of an operation that has changed something before,
// so that it must not be begun anew.
type partlyDone struct{ error }

// Unwrap returns the failure.
func (e partlyDone) Unwrap() error { return e.error }

// patiently makes a call again, once the time has passed for which a server that
// throttles asks. A refused command has done nothing.
func (c *Client) patiently(ctx context.Context, call func() error) error {
	for {
		err := call()
		wait, throttled := backoff(err)
		if !throttled {
			return err
		}
		deadline, limited := ctx.Deadline()
		if errors.As(err, new(partlyDone)) || limited && time.Until(deadline) < wait || c.timeout() > 0 && c.timeout() < wait {
			return &ThrottledError{Wait: wait, Err: err}
		}
		c.debug("waiting because the server throttles", "time", wait)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ended(ctx)
		case <-c.done():
			timer.Stop()
			return ErrClosed
		}
	}
}
