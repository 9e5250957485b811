package wire

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
)

// A Response is one response of the server. It is valid until the next one is
// read.
type Response struct {
	Tag    string // empty for untagged responses, "+" for a continuation request
	Num    uint32 // of "* 3 EXISTS"
	HasNum bool
	Name   string // in upper case: "EXISTS", "OK", "LIST"
	Status Status // for OK, NO, BAD, BYE and PREAUTH
	Parser        // behind the name

	lines *lineReader // SEARCH and its kin are read as they come
	body  int64       // length of the body literal where framing has stopped; -1: none
	text  int64       // bytes framed so far: all but bodies
}

// A Status is the contents of a status response (RFC 9051 section 7.1).
type Status struct {
	Type string // OK, NO, BAD, BYE, PREAUTH
	Code string // without brackets, arguments included
	Text string
}

// CodeName returns the first word of the code, in upper case.
func (s Status) CodeName() string {
	name, _, _ := strings.Cut(s.Code, " ")
	return strings.ToUpper(name)
}

// CodeArgs returns what follows the first word of the code.
func (s Status) CodeArgs() string {
	_, args, _ := strings.Cut(s.Code, " ")
	return args
}

var errJunk = errors.New("not a response")

// next reads a response. What is none is skipped.
func (c *Conn) next() (*Response, error) {
	for {
		resp, err := c.frameNext(c.fill)
		if err == nil {
			if resp.Name != "BYE" {
				c.answers++
			}
			return resp, nil
		}
		if !errors.Is(err, errJunk) {
			return nil, c.fail(err)
		}
	}
}

// errIncomplete ends framing where only what has arrived may be looked at.
var errIncomplete = errors.New("incomplete")

// buffered returns the next response if all of it has arrived and lies in
// memory, else nil.
func (c *Conn) buffered() (*Response, error) {
	for {
		begin := c.r
		resp, err := c.frameNext(func() error { return errIncomplete })
		switch {
		case err == nil && resp.lines == nil && resp.body < 0:
			return resp, nil
		case err == nil || errors.Is(err, errIncomplete):
			c.r = begin
			return nil, nil
		case !errors.Is(err, errJunk):
			return nil, c.fail(err)
		}
	}
}

// head is the number of bytes by which a response is recognized, and mostBlanks
// how many blanks may stand before them (DavMail writes "*  3 EXISTS").
const (
	head       = 32
	mostBlanks = 256
)

// mostPadding is how many NUL bytes may stand before a response.
const mostPadding = 1 << 20

// skipPadding skips NUL bytes, which some servers send between responses, and
// returns how many there were.
func (c *Conn) skipPadding() (n int) {
	for c.r < c.w && c.buf[c.r] == 0 {
		c.r++
		n++
	}
	return n
}

func (c *Conn) frameNext(fill func() error) (*Response, error) {
	padding := c.skipPadding()
	num, fetchSize := fetchHead(c.buf[c.r:c.w])
	isFetchHead := fetchSize > 0
	for !isFetchHead && !recognizable(c.buf[c.r:c.w]) {
		if padding > mostPadding || c.w-c.r >= head+mostBlanks {
			return nil, fmt.Errorf("%w: a response begins with too many blanks or NUL bytes", ErrProtocol)
		}
		if err := fill(); err != nil {
			return nil, err
		}
		padding += c.skipPadding()
	}
	if c.nresp++; c.nresp > c.lim.Responses {
		return nil, fmt.Errorf("%w: more than %d responses to one command", ErrLimit, c.lim.Responses)
	}
	resp := &c.resp
	if isFetchHead {
		return resp, c.frameFetch(num, fill)
	}
	*resp = Response{body: -1}
	b := c.buf[c.r:c.w]
	if name, size := streamedName(b); name != "" {
		c.r += size
		resp.Name, resp.lines = name, &lineReader{c: c}
		return resp, nil
	}
	fetch := isFetch(b)
	plain := !fetch && mayHoldText(b)
	length, body, err := c.frame(plain, fetch, fill)
	if err != nil {
		return nil, err
	}
	resp.body, resp.text = body, int64(length)
	resp.Parser = Parser{b: c.buf[c.r : c.r+length], depth: c.lim.Depth}
	c.r += length
	if !resp.parseHead() && !c.isAnswer(resp) {
		c.debug("skipped what is no response", resp.Parser.rest())
		if line := bytes.TrimSpace(c.buf[c.r-length : c.r]); len(line) > 0 {
			c.words = c.Redact(string(line[:min(len(line), mostWords)]))
		}
		return nil, errJunk
	}
	if c.secrets != nil && resp.Tag != "+" && resp.Status.CodeName() != "CAPABILITY" {
		resp.Status.Code, resp.Status.Text = c.Redact(resp.Status.Code), c.Redact(resp.Status.Text)
	}
	return resp, nil
}

