package imapkit

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/emersion/go-imap/v2"
)

// Pages leafs through the messages of a folder, newest first, as a mail program
// shows them. It remembers which messages there are, not their numbers, so that
// mail that arrives or goes away meanwhile moves nothing from one page to
// another. It may not be used from several goroutines at once. A program that
// keeps nothing between two pages searches, cuts the UIDs itself, and gives them
// to [Folder.Messages], in two round trips.
//
// The first page costs a search and a fetch, every further one a single round
// trip.
type Pages struct {
	folder *Folder
	query  Query
	size   int
	items  []Item

	searched bool
	uids     []imap.UID // the messages that match, ascending
	from, to int        // the page shown last is uids[from:to]
}

// Pages prepares to leaf through the messages that match, size at a time and
// with these items; without any, those of [Folder.Messages]. Nothing is sent
// before the first page is asked for.
func (f *Folder) Pages(q Query, size int, items ...Item) *Pages {
	return &Pages{folder: f, query: q, size: size, items: slices.Clone(items)}
}

// Older returns the next page: at first the newest messages, then older ones.
// Without a message and without an error, there are none. Messages that are
// gone by now leave a page shorter. After an error the page can be asked for
// again.
func (p *Pages) Older(ctx context.Context) ([]*MessageInfo, error) {
	if p.size < 1 {
		return nil, fmt.Errorf("imapkit: a page of %d messages", p.size)
	}
	if !p.searched {
		uids, err := p.folder.Search(ctx, p.query)
		if err != nil {
			return nil, err
		}
		p.searched, p.uids, p.from, p.to = true, uids, len(uids), len(uids)
	}
	for to := p.from; to > 0; to = p.from {
		if page, err := p.show(ctx, max(0, to-p.size), to); len(page) > 0 || err != nil {
			return page, err
		}
	}
	return nil, nil
}

// Newer returns the page before the one shown last: newer messages. Beyond the
// newest ones known it looks for mail that has come since, which costs a search
// more. Without a message and without an error, there is none.
func (p *Pages) Newer(ctx context.Context) ([]*MessageInfo, error) {
	if !p.searched {
		return p.Older(ctx)
	}
	for {
		if p.to == len(p.uids) {
			found, err := p.arrived(ctx)
			if err != nil || len(found) == 0 {
				return nil, err
			}
			p.uids = append(p.uids, found...)
		}
		page, err := p.show(ctx, p.to, min(len(p.uids), p.to+p.size))
		if len(page) > 0 || err != nil {
			return page, err
		}
	}
}

// Known returns how many messages match, as far as is known, and how many of
// them are newer than those on the page shown last.
func (p *Pages) Known() (messages, newer int) { return len(p.uids), len(p.uids) - p.to }

// show fetches a page, newest first, and makes it the one shown last.
func (p *Pages) show(ctx context.Context, from, to int) ([]*MessageInfo, error) {
	var page []*MessageInfo
	for m, err := range p.folder.Messages(ctx, UIDs(p.uids[from:to]...), p.items...) {
		if err != nil {
			return nil, err
		}
		page = append(page, m)
	}
	slices.Reverse(page)
	p.from, p.to = from, to
	return page, nil
}

// arrived returns messages that match and are newer than all that are known.
func (p *Pages) arrived(ctx context.Context) ([]imap.UID, error) {
	last := imap.UID(0)
	if n := len(p.uids); n > 0 {
		last = p.uids[n-1]
	}
	if last == math.MaxUint32 {
		return nil, nil
	}
	return p.folder.Search(ctx, And(UIDRange(last+1, 0), p.query))
}
