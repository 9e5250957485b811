package wire

import (
	"encoding/base64"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"
)

// Names translates folder names between UTF-8 and what a server calls them. It
// remembers those names that cannot be translated back, so that they still
// address their folder. The zero value is ready for use, from many goroutines.
type Names struct {
	mu  sync.Mutex
	raw map[string]string // name as it was given to the program: as the server spells it
}

// mostRawNames bounds what a server can make us remember.
const mostRawNames = 100_000

// unsendable are the characters that no name given by a program may have.
const unsendable = "\x00\r\n"

// Decode returns the name of a folder as programs see it. Where the server's
// spelling is not the modified UTF-7 that we would send for it, or stands for
// line breaks, the name is returned as it came.
func (n *Names) Decode(raw string, utf8Enabled bool) string {
	name := raw
	if !utf8Enabled {
		if decoded, ok := decodeUTF7(raw); ok && encodeUTF7(decoded) == raw && !strings.ContainsAny(decoded, unsendable) {
			return decoded
		}
	}
	if utf8Enabled && utf8.ValidString(raw) {
		return raw
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.raw == nil {
		n.raw = make(map[string]string)
	}
	if len(n.raw) < mostRawNames {
		n.raw[name] = raw
	}
	return name
}

// Encode returns the server's spelling of a name; ok is false if it has none.
func (n *Names) Encode(name string, utf8Enabled bool) (raw string, ok bool) {
	if strings.EqualFold(name, "INBOX") {
		return "INBOX", true
	}
	n.mu.Lock()
	raw, ok = n.raw[name]
	n.mu.Unlock()
	switch {
	case ok:
		return raw, true
	case name == "" || !utf8.ValidString(name) || strings.ContainsAny(name, unsendable):
		return "", false
	case utf8Enabled:
		return name, true
	}
	return encodeUTF7(name), true
}

// Mailbox adds the name of a folder.
func (cmd *Command) Mailbox(name string) *Command {
	raw, ok := cmd.conn.names.Encode(name, cmd.conn.utf8)
	if !ok {
		cmd.fail("folder name %q", name)
		return cmd
	}
	if raw == "INBOX" {
		return cmd.Raw(raw)
	}
	return cmd.String(raw)
}

// Pattern adds a LIST pattern: a name in which * and % stand for anything.
func (cmd *Command) Pattern(pattern string) *Command {
	if !utf8.ValidString(pattern) || strings.ContainsAny(pattern, unsendable) {
		cmd.fail("folder pattern %q", pattern)
		return cmd
	}
	if !cmd.conn.utf8 {
		pattern = encodeUTF7(pattern)
	}
	return cmd.String(pattern)
}

// utf7 is the base64 of modified UTF-7 (RFC 3501 section 5.1.3).
var utf7 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)

func encodeUTF7(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		ch := s[i]
		if ch >= 0x20 && ch <= 0x7e {
			b.WriteByte(ch)
			if ch == '&' {
				b.WriteByte('-')
			}
			i++
			continue
		}
		j := i
		for j < len(s) && (s[j] < 0x20 || s[j] > 0x7e) {
			j++
		}
		var wide []byte
		for _, u := range utf16.Encode([]rune(s[i:j])) {
			wide = append(wide, byte(u>>8), byte(u))
		}
		b.WriteByte('&')
		b.WriteString(utf7.EncodeToString(wide))
		b.WriteByte('-')
		i = j
	}
	return b.String()
}

func decodeUTF7(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); {
		ch := s[i]
		if ch < 0x20 || ch > 0x7e {
			return "", false
		}
		i++
		if ch != '&' {
			b.WriteByte(ch)
			continue
		}
		end := strings.IndexByte(s[i:], '-')
		if end < 0 {
			return "", false
		}
		coded := s[i : i+end]
		i += end + 1
		if coded == "" {
			b.WriteByte('&')
			continue
		}
		wide, err := utf7.DecodeString(coded)
		if err != nil || len(wide)%2 != 0 {
			return "", false
		}
		units := make([]uint16, len(wide)/2)
		for k := range units {
			units[k] = uint16(wide[2*k])<<8 | uint16(wide[2*k+1])
		}
		for _, r := range utf16.Decode(units) {
			if r == utf8.RuneError {
				return "", false
			}
			b.WriteRune(r)
		}
	}
	return b.String(), true
}
