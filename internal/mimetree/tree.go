// Package mimetree finds the parts of a MIME message (RFC 2045, RFC 2046) in
// its bytes. It takes damaged messages as they are: a missing boundary, a
// header that ends nowhere or data cut off cost what is lost and nothing else.
package mimetree

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"github.com/imapkit/imapkit/internal/charset"
	"github.com/imapkit/imapkit/internal/rfc5322"
)

// Damage that concerns the structure; see [Part.Err].
var (
	errNoBoundary = errors.New("multipart without any boundary line, read as text")
	errNoEnd      = errors.New("multipart without its last boundary line, the message may have been cut off")
	errDepth      = errors.New("nested too deeply, left unparsed")
	errParts      = errors.New("too many parts, the rest is left unparsed")
)

const (
	// MaxParts is the largest number of parts that are told apart.
	MaxParts = 10000
	// maxDepth bounds the nesting whatever the caller wants.
	maxDepth = 1000
	// maxGuess is how far into a multipart body a boundary is looked for that
	// its header does not name.
	maxGuess = 4096
)

// A Part is a message or one of its parts.
type Part struct {
	Number      string // as in IMAP section numbers, "2.1"; "" is the message itself if it is a multipart
	Type        string // media type in lower case, never empty
	Params      Params // of the Content-Type
	Disposition string // "inline", "attachment" or something else in lower case; often empty
	DispParams  Params // of the Content-Disposition
	Name        string // file name, not fit to be used as a path
	Encoding    string // Content-Transfer-Encoding as written
	ContentID   string // without angle brackets
	Description string // decoded
	Language    string // as written
	Location    string // as written
	Body        []byte // still encoded; shares memory with the message
	Parts       []*Part
	Err         error // damage to the structure of this part
}

// Multipart reports whether the part consists of parts.
func (p *Part) Multipart() bool { return strings.HasPrefix(p.Type, "multipart/") }

// Parse finds the parts of a message. Below depth levels of nesting, at most
// 1000, a multipart is left as it is.
func Parse(raw []byte, depth int) *Part {
	p := &parser{b: raw[rfc5322.Lead(raw):], depth: min(depth, maxDepth)}
	return p.part("", "text/plain")
}

// A parser goes through the message once, whatever the nesting: a delimiter
// line of an outer multipart also ends all inner ones (RFC 2046 section 5.1.2).
type parser struct {
	b          []byte
	pos        int
	depth      int
	parts      int
	boundaries [][]byte // of the open multiparts, outermost first, hyphens included
}

// part parses the part at the current position, up to and not including the
// next delimiter line of an open multipart.
func (p *parser) part(number, defaultType string) *Part {
	p.parts++
	part := p.header(defaultType)
	part.Number = number
	switch {
	case !part.Multipart():
		if number == "" {
			part.Number = "1"
		}
		part.Body = p.body()
	case len(p.boundaries) >= p.depth:
		part.Err = errDepth
		part.Body = p.body()
	default:
		p.multipart(part)
	}
	return part
}

// header reads the header of a part.
func (p *parser) header(defaultType string) *Part {
	part := &Part{Type: defaultType}
	s := rfc5322.NewScanner(p.b[p.pos:])
	typed := false
	for {
		f, ok := s.Next()
		if !ok {
			break
		}
		switch {
		case f.Is("Content-Type"):
			if !typed {
				typed = true
				part.Type, part.Params = ParseParams(f.Value())
			}
		case f.Is("Content-Disposition"):
			if part.Disposition == "" {
				part.Disposition, part.DispParams = ParseParams(f.Value())
			}
		case f.Is("Content-Transfer-Encoding"):
			if part.Encoding == "" {
				part.Encoding = f.Value()
			}
		case f.Is("Content-ID"):
			if ids := rfc5322.MessageIDs(f.Value()); len(ids) > 0 {
				part.ContentID = ids[0]
			}
		case f.Is("Content-Description"):
			part.Description = charset.DecodeHeader(f.Value())
		case f.Is("Content-Language"):
			part.Language = f.Value()
		case f.Is("Content-Location"):
			part.Location = f.Value()
		}
	}
	p.pos += s.Body()
	part.Name = part.DispParams.Get("filename")
	if part.Name == "" {
		part.Name = part.Params.Get("name")
	}
	if major, minor, ok := strings.Cut(part.Type, "/"); !ok || major == "" || minor == "" {
		part.Type = repairType(major, part.Name != "" || part.Disposition == "attachment")
	}
	return part
}

// repairType gives a part a type whose header has no complete one: text, as
// RFC 2045 section 5.2 wants it, unless it is a file.
func repairType(major string, file bool) string {
	switch {
	case major == "multipart":
		return "multipart/mixed"
	case file && major != "" && major != "text":
		return "application/octet-stream"
	}
	return "text/plain"
}

// body returns the bytes up to the next delimiter line.
func (p *parser) body() []byte {
	start := p.pos
	end, _, _ := p.delimiter()
	p.pos = end
	return trimEnding(p.b[start:end], end < len(p.b))
}

// trimEnding removes the line end that belongs to the delimiter line after b.
func trimEnding(b []byte, delimited bool) []byte {
	if !delimited {
		return b
	}
	b = bytes.TrimSuffix(b, []byte("\n"))
	return bytes.TrimSuffix(b, []byte("\r"))
}

