package imapkit_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
)

// The fault sweep cuts, resets, stalls or splits the stream between client and
// server at a byte of a session, and looks at the mailbox through a second
// client afterwards. By default it takes a sample of the bytes in which every
// step has its share.
const (
	sweepPoints = "IMAPKIT_SWEEP"      // so many points on each server, or "all": every byte
	sweepSeed   = "IMAPKIT_SWEEP_SEED" // a number: another sample
)

// A sweepTarget is a server to sweep.
type sweepTarget struct {
	addr        string
	prefix      string                 // of the names of folders
	client      func() *imapkit.Client // straight to the server
	appendFlags []imap.Flag            // for new messages
	specials    bool                   // several folders may have the same special use
	// litter is left: Courier takes two seconds to delete a folder.
	litter bool
	// alone: a connection must have a folder to itself. Mailutils renames files
	// that another one knows by their old names: there new messages have other
	// UIDs, and those whose flags were changed read as empty.
	alone bool
	// serial: one trial after the other. Courier writes the list of an account's
	// subscriptions anew without a lock, so that trials would undo each other's.
	serial bool

	caps    imap.CapSet
	slowest time.Duration // step without faults
	trials  atomic.Int64
}

// sweepWorkers is how many trials are made at a time.
const sweepWorkers = 6

// An outcome is what came of a trial.
type outcome struct {
	failed, unknown int // steps
	struck          int // connections
	ends            [][2]int64
	slowest         time.Duration // step
	err             error
}

// try runs a session with faults.
func (target *sweepTarget) try(t testing.TB, session sweepSession, strikes ...strike) (result outcome) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tr := &trial{target: target, ctx: ctx, name: fmt.Sprintf("s%d-", target.trials.Add(1)),
		uids: make(map[string]imap.UID), worlds: []world{{}}, claims: make(map[string]imap.UID)}
	if !target.litter {
		defer tr.cleanUp()
	}
	if err := tr.straight(session.prepare); err != nil {
		return outcome{err: fmt.Errorf("preparing: %w", err)}
	}
	tr.p = newSaboteur(t, target.addr, strikes...)
	defer tr.p.end()
	tr.c = target.client()
	defer tr.c.Close()
	tr.c.Port = tr.p.port()
	stalls := slices.ContainsFunc(strikes, func(s strike) bool { return s.fault == stall })
	if stalls {
		tr.c.Timeout = 300*time.Millisecond + target.slowest*3/2
		tr.c.GreetingTimeout, tr.c.DialTimeout = tr.c.Timeout, tr.c.Timeout
	}
	tr.began = time.Now()
	session.run(tr)
	tr.p.peace.Store(true)
	_, err := tr.box("a").Status(ctx)
	// The connection may have been struck already, and a busy machine may take
	// longer than the client waits after a stall.
	for tries := 1; err != nil && (tries == 1 || tries < 10 && errors.Is(err, imapkit.ErrTimeout)); tries++ {
		_, err = tr.box("a").Status(ctx)
	}
	result = outcome{failed: tr.failed, unknown: tr.unknown, struck: int(tr.p.struck.Load()), ends: tr.ends, slowest: tr.slowest}
	if err != nil {
		tr.lie("the client is of no use afterwards: %v", err)
	}
	if !stalls && !tr.p.harmed.Load() && tr.failed+tr.unknown > 0 { // a busy machine stalls by itself
		tr.lie("steps failed without a reason")
	}
	tr.c.Close()
	tr.p.end()
	if err := tr.straight((*trial).verify); err != nil {
		tr.lie("%v", err)
	}
	if tr.lies != nil {
		result.err = fmt.Errorf("%s\nsteps:\n\t%s", strings.Join(tr.lies, "\n"), strings.Join(tr.steps, "\n\t"))
	}
	return result
}

// straight runs a part of the trial that has a new client without a saboteur:
// Mailutils keeps what was changed in a folder to itself until that is closed.
func (tr *trial) straight(part func(*trial) error) error {
	tr.direct = tr.target.client()
	defer tr.direct.Close()
	return part(tr)
}

