package imapkit

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/recorded"
	"github.com/imapkit/imapkit/internal/scripted"
)

var (
	recordedTag     = regexp.MustCompile(`(?m)^(\x00*)A1 `)
	recordedTagOf   = regexp.MustCompile(`(?i)(\(TAG "?)A1("?[ )])`)
	recordedVerdict = regexp.MustCompile(`(?mi)^\x00*A1 (OK|NO|BAD)`)
)

// TestRecordedResponsesThroughTheClient gives each recorded response to a
// client, on a connection of its own: the values must be right, no message may
// be missing, and the same connection must serve the next call.
func TestRecordedResponsesThroughTheClient(t *testing.T) {
	cases, err := recorded.Load("testdata/responses")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		want, err := c.Decode()
		if err != nil {
			t.Fatal(err)
		}
		run := runRecorded(c, want)
		if run == nil {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			s, f := replayed(t, c)
			if diff := run(f); diff != "" {
				t.Errorf("%s: %s: %s\n%q", c.Server, c.Why, diff, c.Response)
			}
			usable(t, s, f.client.Folder("INBOX"), connsAfter(c))
		})
	}
}

// replayed returns a server that answers as recorded, and a folder on it.
func replayed(t *testing.T, c recorded.Case) (*scripted.Server, *Folder) {
	return readFrom(t, scripted.Options{Exists: 1, Caps: "IMAP4rev1 " + kindsRecorded[c.Command].caps,
		Handle: map[string]func(*scripted.Conn, scripted.Command){recordedCommand(c): replayOnce(c)}})
}

// connsAfter is how many connections have been made when the next call is over:
// a server that has said good-bye is not asked again.
func connsAfter(c recorded.Case) int {
	for rest := c.Response; len(rest) > 0; {
		response := wholeResponse(rest)
		if bytes.HasPrefix(response, []byte("* BYE ")) {
			return 2
		}
		rest = rest[len(response):]
	}
	return 1
}

// recordedCommand is the command that the response is given to: what comes
// unasked may come at any time.
func recordedCommand(c recorded.Case) string {
	name, _, _ := strings.Cut(c.Command, " RETURN")
	if _, other := kindsRecorded[c.Command]; other || c.Command == "UID FETCH" {
		return name
	}
	return "UID SEARCH"
}

// replayOnce answers the first time with the recorded response, then properly.
func replayOnce(c recorded.Case) func(*scripted.Conn, scripted.Command) {
	first := true
	return func(conn *scripted.Conn, cmd scripted.Command) {
		if !first {
			conn.Answer(cmd)
			return
		}
		first = false
		c.Response = recordedTagOf.ReplaceAll(c.Response, []byte("${1}"+cmd.Tag+"${2}"))
		if !recordedVerdict.Match(c.Response) || c.Name == "body-looks-like-responses" {
			conn.SendRaw(string(c.Response))
			conn.OK(cmd.Tag, "done")
			return
		}
		conn.SendRaw(string(recordedTag.ReplaceAll(c.Response, []byte("${1}"+cmd.Tag+" "))))
	}
}

// runRecorded returns how to check a case, or nil if it is about something else.
func runRecorded(c recorded.Case, want recorded.Want) func(*Folder) string {
	if kind, other := kindsRecorded[c.Command]; other && !c.BrokenLiteral {
		return kind.run(c, want)
	}
	switch {
	case c.BrokenLiteral:
		return nil
	case c.Name == "fetch-flags-update-between-messages":
		return nil // the message has been handed out when the update comes
	case c.Command == "UID FETCH" && !want.Skipped && want.Vanished == nil:
		messages := want.Messages
		if messages == nil {
			messages = []recorded.Message{want.Message}
		}
		for _, m := range messages {
			if m.UID == nil {
				return nil
			}
		}
		return func(f *Folder) string { return fetchRecorded(f, messages) }
	case c.Command == "UID SEARCH" && want.Search != nil:
		return func(f *Folder) string {
			got, err := f.Search(context.Background(), Subject("x"))
			if fmt.Sprint(got) != fmt.Sprint(want.Search) || err != nil {
				return fmt.Sprintf("Search: %v, %v", got, err)
			}
			return ""
		}
	case c.Command == "NOOP" && (want.Type == nil || *want.Type == "OK" || *want.Type == "NO"):
		if recordedVerdict.Match(c.Response) {
			return nil
		}
		return func(f *Folder) string {
			if _, err := f.Search(context.Background(), Subject("x")); err != nil {
				return err.Error()
			}
			return ""
		}
	}
	return nil
}

