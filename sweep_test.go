package imapkit_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/imapkittest"
	"github.com/imapkit/imapkit/internal/scripted"
	"github.com/imapkit/imapkit/internal/servertest"
)

// The fault sweep cuts, stalls or splits the stream between client and server at
// a byte of a session that uses every change, and looks at the mailbox through a
// second client afterwards. By default it takes a sample of the bytes.
const (
	sweepAll    = "IMAPKIT_SWEEP"      // "all": every byte
	sweepSeed   = "IMAPKIT_SWEEP_SEED" // a number: another sample
	sweepSample = 60                   // points on each server
)

type fault int

const (
	cut fault = iota
	stall
	split
	faults
)

func (f fault) String() string { return [...]string{"cut", "stall", "split"}[f] }

// A saboteur is a proxy that does harm to the first connection through it.
type saboteur struct {
	net.Listener
	target string
	fault  fault
	up     bool  // it strikes on the way to the server
	at     int64 // after so many bytes; negative: never
	reset  bool  // it ends its connections to the server with a reset

	conns    atomic.Int32
	sent     [2]atomic.Int64 // bytes on the way from and to the server
	mu       sync.Mutex
	open     []net.Conn
	wg       sync.WaitGroup
	struck   atomic.Bool
	trips    atomic.Int64 // how often the client has spoken after the server
	lastDown atomic.Bool
}

func newSaboteur(t testing.TB, target string, kind fault, up bool, at int64, reset bool) *saboteur {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &saboteur{Listener: ln, target: target, fault: kind, up: up, at: at, reset: reset}
	p.wg.Add(1)
	go p.serve()
	return p
}

func (p *saboteur) port() int { return p.Addr().(*net.TCPAddr).Port }

func (p *saboteur) serve() {
	defer p.wg.Done()
	for {
		client, err := p.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.open = append(p.open, client, server)
		p.mu.Unlock()
		if p.reset {
			server.(*net.TCPConn).SetLinger(0)
		}
		harm := p.conns.Add(1) == 1
		p.wg.Add(2)
		go p.pump(server, client, true, harm)
		go p.pump(client, server, false, harm)
	}
}

func (p *saboteur) pump(to, from net.Conn, up, harm bool) {
	defer p.wg.Done()
	defer to.Close()
	defer from.Close()
	harm = harm && up == p.up && p.at >= 0
	count := &p.sent[0]
	if up {
		count = &p.sent[1]
	}
	buf := make([]byte, 32<<10)
	for n := int64(0); ; {
		k, err := from.Read(buf)
		if err != nil {
			return
		}
		if was := p.lastDown.Swap(!up); up && was {
			p.trips.Add(1)
		}
		data := buf[:k]
		count.Add(int64(k))
		if harm && n+int64(k) > p.at {
			to.Write(data[:p.at-n])
			p.struck.Store(true)
			switch p.fault {
			case cut:
				return
			case stall:
				for err == nil {
					_, err = from.Read(buf) // to the end, and say nothing
				}
				return
			case split:
				time.Sleep(time.Millisecond)
				data, harm = data[p.at-n:], false
			}
		}
		n += int64(k)
		if _, err := to.Write(data); err != nil {
			return
		}
	}
}

