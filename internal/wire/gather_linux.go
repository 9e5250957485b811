package wire

import "syscall"

// setLowWater sets how many bytes must be there before the socket counts as
// readable. Its end and errors count at any time. A read that does not block
// takes what is there all the same, which it does not on other systems.
func setLowWater(raw syscall.RawConn, n int) error {
	var err error
	if cerr := raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, n)
	}); cerr != nil {
		return cerr
	}
	return err
}
