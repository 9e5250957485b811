#!/bin/bash
# dovecot.sh PREFIX DIR PORT TLSPORT     root; with a PREFIX private mounts too, or an installed one
# QUOTA=size limits each user's mail, PLAINTEXT=no forbids passwords in clear, MECHS=..., XCONF=<more settings>
. "$(dirname "$0")/common.sh"
tls_port=$4
overlay_usr || [ -x /usr/sbin/dovecot ]

# Users that every system has: the packages' own exist only where Dovecot was installed.
mkdir -p "$dir"/{run,state,mail}
chown daemon: "$dir/mail"

cat >"$dir/dovecot.conf" <<C
base_dir = $dir/run
state_dir = $dir/state
log_path = /dev/stderr
info_log_path = /dev/null
protocols = imap
# Dovecot counts a connection whose two ends have the same address as encrypted; from 127.0.0.1 to .2 it does not.
listen = 127.0.0.1, 127.0.0.2

default_internal_user = daemon
default_internal_group = daemon
default_login_user = nobody
default_vsz_limit = 0

ssl = yes
ssl_cert = <$pki/server.pem
ssl_key = <$pki/server.key
ssl_ca = <$pki/ca.pem
ssl_verify_client_cert = yes
ssl_require_crl = no
ssl_min_protocol = TLSv1.2

disable_plaintext_auth = $([ "$PLAINTEXT" = no ] && echo yes || echo no)
auth_mechanisms = ${MECHS:-plain login cram-md5 scram-sha-1 scram-sha-256 xoauth2 oauthbearer external anonymous}
auth_ssl_username_from_cert = yes
auth_failure_delay = 0
auth_verbose = yes

# Any user name, one password or token: every user name is a mail store of its own.
passdb {
  driver = static
  mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256
  args = password={PLAIN}secret
}
passdb {
  driver = static
  mechanisms = xoauth2 oauthbearer
  args = password={PLAIN}token
}
passdb {
  driver = static
  mechanisms = external anonymous
  args = nopassword=y
}
userdb {
  driver = static
  args = uid=daemon gid=daemon home=$dir/mail/%u allow_all_users=yes
}
first_valid_uid = 1
first_valid_gid = 1

mail_location = sdbox:~/sdbox
mail_fsync = never
mail_max_userip_connections = 1000
mail_attribute_dict = file:%h/dovecot-attributes
mail_plugins = acl zlib ${QUOTA:+quota}
plugin {
  acl = vfile
  ${QUOTA:+quota = count:User quota}
  ${QUOTA:+quota_vsizes = yes}
  ${QUOTA:+quota_grace = 0}
  ${QUOTA:+quota_rule = *:storage=$QUOTA}
}

namespace inbox {
  inbox = yes
  separator = /
$(for box in Drafts Sent Junk Trash Archive; do
  printf '  mailbox %s {\n    special_use = \\%s\n    auto = create\n  }\n' $box $box
done)
}

# One login process that stays: once it greets, every connection is greeted at once.
service imap-login {
  service_count = 0
  process_min_avail = 1
  process_limit = 1
  inet_listener imap {
    port = $port
  }
  inet_listener imaps {
    port = $tls_port
    ssl = yes
  }
}
service imap {
  service_count = 100
  process_min_avail = 1
}
service auth {
  client_limit = 2000
}
# A wrong password delays later logins from the same address by up to 15 s, unless this socket is not there.
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
protocol imap {
  mail_plugins = acl zlib imap_acl imap_zlib ${QUOTA:+quota imap_quota}
  imap_metadata = yes
  imap_urlauth_host = localhost
  imap_id_send = name *
}
$XCONF
C
exec /usr/sbin/dovecot -F -c "$dir/dovecot.conf"
