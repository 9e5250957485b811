package imapkit

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/imapkit/imapkit/internal/wire"
)

// headStart is what the better of two attempts gets before the other begins.
const headStart = 250 * time.Millisecond

// A route is a way to reach the server that has worked.
type route struct {
	security Security
	port     int
}

// attempts returns what can be tried, the better ways first.
func (c *Client) attempts() []route {
	switch {
	case c.Security == SecurityImplicitTLS:
		return []route{{SecurityImplicitTLS, cmpPort(c.Port, 993)}}
	case c.Security != SecurityAuto:
		return []route{{c.Security, cmpPort(c.Port, 143)}}
	case c.Port == 0:
		return []route{{SecurityImplicitTLS, 993}, {SecurityStartTLS, 143}}
	case c.Port == 143:
		return []route{{SecurityStartTLS, 143}, {SecurityImplicitTLS, 143}}
	default:
		return []route{{SecurityImplicitTLS, c.Port}, {SecurityStartTLS, c.Port}}
	}
}

func cmpPort(port, otherwise int) int {
	if port == 0 {
		return otherwise
	}
	return port
}

// connect makes a connection that is ready for logging in. What has worked
// before is tried first, and by itself.
func (c *Client) connect(ctx context.Context) (*session, error) {
	c.mu.Lock()
	known := c.route
	c.mu.Unlock()
	if known != nil {
		s, _, err := c.try(ctx, *known, 0)
		if err == nil {
			return s, nil
		}
		failed := &ConnectError{Attempts: []Attempt{{known.security, c.addr(known.port), err}}}
		if c.Security != SecurityAuto || ctx.Err() != nil {
			return nil, failed
		}
		// The network may be another one today: find out anew.
	}
	s, worked, err := c.race(ctx, c.attempts())
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	if c.route == nil || *c.route != worked {
		c.route = &worked
		c.capsBefore, c.capsAfter = nil, nil // were those of another way
	}
	c.mu.Unlock()
	return s, nil
}

// hasWorked reports whether the server was reached this way before.
func (c *Client) hasWorked(way route) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.route != nil && *c.route == way
}

// race makes attempts side by side, each with a short head start before the
// next, takes the first that succeeds and closes the others.
func (c *Client) race(ctx context.Context, routes []route) (*session, route, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type result struct {
		i     int
		s     *session
		spoke bool
		err   error
	}
	results := make(chan result, len(routes))
	failed := new(ConnectError)
	pending := 0
	began := time.Now()
	timer := time.NewTimer(headStart)
	defer timer.Stop()
	begin := func() {
		i, late := len(failed.Attempts), time.Since(began)
		failed.Attempts = append(failed.Attempts, Attempt{Security: routes[i].security, Addr: c.addr(routes[i].port)})
		pending++
		timer.Stop()
		if i+1 < len(routes) {
			timer.Reset(headStart)
		}
		c.background.Add(1)
		go func() {
			defer c.background.Done()
			s, spoke, err := c.try(ctx, routes[i], late)
			results <- result{i, s, spoke, err}
		}()
	}
	begin()
	for pending > 0 {
		select {
		case <-timer.C:
			if len(failed.Attempts) < len(routes) {
				begin()
			} else {
				cancel(errInVain)
			}
		case r := <-results:
			pending--
			if r.err == nil {
				cancel(nil)
				for ; pending > 0; pending-- { // they end at once
					if loser := <-results; loser.s != nil {
						loser.s.Discard()
					}
				}
				return r.s, routes[r.i], nil
			}
			if context.Cause(ctx) == errInVain && errors.Is(r.err, context.Canceled) {
				r.err = errInVain
			}
			failed.Attempts[r.i].Err = r.err
			if ctx.Err() != nil {
				continue
			}
			samePort := routes[0].port == routes[len(routes)-1].port
			if r.spoke && samePort { // the port has shown what it speaks
				cancel(errInVain)
				continue
			}
			if len(failed.Attempts) < len(routes) {
				begin()
			}
			if r.spoke && len(failed.Attempts) == len(routes) {
				// The host is there. A port that does not answer soon is
				// dropped by a firewall, for which one could wait long.
				timer.Reset(2 * headStart)
			}
		}
	}
	return nil, route{}, failed
}

