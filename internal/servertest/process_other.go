//go:build !linux

package servertest

import (
	"crypto/x509"
	"testing"
)

// process is never started: the start scripts are for Linux.
type process struct {
	spec  spec
	ports []int
	roots *x509.CertPool
}

func launch(t testing.TB, s spec, _ []Option) *process {
	t.Helper()
	t.Skipf("%s runs on Linux only", s.name)
	return nil
}

func (p *process) stop() {}

func (p *process) addr(int) string { return "" }

func (p *process) printed() string { return "" }
