package imapkit

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// A tlsVersionError says that the server picked a version in a hole of the
// allowed set.
type tlsVersionError struct {
	negotiated uint16
	allowed    TLSVersions
}

func (e *tlsVersionError) Error() string {
	return fmt.Sprintf("the server picked %s, Client.TLS.Versions allows %v", tls.VersionName(e.negotiated), e.allowed)
}

// Alerts (RFC 8446 section 6) that a user can do something about.
const (
	alertHandshakeFailure    tls.AlertError = 40
	alertBadCertificate      tls.AlertError = 42
	alertUnsupportedCert     tls.AlertError = 43
	alertCertRevoked         tls.AlertError = 44
	alertCertExpired         tls.AlertError = 45
	alertCertUnknown         tls.AlertError = 46
	alertUnknownCA           tls.AlertError = 48
	alertAccessDenied        tls.AlertError = 49
	alertProtocolVersion     tls.AlertError = 70
	alertUnrecognizedName    tls.AlertError = 112
	alertCertificateRequired tls.AlertError = 116
)

// explain puts what went wrong, and what to do about it, in front of an error
// of crypto/tls. It is meant for the handshake and for the first read after
// it, which is where a TLS 1.3 server's refusal of a client certificate shows.
func (p TLSPolicy) explain(err error) error {
	if err == nil {
		return nil
	}
	if hint := p.hint(err); hint != "" {
		return fmt.Errorf("TLS: %s: %w", hint, err)
	}
	return fmt.Errorf("TLS: %w", err)
}

func (p TLSPolicy) hint(err error) string {
	var record tls.RecordHeaderError
	if errors.As(err, &record) {
		if strings.HasPrefix(string(record.RecordHeader[:]), "* ") {
			return "the server greets in clear text: this port wants STARTTLS"
		}
		return "the server's answer is not TLS"
	}
	if hint := certificateHint(err); hint != "" {
		return hint
	}
	var remote *net.OpError
	if errors.As(err, &remote) && remote.Op == "remote error" {
		return p.alertHint(remote.Err)
	}
	// The text is all there is: crypto/tls has no type for it.
	if strings.Contains(err.Error(), "selected unsupported protocol version") {
		return p.versionHint()
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "the server closed the connection"
	}
	return ""
}

// certificateHint explains why the server's certificate was not accepted.
func certificateHint(err error) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		return "the issuer of the server's certificate is not trusted; " +
			"if it should be, put it into RootCAs of Client.TLS.Config"
	case errors.As(err, &name):
		return "the server's certificate is for another name than " + name.Host +
			" (Client.Host, or ServerName of Client.TLS.Config)"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the server's certificate has expired or is not valid yet, or this machine's clock is wrong"
	case errors.As(err, &invalid):
		return "the server's certificate is not acceptable"
	}
	return ""
}

// alertHint explains the server's alert. crypto/tls keeps the alert's type to
// itself, but prints it as it prints an AlertError.
func (p TLSPolicy) alertHint(alert error) string {
	is := func(codes ...tls.AlertError) bool {
		for _, code := range codes {
			if alert.Error() == code.Error() {
				return true
			}
		}
		return false
	}
	switch {
	case is(alertProtocolVersion):
		return p.versionHint()
	case is(alertHandshakeFailure):
		if p.hasClientCertificate() {
			return "the server found no common parameters or did not like the client certificate"
		}
		return "the server found no common parameters or wants a client certificate (Certificates of Client.TLS.Config)"
	case is(alertCertificateRequired), is(alertBadCertificate) && !p.hasClientCertificate():
		return "the server wants a client certificate (Certificates of Client.TLS.Config)"
	case is(alertBadCertificate, alertUnsupportedCert, alertCertRevoked, alertCertExpired, alertCertUnknown,
		alertUnknownCA, alertAccessDenied):
		return "the server did not accept the client certificate"
	case is(alertUnrecognizedName):
		return "the server does not know the name it was asked for (Client.Host, or ServerName of Client.TLS.Config)"
	}
	return ""
}

func (p TLSPolicy) versionHint() string {
	allowed, err := p.speakable()
	if err != nil {
		allowed = p.Versions
	}
	return fmt.Sprintf("the server speaks none of the versions that Client.TLS.Versions allows (%v)", allowed)
}
