package main

import (
	"strings"
	"testing"

	"github.com/imapkit/imapkit/examples/internal/exampletest"
)

func TestTheStrictPolicyIsAnErrorTheOthersConnect(t *testing.T) {
	out := exampletest.Output(t, run)
	if n := strings.Count(out, ": connected"); n != 3 {
		t.Errorf("connected %d times, want 3:\n%s", n, out)
	}
	exampletest.Contains(t, out, "cannot speak")
}
