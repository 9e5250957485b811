package imapkittest

import (
	"embed"
	"io/fs"
)

//go:embed sample
var sampleFiles embed.FS

// sampleMessages is the mailbox of a server for which no other is given.
func sampleMessages() map[string]fs.FS {
	folders := make(map[string]fs.FS)
	for name, dir := range map[string]string{
		inbox:          "sample/inbox",
		"Archive/2024": "sample/archive-2024",
		"Drafts":       "sample/drafts",
		"Junk":         "sample/junk",
		"Sent":         "sample/sent",
		"Trash":        "sample/trash",
	} {
		files, err := fs.Sub(sampleFiles, dir)
		if err != nil {
			panic(err)
		}
		folders[name] = files
	}
	return folders
}
