package scripted

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// peer is the client's end of a connection, line by line.
type peer struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func dial(t *testing.T, s *Server) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return &peer{conn, t, bufio.NewReader(conn)}
}

func (p *peer) send(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p, s); err != nil {
		p.t.Fatal(err)
	}
}

// want reads lines and compares them.
func (p *peer) want(lines ...string) {
	p.t.Helper()
	for _, want := range lines {
		got, err := p.r.ReadString('\n')
		if err != nil || got != want+"\r\n" {
			p.t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
}

// failures is a testing.TB that keeps what would fail the test and runs its
// cleanups on demand.
type failures struct {
	testing.TB
	mu       sync.Mutex
	messages []string
	cleanups []func()
}

func (f *failures) Helper()           {}
func (f *failures) Cleanup(fn func()) { f.cleanups = append(f.cleanups, fn) }
func (f *failures) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.messages = append(f.messages, fmt.Sprintf(format, args...))
}

func (f *failures) end() []string {
	for _, fn := range slices.Backward(f.cleanups) {
		fn()
	}
	return f.messages
}

func TestReadCommandTakesInLiterals(t *testing.T) {
	tests := []struct {
		name, send, want string
		continuations    int
	}{
		{"no literal", "a NOOP\r\n", "NOOP", 0},
		{"name in lower case", "a uid fetch 1 FLAGS\r\n", "UID FETCH 1 FLAGS", 0},
		{"synchronizing", "a LOGIN {4}\r\nuser pw\r\n", "LOGIN {4}\r\nuser pw", 1},
		{"two", "a LOGIN {4}\r\nuser {2}\r\npw\r\n", "LOGIN {4}\r\nuser {2}\r\npw", 2},
		{"non-synchronizing", "a LOGIN {4+}\r\nuser pw\r\n", "LOGIN {4+}\r\nuser pw", 0},
		{"literal8", "a APPEND x ~{2+}\r\n\r\n\r\n", "APPEND x ~{2+}\r\n\r\n", 0},
		{"empty", "a LOGIN {0+}\r\n pw\r\n", "LOGIN {0+}\r\n pw", 0},
		{"one that looks like an announcement", "a LOGIN x {3+}\r\n{9}\r\n", "LOGIN x {3+}\r\n{9}", 0},
		{"a line without a command", "nonsense\r\n", "", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := make(chan Command, 1)
			s := New(t, func(c *Conn) {
				cmd, _ := c.ReadCommand()
				got <- cmd
				c.Send("end")
			})
			p := dial(t, s)
			p.send(test.send)
			for range test.continuations {
				p.want("+ OK")
			}
			p.want("end")
			if cmd := <-got; cmd.String() != test.want {
				t.Errorf("got %q, want %q", cmd, test.want)
			}
			if s.Received() != test.send {
				t.Errorf("Received() = %q, want %q", s.Received(), test.send)
			}
			if commands := s.Commands(); !slices.Equal(commands, []string{test.want}) {
				t.Errorf("Commands() = %q", commands)
			}
		})
	}
}

func TestManualLiteralsLeaveTheAnswerToTheHandler(t *testing.T) {
	s := New(t, func(c *Conn) {
		c.ManualLiterals = true
		tag, _ := c.Expect("APPEND INBOX {5}")
		c.No(tag, "[OVERQUOTA] full")
		tag, _ = c.Expect("{3}")
		c.Send("+ go")
		if got := c.ReadN(5); got != "abc\r\n" {
			c.Errorf("literal %q", got)
		}
		c.OK(tag, "done")
	})
	p := dial(t, s)
	p.send("a APPEND INBOX {5}\r\n")
	p.want("a NO [OVERQUOTA] full")
	p.send("b APPEND INBOX {3}\r\n")
	p.want("+ go")
	p.send("abc\r\n")
	p.want("b OK done")
}

func TestUnmetExpectationsFailTheTest(t *testing.T) {
	tests := []struct {
		name    string
		send    string
		handler func(*Conn)
		want    string
	}{
		{"another command", "a NOOP\r\n", func(c *Conn) { c.Expect("LOGIN") }, `"NOOP", expected one with "LOGIN"`},
		{"no command", "", func(c *Conn) { c.Expect("LOGIN") }, "closed the connection"},
		{"another line", "x\r\n", func(c *Conn) { c.ExpectLine("DONE") }, `"x", expected one with "DONE"`},
		{"no line", "", func(c *Conn) { c.ExpectLine("DONE") }, "closed the connection"},
		{"a panic", "", func(*Conn) { panic("oops") }, "oops"},
		{"an error of the handler", "", func(c *Conn) { c.Errorf("bad %s", "thing") }, "bad thing"},
		{"an enormous literal", "a X {9999999999}\r\n", func(c *Conn) { c.ReadCommand() }, "9999999999 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fake := &failures{TB: t}
			s := New(fake, test.handler)
			p := dial(t, s)
			p.send(test.send)
			p.Conn.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, p.Conn)
			messages := fake.end()
			if len(messages) != 1 || !strings.Contains(messages[0], test.want) {
				t.Errorf("got %q, want one with %q", messages, test.want)
			}
		})
	}
}

