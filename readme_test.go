package imapkit_test

import (
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

// TestTheProgramsInTheREADMEAreGo keeps typing errors out of the README. That
// they do what they say is shown by the examples.
func TestTheProgramsInTheREADMEAreGo(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```go\n")[1:]
	if len(blocks) < 3 {
		t.Fatalf("%d programs", len(blocks))
	}
	for _, block := range blocks {
		body, _, _ := strings.Cut(block, "```")
		source := "package p\nfunc _() error {\n" + body + "\n}"
		if _, err := parser.ParseFile(token.NewFileSet(), "README.md", source, 0); err != nil {
			t.Errorf("%v in\n%s", err, body)
		}
	}
}
