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
		s, err := c.try(ctx, *known)
		if err == nil {
			return s, nil
		}
		failed := &ConnectError{Attempts: []Attempt{{known.security, c.addr(known.port), err}}}
		if c.Security != SecurityAuto || ctx.Err() != nil {
			return nil, failed
		}
		// The network may be another one today: find out anew.
		c.mu.Lock()
		c.route = nil
		c.mu.Unlock()
	}
	s, worked, err := c.race(ctx, c.attempts())
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.route = &worked
	c.mu.Unlock()
	return s, nil
}

// race makes attempts side by side, each with a short head start before the
// next, takes the first that succeeds and closes the others.
func (c *Client) race(ctx context.Context, routes []route) (*session, route, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		i   int
		s   *session
		err error
	}
	results := make(chan result, len(routes))
	started, pending := 0, 0
	begin := func() {
		i := started
		started++
		pending++
		c.background.Add(1)
		go func() {
			defer c.background.Done()
			s, err := c.try(ctx, routes[i])
			results <- result{i, s, err}
		}()
	}
	failed := &ConnectError{Attempts: make([]Attempt, len(routes))}
	begin()
	timer := time.NewTimer(headStart)
	defer timer.Stop()
	for pending > 0 {
		select {
		case <-timer.C:
			if started < len(routes) {
				begin()
			}
		case r := <-results:
			pending--
			if r.err == nil {
				cancel()
				for ; pending > 0; pending-- { // they end at once
					if loser := <-results; loser.s != nil {
						loser.s.Discard()
					}
				}
				return r.s, routes[r.i], nil
			}
			failed.Attempts[r.i] = Attempt{routes[r.i].security, c.addr(routes[r.i].port), r.err}
			if started < len(routes) && ctx.Err() == nil {
				begin()
			}
		}
	}
	failed.Attempts = failed.Attempts[:started]
	return nil, route{}, failed
}

func (c *Client) addr(port int) string {
	return net.JoinHostPort(hostWithoutBrackets(c.Host), strconv.Itoa(port))
}

func hostWithoutBrackets(host string) string {
	if n := len(host); n > 2 && host[0] == '[' && host[n-1] == ']' {
		return host[1 : n-1]
	}
	return host
}

// try makes one attempt: dial, TLS as the route says, greeting.
func (c *Client) try(ctx context.Context, way route) (*session, error) {
	addr := c.addr(way.port)
	dialing := time.Now()
	nc, err := c.dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	left := c.dialTimeout()
	if left > 0 {
		left = max(left-time.Since(dialing), time.Millisecond)
	}
	s := &session{Conn: wire.NewConn(nc, c.limits(), &c.names, c.Logger), client: c}
	if err := s.secure(ctx, way, left); err != nil {
		s.Discard()
		return nil, err
	}
	c.debug("connected", "addr", addr, "security", way.security.String())
	return s, nil
}

// dial connects within DialTimeout, through the proxy if there is one.
func (c *Client) dial(ctx context.Context, addr string) (net.Conn, error) {
	limit := c.dialTimeout()
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
	switch {
	case err == nil:
		return nc, nil
	case context.Cause(ctx) == errDialTimeout:
		return nil, fmt.Errorf("%w: no connection to %s within %v", ErrTimeout, addr, limit)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	default:
		return nil, fmt.Errorf("imapkit: %w", err)
	}
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
	select {
	case r := <-done:
		if r.err == nil && r.nc == nil {
			r.err = errors.New("the proxy dialer returned no connection")
		}
		return r.nc, r.err
	case <-ctx.Done():
		go func() {
			if r := <-done; r.nc != nil {
				r.nc.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// secure takes in the greeting and brings up TLS. left is what DialTimeout has
// left for TLS.
func (s *session) secure(ctx context.Context, way route, left time.Duration) error {
	switch way.security {
	case SecurityImplicitTLS:
		if s.client.Security == SecurityAuto {
			// A server that greets in clear waits for us here: that is found
			// out no later than a greeting would be missed.
			if g := s.client.greetingTimeout(); g > 0 && (left <= 0 || g < left) {
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
		return s.upgrade(ctx, left)
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
	s.Begin(ctx, limit, false)
	defer s.End()
	state, err := s.StartTLS(cfg)
	if err != nil {
		return s.client.TLS.explain(err)
	}
	s.tls = state
	return nil
}

// greet waits for the greeting (RFC 9051 section 7.1).
func (s *session) greet(ctx context.Context, way route) error {
	limit := s.client.greetingTimeout()
	s.Begin(ctx, limit, false)
	defer s.End()
	status, err := s.Greeting()
	switch {
	case err == nil:
	case errors.Is(err, ErrTimeout) && ctx.Err() == nil:
		return fmt.Errorf("%w within %v", ErrGreetingTimeout, limit)
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
func (s *session) upgrade(ctx context.Context, limit time.Duration) error {
	timeout := s.client.timeout()
	s.Begin(ctx, timeout, false)
	defer s.End()
	if s.Caps() == nil {
		if err := s.Run(s.Command("CAPABILITY")); err != nil {
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
