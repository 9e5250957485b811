package wire

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

func TestReadOnlyLoansRefuseChanges(t *testing.T) {
	one := imap.UIDSetNum(1)
	peeking := &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{{Peek: true,
		Specifier: imap.PartSpecifierHeader, HeaderFields: []string{"BODY[]"}}}}
	for name, tt := range map[string]struct {
		run     func(*imapclient.Client) error
		allowed bool
	}{
		"NOOP": {noop, true},
		"EXAMINE": {func(cl *imapclient.Client) error {
			_, err := cl.Select("A", &imap.SelectOptions{ReadOnly: true}).Wait()
			return err
		}, true},
		"FETCH that peeks": {func(cl *imapclient.Client) error { return cl.Fetch(one, peeking).Close() }, true},
		"SELECT":           {func(cl *imapclient.Client) error { _, err := cl.Select("A", nil).Wait(); return err }, false},
		"FETCH BODY[]": {func(cl *imapclient.Client) error {
			return cl.Fetch(one, &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{{}}}).Close()
		}, false},
		"FETCH BINARY[]": {func(cl *imapclient.Client) error {
			return cl.Fetch(one, &imap.FetchOptions{BinarySection: []*imap.FetchItemBinarySection{{}}}).Close()
		}, false},
		"STORE": {func(cl *imapclient.Client) error {
			return cl.Store(one, &imap.StoreFlags{Op: imap.StoreFlagsAdd}, nil).Close()
		}, false},
		"CLOSE":   {func(cl *imapclient.Client) error { return cl.UnselectAndExpunge().Wait() }, false},
		"EXPUNGE": {func(cl *imapclient.Client) error { return cl.Expunge().Close() }, false},
		"COPY":    {func(cl *imapclient.Client) error { _, err := cl.Copy(one, "B").Wait(); return err }, false},
		"MOVE":    {func(cl *imapclient.Client) error { _, err := cl.Move(one, "B").Wait(); return err }, false},
		"CREATE":  {func(cl *imapclient.Client) error { return cl.Create("B", nil).Wait() }, false},
		"APPEND": {func(cl *imapclient.Client) error {
			cmd := cl.Append("B", 3, nil)
			io.WriteString(cmd, "abc")
			cmd.Close()
			_, err := cmd.Wait()
			return err
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			c, peer := withGuest(t, "IMAP4rev1", func(string) string { return "$ OK done\r\n" })
			err := lend(c, "", true, tt.run)
			if refused := errors.Is(err, ErrGuestReadOnly); refused == tt.allowed || tt.allowed && err != nil {
				t.Errorf("error is %v", err)
			}
			if got := peer.received(); (len(got) > 0) != tt.allowed {
				t.Errorf("sent %q", got)
			}
			if err := lend(c, "", true, noop); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestWhatIsNotForTheGuestIsRefused(t *testing.T) {
	c, peer := withGuest(t, "IMAP4rev1 ENABLE", func(string) string { return "$ OK done\r\n" })
	err := lend(c, "", false, func(client *imapclient.Client) error {
		for name, err := range map[string]error{
			"LOGIN":          client.Login("u", "p\xe4").Wait(),
			"LOGOUT":         client.Logout().Wait(),
			"UNAUTHENTICATE": client.Unauthenticate().Wait(),
			"ENABLE":         func() error { _, err := client.Enable(imap.CapUTF8Accept).Wait(); return err }(),
		} {
			var refusal *imap.Error
			if !errors.As(err, &refusal) || strings.Contains(refusal.Text, "p\xe4") {
				t.Errorf("%s: %v", name, err)
			}
		}
		return noop(client)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := peer.received(); len(got) != 1 || !strings.HasSuffix(got[0], "NOOP") {
		t.Errorf("sent %q", got)
	}
}

func TestRefusedLiteralKeepsTheConnection(t *testing.T) {
	c, peer := withGuest(t, "IMAP4rev1", func(command string) string {
		if strings.HasPrefix(command, "APPEND") {
			return "$ NO [OVERQUOTA] full\r\n"
		}
		return "$ OK done\r\n"
	})
	err := lend(c, "", false, func(client *imapclient.Client) error {
		cmd := client.Append("A", 3, nil)
		io.WriteString(cmd, "abc")
		cmd.Close()
		_, err := cmd.Wait()
		var refusal *imap.Error
		if !errors.As(err, &refusal) || refusal.Code != "OVERQUOTA" || refusal.Text != "full" {
			t.Errorf("error is %v", err)
		}
		return noop(client)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := peer.received(); fmt.Sprint(got) != "[T1 APPEND \"A\" {3} T2 NOOP]" {
		t.Errorf("sent %q", got)
	}
}

func TestMoveWithoutExtensionKeepsMessagesThatWereNotCopied(t *testing.T) {
	c, peer := withGuest(t, "IMAP4rev1 UIDPLUS", func(command string) string {
		if strings.HasPrefix(command, "UID COPY") {
			return "$ NO [TRYCREATE] no such folder\r\n"
		}
		return "$ OK done\r\n"
	})
	err := lend(c, "", false, func(client *imapclient.Client) error {
		_, err := client.Move(imap.UIDSetNum(1), "B").Wait()
		return err
	})
	var refusal *imap.Error
	if !errors.As(err, &refusal) || refusal.Code != imap.ResponseCodeTryCreate {
		t.Errorf("error is %v", err)
	}
	if got := peer.received(); len(got) != 1 {
		t.Errorf("sent %q", got)
	}
	if err := lend(c, "", false, noop); err != nil {
		t.Error(err)
	}
}

func TestLineBreaksAreNotSmuggledIntoCommands(t *testing.T) {
	for name, run := range map[string]func(*imapclient.Client) error{
		"in quotes": func(cl *imapclient.Client) error {
			_, err := cl.ID(&imap.IDData{Name: "x\r\nT2 DELETE \"INBOX\"\r\n"}).Wait()
			return err
		},
		"in an atom": func(cl *imapclient.Client) error {
			_, err := cl.Thread(&imapclient.ThreadOptions{Algorithm: "X UTF-8 ALL\r\nT2 DELETE INBOX\r\nT3",
				SearchCriteria: &imap.SearchCriteria{}}).Wait()
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, peer := withGuest(t, "IMAP4rev1", func(string) string { return "$ OK done\r\n" })
			if err := lend(c, "", false, run); !errors.Is(err, ErrArgument) {
				t.Errorf("error is %v", err)
			}
			if got := peer.received(); len(got) != 0 {
				t.Errorf("sent %q", got)
			}
		})
	}
}
