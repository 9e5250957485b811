package imapkit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/recorded"
	"github.com/imapkit/imapkit/internal/scripted"
	"github.com/imapkit/imapkit/internal/wire"
)

// kindsRecorded are the commands that the public methods send, beside FETCH and
// SEARCH, the capabilities these need, and what is to come of a response.
var kindsRecorded = map[string]struct {
	caps string
	run  func(recorded.Case, recorded.Want) func(*Folder) string
}{
	"STATUS":   {"CONDSTORE STATUS=SIZE", statusRecorded},
	"LIST":     {"", listRecorded},
	"SELECT":   {"CONDSTORE", selectRecorded},
	"EXAMINE":  {"CONDSTORE", selectRecorded},
	"UID COPY": {"UIDPLUS", copyRecorded},
	"UID MOVE": {"UIDPLUS MOVE", copyRecorded},
	"APPEND":   {"UIDPLUS", appendRecorded},
	"UID SORT": {"SORT", searchRecorded},

	"UID SEARCH RETURN (ALL)":               {"ESEARCH", searchRecorded},
	"UID SEARCH RETURN (MIN MAX COUNT ALL)": {"ESEARCH", searchRecorded},
}

// refusalRecorded compares the error of a call with the status that is wanted,
// and reports whether that is a refusal.
func refusalRecorded(want recorded.Want, err error) (diff string, refused bool) {
	if want.Type == nil || *want.Type != "NO" && *want.Type != "BAD" {
		return "", false
	}
	var server *ServerError
	if !errors.As(err, &server) || server.Status != *want.Type || want.Code != nil && server.Code != *want.Code {
		return fmt.Sprintf("error %v, want a refusal", err), true
	}
	return "", true
}

func statusRecorded(_ recorded.Case, want recorded.Want) func(*Folder) string {
	if want.Status == nil {
		return nil
	}
	return func(f *Folder) string {
		got, err := f.Status(context.Background())
		if _, name := want.Status["name"]; name && len(want.Status) == 1 {
			if !errors.Is(err, ErrProtocol) {
				return fmt.Sprintf("got %+v, %v", got, err)
			}
			return ""
		}
		if err != nil {
			return err.Error()
		}
		figures := map[string]uint64{
			"messages": uint64(got.Messages), "unseen": uint64(got.Unseen), "uidnext": uint64(got.UIDNext),
			"uidvalidity": uint64(got.UIDValidity), "highestmodseq": got.HighestModSeq, "size": uint64(got.Size),
		}
		for key, value := range want.Status {
			figure, known := figures[key]
			var wanted uint64
			if json.Unmarshal(value, &wanted) == nil && known && figure != wanted {
				return fmt.Sprintf("%s %d", key, figure)
			}
		}
		return ""
	}
}

func listRecorded(c recorded.Case, want recorded.Want) func(*Folder) string {
	lists := want.Lists
	if want.List != nil {
		lists = []recorded.List{*want.List}
	}
	if lists == nil || bytes.HasPrefix(c.Response, []byte("* LSUB")) {
		return nil
	}
	return func(f *Folder) string {
		got, err := f.client.Folders(context.Background(), "")
		if err != nil {
			return err.Error()
		}
		for _, w := range lists {
			i := slices.IndexFunc(got, func(g FolderInfo) bool { return w.Name == nil || *w.Name == g.Name })
			if i < 0 {
				return fmt.Sprintf("%q is missing among %+v", *w.Name, got)
			}
			delim := ""
			if got[i].Delim != 0 {
				delim = string(got[i].Delim)
			}
			if w.Delim != nil && *w.Delim != delim || w.Attrs != nil && !strings.EqualFold(fmt.Sprint(w.Attrs), fmt.Sprint(got[i].Attrs)) {
				return fmt.Sprintf("got %+v", got[i])
			}
		}
		return ""
	}
}

func selectRecorded(c recorded.Case, want recorded.Want) func(*Folder) string {
	if c.Name == "select-unsafe-login" {
		return nil // after which the client sends ID
	}
	return func(f *Folder) string {
		f.client.ReadOnly = c.Command == "EXAMINE"
		_, err := f.client.Select(context.Background(), "INBOX")
		if diff, refused := refusalRecorded(want, err); refused {
			return diff
		}
		var box wire.Mailbox
		if err == nil {
			err = f.client.do(context.Background(), f.operation("look"), func(s *session) error {
				box = *s.Mailbox()
				return nil
			})
		}
		if err != nil {
			return err.Error()
		}
		w := want.Select
		if w == nil {
			return ""
		}
		for _, figure := range []struct {
			want *uint32
			got  uint32
		}{{w.Exists, box.Messages}, {w.UIDValidity, box.UIDValidity}, {w.UIDNext, uint32(box.UIDNext)}} {
			if figure.want != nil && *figure.want != figure.got {
				return fmt.Sprintf("got %+v", box)
			}
		}
		if w.HighestModSeq != nil && *w.HighestModSeq != box.HighestModSeq || w.ReadOnly != nil && *w.ReadOnly != box.ReadOnly ||
			w.Flags != nil && !strings.EqualFold(fmt.Sprint(w.Flags), fmt.Sprint(box.Flags)) ||
			w.PermanentFlags != nil && !strings.EqualFold(fmt.Sprint(w.PermanentFlags), fmt.Sprint(box.PermanentFlags)) {
			return fmt.Sprintf("got %+v", box)
		}
		return ""
	}
}

