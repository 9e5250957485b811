package wire

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// fetched reads the answer to a FETCH; bodies come in memory.
func fetched(t *testing.T, c *Conn) (list []Fetched) {
	t.Helper()
	r := c.NewFetchReader()
	err := r.Add(c.Command("UID FETCH").Raw("1:* (X)"))
	for err == nil {
		var m *Fetched
		if m, err = r.Next(); err == nil {
			list = append(list, *m)
		}
	}
	if err != io.EOF {
		t.Fatal(err)
	}
	return list
}

func fetchedOne(t *testing.T, items string) Fetched {
	t.Helper()
	list := fetched(t, said("* 1 FETCH ("+items+")\r\nk1 OK done\r\n"))
	if len(list) != 1 {
		t.Fatalf("got %d messages, want one", len(list))
	}
	return list[0]
}

func TestSectionsAreNamedAsTheyAreAskedFor(t *testing.T) {
	for sent, want := range map[string]string{
		"BODY[]":                            "BODY[]",
		"body[header]":                      "BODY[HEADER]",
		"BODY.PEEK[1.2]":                    "BODY[1.2]",
		"BODY[]<0>":                         "BODY[]<0>",
		"binary.peek[2]":                    "BINARY[2]",
		`BODY[HEADER.FIELDS ("From" "To")]`: "BODY[HEADER.FIELDS (FROM TO)]",
		"BODY[HEADER.FIELDS ({4}\r\nFrom)]": "BODY[HEADER.FIELDS (FROM)]",
		"rfc822.text":                       "RFC822.TEXT",
	} {
		m := fetchedOne(t, "UID 7 "+sent+" {2}\r\nhi")
		if len(m.Sections) != 1 || m.Sections[0].Name != want || string(m.Sections[0].Data) != "hi" {
			t.Errorf("%s: got %+v", sent, m.Sections)
		}
	}
}

func TestABodyWithoutAValueIsEmpty(t *testing.T) {
	for _, items := range []string{`BODY[2]  UID 7 FLAGS (\Seen)`, `BODY[2] FLAGS (\Seen) UID 7`, `FLAGS (\Seen) UID 7 BODY[2] `} {
		m := fetchedOne(t, items)
		if m.UID != 7 || len(m.Flags) != 1 || len(m.Sections) != 1 || m.Sections[0].Size != 0 || m.Err != nil {
			t.Errorf("%s: got %+v", items, m)
		}
	}
}

func TestLiteralsThatBelongToNoBodyCostNothingElse(t *testing.T) {
	m := fetchedOne(t, "X-NOTE[a] {3}\r\nabc BODY[] {5}\r\nhello UID 7")
	if m.UID != 7 || len(m.Sections) != 1 || string(m.Sections[0].Data) != "hello" {
		t.Errorf("got %+v", m)
	}
}

func TestAnUnreadableItemCostsThatItemOnly(t *testing.T) {
	const rest = ` UID 7 FLAGS (\Seen)`
	for _, tt := range []struct {
		bad   Items
		items string
	}{
		{ItemEnvelope, `ENVELOPE ("x" "y")`},
		{ItemEnvelope, `ENVELOPE (NIL "a"b" NIL NIL NIL NIL NIL NIL NIL NIL)`},
		{ItemEnvelope, `ENVELOPE (NIL "s" NIL NIL NIL NIL NIL NIL NIL "a" "b")`},
		{ItemBodyStructure, `BODYSTRUCTURE ("text" "plain")`},
		{ItemDate, `INTERNALDATE "yesterday"`},
		{ItemSize, `RFC822.SIZE many`},
		{ItemModSeq, `MODSEQ (x)`},
	} {
		m := fetchedOne(t, tt.items+rest)
		if m.UID != 7 || len(m.Flags) != 1 || m.Bad != tt.bad || m.Items != ItemUID|ItemFlags || m.Err == nil {
			t.Errorf("%s: got %+v", tt.items, m)
		}
		if m.Envelope != nil || m.BodyStructure != nil {
			t.Errorf("%s: part of the unreadable item is there", tt.items)
		}
	}
}

func TestANegativeModSeqIsNone(t *testing.T) {
	m := fetchedOne(t, `MODSEQ (-1) UID 7 FLAGS (\Seen)`)
	if m.UID != 7 || m.Items != ItemUID|ItemFlags|ItemModSeq || m.ModSeq != 0 || m.Err != nil {
		t.Errorf("got %+v", m)
	}
}

func TestAPartOfNILsKeepsItsEncodingAndSize(t *testing.T) {
	m := fetchedOne(t, `BODYSTRUCTURE (NIL NIL NIL NIL NIL "7BIT" 71 NIL NIL NIL NIL) UID 7`)
	part, ok := m.BodyStructure.(*imap.BodyStructureSinglePart)
	if !ok || part.Encoding != "7BIT" || part.Size != 71 || part.Type != "" {
		t.Errorf("got %+v", m.BodyStructure)
	}
}

func TestAddressListsOfAnEnvelopeAreSeparate(t *testing.T) {
	m := fetchedOne(t, `ENVELOPE (NIL "x" ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) NIL NIL NIL NIL NIL)`)
	m.Envelope.Sender[0].Mailbox = "changed"
	m.Envelope.ReplyTo = append(m.Envelope.ReplyTo[:0], imap.Address{Mailbox: "other"})
	if got := m.Envelope.From[0].Mailbox; got != "a" {
		t.Errorf("changing Sender and Reply-To made From %q", got)
	}
}

