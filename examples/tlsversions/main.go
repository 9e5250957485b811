// Tlsversions shows how to say which versions of TLS are good enough, and what
// happens to versions that are too old for this program to speak.
//
//	go run ./examples/tlsversions
//	IMAP_PASSWORD=… go run ./examples/tlsversions -url imaps://user@imap.example.com
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"sync/atomic"

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

	const old = imapkit.SSL3 | imapkit.TLS12 | imapkit.TLS13
	for _, policy := range []struct {
		name string
		imapkit.TLSPolicy
	}{
		{"The default", imapkit.TLSPolicy{}},
		{"One version", imapkit.TLSPolicy{Versions: imapkit.TLS12}},
		{"Lenient, with one that Go cannot speak", imapkit.TLSPolicy{Versions: old}},
		{"Strict, with one that Go cannot speak", imapkit.TLSPolicy{Versions: old, Strict: true}},
		{"Old ones, for servers that have no better", imapkit.TLSPolicy{Versions: imapkit.TLS10 | imapkit.TLS11}},
	} {
		fmt.Fprintf(stdout, "%s (%v):\n", policy.name, policy.Versions)
		version, err := connect(ctx, account, policy.TLSPolicy)
		if err != nil {
			fmt.Fprintf(stdout, "  refused: %v\n", err)
			continue
		}
		fmt.Fprintf(stdout, "  connected with %s\n", version)
	}
	return nil
}

// connect returns the version of TLS that a client with this policy ends up
// with.
func connect(ctx context.Context, account *example.Account, policy imapkit.TLSPolicy) (string, error) {
	var version atomic.Uint32
	client := account.Client()
	defer client.Close()
	client.TLS = policy
	client.TLS.Config = &tls.Config{
		RootCAs: account.Roots(),
		VerifyConnection: func(state tls.ConnectionState) error {
			version.Store(uint32(state.Version))
			return nil
		},
	}
	if err := client.Connect(ctx); err != nil {
		return "", err
	}
	return tls.VersionName(uint16(version.Load())), nil
}
