package imapkit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

const moodyRounds = 100

// Whatever mood a server is in, what is read is right or has an error, nothing
// that was there all the time is missing, and the client goes on.
func TestReadingFromAMoodyServer(t *testing.T) {
	for seed := range uint64(moodyRounds) {
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { readMoody(t, seed) }) {
			return
		}
	}
}

func FuzzReadingFromAMoodyServer(f *testing.F) {
	f.Add(uint64(moodyRounds))
	f.Fuzz(readMoody)
}

func readMoody(t *testing.T, seed uint64) {
	scripted.LeakCheck(t)
	rng := rand.New(rand.NewPCG(seed, 2))
	w, s := serveMoody(t, seed, rng.IntN(60))
	c := inClear(s)
	c.MaxConns = 1 + rng.IntN(2)
	defer c.Close()
	m := &moodyModel{t: t, w: w, rng: rng, f: c.Folder("INBOX"), ctx: limited(t)}
	defer func() {
		if t.Failed() {
			for i, line := range w.trace {
				if len(line) > 200 {
					w.trace[i] = line[:200] + "..."
				}
			}
			t.Log("\n" + strings.Join(w.trace, "\n"))
		}
	}()
	for range 1 + rng.IntN(5) {
		m.read()
		if t.Failed() {
			return
		}
	}
	w.mu.Lock()
	w.calm = true
	w.mu.Unlock()
	m.messages(nil)
	m.raw()
}

type moodyModel struct {
	t   *testing.T
	w   *moody
	rng *rand.Rand
	f   *imapkit.Folder
	ctx context.Context

	what    string
	before  []*moodyMessage // what was there when the call began
	excuses int             // at that time
	calm    bool
}

func (m *moodyModel) read() {
	switch m.rng.IntN(6) {
	case 0:
		m.messages([]imapkit.Item{imapkit.ItemFlags})
	case 1:
		all := []imapkit.Item{imapkit.ItemFlags, imapkit.ItemSize, imapkit.ItemDate, imapkit.ItemEnvelope, imapkit.ItemBodyStructure, imapkit.ItemHeader}
		m.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		m.messages(all[:1+m.rng.IntN(len(all))])
	case 2:
		m.messages(nil)
	case 3:
		m.fetchAll()
	case 4:
		m.raw()
	case 5:
		m.one()
	}
}

func (m *moodyModel) begin(what string) {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	m.what, m.before, m.excuses, m.calm = what, m.w.there(), m.w.excuses, m.w.calm
	m.w.trace = append(m.w.trace, "# "+what)
}

// uids returns some UIDs, of which most are there.
func (m *moodyModel) uids() []imap.UID {
	uids := []imap.UID{}
	percent := 1 + m.rng.IntN(100)
	for n := range 70 {
		if m.rng.IntN(100) < percent {
			uids = append(uids, imap.UID(scripted.UID(n+1)))
		}
	}
	return uids
}

func (m *moodyModel) message(uid imap.UID) *moodyMessage {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	if n := int(uid) - scripted.UID(0); n >= 1 && n <= len(m.w.messages) {
		return m.w.messages[n-1]
	}
	m.t.Fatalf("%s: UID %d, which never existed", m.what, uid)
	return nil
}

// end checks what a loop has handed out. named is nil if it was for all.
func (m *moodyModel) end(named, got []imap.UID, err error, mayKeep bool) {
	m.t.Helper()
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	m.w.trace = append(m.w.trace, fmt.Sprintf("# %s: %v, %v", m.what, got, err))
	excused := m.w.excuses > m.excuses
	if err != nil && (!excused && !mayKeep || errors.Is(err, context.DeadlineExceeded)) {
		m.t.Errorf("%s: %v", m.what, err)
	}
	seen := make(map[imap.UID]bool)
	for _, uid := range got {
		if seen[uid] {
			m.t.Errorf("%s: UID %d twice", m.what, uid)
		}
		if seen[uid] = true; named != nil && !slices.Contains(named, uid) {
			m.t.Errorf("%s: UID %d was not asked for", m.what, uid)
		}
	}
	if err != nil && excused {
		return
	}
	for _, msg := range m.before {
		kept := err != nil && len(msg.kept) > 0
		if (named == nil || slices.Contains(named, msg.uid())) && !msg.gone && !seen[msg.uid()] && !kept {
			m.t.Errorf("%s: UID %d is missing, error %v", m.what, msg.uid(), err)
		}
	}
}

