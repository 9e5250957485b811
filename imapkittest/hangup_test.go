package imapkittest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/imapkit/imapkit"
)

func TestCloseEndsThoughAClientWentAwayInTheMiddleOfItsMail(t *testing.T) {
	for _, how := range []string{"server", "cancel", "closed client"} {
		t.Run(how, func(t *testing.T) {
			server, err := NewServer(Options{})
			if err != nil {
				t.Fatal(err)
			}
			for i := range 2000 {
				if _, err := server.Deliver("INBOX", fmt.Appendf(nil, "Subject: %d\r\n\r\n%s", i, strings.Repeat("x\r\n", 5000))); err != nil {
					t.Fatal(err)
				}
			}
			client := server.Client()
			ctx, cancel := context.WithCancel(t.Context())
			uids, err := client.Folder("INBOX").Search(ctx, imapkit.All())
			if err != nil {
				t.Fatal(err)
			}
			for _, err := range client.Folder("INBOX").Raw(ctx, uids) {
				if err != nil {
					break
				}
				switch how {
				case "server":
					server.CloseClientConnections()
				case "cancel":
					cancel()
				case "closed client":
					client.Close()
				}
			}
			cancel()
			client.Close()
			done := make(chan struct{})
			go func() { server.Close(); close(done) }()
			select {
			case <-done:
			case <-time.After(10 * time.Second):
				t.Error("Close does not return")
			}
		})
	}
}
