// Tidy moves read messages that are older than some days to the archive.
// Flagged ones stay. With -dry-run it only lists them, with a client that
// cannot change anything.
//
//	go run ./examples/tidy
//	IMAP_PASSWORD=… go run ./examples/tidy -url imaps://user@imap.example.com -days 90 -dry-run
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"testing/fstest"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/examples/internal/example"
	"github.com/imapkit/imapkit/imapkittest"
)

func main() { example.Main(run) }

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := example.NewFlags("tidy")
	days := flags.Int("days", 30, "how old messages may be and stay")
	from := flags.String("from", "INBOX", "the folder to tidy")
	to := flags.String("to", "", "the folder to move to; without one, the account's archive")
	dryRun := flags.Bool("dry-run", false, "list the messages and change nothing")
	account, err := flags.Open(args, imapkittest.Options{Messages: untidy(time.Now())})
	if err != nil {
		return err
	}
	defer account.Close()
	if *days < 0 {
		return fmt.Errorf("-days %d is negative", *days)
	}

	client := account.Client()
	defer client.Close()
	client.ReadOnly = client.ReadOnly || *dryRun

	archive, exists, err := findArchive(ctx, client, *to)
	if err != nil {
		return err
	}
	if archive == *from {
		return errors.New("the folder to tidy is the one to move to")
	}
	// A point in time, so that the search means the same whenever it is made.
	old := imapkit.Before(time.Now().AddDate(0, 0, -*days))
	query := imapkit.And(imapkit.Seen(), imapkit.NoFlag(imap.FlagFlagged, imap.FlagDeleted), old)
	var uids []imap.UID
	for m, err := range client.Folder(*from).Messages(ctx, query) {
		if err != nil {
			return err
		}
		uids = append(uids, m.UID)
		subject := "(unreadable)"
		if m.Envelope != nil {
			subject = m.Envelope.Subject
		}
		fmt.Fprintf(stdout, "%s  %s\n", m.InternalDate.Format(time.DateOnly), subject)
	}
	switch {
	case len(uids) == 0:
		fmt.Fprintf(stdout, "%s is tidy.\n", *from)
		return nil
	case *dryRun:
		fmt.Fprintf(stdout, "Would move %d messages from %s to %s.\n", len(uids), *from, archive)
		return nil
	}
	if !exists {
		if err := client.CreateFolder(ctx, archive); err != nil {
			return err
		}
	}
	if _, err := client.Folder(*from).Move(ctx, uids, archive); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Moved %d messages from %s to %s.\n", len(uids), *from, archive)
	return nil
}

// findArchive returns the folder of this name, or, without a name, the one that
// the server says is the archive, else Archive. It also reports whether there
// is that folder.
func findArchive(ctx context.Context, client *imapkit.Client, name string) (folder string, exists bool, err error) {
	folders, err := client.Folders(ctx, "")
	if err != nil {
		return "", false, err
	}
	if name == "" {
		for _, f := range folders {
			if slices.Contains(f.Attrs, imap.MailboxAttrArchive) {
				return f.Name, true, nil
			}
		}
		name = "Archive"
	}
	exists = slices.ContainsFunc(folders, func(f imapkit.FolderInfo) bool { return f.Name == name })
	return name, exists, nil
}

// untidy is the mailbox of the program's own server.
func untidy(now time.Time) map[string]fs.FS {
	inbox := fstest.MapFS{}
	for _, m := range []struct {
		file, subject string
		days          int // old
	}{
		{"1.seen.eml", "Minutes of last spring", 200},
		{"2.seen.flagged.eml", "Your contract", 150},
		{"3.eml", "Have you seen this?", 100},
		{"4.seen.eml", "Parcel delivered", 45},
		{"5.seen.eml", "Lunch today?", 2},
	} {
		inbox[m.file] = &fstest.MapFile{Data: fmt.Appendf(nil, "Date: %s\nFrom: ada@example.org\nSubject: %s\n\nHello.\n",
			now.AddDate(0, 0, -m.days).Format(time.RFC1123Z), m.subject)}
	}
	return map[string]fs.FS{"INBOX": inbox, "Archive": nil}
}