func TestResetIsSeenByTheClient(t *testing.T) {
	s := New(t, func(c *Conn) {
		c.ReadLine()
		c.Reset()
	})
	p := dial(t, s)
	p.send("x\r\n")
	if _, err := p.r.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

func TestStallEndsWhenTheClientLeaves(t *testing.T) {
	left := make(chan struct{})
	s := New(t, func(c *Conn) {
		c.Stall()
		close(left)
	})
	p := dial(t, s)
	p.send("hello")
	p.Close()
	<-left
	if s.Received() != "hello" {
		t.Errorf("Received() = %q", s.Received())
	}
}

func TestTheEndOfTheTestEndsEveryHandler(t *testing.T) {
	handlers := map[string]func(*Conn){
		"reading":     func(c *Conn) { c.ReadCommand() },
		"stalling":    (*Conn).Stall,
		"frozen":      (*Conn).Freeze,
		"still going": func(c *Conn) { c.SendRaw(strings.Repeat("x", 64<<20)) },
	}
	for name, handler := range handlers {
		t.Run(name, func(t *testing.T) {
			fake := &failures{TB: t}
			running, ended := make(chan struct{}), make(chan struct{})
			s := New(fake, func(c *Conn) {
				defer close(ended)
				close(running)
				handler(c)
			})
			dial(t, s)
			<-running
			if messages := fake.end(); len(messages) != 0 {
				t.Errorf("failures: %q", messages)
			}
			<-ended
			if _, err := net.Dial("tcp", s.Addr); err == nil {
				t.Error("the server still accepts connections")
			}
		})
	}
}

func TestConnectionsAreNumbered(t *testing.T) {
	s := New(t, func(c *Conn) { c.Sendf("%d", c.Num) })
	dial(t, s).want("1")
	dial(t, s).want("2")
	if s.Conns() != 2 {
		t.Errorf("Conns() = %d", s.Conns())
	}
}

func TestStartTLSSeparatesCleartextFromSecrets(t *testing.T) {
	s := Serve(t, Options{Caps: "IMAP4rev1 STARTTLS"})
	p := dial(t, s)
	p.want("* OK [CAPABILITY IMAP4rev1 STARTTLS] scripted server ready")
	p.send("a STARTTLS\r\n")
	p.want("a OK begin TLS now")
	secure := tls.Client(p.Conn, &tls.Config{RootCAs: CertPool(), ServerName: "localhost"})
	p = &peer{secure, t, bufio.NewReader(secure)}
	p.send("b CAPABILITY\r\n")
	p.want("* CAPABILITY IMAP4rev1", "b OK CAPABILITY completed")
	p.send("c STARTTLS\r\n")
	p.want("c BAD STARTTLS is not available")
	if s.Cleartext() != "a STARTTLS\r\n" {
		t.Errorf("Cleartext() = %q", s.Cleartext())
	}
	if want := "a STARTTLS\r\nb CAPABILITY\r\nc STARTTLS\r\n"; s.Received() != want {
		t.Errorf("Received() = %q", s.Received())
	}
}

func TestCertificatesCanBeWrong(t *testing.T) {
	cert := Certificate(t, func(c *x509.Certificate) { c.DNSNames = []string{"example.org"}; c.IPAddresses = nil })
	s := NewTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}}, func(c *Conn) { c.Send("* OK") })
	_, err := tls.Dial("tcp", s.Addr, &tls.Config{RootCAs: CertPool(), ServerName: "localhost"})
	var hostname x509.HostnameError
	if !errors.As(err, &hostname) {
		t.Errorf("got %v, want a wrong name", err)
	}
}

