package imapkit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/thread"
	"github.com/imapkit/imapkit/internal/wire"
)

// A Thread is a message and the answers to it.
type Thread struct {
	UID     imap.UID // 0: the message itself is not there, or does not match
	Answers []*Thread
}

// threadFields are the fields that threading looks at.
var threadFields = HeaderFields("Subject", "Date", "Message-ID", "References", "In-Reply-To")

// Threads arranges the messages that match in threads (RFC 5256), by
// imap.ThreadReferences, as their References fields tell, or by
// imap.ThreadOrderedSubject. Threads and answers are in the order of their Date
// fields. The server does it where it has the algorithm; else a few header
// fields of each message are fetched, and the result is the same. Other
// algorithms need a server that has them ([ErrNotSupported]).
//
// A thread may be as deep as there are messages.
func (f *Folder) Threads(ctx context.Context, q Query, algorithm imap.ThreadAlgorithm) ([]*Thread, error) {
	name := strings.ToUpper(string(algorithm))
	if !wire.IsAtom(name) {
		return nil, fmt.Errorf("imapkit: thread algorithm %q is not valid", string(algorithm))
	}
	var threads []*Thread
	needs := []imap.Cap{imap.Cap("THREAD=" + name)}
	done, err := f.byServer(ctx, "Threads", q, needs, func(s *session, root *node, wanted []imap.UID) error {
		if wanted != nil && root.kind == kindTrue {
			return errNotHere // picked from the threads of all messages, they would be other threads
		}
		found := new(wire.ThreadResult)
		cmd := s.Command("UID THREAD").Raw(name).Raw("UTF-8")
		root.add(cmd, asItIs)
		cmd.On = found.Collect
		if err := s.read(f, cmd); err != nil {
			return err
		}
		if len(found.Nodes) == mostFound && (name == string(imap.ThreadReferences) || name == string(imap.ThreadOrderedSubject)) {
			return errNotHere // it may be cut off
		}
		threads = threadsOf(found.Nodes)
		return nil
	})
	if done || err != nil {
		return threads, err
	}
	switch imap.ThreadAlgorithm(name) {
	case imap.ThreadReferences:
		return f.threadsHere(ctx, q, thread.References)
	case imap.ThreadOrderedSubject:
		return f.threadsHere(ctx, q, thread.OrderedSubject)
	}
	return nil, fmt.Errorf("%w: it lacks %s", ErrNotSupported, needs[0])
}

// threadsHere arranges messages on the client's side.
func (f *Folder) threadsHere(ctx context.Context, q Query,
	arrange func([]thread.Message) []*thread.Node) ([]*Thread, error) {
	l, err := f.newLoop(q, []Item{ItemDate, threadFields})
	if err != nil {
		return nil, err
	}
	var msgs []thread.Message
	for info, err := range l.all(ctx, "Threads") {
		if err = withUID(info, err); err != nil {
			return nil, err
		}
		msgs = append(msgs, threadable(info))
	}
	return threadsOfNodes(arrange(msgs)), nil
}

// threadsOf makes threads of a server's result.
func threadsOf(nodes []wire.ThreadNode) []*Thread {
	var roots []*Thread
	all := make([]Thread, len(nodes))
	for i, n := range nodes {
		t := &all[i]
		t.UID = imap.UID(n.Num)
		if n.Parent < 0 {
			roots = append(roots, t)
		} else {
			all[n.Parent].Answers = append(all[n.Parent].Answers, t)
		}
	}
	return roots
}

// threadsOfNodes makes threads of the client's own result, without recursion:
// senders decide how deep it is.
func threadsOfNodes(nodes []*thread.Node) []*Thread {
	top := new(Thread)
	type job struct {
		from []*thread.Node
		to   *Thread
	}
	jobs := []job{{nodes, top}}
	for len(jobs) > 0 {
		j := jobs[len(jobs)-1]
		jobs = jobs[:len(jobs)-1]
		j.to.Answers = slices.Grow(j.to.Answers, len(j.from))
		for _, n := range j.from {
			t := &Thread{UID: imap.UID(n.UID)}
			j.to.Answers = append(j.to.Answers, t)
			if len(n.Children) > 0 {
				jobs = append(jobs, job{n.Children, t})
			}
		}
	}
	return top.Answers
}
