package rfc5322

import (
	"strings"
	"time"
)

// ParseDate reads the value of a Date field (RFC 5322 section 3.3), also in
// its obsolete forms, in those of asctime and ISO 8601, without a zone (UTC) or
// without seconds. It returns false if there is no day, month and year.
func ParseDate(value string) (time.Time, bool) {
	value = strings.TrimSpace(value)
	if len(value) > len("2006-") && value[4] == '-' {
		for _, layout := range isoLayouts {
			if t, err := time.Parse(layout, strings.Replace(value, " ", "T", 1)); err == nil {
				return t, true
			}
		}
		return time.Time{}, false
	}
	value = strings.Join(strings.Fields(withoutComments(value)), " ")
	value = aroundColons.Replace(value)
	var (
		day, year = 0, -1
		month     time.Month
		clock     [3]int
		timed     bool
		loc       = time.UTC
	)
	for word, rest := nextWord(value); word != ""; word, rest = nextWord(rest) {
		n, digits := number(word)
		switch {
		case digits > 0 && digits < len(word) && (word[digits] == ':' || word[digits] == '.') && !timed:
			if clock, timed = parseClock(word); !timed {
				return time.Time{}, false
			}
		case timed && clock[0] <= 12 && (strings.EqualFold(word, "AM") || strings.EqualFold(word, "PM")):
			if clock[0] %= 12; word[0]|0x20 == 'p' {
				clock[0] += 12
			}
		case (word[0] == '+' || word[0] == '-') && timed:
			loc = parseOffset(word)
		case digits == len(word) && digits <= 2 && day == 0:
			day = n
		case digits == len(word) && digits <= 4 && year < 0:
			year = fullYear(n, digits)
		case digits == len(word) && digits == 4 && timed: // its sign is missing
			loc = parseOffset("+" + word)
		case month == 0 && digits == 0 && parseMonth(word) != 0:
			month = parseMonth(word)
		case timed:
			if l, ok := zoneNames[strings.ToUpper(word)]; ok {
				loc = l
			}
		}
	}
	lastDay := time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
	if day < 1 || day > lastDay || month == 0 || year < 0 {
		return time.Time{}, false
	}
	return time.Date(year, month, day, clock[0], clock[1], clock[2], 0, loc), true
}

// isoLayouts are the forms of ISO 8601 with and without a clock and a zone.
var isoLayouts = []string{
	time.RFC3339, "2006-01-02T15:04:05 -0700", "2006-01-02T15:04:05-0700", "2006-01-02T15:04:05", "2006-01-02",
}

// aroundColons removes the blanks that the obsolete syntax allows in "9 : 55".
var aroundColons = strings.NewReplacer(" : ", ":", " :", ":", ": ", ":")

// nextWord cuts the first word off s, at blanks, commas and hyphens between
// letters and digits ("1-Jul-2003").
func nextWord(s string) (word, rest string) {
	if s = strings.TrimLeft(s, " ,"); s == "" {
		return "", ""
	}
	i := 1
	for i < len(s) && !strings.ContainsRune(" ,-+", rune(s[i])) {
		i++
	}
	if i < len(s) && s[i] == '-' && strings.IndexByte(s[:i], ':') < 0 {
		return s[:i], s[i+1:]
	}
	return s[:i], s[i:]
}

// number reads leading digits, at most nine.
func number(s string) (n, digits int) {
	for digits < len(s) && digits < 9 && s[digits] >= '0' && s[digits] <= '9' {
		n = n*10 + int(s[digits]-'0')
		digits++
	}
	return n, digits
}

// fullYear completes years of two and three digits (RFC 5322 section 4.3).
func fullYear(n, digits int) int {
	switch {
	case digits <= 2 && n < 50:
		return n + 2000
	case digits <= 3:
		return n + 1900
	}
	return n
}

func parseClock(s string) (clock [3]int, ok bool) {
	limits := [3]int{23, 59, 60}
	for i := range clock {
		n, digits := number(s)
		if digits == 0 || n > limits[i] {
			return clock, false
		}
		clock[i] = n
		s = s[digits:]
		if s == "" || s[0] != ':' && s[0] != '.' {
			return clock, i > 0
		}
		s = s[1:]
	}
	return clock, true
}

func parseMonth(s string) time.Month {
	const names = "janfebmaraprmayjunjulaugsepoctnovdec"
	if len(s) < 3 {
		return 0
	}
	i := strings.Index(names, strings.ToLower(s[:3]))
	if i < 0 || i%3 != 0 {
		return 0
	}
	return time.Month(i/3 + 1)
}

// parseOffset reads +hhmm; what is beyond a day counts as UTC.
func parseOffset(s string) *time.Location {
	n, digits := number(strings.Replace(s[1:], ":", "", 1))
	if digits <= 2 {
		n *= 100
	}
	offset := n/100*3600 + n%100*60
	if offset == 0 || offset >= 24*3600 {
		return time.UTC
	}
	if s[0] == '-' {
		offset = -offset
	}
	return time.FixedZone("", offset)
}

// zoneNames are the zones that RFC 5322 section 4.3 gives a meaning.
var zoneNames = map[string]*time.Location{
	"EDT": time.FixedZone("", -4*3600), "EST": time.FixedZone("", -5*3600),
	"CDT": time.FixedZone("", -5*3600), "CST": time.FixedZone("", -6*3600),
	"MDT": time.FixedZone("", -6*3600), "MST": time.FixedZone("", -7*3600),
	"PDT": time.FixedZone("", -7*3600), "PST": time.FixedZone("", -8*3600),
}
