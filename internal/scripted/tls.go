package scripted

import (
	"crypto/tls"
	"crypto/x509"
	"sync"
	"testing"

	"github.com/imapkit/imapkit/internal/testcert"
)

type authority struct {
	*testcert.CA
	cert tls.Certificate
}

// shared saves every test the making of keys.
var shared = sync.OnceValue(func() authority {
	ca, err := testcert.NewCA()
	if err != nil {
		panic(err)
	}
	cert, err := ca.Issue(nil)
	if err != nil {
		panic(err)
	}
	return authority{ca, cert}
})

// TLSConfig returns a new server configuration with a certificate for
// localhost, 127.0.0.1 and ::1, signed by the authority in [CertPool].
func TLSConfig() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{shared().cert}}
}

// CertPool returns a new pool with the authority that signs the certificates
// of this package.
func CertPool() *x509.CertPool {
	return shared().Pool()
}

// Certificate makes another certificate of the same authority. Change alters
// the template before it is signed: a wrong name, a date in the past.
func Certificate(t testing.TB, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	cert, err := shared().Issue(change)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