// cleanUp removes what the trial has left.
func (tr *trial) cleanUp() {
	tr.straight(func(tr *trial) error {
		list, _ := tr.direct.Folders(tr.ctx, tr.folder("*"))
		for _, f := range list {
			tr.direct.Unsubscribe(tr.ctx, f.Name) // whether it is subscribed or not
			tr.direct.DeleteFolder(tr.ctx, f.Name)
		}
		trash := tr.direct.Folder(tr.folder("trash"))
		uids, err := trash.Search(tr.ctx, imapkit.Subject(tr.name))
		return errors.Join(err, trash.Delete(tr.ctx, uids))
	})
}

// A sweepPoint is where a session is struck.
type sweepPoint struct {
	session sweepSession
	strikes []strike
}

// sweepPlan chooses points. ends tells how many bytes have passed at the end of
// each step of a session without faults.
type sweepPlan struct {
	random   *rand.Rand
	sessions []sweepSession
	ends     [][][2]int64 // by session
}

// sample chooses a point in a step.
func (plan *sweepPlan) sample() sweepPoint {
	for {
		n := plan.random.IntN(len(plan.ends))
		ends := plan.ends[n]
		s := strike{fault: fault(plan.random.IntN(int(faults))), up: plan.random.IntN(2) == 1}
		step, from := plan.random.IntN(len(ends)), int64(0)
		if step > 0 {
			from = ends[step-1][s.way()]
		}
		if to := ends[step][s.way()]; to > from {
			s.at = from + plan.random.Int64N(to-from)
			return sweepPoint{plan.sessions[n], plan.followed(s)}
		}
	}
}

// followed adds, to some points, a strike on the connection that comes after
// the one that is lost.
func (plan *sweepPlan) followed(s strike) []strike {
	const longEnough = 1000 // bytes, for a log-in and a few commands
	if s.fault == split || plan.random.IntN(3) > 0 {
		return []strike{s}
	}
	return []strike{s, {fault(plan.random.IntN(int(faults))), plan.random.IntN(2) == 1, plan.random.Int64N(longEnough)}}
}

// everywhere returns the points at every byte, in an order that visits all
// parts of the sessions early.
func (plan *sweepPlan) everywhere() []sweepPoint {
	var points []sweepPoint
	for n, ends := range plan.ends {
		for kind := range faults {
			for _, up := range []bool{false, true} {
				s := strike{fault: kind, up: up}
				for s.at = range ends[len(ends)-1][s.way()] {
					points = append(points, sweepPoint{plan.sessions[n], plan.followed(s)})
				}
			}
		}
	}
	plan.random.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	return points
}

// points returns those that the environment asks for, or a sample.
func (plan *sweepPlan) points(t *testing.T, sample int) []sweepPoint {
	asked := os.Getenv(sweepPoints)
	if asked == "all" {
		return plan.everywhere()
	}
	if asked != "" {
		var err error
		if sample, err = strconv.Atoi(asked); err != nil {
			t.Fatalf("%s: %v", sweepPoints, err)
		}
	}
	points := make([]sweepPoint, sample)
	for i := range points {
		points[i] = plan.sample()
	}
	return points
}

// tryAll tries all points and reports on those where something is wrong.
func (target *sweepTarget) tryAll(t *testing.T, points []sweepPoint) []outcome {
	outcomes := make([]outcome, len(points))
	var next atomic.Int64
	var workers sync.WaitGroup
	count := sweepWorkers
	if target.serial {
		count = 1
	}
	for range count {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(points)); i = next.Add(1) - 1 {
				outcomes[i] = target.try(t, points[i].session, points[i].strikes...)
				if err := outcomes[i].err; err != nil {
					t.Errorf("%s, %v: %v", points[i].session.name, points[i].strikes, err)
				}
			}
		})
	}
	workers.Wait()
	return outcomes
}

