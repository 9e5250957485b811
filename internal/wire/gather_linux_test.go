package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// waiting returns a connection whose reads wait for a good many bytes, although
// nobody knows whether they will come: all that the server sent has been read.
func waiting(t *testing.T) (g *gatherer, server *net.TCPConn) {
	t.Helper()
	client, server := connected(t)
	g = newGatherer(client)
	enough := make(chan bool)
	go func() {
		chunk := make([]byte, 64<<10)
		for {
			select {
			case <-enough:
				server.Write([]byte("."))
				return
			default:
				server.Write(chunk)
			}
		}
	}()
	buf := make([]byte, 64<<10)
	for got := 0; ; {
		n, err := g.Read(buf)
		if got += n; err != nil || got > 1<<30 {
			t.Fatalf("%d bytes came and no more were waited for: %v", got, err)
		}
		if g.low > 0 {
			break
		}
	}
	if low := lowWater(t, g); low < gatherLeast || low != g.low {
		t.Errorf("the system waits for %d bytes, want %d", low, g.low)
	}
	close(enough)
	for {
		n, err := g.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if buf[n-1] == '.' {
			return g, server
		}
	}
}

// lowWater returns how many bytes the system waits for; 0: the connection is
// closed.
func lowWater(t *testing.T, g *gatherer) (n int) {
	t.Helper()
	g.raw.Control(func(fd uintptr) {
		var err error
		if n, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT); err != nil {
			t.Error(err)
		}
	})
	return n
}

func TestNothingIsKeptBackWhenAFlowOfBytesPauses(t *testing.T) {
	g, server := waiting(t)
	go func() {
		for lowWater(t, g) > 1 {
			time.Sleep(time.Millisecond)
		}
		server.Write([]byte{0})
	}()
	b := make([]byte, 10)
	for i := range byte(100) {
		if n, err := g.Read(b); n != 1 || b[0] != i || err != nil {
			t.Fatalf("byte %d: got %v, %v", i, b[:n], err)
		}
		server.Write([]byte{i + 1})
	}
	if g.low != 0 {
		t.Errorf("it still waits for %d bytes", g.low)
	}
}

func TestTheEndOfALargeBodyIsNotWaitedFor(t *testing.T) {
	client, server := connected(t)
	g := newGatherer(client)
	const size = 64<<20 + 4321
	go server.Write(make([]byte, size))
	buf := make([]byte, 96<<10)
	most := 0
	for left := int64(size); left > 0; {
		g.sure = left
		n, err := g.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if int64(g.low) > left {
			t.Errorf("waited for %d bytes of %d", g.low, left)
		}
		most = max(most, g.low)
		left -= int64(n)
	}
	if most < gatherLeast {
		t.Errorf("no more than %d bytes were ever waited for", most)
	}
	server.Write([]byte("k1 OK done\r\n"))
	if n, err := g.Read(buf); n == 0 || err != nil || g.low != 0 || lowWater(t, g) != 1 {
		t.Errorf("what comes behind it: %q, %v, waiting for %d", buf[:n], err, g.low)
	}
}

func TestWhatHasComeOfABodyThatStallsIsRead(t *testing.T) {
	client, server := connected(t)
	g := newGatherer(client)
	const size, sent = 64 << 20, 8<<20 + 1
	go server.Write(make([]byte, sent))
	buf := make([]byte, 96<<10)
	most := 0
	for got := 0; got < sent; {
		g.sure = int64(size - got)
		n, err := g.Read(buf)
		if got += n; err != nil {
			t.Fatalf("after %d of %d bytes: %v", got, sent, err)
		}
		most = max(most, g.low)
	}
	if most < gatherLeast {
		t.Errorf("no more than %d bytes were ever waited for", most)
	}
}

func TestDeadlinesOfOthersAreKept(t *testing.T) {
	g, server := waiting(t)
	go func() {
		for chunk, err := make([]byte, 64<<10), error(nil); err == nil; {
			_, err = server.Write(chunk)
		}
	}()
	g.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	buf := make([]byte, 64<<10)
	for got, err := 0, error(nil); !errors.Is(err, os.ErrDeadlineExceeded); {
		var n int
		n, err = g.Read(buf)
		if got += n; g.low > 0 || got > 4<<30 {
			t.Fatalf("after %d bytes: waiting for %d, %v", got, g.low, err)
		}
	}
	g.SetReadDeadline(time.Time{})
	if _, err := g.Read(buf); err != nil {
		t.Error(err)
	}
}

func TestEveryWaitForMoreHasAnEnd(t *testing.T) {
	client, server := connected(t)
	g := newGatherer(client)
	buf := make([]byte, gatherLeast)
	waits := func() {
		t.Helper()
		if !g.await(gatherLeast) {
			t.Fatal("no wait")
		}
	}
	for _, certain := range []bool{false, true, false} {
		g.known = certain
		waits()
		g.stop()
		waits() // while the deadline of the first would not be over
		if _, err := g.TCPConn.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("waited in vain: %v", err)
		}
		server.Write(buf)
		n, err := 0, error(os.ErrDeadlineExceeded)
		for tries := 0; errors.Is(err, os.ErrDeadlineExceeded) && tries < 100; tries++ {
			waits()
			n, err = g.TCPConn.Read(buf)
		}
		if n != len(buf) || err != nil {
			t.Fatalf("got %d bytes, %v", n, err)
		}
		g.stop()
	}
}

