// Package example holds what the example programs have in common: the -url
// flag, the mail server of their own that they use without it, and main.
package example

import (
	"context"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/imapkittest"
)

// Main runs a program until it is done or interrupted, and exits with status 1
// if it fails.
func Main(run func(ctx context.Context, args []string, stdout io.Writer) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Flags are the flags of a program, -url among them.
type Flags struct {
	*flag.FlagSet
	url *string
}

// NewFlags returns the flags of the program of this name.
func NewFlags(name string) Flags {
	set := flag.NewFlagSet(name, flag.ExitOnError)
	return Flags{set, set.String("url", "", "the account, such as imaps://user@imap.example.com; its password is "+
		"in the environment variable IMAP_PASSWORD.\nWithout a URL the program starts a server of its own")}
}

// An Account is the mail account that a program works on.
type Account struct {
	Server *imapkittest.Server // the server of its own; nil with -url
	url    string
}

// Open parses the command line and, if that has no -url, starts a server.
func (f Flags) Open(args []string, opts imapkittest.Options) (*Account, error) {
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if *f.url == "" {
		server, err := imapkittest.NewServer(opts)
		if err != nil {
			return nil, err
		}
		return &Account{Server: server}, nil
	}
	if _, err := imapkit.ParseURL(*f.url); err != nil {
		return nil, err
	}
	return &Account{url: *f.url}, nil
}

// Open is Open for a program without flags of its own.
func Open(name string, args []string, opts imapkittest.Options) (*Account, error) {
	return NewFlags(name).Open(args, opts)
}

// Client returns a new client. The caller may change its fields before using
// it, and closes it.
func (a *Account) Client() *imapkit.Client {
	if a.Server != nil {
		return a.Server.Client()
	}
	client, err := imapkit.ParseURL(a.url)
	if err != nil {
		panic(err) // Open has parsed it before
	}
	if password := os.Getenv("IMAP_PASSWORD"); password != "" {
		client.Password = password
	}
	return client
}

// Roots returns the authorities that certificates are checked against; nil
// means those of the system.
func (a *Account) Roots() *x509.CertPool {
	if a.Server == nil {
		return nil
	}
	return a.Server.CertPool()
}

// Close ends the server, if there is one.
func (a *Account) Close() error {
	if a.Server == nil {
		return nil
	}
	return a.Server.Close()
}
