package imapkit

import (
	"context"
	"errors"
	"fmt"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// Namespaces tells where the account's own folders, those of other users and
// the shared ones begin (RFC 2342). It returns [ErrNotSupported] without
// NAMESPACE.
func (c *Client) Namespaces(ctx context.Context) (*imap.NamespaceData, error) {
	var data *imap.NamespaceData
	err := c.fact(ctx, operation{what: "NAMESPACE"}, imap.CapNamespace, func(guest *imapclient.Client) (err error) {
		data, err = guest.Namespace().Wait()
		return err
	})
	return data, err
}

// ServerID tells what the server calls itself (RFC 2971). Nothing is told of
// this program. It returns [ErrNotSupported] without ID.
func (c *Client) ServerID(ctx context.Context) (*imap.IDData, error) {
	var data *imap.IDData
	err := c.fact(ctx, operation{what: "ID"}, imap.CapID, func(guest *imapclient.Client) (err error) {
		data, err = guest.ID(nil).Wait()
		return err
	})
	return data, err
}

// Quota tells the limits that hold for the folder, and how much of them is used
// (RFC 9208): [imap.QuotaResourceStorage] counts in KiB. It returns
// [ErrNotSupported] without QUOTA.
func (f *Folder) Quota(ctx context.Context) ([]imapclient.QuotaData, error) {
	var data []imapclient.QuotaData
	op := operation{what: "GETQUOTAROOT of " + f.name}
	err := f.client.fact(ctx, op, imap.CapQuota, func(guest *imapclient.Client) (err error) {
		data, err = guest.GetQuotaRoot(f.name).Wait()
		return err
	})
	return data, err
}

// Rights tells what the account may do in the folder (RFC 4314). It returns
// [ErrNotSupported] without ACL.
func (f *Folder) Rights(ctx context.Context) (imap.RightSet, error) {
	var rights imap.RightSet
	op := operation{what: "MYRIGHTS of " + f.name}
	err := f.client.fact(ctx, op, imap.CapACL, func(guest *imapclient.Client) error {
		data, err := guest.MyRights(f.name).Wait()
		if err == nil {
			rights = data.Rights
		}
		return err
	})
	return rights, err
}

// ACL tells who may do what in the folder (RFC 4314). It returns
// [ErrNotSupported] without ACL.
func (f *Folder) ACL(ctx context.Context) (map[imap.RightsIdentifier]imap.RightSet, error) {
	var rights map[imap.RightsIdentifier]imap.RightSet
	op := operation{what: "GETACL of " + f.name}
	err := f.client.fact(ctx, op, imap.CapACL, func(guest *imapclient.Client) error {
		data, err := guest.GetACL(f.name).Wait()
		if err == nil {
			rights = data.Rights
		}
		return err
	})
	return rights, err
}

// SetACL changes what somebody may do in the folder (RFC 4314). It returns
// [ErrNotSupported] without ACL.
func (f *Folder) SetACL(ctx context.Context, who imap.RightsIdentifier, how imap.RightModification, rights imap.RightSet) error {
	op := operation{what: "SETACL of " + f.name, changes: true}
	return f.client.fact(ctx, op, imap.CapACL, func(guest *imapclient.Client) error {
		return guest.SetACL(f.name, who, how, rights).Wait()
	})
}

// Metadata reads annotations of the folder, such as "/private/comment" (RFC
// 5464); those of the server itself belong to the folder named "". What is not
// set is missing from the result. It returns [ErrNotSupported] without METADATA.
func (f *Folder) Metadata(ctx context.Context, entries ...string) (map[string][]byte, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	values := make(map[string][]byte)
	op := operation{what: "GETMETADATA of " + f.name}
	err := f.client.fact(ctx, op, imap.CapMetadata, func(guest *imapclient.Client) error {
		data, err := guest.GetMetadata(f.name, entries, nil).Wait()
		if err != nil {
			return err
		}
		for entry, value := range data.Entries {
			if value != nil {
				values[entry] = *value
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return values, nil
}

// SetMetadata sets an annotation of the folder, or removes it if value is nil:
// see [Folder.Metadata].
func (f *Folder) SetMetadata(ctx context.Context, entry string, value []byte) error {
	change := map[string]*[]byte{entry: nil}
	if value != nil {
		change[entry] = &value
	}
	op := operation{what: "SETMETADATA of " + f.name, changes: true}
	return f.client.fact(ctx, op, imap.CapMetadata, func(guest *imapclient.Client) error {
		return guest.SetMetadata(f.name, change).Wait()
	})
}

// fact asks go-imap for what needs an extension.
func (c *Client) fact(ctx context.Context, op operation, capability imap.Cap, ask func(*imapclient.Client) error) error {
	return c.do(ctx, op, func(s *session) error {
		if err := s.need(capability); err != nil {
			return err
		}
		before := s.Sent()
		err := s.Lend(ctx, "", c.ReadOnly, ask)
		var refused *imap.Error
		switch {
		case err == nil:
			return nil
		case s.Err() != nil && op.changes && s.Sent() > before:
			return unknownOutcome(op.what, err)
		case errors.As(err, &refused):
			return &ServerError{Command: op.what, Status: string(refused.Type), Code: string(refused.Code), Text: refused.Text}
		}
		return fmt.Errorf("imapkit: %s: %w", op.what, err)
	})
}
