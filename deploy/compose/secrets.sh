#!/bin/sh
# Makes the secrets of compose.yaml in the folder given, each for the containers that need it, and keeps what is there.
set -eu
umask 077
cd "$1"

new() {
    [ -s "$2/$3" ] || { mkdir -p "$2" && printf '%s\n' "$1" > "$2/$3.part" && mv "$2/$3.part" "$2/$3" && echo "made $2/$3"; }
}
random() { od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n'; }

new "$(random)" postgres password
new "$(random)" postgres owner_password
new "$(random)" postgres serving_password
owner=$(cat postgres/owner_password)
serving=$(cat postgres/serving_password)
new "postgres://claviger_owner:$owner@postgres:5432/claviger" owner database_url
new "postgres://claviger_serving:$serving@pgbouncer:6432/claviger" serving database_url
new "\"claviger_serving\" \"$serving\"" pgbouncer userlist.txt
new "$(random)" serving jwt_secret
new "$(random)" serving refresh_secret

chmod 700 . postgres owner pgbouncer serving
# As the containers' accounts see them.
if [ "$(id -u)" = 0 ]; then
    chown -R postgres:postgres postgres
    chown -R 65532:65532 owner pgbouncer serving
fi
