package scripted

import (
	"fmt"
	"strconv"
	"strings"
)

// UIDValidity is that of every mailbox.
const UIDValidity = 1700000000

// UID returns the UID of the n-th message, which is never its number.
func UID(n int) int { return 100 + n }

// Message returns the n-th message of every mailbox.
func Message(n int) string {
	return messageHeader(n) + messageBody(n)
}

func messageBody(n int) string { return fmt.Sprintf("This is message %d.\r\n", n) }

func messageHeader(n int) string {
	return strings.Join([]string{
		"Date: Mon, 05 Jan 2026 10:00:00 +0000",
		"From: Ann <ann@example.org>",
		"To: Bob <bob@example.com>",
		fmt.Sprintf("Subject: Message %d", n),
		fmt.Sprintf("Message-ID: <%d@example.org>", n),
		"Content-Type: text/plain; charset=utf-8",
		"", "",
	}, "\r\n")
}

// Envelope returns the envelope of the n-th message as a FETCH response has it.
func Envelope(n int) string {
	return fmt.Sprintf(`("Mon, 05 Jan 2026 10:00:00 +0000" "Message %d" (("Ann" NIL "ann" "example.org")) `+
		`(("Ann" NIL "ann" "example.org")) (("Ann" NIL "ann" "example.org")) (("Bob" NIL "bob" "example.com")) `+
		`NIL NIL NIL "<%d@example.org>")`, n, n)
}

// answerSearch finds every message.
func (c *Conn) answerSearch(cmd Command) {
	number := func(n int) int { return n }
	kind := ""
	if cmd.Name == "UID SEARCH" {
		number, kind = UID, " UID"
	}
	last := c.opts.Exists
	switch {
	case !strings.HasPrefix(cmd.Args, "RETURN ("):
		var b strings.Builder
		for n := 1; n <= last; n++ {
			fmt.Fprintf(&b, " %d", number(n))
		}
		c.Send("* SEARCH" + b.String())
	case last == 0:
		c.Sendf(`* ESEARCH (TAG "%s")%s COUNT 0`, cmd.Tag, kind)
	default:
		c.Sendf(`* ESEARCH (TAG "%s")%s MIN %d MAX %d COUNT %d ALL %d:%d`,
			cmd.Tag, kind, number(1), number(last), last, number(1), number(last))
	}
}

// answerFetch knows flags, date, size, envelope, body structure and the whole
// message or its header.
func (c *Conn) answerFetch(cmd Command) {
	set, items, _ := strings.Cut(strings.ToUpper(cmd.Args), " ")
	number := func(n int) int { return n }
	if cmd.Name == "UID FETCH" {
		number = UID
	}
	for n := 1; n <= c.opts.Exists; n++ {
		if !setContains(set, number(n), number(c.opts.Exists)) {
			continue
		}
		answer := fmt.Sprintf("UID %d", UID(n))
		if strings.Contains(items, "FLAGS") {
			answer += " FLAGS ()"
		}
		if strings.Contains(items, "INTERNALDATE") {
			answer += ` INTERNALDATE "05-Jan-2026 10:00:00 +0000"`
		}
		if strings.Contains(items, "RFC822.SIZE") {
			answer += fmt.Sprintf(" RFC822.SIZE %d", len(Message(n)))
		}
		if strings.Contains(items, "ENVELOPE") {
			answer += " ENVELOPE " + Envelope(n)
		}
		if strings.Contains(items, "BODYSTRUCTURE") {
			answer += fmt.Sprintf(` BODYSTRUCTURE ("TEXT" "PLAIN" ("CHARSET" "utf-8") NIL NIL "7BIT" %d 1 NIL NIL NIL NIL)`,
				len(messageBody(n)))
		}
		if strings.Contains(items, "BODY[]") || strings.Contains(items, "BODY.PEEK[]") {
			answer += literalItem("BODY[]", Message(n))
		}
		if strings.Contains(items, "[HEADER]") {
			answer += literalItem("BODY[HEADER]", messageHeader(n))
		}
		c.Sendf("* %d FETCH (%s)", n, answer)
	}
}

func literalItem(name, data string) string {
	return fmt.Sprintf(" %s {%d}\r\n%s", name, len(data), data)
}

// setContains reports whether a sequence set (RFC 9051 section 9) has n, where
// "*" stands for last.
func setContains(set string, n, last int) bool {
	for part := range strings.SplitSeq(set, ",") {
		from, to, isRange := strings.Cut(part, ":")
		if !isRange {
			to = from
		}
		low, high := setNumber(from, last), setNumber(to, last)
		if low > high {
			low, high = high, low
		}
		if low <= n && n <= high {
			return true
		}
	}
	return false
}

func setNumber(s string, last int) int {
	if s == "*" {
		return last
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}
