package imapkit

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/scripted"
)

// readFrom starts a scripted server and returns it with a folder on it.
func readFrom(t testing.TB, opts scripted.Options) (*scripted.Server, *Folder) {
	t.Helper()
	if opts.Caps == "" {
		opts.Caps = "IMAP4rev1"
	}
	s := scripted.Serve(t, opts)
	c := &Client{Host: s.Host, Port: s.Port, Username: "u", Password: "p", Security: SecurityNone}
	t.Cleanup(func() { c.Close() })
	return s, c.Folder("INBOX")
}

// commandsLike returns the commands that a server was sent under this name.
func commandsLike(s *scripted.Server, name string) []string {
	var found []string
	for _, cmd := range s.Commands() {
		if strings.HasPrefix(cmd, name+" ") {
			found = append(found, strings.TrimPrefix(cmd, name+" "))
		}
	}
	return found
}

// usable fails the test unless the client can still find every message, on its
// connection number conn.
func usable(t *testing.T, s *scripted.Server, f *Folder, conn int) {
	t.Helper()
	if _, err := f.Search(context.Background(), Seen()); err != nil {
		t.Errorf("the next search: %v", err)
	}
	if n := s.Conns(); n != conn {
		t.Errorf("the client has made %d connections, want %d", n, conn)
	}
}

// uidsTo returns the UIDs that a scripted server gives its first n messages.
func uidsTo(n int) []imap.UID {
	uids := make([]imap.UID, n)
	for i := range uids {
		uids[i] = imap.UID(scripted.UID(i + 1))
	}
	return uids
}

func equalUIDs(t *testing.T, what string, got, want []imap.UID) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
