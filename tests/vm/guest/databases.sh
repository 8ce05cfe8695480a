#!/bin/sh
# Runs real database servers in the guest, inside the chroot with their programs. Data lies on two
# disks: tables on /srv/a (ext4), write-ahead logs and all of Redis on /srv/b (xfs).
#
#   databases prepare             makes all servers' data, with empty tables
#   databases start|stop SERVER…  postgresql, mariadb, redis; start waits until it answers
#   databases pause|resume SERVER…  a server that hangs: SIGSTOP, SIGCONT
#   databases load SERVER…        transactions without end; each one that the server acknowledged is
#                                 a line "SERVER CLIENT NUMBER" on the port lab.ledger
#   databases unload              ends all load
#   databases check SERVER        prints "torn=N client:newest:count …" of what the tables hold
set -eu
export PATH=/usr/lib/postgresql/15/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C HOME=/tmp
clients='1 2'
password=correct-horse
redis_socket=/run/redis/redis.sock

as() { # as USER COMMAND…
    user=$1
    shift
    setpriv --reuid="$user" --regid="$user" --clear-groups --no-new-privs "$@"
}

folder() { # folder USER PATH…: made when missing, and the user's own
    owner=$1
    shift
    mkdir -p "$@"
    chown "$owner:$owner" "$@"
}

# eventually COMMAND…: until it succeeds; the machine may be very busy.
eventually() {
    # shellcheck disable=SC2016 # for the inner shell
    timeout 120 sh -c 'until "$@" >/dev/null 2>&1; do sleep 0.2; done' - "$@"
}

sql() { # sql SERVER: statements from standard input, as the administrator
    case $1 in
        postgresql) as postgres psql -XqAt -v ON_ERROR_STOP=1 -h /run/postgresql ;;
        mariadb) mariadb --batch --unbuffered --skip-column-names bank ;;
    esac
}

# ---- make

tables='CREATE TABLE account(id integer PRIMARY KEY, balance bigint NOT NULL);
CREATE TABLE entry(client integer, seq integer, half integer, account integer NOT NULL,
    amount bigint NOT NULL, filling varchar(2000) NOT NULL, proof char(32) NOT NULL,
    PRIMARY KEY(client, seq, half));'

accounts() {
    for client in $clients; do
        for number in 0 1 2 3 4 5 6 7; do
            echo "INSERT INTO account VALUES ($client$number, 0);"
        done
    done
}

prepare_postgresql() {
    folder postgres /srv/a/postgresql /srv/b/postgresql
    as postgres initdb --no-sync --auth=peer --no-locale --encoding=UTF8 -D /srv/a/postgresql/data \
        --waldir=/srv/b/postgresql/wal >/dev/null
    cat >/srv/a/postgresql/data/pg_hba.conf <<'END'
local all postgres peer
local all all scram-sha-256
END
    cat >>/srv/a/postgresql/data/postgresql.conf <<'END'
listen_addresses = ''
unix_socket_directories = '/run/postgresql'
max_connections = 20
shared_buffers = 16MB
jit = off
autovacuum = off
min_wal_size = 32MB
max_wal_size = 48MB
checkpoint_timeout = 30s
END
    start_postgresql
    {
        echo "$tables"
        accounts
        echo "CREATE ROLE stillpoint LOGIN PASSWORD '$password'; 
            GRANT pg_checkpoint, pg_read_all_settings TO stillpoint;"
    } | sql postgresql
    stop_postgresql
}

prepare_mariadb() {
    folder mysql /srv/a/mariadb /srv/b/mariadb /srv/b/mariadb/redo /srv/b/mariadb/binlog
    write_mariadb_options
    mariadb-install-db --defaults-file=/run/mysqld/options --user=mysql --force \
        --skip-test-db --skip-log-bin >/run/mysqld/install 2>&1 ||
        { cat /run/mysqld/install && exit 1; }
    start_mariadb
    mariadb -e 'CREATE DATABASE bank'
    {
        echo "$tables"
        accounts
        echo "CREATE USER stillpoint@localhost IDENTIFIED BY '$password';
            GRANT RELOAD ON *.* TO stillpoint@localhost;"
    } | sql mariadb
    stop_mariadb
}

