package wire

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A Section is the value of BODY[...], BINARY[...], RFC822 or its kin.
type Section struct {
	Name string // in upper case, without PEEK and quotes: "BODY[HEADER.FIELDS (SUBJECT)]"
	Size int64
	Data []byte
}

func isSection(name []byte) bool {
	if len(name) == 0 || name[0]|0x20 != 'b' && name[0]|0x20 != 'r' {
		return false
	}
	return hasPrefixFold(name, "BODY[") || hasPrefixFold(name, "BODY.PEEK[") ||
		hasPrefixFold(name, "BINARY[") || hasPrefixFold(name, "BINARY.PEEK[") ||
		equalFold(name, "RFC822") || equalFold(name, "RFC822[]") || equalFold(name, "RFC822.HEADER") || equalFold(name, "RFC822.TEXT")
}

// sectionName returns the name of a section as a program would ask for it: in
// upper case, without PEEK, and with field names that are neither quoted nor
// literals.
func sectionName(b []byte) string {
	for _, usual := range [...]string{"BODY[]", "BODY[HEADER]", "BODY[TEXT]"} {
		if equalFold(b, usual) {
			return usual
		}
	}
	var name []byte
	for i := 0; i < len(b); i++ {
		if _, size := literalHead(b[i:]); size > 0 {
			i += size
		}
		if i < len(b) && b[i] != '"' {
			name = append(name, b[i])
		}
	}
	s := strings.ToUpper(string(name))
	if i := strings.IndexByte(s, '['); i > 0 {
		s = strings.TrimSuffix(s[:i], ".PEEK") + s[i:]
	}
	return s
}

// Answers reports whether a section of this name is what an item asks for, be it
// in the words of IMAP2 or with a needless origin, but not another piece of it.
func Answers(item, name string) bool {
	if before, behind, _ := strings.Cut(item, ".PEEK"); strings.HasPrefix(name, before) && name[len(before):] == behind {
		return true // nearly always
	}
	asked, from := splitOrigin(sectionName([]byte(item)))
	sent, origin := splitOrigin(sectionName([]byte(name)))
	return plainSection(asked) == plainSection(sent) && (origin == from || origin == "" || origin == "0" && from == "")
}

// splitOrigin cuts BODY[]<5.10>, as a program asks, or BODY[]<5>, as a server
// answers, behind the bracket, and returns the 5, too.
func splitOrigin(name string) (section, origin string) {
	section, piece, _ := strings.Cut(name, "<")
	origin, _, _ = strings.Cut(strings.TrimSuffix(piece, ">"), ".")
	return section, origin
}

// plainSection leaves out which fields of the header there are, and blanks.
func plainSection(name string) string {
	switch name {
	case "RFC822", "RFC822[]":
		return "BODY[]"
	case "RFC822.HEADER":
		return "BODY[HEADER]"
	case "RFC822.TEXT":
		return "BODY[TEXT]"
	}
	name, _, _ = strings.Cut(name, "(")
	return strings.ReplaceAll(name, " ", "")
}

// Section returns the section that an item asks for, or nil. One that is alone in
// its response is taken for it: servers spell names in their own ways.
func (f *Fetched) Section(item string) *Section {
	if len(f.Sections) == 1 && !strings.Contains(item, "<") {
		return &f.Sections[0]
	}
	for i := range slices.Backward(f.Sections) {
		if Answers(item, f.Sections[i].Name) {
			return &f.Sections[i]
		}
	}
	return nil
}

// section reads the value of a body section. It is a literal where framing has
// stopped, or a quoted string, or NIL.
func (r *FetchReader) section(name string) (streaming bool, err error) {
	resp := &r.c.resp
	p := &resp.Parser
	p.spaces()
	if resp.body >= 0 && p.lastLiteral() {
		streaming = r.Stream != "" && r.msg.UID != 0 && Answers(r.Stream, name)
		if streaming && r.msg.Sections == nil {
			r.msg.Sections = r.streamed[:0]
		}
		r.msg.Sections = append(r.msg.Sections, Section{Name: name, Size: resp.body})
		r.body = Body{r: r, left: resp.body, big: resp.body >= gatherBody}
		if streaming {
			r.msg.Body = &r.body
			return true, nil
		}
		return false, r.hold()
	}
	data := []byte{}
	if ch := p.peek(); ch != ')' && ch != 0 && !p.startsItem() { // Yandex sends no value for an empty part
		before := p.b
		s, _, ok := p.str()
		if !ok {
			r.malformed(p, 0, name, before)
			return false, nil
		}
		data = append(data, s...)
	}
	r.msg.Sections = append(r.msg.Sections, Section{name, int64(len(data)), data})
	return false, nil
}

