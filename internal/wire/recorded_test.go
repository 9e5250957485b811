package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/recorded"
)

// TestRecordedResponses gives each response of the corpus to a session of its
// own: the values must be right, no message may be missing, and the next command
// must be served on the same connection.
func TestRecordedResponses(t *testing.T) {
	cases, err := recorded.Load("../../testdata/responses")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		if c.Command == "connect" || c.BrokenLiteral {
			continue // greetings are tested where they are read
		}
		t.Run(c.Name, func(t *testing.T) {
			want, err := c.Decode()
			if err != nil {
				t.Fatal(err)
			}
			conn := replay(t, c)
			var diff []string
			if c.Command == "UID FETCH" {
				diff = fetchRecorded(conn, want)
			} else {
				diff = runRecorded(conn, c, want)
			}
			if conn.lost == nil && conn.bye == nil {
				if err := conn.Run(conn.Command("NOOP")); err != nil {
					diff = append(diff, "the next command: "+err.Error())
				}
			}
			if len(diff) > 0 {
				t.Errorf("%s: %s:\n%s\n%q", c.Server, c.Why, strings.Join(diff, "\n"), c.Response)
			}
		})
	}
}

// tagged reports whether the response ends the command itself.
func tagged(c recorded.Case) bool { return verdict.Match(c.Response) }

var verdict = regexp.MustCompile(`(?mi)^\x00*A1 (OK|NO|BAD|BYE)`)

// replay returns a connection whose first command, to be sent under the tag A1,
// is answered with the recorded response, the others with OK.
func replay(t *testing.T, c recorded.Case) *Conn {
	client, server := net.Pipe()
	t.Cleanup(func() { client.Close(); server.Close() })
	go func() {
		commands := bufio.NewReader(server)
		for first := true; ; first = false {
			line, err := commands.ReadString('\n')
			if err != nil {
				return
			}
			tag, _, _ := strings.Cut(line, " ")
			if first {
				server.Write(c.Response)
			}
			if !first || !endsCommand(c) {
				io.WriteString(server, tag+" OK done\r\n")
			}
		}
	}()
	conn := NewConn(client, Limits{1 << 20, 1 << 20, 1 << 20, 1 << 20, 100, 1000}, &Names{}, nil)
	conn.Begin(context.Background(), 5*time.Second, false)
	t.Cleanup(conn.End)
	return conn
}

// endsCommand is tagged, but for cases in which the tag stands in a literal.
func endsCommand(c recorded.Case) bool { return tagged(c) && c.Name != "body-looks-like-responses" }

// underA1 gives a command the tag that the corpus uses.
func underA1(cmd *Command) *Command {
	cmd.parts[0].b = []byte("A1 " + cmd.Text())
	cmd.tag = "A1"
	return cmd
}

// fetchRecorded reads FETCH responses and compares the messages.
func fetchRecorded(conn *Conn, want recorded.Want) (diff []string) {
	r := conn.NewFetchReader()
	if err := r.Add(underA1(conn.Command("UID FETCH").Raw("1:* X"))); err != nil {
		return []string{err.Error()}
	}
	var got []*Fetched
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return []string{"the connection was lost: " + err.Error()}
		}
		i := slices.IndexFunc(got, func(g *Fetched) bool { return g.Seq == f.Seq && (f.Seq != 0 || g.UID == f.UID) })
		if i < 0 {
			copied := *f
			got = append(got, &copied)
			continue
		}
		merge(got[i], f)
	}
	messages := want.Messages
	if messages == nil && !want.Skipped && want.Vanished == nil {
		messages = []recorded.Message{want.Message}
	}
	if want.Skipped {
		return nil
	}
	if len(got) != len(messages) {
		return []string{fmt.Sprintf("%d messages, want %d", len(got), len(messages))}
	}
	for i, w := range messages {
		diff = append(diff, diffMessage(w, got[i])...)
	}
	return diff
}

// merge adds what a further response says of the message.
func merge(g, f *Fetched) {
	if f.Items&ItemFlags != 0 {
		g.Flags = f.Flags
	}
	if f.Items&ItemSize != 0 {
		g.Size = f.Size
	}
	if f.UID != 0 {
		g.UID = f.UID
	}
	g.Items |= f.Items
	g.Sections = append(g.Sections, f.Sections...)
}

