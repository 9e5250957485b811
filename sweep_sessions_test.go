package imapkit_test

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/imapkit/imapkit"
)

// A sweepSession is what is done under faults. Together the sessions use every
// operation.
type sweepSession struct {
	name    string
	prepare func(*trial) error // through the client that no fault hits
	run     func(*trial)
	shared  bool // it goes on in one connection with messages changed in another
}

var sweepSessions = []sweepSession{
	{"flags and new messages", (*trial).prepareFlags, (*trial).changeFlagsAndAppend, false},
	{"copies, moves and deletions", (*trial).prepareMoves, (*trial).copyMoveAndDelete, false},
	{"changes in loops", (*trial).prepareLoops, (*trial).changeInLoops, true},
	{"folders", (*trial).prepareFolders, (*trial).administer, false},
	{"reading", (*trial).prepareReading, (*trial).readEverything, false},
}

// A seed is a message that is there from the beginning.
type seed struct {
	subject string
	flags   []imap.Flag
}

func seeds(subjects ...string) []seed {
	var list []seed
	for _, subject := range subjects {
		list = append(list, seed{subject: subject})
	}
	return list
}

// fill makes a folder with messages in it.
func (tr *trial) fill(short string, list ...seed) error {
	direct, w := tr.direct, tr.worlds[0]
	if err := direct.CreateFolder(tr.ctx, tr.folder(short)); err != nil {
		return err
	}
	w[short] = ""
	f := direct.Folder(tr.folder(short))
	messages := func(yield func(imapkit.NewMessage) bool) {
		for _, s := range list {
			if !yield(tr.message(s.subject)) {
				return
			}
		}
	}
	for _, err := range f.AppendAll(tr.ctx, messages) {
		if err != nil {
			return err
		}
	}
	uids, err := f.Search(tr.ctx, imapkit.All())
	for err == nil && len(uids) != len(list) { // Mailutils takes a second to notice them
		time.Sleep(20 * time.Millisecond)
		uids, err = f.Search(tr.ctx, imapkit.All())
	}
	if err != nil {
		return err
	}
	for i, s := range list {
		tr.uids[s.subject] = uids[i]
		key := short + ": " + s.subject
		w[key] = ""
		if len(s.flags) > 0 {
			if err := f.AddFlags(tr.ctx, uids[i:i+1], s.flags...); err != nil {
				return err
			}
			flagsAdded(key, s.flags...)(w)
		}
	}
	return nil
}

func (tr *trial) message(subject string) imapkit.NewMessage {
	text := tr.letter(subject)
	return imapkit.NewMessage{Body: strings.NewReader(text), Size: int64(len(text))}
}

// of returns the UIDs of messages.
func (tr *trial) of(subjects ...string) []imap.UID {
	var uids []imap.UID
	for _, subject := range subjects {
		uids = append(uids, tr.uids[subject])
	}
	return uids
}

func (tr *trial) has(capability imap.Cap) bool { return tr.target.caps.Has(capability) }

func (tr *trial) prepareFlags() error {
	err := tr.fill("a", seed{subject: "one"}, seed{"two", []imap.Flag{imap.FlagSeen, imap.FlagFlagged}},
		seed{"three", []imap.Flag{imap.FlagFlagged}}, seed{subject: "four"}, seed{subject: "five"})
	if err != nil || !tr.has(imap.CapCondStore) {
		return err
	}
	f := tr.direct.Folder(tr.folder("a"))
	status, err := f.Status(tr.ctx)
	if err != nil {
		return err
	}
	tr.modSeq = status.HighestModSeq
	flagsAdded("a: five", imap.FlagSeen)(tr.worlds[0])
	return f.AddFlags(tr.ctx, tr.of("five"), imap.FlagSeen)
}

