package imapkit_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
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
	c.MaxConns = 1 + rng.IntN(3)
	defer c.Close()
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
	var readers sync.WaitGroup
	for range 1 + rng.IntN(3)*rng.IntN(2) {
		m := &moodyModel{t: t, w: w, rng: rand.New(rand.NewPCG(seed, rng.Uint64())), f: c.Folder("INBOX"), ctx: limited(t)}
		readers.Go(func() {
			for range 1 + m.rng.IntN(5) {
				m.read()
			}
		})
	}
	readers.Wait()
	if t.Failed() {
		return
	}
	w.mu.Lock()
	w.calm = true
	w.mu.Unlock()
	m := &moodyModel{t: t, w: w, rng: rng, f: c.Folder("INBOX"), ctx: limited(t)}
	m.messages(nil)
	m.raw()
}

// A moodyModel makes calls one after another, or one inside another.
type moodyModel struct {
	t     *testing.T
	w     *moody
	rng   *rand.Rand
	f     *imapkit.Folder
	ctx   context.Context
	depth int // of calls inside calls
}

func (m *moodyModel) read() {
	switch m.rng.IntN(9) {
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
	case 6:
		m.search()
	case 7:
		m.pages()
	case 8:
		m.header()
	}
}

// A moodyCall is one call, and what there was when it began.
type moodyCall struct {
	*moodyModel
	what    string
	ctx     context.Context
	cancel  context.CancelFunc // of a context that the program may end
	leaveAt int                // where the program leaves a loop; -1: nowhere
	endAt   int                // where it ends the context
	left    bool               // it has done one of these
	before  []*moodyMessage
	excuses int
	calm    bool
}

func (m *moodyModel) begin(what string) *moodyCall {
	call := &moodyCall{moodyModel: m, what: what, leaveAt: -1, endAt: -1}
	call.ctx, call.cancel = context.WithCancel(m.ctx)
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	call.before, call.excuses, call.calm = m.w.there(), m.w.excuses, m.w.calm
	if !call.calm {
		switch m.rng.IntN(12) {
		case 0:
			call.leaveAt = m.rng.IntN(20)
		case 1:
			call.endAt = m.rng.IntN(20)
		}
	}
	m.w.trace = append(m.w.trace, "# "+what)
	return call
}

// step is called where a loop has handed out n messages. It reports whether to
// go on.
func (m *moodyCall) step(n int) bool {
	switch n {
	case m.leaveAt:
		m.left = true
		return false
	case m.endAt:
		m.left = true
		m.cancel()
	}
	return true
}

