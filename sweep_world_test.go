package imapkit_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
)

// A world is a state in which the mailbox may be. Its keys are folders, "a", with
// the value "subscribed" or "", messages in them, "a: one", with their flags,
// annotations, "a comment", with their text, and rights, "a bob".
type world map[string]string

// A change is what a command makes of a world.
type change func(world)

func adds(key, value string) change { return func(w world) { w[key] = value } }
func removes(key string) change     { return func(w world) { delete(w, key) } }

func copies(key, to string) change {
	return func(w world) {
		if flags, ok := w[key]; ok {
			w[to] = flags
		}
	}
}

func moves(key, to string) change {
	return func(w world) {
		copies(key, to)(w)
		delete(w, key)
	}
}

// renames renames a folder with all that is in it.
func renames(from, to string) change {
	return func(w world) {
		for key := range maps.Clone(w) {
			if rest, ok := strings.CutPrefix(key, from); ok && (rest == "" || rest[0] == ':' || rest[0] == ' ') {
				moves(key, to+rest)(w)
			}
		}
	}
}

func deletes(folder string) change {
	return func(w world) {
		renames(folder, "gone")(w)
		maps.DeleteFunc(w, func(key, _ string) bool { return strings.HasPrefix(key, "gone") })
	}
}

// flags makes the flags of a message others.
func flags(key string, with func(have []string) []string) change {
	return func(w world) {
		if have, ok := w[key]; ok {
			list := with(strings.Fields(have))
			slices.Sort(list)
			w[key] = strings.Join(slices.Compact(list), " ")
		}
	}
}

func flagsAdded(key string, list ...imap.Flag) change {
	return flags(key, func(have []string) []string {
		for _, flag := range list {
			have = append(have, string(flag))
		}
		return have
	})
}

func flagsRemoved(key string, flag imap.Flag) change {
	return flags(key, func(have []string) []string {
		return slices.DeleteFunc(have, func(f string) bool { return f == string(flag) })
	})
}

func all(changes ...change) change {
	return func(w world) {
		for _, c := range changes {
			c(w)
		}
	}
}

// A trial is one session with its faults.
type trial struct {
	target *sweepTarget
	ctx    context.Context
	name   string          // what the names of its folders and messages begin with
	c      *imapkit.Client // through the saboteur
	direct *imapkit.Client // not through it
	p      *saboteur

	// What is known of the mailbox from the beginning.
	uids    map[string]imap.UID // of messages, by subject
	modSeq  uint64              // of folder a
	answers []string            // of what reads

	worlds          []world             // in one of which the mailbox must be
	claims          map[string]imap.UID // that the client has told, by key
	failed, unknown int                 // steps
	steps           []string            // and what came of each
	ends            [][2]int64          // what had passed through the saboteur after each
	began           time.Time           // the step under way
	slowest         time.Duration       // step
	lies            []string
}

func (tr *trial) folder(short string) string {
	if short == "trash" {
		return tr.target.prefix + "Trash"
	}
	return tr.target.prefix + tr.name + short
}

func (tr *trial) box(short string) *imapkit.Folder { return tr.c.Folder(tr.folder(short)) }

// letter is the text of a message.
func (tr *trial) letter(subject string) string {
	lines := 1 + len(subject) // which gives each another size
	if subject == large {
		lines = 800
	}
	return fmt.Sprintf("Date: Tue, 10 Mar 2026 12:00:%02d +0000\r\nFrom: a@example.org\r\nSubject: %s %s\r\n"+
		"Message-ID: <%s.%[3]s@example.org>\r\n\r\n", len(subject), tr.name, subject, tr.name) +
		strings.Repeat("Text of "+subject+"\r\n", lines)
}

// large is the subject of a message that takes several reads and writes.
const large = "large"

// note takes down a step.
func (tr *trial) note(step string, err error) {
	switch {
	case errors.Is(err, imapkit.ErrUnknownOutcome):
		tr.unknown++
	case err != nil:
		tr.failed++
	}
	tr.steps = append(tr.steps, fmt.Sprintf("%s: %v", step, err))
	tr.ends = append(tr.ends, tr.p.size())
	now := time.Now()
	tr.slowest, tr.began = max(tr.slowest, now.Sub(tr.began)), now
}

func (tr *trial) lie(format string, args ...any) {
	tr.lies = append(tr.lies, fmt.Sprintf(format, args...))
}

// did takes down a step that makes changes one after another. Without an error
// all of them have been made; if the outcome is unknown, so is how many; and
// with another error none.
func (tr *trial) did(step string, err error, changes ...change) {
	tr.note(step, err)
	switch {
	case err == nil:
		tr.made(len(changes), len(changes), changes)
	case errors.Is(err, imapkit.ErrUnknownOutcome):
		tr.made(0, len(changes), changes)
	}
}

// made tells how many of the changes have been made.
func (tr *trial) made(least, most int, changes []change) {
	var worlds []world
	for _, w := range tr.worlds {
		for n := least; n <= most; n++ {
			next := maps.Clone(w)
			all(changes[:n]...)(next)
			if !slices.ContainsFunc(worlds, func(w world) bool { return maps.Equal(w, next) }) {
				worlds = append(worlds, next)
			}
		}
	}
	tr.worlds = worlds
}