func (tr *trial) changeFlagsAndAppend() {
	ctx, f := tr.ctx, tr.box("a")
	tr.did("AddFlags", f.AddFlags(ctx, tr.of("one"), imap.FlagFlagged), flagsAdded("a: one", imap.FlagFlagged))
	tr.did("RemoveFlags", f.RemoveFlags(ctx, tr.of("two"), imap.FlagSeen), flagsRemoved("a: two", imap.FlagSeen))
	tr.did("SetFlags", f.SetFlags(ctx, tr.of("three"), imap.FlagAnswered),
		flags("a: three", func([]string) []string { return []string{string(imap.FlagAnswered)} }))
	if tr.has(imap.CapCondStore) {
		skipped, err := f.ChangeFlags(ctx, tr.of("four", "five"), tr.modSeq, imapkit.FlagsAdd, imap.FlagAnswered)
		tr.did("ChangeFlags", err, flagsAdded("a: four", imap.FlagAnswered))
		if err == nil && !slices.Equal(skipped, tr.of("five")) {
			tr.lie("ChangeFlags skipped %v", skipped)
		}
	}
	for _, subject := range []string{"small", large} {
		m := tr.message(subject)
		uid, err := f.Append(ctx, m.Body, m.Size, imapkit.AppendOptions{Flags: tr.target.appendFlags})
		key := "a: " + subject
		tr.did("Append of "+subject, err, all(adds(key, ""), flagsAdded(key, tr.target.appendFlags...)))
		tr.claim(key, uid)
	}
	tr.appendAll(f, "six", "seven", "eight")
}

var errNotReached = errors.New("the loop has ended")

// appendAll adds messages ahead of the server's answers.
func (tr *trial) appendAll(f *imapkit.Folder, subjects ...string) {
	var messages iter.Seq[imapkit.NewMessage] = func(yield func(imapkit.NewMessage) bool) {
		for _, subject := range subjects {
			if !yield(tr.message(subject)) {
				return
			}
		}
	}
	n, failed := 0, false
	for uid, err := range f.AppendAll(tr.ctx, messages) {
		key := "a: " + subjects[n]
		n++
		failed = failed || err != nil
		tr.did("AppendAll of "+key, err, adds(key, ""))
		tr.claim(key, uid)
	}
	if !failed && n < len(subjects) {
		tr.lie("AppendAll ended without an error after %d messages", n)
	}
	for _, subject := range subjects[n:] {
		tr.did("AppendAll of a: "+subject, errNotReached)
	}
}

func (tr *trial) prepareMoves() error {
	deleted := []imap.Flag{imap.FlagDeleted}
	list := slices.Concat(seeds("one", "two"), []seed{{"three", []imap.Flag{imap.FlagFlagged}}}, seeds("four", "old", "six"),
		[]seed{{"five", deleted}, {"marked", deleted}})
	if err := tr.fill("a", list...); err != nil {
		return err
	}
	return tr.fill("b")
}

func (tr *trial) copyMoveAndDelete() {
	ctx, f := tr.ctx, tr.box("a")
	tr.did("Undelete", f.Undelete(ctx, tr.of("five")), flagsRemoved("a: five", imap.FlagDeleted))
	copied, err := f.Copy(ctx, tr.of("one", "two"), tr.folder("b"))
	tr.did("Copy", err, all(copies("a: one", "b: one"), copies("a: two", "b: two")))
	tr.claim("b: one", copied[tr.uids["one"]])
	tr.claim("b: two", copied[tr.uids["two"]])
	moved, err := f.Move(ctx, tr.of("three"), tr.folder("b"))
	tr.moved("Move", err, "a: three", "b: three")
	tr.claim("b: three", moved[tr.uids["three"]])
	tr.removed("Delete", f.Delete(ctx, tr.of("four")), "a: four", nil, "")
	m := tr.message("new")
	uid, err := f.Replace(ctx, tr.uids["old"], m.Body, m.Size, imapkit.AppendOptions{})
	tr.removed("Replace", err, "a: old", adds("a: new", ""), "the new message is in")
	tr.claim("a: new", uid)
	trashed, err := f.Trash(ctx, tr.of("six"))
	tr.moved("Trash", err, "a: six", "trash: six")
	tr.claim("trash: six", trashed[tr.uids["six"]])
}

var looped = []string{"one", "two", large, "four"}

func (tr *trial) prepareLoops() error {
	if err := tr.fill("a", seeds(looped...)...); err != nil {
		return err
	}
	return tr.fill("b")
}

