package recorded_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/imapkit/imapkit/internal/recorded"
)

const corpus = "../../testdata/responses"

func load(t *testing.T) []recorded.Case {
	t.Helper()
	cases, err := recorded.Load(corpus)
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

func TestCorpusHasHundredsOfUniqueCases(t *testing.T) {
	cases := load(t)
	if len(cases) < 250 {
		t.Errorf("%d cases, want at least 250", len(cases))
	}
	names, responses := map[string]string{}, map[string]string{}
	for _, c := range cases {
		if other, ok := names[c.Name]; ok {
			t.Errorf("%s: name %q is used in %s already", c.File, c.Name, other)
		}
		names[c.Name] = c.File
		key := c.Command + "\n" + string(c.Response)
		if other, ok := responses[key]; ok {
			t.Errorf("%s is the same response as %s", c.Name, other)
		}
		responses[key] = c.Name
	}
}

func TestEveryWantCanBeDecodedAndSaysSomething(t *testing.T) {
	for _, c := range load(t) {
		if _, err := c.Decode(); err != nil {
			t.Error(err)
		}
		if len(c.Want) < len(`{"a":1}`) {
			t.Errorf("%s: %s: want %s says nothing", c.File, c.Name, c.Want)
		}
	}
}

func TestWantedNumbersAreInTheResponse(t *testing.T) {
	for _, c := range load(t) {
		want, err := c.Decode()
		if err != nil {
			t.Error(err)
			continue
		}
		for _, m := range append(want.Messages, want.Message) {
			for _, n := range []*uint32{m.Seq, m.UID} {
				if n != nil && !bytes.Contains(c.Response, strconv.AppendUint(nil, uint64(*n), 10)) {
					t.Errorf("%s: %s: %d is not in the response", c.File, c.Name, *n)
				}
			}
		}
	}
}

func TestUnreadableCodesDifferFromUncheckedOnes(t *testing.T) {
	for text, checked := range map[string]bool{`{"copyuid":null}`: true, `{"type":"OK"}`: false} {
		want, err := recorded.Case{Want: []byte(text)}.Decode()
		if err != nil || want.CopyUID.Checked != checked || want.CopyUID.Readable {
			t.Errorf("%s: %+v, error %v", text, want.CopyUID, err)
		}
	}
}

func TestDecodeRefusesUnknownKeys(t *testing.T) {
	for _, text := range []string{`{"colour":1}`, `{"copyuid":{"colour":1}}`, `{"envelope":{"colour":1}}`, `[`} {
		if _, err := (recorded.Case{Name: "n", Want: []byte(text)}).Decode(); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}

func TestEveryResponseBeginsLikeOne(t *testing.T) {
	begin := regexp.MustCompile(`^\x00*(\* ?|\+|A1 | +|\r\n|\[|[0-9]+ |[A-Z][A-Za-z]*[0-9]* )`)
	for _, c := range load(t) {
		if !begin.Match(c.Response) {
			t.Errorf("%s: %s: begins with %.20q", c.File, c.Name, c.Response)
		}
		if !bytes.HasSuffix(c.Response, []byte("\n")) {
			t.Errorf("%s: %s: does not end a line", c.File, c.Name)
		}
	}
}

func TestLiteralsHaveTheAnnouncedSize(t *testing.T) {
	for _, c := range load(t) {
		if c.BrokenLiteral {
			continue
		}
		if _, err := literals(c.Response); err != nil {
			t.Errorf("%s: %s: %v", c.File, c.Name, err)
		}
	}
}

func TestWantedBodiesAreInTheResponse(t *testing.T) {
	for _, c := range load(t) {
		want, err := c.Decode()
		if err != nil {
			t.Error(err)
			continue
		}
		lits, _ := literals(c.Response)
		for _, m := range append(want.Messages, want.Message) {
			if m.Body == nil || *m.Body == "" || c.BrokenLiteral {
				continue
			}
			quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(*m.Body) + `"`
			found := bytes.Contains(c.Response, []byte(quoted)) || bytes.Contains(c.Response, []byte(" "+*m.Body))
			for _, lit := range lits {
				found = found || lit == *m.Body
			}
			if !found {
				t.Errorf("%s: %s: wanted body %q is not in the response", c.File, c.Name, *m.Body)
			}
		}
	}
}

var marker = regexp.MustCompile(`\{([0-9]+)\+?\} *$`)

// literals cuts out the literals of data. What follows one must be able to follow one.
func literals(data []byte) ([]string, error) {
	var found []string
	for len(data) > 0 {
		line, rest, _ := bytes.Cut(data, []byte("\n"))
		data = rest
		m := marker.FindSubmatch(bytes.TrimSuffix(line, []byte("\r")))
		if m == nil {
			continue
		}
		n, err := strconv.Atoi(string(m[1]))
		if err != nil {
			return nil, err
		}
		if n >= len(data) {
			return nil, fmt.Errorf("literal {%d}, but only %d bytes follow", n, len(data))
		}
		if !bytes.ContainsRune([]byte(" )\r\n]\"("), rune(data[n])) {
			return nil, fmt.Errorf("literal {%d} is followed by %.10q", n, data[n:])
		}
		found = append(found, string(data[:n]))
		data = data[n:]
	}
	return found, nil
}

func TestLoadNamesWhatIsWrong(t *testing.T) {
	const head = "# name: n\n# server: s\n# why: w\n# command: NOOP\n"
	for name, tc := range map[string]struct{ text, want string }{
		"header":   {"# colour: red\n* OK\n# want: {}\n", "unknown header"},
		"required": {"# name: n\n* OK\n# want: {}\n", "are required"},
		"no want":  {head + "* OK\n", "must end with"},
		"escape":   {head + "# escaped: yes\n* OK \\q\n# want: {}\n", "unknown escape"},
		"hex":      {head + "# escaped: yes\n* OK \\xZZ\n# want: {}\n", "escape \\xZZ"},
		"short":    {head + "# raw: yes\n* OK \\\n# want: {}\n", "backslash at the end"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "x.txt"), []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := recorded.Load(dir)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "x.txt") {
				t.Errorf("error %v, want one about %q that names the file", err, tc.want)
			}
		})
	}
}

func TestEscapesAndLineEnds(t *testing.T) {
	const head = "# name: %s\n# server: s\n# why: w\n# command: NOOP\n"
	text := fmt.Sprintf(head, "plain") + `* OK \x41` + "\n# want: {}\n----\n" +
		fmt.Sprintf(head, "escaped") + "# escaped: yes\n" + `* OK \x41\\\t\0` + "\n# want: {}\n----\n" +
		fmt.Sprintf(head, "raw") + "# raw: yes\n" + `* OK\n` + "\n# want: {}\n"
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.txt"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cases, err := recorded.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"* OK \\x41\r\n", "* OK A\\\t\x00\r\n", "* OK\n"} {
		if got := string(cases[i].Response); got != want {
			t.Errorf("%s: %q, want %q", cases[i].Name, got, want)
		}
	}
}