// lastLiteral reports whether nothing is left but the announcement of a literal.
func (p *Parser) lastLiteral() bool {
	_, size := literalHead(bytes.TrimPrefix(p.b, []byte("~")))
	return size > 0 && size >= len(p.b)-1
}

// hold reads a body into memory. While streaming that is done for messages
// whose UID comes behind their body (Exchange 2003), and for other sections.
func (r *FetchReader) hold() error {
	s := &r.msg.Sections[len(r.msg.Sections)-1]
	if s.Size > r.c.lim.Message-r.memory {
		return r.c.fail(fmt.Errorf("%w: a message of %d bytes, at most %d are held in memory",
			ErrLimit, s.Size, r.c.lim.Message))
	}
	data, err := r.body.readAll(s.Size)
	if err != nil {
		return err
	}
	s.Data = data
	r.memory += s.Size
	return r.c.resume(&r.c.resp)
}

// firstChunk is how much memory a body's announced size is trusted for before
// its bytes arrive.
const firstChunk = 1 << 20

// readAll reads a body of n bytes.
func (b *Body) readAll(n int64) ([]byte, error) {
	data := make([]byte, min(n, firstChunk))
	for got := 0; ; {
		k, err := io.ReadFull(b, data[got:])
		got += k
		if err != nil {
			return nil, err
		}
		if int64(got) == n {
			return data, nil
		}
		grown := make([]byte, min(n, 4*int64(len(data))))
		copy(grown, data)
		data = grown
	}
}

// A Body streams a literal.
type Body struct {
	r    *FetchReader
	left int64
	big  bool // as gatherBody says
	done bool
}

// Len returns how many bytes are left.
func (b *Body) Len() int64 { return b.left }

// Read reads from the body. A connection that is lost within it is an error,
// never the end.
func (b *Body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	c := b.r.c
	var n int
	var err error
	switch {
	case c.r < c.w:
		n = copy(p, c.buf[c.r:c.w])
		c.r += n
	case len(p) >= 16<<10:
		b.expect()
		n, err = c.read(p)
	default:
		b.expect()
		if err = c.fill(); err == nil {
			n = copy(p, c.buf[c.r:c.w])
			c.r += n
		}
	}
	b.left -= int64(n)
	return n, err
}

// WriteTo writes the rest of the body to w, without a copy in between.
func (b *Body) WriteTo(w io.Writer) (int64, error) {
	c := b.r.c
	var total int64
	for b.left > 0 {
		if c.r == c.w {
			b.expect()
			if err := c.fill(); err != nil {
				return total, err
			}
		}
		chunk := c.buf[c.r:c.w]
		if int64(len(chunk)) > b.left {
			chunk = chunk[:b.left]
		}
		n, err := w.Write(chunk)
		c.r += n
		b.left -= int64(n)
		total += int64(n)
		if err != nil {
			return total, err
		}
		if n < len(chunk) {
			return total, io.ErrShortWrite
		}
	}
	return total, nil
}

// expect tells the transport what is certainly still to come. TLS may have taken
// some of it already: a record, and part of the next.
func (b *Body) expect() {
	c := b.r.c
	if !b.big || c.gather == nil {
		return
	}
	c.gather.sure = b.left
	if c.below != nil {
		c.gather.sure = max(b.left-2*maxRecord, 0)
	}
}

// maxRecord is more than a TLS record has (RFC 8446 section 5.2).
const maxRecord = 17 << 10

// discard reads the rest of the body and what frames the rest of its response.
func (b *Body) discard() error {
	if b.done {
		return nil
	}
	b.done = true
	if err := b.r.c.discard(b.left); err != nil {
		return err
	}
	b.left = 0
	return b.r.c.resume(&b.r.c.resp)
}
