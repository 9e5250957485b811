package main

import (
	"errors"
	"testing"

	"github.com/imapkit/imapkit"
	"github.com/imapkit/imapkit/examples/internal/exampletest"
	"github.com/imapkit/imapkit/examples/internal/tinyproxy"
	"github.com/imapkit/imapkit/imapkittest"
)

func TestReadsMailThroughEveryVersionOfSOCKS(t *testing.T) {
	exampletest.Contains(t, exampletest.Output(t, run),
		"5 unread messages through socks4://",
		"5 unread messages through socks4a://",
		"5 unread messages through socks5://",
		"(the proxy was asked for 127.0.0.1:",
		"(the proxy was asked for localhost:",
	)
}

func TestTakesProxyAndAccountFromTheCommandLine(t *testing.T) {
	_, url := exampletest.Server(t, imapkittest.Options{})
	proxy, err := tinyproxy.New()
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	exampletest.Contains(t, exampletest.Output(t, run, "-url", url, "-proxy", "socks5://"+proxy.Addr),
		"5 unread messages through socks5://")

	var failed *imapkit.ProxyError
	proxy.Close()
	err = run(t.Context(), []string{"-url", url, "-proxy", "socks5://" + proxy.Addr}, t.Output())
	if !errors.As(err, &failed) {
		t.Errorf("without the proxy: %v, want a ProxyError", err)
	}
}
