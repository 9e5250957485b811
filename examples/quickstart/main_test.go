package main

import (
	"errors"
	"testing"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/examples/internal/exampletest"
	"github.com/imapkit/imapkit/imapkittest"
)

func TestListsUnreadMessagesAndShowsTheNewest(t *testing.T) {
	exampletest.Contains(t, exampletest.Output(t, run),
		"   5  2026-01-11 07:00  This week: first flush — and how to keep it\n",
		"   8  2026-01-15 10:05  Квитки на потяг\n",
		"The newest one, from Олена Шевченко <olena@example.ua>:\n",
		"The train tickets are here: carriage 7, seats 21 and 22.\n",
	)
}

func TestWorksOnTheAccountOfTheURL(t *testing.T) {
	_, url := exampletest.Server(t, imapkittest.Options{})
	exampletest.Contains(t, exampletest.Output(t, run, "-url", url), "Квитки на потяг")

	t.Setenv("IMAP_PASSWORD", "wrong")
	if err := run(t.Context(), []string{"-url", url}, t.Output()); !errors.Is(err, imapkit.ErrAuthentication) {
		t.Errorf("with a wrong password: %v, want ErrAuthentication", err)
	}
}
