package imapkit

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/mail"

	"github.com/imapkit/imapkit/internal/charset"
	"github.com/imapkit/imapkit/internal/mimetree"
	"github.com/imapkit/imapkit/internal/rfc5322"
)

// Without a CharsetReader, the methods of mail.Header know UTF-8 only.
func init() {
	if message.CharsetReader == nil {
		message.CharsetReader = charset.Reader
	}
}

// A Message is a parsed message. Parsing never fails: what is damaged is
// mended where mail programs mend it, and what cannot be decoded is an
// attachment that holds the bytes as they are and says why in its Err.
type Message struct {
	// Info holds UID, flags, internal date and size as the server gave them,
	// and an envelope made from the message's own header.
	Info *MessageInfo
	// Header holds all fields of the message. Its methods want well-formed
	// fields; Info.Envelope has what can be read of the others too.
	Header mail.Header
	// Text and HTML are the body, as UTF-8 with bare LF line ends; empty if
	// there is no such form of it. They are found as JMAP defines it (RFC 8621
	// section 4.1.4): of alternatives the last of each kind, of a related
	// group its root, else all text parts that are neither attachments nor,
	// after the first part, have a file name, one after the other. Text of
	// format=flowed (RFC 3676) keeps its line breaks.
	Text, HTML string
	// Attachments are all other parts, in the order of the message.
	Attachments []Attachment
	// Raw is the message as the server sent it.
	Raw []byte
	// Err says what is wrong with the message or with text that still could
	// be read; nil if nothing is. Damage to one part is a [*PartError], more
	// than one are joined.
	Err error
}

// An Attachment is a part of a message that is not its Text or HTML: a file,
// an image within the HTML, a calendar, a signature, a forwarded message.
type Attachment struct {
	// Name is the file name, decoded. It is what the sender wrote and may be
	// empty or hold anything, "../" too: do not use it as a path. Forwarded
	// messages without one are named after their subject.
	Name string
	// ContentType is the media type in lower case, without parameters.
	ContentType string
	// Params are the parameters of the content type, with names in lower
	// case: charset of a text, method of a calendar. Nil if there are none.
	Params map[string]string
	// ContentID, without angle brackets, is what HTML refers to as "cid:…".
	ContentID string
	// Inline is true for parts that are to be shown within the body.
	Inline bool
	// Part is the number of the part as in IMAP's section numbers: "2.1".
	Part string
	// Data is the content, decoded; text is not converted to UTF-8 (see
	// [Attachment.Text]). It may share memory with Raw.
	Data []byte
	// Err says why Data is not, or not wholly, decoded; nil if it is. It is a
	// [*PartError].
	Err error
}

// Text returns Data as UTF-8 with bare LF line ends, as [Message].Text is: read
// in the charset that Params name, or else HTML itself. With an error, which is
// a [*PartError], the text is what could be made of it.
func (a *Attachment) Text() (string, error) {
	text, err := mimetree.DecodeText(a.ContentType, a.Params["charset"], a.Data)
	if err != nil {
		err = &PartError{Part: a.Part, Err: err}
	}
	return text, err
}

// A PartError says what is wrong with one part of a message.
type PartError struct {
	Part string // number as in IMAP's section numbers; empty for the outermost multipart
	Err  error
}

// Error returns the damage in one line.
func (e *PartError) Error() string {
	if e.Part == "" {
		return fmt.Sprintf("imapkit: message: %v", e.Err)
	}
	return fmt.Sprintf("imapkit: part %s of the message: %v", e.Part, e.Err)
}

// Unwrap returns the cause.
func (e *PartError) Unwrap() error { return e.Err }

var (
	errNoHeader    = errors.New("imapkit: the message has no header")
	errHeaderEnd   = errors.New("imapkit: the header of the message does not end in an empty line")
	errFieldsLimit = fmt.Errorf("imapkit: more than %d fields in the header of the message, the rest is left out", maxFields)
)

const (
	// maxFields bounds what a header can make of a few bytes each.
	maxFields = 10000
	// maxDamage bounds the list of errors for a message.
	maxDamage = 100
)

// parseMessage parses the bytes of a whole message; Info stays nil. Of limits,
// only Depth matters: the nesting of multiparts.
func parseMessage(raw []byte, limits Limits) *Message {
	b := raw
	if bytes.IndexByte(b, '\n') < 0 && bytes.IndexByte(b, '\r') >= 0 {
		b = bytes.ReplaceAll(b, []byte("\r"), []byte("\n")) // as old Macs end lines
	}
	m := &Message{Raw: raw}
	c := collector{m: m}
	var err error
	if m.Header, err = readHeader(b); err != nil {
		c.damage = append(c.damage, err)
	}
	texts, htmls := c.part(mimetree.Parse(b, limits.withDefaults().Depth), true)
	m.Text, m.HTML = joinTexts(texts), joinTexts(htmls)
	m.Err = errors.Join(c.damage...)
	return m
}

// readHeader reads the header of a message, which shares memory with b. With an
// error, it returns what could be read.
func readHeader(b []byte) (mail.Header, error) {
	var fields []rfc5322.Field
	var err error
	s := rfc5322.NewScanner(b[rfc5322.Lead(b):])
	for {
		f, ok := s.Next()
		if !ok {
			break
		}
		if len(fields) == maxFields {
			err = errFieldsLimit
			break
		}
		if fields == nil {
			fields = make([]rfc5322.Field, 0, 32)
		}
		fields = append(fields, f)
	}
	var h mail.Header
	for i := len(fields) - 1; i >= 0; i-- { // AddRaw adds at the top
		h.AddRaw(fields[i].Raw)
	}
	switch {
	case s.Damaged && len(fields) == 0:
		err = errNoHeader
	case s.Damaged:
		err = errHeaderEnd
	}
	return h, err
}

