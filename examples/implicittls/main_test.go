package main

import (
	"testing"

	"github.com/imapkit/imapkit/examples/internal/exampletest"
)

func TestConnectsWithTLSFromTheFirstByte(t *testing.T) {
	exampletest.Contains(t, exampletest.Output(t, run), "Connected with TLS 1.3;", "5 unread messages.")
}
