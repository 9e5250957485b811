// Oauth2 logs in with an OAuth 2.0 access token, and gets a fresh one when the
// server refuses the one it had.
//
//	go run ./examples/oauth2
//	IMAP_TOKEN=… go run ./examples/oauth2 -url imaps://user@imap.example.com
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/examples/internal/example"
	"github.com/imapkit/imapkit/imapkittest"
)

func main() { example.Main(run) }

const freshToken = "fresh-token"

// A tokenSource remembers a token until it is refused.
type tokenSource struct {
	mu     sync.Mutex
	cached string
	fetch  func(context.Context) (string, error)
}

// Token implements imapkit.TokenSource.
func (s *tokenSource) Token(ctx context.Context, refresh bool) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if refresh || s.cached == "" {
		token, err := s.fetch(ctx)
		if err != nil {
			return "", err
		}
		s.cached = token
	}
	return s.cached, nil
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	account, err := example.Open("oauth2", args, imapkittest.Options{Token: freshToken})
	if err != nil {
		return err
	}
	defer account.Close()

	tokens := &tokenSource{cached: os.Getenv("IMAP_TOKEN")}
	tokens.fetch = func(context.Context) (string, error) {
		return "", errors.New("an access token is needed in the environment variable IMAP_TOKEN")
	}
	if account.Server != nil {
		tokens.cached = "expired-token"
		tokens.fetch = func(context.Context) (string, error) {
			fmt.Fprintln(stdout, "The token was refused, getting a fresh one.")
			return freshToken, nil // elsewhere: ask the authorization server, with a refresh token
		}
	}

	client := account.Client()
	defer client.Close()
	client.Password = ""
	client.TokenSource = tokens
	unread, err := client.Folder("INBOX").Count(ctx, imapkit.Unseen())
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Logged in with a token: %d unread messages.\n", unread)
	return nil
}
