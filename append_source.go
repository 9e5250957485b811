package imapkit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A source is a message on its way to the server. It lets its last bytes go only
// when it is sure that there are no more, so that a server never has the whole
// of a message whose reader does not keep to its size.
type source struct {
	r    io.Reader
	size int64
	opts AppendOptions

	begun bool  // something was read, which cannot be read again
	n     int64 // bytes handed out
	held  []byte
	ends  bool // the reader has ended where it should
	id    idScanner
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
	src := &source{r: msg, size: size, opts: opts}
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

// complete reports whether the whole message may have been sent.
func (src *source) complete() bool { return src.n == src.size }

// heldBack is how many bytes wait for the end of the reader.
const heldBack = 64

// Read hands the message on.
func (src *source) Read(p []byte) (int, error) {
	src.begun = true
	left := src.size - src.n - int64(len(src.held))
	if left > heldBack {
		n, err := src.r.Read(p[:min(int64(len(p)), left-heldBack)])
		src.note(p[:n])
		return n, err
	}
	for left > 0 && !src.ends {
		var b [heldBack]byte
		n, err := src.r.Read(b[:left])
		src.held = append(src.held, b[:n]...)
		left -= int64(n)
		if err == io.EOF && left == 0 {
			src.ends = true
		} else if err != nil {
			return 0, err
		}
	}
	for !src.ends {
		var extra [1]byte
		switch n, err := src.r.Read(extra[:]); {
		case n > 0:
			return 0, errors.New("there is more than the announced size")
		case err == io.EOF:
			src.ends = true
		case err != nil:
			return 0, err
		}
	}
	if len(src.held) == 0 {
		return 0, io.EOF
	}
	n := copy(p, src.held)
	src.held = src.held[n:]
	src.note(p[:n])
	return n, nil
}

func (src *source) note(p []byte) {
	src.n += int64(len(p))
	src.id.scan(p)
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

// longestHeader is how far into a message its Message-ID is looked for.
const longestHeader = 64 << 10

// An idScanner finds the Message-ID of a message that passes.
type idScanner struct {
	head []byte
	done bool
}

func (s *idScanner) scan(p []byte) {
	if s.done {
		return
	}
	s.head = append(s.head, p[:min(len(p), longestHeader-len(s.head))]...)
	end := len(s.head)
	for _, blank := range [...]string{"\r\n\r\n", "\n\n"} {
		if i := bytes.Index(s.head, []byte(blank)); i >= 0 {
			end = min(end, i+1)
			s.done = true
		}
	}
	s.done = s.done || len(s.head) == longestHeader
	if s.done {
		s.head = []byte(messageID(s.head[:end]))
	}
}

// value returns the Message-ID, or "" if there is none that can be searched for.
func (s *idScanner) value() string {
	if s.done {
		return string(s.head)
	}
	return messageID(s.head)
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