// inside makes another call inside a loop, now and then.
func (m *moodyCall) inside() {
	if m.depth < 2 && !m.calm && m.rng.IntN(40) == 0 {
		m.depth++
		m.read()
		m.depth--
	}
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

func (m *moodyCall) message(uid imap.UID) *moodyMessage {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	if n := int(uid) - scripted.UID(0); n >= 1 && n <= len(m.w.messages) {
		return m.w.messages[n-1]
	}
	m.t.Errorf("%s: UID %d, which never existed", m.what, uid)
	return &moodyMessage{n: -1}
}

// outcome checks an error. It reports whether the call may be held to what it
// has handed out.
func (m *moodyCall) outcome(err error, mayKeep bool) bool {
	m.t.Helper()
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	m.w.trace = append(m.w.trace, fmt.Sprintf("# %s ends: %v", m.what, err))
	excused := m.w.excuses > m.excuses
	switch {
	case err == nil:
		return !m.left
	case m.left && errors.Is(err, context.Canceled):
		return false
	case !excused && !mayKeep || errors.Is(err, context.DeadlineExceeded):
		m.t.Errorf("%s: %v", m.what, err)
	}
	return !excused && !m.left
}

// end checks what a loop has handed out. named is nil if it was for all.
func (m *moodyCall) end(named, got []imap.UID, err error, mayKeep bool) {
	m.t.Helper()
	m.cancel()
	seen := make(map[imap.UID]bool)
	for _, uid := range got {
		if seen[uid] {
			m.t.Errorf("%s: UID %d twice", m.what, uid)
		}
		if seen[uid] = true; named != nil && !slices.Contains(named, uid) {
			m.t.Errorf("%s: UID %d was not asked for", m.what, uid)
		}
	}
	if !m.outcome(err, mayKeep) {
		return
	}
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	for _, msg := range m.before {
		kept := err != nil && len(msg.kept) > 0
		if (named == nil || slices.Contains(named, msg.uid())) && !msg.gone && !seen[msg.uid()] && !kept {
			m.t.Errorf("%s: UID %d is missing, error %v", m.what, msg.uid(), err)
		}
	}
}

// check checks what a loop has handed out of a message.
func (m *moodyCall) check(info *imapkit.MessageInfo, items []imapkit.Item) {
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
	call := m.begin(fmt.Sprint("Messages ", items))
	var uids []imap.UID
	q := imapkit.All()
	if !call.calm && m.rng.IntN(2) == 0 {
		uids = m.uids()
		q = imapkit.UIDs(uids...)
	}
	all := items
	if items == nil {
		all = []imapkit.Item{imapkit.ItemFlags, imapkit.ItemSize, imapkit.ItemDate, imapkit.ItemEnvelope}
	}
	var got []imap.UID
	var failed error
	for info, err := range m.f.Messages(call.ctx, q, items...) {
		if failed = err; err != nil {
			break
		}
		got = append(got, info.UID)
		call.check(info, all)
		if call.inside(); !call.step(len(got)) {
			break
		}
	}
	call.ascending(got)
	call.end(uids, got, failed, false)
}

func (m *moodyCall) ascending(got []imap.UID) {
	m.t.Helper()
	if !slices.IsSorted(got) {
		m.t.Errorf("%s: not in order: %v", m.what, got)
	}
}

func (m *moodyCall) body(msg *moodyMessage, raw []byte, err error) {
	m.t.Helper()
	if string(raw) != scripted.Message(msg.n) && (len(raw) > 0 || err == nil || m.calm) {
		m.t.Errorf("%s: UID %d: body %q, error %v", m.what, msg.uid(), raw, err)
	}
}

func (m *moodyModel) fetchAll() {
	uids := m.uids()
	call := m.begin("FetchAll")
	var got []imap.UID
	var failed error
	for whole, err := range m.f.FetchAll(call.ctx, uids) {
		if failed = err; err != nil {
			break
		}
		got = append(got, whole.Info.UID)
		call.check(whole.Info, []imapkit.Item{imapkit.ItemFlags, imapkit.ItemSize, imapkit.ItemDate})
		call.body(call.message(whole.Info.UID), whole.Raw, whole.Info.Err)
		if call.inside(); !call.step(len(got)) {
			break
		}
	}
	call.ascending(got)
	call.end(uids, got, failed, false)
}

func (m *moodyModel) raw() {
	uids := m.uids()
	call := m.begin("Raw")
	var got []imap.UID
	var failed error
	for raw, err := range m.f.Raw(call.ctx, uids) {
		if failed = err; err != nil {
			break
		}
		got = append(got, raw.UID)
		if !call.calm && m.rng.IntN(10) == 0 {
			io.CopyN(io.Discard, raw.Body, m.rng.Int64N(300)) // and leaves the rest
			continue
		}
		b, err := io.ReadAll(raw.Body)
		if failed = err; err != nil {
			got = got[:len(got)-1]
			break
		}
		call.body(call.message(raw.UID), b, nil)
		if !call.step(len(got)) {
			break
		}
	}
	call.end(uids, got, failed, !call.calm)
}

func (m *moodyModel) search() {
	call := m.begin("Search")
	uids, err := m.f.Search(call.ctx, imapkit.All())
	call.ascending(uids)
	for _, uid := range uids {
		call.message(uid)
	}
	call.end(nil, uids, err, false)
}

// pages leafs to the oldest message. What is new after the first page is on none.
func (m *moodyModel) pages() {
	call := m.begin("Pages")
	pages := m.f.Pages(imapkit.All(), 1+m.rng.IntN(30), imapkit.ItemFlags)
	var got []imap.UID
	var err error
	for {
		var page []*imapkit.MessageInfo
		if page, err = pages.Older(call.ctx); err != nil || len(page) == 0 {
			break
		}
		for _, info := range page {
			got = append(got, info.UID)
			call.check(info, []imapkit.Item{imapkit.ItemFlags})
		}
		if !call.step(len(got)) {
			break
		}
	}
	if !slices.IsSortedFunc(got, func(a, b imap.UID) int { return cmp.Compare(b, a) }) {
		m.t.Errorf("%s: not newest first: %v", call.what, got)
	}
	call.end(nil, got, err, false)
}

func (m *moodyModel) header() {
	uid := imap.UID(scripted.UID(1 + m.rng.IntN(70)))
	call := m.begin(fmt.Sprint("FetchHeader, UID ", uid))
	h, err := m.f.FetchHeader(call.ctx, uid)
	if err == nil && h.Get("Subject") != fmt.Sprint("Message ", call.message(uid).n) {
		m.t.Errorf("%s: subject %q", call.what, h.Get("Subject"))
	}
	call.single(uid, err)
}

// one fetches a single message, in one of the ways to do that.
func (m *moodyModel) one() {
	uid := imap.UID(scripted.UID(1 + m.rng.IntN(70)))
	open := m.rng.IntN(2) == 0
	call := m.begin(fmt.Sprintf("one, UID %d, Open: %v", uid, open))
	var got *imapkit.MessageInfo
	var raw []byte
	var err error
	if open {
		var body io.ReadCloser
		if body, err = m.f.Open(call.ctx, uid); err == nil {
			got = &imapkit.MessageInfo{UID: uid}
			raw, err = io.ReadAll(body)
			body.Close()
		}
	} else {
		var whole *imapkit.Message
		if whole, err = m.f.Fetch(call.ctx, uid); err == nil {
			got, raw = whole.Info, whole.Raw
		}
	}
	var refused *imapkit.ServerError
	switch {
	case open && len(raw) > 0 && errors.As(err, &refused): // which came behind the body
		call.body(call.message(uid), raw, nil)
		err = nil
	case err == nil:
		if got.UID != uid {
			m.t.Errorf("%s: UID %d", call.what, got.UID)
		}
		call.check(got, nil)
		call.body(call.message(uid), raw, got.Err)
	}
	call.single(uid, err)
}

// single checks the error of a call for one message.
func (m *moodyCall) single(uid imap.UID, err error) {
	m.t.Helper()
	m.cancel()
	var kept bool
	for _, msg := range m.before {
		if msg.uid() != uid {
			continue
		}
		m.w.mu.Lock()
		kept = len(msg.kept) > 0 || msg.gone
		if !msg.gone && errors.Is(err, imapkit.ErrNotFound) {
			m.t.Errorf("%s: %v, and it is there", m.what, err)
		}
		m.w.mu.Unlock()
	}
	if !errors.Is(err, imapkit.ErrNotFound) {
		m.outcome(err, kept)
	}
}
