package imapkit

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/wire"
)

// mostFound is what some servers cut the result of a search to, without saying
// so. A result of just that length is made sure of.
const mostFound = 1000

// An answer is what a server says to a search. It may have looked at some of the
// messages only.
type answer struct {
	wire.SearchResult
	cmd  *wire.Command
	told wire.Status // MESSAGELIMIT, outside of the tagged response
}

// collect takes in the answer to a command.
func (a *answer) collect(cmd *wire.Command) {
	a.cmd = cmd
	result := a.Collect(cmd)
	cmd.On = func(r *wire.Response) bool {
		if r.Status.CodeName() == "MESSAGELIMIT" {
			a.told = r.Status
		}
		return result(r)
	}
}

// limit returns the UID that a server with MESSAGELIMIT did not look below (RFC
// 9738 section 3.1), if it says that there is such.
func (a *answer) limit() (lowest imap.UID, limited bool, err error) {
	status := a.cmd.Status
	if status.CodeName() != "MESSAGELIMIT" {
		status = a.told
	}
	if status.CodeName() != "MESSAGELIMIT" {
		return 0, false, nil
	}
	if args := strings.Fields(status.CodeArgs()); len(args) == 2 {
		if uid, err := strconv.ParseUint(args[1], 10, 32); err == nil && uid > 0 {
			return imap.UID(uid), true, nil
		}
	}
	return 0, true, fmt.Errorf("%w: a search was answered with [%s], which does not tell what is missing",
		ErrProtocol, status.Code)
}

// capped reports whether the result may lack messages.
func (a *answer) capped() bool {
	_, limited, _ := a.limit()
	return limited || a.Len() == mostFound || a.Counted && a.Count == mostFound
}

// A span is a range of UIDs. Last 0 stands for the highest one that there is.
type span struct{ first, last imap.UID }

func (r span) whole() bool { return r == span{first: 1} }

// key returns the search key of the range.
func (r span) key() string {
	if r.last == 0 {
		return fmt.Sprintf("UID %d:*", r.first)
	}
	return fmt.Sprintf("UID %d:%d", r.first, r.last)
}

// has reports whether a UID is in the range: that of the last message is found
// with N:* also if it is lower than N (RFC 9051 section 9).
func (r span) has(uid imap.UID) bool { return uid >= r.first && (r.last == 0 || uid <= r.last) }

// leftOut returns the parts of a range that an answer for it does not cover.
// uids are those in the range that were found.
func (a *answer) leftOut(r span, uids []imap.UID) ([]span, error) {
	lowest, limited, err := a.limit()
	switch {
	case err != nil:
		return nil, err
	case limited && lowest <= r.first:
		return nil, nil
	case limited && !r.has(lowest):
		return nil, fmt.Errorf("%w: a search of %s stopped at UID %d", ErrProtocol, r.key(), lowest)
	case limited: // servers go from the highest to the lowest
		return []span{{r.first, lowest - 1}}, nil
	case a.Len() != mostFound || len(uids) == 0:
		return nil, nil
	}
	var rest []span
	if uids[0] > r.first {
		rest = append(rest, span{r.first, uids[0] - 1})
	}
	if last := uids[len(uids)-1]; last != r.last && last < math.MaxUint32 {
		rest = append(rest, span{last + 1, r.last})
	}
	return rest, nil
}

// mostSearches bounds how often a server can be asked for more: a thousand
// messages each are enough for any folder.
const mostSearches = 20000

// everything asks for all that a search finds, also of servers that do not tell
// it at once. ask asks for what is found in a range.
func everything(ask func(span) (*answer, error)) ([]imap.UID, error) {
	var all []imap.UID
	todo := []span{{first: 1}}
	for n := 1; len(todo) > 0; n++ {
		if n > mostSearches {
			return nil, fmt.Errorf("%w: a search has not come to an end after %d commands", ErrProtocol, mostSearches)
		}
		r := todo[0]
		a, err := ask(r)
		if err != nil {
			return nil, err
		}
		uids := wire.Ascending[imap.UID](&a.SearchResult)
		if !r.whole() {
			uids = slices.DeleteFunc(uids, func(uid imap.UID) bool { return !r.has(uid) })
		}
		rest, err := a.leftOut(r, uids)
		if err != nil {
			return nil, err
		}
		if todo = append(todo[1:], rest...); n == 1 && len(todo) == 0 {
			return uids, nil
		}
		all = append(all, uids...)
	}
	return ascending(all), nil
}

// complete returns all that a search finds whose answer, for the whole folder,
// is there already.
func (s *session) complete(f *Folder, root *node, first *answer) ([]imap.UID, error) {
	return everything(func(r span) (*answer, error) {
		if r.whole() {
			return first, nil
		}
		found, err := s.searchFor(f, "ALL", And(word(r.key()), Query{root}).root())
		if err != nil {
			return nil, err
		}
		return found[0], nil
	})
}
