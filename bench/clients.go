package bench

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"strconv"

	imap1 "github.com/emersion/go-imap"
	client1 "github.com/emersion/go-imap/client"
	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/imapkit/imapkit"
)

// The jobs, by what is fetched of every message of the mailbox.
const (
	jobEnvelopes = "envelopes" // UID, flags, size, envelope
	jobFlags     = "flags"     // UID, flags
	jobBodies    = "bodies"    // the whole message
)

// A result says what a client has seen; the clients must agree.
type result struct {
	Messages int
	Bytes    int64
	Sum      uint64
}

func (r *result) flags(uid uint32, n int) { r.Messages++; r.Sum += uint64(uid) * uint64(1+n) }

func (r *result) envelope(size int64, subject, id string, addresses int) {
	r.Bytes += size
	r.Sum += uint64(crc32.ChecksumIEEE([]byte(subject))) + uint64(crc32.ChecksumIEEE([]byte(id))) + uint64(addresses)
}

func (r *result) body(body io.Reader, buf []byte) error {
	h := crc32.NewIEEE()
	n, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{body}, buf)
	r.Messages++
	r.Bytes += n
	r.Sum += uint64(h.Sum32())
	return err
}

// recent is not counted: whether a session is the first to see a message
// depends on the order of the runs.
func recent[F ~string](flags []F) int {
	n := 0
	for _, f := range flags {
		if f == `\Recent` {
			n++
		}
	}
	return n
}

var errUnknownJob = errors.New("unknown job")

// An account is where the mail is.
type account struct {
	addr, user, password, box string
	tls                       *tls.Config // nil: in clear
}

// clients are what is compared.
var clients = map[string]func(job string, at account) (result, error){
	"imapkit":    runImapkit,
	"go-imap v2": runV2,
	"go-imap v1": runV1,
	"floor":      runFloor,
}

func runImapkit(job string, at account) (r result, err error) {
	host, port, err := net.SplitHostPort(at.addr)
	if err != nil {
		return r, err
	}
	c := &imapkit.Client{Host: host, Username: at.user, Password: at.password, Security: imapkit.SecurityNone}
	if at.tls != nil {
		c.Security, c.TLS.Config = imapkit.SecurityImplicitTLS, at.tls
	}
	c.Auth = []imapkit.AuthMechanism{imapkit.AuthPlain}
	if c.Port, err = strconv.Atoi(port); err != nil {
		return r, err
	}
	defer c.Close()
	ctx := context.Background()
	f := c.Folder(at.box)
	switch job {
	case jobEnvelopes:
		for m, err := range f.Messages(ctx, imapkit.All(), imapkit.ItemFlags, imapkit.ItemSize, imapkit.ItemEnvelope) {
			if err = errors.Join(err, infoErr(m)); err != nil {
				return r, err
			}
			e := m.Envelope
			r.flags(uint32(m.UID), len(m.Flags)-recent(m.Flags))
			r.envelope(m.Size, e.Subject, e.MessageID, len(e.From)+len(e.To)+len(e.Cc))
		}
	case jobFlags:
		for m, err := range f.Messages(ctx, imapkit.All(), imapkit.ItemFlags) {
			if err != nil {
				return r, err
			}
			r.flags(uint32(m.UID), len(m.Flags)-recent(m.Flags))
		}
	case jobBodies:
		uids, err := f.Search(ctx, imapkit.All())
		if err != nil {
			return r, err
		}
		buf := make([]byte, 64<<10)
		for m, err := range f.Raw(ctx, uids) {
			if err != nil {
				return r, err
			}
			if err := r.body(m.Body, buf); err != nil {
				return r, err
			}
		}
	default:
		return r, errUnknownJob
	}
	return r, nil
}

func infoErr(m *imapkit.MessageInfo) error {
	if m == nil {
		return nil
	}
	return m.Err
}

