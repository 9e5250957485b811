package imapkit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

// readable is mail with something for every query. The internal dates are an
// hour apart, from noon on the 10th to the 12th, in changing time zones.
func readable(n int) (text string, date time.Time) {
	zone := time.FixedZone("", []int{0, 2, -8, 9}[n%4]*3600)
	date = time.Date(2026, 3, 10, 12+n, 0, 0, 0, time.UTC).In(zone)
	return strings.ReplaceAll(fmt.Sprintf(`From: Ann <ann%d@example.org>
To: Bob <bob@example.com>
Subject: =?utf-8?q?gr=C3=BCn_%d?=
Date: Tue, 10 Mar 2026 12:00:00 +0000
Message-ID: <r%d@example.org>
X-Number: n%d
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

f=C3=BCr Bob %d
--b
Content-Type: application/octet-stream; name=a.bin
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename=a.bin

%s
--b--
`, n, n, n, n, n, strings.Repeat("AAECAwQFBgcICQoL", 1+n)), "\n", "\r\n"), date
}

// TestReadingFromRealServers asks each server for everything that can be read.
func TestReadingFromRealServers(t *testing.T) {
	const total = 48
	for name, start := range realServers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			filler := clientFor(server, imapkit.SecurityNone)
			defer filler.Close()
			inbox, err := filler.Select(ctx, "INBOX") // which makes it, on Mailutils
			if err != nil {
				t.Fatal(err)
			}
			for n := range total {
				text, date := readable(n)
				opts := imapkit.AppendOptions{InternalDate: date}
				if _, err := inbox.Append(ctx, strings.NewReader(text), int64(len(text)), opts); err != nil {
					t.Fatal(err)
				}
			}
			c := clientFor(server, imapkit.SecurityNone)
			defer c.Close()
			f := c.Folder("INBOX")
			all, err := f.Search(ctx, imapkit.All())
			if err != nil || len(all) != total {
				t.Fatalf("%d messages, %v", len(all), err)
			}
			if name != "Mailutils" { // its internal dates are those of the Date fields
				searchByDate(t, ctx, f, all)
			}
			searchByText(t, ctx, f, all)
			readEverything(t, ctx, f, all)
			infos := 0
			for m, err := range f.Messages(ctx, imapkit.Unseen(), imapkit.ItemFlags) {
				if err != nil {
					t.Fatal(err)
				}
				if slices.Contains(m.Flags, imap.FlagSeen) {
					t.Errorf("UID %d has been marked as read", m.UID)
				}
				infos++
			}
			if infos != total {
				t.Errorf("%d messages are unread, want %d", infos, total)
			}
		})
	}
}

func searchByDate(t *testing.T, ctx context.Context, f *imapkit.Folder, all []imap.UID) {
	t.Helper()
	half := time.Date(2026, 3, 11, 12, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		query imapkit.Query
		want  []imap.UID
	}{
		"Since":       {imapkit.Since(half), all[24:]},
		"Since, late": {imapkit.Since(half.Add(time.Second)), all[25:]},
		"Before":      {imapkit.Before(half), all[:24]},
		"On":          {imapkit.On(half), all[12:36]},
		"On, Tokyo":   {imapkit.On(half.In(time.FixedZone("", 9*3600))), all[3:27]},
		"Not On":      {imapkit.Not(imapkit.On(half)), slices.Concat(all[:12], all[36:])},
		"Or":          {imapkit.Or(imapkit.Before(half.Add(-23*time.Hour)), imapkit.Since(half.Add(22*time.Hour))), []imap.UID{all[0], all[46], all[47]}},
		"one hour":    {imapkit.And(imapkit.Since(half), imapkit.Before(half.Add(time.Hour))), all[24:25]},
	} {
		got, err := f.Search(ctx, tc.query)
		if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, tc.want)
		}
		if n, err := f.Count(ctx, tc.query); n != len(tc.want) || err != nil {
			t.Errorf("%s: counted %d, %v, want %d", name, n, err, len(tc.want))
		}
	}
}

