package imapkittest

import (
	"regexp"
	"strconv"
	"strings"
)

// literalRE matches the announcement of a literal at the end of a line.
var literalRE = regexp.MustCompile(`\{(\d{1,18})(\+?)\}$`)

// announcedLiteral tells whether a line without its end announces a literal,
// its size in bytes, and whether the client waits for an invitation.
func announcedLiteral(line string) (size int64, sync, ok bool) {
	m := literalRE.FindStringSubmatch(line)
	if m == nil {
		return 0, false, false
	}
	size, err := strconv.ParseInt(m[1], 10, 64)
	return size, m[2] == "", err == nil
}

// splitCommand cuts a command into tag, name in upper case (two words for UID
// commands), and what follows.
func splitCommand(text string) (tag, name, args string) {
	tag, rest, _ := strings.Cut(text, " ")
	name, args, _ = strings.Cut(rest, " ")
	name = strings.ToUpper(name)
	if name == "UID" {
		var sub string
		sub, args, _ = strings.Cut(args, " ")
		name += " " + strings.ToUpper(sub)
	}
	return tag, name, args
}

// parseStrings reads the astrings (RFC 3501 section 9) that args consists of.
func parseStrings(args string) (words []string, ok bool) {
	for {
		word, rest, ok := parseString(args)
		if !ok {
			return nil, false
		}
		words = append(words, word)
		if rest == "" {
			return words, true
		}
		if args, ok = strings.CutPrefix(rest, " "); !ok {
			return nil, false
		}
	}
}

func parseString(s string) (word, rest string, ok bool) {
	switch {
	case strings.HasPrefix(s, `"`):
		return parseQuoted(s[1:])
	case strings.HasPrefix(s, "{"):
		announcement, rest, ok := strings.Cut(s, "\r\n")
		if !ok {
			return "", "", false
		}
		size, _, ok := announcedLiteral(announcement)
		if !ok || size > int64(len(rest)) {
			return "", "", false
		}
		return rest[:size], rest[size:], true
	default:
		end := strings.IndexByte(s, ' ')
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], end > 0 && !strings.ContainsAny(s[:end], "\"\\(){%*\r\n")
	}
}

func parseQuoted(s string) (word, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}
