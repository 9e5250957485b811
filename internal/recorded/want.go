package recorded

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// Want is the decoded form of Case.Want. Nil and missing fields are not checked.
type Want struct {
	Message
	Messages []Message `json:"messages"` // all messages, where there may be more than one

	List         *List                      `json:"list"`
	Lists        []List                     `json:"lists"`
	Status       map[string]json.RawMessage `json:"status"` // "name" is a string, the others are numbers
	Search       []uint32                   `json:"search"` // ascending; not nil when empty
	SearchModSeq *uint64                    `json:"search_modseq"`
	Select       *Select                    `json:"select"`
	Caps         []string                   `json:"caps"`

	Type *string `json:"type"` // OK, NO, BAD, BYE or PREAUTH
	Code *string `json:"code"` // without brackets; "" for none
	Text *string `json:"text"`

	CopyUID   Code `json:"copyuid"`
	AppendUID Code `json:"appenduid"`

	Exists   *uint32  `json:"exists"`
	Expunge  []uint32 `json:"expunge"`  // sequence numbers in the order of the responses
	Vanished []uint32 `json:"vanished"` // UIDs, ascending

	Skipped bool `json:"skipped"` // the response has no effect
}

// Message is what one or more FETCH responses say of one message.
type Message struct {
	Seq           *uint32           `json:"seq"`
	UID           *uint32           `json:"uid"`
	Flags         []string          `json:"flags"`
	Size          *int64            `json:"size"`
	Date          *time.Time        `json:"date"`
	ModSeq        *uint64           `json:"modseq"`
	Envelope      *Envelope         `json:"envelope"`
	BodyStructure *Part             `json:"bodystructure"`
	Body          *string           `json:"body"`
	Items         map[string]string `json:"items"`

	Err    []string `json:"err"`     // items that cannot be read
	MayErr []string `json:"may_err"` // items a client may give up on although they are wanted above
}

// Envelope has its addresses as "Name <mailbox@host>", "Name:" for the begin of a group and ";" for its end.
type Envelope struct {
	Date      *time.Time `json:"date"`
	Subject   *string    `json:"subject"`
	From      []string   `json:"from"`
	Sender    []string   `json:"sender"`
	ReplyTo   []string   `json:"replyTo"`
	To        []string   `json:"to"`
	Cc        []string   `json:"cc"`
	Bcc       []string   `json:"bcc"`
	InReplyTo []string   `json:"inReplyTo"`
	MessageID *string    `json:"messageId"`
}

// Part is one part of a body structure.
type Part struct {
	Type              *string           `json:"type"`
	Params            map[string]string `json:"params"`
	ID                *string           `json:"id"`
	Description       *string           `json:"description"`
	Encoding          *string           `json:"encoding"`
	Size              *int64            `json:"size"`
	Lines             *int64            `json:"lines"`
	MD5               *string           `json:"md5"`
	Disposition       *string           `json:"disposition"`
	DispositionParams map[string]string `json:"dispositionParams"`
	Language          []string          `json:"language"`
	Location          *string           `json:"location"`
	Parts             []Part            `json:"parts"` // not nil for a multipart of which the parts are checked
	Message           *struct {
		Envelope      *Envelope `json:"envelope"`
		BodyStructure *Part     `json:"bodystructure"`
	} `json:"message"`
}

// List is one line of LIST, XLIST or LSUB.
type List struct {
	Name  *string  `json:"name"`  // decoded
	Delim *string  `json:"delim"` // "" for NIL
	Attrs []string `json:"attrs"`
}

// Select is what opening a folder tells.
type Select struct {
	Exists         *uint32  `json:"exists"`
	Recent         *uint32  `json:"recent"`
	UIDValidity    *uint32  `json:"uidvalidity"` // 0: not told
	UIDNext        *uint32  `json:"uidnext"`     // 0: not told
	HighestModSeq  *uint64  `json:"highestmodseq"`
	Flags          []string `json:"flags"`
	PermanentFlags []string `json:"permanentflags"`
	ReadOnly       *bool    `json:"readonly"`
}

// Code is the content of COPYUID or APPENDUID.
type Code struct {
	Checked  bool // the case says something about the code
	Readable bool // what follows is set

	UIDValidity uint32
	Map         [][2]uint32 // COPYUID: source and copy
	UIDs        []uint32    // APPENDUID
}

// UnmarshalJSON reads the object, or null for a code that cannot be read.
func (c *Code) UnmarshalJSON(data []byte) error {
	c.Checked = true
	if string(data) == "null" {
		return nil
	}
	var fields struct {
		UIDValidity uint32      `json:"uidvalidity"`
		Map         [][2]uint32 `json:"map"`
		UIDs        []uint32    `json:"uids"`
	}
	if err := strict(data, &fields); err != nil {
		return err
	}
	c.Readable, c.UIDValidity, c.Map, c.UIDs = true, fields.UIDValidity, fields.Map, fields.UIDs
	return nil
}

// Decode reads c.Want; a key that Want does not have is an error.
func (c Case) Decode() (Want, error) {
	var w Want
	if err := strict(c.Want, &w); err != nil {
		return w, fmt.Errorf("recorded: %s: %s: %w", c.File, c.Name, err)
	}
	return w, nil
}

func strict(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}
