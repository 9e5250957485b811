package wire

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

func TestSearchResultsEndWithTheirLine(t *testing.T) {
	for line, want := range map[string]string{
		"* ESEARCH (TAG \"k1\") UID ALL":                       "[]",
		"* ESEARCH UID PARTIAL (1:10 2)ALL":                    "[{2 2}]",
		"* ESEARCH UID ALL 1,,2,*,4:3,99999999999,4294967295,": "[{1 4} {4294967295 4294967295}]",
		"* SEARCH 429496729599999999999 7":                     "[{7 7}]",
	} {
		c := NewConn(spoken{r: strings.NewReader(line + "\r\n5,6,7,\r\nk1 OK done\r\n")}, smallLimits, &Names{}, nil)
		c.Begin(context.Background(), 0, false)
		cmd := c.Command("UID SEARCH").Raw("ALL")
		var s SearchResult
		cmd.On = s.Collect(cmd)
		err := c.Run(cmd)
		c.End()
		if got := fmt.Sprint(s.Ranges()); got != want || err != nil {
			t.Errorf("%s: %s, error %v, want %s", line, got, err, want)
		}
	}
}
