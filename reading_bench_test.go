package imapkit

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/scripted"
)

// A memoryServer is a connection in memory to a server that costs nothing: the
// answer for every message is ready.
type memoryServer struct {
	mail  []byte
	start []int // of each message's answer in mail; the last is the end

	mu      sync.Mutex
	changed sync.Cond
	partial string // a command not yet at its end
	answers [][]byte
	closed  bool
	hurry   bool // a deadline is set: there is nothing to wait for
}

const memoryCaps = "IMAP4rev1 ESEARCH AUTH=PLAIN SASL-IR"

func newMemoryServer(n int, answer func(i int) string) *memoryServer {
	m := &memoryServer{start: []int{0}}
	m.changed.L = &m.mu
	for i := 1; i <= n; i++ {
		m.mail = append(m.mail, answer(i)...)
		m.start = append(m.start, len(m.mail))
	}
	m.answers = [][]byte{[]byte("* OK [CAPABILITY " + memoryCaps + "] ready\r\n")}
	return m
}

// DialContext implements proxy.ContextDialer.
func (m *memoryServer) DialContext(context.Context, string, string) (net.Conn, error) { return m, nil }

func (m *memoryServer) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.partial += string(p)
	for {
		line, rest, ok := strings.Cut(m.partial, "\r\n")
		if !ok {
			m.changed.Broadcast()
			return len(p), nil
		}
		m.partial = rest
		tag, command, _ := strings.Cut(line, " ")
		var from, to, n = 0, 0, len(m.start) - 1
		switch {
		case strings.HasPrefix(command, "SELECT"):
			m.answers = append(m.answers, fmt.Appendf(nil, "* %d EXISTS\r\n* OK [UIDVALIDITY 1] valid\r\n", n))
		case strings.HasPrefix(command, "UID SEARCH"):
			m.answers = append(m.answers, fmt.Appendf(nil, "* ESEARCH (TAG \"%s\") UID ALL 1:%d\r\n", tag, n))
		case strings.HasPrefix(command, "UID FETCH"):
			fmt.Sscanf(command, "UID FETCH %d:%d", &from, &to)
			m.answers = append(m.answers, m.mail[m.start[from-1]:m.start[max(from, to)]])
		}
		m.answers = append(m.answers, []byte(tag+" OK [CAPABILITY "+memoryCaps+"] done\r\n"))
	}
}

func (m *memoryServer) Read(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.answers) == 0 && !m.closed && !m.hurry {
		m.changed.Wait()
	}
	switch {
	case m.closed:
		return 0, io.EOF
	case len(m.answers) == 0:
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(p, m.answers[0])
	if m.answers[0] = m.answers[0][n:]; len(m.answers[0]) == 0 {
		m.answers = m.answers[1:]
	}
	return n, nil
}

func (m *memoryServer) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.changed.Broadcast()
	return nil
}

func (m *memoryServer) SetReadDeadline(t time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hurry = !t.IsZero()
	m.changed.Broadcast()
	return nil
}

func (m *memoryServer) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (m *memoryServer) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (m *memoryServer) SetDeadline(t time.Time) error    { return m.SetReadDeadline(t) }
func (m *memoryServer) SetWriteDeadline(time.Time) error { return nil }

// benchmarkReading measures one pass over n messages.
func benchmarkReading(b *testing.B, n int, answer func(i int) string, pass func(*Folder) int) {
	m := newMemoryServer(n, answer)
	c := &Client{Host: "memory", Username: "u", Password: "p", Security: SecurityNone, Proxy: m}
	defer c.Close()
	f := c.Folder("INBOX")
	if err := c.Connect(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(m.mail)))
	b.ReportAllocs()
	for b.Loop() {
		if got := pass(f); got != n {
			b.Fatalf("%d messages, want %d", got, n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/message")
}

func countMessages(b *testing.B, f *Folder, items ...Item) int {
	n := 0
	for _, err := range f.Messages(context.Background(), All(), items...) {
		if err != nil {
			b.Fatal(err)
		}
		n++
	}
	return n
}

func envelopeAnswer(i int) string {
	return fmt.Sprintf("* %d FETCH (UID %d FLAGS (\\Seen) INTERNALDATE \"05-Jan-2026 10:00:00 +0000\" RFC822.SIZE 2345 ENVELOPE %s)\r\n",
		i, i, scripted.Envelope(i))
}

func BenchmarkReadEnvelopes(b *testing.B) {
	benchmarkReading(b, 10_000, envelopeAnswer, func(f *Folder) int { return countMessages(b, f) })
}

func BenchmarkReadFlags(b *testing.B) {
	benchmarkReading(b, 100_000, func(i int) string {
		return fmt.Sprintf("* %d FETCH (UID %d FLAGS (\\Seen \\Answered $Forwarded))\r\n", i, i)
	}, func(f *Folder) int { return countMessages(b, f, ItemFlags) })
}

func BenchmarkReadBodies(b *testing.B) {
	uids := make([]imap.UID, 1000)
	for i := range uids {
		uids[i] = imap.UID(i + 1)
	}
	body := strings.Repeat("x", 57_000)
	benchmarkReading(b, len(uids), func(i int) string {
		return fmt.Sprintf("* %d FETCH (UID %d BODY[] %s)\r\n", i, i, literal(body))
	}, func(f *Folder) int {
		n := 0
		for m, err := range f.Raw(context.Background(), uids) {
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, m.Body); err != nil {
				b.Fatal(err)
			}
			n++
		}
		return n
	})
}

// TestReadingAllocatesLittle bounds what a program pays for each message.
func TestReadingAllocatesLittle(t *testing.T) {
	for name, tc := range map[string]struct {
		answer func(int) string
		items  []Item
		most   float64
	}{
		"envelope": {envelopeAnswer, nil, 45},
		"flags":    {func(i int) string { return fmt.Sprintf("* %d FETCH (UID %d FLAGS (\\Seen))\r\n", i, i) }, []Item{ItemFlags}, 1},
	} {
		const n = 5000
		c := &Client{Host: "memory", Username: "u", Password: "p", Security: SecurityNone, Proxy: newMemoryServer(n, tc.answer)}
		allocs := testing.AllocsPerRun(3, func() {
			got := 0
			for _, err := range c.Folder("INBOX").Messages(context.Background(), All(), tc.items...) {
				if err != nil {
					t.Fatal(err)
				}
				got++
			}
			if got != n {
				t.Fatalf("%s: %d messages", name, got)
			}
		})
		c.Close()
		if per := allocs / n; per > tc.most {
			t.Errorf("%s: %.1f allocations for each message, want at most %.0f", name, per, tc.most)
		}
	}
}
