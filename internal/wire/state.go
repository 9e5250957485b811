package wire

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
)

// levelTrace is below debug: commands as they are sent, secrets aside.
const levelTrace = slog.LevelDebug - 4

func (c *Conn) traceCommand(cmd *Command) {
	text := cmd.Name
	if !cmd.secret {
		var b strings.Builder
		for _, p := range cmd.parts {
			b.Write(p.b)
		}
		text = b.String()
	}
	if len(text) > 500 {
		text = text[:500]
	}
	c.log.Log(context.Background(), levelTrace, "command", "tag", cmd.tag, "text", text)
}

// A Mailbox is what is known of the open folder.
type Mailbox struct {
	Name           string // as it was given to Select
	ReadOnly       bool   // opened with EXAMINE, or the server says READ-ONLY
	Messages       uint32
	UIDNext        imap.UID
	Highest        imap.UID // that the server is sure to know in this connection; 0: none
	UIDValidity    uint32
	HighestModSeq  uint64
	NoModSeq       bool   // the server keeps no mod-sequences here
	ID             string // RFC 8474; empty: the server has not said
	Flags          []imap.Flag
	PermanentFlags []imap.Flag
	HasPermanent   bool // PERMANENTFLAGS was sent
}

// Mailbox returns the open folder, or nil.
func (c *Conn) Mailbox() *Mailbox { return c.mailbox }

// Knows notes that the server has told of a message in the open folder.
func (c *Conn) Knows(uid imap.UID) {
	if c.mailbox != nil {
		c.mailbox.Highest = max(c.mailbox.Highest, uid)
	}
}

// Caps returns the server's capabilities, or nil while they are unknown.
func (c *Conn) Caps() imap.CapSet { return c.caps }

// SetCaps replaces what is known of the server's capabilities.
func (c *Conn) SetCaps(caps imap.CapSet) {
	c.caps = caps
	_, rev1 := caps[imap.CapIMAP4rev1]
	if _, rev2 := caps[imap.CapIMAP4rev2]; rev2 && !rev1 {
		c.utf8 = true // names and strings are UTF-8 without asking (RFC 9051 section 5.1)
	}
}

// SetUTF8 tells whether the server takes UTF-8 in quoted strings.
func (c *Conn) SetUTF8(on bool) { c.utf8 = on }

// UTF8 reports whether the server takes UTF-8 in quoted strings.
func (c *Conn) UTF8() bool { return c.utf8 }

// Bye returns the server's BYE, or nil.
func (c *Conn) Bye() *Status { return c.bye }

// observe keeps book of what the server says about itself and the open folder.
func (c *Conn) observe(r *Response) {
	switch r.Name {
	case "OK", "NO", "BAD", "BYE", "PREAUTH":
		c.observeStatus(r)
	case "CAPABILITY":
		if p := r.Parser; p.peek() != '(' { // Sohu calls its namespaces so
			c.SetCaps(parseCaps(string(r.rest())))
		}
	case "EXISTS":
		if c.mailbox != nil && r.HasNum {
			c.mailbox.Messages = r.Num
		}
	case "VANISHED":
		c.removals++
	case "EXPUNGE":
		c.removals++
		if c.mailbox != nil && r.HasNum && c.mailbox.Messages > 0 {
			c.mailbox.Messages--
		}
	}
}

// byePatience is how long a server may take from its BYE to closing the
// connection.
const byePatience = time.Second

func (c *Conn) observeStatus(r *Response) {
	s := r.Status
	if s.Type == "BYE" && r.Tag == "" && c.bye == nil {
		copied := s
		c.bye = &copied
		// The server has to close the connection now (RFC 9051 section 7.1.5).
		// Nobody waits long for one that forgets to.
		interrupt := c.Interrupter()
		time.AfterFunc(byePatience, func() { interrupt(&ByeError{Status: copied, Err: io.ErrUnexpectedEOF}) })
	}
	if r.Tag == "" && (s.Type == "NO" || s.Type == "BAD" || s.CodeName() == "ALERT") {
		c.words = s.Type + " " + s.Text
	}
	if c.login != nil && r.Tag == "" {
		c.login.observe(c, s)
	}
	switch s.CodeName() {
	case "CAPABILITY":
		c.SetCaps(parseCaps(s.CodeArgs()))
	case "ALERT":
		// RFC 9051 section 7.1: the user must be told.
		c.log.Warn("the server alerts: " + s.Text)
	case "UIDVALIDITY":
		// Only SELECT may change it. A server that says so at another time
		// has rebuilt the folder under us.
		if n, ok := parseNumber([]byte(s.CodeArgs())); ok && c.mailbox != nil && r.Tag == "" {
			c.mailbox.UIDValidity = uint32(n)
		}
	case "HIGHESTMODSEQ":
		if n, ok := parseNumber([]byte(s.CodeArgs())); ok && c.mailbox != nil {
			c.mailbox.HighestModSeq = max(c.mailbox.HighestModSeq, n)
		}
	}
}