func TestMessagesLargerThanTheLimitCanBeStreamed(t *testing.T) {
	size := int(smallLimits.Message) + 1
	server := "* 1 FETCH (UID 7 BODY[] {" + strconv.Itoa(size) + "}\r\n" + strings.Repeat("x", size) + ")\r\nk1 OK done\r\n"

	c := said(server)
	r := c.NewFetchReader()
	if err := r.Add(c.Command("UID FETCH")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); !errors.Is(err, ErrLimit) {
		t.Errorf("in memory: %v", err)
	}

	c = said(server)
	r = c.NewFetchReader()
	r.Stream = "BODY.PEEK[]"
	if err := r.Add(c.Command("UID FETCH")); err != nil {
		t.Fatal(err)
	}
	m, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, m.Body); n != int64(size) || err != nil {
		t.Errorf("streamed: %d bytes, %v", n, err)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestTheSectionsOfAMessageShareTheLimit(t *testing.T) {
	half := int(smallLimits.Message)/2 + 1
	section := " {" + strconv.Itoa(half) + "}\r\n" + strings.Repeat("x", half)
	c := said("* 1 FETCH (BODY[1]" + section + " BODY[2]" + section + ")\r\nk1 OK done\r\n")
	r := c.NewFetchReader()
	if err := r.Add(c.Command("UID FETCH")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); !errors.Is(err, ErrLimit) {
		t.Errorf("got %v", err)
	}
}

func TestABodyThatWasLeftIsSkipped(t *testing.T) {
	c := said("* 1 FETCH (UID 1 BODY[] {9}\r\n* BYE no\r\n)\r\n* 2 FETCH (UID 2 BODY[] {2}\r\nhi)\r\nk1 OK done\r\n")
	r := c.NewFetchReader()
	r.Stream = "BODY.PEEK[]"
	if err := r.Add(c.Command("UID FETCH")); err != nil {
		t.Fatal(err)
	}
	if m, err := r.Next(); err != nil || m.UID != 1 || m.Body.Len() != 9 {
		t.Fatalf("the first: %+v, %v", m, err)
	}
	m, err := r.Next()
	if err != nil || m.UID != 2 {
		t.Fatalf("the second: %+v, %v", m, err)
	}
	if b, err := io.ReadAll(m.Body); string(b) != "hi" || err != nil {
		t.Errorf("its body: %q, %v", b, err)
	}
}

// TestWhatArrivedInPartIsNotReadAsResponses has a body arrive on an idle
// connection: looking at what is there must not take its lines for responses.
func TestWhatArrivedInPartIsNotReadAsResponses(t *testing.T) {
	c := said("* 3 EXISTS\r\n* 1 FETCH (BODY[] {18}\r\n* BYE not for you\r\n)\r\nk1 OK done\r\n")
	if err := c.fill(); err != nil {
		t.Fatal(err)
	}
	if resp, err := c.buffered(); err != nil || resp == nil || resp.Name != "EXISTS" {
		t.Fatalf("got %+v, %v", resp, err)
	}
	for range 3 {
		if resp, err := c.buffered(); err != nil || resp != nil {
			t.Fatalf("got %+v, %v; want nothing", resp, err)
		}
	}
	if list := fetched(t, c); len(list) != 1 || len(list[0].Sections) != 1 || c.Bye() != nil {
		t.Errorf("got %+v", list)
	}
}

func TestBlanksBeforeAResponse(t *testing.T) {
	for blanks, want := range map[int]error{1: nil, 2: nil, 40: nil, 200: nil, 500: ErrProtocol} {
		c := said("*" + strings.Repeat(" ", blanks) + "SEARCH 4 5\r\nk1 OK done\r\n")
		var found SearchResult
		cmd := c.Command("UID SEARCH")
		cmd.On = found.Collect(cmd)
		if err := c.Run(cmd); !errors.Is(err, want) || want == nil && found.Len() != 2 {
			t.Errorf("%d blanks: found %d, %v", blanks, found.Len(), err)
		}
	}
}

func TestNULBytesBetweenResponses(t *testing.T) {
	for padding, want := range map[int]error{1: nil, 100: nil, mostPadding: nil, 3 * mostPadding: ErrProtocol} {
		nul := strings.Repeat("\x00", padding)
		c := said(nul + "* SEARCH 4 5\r\n" + nul + "k1 OK done\r\n" + nul)
		var found SearchResult
		cmd := c.Command("UID SEARCH")
		cmd.On = found.Collect(cmd)
		if err := c.Run(cmd); !errors.Is(err, want) || want == nil && found.Len() != 2 {
			t.Errorf("%d bytes: found %d, %v", padding, found.Len(), err)
		}
	}
}

func TestALiteralAnnouncedWithinALineIsText(t *testing.T) {
	m := fetchedOne(t, `X-A {3} X-B {4}`+"\r\nabcd UID 7")
	if m.UID != 7 || m.Other["X-A"] != "{3}" || m.Other["X-B"] != "{4}\r\nabcd" {
		t.Errorf("got %+v", m)
	}
}
