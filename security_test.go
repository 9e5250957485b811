package imapkit_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

func TestSTARTTLSIsNotLedAstray(t *testing.T) {
	tests := map[string]struct {
		server func(*scripted.Conn)
		want   error
	}{
		"responses injected before TLS": {func(c *scripted.Conn) {
			c.Send("* OK [CAPABILITY IMAP4rev1 STARTTLS] ready")
			tag, _ := c.Expect("STARTTLS")
			c.SendRaw(tag + " OK go\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n")
			c.Stall()
		}, imapkit.ErrProtocol},
		"PREAUTH": {func(c *scripted.Conn) {
			c.Send("* PREAUTH [CAPABILITY IMAP4rev1] welcome")
			c.Stall()
		}, imapkit.ErrInsecure},
		"not offered": {func(c *scripted.Conn) {
			c.Send("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready")
			c.Stall()
		}, imapkit.ErrInsecure},
		"refused": {func(c *scripted.Conn) {
			c.Send("* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN] ready")
			tag, _ := c.Expect("STARTTLS")
			c.No(tag, "not today")
			c.Stall()
		}, imapkit.ErrInsecure},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := scripted.New(t, tt.server)
			c := inClear(s)
			c.Security = imapkit.SecurityStartTLS
			c.TLS.Config = &tls.Config{RootCAs: scripted.CertPool()}
			defer c.Close()
			if err := c.Connect(limited(t)); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if got := s.Received(); strings.Contains(got, "LOGIN") || strings.Contains(got, "AUTHENTICATE") {
				t.Errorf("the client went on:\n%s", got)
			}
		})
	}
}

func TestWhatWasLearntBeforeTLSIsForgotten(t *testing.T) {
	s := scripted.New(t, func(c *scripted.Conn) {
		c.Send("* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=ANONYMOUS] ready")
		tag, _ := c.Expect("STARTTLS")
		c.Send(tag + " OK [CAPABILITY IMAP4rev1 AUTH=ANONYMOUS] go")
		if err := c.StartTLS(scripted.TLSConfig()); err != nil {
			return
		}
		tag, _ = c.Expect("CAPABILITY")
		c.Send("* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR")
		c.OK(tag, "done")
		tag, _ = c.Expect("AUTHENTICATE PLAIN")
		c.Send(tag + " OK [CAPABILITY IMAP4rev1] welcome")
		c.Stall()
	})
	c := inClear(s)
	c.Security = imapkit.SecurityStartTLS
	c.TLS.Config = &tls.Config{RootCAs: scripted.CertPool()}
	defer c.Close()
	if err := c.Connect(limited(t)); err != nil {
		t.Fatal(err)
	}
}

func TestLOGINDISABLEDIsRespected(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 LOGINDISABLED"})
	c := inClear(s)
	defer c.Close()
	if err := c.Connect(limited(t)); !errors.Is(err, imapkit.ErrNoMechanism) || !errors.Is(err, imapkit.ErrInsecure) {
		t.Errorf("error %v", err)
	}
	if strings.Contains(s.Received(), "secret") {
		t.Error("the password was sent")
	}
}

func TestTheServersWordsAreQuoted(t *testing.T) {
	t.Run("BYE instead of a greeting", func(t *testing.T) {
		s := scripted.New(t, func(c *scripted.Conn) { c.Send("* BYE [UNAVAILABLE] too many connections") })
		c := inClear(s)
		defer c.Close()
		var said *imapkit.ServerError
		err := c.Connect(limited(t))
		if !errors.As(err, &said) || said.Status != "BYE" || said.Code != "UNAVAILABLE" || said.Text != "too many connections" {
			t.Errorf("error %v", err)
		}
	})
	t.Run("wrong password", func(t *testing.T) {
		s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 AUTH=PLAIN", Handle: map[string]func(*scripted.Conn, scripted.Command){
			"AUTHENTICATE": func(c *scripted.Conn, cmd scripted.Command) {
				c.Send("+ ")
				c.ReadLine()
				c.Send(cmd.Tag + " NO [AUTHENTICATIONFAILED] wrong password")
			},
		}})
		c := inClear(s)
		defer c.Close()
		var said *imapkit.ServerError
		err := c.Connect(limited(t))
		if !errors.Is(err, imapkit.ErrAuthentication) || !errors.As(err, &said) || said.Text != "wrong password" {
			t.Errorf("error %v", err)
		}
	})
}

