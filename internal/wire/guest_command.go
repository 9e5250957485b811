package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A guestCommand is a command of go-imap.
type guestCommand struct {
	tag    string
	verb   string   // in upper case, with UID before it: "UID FETCH"
	box    string   // the folder it is about, if any
	open   *Mailbox // what SELECT learns
	waits  int      // continuation requests that go-imap waits for
	done   bool     // the server has answered
	failed bool     // it answered NO or BAD, or was not asked

	// answer is the tagged response when it is known before the command is
	// complete: the server refused a literal, or the command is not sent at
	// all. go-imap would close the connection if it saw that too early, so
	// what is left of the command is swallowed first.
	answer []byte
}

// chunk is how much is written at a time, so that progress is seen.
const chunk = 64 << 10

// Write checks what go-imap sends, and sends it.
func (gc guestConn) Write(p []byte) (int, error) {
	g := gc.g
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.lent || g.gone {
		return 0, errGuestClosed
	}
	out, err := g.outgoing(p)
	if err != nil {
		g.c.Abort(err)
		return 0, err
	}
	for len(out) > 0 {
		b := out[:min(len(out), chunk)]
		g.mu.Unlock()
		n, err := g.c.nc.Write(b)
		g.mu.Lock()
		g.sent += int64(n)
		if err != nil {
			err = fmt.Errorf("imapkit: connection lost: %w", err)
			g.broken = true
			// The reader is about to find a better reason, a BYE perhaps.
			time.AfterFunc(patience, func() { g.c.Abort(err) })
			return 0, err
		}
		g.c.progress()
		out = out[n:]
	}
	return len(p), nil
}

// errInjected is about a string of the program that go-imap put into a command
// as it stands, line ends included.
var errInjected = fmt.Errorf("imapkit: a command of go-imap with a line break in it %w", ErrArgument)

// outgoing takes in what go-imap writes and returns what is to be sent of it.
// Nothing of p is sent if any of it is wrong. g.mu is held, except while
// waiting for another command.
func (g *Guest) outgoing(p []byte) (out []byte, err error) {
	for len(p) > 0 {
		if g.literal > 0 {
			n := min(int64(len(p)), g.literal)
			if g.cur.answer == nil {
				out = append(out, p[:n]...)
			}
			g.literal -= n
			p = p[n:]
			continue
		}
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			g.line = append(g.line, p...)
			break
		}
		line := append(g.line, p[:i+1]...)
		g.line = nil
		p = p[i+1:]
		b, err := g.command(line, len(p) == 0)
		if err != nil {
			return nil, err
		}
		out = append(out, b...)
	}
	return out, nil
}

// command takes in a line and returns what is to be sent for it. last says that
// go-imap has written nothing behind the line, as is the case at the end of
// each command.
func (g *Guest) command(line []byte, last bool) ([]byte, error) {
	if !intact(line) {
		return nil, errInjected
	}
	if idle := g.idle; idle != nil {
		if string(line) != "DONE\r\n" {
			return nil, errInjected
		}
		g.idle = nil
		g.c.progress()
		g.c.calm.Store(false)
		if idle.done { // by the server
			return nil, nil
		}
		return line, nil
	}
	if g.cur == nil {
		cmd, ok := g.parse(line)
		if !ok {
			return nil, errInjected
		}
		g.cur = cmd
		if err := g.admit(cmd, line); err != nil {
			cmd.answer = []byte(cmd.tag + " NO [CANNOT] " + err.Error() + "\r\n")
			if g.readOnly && errors.Is(err, ErrGuestReadOnly) && g.refused == nil {
				g.refused = err
			}
		} else {
			line = g.rename(cmd, line)
			g.begin(cmd)
		}
		g.prev = cmd
	}
	cmd := g.cur
	n, literal := literalLength(line)
	switch {
	case literal:
		g.literal = n
		if line[len(line)-4] == '+' {
			break
		}
		if cmd.answer != nil {
			g.deliver([]byte("+ go on\r\n"))
		} else {
			cmd.waits++
		}
	case !last:
		return nil, errInjected
	default:
		g.cur = nil
		if cmd.answer != nil {
			g.deliver(cmd.answer)
		}
	}
	if cmd.answer != nil {
		return nil, nil
	}
	return line, nil
}

// intact reports whether a line of a command ends where it should: with CRLF,
// outside quotes.
func intact(line []byte) bool {
	if len(line) < 2 || bytes.IndexByte(line, '\r') != len(line)-2 {
		return false
	}
	quoted := false
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '"':
			quoted = !quoted
		case line[i] == '\\' && quoted:
			i++
		}
	}
	return !quoted
}

