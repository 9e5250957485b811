// Timeouts shows what each of the time-outs is for, on a server that accepts
// connections and then has nothing to say.
//
//	go run ./examples/timeouts
//	IMAP_PASSWORD=… go run ./examples/timeouts -url imaps://user@imap.example.com
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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
	client.DialTimeout = 15 * time.Second    // name, proxy, TCP and TLS together
	client.GreetingTimeout = 4 * time.Second // the server's first line
	client.Timeout = time.Minute             // an operation; for downloads: the longest silence
	unread, err := client.Folder("INBOX").Count(ctx, imapkit.Unseen())
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "In time: %d unread messages.\n", unread)
	if account.Server == nil {
		return nil
	}
	return onSilence(ctx, stdout)
}

// onSilence runs into each of the time-outs.
func onSilence(ctx context.Context, stdout io.Writer) error {
	const short = 100 * time.Millisecond
	soon, cancel := context.WithTimeout(ctx, short)
	defer cancel()
	for _, test := range []struct {
		name     string
		ctx      context.Context
		greeting string // all that the server ever says
		client   *imapkit.Client
		want     error
	}{
		// First, because its time is running already.
		{"the context", soon, loggedIn, &imapkit.Client{Security: imapkit.SecurityNone}, context.DeadlineExceeded},
		{"DialTimeout", ctx, "", &imapkit.Client{Security: imapkit.SecurityImplicitTLS, DialTimeout: short},
			imapkit.ErrTimeout},
		{"GreetingTimeout", ctx, "", &imapkit.Client{Security: imapkit.SecurityStartTLS, GreetingTimeout: short},
			imapkit.ErrGreetingTimeout},
		{"Timeout", ctx, loggedIn, &imapkit.Client{Security: imapkit.SecurityNone, Timeout: short},
			imapkit.ErrTimeout},
	} {
		start := time.Now()
		err := countOnSilentServer(test.ctx, test.client, test.greeting)
		if !errors.Is(err, test.want) {
			return fmt.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		fmt.Fprintf(stdout, "Ended by %s after %v:\n  %v\n", test.name, time.Since(start).Round(10*time.Millisecond), err)
	}
	return nil
}

// loggedIn greets clients as if they had logged in already.
const loggedIn = "* PREAUTH [CAPABILITY IMAP4rev1] ready, and silent from now on\r\n"

func countOnSilentServer(ctx context.Context, client *imapkit.Client, greeting string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, greeting)
		io.Copy(io.Discard, conn)
	}()
	addr := listener.Addr().(*net.TCPAddr)
	client.Host, client.Port = addr.IP.String(), addr.Port
	defer client.Close()
	_, err = client.Folder("INBOX").Count(ctx, imapkit.Unseen())
	return err
}
