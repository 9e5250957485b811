package imapkit_test

import (
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit"
)

func TestRoundTripsToTheFirstSearchResultOfRealServers(t *testing.T) {
	for name, start := range realServers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			for _, mode := range []imapkit.Security{imapkit.SecurityImplicitTLS, imapkit.SecurityStartTLS, imapkit.SecurityNone} {
				d := new(linkDialer)
				c := clientFor(server, mode)
				c.Proxy = d
				c.Auth = []imapkit.AuthMechanism{imapkit.AuthPlain, imapkit.AuthLoginCommand}
				if _, err := c.Folder("INBOX").Search(limited(t), imapkit.All()); err != nil {
					t.Fatal(err)
				}
				trips := 1 + float64(d.turns.Load())/2
				caps, _ := c.Capabilities(limited(t))
				c.Close()
				t.Logf("%v: %.1f round trips", mode, trips)
				// STARTTLS, then what the server can do, are one more each.
				limit := map[imapkit.Security]float64{
					imapkit.SecurityImplicitTLS: 5.2, imapkit.SecurityStartTLS: 7.2, imapkit.SecurityNone: 4.2,
				}[mode]
				if !caps.Has(imap.CapSASLIR) {
					limit++ // PLAIN takes one more
				}
				if name == "Mailutils" {
					limit += 2 // the greeting does not tell what the server can do
				}
				if trips > limit {
					t.Errorf("%v: %.1f round trips, at most %.1f are allowed", mode, trips, limit)
				}
			}
		})
	}
}

func TestAutoOnBothPortsOfRealServers(t *testing.T) {
	for name, start := range realServers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			for _, port := range []int{server.Port, server.TLSPort} {
				c := clientFor(server, imapkit.SecurityAuto)
				c.Port = port
				began := time.Now()
				if err := c.Connect(limited(t)); err != nil {
					t.Errorf("port %d: %v", port, err)
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("port %d: it took %v", port, took)
				}
				c.Close()
			}
		})
	}
}
