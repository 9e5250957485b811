package imapkit

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
)

// maxHTTPAnswer bounds all that an HTTP proxy sends before the connection is
// the target's, in bytes.
const maxHTTPAnswer = 64 << 10

func (p HTTPProxy) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if err := checkChain(p); err != nil {
		return nil, err
	}
	host, port, err := splitTarget(network, addr)
	if err != nil {
		return nil, err
	}
	target := net.JoinHostPort(host, strconv.Itoa(int(port)))
	return dialProxy(ctx, p.Forward, p.Addr, func(conn net.Conn) (net.Conn, error) {
		if p.TLS != nil {
			secure := tls.Client(conn, p.tlsConfig())
			if err := secure.Handshake(); err != nil {
				return nil, fmt.Errorf("TLS with the proxy: %w", err)
			}
			conn = secure
		}
		return conn, p.connect(conn, target)
	})
}

// tlsConfig returns the configuration for the connection to the proxy itself.
func (p HTTPProxy) tlsConfig() *tls.Config {
	config := p.TLS.Clone()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(p.Addr)
	}
	config.NextProtos = []string{"http/1.1"}
	return config
}

// connect sends the CONNECT request and reads the answer up to its end and not
// a byte more: what follows a success comes from the target.
func (p HTTPProxy) connect(rw io.ReadWriter, target string) error {
	request := "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n"
	if p.Username != "" || p.Password != "" {
		credentials := base64.StdEncoding.EncodeToString([]byte(p.Username + ":" + p.Password))
		request += "Proxy-Authorization: Basic " + credentials + "\r\n"
	}
	if _, err := io.WriteString(rw, request+"\r\n"); err != nil {
		return err
	}
	r := &io.LimitedReader{R: rw, N: maxHTTPAnswer}
	for {
		head, err := readHTTPHead(r)
		if err != nil {
			return err
		}
		code, err := statusCode(head[0])
		switch {
		case err != nil:
			return err
		case code/100 == 2:
			// RFC 9110 section 9.3.6: such an answer has no body, whatever
			// Content-Length says.
			return nil
		case code == 407 || code == 401: // tinyproxy refuses wrong credentials with 401
			return p.credentialsError(head)
		case code/100 != 1 || code == 101:
			return fmt.Errorf("the proxy answered %.200q", head[0])
		}
	}
}

// readHTTPHead reads a status line and headers up to the empty line and
// returns the lines. It reads byte by byte, which is little work for an answer
// this short, and leaves everything after it where it is.
func readHTTPHead(r *io.LimitedReader) ([]string, error) {
	const start = "HTTP/"
	var head []byte
	for {
		var b [1]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			if r.N <= 0 {
				return nil, fmt.Errorf("the proxy's answer is longer than %d bytes: %w", maxHTTPAnswer, ErrLimit)
			}
			return nil, err
		}
		head = append(head, b[0])
		if len(head) <= len(start) && !strings.HasPrefix(start, string(head)) {
			return nil, fmt.Errorf("not the answer of an HTTP proxy: it begins with %q", head)
		}
		if bytes.HasSuffix(head, []byte("\n\r\n")) || bytes.HasSuffix(head, []byte("\n\n")) {
			lines := strings.Split(strings.TrimRight(string(head), "\r\n"), "\n")
			for i, line := range lines {
				lines[i] = strings.TrimSuffix(line, "\r")
			}
			return lines, nil
		}
	}
}

// statusCode returns the code in a status line (RFC 9112 section 4).
func statusCode(line string) (int, error) {
	version, rest, _ := strings.Cut(line, " ")
	digits, _, _ := strings.Cut(rest, " ")
	code, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || len(digits) != 3 || code < 100 || !strings.HasPrefix(version, "HTTP/1.") {
		return 0, fmt.Errorf("not the answer of an HTTP proxy: %.200q", line)
	}
	return int(code), nil
}

// credentialsError explains an answer 407 (RFC 9110 section 15.5.8).
func (p HTTPProxy) credentialsError(head []string) error {
	var schemes []string
	for _, line := range head[1:] {
		if name, value, _ := strings.Cut(line, ":"); strings.EqualFold(name, "Proxy-Authenticate") {
			schemes = append(schemes, authSchemes(value)...)
		}
	}
	offer := "nothing"
	if len(schemes) > 0 {
		offer = strings.Join(schemes, ", ")
	}
	problem := "the proxy wants credentials, set Username and Password"
	switch {
	case len(schemes) > 0 && !slices.ContainsFunc(schemes, isBasic):
		problem = "the proxy wants credentials in a way other than Basic, which is not supported"
	case p.Username != "" || p.Password != "":
		problem = "the proxy refused the user name or password"
	}
	return fmt.Errorf("%s: it answered %.200q and offers %.200s", problem, head[0], offer)
}

func isBasic(scheme string) bool { return strings.EqualFold(scheme, "Basic") }

// authSchemes returns the names of the schemes in the value of a
// Proxy-Authenticate header (RFC 9110 section 11.6.1): a list in which each
// challenge starts with a scheme and may go on with parameters, separated by
// the same commas.
func authSchemes(value string) []string {
	var schemes []string
	quoted, escaped := false, false
	elements := strings.FieldsFunc(value, func(r rune) bool {
		switch {
		case escaped:
			escaped = false
		case quoted && r == '\\':
			escaped = true
		case r == '"':
			quoted = !quoted
		}
		return r == ',' && !quoted
	})
	for _, element := range elements {
		scheme, rest, _ := strings.Cut(strings.TrimSpace(element), " ")
		isParameter := strings.Contains(scheme, "=") || strings.HasPrefix(strings.TrimSpace(rest), "=")
		if scheme != "" && !isParameter && !strings.ContainsFunc(scheme, notInSchemeName) {
			schemes = append(schemes, scheme)
		}
	}
	return schemes
}

// notInSchemeName keeps what could confuse a reader of the error out of it.
func notInSchemeName(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' }