// multipart parses the parts of part, whose header has been read.
func (p *parser) multipart(part *Part) {
	start := p.pos
	boundary := part.Params.Get("boundary")
	if boundary == "" {
		boundary = p.guess()
	}
	p.parse(part, boundary)
	if len(part.Parts) == 0 {
		// The boundary never occurs. Perhaps another one does.
		end := p.pos
		p.pos = start
		if guess := p.guess(); guess != "" && guess != boundary {
			p.parse(part, guess)
		}
		if len(part.Parts) == 0 {
			p.pos = end
			part.Type, part.Params = "text/plain", nil
			part.Body = trimEnding(p.b[start:end], end < len(p.b))
			part.Err = errNoBoundary
			if part.Number == "" {
				part.Number = "1"
			}
		}
	}
}

// parse reads parts between delimiter lines of this boundary.
func (p *parser) parse(part *Part, boundary string) {
	level := len(p.boundaries)
	if boundary != "" {
		p.boundaries = append(p.boundaries, append([]byte("--"), strings.TrimRight(boundary, " \t")...))
	}
	defer func() { p.boundaries = p.boundaries[:level] }()
	childType := "text/plain"
	if part.Type == "multipart/digest" {
		childType = "message/rfc822"
	}
	for {
		start, next, hit := p.delimiter()
		p.pos = start
		switch {
		case hit.level != level:
			if len(part.Parts) > 0 {
				part.Err = errNoEnd
			}
			return
		case hit.last:
			// What follows the last delimiter belongs to nobody, up to a
			// delimiter of an outer multipart.
			p.pos = next
			p.boundaries = p.boundaries[:level]
			p.pos, _, _ = p.delimiter()
			return
		case p.parts >= MaxParts:
			rest := &Part{Number: child(part.Number, len(part.Parts)+1), Type: "application/octet-stream"}
			rest.Body, rest.Err = p.b[start:], errParts
			part.Parts = append(part.Parts, rest)
			p.pos = len(p.b)
			return
		}
		p.pos = next
		part.Parts = append(part.Parts, p.part(child(part.Number, len(part.Parts)+1), childType))
	}
}

func child(number string, i int) string {
	if number == "" {
		return strconv.Itoa(i)
	}
	return number + "." + strconv.Itoa(i)
}

// A hit says which delimiter line was found.
type hit struct {
	level int  // index of its boundary; -1: the end of the message
	last  bool // closing delimiter
}

// delimiter finds the next delimiter line of an open multipart: where it
// begins and where the next line does.
func (p *parser) delimiter() (start, next int, h hit) {
	if len(p.boundaries) == 0 {
		return len(p.b), len(p.b), hit{level: -1}
	}
	for pos := p.pos; ; {
		// At the begin of a line, or of the whole text.
		if bytes.HasPrefix(p.b[pos:], []byte("--")) {
			end := len(p.b)
			if i := bytes.IndexByte(p.b[pos:], '\n'); i >= 0 {
				end = pos + i + 1
			}
			if h, ok := p.match(bytes.TrimRight(p.b[pos:end], " \t\r\n")); ok {
				return pos, end, h
			}
		}
		i := bytes.Index(p.b[pos:], []byte("\n--"))
		if i < 0 {
			return len(p.b), len(p.b), hit{level: -1}
		}
		pos += i + 1
	}
}

// match compares a line with the boundaries of the open multiparts.
func (p *parser) match(line []byte) (hit, bool) {
	for level := len(p.boundaries) - 1; level >= 0; level-- {
		b := p.boundaries[level]
		switch {
		case bytes.Equal(line, b):
			return hit{level: level}, true
		case bytes.HasPrefix(line, b) && string(bytes.TrimLeft(line[len(b):], " \t")) == "--":
			return hit{level: level, last: true}, true
		}
	}
	return hit{}, false
}

// guess returns the boundary that the text at the current position seems to
// use: its first line that begins with two hyphens and precedes a header.
func (p *parser) guess() string {
	text := p.b[p.pos:min(len(p.b), p.pos+maxGuess)]
	for line := range bytes.Lines(text) {
		text = text[len(line):]
		line = bytes.TrimRight(line, " \t\r\n")
		if len(line) < 3 || !bytes.HasPrefix(line, []byte("--")) {
			continue
		}
		if _, outer := p.match(line); outer {
			return ""
		}
		s := rfc5322.NewScanner(text)
		if f, ok := s.Next(); ok && len(f.Raw) > 8 && strings.EqualFold(string(f.Raw[:8]), "Content-") {
			return string(line[2:])
		}
	}
	return ""
}

// Text returns the body of a text part as UTF-8 with bare LF line ends. With
// an error, the text is what could be made of it.
func (p *Part) Text() (string, error) {
	b, err := DecodeTransfer(p.Encoding, p.Body)
	text, charsetErr := DecodeText(p.Type, p.Params.Get("charset"), b)
	return text, errors.Join(err, charsetErr)
}

// DecodeText is [Part.Text] for content whose transfer encoding is undone.
func DecodeText(mediaType, label string, b []byte) (string, error) {
	decode := charset.Decode
	if mediaType == "text/html" {
		decode = charset.DecodeHTML
	}
	text, err := decode(label, b)
	return bareLF(text), err
}

// bareLF is strings.ReplaceAll without its pass to count.
func bareLF(s string) string {
	i := strings.IndexByte(s, '\r')
	if i < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i >= 0 {
		b.WriteString(s[:i])
		rest := strings.TrimLeft(s[i:], "\r") // some programs end lines in CR CR LF
		if !strings.HasPrefix(rest, "\n") {
			b.WriteString(s[i : len(s)-len(rest)])
		}
		s = rest
		i = strings.IndexByte(s, '\r')
	}
	b.WriteString(s)
	return b.String()
}
