package imapkittest

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"net/mail"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
	_ "github.com/emersion/go-message/charset" // the memory server decodes what it searches
	"github.com/emersion/go-message/textproto"
)

const (
	inbox = "INBOX"
	delim = "/"
)

// specialUse of folders by name (RFC 6154).
var specialUse = map[string]imap.MailboxAttr{
	"Archive": imap.MailboxAttrArchive,
	"Drafts":  imap.MailboxAttrDrafts,
	"Junk":    imap.MailboxAttrJunk,
	"Sent":    imap.MailboxAttrSent,
	"Trash":   imap.MailboxAttrTrash,
}

// A store holds the account's folders. The memory server keeps the messages;
// of the folders it forgets subscriptions and special use, and it cannot list
// children, so these are kept here.
type store struct {
	user *imapmemserver.User

	mu      sync.Mutex
	folders map[string]*folder
	// copying keeps copies in opposite directions from waiting for each
	// other: the memory server locks source and destination in that order.
	copying sync.Mutex
}

type folder struct {
	use        []imap.MailboxAttr
	subscribed bool
}

func newStore(messages map[string]fs.FS) (*store, error) {
	s := &store{user: imapmemserver.NewUser("", ""), folders: make(map[string]*folder)}
	names := slices.Sorted(maps.Keys(messages))
	if err := s.create(inbox, nil); err != nil {
		return nil, err
	}
	for _, name := range names {
		if s.folders[name] == nil {
			if err := s.create(name, nil); err != nil {
				return nil, fmt.Errorf("folder %q: %w", name, err)
			}
		}
		if err := s.load(name, messages[name]); err != nil {
			return nil, fmt.Errorf("folder %q: %w", name, err)
		}
	}
	for _, f := range s.folders {
		f.subscribed = true
	}
	return s, nil
}

// load delivers the .eml files of one folder.
func (s *store) load(name string, files fs.FS) error {
	if files == nil {
		return nil
	}
	paths, err := fs.Glob(files, "*.eml")
	if err != nil {
		return err
	}
	for _, file := range paths {
		message, err := fs.ReadFile(files, file)
		if err != nil {
			return err
		}
		if _, err := s.deliver(name, message, flagsInName(file)); err != nil {
			return err
		}
	}
	return nil
}

var flagWords = map[string]imap.Flag{
	"answered": imap.FlagAnswered,
	"deleted":  imap.FlagDeleted,
	"draft":    imap.FlagDraft,
	"flagged":  imap.FlagFlagged,
	"seen":     imap.FlagSeen,
}

// flagsInName finds the flags in a file name like "hello.seen.flagged.eml".
func flagsInName(file string) []imap.Flag {
	var flags []imap.Flag
	words := strings.Split(path.Base(file), ".")
	for _, word := range words[1 : len(words)-1] {
		if flag, ok := flagWords[word]; ok {
			flags = append(flags, flag)
		}
	}
	return flags
}

func (s *store) deliver(name string, message []byte, flags []imap.Flag) (imap.UID, error) {
	message = withCRLF(message)
	if err := servable(message); err != nil {
		return 0, err
	}
	opts := &imap.AppendOptions{Flags: flags, Time: dateOf(message)}
	data, err := s.user.Append(name, bytes.NewReader(message), opts)
	if err != nil {
		return 0, err
	}
	return data.UID, nil
}

// servable returns an error for a message that the memory server would keep and
// then hand out as an empty one.
func servable(message []byte) error {
	if _, err := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(message))); err != nil {
		return fmt.Errorf("a message with a header that this server cannot serve: %w", err)
	}
	return nil
}

// withCRLF ends every line in CRLF.
func withCRLF(message []byte) []byte {
	var b bytes.Buffer
	for line := range bytes.Lines(message) {
		text, ended := bytes.CutSuffix(line, []byte("\n"))
		b.Write(bytes.TrimSuffix(text, []byte("\r")))
		if ended {
			b.WriteString("\r\n")
		}
	}
	return b.Bytes()
}

// dateOf returns the time of the Date field; zero, which means now to the
// memory server, if there is none that can be read.
func dateOf(message []byte) time.Time {
	m, err := mail.ReadMessage(bufio.NewReader(bytes.NewReader(message)))
	if err != nil {
		return time.Time{}
	}
	date, err := m.Header.Date()
	if err != nil {
		return time.Time{}
	}
	return date
}

