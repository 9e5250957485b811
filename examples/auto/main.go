// Auto finds out what a server speaks, implicit TLS or STARTTLS, without
// waiting for time-outs. It ends encrypted or fails.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

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

	connect := func(port int) error {
		client := account.Client()
		defer client.Close()
		client.Security = imapkit.SecurityAuto // also what a Client does if nothing is set
		if port != 0 {
			client.Port = port
		}
		began := time.Now()
		err := client.Connect(ctx)
		var failed *imapkit.ConnectError
		switch {
		case errors.As(err, &failed):
			fmt.Fprintln(stdout, "No secure way in:")
			for _, attempt := range failed.Attempts {
				fmt.Fprintf(stdout, "  %v: %v\n", attempt.Security, attempt.Err)
			}
			return err
		case err != nil:
			return err
		}
		fmt.Fprintf(stdout, "Connected and logged in, encrypted, after %v.\n", time.Since(began).Round(time.Millisecond))
		return nil
	}
	if account.Server == nil {
		return connect(0)
	}
	fmt.Fprintln(stdout, "A port that speaks TLS from the first byte:")
	if err := connect(account.Server.TLSPort); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "A port that greets in clear and offers STARTTLS:")
	return connect(account.Server.Port)
}