func diffMessage(w recorded.Message, g *Fetched) (diff []string) {
	wrong := func(format string, args ...any) { diff = append(diff, fmt.Sprintf(format, args...)) }
	mayFail := func(item string) bool { return slices.Contains(append(w.MayErr, w.Err...), item) }
	if w.Seq != nil && *w.Seq != g.Seq {
		wrong("sequence number %d", g.Seq)
	}
	if w.UID != nil && *w.UID != uint32(g.UID) {
		wrong("UID %d", g.UID)
	}
	if w.Flags != nil && !(mayFail("FLAGS") && g.Items&ItemFlags == 0) {
		if got := flagNames(g.Flags); !strings.EqualFold(got, strings.Join(w.Flags, " ")) || g.Items&ItemFlags == 0 {
			wrong("flags %q", got)
		}
	}
	if w.Size != nil && *w.Size != g.Size {
		wrong("size %d", g.Size)
	}
	if w.ModSeq != nil && *w.ModSeq != g.ModSeq {
		wrong("modseq %d", g.ModSeq)
	}
	if w.Date != nil && !w.Date.Equal(g.Date) && !(mayFail("INTERNALDATE") && g.Bad&ItemDate != 0) {
		wrong("internal date %v", g.Date)
	}
	if !(mayFail("ENVELOPE") && g.Bad&ItemEnvelope != 0) {
		diff = append(diff, diffEnvelope(w.Envelope, g.Envelope)...)
	}
	if !(mayFail("BODYSTRUCTURE") && g.Bad&ItemBodyStructure != 0) {
		diff = append(diff, diffPart(w.BodyStructure, g.BodyStructure)...)
	}
	if w.Body != nil {
		if n := len(g.Sections); n == 0 {
			wrong("no body")
		} else if got := string(g.Sections[n-1].Data); got != *w.Body {
			wrong("body %q", got)
		}
	}
	for _, item := range w.Err {
		bit := map[string]Items{"UID": ItemUID, "ENVELOPE": ItemEnvelope, "BODYSTRUCTURE": ItemBodyStructure,
			"INTERNALDATE": ItemDate, "RFC822.SIZE": ItemSize}[item]
		if bit != 0 && g.Bad&bit == 0 {
			wrong("%s was not reported as unreadable", item)
		}
	}
	return diff
}

func flagNames(flags []imap.Flag) string {
	names := make([]string, len(flags))
	for i, f := range flags {
		names[i] = string(f)
	}
	return strings.Join(names, " ")
}

// runRecorded runs a command that is not FETCH.
func runRecorded(conn *Conn, c recorded.Case, want recorded.Want) (diff []string) {
	wrong := func(format string, args ...any) { diff = append(diff, fmt.Sprintf(format, args...)) }
	var found SearchResult
	cmd := conn.Command(c.Command)
	if c.Command == "SELECT" || c.Command == "EXAMINE" {
		cmd = conn.Select("x", c.Command == "EXAMINE")
	}
	if want.Search != nil {
		cmd.On = found.Collect(cmd)
	}
	underA1(cmd)
	if err := conn.Run(cmd); err != nil && conn.bye == nil {
		wrong("the connection was lost: %v", err)
	}
	if tagged(c) {
		for _, v := range []struct {
			name string
			want *string
			got  string
		}{{"status", want.Type, cmd.Status.Type}, {"code", want.Code, cmd.Status.Code}, {"text", want.Text, cmd.Status.Text}} {
			if v.want != nil && *v.want != v.got {
				wrong("%s %q, want %q", v.name, v.got, *v.want)
			}
		}
	}
	if want.Search != nil {
		if got := Ascending[uint32](&found); fmt.Sprint(got) != fmt.Sprint(want.Search) {
			wrong("search %v", got)
		}
		if want.SearchModSeq != nil && *want.SearchModSeq != found.ModSeq {
			wrong("search modseq %d", found.ModSeq)
		}
	}
	if want.Select != nil {
		diff = append(diff, diffMailbox(want, conn.Mailbox())...)
	}
	return diff
}

func diffMailbox(want recorded.Want, m *Mailbox) (diff []string) {
	w := want.Select
	if m == nil {
		return []string{"no folder is open"}
	}
	wrong := func(format string, args ...any) { diff = append(diff, fmt.Sprintf(format, args...)) }
	number := func(name string, want *uint32, got uint32) {
		if want != nil && *want != got {
			wrong("%s %d", name, got)
		}
	}
	number("exists", w.Exists, m.Messages)
	number("uidvalidity", w.UIDValidity, m.UIDValidity)
	number("uidnext", w.UIDNext, uint32(m.UIDNext))
	if w.HighestModSeq != nil && *w.HighestModSeq != m.HighestModSeq {
		wrong("highestmodseq %d", m.HighestModSeq)
	}
	if w.ReadOnly != nil && *w.ReadOnly != m.ReadOnly {
		wrong("read-only %v", m.ReadOnly)
	}
	if got := flagNames(m.Flags); w.Flags != nil && strings.Join(w.Flags, " ") != got {
		wrong("flags %q", got)
	}
	if got := flagNames(m.PermanentFlags); w.PermanentFlags != nil && strings.Join(w.PermanentFlags, " ") != got {
		wrong("permanent flags %q", got)
	}
	return diff
}

