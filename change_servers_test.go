package imapkit_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/imapkittest"
)

// changed is the state in which every server must end.
const changed = `work, subscribed
work: letter 01
work: letter 02
work: letter 03 \Seen
work: letter 06 \Answered
work: letter 10
work: letter 11 \Deleted
work: letter 12
work: letter 13
kept
kept: letter 00
kept: letter 01
kept: letter 02
kept: letter 03 \Seen
kept: letter 04 \Seen
kept: letter 05 \Flagged \Seen
Trash
Trash: letter 09`

// changeable is the text of a letter.
func changeable(n int) string {
	return fmt.Sprintf("From: Ann <ann@example.org>\r\nSubject: letter %02d\r\nDate: Tue, 10 Mar 2026 12:00:00 +0000\r\n"+
		"Message-ID: <letter%[1]d@example.org>\r\nContent-Type: text/plain; charset=utf-8\r\n"+
		"Content-Transfer-Encoding: 8bit\r\n\r\nfür Bob %[1]d\r\n.\r\n%[2]s", n, strings.Repeat("and more\r\n", 100*n))
}

func TestRealServersEndInTheSameState(t *testing.T) {
	prefixes := map[string]string{"Cyrus": "INBOX.", "Courier": "INBOX."}
	for name, start := range realServers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			endInTheSameState(t, prefixes[name], func() *imapkit.Client { return clientFor(server, imapkit.SecurityNone) })
		})
	}
	t.Run("memory server", func(t *testing.T) {
		t.Parallel()
		server, err := imapkittest.NewServer(imapkittest.Options{Messages: map[string]fs.FS{"INBOX": nil}})
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		endInTheSameState(t, "", server.Client)
	})
}

func endInTheSameState(t *testing.T, prefix string, client func() *imapkit.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := client()
	defer c.Close()
	changeEverything(t, ctx, c, prefix)
	c.Close() // Mailutils keeps changes to itself until then
	var got string
	for deadline := time.Now().Add(5 * time.Second); got != changed && time.Now().Before(deadline); {
		witness := client()
		got = mailboxState(t, ctx, witness, prefix)
		witness.Close()
	}
	if got != changed {
		t.Errorf("it ends in\n%s\nwant\n%s", got, changed)
	}
}

// changeEverything is the program.
func changeEverything(t *testing.T, ctx context.Context, c *imapkit.Client, prefix string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"work", "old", "doomed"} {
		must(c.CreateFolder(ctx, prefix+name))
	}
	if _, err := c.SpecialFolder(ctx, imap.MailboxAttrTrash); errors.Is(err, imapkit.ErrNoFolder) {
		must(c.CreateFolder(ctx, prefix+"Trash"))
	}
	work, old, doomed := c.Folder(prefix+"work"), c.Folder(prefix+"old"), c.Folder(prefix+"doomed")
	const total = 12
	letters := func(yield func(imapkit.NewMessage) bool) {
		for n := 1; n <= total; n++ {
			text := changeable(n)
			if !yield(imapkit.NewMessage{Body: strings.NewReader(text), Size: int64(len(text))}) {
				return
			}
		}
	}
	for _, err := range work.AppendAll(ctx, letters) {
		must(err)
	}
	bare := strings.ReplaceAll(changeable(0), "\r\n", "\n")
	_, err := old.Append(ctx, strings.NewReader(bare), int64(len(bare)), imapkit.AppendOptions{CRLF: true})
	must(err)
	_, err = doomed.Append(ctx, strings.NewReader(bare), int64(len(bare)), imapkit.AppendOptions{CRLF: true})
	must(err)
	uids, err := work.Search(ctx, imapkit.All())
	for err == nil && len(uids) < total { // Mailutils takes a second to notice new messages
		time.Sleep(20 * time.Millisecond)
		uids, err = work.Search(ctx, imapkit.All())
	}
	must(err)

	must(work.AddFlags(ctx, uids[:6], imap.FlagSeen))
	must(work.AddFlags(ctx, []imap.UID{uids[7], uids[4], uids[6], uids[5], uids[4]}, imap.FlagFlagged))
	must(work.RemoveFlags(ctx, uids[:2], imap.FlagSeen, imap.FlagAnswered))
	must(work.SetFlags(ctx, uids[5:6], imap.FlagAnswered))
	must(work.AddFlags(ctx, uids[10:], imap.FlagDeleted))
	must(work.Undelete(ctx, uids[11:]))

	copied, err := work.Copy(ctx, uids[:3], old.Name())
	must(err)
	moved, err := work.Move(ctx, uids[3:5], old.Name())
	must(err)
	checkUIDMap(t, ctx, c, copied, uids[:3], old, 1)
	checkUIDMap(t, ctx, c, moved, uids[3:5], old, 4)
	must(work.Delete(ctx, append(slices.Clone(uids[6:8]), uids[11]+1000))) // one does not exist
	must(work.Delete(ctx, nil))
	_, err = work.Trash(ctx, uids[8:9])
	must(err)

	// Neither these nor others may be touched, read or found.
	gone := []imap.UID{uids[3], uids[4], uids[6], uids[7], uids[8], uids[11] + 1, uids[11] + 1000}
	must(work.AddFlags(ctx, gone, imap.FlagDraft))
	must(work.SetFlags(ctx, gone[:1], imap.FlagDraft))
	must(work.Delete(ctx, gone))
	for _, call := range []func(context.Context, []imap.UID, string) (imapkit.UIDMap, error){work.Copy, work.Move} {
		copied, err := call(ctx, gone, old.Name())
		must(err)
		if len(copied) > 0 {
			t.Errorf("copied %v, which are gone", copied)
		}
	}
	for m, err := range work.Raw(ctx, gone) {
		must(err)
		t.Errorf("UID %d, which is gone, was read", m.UID)
	}
	for m, err := range work.Messages(ctx, imapkit.UIDs(gone...)) {
		must(err)
		t.Errorf("UID %d, which is gone, was listed", m.UID)
	}
	if _, err := work.Fetch(ctx, gone[0]); !errors.Is(err, imapkit.ErrNotFound) {
		t.Errorf("Fetch of a message that is gone: error %v", err)
	}
	some := []imap.UID{uids[3], uids[5], uids[9], uids[11]}
	found, err := work.Search(ctx, imapkit.And(imapkit.UIDs(some...), imapkit.Not(imapkit.HasFlag(imap.FlagAnswered))))
	must(err)
	if !slices.Equal(found, some[2:]) {
		t.Errorf("found %v among %v", found, some)
	}

	pages := work.Pages(imapkit.All(), total)
	if page, err := pages.Older(ctx); err != nil || len(page) != 7 {
		t.Errorf("a page of %d messages, %v", len(page), err)
	}
	news := changeable(13)
	_, err = work.Append(ctx, strings.NewReader(news), int64(len(news)), imapkit.AppendOptions{})
	must(err)
	page, err := pages.Newer(ctx)
	for err == nil && len(page) == 0 { // again, Mailutils takes its time
		time.Sleep(20 * time.Millisecond)
		page, err = pages.Newer(ctx)
	}
	if err != nil || len(page) != 1 || page[0].Envelope.Subject != "letter 13" {
		t.Errorf("a page of new messages: %v, %v", page, err)
	}

	must(c.Subscribe(ctx, work.Name()))
	must(c.Subscribe(ctx, old.Name()))
	must(c.Unsubscribe(ctx, old.Name()))
	must(c.RenameFolder(ctx, old.Name(), prefix+"kept"))
	must(c.DeleteFolder(ctx, doomed.Name()))
	var refused *imapkit.ServerError
	if err := c.DeleteFolder(ctx, doomed.Name()); !errors.As(err, &refused) {
		t.Errorf("deleting a folder again: %v", err)
	}
}

