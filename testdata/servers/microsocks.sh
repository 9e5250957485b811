#!/bin/bash
# microsocks.sh PREFIX DIR PORT     SOCKS 5; any user
# AUTH=username asks for proxyuser/proxypass
. "$(dirname "$0")/common.sh"
exec "$prefix/usr/bin/microsocks" -i 127.0.0.1 -p "$port" ${AUTH:+-u proxyuser -P proxypass}
