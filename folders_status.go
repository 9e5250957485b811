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
// can do that (LIST-STATUS, RFC 5819), else a STATUS for each folder, and LSUB
// where LIST does not tell of subscriptions (LIST-EXTENDED, RFC 5258).
func (c *Client) FoldersStatus(ctx context.Context, pattern string) ([]FolderDetails, error) {
	list := folderList{details: true}
	err := c.do(ctx, operation{what: "FoldersStatus"}, func(s *session) error {
		if err := list.fill(s, pattern); err != nil {
			return err
		}
		return list.ask()
	})
	if err != nil {
		return nil, err
	}
	return list.folders, nil
}

// A listing is how much LIST is asked to tell. What a server advertises and then
// refuses is not asked for again.
type listing int

const (
	listAll    listing = iota // with figures
	listNames                 // with subscriptions and special uses
	listSimple                // names and attributes only
)

// A folderList collects what the server tells of folders.
type folderList struct {
	details bool // subscriptions and figures are wanted

	s        *session
	folders  []FolderDetails
	at       map[string]int  // by name
	known    map[string]bool // folders whose status has come, or was refused
	held     int64           // bytes of memory that folders take, roughly
	complete bool            // there are no more folders
}

// fill lists the folders, unless that is done. What refuses LIST with options,
// although it advertises them, gets the simple command.
func (l *folderList) fill(s *session, pattern string) error {
	l.s = s
	if l.complete {
		return nil
	}
	how, err := l.options()
	if err != nil {
		return err
	}
	if pattern == "" {
		pattern = "*"
	}
	for lasting := false; ; {
		l.folders, l.at, l.known, l.held = nil, make(map[string]int), make(map[string]bool), 0
		err := s.run(l.commands(how, pattern)...)
		if err == nil {
			l.complete = true
			if lasting {
				s.client.learn(func(m *memory) { m.noListStatus, m.noListExtended = true, how == listSimple })
			}
			return nil
		}
		if how == listSimple || !errors.As(err, new(*ServerError)) || isThrottled(err) {
			return err
		}
		how, lasting = how+1, lasting || !isTemporary(err)
	}
}

// options returns how much LIST can be asked to tell.
func (l *folderList) options() (listing, error) {
	caps, err := l.s.capabilities()
	if err != nil {
		return 0, err
	}
	switch {
	case !caps.Has(imap.CapListExtended) || l.s.client.learnt().noListExtended:
		return listSimple, nil
	case l.details && l.s.listsStatus(caps):
		return listAll, nil
	case l.details || caps.Has(imap.CapSpecialUse):
		return listNames, nil
	}
	return listSimple, nil
}

// commands returns those that list the folders. With options, servers tell only
// what they are asked for.
func (l *folderList) commands(how listing, pattern string) []*wire.Command {
	list := l.s.Command("LIST").Raw(`""`).Pattern(pattern)
	cmds := []*wire.Command{list}
	if how == listSimple {
		if l.details {
			cmds = append(cmds, l.s.Command("LSUB").Raw(`""`).Pattern(pattern))
		}
	} else {
		list.Raw("RETURN").Open().Raw("CHILDREN")
		if l.details {
			list.Raw("SUBSCRIBED")
		}
		if l.s.has(imap.CapSpecialUse) {
			list.Raw("SPECIAL-USE")
		}
		if how == listAll {
			list.Raw("STATUS (" + statusItems(l.s.Caps()) + ")")
		}
		list.Close()
	}
	for _, cmd := range cmds {
		cmd.On = l.take
	}
	return cmds
}

func (l *folderList) find(name string) *FolderDetails {
	i, ok := l.at[name]
	if !ok {
		return nil
	}
	return &l.folders[i]
}

// take takes in a LIST, LSUB or STATUS response.
func (l *folderList) take(r *wire.Response) bool {
	names := &l.s.client.names
	if entry, ok := r.List(names, l.s.UTF8()); ok {
		f := l.find(entry.Name)
		switch {
		case r.Name == "LSUB":
			if f != nil {
				f.Subscribed = !slices.Contains(entry.Attrs, imap.MailboxAttrNoSelect)
			}
		case f == nil:
			l.s.count(r, &l.held)
			l.at[entry.Name] = len(l.folders)
			l.folders = append(l.folders, FolderDetails{
				FolderInfo: FolderInfo{entry.Name, entry.Delim, entry.Attrs},
				Subscribed: slices.Contains(entry.Attrs, imap.MailboxAttrSubscribed)})
		}
		return true
	}
	status, ok := r.MailboxStatus(names, l.s.UTF8())
	if f := l.find(status.Name); ok && f != nil && status.Items != 0 {
		f.Status, l.known[status.Name] = folderStatus(status), true
	}
	return ok
}

// mostStatusAhead is how many STATUS commands are sent in one go.
const mostStatusAhead = 50

// ask asks for the status of each folder whose status has not come.
func (l *folderList) ask() error {
	var open []*FolderDetails
	for i := range l.folders {
		if f := &l.folders[i]; !l.known[f.Name] && f.canBeOpened() {
			open = append(open, f)
		}
	}
	for some := range slices.Chunk(open, mostStatusAhead) {
		var cmds []*wire.Command
		for _, f := range some {
			cmd := l.s.Command("STATUS").Mailbox(f.Name).Open().Raw(statusItems(l.s.Caps())).Close()
			cmd.On = func(r *wire.Response) bool {
				status, ok := r.MailboxStatus(&l.s.client.names, l.s.UTF8())
				if ok && status.Items != 0 { // for this folder, or else under a name that the server spells in its own way
					told := l.find(status.Name)
					if told == nil {
						told = f
					}
					told.Status, l.known[told.Name] = folderStatus(status), true
				}
				return ok
			}
			cmds = append(cmds, cmd)
		}
		if err := l.s.Run(cmds...); err != nil {
			return err
		}
		for i, cmd := range cmds {
			f, err := some[i], refusal(cmd)
			if isThrottled(err) {
				return err
			}
			if err == nil && !l.known[f.Name] {
				err = noStatus(f.Name)
			}
			f.Err, l.known[f.Name] = err, true
		}
	}
	return nil
}
