package imapkit

import (
	"context"
	"errors"
	"slices"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/wire"
)

// FolderDetails is what [Client.FoldersStatus] tells of a folder.
type FolderDetails struct {
	FolderInfo
	Subscribed bool
	Status     FolderStatus // zero for a folder that cannot be opened
	Err        error        // why the server did not give the status
}

// FoldersStatus lists folders as [Client.Folders] does, together with their
// figures and whether they are subscribed. It takes one command where the server
// can do that (LIST-STATUS, RFC 5819), else LIST, LSUB and a STATUS for each.
func (c *Client) FoldersStatus(ctx context.Context, pattern string) ([]FolderDetails, error) {
	if pattern == "" {
		pattern = "*"
	}
	var list folderList
	err := c.do(ctx, operation{what: "FoldersStatus"}, func(s *session) error {
		caps, err := s.capabilities()
		if err != nil {
			return err
		}
		items := statusItems(caps)
		if list.s = s; list.complete { // and some of the figures are still to be asked for
			return list.ask(items)
		}
		list = folderList{s: s, known: make(map[string]bool)}
		done := false
		if s.listsStatus(caps) {
			// What refuses this although it is advertised gets the simple commands.
			err := list.all(pattern, items, caps)
			if done = err == nil; !done && (!errors.As(err, new(*ServerError)) || isThrottled(err)) {
				return err
			}
			if !done {
				c.learn(func(m *memory) { m.noListStatus = true })
			}
		}
		if !done {
			list = folderList{s: s, known: make(map[string]bool)}
			if err := list.names(pattern); err != nil {
				return err
			}
		}
		list.complete = true
		return list.ask(items)
	})
	if err != nil {
		return nil, err
	}
	return list.folders, nil
}

// A folderList collects what the server tells of folders.
type folderList struct {
	s        *session
	folders  []FolderDetails
	known    map[string]bool // folders whose status has come, or was refused
	complete bool            // there are no more folders
}

func (l *folderList) find(name string) *FolderDetails {
	i := slices.IndexFunc(l.folders, func(f FolderDetails) bool { return f.Name == name })
	if i < 0 {
		return nil
	}
	return &l.folders[i]
}

// take takes in a LIST, LSUB or STATUS response.
func (l *folderList) take(r *wire.Response) bool {
	names := &l.s.client.names
	if entry, ok := r.List(names, l.s.UTF8()); ok {
		subscribed := slices.Contains(entry.Attrs, imap.MailboxAttrSubscribed)
		if r.Name == "LSUB" {
			if f := l.find(entry.Name); f != nil {
				f.Subscribed = !slices.Contains(entry.Attrs, imap.MailboxAttrNoSelect)
			}
			return true
		}
		l.folders = append(l.folders, FolderDetails{
			FolderInfo: FolderInfo{entry.Name, entry.Delim, entry.Attrs}, Subscribed: subscribed})
		return true
	}
	status, ok := r.MailboxStatus(names, l.s.UTF8())
	if f := l.find(status.Name); ok && f != nil {
		f.Status, l.known[status.Name] = folderStatus(status), true
	}
	return ok
}

// all asks for everything with one command.
func (l *folderList) all(pattern, items string, caps imap.CapSet) error {
	cmd := l.s.Command("LIST").Raw(`""`).Pattern(pattern).Raw("RETURN (SUBSCRIBED")
	if caps.Has(imap.CapSpecialUse) {
		cmd.Raw("SPECIAL-USE")
	}
	cmd.Raw("STATUS (" + items + "))")
	cmd.On = l.take
	return l.s.run(cmd)
}

// names asks for names, attributes and subscriptions.
func (l *folderList) names(pattern string) error {
	list := l.s.Command("LIST").Raw(`""`).Pattern(pattern)
	subscribed := l.s.Command("LSUB").Raw(`""`).Pattern(pattern)
	list.On, subscribed.On = l.take, l.take
	return l.s.run(list, subscribed)
}

// mostStatusAhead is how many STATUS commands are sent in one go.
const mostStatusAhead = 50

// ask asks for the status of each folder whose status has not come.
func (l *folderList) ask(items string) error {
	var open []*FolderDetails
	for i := range l.folders {
		f := &l.folders[i]
		if !l.known[f.Name] && !slices.Contains(f.Attrs, imap.MailboxAttrNoSelect) &&
			!slices.Contains(f.Attrs, imap.MailboxAttrNonExistent) {
			open = append(open, f)
		}
	}
	for some := range slices.Chunk(open, mostStatusAhead) {
		var cmds []*wire.Command
		for _, f := range some {
			cmd := l.s.Command("STATUS").Mailbox(f.Name).Raw("(" + items + ")")
			cmd.On = func(r *wire.Response) bool {
				status, ok := r.MailboxStatus(&l.s.client.names, l.s.UTF8())
				if ok {
					f.Status = folderStatus(status)
				}
				return ok
			}
			cmds = append(cmds, cmd)
		}
		if err := l.s.Run(cmds...); err != nil {
			return err
		}
		for i, cmd := range cmds {
			err := refusal(cmd)
			if isThrottled(err) {
				return err
			}
			some[i].Err, l.known[some[i].Name] = err, true
		}
	}
	return nil
}
