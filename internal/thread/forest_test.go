package thread

import (
	"math/rand/v2"
	"testing"
)

func TestForestFindsTheRootsThatWalkingUpFinds(t *testing.T) {
	const n = 200
	random := rand.New(rand.NewPCG(1, 2))
	forest := make(forest, n+1)
	parent := make([]int32, n+1)
	walk := func(x int32) int32 {
		for parent[x] != 0 {
			x = parent[x]
		}
		return x
	}
	for step := range 20000 {
		x, y := 1+random.Int32N(n), 1+random.Int32N(n)
		switch {
		case parent[x] != 0 && random.IntN(4) == 0:
			forest.cut(x)
			parent[x] = 0
		case parent[x] == 0 && walk(y) != x:
			forest.link(x, y)
			parent[x] = y
		}
		if got, want := forest.root(y), walk(y); got != want {
			t.Fatalf("after %d steps the root of %d is %d, want %d", step+1, y, got, want)
		}
	}
}
