// Crammd5 logs in with CRAM-MD5 and with nothing else. The mechanism is old:
// it hides the password from eavesdroppers, but makes the server keep it in
// clear. A client left to itself prefers SCRAM, and over TLS even PLAIN.
//
//	go run ./examples/crammd5
//	IMAP_PASSWORD=… go run ./examples/crammd5 -url imaps://user@imap.example.com
package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/examples/internal/example"
	"github.com/imapkit/imapkit/imapkittest"
)

func main() { example.Main(run) }

func run(ctx context.Context, args []string, stdout io.Writer) error {
	account, err := example.Open("crammd5", args, imapkittest.Options{})
	if err != nil {
		return err
	}
	defer account.Close()

	client := account.Client()
	defer client.Close()
	client.Auth = []imapkit.AuthMechanism{imapkit.AuthCRAMMD5}
	if err := client.Connect(ctx); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "Logged in with CRAM-MD5.")

	if account.Server == nil {
		return nil
	}
	return notOffered(ctx, stdout)
}

// notOffered shows what happens when the server does not know the mechanism:
// no other one is used.
func notOffered(ctx context.Context, stdout io.Writer) error {
	server, err := imapkittest.NewServer(imapkittest.Options{Mechanisms: []imapkit.AuthMechanism{imapkit.AuthPlain}})
	if err != nil {
		return err
	}
	defer server.Close()
	client := server.Client()
	defer client.Close()
	client.Auth = []imapkit.AuthMechanism{imapkit.AuthCRAMMD5}

	err = client.Connect(ctx)
	if !errors.Is(err, imapkit.ErrNoMechanism) {
		return fmt.Errorf("logging in where CRAM-MD5 is not offered: %v, want ErrNoMechanism", err)
	}
	fmt.Fprintf(stdout, "And where it is not offered:\n  %v\n", err)
	return nil
}
