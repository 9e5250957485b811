package imapkit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/imapkit/imapkit/internal/wire"
)

// A source is a message on its way to the server. Its beginning is read before
// anything is sent: the whole of a short message. Of a long one the last bytes go
// only when it is sure that there are no more, so that a server never has the
// whole of a message whose reader does not keep to its size.
type source struct {
	r    io.Reader
	size int64
	opts AppendOptions

	loaded bool
	failed error  // why it could not be loaded
	head   []byte // what was read before anything was sent
	n      int64  // bytes handed out
	held   []byte
	past   bool // more than the head was read, so that it cannot be sent again
	ends   bool // the reader has ended where it should

	id      string // Message-ID; "": none that can be searched for
	utf8    bool   // the header has UTF-8 in it (RFC 6532)
	nul     int64  // where the first NUL of the head is; -1: nowhere
	wrapped bool   // it goes out as UTF8 data (RFC 6855 section 4)
	bare    bool   // it must not, because the server cannot read that
}

// newSource checks what cannot be sent.
func newSource(msg io.Reader, size int64, opts AppendOptions) (*source, error) {
	if msg == nil {
		return nil, errors.New("imapkit: Append: the message is nil")
	}
	if size < 0 {
		return nil, fmt.Errorf("imapkit: Append: size %d is negative", size)
	}
	if err := checkFlags(opts.Flags); err != nil {
		return nil, err
	}
	if y := opts.InternalDate.Year(); !opts.InternalDate.IsZero() && (y < 1 || y > 9999) {
		return nil, fmt.Errorf("imapkit: AppendOptions.InternalDate: the year %d cannot be written in IMAP", y)
	}
	src := &source{r: msg, size: size, opts: opts, nul: -1}
	if opts.CRLF {
		return src, src.convert(msg)
	}
	return src, nil
}

// convert reads the message once to learn the size that it has with CRLF.
func (src *source) convert(msg io.Reader) error {
	seeker, ok := msg.(io.ReadSeeker)
	if !ok {
		return errors.New("imapkit: AppendOptions.CRLF: the message cannot be read twice, it is no io.ReadSeeker")
	}
	start, err := seeker.Seek(0, io.SeekCurrent)
	if err != nil {
		return fmt.Errorf("imapkit: AppendOptions.CRLF: %w", err)
	}
	counted := &countingReader{r: seeker}
	long, err := io.Copy(io.Discard, &crlfReader{r: counted})
	switch {
	case err != nil:
		return fmt.Errorf("imapkit: reading what to send: %w", err)
	case counted.n != src.size:
		return fmt.Errorf("imapkit: Append: the message has %d bytes, not %d", counted.n, src.size)
	}
	if _, err := seeker.Seek(start, io.SeekStart); err != nil {
		return fmt.Errorf("imapkit: AppendOptions.CRLF: %w", err)
	}
	src.r, src.size = &crlfReader{r: seeker}, long
	return nil
}

// longestHead is how much of a message is read before anything is sent.
const longestHead = 64 << 10

// load reads the head and learns from it how the message has to be sent.
func (src *source) load() error {
	if !src.loaded {
		src.loaded = true
		if src.failed = src.readHead(); src.failed != nil {
			src.failed = &wire.SourceError{Err: src.failed}
		}
	}
	return src.failed
}

func (src *source) readHead() error {
	src.head = make([]byte, min(src.size, longestHead))
	if n, err := io.ReadFull(src.r, src.head); err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w, %d bytes before the announced size", io.ErrUnexpectedEOF, src.size-int64(n))
	} else if err != nil {
		return err
	}
	if src.short() {
		if err := src.end(); err != nil {
			return err
		}
	}
	header := headerOf(src.head)
	src.id = messageID(header)
	src.utf8 = is8bit(header) && utf8.Valid(header)
	src.nul = int64(bytes.IndexByte(src.head, 0))
	return nil
}

// short reports whether the head is the whole message.
func (src *source) short() bool { return src.size <= longestHead }

// end checks that the reader ends here.
func (src *source) end() error {
	for !src.ends {
		var extra [1]byte
		switch n, err := src.r.Read(extra[:]); {
		case n > 0:
			return errors.New("there is more than the announced size")
		case err == io.EOF:
			src.ends = true
		case err != nil:
			return err
		}
	}
	return nil
}

// rewind goes back to the beginning, if it can.
func (src *source) rewind() bool {
	if !src.past {
		src.n = 0
	}
	return !src.past
}

// complete reports whether the whole message may have been sent.
func (src *source) complete() bool { return src.n == src.size }

// heldBack is how many bytes wait for the end of the reader.
const heldBack = 64

