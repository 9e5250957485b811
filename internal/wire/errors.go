package wire

import (
	"errors"
	"os"
)

// Errors that package imapkit exports under the same names.
var (
	ErrLimit                 = errors.New("imapkit: server went beyond a limit")
	ErrProtocol              = errors.New("imapkit: server broke the protocol")
	ErrTimeout         error = &timeoutError{"imapkit: timed out"}
	ErrGreetingTimeout error = &timeoutError{"imapkit: timed out waiting for the server's greeting"}
)

// ErrArgument is wrapped by errors about what cannot be sent: it is found
// before a byte of the command leaves.
var ErrArgument = errors.New("cannot be sent")

// timeoutError is a sentinel that also matches os.ErrDeadlineExceeded.
type timeoutError struct{ text string }

func (e *timeoutError) Error() string        { return e.text }
func (e *timeoutError) Is(target error) bool { return target == os.ErrDeadlineExceeded }
func (e *timeoutError) Timeout() bool        { return true }
