// Tlsversions says which versions of TLS are good enough, and what happens with
// versions that cannot be spoken.
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
	account, err := example.Open("tlsversions", args, imapkittest.Options{})
	if err != nil {
		return err
	}
	defer account.Close()

	for _, policy := range []imapkit.TLSPolicy{
		{}, // TLS 1.2 and 1.3
		{Versions: imapkit.TLS13},
		{Versions: imapkit.SSL3 | imapkit.TLS12}, // SSL 3 is left out
		{Versions: imapkit.SSL3 | imapkit.TLS12, Strict: true}, // SSL 3 is an error
	} {
		client := account.Client()
		policy.Config = client.TLS.Config
		client.TLS = policy
		err := client.Connect(ctx)
		client.Close()
		result := "connected"
		if err != nil {
			result = err.Error()
		}
		fmt.Fprintf(stdout, "%v, strict %v: %s\n", policy.Versions, policy.Strict, result)
	}
	return nil
}
