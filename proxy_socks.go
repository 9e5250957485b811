package imapkit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/net/proxy"
)

func (p SOCKSProxy) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if err := checkChain(p); err != nil {
		return nil, err
	}
	host, port, err := splitTarget(network, addr)
	if err != nil {
		return nil, err
	}
	if p.Version == SOCKS5 {
		return dialProxy(ctx, p.Forward, p.Addr, func(conn net.Conn) (net.Conn, error) {
			return conn, p.socks5(conn, addr)
		})
	}
	request, err := p.socks4Request(ctx, host, port)
	if err != nil {
		return nil, err
	}
	return dialProxy(ctx, p.Forward, p.Addr, func(conn net.Conn) (net.Conn, error) {
		if _, err := conn.Write(request); err != nil {
			return nil, err
		}
		return conn, readSOCKS4Reply(conn)
	})
}

// socks5 asks the SOCKS5 proxy at the other end of conn for a connection to
// target. The context is watched by the caller.
func (p SOCKSProxy) socks5(conn net.Conn, target string) error {
	var auth *proxy.Auth
	if p.Username != "" {
		auth = &proxy.Auth{User: p.Username, Password: p.Password}
	}
	dialer, err := proxy.SOCKS5("tcp", p.Addr, auth, dialed{conn})
	if err != nil {
		return err
	}
	if _, err = dialer.Dial("tcp", target); err == nil {
		return nil
	}
	// The addresses around the cause are those that a ProxyError has, too.
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		err = op.Err
	}
	// x/net has no error values, so a better wording goes by the old one.
	text := err.Error()
	reply, isReply := strings.CutPrefix(text, "unknown error ")
	switch {
	case isReply:
		return errors.New("the proxy answered: " + reply)
	case text == "no acceptable authentication methods" && auth == nil:
		return errors.New("the proxy wants credentials: set Username and Password")
	case text == "username/password authentication failed":
		return errors.New("the proxy refused the user name or password")
	}
	return err
}

// dialed is a dialer whose connection exists already.
type dialed struct{ conn net.Conn }

func (d dialed) Dial(string, string) (net.Conn, error) { return d.conn, nil }

func (d dialed) DialContext(context.Context, string, string) (net.Conn, error) { return d.conn, nil }

// socks4Request returns the CONNECT request of SOCKS4 or SOCKS4a: version,
// command, port, address, user id; for a name the invalid address 0.0.0.1
// instead, and the name at the end.
func (p SOCKSProxy) socks4Request(ctx context.Context, host string, port uint16) ([]byte, error) {
	var name string
	ip, _ := netip.ParseAddr(host)
	switch ip = ip.Unmap(); {
	case ip.Is4() && !isSOCKS4aMark(ip):
	case p.Version == SOCKS4a:
		ip, name = netip.AddrFrom4([4]byte{0, 0, 0, 1}), host
	default:
		ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			return nil, fmt.Errorf("cannot look up the target: %w", contextError(ctx, err))
		}
		if ip, err = firstIPv4(ips); err != nil {
			return nil, err
		}
	}
	request := []byte{4, 1}
	request = binary.BigEndian.AppendUint16(request, port)
	request = append(request, ip.AsSlice()...)
	request = append(append(request, p.Username...), 0)
	if name != "" {
		request = append(append(request, name...), 0)
	}
	return request, nil
}

// firstIPv4 returns the first address that SOCKS4 can connect to.
func firstIPv4(ips []netip.Addr) (netip.Addr, error) {
	for _, ip := range ips {
		if ip = ip.Unmap(); ip.Is4() && !isSOCKS4aMark(ip) {
			return ip, nil
		}
	}
	return netip.Addr{}, errors.New("the target has no IPv4 address, which SOCKS4 needs; SOCKS4a and SOCKS5 do not")
}

// isSOCKS4aMark reports whether ip is in 0.0.0.0/24: to a SOCKS4 proxy these
// are no addresses, they say that a name follows.
func isSOCKS4aMark(ip netip.Addr) bool {
	b := ip.As4()
	return b[0] == 0 && b[1] == 0 && b[2] == 0
}

// readSOCKS4Reply reads the answer to a SOCKS4 or SOCKS4a request and not a
// byte more. What is no SOCKS4 is noticed at the first bytes.
func readSOCKS4Reply(r io.Reader) error {
	var reply [8]byte // zero, code, and port and address without a meaning
	if _, err := io.ReadFull(r, reply[:2]); err != nil {
		return err
	}
	if reply[0] != 0 {
		return fmt.Errorf("not the answer of a SOCKS4 proxy: it begins with %#02x", reply[0])
	}
	switch reply[1] {
	case 90:
		_, err := io.ReadFull(r, reply[2:])
		return err
	case 91:
		return errors.New("the proxy answered with code 91: it refused or could not reach the target")
	case 92:
		return errors.New("the proxy answered with code 92: it cannot reach an identd on this machine to check the user id")
	case 93:
		return errors.New("the proxy answered with code 93: the identd on this machine reports another user id")
	}
	return fmt.Errorf("the proxy answered with the unknown code %d", reply[1])
}
