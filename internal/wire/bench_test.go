package wire

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
)

// benchmarkFetch reads n responses, which line makes, and reports what one
// costs.
func benchmarkFetch(b *testing.B, n int, stream bool, line func(i int) string) {
	var server strings.Builder
	for i := range n {
		server.WriteString(line(i + 1))
	}
	server.WriteString("k1 OK done\r\n")
	limits := Limits{Line: 1 << 20, Literal: 1 << 20, Result: 1 << 20, Message: 1 << 20, Depth: 64, Responses: 1 << 20}
	b.SetBytes(int64(server.Len()))
	b.ReportAllocs()
	for b.Loop() {
		c := NewConn(spoken{r: strings.NewReader(server.String())}, limits, new(Names), nil)
		c.Begin(context.Background(), 0, false)
		r := c.NewFetchReader()
		if stream {
			r.Stream = "BODY.PEEK[]"
		}
		err := r.Add(c.Command("UID FETCH").Raw("1:* (X)"))
		got := 0
		for ; err == nil; got++ {
			var m *Fetched
			if m, err = r.Next(); err == nil && m.Body != nil {
				_, err = io.Copy(io.Discard, m.Body)
			}
		}
		if err != io.EOF || got != n+1 {
			b.Fatalf("%d messages, %v", got-1, err)
		}
		c.End()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/message")
}

func BenchmarkEnvelopes(b *testing.B) {
	benchmarkFetch(b, 10_000, false, func(i int) string {
		from := `(("=?utf-8?q?J=C3=B6rg?= Maier" NIL "jm` + fmt.Sprint(i) + `" "one.example"))`
		return fmt.Sprintf(`* %d FETCH (UID %d FLAGS (\Seen) INTERNALDATE "17-Jul-2023 02:44:25 -0700" RFC822.SIZE 4286 `+
			`ENVELOPE ("Mon, 17 Jul 2023 02:23:25 -0700 (PDT)" "Minutes of meeting %d" %s %s %s `+
			`((NIL NIL "list" "two.example")("Ann" NIL "ann" "two.example")) NIL NIL `+
			`"<a%d@one.example>" "<b%d@one.example>"))`+"\r\n",
			i, i, i, from, from, from, i, i)
	})
}

func BenchmarkFlags(b *testing.B) {
	benchmarkFetch(b, 100_000, false, func(i int) string {
		return fmt.Sprintf("* %d FETCH (UID %d FLAGS (\\Seen \\Answered) MODSEQ (%d))\r\n", i, i, 1000+i)
	})
}

func BenchmarkBodyStructures(b *testing.B) {
	benchmarkFetch(b, 10_000, false, func(i int) string {
		return fmt.Sprintf(`* %d FETCH (UID %d BODYSTRUCTURE (`+
			`("text" "plain" ("charset" "utf-8" "format" "flowed") NIL NIL "quoted-printable" 1152 23 NIL NIL NIL NIL)`+
			`("application" "pdf" ("name" "a.pdf") NIL NIL "base64" 45520 NIL ("attachment" ("filename" "a.pdf")) NIL NIL) `+
			`"mixed" ("boundary" "b%d") NIL NIL NIL))`+"\r\n", i, i, i)
	})
}

func BenchmarkBodies(b *testing.B) {
	body := strings.Repeat("0123456789abcdef", 4<<10)
	line := func(i int) string {
		return fmt.Sprintf("* %d FETCH (UID %d BODY[] {%d}\r\n%s)\r\n", i, i, len(body), body)
	}
	b.Run("held", func(b *testing.B) { benchmarkFetch(b, 200, false, line) })
	b.Run("streamed", func(b *testing.B) { benchmarkFetch(b, 200, true, line) })
}
