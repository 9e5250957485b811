#!/bin/bash
# sshd.sh PREFIX DIR PORT SSHPORT     ssh -D: SOCKS 4, 4a and 5 on PORT, through an sshd on SSHPORT;
# root, with private mounts
. "$(dirname "$0")/common.sh"
ssh_port=$4
cd "$dir"
for key in hostkey client; do "$prefix/usr/bin/ssh-keygen" -q -t ed25519 -N '' -f $key; done
account sshd 64992
mount --bind passwd /etc/passwd
mount -t tmpfs tmpfs /run
mkdir -p -m 755 /run/sshd
cat >sshd_config <<C
ListenAddress 127.0.0.1
Port $ssh_port
HostKey $dir/hostkey
AuthorizedKeysFile $dir/client.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowTcpForwarding yes
LogLevel VERBOSE
C
"$prefix/usr/sbin/sshd" -D -e -f "$dir/sshd_config" &
for _ in $(seq 500); do if (: <"/dev/tcp/127.0.0.1/$ssh_port") 2>/dev/null; then break; fi; sleep .01; done
exec "$prefix/usr/bin/ssh" -F none -N -D "127.0.0.1:$port" -i "$dir/client" -p "$ssh_port" \
  -o ExitOnForwardFailure=yes -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no \
  -o IdentitiesOnly=yes -o BatchMode=yes root@127.0.0.1
