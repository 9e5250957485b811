package imapkittest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/internal/scripted"
)

func start(t *testing.T, opts Options) *Server {
	t.Helper()
	s, err := NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func (s *Server) clientTLS() *tls.Config {
	return &tls.Config{RootCAs: s.CertPool(), ServerName: s.Host}
}

// connect returns a client that is not logged in.
func connect(t *testing.T, s *Server, handler *imapclient.UnilateralDataHandler) *imapclient.Client {
	t.Helper()
	c, err := imapclient.DialTLS(s.TLSAddr(), &imapclient.Options{
		TLSConfig:             s.clientTLS(),
		UnilateralDataHandler: handler,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// logIn returns a client that is logged in.
func logIn(t *testing.T, s *Server) *imapclient.Client {
	t.Helper()
	c := connect(t, s, nil)
	if err := c.Login("user", "password").Wait(); err != nil {
		t.Fatal(err)
	}
	return c
}

// wire is a connection on which tests talk line by line.
type wire struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func dialClear(t *testing.T, s *Server) *wire {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return newWire(t, conn)
}

func dialTLS(t *testing.T, s *Server) *wire {
	t.Helper()
	conn, err := tls.Dial("tcp", s.TLSAddr(), s.clientTLS())
	if err != nil {
		t.Fatal(err)
	}
	return newWire(t, conn)
}

func newWire(t *testing.T, conn net.Conn) *wire {
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	w := &wire{conn, t, bufio.NewReader(conn)}
	if line := w.line(); !strings.HasPrefix(line, "* OK [CAPABILITY IMAP4rev1 ") {
		t.Fatalf("greeting %q", line)
	}
	return w
}

func (w *wire) line() string {
	w.t.Helper()
	line, err := w.r.ReadString('\n')
	if err != nil {
		w.t.Fatalf("after %q: %v", line, err)
	}
	return strings.TrimRight(line, "\r\n")
}

func (w *wire) send(format string, args ...any) {
	w.t.Helper()
	if _, err := fmt.Fprintf(w, format, args...); err != nil {
		w.t.Fatal(err)
	}
}

// do sends a command with the tag "x" and returns the answer, tagged line last.
func (w *wire) do(command string) []string {
	w.t.Helper()
	w.send("x %s\r\n", command)
	return w.answer()
}

func (w *wire) answer() []string {
	w.t.Helper()
	var lines []string
	for {
		lines = append(lines, w.line())
		if strings.HasPrefix(lines[len(lines)-1], "x ") {
			return lines
		}
	}
}

func (w *wire) must(command string) []string {
	w.t.Helper()
	lines := w.do(command)
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "x OK") {
		w.t.Fatalf("%s: %s", command, last)
	}
	return lines
}

func loggedInWire(t *testing.T, s *Server) *wire {
	t.Helper()
	w := dialTLS(t, s)
	w.must("LOGIN user password")
	return w
}

func eml(subject string) *fstest.MapFile {
	text := "From: a@example.org\nDate: Tue, 03 Feb 2026 04:05:06 +0100\nSubject: " + subject + "\n\nHello\n"
	return &fstest.MapFile{Data: []byte(text)}
}

func TestTheSampleMailboxIsThere(t *testing.T) {
	c := logIn(t, start(t, Options{}))
	status := &imap.StatusOptions{NumMessages: true, NumUnseen: true}
	list, err := c.List("", "*", &imap.ListOptions{ReturnStatus: status}).Collect()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range list {
		got = append(got, fmt.Sprintf("%s %v %d/%d", f.Mailbox, f.Attrs, *f.Status.NumUnseen, *f.Status.NumMessages))
	}
	want := []string{
		`Archive [\HasChildren \Archive] 0/0`,
		`Archive/2024 [\HasNoChildren] 0/1`,
		`Drafts [\HasNoChildren \Drafts] 0/1`,
		`INBOX [\HasNoChildren] 5/8`,
		`Junk [\HasNoChildren \Junk] 1/1`,
		`Sent [\HasNoChildren \Sent] 0/1`,
		`Trash [\HasNoChildren \Trash] 0/1`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestTheSampleMessagesCanBeRead(t *testing.T) {
	c := logIn(t, start(t, Options{}))
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	all := imap.SeqSet{{Start: 1, Stop: 0}}
	messages, err := c.Fetch(all, &imap.FetchOptions{
		UID: true, Flags: true, InternalDate: true, Envelope: true,
		BodyStructure: &imap.FetchItemBodyStructure{Extended: true},
		BodySection:   []*imap.FetchItemBodySection{{Peek: true}},
	}).Collect()
	if err != nil || len(messages) != 8 {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	attachments, html := 0, 0
	for _, m := range messages {
		if m.Envelope.Subject == "" || len(m.Envelope.From) != 1 || m.Envelope.MessageID == "" {
			t.Errorf("envelope of %d: %+v", m.UID, m.Envelope)
		}
		if !m.InternalDate.Equal(m.Envelope.Date) {
			t.Errorf("%d: internal date %v, date %v", m.UID, m.InternalDate, m.Envelope.Date)
		}
		if body := m.BodySection[0].Bytes; bytes.Count(body, []byte("\n")) != bytes.Count(body, []byte("\r\n")) {
			t.Errorf("%d has bare line feeds", m.UID)
		}
		m.BodyStructure.Walk(func(_ []int, part imap.BodyStructure) bool {
			if d := part.Disposition(); d != nil && d.Value == "attachment" {
				attachments++
			}
			if part.MediaType() == "text/html" {
				html++
			}
			return true
		})
	}
	if attachments != 1 || html != 1 {
		t.Errorf("%d attachments and %d HTML parts, want one of each", attachments, html)
	}
	if subject := messages[5].Envelope.Subject; subject != "待ち合わせ場所" {
		t.Errorf("subject of the message in ISO-2022-JP: %q", subject)
	}
}

func TestMessagesComeFromTheFileSystem(t *testing.T) {
	s := start(t, Options{Messages: map[string]fs.FS{
		"INBOX": fstest.MapFS{
			"2.seen.flagged.eml":  eml("second"),
			"1.report.v2.eml":     eml("first"),
			"README.md":           &fstest.MapFile{Data: []byte("not mail")},
			"3.answered.eml":      {Data: []byte("Subject: no date\r\n\r\nbody\r\n")},
			"deeper/ignored.eml":  eml("deeper"),
			"4.deleted.draft.eml": eml("fourth"),
		},
		"Größe/Ünder": nil,
	}})
	c := logIn(t, s)
	data, err := c.Select("INBOX", nil).Wait()
	if err != nil || data.NumMessages != 4 {
		t.Fatalf("%+v, %v", data, err)
	}
	messages, err := c.Fetch(imap.SeqSet{{Start: 1, Stop: 0}}, &imap.FetchOptions{
		Envelope: true, Flags: true, InternalDate: true,
	}).Collect()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range messages {
		slices.Sort(m.Flags)
		got = append(got, fmt.Sprintf("%s %v", m.Envelope.Subject, m.Flags))
	}
	want := []string{"first []", `second [\Flagged \Seen]`, `no date [\Answered]`, `fourth [\Deleted \Draft]`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if date := time.Date(2026, 2, 3, 3, 5, 6, 0, time.UTC); !messages[0].InternalDate.Equal(date) {
		t.Errorf("internal date %v, want %v", messages[0].InternalDate, date)
	}
	if age := time.Since(messages[2].InternalDate); age < 0 || age > time.Minute {
		t.Errorf("a message without a date is %v old", age)
	}
	if data, err := c.Select("Größe/Ünder", nil).Wait(); err != nil || data.NumMessages != 0 {
		t.Errorf("folder with an international name: %+v, %v", data, err)
	}
}

func TestBadOptionsAreRefused(t *testing.T) {
	tests := map[string]Options{
		"Options.Mechanisms": {Mechanisms: []imapkit.AuthMechanism{"FROB"}},
		`folder "a//b"`:      {Messages: map[string]fs.FS{"a//b": nil}},
		`folder "/a"`:        {Messages: map[string]fs.FS{"/a": nil}},
	}
	for want, opts := range tests {
		if s, err := NewServer(opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error that names %s", err, want)
			if err == nil {
				s.Close()
			}
		}
	}
}

func TestCloseEndsEverything(t *testing.T) {
	scripted.LeakCheck(t)
	s, err := NewServer(Options{})
	if err != nil {
		t.Fatal(err)
	}
	waiting := dialTLS(t, s)
	idle := loggedInWire(t, s)
	idle.must("SELECT INBOX")
	idle.send("x IDLE\r\n")
	if line := idle.line(); !strings.HasPrefix(line, "+ ") {
		t.Fatalf("IDLE: %q", line)
	}
	handshake, err := net.Dial("tcp", s.TLSAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer handshake.Close()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	for name, conn := range map[string]io.Reader{"waiting": waiting, "idle": idle, "in handshake": handshake} {
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("connection %s: %v", name, err)
		}
	}
	if _, err := net.Dial("tcp", s.Addr()); err == nil {
		t.Error("the server still listens")
	}
}

func TestCloseClientConnectionsLeavesTheServerRunning(t *testing.T) {
	s := start(t, Options{})
	w := loggedInWire(t, s)
	s.CloseClientConnections()
	if _, err := w.r.ReadByte(); err == nil {
		t.Error("the connection is still there")
	}
	loggedInWire(t, s).must("NOOP")
}

func TestTheClientIsSetUp(t *testing.T) {
	s := start(t, Options{Username: "me", Password: "secret"})
	c := s.Client()
	if c.Host != s.Host || c.Port != s.TLSPort || c.Username != "me" || c.Password != "secret" {
		t.Errorf("Client() = %+v", c)
	}
	if want := "imaps://me:secret@" + s.TLSAddr(); s.URL() != want {
		t.Errorf("URL() = %s, want %s", s.URL(), want)
	}
	conn, err := tls.Dial("tcp", s.TLSAddr(), c.TLS.Config)
	if err != nil {
		t.Fatalf("with the client's TLS configuration: %v", err)
	}
	conn.Close()
}

func TestStartTLSComesBeforeTheLogin(t *testing.T) {
	s := start(t, Options{})
	w := dialClear(t, s)
	caps := w.must("CAPABILITY")[0]
	if !strings.Contains(caps, "STARTTLS") || !strings.Contains(caps, "LOGINDISABLED") || strings.Contains(caps, "AUTH=") {
		t.Errorf("in clear: %s", caps)
	}
	for _, command := range []string{"LOGIN user password", "AUTHENTICATE PLAIN AHVzZXIAcGFzc3dvcmQ="} {
		if lines := w.do(command); !strings.HasPrefix(lines[0], "x NO [PRIVACYREQUIRED]") {
			t.Errorf("%s in clear: %q", command, lines)
		}
	}
	w.must("STARTTLS")
	secure := tls.Client(w.Conn, s.clientTLS())
	w = &wire{secure, t, bufio.NewReader(secure)}
	caps = w.must("CAPABILITY")[0]
	if strings.Contains(caps, "STARTTLS") || strings.Contains(caps, "LOGINDISABLED") ||
		!strings.Contains(caps, "AUTH=PLAIN") {
		t.Errorf("with TLS: %s", caps)
	}
	if lines := w.do("STARTTLS"); !strings.HasPrefix(lines[0], "x BAD") {
		t.Errorf("STARTTLS again: %q", lines)
	}
	w.must("LOGIN user password")
}

func TestClearTextAfterStartTLSEndsTheConnection(t *testing.T) {
	w := dialClear(t, start(t, Options{}))
	w.send("x STARTTLS\r\ny LOGIN user password\r\n")
	if line := w.line(); !strings.HasPrefix(line, "* BYE") {
		t.Errorf("got %q", line)
	}
}

func TestInsecureAuthAllowsTheLoginInClear(t *testing.T) {
	dialClear(t, start(t, Options{InsecureAuth: true})).must("LOGIN user password")
}

func TestLoginTakesEveryKindOfString(t *testing.T) {
	s := start(t, Options{Username: `u "\`, Password: "p w"})
	tests := []struct {
		name, command string
		invitations   int
		want          string
	}{
		{"quoted", `LOGIN "u \"\\" "p w"`, 0, "x OK"},
		{"literals", "LOGIN {4}\r\nu \"\\ {3}\r\np w", 2, "x OK"},
		{"non-synchronizing literals", "LOGIN {4+}\r\nu \"\\ {3+}\r\np w", 0, "x OK"},
		{"wrong password", "LOGIN user {3+}\r\nxyz", 0, "x NO [AUTHENTICATIONFAILED]"},
		{"nothing", "LOGIN", 0, "x BAD"},
		{"one word", "LOGIN user", 0, "x BAD"},
		{"three words", "LOGIN a b c", 0, "x BAD"},
		{"quote without an end", `LOGIN a "b`, 0, "x BAD"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := dialTLS(t, s)
			w.send("x %s\r\n", test.command)
			for range test.invitations {
				if line := w.line(); !strings.HasPrefix(line, "+ ") {
					t.Fatalf("got %q, want an invitation", line)
				}
			}
			if line := w.line(); !strings.HasPrefix(line, test.want) {
				t.Errorf("got %q, want %q", line, test.want)
			}
		})
	}
}

func TestLongCommandsAreRefused(t *testing.T) {
	s := start(t, Options{})
	long := strings.Repeat("x", maxLine+1)
	tests := map[string]struct {
		w    *wire
		send string
	}{
		"line before the login":    {dialTLS(t, s), long},
		"literal before the login": {dialTLS(t, s), "x LOGIN {51201+}\r\n"},
		"line after the login":     {loggedInWire(t, s), long},
	}
	for name, test := range tests {
		test.w.send("%s", test.send)
		if line := test.w.line(); !strings.HasPrefix(line, "* BYE") {
			t.Errorf("%s: %q", name, line)
		}
	}
}

func TestCommandsOutsideTheMemoryServer(t *testing.T) {
	s := start(t, Options{})
	for name, w := range map[string]*wire{"before the login": dialTLS(t, s), "after the login": loggedInWire(t, s)} {
		if lines := w.must(`ID ("name" "x")`); lines[0] != idResponse {
			t.Errorf("ID %s: %q", name, lines)
		}
		if lines := w.do("FROB"); !strings.HasPrefix(lines[0], "x BAD") {
			t.Errorf("unknown command %s: %q", name, lines)
		}
		w.must("NOOP")
		if lines := w.must("LOGOUT"); !strings.HasPrefix(lines[0], "* BYE") {
			t.Errorf("LOGOUT %s: %q", name, lines)
		}
		if rest, err := io.ReadAll(w.r); len(rest) != 0 || err != nil {
			t.Errorf("end %s: %q, %v", name, rest, err)
		}
	}
}

func TestMissingCapabilitiesAreReallyMissing(t *testing.T) {
	full := loggedInWire(t, start(t, Options{}))
	bare := loggedInWire(t, start(t, Options{Without: []imap.Cap{
		imap.CapMove, imap.CapUIDPlus, imap.CapID, imap.CapIdle, imap.CapNamespace, imap.CapUnselect, imap.CapEnable,
	}}))
	for capability, command := range map[string]string{
		"MOVE": "UID MOVE 9 Trash", "UIDPLUS": "UID EXPUNGE 9", "ID": "ID NIL", "NAMESPACE": "NAMESPACE",
		"UNSELECT": "UNSELECT", "ENABLE": "ENABLE CONDSTORE",
	} {
		for _, w := range []*wire{full, bare} {
			w.must("SELECT INBOX")
			caps := strings.Fields(w.must("CAPABILITY")[0])
			lines := w.do(command)
			known := !strings.HasPrefix(lines[len(lines)-1], "x BAD")
			if known != slices.Contains(caps, capability) || known != (w == full) {
				t.Errorf("%s: capabilities %s, answer %q", command, caps, lines)
			}
		}
	}
	full.must("SELECT INBOX")
	bare.must("SELECT INBOX")
	for _, command := range []string{"UID COPY 1 Trash", "APPEND Trash {2+}\r\n\r\n"} {
		if lines := full.must(command); !strings.Contains(strings.Join(lines, " "), "UID ") {
			t.Errorf("%s: %q lacks the UID", command, lines)
		}
		if lines := bare.must(command); strings.Contains(strings.Join(lines, " "), "UID ") {
			t.Errorf("%s without UIDPLUS: %q", command, lines)
		}
	}
}

func TestMessagesThatCouldNotBeHandedOutAreRefused(t *testing.T) {
	s := start(t, Options{})
	const broken = "no field\r\nSubject: x\r\n\r\ntext\r\n"
	if uid, err := s.Deliver("INBOX", []byte(broken)); err == nil {
		t.Errorf("delivered as %d", uid)
	}
	w := loggedInWire(t, s)
	if lines := w.do("APPEND INBOX {30+}\r\n" + broken); !strings.HasPrefix(lines[0], "x NO [CANNOT]") {
		t.Errorf("appended: %q", lines)
	}
}

func TestRefusedLiteralsKeepTheConversationInStep(t *testing.T) {
	w := loggedInWire(t, start(t, Options{}))
	if lines := w.do("APPEND Nowhere {2+}\r\n\r\n"); !strings.HasPrefix(lines[0], "x NO [TRYCREATE]") {
		t.Errorf("unknown folder: %q", lines)
	}
	if lines := w.do("APPEND INBOX {999999999}"); !strings.HasPrefix(lines[0], "x NO [TOOBIG]") {
		t.Errorf("too big: %q", lines)
	}
	if lines := w.must("ID NIL"); lines[0] != idResponse {
		t.Errorf("ID: %q", lines)
	}
	w.send("x APPEND INBOX {20}\r\n")
	if line := w.line(); !strings.HasPrefix(line, "+ ") {
		t.Fatalf("got %q, want an invitation", line)
	}
	w.send("\r\nx LOGOUT\r\nx NOOP\r\n\r\n")
	if lines := w.answer(); !strings.HasPrefix(lines[len(lines)-1], "x OK [APPENDUID") {
		t.Errorf("a literal full of commands: %q", lines)
	}
}
