package main

import (
	"strings"
	"testing"
	"time"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/examples/internal/exampletest"
	"github.com/imapkit/imapkit/imapkittest"
)

func TestMovesOldReadMessagesThatAreNotFlagged(t *testing.T) {
	out := exampletest.Output(t, run)
	exampletest.Contains(t, out, "Minutes of last spring", "Parcel delivered", "Moved 2 messages from INBOX to Archive.")
	for _, stays := range []string{"Your contract", "Have you seen this?", "Lunch today?"} {
		if strings.Contains(out, stays) {
			t.Errorf("%q was moved:\n%s", stays, out)
		}
	}
}

func TestMovesWhatTheDryRunLists(t *testing.T) {
	server, url := exampletest.Server(t, imapkittest.Options{Messages: untidy(time.Now())})
	count := func(folder string, want int) {
		t.Helper()
		client := server.Client()
		defer client.Close()
		if n, err := client.Folder(folder).Count(t.Context(), imapkit.All()); err != nil || n != want {
			t.Errorf("%s has %d messages (%v), want %d", folder, n, err, want)
		}
	}
	args := []string{"-url", url, "-days", "100", "-to", "Old mail"}
	exampletest.Contains(t, exampletest.Output(t, run, append(args, "-dry-run")...),
		"Would move 1 messages from INBOX to Old mail.")
	count("INBOX", 5)
	exampletest.Contains(t, exampletest.Output(t, run, args...), "Moved 1 messages from INBOX to Old mail.")
	count("INBOX", 4)
	count("Old mail", 1)
	exampletest.Contains(t, exampletest.Output(t, run, args...), "INBOX is tidy.")
}