// check checks what a loop has handed out of a message.
func (m *moodyModel) check(info *imapkit.MessageInfo, items []imapkit.Item) {
	m.t.Helper()
	msg := m.message(info.UID)
	if m.calm && info.Err != nil {
		m.t.Errorf("%s: UID %d: %v", m.what, info.UID, info.Err)
	}
	for _, item := range items {
		var there, right bool
		switch item {
		case imapkit.ItemFlags:
			there, right = info.Flags != nil, slices.Equal(info.Flags, []imap.Flag{msg.flag()})
		case imapkit.ItemSize:
			there, right = info.Size != 0, info.Size == int64(len(scripted.Message(msg.n)))
		case imapkit.ItemDate:
			there, right = !info.InternalDate.IsZero(), info.InternalDate.Hour() == 10
		case imapkit.ItemEnvelope:
			there = info.Envelope != nil
			right = there && info.Envelope.Subject == fmt.Sprint("Message ", msg.n)
		case imapkit.ItemBodyStructure:
			there = info.BodyStructure != nil
			right = there && info.BodyStructure.MediaType() == "text/plain"
		case imapkit.ItemHeader:
			there = info.Extra != nil && info.Extra.Header.Len() > 0
			right = there && info.Extra.Header.Get("Subject") == fmt.Sprint("Message ", msg.n)
		}
		if there && !right || !there && info.Err == nil {
			m.t.Errorf("%s: UID %d: %s: there %v, right %v, error %v", m.what, info.UID, item, there, right, info.Err)
		}
	}
}

func (m *moodyModel) messages(items []imapkit.Item) {
	var uids []imap.UID
	q := imapkit.All()
	if !m.calm && m.rng.IntN(2) == 0 {
		uids = m.uids()
		q = imapkit.UIDs(uids...)
	}
	m.begin(fmt.Sprint("Messages ", items))
	var got []imap.UID
	var failed error
	all := items
	if items == nil {
		all = []imapkit.Item{imapkit.ItemFlags, imapkit.ItemSize, imapkit.ItemDate, imapkit.ItemEnvelope}
	}
	for info, err := range m.f.Messages(m.ctx, q, items...) {
		if failed = err; err != nil {
			break
		}
		got = append(got, info.UID)
		m.check(info, all)
	}
	m.ascending(got)
	m.end(uids, got, failed, false)
}

func (m *moodyModel) ascending(got []imap.UID) {
	m.t.Helper()
	if !slices.IsSorted(got) {
		m.t.Errorf("%s: not in order: %v", m.what, got)
	}
}

func (m *moodyModel) body(msg *moodyMessage, raw []byte, err error) {
	m.t.Helper()
	if string(raw) != scripted.Message(msg.n) && (len(raw) > 0 || err == nil || m.calm) {
		m.t.Errorf("%s: UID %d: body %q, error %v", m.what, msg.uid(), raw, err)
	}
}

func (m *moodyModel) fetchAll() {
	uids := m.uids()
	m.begin("FetchAll")
	var got []imap.UID
	var failed error
	for whole, err := range m.f.FetchAll(m.ctx, uids) {
		if failed = err; err != nil {
			break
		}
		got = append(got, whole.Info.UID)
		m.check(whole.Info, []imapkit.Item{imapkit.ItemFlags, imapkit.ItemSize, imapkit.ItemDate})
		m.body(m.message(whole.Info.UID), whole.Raw, whole.Info.Err)
	}
	m.ascending(got)
	m.end(uids, got, failed, false)
}

func (m *moodyModel) raw() {
	uids := m.uids()
	m.begin("Raw")
	var got []imap.UID
	var failed error
	for raw, err := range m.f.Raw(m.ctx, uids) {
		if failed = err; err != nil {
			break
		}
		b, err := io.ReadAll(raw.Body)
		if failed = err; err != nil {
			break
		}
		got = append(got, raw.UID)
		m.body(m.message(raw.UID), b, nil)
	}
	m.end(uids, got, failed, !m.calm)
}

// one fetches a single message, in one of the ways to do that.
func (m *moodyModel) one() {
	uid := imap.UID(scripted.UID(1 + m.rng.IntN(70)))
	open := m.rng.IntN(2) == 0
	m.begin(fmt.Sprintf("one, UID %d, Open: %v", uid, open))
	var got *imapkit.MessageInfo
	var raw []byte
	var err error
	if open {
		var body io.ReadCloser
		if body, err = m.f.Open(m.ctx, uid); err == nil {
			got = &imapkit.MessageInfo{UID: uid}
			raw, err = io.ReadAll(body)
			body.Close()
		}
	} else {
		var whole *imapkit.Message
		if whole, err = m.f.Fetch(m.ctx, uid); err == nil {
			got, raw = whole.Info, whole.Raw
		}
	}
	m.w.mu.Lock()
	excused := m.w.excuses > m.excuses
	m.w.mu.Unlock()
	var refused *imapkit.ServerError
	switch {
	case open && len(raw) > 0 && errors.As(err, &refused): // which came behind the body
		m.body(m.message(uid), raw, nil)
	case err == nil:
		if got.UID != uid {
			m.t.Errorf("%s: UID %d", m.what, got.UID)
		}
		m.check(got, nil)
		m.body(m.message(uid), raw, got.Err)
	case errors.Is(err, context.DeadlineExceeded):
		m.t.Errorf("%s: %v", m.what, err)
	case errors.Is(err, imapkit.ErrNotFound):
		for _, msg := range m.before {
			if msg.uid() == uid && !msg.gone {
				m.t.Errorf("%s: %v, and it is there", m.what, err)
			}
		}
	default:
		for _, msg := range m.before {
			if msg.uid() == uid && len(msg.kept) > 0 {
				return
			}
		}
		if !excused {
			m.t.Errorf("%s: %v", m.what, err)
		}
	}
}
