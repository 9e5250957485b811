// Package bench compares imapkit with go-imap v2, go-imap v1 and a floor, a
// program that does only the work itself, on a real Dovecot.
package bench

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imapkit/imapkit/internal/servertest"
)

var (
	rounds = flag.Int("rounds", 5, "how often each client does each job")
	scale  = flag.Int("scale", 1, "divide the mailboxes by this")
)

// TestMain runs one client in a process of its own, or the comparison.
func TestMain(m *testing.M) {
	if job := os.Getenv("BENCH_JOB"); job != "" {
		at := account{addr: os.Getenv("BENCH_ADDR"), user: os.Getenv("BENCH_USER"), password: os.Getenv("BENCH_PASSWORD"),
			box: os.Getenv("BENCH_BOX")}
		if root := os.Getenv("BENCH_ROOT"); root != "" {
			at.tls = &tls.Config{RootCAs: x509.NewCertPool()}
			at.tls.RootCAs.AppendCertsFromPEM([]byte(root))
		}
		r, err := clients[os.Getenv("BENCH_CLIENT")](job, at)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		json.NewEncoder(os.Stdout).Encode(report{r, peak()})
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A report is what a client's process prints.
type report struct {
	Result result
	PeakKB int64
}

// peak returns the largest resident size of this process. Its parent cannot ask
// for it: the rusage of a child begins with the parent's own size.
func peak() int64 {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kb); n == 1 {
			return kb
		}
	}
	return 0
}

// figures are what a run has cost.
type figures struct {
	cpu, wall time.Duration
	rss       int64 // KiB
}

func TestCompare(t *testing.T) {
	server := servertest.Dovecot(t)
	jobs := []struct {
		name, job string
		box       mailbox
		secure    bool
	}{
		{"10,000 envelopes", jobEnvelopes, mailbox{"Envelopes", 10_000 / *scale, 5_700}, false},
		{"flags of 100,000", jobFlags, mailbox{"Flags", 100_000 / *scale, 400}, false},
		{"57 MB of bodies", jobBodies, mailbox{"Envelopes", 10_000 / *scale, 5_700}, false},
		{"57 MB of bodies, TLS", jobBodies, mailbox{"Envelopes", 10_000 / *scale, 5_700}, true},
		{"3 bodies of 52 MB", jobBodies, mailbox{"Huge", 3, 52_000_000 / *scale}, false},
	}
	root, err := rootOf(server)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"floor", "imapkit", "go-imap v2", "go-imap v1"}
	filled := map[string]bool{}
	fmt.Printf("| job | client | CPU ms | x floor | wall ms | x floor | peak MB |\n|---|---|---|---|---|---|---|\n")
	for _, j := range jobs {
		if !filled[j.box.name] {
			if err := fill(server.Addr(), server.Username, server.Password, j.box); err != nil {
				t.Fatal(err)
			}
			filled[j.box.name] = true
		}
		where := []string{"BENCH_USER=" + server.Username, "BENCH_PASSWORD=" + server.Password, "BENCH_BOX=" + j.box.name}
		if j.secure {
			where = append(where, "BENCH_ADDR="+server.TLSAddr(), "BENCH_ROOT="+root)
		} else {
			where = append(where, "BENCH_ADDR="+server.Addr())
		}
		all := map[string][]figures{}
		var agreed *result
		for round := range *rounds {
			for i := range names { // in another order each round
				name := names[(i+round)%len(names)]
				fig, r := once(t, name, j.job, where)
				all[name] = append(all[name], fig)
				if agreed == nil {
					agreed = &r
				} else if r != *agreed {
					t.Errorf("%s: %s has seen %+v, another client %+v", j.name, name, r, *agreed)
				}
			}
		}
		base := median(all["floor"])
		for _, name := range names {
			f := median(all[name])
			fmt.Printf("| %s | %s | %d | %.2f | %d | %.2f | %.1f |\n", j.name, name,
				f.cpu.Milliseconds(), float64(f.cpu)/float64(base.cpu),
				f.wall.Milliseconds(), float64(f.wall)/float64(base.wall), float64(f.rss)/1024)
		}
	}
}

// rootOf returns the certificate that the server's is to be checked against.
func rootOf(server *servertest.Server) (string, error) {
	c, err := tls.Dial("tcp", server.TLSAddr(), server.TLSConfig())
	if err != nil {
		return "", err
	}
	defer c.Close()
	chain := c.ConnectionState().VerifiedChains[0]
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: chain[len(chain)-1].Raw})), nil
}

// once runs a client in a process of its own.
func once(t *testing.T, name, job string, where []string) (figures, result) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "BENCH_JOB="+job, "BENCH_CLIENT="+name), where...)
	cmd.Stderr = os.Stderr
	began := time.Now()
	out, err := cmd.Output()
	wall := time.Since(began)
	if err != nil {
		t.Fatalf("%s, %s: %v", name, job, err)
	}
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	return figures{cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), wall, r.PeakKB}, r.Result
}

// median takes the median of each figure.
func median(runs []figures) figures {
	of := func(value func(figures) int64) int64 {
		values := make([]int64, len(runs))
		for i, run := range runs {
			values[i] = value(run)
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return figures{
		cpu:  time.Duration(of(func(f figures) int64 { return int64(f.cpu) })),
		wall: time.Duration(of(func(f figures) int64 { return int64(f.wall) })),
		rss:  of(func(f figures) int64 { return f.rss }),
	}
}
