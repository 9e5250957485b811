// Package exampletest runs the example programs in tests.
package exampletest

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/imapkit/imapkit/imapkittest"
)

// A Program is the run function of an example.
type Program func(ctx context.Context, args []string, stdout io.Writer) error

// Output runs the program, which must succeed, and returns what it prints.
func Output(t *testing.T, run Program, args ...string) string {
	t.Helper()
	var out strings.Builder
	if err := run(t.Context(), args, &out); err != nil {
		t.Fatalf("%q failed: %v\nafter printing\n%s", args, err, out.String())
	}
	return out.String()
}

// Contains fails the test unless all of the texts are in the output.
func Contains(t *testing.T, output string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(output, text) {
			t.Errorf("the output lacks %q:\n%s", text, output)
		}
	}
}

// Server starts a server, with the sample mailbox unless opts say otherwise,
// and returns it with a URL for the -url flag. It sets the password in the
// environment.
func Server(t *testing.T, opts imapkittest.Options) (*imapkittest.Server, string) {
	t.Helper()
	opts.InsecureAuth = true // its certificate is nobody's but the server's
	server, err := imapkittest.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	t.Setenv("IMAP_PASSWORD", "password")
	return server, "imap://user@" + server.Addr() + "?security=none"
}
