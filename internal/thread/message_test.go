package thread

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// at is a date some minutes after a fixed one.
func at(minutes int) time.Time {
	return time.Date(2024, 5, 1, 12, minutes, 0, 0, time.UTC)
}

func uids(msgs []Message) []uint32 {
	var out []uint32
	for _, m := range msgs {
		out = append(out, m.UID)
	}
	return out
}

func TestSort(t *testing.T) {
	east := time.FixedZone("", 5*3600)
	msgs := []Message{
		{UID: 1, Subject: "Re: beta", From: "zoe", To: "x", Cc: "b", DisplayFrom: "Amy", DisplayTo: "é",
			Sent: at(9), Arrival: at(20), Size: 10},
		{UID: 2, Subject: "ALPHA", From: "Max", To: "X", Cc: "a", DisplayFrom: "zed@x", DisplayTo: "f",
			Sent: at(5).In(east), Arrival: at(10), Size: 30},
		{UID: 3, Subject: "[list] alpha (fwd)", From: "amy", To: "y", Cc: "", DisplayFrom: "bob", DisplayTo: "e",
			Arrival: at(7), Size: 20},
		{UID: 4, Subject: "Beta", From: "amy", To: "", Cc: "b", DisplayFrom: "Bob", DisplayTo: "E\u0301",
			Sent: at(5), Arrival: at(30), Size: 20},
	}
	tests := []struct {
		name string
		keys []Key
		want []uint32
	}{
		{"no keys: mailbox order", nil, []uint32{1, 2, 3, 4}},
		{"arrival", []Key{{Field: ByArrival}}, []uint32{3, 2, 1, 4}},
		{"reverse arrival", []Key{{ByArrival, true}}, []uint32{4, 1, 2, 3}},
		{"cc, missing first", []Key{{Field: ByCc}}, []uint32{3, 2, 1, 4}},
		{"date, missing replaced by arrival", []Key{{Field: ByDate}}, []uint32{2, 4, 3, 1}},
		{"reverse date keeps mailbox order of equals", []Key{{ByDate, true}}, []uint32{1, 3, 2, 4}},
		{"from", []Key{{Field: ByFrom}}, []uint32{3, 4, 2, 1}},
		{"size", []Key{{Field: BySize}}, []uint32{1, 3, 4, 2}},
		{"reverse size", []Key{{BySize, true}}, []uint32{2, 3, 4, 1}},
		{"subject is the base subject in any case", []Key{{Field: BySubject}}, []uint32{2, 3, 1, 4}},
		{"to", []Key{{Field: ByTo}}, []uint32{4, 1, 2, 3}},
		{"display from", []Key{{Field: ByDisplayFrom}}, []uint32{1, 3, 4, 2}},
		{"display to, accents", []Key{{Field: ByDisplayTo}}, []uint32{3, 1, 4, 2}},
		{"second key among equals", []Key{{Field: BySubject}, {ByDate, true}}, []uint32{3, 2, 1, 4}},
		{"reverse is of one key only", []Key{{BySubject, true}, {Field: BySize}}, []uint32{1, 4, 3, 2}},
		{"unknown key", []Key{{Field: -1}, {BySize, true}}, []uint32{2, 3, 4, 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, start := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}} {
				got := make([]Message, 0, len(msgs))
				for _, i := range start {
					got = append(got, msgs[i])
				}
				Sort(got, tt.keys)
				if !slices.Equal(uids(got), tt.want) {
					t.Errorf("from %v: %v, want %v", start, uids(got), tt.want)
				}
			}
		})
	}
}

func TestDisplayName(t *testing.T) {
	tests := []struct{ name, displayName, mailbox, host, want string }{
		{"name", "Amy", "amy", "example.org", "Amy"},
		{"no name", "", "amy", "example.org", "amy@example.org"},
		{"group", "", "Friends", "", "Friends"},
		{"nothing", "", "", "", ""},
	}
	for _, tt := range tests {
		if got := DisplayName(tt.displayName, tt.mailbox, tt.host); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func BenchmarkSort(b *testing.B) {
	msgs := randomMessages(rand.New(rand.NewPCG(1, 2)), 100_000)
	for b.Loop() {
		Sort(slices.Clone(msgs), []Key{{Field: BySubject}, {ByDate, true}})
	}
}
