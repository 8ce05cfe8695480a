#!/bin/busybox sh
# shellcheck shell=dash
# Process 1 of the tiny guest: loads the modules, names the virtio ports as udev would, runs
# /lab/main.sh when the launcher added one, then obeys the test over the port "lab.control".
/bin/busybox mkdir -p /bin /sbin /usr/bin /usr/sbin /etc
/bin/busybox --install -s /bin
/bin/busybox chmod 755 / # a tmpfs lets everybody write there, no real root does
export PATH=/lab/bin:/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
for module in /lab/modules/*.ko; do
    insmod "$module" || echo "LAB insmod failed: $module" >/dev/console
done

name_ports() {
    mkdir -p /dev/virtio-ports
    for port in /sys/class/virtio-ports/*; do
        [ -s "$port/name" ] || continue
        ln -sf "/dev/${port##*/}" "/dev/virtio-ports/$(cat "$port/name")"
    done
}
name_ports

if [ -e /lab/main.sh ]; then
    # shellcheck disable=SC1091
    . /lab/main.sh
fi
echo 'LAB READY' >/dev/console

control=/dev/virtio-ports/lab.control
if [ ! -e "$control" ]; then
    while :; do wait; read -r _ </dev/console; done
fi
# One command per line, base64; the answer is "STATUS BYTES" and that many bytes.
exec 3<>"$control"
while read -r line <&3; do
    printf '%s' "$line" | base64 -d >/run/command
    rm -f /run/output
    sh /run/command >/run/output 2>&1 3<&-
    status=$?
    # What is left in the background may still write: no more than was announced is sent, and
    # the next command has a file of its own.
    size=$(stat -c %s /run/output)
    printf '%s %s\n' "$status" "$size" >&3
    head -c "$size" /run/output >&3
done
# The test is gone: so is its machine.
poweroff -f