// tokens counts how it is asked.
type tokens struct{ asked []bool }

func (s *tokens) Token(_ context.Context, refresh bool) (string, error) {
	s.asked = append(s.asked, refresh)
	return fmt.Sprintf("token-%d", len(s.asked)), nil
}

func TestARefusedTokenIsRefreshedOnce(t *testing.T) {
	for name, accept := range map[string]string{"the second is accepted": "token-2", "none is accepted": "never"} {
		t.Run(name, func(t *testing.T) {
			s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 SASL-IR AUTH=XOAUTH2",
				Handle: map[string]func(*scripted.Conn, scripted.Command){
					"AUTHENTICATE": func(c *scripted.Conn, cmd scripted.Command) {
						_, b64, _ := strings.Cut(cmd.Args, " ")
						said, _ := base64.StdEncoding.DecodeString(b64)
						if strings.Contains(string(said), accept) {
							c.OK(cmd.Tag, "welcome")
							return
						}
						c.Send("+ " + base64.StdEncoding.EncodeToString([]byte(`{"status":"400"}`)))
						c.ReadLine()
						c.No(cmd.Tag, "no")
					},
				}})
			c := inClear(s)
			source := new(tokens)
			c.Password, c.TokenSource = "", source
			defer c.Close()
			err := c.Connect(limited(t))
			if want := accept == "token-2"; (err == nil) != want {
				t.Errorf("error %v", err)
			}
			if len(source.asked) != 2 || source.asked[0] || !source.asked[1] {
				t.Errorf("asked %v", source.asked)
			}
		})
	}
}

func TestNoSecretIsLoggedOrQuoted(t *testing.T) {
	const secret = "hunter2-very-secret"
	for _, mechanism := range []imapkit.AuthMechanism{imapkit.AuthPlain, imapkit.AuthLogin, imapkit.AuthCRAMMD5, imapkit.AuthLoginCommand} {
		t.Run(string(mechanism), func(t *testing.T) {
			s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 AUTH=PLAIN AUTH=LOGIN AUTH=CRAM-MD5", Handle: map[string]func(*scripted.Conn, scripted.Command){
				"AUTHENTICATE": func(c *scripted.Conn, cmd scripted.Command) {
					c.Send("+ ")
					c.ReadLine()
					c.No(cmd.Tag, "no")
				},
				"LOGIN": func(c *scripted.Conn, cmd scripted.Command) { c.No(cmd.Tag, "no") },
			}})
			var log bytes.Buffer
			c := inClear(s)
			c.Password, c.Auth = secret, []imapkit.AuthMechanism{mechanism}
			c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.Level(-100)}))
			err := c.Connect(limited(t))
			c.Close()
			for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)),
				base64.StdEncoding.EncodeToString([]byte("\x00user\x00" + secret))} {
				if strings.Contains(log.String(), form) || strings.Contains(fmt.Sprintf("%v %+v", err, err), form) {
					t.Errorf("secret in the log or error:\n%s\n%v", log.String(), err)
				}
			}
			if log.Len() == 0 {
				t.Error("nothing was logged, so nothing was tested")
			}
		})
	}
}

func TestNoSecretIsInTheJSONOfWhatHoldsAClient(t *testing.T) {
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("started", "program", struct{ Mail, SOCKS, HTTP any }{
		&imapkit.Client{Host: "imap.example.com", Username: "ada", Password: "secret",
			Proxy: imapkit.SOCKSProxy{Addr: "proxy:1080", Username: "p", Password: "secret"}},
		imapkit.SOCKSProxy{Addr: "proxy:1080", Username: "p", Password: "secret"},
		&imapkit.HTTPProxy{Addr: "proxy:3128", Username: "p", Password: "secret"},
	})
	for _, want := range []string{"imap.example.com", "proxy:1080", "proxy:3128"} {
		if text := log.String(); strings.Contains(text, "secret") || !strings.Contains(text, want) {
			t.Errorf("%s in %s", want, text)
		}
	}
}

