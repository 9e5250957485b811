package wire

import (
	"encoding/base64"
	"slices"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"
)

// Names translates folder names between UTF-8 and what a server calls them. It
// remembers those names that cannot be translated back, so that they still
// address their folder, and gives no two folders the same name. The zero value
// is ready for use, from many goroutines.
type Names struct {
	mu  sync.Mutex
	raw map[givenName]string   // as the server spells it, where Encode would not find out
	got map[givenName]struct{} // names of which Encode finds the server's spelling
	len int                    // bytes of what is remembered
}

// A givenName is a name as programs see it. Servers that were asked for UTF-8
// spell otherwise from then on.
type givenName struct {
	name string
	utf8 bool
}

// mostNames and mostNameBytes bound what a server can make us remember.
const (
	mostNames     = 100_000
	mostNameBytes = 16 << 20
)

// unsendable are the characters that no name given by a program may have.
const unsendable = "\x00\r\n"

// Decode returns the name of a folder as programs see it. Where the server's
// spelling is not the modified UTF-7 that we would send for it, or stands for
// line breaks, the name is returned as it came. If another folder has that name
// already, it is encoded until it is nobody else's.
func (n *Names) Decode(raw string, utf8Enabled bool) string {
	if plain(raw) || utf8Enabled && utf8.ValidString(raw) {
		return raw
	}
	name, regular := "", false
	if !utf8Enabled {
		name, regular = decodeUTF7(raw)
		regular = regular && encodeUTF7(name) == raw && !strings.ContainsAny(name, unsendable)
	}
	if !regular {
		name = raw
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.raw == nil {
		n.raw, n.got = make(map[givenName]string), make(map[givenName]struct{})
	}
	for {
		key := givenName{name, utf8Enabled}
		other, irregular := n.raw[key]
		_, seen := n.got[key]
		switch {
		case irregular && other == raw, seen && regular:
			return name
		case irregular, seen:
			name, regular = encodeUTF7(name), false // longer each time: there is an ampersand in it
			continue
		case len(n.raw)+len(n.got) >= mostNames || n.len >= mostNameBytes:
		case regular:
			n.got[key] = struct{}{}
			n.len += len(name)
		default:
			n.raw[key] = raw
			n.len += len(name) + len(raw)
			if !utf8.ValidString(raw) { // which is no name in the other spelling either
				n.raw[givenName{name, !utf8Enabled}] = raw
			}
		}
		return name
	}
}

// plain reports whether a name is spelt in the same way everywhere.
func plain(name string) bool {
	for i := 0; i < len(name); i++ {
		if ch := name[i]; ch < 0x20 || ch > 0x7e || ch == '&' {
			return false
		}
	}
	return true
}

// Encode returns the server's spelling of a name; ok is false if it has none.
func (n *Names) Encode(name string, utf8Enabled bool) (raw string, ok bool) {
	if strings.EqualFold(name, "INBOX") {
		return "INBOX", true
	}
	n.mu.Lock()
	raw, ok = n.raw[givenName{name, utf8Enabled}]
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
	raw, ok := cmd.conn.names.Encode(pattern, cmd.conn.utf8)
	if !ok {
		cmd.fail("folder pattern %q", pattern)
		return cmd
	}
	return cmd.String(raw)
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
			if r == utf8.RuneError && !slices.Contains(units, utf8.RuneError) { // half a pair
				return "", false
			}
			b.WriteRune(r)
		}
	}
	return b.String(), true
}