// Read hands the message on.
func (src *source) Read(p []byte) (int, error) {
	if src.n < int64(len(src.head)) {
		n := copy(p, src.head[src.n:])
		src.n += int64(n)
		return n, nil
	}
	if src.short() {
		return 0, io.EOF
	}
	src.past = true
	left := src.size - src.n - int64(len(src.held))
	if left > heldBack {
		n, err := src.r.Read(p[:min(int64(len(p)), left-heldBack)])
		if bad := src.check(p[:n], src.n); bad != nil {
			return 0, bad
		}
		src.n += int64(n)
		return n, err
	}
	for left > 0 && !src.ends {
		var b [heldBack]byte
		n, err := src.r.Read(b[:left])
		if bad := src.check(b[:n], src.size-left); bad != nil {
			return 0, bad
		}
		src.held = append(src.held, b[:n]...)
		left -= int64(n)
		if err == io.EOF && left == 0 {
			src.ends = true
		} else if err != nil {
			return 0, err
		}
	}
	if err := src.end(); err != nil {
		return 0, err
	}
	if len(src.held) == 0 {
		return 0, io.EOF
	}
	n := copy(p, src.held)
	src.held = src.held[n:]
	src.n += int64(n)
	return n, nil
}

// check returns an error for a NUL that was not announced, and cannot be any
// more.
func (src *source) check(p []byte, at int64) error {
	if src.nul >= 0 {
		return nil
	}
	if i := bytes.IndexByte(p, 0); i >= 0 {
		return fmt.Errorf("byte %d is a NUL; the server has to be told of one when the message begins,"+
			" so the first must be among the %d bytes that are looked at", at+int64(i), longestHead)
	}
	return nil
}

// A countingReader knows how much has been read.
type countingReader struct {
	r io.Reader
	n int64
}

// Read reads and counts.
func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// A crlfReader puts a CR before each LF that has none.
type crlfReader struct {
	r    io.Reader
	cr   bool // the last byte was a CR
	lf   bool // an LF is still to be handed out
	buf  [4096]byte
	todo []byte
	err  error
}

// Read reads and converts.
func (c *crlfReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if c.lf {
			p[n], c.lf, c.cr = '\n', false, false
			n++
			continue
		}
		if len(c.todo) == 0 {
			if n > 0 || c.err != nil {
				break
			}
			var k int
			k, c.err = c.r.Read(c.buf[:])
			c.todo = c.buf[:k]
			if k == 0 && c.err == nil {
				return 0, nil
			}
			continue
		}
		ch := c.todo[0]
		c.todo = c.todo[1:]
		if ch == '\n' && !c.cr {
			ch, c.lf = '\r', true
		}
		p[n], c.cr = ch, ch == '\r'
		n++
	}
	if n == 0 && len(p) > 0 {
		return 0, c.err
	}
	return n, nil
}

// headerOf returns the header of a message that begins with head, without a
// character that is cut at its end.
func headerOf(head []byte) []byte {
	if bytes.HasPrefix(head, []byte("\r\n")) || bytes.HasPrefix(head, []byte("\n")) {
		return nil
	}
	for _, blank := range [...]string{"\r\n\r\n", "\n\n"} {
		if i := bytes.Index(head, []byte(blank)); i >= 0 {
			head = head[:i+1]
		}
	}
	for i := 1; i < utf8.UTFMax && i <= len(head); i++ {
		if rest := head[len(head)-i:]; utf8.RuneStart(rest[0]) {
			if !utf8.FullRune(rest) {
				head = head[:len(head)-i]
			}
			break
		}
	}
	return head
}

func is8bit(b []byte) bool {
	return slices.ContainsFunc(b, func(ch byte) bool { return ch >= utf8.RuneSelf })
}

// messageID returns the Message-ID of a header, with its angle brackets.
func messageID(header []byte) string {
	const name = "message-id:"
	for i := 0; i < len(header); {
		line := header[i:]
		if end := bytes.IndexByte(line, '\n'); end >= 0 {
			line = line[:end+1]
		}
		i += len(line)
		if len(line) < len(name) || !strings.EqualFold(string(line[:len(name)]), name) {
			continue
		}
		value := string(line[len(name):])
		if strings.TrimSpace(value) == "" && i < len(header) && (header[i] == ' ' || header[i] == '\t') {
			value, _, _ = strings.Cut(string(header[i:]), "\n")
		}
		value = strings.TrimSpace(value)
		if len(value) < 3 || value[0] != '<' || value[len(value)-1] != '>' || strings.ContainsAny(value, " \t\r\x00") {
			return ""
		}
		return value
	}
	return ""
}
