package imapkit_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/imapkittest"
	"github.com/imapkit/imapkit/internal/scripted"
)

// atServersWithManyConnections runs a test at servers where several connections
// may have the same folder open. prefix is that of the names of folders.
func atServersWithManyConnections(t *testing.T, run func(t *testing.T, prefix string, client func() *imapkit.Client)) {
	for name, prefix := range map[string]string{"Dovecot": "", "Cyrus": "INBOX.", "Courier": "INBOX."} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := realServers[name](t)
			run(t, prefix, func() *imapkit.Client { return clientFor(server, imapkit.SecurityNone) })
		})
	}
	t.Run("memory server", func(t *testing.T) {
		t.Parallel()
		server, err := imapkittest.NewServer(imapkittest.Options{InsecureAuth: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { server.Close() })
		run(t, "", func() *imapkit.Client {
			return &imapkit.Client{Host: server.Host, Port: server.Port, Username: "user", Password: "password",
				Security: imapkit.SecurityNone}
		})
	})
}

// addLetter appends a letter and returns its UID.
func addLetter(t *testing.T, f *imapkit.Folder, n int) imap.UID {
	t.Helper()
	text := changeable(n)
	uid, err := f.Append(limited(t), strings.NewReader(text), int64(len(text)), imapkit.AppendOptions{})
	if err != nil || uid == 0 {
		t.Fatalf("UID %d, %v", uid, err)
	}
	return uid
}

// held opens a message, which keeps a connection until the function is called.
func held(t *testing.T, f *imapkit.Folder, uid imap.UID) (release func()) {
	t.Helper()
	r, err := f.Open(limited(t), uid)
	if err != nil {
		t.Fatal(err)
	}
	return func() { r.Close() }
}

func TestWhatIsAddedThroughOneConnectionIsChangedThroughAnother(t *testing.T) {
	atServersWithManyConnections(t, func(t *testing.T, prefix string, client func() *imapkit.Client) {
		c := client()
		c.MaxConns = 2
		defer c.Close()
		other := prefix + "other"
		if err := c.CreateFolder(limited(t), other); err != nil {
			t.Fatal(err)
		}
		f := c.Folder("INBOX")
		for name, change := range map[string]func(imap.UID) error{
			"AddFlags": func(uid imap.UID) error {
				return f.AddFlags(limited(t), []imap.UID{uid}, imap.FlagFlagged)
			},
			"Copy": func(uid imap.UID) error {
				_, err := f.Copy(limited(t), []imap.UID{uid}, other)
				return err
			},
			"Move": func(uid imap.UID) error {
				_, err := f.Move(limited(t), []imap.UID{uid}, other)
				return err
			},
			"Delete": func(uid imap.UID) error { return f.Delete(limited(t), []imap.UID{uid}) },
		} {
			first := addLetter(t, f, 1)
			release := held(t, f, first)
			if _, err := f.Search(limited(t), imapkit.All()); err != nil { // opens the folder in the other connection
				t.Fatal(err)
			}
			release()
			before := inFolder(t, client, other)
			uid := addLetter(t, f, 2)
			release = held(t, f, uid)
			if err := change(uid); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			release()
			flags, there := inFolder(t, client, "INBOX")[uid]
			copies := len(inFolder(t, client, other)) - len(before)
			switch name {
			case "AddFlags":
				if !slices.Contains(flags, imap.FlagFlagged) {
					t.Errorf("%s: flags %v", name, flags)
				}
			case "Copy":
				if !there || copies != 1 {
					t.Errorf("%s: there: %v, %d copies", name, there, copies)
				}
			case "Move":
				if there || copies != 1 {
					t.Errorf("%s: there: %v, %d copies", name, there, copies)
				}
			case "Delete":
				if there {
					t.Errorf("%s: it is there", name)
				}
			}
		}
	})
}

// inFolder returns the messages of a folder and their flags, as a new client
// finds them.
func inFolder(t *testing.T, client func() *imapkit.Client, folder string) map[imap.UID][]imap.Flag {
	t.Helper()
	c := client()
	defer c.Close()
	found := make(map[imap.UID][]imap.Flag)
	for m, err := range c.Folder(folder).Messages(limited(t), imapkit.All(), imapkit.ItemFlags) {
		if err != nil {
			t.Fatal(err)
		}
		found[m.UID] = m.Flags
	}
	return found
}

