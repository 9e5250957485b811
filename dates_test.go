package imapkit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/imapkit/imapkit/internal/scripted"
)

// A dateServer knows messages by their internal dates and answers SINCE and
// BEFORE as RFC 3501 has it: by the day that is written in the date, whatever
// its time zone. Its searches have no other keys but SEEN, which odd UIDs are.
type dateServer struct {
	dates   []time.Time // of UID 1, 2, …
	eSearch bool
}

func (d dateServer) start(t *testing.T) (*scripted.Server, *Folder) {
	caps := "IMAP4rev1"
	if d.eSearch {
		caps += " ESEARCH"
	}
	return readFrom(t, scripted.Options{Caps: caps, Exists: len(d.dates),
		Handle: map[string]func(*scripted.Conn, scripted.Command){"UID SEARCH": d.search, "UID FETCH": d.fetch}})
}

func (d dateServer) search(c *scripted.Conn, cmd scripted.Command) {
	args := cmd.Args
	if d.eSearch {
		args = strings.TrimPrefix(strings.TrimPrefix(args, "RETURN (ALL) "), "RETURN (COUNT) ")
	}
	var found []string
	for i, date := range d.dates {
		words := strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ").Replace(args))
		if matches := d.all(&words, i+1, date); len(words) > 0 {
			c.Errorf("search %q: %q is left", cmd.Args, words)
		} else if matches {
			found = append(found, fmt.Sprint(i+1))
		}
	}
	switch {
	case !d.eSearch:
		c.Send("* SEARCH " + strings.Join(found, " "))
	case len(found) > 0:
		c.Sendf(`* ESEARCH (TAG "%s") UID ALL %s`, cmd.Tag, strings.Join(found, ","))
	default:
		c.Sendf(`* ESEARCH (TAG "%s") UID`, cmd.Tag)
	}
	c.OK(cmd.Tag, "done")
}

func (d dateServer) all(words *[]string, uid int, date time.Time) bool {
	matches := true
	for len(*words) > 0 && (*words)[0] != ")" {
		one := d.one(words, uid, date)
		matches = matches && one
	}
	return matches
}

func (d dateServer) one(words *[]string, uid int, date time.Time) bool {
	next := func() string {
		word := (*words)[0]
		*words = (*words)[1:]
		return word
	}
	written := time.Date(date.Year(), date.Month(), date.Day(), 0, 0, 0, 0, time.UTC)
	switch key := next(); key {
	case "(":
		matches := d.all(words, uid, date)
		next()
		return matches
	case "NOT":
		return !d.one(words, uid, date)
	case "OR":
		a := d.one(words, uid, date)
		b := d.one(words, uid, date)
		return a || b
	case "ALL":
		return true
	case "SEEN":
		return uid%2 == 1
	case "UID":
		set, err := parseTestSet(next())
		return err == nil && slices.Contains(set, imap.UID(uid))
	case "SINCE", "BEFORE":
		day, err := time.Parse("2-Jan-2006", next())
		if err != nil {
			panic(err)
		}
		return written.Before(day) == (key == "BEFORE")
	default:
		panic("unknown key " + key)
	}
}

// parseTestSet expands "1:3,7".
func parseTestSet(s string) ([]imap.UID, error) {
	var uids []imap.UID
	for part := range strings.SplitSeq(s, ",") {
		var first, last imap.UID
		if n, err := fmt.Sscanf(part, "%d:%d", &first, &last); n == 0 {
			return nil, err
		} else if n == 1 {
			last = first
		}
		for uid := first; uid <= last; uid++ {
			uids = append(uids, uid)
		}
	}
	return uids, nil
}

func (d dateServer) fetch(c *scripted.Conn, cmd scripted.Command) {
	set, _, _ := strings.Cut(cmd.Args, " ")
	uids, err := parseTestSet(set)
	if err != nil {
		c.Errorf("set %q: %v", set, err)
	}
	for _, uid := range uids {
		c.Sendf(`* %d FETCH (UID %d INTERNALDATE "%s")`, uid, uid, d.dates[uid-1].Format("_2-Jan-2006 15:04:05 -0700"))
	}
	c.OK(cmd.Tag, "done")
}

// aroundMidnight has messages around three midnights, in time zones from -12
// to +14 hours, and one second to each side of noon.
func aroundMidnight() []time.Time {
	var dates []time.Time
	for day := 9; day <= 13; day++ {
		for _, hours := range []int{-12, -5, 0, 1, 14} {
			zone := time.FixedZone("", hours*3600)
			for _, at := range []time.Duration{0, time.Second, 12*time.Hour - time.Second, 12 * time.Hour,
				12*time.Hour + time.Second, 24*time.Hour - time.Second} {
				dates = append(dates, time.Date(2026, 3, day, 0, 0, 0, 0, zone).Add(at))
			}
		}
	}
	return dates
}

