// Crammd5 logs in with CRAM-MD5, which does not show the password to those who
// listen. Over TLS there are better mechanisms, and the client finds them by
// itself; this is for servers without TLS.
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
	account, err := example.Open("crammd5", args, imapkittest.Options{
		Mechanisms: []imapkit.AuthMechanism{imapkit.AuthCRAMMD5}, InsecureAuth: true,
	})
	if err != nil {
		return err
	}
	defer account.Close()

	client := account.Client()
	defer client.Close()
	client.Auth = []imapkit.AuthMechanism{imapkit.AuthCRAMMD5} // no other will do
	if account.Server != nil {
		client.Port, client.Security = account.Server.Port, imapkit.SecurityNone
	}
	if err := client.Connect(ctx); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "Logged in with CRAM-MD5: the password was not sent.")
	return nil
}
