package imapkit

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/wire"
)

// A Folder is a handle on a mailbox of the account. Making one does nothing on
// the network. Its methods may be called from many goroutines.
//
// A Folder remembers the UIDVALIDITY that the folder had when it was used
// first. When the server has rebuilt the folder since, calls return
// [ErrUIDValidity] instead of touching the wrong messages.
type Folder struct {
	client   *Client
	name     string
	progress func(done, total int) // see WithProgress; nil: nobody wants to know

	mu          sync.Mutex
	uidValidity uint32   // 0: not known yet
	newerThan   imap.UID // messages that are appended from now on have higher UIDs; 0: not known
}

// Folder returns a handle on the folder with this name, in UTF-8 and with the
// server's own hierarchy delimiter. Nothing is sent: whether there is such a
// folder shows when the handle is used. INBOX may be written in any case.
func (c *Client) Folder(name string) *Folder {
	return &Folder{client: c, name: folderName(name)}
}

// folderName returns a name as this package compares it.
func folderName(name string) string {
	if strings.EqualFold(name, "INBOX") {
		return "INBOX"
	}
	return name
}

// Select opens the folder on the server (RFC 9051 section 6.3.2, with
// [Client.ReadOnly] EXAMINE) and returns a handle on it. It is the way to find
// out whether the folder exists and can be opened, a refusal being a
// [*ServerError], and to start anew after [ErrUIDValidity].
func (c *Client) Select(ctx context.Context, name string) (*Folder, error) {
	if err := c.checkNames(name); err != nil {
		return nil, err
	}
	f := c.Folder(name)
	err := c.do(ctx, f.operation("Select"), func(s *session) error {
		s.looks()
		cmd := s.Select(f.name, c.ReadOnly)
		if err := s.run(cmd); err != nil {
			return err
		}
		return f.sameAs(s.Mailbox())
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Name returns the folder's name.
func (f *Folder) Name() string { return f.name }

func (f *Folder) operation(verb string) operation {
	return operation{what: verb + " in " + f.name, folder: f.name}
}

// sameAs returns an error unless box is the folder that f was used with first.
func (f *Folder) sameAs(box *wire.Mailbox) error {
	if box == nil || box.Name != f.name {
		return fmt.Errorf("%w: %s is not open although the server said so", ErrProtocol, f.name)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.uidValidity == 0:
		f.uidValidity = box.UIDValidity
		if f.newerThan == 0 && box.UIDNext > 0 {
			f.newerThan = box.UIDNext - 1
		}
	case box.UIDValidity != 0 && box.UIDValidity != f.uidValidity:
		return fmt.Errorf("%w: %s had %d, now has %d", ErrUIDValidity, f.name, f.uidValidity, box.UIDValidity)
	}
	return nil
}

// ID opens the folder and returns what identifies it (RFC 8474): the ID stays the
// same when the folder is renamed, and no other folder gets it. It returns
// [ErrNotSupported] without OBJECTID.
func (f *Folder) ID(ctx context.Context) (string, error) {
	if err := f.client.checkNames(f.name); err != nil {
		return "", err
	}
	id := ""
	err := f.client.do(ctx, f.operation("ID"), func(s *session) error {
		if err := s.need(imap.CapObjectID); err != nil {
			return err
		}
		// STATUS could tell as well, but where other items are asked for with
		// it, Cyrus 3.6 sends what lies in memory it has freed.
		if err := s.open(f); err != nil {
			return err
		}
		if id = s.Mailbox().ID; id == "" {
			return fmt.Errorf("%w: %s was opened without a MAILBOXID", ErrProtocol, f.name)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return id, nil
}

// FolderStatus is what [Folder.Status] tells. What the server did not say is
// zero.
type FolderStatus struct {
	Messages      uint32 // number of messages
	Unseen        uint32 // number of messages without \Seen
	UIDNext       imap.UID
	UIDValidity   uint32
	HighestModSeq uint64 // needs CONDSTORE (RFC 7162)
	Size          int64  // bytes of all messages; needs STATUS=SIZE (RFC 8438)
}

// Status asks for the folder's figures (RFC 9051 section 6.3.11) without
// opening it.
func (f *Folder) Status(ctx context.Context) (FolderStatus, error) {
	if err := f.client.checkNames(f.name); err != nil {
		return FolderStatus{}, err
	}
	var status FolderStatus
	op := f.operation("Status")
	op.folder = "" // any connection will do
	err := f.client.do(ctx, op, func(s *session) error {
		caps, err := s.capabilities()
		if err != nil {
			return err
		}
		cmd := s.Command("STATUS").Mailbox(f.name).Open()
		cmd.Raw(statusItems(caps)).Close()
		found := false
		cmd.On = func(r *wire.Response) bool {
			// The server may spell the name in its own way: there is only
			// one STATUS under way.
			m, ok := r.MailboxStatus(&s.client.names, s.UTF8())
			if ok && m.Items != 0 {
				status, found = folderStatus(m), true
			}
			return ok
		}
		if err := s.run(cmd); err != nil {
			return err
		}
		if !found {
			return noStatus(f.name)
		}
		return nil
	})
	return status, err
}

func noStatus(name string) error {
	return fmt.Errorf("%w: STATUS of %s was answered without figures", ErrProtocol, name)
}

// statusItems returns what can be asked for.
func statusItems(caps imap.CapSet) string {
	items := "MESSAGES UNSEEN UIDNEXT UIDVALIDITY"
	if caps.Has(imap.CapCondStore) {
		items += " HIGHESTMODSEQ"
	}
	if caps.Has(imap.CapStatusSize) {
		items += " SIZE"
	}
	return items
}

func folderStatus(m wire.MailboxStatus) FolderStatus {
	return FolderStatus{
		Messages:      m.Messages,
		Unseen:        m.Unseen,
		UIDNext:       m.UIDNext,
		UIDValidity:   m.UIDValidity,
		HighestModSeq: m.HighestModSeq,
		Size:          m.Size,
	}
}
