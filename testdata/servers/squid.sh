#!/bin/bash
# squid.sh PREFIX DIR PORT TLSPORT     HTTP CONNECT in clear and over TLS; root, with private mounts
# AUTH=basic|digest|ntlm asks for proxyuser/proxypass
. "$(dirname "$0")/common.sh"
tls_port=$4
helpers=$prefix/usr/lib/squid
# Shared memory of a killed squid stays behind; here it goes away with the mount.
mount -t tmpfs tmpfs /dev/shm
cp "$pki/server.pem" "$pki/server.key" "$dir/"
printf 'proxyuser:%s\n' "$(openssl passwd -apr1 proxypass)" >"$dir/passwd"
printf 'proxyuser:testrealm:%s\n' "$(printf proxyuser:testrealm:proxypass | md5sum | cut -d' ' -f1)" >"$dir/digest"

authentication() {
  case $AUTH in
  basic) helper="$helpers/basic_ncsa_auth $dir/passwd" ;;
  digest) helper="$helpers/digest_file_auth -c $dir/digest" ;;
  ntlm) helper="$helpers/ntlm_fake_auth" ;;
  *) echo 'http_access allow all'; return ;;
  esac
  echo "auth_param $AUTH program $helper"
  echo "auth_param $AUTH children 2 startup=1"
  if [ "$AUTH" != ntlm ]; then echo "auth_param $AUTH realm testrealm"; fi
  echo 'acl known proxy_auth REQUIRED'
  echo 'http_access allow known'
  echo 'http_access deny all'
}
cat >"$dir/squid.conf" <<C
http_port 127.0.0.1:$port
https_port 127.0.0.1:$tls_port tls-cert=$dir/server.pem tls-key=$dir/server.key
cache_effective_user nobody
cache_effective_group nogroup
pid_filename $dir/squid.pid
access_log stdio:$dir/access.log
cache_log $dir/cache.log
cache deny all
cache_mem 8 MB
coredump_dir $dir
unlinkd_program $helpers/unlinkd
logfile_daemon $helpers/log_file_daemon
diskd_program $helpers/diskd
error_directory $prefix/usr/share/squid-langpack/templates
icon_directory $prefix/usr/share/squid/icons
mime_table $prefix/usr/share/squid/mime.conf
visible_hostname localhost
shutdown_lifetime 0 seconds
pinger_enable off
netdb_filename none
$(authentication)
C
chown -R nobody "$dir"
exec "$prefix/usr/sbin/squid" -N -f "$dir/squid.conf" -n "sq$port"