func searchRecorded(c recorded.Case, want recorded.Want) func(*Folder) string {
	return func(f *Folder) string {
		var got []imap.UID
		var err error
		if c.Command == "UID SORT" {
			got, err = f.Sort(context.Background(), Subject("x"), SortSubject)
			slices.Sort(got)
		} else {
			got, err = f.Search(context.Background(), Subject("x"))
		}
		if fmt.Sprint(got) != fmt.Sprint(want.Search) || err != nil {
			return fmt.Sprintf("found %v, %v", got, err)
		}
		return ""
	}
}

func copyRecorded(c recorded.Case, want recorded.Want) func(*Folder) string {
	wanted := make(UIDMap)
	for _, pair := range want.CopyUID.Map {
		wanted[imap.UID(pair[0])] = imap.UID(pair[1])
	}
	uids := slices.Collect(maps.Keys(wanted))
	if len(uids) == 0 {
		uids = []imap.UID{3, 4, 5}
	}
	return func(f *Folder) string {
		transfer := f.Copy
		if c.Command == "UID MOVE" {
			transfer = f.Move
		}
		got, err := transfer(context.Background(), uids, "x")
		if diff, refused := refusalRecorded(want, err); refused {
			return diff
		}
		if err != nil || want.CopyUID.Checked && !maps.Equal(got, wanted) {
			return fmt.Sprintf("got %v, %v, want %v", got, err, wanted)
		}
		return ""
	}
}

func appendRecorded(_ recorded.Case, want recorded.Want) func(*Folder) string {
	const text = "Subject: x\r\n\r\n"
	return func(f *Folder) string {
		uid, err := f.Append(context.Background(), strings.NewReader(text), int64(len(text)), AppendOptions{})
		if diff, refused := refusalRecorded(want, err); refused {
			return diff
		}
		var wanted imap.UID
		if len(want.AppendUID.UIDs) == 1 {
			wanted = imap.UID(want.AppendUID.UIDs[0])
		}
		if err != nil || want.AppendUID.Checked && uid != wanted {
			return fmt.Sprintf("UID %d, %v, want %d", uid, err, wanted)
		}
		return ""
	}
}

// TestRecordedGreetingsAndLoginsThroughTheClient gives each recorded greeting,
// and each answer to LOGIN, to a client that connects.
func TestRecordedGreetingsAndLoginsThroughTheClient(t *testing.T) {
	cases, err := recorded.Load("testdata/responses")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		want, err := c.Decode()
		if err != nil {
			t.Fatal(err)
		}
		if c.Command != "connect" && c.Command != "LOGIN" {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			s := scripted.New(t, func(conn *scripted.Conn) {
				opts := scripted.Options{Exists: 1, Caps: "IMAP4rev1"}
				if c.Command == "LOGIN" {
					conn.Send("* OK ready")
					opts.Handle = map[string]func(*scripted.Conn, scripted.Command){"LOGIN": replayOnce(c)}
				} else {
					conn.SendRaw(string(c.Response))
				}
				if want.Skipped || want.Type != nil && *want.Type == "BYE" {
					return
				}
				conn.Serve(opts)
			})
			client := &Client{Host: s.Host, Port: s.Port, Username: "u", Password: "p", Security: SecurityNone,
				Auth: []AuthMechanism{AuthLoginCommand}}
			defer client.Close()
			err := client.Connect(context.Background())
			good := want.Type != nil && (*want.Type == "OK" || *want.Type == "PREAUTH") ||
				c.Command == "LOGIN" && !recordedVerdict.Match(c.Response)
			if good != (err == nil) || err != nil && want.Text != nil && !strings.Contains(err.Error(), *want.Text) {
				t.Errorf("%s: %s: %v\n%q", c.Server, c.Why, err, c.Response)
			}
			if err == nil {
				usable(t, s, client.Folder("INBOX"), 1)
			}
		})
	}
}
