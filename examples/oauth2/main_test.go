package main

import (
	"strings"
	"testing"

	"github.com/imapkit/imapkit/examples/internal/exampletest"
	"github.com/imapkit/imapkit/imapkittest"
)

func TestGetsAFreshTokenWhenTheOldOneIsRefused(t *testing.T) {
	exampletest.Contains(t, exampletest.Output(t, run),
		"The token was refused, getting a fresh one.", "Logged in with a token: 5 unread messages.")
}

func TestTakesTheTokenFromTheEnvironment(t *testing.T) {
	_, url := exampletest.Server(t, imapkittest.Options{Token: "secret-token"})
	t.Setenv("IMAP_TOKEN", "secret-token")
	exampletest.Contains(t, exampletest.Output(t, run, "-url", url), "5 unread messages.")

	t.Setenv("IMAP_TOKEN", "wrong-token")
	err := run(t.Context(), []string{"-url", url}, t.Output())
	if err == nil || strings.Contains(err.Error(), "wrong-token") {
		t.Errorf("with a wrong token: %v, want an error that does not show it", err)
	}
}
