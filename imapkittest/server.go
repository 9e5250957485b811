// Package imapkittest runs an IMAP server for tests and examples, in the
// spirit of net/http/httptest: it listens on 127.0.0.1, keeps its mail in
// memory, has a certificate of its own, and comes with a client that trusts
// it.
//
//	server, err := imapkittest.NewServer(imapkittest.Options{})
//	if err != nil {
//		t.Fatal(err)
//	}
//	defer server.Close()
//	client := server.Client()
//	defer client.Close()
//
// The mailbox is a small sample, or whatever [Options.Messages] holds. It is an
// ordinary server for every other mail program, too.
package imapkittest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/url"
	"sync"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/testcert"
)

// Options say what the server is like. The zero value is a good start.
type Options struct {
	// Username and Password of the only account; "user" and "password" if
	// empty.
	Username, Password string
	// Token is an OAuth 2.0 access token. If it is not empty, the server
	// offers XOAUTH2 and OAUTHBEARER and accepts it.
	Token string

	// Messages holds the .eml files of each folder, in the order of their
	// names; nil means a small sample mailbox. Words between dots before
	// the extension are flags: hello.seen.flagged.eml. The internal date is
	// taken from the Date field, and lines may end in a bare LF. Folders are
	// UTF-8 names with "/" between levels; INBOX always exists, and so do
	// the folders above each folder. Drafts, Sent, Archive, Trash and Junk
	// get their special use (RFC 6154). A message with a line in its header that
	// is no field is an error: the server could not hand it out.
	Messages map[string]fs.FS

	// Mechanisms lists the authentication mechanisms to offer; nil means
	// SCRAM-SHA-256-PLUS (with TLS), SCRAM-SHA-256, SCRAM-SHA-1, CRAM-MD5, PLAIN and LOGIN,
	// besides those that Token adds. ANONYMOUS, and EXTERNAL with the
	// certificate from [Server.ClientCertificate], are possible as well.
	Mechanisms []imapkit.AuthMechanism
	// Without lists capabilities that the server does not have, e.g.
	// imap.CapMove: it neither offers them nor knows their commands.
	// Without STARTTLS the port for clear text stays in clear.
	Without []imap.Cap
	// InsecureAuth lets clients log in without TLS.
	InsecureAuth bool
}

// A Server is an IMAP server with two ports: one for TLS from the first byte,
// one that begins in clear and offers STARTTLS.
type Server struct {
	Host    string // "127.0.0.1"
	TLSPort int    // TLS from the first byte
	Port    int    // clear text and STARTTLS

	opts  Options
	ca    *testcert.CA
	tls   *tls.Config
	auth  *authenticator
	store *store
	imap  *imapserver.Server
	lines *handover // logged-in connections on their way to imap

	listeners []net.Listener
	loops     sync.WaitGroup // the goroutines that accept, and imap's

	mu     sync.Mutex
	conns  map[*conn]struct{}
	closed bool
	served sync.WaitGroup // one for each conn
}

// NewServer starts a server. It returns an error if it cannot listen or if
// the messages cannot be read. Close the server when done.
func NewServer(opts Options) (*Server, error) {
	if opts.Username == "" {
		opts.Username = "user"
	}
	if opts.Password == "" {
		opts.Password = "password"
	}
	if opts.Messages == nil {
		opts.Messages = sampleMessages()
	}
	s := &Server{Host: "127.0.0.1", opts: opts, lines: newHandover(), conns: make(map[*conn]struct{})}
	var err error
	if s.store, err = newStore(opts.Messages); err != nil {
		return nil, fmt.Errorf("imapkittest: %w", err)
	}
	if s.auth, err = newAuthenticator(opts); err != nil {
		return nil, fmt.Errorf("imapkittest: %w", err)
	}
	if err := s.makeCertificates(); err != nil {
		return nil, fmt.Errorf("imapkittest: %w", err)
	}
	s.imap = imapserver.New(&imapserver.Options{
		NewSession: s.newSession,
		Caps:       s.memoryCaps(),
		Logger:     log.New(io.Discard, "", 0),
	})
	if err := s.listen(); err != nil {
		return nil, fmt.Errorf("imapkittest: %w", err)
	}
	return s, nil
}

