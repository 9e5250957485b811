// Implicittls connects with TLS from the first byte, as servers speak it on
// port 993, and shows what was agreed on.
//
//	go run ./examples/implicittls
//	IMAP_PASSWORD=… go run ./examples/implicittls -url imaps://user@imap.example.com
package main

import (
	"context"
	"crypto/tls"
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
	client.TLS.Config = &tls.Config{
		RootCAs: account.Roots(), // nil, the system's, is right for servers on the Internet
		VerifyConnection: func(state tls.ConnectionState) error {
			fmt.Fprintf(stdout, "Connected with %s; the certificate is that of %s.\n",
				tls.VersionName(state.Version), state.PeerCertificates[0].Subject)
			return nil
		},
	}

	unread, err := client.Folder("INBOX").Count(ctx, imapkit.Unseen())
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%d unread messages.\n", unread)
	return nil
}