// addressList writes addresses as the corpus does.
func addressList(l []imap.Address) []string {
	out := []string{}
	for _, a := range l {
		switch {
		case a.Host == "" && a.Mailbox == "":
			out = append(out, ";")
		case a.Host == "":
			out = append(out, a.Mailbox+":")
		case a.Name != "":
			out = append(out, a.Name+" <"+a.Mailbox+"@"+a.Host+">")
		default:
			out = append(out, "<"+a.Mailbox+"@"+a.Host+">")
		}
	}
	return out
}

// diffEnvelope tells what differs from what is wanted; what is not named is not compared.
func diffEnvelope(w *recorded.Envelope, e *imap.Envelope) (d []string) {
	if w == nil {
		return
	}
	if e == nil {
		return []string{"envelope nil"}
	}
	chk := func(n string, want, got any) {
		if !reflect.DeepEqual(want, got) {
			d = append(d, fmt.Sprintf("%s: want %q got %q", n, want, got))
		}
	}
	if w.Date != nil && !w.Date.Equal(e.Date) {
		d = append(d, "date "+e.Date.String())
	}
	if w.Subject != nil {
		chk("subject", *w.Subject, e.Subject)
	}
	if w.MessageID != nil {
		chk("messageid", *w.MessageID, e.MessageID)
	}
	if w.InReplyTo != nil {
		chk("inreplyto", w.InReplyTo, append([]string{}, e.InReplyTo...))
	}
	for _, x := range []struct {
		n string
		w []string
		g []imap.Address
	}{{"from", w.From, e.From}, {"sender", w.Sender, e.Sender}, {"replyTo", w.ReplyTo, e.ReplyTo}, {"to", w.To, e.To}, {"cc", w.Cc, e.Cc}, {"bcc", w.Bcc, e.Bcc}} {
		if x.w != nil {
			chk(x.n, x.w, addressList(x.g))
		}
	}
	return
}

// diffPart does so for a body structure.
func diffPart(w *recorded.Part, b imap.BodyStructure) (d []string) {
	if w == nil {
		return
	}
	if b == nil {
		return []string{"bs nil"}
	}
	if w.Type != nil && !strings.EqualFold(*w.Type, b.MediaType()) {
		d = append(d, "type "+b.MediaType())
	}
	disp := b.Disposition()
	if w.Disposition != nil && (disp == nil || !strings.EqualFold(disp.Value, *w.Disposition)) {
		d = append(d, fmt.Sprintf("disposition %v", disp))
	}
	if w.DispositionParams != nil && (disp == nil || !reflect.DeepEqual(disp.Params, w.DispositionParams)) {
		d = append(d, fmt.Sprintf("dispositionParams %v", disp))
	}
	switch x := b.(type) {
	case *imap.BodyStructureMultiPart:
		if len(w.Params) > 0 && (x.Extended == nil || !reflect.DeepEqual(x.Extended.Params, w.Params)) {
			d = append(d, fmt.Sprintf("params %+v", x.Extended))
		}
		if w.Parts != nil {
			if len(w.Parts) != len(x.Children) {
				d = append(d, fmt.Sprintf("%d children", len(x.Children)))
			} else {
				for i := range w.Parts {
					d = append(d, diffPart(&w.Parts[i], x.Children[i])...)
				}
			}
		}
	case *imap.BodyStructureSinglePart:
		if w.Parts != nil {
			d = append(d, "single part")
		}
		if len(w.Params) > 0 && !reflect.DeepEqual(x.Params, w.Params) {
			d = append(d, fmt.Sprintf("params %v", x.Params))
		}
		s := func(n string, w *string, g string) {
			if w != nil && !strings.EqualFold(*w, g) {
				d = append(d, n+" "+g)
			}
		}
		s("id", w.ID, x.ID)
		s("desc", w.Description, x.Description)
		s("enc", w.Encoding, x.Encoding)
		if w.Size != nil && *w.Size != int64(x.Size) {
			d = append(d, fmt.Sprintf("size %d", x.Size))
		}
		if w.Lines != nil {
			var n int64 = -1
			if x.Text != nil {
				n = x.Text.NumLines
			} else if x.MessageRFC822 != nil {
				n = x.MessageRFC822.NumLines
			}
			if n != *w.Lines {
				d = append(d, fmt.Sprintf("lines %d", n))
			}
		}
		if w.Message != nil {
			if x.MessageRFC822 == nil {
				d = append(d, "no message")
			} else {
				d = append(d, diffEnvelope(w.Message.Envelope, x.MessageRFC822.Envelope)...)
				d = append(d, diffPart(w.Message.BodyStructure, x.MessageRFC822.BodyStructure)...)
			}
		}
	}
	return
}
