package main

import (
	"testing"

	"github.com/imapkit/imapkit/examples/internal/exampletest"
)

func TestLogsInWithAFreshToken(t *testing.T) {
	t.Setenv("IMAP_PASSWORD", "")
	exampletest.Contains(t, exampletest.Output(t, run), "which has expired", "Fresh token", "Logged in.")
}
