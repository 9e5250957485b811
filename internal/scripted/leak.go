package scripted

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// leakPatience is how long goroutines may take to end after the test.
const leakPatience = 2 * time.Second

// modulePath names the goroutines that LeakCheck is after.
const modulePath = "github.com/imapkit/imapkit"

// LeakCheck fails the test if a goroutine with code of this module was started
// after this call and is still there two seconds after the test. Call it
// first: cleanups run in reverse order, and servers end in theirs. It cannot
// tell the goroutines of parallel tests apart.
func LeakCheck(t testing.TB) {
	t.Helper()
	before := make(map[string]bool)
	for id := range goroutines() {
		before[id] = true
	}
	t.Cleanup(func() {
		var leaked []string
		for deadline := time.Now().Add(leakPatience); ; time.Sleep(5 * time.Millisecond) {
			leaked = leaked[:0]
			for id, stack := range goroutines() {
				if !before[id] && strings.Contains(stack, modulePath) && !strings.Contains(stack, "testing.tRunner(") {
					leaked = append(leaked, stack)
				}
			}
			if len(leaked) == 0 {
				return
			}
			if time.Now().After(deadline) {
				break
			}
		}
		t.Errorf("%d goroutines left behind:\n\n%s", len(leaked), strings.Join(leaked, "\n\n"))
	})
}

// goroutines returns the stacks of all goroutines by their numbers.
func goroutines() map[string]string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	stacks := make(map[string]string)
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		// The first line is "goroutine 7 [chan receive]:".
		_, rest, _ := strings.Cut(stack, " ")
		id, _, _ := strings.Cut(rest, " ")
		stacks[id] = stack
	}
	return stacks
}
