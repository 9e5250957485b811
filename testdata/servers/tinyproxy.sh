#!/bin/bash
# tinyproxy.sh PREFIX DIR PORT     HTTP CONNECT; any user
# AUTH=basic asks for proxyuser/proxypass
. "$(dirname "$0")/common.sh"
cat >"$dir/tinyproxy.conf" <<C
Port $port
Listen 127.0.0.1
Timeout 600
LogLevel Info
MaxClients 100
Allow 127.0.0.1
DisableViaHeader Yes
PidFile "$dir/pid"
${AUTH:+BasicAuth proxyuser proxypass}
C
exec "$prefix/usr/bin/tinyproxy" -d -c "$dir/tinyproxy.conf"
