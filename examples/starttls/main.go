// Starttls connects in clear and changes to TLS before anything else is said,
// as on port 143.
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
	account, err := example.Open("starttls", args, imapkittest.Options{})
	if err != nil {
		return err
	}
	defer account.Close()

	client := account.Client()
	defer client.Close()
	client.Security = imapkit.SecurityStartTLS
	if account.Server != nil {
		client.Port = account.Server.Port
	}

	folders, err := client.Folders(ctx, "")
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Over %v, the folders are:\n", client.Security)
	for _, folder := range folders {
		fmt.Fprintln(stdout, " ", folder.Name, folder.Attrs)
	}
	return nil
}
