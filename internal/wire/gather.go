package wire

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// A gatherer is a TCP connection that saves waking up. From a fast server each
// TLS record and each packet arrives by itself, and to be woken for every one of
// them costs more than all else that reading them does. So once bytes come in
// quickly, the system is asked to say so only when many are there (SO_RCVLOWAT).
// Every wait for more has an end, whatever the server does, and the first that is
// in vain is the last: what pauses or is slow is read as it comes.
type gatherer struct {
	*net.TCPConn
	raw   syscall.RawConn
	pace  pace
	sure  int64 // so many bytes are still to come for certain; 0: nobody knows
	known bool  // sure was more than 0 when the last bytes were read
	low   int   // what the system waits for; 0: for anything

	until   time.Time // when waiting ends, while low is not 0
	foreign bool      // somebody else has set a deadline
}

const (
	// gatherSpan is how long a wait for more is meant to take.
	gatherSpan = 500 * time.Microsecond
	// gatherWait is how long one may take. Where more is certain to come, the
	// wait costs the least if the system looks at the clock anyway before that.
	gatherWait        = 2 * time.Millisecond
	gatherCertainWait = 20 * time.Millisecond
	// gatherLeast is how many bytes must be expected at least in gatherSpan,
	// which makes 32 MB/s: with fewer, little is saved.
	gatherLeast = 16 << 10
	// gatherMost is how many bytes are waited for at most.
	gatherMost = 192 << 10
	// gatherSample is over how many bytes the pace is measured.
	gatherSample = 256 << 10
	// gatherBlind is how many bytes must have come without a pause before any
	// are waited for of which nobody knows whether they will come. The wait
	// that is in vain at the end must not matter beside the time they took.
	gatherBlind = 1 << 20
	// gatherBody is how long a body must be for nothing to be waited for behind
	// it, because it most often is the last.
	gatherBody = 1 << 20
)

// newGatherer returns nil if nc is no TCP connection: only there is it certain
// that a deadline is kept.
func newGatherer(nc net.Conn) *gatherer {
	t, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return nil
	}
	return &gatherer{TCPConn: t, raw: raw}
}

// Read reads what is there, or waits until something is: for a while, for a good
// many bytes, if they come quickly.
func (g *gatherer) Read(p []byte) (int, error) {
	if g.known && g.sure <= 0 {
		g.stop()
	}
	g.known = g.sure > 0
	if mark := g.mark(); mark > 0 && g.await(mark) {
		n, err := g.TCPConn.Read(p)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			g.came(n)
			return n, err
		}
		g.stop()
	} else if g.low > 0 {
		g.stop()
	}
	n, err := g.TCPConn.Read(p)
	g.came(n)
	return n, err
}

// mark is how many bytes to wait for; 0: not to wait.
func (g *gatherer) mark() int {
	switch {
	case g.foreign || g.pace.mark == 0:
		return 0
	case g.known:
		return int(min(int64(g.pace.mark), g.sure))
	case g.pace.ran >= gatherBlind:
		return g.pace.mark
	}
	return 0
}

func (g *gatherer) came(n int) {
	g.sure = max(g.sure-int64(n), 0)
	g.pace.came(n, time.Now)
}

// await makes the next read wait for n bytes; false: that cannot be had.
func (g *gatherer) await(n int) bool {
	if g.raw == nil {
		return false
	}
	wait := gatherWait
	if g.known {
		wait = gatherCertainWait
	}
	if now := time.Now(); g.low == 0 || g.until.Sub(now) < wait/2 {
		g.until = now.Add(wait)
		if g.TCPConn.SetReadDeadline(g.until) != nil {
			return false
		}
	}
	if n != g.low {
		if setLowWater(g.raw, n) != nil {
			g.low = n // whatever it is: it is taken back
			g.stop()
			g.raw = nil
			return false
		}
		g.low = n
	}
	return true
}

// stop lets reads return what is there, until the pace is known again.
func (g *gatherer) stop() {
	g.pace, g.sure, g.known = pace{}, 0, false
	if g.low > 0 {
		setLowWater(g.raw, 1)
		g.low = 0
		g.TCPConn.SetReadDeadline(time.Time{})
	}
}

// SetReadDeadline sets the deadline for reads, which do not wait for more than
// the first byte while there is one.
func (g *gatherer) SetReadDeadline(t time.Time) error {
	g.stop()
	g.foreign = !t.IsZero()
	return g.TCPConn.SetReadDeadline(t)
}

// NetConn returns the connection below.
func (g *gatherer) NetConn() net.Conn { return g.TCPConn }

// A pace is how quickly bytes come.
type pace struct {
	ran    int64     // bytes since the last pause
	sample int       // of them, since began
	began  time.Time // when the sample did
	mark   int       // what comes in gatherSpan, at most gatherMost; 0: unknown, or too few
}

// came counts n bytes.
func (p *pace) came(n int, now func() time.Time) {
	p.ran += int64(n)
	if p.began.IsZero() {
		p.began = now()
		return
	}
	p.sample += n
	if p.sample < gatherSample {
		return
	}
	t := now()
	took := max(t.Sub(p.began), 1)
	p.mark = int(min(int64(p.sample)*int64(gatherSpan)/int64(took), gatherMost))
	p.sample, p.began = 0, t
	if p.mark < gatherLeast {
		p.ran, p.mark = 0, 0
	}
}
