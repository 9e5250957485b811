package imapkit

import (
	"bytes"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-message/mail"

	"github.com/imapkit/imapkit/internal/charset"
	"github.com/imapkit/imapkit/internal/mimetree"
	"github.com/imapkit/imapkit/internal/rfc5322"
)

// envelopeFromHeader makes of a header what a server makes of it for FETCH
// ENVELOPE (RFC 9051 section 7.5.2), with the conventions of [imap.Envelope].
func envelopeFromHeader(h mail.Header) *imap.Envelope {
	text := func(value string) string {
		if utf8.ValidString(value) {
			return value
		}
		// Programs that do not encode words mostly use the charset of the body.
		_, params := mimetree.ParseParams(h.Get("Content-Type"))
		value, _ = charset.Decode(params.Get("charset"), []byte(value))
		return value
	}
	addresses := func(name string) []imap.Address { return rfc5322.ParseAddresses(text(h.Get(name))) }
	recipients := func(name string) []imap.Address { // some programs write a field for each
		return rfc5322.ParseAddresses(text(strings.Join(h.Values(name), ", ")))
	}
	env := &imap.Envelope{
		Subject: charset.DecodeHeader(text(h.Get("Subject"))),
		From:    addresses("From"),
		Sender:  addresses("Sender"),
		ReplyTo: addresses("Reply-To"),
		To:      recipients("To"),
		Cc:      recipients("Cc"),
		Bcc:     recipients("Bcc"),
	}
	env.Date, _ = rfc5322.ParseDate(h.Get("Date")) // unreadable: the zero time
	env.InReplyTo = rfc5322.MessageIDs(h.Get("In-Reply-To"))
	if ids := rfc5322.MessageIDs(h.Get("Message-Id")); len(ids) > 0 {
		env.MessageID = ids[0]
	}
	if len(env.Sender) == 0 {
		env.Sender = env.From
	}
	if len(env.ReplyTo) == 0 {
		env.ReplyTo = env.From
	}
	return env
}

// bodyStructureOf makes of a message what a server makes of it for FETCH
// BODYSTRUCTURE (RFC 9051 section 7.5.2).
func bodyStructureOf(raw []byte, limits Limits) imap.BodyStructure {
	return structureOfMessage(raw, limits.withDefaults().Depth)
}

// structureOfMessage describes a message; depth is also the number of messages
// that may be within each other.
func structureOfMessage(raw []byte, depth int) imap.BodyStructure {
	return structureOf(mimetree.Parse(raw, depth), depth)
}

func structureOf(p *mimetree.Part, depth int) imap.BodyStructure {
	var disposition *imap.BodyStructureDisposition
	if p.Disposition != "" {
		disposition = &imap.BodyStructureDisposition{Value: p.Disposition, Params: p.DispParams.Map()}
	}
	language := strings.FieldsFunc(p.Language, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
	major, minor, _ := strings.Cut(p.Type, "/")
	if len(p.Parts) > 0 {
		multi := &imap.BodyStructureMultiPart{
			Subtype: minor,
			Extended: &imap.BodyStructureMultiPartExt{
				Params: p.Params.Map(), Disposition: disposition, Language: language, Location: p.Location,
			},
		}
		for _, child := range p.Parts {
			multi.Children = append(multi.Children, structureOf(child, depth))
		}
		return multi
	}
	single := &imap.BodyStructureSinglePart{
		Type:        major,
		Subtype:     minor,
		Params:      p.Params.Map(),
		ID:          p.ContentID,
		Description: p.Description,
		Encoding:    p.Encoding,
		Size:        uint32(min(len(p.Body), math.MaxUint32)),
		Extended: &imap.BodyStructureSinglePartExt{
			Disposition: disposition, Language: language, Location: p.Location,
		},
	}
	switch {
	case major == "text":
		single.Text = &imap.BodyStructureText{NumLines: lines(p.Body)}
	case (p.Type == "message/rfc822" || p.Type == "message/global") && depth > 0:
		h, _ := readHeader(p.Body) // what can be read of it
		single.MessageRFC822 = &imap.BodyStructureMessageRFC822{
			Envelope:      envelopeFromHeader(h),
			BodyStructure: structureOfMessage(p.Body, depth-1),
			NumLines:      lines(p.Body),
		}
	}
	return single
}

func lines(b []byte) int64 { return int64(bytes.Count(b, []byte("\n"))) }