func (s *Server) makeCertificates() error {
	ca, err := testcert.NewCA()
	if err != nil {
		return err
	}
	cert, err := ca.Issue(nil)
	if err != nil {
		return err
	}
	s.ca = ca
	s.tls = &tls.Config{
		Certificates: []tls.Certificate{cert},
		ClientAuth:   tls.VerifyClientCertIfGiven,
		ClientCAs:    ca.Pool(),
	}
	return nil
}

func (s *Server) listen() error {
	secure, err := net.Listen("tcp", net.JoinHostPort(s.Host, "0"))
	if err != nil {
		return err
	}
	clear, err := net.Listen("tcp", net.JoinHostPort(s.Host, "0"))
	if err != nil {
		secure.Close()
		return err
	}
	s.listeners = []net.Listener{secure, clear}
	s.TLSPort = secure.Addr().(*net.TCPAddr).Port
	s.Port = clear.Addr().(*net.TCPAddr).Port
	s.loops.Go(func() { s.accept(secure, true) })
	s.loops.Go(func() { s.accept(clear, false) })
	s.loops.Go(func() { s.imap.Serve(s.lines) })
	return nil
}

func (s *Server) accept(ln net.Listener, secure bool) {
	for {
		raw, err := ln.Accept()
		if err != nil {
			return
		}
		if c := s.track(raw); c != nil {
			go c.serve(secure)
		}
	}
}

// track makes a conn known to Close; it returns nil when the server is closed.
func (s *Server) track(raw net.Conn) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		raw.Close()
		return nil
	}
	c := newConn(s, raw)
	s.conns[c] = struct{}{}
	s.served.Add(1)
	return c
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.served.Done()
}

// Close ends the listeners and all connections, and waits for them. It is safe
// to call twice.
func (s *Server) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if !first {
		return nil
	}
	var errs []error
	for _, ln := range s.listeners {
		errs = append(errs, ln.Close())
	}
	s.CloseClientConnections()
	s.served.Wait()
	s.lines.Close()
	s.loops.Wait()
	return errors.Join(errs...)
}

// CloseClientConnections breaks all connections without a word, as a failing
// network does. New ones are welcome.
func (s *Server) CloseClientConnections() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.raw.Close()
	}
}

// Client returns a new client for the TLS port, with the account's user name
// and password, that trusts the server's certificate. Its fields may be
// changed before the first call.
func (s *Server) Client() *imapkit.Client {
	return &imapkit.Client{
		Host:     s.Host,
		Port:     s.TLSPort,
		Username: s.opts.Username,
		Password: s.opts.Password,
		Security: imapkit.SecurityImplicitTLS,
		TLS:      imapkit.TLSPolicy{Config: &tls.Config{RootCAs: s.CertPool()}},
	}
}

// CertPool returns a new pool with the authority that signed the server's
// certificate, which is good for 127.0.0.1, ::1 and localhost.
func (s *Server) CertPool() *x509.CertPool {
	return s.ca.Pool()
}

// ClientCertificate makes a certificate that the server accepts from clients.
func (s *Server) ClientCertificate() (tls.Certificate, error) {
	return s.ca.Issue(nil)
}

// TLSAddr returns host and port for TLS from the first byte.
func (s *Server) TLSAddr() string { return net.JoinHostPort(s.Host, fmt.Sprint(s.TLSPort)) }

// Addr returns host and port for clear text and STARTTLS.
func (s *Server) Addr() string { return net.JoinHostPort(s.Host, fmt.Sprint(s.Port)) }

// URL returns the address of the TLS port as imapkit.ParseURL takes it,
// password included. The certificate still has to be trusted: see CertPool.
func (s *Server) URL() string {
	u := url.URL{Scheme: "imaps", User: url.UserPassword(s.opts.Username, s.opts.Password), Host: s.TLSAddr()}
	return u.String()
}

// Deliver adds a message to a folder, as an incoming mail does, and returns
// its UID. Clients that have the folder selected are told. The message is
// treated like a file of [Options.Messages].
func (s *Server) Deliver(folder string, message []byte, flags ...imap.Flag) (imap.UID, error) {
	uid, err := s.store.deliver(folder, bytes.Clone(message), flags)
	if err != nil {
		return 0, fmt.Errorf("imapkittest: %w", err)
	}
	return uid, nil
}
