package imapkit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

func TestServerFactsNeedTheirExtension(t *testing.T) {
	tests := []struct {
		extension, command, answer, want string
		ask                              func(context.Context, *imapkit.Client) (any, error)
	}{
		{"NAMESPACE", "NAMESPACE", `* NAMESPACE (("" "/")) NIL (("Public/" "/"))`, "Public/",
			func(ctx context.Context, c *imapkit.Client) (any, error) {
				data, err := c.Namespaces(ctx)
				if err != nil {
					return nil, err
				}
				return data.Shared[0].Prefix, nil
			}},
		{"ID", "ID", `* ID ("name" "Mailer")`, "Mailer", func(ctx context.Context, c *imapkit.Client) (any, error) {
			data, err := c.ServerID(ctx)
			if err != nil {
				return nil, err
			}
			return data.Name, nil
		}},
		{"QUOTA", "GETQUOTAROOT", "* QUOTAROOT INBOX \"\"\n* QUOTA \"\" (STORAGE 10 512)", "512",
			func(ctx context.Context, c *imapkit.Client) (any, error) {
				data, err := c.Folder("INBOX").Quota(ctx)
				if err != nil {
					return nil, err
				}
				return data[0].Resources[imap.QuotaResourceStorage].Limit, nil
			}},
		{"ACL", "MYRIGHTS", "* MYRIGHTS INBOX lrs", "lrs", func(ctx context.Context, c *imapkit.Client) (any, error) {
			rights, err := c.Folder("INBOX").Rights(ctx)
			return string(rights), err
		}},
		{"ACL", "GETACL", "* ACL INBOX bob lr", "lr", func(ctx context.Context, c *imapkit.Client) (any, error) {
			rights, err := c.Folder("INBOX").ACL(ctx)
			return string(rights["bob"]), err
		}},
		{"ACL", "SETACL", "", "<nil>", func(ctx context.Context, c *imapkit.Client) (any, error) {
			return nil, c.Folder("INBOX").SetACL(ctx, "bob", imap.RightModificationAdd, imap.RightSet("l"))
		}},
		{"METADATA", "GETMETADATA", `* METADATA INBOX (/private/comment "hello")`, "hello",
			func(ctx context.Context, c *imapkit.Client) (any, error) {
				values, err := c.Folder("INBOX").Metadata(ctx, "/private/comment")
				return string(values["/private/comment"]), err
			}},
		{"METADATA", "SETMETADATA", "", "<nil>", func(ctx context.Context, c *imapkit.Client) (any, error) {
			return nil, c.Folder("INBOX").SetMetadata(ctx, "/private/comment", []byte("hello"))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.command, func(t *testing.T) {
			scripted.LeakCheck(t)
			answer := strings.TrimPrefix(tt.answer+"\nOK done", "\n")
			s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 " + tt.extension,
				Handle: answers(map[string][]string{tt.command: {answer, "NO [NOPERM] not for you", "cut"}})})
			c := inClear(s)
			defer c.Close()
			got, err := tt.ask(limited(t), c)
			if err != nil || fmt.Sprint(got) != tt.want {
				t.Errorf("got %v, %v, want %s", got, err, tt.want)
			}
			var refused *imapkit.ServerError
			if _, err := tt.ask(limited(t), c); !errors.As(err, &refused) || refused.Code != "NOPERM" || refused.Text != "not for you" {
				t.Errorf("refused: %v", err)
			}
			_, err = tt.ask(limited(t), c)
			if err == nil || errors.Is(err, imapkit.ErrUnknownOutcome) != strings.HasPrefix(tt.command, "SET") {
				t.Errorf("cut: %v", err)
			}

			plain := scripted.Serve(t, scripted.Options{})
			c2 := inClear(plain)
			defer c2.Close()
			if _, err := tt.ask(limited(t), c2); !errors.Is(err, imapkit.ErrNotSupported) || !strings.Contains(err.Error(), tt.extension) {
				t.Errorf("without %s: %v", tt.extension, err)
			}
			if slices.ContainsFunc(plain.Commands(), func(cmd string) bool { return strings.HasPrefix(cmd, tt.command) }) {
				t.Errorf("%s was sent all the same", tt.command)
			}
		})
	}
}

// Sohu: * CAPABILITY (("" "/")) NIL NIL
func TestNamespacesUnderAnotherNameAreNoCapabilities(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 NAMESPACE MOVE",
		Handle: answers(map[string][]string{"NAMESPACE": {"* CAPABILITY ((\"\" \"/\")) NIL NIL\nOK done"}})})
	c := at(t, s, "")
	if _, err := c.Namespaces(limited(t)); !errors.Is(err, imapkit.ErrProtocol) {
		t.Errorf("error %v", err)
	}
	if caps, err := c.Capabilities(limited(t)); err != nil || !caps.Has(imap.CapMove) || len(caps) != 3 {
		t.Errorf("capabilities %v, error %v", caps, err)
	}
}
