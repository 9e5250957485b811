package main

import (
	"testing"

	"github.com/imapkit/imapkit/examples/internal/exampletest"
)

func TestEachLimitIsKept(t *testing.T) {
	exampletest.Contains(t, exampletest.Output(t, run), "In time: 8 messages.", "No greeting: true", "The context ended: true")
}
