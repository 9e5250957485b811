package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"mime"
	"strconv"
	"strings"
	"time"
)

// A floor reads one server's answers as fast as it can be done in Go.
type floor struct {
	br  *bufio.Reader
	job string
	r   *result
	buf []byte
	acc []byte // a response with its literals
	in  []byte // what is left of it
}

// until reads responses up to the tagged one.
func (f *floor) until(tag string) error {
	for {
		line, err := f.br.ReadSlice('\n')
		if err != nil {
			return err
		}
		n := literal(line)
		switch {
		case n >= 0 && f.job == jobBodies:
			if err := f.r.body(io.LimitReader(f.br, n), f.buf); err != nil {
				return err
			}
			continue
		case n >= 0:
			f.acc = append(f.acc, line...)
			at := len(f.acc)
			f.acc = append(f.acc, make([]byte, n)...)
			if _, err := io.ReadFull(f.br, f.acc[at:]); err != nil {
				return err
			}
			continue
		case len(f.acc) > 0:
			f.acc = append(f.acc, line...)
			line, f.acc = f.acc, f.acc[:0]
		}
		if bytes.HasPrefix(line, []byte(tag+" ")) {
			if !bytes.HasPrefix(line[len(tag):], []byte(" OK")) {
				return fmt.Errorf("refused: %s", line)
			}
			return nil
		}
		if i := bytes.Index(line, []byte(" FETCH (")); i > 0 && f.job != jobBodies {
			f.in = line[i+8:]
			f.message()
		}
	}
}

func literal(line []byte) int64 {
	if !bytes.HasSuffix(line, []byte("}\r\n")) {
		return -1
	}
	i := bytes.LastIndexByte(line, '{')
	n, err := strconv.ParseInt(string(line[i+1:len(line)-3]), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

func (f *floor) is(ch byte) bool {
	for f.in[0] == ' ' {
		f.in = f.in[1:]
	}
	if f.in[0] == ch {
		f.in = f.in[1:]
		return true
	}
	return false
}

// value reads an atom, a string or NIL.
func (f *floor) value() []byte {
	for f.in[0] == ' ' {
		f.in = f.in[1:]
	}
	switch f.in[0] {
	case '"':
		end, escaped := 1, false
		for ; f.in[end] != '"'; end++ {
			if f.in[end] == '\\' {
				escaped = true
				end++
			}
		}
		s := f.in[1:end]
		f.in = f.in[end+1:]
		if escaped {
			return []byte(strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(string(s)))
		}
		return s
	case '{':
		end := bytes.IndexByte(f.in, '\n')
		n := literal(f.in[:end+1])
		s := f.in[end+1 : end+1+int(n)]
		f.in = f.in[end+1+int(n):]
		return s
	}
	end := bytes.IndexAny(f.in, " ()\r")
	s := f.in[:end]
	f.in = f.in[end:]
	if string(s) == "NIL" {
		return nil
	}
	return s
}

func (f *floor) number() (n int64) {
	for _, ch := range f.value() {
		n = n*10 + int64(ch-'0')
	}
	return n
}

var words mime.WordDecoder

func decoded(b []byte) string {
	s := string(b)
	if strings.Contains(s, "=?") {
		if d, err := words.DecodeHeader(s); err == nil {
			return d
		}
	}
	return s
}

type address struct{ name, mailbox, host string }

func (f *floor) addresses() (list []address) {
	if !f.is('(') {
		f.value()
		return nil
	}
	for f.is('(') {
		name := decoded(f.value())
		f.value()
		list = append(list, address{name, string(f.value()), string(f.value())})
		f.is(')')
	}
	f.is(')')
	return list
}

type envelope struct {
	date                               time.Time
	subject, inReplyTo, id             string
	from, sender, replyTo, to, cc, bcc []address
}

func (f *floor) envelope() *envelope {
	f.is('(')
	e := new(envelope)
	e.date, _ = time.Parse(time.RFC1123Z, string(f.value()))
	e.subject = decoded(f.value())
	for _, list := range []*[]address{&e.from, &e.sender, &e.replyTo, &e.to, &e.cc, &e.bcc} {
		*list = f.addresses()
	}
	e.inReplyTo, e.id = string(f.value()), string(bytes.Trim(f.value(), "<>"))
	f.is(')')
	return e
}

func (f *floor) message() {
	var uid uint32
	var size int64
	var e *envelope
	flags := 0
	for !f.is(')') {
		switch string(f.value()) {
		case "UID":
			uid = uint32(f.number())
		case "RFC822.SIZE":
			size = f.number()
		case "FLAGS":
			for f.is('('); !f.is(')'); {
				if string(f.value()) != `\Recent` {
					flags++
				}
			}
		case "ENVELOPE":
			e = f.envelope()
		default:
			f.value()
		}
	}
	f.r.flags(uid, flags)
	if e != nil {
		f.r.envelope(size, e.subject, e.id, len(e.from)+len(e.to)+len(e.cc))
	}
}
