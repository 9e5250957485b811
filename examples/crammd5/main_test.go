package main

import (
	"testing"

	"github.com/imapkit/imapkit/examples/internal/exampletest"
)

func TestUsesCRAMMD5OrNothing(t *testing.T) {
	exampletest.Contains(t, exampletest.Output(t, run),
		"Logged in with CRAM-MD5.", "allowed CRAM-MD5; offered PLAIN")
}