// A collector sorts the parts of a message into body and attachments.
type collector struct {
	m      *Message
	damage []error
}

func (c *collector) report(err error) {
	if len(c.damage) < maxDamage {
		c.damage = append(c.damage, err)
	}
}

// part returns the texts in a part and attaches everything else. first is true
// where a text is the body even if it has a file name.
func (c *collector) part(p *mimetree.Part, first bool) (texts, htmls []string) {
	switch {
	case len(p.Parts) > 0:
		if p.Err != nil {
			c.report(&PartError{Part: p.Number, Err: p.Err})
		}
		switch p.Type {
		case "multipart/alternative":
			return c.alternative(p)
		case "multipart/related":
			return c.related(p)
		}
		for i, child := range p.Parts {
			t, h := c.part(child, i == 0)
			texts, htmls = append(texts, t...), append(htmls, h...)
		}
		return texts, htmls
	case isText(p) && p.Disposition != "attachment" && (first || p.Name == ""):
		if p.Type == "text/html" {
			return nil, c.text(p)
		}
		return c.text(p), nil
	}
	c.attach(p, p.Disposition == "inline" || p.Disposition == "" && p.ContentID != "")
	return nil, nil
}

func isText(p *mimetree.Part) bool { return p.Type == "text/plain" || p.Type == "text/html" }

// alternative chooses the last text and the last HTML: the sender's best.
func (c *collector) alternative(p *mimetree.Part) (texts, htmls []string) {
	for _, child := range p.Parts {
		t, h := c.part(child, true)
		switch {
		case child.Type == "multipart/mixed" && !blank(h) && !blank(texts):
			texts = append(texts, t...) // notes around the HTML are no alternative to the text
		case !blank(t) || texts == nil:
			texts = t
		}
		if !blank(h) || htmls == nil {
			htmls = h
		}
	}
	return texts, htmls
}

func blank(texts []string) bool {
	for _, s := range texts {
		if strings.TrimSpace(s) != "" {
			return false
		}
	}
	return true
}

// related takes the root of a related group as the body (RFC 2387), or its
// first text if the root can be none. All else is there to be shown within it.
func (c *collector) related(p *mimetree.Part) (texts, htmls []string) {
	root := p.Parts[max(0, slices.IndexFunc(p.Parts, func(child *mimetree.Part) bool {
		return len(child.Parts) > 0 || isText(child) && child.Disposition != "attachment"
	}))]
	if start := strings.Trim(p.Params.Get("start"), "<> "); start != "" {
		for _, child := range p.Parts {
			if child.ContentID == start {
				root = child
				break
			}
		}
	}
	for _, child := range p.Parts {
		switch {
		case child == root:
			texts, htmls = c.part(child, true)
		case len(child.Parts) > 0:
			// Nobody refers to a group: whatever it is for, its text is not lost.
			t, h := c.part(child, false)
			texts, htmls = append(texts, t...), append(htmls, h...)
		default:
			c.attach(child, child.Disposition != "attachment")
		}
	}
	return texts, htmls
}

// text decodes a text of the body. One that could not be decoded properly is
// attached as well, as it came.
func (c *collector) text(p *mimetree.Part) []string {
	if p.Err != nil {
		c.report(&PartError{Part: p.Number, Err: p.Err})
	}
	text, err := p.Text()
	if err != nil {
		err = &PartError{Part: p.Number, Err: err}
		c.report(err)
		c.add(p, true, p.Body, err)
	}
	if text == "" {
		return nil
	}
	return []string{text}
}

// attach makes an attachment of a part.
func (c *collector) attach(p *mimetree.Part, inline bool) {
	if p.Err != nil {
		c.add(p, inline, p.Body, &PartError{Part: p.Number, Err: p.Err})
		return
	}
	data, err := mimetree.DecodeTransfer(p.Encoding, p.Body)
	if err != nil {
		err = &PartError{Part: p.Number, Err: err}
	}
	c.add(p, inline, data, err)
}

func (c *collector) add(p *mimetree.Part, inline bool, data []byte, err error) {
	name := p.Name
	if name == "" && (p.Type == "message/rfc822" || p.Type == "message/global") {
		name = forwardedName(data)
	}
	c.m.Attachments = append(c.m.Attachments, Attachment{
		Name:        name,
		ContentType: p.Type,
		Params:      p.Params.Map(),
		ContentID:   p.ContentID,
		Inline:      inline,
		Part:        p.Number,
		Data:        data,
		Err:         err,
	})
}

// forwardedName names a forwarded message after its subject.
func forwardedName(b []byte) string {
	s := rfc5322.NewScanner(b[rfc5322.Lead(b):])
	for {
		f, ok := s.Next()
		if !ok {
			return "message.eml"
		}
		if f.Is("Subject") {
			if subject := charset.DecodeHeader(f.Value()); subject != "" {
				return subject + ".eml"
			}
		}
	}
}

// joinTexts puts one text below the other.
func joinTexts(texts []string) string {
	if len(texts) < 2 {
		return strings.Join(texts, "")
	}
	var b strings.Builder
	for i, s := range texts {
		if i > 0 && !strings.HasSuffix(texts[i-1], "\n") {
			b.WriteByte('\n')
		}
		b.WriteString(s)
	}
	return b.String()
}