// changeInLoops makes changes while a loop is under way, which has to lend its
// connection for that.
func (tr *trial) changeInLoops() {
	ctx, f := tr.ctx, tr.box("a")
	subject := func(m *imapkit.MessageInfo) string { return strings.TrimPrefix(m.Envelope.Subject, tr.name+" ") }
	everything := func(world) string { return fmt.Sprint(looped) }
	var listed, fetched []string
	var failed error
	for m, err := range f.Messages(ctx, imapkit.All()) {
		if failed = err; err != nil {
			break
		}
		listed = append(listed, subject(m))
		tr.did("AddFlags in a loop", f.AddFlags(ctx, []imap.UID{m.UID}, imap.FlagFlagged),
			flagsAdded("a: "+subject(m), imap.FlagFlagged))
	}
	tr.read("Messages", failed, fmt.Sprint(listed), everything)
	for m, err := range f.FetchAll(ctx, tr.of(looped...)) {
		if failed = err; err != nil {
			break
		}
		if string(m.Raw) != tr.letter(subject(m.Info)) {
			tr.lie("FetchAll: false answer %.200q", m.Raw)
		}
		fetched = append(fetched, subject(m.Info))
		copied, err := f.Copy(ctx, []imap.UID{m.Info.UID}, tr.folder("b"))
		tr.did("Copy in a loop", err, copies("a: "+subject(m.Info), "b: "+subject(m.Info)))
		tr.claim("b: "+subject(m.Info), copied[m.Info.UID])
	}
	tr.read("FetchAll", failed, fmt.Sprint(fetched), everything)
}

func (tr *trial) prepareFolders() error {
	for _, short := range []string{"a", "b", "old", "doomed"} {
		if err := tr.fill(short, seeds("in "+short)...); err != nil {
			return err
		}
	}
	tr.worlds[0]["b"] = "subscribed"
	return tr.direct.Subscribe(tr.ctx, tr.folder("b"))
}

func (tr *trial) administer() {
	ctx, c := tr.ctx, tr.c
	tr.did("CreateFolder", c.CreateFolder(ctx, tr.folder("new")), adds("new", ""))
	tr.did("Subscribe", c.Subscribe(ctx, tr.folder("a")), adds("a", "subscribed"))
	tr.did("Unsubscribe", c.Unsubscribe(ctx, tr.folder("b")), adds("b", ""))
	if tr.has(imap.CapMetadata) {
		tr.did("SetMetadata", tr.box("a").SetMetadata(ctx, "/private/comment", []byte("mine")), adds("a comment", "mine"))
	}
	if tr.has(imap.CapACL) {
		tr.did("SetACL", tr.box("a").SetACL(ctx, "bob", imap.RightModificationReplace, imap.RightSet("lr")), adds("a bob", "lr"))
	}
	if tr.has(imap.CapCreateSpecialUse) && tr.target.specials {
		tr.did("CreateSpecialFolder", c.CreateSpecialFolder(ctx, tr.folder("kept"), imap.MailboxAttrArchive), adds("kept", ""))
	}
	// These two are open when they are renamed and deleted.
	_, err := tr.box("old").Search(ctx, imapkit.All())
	tr.note("Search in old", err)
	tr.did("RenameFolder", c.RenameFolder(ctx, tr.folder("old"), tr.folder("renamed")), renames("old", "renamed"))
	_, err = tr.box("doomed").Search(ctx, imapkit.All())
	tr.note("Search in doomed", err)
	tr.did("DeleteFolder", c.DeleteFolder(ctx, tr.folder("doomed")), deletes("doomed"))
	tr.listFolders()
}

// listFolders may see what an earlier step has left open.
func (tr *trial) listFolders() {
	isFolder := func(key string) bool { return !strings.ContainsAny(key, ": ") }
	var got []string
	list, err := tr.c.Folders(tr.ctx, tr.folder("*"))
	for _, f := range list {
		got = append(got, strings.TrimPrefix(f.Name, tr.folder("")))
	}
	slices.Sort(got)
	tr.read("Folders", err, fmt.Sprint(got), func(w world) string {
		return fmt.Sprint(slices.DeleteFunc(slices.Sorted(maps.Keys(w)), func(key string) bool { return !isFolder(key) }))
	})
	got = nil
	details, err := tr.c.FoldersStatus(tr.ctx, tr.folder("*"))
	for _, f := range details {
		got = append(got, fmt.Sprint(strings.TrimPrefix(f.Name, tr.folder("")), f.Status.Messages, f.Subscribed, f.Err))
	}
	slices.Sort(got)
	tr.read("FoldersStatus", err, fmt.Sprint(got), func(w world) string {
		var want []string
		for key := range w {
			if isFolder(key) {
				n := 0
				for other := range w {
					if strings.HasPrefix(other, key+": ") {
						n++
					}
				}
				want = append(want, fmt.Sprint(key, n, w[key] == "subscribed", nil))
			}
		}
		slices.Sort(want)
		return fmt.Sprint(want)
	})
}

