// Oauth2 logs in with an OAuth 2.0 access token. When the server refuses one,
// the client asks its TokenSource for a fresh one, once.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/imapkit/imapkit/examples/internal/example"
	"github.com/imapkit/imapkit/imapkittest"
)

func main() { example.Main(run) }

// tokens stands for what gets tokens from a provider, such as
// golang.org/x/oauth2. With -url, IMAP_PASSWORD is the token.
type tokens struct{ stdout io.Writer }

func (s tokens) Token(_ context.Context, refresh bool) (string, error) {
	if token := os.Getenv("IMAP_PASSWORD"); token != "" {
		return token, nil
	}
	if !refresh {
		fmt.Fprintln(s.stdout, "Token from the cache, which has expired.")
		return "expired", nil
	}
	fmt.Fprintln(s.stdout, "Fresh token from the provider.")
	return "fresh", nil
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	account, err := example.Open("oauth2", args, imapkittest.Options{Token: "fresh"})
	if err != nil {
		return err
	}
	defer account.Close()

	client := account.Client()
	defer client.Close()
	client.Password = ""
	client.TokenSource = tokens{stdout}
	if err := client.Connect(ctx); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "Logged in.")
	return nil
}
