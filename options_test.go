package imapkit_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/imapkit/imapkit"
)

func TestURLsThatAreUnderstood(t *testing.T) {
	tests := map[string]*imapkit.Client{
		"imaps://imap.example.org":                   {Host: "imap.example.org", Security: imapkit.SecurityImplicitTLS},
		"IMAPS://imap.example.org/":                  {Host: "imap.example.org", Security: imapkit.SecurityImplicitTLS},
		"imap://ann@imap.example.org":                {Host: "imap.example.org", Username: "ann"},
		"imap://ann:pw@imap.example.org:1143":        {Host: "imap.example.org", Port: 1143, Username: "ann", Password: "pw"},
		"imaps://ann%40example.org:p%2Fw%3A%23@host": {Host: "host", Username: "ann@example.org", Password: "p/w:#", Security: imapkit.SecurityImplicitTLS},
		"imap://host?security=none&readonly=1":       {Host: "host", Security: imapkit.SecurityNone, ReadOnly: true},
		"imap://host?security=STARTTLS&maxconns=4":   {Host: "host", Security: imapkit.SecurityStartTLS, MaxConns: 4},
		"imap://host?security=tls":                   {Host: "host", Security: imapkit.SecurityImplicitTLS},
		"imaps://[2001:db8::1]:1993?security=tls":    {Host: "2001:db8::1", Port: 1993, Security: imapkit.SecurityImplicitTLS},
		"imap://host?security=auto&readonly=false":   {Host: "host"},
	}
	for raw, want := range tests {
		c, err := imapkit.ParseURL(raw)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		if c.Host != want.Host || c.Port != want.Port || c.Username != want.Username || c.Password != want.Password ||
			c.Security != want.Security || c.ReadOnly != want.ReadOnly || c.MaxConns != want.MaxConns {
			t.Errorf("%s: got %v, user %q, %q, read-only %v, %d connections", raw, c, c.Username, c.Password, c.ReadOnly, c.MaxConns)
		}
	}
}

func TestURLsThatAreRefusedAreNotQuoted(t *testing.T) {
	for raw, names := range map[string]string{
		"":                                 "scheme",
		"imap.example.org":                 "scheme",
		"pop3://ann:hunter2@host":          "scheme",
		"imaps://":                         "host",
		"imaps://ann:hunter2@":             "host",
		"imaps://ann:hunter2@host:0":       "port",
		"imaps://ann:hunter2@host:70000":   "port",
		"imaps://ann:hunter2@host:imap":    "port",
		"imaps://ann:hunter2@ho st":        "URL",
		"imaps://ann:hunter2%zz@host":      "URL",
		"imaps://ann:hunter2\x00@host":     "URL",
		"imaps://ann:hunter2/x@host":       "URL", // / ? and # have to be written in percent-encoding
		"imaps://ann:1/hunter2@host":       "path",
		"imaps://ann:1?hunter2@host":       "parameter",
		"imaps://ann:1?hunter2=x@host":     "parameter",
		"imaps://ann:1#hunter2@host":       "fragment",
		"imaps://ann:70000?hunter2@host":   "port",
		"imaps://ann:hunter2@host/INBOX":   "path",
		"imaps://host?security=none":       "security",
		"imap://host?security=ssl":         "security",
		"imap://host?readonly=perhaps":     "readonly",
		"imap://host?maxconns=-1":          "maxconns",
		"imap://host?password=hunter2":     "parameter",
		"imap://host?security=none;x=%zzy": "query",
	} {
		c, err := imapkit.ParseURL(raw)
		if err == nil {
			t.Errorf("%q: no error, got %v", raw, c)
			continue
		}
		if !strings.Contains(err.Error(), names) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "70000") {
			t.Errorf("%q: error %v, want one that names %s and no more", raw, err, names)
		}
	}
}

func TestAHostThatHoldsAPasswordIsNotQuoted(t *testing.T) {
	c := &imapkit.Client{Host: "imaps://ann:hunter2@imap.example.org", Username: "ann", Password: "hunter2"}
	err := c.Connect(limited(t))
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "Client.Host") {
		t.Errorf("error %v", err)
	}
}

func TestSecurityModesHaveNames(t *testing.T) {
	for mode, want := range map[imapkit.Security]string{
		imapkit.SecurityAuto: "auto", imapkit.SecurityImplicitTLS: "implicit TLS", imapkit.SecurityStartTLS: "STARTTLS",
		imapkit.SecurityNone: "no encryption", 9: "Security(9)", -1: "Security(-1)",
	} {
		if got := mode.String(); got != want {
			t.Errorf("%d prints as %q, want %q", int(mode), got, want)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("ada", "correct horse", "imaps", "mail.test:993")
	f.Add("ada@mail.test", "/#?%:@", "imap", "[::1]/?security=none&maxconns=2")
	f.Add("", "", "IMAPS", "%@mail.test?security=x#")
	f.Fuzz(func(t *testing.T, username, password, scheme, rest string) {
		u := url.URL{Scheme: "imaps", Host: "mail.test", User: url.UserPassword(username, password)}
		c, err := imapkit.ParseURL(u.String())
		if err != nil || c.Username != username || c.Password != password || c.Host != "mail.test" {
			t.Errorf("%v, %v", c, err)
		}
		const secret = "correct-horse-battery"
		if c, err := imapkit.ParseURL(scheme + "://ada:" + secret + "@" + rest); err != nil {
			if c != nil || strings.Contains(err.Error(), secret) {
				t.Errorf("%v, %v", c, err)
			}
		} else if strings.Contains(fmt.Sprintf("%v %+v %#v", c, c, c), secret) && c.Password == secret {
			t.Errorf("%v shows the password", c)
		}
	})
}