func TestTLSStateOfTheConnection(t *testing.T) {
	s := NewTLS(t, nil, func(c *Conn) {
		state, ok := c.TLS()
		c.Sendf("%v %s", ok, tls.VersionName(state.Version))
	})
	conn, err := tls.Dial("tcp", s.Addr, &tls.Config{RootCAs: CertPool(), ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	(&peer{conn, t, bufio.NewReader(conn)}).want("true TLS 1.3")
}

func TestLoginIsAcceptedInEveryForm(t *testing.T) {
	tests := []struct {
		name     string
		send     []string
		received []string
	}{
		{"LOGIN", []string{"a LOGIN u p"}, nil},
		{"PLAIN with initial response", []string{"a AUTHENTICATE PLAIN AHUAcA=="}, nil},
		{"PLAIN", []string{"a AUTHENTICATE PLAIN", "AHUAcA=="}, []string{"+ "}},
		{"the LOGIN mechanism", []string{"a AUTHENTICATE login", "dQ==", "cA=="},
			[]string{"+ VXNlcm5hbWU6", "+ UGFzc3dvcmQ6"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := New(t, func(c *Conn) {
				c.AcceptLogin("IMAP4rev1 UIDPLUS")
				c.Send("* logged in")
			})
			p := dial(t, s)
			p.want("* OK [CAPABILITY IMAP4rev1 UIDPLUS] scripted server ready")
			for i, line := range test.send {
				p.send(line + "\r\n")
				if i < len(test.received) {
					p.want(test.received[i])
				}
			}
			p.want("a OK [CAPABILITY IMAP4rev1 UIDPLUS] logged in", "* logged in")
		})
	}
}

func TestCancelledAndUnknownMechanismsAreRefused(t *testing.T) {
	p := dial(t, Serve(t, Options{Greeting: "* OK hello"}))
	p.want("* OK hello")
	p.send("a AUTHENTICATE PLAIN\r\n")
	p.want("+ ")
	p.send("*\r\n")
	p.want("a BAD cancelled")
	p.send("b AUTHENTICATE SCRAM-SHA-1\r\n")
	p.want("b NO unknown mechanism")
	p.send("c FROB\r\n")
	p.want("c BAD unknown command")
}

func TestHandlersReplaceTheUsualAnswer(t *testing.T) {
	s := Serve(t, Options{Handle: map[string]func(*Conn, Command){
		"NOOP": func(c *Conn, cmd Command) {
			c.Send("* 7 EXPUNGE")
			c.Answer(cmd)
		},
	}})
	p := dial(t, s)
	p.want("* OK [CAPABILITY IMAP4rev1] scripted server ready")
	p.send("a NOOP\r\n")
	p.want("* 7 EXPUNGE", "a OK NOOP completed")
}

func TestServeAnswersAnOrdinarySession(t *testing.T) {
	s := Serve(t, Options{Caps: "IMAP4rev1 SASL-IR ESEARCH ID ENABLE IDLE NAMESPACE", Exists: 3, TLS: true})
	client, err := imapclient.DialTLS(s.Addr, &imapclient.Options{
		TLSConfig: &tls.Config{RootCAs: CertPool(), ServerName: "localhost"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Login("user", "password").Wait(); err != nil {
		t.Fatal(err)
	}
	if list, err := client.List("", "*", nil).Collect(); err != nil || len(list) != 1 {
		t.Fatalf("LIST: %v, %v", list, err)
	}
	data, err := client.Select("INBOX", nil).Wait()
	if err != nil || data.NumMessages != 3 || data.UIDNext != 104 || data.UIDValidity != UIDValidity {
		t.Fatalf("SELECT: %+v, %v", data, err)
	}
	found, err := client.UIDSearch(&imap.SearchCriteria{}, nil).Wait()
	if want := []imap.UID{101, 102, 103}; err != nil || !slices.Equal(found.AllUIDs(), want) {
		t.Fatalf("UID SEARCH: %+v, %v", found, err)
	}
	messages, err := client.Fetch(imap.UIDSetNum(102), &imap.FetchOptions{
		Flags: true, InternalDate: true, RFC822Size: true, Envelope: true,
		BodyStructure: &imap.FetchItemBodyStructure{Extended: true},
		BodySection:   []*imap.FetchItemBodySection{{Peek: true}},
	}).Collect()
	if err != nil || len(messages) != 1 {
		t.Fatalf("UID FETCH: %v, %v", messages, err)
	}
	m := messages[0]
	if m.SeqNum != 2 || m.Envelope.Subject != "Message 2" || m.RFC822Size != int64(len(Message(2))) ||
		m.BodyStructure.MediaType() != "text/plain" || string(m.BodySection[0].Bytes) != Message(2) {
		t.Errorf("UID FETCH: %+v", m)
	}
	if err := client.Logout().Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestTheUsualAnswers(t *testing.T) {
	s := Serve(t, Options{Exists: 2, Greeting: "* OK hello"})
	p := dial(t, s)
	p.want("* OK hello")
	tests := []struct {
		command string
		want    []string // before the tagged line
		status  string   // "OK <name> completed" if empty
	}{
		{`ID ("name" "x")`, []string{`* ID ("name" "scripted")`}, ""},
		{"ENABLE CONDSTORE", []string{"* ENABLED CONDSTORE"}, ""},
		{"NAMESPACE", []string{`* NAMESPACE (("" "/")) NIL NIL`}, ""},
		{`LIST "" "*"`, []string{`* LIST (\HasNoChildren) "/" INBOX`}, ""},
		{"STATUS INBOX (MESSAGES)",
			[]string{"* STATUS INBOX (MESSAGES 2 UIDNEXT 103 UIDVALIDITY 1700000000 UNSEEN 2)"}, ""},
		{"EXAMINE INBOX", []string{
			`* FLAGS (\Answered \Flagged \Deleted \Seen \Draft)`,
			`* OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] limited`,
			"* 2 EXISTS", "* 0 RECENT",
			"* OK [UIDVALIDITY 1700000000] UIDs valid", "* OK [UIDNEXT 103] predicted",
		}, "OK [READ-ONLY] EXAMINE completed"},
		{"SEARCH ALL", []string{"* SEARCH 1 2"}, ""},
		{"UID SEARCH ALL", []string{"* SEARCH 101 102"}, ""},
		{"UID SEARCH RETURN (ALL) ALL", []string{`* ESEARCH (TAG "a") UID MIN 101 MAX 102 COUNT 2 ALL 101:102`}, ""},
		{"UID FETCH 102:* FLAGS", []string{"* 2 FETCH (UID 102 FLAGS ())"}, ""},
		{"FETCH 1 FLAGS", []string{"* 1 FETCH (UID 101 FLAGS ())"}, ""},
		{"UID STORE 101 FLAGS ()", nil, ""},
		{"NOOP", nil, ""},
		{"LOGOUT", []string{"* BYE scripted server logging out"}, ""},
	}
	for _, test := range tests {
		p.send("a " + test.command + "\r\n")
		p.want(test.want...)
		if test.status == "" {
			test.status = "OK " + parseCommand("a "+test.command).Name + " completed"
		}
		p.want("a " + test.status)
	}
	if _, err := p.r.ReadByte(); err != io.EOF {
		t.Errorf("after LOGOUT: %v, want the end", err)
	}
}

func TestIdleEndsWithDone(t *testing.T) {
	p := dial(t, Serve(t, Options{Greeting: "* OK hello"}))
	p.want("* OK hello")
	p.send("a IDLE\r\n")
	p.want("+ idling")
	p.send("DONE\r\n")
	p.want("a OK IDLE completed")
}

func TestSearchInAnEmptyMailboxFindsNothing(t *testing.T) {
	p := dial(t, Serve(t, Options{Greeting: "* OK hello"}))
	p.want("* OK hello")
	p.send("a UID SEARCH RETURN (COUNT) ALL\r\nb UID SEARCH ALL\r\n")
	p.want(`* ESEARCH (TAG "a") UID COUNT 0`, "a OK UID SEARCH completed", "* SEARCH", "b OK UID SEARCH completed")
}

func TestSetContains(t *testing.T) {
	tests := []struct {
		set  string
		want []int
	}{
		{"2", []int{2}},
		{"1:3", []int{1, 2, 3}},
		{"3:1", []int{1, 2, 3}},
		{"1,4:*", []int{1, 4, 5}},
		{"*", []int{5}},
		{"9:*", []int{5}},
		{"7:8", nil},
		{"x", nil},
	}
	for _, test := range tests {
		var got []int
		for n := 1; n <= 5; n++ {
			if setContains(test.set, n, 5) {
				got = append(got, n)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s has %v, want %v", test.set, got, test.want)
		}
	}
}

func TestLeakCheckFindsGoroutinesOfThisModule(t *testing.T) {
	fake := &failures{TB: t}
	LeakCheck(fake)
	release, ended := make(chan struct{}), make(chan struct{})
	go func() { <-release; close(ended) }()
	messages := fake.end()
	close(release)
	<-ended
	if len(messages) != 1 || !strings.Contains(messages[0], "TestLeakCheckFindsGoroutinesOfThisModule") {
		t.Errorf("got %q", messages)
	}
}

func TestLeakCheckIgnoresWhatWasThereBeforeAndWhatHasEnded(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	go func() { <-release }()
	fake := &failures{TB: t}
	LeakCheck(fake)
	s := New(fake, (*Conn).Stall)
	dial(t, s)
	if messages := fake.end(); len(messages) != 0 {
		t.Errorf("got %q", messages)
	}
}
