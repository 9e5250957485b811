package imapkit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/imapkittest"
)

// sampleAccount returns a client for a server with a sample mailbox. For a
// server of yours: &imapkit.Client{Host: "imap.example.com", Username: …}.
func sampleAccount() (client *imapkit.Client, done func()) {
	server, err := imapkittest.NewServer(imapkittest.Options{})
	if err != nil {
		log.Fatal(err)
	}
	client = server.Client()
	return client, func() {
		client.Close()
		server.Close()
	}
}

func Example() {
	client, done := sampleAccount()
	defer done()

	inbox := client.Folder("INBOX")
	for m, err := range inbox.Messages(context.Background(), imapkit.Unseen()) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(m.UID, m.InternalDate.Format(time.DateOnly), m.Envelope.Subject)
	}
	// Output:
	// 4 2026-01-09 Números de dezembro
	// 5 2026-01-11 This week: first flush — and how to keep it
	// 6 2026-01-12 待ち合わせ場所
	// 7 2026-01-13 Photos from the lake 📷
	// 8 2026-01-15 Квитки на потяг
}

func ExampleClient_Folders() {
	client, done := sampleAccount()
	defer done()

	folders, err := client.Folders(context.Background(), "")
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range folders {
		fmt.Println(f.Name)
	}
	// Output:
	// Archive
	// Archive/2024
	// Drafts
	// INBOX
	// Junk
	// Sent
	// Trash
}

func ExampleClient_Capabilities() {
	client, done := sampleAccount()
	defer done()

	caps, err := client.Capabilities(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("can move:", caps.Has(imap.CapMove))
	fmt.Println("can sort:", caps.Has(imap.CapSort))
	// Output:
	// can move: true
	// can sort: false
}

// What this package has no method for, go-imap's client may have.
func ExampleClient_Do() {
	client, done := sampleAccount()
	defer done()

	err := client.Do(context.Background(), "", func(c *imapclient.Client) error {
		namespaces, err := c.Namespace().Wait()
		if err != nil {
			return err
		}
		fmt.Printf("levels of folder names are separated by %q\n", namespaces.Personal[0].Delim)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: levels of folder names are separated by '/'
}

func ExampleFolder_Search() {
	client, done := sampleAccount()
	defer done()

	uids, err := client.Folder("INBOX").Search(context.Background(), imapkit.And(
		imapkit.Since(time.Date(2026, 1, 7, 15, 0, 0, 0, time.UTC)), // exact to the second
		imapkit.Or(imapkit.Subject("agenda"), imapkit.HasFlag(imap.FlagFlagged)),
	))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(uids)
	// Output: [3 4]
}

func ExampleFolder_Fetch() {
	client, done := sampleAccount()
	defer done()

	message, err := client.Folder("INBOX").Fetch(context.Background(), 4)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(message.Info.Envelope.Subject)
	for _, a := range message.Attachments {
		fmt.Println("attached:", a.Name, a.ContentType)
	}
	// Output:
	// Números de dezembro
	// attached: december.csv text/csv
}

// Open streams a message of any size in constant memory.
func ExampleFolder_Open() {
	client, done := sampleAccount()
	defer done()

	body, err := client.Folder("INBOX").Open(context.Background(), 1)
	if err != nil {
		log.Fatal(err)
	}
	defer body.Close()
	n, err := io.Copy(io.Discard, body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, "bytes")
	// Output: 485 bytes
}

func ExampleFolder_AddFlags() {
	client, done := sampleAccount()
	defer done()

	ctx := context.Background()
	inbox := client.Folder("INBOX")
	unread, err := inbox.Search(ctx, imapkit.Unseen())
	if err != nil {
		log.Fatal(err)
	}
	if err := inbox.AddFlags(ctx, unread, imap.FlagSeen); err != nil {
		log.Fatal(err)
	}
	n, err := inbox.Count(ctx, imapkit.Unseen())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(unread), "unread messages before,", n, "now")
	// Output: 5 unread messages before, 0 now
}

func ExampleFolder_Append() {
	client, done := sampleAccount()
	defer done()

	message := []byte(strings.ReplaceAll("From: ada@example.org\nSubject: Hello\n\nIt works.\n", "\n", "\r\n"))
	uid, err := client.Folder("Drafts").Append(context.Background(), bytes.NewReader(message), int64(len(message)),
		imapkit.AppendOptions{Flags: []imap.Flag{imap.FlagDraft}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("its UID is", uid)
	// Output: its UID is 2
}

func ExampleFolder_Move() {
	client, done := sampleAccount()
	defer done()

	moved, err := client.Folder("INBOX").Move(context.Background(), []imap.UID{1, 2}, "Archive/2024")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("message 1 has UID", moved[1], "in the archive")
	// Output: message 1 has UID 2 in the archive
}

func ExampleServerError() {
	client, done := sampleAccount()
	defer done()

	_, err := client.Select(context.Background(), "No such folder")
	var refused *imapkit.ServerError
	if errors.As(err, &refused) {
		fmt.Println(refused.Command, refused.Status, refused.Code)
	}
	// Output: SELECT NO NONEXISTENT
}

func ExampleParseURL() {
	client, err := imapkit.ParseURL("imap://ada@imap.example.com?security=starttls&readonly=1")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.Host, client.Username, client.Security, client.ReadOnly)
	// Output: imap.example.com ada STARTTLS true
}

func ExampleProxyFromURL() {
	proxy, err := imapkit.ProxyFromURL("socks5://user:secret@127.0.0.1")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(proxy) // never shows the password
	// Output: socks5://127.0.0.1:1080
}
