package imapkit_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

// firstError returns the first error of a loop.
func firstError[T any](seq iter.Seq2[T, error]) error {
	for _, err := range seq {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestNoUIDIsUsedInAFolderThatWasRebuilt(t *testing.T) {
	const uid = imap.UID(101)
	one := []imap.UID{uid}
	const text = "Subject: x\r\n\r\nx\r\n"
	reads := map[string]func(context.Context, *imapkit.Folder) error{
		"Search": func(ctx context.Context, f *imapkit.Folder) error {
			_, err := f.Search(ctx, imapkit.UIDs(uid))
			return err
		},
		"Count": func(ctx context.Context, f *imapkit.Folder) error {
			_, err := f.Count(ctx, imapkit.UIDs(uid))
			return err
		},
		"Messages": func(ctx context.Context, f *imapkit.Folder) error {
			return firstError(f.Messages(ctx, imapkit.UIDs(uid)))
		},
		"Fetch":    func(ctx context.Context, f *imapkit.Folder) error { _, err := f.Fetch(ctx, uid); return err },
		"FetchAll": func(ctx context.Context, f *imapkit.Folder) error { return firstError(f.FetchAll(ctx, one)) },
		"Raw":      func(ctx context.Context, f *imapkit.Folder) error { return firstError(f.Raw(ctx, one)) },
		"Open":     func(ctx context.Context, f *imapkit.Folder) error { _, err := f.Open(ctx, uid); return err },
		"FetchHeader": func(ctx context.Context, f *imapkit.Folder) error {
			_, err := f.FetchHeader(ctx, uid)
			return err
		},
		"FetchPart": func(ctx context.Context, f *imapkit.Folder) error { _, err := f.FetchPart(ctx, uid, "1"); return err },
		"OpenPart":  func(ctx context.Context, f *imapkit.Folder) error { _, err := f.OpenPart(ctx, uid, "1"); return err },
		"OpenRange": func(ctx context.Context, f *imapkit.Folder) error { _, err := f.OpenRange(ctx, uid, 0, 5); return err },
		"Sort": func(ctx context.Context, f *imapkit.Folder) error {
			_, err := f.Sort(ctx, imapkit.UIDs(uid), imapkit.SortSize)
			return err
		},
	}
	changes := map[string]func(context.Context, *imapkit.Folder) error{
		"AddFlags":    func(ctx context.Context, f *imapkit.Folder) error { return f.AddFlags(ctx, one, imap.FlagSeen) },
		"RemoveFlags": func(ctx context.Context, f *imapkit.Folder) error { return f.RemoveFlags(ctx, one, imap.FlagSeen) },
		"SetFlags":    func(ctx context.Context, f *imapkit.Folder) error { return f.SetFlags(ctx, one, imap.FlagSeen) },
		"ChangeFlags": func(ctx context.Context, f *imapkit.Folder) error {
			_, err := f.ChangeFlags(ctx, one, 7, imapkit.FlagsAdd, imap.FlagSeen)
			return err
		},
		"Copy":     func(ctx context.Context, f *imapkit.Folder) error { _, err := f.Copy(ctx, one, "x"); return err },
		"Move":     func(ctx context.Context, f *imapkit.Folder) error { _, err := f.Move(ctx, one, "x"); return err },
		"Delete":   func(ctx context.Context, f *imapkit.Folder) error { return f.Delete(ctx, one) },
		"Undelete": func(ctx context.Context, f *imapkit.Folder) error { return f.Undelete(ctx, one) },
		"Trash":    func(ctx context.Context, f *imapkit.Folder) error { _, err := f.Trash(ctx, one); return err },
		"Replace": func(ctx context.Context, f *imapkit.Folder) error {
			_, err := f.Replace(ctx, uid, strings.NewReader(text), int64(len(text)), imapkit.AppendOptions{})
			return err
		},
	}
	for _, caps := range []string{"IMAP4rev1 CONDSTORE UIDPLUS MOVE REPLACE ESEARCH SORT", "IMAP4rev1 CONDSTORE"} {
		for _, reopened := range []bool{true, false} {
			for kind, calls := range map[string]map[string]func(context.Context, *imapkit.Folder) error{"read": reads, "change": changes} {
				for name, call := range calls {
					t.Run(fmt.Sprintf("%s, reopened %v, %s", name, reopened, caps), func(t *testing.T) {
						s := scripted.Serve(t, scripted.Options{Caps: caps, Exists: 3, Handle: answers(map[string][]string{
							"SELECT":      {"* OK [UIDVALIDITY 1] ok\nOK done", "* OK [UIDVALIDITY 2] ok\nOK done"},
							"SUBSCRIBE":   {"* OK [UIDVALIDITY 2] rebuilt\nOK done"},
							"UNSUBSCRIBE": {"cut"},
							"LIST":        {"* LIST (\\Trash) \"/\" Trash\nOK done"},
						})})
						c := inClear(s)
						defer c.Close()
						f := c.Folder("INBOX")
						if _, err := f.Count(limited(t), imapkit.All()); err != nil {
							t.Fatal(err)
						}
						if reopened {
							c.Unsubscribe(limited(t), "x") // loses the connection
						} else if err := c.Subscribe(limited(t), "x"); err != nil {
							t.Fatal(err)
						}
						before := len(work(s))
						if err := call(limited(t), f); !errors.Is(err, imapkit.ErrUIDValidity) {
							t.Errorf("error %v, want ErrUIDValidity", err)
						}
						for _, cmd := range work(s)[before:] {
							reading := strings.HasPrefix(cmd, "LIST ") || strings.HasPrefix(cmd, "UID FETCH ") || cmd == "NOOP"
							if kind == "change" && !reading {
								t.Errorf("%s was sent", cmd)
							}
						}
					})
				}
			}
		}
	}
}
