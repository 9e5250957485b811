package wire

import (
	"bytes"
	"net/mail"
	"sync/atomic"
	"time"

	"github.com/imapkit/imapkit/internal/rfc5322"
)

var monthNames = [...]string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}

func month(b []byte) (time.Month, bool) {
	for i, name := range monthNames {
		if equalFold(b, name) {
			return time.Month(i + 1), true
		}
	}
	return 0, false
}

// digits reads a decimal number without sign.
func digits(b []byte) (int, bool) {
	n := 0
	for _, ch := range b {
		if ch < '0' || ch > '9' {
			return 0, false
		}
		n = n*10 + int(ch-'0')
	}
	return n, len(b) > 0 && len(b) < 10
}

// fields cuts b at blanks without allocating; n is how many there are, at most
// len(f).
func fields(b []byte, f *[8][]byte) (n int) {
	for i := 0; n < len(f); n++ {
		for i < len(b) && isBlank(b[i]) {
			i++
		}
		if i == len(b) {
			break
		}
		begin := i
		for i < len(b) && !isBlank(b[i]) {
			i++
		}
		f[n] = b[begin:i]
	}
	return n
}

func isBlank(ch byte) bool { return ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n' }

// clock reads hh:mm or hh:mm:ss.
func clock(b []byte) (h, m, s int, ok bool) {
	i := bytes.IndexByte(b, ':')
	if i < 0 {
		return 0, 0, 0, false
	}
	var okH, okM bool
	okS := true
	h, okH = digits(b[:i])
	b = b[i+1:]
	if j := bytes.IndexByte(b, ':'); j >= 0 {
		s, okS = digits(b[j+1:])
		b = b[:j]
	}
	m, okM = digits(b)
	return h, m, s, okH && okM && okS && h < 24 && m < 60 && s < 61
}

// zone reads +hhmm, or GMT and UT in their spellings.
func zone(b []byte) (*time.Location, bool) {
	if len(b) == 5 && (b[0] == '+' || b[0] == '-') {
		n, ok := digits(b[1:])
		if !ok || n%100 > 59 || n >= 2400 {
			return nil, false
		}
		offset := n/100*3600 + n%100*60
		if b[0] == '-' {
			offset = -offset
		}
		return fixedZone(offset), true
	}
	if equalFold(b, "GMT") || equalFold(b, "UT") || equalFold(b, "UTC") || equalFold(b, "Z") {
		return time.UTC, true
	}
	for _, z := range northAmerican {
		if equalFold(b, z.name) {
			return fixedZone(z.hours * 3600), true
		}
	}
	return nil, false
}

// northAmerican are the zones whose names RFC 5322 section 4.3 gives a meaning.
var northAmerican = [...]struct {
	name  string
	hours int
}{
	{"EDT", -4}, {"EST", -5}, {"CDT", -5}, {"CST", -6}, {"MDT", -6}, {"MST", -7}, {"PDT", -7}, {"PST", -8},
}

// zones holds a location for each quarter of an hour from -12 to +14, made when
// the first date is in it: a mailbox has thousands of dates and few zones.
var zones [26*4 + 1]atomic.Pointer[time.Location]

func fixedZone(offset int) *time.Location {
	i := offset/900 + 48
	switch {
	case offset == 0:
		return time.UTC
	case offset%900 != 0 || i < 0 || i >= len(zones):
		return time.FixedZone("", offset)
	}
	zone := zones[i].Load()
	if zone == nil {
		zone = time.FixedZone("", offset)
		zones[i].Store(zone)
	}
	return zone
}

// date makes a time of its parts. Years of two digits are those of RFC 5322
// section 4.3.
func date(day, mon, year, clk, zon []byte) (time.Time, bool) {
	d, ok1 := digits(day)
	m, ok2 := month(mon)
	y, ok3 := digits(year)
	hh, mm, ss, ok4 := clock(clk)
	loc, ok5 := zone(zon)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
		return time.Time{}, false
	}
	switch {
	case len(year) == 2 && y < 50:
		y += 2000
	case len(year) <= 3:
		y += 1900
	}
	if d < 1 || d > daysIn(m, y) {
		return time.Time{}, false
	}
	return time.Date(y, m, d, hh, mm, ss, 0, loc), true
}

func daysIn(m time.Month, year int) int { return time.Date(year, m+1, 0, 0, 0, 0, 0, time.UTC).Day() }

// parseDate reads the Date field of a message, as [rfc5322.ParseDate] does.
// Dates that nobody can read are the zero time: that is not worth an error, a
// third of all spam has one.
func parseDate(b []byte) time.Time {
	if t, ok := plainDate(b); ok {
		return t
	}
	t, _ := rfc5322.ParseDate(string(b))
	return t
}

// plainDate reads a date as nearly all are: "Mon, 30 Oct 2017 11:05:21 +0800".
func plainDate(b []byte) (time.Time, bool) {
	var f [8][]byte
	n := fields(b, &f)
	i := 0
	if n > 0 && f[0][len(f[0])-1] == ',' {
		i = 1 // day of the week
	}
	if n < i+5 {
		return time.Time{}, false
	}
	return date(f[i], f[i+1], f[i+2], f[i+3], f[i+4])
}

// parseInternalDate reads "17-Jul-1996 02:44:25 -0700" (RFC 9051 section 9,
// date-time), also with blanks where the hyphens belong.
func parseInternalDate(b []byte) (time.Time, bool) {
	var f [8][]byte
	n := fields(b, &f)
	if n == 3 {
		if i, j := bytes.IndexByte(f[0], '-'), bytes.LastIndexByte(f[0], '-'); i >= 0 && j > i {
			return date(f[0][:i], f[0][i+1:j], f[0][j+1:], f[1], f[2])
		}
	}
	if t, ok := plainDate(b); ok {
		return t, true
	}
	t, err := mail.ParseDate(string(b))
	return t, err == nil
}
