package wire

import (
	"net/mail"
	"testing"
	"time"
)

func TestInternalDates(t *testing.T) {
	for sent, want := range map[string]string{
		"17-Jul-1996 02:44:25 -0700":      "1996-07-17T02:44:25-07:00",
		" 7-Jul-1996 02:44:25 +0530":      "1996-07-07T02:44:25+05:30",
		"07-JUL-1996 02:44:25 +0000":      "1996-07-07T02:44:25Z",
		"29-Feb-2024 00:00:00 +0000":      "2024-02-29T00:00:00Z",
		"17-Jul-1996 02:44:60 +0000":      "1996-07-17T02:45:00Z",
		"17 Jul 1996 02:44:25 +0000":      "1996-07-17T02:44:25Z",
		"Wed, 17 Jul 1996 02:44:25 -0700": "1996-07-17T02:44:25-07:00",
		"31-Jun-2005 00:00:00 +0000":      "",
		"29-Feb-2023 00:00:00 +0000":      "",
		"0-Jun-2005 00:00:00 +0000":       "",
		"17-Jul-1996 24:00:00 +0000":      "",
		"17-Jul-1996 02:44:25 +9900":      "",
		"17-Jul-1996 02:44:25":            "",
		"17-Foo-1996 02:44:25 +0000":      "",
		"--1996 02:44:25 +0000":           "",
		"":                                "",
	} {
		got, ok := parseInternalDate([]byte(sent))
		if ok != (want != "") || ok && got.Format(time.RFC3339) != want {
			t.Errorf("%q: got %v, %v; want %q", sent, got, ok, want)
		}
	}
}

func TestDatesOfMessages(t *testing.T) {
	for sent, want := range map[string]string{
		"Mon, 30 Oct 2017 11:05:21 +0800 (CST)": "2017-10-30T11:05:21+08:00",
		"30 Oct 2017 11:05 GMT":                 "2017-10-30T11:05:00Z",
		"Mon, 30 Oct 17 11:05:21 EST":           "2017-10-30T11:05:21-05:00",
		"Mon, 30 Oct 97 11:05:21 PDT":           "1997-10-30T11:05:21-07:00",
		"Mon, 30 Oct 117 11:05:21 UT":           "2017-10-30T11:05:21Z",
		"Mon,  30  Oct 2017 11:05:21 -0000":     "2017-10-30T11:05:21Z",
		"2017-10-30 11:05:21 +0800":             "2017-10-30T11:05:21+08:00",
		"Monday, October 30, 2017 11:05 PM":     "2017-10-30T23:05:00Z",
	} {
		if got := parseDate([]byte(sent)).Format(time.RFC3339); got != want {
			t.Errorf("%q: got %s, want %s", sent, got, want)
		}
	}
	for _, sent := range []string{"", ",", "yesterday", "Mon, 31 Nov 2017 11:05:21 +0800", "30"} {
		if got := parseDate([]byte(sent)); !got.IsZero() {
			t.Errorf("%q: got %v, want none", sent, got)
		}
	}
}

// FuzzDates compares with package net/mail where both can read a date. That one
// does not know what the names of zones mean, and puts 1950 to 1968 in the next
// century where RFC 5322 section 4.3 does not.
func FuzzDates(f *testing.F) {
	for _, sent := range []string{
		"Mon, 30 Oct 2017 11:05:21 +0800 (CST)", "1 Jan 49 00:00 GMT", "31 Dec 50 23:59:59 -1200",
		"17-Jul-1996 02:44:25 -0700",
	} {
		f.Add(sent)
	}
	f.Fuzz(func(t *testing.T, sent string) {
		parseInternalDate([]byte(sent))
		got := parseDate([]byte(sent))
		want, err := mail.ParseDate(sent)
		if err != nil {
			return
		}
		if zone, _ := want.Zone(); zone != "" && zone != "UTC" {
			return
		}
		if !got.Equal(want) && !got.AddDate(100, 0, 0).Equal(want) {
			t.Errorf("%q: got %v, net/mail %v", sent, got, want)
		}
	})
}
