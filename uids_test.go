package imapkit

import (
	"math"
	"slices"
	"testing"

	"github.com/emersion/go-imap/v2"
)

func TestAppendSetWritesRangesAsRanges(t *testing.T) {
	for want, uids := range map[string][]imap.UID{
		"":                      nil,
		"7":                     {7},
		"1:3":                   {1, 2, 3},
		"1,3":                   {1, 3},
		"1:2,4,6:8":             {1, 2, 4, 6, 7, 8},
		"4294967294:4294967295": {4294967294, 4294967295},
	} {
		if got := string(appendSet(nil, uids)); got != want {
			t.Errorf("%v: got %q, want %q", uids, got, want)
		}
	}
}

func TestChunksKeepEveryUIDWithinLengthAndCount(t *testing.T) {
	sparse, dense := ascending(manyUIDs(5000)), make([]imap.UID, 5000)
	for i := range dense {
		dense[i] = imap.UID(i + 1)
	}
	mixed := ascending(append(slices.Clone(sparse), dense...))
	for _, uids := range [][]imap.UID{sparse, dense, mixed, dense[:1], nil} {
		for _, count := range []int{1, 7, 1000, math.MaxInt} {
			pieces := (measure{500, count}).chunks(uids)
			if !slices.Equal(slices.Concat(pieces...), uids) {
				t.Fatalf("%d UIDs by %d: some are lost or moved", len(uids), count)
			}
			for _, piece := range pieces {
				if n := len(appendSet(nil, piece)); n > 500 || len(piece) > count || len(piece) == 0 {
					t.Fatalf("by %d: a piece of %d UIDs in %d bytes", count, len(piece), n)
				}
			}
		}
	}
	if n := len((measure{500, math.MaxInt}).chunks(dense)); n != 1 {
		t.Errorf("one range is cut into %d", n)
	}
}
