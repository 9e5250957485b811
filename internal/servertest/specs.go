package servertest

// A spec says how a server is started.
type spec struct {
	name     string // of the script
	program  string // what has to be installed
	ports    int    // how many the script takes
	user     string // who may log in
	root     bool   // root has to start it
	private  bool   // and its script mounts file systems that nobody else sees
	overlay  bool   // which it needs only if it is unpacked, not installed
	imap     bool   // it is ready when it greets, not when it accepts a connection
	scheme   string // how a proxy asks for a password
	password bool   // it does ask
	env      []string
}

var (
	dovecot = spec{
		name: "dovecot", program: "/usr/sbin/dovecot", ports: 2, user: "alice", imap: true, root: true, overlay: true,
	}
	cyrus = spec{
		name: "cyrus", program: "/usr/lib/cyrus/bin/master", ports: 3, user: "alice", imap: true,
	}
	courier = spec{
		name: "courier", program: "/usr/sbin/couriertcpd", ports: 2, user: "alice@example.org", imap: true,
		root: true, private: true,
	}
	mailutils = spec{
		name: "mailutils", program: "/usr/sbin/imap4d", ports: 2, user: "alice@example.org", imap: true,
	}
	stunnel = spec{name: "stunnel", program: "/usr/bin/stunnel4", ports: 1}

	dante      = spec{name: "dante", program: "/usr/sbin/danted", ports: 1, scheme: "username", root: true, private: true}
	microsocks = spec{name: "microsocks", program: "/usr/bin/microsocks", ports: 1, scheme: "username"}
	sshd       = spec{name: "sshd", program: "/usr/sbin/sshd", ports: 2, root: true, private: true}
	v2ray      = spec{name: "v2ray", program: "/usr/bin/v2ray", ports: 2, scheme: "username"}
	tinyproxy  = spec{name: "tinyproxy", program: "/usr/bin/tinyproxy", ports: 1, scheme: "basic"}
	squid      = spec{name: "squid", program: "/usr/sbin/squid", ports: 2, scheme: "basic", root: true, private: true}
)