// errInVain ends an attempt when another one has shown that it leads nowhere.
var errInVain = errors.New("imapkit: given up because of how the other attempt ended")

func (c *Client) addr(port int) string {
	return net.JoinHostPort(hostWithoutBrackets(c.Host), strconv.Itoa(port))
}

func hostWithoutBrackets(host string) string {
	if n := len(host); n > 2 && host[0] == '[' && host[n-1] == ']' {
		return host[1 : n-1]
	}
	return host
}

// try makes one attempt: dial, TLS as the route says, greeting. What it is late
// by counts as time that has passed. spoke tells whether the server answered in
// the protocol that was tried, even if the attempt failed.
func (c *Client) try(ctx context.Context, way route, late time.Duration) (s *session, spoke bool, err error) {
	addr := c.addr(way.port)
	dialing := time.Now()
	limit := remaining(c.dialTimeout(), late)
	nc, err := c.dial(ctx, addr, limit)
	if err != nil {
		return nil, false, err
	}
	s = &session{Conn: wire.NewConn(nc, c.limits(), &c.names, c.Logger), client: c, late: late}
	if err := s.secure(ctx, way, remaining(limit, time.Since(dialing))); err != nil {
		s.Discard()
		return nil, s.spoke, err
	}
	c.debug("connected", "addr", addr, "security", way.security.String())
	return s, true, nil
}

// remaining returns what is left of a limit: something, so that it is not taken
// for none.
func remaining(limit, passed time.Duration) time.Duration {
	if limit <= 0 {
		return limit
	}
	return max(limit-passed, time.Millisecond)
}

// dial connects within limit, through the proxy if there is one.
func (c *Client) dial(ctx context.Context, addr string, limit time.Duration) (net.Conn, error) {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, errDialTimeout)
		defer cancel()
	}
	var nc net.Conn
	var err error
	if c.Proxy != nil {
		nc, err = c.dialProxy(ctx, addr)
	} else {
		nc, err = new(net.Dialer).DialContext(ctx, "tcp", addr)
	}
	if err == nil {
		return nc, nil
	}
	if end, ok := ctx.Deadline(); ok && !time.Now().Before(end) {
		<-ctx.Done() // a dialer may notice a little earlier than the context
	}
	switch {
	case context.Cause(ctx) == errDialTimeout:
		cause := fmt.Errorf("%w: no connection to %s within %v", ErrTimeout, addr, c.dialTimeout())
		return nil, throughProxy(err, cause)
	case ctx.Err() != nil:
		return nil, throughProxy(err, ended(ctx))
	default:
		return nil, fmt.Errorf("imapkit: %w", err)
	}
}

// throughProxy replaces the cause of a proxy's error. Others are replaced as a
// whole.
func throughProxy(err, cause error) error {
	var p *ProxyError
	if errors.As(err, &p) {
		return &ProxyError{Proxy: p.Proxy, Target: p.Target, Err: cause}
	}
	return cause
}

var errDialTimeout = errors.New("DialTimeout")

// dialProxy runs a dialer that may be anybody's: one that does not notice the
// end of its context is left behind, and its connection closed when it comes.
func (c *Client) dialProxy(ctx context.Context, addr string) (net.Conn, error) {
	type result struct {
		nc  net.Conn
		err error
	}
	done := make(chan result, 1)
	go func() {
		nc, err := c.Proxy.DialContext(ctx, "tcp", addr)
		done <- result{nc, err}
	}()
	var r result
	select {
	case r = <-done:
	case <-ctx.Done():
		select {
		case r = <-done: // which names the proxy
		case <-time.After(proxyGrace):
			go func() {
				if r := <-done; r.nc != nil {
					r.nc.Close()
				}
			}()
			return nil, ctx.Err()
		}
	}
	if r.err == nil && r.nc == nil {
		r.err = errors.New("the proxy dialer returned no connection")
	}
	return r.nc, r.err
}

// proxyGrace is what a dialer gets to return after the end of its context.
const proxyGrace = 50 * time.Millisecond

