package imapkit_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/imapkittest"
)

// peculiarNames have what folder names are damaged by.
var peculiarNames = []string{
	"Entwürfe", "R&D", "a&-b", "&", "&-", "&AOk-", "a&AOk-b", "100% sure", "a*b", `say "hi"`, `back\slash`, "a{3}", "a (b) c", "NIL",
	" leading", "trailing ", "two  blanks", "it's", "tilde~", "semi;colon", "inbox", "Inbox 2",
	"台北", "日本語", "עברית", "ελληνικά", "e\u0301 decomposed", "\u200fright to left", "\u00a0no break", "\ufffd", "\u007f", "tab\tbed",
	"😀", "\U00020000", "\U000e0041", "\U0010fffd",
}

func TestPeculiarNamesAreTheSameEverywhere(t *testing.T) {
	servers := map[string]func(*testing.T) *imapkit.Client{
		"memory server": func(t *testing.T) *imapkit.Client {
			server, err := imapkittest.NewServer(imapkittest.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { server.Close() })
			return server.Client()
		},
	}
	for name, start := range realServers {
		servers[name] = func(t *testing.T) *imapkit.Client { return clientFor(start(t), imapkit.SecurityNone) }
	}
	// INBOX is no new folder; Cyrus and Courier refuse more.
	least := map[string]int{"memory server": 35, "Mailutils": 35, "Dovecot": 34, "Courier": 32, "Cyrus": 29}
	for server, start := range servers {
		t.Run(server, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			defer c.Close()
			if _, err := c.Select(limited(t), "INBOX"); err != nil { // which makes it (Mailutils)
				t.Fatal(err)
			}
			same := 0
			for i, name := range peculiarNames {
				folder := own(t, c, name)
				remove := server != "Courier" || i%6 == 0 // which takes two seconds for it
				if peculiarFolder(t, c, folder, remove) == folder {
					same++
				}
			}
			t.Logf("%s: %d of %d names come back as they are", server, same, len(peculiarNames))
			if same < least[server] {
				t.Errorf("only %d of %d names come back as they are", same, len(peculiarNames))
			}
		})
	}
}

// peculiarFolder makes a folder, uses it under the name that the server gives it, which
// it returns, and removes it. It returns "" if the server does not like the name.
func peculiarFolder(t *testing.T, c *imapkit.Client, folder string, remove bool) string {
	t.Helper()
	ctx := limited(t)
	before := folderNames(t, c)
	if err := c.CreateFolder(ctx, folder); err != nil {
		if !errors.As(err, new(*imapkit.ServerError)) {
			t.Errorf("CreateFolder %q: %v", folder, err)
		}
		return ""
	}
	made := slices.DeleteFunc(folderNames(t, c), func(name string) bool { return slices.Contains(before, name) })
	if len(made) != 1 {
		if len(made) > 1 || !strings.EqualFold(folder, "INBOX") {
			t.Errorf("CreateFolder %q made %q", folder, made)
		}
		return ""
	}
	name := made[0]
	if name != folder {
		t.Logf("%q has become %q", folder, name)
	}
	const message = "From: a@example.org\r\nSubject: x\r\n\r\nx\r\n"
	f, err := c.Select(ctx, name)
	if err != nil {
		t.Errorf("Select %q: %v", name, err)
		return name
	}
	if _, err := f.Append(ctx, strings.NewReader(message), int64(len(message)), imapkit.AppendOptions{}); err != nil {
		t.Errorf("Append to %q: %v", name, err)
	}
	if _, err := f.Status(ctx); err != nil {
		t.Errorf("Status of %q: %v", name, err)
	}
	for _, change := range []func() error{
		func() error { return c.Subscribe(ctx, name) },
		func() error { return c.Unsubscribe(ctx, name) },
	} {
		if err := change(); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	if !remove {
		return name
	}
	if err := c.DeleteFolder(ctx, name); err != nil {
		t.Errorf("DeleteFolder %q: %v", name, err)
	}
	if left := folderNames(t, c); len(left) != len(before) {
		t.Errorf("after %q was deleted, there are %q", name, left)
	}
	return name
}

func folderNames(t *testing.T, c *imapkit.Client) []string {
	t.Helper()
	list, err := c.Folders(limited(t), "")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range list {
		names = append(names, f.Name)
	}
	return names
}
