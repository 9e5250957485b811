package imapkit

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/imapkit/imapkit/internal/scripted"
)

func TestReaderLeftBehindIsGivenUpWhenItsContextEnds(t *testing.T) {
	const size = 4 << 20 // more than what fits into buffers
	handle := bigBody(size)
	body := handle["UID FETCH"]
	handle["UID FETCH"] = func(c *scripted.Conn, cmd scripted.Command) {
		if strings.Contains(cmd.Args, "BODYSTRUCTURE") {
			c.Sendf(`* 1 FETCH (UID 101 BODYSTRUCTURE ("TEXT" "PLAIN" NIL NIL NIL "BASE64" %d 1))`, size)
			c.OK(cmd.Tag, "done")
			return
		}
		body(c, cmd)
	}
	reason := errors.New("the user has left")
	for name, open := range map[string]func(context.Context, *Folder) (io.ReadCloser, error){
		"Open":      func(ctx context.Context, f *Folder) (io.ReadCloser, error) { return f.Open(ctx, 101) },
		"OpenPart":  func(ctx context.Context, f *Folder) (io.ReadCloser, error) { return f.OpenPart(ctx, 101, "1") },
		"OpenRange": func(ctx context.Context, f *Folder) (io.ReadCloser, error) { return f.OpenRange(ctx, 101, 0, size) },
	} {
		t.Run(name, func(t *testing.T) {
			scripted.LeakCheck(t)
			s, f := readFrom(t, scripted.Options{Exists: 1, Handle: handle})
			f.client.Timeout = 5 * time.Second
			ctx, cancel := context.WithCancelCause(context.Background())
			r, err := open(ctx, f)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(r, make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			cancel(reason)
			usable(t, s, f, 2)
			if _, err := io.Copy(io.Discard, r); !errors.Is(err, context.Canceled) || !errors.Is(err, reason) {
				t.Errorf("reading then: %v", err)
			}
			if err := r.Close(); err != nil {
				t.Errorf("closing then: %v", err)
			}
			usable(t, s, f, 2)
		})
	}
}

func TestContextThatEndsAfterTheReaderHarmsNobody(t *testing.T) {
	for name, use := range map[string]func(io.ReadCloser) error{
		"read to its end": func(r io.ReadCloser) error { _, err := io.Copy(io.Discard, r); return err },
		"closed":          func(r io.ReadCloser) error { return r.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			s, f := readFrom(t, scripted.Options{Exists: 1})
			ctx, cancel := context.WithCancel(context.Background())
			r, err := f.Open(ctx, 101)
			if err != nil {
				t.Fatal(err)
			}
			if err := use(r); err != nil {
				t.Fatal(err)
			}
			cancel()
			usable(t, s, f, 1)
		})
	}
}

func TestCloseBesideTheLastReadDoesNotEndWhatTheConnectionDoesNext(t *testing.T) {
	searching, answer := make(chan struct{}), make(chan struct{})
	_, f := readFrom(t, scripted.Options{Exists: 1, Handle: map[string]func(*scripted.Conn, scripted.Command){
		"UID SEARCH": func(c *scripted.Conn, cmd scripted.Command) {
			c.Send("* SEARCH 101") // what has been answered is not repeated
			close(searching)
			<-answer
			c.OK(cmd.Tag, "done")
		}}})
	opened, err := f.Open(context.Background(), 101)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, opened); err != nil {
		t.Fatal(err)
	}
	r := opened.(*bodyReader)
	r.mu.Lock() // the Read that has given the connection back is about to return
	found := make(chan error)
	go func() {
		_, err := f.Search(context.Background(), Seen())
		found <- err
	}()
	<-searching
	closed := make(chan struct{})
	go func() {
		r.Close()
		close(closed)
	}()
	select {
	case err := <-found:
		t.Errorf("the search has ended before the server has answered: %v", err)
		close(answer)
	case <-time.After(50 * time.Millisecond):
		close(answer)
		if err := <-found; err != nil {
			t.Error(err)
		}
	}
	r.mu.Unlock()
	<-closed
}
