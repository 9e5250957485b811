package imapkit

// WithProgress returns a handle on the same folder that tells fn how far long
// work is: Messages, FetchAll, Raw, Sort and Threads call it after each message
// that they have got from the server, with the number of messages done and of
// all there are to do. Those that turn out to be gone count as done at the end.
// fn is called by the goroutine that does the work, and should be quick.
func (f *Folder) WithProgress(fn func(done, total int)) *Folder {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &Folder{client: f.client, name: f.name, progress: fn, uidValidity: f.uidValidity}
}

func (f *Folder) report(done, total int) {
	if f.progress != nil && total > 0 {
		f.progress(done, total)
	}
}
