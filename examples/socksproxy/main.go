// Socksproxy connects through a SOCKS proxy, version 4, 4a or 5. With 4a and 5
// the proxy looks the server's name up, so that this machine needs no DNS.
//
//	go run ./examples/socksproxy
//	IMAP_PASSWORD=… go run ./examples/socksproxy -proxy socks5://127.0.0.1:1080 -url imaps://user@imap.example.com
package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/examples/internal/example"
	"github.com/imapkit/imapkit/examples/internal/tinyproxy"
	"github.com/imapkit/imapkit/imapkittest"
)

func main() { example.Main(run) }

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := example.NewFlags("socksproxy")
	proxyURL := flags.String("proxy", "", "the proxy, such as socks4a://127.0.0.1:1080")
	account, err := flags.Open(args, imapkittest.Options{})
	if err != nil {
		return err
	}
	defer account.Close()

	if *proxyURL != "" {
		client := account.Client()
		defer client.Close()
		if client.Proxy, err = imapkit.ProxyFromURL(*proxyURL); err != nil {
			return err
		}
		return list(ctx, client, stdout)
	}
	if account.Server == nil {
		return errors.New("with -url, -proxy is needed as well")
	}

	proxy, err := tinyproxy.New()
	if err != nil {
		return err
	}
	defer proxy.Close()
	for _, version := range []imapkit.SOCKSVersion{imapkit.SOCKS4, imapkit.SOCKS4a, imapkit.SOCKS5} {
		client := account.Client()
		defer client.Close()
		client.Host = "localhost"
		client.Proxy = imapkit.SOCKSProxy{Addr: proxy.Addr, Version: version}
		if err := list(ctx, client, stdout); err != nil {
			return err
		}
		fmt.Fprintf(stdout, "  (the proxy was asked for %s)\n", proxy.Target())
	}
	return nil
}

func list(ctx context.Context, client *imapkit.Client, stdout io.Writer) error {
	unread, err := client.Folder("INBOX").Count(ctx, imapkit.Unseen())
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%d unread messages through %v\n", unread, client.Proxy)
	return nil
}
