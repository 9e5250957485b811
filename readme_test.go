package imapkit_test

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// readmePrelude is what the snippets of README.md take for granted.
const readmePrelude = `package readme
import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/imapkit/imapkit"
)
var (
	ctx    context.Context
	client *imapkit.Client
	inbox  *imapkit.Folder
	source imapkit.TokenSource
	v      imapkit.TLSVersions
	pool   *x509.CertPool
	certs  []tls.Certificate
	uids   []imap.UID
	last   imap.UID
	file   io.Reader
	size   int64
	err    error

	messages iter.Seq[imapkit.NewMessage]
)
func consume(...any) {}
`

var (
	goBlock   = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")
	codeCell  = regexp.MustCompile("(?m)^\\|.*\\| `(.+?)`[^`|]*\\|$") // what a table says to write
	localLink = regexp.MustCompile(`\]\(([^):#]+)\)`)
)

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSnippetsOfTheReadmeCompile(t *testing.T) {
	text := readme(t)
	var bodies []string
	for _, block := range goBlock.FindAllStringSubmatch(text, -1) {
		bodies = append(bodies, block[1])
	}
	if len(bodies) == 0 {
		t.Fatal("README.md has no snippets")
	}
	for _, cell := range codeCell.FindAllStringSubmatch(text, -1) {
		code := strings.ReplaceAll(cell[1], `\|`, "|")
		switch field, _, isField := strings.Cut(code, ": "); {
		case isField && ast.IsExported(field):
			bodies = append(bodies, "client = &imapkit.Client{"+code+"}")
		case strings.HasPrefix(code, "imapkit."):
			bodies = append(bodies, "_, err = "+code)
		case strings.HasPrefix(code, "inbox.") || strings.HasPrefix(code, "client."):
			bodies = append(bodies, "consume("+code+")")
		}
	}

	importing := readmeImporter(t)
	for _, body := range bodies {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, "README.md", readmePrelude+"func _() error {\n"+body+"\nreturn nil\n}\n", 0)
		if err != nil {
			t.Errorf("%v in\n%s", err, body)
			continue
		}
		conf := types.Config{Importer: importing, Error: func(err error) {
			var found types.Error
			if errors.As(err, &found) && found.Soft {
				return // what a snippet declares or imports it need not use
			}
			t.Errorf("%v in\n%s", err, body)
		}}
		conf.Check("readme", fset, []*ast.File{file}, nil)
	}
}

// readmeImporter finds packages the way the go command has compiled them.
func readmeImporter(t *testing.T) types.Importer {
	t.Helper()
	list := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}={{.Export}}", ".")
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	files := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "=")
		files[path] = file
	}
	return importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		if files[path] == "" {
			return nil, fmt.Errorf("imapkit does not depend on %s", path)
		}
		return os.Open(files[path])
	})
}

func TestLinksOfTheReadmeLeadSomewhere(t *testing.T) {
	links := localLink.FindAllStringSubmatch(readme(t), -1)
	if len(links) == 0 {
		t.Fatal("README.md has no links")
	}
	for _, link := range links {
		if _, err := os.Stat(link[1]); err != nil {
			t.Error(err)
		}
	}
}
