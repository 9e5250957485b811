package imapkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-message/mail"

	"github.com/imapkit/imapkit/internal/mimetree"
	"github.com/imapkit/imapkit/internal/wire"
)

// FetchHeader fetches the header of a message, without its body. It is not
// marked as read. FetchHeader returns [ErrNotFound] if there is no such message.
func (f *Folder) FetchHeader(ctx context.Context, uid imap.UID) (mail.Header, error) {
	m, err := f.fetchItems(ctx, "FetchHeader", uid, "BODY.PEEK[HEADER]")
	if err != nil {
		return mail.Header{}, err
	}
	header := m.Section("BODY[HEADER]")
	if header == nil {
		return mail.Header{}, fmt.Errorf("%w: the server did not send the header of UID %d", ErrProtocol, uid)
	}
	h, _ := readHeader(header.Data) // what can be read of it
	return h, nil
}

// FetchPart fetches one part of a message and undoes its transfer encoding,
// without fetching the rest. path is the number of the part as in IMAP (RFC
// 9051 section 6.4.5.1), [Attachment].Part and a body structure: "2" for the
// second part, "2.1" for the first one in it, "1" for the body of a message
// that is no multipart. Of a multipart, Data is what lies between its outer
// boundaries; of a forwarded message, that message.
//
// Text is not converted to UTF-8: see [Attachment.Text]. A part that cannot be
// decoded comes as it is and with Err set. The message is not marked as read.
// FetchPart returns [ErrNotFound] if there is no such message or part.
func (f *Folder) FetchPart(ctx context.Context, uid imap.UID, path string) (*Attachment, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	m, err := f.fetchItems(ctx, "FetchPart", uid, "BODYSTRUCTURE", "BODY.PEEK["+path+"]")
	if err != nil {
		return nil, err
	}
	part, encoding, err := f.partOf(ctx, "FetchPart", uid, path, m.BodyStructure)
	if err != nil {
		return nil, err
	}
	section := m.Section("BODY[" + path + "]")
	if section == nil {
		return nil, fmt.Errorf("%w: the server did not send part %s of UID %d", ErrProtocol, path, uid)
	}
	if part.Data, err = mimetree.DecodeTransfer(encoding, section.Data); err != nil {
		part.Err = &PartError{Part: path, Err: err}
	}
	return part, nil
}

// OpenPart is FetchPart for parts of any size: it streams the decoded content
// in constant memory. The reader holds a connection as that of [Folder.Open]
// does. A part whose transfer encoding cannot be undone piece by piece is an
// error: a [*PartError].
func (f *Folder) OpenPart(ctx context.Context, uid imap.UID, path string) (io.ReadCloser, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	m, err := f.fetchItems(ctx, "OpenPart", uid, "BODYSTRUCTURE")
	if err != nil {
		return nil, err
	}
	_, encoding, err := f.partOf(ctx, "OpenPart", uid, path, m.BodyStructure)
	if err != nil {
		return nil, err
	}
	if _, err := mimetree.DecodeStream(encoding, nil); err != nil {
		return nil, &PartError{Part: path, Err: err}
	}
	raw, err := f.openSection(ctx, "OpenPart", uid, "BODY.PEEK["+path+"]")
	if err != nil {
		return nil, err
	}
	decoded, _ := mimetree.DecodeStream(encoding, raw)
	return struct {
		io.Reader
		io.Closer
	}{decoded, raw}, nil
}

// OpenRange is Open for length bytes of the message from offset on, as they are
// on the server: to go on with a download that was cut off. Where the message
// ends earlier, so does the reader, without an error.
func (f *Folder) OpenRange(ctx context.Context, uid imap.UID, offset, length int64) (io.ReadCloser, error) {
	// RFC 3501 section 9: both are numbers of 32 bits, and the length is not 0.
	if offset < 0 || offset > 1<<32-1 || length <= 0 || length > 1<<32-1 {
		return nil, fmt.Errorf("imapkit: %d bytes from %d on cannot be asked for: IMAP counts in 32 bits", length, offset)
	}
	body, err := f.openSection(ctx, "OpenRange", uid, fmt.Sprintf("BODY.PEEK[]<%d.%d>", offset, length))
	if err != nil {
		return nil, err
	}
	if n := body.(*bodyReader).left(); n > length { // hMailServer 5.7 sends all, from the beginning
		body.Close()
		return nil, fmt.Errorf("%w: asked for %d bytes of UID %d from %d on, the server sent %d", ErrProtocol,
			length, uid, offset, n)
	}
	return body, nil
}