func TestDatesAreExactToTheInstant(t *testing.T) {
	dates := aroundMidnight()
	noon := time.Date(2026, 3, 11, 12, 0, 0, 0, time.UTC)
	midnight := time.Date(2026, 3, 11, 0, 0, 0, 0, time.UTC)
	west := time.Date(2026, 3, 10, 0, 0, 0, 0, time.FixedZone("", -12*3600))
	berlin := time.Date(2026, 3, 11, 0, 0, 1, 0, time.FixedZone("", 3600))
	inDay := func(at, day time.Time) bool {
		at = at.In(day.Location())
		return at.YearDay() == day.YearDay() && at.Year() == day.Year()
	}
	seen := func(uid int) bool { return uid%2 == 1 }
	type match func(uid int, at time.Time) bool
	for name, tc := range map[string]struct {
		query Query
		want  match
	}{
		"Since noon":            {Since(noon), func(_ int, at time.Time) bool { return !at.Before(noon) }},
		"Since midnight":        {Since(midnight), func(_ int, at time.Time) bool { return !at.Before(midnight) }},
		"Since in the far west": {Since(west), func(_ int, at time.Time) bool { return !at.Before(west) }},
		"Before noon":           {Before(noon), func(_ int, at time.Time) bool { return at.Before(noon) }},
		"Before, Berlin":        {Before(berlin), func(_ int, at time.Time) bool { return at.Before(berlin) }},
		"On, UTC":               {On(noon), func(_ int, at time.Time) bool { return inDay(at, noon) }},
		"On, Berlin":            {On(berlin), func(_ int, at time.Time) bool { return inDay(at, berlin) }},
		"On, far west":          {On(west), func(_ int, at time.Time) bool { return inDay(at, west) }},
		"Not Since":             {Not(Since(noon)), func(_ int, at time.Time) bool { return at.Before(noon) }},
		"Not On":                {Not(On(berlin)), func(_ int, at time.Time) bool { return !inDay(at, berlin) }},
		"one moment":            {And(Since(noon), Before(noon.Add(time.Second))), func(_ int, at time.Time) bool { return at.Equal(noon) }},
		"nothing in between":    {And(Since(noon), Before(noon)), func(int, time.Time) bool { return false }},
		"And with a flag":       {And(Seen(), Since(noon)), func(uid int, at time.Time) bool { return seen(uid) && !at.Before(noon) }},
		"Or with a flag":        {Or(Seen(), Since(noon)), func(uid int, at time.Time) bool { return seen(uid) || !at.Before(noon) }},
		"Not Or with a flag":    {Not(Or(Seen(), Since(noon))), func(uid int, at time.Time) bool { return !seen(uid) && at.Before(noon) }},
		"Or of days":            {Or(On(berlin), On(west)), func(_ int, at time.Time) bool { return inDay(at, berlin) || inDay(at, west) }},
		"flags that vary by day": {Or(And(Seen(), Since(noon)), And(Not(Seen()), Before(berlin))), func(uid int, at time.Time) bool {
			return seen(uid) && !at.Before(noon) || !seen(uid) && at.Before(berlin)
		}},
		"Not And in Or": {Or(Not(And(Seen(), Since(noon))), UIDs(3)), func(uid int, at time.Time) bool {
			return uid == 3 || !(seen(uid) && !at.Before(noon))
		}},
	} {
		for _, eSearch := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/ESEARCH=%v", name, eSearch), func(t *testing.T) {
				_, f := dateServer{dates, eSearch}.start(t)
				var want []imap.UID
				for i, at := range dates {
					if tc.want(i+1, at) {
						want = append(want, imap.UID(i+1))
					}
				}
				got, err := f.Search(context.Background(), tc.query)
				if err != nil {
					t.Fatal(err)
				}
				equalUIDs(t, "Search", got, want)
				if n, err := f.Count(context.Background(), tc.query); n != len(want) || err != nil {
					t.Errorf("Count: %d, %v, want %d", n, err, len(want))
				}
			})
		}
	}
}

func TestDatesFarFromEveryMessageCostNoFetch(t *testing.T) {
	s, f := dateServer{aroundMidnight(), true}.start(t)
	got, err := f.Search(context.Background(), Since(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
	if err != nil || len(got) != len(aroundMidnight()) {
		t.Errorf("%d messages, %v", len(got), err)
	}
	if sent := commandsLike(s, "UID FETCH"); len(sent) > 0 {
		t.Errorf("sent %q", sent)
	}
}

func TestAgesFallBackToDates(t *testing.T) {
	now := time.Now()
	dates := []time.Time{now.Add(-72 * time.Hour), now.Add(-2 * time.Hour), now.Add(-time.Minute)}
	for name, tc := range map[string]struct {
		query Query
		want  []imap.UID
	}{
		"Younger": {Younger(time.Hour), []imap.UID{3}},
		"Older":   {Older(time.Hour), []imap.UID{1, 2}},
		"both":    {And(Older(time.Hour), Younger(24*time.Hour)), []imap.UID{2}},
	} {
		_, f := dateServer{dates, false}.start(t)
		got, err := f.Search(context.Background(), tc.query)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		equalUIDs(t, name, got, tc.want)
	}
}