func TestWhatIsChangedThroughOneConnectionIsReadThroughAnother(t *testing.T) {
	atServersWithManyConnections(t, func(t *testing.T, _ string, client func() *imapkit.Client) {
		c := client()
		c.MaxConns = 2
		defer c.Close()
		f := c.Folder("INBOX")
		uid := addLetter(t, f, 1)
		flagsNow := func() []imap.Flag {
			for m, err := range f.Messages(limited(t), imapkit.UIDs(uid), imapkit.ItemFlags) {
				if err != nil {
					t.Fatal(err)
				}
				return m.Flags
			}
			return nil
		}
		marks := map[string]func() error{
			"AddFlags": func() error { return f.AddFlags(limited(t), []imap.UID{uid}, imap.FlagFlagged) },
			"Do": func() error {
				return c.Do(limited(t), "INBOX", func(gc *imapclient.Client) error {
					return gc.Store(imap.UIDSetNum(uid), &imap.StoreFlags{Op: imap.StoreFlagsAdd,
						Flags: []imap.Flag{imap.FlagFlagged}}, nil).Close()
				})
			},
		}
		for name, mark := range marks {
			release := held(t, f, uid)
			flagsNow() // through the other connection
			release()
			if err := mark(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			release = held(t, f, uid)
			if flags := flagsNow(); !slices.Contains(flags, imap.FlagFlagged) {
				t.Errorf("after %s: flags %v", name, flags)
			}
			if n, err := f.Count(limited(t), imapkit.And(imapkit.UIDs(uid), imapkit.HasFlag(imap.FlagFlagged))); n != 1 || err != nil {
				t.Errorf("after %s: found %d, %v", name, n, err)
			}
			release()
			if err := f.RemoveFlags(limited(t), []imap.UID{uid}, imap.FlagFlagged); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestNewMailIsFoundByTheNextSearch(t *testing.T) {
	atServersWithManyConnections(t, func(t *testing.T, _ string, client func() *imapkit.Client) {
		c, other := client(), client()
		defer c.Close()
		defer other.Close()
		f := c.Folder("INBOX")
		before, err := f.Search(limited(t), imapkit.All())
		if err != nil {
			t.Fatal(err)
		}
		for n := range 3 {
			uid := addLetter(t, other.Folder("INBOX"), n)
			found, err := f.Search(limited(t), imapkit.All())
			if want := append(before, uid); err != nil || !slices.Equal(found, want) {
				t.Errorf("found %v, %v, want %v", found, err, want)
			}
			before = found
			uid = addLetter(t, other.Folder("INBOX"), n)
			if m, err := f.Fetch(limited(t), uid); err != nil || m.Info.UID != uid {
				t.Errorf("Fetch: %v", err)
			}
			before = append(before, uid)
		}
	})
}

func TestAServerIsAskedToLookForMessagesThatItMayNotKnow(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 2, Handle: answers(map[string][]string{
		"SELECT":     {"* 2 EXISTS\n* OK [UIDVALIDITY 9] ok\n* OK [UIDNEXT 103] ok\nOK [READ-WRITE] done"},
		"UID FETCH":  {"* 3 FETCH (UID 110 FLAGS ())\nOK done"},
		"UID SEARCH": {"* SEARCH 120\nOK done"},
	})})
	c := inClear(s)
	defer c.Close()
	f := c.Folder("INBOX")
	mark := func(uid imap.UID) error { return f.AddFlags(limited(t), []imap.UID{uid}, imap.FlagFlagged) }
	read := func(uid imap.UID) error {
		return firstError(f.Messages(limited(t), imapkit.UIDs(uid), imapkit.ItemFlags))
	}
	search := func() error { _, err := f.Search(limited(t), imapkit.Seen()); return err }
	if err := errors.Join(mark(110), mark(102), mark(110), read(110), mark(110), read(110), search(), mark(120)); err != nil {
		t.Fatal(err)
	}
	store := func(uid int) string { return fmt.Sprintf(`UID STORE %d +FLAGS.SILENT (\Flagged)`, uid) }
	const fetch = "UID FETCH 110 (UID FLAGS)"
	checkCommands(t, s, store(110), store(102), "NOOP", store(110), "NOOP", fetch, store(110), fetch,
		"NOOP", "UID SEARCH SEEN", store(120))
}

func TestMarksOfOthersAreLookedForBeforeAllThatIsMarkedIsRemoved(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 9, Handle: answers(map[string][]string{
		"UID SEARCH": {"* SEARCH\nOK done"}})})
	c := inClear(s)
	defer c.Close()
	f := c.Folder("INBOX")
	for _, uid := range []imap.UID{101, 102} {
		if err := f.Delete(limited(t), []imap.UID{uid}); err != nil {
			t.Fatal(err)
		}
	}
	const search, expunge = "UID SEARCH DELETED", "EXPUNGE"
	mark := func(uid int) string { return fmt.Sprintf(`UID STORE %d +FLAGS.SILENT (\Deleted)`, uid) }
	checkCommands(t, s, search, mark(101), expunge, "NOOP", search, mark(102), expunge)
}
