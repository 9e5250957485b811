package example

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strconv"
)

// SOCKS4aProxy starts a proxy for the examples. It returns its address and how
// to stop it.
func SOCKS4aProxy() (addr string, stop func(), err error) {
	return serve(func(client net.Conn) {
		br := bufio.NewReader(client)
		var head [8]byte // version, command, port, address
		if _, err := io.ReadFull(br, head[:]); err != nil {
			return
		}
		if _, err := br.ReadString(0); err != nil { // user id
			return
		}
		host := net.IP(head[4:8]).String()
		if head[4]|head[5]|head[6] == 0 { // 0.0.0.x: a name follows
			name, err := br.ReadString(0)
			if err != nil {
				return
			}
			host = name[:len(name)-1]
		}
		port := binary.BigEndian.Uint16(head[2:4])
		forward(client, br, net.JoinHostPort(host, strconv.Itoa(int(port))), []byte{0, 90, 0, 0, 0, 0, 0, 0})
	})
}

// HTTPProxy starts a proxy for the examples. It returns its address and how to
// stop it.
func HTTPProxy() (addr string, stop func(), err error) {
	return serve(func(client net.Conn) {
		br := bufio.NewReader(client)
		request, err := http.ReadRequest(br)
		if err != nil || request.Method != http.MethodConnect {
			return
		}
		forward(client, br, request.Host, []byte("HTTP/1.1 200 Connected\r\n\r\n"))
	})
}

// serve listens and handles connections until it is stopped.
func serve(handle func(net.Conn)) (addr string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer client.Close()
				handle(client)
			}()
		}
	}()
	return listener.Addr().String(), func() { listener.Close() }, nil
}

// forward connects to target, says so, and copies both ways.
func forward(client net.Conn, fromClient io.Reader, target string, accepted []byte) {
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	if _, err := client.Write(accepted); err != nil {
		return
	}
	go func() {
		io.Copy(server, fromClient)
		server.Close()
	}()
	io.Copy(client, server)
}
