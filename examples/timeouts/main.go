// Timeouts shows what bounds the time of a call: a limit for the greeting, one
// for an operation, and the context on top of both.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/examples/internal/example"
	"github.com/imapkit/imapkit/imapkittest"
)

func main() { example.Main(run) }

func run(ctx context.Context, args []string, stdout io.Writer) error {
	account, err := example.Open("timeouts", args, imapkittest.Options{})
	if err != nil {
		return err
	}
	defer account.Close()

	client := account.Client()
	defer client.Close()
	client.DialTimeout = 5 * time.Second     // look-up, proxy, TCP and TLS together
	client.GreetingTimeout = 2 * time.Second // from then to the greeting
	client.Timeout = 10 * time.Second        // an operation; for streams, the server's silence
	n, err := client.Folder("INBOX").Count(ctx, imapkit.All())
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "In time: %d messages.\n", n)

	// A server that accepts connections and says nothing.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer silent.Close()
	late := &imapkit.Client{
		Host: "127.0.0.1", Port: silent.Addr().(*net.TCPAddr).Port,
		Username: "user", Password: "password", Security: imapkit.SecurityNone,
		GreetingTimeout: 300 * time.Millisecond,
	}
	defer late.Close()
	err = late.Connect(ctx)
	fmt.Fprintf(stdout, "No greeting: %v\n", errors.Is(err, imapkit.ErrGreetingTimeout) && errors.Is(err, os.ErrDeadlineExceeded))

	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	err = late.Connect(short)
	fmt.Fprintf(stdout, "The context ended: %v\n", errors.Is(err, context.DeadlineExceeded))
	return nil
}
