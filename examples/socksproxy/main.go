// Socksproxy connects through a SOCKS proxy, by default one of its own.
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
	flags := example.NewFlags("socksproxy")
	proxy := flags.String("proxy", "", "the proxy, such as socks5://127.0.0.1:1080, socks4:// or socks4a://; "+
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
		if addr, stop, err = example.SOCKS4aProxy(); err == nil {
			defer stop()
			client.Proxy = &imapkit.SOCKSProxy{Addr: addr, Version: imapkit.SOCKS4a}
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
