package wire

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// fact returns what the reader of an extension's responses makes of a line.
func fact(line string) string {
	conn := said("* " + line + "\r\nk1 OK done\r\n")
	told := "none"
	cmd := conn.Command("NOOP")
	cmd.On = func(r *Response) bool {
		if data, ok := r.Namespace(new(Names), false); ok {
			told = fmt.Sprintf("%+v", *data)
		}
		if id, ok := r.ServerID(); ok {
			told = strings.Join([]string{id.Name, id.Version, id.Vendor}, "|")
		}
		if quota, ok := r.Quota(); ok {
			told = fmt.Sprintf("%q %v", quota.Root, quota.Resources)
		}
		if rights, ok := r.MyRights(); ok {
			told = string(rights.String())
		}
		if list, ok := r.ACL(); ok {
			told = fmt.Sprintf("%s", list)
		}
		if values, ok := r.Metadata(); ok {
			var list []string
			for entry, value := range values {
				if value == nil {
					list = append(list, entry+" NIL")
				} else {
					list = append(list, fmt.Sprintf("%s %q", entry, value))
				}
			}
			slices.Sort(list)
			told = strings.Join(list, ", ")
		}
		return true
	}
	conn.Run(cmd)
	return told
}

func TestWhatServersTellOfThemselves(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{`NAMESPACE (("" "/")) NIL (("Public/" "/")("&AOk-/" "/" "X" ("a")))`,
			"{Personal:[{Prefix: Delim:47}] Other:[] Shared:[{Prefix:Public/ Delim:47} {Prefix:é/ Delim:47}]}"},
		{`NAMESPACE (("INBOX." "."))`, "{Personal:[{Prefix:INBOX. Delim:46}] Other:[] Shared:[]}"},
		{`NAMESPACE (("" NIL)) NIL NIL`, "{Personal:[{Prefix: Delim:0}] Other:[] Shared:[]}"},
		{`NAMESPACE ((x`, "none"},

		{`ID ("name" "Mailer" "VERSION" "1" "vendor" NIL "x" "y")`, "Mailer|1|"},
		{"ID (\"name\" {6}\r\nMai\"er)", `Mai"er||`},
		{`ID NIL`, "||"},
		{`ID ("name" "Mailer" "version" "1" )`, "Mailer|1|"},
		{`ID ("name"`, "none"},

		{`QUOTA "" (STORAGE 10 512 message 3 4)`, `"" map[MESSAGE:{3 4} STORAGE:{10 512}]`},
		{`QUOTA "ROOT"`, `"ROOT" map[]`},
		{`QUOTA root ()`, `"root" map[]`},
		{`QUOTA root (STORAGE 10 -1 X-OTHER 1 2)`, `"root" map[X-OTHER:{1 2}]`},
		{`QUOTA root (STORAGE 18446744073709551615 1)`, `"root" map[STORAGE:{9223372036854775807 1}]`},
		{`QUOTA root (STORAGE 1)`, "none"},
		{`QUOTA "" (STORAGE  10  512 )`, `"" map[STORAGE:{10 512}]`},
		{`QUOTA NIL (STORAGE 10 1000)`, `"" map[STORAGE:{10 1000}]`},

		{`MYRIGHTS INBOX lrs`, "lrs"},
		{`MYRIGHTS "a b" ""`, ""},
		{`MYRIGHTS Sent Items lrs`, "lrs"},
		{`MYRIGHTS`, "none"},

		{`ACL INBOX bob lr "al ice" "lrs"`, "map[al ice:lrs bob:lr]"},
		{`ACL "INBOX"`, "map[]"},
		{`ACL INBOX bob`, "none"},

		{`METADATA INBOX (/private/comment "hello" /shared/x NIL)`, `/private/comment "hello", /shared/x NIL`},
		{"METADATA \"\" (/a ~{3}\r\n\x00\x01) /b \"\")", `/a "\x00\x01)", /b ""`},
		{`METADATA "INBOX" /shared/comment /private/comment`, "none"},
		{`METADATA INBOX (/a`, "none"},

		{`1 QUOTA root ()`, "none"},
		{`CAPABILITY IMAP4rev1`, "none"},
	} {
		if got := fact(tt.line); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.line, got, tt.want)
		}
	}
}

func FuzzFacts(f *testing.F) {
	for _, line := range []string{
		`NAMESPACE (("" "/")) NIL (("Public/" "/" "X" ("a")))`, `ID ("name" "x")`, `QUOTA "" (STORAGE 10 512)`,
		`MYRIGHTS INBOX lrs`, `ACL INBOX bob lr`, `METADATA INBOX (/private/comment "hello")`, `STATUS a (b) (MESSAGES 3)`,
		`LIST () "/" "a" ("OLDNAME" ("b"))`,
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		fact(line)
		conn := said("* " + line + "\r\nk1 OK done\r\n")
		cmd := conn.Command("NOOP")
		cmd.On = func(r *Response) bool {
			r.MailboxStatus(new(Names), false)
			r.List(new(Names), false)
			return true
		}
		conn.Run(cmd)
	})
}
