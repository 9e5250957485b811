package main

import (
	"testing"

	"github.com/imapkit/imapkit/examples/internal/exampletest"
)

func TestLogsIn(t *testing.T) {
	exampletest.Contains(t, exampletest.Output(t, run), "Logged in with CRAM-MD5")
}