// fetchRecorded asks for what the case has, and compares.
func fetchRecorded(f *Folder, want []recorded.Message) string {
	byUID := make(map[imap.UID]recorded.Message)
	var uids []imap.UID
	var items []Item
	add := func(item Item, there bool) {
		if there && !slices.Contains(items, item) {
			items = append(items, item)
		}
	}
	bodies := false
	for _, w := range want {
		uid := imap.UID(*w.UID)
		byUID[uid] = w
		uids = append(uids, uid)
		add(ItemFlags, w.Flags != nil)
		add(ItemDate, w.Date != nil)
		add(ItemSize, w.Size != nil)
		add(ItemEnvelope, w.Envelope != nil && len(w.Err) == 0)
		add(ItemBodyStructure, w.BodyStructure != nil && len(w.Err) == 0)
		bodies = bodies || w.Body != nil
	}
	if bodies {
		return rawRecorded(f, uids, byUID)
	}
	if len(items) == 0 {
		items = []Item{ItemFlags}
	}
	var got []imap.UID
	for m, err := range f.Messages(context.Background(), UIDs(uids...), items...) {
		if err != nil {
			return err.Error()
		}
		got = append(got, m.UID)
		w := byUID[m.UID]
		mayFail := func(item string) bool { return slices.Contains(append(w.MayErr, w.Err...), item) }
		switch {
		case w.Size != nil && *w.Size != m.Size:
			return fmt.Sprintf("size %d", m.Size)
		case w.Date != nil && !w.Date.Equal(m.InternalDate) && !mayFail("INTERNALDATE"):
			return fmt.Sprintf("date %v", m.InternalDate)
		case w.Flags != nil && !mayFail("FLAGS") && !strings.EqualFold(fmt.Sprint(m.Flags), fmt.Sprint(w.Flags)):
			return fmt.Sprintf("flags %v", m.Flags)
		case w.Envelope != nil && !mayFail("ENVELOPE") && (m.Envelope == nil ||
			w.Envelope.Subject != nil && *w.Envelope.Subject != m.Envelope.Subject):
			return fmt.Sprintf("envelope %+v", m.Envelope)
		case w.BodyStructure != nil && !mayFail("BODYSTRUCTURE") && (m.BodyStructure == nil || w.BodyStructure.Type != nil &&
			!strings.EqualFold(*w.BodyStructure.Type, m.BodyStructure.MediaType())):
			return fmt.Sprintf("body structure %+v", m.BodyStructure)
		}
	}
	if want := ascending(uids); !slices.Equal(got, want) {
		return fmt.Sprintf("messages %v, want %v", got, want)
	}
	return ""
}

func rawRecorded(f *Folder, uids []imap.UID, want map[imap.UID]recorded.Message) string {
	n := 0
	for m, err := range f.Raw(context.Background(), uids) {
		if err != nil {
			return err.Error()
		}
		n++
		b, err := io.ReadAll(m.Body)
		if w := want[m.UID].Body; err != nil || w != nil && !bytes.Equal(b, []byte(*w)) || m.Size != int64(len(b)) {
			return fmt.Sprintf("UID %d: body %q of %d, %v", m.UID, b, m.Size, err)
		}
	}
	for _, w := range want {
		if w.Body == nil {
			n++
		}
	}
	if n != len(uids) {
		return fmt.Sprintf("%d messages, want %d", n, len(uids))
	}
	return ""
}
