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

// chunks cuts ascending UIDs into pieces of at most count, whose sequence sets
// are at most length bytes long.
func chunks(uids []imap.UID, length, count int) [][]imap.UID {
	const longestRange = len("4294967295:4294967295,")
	var pieces [][]imap.UID
	start, bytes := 0, 0
	count = min(count, len(uids))
	for i := 0; i < len(uids); {
		j := runEnd(uids[:min(len(uids), start+count)], i)
		if bytes += len(appendSet(make([]byte, 0, longestRange), uids[i:j])) + 1; bytes > length && i > start {
			pieces = append(pieces, uids[start:i])
			start, bytes = i, 0
			continue
		}
		i = j
		if i-start == count {
			pieces = append(pieces, uids[start:i])
			start, bytes = i, 0
		}
	}
	if start < len(uids) {
		pieces = append(pieces, uids[start:])
	}
	return pieces
}

// contains reports whether uid is among ascending UIDs.
func contains(uids []imap.UID, uid imap.UID) bool {
	_, is := slices.BinarySearch(uids, uid)
	return is
}