// moved takes down a step that moves a message from folder a.
func (tr *trial) moved(step string, err error, key, to string) {
	if tr.has(imap.CapMove) {
		tr.did(step, err, moves(key, to))
		return
	}
	tr.removed(step, err, key, copies(key, to), "were copied to")
}

// removed takes down a step that removes a message from folder a, but first makes
// another change, if any. The error must tell what is where: that the first
// change is made says its text done.
func (tr *trial) removed(step string, err error, key string, first change, done string) {
	tr.note(step, err)
	says := func(text string) bool { return err != nil && strings.Contains(err.Error(), text) }
	stages := []change{flagsAdded(key, imap.FlagDeleted), removes(key)}
	confirmed := 0
	if first != nil {
		stages = slices.Insert(stages, 0, first)
		if says(done) {
			confirmed = 1
		}
	}
	switch {
	case err == nil || says("was done, but"):
		tr.made(len(stages), len(stages), stages)
	case says(`were marked \Deleted, but not`):
		tr.made(confirmed+1, confirmed+1, stages)
	case says(`were marked \Deleted, and may`):
		tr.made(confirmed+1, confirmed+2, stages)
	case errors.Is(err, imapkit.ErrUnknownOutcome):
		tr.made(confirmed, confirmed+1, stages)
	default:
		tr.made(confirmed, confirmed, stages)
	}
	if says(`lost their \Deleted mark`) {
		if tr.has(imap.CapUIDPlus) {
			tr.lie("%s: no mark had to be taken off: %v", step, err)
		}
		tr.made(0, 1, []change{func(w world) {
			for other := range w {
				if strings.HasPrefix(other, "a: ") && other != key {
					flagsRemoved(other, imap.FlagDeleted)(w)
				}
			}
		}})
	}
}

// read takes down a step that reads. Its answer, if there is one, must be right
// in one of the worlds.
func (tr *trial) read(step string, err error, answer string, right func(world) string) {
	tr.note(step, err)
	if err == nil && !slices.ContainsFunc(tr.worlds, func(w world) bool { return right(w) == answer }) {
		tr.lie("%s: false answer %s", step, answer)
	}
}

// claim takes down the UID of a new message, where the client has told it.
func (tr *trial) claim(key string, uid imap.UID) {
	if uid != 0 && !tr.target.alone {
		tr.claims[key] = uid
	}
}

// observe looks at the mailbox through a second client.
func (tr *trial) observe() (world, map[string]imap.UID, error) {
	w, uids := make(world), make(map[string]imap.UID)
	folders, err := tr.direct.FoldersStatus(tr.ctx, tr.folder("*"))
	if err != nil {
		return nil, nil, err
	}
	shorts := []string{"trash"}
	for _, f := range folders {
		short := strings.TrimPrefix(f.Name, tr.folder(""))
		w[short] = ""
		if f.Subscribed {
			w[short] = "subscribed"
		}
		shorts = append(shorts, short)
	}
	for _, short := range shorts {
		f := tr.direct.Folder(tr.folder(short))
		for m, err := range f.Messages(tr.ctx, imapkit.All(), imapkit.ItemFlags, imapkit.ItemEnvelope) {
			if err != nil {
				return nil, nil, err
			}
			subject, ours := strings.CutPrefix(m.Envelope.Subject, tr.name+" ")
			if !ours && short == "trash" {
				continue
			}
			key := short + ": " + subject
			for uids[key] != 0 {
				key += " doubled"
			}
			w[key], uids[key] = keptFlags(m), m.UID
		}
		if short == "trash" {
			continue
		}
		if tr.has(imap.CapMetadata) {
			values, err := f.Metadata(tr.ctx, "/private/comment")
			if err != nil {
				return nil, nil, err
			}
			if text, ok := values["/private/comment"]; ok {
				w[short+" comment"] = string(text)
			}
		}
		if tr.has(imap.CapACL) {
			rights, err := f.ACL(tr.ctx)
			if err != nil {
				return nil, nil, err
			}
			if bob, ok := rights["bob"]; ok {
				w[short+" bob"] = string(bob)
			}
		}
	}
	return w, uids, nil
}

// keptFlags returns the flags that do not depend on who looks.
func keptFlags(m *imapkit.MessageInfo) string {
	var list []string
	for _, flag := range m.Flags {
		if flag != `\Recent` {
			list = append(list, string(flag))
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// patience is how long a server may be at work on what it was sent before a
// connection was lost.
const patience = 3 * time.Second

// verify compares the mailbox with what the session was told.
func (tr *trial) verify() error {
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		have, uids, err := tr.observe()
		if err == nil {
			err = tr.explain(have, uids)
		}
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// explain returns an error unless the mailbox is in one of the worlds.
func (tr *trial) explain(have world, uids map[string]imap.UID) error {
	if !slices.ContainsFunc(tr.worlds, func(w world) bool { return maps.Equal(w, have) }) {
		return fmt.Errorf("the mailbox is %q, which is none of %q", have, tr.worlds)
	}
	for key, uid := range tr.claims {
		if is, ok := uids[key]; ok && is != uid {
			return fmt.Errorf("the UID of %q was told as %d, and is %d", key, uid, is)
		}
	}
	return nil
}
