package imapkit

import "strings"

// mostReasons is how many reasons [MessageInfo].Err holds at most: a server may
// give any number of them.
const mostReasons = 16

// reasons are what is wrong with a message. Unlike what errors.Join makes of one
// after another, they are flat: their text takes linear time.
type reasons struct{ list []error }

// Error returns all of them, a line each.
func (r *reasons) Error() string {
	lines := make([]string, len(r.list))
	for i, err := range r.list {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns all of them.
func (r *reasons) Unwrap() []error { return r.list }

// note adds a reason why something of the message is missing.
func (info *MessageInfo) note(err error) {
	if err == nil {
		return
	}
	had, ok := info.Err.(*reasons)
	if !ok {
		had = new(reasons)
		info.Err = had
	}
	if len(had.list) < mostReasons {
		had.list = append(had.list, err)
	}
}
