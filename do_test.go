package imapkit_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/servertest"
)

func TestDoLendsAConnectionToGoIMAP(t *testing.T) {
	server := servertest.Dovecot(t)
	c := clientFor(server, imapkit.SecurityImplicitTLS)
	defer c.Close()
	ctx := limited(t)
	inbox := c.Folder("INBOX")
	text := "Subject: lent\r\n\r\nHello\r\n"
	if _, err := inbox.Append(ctx, strings.NewReader(text), int64(len(text)), imapkit.AppendOptions{}); err != nil {
		t.Fatal(err)
	}
	for range 3 { // between operations of the Client's own
		err := c.Do(ctx, "INBOX", func(g *imapclient.Client) error {
			if _, err := g.Namespace().Wait(); err != nil {
				return err
			}
			messages, err := g.Fetch(imap.SeqSetNum(1), &imap.FetchOptions{
				UID: true, Envelope: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}},
			}).Collect()
			if err != nil {
				return err
			}
			if len(messages) != 1 || messages[0].Envelope.Subject != "lent" || string(messages[0].BodySection[0].Bytes) != text {
				t.Errorf("fetched %+v", messages)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if uids, err := inbox.Search(ctx, imapkit.Subject("lent")); err != nil || len(uids) != 1 {
			t.Fatalf("found %v %v", uids, err)
		}
	}
}

func TestDoOnAReadOnlyClientChangesNothing(t *testing.T) {
	server := servertest.Dovecot(t)
	c := clientFor(server, imapkit.SecurityNone)
	c.ReadOnly = true
	defer c.Close()
	err := c.Do(limited(t), "", func(g *imapclient.Client) error { return g.Create("New", nil).Wait() })
	if !errors.Is(err, imapkit.ErrReadOnly) {
		t.Errorf("error %v", err)
	}
	if folders, err := c.Folders(limited(t), "New"); err != nil || len(folders) != 0 {
		t.Errorf("folders %v %v", folders, err)
	}
}
