package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/imapkit/imapkit/internal/testcert"
)

// piped returns a connection and its other end.
func piped(t *testing.T) (*Conn, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close(); far.Close() })
	return NewConn(near, Limits{Line: 1 << 10, Literal: 1 << 10, Result: 1 << 10, Message: 1 << 10, Depth: 8, Responses: 8}, new(Names), nil), far
}

// connected returns both ends of a TCP connection, which ends by itself when a
// test hangs.
func connected(t *testing.T) (client, server *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	closeBoth := func() { dialed.Close(); accepted.Close() }
	hanging := time.AfterFunc(time.Minute, closeBoth)
	t.Cleanup(func() { hanging.Stop(); closeBoth() })
	return dialed.(*net.TCPConn), accepted.(*net.TCPConn)
}

// tlsConfigs returns what a client and a server need to talk TLS.
func tlsConfigs(t *testing.T) (client, server *tls.Config) {
	t.Helper()
	ca, err := testcert.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"}, &tls.Config{Certificates: []tls.Certificate{cert}}
}

func TestWhatComesTooLateDoesNotHitTheNextOperation(t *testing.T) {
	for name, late := range map[string]func(*Conn) func(){
		"a timer": func(c *Conn) func() {
			op := c.op
			return func() { c.expire(op) }
		},
		"an interrupter": func(c *Conn) func() {
			interrupt := c.Interrupter()
			return func() { interrupt(errors.New("late")) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := piped(t)
			c.Begin(context.Background(), time.Hour, false)
			hit := late(c)
			c.End()
			c.Begin(context.Background(), time.Hour, false)
			defer c.End()
			hit()
			if err := c.Err(); err != nil {
				t.Errorf("the next operation got %v", err)
			}
		})
	}
}

func TestAnInterrupterEndsItsOperation(t *testing.T) {
	c, _ := piped(t)
	why := errors.New("enough")
	c.Begin(context.Background(), time.Hour, false)
	defer c.End()
	time.AfterFunc(10*time.Millisecond, func() { interrupt := c.Interrupter(); interrupt(why) })
	if _, err := c.read(make([]byte, 1)); !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
}

func TestOnlySilenceCountsInAStream(t *testing.T) {
	c, far := piped(t)
	go func() {
		for range 10 {
			time.Sleep(20 * time.Millisecond)
			far.Write([]byte("x"))
		}
	}()
	c.Begin(context.Background(), 100*time.Millisecond, true)
	defer c.End()
	time.Sleep(150 * time.Millisecond) // nobody waits for the server
	began := time.Now()
	for range 10 {
		if _, err := c.read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.read(make([]byte, 1))
	if took := time.Since(began); !errors.Is(err, ErrTimeout) || took > time.Second {
		t.Errorf("error %v after %v", err, took)
	}
}

func TestTheGoodbyeOfTLSToAProxyIsNotWaitedFor(t *testing.T) {
	trusting, certified := tlsConfigs(t)
	certified.MaxVersion = tls.VersionTLS12
	near, far := net.Pipe() // on which a write waits until the peer reads
	defer far.Close()
	go tls.Server(far, certified).Handshake()
	toProxy := tls.Client(near, trusting)
	if err := toProxy.Handshake(); err != nil {
		t.Fatal(err)
	}
	c := NewConn(toProxy, Limits{}, new(Names), nil)
	began := time.Now()
	c.Abort(errors.New("enough"))
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v", took)
	}
}
