// Backup saves a folder to a directory, a file for each message and an index,
// and restores it from there. Either can be interrupted and run again: it goes
// on where it was. Both check what they wrote by reading it back.
//
//	go run ./examples/backup
//	IMAP_PASSWORD=… go run ./examples/backup -url imaps://user@imap.example.com -dir saved -folder INBOX
//	IMAP_PASSWORD=… go run ./examples/backup -url imaps://user@imap.example.com -dir saved -restore -folder Restored
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/examples/internal/example"
	"github.com/imapkit/imapkit/imapkittest"
)

func main() { example.Main(run) }

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := example.NewFlags("backup")
	dir := flags.String("dir", "", "the directory that holds the backup; made if it does not exist")
	folder := flags.String("folder", "INBOX", "the folder to save, or to restore to; the latter is made if it does not exist")
	restoring := flags.Bool("restore", false, "restore instead of saving")
	account, err := flags.Open(args, imapkittest.Options{})
	if err != nil {
		return err
	}
	defer account.Close()

	client := account.Client()
	defer client.Close()
	switch {
	case *dir == "" && account.Server != nil:
		return demonstrate(ctx, client, stdout)
	case *dir == "":
		return errors.New("with -url, -dir is needed as well")
	case *restoring:
		return restore(ctx, client, *folder, *dir, stdout)
	default:
		return save(ctx, client, *folder, *dir, stdout)
	}
}

// demonstrate saves the inbox of the program's own server to a temporary
// directory and restores it to another folder.
func demonstrate(ctx context.Context, client *imapkit.Client, stdout io.Writer) error {
	dir, err := os.MkdirTemp("", "backup")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintf(stdout, "Saving INBOX to %s:\n", dir)
	if err := save(ctx, client, "INBOX", dir, stdout); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "Restoring it to Restored:")
	return restore(ctx, client, "Restored", dir, stdout)
}