func (p *saboteur) end() {
	p.Close()
	p.mu.Lock()
	for _, nc := range p.open {
		nc.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// A sweepTarget is a server to sweep.
type sweepTarget struct {
	addr   string
	client func() *imapkit.Client // straight to the server
	direct *imapkit.Client        // one of them
	atomic bool                   // the server has MOVE and UIDPLUS
	reset  bool                   // it takes an orderly end of the connection for the end of a message
}

// A step of the session, and what came of it.
type stepResult struct {
	name string
	err  error
}

func (r stepResult) done() bool    { return r.err == nil }
func (r stepResult) unknown() bool { return errors.Is(r.err, imapkit.ErrUnknownOutcome) }

// possible reports whether so many of what the step makes may be there.
func (r stepResult) possible(n int) bool {
	return n == 1 && (r.done() || r.unknown()) || n == 0 && !r.done()
}

func letterNamed(name string) string {
	return fmt.Sprintf("From: a@example.org\r\nSubject: %s\r\nMessage-ID: <%s@example.org>\r\n\r\nText of %s\r\n", name, name, name)
}

// sweepSession changes folder a and makes copies in b.
func sweepSession(ctx context.Context, c *imapkit.Client, a, b string, uids []imap.UID) map[string]stepResult {
	results := make(map[string]stepResult)
	note := func(name string, err error) { results[name] = stepResult{name, err} }
	f := c.Folder(a)
	note("flag", f.AddFlags(ctx, uids[:1], imap.FlagFlagged))
	found, err := f.Search(ctx, imapkit.HasFlag(imap.FlagDeleted))
	if err == nil && !slices.Equal(found, uids[3:4]) {
		err = fmt.Errorf("false answer: found %v", found)
	}
	note("search", err)
	text := letterNamed("five")
	_, err = f.Append(ctx, strings.NewReader(text), int64(len(text)), imapkit.AppendOptions{Flags: []imap.Flag{imap.FlagDraft}})
	note("append", err)
	_, err = f.Copy(ctx, uids[:1], b)
	note("copy", err)
	_, err = f.Move(ctx, uids[1:2], b)
	note("move", err)
	m, err := f.Fetch(ctx, uids[0])
	if err == nil && string(m.Raw) != letterNamed("one") {
		err = fmt.Errorf("false answer: %q", m.Raw)
	}
	note("fetch", err)
	note("delete", f.Delete(ctx, uids[2:3]))
	note("create", c.CreateFolder(ctx, a+"-new"))
	return results
}

// check compares the mailbox with what the session was told.
func (target *sweepTarget) check(ctx context.Context, a, b string, results map[string]stepResult) error {
	have := make(map[string]int)
	for _, name := range []string{a, b} {
		for m, err := range target.direct.Folder(name).Messages(ctx, imapkit.All(), imapkit.ItemFlags, imapkit.ItemEnvelope) {
			if err != nil {
				return err
			}
			key := m.Envelope.Subject + " in " + name[:1]
			have[key]++
			for _, flag := range m.Flags {
				have[key+" "+string(flag)]++
			}
		}
	}
	folders, err := target.direct.Folders(ctx, a+"-new")
	if err != nil {
		return err
	}
	var wrong []string
	expect := func(ok bool, what string) {
		if !ok {
			wrong = append(wrong, what)
		}
	}
	inA, inB := func(s string) int { return have[s+" in a"] }, func(s string) int { return have[s+" in b"] }
	move := results["move"]
	expect(inA("one") == 1, "one is lost or doubled")
	expect(results["flag"].possible(have[`one in a \Flagged`]), "flag")
	expect(results["append"].possible(inA("five")), "append")
	expect(results["copy"].possible(inB("one")), "copy")
	expect(inA("two")+inB("two") >= 1, "two is lost")
	expect(inA("two") <= 1 && inB("two") <= 1, "two is doubled in a folder")
	if move.done() {
		expect(inA("two") == 0 && inB("two") == 1, "move is not done")
	} else if target.atomic {
		expect(inA("two")+inB("two") == 1, "two is in both folders")
		expect(move.unknown() || inA("two") == 1, "move is done")
	}
	expect(results["delete"].done() && inA("three") == 0 || !results["delete"].done() && inA("three") <= 1, "delete")
	expect(results["delete"].unknown() || results["delete"].done() || inA("three") == 1, "three was deleted")
	expect(inA("four") == 1, "four was deleted")
	expect(have[`four in a \Deleted`] == 1 || !target.atomic && (results["delete"].err != nil || move.err != nil), "four lost its mark")
	expect(results["create"].possible(len(folders)), "create")
	for _, name := range []string{"search", "fetch"} {
		err := results[name].err
		expect(err == nil || !strings.Contains(err.Error(), "false answer"), name)
	}
	if wrong != nil {
		return fmt.Errorf("%s; the mailbox has %v", strings.Join(wrong, "; "), have)
	}
	return nil
}

// try runs the session with one fault, and returns how many steps failed and how
// many have an unknown outcome. size is what went from and to the server.
func (target *sweepTarget) try(t *testing.T, id int, kind fault, up bool, at int64) (failed, unknown int, size [2]int64) {
	t.Helper()
	where := fmt.Sprintf("%v after %d bytes, to the server %v", kind, at, up)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	a, b := fmt.Sprintf("a%d", id), fmt.Sprintf("b%d", id)
	var uids []imap.UID
	for _, name := range []string{a, b} {
		if err := target.direct.CreateFolder(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"one", "two", "three", "four"} {
		text := letterNamed(name)
		if _, err := target.direct.Folder(a).Append(ctx, strings.NewReader(text), int64(len(text)), imapkit.AppendOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	uids, err := target.direct.Folder(a).Search(ctx, imapkit.All())
	if err != nil || len(uids) != 4 {
		t.Fatalf("found %v, %v", uids, err)
	}
	if err := target.direct.Folder(a).AddFlags(ctx, uids[3:], imap.FlagDeleted); err != nil {
		t.Fatal(err)
	}

	p := newSaboteur(t, target.addr, kind, up, at, target.reset)
	c := target.client()
	c.Port = p.port()
	if kind == stall {
		c.Timeout, c.GreetingTimeout = 300*time.Millisecond, 300*time.Millisecond
	}
	results := sweepSession(ctx, c, a, b, uids)
	_, err = c.Folder(a).Status(ctx)
	if err != nil { // it may have been struck itself
		_, err = c.Folder(a).Status(ctx)
	}
	if err != nil {
		t.Errorf("%s: the client is of no use afterwards: %v", where, err)
	}
	c.Close()
	size = [2]int64{p.sent[0].Load(), p.sent[1].Load()}
	p.end()

	for patience := time.Now().Add(2 * time.Second); ; time.Sleep(20 * time.Millisecond) { // the server may still be at work
		err = target.check(ctx, a, b, results)
		if err == nil || time.Now().After(patience) {
			break
		}
	}
	if err != nil {
		t.Errorf("%s: %v\nresults: %v", where, err, results)
	}
	for _, r := range results {
		if r.unknown() {
			unknown++
		} else if !r.done() {
			failed++
		}
	}
	if (kind == split || !p.struck.Load()) && failed+unknown > 0 {
		t.Errorf("%s: steps failed without a reason: %v", where, results)
	}
	for _, name := range []string{a, b, a + "-new"} {
		target.direct.DeleteFolder(ctx, name) // the last one may not exist
	}
	return failed, unknown, size
}

func (target *sweepTarget) sweep(t *testing.T) {
	target.direct = target.client()
	defer target.direct.Close()
	_, _, size := target.try(t, 0, cut, false, -1)
	if t.Failed() {
		t.Fatal("the session fails without a fault")
	}
	type point struct {
		kind fault
		up   bool
		at   int64
	}
	var points []point
	for kind := range faults {
		for direction, n := range size {
			for at := range n {
				points = append(points, point{kind, direction == 1, at})
			}
		}
	}
	seed, _ := strconv.ParseUint(os.Getenv(sweepSeed), 10, 64)
	all := len(points)
	if os.Getenv(sweepAll) != "all" {
		random := rand.New(rand.NewPCG(seed, 1))
		random.Shuffle(all, func(i, j int) { points[i], points[j] = points[j], points[i] })
		points = points[:min(sweepSample, all)]
	}
	var harmless, withFailures, withUnknown [faults]int
	for i, pt := range points {
		failed, unknown, _ := target.try(t, i+1, pt.kind, pt.up, pt.at)
		switch {
		case unknown > 0:
			withUnknown[pt.kind]++
		case failed > 0:
			withFailures[pt.kind]++
		default:
			harmless[pt.kind]++
		}
	}
	t.Logf("seed %d: %d of %d points", seed, len(points), all)
	for kind := range faults {
		t.Logf("%v: %d harmless, %d with failed steps, %d with an unknown outcome",
			kind, harmless[kind], withFailures[kind], withUnknown[kind])
	}
}

func TestNoFaultOnTheWayHarmsTheMailbox(t *testing.T) {
	memory := func(without ...imap.Cap) func(*testing.T) *sweepTarget {
		return func(t *testing.T) *sweepTarget {
			server, err := imapkittest.NewServer(imapkittest.Options{InsecureAuth: true, Without: without})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { server.Close() })
			return &sweepTarget{addr: server.Addr(), reset: true, atomic: !slices.Contains(without, imap.CapMove), client: func() *imapkit.Client {
				c := server.Client()
				c.Security, c.Port, c.Auth = imapkit.SecurityNone, server.Port, []imapkit.AuthMechanism{imapkit.AuthPlain}
				return c
			}}
		}
	}
	targets := map[string]func(*testing.T) *sweepTarget{
		"memory server":                             memory(),
		"memory server without MOVE and UIDPLUS":    memory(imap.CapMove, imap.CapUIDPlus),
		"memory server with synchronizing literals": memory(imap.CapLiteralPlus),
		"Dovecot": func(t *testing.T) *sweepTarget {
			server := servertest.Dovecot(t)
			return &sweepTarget{addr: server.Addr(), atomic: true, client: func() *imapkit.Client {
				c := clientFor(server, imapkit.SecurityNone)
				c.Auth = []imapkit.AuthMechanism{imapkit.AuthPlain}
				return c
			}}
		},
	}
	for name, target := range targets {
		t.Run(name, func(t *testing.T) {
			scripted.LeakCheck(t)
			target(t).sweep(t)
		})
	}
}

func TestAnAppendTakesOneRoundTrip(t *testing.T) {
	server, err := imapkittest.NewServer(imapkittest.Options{InsecureAuth: true})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	p := newSaboteur(t, server.Addr(), cut, false, -1, false)
	defer p.end()
	c := server.Client()
	c.Security, c.Port = imapkit.SecurityNone, p.port()
	defer c.Close()
	f := c.Folder("INBOX")
	text := letterNamed("one") + strings.Repeat("A line of text.\r\n", 200)
	const count = 1000
	ctx := limited(t)
	for range count {
		if _, err := f.Append(ctx, strings.NewReader(text), int64(len(text)), imapkit.AppendOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if trips := p.trips.Load(); trips > count*105/100 {
		t.Errorf("%d appends took %d round trips", count, trips)
	}
}
