package main

import (
	"testing"

	"github.com/imapkit/imapkit/examples/internal/exampletest"
)

func TestListsFoldersOverSTARTTLS(t *testing.T) {
	exampletest.Contains(t, exampletest.Output(t, run), "Over STARTTLS", "INBOX", "Archive/2024", `\Sent`)
}
