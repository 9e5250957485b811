// Package servertest starts real mail servers and proxies for tests: each from a temporary folder, on free loopback
// ports, and gone when the test ends.
//
// What is not installed skips the test; with IMAPKIT_REQUIRE_SERVERS=1 it fails it. The programs are looked for in the
// folder that IMAPKIT_SERVERS names, /var/cache/imapkit-servers by default (.ci/install fills it), then in the system.
// The start scripts are in testdata/servers.
package servertest
