#!/bin/bash
# courier.sh PREFIX DIR PORT TLSPORT     root, with private mounts
# IDLEPOLL=seconds, TLSREQ=1: nothing before STARTTLS, STARTTLS=NO, PRIO=<GnuTLS priority>
. "$(dirname "$0")/common.sh"
tls_port=$4
mail_uid=65534 courier_uid=64990
mkdir -p "$dir"/etc/courier "$dir/run/authdaemon" "$dir/mail"

# couriertls changes to the user "courier" on STARTTLS and reads the key as that user.
account courier $courier_uid
mv "$dir/passwd" "$dir/group" "$dir/etc/"
cat "$pki/server.pem" "$pki/server.key" >"$dir/combined.pem"
chown $courier_uid "$dir/combined.pem"
chmod 600 "$dir/combined.pem"
cat >"$dir/etc/courier/authdaemonrc" <<C
authmodulelist="authuserdb"
authmodulelistorig="authuserdb"
daemons=2
authdaemonvar=/run/courier/authdaemon
DEBUG_LOGIN=0
DEFAULTOPTIONS=""
LOGGEROPTS=""
C
overlay_usr
mount -t overlay overlay -o "lowerdir=$dir/etc:/etc" /etc
mount -t tmpfs tmpfs /run
mkdir -p /run/courier
mount --bind "$dir/run" /run/courier

hash() { printf 'secret\nsecret\n' | userdbpw "$1"; }
keys="uid=$mail_uid|gid=$mail_uid|imappw=$(openssl passwd -1 secret)|hmac-md5pw=$(hash -hmac-md5)"
keys="$keys|hmac-sha1pw=$(hash -hmac-sha1)|hmac-sha256pw=$(hash -hmac-sha256)"
for name in alice bob; do
  home=$dir/mail/$name
  mkdir -p "$home"
  maildirmake.courier "$home/Maildir"
  chown -R $mail_uid:$mail_uid "$home"
  printf '%s@example.org\thome=%s|mail=%s|%s\n' $name "$home" "$home/Maildir" "$keys"
done >"$dir/userdb"
chmod 600 "$dir/userdb"
makeuserdb -f "$dir/userdb"
cp "$dir/userdb.dat" "$dir/userdbshadow.dat" "$dir/etc/courier/"

set -a
IMAP_CAPABILITY="IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT QUOTA"
IMAP_CAPABILITY="$IMAP_CAPABILITY AUTH=CRAM-MD5 AUTH=CRAM-SHA1 AUTH=CRAM-SHA256 IDLE"
IMAP_CAPABILITY_TLS="$IMAP_CAPABILITY AUTH=PLAIN"
IMAP_KEYWORDS=1 IMAP_ACL=1 IMAP_IDLE_TIMEOUT=${IDLEPOLL:-1} IMAP_MAILBOX_SANITY_CHECK=1 IMAP_USELOCKS=1
IMAP_ENHANCEDIDLE=0 IMAP_TLS_REQUIRED=${TLSREQ:-0} IMAP_UMASK=022 IMAP_EMPTYTRASH= IMAP_CHECK_ALL_FOLDERS=0
IMAP_OBSOLETE_CLIENT=0 MAILDIRPATH=Maildir
COURIERTLS=/usr/bin/couriertls TLS_CERTFILE=$dir/combined.pem TLS_VERIFYPEER=NONE TLS_TRUSTCERTS= TLS_CACHEFILE=
# Keeps the change notifiers of several servers apart, which meet at an abstract socket.
GAM_CLIENT_ID=$port
if [ -n "$PRIO" ]; then TLS_PRIORITY=$PRIO; fi
set +a

cd /
/usr/lib/courier/courier-authlib/authdaemond &
for _ in $(seq 500); do if [ -S /run/courier/authdaemon/socket ]; then break; fi; sleep .01; done
listen="couriertcpd -address=127.0.0.1 -maxprocs=40 -maxperip=40 -nodnslookup -noidentlookup"
login=/usr/lib/courier/courier/imaplogin
IMAP_STARTTLS=${STARTTLS:-YES} $listen "$port" $login /usr/bin/imapd Maildir &
IMAP_TLS=1 $listen "$tls_port" /usr/bin/couriertls -server -tcpd $login /usr/bin/imapd Maildir &
wait
