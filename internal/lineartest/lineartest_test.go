package lineartest

import (
	"testing"
	"time"
)

func TestSquaresAreToldFromLines(t *testing.T) {
	calls := 0
	for name, tt := range map[string]struct {
		measure func(n int) time.Duration
		failed  bool
	}{
		"linear":           {func(n int) time.Duration { return time.Duration(n) * time.Millisecond }, false},
		"square":           {func(n int) time.Duration { return time.Duration(n*n) * time.Millisecond }, true},
		"square and short": {func(n int) time.Duration { return time.Duration(n*n) * time.Nanosecond }, false},
		"linear, with another program in the way most of the time": {func(n int) time.Duration {
			calls++
			if calls%3 != 0 && n > 100 {
				n *= 10
			}
			return time.Duration(n) * time.Millisecond
		}, false},
	} {
		if err := check(100, tt.measure); (err != nil) != tt.failed {
			t.Errorf("%s: %v", name, err)
		}
	}
}