// secure takes in the greeting and brings up TLS. left is what DialTimeout has
// left for TLS.
func (s *session) secure(ctx context.Context, way route, left time.Duration) error {
	switch way.security {
	case SecurityImplicitTLS:
		if s.client.Security == SecurityAuto {
			// A server that greets in clear waits for us here: that is found
			// out no later than a greeting would be missed.
			if g := remaining(s.client.greetingTimeout(), s.late); g > 0 && (left <= 0 || g < left) {
				left = g
			}
		}
		if err := s.startTLS(ctx, left); err != nil {
			return err
		}
		return s.greet(ctx, way)
	case SecurityStartTLS:
		if err := s.greet(ctx, way); err != nil {
			return err
		}
		return s.upgrade(ctx, way, left)
	default:
		return s.greet(ctx, way)
	}
}

// startTLS performs the handshake.
func (s *session) startTLS(ctx context.Context, limit time.Duration) error {
	cfg, err := s.client.tlsConfig()
	if err != nil {
		return err
	}
	s.For("TLS handshake")
	s.Begin(ctx, limit, false)
	defer s.End()
	state, err := s.StartTLS(cfg)
	s.spoke = s.spoke || s.AnsweredTLS()
	if err != nil {
		return s.client.TLS.explain(err)
	}
	s.tls = state
	return nil
}

// greet waits for the greeting (RFC 9051 section 7.1).
func (s *session) greet(ctx context.Context, way route) error {
	s.For("greeting")
	s.Begin(ctx, remaining(s.client.greetingTimeout(), s.late), false)
	defer s.End()
	status, err := s.Greeting()
	s.greeting = status.Text
	switch {
	case err == nil:
		s.spoke = true
	case errors.Is(err, ErrTimeout) && ctx.Err() == nil && s.tls == nil:
		return fmt.Errorf("%w within %v; a server that wants TLS from the first byte waits as well",
			ErrGreetingTimeout, s.client.greetingTimeout())
	case errors.Is(err, ErrTimeout) && ctx.Err() == nil:
		return fmt.Errorf("%w within %v", ErrGreetingTimeout, s.client.greetingTimeout())
	case way.security == SecurityImplicitTLS && s.client.TLS.hint(err) != "":
		// A TLS 1.3 server's refusal of our certificate shows only now.
		return s.client.TLS.explain(err)
	default:
		return err
	}
	switch status.Type {
	case "OK":
		return nil
	case "PREAUTH":
		if way.security == SecurityStartTLS {
			// STARTTLS is not allowed any more, so this is either no server
			// for us or somebody in between (RFC 9051 section 7.1.4).
			return fmt.Errorf("%w: the server says PREAUTH before TLS", ErrInsecure)
		}
		s.loggedIn = true
		return nil
	default:
		return serverError("greeting", status)
	}
}

// upgrade runs STARTTLS (RFC 9051 section 6.2.1).
func (s *session) upgrade(ctx context.Context, way route, limit time.Duration) error {
	s.For("STARTTLS")
	s.Begin(ctx, s.client.timeout(), false)
	defer s.End()
	if s.Caps() == nil && !s.client.hasWorked(way) {
		if _, err := s.askCaps(); err != nil {
			return err
		}
	}
	if caps := s.Caps(); caps != nil && !caps.Has("STARTTLS") {
		return fmt.Errorf("%w: the server does not offer STARTTLS", ErrInsecure)
	}
	cmd := s.Command("STARTTLS")
	if err := s.Run(cmd); err != nil {
		return err
	}
	if cmd.Status.Type != "OK" {
		return fmt.Errorf("%w: %w", ErrInsecure, serverError("STARTTLS", cmd.Status))
	}
	s.End()
	return s.startTLS(ctx, limit)
}

// tlsConfig returns the configuration of all connections, made once so that
// they share a session cache.
func (c *Client) tlsConfig() (*tls.Config, error) {
	c.tlsOnce.Do(func() { c.tlsCfg, c.tlsErr = c.TLS.config(hostWithoutBrackets(c.Host)) })
	return c.tlsCfg, c.tlsErr
}
