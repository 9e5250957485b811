package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/emersion/go-imap/v2"
)

// An index says what a backup holds. Its file has a JSON object in each line:
// first the origin, then entries in the order in which they were made. Of
// several entries for a message the last one counts.
type index struct {
	origin
	entries map[imap.UID]entry
	file    *os.File
}

// An origin is the folder that was saved, as it was identified then. With
// another UIDVALIDITY the same UIDs are other messages.
type origin struct {
	Folder      string `json:"folder"`
	UIDValidity uint32 `json:"uidValidity"`
}

// An entry is a message that was saved.
type entry struct {
	UID    imap.UID    `json:"uid"`
	Size   int64       `json:"size"`
	SHA256 string      `json:"sha256"`
	Date   time.Time   `json:"date"`
	Flags  []imap.Flag `json:"flags"`
}

func messageFile(dir string, uid imap.UID) string {
	return filepath.Join(dir, fmt.Sprintf("%d.eml", uid))
}

// openIndex reads the index in dir, if there is one.
func openIndex(dir string, flag int) (*index, error) {
	file, err := os.OpenFile(filepath.Join(dir, "index.jsonl"), flag, 0o600)
	if err != nil {
		return nil, err
	}
	x := &index{entries: make(map[imap.UID]entry), file: file}
	if err := x.read(); err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", file.Name(), err)
	}
	return x, nil
}

func (x *index) read() error {
	data, err := io.ReadAll(x.file)
	if err != nil {
		return err
	}
	good := 0
	for line := range bytes.Lines(data) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // the program was interrupted while it wrote this
		}
		if good == 0 {
			err = json.Unmarshal(line, &x.origin)
		} else {
			var e entry
			err = json.Unmarshal(line, &e)
			x.entries[e.UID] = e
		}
		if err != nil {
			return fmt.Errorf("at byte %d: %w", good, err)
		}
		good += len(line)
	}
	if good < len(data) {
		return x.file.Truncate(int64(good))
	}
	return nil
}

// add writes an entry. The file is opened for appending.
func (x *index) add(e entry) error {
	x.entries[e.UID] = e
	return x.write(e)
}

func (x *index) write(line any) error {
	data, err := json.Marshal(line)
	if err != nil {
		return err
	}
	if _, err := x.file.Write(append(data, '\n')); err != nil {
		return err
	}
	return x.file.Sync()
}

// verify reads the file of a message and reports what is wrong with it.
func verify(dir string, e entry) error {
	name := messageFile(dir, e.UID)
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is missing", name)
	}
	if err != nil {
		return err
	}
	defer file.Close()
	hash := sha256.New()
	size, err := io.Copy(hash, file)
	if err != nil {
		return err
	}
	if size != e.Size || fmt.Sprintf("%x", hash.Sum(nil)) != e.SHA256 {
		return fmt.Errorf("%s is not what was saved", name)
	}
	return nil
}
