package imapkittest_test

import (
	"crypto/tls"
	"fmt"
	"log"

	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/imapkit/imapkit/imapkittest"
)

// Any IMAP client can talk to the server.
func ExampleServer_CertPool() {
	server, err := imapkittest.NewServer(imapkittest.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	client, err := imapclient.DialTLS(server.TLSAddr(), &imapclient.Options{
		TLSConfig: &tls.Config{RootCAs: server.CertPool()},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if err := client.Login("user", "password").Wait(); err != nil {
		log.Fatal(err)
	}
	inbox, err := client.Select("INBOX", nil).Wait()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(inbox.NumMessages, "messages")
	// Output: 8 messages
}
