package rfc5322

import "strings"

// MessageIDs returns the identifiers in the value of a Message-ID, In-Reply-To
// or References field, without angle brackets. Text around them ("your message
// of Monday") is left out; a single word without brackets is one.
func MessageIDs(value string) []string {
	var ids []string
	for rest := value; ; {
		_, after, found := strings.Cut(rest, "<")
		if !found {
			break
		}
		id, next, _ := strings.Cut(after, ">")
		if id = strings.Join(strings.Fields(id), ""); id != "" {
			ids = append(ids, id)
		}
		rest = next
	}
	if !strings.Contains(value, "<") {
		if words := strings.Fields(value); len(words) == 1 {
			return words
		}
	}
	return ids
}
