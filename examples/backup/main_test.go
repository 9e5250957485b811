package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/examples/internal/exampletest"
	"github.com/imapkit/imapkit/imapkittest"
)

func TestSavesAndRestoresAnInbox(t *testing.T) {
	exampletest.Contains(t, exampletest.Output(t, run),
		"8 messages are saved and verified, 0 of them by an earlier run.",
		"8 messages are restored and verified, 0 of them were there before.",
	)
}

// An interrupter cancels a context when a text has been written some times.
type interrupter struct {
	text   string
	times  int
	cancel context.CancelFunc
}

func (i *interrupter) Write(p []byte) (int, error) {
	if i.times -= strings.Count(string(p), i.text); i.times == 0 {
		i.cancel()
	}
	return len(p), nil
}

func interruptAfter(t *testing.T, times int, text string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := run(ctx, args, &interrupter{text, times, cancel}); !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted: %v, want context.Canceled", err)
	}
}

func TestGoesOnWhereItWasInterrupted(t *testing.T) {
	server, url := exampletest.Server(t, imapkittest.Options{})
	save := []string{"-url", url, "-dir", t.TempDir()}
	restore := append(save, "-restore", "-folder", "Restored")

	interruptAfter(t, 3, "saved message", save...)
	exampletest.Contains(t, exampletest.Output(t, run, save...),
		"8 messages are saved and verified, 3 of them by an earlier run.")
	interruptAfter(t, 5, "restored message", restore...)
	exampletest.Contains(t, exampletest.Output(t, run, restore...),
		"8 messages are restored and verified, 5 of them were there before.")

	client := server.Client()
	defer client.Close()
	type message struct {
		flags, date, raw string
	}
	messages := func(folder string) (list []message) {
		uids, err := client.Folder(folder).Search(t.Context(), imapkit.All())
		if err != nil {
			t.Fatal(err)
		}
		for m, err := range client.Folder(folder).FetchAll(t.Context(), uids) {
			if err != nil {
				t.Fatal(err)
			}
			var flags []string
			for _, f := range []imap.Flag{imap.FlagSeen, imap.FlagAnswered, imap.FlagFlagged} {
				if slices.Contains(m.Info.Flags, f) {
					flags = append(flags, string(f))
				}
			}
			list = append(list, message{strings.Join(flags, " "), m.Info.InternalDate.UTC().String(), string(m.Raw)})
		}
		return list
	}
	want, got := messages("INBOX"), messages("Restored")
	if len(got) != len(want) {
		t.Fatalf("%d messages are restored, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("message %d is restored as\n%+v\nwant\n%+v", i+1, got[i], want[i])
		}
	}
}

func TestSavesChangedFlagsAndKeepsWhatWasDeleted(t *testing.T) {
	server, url := exampletest.Server(t, imapkittest.Options{})
	save := []string{"-url", url, "-dir", t.TempDir()}
	exampletest.Output(t, run, save...)

	client := server.Client()
	defer client.Close()
	inbox := client.Folder("INBOX")
	err := errors.Join(inbox.AddFlags(t.Context(), []imap.UID{8}, imap.FlagFlagged), inbox.Delete(t.Context(), []imap.UID{1}))
	if err != nil {
		t.Fatal(err)
	}
	exampletest.Contains(t, exampletest.Output(t, run, save...), "8 messages are saved and verified, 8 of them")
	exampletest.Output(t, run, append(save, "-restore", "-folder", "Restored")...)
	if n, err := client.Folder("Restored").Count(t.Context(), imapkit.HasFlag(imap.FlagFlagged)); err != nil || n != 2 {
		t.Errorf("%d restored messages are flagged (%v), want 2", n, err)
	}
}

func TestMendsADamagedBackup(t *testing.T) {
	server, url := exampletest.Server(t, imapkittest.Options{})
	dir := t.TempDir()
	save := []string{"-url", url, "-dir", dir}
	exampletest.Output(t, run, save...)
	for name, text := range map[string]string{"2.eml": "", "3.eml": "something else"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(t.Context(), append(save, "-restore", "-folder", "Restored"), io.Discard); err == nil {
		t.Error("a damaged backup was restored")
	}
	exampletest.Contains(t, exampletest.Output(t, run, save...),
		"2.eml is not what was saved: getting it again", "8 messages are saved and verified, 6 of them")

	client := server.Client()
	defer client.Close()
	if err := client.Folder("INBOX").Delete(t.Context(), []imap.UID{4}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "4.eml")); err != nil {
		t.Fatal(err)
	}
	err := run(t.Context(), save, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "4.eml is missing, and not on the server any more") {
		t.Errorf("a message that is lost: %v, want an error that names it", err)
	}
}

func TestForgetsAnIndexLineThatWasNotFinished(t *testing.T) {
	_, url := exampletest.Server(t, imapkittest.Options{})
	dir := t.TempDir()
	save := []string{"-url", url, "-dir", dir}
	exampletest.Output(t, run, save...)
	name := filepath.Join(dir, "index.jsonl")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data[:len(data)-10], 0o600); err != nil {
		t.Fatal(err)
	}
	exampletest.Contains(t, exampletest.Output(t, run, save...), "8 messages are saved and verified, 7 of them")
}

func TestRefusesADirectoryWithAnotherBackup(t *testing.T) {
	_, url := exampletest.Server(t, imapkittest.Options{})
	save := []string{"-url", url, "-dir", t.TempDir()}
	exampletest.Output(t, run, save...)
	if err := run(t.Context(), append(save, "-folder", "Sent"), io.Discard); err == nil {
		t.Error("two folders were saved to one directory")
	}
}
