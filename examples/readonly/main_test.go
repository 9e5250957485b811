package main

import (
	"testing"

	"github.com/imapkit/imapkit/examples/internal/exampletest"
)

func TestReadingLeavesMessagesUnread(t *testing.T) {
	exampletest.Contains(t, exampletest.Output(t, run), "Unread before: 5", "Unread after: 5", "client is read-only")
}
