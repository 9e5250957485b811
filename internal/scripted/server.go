// Package scripted is an IMAP server for tests that does what the test says,
// byte by byte: the peer for answers that no sane server gives.
//
// [Serve] starts a server that behaves well, except in the commands for which
// the test has a handler of its own. [New] leaves the whole conversation to
// the test.
package scripted

import (
	"crypto/tls"
	"errors"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
)

// A Server listens on a port of its own on 127.0.0.1 until the test ends.
type Server struct {
	Host string // "127.0.0.1"
	Port int
	Addr string // Host:Port

	t       testing.TB
	ln      net.Listener
	tls     *tls.Config
	handler func(*Conn)
	wg      sync.WaitGroup
	done    chan struct{} // closed when the server ends

	mu    sync.Mutex
	conns []*Conn
	ended bool
}

// New starts a server that hands every connection to handler, on a goroutine
// of its own, and closes it when handler returns. At the end of the test the
// server closes everything and waits for its goroutines.
func New(t testing.TB, handler func(c *Conn)) *Server {
	t.Helper()
	return start(t, nil, handler)
}

// NewTLS is like [New] with TLS from the first byte. A nil config means
// [TLSConfig].
func NewTLS(t testing.TB, config *tls.Config, handler func(c *Conn)) *Server {
	t.Helper()
	if config == nil {
		config = TLSConfig()
	}
	return start(t, config, handler)
}

func start(t testing.TB, config *tls.Config, handler func(c *Conn)) *Server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("scripted: %v", err)
	}
	addr := ln.Addr().(*net.TCPAddr)
	s := &Server{
		Host:    addr.IP.String(),
		Port:    addr.Port,
		Addr:    addr.String(),
		t:       t,
		ln:      ln,
		tls:     config,
		handler: handler,
		done:    make(chan struct{}),
	}
	s.wg.Add(1)
	go s.accept()
	t.Cleanup(s.Close)
	return s
}

// Close ends the listener and all connections and waits for the handlers. The
// test's cleanup calls it; a test calls it to play a server that went away.
func (s *Server) Close() {
	s.mu.Lock()
	if !s.ended {
		s.ended = true
		close(s.done)
		s.ln.Close()
		for _, c := range s.conns {
			c.raw.Close()
		}
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// Conns returns how many connections the server has accepted.
func (s *Server) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Received returns everything received so far, one connection after another,
// as it was before encryption.
func (s *Server) Received() string {
	return s.join(func(r *record) string { return r.clear.String() + r.secret.String() })
}

// Cleartext returns the part of [Server.Received] that came without TLS.
func (s *Server) Cleartext() string {
	return s.join(func(r *record) string { return r.clear.String() })
}

// Commands returns the commands read so far, without tags, literals included.
func (s *Server) Commands() []string {
	var commands []string
	s.join(func(r *record) string { commands = append(commands, r.commands...); return "" })
	return commands
}

func (s *Server) join(part func(*record) string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, c := range s.conns {
		c.rec.mu.Lock()
		b.WriteString(part(&c.rec))
		c.rec.mu.Unlock()
	}
	return b.String()
}

func (s *Server) accept() {
	defer s.wg.Done()
	for {
		conn, err := s.ln.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				s.t.Errorf("scripted: accept: %v", err)
			}
			return
		}
		s.mu.Lock()
		if s.ended {
			s.mu.Unlock()
			conn.Close()
			return
		}
		c := newConn(s, conn, len(s.conns)+1)
		s.conns = append(s.conns, c)
		s.wg.Add(1)
		s.mu.Unlock()
		go s.handle(c)
	}
}

func (s *Server) handle(c *Conn) {
	defer s.wg.Done()
	defer c.Close()
	defer func() {
		if v := recover(); v != nil {
			s.t.Errorf("scripted: panic in handler: %v\n%s", v, debug.Stack())
		}
	}()
	s.handler(c)
}
