//go:build !unix

package wire

import "net"

// peek cannot tell.
func peek(net.Conn) (ready, known bool) { return false, false }
