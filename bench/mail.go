package bench

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net"
	"strings"
	"time"
)

// A mailbox is filled with messages that are the same at every run.
type mailbox struct {
	name     string
	messages int
	body     int // bytes, about
}

var nouns = strings.Fields("tide harbour lantern orchard ledger meadow signal copper willow anchor cinder marble")

// message makes the i-th message: every third subject is encoded, every fifth
// sender's name has quotes, which servers send as a literal.
func message(r *rand.Rand, i, body int) []byte {
	pick := func() string { return nouns[r.IntN(len(nouns))] }
	subject := fmt.Sprintf("%s and %s, number %d", pick(), pick(), i)
	if i%3 == 1 {
		subject = mime.BEncoding.Encode("utf-8", subject+" – größer")
	}
	sender := "Noor Haddad"
	if i%5 == 2 {
		sender = `"Noor \"Nono\" Haddad"`
	}
	var b bytes.Buffer
	date := time.Date(2021, 3, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * 41 * time.Minute)
	fmt.Fprintf(&b, "From: %s <noor@example.org>\r\nTo: Desk <desk@example.com>, b%d@example.net\r\nCc: list@example.org\r\n", sender, i%97)
	fmt.Fprintf(&b, "Subject: %s\r\nDate: %s\r\nMessage-ID: <%d.%d@example.org>\r\n", subject, date.Format(time.RFC1123Z), i, r.Uint32())
	b.WriteString("MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	raw := make([]byte, 57)
	for b.Len() < body {
		for k := range raw {
			raw[k] = byte(r.Uint32())
		}
		b.WriteString(base64.StdEncoding.EncodeToString(raw))
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

// fill makes a mailbox on the server, a few hundred messages at a time.
func fill(addr, user, password string, box mailbox) error {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	r, w := bufio.NewReader(nc), bufio.NewWriterSize(nc, 1<<20)
	wait := func(tag string) error {
		if err := w.Flush(); err != nil {
			return err
		}
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return err
			}
			if strings.HasPrefix(line, tag+" ") {
				if !strings.HasPrefix(line, tag+" OK") {
					return fmt.Errorf("filling %s: %s", box.name, line)
				}
				return nil
			}
		}
	}
	fmt.Fprintf(w, "a LOGIN %s %s\r\n", user, password)
	if err := wait("a"); err != nil {
		return err
	}
	fmt.Fprintf(w, "b CREATE %s\r\n", box.name)
	if err := wait("b"); err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(7, 11))
	for i := 0; i < box.messages; {
		fmt.Fprintf(w, "c APPEND %s", box.name)
		for n := 0; n < 500 && i < box.messages; n++ {
			flags := ""
			if i%3 != 0 {
				flags = ` (\Seen)`
			}
			m := message(random, i, box.body)
			fmt.Fprintf(w, "%s {%d+}\r\n", flags, len(m))
			if _, err := w.Write(m); err != nil {
				return err
			}
			i++
		}
		io.WriteString(w, "\r\n")
		if err := wait("c"); err != nil {
			return err
		}
	}
	return nil
}
