// Quickstart lists the unread messages of the inbox and shows the newest one.
//
//	go run ./examples/quickstart
//	IMAP_PASSWORD=… go run ./examples/quickstart -url imaps://user@imap.example.com
package main

import (
	"context"
	"fmt"
	"io"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/examples/internal/example"
	"github.com/imapkit/imapkit/imapkittest"
)

func main() { example.Main(run) }

func run(ctx context.Context, args []string, stdout io.Writer) error {
	account, err := example.Open("quickstart", args, imapkittest.Options{})
	if err != nil {
		return err
	}
	defer account.Close()

	// For a server of yours: &imapkit.Client{Host: "imap.example.com", Username: "user", Password: "…"}
	client := account.Client()
	defer client.Close()
	inbox := client.Folder("INBOX")

	fmt.Fprintln(stdout, "Unread messages:")
	var newest imap.UID
	for m, err := range inbox.Messages(ctx, imapkit.Unseen()) {
		if err != nil {
			return err
		}
		newest = m.UID
		if m.Envelope == nil {
			fmt.Fprintf(stdout, "%4d  unreadable: %v\n", m.UID, m.Err)
			continue
		}
		fmt.Fprintf(stdout, "%4d  %s  %s\n", m.UID, m.InternalDate.Format("2006-01-02 15:04"), m.Envelope.Subject)
	}
	if newest == 0 {
		fmt.Fprintln(stdout, "  none")
		return nil
	}

	message, err := inbox.Fetch(ctx, newest)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\nThe newest one, from %s:\n\n", sender(message.Info.Envelope))
	if message.Text == "" && message.HTML != "" {
		fmt.Fprintln(stdout, message.HTML)
	} else {
		fmt.Fprintln(stdout, message.Text)
	}
	for _, a := range message.Attachments {
		fmt.Fprintf(stdout, "Attached: %q (%s, %d bytes)\n", a.Name, a.ContentType, len(a.Data))
	}
	return nil
}

func sender(envelope *imap.Envelope) string {
	if len(envelope.From) == 0 {
		return "nobody"
	}
	return fmt.Sprintf("%s <%s>", envelope.From[0].Name, envelope.From[0].Addr())
}
