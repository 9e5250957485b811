package thread

import "strings"

// BaseSubject extracts the base subject of RFC 5256 section 2.1 from s, a
// subject whose encoded-words are decoded already. isReply reports whether
// that removed a mark of a reply or a forward: "re:", "fw:" or "fwd:", a
// trailing "(fwd)", or "[fwd:" and "]" around the rest. Case is kept: the
// caller compares base subjects with the collation it needs. It takes time
// linear in the length of s.
func BaseSubject(s string) (base string, isReply bool) {
	s = singleSpaces(s)
	for {
		var trailer, leader bool
		s, trailer = cutTrailers(s)
		s, leader = cutLeaders(s)
		isReply = isReply || trailer || leader
		if !hasFoldPrefix(s, "[fwd:") || !strings.HasSuffix(s, "]") {
			return s, isReply
		}
		s, isReply = s[len("[fwd:"):len(s)-1], true
	}
}

// singleSpaces is step 1: a run of spaces, tabs and line breaks becomes one
// space.
func singleSpaces(s string) string {
	if !strings.ContainsAny(s, "\t\r\n") && !strings.Contains(s, "  ") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := range len(s) {
		c := s[i]
		if c == '\t' || c == '\r' || c == '\n' {
			c = ' '
		}
		if c != ' ' || len(out) == 0 || out[len(out)-1] != ' ' {
			out = append(out, c)
		}
	}
	return string(out)
}

// cutTrailers is step 2: spaces and "(fwd)" go from the end.
func cutTrailers(s string) (rest string, forward bool) {
	for {
		s = strings.TrimRight(s, " ")
		const mark = "(fwd)"
		if len(s) < len(mark) || !hasFoldPrefix(s[len(s)-len(mark):], mark) {
			return s, forward
		}
		s, forward = s[:len(s)-len(mark)], true
	}
}

// cutLeaders is steps 3 to 5. The RFC takes blobs away one by one and looks
// for a reply mark behind all the remaining ones each time. Whether there is
// a mark behind a run of blobs is the same question for each of them, so one
// look answers it for the run, and the whole takes linear time.
func cutLeaders(s string) (rest string, isReply bool) {
	for {
		s = strings.TrimLeft(s, " ")
		last := s
		behind := s
		for {
			after, ok := cutBlob(behind)
			if !ok {
				break
			}
			last, behind = behind, after
		}
		if after, ok := cutReplyMark(behind); ok {
			s, isReply = after, true
			continue
		}
		if behind == "" {
			return last, isReply // a blob with nothing behind it is the subject
		}
		return behind, isReply
	}
}

// cutBlob cuts one "[text]" and the spaces behind it.
func cutBlob(s string) (rest string, ok bool) {
	if !strings.HasPrefix(s, "[") {
		return s, false
	}
	end := strings.IndexAny(s[1:], "[]")
	if end < 0 || s[1+end] != ']' {
		return s, false
	}
	return strings.TrimLeft(s[end+2:], " "), true
}

// cutReplyMark cuts "re:", "fw:" or "fwd:", with or without a blob before the
// colon.
func cutReplyMark(s string) (rest string, ok bool) {
	switch {
	case hasFoldPrefix(s, "re"):
		rest = s[len("re"):]
	case hasFoldPrefix(s, "fwd"):
		rest = s[len("fwd"):]
	case hasFoldPrefix(s, "fw"):
		rest = s[len("fw"):]
	default:
		return s, false
	}
	rest, _ = cutBlob(strings.TrimLeft(rest, " "))
	return strings.CutPrefix(rest, ":")
}

// hasFoldPrefix reports whether s begins with prefix, which is lower-case
// ASCII, in any case. Only ASCII letters fold: the length stays the same.
func hasFoldPrefix(s, prefix string) bool {
	if len(s) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}