func searchByText(t *testing.T, ctx context.Context, f *imapkit.Folder, all []imap.UID) {
	t.Helper()
	sparse := make([]imap.UID, 0, 5000)
	for i := range 5000 {
		sparse = append(sparse, all[0]+imap.UID(2*i))
	}
	for name, tc := range map[string]struct {
		query imapkit.Query
		want  []imap.UID
	}{
		"From":       {imapkit.From("ann7@"), all[7:8]},
		"8-bit":      {imapkit.And(imapkit.Subject("grün"), imapkit.From("ann40@")), all[40:41]},
		"Header":     {imapkit.Header("X-Number", "n41"), all[41:42]},
		"Or":         {imapkit.Or(imapkit.From("ann1@"), imapkit.From("ann2@"), imapkit.From("ann3@")), all[1:4]},
		"Not":        {imapkit.And(imapkit.Not(imapkit.From("ann1")), imapkit.Not(imapkit.From("ann2"))), slices.Concat(all[0:1], all[3:10], all[30:])},
		"quotes":     {imapkit.Subject(`"\`), nil},
		"line break": {imapkit.Subject("x\r\ny"), nil},
		"no UIDs":    {imapkit.UIDs(), nil},
		"many UIDs":  {imapkit.And(imapkit.To("bob"), imapkit.UIDs(sparse...)), everySecond(all)},
		"range":      {imapkit.And(imapkit.UIDRange(all[3], all[20]), imapkit.From("ann1")), all[10:20]},
		"since":      {imapkit.UIDRange(all[40], 0), all[40:]},
		"no news":    {imapkit.UIDRange(all[47]+1, 0), nil},
		"not since":  {imapkit.Or(imapkit.Not(imapkit.UIDRange(all[4], 0)), imapkit.UIDRange(all[46], 4294967295)), slices.Concat(all[:4], all[46:])},
		"SentOn":     {imapkit.SentOn(time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)), all},
	} {
		got, err := f.Search(ctx, tc.query)
		if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, tc.want)
		}
	}
}

func everySecond(uids []imap.UID) []imap.UID {
	var some []imap.UID
	for i := 0; i < len(uids); i += 2 {
		some = append(some, uids[i])
	}
	return some
}

func readEverything(t *testing.T, ctx context.Context, f *imapkit.Folder, all []imap.UID) {
	t.Helper()
	n := 0
	for m, err := range f.Messages(ctx, imapkit.All(), imapkit.ItemEnvelope, imapkit.ItemBodyStructure, imapkit.ItemSize,
		imapkit.HeaderFields("X-Number")) {
		if err != nil {
			t.Fatal(err)
		}
		if m.UID != all[n] || m.Err != nil || m.Envelope.Subject != fmt.Sprintf("grün %d", n) ||
			m.BodyStructure.MediaType() != "multipart/mixed" || m.Extra.Header.Get("X-Number") != fmt.Sprintf("n%d", n) {
			t.Errorf("message %d: %+v", n, m)
		}
		n++
	}
	n = 0
	for m, err := range f.FetchAll(ctx, append(slices.Clone(all), all[len(all)-1]+1000)) {
		if err != nil {
			t.Fatal(err)
		}
		if text, _ := readable(n); string(m.Raw) != text || m.Info.UID != all[n] || len(m.Attachments) != 1 {
			t.Errorf("message %d: %+v", n, m.Info)
		}
		n++
	}
	for m, err := range f.Raw(ctx, all) {
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(m.Body)
		if err != nil || int64(len(b)) != m.Size {
			t.Errorf("UID %d: %d bytes of %d, %v", m.UID, len(b), m.Size, err)
		}
		n++
	}
	if n != 2*len(all) {
		t.Errorf("%d messages, want %d", n, 2*len(all))
	}
	last, text := all[len(all)-1], ""
	text, _ = readable(len(all) - 1)
	if part, err := f.FetchPart(ctx, last, "1"); err != nil || !strings.HasPrefix(string(part.Data), "für Bob 47") {
		t.Errorf("FetchPart: %+v, %v", part, err)
	}
	if part, err := f.FetchPart(ctx, last, "2"); err != nil || part.Name != "a.bin" || len(part.Data) != 576 {
		t.Errorf("FetchPart: %+v, %v", part, err)
	}
	if h, err := f.FetchHeader(ctx, last); err != nil || h.Get("X-Number") != "n47" {
		t.Errorf("FetchHeader: %v, %v", h, err)
	}
	for name, open := range map[string]func() (io.ReadCloser, error){
		text:       func() (io.ReadCloser, error) { return f.Open(ctx, last) },
		text[5:25]: func() (io.ReadCloser, error) { return f.OpenRange(ctx, last, 5, 20) },
	} {
		r, err := open()
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r); string(b) != name || err != nil {
			t.Errorf("opened: got %q, %v, want %q", b, err, name)
		}
	}
	r, err := f.OpenPart(ctx, last, "2")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); len(b) != 576 || err != nil {
		t.Errorf("OpenPart: %d bytes, %v", len(b), err)
	}
	for what, err := range map[string]error{
		"Fetch":     func() error { _, err := f.Fetch(ctx, last+1000); return err }(),
		"FetchSeq":  func() error { _, err := f.FetchSeq(ctx, 1000); return err }(),
		"Open":      func() error { _, err := f.Open(ctx, last+1000); return err }(),
		"FetchPart": func() error { _, err := f.FetchPart(ctx, last+1000, "1"); return err }(),
		"no part":   func() error { _, err := f.FetchPart(ctx, last, "9"); return err }(),
	} {
		if !errors.Is(err, imapkit.ErrNotFound) {
			t.Errorf("%s of what is not there: error %v", what, err)
		}
	}
	sorted, err := f.Sort(ctx, imapkit.All(), imapkit.SortSize.Reverse())
	if err != nil || len(sorted) != len(all) || sorted[0] != last {
		t.Errorf("Sort: %v, %v", sorted, err)
	}
	pages := f.Pages(imapkit.All(), 20)
	for _, want := range []int{20, 20, 8, 0} {
		if page, err := pages.Older(ctx); err != nil || len(page) != want {
			t.Errorf("a page of %d messages, %v, want %d", len(page), err, want)
		}
	}
}

// Of the servers here Dovecot has SEARCHRES.
func TestListingAnOpenFolderTakesOneRoundTripWhereResultsAreSaved(t *testing.T) {
	server := realServers["Dovecot"](t)
	d := new(linkDialer)
	c := clientFor(server, imapkit.SecurityNone)
	c.Proxy = d
	defer c.Close()
	ctx := limited(t)
	f := c.Folder("INBOX")
	for n := range 5 {
		text, date := readable(n)
		if _, err := f.Append(ctx, strings.NewReader(text), int64(len(text)), imapkit.AppendOptions{InternalDate: date}); err != nil {
			t.Fatal(err)
		}
	}
	all, err := f.Search(ctx, imapkit.All())
	if err != nil || len(all) != 5 {
		t.Fatalf("found %v, %v", all, err)
	}
	if err := f.AddFlags(ctx, all[1:3], imap.FlagFlagged); err != nil {
		t.Fatal(err)
	}
	before := d.turns.Load()
	var got []imap.UID
	for m, err := range f.Messages(ctx, imapkit.HasFlag(imap.FlagFlagged), imapkit.ItemFlags, imapkit.ItemEnvelope) {
		if err != nil {
			t.Fatal(err)
		}
		if m.Envelope == nil || !slices.Contains(m.Flags, imap.FlagFlagged) {
			t.Errorf("%+v", m)
		}
		got = append(got, m.UID)
	}
	if !slices.Equal(got, all[1:3]) {
		t.Errorf("got %v, want %v", got, all[1:3])
	}
	if trips := float64(d.turns.Load()-before) / 2; trips > 1 {
		t.Errorf("%.1f round trips", trips)
	}
}

func TestReadingByUIDOpensTheFolderInTheSameRoundTrip(t *testing.T) {
	uids := []imap.UID{101, 102, 103}
	for name, read := range map[string]func(context.Context, *imapkit.Folder) (int, error){
		"Messages": func(ctx context.Context, f *imapkit.Folder) (n int, err error) {
			for _, err := range f.Messages(ctx, imapkit.UIDs(uids...)) {
				if err != nil {
					return n, err
				}
				n++
			}
			return n, nil
		},
		"FetchAll": func(ctx context.Context, f *imapkit.Folder) (n int, err error) {
			for _, err := range f.FetchAll(ctx, uids) {
				if err != nil {
					return n, err
				}
				n++
			}
			return n, nil
		},
		"Raw": func(ctx context.Context, f *imapkit.Folder) (n int, err error) {
			for m, err := range f.Raw(ctx, uids) {
				if err == nil {
					_, err = io.Copy(io.Discard, m.Body)
				}
				if err != nil {
					return n, err
				}
				n++
			}
			return n, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			refuse := true
			server := scripted.Serve(t, scripted.Options{Exists: 3, Handle: map[string]func(*scripted.Conn, scripted.Command){
				"SELECT": func(c *scripted.Conn, cmd scripted.Command) {
					if refuse {
						c.No(cmd.Tag, "[NONEXISTENT] no such folder")
					} else {
						c.Answer(cmd)
					}
				},
			}})
			d := new(linkDialer)
			c := &imapkit.Client{Host: server.Host, Port: server.Port, Username: "u", Password: "p", Security: imapkit.SecurityNone, Proxy: d}
			defer c.Close()
			ctx := limited(t)
			f := c.Folder("INBOX")
			refused := new(imapkit.ServerError)
			if _, err := read(ctx, f); !errors.As(err, &refused) || refused.Code != "NONEXISTENT" {
				t.Errorf("error %v", err)
			}
			refuse = false
			before := d.turns.Load()
			if n, err := read(ctx, f); n != 3 || err != nil {
				t.Errorf("%d messages, %v", n, err)
			}
			if trips := float64(d.turns.Load()-before) / 2; trips > 1 {
				t.Errorf("%.1f round trips", trips)
			}
			if n := server.Conns(); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}
