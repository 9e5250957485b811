#!/bin/bash
# cyrus.sh PREFIX DIR PORT TLSPORT LMTPPORT     any user; DIR of at most 90 characters, for its unix sockets
# ALT=yes UNIX=yes: folders beside INBOX, separated by "/"; PLAINTEXT=no: no passwords in clear; MECHS=...;
# FOLDERS='Drafts | Sent': made at the first login; XCONF=<more imapd.conf lines>
. "$(dirname "$0")/common.sh"
tls_port=$4 lmtp_port=$5
bin=$prefix/usr/lib/cyrus/bin
user=$(id -un)
if root; then user=nobody; fi
mkdir -p "$dir"/conf/{proc,lock,socket,log,db,msg,ptclient,quota,sieve,sync,user} "$dir/spool/stage." "$dir/sieve"
cp "$pki/server.pem" "$pki/server.key" "$dir/"

cat >"$dir/imapd.conf" <<C
configdirectory: $dir/conf
partition-default: $dir/spool
defaultpartition: default
sievedir: $dir/sieve
cyrus_user: $user
servername: localhost
admins: admin
umask: 077
altnamespace: ${ALT:-no}
unixhierarchysep: ${UNIX:-no}
virtdomains: off
allowplaintext: ${PLAINTEXT:-yes}
allowanonymouslogin: no
failedloginpause: 0
autocreate_quota: 0
${FOLDERS:+autocreate_inbox_folders: $FOLDERS}
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: $dir/sasldb2
sasl_mech_list: ${MECHS:-PLAIN LOGIN CRAM-MD5 DIGEST-MD5 SCRAM-SHA-1 SCRAM-SHA-256}
tls_server_cert: $dir/server.pem
tls_server_key: $dir/server.key
tls_session_timeout: 0
idlesocket: $dir/conf/socket/idle
lmtpsocket: $dir/conf/socket/lmtp
notifysocket: $dir/conf/socket/notify
imapidlepoll: 1
expunge_mode: immediate
delete_mode: immediate
$XCONF
C
cat >"$dir/cyrus.conf" <<C
START {
  recover cmd="$bin/ctl_cyrusdb -C $dir/imapd.conf -r"
  idled   cmd="$bin/idled -C $dir/imapd.conf"
}
SERVICES {
  imap  cmd="$bin/imapd -C $dir/imapd.conf"    listen="127.0.0.1:$port"      proto="tcp4" prefork=0 maxchild=50
  imaps cmd="$bin/imapd -C $dir/imapd.conf -s" listen="127.0.0.1:$tls_port"  proto="tcp4" prefork=0 maxchild=50
  lmtp  cmd="$bin/lmtpd -C $dir/imapd.conf -a" listen="127.0.0.1:$lmtp_port" proto="tcp4" prefork=0 maxchild=10
}
EVENTS {
}
C
for name in admin alice bob; do
  printf secret | "$prefix/usr/sbin/saslpasswd2" -p -c -f "$dir/sasldb2" -u localhost $name
done
if root; then chown -R $user "$dir"; fi
# master writes to syslog only and ends silently; this run prints what is wrong with the configuration.
"$bin/ctl_cyrusdb" -C "$dir/imapd.conf" -r
if root; then chown -R $user "$dir"; fi
exec "$bin/master" -C "$dir/imapd.conf" -M "$dir/cyrus.conf" -p "$dir/master.pid"
