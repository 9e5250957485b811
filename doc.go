// Package imapkit is an IMAP client for programs that read or change
// mailboxes on servers they do not control.
//
//	client := &imapkit.Client{Host: "imap.example.com", Username: "ada", Password: "…"}
//	defer client.Close()
//	for m, err := range client.Folder("INBOX").Messages(ctx, imapkit.Unseen()) {
//		if err != nil {
//			return err
//		}
//		if m.Envelope != nil { // else m.Err tells why
//			fmt.Println(m.UID, m.Envelope.Subject)
//		}
//	}
//
// A [Client] is used like an http.Client: fill in its fields, call its methods.
// It connects when it has to, encrypted unless [SecurityNone] is asked for by
// name, and replaces connections that were lost. A [Folder] is a handle whose
// methods search, fetch and change messages; a [Query] says which. Sequences
// are iterators, and leaving a loop early is fine.
//
// Types of plain IMAP are those of github.com/emersion/go-imap/v2. Package
// imapkittest has a server for tests of programs that use this one.
package imapkit
