package imapkit

import (
	"crypto/tls"
	"fmt"
)

// Security says how a connection is protected. The zero value is SecurityAuto.
type Security int

const (
	// SecurityAuto finds out what the server speaks, implicit TLS or
	// STARTTLS, and ends encrypted or fails. It never talks in clear.
	SecurityAuto Security = iota
	// SecurityImplicitTLS speaks TLS from the first byte (RFC 8314), usually
	// on port 993.
	SecurityImplicitTLS
	// SecurityStartTLS connects in clear and changes to TLS before anything
	// else (RFC 9051 section 6.2.1), usually on port 143.
	SecurityStartTLS
	// SecurityNone talks in clear. Everybody on the way can read the mail and,
	// unless CRAM-MD5 or SCRAM is used, the password.
	SecurityNone
)

var securityNames = [...]string{"auto", "implicit TLS", "STARTTLS", "no encryption"}

// String returns the name of the mode.
func (s Security) String() string {
	if s >= 0 && int(s) < len(securityNames) {
		return securityNames[s]
	}
	return fmt.Sprintf("Security(%d)", int(s))
}

// TLSVersions is a set of TLS versions. The zero value means TLS12|TLS13.
type TLSVersions uint

// The members of a TLSVersions set. SSL2 and SSL3 can be named, but this Go
// runtime cannot speak them: see [TLSPolicy.Strict].
const (
	SSL2 TLSVersions = 1 << iota
	SSL3
	TLS10
	TLS11
	TLS12
	TLS13
)

// A TLSPolicy says which TLS is good enough. The zero value means TLS 1.2 or
// 1.3, certificates checked against the system's roots and the name in
// [Client.Host].
type TLSPolicy struct {
	// Versions allowed; zero means TLS12|TLS13. Versions win over MinVersion
	// and MaxVersion of Config.
	Versions TLSVersions
	// Strict makes a version in Versions that this Go runtime cannot speak
	// an error before any dialing. Otherwise such versions are left out,
	// which is an error only if none remains.
	Strict bool
	// Config holds roots, client certificates, server name and so on. It is
	// cloned and never changed. Nil means the defaults of crypto/tls.
	Config *tls.Config
}

// Limits bound what a server may send. Zero fields mean the defaults. Going
// beyond one ends the connection with [ErrLimit].
type Limits struct {
	Line      int64 // bytes of one response line; default 1 MiB
	Literal   int64 // bytes of a literal outside a message body; default 1 MiB
	Result    int64 // bytes of one search, sort or thread result; default 64 MiB
	Message   int64 // bytes of a message held in memory; default 64 MiB
	Depth     int   // nesting of parentheses; default 64
	Responses int   // responses to one command; default 10,000,000
}
