// Readonly looks into a mailbox and cannot change anything in it: reading
// leaves messages unread, and every change is refused before a byte is sent.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/examples/internal/example"
	"github.com/imapkit/imapkit/imapkittest"
)

func main() { example.Main(run) }

func run(ctx context.Context, args []string, stdout io.Writer) error {
	account, err := example.Open("readonly", args, imapkittest.Options{})
	if err != nil {
		return err
	}
	defer account.Close()

	client := account.Client()
	defer client.Close()
	client.ReadOnly = true
	inbox := client.Folder("INBOX")

	before, err := inbox.Search(ctx, imapkit.Unseen())
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Unread before: %d\n", len(before))
	if len(before) > 0 {
		message, err := inbox.Fetch(ctx, before[0])
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "Read: %s\n", message.Info.Envelope.Subject)
	}
	after, err := inbox.Count(ctx, imapkit.Unseen())
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Unread after: %d\n", after)

	err = inbox.AddFlags(ctx, before, imap.FlagSeen)
	if !errors.Is(err, imapkit.ErrReadOnly) {
		return fmt.Errorf("a change was not refused: %v", err)
	}
	fmt.Fprintln(stdout, "Marking as read:", err)
	return nil
}