// checkPath refuses what is no part number.
func checkPath(path string) error {
	for number := range strings.SplitSeq(path, ".") {
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil || n == 0 || number[0] == '0' || number[0] == '+' {
			return fmt.Errorf("imapkit: %q is no number of a part, such as 2.1", path)
		}
	}
	return nil
}

// fetchItems fetches a body structure, a section, or both, of one message into
// memory.
func (f *Folder) fetchItems(ctx context.Context, verb string, uid imap.UID, items ...string) (*wire.Fetched, error) {
	if uid == 0 {
		return nil, errors.New("imapkit: UID 0 does not exist")
	}
	op := f.operation(verb)
	op.stream = true
	var found *wire.Fetched
	err := f.client.do(ctx, op, func(s *session) (err error) {
		for range 2 {
			if found, err = s.fetchItems(f, uid, items); err != nil || found != nil {
				return err
			}
			if err = s.missing(f, uid); !errors.Is(err, errSendsNothing) {
				return err
			}
		}
		return err
	})
	return found, err
}

// fetchItems returns nil if nothing comes.
func (s *session) fetchItems(f *Folder, uid imap.UID, items []string) (found *wire.Fetched, err error) {
	cmd := s.Command("UID FETCH").Number(uint64(uid)).Raw("(UID " + strings.Join(items, " ") + ")")
	err = s.fetchInto(f, uid, cmd, func(m *wire.Fetched) error {
		section := m.Section(items[len(items)-1])
		switch {
		case m.UID == 0 && section != nil:
			return withoutUID(m)
		case m.UID != uid || (m.Items|m.Bad)&wire.ItemBodyStructure == 0 && section == nil:
		case found == nil:
			copied := *m
			found = &copied
		default: // in several responses
			if m.BodyStructure != nil {
				found.BodyStructure = m.BodyStructure
			}
			if section != nil {
				found.Sections = m.Sections
			}
		}
		return nil
	})
	return found, err
}

// errSendsNothing is what the server says of a message that exists. It may have
// been asked at the wrong moment: [EXPUNGEISSUED] says that some message is gone.
var errSendsNothing = fmt.Errorf("%w: the server says that the message exists, and sends nothing of it", ErrProtocol)

// missing returns the error for a message of which nothing has come.
func (s *session) missing(f *Folder, uid imap.UID) error {
	there, err := s.present(f, []imap.UID{uid})
	switch {
	case len(there) > 0: // Exchange, of messages that it cannot convert
		return fmt.Errorf("%w: UID %d in %s", errSendsNothing, uid, f.name)
	case err != nil:
		return err
	}
	return fmt.Errorf("%w: UID %d in %s", ErrNotFound, uid, f.name)
}

// partOf describes a part. A body structure that could not be read is made from
// the message.
func (f *Folder) partOf(ctx context.Context, verb string, uid imap.UID, path string,
	root imap.BodyStructure) (part *Attachment, encoding string, err error) {
	if root == nil {
		m, err := f.fetchItems(ctx, verb, uid, "BODY.PEEK[]")
		if err != nil {
			return nil, "", err
		}
		if body := m.Section(string(wholeMessageItem)); body != nil {
			root = bodyStructureOf(body.Data, f.client.Limits)
		}
	}
	found := findPart(root, path)
	if found == nil {
		return nil, "", fmt.Errorf("%w: it has no part %s: UID %d in %s", ErrNotFound, path, uid, f.name)
	}
	part = &Attachment{Part: path, ContentType: strings.ToLower(found.MediaType())}
	if single, ok := found.(*imap.BodyStructureSinglePart); ok {
		part.Name = single.Filename()
		part.Params = single.Params
		part.ContentID = strings.Trim(single.ID, "<> ")
		encoding = single.Encoding
	}
	if d := found.Disposition(); d != nil {
		part.Inline = strings.EqualFold(d.Value, "inline")
	} else {
		part.Inline = part.ContentID != ""
	}
	return part, encoding, nil
}

// findPart returns the part with a number, or nil.
func findPart(b imap.BodyStructure, path string) imap.BodyStructure {
	message := true // b is the body of a message, no part of a multipart
	for number := range strings.SplitSeq(path, ".") {
		n, err := strconv.Atoi(number)
		if err != nil {
			return nil
		}
		if single, ok := b.(*imap.BodyStructureSinglePart); ok && !message {
			if single.MessageRFC822 == nil {
				return nil
			}
			b = single.MessageRFC822.BodyStructure
		}
		message = false
		switch parent := b.(type) {
		case *imap.BodyStructureMultiPart:
			if n > len(parent.Children) {
				return nil
			}
			b = parent.Children[n-1]
		case *imap.BodyStructureSinglePart:
			if n != 1 {
				return nil
			}
		default:
			return nil
		}
	}
	return b
}
