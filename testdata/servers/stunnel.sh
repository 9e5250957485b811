#!/bin/bash
# stunnel.sh PREFIX DIR PORT     TLS on PORT in front of the plain port BACKEND; any user
# VERSION=TLSv1|TLSv1.1|TLSv1.2|TLSv1.3 speaks that version only, STARTTLS=yes waits for the command,
# VERIFY=yes demands a client certificate
. "$(dirname "$0")/common.sh"
cat >"$dir/stunnel.conf" <<C
foreground = yes
pid =
syslog = no
debug = notice
securityLevel = 0
ciphers = ALL:@SECLEVEL=0
cert = $pki/server.pem
key = $pki/server.key
[imap]
accept = 127.0.0.1:$port
connect = 127.0.0.1:$BACKEND
${VERSION:+sslVersionMin = $VERSION}
${VERSION:+sslVersionMax = $VERSION}
${STARTTLS:+protocol = imap}
${VERIFY:+verifyChain = yes}
${VERIFY:+CAfile = $pki/ca.pem}
C
exec "$prefix/usr/bin/stunnel4" "$dir/stunnel.conf"