func refusal(code imap.ResponseCode, text string) error {
	return &imap.Error{Type: imap.StatusResponseTypeNo, Code: code, Text: text}
}

// create makes a folder and those above it (RFC 3501 section 6.3.3).
func (s *store) create(name string, use []imap.MailboxAttr) error {
	name = strings.TrimSuffix(name, delim)
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == "" || strings.HasPrefix(name, delim) || strings.Contains(name, delim+delim) {
		return refusal(imap.ResponseCodeCannot, "a level of the name is empty")
	}
	if s.folders[name] != nil {
		return refusal(imap.ResponseCodeAlreadyExists, "folder exists")
	}
	for i := range len(name) {
		if parent := name[:i]; name[i:i+1] == delim && s.folders[parent] == nil {
			if err := s.createLocked(parent, nil); err != nil {
				return err
			}
		}
	}
	return s.createLocked(name, use)
}

func (s *store) createLocked(name string, use []imap.MailboxAttr) error {
	if attr, ok := specialUse[name]; ok && len(use) == 0 {
		use = []imap.MailboxAttr{attr}
	}
	if err := s.user.Create(name, nil); err != nil {
		return err
	}
	s.folders[name] = &folder{use: use}
	return nil
}

func (s *store) remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == inbox {
		return refusal(imap.ResponseCodeCannot, "INBOX stays")
	}
	if s.hasChildren(name) {
		return refusal(imap.ResponseCodeHasChildren, "folder has children")
	}
	if err := s.user.Delete(name); err != nil {
		return err
	}
	delete(s.folders, name)
	return nil
}

// rename renames a folder and those below it.
func (s *store) rename(from, to string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if from == inbox || strings.HasPrefix(to, from+delim) {
		return refusal(imap.ResponseCodeCannot, "this folder cannot be renamed so")
	}
	if err := s.user.Rename(from, to, nil); err != nil {
		return err
	}
	s.folders[to] = s.folders[from]
	delete(s.folders, from)
	for _, name := range slices.Sorted(maps.Keys(s.folders)) {
		if rest, ok := strings.CutPrefix(name, from+delim); ok {
			if err := s.user.Rename(name, to+delim+rest, nil); err != nil {
				return err
			}
			s.folders[to+delim+rest] = s.folders[name]
			delete(s.folders, name)
		}
	}
	return nil
}

func (s *store) subscribe(name string, subscribed bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.folders[name]
	if f == nil {
		return refusal(imap.ResponseCodeNonExistent, "no such folder")
	}
	f.subscribed = subscribed
	return nil
}

func (s *store) hasChildren(name string) bool {
	for other := range s.folders {
		if strings.HasPrefix(other, name+delim) {
			return true
		}
	}
	return false
}

// list answers LIST (RFC 5258) in the order of the names.
func (s *store) list(ref string, patterns []string, opts *imap.ListOptions) []imap.ListData {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []imap.ListData
	for _, name := range slices.Sorted(maps.Keys(s.folders)) {
		f := s.folders[name]
		if opts.SelectSubscribed && !f.subscribed || opts.SelectSpecialUse && len(f.use) == 0 {
			continue
		}
		matches := func(pattern string) bool { return imapserver.MatchList(name, rune(delim[0]), ref, pattern) }
		if !slices.ContainsFunc(patterns, matches) {
			continue
		}
		data := imap.ListData{Mailbox: name, Delim: rune(delim[0]), Attrs: []imap.MailboxAttr{imap.MailboxAttrHasNoChildren}}
		if s.hasChildren(name) {
			data.Attrs[0] = imap.MailboxAttrHasChildren
		}
		if f.subscribed && (opts.SelectSubscribed || opts.ReturnSubscribed) {
			data.Attrs = append(data.Attrs, imap.MailboxAttrSubscribed)
		}
		data.Attrs = append(data.Attrs, f.use...)
		if opts.ReturnStatus != nil {
			data.Status, _ = s.user.Status(name, opts.ReturnStatus)
		}
		found = append(found, data)
	}
	return found
}
