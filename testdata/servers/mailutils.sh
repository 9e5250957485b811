#!/bin/bash
# mailutils.sh PREFIX DIR PORT TLSPORT     any user
# FORMAT=mbox, EXTRA='login-disabled yes;', PRIO='ssl-priorities "NORMAL:-VERS-ALL:+VERS-TLS1.0";'
. "$(dirname "$0")/common.sh"
tls_port=$4
format=${FORMAT:-maildir}
mkdir -p "$dir"/{spool,domains}
hash=$(openssl passwd -6 secret)
for name in alice bob; do
  mkdir -p "$dir/home/$name"
  echo "$name:$hash:$(id -u):$(id -g)::$dir/home/$name:/bin/sh" >>"$dir/domains/example.org"
  printf '%s@example.org\tsecret\n' $name >>"$dir/cram"
done
chmod 600 "$dir/cram"
tls="tls { ssl-certificate-file $pki/server.pem; ssl-key-file $pki/server.key; ssl-ca-file $pki/ca.pem; $PRIO };"
cat >"$dir/imap4d.conf" <<C
foreground yes;
mode daemon;
max-children 50;
pidfile $dir/imap4d.pid;
timeout 1800;
tcp-wrappers { enable no; };
logging { syslog no; print-severity yes; severity debug; };
auth { authentication generic; authorization virtdomain; };
virtdomain { passwd-dir $dir/domains; };
gsasl { enable yes; cram-passwd $dir/cram; hostname localhost; service imap; realm example.org; };
mailbox { mail-spool $dir/spool; mailbox-type $format; };
namespace personal { prefix "" { directory "\$home"; delimiter "/"; mailbox-type $format; }; };
$EXTRA
server 127.0.0.1:$port { tls-mode ondemand; $tls };
server 127.0.0.1:$tls_port { tls-mode connection; $tls };
C
exec "$prefix/usr/sbin/imap4d" --no-site-config --config-file="$dir/imap4d.conf"
