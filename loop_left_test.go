package imapkit

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/imapkit/imapkit/internal/scripted"
)

// abandon leaves a loop by a panic.
func abandon(ctx context.Context, f *Folder) {
	defer func() { recover() }()
	for range f.Messages(ctx, All(), ItemFlags) {
		panic("oops")
	}
}

func TestCloseAfterALoopWasLeftByAPanicLeavesNoGoroutine(t *testing.T) {
	scripted.LeakCheck(t)
	_, f := readFrom(t, scripted.Options{Exists: 5000})
	err := f.client.Do(context.Background(), "", func(gc *imapclient.Client) error { return gc.Noop().Wait() })
	if err != nil {
		t.Fatal(err)
	}
	abandon(context.Background(), f)
	f.client.Close()
}

func TestCloseAfterAReaderWasForgottenLeavesNoGoroutine(t *testing.T) {
	scripted.LeakCheck(t)
	_, f := readFrom(t, scripted.Options{Exists: 5})
	err := f.client.Do(context.Background(), "", func(gc *imapclient.Client) error { return gc.Noop().Wait() })
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.Open(context.Background(), 101)
	if err != nil {
		t.Fatal(err)
	}
	f.client.Close()
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("error %v", err)
	}
}

func TestCloseAfterALoopWasLeftByAPanicLeavesNoTimer(t *testing.T) {
	s := scripted.Serve(t, scripted.Options{Exists: 5000})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	collected := make(chan bool, 1)
	func() {
		c := &Client{Host: s.Host, Port: s.Port, Username: "u", Password: "p", Security: SecurityNone}
		runtime.AddCleanup(c, func(int) { collected <- true }, 0)
		abandon(ctx, c.Folder("INBOX"))
		c.Close()
	}()
	for range 50 {
		runtime.GC()
		select {
		case <-collected:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Error("a client that was closed is still in memory")
}

func TestWhatIsWrongWithALoopIsToldAlsoWhenItsContextHasEnded(t *testing.T) {
	_, f := readFrom(t, scripted.Options{Exists: 5})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, err := range f.Messages(ctx, All(), "BODY[]") {
		if err == nil || !strings.Contains(err.Error(), "mark messages as read") {
			t.Errorf("error %v", err)
		}
	}
}
