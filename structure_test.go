package imapkit

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
)

func TestEnvelopeIsMadeFromTheHeader(t *testing.T) {
	anna := []imap.Address{{Name: "Anna Muster", Mailbox: "anna", Host: "example.org"}}
	andre := []imap.Address{{Name: "André Müller", Mailbox: "andre", Host: "example.org"}}
	cyrillic := []imap.Address{{Name: "Анна", Mailbox: "anna", Host: "example.org"}}
	tests := []struct {
		name string
		want imap.Envelope
	}{
		{"plain", imap.Envelope{
			Date:    time.Date(2025, 7, 1, 10, 52, 37, 0, time.FixedZone("", 2*3600)),
			Subject: "plain", From: anna, Sender: anna, ReplyTo: anna,
			To:        []imap.Address{{Mailbox: "ben", Host: "example.com"}},
			MessageID: "plain@example.org",
		}},
		{"header-encoded-words", imap.Envelope{
			Date:    time.Date(2025, 7, 1, 10, 52, 0, 0, time.FixedZone("", -5*3600)),
			Subject: "üüé a朱镕", From: andre, Sender: andre, ReplyTo: andre,
			To: []imap.Address{
				{Name: "Müller, Jürgen", Mailbox: "j", Host: "example.com"},
				{Name: "Doe, Jane", Mailbox: "jane", Host: "example.com"}},
			Cc: []imap.Address{
				{Mailbox: "Friends"},
				{Mailbox: "carl", Host: "example.net"},
				{Name: "Dora", Mailbox: "dora", Host: "example.net"},
				{},
				{Mailbox: "undisclosed-recipients"},
				{}},
			InReplyTo: []string{"one@x", "two@x"},
			MessageID: "id@example.org",
		}},
		{"header-8bit", imap.Envelope{
			Subject: "Grüße aus Köln", From: andre, Sender: andre, ReplyTo: andre,
			To: []imap.Address{{Name: "Jürgen", Mailbox: "j", Host: "example.com"}},
		}},
		{"header-8bit-as-body", imap.Envelope{
			Subject: "Привет", From: cyrillic, Sender: cyrillic, ReplyTo: cyrillic,
			To: []imap.Address{{Mailbox: "ben", Host: "example.com"}, {Mailbox: "carl", Host: "example.net"}},
		}},
		{"empty", imap.Envelope{}},
	}
	for _, tt := range tests {
		got := envelopeFromHeader(parseMessage(readMail(t, tt.name), Limits{}).Header)
		if !got.Date.Equal(tt.want.Date) {
			t.Errorf("%s: date %v, want %v", tt.name, got.Date, tt.want.Date)
		}
		got.Date = tt.want.Date
		if !reflect.DeepEqual(*got, tt.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.name, *got, tt.want)
		}
	}
}

// sketch writes a body structure down: types, names, sizes and lines.
func sketch(bs imap.BodyStructure) string {
	switch bs := bs.(type) {
	case *imap.BodyStructureMultiPart:
		var children []string
		for _, child := range bs.Children {
			children = append(children, sketch(child))
		}
		return bs.Subtype + "(" + strings.Join(children, " ") + ")"
	case *imap.BodyStructureSinglePart:
		s := bs.MediaType()
		if bs.Filename() != "" {
			s += fmt.Sprintf("=%q", bs.Filename())
		}
		if bs.Text != nil {
			s += fmt.Sprintf(":%d/%d", bs.Size, bs.Text.NumLines)
		}
		if m := bs.MessageRFC822; m != nil {
			s += fmt.Sprintf("[%s %s]", m.Envelope.Subject, sketch(m.BodyStructure))
		}
		return s
	}
	return fmt.Sprintf("%T", bs)
}

func TestBodyStructureIsMadeFromTheMessage(t *testing.T) {
	tests := []struct{ name, want string }{
		{"plain", "text/plain:14/2"},
		{"alternative-and-attachment",
			`mixed(alternative(text/plain:10/0 text/html:16/0) application/pdf="report.pdf")`},
		{"forwarded", "mixed(text/plain:9/0 message/rfc822[Grüße alternative(text/plain:5/0)])"},
		{"digest", "digest(message/rfc822[One text/plain:8/0] message/rfc822[Two text/plain:8/0])"},
		{"boundary-never-occurs", "text/plain:14/1"},
		{"empty", "text/plain:0/0"},
	}
	for _, tt := range tests {
		if got := sketch(bodyStructureOf(readMail(t, tt.name), Limits{})); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

func TestBodyStructureOfMessagesWithinEachOtherIsLimited(t *testing.T) {
	raw := strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 100000)
	start := time.Now()
	got := sketch(bodyStructureOf([]byte(raw), Limits{Depth: 10}))
	if n := strings.Count(got, "message/rfc822"); n != 11 {
		t.Errorf("%d levels described, want 11", n)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
}
