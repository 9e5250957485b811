package imapkit_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/servertest"
)

// own returns a name for a folder of the account's own, below INBOX where the
// server has nothing beside it (Courier, Cyrus).
func own(t *testing.T, c *imapkit.Client, name string) string {
	t.Helper()
	spaces, err := c.Namespaces(limited(t))
	if err != nil || len(spaces.Personal) == 0 {
		t.Fatalf("namespaces %+v, %v", spaces, err)
	}
	return spaces.Personal[0].Prefix + name
}

func TestServerFactsOfRealServers(t *testing.T) {
	extensions := map[string][]imap.Cap{
		"Dovecot":   {imap.CapID, imap.CapQuota, imap.CapACL, imap.CapMetadata},
		"Cyrus":     {imap.CapID, imap.CapQuota, imap.CapACL, imap.CapMetadata},
		"Courier":   {imap.CapQuota, imap.CapACL},
		"Mailutils": {imap.CapID},
	}
	for name, start := range realServers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var opts []servertest.Option
			if name == "Dovecot" {
				opts = append(opts, servertest.Setting("QUOTA", "100K"))
			}
			server := start(t, opts...)
			c := clientFor(server, imapkit.SecurityNone)
			defer c.Close()
			ctx := limited(t)
			if _, err := c.Select(ctx, "INBOX"); err != nil { // which makes it (Mailutils)
				t.Fatal(err)
			}
			if name == "Cyrus" {
				admin := clientFor(server, imapkit.SecurityNone)
				admin.Username = "admin"
				defer admin.Close()
				if err := admin.Do(ctx, "", func(gc *imapclient.Client) error {
					return gc.SetQuota("user."+server.Username, map[imap.QuotaResourceType]int64{imap.QuotaResourceStorage: 100}).Wait()
				}); err != nil {
					t.Fatal(err)
				}
			}
			folder := own(t, c, "Entwürfe & Pläne")
			if err := c.CreateFolder(ctx, folder); err != nil {
				t.Fatal(err)
			}
			f := c.Folder(folder)
			facts := []struct {
				what  string
				needs imap.Cap
				ask   func() error
			}{
				{"ID", imap.CapID, func() error {
					id, err := c.ServerID(ctx)
					if err == nil && name != "Mailutils" && !strings.Contains(id.Name, name) { // which does not tell
						t.Errorf("the server calls itself %q", id.Name)
					}
					return err
				}},
				{"quota", imap.CapQuota, func() error {
					quota, err := f.Quota(ctx)
					if err == nil && name != "Courier" &&
						(len(quota) != 1 || quota[0].Resources[imap.QuotaResourceStorage].Limit != 100) {
						t.Errorf("quota %+v", quota)
					}
					return err
				}},
				{"rights", imap.CapACL, func() error {
					rights, err := f.Rights(ctx)
					if err == nil && !strings.Contains(rights.String(), "r") {
						t.Errorf("rights %q", rights)
					}
					return err
				}},
				{"ACL", imap.CapACL, func() error {
					who := imap.RightsIdentifier("bob")
					if name == "Courier" {
						who = "bob@example.org"
					}
					if err := f.SetACL(ctx, who, imap.RightModificationReplace, imap.RightSet("lr")); err != nil {
						return err
					}
					if err := f.SetACL(ctx, who, imap.RightModificationRemove, imap.RightSet("r")); err != nil {
						return err
					}
					list, err := f.ACL(ctx)
					if err == nil && list[who].String() != "l" {
						t.Errorf("ACL %q", list)
					}
					return err
				}},
				{"METADATA", imap.CapMetadata, func() error {
					const entry = "/private/comment"
					for _, value := range []string{"hello", `a "b" \c`, "zwei\r\nZeilen", "ü"} {
						if err := f.SetMetadata(ctx, entry, []byte(value)); err != nil {
							return err
						}
						values, err := f.Metadata(ctx, entry, "/shared/comment")
						if err != nil {
							return err
						}
						if want := map[string][]byte{entry: []byte(value)}; !maps.EqualFunc(values, want, equalBytes) {
							t.Errorf("annotations %q, want %q", values, want)
						}
					}
					if err := f.SetMetadata(ctx, entry, nil); err != nil {
						return err
					}
					values, err := f.Metadata(ctx, entry)
					if err == nil && len(values) > 0 {
						t.Errorf("annotations %q after the only one was removed", values)
					}
					return err
				}},
				{"METADATA of the server", imap.CapMetadata, func() error {
					_, err := c.Folder("").Metadata(ctx, "/shared/comment")
					return err
				}},
			}
			for _, fact := range facts {
				err := fact.ask()
				if has := containsCap(extensions[name], fact.needs); has != (err == nil) {
					t.Errorf("%s: %v", fact.what, err)
				} else if !has && (!errors.Is(err, imapkit.ErrNotSupported) || !strings.Contains(err.Error(), string(fact.needs))) {
					t.Errorf("%s: %v", fact.what, err)
				}
			}
		})
	}
}

func containsCap(list []imap.Cap, c imap.Cap) bool {
	for _, have := range list {
		if have == c {
			return true
		}
	}
	return false
}

func equalBytes(a, b []byte) bool { return string(a) == string(b) }
