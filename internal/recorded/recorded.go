// Package recorded loads the corpus of odd but real server responses in testdata/responses.
//
// A file holds cases separated by lines of four dashes. A case is a block of "# key: value" headers, the bytes of
// one or more responses, and a "# want: " line with a JSON object that says what a client must make of them:
//
//	# name: exchange-uid-after-body
//	# server: Exchange 2003
//	# why: UID comes after the literal
//	# command: UID FETCH
//	* 1 FETCH (FLAGS (\Seen) BODY[] {5}
//	hello UID 10)
//	# want: {"uid":10,"flags":["\\Seen"],"body":"hello"}
//
// Every response line stands for itself and CRLF, and literal sizes count both. Two headers change that:
// "escaped: yes" allows the escapes \xNN, \r, \n, \t, \0 and \\ in the response; "raw: yes" allows them too and adds
// no line ends at all. "broken-literal: yes" marks a case whose subject is a literal of the wrong size.
package recorded

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Case is one recorded answer of a server together with its reading.
type Case struct {
	File    string // base name of the file it comes from
	Name    string // unique in the corpus
	Server  string // who answers like this
	Why     string // what is unusual
	Command string // the command that is answered; NOOP for what comes unasked, connect for a greeting

	Response []byte          // the bytes on the wire
	Want     json.RawMessage // described in testdata/responses/README.md

	// BrokenLiteral says that a literal in Response is announced with a wrong size on purpose.
	BrokenLiteral bool
}

const wantPrefix = "# want:"

// Load reads all .txt files of a directory, in the order of their names. The error names file and case.
func Load(dir string) ([]Case, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, fmt.Errorf("recorded: %w", err)
	}
	var cases []Case
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("recorded: %w", err)
		}
		for i, block := range bytes.Split(data, []byte("\n----\n")) {
			c, err := parse(strings.TrimSuffix(string(block), "\n"))
			if err != nil {
				return nil, fmt.Errorf("recorded: %s, case %d (%s): %w", filepath.Base(file), i+1, c.Name, err)
			}
			c.File = filepath.Base(file)
			cases = append(cases, c)
		}
	}
	return cases, nil
}

func parse(block string) (Case, error) {
	var c Case
	var escaped, raw bool
	lines := strings.Split(block, "\n")
	for len(lines) > 0 && strings.HasPrefix(lines[0], "# ") {
		key, value, ok := strings.Cut(lines[0][2:], ": ")
		if !ok {
			return c, fmt.Errorf("header without a value: %q", lines[0])
		}
		switch key {
		case "name":
			c.Name = value
		case "server":
			c.Server = value
		case "why":
			c.Why = value
		case "command":
			c.Command = value
		case "escaped":
			escaped = value == "yes"
		case "raw":
			raw = value == "yes"
		case "broken-literal":
			c.BrokenLiteral = value == "yes"
		default:
			return c, fmt.Errorf("unknown header %q", key)
		}
		lines = lines[1:]
	}
	if c.Name == "" || c.Server == "" || c.Why == "" || c.Command == "" {
		return c, fmt.Errorf("name, server, why and command are required")
	}
	if len(lines) < 2 || !strings.HasPrefix(lines[len(lines)-1], wantPrefix) {
		return c, fmt.Errorf("must end with a response and a %q line", wantPrefix)
	}
	want := strings.TrimPrefix(lines[len(lines)-1], wantPrefix)
	c.Want = json.RawMessage(strings.TrimSpace(want))
	for _, line := range lines[:len(lines)-1] {
		if escaped || raw {
			var err error
			if line, err = unescape(line); err != nil {
				return c, err
			}
		}
		c.Response = append(c.Response, line...)
		if !raw {
			c.Response = append(c.Response, "\r\n"...)
		}
	}
	return c, nil
}

func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		i++
		if i == len(s) {
			return "", fmt.Errorf("backslash at the end of %q", s)
		}
		switch s[i] {
		case 'r':
			b.WriteByte('\r')
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case '0':
			b.WriteByte(0)
		case '\\':
			b.WriteByte('\\')
		case 'x':
			if i+2 >= len(s) {
				return "", fmt.Errorf("short escape at the end of %q", s)
			}
			n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return "", fmt.Errorf("escape \\x%s: %w", s[i+1:i+3], err)
			}
			b.WriteByte(byte(n))
			i += 2
		default:
			return "", fmt.Errorf("unknown escape \\%c in %q", s[i], s)
		}
	}
	return b.String(), nil
}
