package thread

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// format writes threads as a THREAD response does. It recurses: only for
// shallow trees.
func format(roots []*Node) string {
	var b strings.Builder
	var inner func(n *Node)
	inner = func(n *Node) {
		if n.UID != 0 {
			fmt.Fprint(&b, n.UID)
		}
		if len(n.Children) == 1 && n.UID != 0 {
			b.WriteByte(' ')
			inner(n.Children[0])
			return
		}
		if len(n.Children) > 0 && n.UID != 0 {
			b.WriteByte(' ')
		}
		for _, c := range n.Children {
			b.WriteByte('(')
			inner(c)
			b.WriteByte(')')
		}
	}
	for _, n := range roots {
		b.WriteByte('(')
		inner(n)
		b.WriteByte(')')
	}
	return b.String()
}

// message is the message with the ID "uid@x", sent at the minute of its UID.
func message(uid uint32, subject string, references ...string) Message {
	return Message{
		UID: uid, Subject: subject, Sent: at(int(uid)),
		MessageID: fmt.Sprintf("%d@x", uid), References: references,
	}
}

func TestReferences(t *testing.T) {
	with := func(m Message, change func(m *Message)) Message {
		change(&m)
		return m
	}
	tests := []struct {
		name string
		msgs []Message
		want string
	}{
		{"no messages", nil, ""},
		{"strangers", []Message{message(1, "a"), message(2, "b")}, "(1)(2)"},
		{"a chain", []Message{message(1, "a"), message(2, "b", "1@x"), message(3, "c", "1@x", "2@x")}, "(1 2 3)"},
		{"siblings", []Message{message(1, "a"), message(2, "b", "1@x"), message(3, "c", "1@x")}, "(1 (2)(3))"},
		{"any order of arguments", []Message{message(3, "c", "1@x"), message(1, "a"), message(2, "b", "1@x")},
			"(1 (2)(3))"},
		{"an answer before the question", []Message{message(1, "a", "2@x"), message(2, "b")}, "(2 1)"},

		{"In-Reply-To without References", []Message{message(1, "a"), message(2, "b"),
			with(message(3, "c"), func(m *Message) { m.InReplyTo = []string{"1@x", "2@x"} })}, "(1 3)(2)"},
		{"References before In-Reply-To", []Message{message(1, "a"), message(2, "b"),
			with(message(3, "c", "2@x"), func(m *Message) { m.InReplyTo = []string{"1@x"} })}, "(1)(2 3)"},

		{"missing parent of one", []Message{message(1, "a", "?@x")}, "(1)"},
		{"missing parent of two", []Message{message(1, "a", "?@x"), message(2, "b", "?@x")}, "((1)(2))"},
		{"missing message in the middle", []Message{message(1, "a"), message(2, "b", "1@x", "?@x"),
			message(3, "c", "1@x", "?@x")}, "(1 (2)(3))"},
		{"two missing at the top", []Message{message(1, "a", "?@x", "!@x"), message(2, "b", "?@x", "!@x")}, "((1)(2))"},
		{"missing ones branch below a missing one", []Message{message(1, "a", "?@x", "!@x"),
			message(2, "b", "?@x", "$@x"), message(3, "c", "?@x")}, "((1)(2)(3))"},

		{"first references link messages of others", []Message{message(1, "a", "2@x", "3@x"), message(2, "b"),
			message(3, "c", "2@x")}, "(2 3 1)"},
		{"an existing link stays when others' references differ", []Message{message(1, "a"), message(2, "b"),
			message(3, "c", "1@x"), message(4, "d", "2@x", "3@x")}, "(1 3 4)(2)"},
		{"a message's own references win over others'", []Message{message(1, "a"), message(2, "b"),
			message(3, "c", "1@x", "4@x"), message(4, "d", "2@x")}, "(1)(2 4 3)"},
		{"a message without references answers nothing", []Message{message(1, "a"),
			message(2, "b", "1@x", "3@x"), message(3, "c")}, "(1)(3 2)"},

		{"answer to itself", []Message{message(1, "a", "1@x")}, "(1)"},
		{"answers to each other", []Message{message(1, "a", "2@x"), message(2, "b", "1@x")}, "(2 1)"},
		{"a loop of three", []Message{message(1, "a", "3@x"), message(2, "b", "1@x"), message(3, "c", "2@x")}, "(3 1 2)"},
		{"a loop of missing ones", []Message{message(1, "a", "?@x", "!@x", "?@x"), message(2, "b", "?@x")}, "((1)(2))"},
		{"references repeated", []Message{message(1, "a"), message(2, "b", "1@x", "1@x", "1@x")}, "(1 2)"},

		{"only the first of a duplicated ID keeps it", []Message{message(1, "a"),
			with(message(2, "b"), func(m *Message) { m.MessageID = "1@x" }), message(3, "c", "1@x")}, "(1 3)(2)"},
		{"messages without ID", []Message{with(message(1, "a"), func(m *Message) { m.MessageID = "" }),
			with(message(2, "b", "3@x"), func(m *Message) { m.MessageID = "" }), message(3, "c")}, "(1)(3 2)"},
		{"IDs differ in case", []Message{with(message(1, "a"), func(m *Message) { m.MessageID = "A@x" }),
			message(2, "b", "a@x")}, "(1)(2)"},

		{"siblings by sent date", []Message{message(1, "a"), with(message(2, "b", "1@x"),
			func(m *Message) { m.Sent = at(50) }), message(3, "c", "1@x")}, "(1 (3)(2))"},
		{"a missing date is the arrival", []Message{message(1, "a"), with(message(2, "b", "1@x"),
			func(m *Message) { m.Sent, m.Arrival = at(0).AddDate(-9000, 0, 0), at(0) }),
			{UID: 3, Arrival: at(1), References: []string{"1@x"}, MessageID: "3@x"}}, "(1 (2)(3))"},
		{"threads by sent date", []Message{message(3, "b"), with(message(2, "a"),
			func(m *Message) { m.Sent = at(50) }), message(4, "c", "2@x")}, "(3)(2 4)"},
		{"equal dates in mailbox order", []Message{with(message(2, "b"), func(m *Message) { m.Sent = at(0) }),
			with(message(1, "a"), func(m *Message) { m.Sent = at(0) })}, "(1)(2)"},
		{"a dummy goes by its first child", []Message{message(1, "a"), message(2, "b", "?@x"), message(3, "c"),
			message(4, "d", "?@x")}, "(1)((2)(4))(3)"},

		{"two of one subject", []Message{message(1, "a"), message(2, "A")}, "((1)(2))"},
		{"three of one subject", []Message{message(1, "a"), message(2, "a"), message(3, "[x] a")}, "((1)(2)(3))"},
		{"a reply by subject", []Message{message(1, "a"), message(2, "Re: a")}, "(1 2)"},
		{"a reply by subject, sent earlier", []Message{message(1, "Re: a"), message(2, "a")}, "(2 1)"},
		{"replies without the message", []Message{message(1, "Re: a"), message(2, "fwd: a")}, "((1)(2))"},
		{"replies and two messages", []Message{message(1, "Re: a"), message(2, "a"), message(3, "a"),
			message(4, "a (fwd)")}, "((2 1)(3)(4))"},
		{"empty subjects do not join", []Message{message(1, ""), message(2, "Re:")}, "(1)(2)"},
		{"only tops of threads join", []Message{message(1, "a"), message(2, "b", "1@x"), message(3, "Re: b")},
			"(1 2)(3)"},
		{"a message joins a dummy", []Message{message(1, "Re: a"), message(2, "Re: a", "?@x"),
			message(3, "Re: a", "?@x")}, "((1)(2)(3))"},
		{"dummies of one subject join", []Message{message(1, "a", "?@x"), message(2, "b", "?@x"),
			message(3, "a", "!@x"), message(4, "c", "!@x")}, "((1)(2)(3)(4))"},
		{"a dummy has the subject of its first child", []Message{message(1, "a", "?@x"), message(2, "b", "?@x"),
			message(3, "b"), message(4, "a")}, "((1)(2)(4))(3)"},
		{"a reply's answers move with it", []Message{message(1, "a"), message(2, "Re: a"), message(3, "b", "2@x")},
			"(1 2 3)"},
		{"a child of a missing parent is a top", []Message{message(1, "a"), message(2, "re: a", "?@x")}, "(1 2)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := format(References(tt.msgs)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestOrderedSubject(t *testing.T) {
	tests := []struct {
		name string
		msgs []Message
		want string
	}{
		{"no messages", nil, ""},
		{"one thread has no grandchildren", []Message{message(1, "a"), message(2, "Re: a"), message(3, "A (fwd)")},
			"(1 (2)(3))"},
		{"threads by their first message", []Message{message(2, "b"), message(1, "a"), message(3, "b"), message(4, "a")},
			"(1 4)(2 3)"},
		{"references do not matter", []Message{message(1, "a"), message(2, "b", "1@x")}, "(1)(2)"},
		{"empty subjects are one thread", []Message{message(1, ""), message(2, "Re:")}, "(1 2)"},
		{"the reply can be first", []Message{message(1, "Re: a"), message(2, "a")}, "(1 2)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := format(OrderedSubject(tt.msgs)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// randomMessages makes n messages of tangled references: to earlier and later
// messages, missing ones and themselves, with IDs missing and duplicated.
func randomMessages(random *rand.Rand, n int) []Message {
	msgs := make([]Message, n)
	anyID := func() string {
		return fmt.Sprintf("%d@x", random.IntN(n+n/4+1))
	}
	for i := range msgs {
		m := &msgs[i]
		m.UID = uint32(i) + 1
		m.MessageID = fmt.Sprintf("%d@x", i)
		switch random.IntN(20) {
		case 0:
			m.MessageID = ""
		case 1:
			m.MessageID = anyID()
		}
		m.Subject = []string{"", "Re: ", "[x] ", "re[2]: "}[random.IntN(4)] + fmt.Sprint(random.IntN(n))
		m.Arrival = at(random.IntN(n + 1))
		if random.IntN(5) > 0 {
			m.Sent = at(random.IntN(n + 1))
		}
		for range random.IntN(5) {
			m.References = append(m.References, anyID())
		}
		if random.IntN(3) == 0 {
			m.InReplyTo = append(m.InReplyTo, anyID())
		}
	}
	return msgs
}

// checkThreads checks what holds for every result: all messages once, no node
// twice (so no loops), dummies only at the top with at least two children.
func checkThreads(t *testing.T, msgs []Message, roots []*Node) {
	t.Helper()
	var got []uint32
	seen := make(map[*Node]bool)
	top := make(map[*Node]bool)
	for _, n := range roots {
		top[n] = true
	}
	for open := slices.Clone(roots); len(open) > 0; {
		n := open[len(open)-1]
		open = append(open[:len(open)-1], n.Children...)
		if seen[n] {
			t.Fatalf("the node of UID %d comes twice", n.UID)
		}
		seen[n] = true
		if n.UID != 0 {
			got = append(got, n.UID)
		} else if !top[n] || len(n.Children) < 2 {
			t.Errorf("a dummy at the top: %v, with %d children", top[n], len(n.Children))
		}
	}
	slices.Sort(got)
	want := uids(msgs)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d UIDs in the threads, want %d", len(got), len(want))
	}
}

func TestEveryMessageIsInOneThreadOnce(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		msgs := randomMessages(random, 1+random.IntN(60))
		random.Shuffle(len(msgs), func(i, j int) { msgs[i], msgs[j] = msgs[j], msgs[i] })
		before := uids(msgs)
		checkThreads(t, msgs, References(msgs))
		checkThreads(t, msgs, OrderedSubject(msgs))
		if !slices.Equal(uids(msgs), before) {
			t.Fatal("threading changed its argument")
		}
	}
}

// hostileMailboxes are shapes on which walking up or recursing does not end
// well.
func hostileMailboxes(n int) map[string][]Message {
	id := func(i int) string { return fmt.Sprintf("%d@x", i) }
	chain := func(from, to int) []string {
		var ids []string
		for i := from; i < to; i++ {
			ids = append(ids, id(i))
		}
		return ids
	}
	// each makes n messages without subject; number i has the ID "i@x".
	each := func(references func(i int) []string) []Message {
		msgs := make([]Message, n)
		for i := range msgs {
			msgs[i] = Message{MessageID: id(i), References: references(i)}
		}
		return msgs
	}
	ids := chain(n, 2*n)
	backwards := slices.Clone(ids)
	slices.Reverse(backwards)
	mailboxes := map[string][]Message{
		"each answers the one before":    each(func(i int) []string { return []string{id(i - 1)} }),
		"each answers the one after":     each(func(i int) []string { return []string{id(i + 1)} }),
		"one message has all references": {{References: ids}, {References: backwards}},
		"missing ones between all":       each(func(i int) []string { return []string{id(i - 1), id(i-1) + "?"} }),
		"answers all over a chain of missing ones": append([]Message{{References: ids}},
			each(func(i int) []string { return []string{id(n + i)} })...),
		"each would close a loop around a chain": append([]Message{{References: ids}},
			each(func(int) []string { return []string{id(2*n - 1), id(n)} })...),
		"each is moved":      each(func(i int) []string { return []string{id(i - 1), id(i + 1), id(i - 1)} }),
		"all of one subject": each(func(i int) []string { return []string{id(n + i/2)} }),
	}
	for i := range mailboxes["all of one subject"] {
		mailboxes["all of one subject"][i].Subject = "Re: a"
	}
	for _, msgs := range mailboxes {
		for i := range msgs {
			msgs[i].UID = uint32(i) + 1
		}
	}
	return mailboxes
}

func TestHostileReferencesAreFastAndDeep(t *testing.T) {
	for name, msgs := range hostileMailboxes(100_000) {
		t.Run(name, func(t *testing.T) {
			checkThreads(t, msgs, References(msgs))
		})
	}
}

func FuzzReferences(f *testing.F) {
	f.Add([]byte("\x01\x02\x03\x00\x02\x01\x00\x03\x00"))
	f.Add([]byte("\x01\x01\x01\x00\x02\x81\x82\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		// Each message is a run of bytes up to a zero: its ID, its
		// references, and a subject in the last of them.
		var msgs []Message
		for i, line := range strings.Split(string(data), "\x00") {
			m := Message{UID: uint32(i) + 1}
			for j := range len(line) {
				switch id := fmt.Sprint(line[j] % 64); j {
				case 0:
					m.MessageID = id
				default:
					m.References = append(m.References, id)
				}
				m.Subject = []string{"", "a", "Re: a", "b"}[line[j]/64]
				m.Sent = at(int(line[j]))
			}
			msgs = append(msgs, m)
		}
		checkThreads(t, msgs, References(msgs))
		checkThreads(t, msgs, OrderedSubject(msgs))
	})
}

func BenchmarkReferences(b *testing.B) {
	b.Run("tangled", func(b *testing.B) {
		msgs := randomMessages(rand.New(rand.NewPCG(1, 2)), 100_000)
		for b.Loop() {
			References(msgs)
		}
	})
	for name, msgs := range hostileMailboxes(100_000) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				References(msgs)
			}
		})
	}
}

func BenchmarkOrderedSubject(b *testing.B) {
	msgs := randomMessages(rand.New(rand.NewPCG(1, 2)), 100_000)
	for b.Loop() {
		OrderedSubject(msgs)
	}
}
