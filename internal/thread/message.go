// Package thread sorts and threads messages on the client's side as a server
// with the SORT and THREAD extensions would (RFC 5256, RFC 5957): for servers
// without them. Its functions are pure: they look at nothing but their
// arguments.
package thread

import (
	"cmp"
	"slices"
	"time"
)

// A Message is what sorting and threading look at. Text is UTF-8 with its
// encoded-words decoded. A zero field means that the message lacks it.
type Message struct {
	UID uint32 // also tells the order in the mailbox

	Subject string // whole, not the base subject

	// The mailbox part (before the "@") of the first address of each header.
	From, To, Cc string
	// How the first address is displayed: see [DisplayName].
	DisplayFrom, DisplayTo string

	Sent    time.Time // of the Date header; zero if that is missing or invalid
	Arrival time.Time // INTERNALDATE
	Size    int64     // RFC822.SIZE, bytes

	// Message IDs as [ParseReferences] returns them.
	MessageID  string
	References []string
	InReplyTo  []string
}

// sentDate is the sent date of RFC 5256 section 2.2.
func (m *Message) sentDate() time.Time {
	if m.Sent.IsZero() {
		return m.Arrival
	}
	return m.Sent
}

// DisplayName returns what DISPLAYFROM and DISPLAYTO (RFC 5957 section 3)
// compare for an address: its decoded name, or mailbox@host if it has none.
// For a group, whose host is empty, it is the group's name in mailbox.
func DisplayName(name, mailbox, host string) string {
	switch {
	case name != "":
		return name
	case host == "":
		return mailbox
	}
	return mailbox + "@" + host
}

// A Field is what a [Key] sorts by.
type Field int

// The sort keys of RFC 5256 section 3 and of RFC 5957.
const (
	ByArrival Field = iota
	ByCc
	ByDate // the sent date, of section 2.2
	ByFrom
	BySize
	BySubject // the base subject, of section 2.1
	ByTo
	ByDisplayFrom
	ByDisplayTo
)

// A Key is one sort key; Reverse puts the largest first.
type Key struct {
	Field   Field
	Reverse bool
}

// Sort sorts msgs in place by the keys, the first being the most important.
// Messages that are equal in all keys, which includes the case of no keys, are
// in the order of their UIDs, whatever is reversed. Text is compared under
// i;unicode-casemap; missing text comes first. A key with an unknown Field
// counts as equal for all messages.
func Sort(msgs []Message, keys []Key) {
	compares := make([]func(a, b int) int, 0, len(keys)+1)
	for _, k := range keys {
		if compare := comparison(msgs, k.Field); compare == nil {
			continue
		} else if k.Reverse {
			compares = append(compares, func(a, b int) int { return compare(b, a) })
		} else {
			compares = append(compares, compare)
		}
	}
	compares = append(compares, func(a, b int) int { return cmp.Compare(msgs[a].UID, msgs[b].UID) })

	order := ascending(len(msgs))
	slices.SortStableFunc(order, func(a, b int) int {
		for _, compare := range compares {
			if c := compare(a, b); c != 0 {
				return c
			}
		}
		return 0
	})
	sorted := make([]Message, len(msgs))
	for i, from := range order {
		sorted[i] = msgs[from]
	}
	copy(msgs, sorted)
}

// comparison returns how the messages with two indexes compare by a field, or
// nil if the field is unknown.
func comparison(msgs []Message, f Field) func(a, b int) int {
	text := func(of func(m *Message) string) func(a, b int) int {
		keys := make([]string, len(msgs))
		for i := range msgs {
			keys[i] = collationKey(of(&msgs[i]))
		}
		return func(a, b int) int { return cmp.Compare(keys[a], keys[b]) }
	}
	switch f {
	case ByArrival:
		return func(a, b int) int { return msgs[a].Arrival.Compare(msgs[b].Arrival) }
	case ByDate:
		return func(a, b int) int { return msgs[a].sentDate().Compare(msgs[b].sentDate()) }
	case BySize:
		return func(a, b int) int { return cmp.Compare(msgs[a].Size, msgs[b].Size) }
	case ByCc:
		return text(func(m *Message) string { return m.Cc })
	case ByFrom:
		return text(func(m *Message) string { return m.From })
	case ByTo:
		return text(func(m *Message) string { return m.To })
	case ByDisplayFrom:
		return text(func(m *Message) string { return m.DisplayFrom })
	case ByDisplayTo:
		return text(func(m *Message) string { return m.DisplayTo })
	case BySubject:
		return text(func(m *Message) string {
			base, _ := BaseSubject(m.Subject)
			return base
		})
	}
	return nil
}

// ascending returns the indexes 0 to n-1.
func ascending(n int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	return order
}

// inMailboxOrder returns msgs by UID, as they are if they are so already.
func inMailboxOrder(msgs []Message) []Message {
	byUID := func(a, b Message) int { return cmp.Compare(a.UID, b.UID) }
	if slices.IsSortedFunc(msgs, byUID) {
		return msgs
	}
	msgs = slices.Clone(msgs)
	slices.SortStableFunc(msgs, byUID)
	return msgs
}

// bySentDate returns the indexes of msgs, which are in mailbox order, by sent
// date.
func bySentDate(msgs []Message) []int {
	order := ascending(len(msgs))
	slices.SortStableFunc(order, func(a, b int) int { return msgs[a].sentDate().Compare(msgs[b].sentDate()) })
	return order
}
