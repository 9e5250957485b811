package imapkit

import (
	"crypto/tls"
	"fmt"
	"strings"
)

// defaultTLSVersions is what the zero value of TLSVersions means.
const defaultTLSVersions = TLS12 | TLS13

// The versions in ascending order. A version without a number is one that
// crypto/tls cannot speak.
var tlsVersions = [...]struct {
	bit    TLSVersions
	number uint16
	name   string
}{
	{SSL2, 0, "SSL 2.0"},
	{SSL3, 0, "SSL 3.0"},
	{TLS10, tls.VersionTLS10, "TLS 1.0"},
	{TLS11, tls.VersionTLS11, "TLS 1.1"},
	{TLS12, tls.VersionTLS12, "TLS 1.2"},
	{TLS13, tls.VersionTLS13, "TLS 1.3"},
}

// String lists the versions in the set, e.g. "TLS 1.2, TLS 1.3".
func (v TLSVersions) String() string {
	if v == 0 {
		v = defaultTLSVersions
	}
	var names []string
	for _, version := range tlsVersions {
		if v&version.bit != 0 {
			names = append(names, version.name)
			v &^= version.bit
		}
	}
	if v != 0 {
		names = append(names, fmt.Sprintf("TLSVersions(%#x)", uint(v)))
	}
	return strings.Join(names, ", ")
}

// speakable returns the allowed versions that crypto/tls can speak: at least
// one, or an error that names the field.
func (p TLSPolicy) speakable() (TLSVersions, error) {
	allowed := p.Versions
	if allowed == 0 {
		allowed = defaultTLSVersions
	}
	var known, spoken TLSVersions
	for _, version := range tlsVersions {
		known |= version.bit
		if version.number != 0 {
			spoken |= version.bit
		}
	}
	switch {
	case allowed&^known != 0:
		return 0, fmt.Errorf("imapkit: Client.TLS.Versions: unknown version %v", allowed&^known)
	case p.Strict && allowed&^spoken != 0:
		return 0, fmt.Errorf("imapkit: Client.TLS.Versions: this Go runtime cannot speak %v, and Client.TLS.Strict is set",
			allowed&^spoken)
	case allowed&spoken == 0:
		return 0, fmt.Errorf("imapkit: Client.TLS.Versions: this Go runtime speaks none of %v", allowed)
	}
	return allowed & spoken, nil
}

// config returns what crypto/tls needs to connect to host under the policy, or
// an error that names the offending field. Call it once per Client and keep
// the result: it holds the cache that makes reconnects cheap.
func (p TLSPolicy) config(host string) (*tls.Config, error) {
	allowed, err := p.speakable()
	if err != nil {
		return nil, err
	}
	config := p.Config.Clone()
	if config == nil {
		config = new(tls.Config)
	}
	if config.ServerName == "" {
		config.ServerName = certificateName(host)
	}
	if config.ClientSessionCache == nil {
		// Sessions are filed under the server's name, of which there is one.
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	if config.CipherSuites == nil && allowed&(TLS10|TLS11) != 0 {
		config.CipherSuites = oldCipherSuites()
	}

	var hole bool
	config.MinVersion, config.MaxVersion, hole = versionRange(allowed)
	if hole {
		verify := config.VerifyConnection
		config.VerifyConnection = func(state tls.ConnectionState) error {
			if !allowed.has(state.Version) {
				return &tlsVersionError{negotiated: state.Version, allowed: allowed}
			}
			if verify != nil {
				return verify(state)
			}
			return nil
		}
	}
	return config, nil
}

// versionRange returns the lowest and the highest version of a set, and
// whether one between them is missing, which the range alone cannot express.
func versionRange(set TLSVersions) (lowest, highest uint16, hole bool) {
	var missing bool
	for _, version := range tlsVersions {
		if set&version.bit == 0 {
			missing = lowest != 0
			continue
		}
		if lowest == 0 {
			lowest = version.number
		}
		highest = version.number
		hole = hole || missing
	}
	return lowest, highest, hole
}

// has reports whether the set contains a version in crypto/tls's numbering.
func (v TLSVersions) has(number uint16) bool {
	for _, version := range tlsVersions {
		if version.number == number {
			return v&version.bit != 0
		}
	}
	return false
}

// certificateName returns the name that a certificate for host has to have:
// host without the brackets and the zone of an IPv6 address, and without the
// dot that ends an absolute name.
func certificateName(host string) string {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(inner, "]")
	}
	if strings.Contains(host, ":") {
		host, _, _ = strings.Cut(host, "%")
	}
	return strings.TrimSuffix(host, ".")
}

// oldCipherSuites returns the suites of crypto/tls, and after them the RSA key
// exchanges that it leaves out since Go 1.22. Servers that stopped at TLS 1.0
// or 1.1 often have nothing else. A server that has better is not affected:
// the key exchange is part of what the handshake authenticates, and Go puts
// these last whatever their place here.
func oldCipherSuites() []uint16 {
	var ids []uint16
	for _, suite := range tls.CipherSuites() {
		ids = append(ids, suite.ID)
	}
	return append(ids,
		tls.TLS_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA,
		tls.TLS_RSA_WITH_AES_256_CBC_SHA,
	)
}

// hasClientCertificate reports whether the policy can present a certificate.
func (p TLSPolicy) hasClientCertificate() bool {
	return p.Config != nil && (len(p.Config.Certificates) > 0 || p.Config.GetClientCertificate != nil)
}
