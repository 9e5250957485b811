package imapkit

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-message/mail"

	"github.com/imapkit/imapkit/internal/wire"
)

// An Item says what to fetch of a message beside its UID, which always comes
// along. It is the text of a FETCH item (RFC 9051 section 6.4.5); what this
// package has no constant for may be written as such and ends up in
// [Extra].Other.
type Item string

// Items with a field in [MessageInfo] or [Extra].
const (
	ItemFlags         Item = "FLAGS"
	ItemDate          Item = "INTERNALDATE"
	ItemSize          Item = "RFC822.SIZE"
	ItemEnvelope      Item = "ENVELOPE"
	ItemBodyStructure Item = "BODYSTRUCTURE"
	ItemHeader        Item = "BODY.PEEK[HEADER]" // all header fields; see also HeaderFields

	ItemModSeq         Item = "MODSEQ"      // needs CONDSTORE (RFC 7162)
	ItemEmailID        Item = "EMAILID"     // needs OBJECTID (RFC 8474)
	ItemThreadID       Item = "THREADID"    // needs OBJECTID (RFC 8474)
	ItemPreview        Item = "PREVIEW"     // needs PREVIEW (RFC 8970)
	ItemSaveDate       Item = "SAVEDATE"    // needs SAVEDATE (RFC 8514)
	ItemGmailMessageID Item = "X-GM-MSGID"  // needs X-GM-EXT-1
	ItemGmailThreadID  Item = "X-GM-THRID"  // needs X-GM-EXT-1
	ItemGmailLabels    Item = "X-GM-LABELS" // needs X-GM-EXT-1
)

