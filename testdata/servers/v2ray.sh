#!/bin/bash
# v2ray.sh PREFIX DIR PORT HTTPPORT     SOCKS 4, 4a and 5 on PORT, HTTP CONNECT on HTTPPORT; any user
# AUTH=username asks for proxyuser/proxypass
. "$(dirname "$0")/common.sh"
http_port=$4
accounts='"accounts": [{"user": "proxyuser", "pass": "proxypass"}]'
cat >"$dir/config.json" <<J
{"log": {"loglevel": "info"},
 "inbounds": [
  {"listen": "127.0.0.1", "port": $port, "protocol": "socks",
   "settings": {"udp": false, "auth": "$([ -n "$AUTH" ] && echo password || echo noauth)" ${AUTH:+, $accounts}}},
  {"listen": "127.0.0.1", "port": $http_port, "protocol": "http", "settings": {${AUTH:+$accounts}}}
 ],
 "outbounds": [{"protocol": "freedom", "settings": {}}]}
J
exec "$prefix/usr/bin/v2ray" -config "$dir/config.json"
