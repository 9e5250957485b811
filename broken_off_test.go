package imapkit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

func TestAnswersToACallThatFailedAreNotTakenForThoseToTheNext(t *testing.T) {
	for _, says := range []string{"BAD Request is throttled.", "BAD what?"} {
		for name, get := range map[string]func(*imapkit.Folder) error{
			"Open":  func(f *imapkit.Folder) error { _, err := f.Open(limited(t), 160); return err },
			"Fetch": func(f *imapkit.Folder) error { _, err := f.Fetch(limited(t), 160); return err },
		} {
			t.Run(name+" after "+says, func(t *testing.T) {
				var refused atomic.Bool
				s := scripted.Serve(t, scripted.Options{Exists: 200, Handle: map[string]func(*scripted.Conn, scripted.Command){
					"SELECT": func(c *scripted.Conn, cmd scripted.Command) {
						if strings.Contains(cmd.Args, "INBOX") {
							c.Answer(cmd)
							return
						}
						c.Send("* 0 EXISTS", "* OK [UIDVALIDITY 7] x", "* OK [UIDNEXT 1000] x", cmd.Tag+" OK [READ-WRITE] x")
					},
					"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
						switch {
						case strings.HasPrefix(cmd.Args, "160 "): // of the empty folder
							c.Send(cmd.Tag + " OK done")
						case refused.CompareAndSwap(false, true):
							c.Send(cmd.Tag + " " + says)
						default: // which is under way already
							c.Answer(cmd)
						}
					},
				}})
				c := inClear(s)
				defer c.Close()
				var failed error
				for _, failed = range c.Folder("INBOX").FetchAll(limited(t), named("101:300")) {
				}
				if failed == nil {
					t.Error("FetchAll that was refused has no error")
				}
				if err := get(c.Folder("Other")); !errors.Is(err, imapkit.ErrNotFound) {
					t.Errorf("error %v, want ErrNotFound: the folder is empty", err)
				}
			})
		}
	}
}

func TestABodyBeforeTheFolderIsOpenIsRefused(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"SELECT": func(c *scripted.Conn, cmd scripted.Command) {
			c.Send("* 3 EXISTS", "* OK [UIDVALIDITY 7] x", "* 1 FETCH (UID 101 BODY[] {2}", "hi)", cmd.Tag+" OK x")
		},
	}})
	c := inClear(s)
	defer c.Close()
	if _, err := c.Folder("INBOX").Open(limited(t), 101); !errors.Is(err, imapkit.ErrProtocol) {
		t.Errorf("error %v, want ErrProtocol", err)
	}
}

// A breaker dials connections of which the first that is to send this text breaks.
type breaker struct {
	on     string
	broken atomic.Bool
}

func (b *breaker) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, addr)
	return breaking{nc, b}, err
}

func (b *breaker) Dial(network, addr string) (net.Conn, error) {
	return b.DialContext(context.Background(), network, addr)
}

type breaking struct {
	net.Conn
	b *breaker
}

func (c breaking) Write(p []byte) (int, error) {
	if strings.Contains(string(p), c.b.on) && c.b.broken.CompareAndSwap(false, true) {
		c.Close()
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

func TestAListingWhoseSavedSearchCannotBeSentIsBegunAnewAndEnds(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 5, Caps: "IMAP4rev1 ESEARCH SEARCHRES"})
	c := inClear(s)
	b := &breaker{on: "RETURN (SAVE"}
	c.Proxy = b
	defer c.Close()
	f, err := c.Select(limited(t), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	var got []imap.UID
	for m, err := range f.Messages(limited(t), imapkit.All(), imapkit.ItemFlags) {
		if err != nil {
			t.Fatalf("after %d messages: %v", len(got), err)
		}
		got = append(got, m.UID)
	}
	if want := named("101:105"); !slices.Equal(got, want) || !b.broken.Load() {
		t.Errorf("messages %v, want %v; broken: %v", got, want, b.broken.Load())
	}
}

// Exchange says OK and sends nothing of a message that it cannot convert.
func TestAChangeOfFlagsIsNoMessage(t *testing.T) {
	for name, get := range map[string]func(*imapkit.Folder) error{
		"Fetch": func(f *imapkit.Folder) error { _, err := f.Fetch(limited(t), 102); return err },
		"Open":  func(f *imapkit.Folder) error { _, err := f.Open(limited(t), 102); return err },
	} {
		for _, there := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, there: %v", name, there), func(t *testing.T) {
				s := scripted.Serve(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
					"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
						if there && !strings.Contains(cmd.Args, "BODY") && !strings.Contains(cmd.Args, "RFC822.PEEK") {
							c.Answer(cmd)
							return
						}
						c.Send(`* 2 FETCH (UID 102 FLAGS (\Seen))`, cmd.Tag+" OK done")
					},
				}})
				c := inClear(s)
				defer c.Close()
				if err := get(c.Folder("INBOX")); err == nil || errors.Is(err, imapkit.ErrNotFound) == there {
					t.Errorf("error %v", err)
				}
			})
		}
	}
}

