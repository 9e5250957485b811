package thread

// A Node is a message in a thread and the answers to it. A UID of 0 is a
// dummy: a message that is not there but holds its children together.
type Node struct {
	UID      uint32
	Children []*Node
}

// OrderedSubject threads by ORDEREDSUBJECT (RFC 5256 section 4): the messages
// of one base subject are a thread, the earliest at its top and the others
// below that one.
func OrderedSubject(msgs []Message) []*Node {
	msgs = inMailboxOrder(msgs)
	nodes := make([]Node, len(msgs))
	top := make(map[string]*Node)
	var roots []*Node
	for _, i := range bySentDate(msgs) {
		n := &nodes[i]
		n.UID = msgs[i].UID
		base, _ := BaseSubject(msgs[i].Subject)
		subject := collationKey(base)
		if first, ok := top[subject]; ok {
			first.Children = append(first.Children, n)
			continue
		}
		top[subject] = n
		roots = append(roots, n)
	}
	return roots
}

// References threads by REFERENCES (RFC 5256 section 4): messages are below
// those they answer as their References or In-Reply-To headers tell, and
// threads of one base subject are joined. Siblings are ordered by sent date.
// The result may be as deep as there are messages.
func References(msgs []Message) []*Node {
	msgs = inMailboxOrder(msgs)
	t := newTable(msgs)
	for i := range msgs {
		t.addReferences(int32(i) + 1)
	}
	t.prune()
	t.promoteOnlyChildren()
	order := bySentDate(msgs)
	t.joinSubjects(order)
	t.prune()
	return t.tree(order)
}

// A table holds the parents of messages and dummies while REFERENCES is at
// work. The message msgs[i] has the number i+1, a dummy has a higher one, and
// 0 is none.
type table struct {
	msgs   []Message
	byID   map[string]int32
	parent []int32
	forest forest // of the same links, until pruning
}

// newTable gives every message its number. Only the first of several messages
// with one ID keeps it.
func newTable(msgs []Message) *table {
	t := &table{
		msgs:   msgs,
		byID:   make(map[string]int32, len(msgs)),
		parent: make([]int32, len(msgs)+1),
		forest: make(forest, len(msgs)+1),
	}
	for i := range msgs {
		id := msgs[i].MessageID
		if _, taken := t.byID[id]; id != "" && !taken {
			t.byID[id] = int32(i) + 1
		}
	}
	return t
}

func (t *table) isDummy(x int32) bool { return int(x) > len(t.msgs) }

func (t *table) addDummy() int32 {
	t.parent = append(t.parent, 0)
	return int32(len(t.parent) - 1)
}

// addReferences is step 1 for message x.
func (t *table) addReferences(x int32) {
	m := &t.msgs[x-1]
	references := m.References
	if len(references) == 0 && len(m.InReplyTo) > 0 {
		references = m.InReplyTo[:1]
	}
	var last int32
	for _, id := range references {
		ref, ok := t.byID[id]
		if !ok {
			ref = t.addDummy()
			t.forest = append(t.forest, splayNode{})
			t.byID[id] = ref
		}
		if t.parent[ref] == 0 {
			t.link(ref, last)
		}
		last = ref
	}
	if t.parent[x] == last {
		return
	}
	if t.parent[x] != 0 {
		// Somebody else's references put it there: its own know better.
		t.forest.cut(x)
		t.parent[x] = 0
	}
	t.link(x, last)
}

// link makes parent the parent of x, which has none, unless parent is none or
// the link would close a loop.
func (t *table) link(x, parent int32) {
	if parent == 0 || t.forest.root(parent) == x {
		return
	}
	t.forest.link(x, parent)
	t.parent[x] = parent
}

// prune is step 3: it takes dummies out of the way from messages up to their
// nearest ancestor that is a message, or else to the dummy at the very top.
func (t *table) prune() {
	for x := 1; x <= len(t.msgs); x++ {
		top := t.parent[x]
		for t.isDummy(top) && t.parent[top] != 0 {
			top = t.parent[top]
		}
		// The dummies on the way get the same parent, so that no other
		// message has to walk the way again.
		for y := int32(x); y != top; {
			y, t.parent[y] = t.parent[y], top
		}
	}
}

// promoteOnlyChildren is the rest of step 3: no dummy for the sake of a single
// child.
func (t *table) promoteOnlyChildren() {
	children := make([]int32, len(t.parent))
	for x := range t.msgs {
		children[t.parent[x+1]]++
	}
	for x := range t.msgs {
		if p := t.parent[x+1]; t.isDummy(p) && children[p] == 1 {
			t.parent[x+1] = 0
		}
	}
}

// joinSubjects is steps 4 and 5: threads of the same base subject become one.
// order has the messages' indexes by sent date.
func (t *table) joinSubjects(order []int) {
	type thread struct {
		top     int32
		subject string
		reply   bool
	}
	var threads []thread
	seen := make(map[int32]bool) // dummies
	for _, i := range order {
		top := int32(i) + 1
		if p := t.parent[top]; p != 0 {
			if !t.isDummy(p) || seen[p] {
				continue
			}
			// A dummy goes by the first of its children.
			seen[p] = true
			top = p
		}
		if base, reply := BaseSubject(t.msgs[i].Subject); base != "" {
			threads = append(threads, thread{top, collationKey(base), reply})
		}
	}

	chosen := make(map[string]thread)
	for _, th := range threads {
		had, ok := chosen[th.subject]
		if !ok || !t.isDummy(had.top) && (t.isDummy(th.top) || had.reply && !th.reply) {
			chosen[th.subject] = th
		}
	}
	for _, th := range threads {
		into := chosen[th.subject]
		switch {
		case into.top == th.top:
		case t.isDummy(into.top), th.reply && !into.reply:
			// Between two dummies that leaves an empty one, which the
			// next pruning takes out.
			t.parent[th.top] = into.top
		default:
			both := t.addDummy()
			t.parent[into.top], t.parent[th.top] = both, both
			into.top = both
			chosen[th.subject] = into
		}
	}
}

// tree is step 6. It adds the messages in the order of their sent dates, so
// that siblings are in that order; a dummy comes with the first of its
// children.
func (t *table) tree(order []int) []*Node {
	nodes := make([]Node, len(t.parent))
	var roots []*Node
	for _, i := range order {
		n := &nodes[i+1]
		n.UID = t.msgs[i].UID
		p := t.parent[i+1]
		if p == 0 {
			roots = append(roots, n)
			continue
		}
		parent := &nodes[p]
		if t.isDummy(p) && parent.Children == nil {
			roots = append(roots, parent)
		}
		parent.Children = append(parent.Children, n)
	}
	return roots
}
