package imapkit

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/scripted"
)

func TestProgressIsToldAfterEachMessage(t *testing.T) {
	_, f := readFrom(t, scripted.Options{Exists: 3})
	ctx := context.Background()
	for name, tc := range map[string]struct {
		work func(*Folder)
		want string
	}{
		"Messages": {func(f *Folder) {
			for range f.Messages(ctx, Seen(), ItemFlags) {
			}
		}, "1/3 2/3 3/3"},
		"Messages, some gone": {func(f *Folder) {
			for range f.Messages(ctx, UIDs(99, 101, 102), ItemFlags) {
			}
		}, "1/3 2/3 3/3"},
		"Messages, none": {func(f *Folder) {
			for range f.Messages(ctx, UIDs(), ItemFlags) {
			}
		}, ""},
		"FetchAll": {func(f *Folder) {
			for range f.FetchAll(ctx, []imap.UID{101, 103, 101}) {
			}
		}, "1/2 2/2"},
		"Raw": {func(f *Folder) {
			for range f.Raw(ctx, []imap.UID{101, 103, 101}) {
			}
		}, "1/2 2/2"},
		"Sort":    {func(f *Folder) { f.Sort(ctx, All(), SortSize) }, "1/3 2/3 3/3"},
		"Threads": {func(f *Folder) { f.Threads(ctx, All(), imap.ThreadReferences) }, "1/3 2/3 3/3"},
		"left early": {func(f *Folder) {
			for m := range f.Messages(ctx, All(), ItemFlags) {
				if m.UID == 102 {
					break
				}
			}
		}, "1/3"},
	} {
		t.Run(name, func(t *testing.T) {
			var told []string
			tc.work(f.WithProgress(func(done, total int) { told = append(told, fmt.Sprintf("%d/%d", done, total)) }))
			if got := strings.Join(told, " "); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	if f.Name() != f.WithProgress(nil).Name() {
		t.Error("another folder")
	}
}
