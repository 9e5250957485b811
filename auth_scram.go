package imapkit

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"
)

// Bounds for what a SCRAM server asks of the client.
const (
	// scramMinIterations is the least that RFC 5802 section 5.1 allows. A
	// smaller number makes it cheap to guess the password from an exchange
	// that was listened to. Over TLS nobody listens and old accounts with
	// less are let in.
	scramMinIterations = 4096
	// scramMaxIterations is about a second of one processor, which cannot be
	// interrupted; servers use 4,096 to 1,300,000.
	scramMaxIterations = 2_000_000
	scramMaxNonce      = 1024 // characters
	scramMaxSalt       = 1024 // bytes
)

type scramOptions struct {
	mech    AuthMechanism
	secure  bool                    // over TLS
	binding scram.ChannelBinding    // zero: none
	nonce   scram.NonceGeneratorFcn // nil: random
}

// newSCRAM is SCRAM (RFC 5802, RFC 7677). Without channel binding it claims
// not to know about it ("n"), never that it thinks the server does not ("y"):
// Cyrus IMAP and others offer bindings that a client of Go cannot have, and
// refuse "y" while they do.
func newSCRAM(opts scramOptions, username, password string) (*exchange, error) {
	hash := scram.SHA256
	if opts.mech == AuthSCRAMSHA1 {
		hash = scram.SHA1
	}
	client, err := hash.NewClient(username, password, "")
	if err != nil {
		// SASLprep (RFC 4013) knows Unicode 3.2. Servers that took a newer
		// character into a password did not prepare it either.
		if client, err = hash.NewClientUnprepped(username, password, ""); err != nil {
			return nil, fmt.Errorf("imapkit: %s: %w", opts.mech, err)
		}
	}
	if opts.nonce != nil {
		client.WithNonceGenerator(opts.nonce)
	}
	lowest := 1
	if !opts.secure {
		lowest = scramMinIterations
	}
	conv := client.WithMinIterations(lowest).NewConversationWithChannelBinding(opts.binding)

	first, err := conv.Step("")
	if err != nil {
		return nil, fmt.Errorf("imapkit: %s: %w", opts.mech, err)
	}
	_, nonce, _ := strings.Cut(first, ",r=")
	var finished bool
	return &exchange{
		mech:    opts.mech,
		initial: func() []byte { return []byte(first) },
		proved:  conv.Valid,
		next: func(x *exchange, challenge []byte) ([]byte, error) {
			message := string(challenge)
			reason, failed := strings.CutPrefix(message, "e=")
			switch {
			case finished:
				return nil, x.protocolError("unexpected challenge")
			case failed: // the server's NO follows the answer to this
				finished = true
				x.refusal = cmp.Or(printable(reason), "unknown error")
				x.rejected = reason == "invalid-proof" || reason == "unknown-user"
				return []byte{}, nil
			case !x.judged:
				if err := checkServerFirst(message, nonce, lowest); err != nil {
					return nil, x.protocolError("%v", err)
				}
				proof, err := conv.Step(message)
				if err != nil {
					return nil, x.protocolError("%v", err)
				}
				x.judged = true
				return []byte(proof), nil
			default:
				finished = true
				if _, err := conv.Step(message); err != nil {
					return nil, fmt.Errorf("%w: %s: the server did not prove that it knows the account", ErrAuthentication, x.mech)
				}
				return []byte{}, nil
			}
		},
	}, nil
}

// checkServerFirst checks the server's first message, "r=nonce,s=salt,i=count",
// as far as the SCRAM library does not: that its nonce extends the client's,
// and that nothing in it is too large. Its errors quote nothing but numbers.
func checkServerFirst(message, clientNonce string, lowest int) error {
	fields := strings.Split(message, ",")
	if len(fields) < 3 {
		return fmt.Errorf("server's first message has %d fields of 3", len(fields))
	}
	nonce, ok := strings.CutPrefix(fields[0], "r=")
	switch {
	case !ok:
		return errors.New("server's first message does not begin with a nonce")
	case len(nonce) > scramMaxNonce:
		return fmt.Errorf("nonce of %d characters", len(nonce))
	case nonce == clientNonce || !strings.HasPrefix(nonce, clientNonce):
		return errors.New("server's nonce does not extend the client's")
	}
	encoded, ok := strings.CutPrefix(fields[1], "s=")
	salt, err := base64.StdEncoding.DecodeString(encoded)
	switch {
	case !ok || err != nil || len(salt) == 0:
		return errors.New("server's first message has no salt")
	case len(salt) > scramMaxSalt:
		return fmt.Errorf("salt of %d bytes", len(salt))
	}
	number, ok := strings.CutPrefix(fields[2], "i=")
	count, err := strconv.ParseUint(number, 10, 31)
	switch {
	case !ok || err != nil:
		return errors.New("server's first message has no iteration count")
	case count < uint64(lowest):
		return fmt.Errorf("iteration count %d is below %d", count, lowest)
	case count > scramMaxIterations:
		return fmt.Errorf("iteration count %d is above %d", count, scramMaxIterations)
	}
	return nil
}
