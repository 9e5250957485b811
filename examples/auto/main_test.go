package main

import (
	"testing"

	"github.com/imapkit/imapkit/examples/internal/exampletest"
)

func TestFindsTLSOrRefuses(t *testing.T) {
	exampletest.Contains(t, exampletest.Output(t, run),
		"A port for TLS: connected with TLS 1.3",
		"A port for STARTTLS: connected with TLS 1.3",
		"A port without TLS: refused",
		"  implicit TLS on 127.0.0.1:",
		"  STARTTLS on 127.0.0.1:",
	)
}