func TestMessagesBehindOneThatIsGoneAreNotLost(t *testing.T) {
	for name, get := range map[string]func(*imapkit.Folder) ([]imap.UID, error){
		"FetchAll": func(f *imapkit.Folder) (got []imap.UID, err error) {
			for m, err := range f.FetchAll(limited(t), named("101:110")) {
				if err != nil {
					return got, err
				}
				got = append(got, m.Info.UID)
			}
			return got, nil
		},
		"Messages": func(f *imapkit.Folder) (got []imap.UID, err error) {
			for m, err := range f.Messages(limited(t), imapkit.All(), imapkit.ItemFlags) {
				if err != nil {
					return got, err
				}
				got = append(got, m.UID)
			}
			return got, nil
		},
		"Raw": func(f *imapkit.Folder) (got []imap.UID, err error) {
			for m, err := range f.Raw(limited(t), named("101:110")) {
				if err != nil {
					return got, err
				}
				if _, err := io.ReadAll(m.Body); err != nil {
					return got, err
				}
				got = append(got, m.UID)
			}
			slices.Sort(got)
			return got, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := scripted.Serve(t, scripted.Options{Exists: 10, Handle: map[string]func(*scripted.Conn, scripted.Command){
				"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
					set, items, _ := strings.Cut(cmd.Args, " ")
					for _, uid := range named(set) {
						if uid == 106 {
							c.No(cmd.Tag, "[EXPUNGEISSUED] message 6 is gone")
							return
						}
						c.Answer(scripted.Command{Tag: "other", Name: cmd.Name, Args: fmt.Sprint(uid, " ", items)})
					}
					c.OK(cmd.Tag, "done")
				},
			}})
			c := inClear(s)
			defer c.Close()
			got, err := get(c.Folder("INBOX"))
			if want := append(named("101:105"), named("107:110")...); err != nil || !slices.Equal(got, want) {
				t.Errorf("messages %v, error %v, want %v", got, err, want)
			}
		})
	}
}

// What has arrived is known after NOOP only, as on Dovecot.
func TestNewMailIsNotMissedBecauseNoopIsRefused(t *testing.T) {
	const all = "* 4 FETCH (UID 104 FLAGS () INTERNALDATE \"01-Jan-2024 12:00:00 +0000\" RFC822.SIZE 2 BODY[] {2}"
	for name, get := range map[string]func(*imapkit.Folder) (int, error){
		"FetchAll": func(f *imapkit.Folder) (n int, err error) {
			for _, err := range f.FetchAll(limited(t), named("104")) {
				if err != nil {
					return n, err
				}
				n++
			}
			return n, nil
		},
		"Fetch": func(f *imapkit.Folder) (int, error) { _, err := f.Fetch(limited(t), 104); return 1, err },
		"Search": func(f *imapkit.Folder) (int, error) {
			uids, err := f.Search(limited(t), imapkit.All())
			return len(uids), err
		},
	} {
		for _, says := range []string{"Request is throttled. Suggested Backoff Time: 20 milliseconds", "not now"} {
			t.Run(name+" after "+says, func(t *testing.T) {
				var noops atomic.Int32
				s := scripted.Serve(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
					"NOOP": func(c *scripted.Conn, cmd scripted.Command) {
						if noops.Add(1) == 1 {
							c.No(cmd.Tag, says)
							return
						}
						c.Send("* 4 EXISTS", cmd.Tag+" OK done")
					},
					"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
						if noops.Load() > 1 {
							c.Send(all, "hi)")
						}
						c.OK(cmd.Tag, "done")
					},
					"UID SEARCH": func(c *scripted.Conn, cmd scripted.Command) {
						if noops.Load() > 1 {
							c.Send("* SEARCH 104")
						}
						c.OK(cmd.Tag, "done")
					},
				}})
				c := inClear(s)
				defer c.Close()
				f, err := c.Select(limited(t), "INBOX")
				if err != nil {
					t.Fatal(err)
				}
				n, err := get(f)
				var refused *imapkit.ServerError
				if throttled := strings.Contains(says, "throttled"); throttled && (err != nil || n != 1) {
					t.Errorf("%d messages, error %v; the server is to be waited for", n, err)
				} else if !throttled && !errors.As(err, &refused) {
					t.Errorf("%d messages, error %v, want the refusal", n, err)
				}
			})
		}
	}
}