// parse reads tag and verb; the tags of go-imap are numbered.
func (g *Guest) parse(line []byte) (*guestCommand, bool) {
	p := Parser{b: line, depth: 1}
	tag := string(p.atom())
	if tag != "T"+strconv.FormatUint(g.lastTag+1, 10) {
		return nil, false
	}
	g.lastTag++
	verb := strings.ToUpper(string(p.atom()))
	if verb == "UID" {
		verb += " " + strings.ToUpper(string(p.atom()))
	}
	return &guestCommand{tag: tag, verb: verb}, verb != ""
}

// harmless are the commands that change nothing on the server. EXAMINE stands
// for SELECT, UNSELECT for CLOSE, which would expunge.
var harmless = []string{
	"CAPABILITY", "NOOP", "CHECK", "EXAMINE", "UNSELECT", "LIST", "LSUB", "STATUS", "NAMESPACE", "ID", "ENABLE", "IDLE",
	"SEARCH", "UID SEARCH", "SORT", "UID SORT", "THREAD", "UID THREAD", "FETCH", "UID FETCH",
	"GETQUOTA", "GETQUOTAROOT", "GETACL", "MYRIGHTS", "LISTRIGHTS", "GETMETADATA",
}

// admit returns why a command must not be sent, or nil.
func (g *Guest) admit(cmd *guestCommand, line []byte) error {
	switch cmd.verb {
	case "LOGIN", "AUTHENTICATE", "UNAUTHENTICATE", "STARTTLS", "COMPRESS", "LOGOUT":
		return fmt.Errorf("imapkit: %s is not for go-imap to send here", cmd.verb)
	case "ENABLE":
		if l := bytes.ToUpper(line); bytes.Contains(l, []byte(" UTF8=")) || bytes.Contains(l, []byte(" IMAP4REV2")) {
			return errors.New("imapkit: ENABLE of what would change the language of a shared connection")
		}
	}
	if g.strands(cmd, line) {
		cmd.failed = true
		return errors.New("imapkit: not sent, because the COPY before it has failed")
	}
	if g.readOnly && (!slices.Contains(harmless, cmd.verb) || setsSeen(cmd.verb, line)) {
		return fmt.Errorf("%w: %s", ErrGuestReadOnly, cmd.verb)
	}
	return nil
}

// strands reports whether a command would delete messages whose copying has
// failed. Without the MOVE extension, go-imap's Move sends COPY, STORE and
// EXPUNGE in one go, so STORE waits here for the answer to COPY.
func (g *Guest) strands(cmd *guestCommand, line []byte) bool {
	prev := g.prev
	switch {
	case prev == nil:
	case strings.HasSuffix(cmd.verb, "STORE") && strings.HasSuffix(prev.verb, "COPY") &&
		bytes.HasSuffix(line, []byte(" +FLAGS.SILENT (\\Deleted)\r\n")):
		for !prev.done && prev.answer == nil && !g.gone {
			g.cond.Wait()
		}
		return prev.failed || g.gone
	case strings.HasSuffix(cmd.verb, "EXPUNGE") && strings.HasSuffix(prev.verb, "STORE"):
		return prev.failed && !prev.done
	}
	return false
}

// setsSeen reports whether a FETCH would set \Seen.
func setsSeen(verb string, line []byte) bool {
	if verb != "FETCH" && verb != "UID FETCH" {
		return false
	}
	var b []byte
	for i, part := range bytes.Split(bytes.ToUpper(line), []byte{'"'}) {
		if i%2 == 0 { // outside quotes
			b = append(b, part...)
		}
	}
	b = bytes.ReplaceAll(b, []byte("RFC822.SIZE"), nil)
	b = bytes.ReplaceAll(b, []byte("RFC822.HEADER"), nil)
	return bytes.Contains(b, []byte("BODY[")) || bytes.Contains(b, []byte("BINARY[")) || bytes.Contains(b, []byte("RFC822"))
}

// begin registers a command that is going to be sent.
func (g *Guest) begin(cmd *guestCommand) {
	switch cmd.verb {
	case "SELECT", "EXAMINE":
		cmd.open, g.ours = g.ours, nil
		if cmd.open == nil {
			cmd.open, g.moved = new(Mailbox), true
		}
	case "UNSELECT", "CLOSE":
		g.moved = true
	case "IDLE":
		cmd.waits = 1
	}
	g.pending = append(g.pending, cmd)
	g.cond.Broadcast()
	g.c.log.Log(context.Background(), levelTrace, "command of go-imap", "tag", cmd.tag, "verb", cmd.verb)
}

