package imapkit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/wire"
)

// FolderInfo describes a folder of the account.
type FolderInfo struct {
	// Name is the folder's full name in UTF-8. One that the server spells in
	// a way that cannot be decoded is as it came, and still addresses the
	// folder.
	Name string
	// Delim separates the levels of hierarchy in Name; 0: there are none.
	Delim rune
	// Attrs are the folder's attributes, special uses included (RFC 9051
	// section 7.3.1, RFC 6154).
	Attrs []imap.MailboxAttr
}

// Folders lists the folders whose names match the pattern, in which * stands
// for any characters and % for any but the hierarchy delimiter; "" means all
// (RFC 9051 section 6.3.9).
func (c *Client) Folders(ctx context.Context, pattern string) ([]FolderInfo, error) {
	var list folderList
	err := c.do(ctx, operation{what: "Folders"}, func(s *session) error {
		return list.fill(s, pattern)
	})
	if err != nil {
		return nil, err
	}
	infos := make([]FolderInfo, len(list.folders))
	for i, f := range list.folders {
		infos[i] = f.FolderInfo
	}
	return infos, nil
}

// canBeOpened reports whether the name is that of a folder, and not only of a
// level in the hierarchy.
func (f *FolderInfo) canBeOpened() bool {
	return !slices.Contains(f.Attrs, imap.MailboxAttrNoSelect) && !slices.Contains(f.Attrs, imap.MailboxAttrNonExistent)
}

// CreateFolder makes a folder (RFC 9051 section 6.3.4).
func (c *Client) CreateFolder(ctx context.Context, name string) error {
	return c.administer(ctx, "CREATE", name)
}

// DeleteFolder removes a folder together with its messages, for good (RFC 9051
// section 6.3.5).
func (c *Client) DeleteFolder(ctx context.Context, name string) error {
	return c.administer(ctx, "DELETE", name)
}

// RenameFolder gives a folder another name (RFC 9051 section 6.3.6). Renaming
// INBOX moves its messages to a new folder.
func (c *Client) RenameFolder(ctx context.Context, from, to string) error {
	return c.administer(ctx, "RENAME", from, to)
}

// Subscribe puts a folder on the list of those that mail programs show (RFC
// 9051 section 6.3.7).
func (c *Client) Subscribe(ctx context.Context, name string) error {
	return c.administer(ctx, "SUBSCRIBE", name)
}

// Unsubscribe takes a folder off the list of those that mail programs show (RFC
// 9051 section 6.3.8).
func (c *Client) Unsubscribe(ctx context.Context, name string) error {
	return c.administer(ctx, "UNSUBSCRIBE", name)
}

func (c *Client) administer(ctx context.Context, verb string, names ...string) error {
	if err := c.checkNames(names...); err != nil {
		return err
	}
	removes := verb == "DELETE" || verb == "RENAME"
	return c.do(ctx, operation{what: verb + " " + names[0], changes: true}, func(s *session) error {
		// A folder that is open in this connection cannot be deleted or
		// renamed on every server (Courier).
		if removes && s.hasOpen(names[0]) {
			if err := s.unselect(); err != nil {
				return err
			}
		}
		cmd := s.Command(verb)
		for _, name := range names {
			cmd.Mailbox(name)
		}
		err := s.change(cmd)
		if removes && (err == nil || errors.Is(err, ErrUnknownOutcome)) {
			c.forget(names[0])
		}
		return err
	})
}

// checkNames returns an error for names that no folder can have.
func (c *Client) checkNames(names ...string) error {
	for _, name := range names {
		if _, ok := c.names.Encode(name, false); !ok {
			return fmt.Errorf("imapkit: folder name %q %w", name, wire.ErrArgument)
		}
	}
	return nil
}

// hasOpen reports whether the folder, or one below it, is open.
func (s *session) hasOpen(name string) bool {
	box := s.Mailbox()
	return box != nil && strings.HasPrefix(box.Name, folderName(name))
}

// forget closes idle connections in which a folder is open whose name may
// belong to another folder from now on.
func (c *Client) forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.memory.trash = ""
	c.pool.idle = slices.DeleteFunc(c.pool.idle, func(s *session) bool {
		if !s.hasOpen(name) {
			return false
		}
		c.pool.total--
		c.goodbye(s)
		return true
	})
}

// unselect leaves the open folder without expunging anything. Where the server
// cannot do that, opening a folder that does not exist does the same (RFC 3691
// section 1).
func (s *session) unselect() error {
	if s.has(imap.CapUnselect) {
		return s.Run(s.Unselect())
	}
	return s.Run(s.Select("imapkit-no-such-folder", true))
}
