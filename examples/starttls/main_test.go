package main

import (
	"testing"

	"github.com/imapkit/imapkit/examples/internal/exampletest"
)

func TestChangesToTLSOrRefuses(t *testing.T) {
	exampletest.Contains(t, exampletest.Output(t, run),
		"Changed to TLS 1.3.", "5 unread messages.", "the server does not offer STARTTLS")
}
