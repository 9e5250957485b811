package imapkittest

import (
	"bytes"
	"net"
	"sync"
	"time"
)

// drainTime is how long a connection that is being closed may take to deliver
// its last words.
const drainTime = 5 * time.Second

// An outbox writes to a connection in the background. The memory server holds
// the lock of a mailbox while it writes a message: with an outbox a client that
// is slow to read does not keep others from that mailbox.
type outbox struct {
	conn net.Conn
	done chan struct{} // closed when the goroutine has ended

	mu       sync.Mutex
	wake     sync.Cond // more to write, or closed
	queue    []byte
	last     []byte // what the last Write began with
	skipLine bool   // throw away everything up to the end of a line
	closed   bool
	gone     bool // nothing can be written any more
}

// newOutbox starts an outbox that keeps the first line to itself.
func newOutbox(conn net.Conn) *outbox {
	o := &outbox{conn: conn, done: make(chan struct{}), skipLine: true}
	o.wake.L = &o.mu
	go o.run()
	return o
}

func (o *outbox) run() {
	defer close(o.done)
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		for len(o.queue) == 0 && !o.closed {
			o.wake.Wait()
		}
		if len(o.queue) == 0 {
			return
		}
		p := o.queue
		o.queue = nil
		o.mu.Unlock()
		_, err := o.conn.Write(p)
		o.mu.Lock()
		if err != nil {
			o.gone = true
			return
		}
	}
}

// Write queues p, or throws it away when the connection is gone. It never
// fails: the memory server would keep a lock for ever if it could not write a
// message to its end. That the connection is gone it learns when it reads.
func (o *outbox) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(p)
	if o.gone || o.closed {
		return n, nil
	}
	if o.skipLine {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			return n, nil
		}
		o.skipLine = false
		p = p[i+1:]
	}
	o.last = append(o.last[:0], p[:min(len(p), 2)]...)
	o.queue = append(o.queue, p...)
	o.wake.Signal()
	return n, nil
}

// invited reports whether the last Write was a continuation request.
func (o *outbox) invited() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.last) == "+ "
}

// Close delivers what is queued, within drainTime.
func (o *outbox) Close() error {
	o.conn.SetWriteDeadline(time.Now().Add(drainTime))
	o.mu.Lock()
	o.closed = true
	o.wake.Signal()
	o.mu.Unlock()
	<-o.done
	return nil
}
