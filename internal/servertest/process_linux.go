package servertest

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startTimeout is how long a server may take to become ready; it takes a tenth of a second on an idle machine.
const startTimeout = 30 * time.Second

// launch starts a server, or skips the test, or fails it.
func launch(t testing.TB, s spec, opts []Option) *process {
	t.Helper()
	for _, opt := range opts {
		opt(&s)
	}
	if why := s.unavailable(); why != nil {
		if os.Getenv("IMAPKIT_REQUIRE_SERVERS") == "1" && errors.Is(why, os.ErrNotExist) {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	// A port found free may be taken when the server gets to it.
	for attempt := 1; ; attempt++ {
		p, err := s.run()
		if err == nil {
			return p
		}
		if attempt == 3 {
			t.Fatalf("%s: %v", s.name, err)
		}
	}
}

// prefix is where the programs are unpacked; empty: they are those of the system.
func prefix() string {
	dir := os.Getenv("IMAPKIT_SERVERS")
	if dir == "" {
		dir = "/var/cache/imapkit-servers"
	}
	if _, err := os.Stat(filepath.Join(dir, "usr")); err != nil {
		return ""
	}
	return dir
}

// unavailable returns why the server cannot run here, or nil.
func (s *spec) unavailable() error {
	if _, err := os.Stat(prefix() + s.program); err != nil {
		return fmt.Errorf("%s is not installed: %w", s.name, err)
	}
	if (s.root || s.private) && os.Geteuid() != 0 {
		return fmt.Errorf("%s has to be started by root", s.name)
	}
	_, err := os.Stat(s.program)
	if private := s.private || s.overlay && err != nil; private && !isolates() {
		return fmt.Errorf("%s needs mounts of its own, which this machine does not allow", s.name)
	}
	return nil
}

// isolated makes a process the first of a PID namespace, with mounts of its own: all it starts ends with it, and it
// ends with this test binary.
func isolated(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:      true,
		Pdeathsig:    syscall.SIGKILL,
		Cloneflags:   syscall.CLONE_NEWPID,
		Unshareflags: syscall.CLONE_NEWNS,
	}
}

// isolates reports whether this machine allows that.
var isolates = sync.OnceValue(func() bool {
	cmd := exec.Command("mount", "-t", "proc", "proc", "/proc")
	isolated(cmd)
	return cmd.Run() == nil
})

// command runs a script. The shell that remains as the first process is there because servers change their user, by
// which they would escape Pdeathsig.
func command(args []string) *exec.Cmd {
	if !isolates() {
		cmd := exec.Command("bash", args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		return cmd
	}
	cmd := exec.Command("bash", append([]string{"-c", `mount -t proc proc /proc && bash "$@"; exit`, "bash"}, args...)...)
	isolated(cmd)
	return cmd
}

// process is a running server.
type process struct {
	spec  spec
	ports []int
	roots *x509.CertPool
	dir   string
	cmd   *exec.Cmd
	out   output
	ended chan struct{} // closed when the process has ended
}

// run starts the server and waits until it is ready.
func (s *spec) run() (*process, error) {
	script, err := findScript(s.name)
	if err != nil {
		return nil, err
	}
	ca, err := newAuthority()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(s.ports)
	if err != nil {
		return nil, err
	}
	p := &process{spec: *s, ports: ports, roots: ca.roots(), ended: make(chan struct{})}
	// Not t.TempDir: unix sockets live in it, whose paths have at most 107 bytes.
	if p.dir, err = os.MkdirTemp("", "imap"); err != nil {
		return nil, err
	}
	if err := errors.Join(os.Chmod(p.dir, 0o755), ca.write(filepath.Join(p.dir, "pki"))); err != nil {
		os.RemoveAll(p.dir)
		return nil, err
	}
	args := []string{script, prefix(), p.dir}
	for _, port := range ports {
		args = append(args, strconv.Itoa(port))
	}
	p.cmd = command(args)
	p.cmd.Dir = "/"
	p.cmd.Env = append(os.Environ(), s.env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		os.RemoveAll(p.dir)
		return nil, err
	}
	go func() {
		p.cmd.Wait()
		close(p.ended)
	}()
	if err := p.wait(); err != nil {
		p.stop()
		return nil, fmt.Errorf("%w\n%s", err, p.printed())
	}
	return p, nil
}

// stop ends the server with all it has started.
func (p *process) stop() {
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.ended
	os.RemoveAll(p.dir)
}

// wait returns when the server is ready.
func (p *process) wait() error {
	deadline := time.Now().Add(startTimeout)
	for i := range p.ports {
		for !p.ready(i) {
			select {
			case <-p.ended:
				return errors.New("ended instead of starting")
			case <-time.After(5 * time.Millisecond):
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("not ready after %v", startTimeout)
			}
		}
	}
	select {
	case <-p.ended:
		return errors.New("ended while starting")
	default:
		return nil
	}
}

// ready reports whether a port is served.
func (p *process) ready(i int) bool {
	conn, err := net.Dial("tcp", p.addr(i))
	if err != nil {
		return false
	}
	defer conn.Close()
	if !p.spec.imap || i > 0 {
		return true
	}
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	line, err := bufio.NewReader(conn).ReadString('\n')
	// Dovecot's "* OK Waiting for authentication process to respond.." comes before the greeting.
	return err == nil && !strings.HasPrefix(line, "* OK Waiting")
}

// printed returns what the server has printed so far.
func (p *process) printed() string { return p.out.String() }

func (p *process) addr(i int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.ports[i])) }

// findScript finds a start script from the folder of any package of this repo.
func findScript(name string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		script := filepath.Join(dir, "testdata", "servers", name+".sh")
		if _, err := os.Stat(script); err == nil {
			return script, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no testdata/servers/%s.sh above the working folder", name)
		}
		dir = parent
	}
}

// freePorts returns ports below those that the system gives to outgoing connections, which would take them away.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range 1000 {
		port := 10000 + rand.IntN(20000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		defer l.Close() // only after the last one is found, so that all differ
		if ports = append(ports, port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, errors.New("no free ports")
}

// output keeps what a server prints, while it still prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