const fetchName = "FETCH"

// fetchHead returns the number and the length of "* 23 FETCH (", if b begins with
// it, as nearly all responses to FETCH do.
func fetchHead(b []byte) (num uint32, size int) {
	if len(b) < head || b[0] != '*' || b[1] != ' ' {
		return 0, 0
	}
	i := 2
	for i < 11 && '0' <= b[i] && b[i] <= '9' { // nine digits at most
		num = num*10 + uint32(b[i]-'0')
		i++
	}
	if i == 2 || string(b[i:i+len(" FETCH (")]) != " FETCH (" {
		return 0, 0
	}
	return num, i + len(" FETCH (")
}

// frameFetch frames a response that fetchHead has recognized. It leaves alone
// what is in order from the response before, because a hundred thousand of these
// come in a row.
func (c *Conn) frameFetch(num uint32, fill func() error) error {
	length, body, err := c.frame(false, true, fill)
	if err != nil {
		return err
	}
	resp := &c.resp
	if resp.Name != fetchName || !resp.HasNum || resp.Tag != "" {
		*resp = Response{Name: fetchName, HasNum: true}
	}
	resp.Num, resp.body, resp.text = num, body, int64(length)
	b := c.buf[c.r : c.r+length]
	resp.Parser = Parser{b: b[bytes.IndexByte(b, '('):], depth: c.lim.Depth}
	c.r += length
	return nil
}

// recognizable reports whether b holds a line or enough of one.
func recognizable(b []byte) bool {
	if bytes.IndexByte(b[:min(len(b), head+mostBlanks)], '\n') >= 0 {
		return true
	}
	p := Parser{b: b}
	p.accept('*')
	p.spaces()
	return len(p.b) >= head
}

// streamedName returns the name of a response that is parsed while it arrives,
// because it may be long, and how many bytes it ends after.
func streamedName(b []byte) (name string, size int) {
	p := Parser{b: b}
	if !p.accept('*') {
		return "", 0
	}
	a := p.atom()
	if len(p.b) == 0 {
		return "", 0
	}
	for _, name := range [...]string{"SEARCH", "ESEARCH", "SORT", "THREAD"} {
		if equalFold(a, name) {
			return name, len(b) - len(p.b)
		}
	}
	return "", 0
}

func isFetch(b []byte) bool {
	p := Parser{b: b}
	if !p.accept('*') {
		return false
	}
	if a := p.atom(); len(a) == 0 || a[0] < '0' || a[0] > '9' {
		return false
	}
	a := p.atom()
	return equalFold(a, "FETCH") || equalFold(a, "UIDFETCH")
}

// mayHoldText reports whether a response ends in human-readable text, so that
// "{3}" at its end is no literal: status responses, tagged ones, continuations.
func mayHoldText(b []byte) bool {
	p := Parser{b: b}
	if !p.accept('*') {
		return true
	}
	switch a := p.atom(); {
	case equalFold(a, "OK"), equalFold(a, "NO"), equalFold(a, "BAD"), equalFold(a, "BYE"), equalFold(a, "PREAUTH"):
		return true
	}
	return false
}

