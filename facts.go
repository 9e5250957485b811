package imapkit

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/imapkit/imapkit/internal/wire"
)

// Namespaces tells where the account's own folders, those of other users and
// the shared ones begin (RFC 2342). It returns [ErrNotSupported] without
// NAMESPACE.
func (c *Client) Namespaces(ctx context.Context) (*imap.NamespaceData, error) {
	data, err := ask(ctx, c, operation{what: "NAMESPACE"}, imap.CapNamespace,
		func(s *session) *wire.Command { return s.Command("NAMESPACE") },
		func(s *session, r *wire.Response, data **imap.NamespaceData) bool {
			return keep(data)(r.Namespace(&c.names, s.UTF8()))
		})
	return data, answered("NAMESPACE", data != nil, err)
}

// ServerID tells what the server calls itself (RFC 2971); what it does not tell
// is empty. Nothing is told of this program. It returns [ErrNotSupported] without
// ID.
func (c *Client) ServerID(ctx context.Context) (*imap.IDData, error) {
	id, err := ask(ctx, c, operation{what: "ID"}, imap.CapID,
		func(s *session) *wire.Command { return s.Command("ID").Raw("NIL") },
		func(_ *session, r *wire.Response, id **imap.IDData) bool { return keep(id)(r.ServerID()) })
	if err == nil && id == nil { // Mailutils answers with OK only
		id = new(imap.IDData)
	}
	return id, err
}

// Quota tells the limits that hold for the folder, and how much of them is used
// (RFC 9208): [imap.QuotaResourceStorage] counts in KiB. What has no limit is
// not among the resources. It returns [ErrNotSupported] without QUOTA.
func (f *Folder) Quota(ctx context.Context) ([]imapclient.QuotaData, error) {
	var held int64
	return ask(ctx, f.client, f.about("GETQUOTAROOT"), imap.CapQuota,
		func(s *session) *wire.Command { return s.Command("GETQUOTAROOT").Mailbox(f.name) },
		func(s *session, r *wire.Response, data *[]imapclient.QuotaData) bool {
			quota, ok := r.Quota()
			if ok {
				s.count(r, &held)
				*data = append(*data, quota)
			}
			return ok || r.Name == "QUOTAROOT"
		})
}

// Rights tells what the account may do in the folder (RFC 4314). It returns
// [ErrNotSupported] without ACL.
func (f *Folder) Rights(ctx context.Context) (imap.RightSet, error) {
	rights, err := ask(ctx, f.client, f.about("MYRIGHTS"), imap.CapACL,
		func(s *session) *wire.Command { return s.Command("MYRIGHTS").Mailbox(f.name) },
		func(_ *session, r *wire.Response, rights *imap.RightSet) bool { return keep(rights)(r.MyRights()) })
	return rights, answered("MYRIGHTS", rights != nil, err)
}

// ACL tells who may do what in the folder (RFC 4314). It returns
// [ErrNotSupported] without ACL.
func (f *Folder) ACL(ctx context.Context) (map[imap.RightsIdentifier]imap.RightSet, error) {
	list, err := ask(ctx, f.client, f.about("GETACL"), imap.CapACL,
		func(s *session) *wire.Command { return s.Command("GETACL").Mailbox(f.name) },
		func(_ *session, r *wire.Response, rights *map[imap.RightsIdentifier]imap.RightSet) bool {
			return keep(rights)(r.ACL())
		})
	return list, answered("GETACL", list != nil, err)
}

// SetACL changes what somebody may do in the folder (RFC 4314). It returns
// [ErrNotSupported] without ACL.
func (f *Folder) SetACL(ctx context.Context, who imap.RightsIdentifier, how imap.RightModification, rights imap.RightSet) error {
	sign := ""
	switch how {
	case imap.RightModificationReplace:
	case imap.RightModificationAdd, imap.RightModificationRemove:
		sign = string(rune(how))
	default:
		return fmt.Errorf("imapkit: SetACL: RightModification %q %w", byte(how), wire.ErrArgument)
	}
	for _, right := range rights {
		if (right < 'a' || right > 'z') && (right < '0' || right > '9') {
			return fmt.Errorf("imapkit: SetACL: right %q %w", byte(right), wire.ErrArgument)
		}
	}
	if who == "" || strings.ContainsRune(string(who), 0) {
		return fmt.Errorf("imapkit: SetACL: identifier %q %w", string(who), wire.ErrArgument)
	}
	return f.client.set(ctx, f.about("SETACL"), imap.CapACL, func(s *session) *wire.Command {
		return s.Command("SETACL").Mailbox(f.name).String(string(who)).String(sign + rights.String())
	})
}

