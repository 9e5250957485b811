// Readonly lists the unread messages, reads one, and lists them again: a
// read-only client leaves no trace, and refuses to change anything.
//
//	go run ./examples/readonly
//	IMAP_PASSWORD=… go run ./examples/readonly -url imaps://user@imap.example.com
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

	unread, err := inbox.Search(ctx, imapkit.Unseen())
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%d unread messages.\n", len(unread))
	if len(unread) == 0 {
		return nil
	}
	message, err := inbox.Fetch(ctx, unread[0])
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Read %q.\n", message.Info.Envelope.Subject)
	again, err := inbox.Count(ctx, imapkit.Unseen())
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Still %d unread messages.\n", again)

	err = inbox.AddFlags(ctx, unread[:1], imap.FlagSeen)
	if !errors.Is(err, imapkit.ErrReadOnly) {
		return fmt.Errorf("marking it as read: %v, want ErrReadOnly", err)
	}
	fmt.Fprintf(stdout, "Marking it as read is refused before anything is sent:\n  %v\n", err)
	return nil
}
