# Sourced by every start script, which is called as NAME.sh PREFIX DIR PORT...
# PREFIX is where the programs were unpacked; empty: they are installed. DIR is a folder for this run, made by the
# caller, with DIR/pki/{ca.pem,server.pem,server.key} in it. Programs run in the foreground.
set -e
prefix=$1 dir=$2 port=$3
pki=$dir/pki
arch=$(uname -m)-linux-gnu
export LD_LIBRARY_PATH=$prefix/usr/lib/$arch:$prefix/lib/$arch

root() { [ "$(id -u)" = 0 ]; }

# overlay_usr lays the prefix over /usr, for programs with compiled-in paths. Only this process tree sees it.
overlay_usr() { [ -z "$prefix" ] || mount -t overlay overlay -o "lowerdir=$prefix/usr:/usr" /usr; }

# account NAME ID [SHADOW]: adds a user to private copies of passwd and group (and shadow) in DIR.
account() {
  { grep -v "^$1:" /etc/passwd; echo "$1:x:$2:$2::/nonexistent:/usr/sbin/nologin"; } >"$dir/passwd"
  { grep -v "^$1:" /etc/group; echo "$1:x:$2:"; } >"$dir/group"
  if [ -n "$3" ]; then (umask 077; { grep -v "^$1:" /etc/shadow; echo "$1:$3:19000:0:99999:7:::"; } >"$dir/shadow"); fi
}
