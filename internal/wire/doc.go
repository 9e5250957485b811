// Package wire owns the socket of one IMAP connection. It cuts the server's
// bytes into responses within limits before anything interprets them, writes
// commands, streams message bodies, and lends the connection to go-imap where
// a program asks for it.
//
// Nothing a server sends ends a session unless the framing itself is lost: a
// response that nobody understands is logged at debug level and skipped.
package wire
