// Starttls connects in clear and changes to TLS before anything else, as
// servers want it on port 143. No credentials leave before TLS is up.
//
//	go run ./examples/starttls
//	IMAP_PASSWORD=… go run ./examples/starttls -url imap://user@imap.example.com
package main

import (
	"context"
	"crypto/tls"
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
	account, err := example.Open("starttls", args, imapkittest.Options{})
	if err != nil {
		return err
	}
	defer account.Close()

	client := account.Client()
	defer client.Close()
	client.Security = imapkit.SecurityStartTLS
	if account.Server != nil {
		client.Port = account.Server.Port // elsewhere the default, 143, is right
	}
	client.TLS.Config = &tls.Config{
		RootCAs: account.Roots(),
		VerifyConnection: func(state tls.ConnectionState) error {
			fmt.Fprintf(stdout, "Changed to %s.\n", tls.VersionName(state.Version))
			return nil
		},
	}
	unread, err := client.Folder("INBOX").Count(ctx, imapkit.Unseen())
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%d unread messages.\n", unread)

	if account.Server == nil {
		return nil
	}
	return withoutTLS(ctx, stdout)
}

// withoutTLS shows what happens when a server, or somebody on the way to it,
// says that there is no STARTTLS.
func withoutTLS(ctx context.Context, stdout io.Writer) error {
	server, err := imapkittest.NewServer(imapkittest.Options{Without: []imap.Cap{imap.CapStartTLS}})
	if err != nil {
		return err
	}
	defer server.Close()
	client := server.Client()
	defer client.Close()
	client.Security = imapkit.SecurityStartTLS
	client.Port = server.Port

	err = client.Connect(ctx)
	if !errors.Is(err, imapkit.ErrInsecure) {
		return fmt.Errorf("connecting without STARTTLS: %v, want ErrInsecure", err)
	}
	fmt.Fprintf(stdout, "And where there is no STARTTLS:\n  %v\n", err)
	return nil
}
