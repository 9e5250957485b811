package imapkit_test

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A fault is a kind of harm to a connection.
type fault int

const (
	cut   fault = iota // it ends in order
	reset              // it ends with a reset
	stall              // nothing more comes, and nothing ends
	split              // a pause in the middle of a packet
	faults
)

func (f fault) String() string { return [...]string{"cut", "reset", "stall", "split"}[f] }

// A strike is harm to one connection.
type strike struct {
	fault fault
	up    bool  // on the way to the server
	at    int64 // after so many bytes on that way
}

func (s strike) String() string {
	way := "from"
	if s.up {
		way = "to"
	}
	return fmt.Sprintf("%v after %d bytes %s the server", s.fault, s.at, way)
}

// way is the place of the way in what saboteur.size returns.
func (s strike) way() int {
	if s.up {
		return 1
	}
	return 0
}

// A saboteur is a proxy that does harm to the connections through it.
type saboteur struct {
	net.Listener
	target  string
	strikes []strike // one for each connection, from the first one on
	peace   atomic.Bool
	harmed  atomic.Bool // a connection has been lost
	struck  atomic.Int32

	down, up atomic.Int64 // bytes on the way from and to the server
	trips    atomic.Int64 // how often the client has spoken after the server
	lastDown atomic.Bool

	mu   sync.Mutex
	open []*net.TCPConn
	wg   sync.WaitGroup
}

func newSaboteur(t testing.TB, target string, strikes ...strike) *saboteur {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &saboteur{Listener: ln, target: target, strikes: strikes}
	p.wg.Go(p.serve)
	return p
}

func (p *saboteur) port() int { return p.Addr().(*net.TCPAddr).Port }

func (p *saboteur) serve() {
	for n := 0; ; n++ {
		accepted, err := p.Accept()
		if err != nil {
			return
		}
		dialed, err := net.Dial("tcp", p.target)
		if err != nil {
			accepted.Close()
			continue
		}
		client, server := accepted.(*net.TCPConn), dialed.(*net.TCPConn)
		p.mu.Lock()
		p.open = append(p.open, client, server)
		p.mu.Unlock()
		var upwards, downwards *strike
		if n < len(p.strikes) {
			if s := &p.strikes[n]; s.up {
				upwards = s
			} else {
				downwards = s
			}
		}
		p.wg.Go(func() { p.pump(server, client, &p.up, upwards) })
		p.wg.Go(func() { p.pump(client, server, &p.down, downwards) })
	}
}

// pump passes on what comes, up to the strike.
func (p *saboteur) pump(to, from *net.TCPConn, count *atomic.Int64, harm *strike) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for n := int64(0); ; {
		k, err := from.Read(buf)
		if err != nil {
			return
		}
		up := count == &p.up
		if was := p.lastDown.Swap(!up); up && was {
			p.trips.Add(1)
		}
		count.Add(int64(k))
		data := buf[:k]
		if harm != nil && n+int64(k) > harm.at && !p.peace.Load() {
			to.Write(data[:harm.at-n])
			p.struck.Add(1)
			if harm.fault != split {
				p.harmed.Store(true)
				harm.fault.strike(to, from)
				return
			}
			time.Sleep(time.Millisecond)
			data, n, harm = data[harm.at-n:], harm.at, nil
		}
		n += int64(len(data))
		if _, err := to.Write(data); err != nil {
			io.Copy(io.Discard, from) // what is not read would make a reset of the end
			return
		}
	}
}

func (f fault) strike(to, from *net.TCPConn) {
	switch f {
	case cut:
		to.CloseWrite()
		from.CloseWrite()
		io.Copy(io.Discard, from)
	case reset:
		to.SetLinger(0)
		from.SetLinger(0)
	case stall:
		io.Copy(io.Discard, from)
	}
}

// size returns how much has passed so far, from and to the server.
func (p *saboteur) size() [2]int64 { return [2]int64{p.down.Load(), p.up.Load()} }

func (p *saboteur) end() {
	p.Close()
	p.mu.Lock()
	for _, nc := range p.open {
		nc.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}
