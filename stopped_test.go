package imapkit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

// uidsFrom returns the UIDs that a loop hands out until its error.
func uidsFrom[T any](seq iter.Seq2[T, error], uid func(T) imap.UID) (uids []imap.UID, ended error) {
	for m, err := range seq {
		if err != nil {
			return uids, err
		}
		uids = append(uids, uid(m))
	}
	return uids, nil
}

func TestAProgramCanGoOnBehindAMessageThatMakesTheServerHangUp(t *testing.T) {
	all := []imap.UID{101, 102, 103, 104, 105}
	ctx := context.Background()
	ofInfo := func(m *imapkit.MessageInfo) imap.UID { return m.UID }
	for name, read := range map[string]func(f *imapkit.Folder, uids []imap.UID) ([]imap.UID, error){
		"Messages": func(f *imapkit.Folder, uids []imap.UID) ([]imap.UID, error) {
			return uidsFrom(f.Messages(ctx, imapkit.UIDs(uids...), imapkit.ItemFlags), ofInfo)
		},
		"FetchAll": func(f *imapkit.Folder, uids []imap.UID) ([]imap.UID, error) {
			return uidsFrom(f.FetchAll(ctx, uids), func(m *imapkit.Message) imap.UID { return m.Info.UID })
		},
		"Raw": func(f *imapkit.Folder, uids []imap.UID) ([]imap.UID, error) {
			return uidsFrom(f.Raw(ctx, uids), func(m imapkit.RawMessage) imap.UID { return m.UID })
		},
	} {
		for i, poison := range all {
			t.Run(fmt.Sprint(name, " ", poison), func(t *testing.T) {
				s := scripted.Serve(t, scripted.Options{Exists: 5, Handle: map[string]func(*scripted.Conn, scripted.Command){
					"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
						const body = ` INTERNALDATE "10-Mar-2026 12:00:00 +0000" RFC822.SIZE 12 BODY[] {12}` + "\r\nSubject: x\r\n"
						var first int
						fmt.Sscan(cmd.Args[:3], &first)
						for uid := first; uid <= 105; uid++ {
							if uid == int(poison) {
								c.Close()
								return
							}
							items := "FLAGS ()"
							if strings.Contains(cmd.Args, "BODY") {
								items += body
							}
							c.Sendf("* %d FETCH (UID %d %s)", uid-100, uid, items)
						}
						c.OK(cmd.Tag, "done")
					}}})
				c := inClear(s)
				defer c.Close()
				f := c.Folder("INBOX")
				got, err := read(f, all)
				if !slices.Equal(got, all[:i]) {
					t.Errorf("the loop got %v", got)
				}
				where := fmt.Sprintf("%s in INBOX, where UID %d is the first that has not come", name, poison)
				if err == nil || !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), where) {
					t.Errorf("error %v", err)
				}
				if got, err := read(f, all[i+1:]); err != nil || !slices.Equal(got, all[i+1:]) {
					t.Errorf("behind it: %v, %v", got, err)
				}
			})
		}
	}
}

func TestATimeOutTellsWhatWasWaitedFor(t *testing.T) {
	const limit = 100 * time.Millisecond
	mute := func(c *scripted.Conn, cmd scripted.Command) { c.Stall() }
	s := scripted.Serve(t, scripted.Options{Exists: 1, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID SEARCH": mute, "UID FETCH": mute, "UID STORE": mute, "LIST": mute, "STATUS": mute}})
	noLogin := scripted.Serve(t, scripted.Options{Handle: map[string]func(*scripted.Conn, scripted.Command){
		"LOGIN": mute, "AUTHENTICATE": mute}})
	one := []imap.UID{101}
	for what, tt := range map[string]struct {
		server *scripted.Server
		call   func(*imapkit.Client, *imapkit.Folder) error
	}{
		"log-in": {noLogin, func(c *imapkit.Client, _ *imapkit.Folder) error { return c.Connect(limited(t)) }},
		"Search in INBOX": {s, func(_ *imapkit.Client, f *imapkit.Folder) error {
			_, err := f.Search(limited(t), imapkit.All())
			return err
		}},
		"Fetch in INBOX": {s, func(_ *imapkit.Client, f *imapkit.Folder) error {
			_, err := f.Fetch(limited(t), 101)
			return err
		}},
		"Open in INBOX": {s, func(_ *imapkit.Client, f *imapkit.Folder) error {
			_, err := f.Open(limited(t), 101)
			return err
		}},
		"FetchAll in INBOX": {s, func(_ *imapkit.Client, f *imapkit.Folder) error {
			return firstError(f.FetchAll(limited(t), one))
		}},
		"Raw in INBOX": {s, func(_ *imapkit.Client, f *imapkit.Folder) error { return firstError(f.Raw(limited(t), one)) }},
		"AddFlags in INBOX": {s, func(_ *imapkit.Client, f *imapkit.Folder) error {
			return f.AddFlags(limited(t), one, imap.FlagFlagged)
		}},
		"Status in INBOX": {s, func(_ *imapkit.Client, f *imapkit.Folder) error {
			_, err := f.Status(limited(t))
			return err
		}},
		"Folders": {s, func(c *imapkit.Client, _ *imapkit.Folder) error {
			_, err := c.Folders(limited(t), "")
			return err
		}},
	} {
		t.Run(what, func(t *testing.T) {
			c := inClear(tt.server)
			c.Timeout = limit
			defer c.Close()
			err := tt.call(c, c.Folder("INBOX"))
			if !errors.Is(err, imapkit.ErrTimeout) || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("error %v", err)
			}
			if want := fmt.Sprintf("imapkit: timed out: %s: no answer within %v", what, limit); !strings.Contains(err.Error(), want) {
				t.Errorf("error %q, want %q", err, want)
			}
		})
	}
}