func TestAnIdleConnectionWaitsForAnything(t *testing.T) {
	client, server := connected(t)
	c := NewConn(client, smallLimits, new(Names), nil)
	c.Begin(context.Background(), 0, false)
	if !c.gather.await(gatherMost) || lowWater(t, c.gather) != gatherMost {
		t.Fatalf("the system waits for %d bytes", lowWater(t, c.gather))
	}
	c.End()
	if low := lowWater(t, c.gather); low != 1 {
		t.Errorf("the system waits for %d bytes", low)
	}
	c.Begin(context.Background(), 0, false)
	defer c.Discard()
	time.AfterFunc(2*gatherWait, func() { server.Write([]byte("x")) })
	if err := c.fill(); err != nil {
		t.Errorf("a deadline was left: %v", err)
	}
}

func TestClosingEndsAWaitForMore(t *testing.T) {
	g, _ := waiting(t)
	ended := make(chan error)
	go func() {
		_, err := g.Read(make([]byte, 10))
		ended <- err
	}()
	g.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestAConnectionThatIsClosedMeanwhileCannotWait(t *testing.T) {
	for _, open := range []bool{true, false} {
		client, _ := connected(t)
		g := newGatherer(client)
		if open && !g.await(gatherMost) {
			t.Fatal("no wait")
		}
		client.Close()
		if g.await(gatherLeast) {
			t.Error("a closed connection waits for more")
		}
		if _, err := g.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
}

// TestBodiesArriveWholeAtAnyPace has a server that now sends as fast as it can
// and now hesitates, in pieces of any size.
func TestBodiesArriveWholeAtAnyPace(t *testing.T) {
	trusting, certified := tlsConfigs(t)
	for name, secure := range map[string]bool{"in clear": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			client, peer := connected(t)
			c := NewConn(client, Limits{Line: 1 << 20, Literal: 1 << 20, Result: 1 << 20, Message: 1 << 20, Depth: 64,
				Responses: 1 << 20}, new(Names), nil)
			var server net.Conn = peer
			if secure {
				server = tls.Server(peer, certified)
			}
			source := rand.NewChaCha8([32]byte{})
			random := rand.New(source)
			var sums []uint32
			var said bytes.Buffer
			for uid, size := range []int{20 << 20, 1, gatherBody, 3 * gatherBody, 2*gatherBody + 1, 500_000, 5 << 20} {
				body := make([]byte, size)
				source.Read(body)
				sums = append(sums, crc32.ChecksumIEEE(body))
				fmt.Fprintf(&said, "* %d FETCH (UID %d BODY[] {%d}\r\n%s)\r\n", uid+1, uid+1, size, body)
			}
			small := strings.Repeat("x", 6000)
			for uid := len(sums); uid < 2000; uid++ {
				sums = append(sums, crc32.ChecksumIEEE([]byte(small)))
				fmt.Fprintf(&said, "* %d FETCH (UID %d BODY[] {%d}\r\n%s)\r\n", uid+1, uid+1, len(small), small)
			}
			said.WriteString("k1 OK done\r\n")
			go func() {
				for said.Len() > 0 {
					if random.IntN(50) == 0 {
						time.Sleep(time.Duration(random.IntN(5000)) * time.Microsecond)
					}
					server.Write(said.Next(1 + random.IntN(300_000)))
				}
				io.Copy(io.Discard, server)
			}()

			c.Begin(context.Background(), 30*time.Second, true)
			if secure {
				if _, err := c.StartTLS(trusting); err != nil {
					t.Fatal(err)
				}
			}
			r := c.NewFetchReader()
			r.Stream = "BODY.PEEK[]"
			err := r.Add(c.Command("UID FETCH").Raw("1:* (X)"))
			if err == nil {
				err = c.Flush()
			}
			for i := 0; err == nil; i++ {
				var m *Fetched
				if m, err = r.Next(); err != nil {
					if err == io.EOF && i != len(sums) {
						t.Errorf("%d messages came of %d", i, len(sums))
					}
					break
				}
				h := crc32.NewIEEE()
				if i%2 == 0 {
					_, err = io.Copy(h, m.Body)
				} else {
					_, err = io.Copy(h, struct{ io.Reader }{m.Body})
				}
				if h.Sum32() != sums[i] {
					t.Errorf("message %d is not what was sent: %v", i, err)
				}
			}
			if err != io.EOF {
				t.Error(err)
			}
			c.End()
			if low := lowWater(t, c.gather); low != 1 {
				t.Errorf("the idle connection waits for %d bytes", low)
			}
			c.Discard()
		})
	}
}