// parseCaps reads a list of capabilities. The names that this library asks for
// are spelt as go-imap does, whatever their case.
func parseCaps(s string) imap.CapSet {
	caps := make(imap.CapSet)
	for _, name := range strings.Fields(s) {
		caps[canonicalCap(name)] = struct{}{}
	}
	return caps
}

func canonicalCap(name string) imap.Cap {
	switch up := strings.ToUpper(name); up {
	case "IMAP4REV1":
		return imap.CapIMAP4rev1
	case "IMAP4REV2":
		return imap.CapIMAP4rev2
	default:
		return imap.Cap(up)
	}
}

// Select begins SELECT, or EXAMINE if readOnly. Once it is done with OK the
// folder is the open one; done with anything else, none is.
func (c *Conn) Select(name string, readOnly bool) *Command {
	verb := "SELECT"
	if readOnly {
		verb = "EXAMINE"
	}
	cmd := c.Command(verb).Mailbox(name)
	box := &Mailbox{Name: name, ReadOnly: readOnly}
	cmd.On = box.collect
	c.opening(cmd, box)
	return cmd
}

// opening arranges that box is the open folder when cmd succeeds.
func (c *Conn) opening(cmd *Command, box *Mailbox) {
	cmd.onDone = func() {
		c.mailbox = nil
		if cmd.Status.Type == "OK" {
			if cmd.Status.CodeName() == "READ-ONLY" {
				box.ReadOnly = true
			}
			c.mailbox = box
		}
	}
}

// collect takes in what SELECT answers (RFC 9051 section 6.3.2).
func (m *Mailbox) collect(r *Response) bool {
	switch r.Name {
	case "EXISTS":
		m.Messages = r.Num
	case "FLAGS":
		m.Flags, _ = r.flags()
	case "OK":
		args := []byte(r.Status.CodeArgs())
		switch r.Status.CodeName() {
		case "UIDVALIDITY":
			n, _ := parseNumber(args)
			m.UIDValidity = uint32(n)
		case "UIDNEXT":
			n, _ := parseNumber(args)
			m.UIDNext = imap.UID(n)
			m.Highest = max(m.UIDNext, 1) - 1
		case "HIGHESTMODSEQ":
			m.HighestModSeq, _ = parseNumber(args)
		case "NOMODSEQ":
			m.NoModSeq = true
		case "MAILBOXID":
			p := codeParser(string(args))
			m.ID, _ = p.objectID()
		case "PERMANENTFLAGS":
			p := Parser{b: args, depth: 1}
			m.PermanentFlags, m.HasPermanent = p.flags()
		case "READ-ONLY":
			m.ReadOnly = true
		}
	default:
		return false
	}
	return true
}

// Unselect begins UNSELECT (RFC 3691).
func (c *Conn) Unselect() *Command {
	cmd := c.Command("UNSELECT")
	cmd.onDone = func() {
		if cmd.Status.Type == "OK" {
			c.mailbox = nil
		}
	}
	return cmd
}

// EnableUTF8 begins ENABLE UTF8=ACCEPT (RFC 6855 section 3). No folder may be
// open. When the server agrees, names and strings are UTF-8 from then on.
func (c *Conn) EnableUTF8() *Command {
	cmd := c.Command("ENABLE").Raw("UTF8=ACCEPT")
	cmd.On = func(r *Response) bool {
		if r.Name != "ENABLED" {
			return false
		}
		for name := range strings.FieldsSeq(string(r.rest())) {
			c.utf8 = c.utf8 || strings.EqualFold(name, "UTF8=ACCEPT")
		}
		return true
	}
	return cmd
}