// frame makes the response at r contiguous in the buffer, up to its end or up
// to the literal of a body, whose length it returns.
func (c *Conn) frame(plain, fetch bool, fill func() error) (length int, body int64, err error) {
	line := 0 // where the line begins that is looked at
	scan := 0 // up to here it has no end
	for {
		i := bytes.IndexByte(c.buf[c.r+scan:c.w], '\n')
		if i < 0 {
			scan = c.w - c.r
			if int64(scan-line) > c.lim.Line {
				return 0, 0, fmt.Errorf("%w: a line of more than %d bytes", ErrLimit, c.lim.Line)
			}
			if err := fill(); err != nil {
				return 0, 0, err
			}
			continue
		}
		end := scan + i + 1
		if int64(end-line) > c.lim.Line+2 {
			return 0, 0, fmt.Errorf("%w: a line of more than %d bytes", ErrLimit, c.lim.Line)
		}
		text := c.buf[c.r+line : c.r+end]
		n, ok := literalLength(text)
		if plain || !ok {
			return end, -1, nil
		}
		if fetch && announcesBody(text) {
			return end, n, nil
		}
		if n > c.lim.Literal {
			return 0, 0, fmt.Errorf("%w: a literal of %d bytes, at most %d are allowed", ErrLimit, n, c.lim.Literal)
		}
		if most := c.lim.text(); n > most-int64(end) {
			return 0, 0, fmt.Errorf("%w: a response of more than %d bytes", ErrLimit, most)
		}
		line = end + int(n)
		scan = line
		for c.w-c.r < line {
			if err := fill(); err != nil {
				return 0, 0, err
			}
		}
	}
}

// announcesBody reports whether the literal at the end of a line of a FETCH
// response is (part of) a message: BODY[...], BINARY[...] or RFC822 and its kin.
func announcesBody(line []byte) bool {
	i := bytes.LastIndexByte(line, '{')
	if i > 0 && line[i-1] == '~' {
		i--
	}
	b := bytes.TrimRight(line[:i], " \t")
	if len(b) == 0 {
		return false
	}
	if last := b[len(b)-1]; last == ']' || last == '>' {
		return true
	}
	name := b[bytes.LastIndexAny(b, " \t(")+1:]
	return equalFold(name, "RFC822") || equalFold(name, "RFC822.HEADER") || equalFold(name, "RFC822.TEXT")
}

// parseHead reads tag, number, name and status.
func (r *Response) parseHead() bool {
	p := &r.Parser
	if p.accept('+') {
		r.Tag = "+"
		r.Status.Text = string(bytes.TrimPrefix(p.rest(), []byte(" ")))
		return true
	}
	if p.peek() == '[' { // Exchange: a response code and nothing before it
		r.Name = "OK"
		r.Status = parseStatus(r.Name, p.rest())
		return true
	}
	if !p.accept('*') {
		r.Tag = string(p.atom())
		if r.Tag == "" {
			return false
		}
	}
	name := p.atom()
	if r.Tag != "" && string(name) == "+" { // Gromox: "a1 + idling"
		r.Tag = "+"
		r.Status.Text = string(bytes.TrimPrefix(p.rest(), []byte(" ")))
		return true
	}
	if len(name) > 0 && name[0] >= '0' && name[0] <= '9' && r.Tag == "" {
		n, ok := parseNumber(name)
		if !ok || n > math.MaxUint32 {
			return false
		}
		r.Num, r.HasNum = uint32(n), true
		name = p.atom()
	}
	if r.Tag != "" {
		name = bytes.TrimRight(name, ".,:;!") // "a1 OK. Completed"
	}
	if len(name) == 0 {
		return false
	}
	r.Name = upperName(name)
	switch r.Name {
	case "OK", "NO", "BAD", "BYE", "PREAUTH":
		r.Status = parseStatus(r.Name, p.rest())
	default:
		return r.Tag == ""
	}
	return true
}

