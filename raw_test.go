package imapkit

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/scripted"
)

func TestOnlyTheSectionThatWasAskedForIsTheMessage(t *testing.T) {
	const text = "Subject: x\r\n\r\nhello\r\n"
	other := "BODY[2.MIME] " + literal("Content-Type: text/html\r\n\r\n") + " BODY[1] \"other\""
	for name, answer := range map[string]string{
		"before it":              "* 1 FETCH (UID 101 " + other + " BODY[] " + literal(text) + ")\r\n",
		"behind it":              "* 1 FETCH (UID 101 BODY[] " + literal(text) + " " + other + ")\r\n",
		"before it and the UID":  "* 1 FETCH (" + other + " BODY[] " + literal(text) + " UID 101)\r\n",
		"another piece of it":    "* 1 FETCH (UID 101 BODY[]<5> \"ct: x\" BODY[] " + literal(text) + ")\r\n",
		"in the words of IMAP2":  "* 1 FETCH (UID 101 " + other + " RFC822 " + literal(text) + ")\r\n",
		"with a needless origin": "* 1 FETCH (UID 101 " + other + " BODY[]<0> " + literal(text) + ")\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s, f := readFrom(t, scripted.Options{Exists: 1, Handle: fetchAnswers(answer)})
			n := 0
			for m, err := range f.Raw(context.Background(), []imap.UID{101}) {
				if err != nil {
					t.Fatal(err)
				}
				n++
				if b, err := io.ReadAll(m.Body); string(b) != text || err != nil || m.Size != int64(len(text)) {
					t.Errorf("Raw: %q of %d, %v", b, m.Size, err)
				}
			}
			if n != 1 {
				t.Errorf("Raw: %d messages", n)
			}
			r, err := f.Open(context.Background(), 101)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(r); string(b) != text || err != nil {
				t.Errorf("Open: %q, %v", b, err)
			}
			if m, err := f.Fetch(context.Background(), 101); err != nil || string(m.Raw) != text {
				t.Errorf("Fetch: %v, %v", m, err)
			}
			for m, err := range f.FetchAll(context.Background(), []imap.UID{101}) {
				if err != nil || string(m.Raw) != text {
					t.Errorf("FetchAll: %v, %v", m, err)
				}
			}
			if n := len(commandsLike(s, "UID FETCH")); n != 4 {
				t.Errorf("%d commands, want one for each call", n)
			}
			usable(t, s, f, 1)
		})
	}
}

func TestPartsAreToldApartByTheirNames(t *testing.T) {
	s, f := readFrom(t, scripted.Options{Exists: 1, Handle: fetchAnswers(`* 1 FETCH (UID 101 BODY[2.MIME] "x: y" BODY[HEADER] ` +
		literal("Subject: x\r\n\r\n") + ` BODY[1] "wrong" BODY[2] "right" BODY[TEXT] "too much" ` +
		`BODYSTRUCTURE (("text" "plain" NIL NIL NIL "7bit" 5 1)("text" "html" NIL NIL NIL "7bit" 5 1) "mixed"))` + "\r\n")})
	if part, err := f.FetchPart(context.Background(), 101, "2"); err != nil || string(part.Data) != "right" {
		t.Errorf("FetchPart: %v, %v", part, err)
	}
	if h, err := f.FetchHeader(context.Background(), 101); err != nil || h.Get("Subject") != "x" {
		t.Errorf("FetchHeader: %v, %v", h, err)
	}
	if r, err := f.OpenPart(context.Background(), 101, "2"); err != nil {
		t.Error(err)
	} else if b, err := io.ReadAll(r); string(b) != "right" || err != nil {
		t.Errorf("OpenPart: %q, %v", b, err)
	}
	for _, m := range list(t, f, UIDs(101), ItemHeader, "BODY.PEEK[TEXT]") {
		if got := m.Extra.Other; len(got) != 1 || got["BODY[TEXT]"] != "too much" || m.Extra.Header.Get("Subject") != "x" {
			t.Errorf("Messages: %q, %v", got, m.Extra.Header)
		}
	}
	usable(t, s, f, 1)
}

// What is still to come must not be gone through for each message that comes.
func TestRawAllocatesLittleForEachOfManyMessages(t *testing.T) {
	const messages = 4000
	_, f := readFrom(t, scripted.Options{Exists: messages, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID FETCH": func(c *scripted.Conn, cmd scripted.Command) {
			set, _, _ := strings.Cut(cmd.Args, " ")
			uids, err := parseTestSet(set)
			if err != nil {
				c.Errorf("set %q: %v", set, err)
			}
			var answer strings.Builder
			for _, uid := range uids {
				fmt.Fprintf(&answer, "* %d FETCH (UID %d BODY[] {2}\r\nhi)\r\n", uid-100, uid)
			}
			c.SendRaw(answer.String())
			c.OK(cmd.Tag, "done")
		}}})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n := 0
	for _, err := range f.Raw(context.Background(), uidsTo(messages)) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / messages; n != messages || each > 4<<10 {
		t.Errorf("%d messages, %d bytes for each", n, each)
	}
}
