package imapkit_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

// hostileStrings would add to a command if they got into it as they stand.
var hostileStrings = []string{
	"a\r\nk9 EVIL", "a\nk9 EVIL", "a\rk9 EVIL", "a\x00", "{3}", "{3+}\r\nabc", "a {0}\r\nk9 EVIL", "~{3}", `"`, `\`, `\"`, `a" "EVIL`, `a\" EVIL`,
	")", "(", "a) EVIL (", "a b", "NIL", "*", "%", "]", "é", "\xff", "\x7f", "\t", "", " ", "\u2028", "&", "INBOX\r\nk9 EVIL",
	strings.Repeat("x", 2000), strings.Repeat(`\"`, 600),
}

// stringTakers are the calls that put a string of the program into a command, and
// how many strings that has then.
var stringTakers = map[string]struct {
	command string
	strings int
	call    func(*testing.T, *imapkit.Client, string) error
}{
	"flag": {"UID STORE", 0, func(t *testing.T, c *imapkit.Client, s string) error {
		return c.Folder("INBOX").AddFlags(limited(t), []imap.UID{101}, imap.Flag(s))
	}},
	"flag with backslash": {"UID STORE", 0, func(t *testing.T, c *imapkit.Client, s string) error {
		return c.Folder("INBOX").SetFlags(limited(t), []imap.UID{101}, imap.Flag(`\`+s))
	}},
	"destination": {"UID COPY", 1, func(t *testing.T, c *imapkit.Client, s string) error {
		_, err := c.Folder("INBOX").Copy(limited(t), []imap.UID{101}, s)
		return err
	}},
	"folder":   {"CREATE", 1, func(t *testing.T, c *imapkit.Client, s string) error { return c.CreateFolder(limited(t), s) }},
	"new name": {"RENAME", 2, func(t *testing.T, c *imapkit.Client, s string) error { return c.RenameFolder(limited(t), "a", s) }},
	"pattern":  {"LIST", 2, func(t *testing.T, c *imapkit.Client, s string) error { _, err := c.Folders(limited(t), s); return err }},
	"quota": {"GETQUOTAROOT", 1, func(t *testing.T, c *imapkit.Client, s string) error {
		_, err := c.Folder(s).Quota(limited(t))
		return err
	}},
	"my rights": {"MYRIGHTS", 1, func(t *testing.T, c *imapkit.Client, s string) error {
		_, err := c.Folder(s).Rights(limited(t))
		return err
	}},
	"identifier": {"SETACL", 3, func(t *testing.T, c *imapkit.Client, s string) error { return setACL(t, c, s, "l") }},
	"right":      {"SETACL", 3, func(t *testing.T, c *imapkit.Client, s string) error { return setACL(t, c, "bob", s) }},
	"annotation": {"GETMETADATA", 2, func(t *testing.T, c *imapkit.Client, s string) error {
		_, err := c.Folder("a").Metadata(limited(t), s)
		return err
	}},
	"annotation below": {"SETMETADATA", 3, func(t *testing.T, c *imapkit.Client, s string) error {
		return c.Folder("a").SetMetadata(limited(t), "/private/"+s, []byte("x"))
	}},
	"value": {"SETMETADATA", 3, func(t *testing.T, c *imapkit.Client, s string) error {
		return c.Folder("a").SetMetadata(limited(t), "/private/comment", []byte(s))
	}},
}

func setACL(t *testing.T, c *imapkit.Client, who, rights string) error {
	return c.Folder("a").SetACL(limited(t), imap.RightsIdentifier(who), imap.RightModificationAdd, imap.RightSet(rights))
}

func TestNoStringOfTheProgramAddsToACommand(t *testing.T) {
	for _, literals := range []string{"", " LITERAL+", " LITERAL-"} {
		for what, taker := range stringTakers {
			ok := map[string][]string{
				"GETQUOTAROOT": {"OK done"}, "MYRIGHTS": {"* MYRIGHTS a lrs\nOK done"}, "SETACL": {"OK done"},
				"GETMETADATA": {"OK done"}, "SETMETADATA": {"OK done"},
			}
			s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 QUOTA ACL METADATA" + literals, Exists: 1, Handle: answers(ok)})
			c := inClear(s)
			for _, hostile := range hostileStrings {
				before := len(work(s))
				err := taker.call(t, c, hostile)
				if errors.As(err, new(*imapkit.ServerError)) || errors.Is(err, imapkit.ErrProtocol) {
					t.Errorf("%s %q: %v", what, hostile, err)
				}
				sent := work(s)[before:]
				if err != nil && len(sent) == 0 {
					continue // refused
				}
				if len(sent) != 1 || !strings.HasPrefix(sent[0], taker.command+" ") {
					t.Errorf("%s %q: sent %q", what, hostile, sent)
					continue
				}
				if taker.strings > 0 {
					if n, ok := countStrings(sent[0]); !ok || n != taker.strings {
						t.Errorf("%s %q: %d strings, %v, in %q", what, hostile, n, ok, sent[0])
					}
				}
			}
			c.Close()
		}
	}
}

// countStrings returns how many quoted strings and literals a command has, and
// whether nothing but atoms and parentheses is around them.
func countStrings(command string) (n int, ok bool) {
	for i := 0; i < len(command); {
		switch ch := command[i]; {
		case ch == '"':
			for i++; i < len(command) && command[i] != '"'; i++ {
				if command[i] == '\\' {
					i++
				}
			}
			i++
			n++
		case ch == '{':
			size := 0
			for i++; i < len(command) && command[i] >= '0' && command[i] <= '9'; i++ {
				size = 10*size + int(command[i]-'0')
			}
			i += strings.Index(command[i:], "\n") + 1 + size
			n++
		case ch == '\r' || ch == '\n' || ch >= 0x7f:
			return n, false
		default:
			i++
		}
		if i > len(command) {
			return n, false
		}
	}
	return n, true
}
