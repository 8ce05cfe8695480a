#!/usr/bin/env bash
# Starts a Ceph of one node with an S3 gateway on loopback, from Debian's packages, in seconds.
#
#   rados-gateway.sh DIR PORT MON-PORT [FRONTEND-OPTION…]
#
# Pids are in DIR/*.pid. Users are made with radosgw-admin -c DIR/ceph.conf. Only the gateway again,
# after it was killed: radosgw -n client.rgw.a -c DIR/ceph.conf. Data lives in memory. IPv4 alone: the
# messenger loops where IPv6 is missing.
set -euo pipefail
dir=$(realpath -m "$1")
port=$2
mon=127.0.0.1:$3
shift 3
mkdir -p "$dir"/{mon,mgr,osd,rgw}
cd "$dir"
fsid=$(cat /proc/sys/kernel/random/uuid)
cat >ceph.conf <<CONF
[global]
fsid=$fsid
mon host=v1:$mon
public addr=v1:127.0.0.1:0
cluster addr=127.0.0.1
ms bind msgr2=false
ms bind ipv4=true
ms bind ipv6=false
auth cluster required=none
auth service required=none
auth client required=none
osd pool default size=1
osd pool default min size=1
osd pool default pg num=8
osd pool default pgp num=8
osd crush chooseleaf type=0
mon allow pool size one=true
mon warn on pool no redundancy=false
mon data avail crit=1
osd objectstore=memstore
memstore device bytes=4294967296
run dir=$dir
admin socket=$dir/\$name.asok
log file=$dir/\$name.log
pid file=$dir/\$name.pid
[mon.a]
mon data=$dir/mon
public addr=v1:$mon
[mgr.a]
mgr data=$dir/mgr
[osd.0]
osd data=$dir/osd
[client.rgw.a]
rgw frontends=beast endpoint=127.0.0.1:$port $*
rgw data=$dir/rgw
CONF
monmaptool --create --addv a "[v1:$mon]" --fsid "$fsid" monmap
ceph-mon --mkfs -i a --monmap monmap -c ceph.conf
ceph-mon -i a -c ceph.conf
ceph-mgr -i a -c ceph.conf
osd=$(cat /proc/sys/kernel/random/uuid)
timeout 60 ceph -c ceph.conf osd new "$osd"
ceph-osd -i 0 --mkfs --osd-uuid "$osd" -c ceph.conf
# It may ask before it has learnt the cluster's fsid ("wrong fsid"), and ends: so a few attempts.
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    if ceph-osd -i 0 -c ceph.conf; then break; fi
    [ "$attempt" -lt 10 ]
done
timeout 60 sh -c "until ceph -c ceph.conf osd stat | grep -q '1 up'; do sleep 0.2; done"
radosgw -n client.rgw.a -c ceph.conf
timeout 90 sh -c "until curl -s -o /dev/null http://127.0.0.1:$port; do sleep 0.2; done"