func runV2(job string, at account) (r result, err error) {
	var c *imapclient.Client
	if at.tls != nil {
		c, err = imapclient.DialTLS(at.addr, &imapclient.Options{TLSConfig: at.tls})
	} else {
		c, err = imapclient.DialInsecure(at.addr, nil)
	}
	if err != nil {
		return r, err
	}
	defer c.Close()
	if err := c.Login(at.user, at.password).Wait(); err != nil {
		return r, err
	}
	if _, err := c.Select(at.box, nil).Wait(); err != nil {
		return r, err
	}
	options := &imap.FetchOptions{UID: true}
	switch job {
	case jobEnvelopes:
		options.Flags, options.RFC822Size, options.Envelope = true, true, true
	case jobFlags:
		options.Flags = true
	case jobBodies:
		options.BodySection = []*imap.FetchItemBodySection{{Peek: true}}
	default:
		return r, errUnknownJob
	}
	all := imap.UIDSet{{Start: 1, Stop: 0}}
	cmd := c.Fetch(all, options)
	buf := make([]byte, 64<<10)
	for m := cmd.Next(); m != nil; m = cmd.Next() {
		var uid imap.UID
		var flags []imap.Flag
		for item := m.Next(); item != nil; item = m.Next() {
			switch item := item.(type) {
			case imapclient.FetchItemDataUID:
				uid = item.UID
			case imapclient.FetchItemDataFlags:
				flags = item.Flags
			case imapclient.FetchItemDataRFC822Size:
				r.Bytes += item.Size
			case imapclient.FetchItemDataEnvelope:
				e := item.Envelope
				r.envelope(0, e.Subject, e.MessageID, len(e.From)+len(e.To)+len(e.Cc))
			case imapclient.FetchItemDataBodySection:
				if err := r.body(item.Literal, buf); err != nil {
					return r, err
				}
			}
		}
		if job != jobBodies {
			r.flags(uint32(uid), len(flags)-recent(flags))
		}
	}
	return r, cmd.Close()
}

func runV1(job string, at account) (r result, err error) {
	var c *client1.Client
	if at.tls != nil {
		c, err = client1.DialTLS(at.addr, at.tls)
	} else {
		c, err = client1.Dial(at.addr)
	}
	if err != nil {
		return r, err
	}
	defer c.Logout()
	if err := c.Login(at.user, at.password); err != nil {
		return r, err
	}
	if _, err := c.Select(at.box, false); err != nil {
		return r, err
	}
	section := &imap1.BodySectionName{Peek: true}
	items := []imap1.FetchItem{imap1.FetchUid}
	switch job {
	case jobEnvelopes:
		items = append(items, imap1.FetchFlags, imap1.FetchRFC822Size, imap1.FetchEnvelope)
	case jobFlags:
		items = append(items, imap1.FetchFlags)
	case jobBodies:
		items = append(items, section.FetchItem())
	default:
		return r, errUnknownJob
	}
	set := new(imap1.SeqSet)
	set.AddRange(1, 0)
	messages, done := make(chan *imap1.Message, 32), make(chan error, 1)
	go func() { done <- c.UidFetch(set, items, messages) }()
	buf := make([]byte, 64<<10)
	for m := range messages {
		if job == jobBodies {
			if err := r.body(m.GetBody(section), buf); err != nil {
				return r, err
			}
			continue
		}
		r.flags(m.Uid, len(m.Flags)-recent(m.Flags))
		if e := m.Envelope; e != nil {
			id := e.MessageId
			if n := len(id); n > 2 && id[0] == '<' {
				id = id[1 : n-1]
			}
			r.envelope(int64(m.Size), e.Subject, id, len(e.From)+len(e.To)+len(e.Cc))
		}
	}
	return r, <-done
}

// runFloor does nothing but the work itself, for this server's answers only,
// without tolerance or limits.
func runFloor(job string, at account) (r result, err error) {
	var nc net.Conn
	if at.tls != nil {
		nc, err = tls.Dial("tcp", at.addr, at.tls)
	} else {
		nc, err = net.Dial("tcp", at.addr)
	}
	if err != nil {
		return r, err
	}
	defer nc.Close()
	items, ok := map[string]string{
		jobEnvelopes: "UID FLAGS RFC822.SIZE ENVELOPE", jobFlags: "UID FLAGS", jobBodies: "UID BODY.PEEK[]",
	}[job]
	if !ok {
		return r, errUnknownJob
	}
	f := &floor{br: bufio.NewReaderSize(nc, 256<<10), job: job, r: &r, buf: make([]byte, 64<<10)}
	for i, line := range []string{"LOGIN " + at.user + " " + at.password, "SELECT " + at.box, "UID FETCH 1:* (" + items + ")", "LOGOUT"} {
		tag := "f" + strconv.Itoa(i)
		if _, err := fmt.Fprintf(nc, "%s %s\r\n", tag, line); err != nil {
			return r, err
		}
		if err := f.until(tag); err != nil {
			return r, err
		}
	}
	return r, nil
}
