package imapkit

import (
	"fmt"
	"slices"

	"github.com/emersion/go-imap/v2"
)

// stoppedAt adds to the error that ends a loop how far the loop has got: a
// program can go on behind a message because of which a server hangs up.
func (f *Folder) stoppedAt(verb string, uids []imap.UID, err error) error {
	if len(uids) == 0 {
		return err
	}
	return fmt.Errorf("imapkit: %s, where UID %d is the first that has not come: %w", f.operation(verb).what, uids[0], err)
}

func (l *loop) stopped(err error) error {
	if err == nil {
		return nil
	}
	var left []imap.UID
	for _, c := range l.sent {
		left = append(left, c.missing()...)
	}
	return l.folder.stoppedAt(l.verb, append(left, l.todo...), err)
}

func (r *rawLoop) stopped(err error) error {
	if err == nil {
		return nil
	}
	var left []imap.UID
	for _, c := range r.sent {
		left = append(left, c.left...)
	}
	left = slices.DeleteFunc(slices.Concat(left, r.retry, r.todo), func(uid imap.UID) bool {
		_, later := r.hollow[uid]
		return later
	})
	return r.folder.stoppedAt("Raw", append(left, r.rest...), err)
}
