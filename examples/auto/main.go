// Auto finds out by itself whether a server speaks TLS from the first byte or
// after STARTTLS. It ends encrypted or not at all.
//
//	go run ./examples/auto
//	IMAP_PASSWORD=… go run ./examples/auto -url imap://user@imap.example.com
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/examples/internal/example"
	"github.com/imapkit/imapkit/imapkittest"
)

func main() { example.Main(run) }

func run(ctx context.Context, args []string, stdout io.Writer) error {
	account, err := example.Open("auto", args, imapkittest.Options{})
	if err != nil {
		return err
	}
	defer account.Close()
	if account.Server == nil {
		return connect(ctx, account, account.Client(), "The server", stdout)
	}

	if err := connect(ctx, account, account.Client(), "A port for TLS", stdout); err != nil {
		return err
	}
	client := account.Client()
	client.Port = account.Server.Port
	if err := connect(ctx, account, client, "A port for STARTTLS", stdout); err != nil {
		return err
	}
	return inClear(ctx, stdout)
}

func connect(ctx context.Context, account *example.Account, client *imapkit.Client, what string, stdout io.Writer) error {
	defer client.Close()
	var version atomic.Uint32              // attempts run side by side
	client.Security = imapkit.SecurityAuto // the zero value: nothing needs to be set
	client.TLS.Config = &tls.Config{
		RootCAs: account.Roots(),
		VerifyConnection: func(state tls.ConnectionState) error {
			version.Store(uint32(state.Version))
			return nil
		},
	}
	start := time.Now()
	if err := client.Connect(ctx); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: connected with %s after %v.\n", what, tls.VersionName(uint16(version.Load())),
		time.Since(start).Round(time.Millisecond))
	return nil
}

// inClear shows what happens when a server cannot encrypt.
func inClear(ctx context.Context, stdout io.Writer) error {
	server, err := imapkittest.NewServer(imapkittest.Options{Without: []imap.Cap{imap.CapStartTLS}, InsecureAuth: true})
	if err != nil {
		return err
	}
	defer server.Close()
	client := server.Client()
	defer client.Close()
	client.Security = imapkit.SecurityAuto
	client.Port = server.Port

	err = client.Connect(ctx)
	if !errors.Is(err, imapkit.ErrInsecure) {
		return fmt.Errorf("connecting to a port without TLS: %v, want ErrInsecure", err)
	}
	fmt.Fprintln(stdout, "A port without TLS: refused, nothing was sent in clear. What was tried:")
	var failed *imapkit.ConnectError
	if errors.As(err, &failed) {
		for _, attempt := range failed.Attempts {
			fmt.Fprintf(stdout, "  %v on %s: %v\n", attempt.Security, attempt.Addr, attempt.Err)
		}
	}
	return nil
}
