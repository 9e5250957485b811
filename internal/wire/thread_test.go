package wire

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// readThreads feeds a THREAD response to a reader.
func readThreads(text string, result int64) (string, error) {
	c := said("* THREAD" + text + "\r\nk1 OK done\r\n")
	c.lim.Result = result
	var found ThreadResult
	cmd := c.Command("UID THREAD")
	cmd.On = found.Collect
	err := c.Run(cmd)
	var b strings.Builder
	for _, n := range found.Nodes {
		fmt.Fprintf(&b, " %d/%d", n.Num, n.Parent)
	}
	return strings.TrimSpace(b.String()), err
}

func TestThreadsAreRead(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "",
		" ":                               "",
		" NIL":                            "",
		" (1)":                            "1/-1",
		" (1)(2)":                         "1/-1 2/-1",
		" (1 2 3)":                        "1/-1 2/0 3/1",
		" (3 6 (4 23)(44 7 96))":          "3/-1 6/0 4/1 23/2 44/1 7/4 96/5",
		" ((3)(5))":                       "0/-1 3/0 5/0",
		" (1 ((2)(3)))(4)":                "1/-1 0/0 2/1 3/1 4/-1",
		" ( 1  2 ) ( 3 )":                 "1/-1 2/0 3/-1",
		" 1 2":                            "1/-1 2/0",
		" (1 2))) (3)":                    "1/-1 2/0 3/-1",
		" (1 (2":                          "1/-1 2/0",
		" (0 4294967296 4294967295)":      "4294967295/-1",
		" (1 x 2)":                        "1/-1 2/0",
		" ()()(7)":                        "7/-1",
		"\t(1)":                           "1/-1",
		" (18446744073709551616000000 5)": "5/-1",
	} {
		got, err := readThreads(text, 1<<20)
		if got != want || err != nil {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestThreadsAreLimited(t *testing.T) {
	for name, text := range map[string]string{
		"many messages": " (" + strings.Repeat("1 ", 500_000),
		"many lists":    " " + strings.Repeat("(", 900_000),
		"long junk":     " " + strings.Repeat("x", 2_000_000),
	} {
		if _, err := readThreads(text, 1<<20); !errors.Is(err, ErrLimit) {
			t.Errorf("%s: error %v, want ErrLimit", name, err)
		}
	}
}

func FuzzThreads(f *testing.F) {
	f.Add(" (3 6 (4 23)(44 7 96))((5)(8))")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsAny(text, "\n") {
			t.Skip()
		}
		c := said("* THREAD " + text + "\r\nk1 OK done\r\n")
		var found ThreadResult
		cmd := c.Command("UID THREAD")
		cmd.On = found.Collect
		if err := c.Run(cmd); err != nil {
			t.Fatal(err)
		}
		for i, n := range found.Nodes {
			if n.Parent < -1 || int(n.Parent) >= i {
				t.Fatalf("node %d is below node %d", i, n.Parent)
			}
		}
	})
}
