// Httpproxy connects through an HTTP proxy with CONNECT, by default one of its
// own. The proxy sees only TLS.
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
	flags := example.NewFlags("httpproxy")
	proxy := flags.String("proxy", "", "the proxy, such as http://user:password@127.0.0.1:3128 or https://; "+
		"without one the program starts a proxy of its own")
	account, err := flags.Open(args, imapkittest.Options{})
	if err != nil {
		return err
	}
	defer account.Close()

	client := account.Client()
	defer client.Close()
	if *proxy != "" {
		client.Proxy, err = imapkit.ProxyFromURL(*proxy)
	} else {
		var addr string
		var stop func()
		if addr, stop, err = example.HTTPProxy(); err == nil {
			defer stop()
			client.Proxy = &imapkit.HTTPProxy{Addr: addr}
		}
	}
	if err != nil {
		return err
	}
	n, err := client.Folder("INBOX").Count(ctx, imapkit.Unseen())
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Through %v: %d unread messages.\n", client.Proxy, n)
	return nil
}
