package wire

import (
	"testing"
	"time"
)

func TestThePaceSaysHowManyBytesToWaitFor(t *testing.T) {
	type step struct {
		bytes int
		after time.Duration
	}
	flow := func(n, bytes int, every time.Duration) (list []step) {
		for range n {
			list = append(list, step{bytes, every})
		}
		return list
	}
	for _, test := range []struct {
		name string
		came []step
		mark int
		ran  int64
	}{
		{"nothing", nil, 0, 0},
		{"one read says nothing about time", flow(1, 1<<20, 0), 0, 1 << 20},
		{"a few bytes say nothing", flow(3, 64<<10, time.Microsecond), 0, 192 << 10},
		{"a gigabyte per second", flow(6, 64<<10, 64*time.Microsecond), gatherMost, 384 << 10},
		{"a gigabit per second", flow(42, 8<<10, 66*time.Microsecond), 62060, 336 << 10},
		{"a clock that stands", flow(6, 64<<10, 0), gatherMost, 384 << 10},
		{"20 MB per second", flow(6, 64<<10, 3200*time.Microsecond), 0, 64 << 10},
		{"fast, then slow", append(flow(6, 64<<10, 64*time.Microsecond), flow(4, 64<<10, 10*time.Millisecond)...), 0, 64 << 10},
		{"slow, then fast", append(flow(5, 64<<10, 10*time.Millisecond), flow(4, 64<<10, 64*time.Microsecond)...), gatherMost, 256 << 10},
	} {
		var p pace
		now := time.Now()
		for _, s := range test.came {
			now = now.Add(s.after)
			p.came(s.bytes, func() time.Time { return now })
		}
		if p.mark != test.mark || p.ran != test.ran {
			t.Errorf("%s: waits for %d after %d, want %d after %d", test.name, p.mark, p.ran, test.mark, test.ran)
		}
	}
}
