// Httpproxy connects through an HTTP proxy with the CONNECT method. Proxies
// often allow that for port 443 only; port 993 may have to be permitted.
//
//	go run ./examples/httpproxy
//	IMAP_PASSWORD=… go run ./examples/httpproxy -proxy http://127.0.0.1:3128 -url imaps://user@imap.example.com
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
	flags := example.NewFlags("httpproxy")
	proxyURL := flags.String("proxy", "", "the proxy, such as http://user:password@127.0.0.1:3128")
	account, err := flags.Open(args, imapkittest.Options{})
	if err != nil {
		return err
	}
	defer account.Close()

	client := account.Client()
	defer client.Close()
	switch {
	case *proxyURL != "":
		if client.Proxy, err = imapkit.ProxyFromURL(*proxyURL); err != nil {
			return err
		}
	case account.Server == nil:
		return errors.New("with -url, -proxy is needed as well")
	default:
		proxy, err := tinyproxy.New()
		if err != nil {
			return err
		}
		defer proxy.Close()
		client.Proxy = imapkit.HTTPProxy{Addr: proxy.Addr} // also: Username, Password, TLS, Forward
	}

	unread, err := client.Folder("INBOX").Count(ctx, imapkit.Unseen())
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%d unread messages through %v\n", unread, client.Proxy)
	return nil
}
