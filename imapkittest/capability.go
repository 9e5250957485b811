package imapkittest

import (
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// Capabilities in the order in which they are offered: anyCaps at any time,
// mailCaps after the login.
var (
	anyCaps  = []imap.Cap{imap.CapIMAP4rev1, imap.CapLiteralPlus, imap.CapSASLIR, imap.CapID}
	mailCaps = []imap.Cap{
		imap.CapEnable, imap.CapIdle, imap.CapNamespace, imap.CapUnselect, imap.CapUIDPlus, imap.CapMove,
		imap.CapESearch, imap.CapSearchRes, imap.CapListExtended, imap.CapListStatus, imap.CapStatusSize,
		imap.CapBinary, imap.CapChildren, imap.CapSpecialUse, imap.CapCreateSpecialUse,
	}
)

// commandCaps names the capability that brings a command.
var commandCaps = map[string]imap.Cap{
	"ENABLE":      imap.CapEnable,
	"ID":          imap.CapID,
	"IDLE":        imap.CapIdle,
	"MOVE":        imap.CapMove,
	"NAMESPACE":   imap.CapNamespace,
	"UID EXPUNGE": imap.CapUIDPlus,
	"UID MOVE":    imap.CapMove,
	"UNSELECT":    imap.CapUnselect,
}

func (s *Server) has(c imap.Cap) bool { return !slices.Contains(s.opts.Without, c) }

// knows reports whether a command exists on this server.
func (s *Server) knows(command string) bool {
	needed, ok := commandCaps[command]
	return !ok || s.has(needed)
}

// memoryCaps are what the memory server behind the login is told.
func (s *Server) memoryCaps() imap.CapSet {
	caps := imap.CapSet{imap.CapIMAP4rev1: {}}
	for _, c := range slices.Concat(anyCaps, mailCaps) {
		if s.has(c) {
			caps[c] = struct{}{}
		}
	}
	return caps
}

// caps returns what the server offers at this point of a conversation.
func (c *conn) caps() string {
	offered := slices.Clone(anyCaps)
	if c.loggedIn {
		offered = append(offered, mailCaps...)
	} else {
		if !c.secure() {
			offered = append(offered, imap.CapStartTLS)
		}
		if c.mayLogIn() {
			for _, mech := range c.srv.auth.offered(c.secure()) {
				offered = append(offered, imap.Cap("AUTH="+mech))
			}
		} else {
			offered = append(offered, imap.CapLoginDisabled)
		}
	}
	var words []string
	for _, offer := range offered {
		if c.srv.has(offer) {
			words = append(words, string(offer))
		}
	}
	return strings.Join(words, " ")
}
