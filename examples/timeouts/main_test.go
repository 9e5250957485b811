package main

import (
	"testing"

	"github.com/imapkit/imapkit/examples/internal/exampletest"
)

func TestRunsIntoEachTimeout(t *testing.T) {
	exampletest.Contains(t, exampletest.Output(t, run),
		"In time: 5 unread messages.",
		"Ended by the context after ",
		"Ended by DialTimeout after ",
		"Ended by GreetingTimeout after ",
		"Ended by Timeout after ",
	)
}
