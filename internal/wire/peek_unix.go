//go:build unix

package wire

import (
	"net"
	"syscall"
)

// peek reports whether a socket has data, an end or an error to be read; known
// is false if nc is no socket.
func peek(nc net.Conn) (ready, known bool) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return false, false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true, true // closed: reading tells why
	}
	var b [1]byte
	err = raw.Read(func(fd uintptr) bool {
		_, _, rerr := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		ready = rerr != syscall.EAGAIN && rerr != syscall.EWOULDBLOCK && rerr != syscall.EINTR
		return true
	})
	return ready || err != nil, true
}
