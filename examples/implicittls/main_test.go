package main

import (
	"testing"

	"github.com/imapkit/imapkit/examples/internal/exampletest"
)

func TestCountsMessagesOverTLS(t *testing.T) {
	exampletest.Contains(t, exampletest.Output(t, run), "Over implicit TLS: 8 messages, 5 of them unread.")
}
