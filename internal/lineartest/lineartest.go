// Package lineartest tells work whose time grows with its input from work whose
// time grows with the square of it, on a machine that does other things too.
package lineartest

import (
	"fmt"
	"testing"
	"time"
)

// Check fails the test if run takes much more than four times as long for 4*n as
// for n. Another program may be in the way of a measurement, so the shortest of
// several counts, and one pair of times that is in order is enough.
func Check(t testing.TB, n int, run func(n int)) {
	t.Helper()
	err := check(n, func(n int) time.Duration {
		began := time.Now()
		run(n)
		return time.Since(began)
	})
	if err != nil {
		t.Error(err)
	}
}

const (
	attempts = 5
	times    = 2
	allowed  = 9                     // the square would be 16
	short    = 50 * time.Millisecond // says nothing
)

func check(n int, measure func(n int) time.Duration) error {
	var err error
	for range attempts {
		less, more := measure(n), measure(4*n)
		for range times - 1 {
			less, more = min(less, measure(n)), min(more, measure(4*n))
		}
		if more <= allowed*less || more < short {
			return nil
		}
		err = fmt.Errorf("%v for %d, %v for %d", less, n, more, 4*n)
	}
	return err
}
