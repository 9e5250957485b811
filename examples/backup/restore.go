package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/imapkit/imapkit"
)

// restore adds the messages of a backup that the folder lacks. It tells by
// their contents which ones those are, so that neither an interruption nor a
// connection lost at the wrong moment makes a second copy.
func restore(ctx context.Context, client *imapkit.Client, name, dir string, stdout io.Writer) error {
	x, err := openIndex(dir, os.O_RDWR)
	if err != nil {
		return err
	}
	defer x.file.Close()
	entries := slices.SortedFunc(maps.Values(x.entries), func(a, b entry) int { return cmp.Compare(a.UID, b.UID) })
	for _, e := range entries {
		if err := verify(dir, e); err != nil {
			return err
		}
	}

	folder, err := client.Select(ctx, name)
	var refused *imapkit.ServerError
	if errors.As(err, &refused) { // most likely there is no such folder
		if err := client.CreateFolder(ctx, name); err != nil {
			return err
		}
		folder, err = client.Select(ctx, name)
	}
	if err != nil {
		return err
	}
	present, err := contents(ctx, folder)
	if err != nil {
		return err
	}
	there := 0
	for _, e := range entries {
		if present[e.SHA256] > 0 {
			present[e.SHA256]--
			there++
			continue
		}
		if err := restoreMessage(ctx, folder, dir, e); err != nil {
			return fmt.Errorf("message %d: %w", e.UID, err)
		}
		fmt.Fprintf(stdout, "  restored message %d, %d bytes\n", e.UID, e.Size)
	}

	if present, err = contents(ctx, folder); err != nil {
		return err
	}
	for _, e := range entries {
		if present[e.SHA256]--; present[e.SHA256] < 0 {
			return fmt.Errorf("message %d is not in %s as it was saved: did the server change it?", e.UID, name)
		}
	}
	fmt.Fprintf(stdout, "  %d messages are restored and verified, %d of them were there before.\n", len(entries), there)
	return nil
}

func restoreMessage(ctx context.Context, folder *imapkit.Folder, dir string, e entry) error {
	file, err := os.Open(messageFile(dir, e.UID))
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = folder.Append(ctx, file, e.Size, imapkit.AppendOptions{Flags: e.Flags, InternalDate: e.Date})
	return err
}

// contents returns how often each message is in the folder, by its hash.
func contents(ctx context.Context, folder *imapkit.Folder) (map[string]int, error) {
	uids, err := folder.Search(ctx, imapkit.All())
	if err != nil {
		return nil, err
	}
	count := make(map[string]int)
	for raw, err := range folder.Raw(ctx, uids) {
		if err != nil {
			return nil, err
		}
		hash := sha256.New()
		if _, err := io.Copy(hash, raw.Body); err != nil {
			return nil, err
		}
		count[fmt.Sprintf("%x", hash.Sum(nil))]++
	}
	return count, nil
}
