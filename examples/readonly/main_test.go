package main

import (
	"testing"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/examples/internal/exampletest"
	"github.com/imapkit/imapkit/imapkittest"
)

func TestLeavesNoTrace(t *testing.T) {
	server, url := exampletest.Server(t, imapkittest.Options{})
	exampletest.Contains(t, exampletest.Output(t, run, "-url", url),
		"5 unread messages.", `Read "Números de dezembro".`, "Still 5 unread messages.", "client is read-only")

	client := server.Client()
	defer client.Close()
	unread, err := client.Folder("INBOX").Count(t.Context(), imapkit.Unseen())
	if err != nil || unread != 5 {
		t.Errorf("another client finds %d unread messages (%v), want 5", unread, err)
	}
}

func TestRunsWithoutAnAccount(t *testing.T) {
	exampletest.Contains(t, exampletest.Output(t, run), "Still 5 unread messages.")
}