// folderAt says which of a command's arguments are folders: how many come
// before, and how many there are.
var folderAt = map[string]struct{ skip, count int }{
	"SELECT": {0, 1}, "EXAMINE": {0, 1}, "STATUS": {0, 1}, "CREATE": {0, 1}, "DELETE": {0, 1}, "RENAME": {0, 2},
	"SUBSCRIBE": {0, 1}, "UNSUBSCRIBE": {0, 1}, "APPEND": {0, 1}, "GETQUOTAROOT": {0, 1}, "MYRIGHTS": {0, 1},
	"GETACL": {0, 1}, "SETACL": {0, 1}, "GETMETADATA": {0, 1}, "SETMETADATA": {0, 1},
	"COPY": {1, 1}, "UID COPY": {1, 1}, "MOVE": {1, 1}, "UID MOVE": {1, 1}, "LIST": {0, 2},
}

// rename replaces the names of folders, which go-imap writes in modified UTF-7,
// by what the server calls them, and puts a search into the server's language.
func (g *Guest) rename(cmd *guestCommand, line []byte) []byte {
	at, ok := folderAt[cmd.verb]
	if !ok {
		return g.withoutCharset(cmd, line)
	}
	p := Parser{b: line, depth: g.c.lim.Depth}
	for range 2 + at.skip + strings.Count(cmd.verb, " ") {
		if !p.skip() {
			return line
		}
	}
	if cmd.verb == "LIST" && p.peek() == '(' && !p.skip() {
		return line
	}
	out := bytes.TrimRight(line[:len(line)-len(p.b)], " ")
	out = out[:len(out):len(out)]
	for range at.count {
		if p.peek() != '"' { // INBOX
			if cmd.box == "" && hasPrefixFold(p.b, "INBOX") {
				cmd.box = "INBOX"
			}
			a := p.b
			if a = a[:len(a)-len(afterAtom(a))]; len(a) == 0 {
				break
			}
			p.b = p.b[len(a):]
			out = append(append(out, ' '), a...)
			continue
		}
		s, ok := p.quoted()
		if !ok {
			return line
		}
		raw := string(s)
		if name, ok := decodeUTF7(raw); ok {
			if g.ours != nil { // whose name go-imap cannot write if it is not UTF-8
				name = g.ours.Name
			}
			if cmd.box == "" {
				cmd.box = name
			}
			spelt, ok := name, g.c.utf8
			if cmd.verb != "LIST" { // whose arguments are patterns
				spelt, ok = g.c.names.Encode(name, g.c.utf8)
			}
			if ok && !strings.ContainsAny(spelt, "\x00\r\n") {
				raw = spelt
			}
		}
		out = appendQuoted(append(out, ' '), raw)
	}
	return append(out, p.b...)
}

// withoutCharset takes out of a SEARCH what must not be said once UTF-8 is
// enabled (RFC 6855 section 3), of which go-imap does not know.
func (g *Guest) withoutCharset(cmd *guestCommand, line []byte) []byte {
	before, after, found := bytes.Cut(line, []byte(" CHARSET UTF-8 "))
	if !found || !g.c.utf8 || !strings.HasSuffix(cmd.verb, "SEARCH") || bytes.IndexByte(before, '"') >= 0 {
		return line
	}
	return slices.Concat(before, []byte(" "), after)
}

func afterAtom(b []byte) []byte {
	p := Parser{b: b}
	p.atom()
	return p.b
}

// answered takes in a tagged response or a continuation request and queues what
// go-imap is to see. g.mu is held.
func (g *Guest) answered(resp *Response) {
	if resp.Tag == "+" {
		for _, cmd := range g.pending {
			if cmd.waits == 0 {
				continue
			}
			cmd.waits--
			if cmd.verb == "IDLE" {
				g.idle = cmd
				g.c.calm.Store(true)
			}
			g.deliver([]byte("+ go on\r\n"))
			return
		}
		g.c.debug("skipped a continuation request that nobody waits for", nil)
		return
	}
	i := slices.IndexFunc(g.pending, func(cmd *guestCommand) bool { return cmd.tag == resp.Tag })
	if i < 0 {
		g.c.debug("skipped a response with an unknown tag", []byte(resp.Tag+" "+resp.Name+" "+resp.Status.Text))
		return
	}
	cmd := g.pending[i]
	g.pending = slices.Delete(g.pending, i, i+1)
	g.c.observe(resp)
	g.c.nresp = 0
	status := resp.Status
	cmd.done, cmd.failed = true, status.Type != "OK"
	switch {
	case cmd.open != nil:
		g.c.mailbox = nil
		if !cmd.failed {
			cmd.open.ReadOnly = cmd.open.ReadOnly || status.CodeName() == "READ-ONLY"
			g.c.mailbox = cmd.open
		}
	case cmd == g.idle:
		g.c.calm.Store(false)
	}
	g.cond.Broadcast()
	answer := g.taggedStatus(cmd.tag, status)
	if g.cur != cmd {
		g.deliver(answer)
		return
	}
	cmd.answer = answer
	if cmd.waits > 0 {
		cmd.waits = 0
		g.deliver([]byte("+ go on\r\n"))
	}
}
