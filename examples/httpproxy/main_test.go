package main

import (
	"errors"
	"testing"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/examples/internal/exampletest"
)

func TestReadsMailThroughAnHTTPProxy(t *testing.T) {
	exampletest.Contains(t, exampletest.Output(t, run), "5 unread messages through http://127.0.0.1:")
}

func TestFailsWithoutTheProxy(t *testing.T) {
	var failed *imapkit.ProxyError
	err := run(t.Context(), []string{"-proxy", "http://127.0.0.1:1"}, t.Output())
	if !errors.As(err, &failed) {
		t.Errorf("%v, want a ProxyError", err)
	}
}
