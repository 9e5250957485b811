package imapkit

import (
	"slices"
	"strconv"

	"github.com/emersion/go-imap/v2"
)

// appendSet appends ascending UIDs as a sequence set.
func appendSet(b []byte, uids []imap.UID) []byte {
	for i := 0; i < len(uids); {
		j := runEnd(uids, i)
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(uids[i]), 10)
		if j > i+1 {
			b = append(b, ':')
			b = strconv.AppendUint(b, uint64(uids[j-1]), 10)
		}
		i = j
	}
	return b
}

// runEnd returns the end of the run of consecutive UIDs that begins at i.
func runEnd(uids []imap.UID, i int) int {
	j := i + 1
	for j < len(uids) && uids[j] == uids[j-1]+1 {
		j++
	}
	return j
}

// A measure is what one command may name: a sequence set of at most so many
// bytes, with at most so many messages in it.
type measure struct{ bytes, messages int }

// atMost returns a measure of no more messages than that.
func (m measure) atMost(messages int) measure { return measure{m.bytes, min(m.messages, messages)} }

// cut returns as many of ascending UIDs as one command may name, one at least,
// and the rest.
func (m measure) cut(uids []imap.UID) (first, rest []imap.UID) {
	const longestRange = len("4294967295:4294967295,")
	most, bytes, i := min(max(m.messages, 1), len(uids)), 0, 0
	for i < most {
		j := runEnd(uids[:most], i)
		bytes += len(appendSet(make([]byte, 0, longestRange), uids[i:j])) + 1
		if bytes > m.bytes && i > 0 {
			break
		}
		i = j
	}
	return uids[:i:i], uids[i:]
}

// chunks cuts ascending UIDs into what one command each may name.
func (m measure) chunks(uids []imap.UID) [][]imap.UID {
	var pieces [][]imap.UID
	for len(uids) > 0 {
		var piece []imap.UID
		piece, uids = m.cut(uids)
		pieces = append(pieces, piece)
	}
	return pieces
}

// contains reports whether uid is among ascending UIDs.
func contains(uids []imap.UID, uid imap.UID) bool {
	_, is := slices.BinarySearch(uids, uid)
	return is
}
