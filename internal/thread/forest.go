package thread

// A forest holds rooted trees and finds the root of a node in logarithmic
// amortized time, however deep the trees are. References decide the shape of
// the trees and anybody can write references, so walking up would let a
// mailbox full of long chains take quadratic time.
//
// It is a link/cut tree (Sleator and Tarjan, 1983): each tree is cut into
// paths, each path is a splay tree in order of depth, and the top of a splay
// tree points up to the node its path hangs from. Node 0 stands for none.
type forest []splayNode

type splayNode struct {
	up   int32    // in the splay tree, or from its top to where the path hangs
	side [2]int32 // the splay tree's halves: less deep, deeper
}

// root returns the root of x's tree.
func (f forest) root(x int32) int32 {
	f.access(x)
	for f[x].side[0] != 0 {
		x = f[x].side[0]
	}
	f.splay(x) // pays for the walk
	return x
}

// link hangs root, which must be the root of a tree, below a node of another
// tree.
func (f forest) link(root, parent int32) {
	f.access(root)
	f[root].up = parent
}

// cut takes x and what is below it from its parent, which must exist.
func (f forest) cut(x int32) {
	f.access(x)
	f[f[x].side[0]].up = 0
	f[x].side[0] = 0
}

// access makes the path from the root to x one splay tree with x at the top.
func (f forest) access(x int32) {
	var deeper int32
	for v := x; v != 0; v = f[v].up {
		f.splay(v)
		f[v].side[1] = deeper
		deeper = v
	}
	f.splay(x)
}

// splay brings x to the top of its splay tree.
func (f forest) splay(x int32) {
	for !f.isTop(x) {
		p := f[x].up
		if !f.isTop(p) {
			if f.half(x) == f.half(p) {
				f.rotate(p)
			} else {
				f.rotate(x)
			}
		}
		f.rotate(x)
	}
}

func (f forest) rotate(x int32) {
	p, h := f[x].up, f.half(x)
	g := f[p].up
	if !f.isTop(p) {
		f[g].side[f.half(p)] = x
	}
	between := f[x].side[1-h]
	f[p].side[h] = between
	if between != 0 {
		f[between].up = p
	}
	f[x].side[1-h] = p
	f[p].up = x
	f[x].up = g
}

func (f forest) isTop(x int32) bool {
	p := f[x].up
	return p == 0 || f[p].side[0] != x && f[p].side[1] != x
}

// half tells in which half below its parent x is.
func (f forest) half(x int32) int {
	if f[f[x].up].side[0] == x {
		return 0
	}
	return 1
}
