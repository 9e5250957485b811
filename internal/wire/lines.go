package wire

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// A lineReader reads the rest of a response line while it arrives: results of
// searches may be longer than what is worth holding in memory.
type lineReader struct {
	c    *Conn
	n    int64 // bytes read
	done bool
	err  error
}

// peek returns the next byte, or 0 at the end of the line.
func (l *lineReader) peek() byte {
	c := l.c
	for !l.done && c.r == c.w {
		if l.err = c.fill(); l.err != nil {
			l.done = true
		}
	}
	if l.done {
		return 0
	}
	ch := c.buf[c.r]
	if ch == '\n' {
		c.r++
		l.done = true
		return 0
	}
	return ch
}

func (l *lineReader) advance() { l.skip(1) }

func (l *lineReader) skip(n int) {
	l.c.r += n
	if l.n += int64(n); l.n > l.c.lim.Result {
		l.done = true
		l.err = l.c.fail(fmt.Errorf("%w: a result of more than %d bytes", ErrLimit, l.c.lim.Result))
	}
}

func (l *lineReader) drain() error {
	for l.peek() != 0 || !l.done {
		l.advance()
	}
	return l.err
}

// spaces skips white space and returns the next byte.
func (l *lineReader) spaces() byte {
	for {
		ch := l.peek()
		if ch != ' ' && ch != '\t' && ch != '\r' {
			return ch
		}
		l.advance()
	}
}

// number reads digits; ok is false if there are none. It works on the buffer,
// because results are mostly digits.
func (l *lineReader) number() (n uint64, ok bool) {
	for {
		if ch := l.peek(); ch < '0' || ch > '9' {
			return n, ok
		}
		ok = true
		c := l.c
		i := c.r
		for ; i < c.w && c.buf[i] >= '0' && c.buf[i] <= '9'; i++ {
			if n > (math.MaxUint64-9)/10 {
				n = (math.MaxUint64 - 9) / 10
			}
			n = n*10 + uint64(c.buf[i]-'0')
		}
		l.skip(i - c.r)
	}
}

// word reads up to white space or a parenthesis, and no more than 64 bytes of
// it are kept.
func (l *lineReader) word() string {
	var b [64]byte
	n := 0
	for {
		ch := l.peek()
		if ch == 0 && l.done || atomEnd[ch] {
			return string(b[:n])
		}
		if n < len(b) {
			b[n] = ch
			n++
		}
		l.advance()
	}
}

// skipList skips a parenthesized list after its opening parenthesis.
func (l *lineReader) skipList() {
	for depth := 1; depth > 0; {
		switch l.peek() {
		case '(':
			depth++
		case ')':
			depth--
		case 0:
			if l.done {
				return
			}
		}
		l.advance()
	}
}

// A Range is a range of UIDs or sequence numbers, both ends included.
type Range struct{ First, Last uint32 }

// SearchResult is what SEARCH, ESEARCH or SORT found. Numbers that no message
// can have are left out.
type SearchResult struct {
	Sorted  bool // it came as SORT: the order is the result
	Found   bool // a response has come at all
	Count   uint32
	Counted bool // COUNT was given
	Min     uint32
	Max     uint32
	ModSeq  uint64
	Partial string    // the range that PARTIAL answers
	last    uint64    // numbers in blocks
	block   []Range   // the ranges that came last, and
	blocks  [][]Range // those before, in blocks that need not be copied to grow
}

// add appends a range, joining it with the one before.
func (s *SearchResult) add(first, last uint64, lim *Limits) error {
	if first > last {
		first, last = last, first
	}
	if first == 0 || last > math.MaxUint32 {
		return nil
	}
	s.last += last - first + 1
	// A range of billions must not do what a long line may not, and every
	// number may become a range of its own, of 8 bytes.
	if s.last > uint64(lim.Result)/8 {
		return fmt.Errorf("%w: a result of more than %d messages", ErrLimit, lim.Result/8)
	}
	n := len(s.block)
	if n > 0 && first > 1 && s.block[n-1].Last == uint32(first-1) {
		s.block[n-1].Last = uint32(last)
		return nil
	}
	if n == cap(s.block) {
		if n > 0 {
			s.blocks = append(s.blocks, s.block)
		}
		s.block = make([]Range, 0, min(max(16, 4*n), largestBlock))
	}
	s.block = append(s.block, Range{uint32(first), uint32(last)})
	return nil
}

// largestBlock is the number of ranges in a block of a long result.
const largestBlock = 4 << 10

// Ranges returns the result in the order in which it came.
func (s *SearchResult) Ranges() []Range { return append(slices.Concat(s.blocks...), s.block...) }

// Len returns the number of messages found.
func (s *SearchResult) Len() int { return int(s.last) }

// Numbers expands a result in the order in which it came.
func Numbers[N ~uint32](s *SearchResult) []N {
	if s.last == 0 {
		return nil
	}
	nums := make([]N, 0, s.last)
	for _, block := range append(slices.Clip(s.blocks), s.block) {
		for _, r := range block {
			for n := r.First; ; n++ {
				nums = append(nums, N(n))
				if n == r.Last {
					break
				}
			}
		}
	}
	return nums
}