func (target *sweepTarget) sweep(t *testing.T, sample int) {
	c := target.client()
	var err error
	if target.caps, err = c.Capabilities(limited(t)); err != nil {
		t.Fatal(err)
	}
	c.CreateFolder(limited(t), target.prefix+"Trash") // it may be there
	c.Close()
	seed, _ := strconv.ParseUint(os.Getenv(sweepSeed), 10, 64)
	plan := &sweepPlan{random: rand.New(rand.NewPCG(seed, 1))}
	var unharmed []sweepPoint
	for _, session := range sweepSessions {
		if target.alone && session.shared {
			continue
		}
		plan.sessions = append(plan.sessions, session)
		unharmed = append(unharmed, sweepPoint{session: session})
	}
	bytes := int64(0)
	for _, result := range target.tryAll(t, unharmed) {
		if result.err != nil {
			t.FailNow()
		}
		plan.ends = append(plan.ends, result.ends)
		target.slowest = max(target.slowest, result.slowest)
		last := result.ends[len(result.ends)-1]
		bytes += last[0] + last[1]
	}

	var harmless, withFailures, withUnknown [faults]int
	again := 0
	points := plan.points(t, sample)
	for i, result := range target.tryAll(t, points) {
		if result.struck > 1 {
			again++
		}
		switch kind := points[i].strikes[0].fault; {
		case result.unknown > 0:
			withUnknown[kind]++
		case result.failed > 0:
			withFailures[kind]++
		default:
			harmless[kind]++
		}
	}
	t.Logf("seed %d: %d of %d points, at %d of them the next connection was struck as well",
		seed, len(points), bytes*int64(faults), again)
	for kind := range faults {
		t.Logf("%v: %d harmless, %d with failed steps, %d with an unknown outcome",
			kind, harmless[kind], withFailures[kind], withUnknown[kind])
	}
}

func TestNoFaultOnTheWayHarmsTheMailbox(t *testing.T) {
	scripted.LeakCheck(t) // when all are done
	draft := []imap.Flag{imap.FlagDraft}
	memory := func(without ...imap.Cap) func(*testing.T) *sweepTarget {
		return func(t *testing.T) *sweepTarget {
			server, err := imapkittest.NewServer(imapkittest.Options{InsecureAuth: true, Without: without})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { server.Close() })
			return &sweepTarget{addr: server.Addr(), appendFlags: draft, specials: true, client: func() *imapkit.Client {
				c := server.Client()
				c.Security, c.Port, c.Auth = imapkit.SecurityNone, server.Port, []imapkit.AuthMechanism{imapkit.AuthPlain}
				return c
			}}
		}
	}
	overTLS := func(t *testing.T) *sweepTarget {
		server, err := imapkittest.NewServer(imapkittest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { server.Close() })
		return &sweepTarget{addr: server.TLSAddr(), appendFlags: draft, specials: true, client: server.Client}
	}
	real := func(name string, target *sweepTarget) func(*testing.T) *sweepTarget {
		return func(t *testing.T) *sweepTarget {
			server := realServers[name](t)
			target.addr = server.Addr()
			target.client = func() *imapkit.Client {
				c := clientFor(server, imapkit.SecurityNone)
				c.Auth = []imapkit.AuthMechanism{imapkit.AuthPlain, imapkit.AuthLoginCommand}
				return c
			}
			return target
		}
	}
	for _, tt := range []struct {
		name   string
		sample int
		target func(*testing.T) *sweepTarget
	}{
		{"memory server", 60, memory()},
		{"memory server without MOVE and UIDPLUS", 60, memory(imap.CapMove, imap.CapUIDPlus)},
		{"memory server with synchronizing literals", 60, memory(imap.CapLiteralPlus)},
		{"memory server over TLS", 30, overTLS},
		{"Dovecot", 60, real("Dovecot", &sweepTarget{appendFlags: draft})},
		{"Cyrus", 20, real("Cyrus", &sweepTarget{prefix: "INBOX.", appendFlags: draft})},
		{"Courier", 8, real("Courier", &sweepTarget{prefix: "INBOX.", appendFlags: draft, litter: true, serial: true})},
		{"Mailutils", 10, real("Mailutils", &sweepTarget{alone: true})}, // it drops the flags
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.target(t).sweep(t, tt.sample)
		})
	}
}

// letterNamed is the text of a message.
func letterNamed(name string) string {
	return fmt.Sprintf("From: a@example.org\r\nSubject: %s\r\nMessage-ID: <%[1]s@example.org>\r\n\r\nText of %[1]s\r\n", name)
}

func TestAnAppendTakesOneRoundTrip(t *testing.T) {
	server, err := imapkittest.NewServer(imapkittest.Options{InsecureAuth: true})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	p := newSaboteur(t, server.Addr())
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