// checkUIDMap demands, of servers with UIDPLUS, the UIDs of the copies of
// letters, which are numbered from first on.
func checkUIDMap(t *testing.T, ctx context.Context, c *imapkit.Client, got imapkit.UIDMap, uids []imap.UID,
	to *imapkit.Folder, first int) {
	t.Helper()
	caps, err := c.Capabilities(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !caps.Has(imap.CapUIDPlus) {
		if got != nil {
			t.Errorf("the UIDs of copies are %v, of a server that tells none", got)
		}
		return
	}
	if !slices.Equal(slices.Sorted(maps.Keys(got)), uids) {
		t.Errorf("copied %v, the UIDs of the copies are %v", uids, got)
	}
	for i, uid := range uids {
		m, err := to.Fetch(ctx, got[uid])
		if err != nil {
			t.Errorf("the copy of UID %d: %v", uid, err)
		} else if string(m.Raw) != changeable(first+i) {
			t.Errorf("the copy of UID %d is %q", uid, m.Info.Envelope.Subject)
		}
	}
}

// mailboxState describes folders and messages. A message that is not what was
// written is marked.
func mailboxState(t *testing.T, ctx context.Context, c *imapkit.Client, prefix string) string {
	t.Helper()
	list, err := c.FoldersStatus(ctx, prefix+"*")
	if err != nil {
		t.Fatal(err)
	}
	var state []string
	for _, name := range []string{"work", "old", "kept", "doomed", "Trash"} {
		i := slices.IndexFunc(list, func(f imapkit.FolderDetails) bool { return f.Name == prefix+name })
		if i < 0 {
			continue
		}
		line := name
		if list[i].Subscribed {
			line += ", subscribed"
		}
		state = append(state, line)
		f := c.Folder(prefix + name)
		uids, err := f.Search(ctx, imapkit.All())
		if err != nil {
			t.Fatal(err)
		}
		var messages []string
		for m, err := range f.FetchAll(ctx, uids) {
			if err != nil {
				t.Fatal(err)
			}
			line := strings.TrimRight(name+": "+m.Info.Envelope.Subject+" "+keptFlags(m.Info), " ")
			var n int
			fmt.Sscanf(m.Info.Envelope.Subject, "letter %d", &n)
			if string(m.Raw) != changeable(n) {
				line += ", damaged"
			}
			messages = append(messages, line)
		}
		slices.Sort(messages)
		state = append(state, messages...)
	}
	return strings.Join(state, "\n")
}
