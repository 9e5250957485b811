package main

import (
	"testing"

	"github.com/imapkit/imapkit/examples/internal/exampletest"
)

func TestConnectsWithAllowedVersionsOnly(t *testing.T) {
	exampletest.Contains(t, exampletest.Output(t, run),
		"The default (TLS 1.2, TLS 1.3):\n  connected with TLS 1.3\n",
		"One version (TLS 1.2):\n  connected with TLS 1.2\n",
		"Lenient, with one that Go cannot speak (SSL 3.0, TLS 1.2, TLS 1.3):\n  connected with TLS 1.3\n",
		"Strict, with one that Go cannot speak (SSL 3.0, TLS 1.2, TLS 1.3):\n  refused: ",
		"cannot speak SSL 3.0, and Client.TLS.Strict is set",
		"Old ones, for servers that have no better (TLS 1.0, TLS 1.1):\n  refused: ",
	)
}