func TestAClientIsReadFromJSON(t *testing.T) {
	var c imapkit.Client
	err := json.Unmarshal([]byte(`{"Host": "imap.example.com", "Username": "ada", "Password": "secret", "Timeout": 5000000000}`), &c)
	if err != nil || c.Host != "imap.example.com" || c.Password != "secret" || c.Timeout != 5*time.Second {
		t.Errorf("%v, error %v", &c, err)
	}
}

func TestInClearWhatHidesThePasswordComesFirst(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 SASL-IR AUTH=PLAIN AUTH=LOGIN AUTH=CRAM-MD5",
		Handle: map[string]func(*scripted.Conn, scripted.Command){
			"AUTHENTICATE": func(c *scripted.Conn, cmd scripted.Command) {
				if cmd.Args != "CRAM-MD5" {
					c.Errorf("mechanism %q", cmd.Args)
				}
				c.Send("+ " + base64.StdEncoding.EncodeToString([]byte("<1896.697170952@postoffice.example.net>")))
				c.ReadLine()
				c.No(cmd.Tag, "no")
			},
		}})
	c := inClear(s)
	defer c.Close()
	if err := c.Connect(limited(t)); !errors.Is(err, imapkit.ErrAuthentication) {
		t.Errorf("error %v", err)
	}
	if got := s.Received(); strings.Contains(got, "secret") || strings.Contains(got, "PLAIN") || strings.Contains(got, "LOGIN") {
		t.Errorf("after CRAM-MD5 was refused, the client sent:\n%s", got)
	}
}

func TestAnExchangeThatFailsIsCancelled(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 AUTH=SCRAM-SHA-256 AUTH=PLAIN",
		Handle: map[string]func(*scripted.Conn, scripted.Command){
			"AUTHENTICATE": func(c *scripted.Conn, cmd scripted.Command) {
				c.Send("+ ")
				c.ReadLine()
				c.Send("+ " + base64.StdEncoding.EncodeToString([]byte("nonsense")))
				if line, _ := c.ReadLine(); line != "*" {
					c.Errorf("got %q, want *", line)
				}
				c.Bad(cmd.Tag, "cancelled")
			},
		}})
	c := inClear(s)
	defer c.Close()
	if err := c.Connect(limited(t)); err == nil {
		t.Error("no error")
	}
}

func TestTheCertificateMustBeThatOfTheHostThroughProxiesToo(t *testing.T) {
	implicit := scripted.Serve(t, scripted.Options{TLS: true})
	starttls := scripted.Serve(t, scripted.Options{Caps: "IMAP4rev1 STARTTLS AUTH=PLAIN"})
	for _, mode := range []imapkit.Security{imapkit.SecurityImplicitTLS, imapkit.SecurityStartTLS, imapkit.SecurityAuto} {
		for host, good := range map[string]bool{"localhost": true, "mail.example.org": false} {
			t.Run(mode.String()+" "+host, func(t *testing.T) {
				// The proxy leads every name to the same server.
				p := &ports{to: map[string]string{"993": implicit.Addr, "143": starttls.Addr}}
				c := &imapkit.Client{Host: host, Username: "user", Password: "secret", Security: mode, Proxy: p}
				c.TLS.Config = &tls.Config{RootCAs: scripted.CertPool()}
				defer c.Close()
				err := c.Connect(limited(t))
				var wrong x509.HostnameError
				if good != (err == nil) || !good && (!errors.As(err, &wrong) || wrong.Host != host) {
					t.Errorf("error %v", err)
				}
			})
		}
	}
	for _, s := range []*scripted.Server{implicit, starttls} {
		if got := s.Cleartext(); strings.Contains(got, "AUTHENTICATE") || strings.Contains(got, "LOGIN") {
			t.Errorf("sent in clear:\n%s", got)
		}
	}
}
