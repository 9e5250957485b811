// Package tinyproxy runs a proxy on 127.0.0.1 for the example programs: SOCKS
// 4, 4a and 5 and HTTP CONNECT on one port, without authentication.
package tinyproxy

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
)

// A Proxy is a proxy that is running.
type Proxy struct {
	Addr string // host:port

	listener net.Listener
	mu       sync.Mutex
	target   string // asked for last
}

// New starts a proxy.
func New() (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{Addr: listener.Addr().String(), listener: listener}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(conn)
		}
	}()
	return p, nil
}

// Close stops taking connections. Those that exist end with their clients.
func (p *Proxy) Close() error { return p.listener.Close() }

// Target returns what the proxy was asked to connect to last, as host:port.
func (p *Proxy) Target() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.target
}

func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	in := bufio.NewReader(client)
	target, success, err := handshake(in, client)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.target = target
	p.mu.Unlock()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	if _, err := client.Write(success); err != nil {
		return
	}
	go func() {
		io.Copy(server, in)
		server.Close()
	}()
	io.Copy(client, server)
}

// handshake reads what the client wants, and returns what tells it that it has
// got that.
func handshake(in *bufio.Reader, out io.Writer) (target string, success []byte, err error) {
	first, err := in.Peek(1)
	if err != nil {
		return "", nil, err
	}
	switch first[0] {
	case 4:
		target, err = socks4(in)
		return target, []byte{0, 90, 0, 0, 0, 0, 0, 0}, err
	case 5:
		target, err = socks5(in, out)
		return target, []byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0}, err
	}
	request, err := http.ReadRequest(in)
	if err != nil {
		return "", nil, err
	}
	if request.Method != http.MethodConnect {
		return "", nil, fmt.Errorf("method %s is not CONNECT", request.Method)
	}
	return request.Host, []byte("HTTP/1.1 200 Connection established\r\n\r\n"), nil
}

func socks4(in *bufio.Reader) (string, error) {
	var head [8]byte // version, command, port, address
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return "", err
	}
	if _, err := in.ReadString(0); err != nil { // the user id
		return "", err
	}
	host := netip.AddrFrom4([4]byte(head[4:])).String()
	if head[4] == 0 && head[5] == 0 && head[6] == 0 { // SOCKS 4a: a name follows
		name, err := in.ReadString(0)
		if err != nil {
			return "", err
		}
		host = name[:len(name)-1]
	}
	return hostPort(host, head[2:4]), nil
}

func socks5(in *bufio.Reader, out io.Writer) (string, error) {
	var head [2]byte // version, number of methods
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return "", err
	}
	if _, err := in.Discard(int(head[1])); err != nil {
		return "", err
	}
	if _, err := out.Write([]byte{5, 0}); err != nil { // no authentication
		return "", err
	}
	var request [5]byte // version, command, reserved, type of address, its first byte
	if _, err := io.ReadFull(in, request[:]); err != nil {
		return "", err
	}
	length := map[byte]int{1: 3, 3: int(request[4]), 4: 15}[request[3]]
	if length == 0 {
		return "", errors.New("unknown type of address")
	}
	rest := make([]byte, length+2)
	if _, err := io.ReadFull(in, rest); err != nil {
		return "", err
	}
	host := string(rest[:length])
	if request[3] != 3 {
		addr, _ := netip.AddrFromSlice(append(request[4:5:5], rest[:length]...))
		host = addr.String()
	}
	return hostPort(host, rest[length:]), nil
}

func hostPort(host string, port []byte) string {
	return net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(port))))
}
