package wire

import (
	"fmt"
	"math"
)

// A ThreadNode is one message in the result of THREAD. Nodes come after their
// parents.
type ThreadNode struct {
	Num    uint32 // 0: there is no message, only what answers it
	Parent int32  // index of the node that it answers; -1: none
}

// A ThreadResult is what THREAD found (RFC 5256 section 4).
type ThreadResult struct {
	Nodes []ThreadNode
	Found bool // a response has come at all
}

// Collect takes in THREAD responses; it is made for the On field of a command.
func (t *ThreadResult) Collect(r *Response) bool {
	if r.lines == nil || r.Name != "THREAD" {
		return false
	}
	t.Found = true
	if err := t.read(r.lines); err != nil && r.lines.err == nil {
		r.lines.done, r.lines.err = true, r.lines.c.fail(err)
	}
	return true
}

// read reads "(1 2 (3)(4 5))(6)". What is neither a number nor a parenthesis is
// skipped, as are parentheses that close nothing.
func (t *ThreadResult) read(l *lineReader) error {
	// A node takes 8 bytes and an open list 4, which together must not be more
	// than what the line itself may be.
	most := int(min(l.c.lim.Result/12, math.MaxInt32))
	last := int32(-1)  // the node that the next one answers
	var before []int32 // last, as it was before each open list
	empty := false     // the innermost list has no message so far
	for {
		if len(t.Nodes) >= most || len(before) >= most {
			return fmt.Errorf("%w: threads of more than %d messages", ErrLimit, most)
		}
		switch ch := l.spaces(); {
		case ch == 0 && l.done:
			return nil
		case ch >= '0' && ch <= '9':
			if n, _ := l.number(); n > 0 && n <= math.MaxUint32 {
				last = t.add(uint32(n), last)
				empty = false
			}
		case ch == '(':
			l.advance()
			if empty { // a list in a list: the message at the top is missing
				last = t.add(0, last)
			}
			before = append(before, last)
			empty = true
		case ch == ')':
			l.advance()
			if n := len(before); n > 0 {
				last, before = before[n-1], before[:n-1]
			}
			empty = false
		default:
			l.advance()
		}
	}
}

func (t *ThreadResult) add(num uint32, parent int32) int32 {
	t.Nodes = append(t.Nodes, ThreadNode{num, parent})
	return int32(len(t.Nodes) - 1)
}
