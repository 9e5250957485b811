package scripted

import (
	"crypto/tls"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// Options say what a server started by [Serve] is like.
type Options struct {
	// Caps is the list of capabilities; empty means "IMAP4rev1". With
	// "STARTTLS" in it the server speaks STARTTLS, until TLS is up.
	Caps string
	// Greeting is the first line; empty means OK with the capabilities.
	Greeting string
	// Exists is the number of messages in every mailbox. Message n reads
	// Message(n) and has the UID UID(n).
	Exists int
	// TLS makes the server speak TLS from the first byte. TLSConfig is the
	// configuration for this and for STARTTLS; nil means [TLSConfig].
	TLS       bool
	TLSConfig *tls.Config
	// Handle answers commands instead of the server, by name: "SELECT",
	// "UID FETCH". A handler may leave the usual answer to Conn.Answer.
	Handle map[string]func(c *Conn, cmd Command)
}

// Serve starts a server that greets, accepts every login and answers the usual
// commands, except those that opts handles.
func Serve(t testing.TB, opts Options) *Server {
	t.Helper()
	handler := func(c *Conn) {
		c.opts = opts
		c.greet()
		c.Serve(opts)
	}
	if opts.TLS {
		return NewTLS(t, opts.TLSConfig, handler)
	}
	return New(t, handler)
}

// AcceptLogin greets with these capabilities and answers commands until the
// client has logged in. The handler ends when the client leaves before.
func (c *Conn) AcceptLogin(caps string) {
	c.opts.Caps = caps
	c.greet()
	for !c.loggedIn {
		c.Answer(c.next())
	}
}

// Serve answers commands until the client leaves. It does not greet.
func (c *Conn) Serve(opts Options) {
	c.opts = opts
	for {
		cmd := c.next()
		if handle := opts.Handle[cmd.Name]; handle != nil {
			handle(c, cmd)
		} else {
			c.Answer(cmd)
		}
	}
}

// next reads a command, or ends the handler when the client has left.
func (c *Conn) next() Command {
	cmd, ok := c.ReadCommand()
	if !ok {
		runtime.Goexit()
	}
	return cmd
}

// caps returns the capabilities at this point of the conversation.
func (c *Conn) caps() string {
	if c.opts.Caps == "" {
		return "IMAP4rev1"
	}
	words := strings.Fields(c.opts.Caps)
	if c.secured {
		words = slices.DeleteFunc(words, func(w string) bool { return w == "STARTTLS" })
	}
	return strings.Join(words, " ")
}

func (c *Conn) greet() {
	if c.opts.Greeting != "" {
		c.Send(c.opts.Greeting)
		return
	}
	c.Sendf("* OK [CAPABILITY %s] scripted server ready", c.caps())
}

// Answer gives the usual answer to a command.
func (c *Conn) Answer(cmd Command) {
	switch cmd.Name {
	case "CAPABILITY":
		c.Send("* CAPABILITY " + c.caps())
	case "STARTTLS":
		c.answerStartTLS(cmd)
		return
	case "LOGIN":
		c.acceptLogin(cmd)
		return
	case "AUTHENTICATE":
		c.answerAuthenticate(cmd)
		return
	case "SELECT", "EXAMINE":
		c.answerSelect(cmd)
		return
	case "IDLE":
		c.Send("+ idling")
		c.ExpectLine("DONE")
	case "LOGOUT":
		c.Send("* BYE scripted server logging out")
		c.OK(cmd.Tag, "LOGOUT completed")
		runtime.Goexit()
	case "ID":
		c.Send(`* ID ("name" "scripted")`)
	case "ENABLE":
		c.Send("* ENABLED " + cmd.Args)
	case "NAMESPACE":
		c.Send(`* NAMESPACE (("" "/")) NIL NIL`)
	case "LIST":
		c.Send(`* LIST (\HasNoChildren) "/" INBOX`)
	case "STATUS":
		name, _, _ := strings.Cut(cmd.Args, " (")
		c.Sendf("* STATUS %s (MESSAGES %d UIDNEXT %d UIDVALIDITY %d UNSEEN %d)",
			name, c.opts.Exists, UID(c.opts.Exists+1), UIDValidity, c.opts.Exists)
	case "SEARCH", "UID SEARCH":
		c.answerSearch(cmd)
	case "FETCH", "UID FETCH":
		c.answerFetch(cmd)
	case "NOOP", "CHECK", "CLOSE", "UNSELECT", "LSUB", "CREATE", "DELETE", "RENAME", "SUBSCRIBE", "UNSUBSCRIBE",
		"APPEND", "STORE", "UID STORE", "COPY", "UID COPY", "MOVE", "UID MOVE", "EXPUNGE", "UID EXPUNGE":
	default:
		c.Bad(cmd.Tag, "unknown command")
		return
	}
	c.OK(cmd.Tag, cmd.Name+" completed")
}

func (c *Conn) answerStartTLS(cmd Command) {
	if !slices.Contains(strings.Fields(c.caps()), "STARTTLS") {
		c.Bad(cmd.Tag, "STARTTLS is not available")
		return
	}
	c.OK(cmd.Tag, "begin TLS now")
	if c.StartTLS(c.opts.TLSConfig) != nil {
		runtime.Goexit()
	}
}

func (c *Conn) acceptLogin(cmd Command) {
	c.loggedIn = true
	c.Sendf("%s OK [CAPABILITY %s] logged in", cmd.Tag, c.caps())
}

// answerAuthenticate accepts whatever credentials a client sends with LOGIN or
// with a mechanism that takes a single message.
func (c *Conn) answerAuthenticate(cmd Command) {
	mech, _, hasInitial := strings.Cut(cmd.Args, " ")
	var challenges []string
	switch strings.ToUpper(mech) {
	case "PLAIN", "XOAUTH2", "OAUTHBEARER", "EXTERNAL", "ANONYMOUS":
		challenges = []string{""}
	case "LOGIN":
		challenges = []string{"VXNlcm5hbWU6", "UGFzc3dvcmQ6"}
	default:
		c.No(cmd.Tag, "unknown mechanism")
		return
	}
	if hasInitial {
		challenges = challenges[1:]
	}
	for _, challenge := range challenges {
		c.Send("+ " + challenge)
		if c.ExpectLine("") == "*" {
			c.Bad(cmd.Tag, "cancelled")
			return
		}
	}
	c.acceptLogin(cmd)
}

func (c *Conn) answerSelect(cmd Command) {
	access := "READ-WRITE"
	if cmd.Name == "EXAMINE" {
		access = "READ-ONLY"
	}
	c.Send(
		`* FLAGS (\Answered \Flagged \Deleted \Seen \Draft)`,
		`* OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] limited`,
		fmt.Sprintf("* %d EXISTS", c.opts.Exists),
		"* 0 RECENT",
		fmt.Sprintf("* OK [UIDVALIDITY %d] UIDs valid", UIDValidity),
		fmt.Sprintf("* OK [UIDNEXT %d] predicted", UID(c.opts.Exists+1)),
		fmt.Sprintf("%s OK [%s] %s completed", cmd.Tag, access, cmd.Name),
	)
}