// Ascending sorts a result and counts what came twice once.
func Ascending[N ~uint32](s *SearchResult) []N {
	nums := Numbers[N](s)
	if !slices.IsSorted(nums) {
		slices.Sort(nums)
	}
	return slices.Compact(nums)
}

// Collect takes in SEARCH, ESEARCH and SORT responses; it is made for the On
// field of a command. tag, when not empty, is the command's tag, which an
// ESEARCH response must carry if it carries one.
func (s *SearchResult) Collect(cmd *Command) func(*Response) bool {
	return func(r *Response) bool {
		if r.lines == nil {
			return false
		}
		var err error
		switch r.Name {
		case "SEARCH", "SORT":
			s.Sorted = r.Name == "SORT"
			err = s.plain(r.lines)
		case "ESEARCH":
			var mine bool
			if mine, err = s.extended(r.lines, cmd.tag); !mine {
				return false
			}
		default:
			return false
		}
		s.Found = true
		if err != nil && r.lines.err == nil {
			r.lines.done, r.lines.err = true, r.lines.c.fail(err)
		}
		return true
	}
}

// buffered reads those numbers that stand in the buffer with the separator behind
// each, as nearly all do. What it leaves is for set.
func (s *SearchResult) buffered(l *lineReader, separator byte) error {
	if l.done { // behind it is the next response
		return nil
	}
	b := l.c.buf[l.c.r:l.c.w]
	done := 0
	for {
		n, i := uint64(0), done
		for i < len(b) && i < done+10 && b[i] >= '0' && b[i] <= '9' {
			n = n*10 + uint64(b[i]-'0')
			i++
		}
		if i == done || i == len(b) || b[i] != separator {
			break
		}
		done = i + 1
		if err := s.add(n, n, &l.c.lim); err != nil {
			return err
		}
	}
	l.skip(done)
	return nil
}

// plain reads "1 2 3 (MODSEQ 4)". Anything else between the numbers is skipped.
func (s *SearchResult) plain(l *lineReader) error {
	for {
		switch ch := l.spaces(); {
		case ch == 0 && l.done:
			return nil
		case ch >= '0' && ch <= '9':
			if err := s.buffered(l, ' '); err != nil {
				return err
			}
			if err := s.set(l); err != nil {
				return err
			}
		case ch == '(':
			l.advance()
			if strings.EqualFold(l.word(), "MODSEQ") {
				l.spaces()
				s.ModSeq, _ = l.number()
			}
			l.skipList()
		default:
			l.advance()
		}
	}
}

// extended reads an ESEARCH response (RFC 9051 section 7.3.4). It is not mine
// if it carries another command's tag.
func (s *SearchResult) extended(l *lineReader, tag string) (mine bool, err error) {
	for {
		switch ch := l.spaces(); {
		case ch == 0 && l.done:
			return true, nil
		case ch == '(':
			l.advance()
			for l.spaces() != ')' && !l.done {
				key, value := l.word(), ""
				if l.spaces() != ')' {
					value = l.word()
				}
				if strings.EqualFold(key, "TAG") && strings.Trim(value, `"`) != tag {
					return false, l.err
				}
				if key == "" && value == "" {
					l.advance()
				}
			}
			if !l.done {
				l.advance()
			}
		case ch == ')':
			l.advance()
		default:
			if err := s.item(l, strings.ToUpper(l.word())); err != nil {
				return true, err
			}
		}
	}
}

// item reads the value of one ESEARCH item.
func (s *SearchResult) item(l *lineReader, name string) error {
	switch name {
	case "UID":
		return nil
	case "ALL":
		l.spaces()
		return s.set(l)
	case "PARTIAL":
		if l.spaces() != '(' {
			return nil
		}
		l.advance()
		l.spaces()
		s.Partial = l.word()
		if ch := l.spaces(); ch >= '0' && ch <= '9' {
			if err := s.set(l); err != nil {
				return err
			}
		}
		l.skipList()
		return nil
	}
	ch := l.spaces()
	if ch < '0' || ch > '9' {
		return nil
	}
	n, _ := l.number()
	small := uint32(min(n, math.MaxUint32))
	switch name {
	case "COUNT":
		s.Count, s.Counted = small, true
	case "MIN":
		s.Min = small
	case "MAX":
		s.Max = small
	case "MODSEQ":
		s.ModSeq = n
	}
	return nil
}

// set reads a sequence set. "*" has no meaning in a result and is skipped.
func (s *SearchResult) set(l *lineReader) error {
	for {
		if err := s.buffered(l, ','); err != nil {
			return err
		}
		first, ok := l.number()
		last := first
		if l.peek() == ':' {
			l.advance()
			if n, ok := l.number(); ok {
				last = n
			}
		}
		if ok {
			if err := s.add(first, last, &l.c.lim); err != nil {
				return err
			}
		}
		switch l.peek() {
		case ',', '*':
			l.advance()
		default:
			return nil
		}
	}
}