func (tr *trial) prepareReading() error {
	flagged := seed{"two", []imap.Flag{imap.FlagFlagged}}
	if err := tr.fill("a", seed{subject: "one"}, seed{subject: "seven"}, flagged, seed{subject: large}); err != nil {
		return err
	}
	for _, r := range tr.readings() {
		answer, err := r.read(tr.direct)
		if err != nil && !errors.Is(err, imapkit.ErrNotSupported) {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		tr.answers = append(tr.answers, answer)
	}
	return nil
}

// readEverything demands the answers that the other client has got. One that was
// cut short must begin like it, and come with an error.
func (tr *trial) readEverything() {
	for i, r := range tr.readings() {
		want := tr.answers[i]
		answer, err := r.read(tr.c)
		if errors.Is(err, imapkit.ErrNotSupported) && want == "" {
			continue
		}
		tr.note(r.name, err)
		if answer != want && (err == nil || !strings.HasPrefix(want, answer)) {
			tr.lie("%s: false answer %.200q (%d bytes), %v; want %.200q (%d bytes)",
				r.name, answer, len(answer), err, want, len(want))
		}
	}
}

// A reading is an operation that reads, and its answer as text.
type reading struct {
	name string
	read func(*imapkit.Client) (string, error)
}

func (tr *trial) readings() []reading {
	ctx, a := tr.ctx, tr.folder("a")
	// in makes a reading of an operation on folder a.
	in := func(name string, read func(*imapkit.Folder) (any, error)) reading {
		return reading{name, func(c *imapkit.Client) (string, error) {
			answer, err := read(c.Folder(a))
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%+v", answer), nil
		}}
	}
	streamed := func(name string, open func(*imapkit.Folder) (io.ReadCloser, error)) reading {
		return reading{name, func(c *imapkit.Client) (string, error) {
			r, err := open(c.Folder(a))
			if err != nil {
				return "", err
			}
			defer r.Close()
			b, err := io.ReadAll(r)
			return string(b), err
		}}
	}
	one, two, big := tr.uids["one"], tr.uids["two"], tr.uids[large]
	everything := tr.of("one", "seven", "two", large)
	return []reading{
		in("Search", func(f *imapkit.Folder) (any, error) { return f.Search(ctx, imapkit.HasFlag(imap.FlagFlagged)) }),
		in("Count", func(f *imapkit.Folder) (any, error) { return f.Count(ctx, imapkit.All()) }),
		in("Status", func(f *imapkit.Folder) (any, error) { return f.Status(ctx) }),
		in("Fetch", func(f *imapkit.Folder) (any, error) { m, err := f.Fetch(ctx, big); return textOf(m), err }),
		in("FetchSeq", func(f *imapkit.Folder) (any, error) { m, err := f.FetchSeq(ctx, 2); return textOf(m), err }),
		in("FetchHeader", func(f *imapkit.Folder) (any, error) {
			h, err := f.FetchHeader(ctx, two)
			return h.Get("Subject"), err
		}),
		in("FetchPart", func(f *imapkit.Folder) (any, error) {
			part, err := f.FetchPart(ctx, one, "1")
			if err != nil {
				return nil, err
			}
			return string(part.Data), nil
		}),
		streamed("Open", func(f *imapkit.Folder) (io.ReadCloser, error) { return f.Open(ctx, big) }),
		streamed("OpenRange", func(f *imapkit.Folder) (io.ReadCloser, error) { return f.OpenRange(ctx, big, 100, 200) }),
		streamed("OpenPart", func(f *imapkit.Folder) (io.ReadCloser, error) { return f.OpenPart(ctx, two, "1") }),
		{"Messages", func(c *imapkit.Client) (answer string, err error) {
			for m, err := range c.Folder(a).Messages(ctx, imapkit.All()) {
				if err != nil {
					return answer, err
				}
				answer += fmt.Sprint(m.UID, keptFlags(m), m.InternalDate.Unix(), m.Size, m.Envelope.Subject, m.Err)
			}
			return answer, nil
		}},
		{"FetchAll", func(c *imapkit.Client) (answer string, err error) {
			for m, err := range c.Folder(a).FetchAll(ctx, everything) {
				if err != nil {
					return answer, err
				}
				answer += textOf(m)
			}
			return answer, nil
		}},
		{"Raw", func(c *imapkit.Client) (answer string, err error) {
			for m, err := range c.Folder(a).Raw(ctx, everything) {
				if err != nil {
					return answer, err
				}
				b, err := io.ReadAll(m.Body)
				answer += string(b)
				if err != nil {
					return answer, err
				}
			}
			return answer, nil
		}},
		in("Sort", func(f *imapkit.Folder) (any, error) { return f.Sort(ctx, imapkit.All(), imapkit.SortSize.Reverse()) }),
		in("Threads", func(f *imapkit.Folder) (any, error) {
			threads, err := f.Threads(ctx, imapkit.All(), imap.ThreadReferences)
			var uids []imap.UID
			for _, thread := range threads {
				uids = append(uids, thread.UID)
			}
			return uids, err
		}),
		in("Pages", func(f *imapkit.Folder) (any, error) {
			pages := f.Pages(imapkit.All(), 3)
			var sizes []int
			for len(sizes) < 3 {
				page, err := pages.Older(ctx)
				if err != nil {
					return nil, err
				}
				sizes = append(sizes, len(page))
			}
			return sizes, nil
		}),
		in("Quota", func(f *imapkit.Folder) (any, error) { return f.Quota(ctx) }),
		in("Rights", func(f *imapkit.Folder) (any, error) { return f.Rights(ctx) }),
		in("ACL", func(f *imapkit.Folder) (any, error) { return f.ACL(ctx) }),
		in("Metadata", func(f *imapkit.Folder) (any, error) { return f.Metadata(ctx, "/private/comment") }),
		{"Folders", func(c *imapkit.Client) (string, error) {
			list, err := c.Folders(ctx, tr.folder("*"))
			if err != nil || len(list) != 1 {
				return "", err
			}
			return list[0].Name + string(list[0].Delim), nil // \Marked comes and goes
		}},
		{"Namespaces", func(c *imapkit.Client) (string, error) {
			data, err := c.Namespaces(ctx)
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%+v", data), nil
		}},
		{"ServerID", func(c *imapkit.Client) (string, error) {
			id, err := c.ServerID(ctx)
			if err != nil {
				return "", err
			}
			return "named " + id.Name, nil
		}},
		{"SpecialFolder", func(c *imapkit.Client) (string, error) {
			trash, err := c.SpecialFolder(ctx, imap.MailboxAttrTrash)
			return trash.Name, err
		}},
		{"Capabilities", func(c *imapkit.Client) (string, error) {
			caps, err := c.Capabilities(ctx)
			if err != nil {
				return "", err
			}
			return fmt.Sprint(slices.Sorted(maps.Keys(caps))), nil
		}},
		{"Select", func(c *imapkit.Client) (string, error) {
			f, err := c.Select(ctx, a)
			if err != nil {
				return "", err
			}
			return f.Name(), nil
		}},
		{"Do", func(c *imapkit.Client) (answer string, err error) {
			err = c.Do(ctx, a, func(gc *imapclient.Client) error {
				found, err := gc.UIDSearch(&imap.SearchCriteria{Flag: []imap.Flag{imap.FlagFlagged}}, nil).Wait()
				if err == nil {
					answer = fmt.Sprint(found.AllUIDs())
				}
				return err
			})
			return answer, err
		}},
	}
}

func textOf(m *imapkit.Message) string {
	if m == nil {
		return ""
	}
	return fmt.Sprint(m.Info.UID, keptFlags(m.Info), string(m.Raw))
}