// isAnswer takes a tagged response with another status than OK, NO and BAD for
// BAD if it answers a command that is under way, and does not repeat it.
func (c *Conn) isAnswer(r *Response) bool {
	for _, cmd := range c.inFlight {
		if cmd.tag == r.Tag && r.Tag != "" && r.Name != "" {
			verb, _, _ := strings.Cut(cmd.Name, " ")
			text := strings.TrimSpace(r.Name + " " + string(bytes.TrimSpace(r.Parser.rest())))
			r.Name, r.Status = "BAD", Status{Type: "BAD", Text: text}
			return !strings.HasPrefix(text, verb)
		}
	}
	return false
}

// upperName returns the name in upper case, without allocating for those that
// come often.
func upperName(b []byte) string {
	for _, known := range [...]string{"FETCH", "OK", "EXISTS", "EXPUNGE", "RECENT", "LIST", "STATUS", "FLAGS", "NO"} {
		if equalFold(b, known) {
			return known
		}
	}
	return strings.ToUpper(string(b))
}

// parseStatus splits "[CODE args] text". A code whose bracket is never closed
// is taken for text (some servers write "[foo" in their prose).
func parseStatus(typ string, b []byte) Status {
	s := Status{Type: typ}
	b = bytes.TrimLeft(b, " \t")
	if len(b) > 0 && b[0] == '[' {
		if i := codeEnd(b); i > 0 {
			s.Code = string(bytes.TrimSpace(b[1:i]))
			b = bytes.TrimLeft(b[i+1:], " \t")
		}
	}
	s.Text = string(b)
	return s
}

// codeEnd returns the offset of the bracket that ends a response code: the
// first one outside quotes and lists, because flags may contain brackets.
func codeEnd(b []byte) int {
	depth, quoted := 0, false
	for i, ch := range b {
		switch {
		case ch == '"':
			quoted = !quoted
		case quoted:
		case ch == '(':
			depth++
		case ch == ')':
			depth--
		case ch == ']' && depth <= 0:
			return i
		}
	}
	return bytes.IndexByte(b, ']')
}

// finish reads what is left of a response: a body literal nobody wanted, the
// rest of a long line.
func (c *Conn) finish(resp *Response) error {
	if resp.lines != nil {
		return resp.lines.drain()
	}
	for resp.body >= 0 {
		if err := c.discard(resp.body); err != nil {
			return err
		}
		if err := c.resume(resp); err != nil {
			return err
		}
	}
	return nil
}

// resume frames what follows a body literal.
func (c *Conn) resume(resp *Response) error {
	length, body, err := c.frame(false, true, c.fill)
	for err == nil && body < 0 && len(bytes.TrimSpace(c.buf[c.r:c.r+length])) == 0 {
		// The list is still open. Where a server breaks the line behind a
		// literal, the rest begins with a blank, as no response does.
		for c.w-c.r == length && err == nil {
			err = c.fill()
		}
		if err != nil || !continues[c.buf[c.r+length]] {
			break
		}
		c.r += length
		length, body, err = c.frame(false, true, c.fill)
	}
	resp.text += int64(length)
	if most := c.lim.text(); err == nil && resp.text > most {
		err = fmt.Errorf("%w: a response of more than %d bytes", ErrLimit, most)
	}
	if err != nil {
		return c.fail(err)
	}
	resp.Parser = Parser{b: c.buf[c.r : c.r+length], depth: c.lim.Depth}
	resp.body = body
	c.r += length
	return nil
}

var continues = [256]bool{' ': true, '\t': true, ')': true}

// discard reads n bytes and forgets them.
func (c *Conn) discard(n int64) error {
	for {
		if have := int64(c.w - c.r); have >= n {
			c.r += int(n)
			return nil
		} else {
			n -= have
		}
		c.r = c.w
		if err := c.fill(); err != nil {
			return err
		}
	}
}

// debug logs something odd that a server sent, shortened.
func (c *Conn) debug(msg string, b []byte) {
	if len(b) > 200 {
		b = b[:200]
	}
	c.log.Debug(msg, "response", c.Redact(string(b)))
}
