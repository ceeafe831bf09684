#!/bin/sh
# Brings the schema up to date and replaces one process after the other by the image `claviger` as it is now. Nobody notices: nginx
# sends nobody to a process that is about to stop. Run it again with the older image to go back. COMPOSE names another compose.
set -eu
cd "$(dirname "$0")"
compose=${COMPOSE:-docker compose}

reload() { $compose exec -T nginx nginx -t -q && $compose exec -T nginx nginx -s reload && sleep 2; }

is_ready() { $compose exec -T "claviger-$1" /claviger health; }

# One that an interrupted run has left out comes first: the other one serves.
order='1 2'
! grep -q '172.30.7.12:8080 down;' nginx/claviger.conf || order='2 1'

$compose run --rm --no-deps -T migrate
for n in $order; do
    other=$((3 - n))
    if grep -q "172.30.7.1$other:8080 down;" nginx/claviger.conf || ! is_ready "$other"; then
        echo "claviger-$other does not serve, so claviger-$n is left alone; see: $compose logs claviger-$other"
        exit 1
    fi
    sed -i "s/server 172.30.7.1$n:8080;/server 172.30.7.1$n:8080 down;/" nginx/claviger.conf
    reload
    $compose up --detach --no-deps --force-recreate "claviger-$n"
    tries=60
    until is_ready "$n"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || { echo "claviger-$n is not ready; nginx leaves it out, the other one serves on"; exit 1; }
        sleep 1
    done
    sed -i "s/server 172.30.7.1$n:8080 down;/server 172.30.7.1$n:8080;/" nginx/claviger.conf
    reload
done
