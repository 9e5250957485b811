package testcert

import (
	"crypto/x509"
	"testing"
	"time"
)

func TestIssuedCertificateIsTrustedForLoopbackNames(t *testing.T) {
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
		if _, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: ca.Pool()}); err != nil {
			t.Errorf("Verify for %s: %v", name, err)
		}
	}
	if _, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: "example.org", Roots: ca.Pool()}); err == nil {
		t.Error("the certificate is good for example.org")
	}
}

func TestIssueSignsWhatWasChanged(t *testing.T) {
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: "localhost", Roots: ca.Pool()}); err == nil {
		t.Error("an expired certificate verifies")
	}
}
