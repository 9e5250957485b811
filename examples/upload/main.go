// Upload adds the .eml files of a directory to a folder, with a progress bar.
//
//	go run ./examples/upload
//	IMAP_PASSWORD=… go run ./examples/upload -url imaps://user@imap.example.com -dir mail -to Imported
package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/mail"
	"os"
	"strings"
	"time"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/examples/internal/example"
	"github.com/imapkit/imapkit/imapkittest"
)

//go:embed sample/*.eml
var sample embed.FS

func main() { example.Main(run) }

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := example.NewFlags("upload")
	dir := flags.String("dir", "", "the directory with the .eml files; without one, a few sample messages")
	to := flags.String("to", "Imported", "the folder that gets the messages; made if it does not exist")
	account, err := flags.Open(args, imapkittest.Options{})
	if err != nil {
		return err
	}
	defer account.Close()

	files, err := fs.Sub(sample, "sample")
	if err != nil {
		return err
	}
	if *dir != "" {
		files = os.DirFS(*dir)
	}
	names, err := fs.Glob(files, "*.eml")
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fmt.Errorf("there are no .eml files in %s", *dir)
	}

	client := account.Client()
	defer client.Close()
	folder := client.Folder(*to)
	bar := &progressBar{out: stdout, messages: len(names)}
	for i, name := range names {
		message, err := fs.ReadFile(files, name)
		if err == nil {
			err = upload(ctx, client, folder, message, bar)
		}
		if err != nil {
			fmt.Fprintln(stdout)
			return fmt.Errorf("%s: %w (%d of %d messages are uploaded)", name, err, i, len(names))
		}
		bar.messageDone()
	}
	fmt.Fprintf(stdout, "\n%d messages are in %s now.\n", len(names), *to)
	return nil
}

func upload(ctx context.Context, client *imapkit.Client, folder *imapkit.Folder, message []byte, bar *progressBar) error {
	message = withCRLF(message)
	opts := imapkit.AppendOptions{InternalDate: sentAt(message)}
	add := func() error {
		bar.begin(int64(len(message)))
		_, err := folder.Append(ctx, io.TeeReader(bytes.NewReader(message), bar), int64(len(message)), opts)
		return err
	}
	err := add()
	var refused *imapkit.ServerError
	if errors.As(err, &refused) && refused.Code == "TRYCREATE" { // the folder does not exist
		if err := client.CreateFolder(ctx, folder.Name()); err != nil {
			return err
		}
		err = add()
	}
	return err
}

// withCRLF ends lines in CRLF, as mail does. Files often have a bare LF.
func withCRLF(message []byte) []byte {
	message = bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(message, []byte("\n"), []byte("\r\n"))
}

// sentAt returns the date in the message's header; zero, which is now to the
// server, if there is none.
func sentAt(message []byte) time.Time {
	m, err := mail.ReadMessage(bytes.NewReader(message))
	if err != nil {
		return time.Time{}
	}
	date, err := m.Header.Date()
	if err != nil {
		return time.Time{}
	}
	return date
}

// A progressBar shows how much is uploaded. What is written to it counts as
// uploaded.
type progressBar struct {
	out            io.Writer
	messages, done int
	size, sent     int64 // of the current message
}

func (b *progressBar) begin(size int64) {
	b.size, b.sent = size, 0
	b.draw()
}

func (b *progressBar) Write(p []byte) (int, error) {
	b.sent += int64(len(p))
	b.draw()
	return len(p), nil
}

func (b *progressBar) messageDone() {
	b.done++
	b.size, b.sent = 0, 0
	b.draw()
}

func (b *progressBar) draw() {
	const width = 40
	done := float64(b.done)
	if b.size > 0 {
		done += float64(b.sent) / float64(b.size)
	}
	filled := int(done / float64(b.messages) * width)
	fmt.Fprintf(b.out, "\r[%s%s] %d of %d", strings.Repeat("#", filled), strings.Repeat(".", width-filled), b.done, b.messages)
}
