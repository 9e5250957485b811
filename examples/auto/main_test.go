package main

import (
	"strings"
	"testing"

	"github.com/imapkit/imapkit/examples/internal/exampletest"
)

func TestConnectsToBothKindsOfPort(t *testing.T) {
	out := exampletest.Output(t, run)
	if n := strings.Count(out, "Connected and logged in, encrypted"); n != 2 {
		t.Errorf("connected %d times, want 2:\n%s", n, out)
	}
}