prepare_redis() { folder redis /srv/b/redis; }

# ---- start and stop

start_postgresql() {
    folder postgres /run/postgresql
    as postgres pg_ctl -D /srv/a/postgresql/data -l /run/postgresql/log -s -w -t 120 start
}

stop_postgresql() { as postgres pg_ctl -D /srv/a/postgresql/data -s -m fast -t 120 stop; }

write_mariadb_options() {
    folder mysql /run/mysqld
    cat >/run/mysqld/options <<'END'
[server]
user = mysql
datadir = /srv/a/mariadb/data
innodb_log_group_home_dir = /srv/b/mariadb/redo
log_bin = /srv/b/mariadb/binlog/log
sync_binlog = 1
innodb_log_file_size = 8M
innodb_buffer_pool_size = 16M
key_buffer_size = 1M
aria_pagecache_buffer_size = 1M
performance_schema = off
skip_networking
pid_file = /run/mysqld/mysqld.pid
log_error = /run/mysqld/log
[client-server]
socket = /run/mysqld/mysqld.sock
END
}

start_mariadb() {
    write_mariadb_options
    mariadbd --defaults-file=/run/mysqld/options >/run/mysqld/out 2>&1 &
    mariadb-admin --wait=120 --connect-timeout=5 --silent ping >/dev/null
}

stop_mariadb() { mariadb-admin --shutdown-timeout=120 shutdown; }

start_redis() {
    folder redis /run/redis
    echo "user default on >$password ~* &* +@all" >/run/redis/users
    as redis redis-server --port 0 --unixsocket $redis_socket --unixsocketperm 700 \
        --aclfile /run/redis/users --dir /srv/b/redis --appendonly yes --appendfsync everysec \
        --save '' --daemonize yes --logfile /run/redis/log --pidfile /run/redis/pid >/dev/null
    eventually env REDISCLI_AUTH=$password redis-cli -e -s $redis_socket ping
}

redis() { REDISCLI_AUTH=$password redis-cli -s $redis_socket -e "$@"; }
stop_redis() { redis shutdown >/dev/null; }

signal() { # signal NAME SERVER: to the server's main process
    case $2 in
        postgresql) main=$(head -n 1 /srv/a/postgresql/data/postmaster.pid) ;;
        mariadb) main=$(cat /run/mysqld/mysqld.pid) ;;
        redis) main=$(cat /run/redis/pid) ;;
    esac
    kill -s "$1" "$main"
}

# ---- load: two clients per server, each keeps its own numbers, so what is acknowledged is known

transaction() { # transaction CLIENT NUMBER: money moves between two accounts, with two entries
    from=$1$(($2 % 8)) to=$1$((($2 + 3) % 8)) filling="repeat(md5('$1-$2'), 12)"
    echo "BEGIN;
INSERT INTO entry SELECT client, seq, half, account, amount, filling,
    md5(concat(client, seq, half, account, amount, filling)) FROM (
    SELECT $1 AS client, $2 AS seq, 1 AS half, $from AS account, $2 AS amount, $filling AS filling
    UNION ALL SELECT $1, $2, 2, $to, -$2, $filling) AS fresh;
UPDATE account SET balance = balance + $2 WHERE id = $from;
UPDATE account SET balance = balance - $2 WHERE id = $to;
COMMIT;
SELECT 'done $2';"
}

redis_transaction() {
    printf '%s\n' MULTI "INCRBY up:$1 $2" "DECRBY down:$1 $2" "RPUSH list:$1 $2" EXEC \
        "ECHO \"done $2\""
}

newest() { # newest SERVER CLIENT: the last number that its tables hold
    if [ "$1" = redis ]; then
        redis lindex "list:$2" -1
    else
        echo "SELECT coalesce(max(seq), 0) FROM entry WHERE client = $2;" | sql "$1"
    fi
}

