package main

import (
	"testing"

	"github.com/imapkit/imapkit/examples/internal/exampletest"
)

func TestConnectsThroughTheProxy(t *testing.T) {
	exampletest.Contains(t, exampletest.Output(t, run), "Through http://127.0.0.1:", "5 unread messages")
}
