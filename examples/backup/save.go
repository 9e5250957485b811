package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
)

// save adds to the backup what it lacks: messages, and changes of flags.
// Messages that are no longer in the folder stay in the backup.
func save(ctx context.Context, client *imapkit.Client, name, dir string, stdout io.Writer) error {
	folder := client.Folder(name)
	status, err := folder.Status(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	x, err := openIndex(dir, os.O_RDWR|os.O_CREATE|os.O_APPEND)
	if err != nil {
		return err
	}
	defer x.file.Close()
	here := origin{name, status.UIDValidity}
	if x.origin == (origin{}) {
		err = x.write(here)
	} else if x.origin != here {
		err = fmt.Errorf("%s holds a backup of %s with UIDVALIDITY %d, this is %s with %d: use another directory",
			dir, x.Folder, x.UIDValidity, name, status.UIDValidity)
	}
	if err != nil {
		return err
	}

	damaged := make(map[imap.UID]error)
	for uid, e := range x.entries {
		if err := verify(dir, e); err != nil {
			fmt.Fprintf(stdout, "  %v: getting it again\n", err)
			damaged[uid] = err
		}
	}
	missing := make(map[imap.UID]entry)
	for m, err := range folder.Messages(ctx, imapkit.All(), imapkit.ItemFlags, imapkit.ItemDate) {
		if err != nil {
			return err
		}
		flags := slices.DeleteFunc(m.Flags, func(f imap.Flag) bool { return f == `\Recent` })
		e, saved := x.entries[m.UID]
		switch {
		case !saved || damaged[m.UID] != nil:
			missing[m.UID] = entry{UID: m.UID, Date: m.InternalDate, Flags: flags}
		case !slices.Equal(e.Flags, flags):
			e.Flags = flags
			if err := x.add(e); err != nil {
				return err
			}
		}
	}
	there := len(x.entries) - len(damaged)
	if err := x.saveAll(ctx, folder, dir, missing, stdout); err != nil {
		return err
	}
	for uid, err := range damaged {
		if _, still := missing[uid]; still || verify(dir, x.entries[uid]) != nil {
			return fmt.Errorf("%w, and not on the server any more", err)
		}
	}
	fmt.Fprintf(stdout, "  %d messages are saved and verified, %d of them by an earlier run.\n", len(x.entries), there)
	return nil
}

// saveAll saves the messages in wanted, and takes those that it has saved out
// of it. What remains does not exist any more.
func (x *index) saveAll(
	ctx context.Context, folder *imapkit.Folder, dir string, wanted map[imap.UID]entry, stdout io.Writer,
) error {
	uids := make([]imap.UID, 0, len(wanted))
	for uid := range wanted {
		uids = append(uids, uid)
	}
	for raw, err := range folder.Raw(ctx, uids) {
		if err != nil {
			return err
		}
		e := wanted[raw.UID]
		if err := saveMessage(dir, raw, &e); err != nil {
			return err
		}
		if err := verify(dir, e); err != nil {
			return err
		}
		if err := x.add(e); err != nil {
			return err
		}
		delete(wanted, raw.UID)
		fmt.Fprintf(stdout, "  saved message %d, %d bytes\n", e.UID, e.Size)
		if err := ctx.Err(); err != nil { // whatever else has arrived already
			return err
		}
	}
	return nil
}

// saveMessage writes the file of a message. Under its name there is never half
// a message.
func saveMessage(dir string, raw imapkit.RawMessage, e *entry) error {
	name := messageFile(dir, raw.UID)
	file, err := os.OpenFile(name+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	hash := sha256.New()
	e.Size, err = io.Copy(io.MultiWriter(file, hash), raw.Body)
	if err == nil && e.Size != raw.Size {
		err = fmt.Errorf("message %d has %d bytes instead of %d", raw.UID, e.Size, raw.Size)
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	e.SHA256 = fmt.Sprintf("%x", hash.Sum(nil))
	return os.Rename(name+".part", name)
}