# client SERVER CLIENT: asks, waits for the answer, notes it; ends when the server refuses.
client() {
    number=$(newest "$1" "$2")
    number=${number:-0}
    pipe=/run/load/$1-$2
    rm -f "$pipe.in" "$pipe.out"
    mkfifo "$pipe.in" "$pipe.out"
    if [ "$1" = redis ]; then
        REDISCLI_AUTH=$password stdbuf -oL redis-cli -s $redis_socket <"$pipe.in" >"$pipe.out" 2>&1 &
        make=redis_transaction
    else
        sql "$1" <"$pipe.in" >"$pipe.out" 2>&1 &
        make=transaction
    fi
    exec 3>"$pipe.in" 4<"$pipe.out" 5>/run/load/ledger 6</run/load/pace
    while read -r _ <&6; do
        number=$((number + 1))
        $make "$2" $number >&3
        while read -r answer <&4; do
            case $answer in
                "done $number") break ;;
                ERR* | *ERROR* | MISCONF* | NOAUTH* | *FATAL*) echo "$1 $2: $answer" && exit 1 ;;
            esac
        done
        [ "$answer" = "done $number" ] || exit 1
        echo "$1 $2 $number" >&5
    done
}

# Enough to be busy when the backup begins, and not so much that nothing else gets a turn: this
# machine is emulated.
pace() {
    while sleep 0.1; do printf '.\n.\n.\n.\n'; done
}

load() {
    mkdir -p /run/load
    # With groups by session a nice value would mean nothing between sessions.
    echo 0 >/proc/sys/kernel/sched_autogroup_enabled
    if [ ! -e /run/load/ledger ]; then
        mkfifo /run/load/ledger
        # One reader that never sees an end, because it holds the pipe open for writing too.
        setsid cat <>/run/load/ledger >/dev/virtio-ports/lab.ledger 2>/run/load/ledger.log &
    fi
    rm -f /run/load/pace
    mkfifo /run/load/pace
    # shellcheck disable=SC2094 # open for reading too, so that it never ends for want of a reader
    setsid sh "$0" pace <>/run/load/pace >/run/load/pace 2>/run/load/pace.log &
    echo $! >/run/load/pids
    for server; do
        for client in $clients; do
            setsid nice -n 19 sh "$0" client "$server" "$client" \
                >>"/run/load/$server-$client.log" 2>&1 </dev/null &
            echo $! >>/run/load/pids
        done
    done
}

unload() { # each client leads a session of its own; its server-side client sees the end of input
    while read -r pid; do
        kill "$pid" 2>/dev/null || true
    done </run/load/pids
    rm -f /run/load/pids
}

# ---- check

check_sql() {
    {
        echo "SELECT 'torn',
  (SELECT count(*) FROM entry
    WHERE proof <> md5(concat(client, seq, half, account, amount, filling)))
  + (SELECT count(*) FROM (SELECT client, seq FROM entry GROUP BY client, seq
    HAVING count(*) <> 2 OR sum(amount) <> 0) AS bad)
  + (SELECT count(*) FROM account WHERE balance <>
    (SELECT coalesce(sum(amount), 0) FROM entry WHERE entry.account = account.id));"
        for client in $clients; do
            echo "SELECT $client, coalesce(max(seq), 0), count(DISTINCT seq) FROM entry
                WHERE client = $client;"
        done
    } | sql "$1" | tr '|\t' ':' | tr '\n' ' '
}

check_redis() {
    torn=0 found=
    for client in $clients; do
        count=$(redis llen "list:$client")
        last=$(redis lindex "list:$client" -1)
        last=${last:-0}
        up=$(redis get "up:$client") down=$(redis get "down:$client")
        expected=$((last * (last + 1) / 2))
        [ "${up:-0}:${down:-0}" = "$expected:$((-expected))" ] || torn=$((torn + 1))
        found="$found $client:$last:$count"
    done
    echo "torn:$torn$found"
}

verb=$1
shift
case $verb in
    prepare)
        for server in postgresql mariadb redis; do prepare_$server; done
        ;;

    start | stop | pause | resume)
        for server; do
            case $verb in
                pause) signal STOP "$server" ;;
                resume) signal CONT "$server" ;;
                *) "${verb}_$server" ;;
            esac
        done
        ;;
    load) load "$@" ;;
    unload) unload ;;
    client) client "$@" ;;
    pace) pace ;;
    check) if [ "$1" = redis ]; then check_redis; else check_sql "$1"; fi ;;
    *)
        echo "databases: no such verb: $verb" >&2
        exit 2
        ;;
esac