// Metadata reads annotations of the folder, such as "/private/comment" (RFC
// 5464); those of the server itself belong to the folder named "". What is not
// set is missing from the result. It returns [ErrNotSupported] without METADATA.
func (f *Folder) Metadata(ctx context.Context, entries ...string) (map[string][]byte, error) {
	if err := checkEntries(entries...); err != nil || len(entries) == 0 {
		return nil, err
	}
	return ask(ctx, f.client, f.about("GETMETADATA"), f.metadata(),
		func(s *session) *wire.Command {
			cmd := f.annotated(s.Command("GETMETADATA")).Open()
			for _, entry := range entries {
				cmd.String(entry)
			}
			return cmd.Close()
		},
		func(_ *session, r *wire.Response, values *map[string][]byte) bool {
			told, ok := r.Metadata()
			if ok && *values == nil {
				*values = make(map[string][]byte)
			}
			for name, value := range told {
				for _, entry := range entries {
					if value != nil && strings.EqualFold(name, entry) {
						(*values)[entry] = value
					}
				}
			}
			return ok
		})
}

// SetMetadata sets an annotation of the folder, or removes it if value is nil:
// see [Folder.Metadata].
func (f *Folder) SetMetadata(ctx context.Context, entry string, value []byte) error {
	if err := checkEntries(entry); err != nil {
		return err
	}
	return f.client.set(ctx, f.about("SETMETADATA"), f.metadata(), func(s *session) *wire.Command {
		cmd := f.annotated(s.Command("SETMETADATA")).Open().String(entry)
		switch {
		case value == nil:
			cmd.Raw("NIL")
		case bytes.IndexByte(value, 0) >= 0:
			cmd.LiteralFrom(bytes.NewReader(value), int64(len(value)), true)
		case utf8.Valid(value):
			cmd.String(string(value))
		default:
			cmd.Literal(value)
		}
		return cmd.Close()
	})
}

// checkEntries returns an error for names that no annotation can have (RFC 5464
// section 3.1).
func checkEntries(entries ...string) error {
	for _, entry := range entries {
		if !strings.HasPrefix(entry, "/") || strings.HasSuffix(entry, "/") || strings.Contains(entry, "//") ||
			strings.ContainsFunc(entry, func(r rune) bool { return r < ' ' || r > '~' || r == '*' || r == '%' }) {
			return fmt.Errorf("imapkit: annotation %q %w", entry, wire.ErrArgument)
		}
	}
	return nil
}

// metadata is the extension that annotations need: servers may have them for
// themselves only.
func (f *Folder) metadata() imap.Cap {
	if f.name == "" {
		return imap.CapMetadataServer
	}
	return imap.CapMetadata
}

// annotated adds the folder's name, or that of the server.
func (f *Folder) annotated(cmd *wire.Command) *wire.Command {
	if f.name == "" {
		return cmd.Raw(`""`)
	}
	return cmd.Mailbox(f.name)
}

func (f *Folder) about(command string) operation { return operation{what: command + " of " + f.name} }

// ask sends a command of an extension. read adds what a response tells to the
// answer, and returns whether it told something.
func ask[T any](ctx context.Context, c *Client, op operation, extension imap.Cap,
	command func(*session) *wire.Command, read func(*session, *wire.Response, *T) bool) (answer T, err error) {
	var none T
	err = c.do(ctx, op, func(s *session) error {
		if err := s.offers(extension); err != nil {
			return err
		}
		answer = none
		cmd := command(s)
		cmd.On = func(r *wire.Response) bool { return read(s, r, &answer) }
		return s.run(cmd)
	})
	if err != nil {
		return none, err
	}
	return answer, nil
}

// keep returns a function that takes over an answer, the last one if there are
// several.
func keep[T any](to *T) func(T, bool) bool {
	return func(answer T, ok bool) bool {
		if ok {
			*to = answer
		}
		return ok
	}
}

// answered returns an error for a command that was answered with OK only.
func answered(command string, is bool, err error) error {
	if err == nil && !is {
		return fmt.Errorf("%w: %s was answered with OK only", ErrProtocol, command)
	}
	return err
}

// set sends a command of an extension that changes something.
func (c *Client) set(ctx context.Context, op operation, extension imap.Cap, command func(*session) *wire.Command) error {
	op.changes = true
	return c.do(ctx, op, func(s *session) error {
		if err := s.offers(extension); err != nil {
			return err
		}
		return s.change(command(s))
	})
}

// offers returns ErrNotSupported unless the server has the extension. METADATA
// comprises METADATA-SERVER (RFC 5464 section 1).
func (s *session) offers(extension imap.Cap) error {
	if extension == imap.CapMetadataServer && s.has(imap.CapMetadata) {
		return nil
	}
	return s.need(extension)
}