// HeaderFields is the item for these fields of the header, in
// [Extra].Header.
func HeaderFields(names ...string) Item {
	for _, name := range names {
		if !isFieldName(name) || !wire.IsAtom(name) {
			return Item("header field " + fmt.Sprintf("%q", name))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return Item("BODY.PEEK[HEADER.FIELDS (" + strings.Join(names, " ") + ")]")
}

// neededCaps are the extensions that items belong to.
var neededCaps = map[Item]imap.Cap{
	ItemModSeq: imap.CapCondStore, ItemEmailID: imap.CapObjectID, ItemThreadID: imap.CapObjectID,
	ItemPreview: imap.CapPreview, ItemSaveDate: imap.CapSaveDate,
	ItemGmailMessageID: "X-GM-EXT-1", ItemGmailThreadID: "X-GM-EXT-1", ItemGmailLabels: "X-GM-EXT-1",
}

// wireItems are the bits of those items whose absence in a response shows.
var wireItems = map[Item]wire.Items{
	ItemFlags: wire.ItemFlags, ItemDate: wire.ItemDate, ItemSize: wire.ItemSize,
	ItemEnvelope: wire.ItemEnvelope, ItemBodyStructure: wire.ItemBodyStructure, ItemModSeq: wire.ItemModSeq,
	ItemEmailID: wire.ItemEmailID, ItemThreadID: wire.ItemThreadID, ItemPreview: wire.ItemPreview,
	ItemSaveDate: wire.ItemSaveDate, ItemGmailMessageID: wire.ItemGmailMessageID,
	ItemGmailThreadID: wire.ItemGmailThreadID, ItemGmailLabels: wire.ItemGmailLabels,
}

// MessageInfo is what was fetched of a message. Fields that were not asked for
// are zero. Text in an Envelope that is neither ASCII nor encoded is read as UTF-8
// or else as windows-1252: only the message itself may tell its charset.
type MessageInfo struct {
	UID           imap.UID
	SeqNum        uint32 // at the time of the response; other messages' removal changes it
	Flags         []imap.Flag
	InternalDate  time.Time
	Size          int64 // bytes of the whole message, as the server counts them
	Envelope      *imap.Envelope
	BodyStructure imap.BodyStructure // nil unless asked for
	Extra         *Extra             // nil unless something in it was asked for

	// Err tells why some of the fields asked for are missing or were made
	// from the message itself: the server's answer could not be read. The
	// rest is good.
	Err error
}

// Extra is what only few programs ask for: header fields and what extensions of
// IMAP know of a message.
type Extra struct {
	Header         mail.Header // see ItemHeader and HeaderFields
	ModSeq         uint64
	EmailID        string
	ThreadID       string
	Preview        string
	SaveDate       time.Time
	GmailMessageID uint64
	GmailThreadID  uint64
	GmailLabels    []string
	// Other has items that this package does not know, as they came, and the
	// content of body sections, which "BODY[TEXT]" and its kin are, without PEEK.
	Other map[string]string
}

// extra returns info.Extra, made if there is none.
func (info *MessageInfo) extra() *Extra {
	if info.Extra == nil {
		info.Extra = new(Extra)
	}
	return info.Extra
}

// other returns info.Extra.Other, made if there is none.
func (info *MessageInfo) other() map[string]string {
	x := info.extra()
	if x.Other == nil {
		x.Other = make(map[string]string)
	}
	return x.Other
}

// How many messages one command asks for: so much may be in flight when a loop
// is left or the connection is wanted elsewhere. Later commands of a loop ask for
// more than the first, because each costs the server and the client some work.
const (
	mostPerFetch      = 1000
	mostLaterPerFetch = 4000
	mostSmallPerFetch = 16000 // if a few dozen bytes are all that is asked for
)

// smallItems are those whose values are short.
const smallItems = wire.ItemUID | wire.ItemFlags | wire.ItemDate | wire.ItemSize | wire.ItemModSeq

// Messages fetches what items say of the messages that match, in ascending
// order of their UIDs; without items: flags, internal date, size and envelope.
// The messages stream in while the loop runs. Nothing is marked as read.
//
// A message with MessageInfo.Err set comes with a nil error; an error ends the
// loop, and tells which message is the first that has not come. Leaving the loop
// early is fine. Other calls may be made inside the loop, also with one
// connection. Messages that the loop does not keep mostly take no memory.
func (f *Folder) Messages(ctx context.Context, q Query, items ...Item) iter.Seq2[*MessageInfo, error] {
	return func(yield func(*MessageInfo, error) bool) {
		l := f.messages(ctx, q, items)
		for { // as in loop.all
			info, err := l.next(new(MessageInfo))
			if err == io.EOF || !yield(info, err) || err != nil {
				break
			}
		}
		l.leave()
	}
}

// messages makes the loop of Messages.
func (f *Folder) messages(ctx context.Context, q Query, items []Item) *loop {
	l, err := f.newLoop(q, items)
	if err != nil {
		l, ctx = &loop{folder: f, err: err}, context.Background() // which has not ended
	}
	l.ctx, l.verb, l.shown = ctx, "Messages", true
	return l
}

// newLoop prepares a loop over the messages that match.
func (f *Folder) newLoop(q Query, items []Item) (*loop, error) {
	if len(items) == 0 {
		items = []Item{ItemFlags, ItemDate, ItemSize, ItemEnvelope}
	}
	l := &loop{folder: f, perChunk: mostPerFetch, mostPerChunk: mostSmallPerFetch, items: []Item{"UID"}}
	for _, item := range items {
		if err := checkItem(item); err != nil {
			return nil, err
		}
		upper := strings.ToUpper(string(item))
		if wireItems[Item(upper)] != 0 {
			item = Item(upper)
		}
		if item == "" || slices.Contains(l.items, item) {
			continue
		}
		l.items = append(l.items, item)
		bit := wireItems[item]
		l.wanted |= bit
		if bit == 0 || bit&^smallItems != 0 {
			l.mostPerChunk = min(l.mostPerChunk, mostLaterPerFetch)
		}
		if strings.HasPrefix(upper, "BODY.PEEK[") || strings.HasPrefix(upper, "BINARY.PEEK[") || upper == "RFC822.HEADER" {
			l.sections = append(l.sections, string(item))
			l.whole = l.whole || item == wholeMessageItem
			l.mostPerChunk = mostPerFetch
		} else if bit == 0 {
			l.others = true
		}
	}
	root := q.root()
	if err := root.invalidity(); err != nil {
		return nil, err
	}
	if root.kind == kindUIDs {
		l.plan(root.uids)
	} else {
		l.query = root
	}
	return l, nil
}

// checkItem refuses what would be more than an item, or would mark messages as
// read.
func checkItem(item Item) error {
	s := strings.ToUpper(string(item))
	depth := 0
	for _, r := range s {
		switch r {
		case '(', '[':
			depth++
		case ')', ']':
			depth--
		case ' ':
			if depth <= 0 {
				return fmt.Errorf("imapkit: item %q is more than one", string(item))
			}
		}
		if r < ' ' || r >= 0x7f || r == '{' || r == '"' || depth < 0 {
			return fmt.Errorf("imapkit: item %q cannot be sent", string(item))
		}
	}
	if depth != 0 {
		return fmt.Errorf("imapkit: item %q is not complete", string(item))
	}
	if strings.HasPrefix(s, "BODY[") || strings.HasPrefix(s, "BINARY[") || s == "RFC822" || s == "RFC822.TEXT" {
		return fmt.Errorf("imapkit: item %q would mark messages as read; use BODY.PEEK or BINARY.PEEK", string(item))
	}
	return nil
}

// fill copies what a response says; a message may need several.
func (info *MessageInfo) fill(m *wire.Fetched) {
	if m.UID != 0 {
		info.UID = m.UID
	}
	if m.Seq != 0 {
		info.SeqNum = m.Seq
	}
	has := m.Items
	if has&wire.ItemFlags != 0 {
		info.Flags = m.Flags
	}
	if has&wire.ItemDate != 0 {
		info.InternalDate = m.Date
	}
	if has&wire.ItemSize != 0 {
		info.Size = m.Size
	}
	if has&wire.ItemEnvelope != 0 {
		info.Envelope = m.Envelope
	}
	if has&wire.ItemBodyStructure != 0 {
		info.BodyStructure = m.BodyStructure
	}
	if has >= wire.ItemModSeq {
		info.fillExtensions(m)
	}
	if len(m.Other) > 0 {
		maps.Copy(info.other(), m.Other)
	}
	info.note(m.Err)
}

func (info *MessageInfo) fillExtensions(m *wire.Fetched) {
	has, x := m.Items, info.extra()
	if has&wire.ItemModSeq != 0 {
		x.ModSeq = m.ModSeq
	}
	if has&wire.ItemEmailID != 0 {
		x.EmailID = m.EmailID
	}
	if has&wire.ItemThreadID != 0 {
		x.ThreadID = m.ThreadID
	}
	if has&wire.ItemPreview != 0 {
		x.Preview = m.Preview
	}
	if has&wire.ItemSaveDate != 0 {
		x.SaveDate = m.SaveDate
	}
	if has&wire.ItemGmailMessageID != 0 {
		x.GmailMessageID = m.GmailMsgID
	}
	if has&wire.ItemGmailThreadID != 0 {
		x.GmailThreadID = m.GmailThread
	}
	if has&wire.ItemGmailLabels != 0 {
		x.GmailLabels = m.GmailLabels
	}
}

// isHeader reports whether a section is the header of the message, or fields of
// it.
func isHeader(name string) bool {
	return strings.HasPrefix(name, "BODY[HEADER") || name == "RFC822.HEADER"
}

// showSections gives the sections that have no field of their own to the program.
func (info *MessageInfo) showSections(sections []wire.Section) {
	for _, section := range sections {
		if !isHeader(section.Name) {
			info.other()[section.Name] = string(section.Data)
		}
	}
}

// fetchEach fetches items of messages and calls each for them as they come. It
// takes one command, unless the server says that some of the messages are gone: it
// may have left out others as well.
func (s *session) fetchEach(f *Folder, uids []imap.UID, items string, each func(*wire.Fetched)) error {
	if err := s.openFor(f, highest(uids)); err != nil {
		return err
	}
	cmd := s.Command("UID FETCH").Raw(string(appendSet(nil, uids))).Raw("(UID " + items + ")")
	r := s.NewFetchReader()
	if err := r.Add(cmd); err != nil {
		return err
	}
	var nameless error
	came := make(map[imap.UID]bool)
	for {
		m, err := r.Next()
		switch {
		case err == io.EOF && gone(cmd.Status):
			return cmp.Or(nameless, s.fetchRest(f, uids, came, items, each))
		case err == io.EOF:
			return cmp.Or(refusal(cmd), nameless)
		case err != nil:
			return err
		case contains(uids, m.UID):
			came[m.UID] = came[m.UID] || !m.FlagsOnly()
			each(m)
		case m.UID == 0 && !m.FlagsOnly():
			nameless = withoutUID(m)
		}
	}
}

// fetchRest does what fetchEach does with those messages that have not come.
func (s *session) fetchRest(f *Folder, uids []imap.UID, came map[imap.UID]bool, items string, each func(*wire.Fetched)) error {
	rest := slices.DeleteFunc(slices.Clone(uids), func(uid imap.UID) bool { return came[uid] })
	switch n := len(rest); {
	case n == 0 || len(uids) == 1: // it is the one that is gone
		return nil
	case n < len(uids):
		return s.fetchEach(f, rest, items, each)
	default:
		return cmp.Or(s.fetchEach(f, rest[:n/2], items, each), s.fetchEach(f, rest[n/2:], items, each))
	}
}

// withoutUID is the error of a message that nobody can tell which it is.
func withoutUID(m *wire.Fetched) error {
	return fmt.Errorf("%w: message %d was sent without its UID", ErrProtocol, m.Seq)
}
