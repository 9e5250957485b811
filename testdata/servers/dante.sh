#!/bin/bash
# dante.sh PREFIX DIR PORT     SOCKS 4 and 5; any user
# AUTH=username asks for proxyuser/proxypass: root, with private mounts, because it reads the system's passwords
. "$(dirname "$0")/common.sh"
method=${AUTH:-none}
if [ "$method" = username ]; then
  account proxyuser 64991 "$(openssl passwd -6 proxypass)"
  for file in passwd group shadow; do mount --bind "$dir/$file" /etc/$file; done
fi
cat >"$dir/danted.conf" <<C
logoutput: stderr
internal: 127.0.0.1 port = $port
external: 127.0.0.1
clientmethod: none
socksmethod: $method
$(if root; then printf 'user.privileged: root\nuser.unprivileged: nobody\n'; fi)
client pass {
  from: 127.0.0.0/8 to: 0.0.0.0/0
  log: connect error
}
socks pass {
  from: 127.0.0.0/8 to: 0.0.0.0/0
  protocol: tcp
  command: connect
  socksmethod: $method
  log: connect disconnect error
}
C
exec "$prefix/usr/sbin/danted" -f "$dir/danted.conf" -p "$dir/danted.pid"
