package imapkit

import (
	"errors"
	"strings"
)

// wantID lists the providers, by the end of their servers' names, that refuse to
// open a folder until the client has said what it is called (RFC 2971). Others
// that do so are recognized by their words: see isUnsafeLogin.
var wantID = []string{
	"163.com",  // NetEase: "NO SELECT Unsafe Login. Please contact kefu@188.com for help"
	"126.com",  // NetEase, the same
	"yeah.net", // NetEase, the same
	"188.com",  // NetEase, the same
}

// wantsName reports whether the server is one of those in wantID.
func (c *Client) wantsName() bool {
	host := strings.ToLower(strings.TrimSuffix(c.Host, "."))
	for _, provider := range wantID {
		if host == provider || strings.HasSuffix(host, "."+provider) {
			return true
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wantsID
}

// identify tells the name of this package, but only where it is asked for: it
// costs a round trip, and nobody else needs to know.
func (s *session) identify() error {
	if !s.client.wantsName() {
		return nil
	}
	return s.Run(s.Command("ID").Raw(`("name" "imapkit")`)) // a refusal does no harm
}

// isUnsafeLogin reports whether a folder was not opened because the client has
// not said what it is called, and makes connections from now on say so.
func (c *Client) isUnsafeLogin(err error) bool {
	var refused *ServerError
	if !errors.As(err, &refused) || !strings.Contains(refused.Text, "Unsafe Login") {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.wantsID
	c.wantsID = true
	return !known
}
