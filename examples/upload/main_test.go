package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/examples/internal/exampletest"
	"github.com/imapkit/imapkit/imapkittest"
)

func TestShowsProgressUntilAllIsUploaded(t *testing.T) {
	exampletest.Contains(t, exampletest.Output(t, run),
		"\r["+strings.Repeat(".", 40)+"] 0 of 3",
		"\r["+strings.Repeat("#", 40)+"] 3 of 3",
		"3 messages are in Imported now.",
	)
}

func TestUploadsFilesWithTheirDatesAndCRLF(t *testing.T) {
	server, url := exampletest.Server(t, imapkittest.Options{})
	dir := t.TempDir()
	text := "Date: Fri, 06 Mar 2026 10:00:00 +0000\nSubject: one\n\nfirst\nsecond\n"
	if err := os.WriteFile(filepath.Join(dir, "one.eml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	exampletest.Output(t, run, "-url", url, "-dir", dir, "-to", "New/Folder")

	client := server.Client()
	defer client.Close()
	message, err := client.Folder("New/Folder").FetchSeq(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.ReplaceAll(text, "\n", "\r\n"); string(message.Raw) != want {
		t.Errorf("uploaded %q, want %q", message.Raw, want)
	}
	if want := time.Date(2026, 3, 6, 10, 0, 0, 0, time.UTC); !message.Info.InternalDate.Equal(want) {
		t.Errorf("internal date %v, want %v", message.Info.InternalDate, want)
	}
}

func TestFailsWhenThereIsNothingToUpload(t *testing.T) {
	if err := run(t.Context(), []string{"-dir", t.TempDir()}, t.Output()); err == nil {
		t.Error("no error for an empty directory")
	}
}

func TestSaysHowManyMessagesAreUploadedWhenItFails(t *testing.T) {
	_, url := exampletest.Server(t, imapkittest.Options{})
	err := run(t.Context(), []string{"-url", url + "&readonly=1"}, t.Output())
	if err == nil || !strings.Contains(err.Error(), imapkit.ErrReadOnly.Error()) || !strings.Contains(err.Error(), "0 of 3") {
		t.Errorf("%v, want ErrReadOnly and 0 of 3", err)
	}
}
