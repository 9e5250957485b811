package wire

import "github.com/emersion/go-imap/v2"

type ListEntry struct {
	Name  string
	Delim rune
	Attrs []imap.MailboxAttr
}
type MailboxStatus struct {
	Messages, Unseen uint32
	UIDNext          imap.UID
	UIDValidity      uint32
	HighestModSeq    uint64
	Size             int64
}

func (r *Response) List(names *Names, utf8 bool) (ListEntry, bool)              { return ListEntry{}, false }
func (r *Response) MailboxStatus(names *Names, utf8 bool) (MailboxStatus, bool) { return MailboxStatus{}, false }
func ParseCopyUID(args string) (validity uint32, src, dst []Range, ok bool)     { return }
func ParseAppendUID(args string) (validity uint32, uids []Range, ok bool)       { return }
