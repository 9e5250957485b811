// Implicittls connects with TLS from the first byte, as on port 993, and tells
// how the connection is protected.
package main

import (
	"context"
	"fmt"
	"io"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/examples/internal/example"
	"github.com/imapkit/imapkit/imapkittest"
)

func main() { example.Main(run) }

func run(ctx context.Context, args []string, stdout io.Writer) error {
	account, err := example.Open("implicittls", args, imapkittest.Options{})
	if err != nil {
		return err
	}
	defer account.Close()

	client := account.Client()
	defer client.Close()
	client.Security = imapkit.SecurityImplicitTLS

	status, err := client.Folder("INBOX").Status(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Over %v: %d messages, %d of them unread.\n", client.Security, status.Messages, status.Unseen)
	return nil
}
