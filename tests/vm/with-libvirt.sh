#!/bin/sh
# with-libvirt.sh COMMAND [ARGUMENT...]
#
# Runs COMMAND beside a libvirtd of its own and exits with COMMAND's code (77: this machine cannot
# do that, and why). The daemon, its QEMUs and COMMAND live in private mount, network, IPC and PID
# namespaces with their own /run, /etc/libvirt, /var/lib/libvirt, /var/log/libvirt and
# /var/cache/libvirt: no existing daemon or domain can be reached, and the end of the PID namespace
# ends every process in it, however COMMAND ended.
#
# COMMAND finds:
#   STILLPOINT_LAB        a temporary folder that QEMU's user may enter; removed afterwards
#   STILLPOINT_QEMU_USER  the non-root user that QEMU runs as
#   LIBVIRT_DEFAULT_URI   qemu:///system
#   STILLPOINT_LIBVIRTD   a script that runs libvirtd in the foreground (after a test ended it)
set -eu

skip() { echo "with-libvirt.sh: skipped: $1" >&2; exit 77; }

start_outside() {
    [ "$(id -u)" = 0 ] || skip "needs root: QEMU must run as another user"
    for tool in unshare ip libvirtd virsh qemu-img qemu-system-x86_64; do
        command -v "$tool" >/dev/null || PATH=$PATH:/usr/sbin command -v "$tool" >/dev/null ||
            skip "$tool is not installed"
    done
    unshare --mount --net --ipc --pid --fork true 2>/dev/null || skip "namespaces are not allowed here"
    lab=$(mktemp -d "${TMPDIR:-/tmp}/stillpoint-lab.XXXXXX")
    trap 'rm -rf --one-file-system "$lab"' EXIT
    trap 'exit 130' INT TERM
    code=0
    PATH=$PATH:/usr/sbin:/sbin unshare --mount --net --ipc --pid --fork --kill-child --mount-proc \
        /bin/sh "$0" --inside "$lab" "$@" || code=$?
    exit "$code"
}

# libvirt makes /var/log/swtpm, and swtpm's first start an authority for the certificates of its TPMs.
make_swtpm_folders() {
    authority=/var/lib/swtpm-localca
    [ -d "$authority" ] || return 0
    mkdir -p "$lab/all-logs/libvirt" "$lab/authority"
    chown --reference="$authority" "$lab/authority"
    chmod 0750 "$lab/authority"
    mount --bind "$lab/authority" "$authority"
    mount --bind "$lab/all-logs" /var/log
}

make_private_folders() {
    mount --make-rprivate /
    mkdir -p "$lab/etc/qemu" "$lab/lib/qemu" "$lab/log/qemu" "$lab/cache/qemu" "$lab/work" "$lab/run" \
        "$lab/tmp"
    chmod 1777 "$lab/tmp"
    chmod 0711 "$lab" "$lab/work"
    # QEMU's user must reach its folders; below them libvirt sets the owners.
    chmod 0755 "$lab/run" "$lab/lib" "$lab/log" "$lab/cache"
    mount --bind "$lab/run" /run
    make_swtpm_folders
    for pair in etc:/etc/libvirt lib:/var/lib/libvirt log:/var/log/libvirt cache:/var/cache/libvirt; do
        [ -d "${pair#*:}" ] || skip "${pair#*:} does not exist: is libvirt installed whole?"
        mount --bind "$lab/${pair%%:*}" "${pair#*:}"
    done
    # A KVM device that exists but does not work makes libvirt probe QEMU anew for every domain.
    if [ -e /dev/kvm ]; then
        : >"$lab/no-kvm"
        chmod 0 "$lab/no-kvm"
        mount --bind "$lab/no-kvm" /dev/kvm
    fi
    ip link set lo up
}

write_configuration() {
    user=nobody group=nogroup
    if id libvirt-qemu >/dev/null 2>&1; then user=libvirt-qemu group=$(id -gn libvirt-qemu); fi
    cat >/etc/libvirt/qemu.conf <<END
user = "$user"
group = "$group"
dynamic_ownership = 1
remember_owner = 0
security_driver = "none"
stdio_handler = "file"
namespaces = []
cgroup_controllers = []
max_core = "unlimited"
END
    cat >/etc/libvirt/libvirtd.conf <<END
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
END
    cat >"$lab/libvirtd.sh" <<END
#!/bin/sh
export TMPDIR="$lab/tmp"  # of swtpm's user, too
exec libvirtd --config /etc/libvirt/libvirtd.conf --pid-file /run/libvirtd.pid >>"$lab/libvirtd.log" 2>&1
END
    chmod 0755 "$lab/libvirtd.sh"
}

wait_for_libvirtd() {
    tries=0
    until virsh version >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ "$tries" -gt 150 ]; then cat "$lab/libvirtd.log" >&2; echo "libvirtd did not answer" >&2; exit 1; fi
        sleep 0.1
    done
}

run_inside() {
    lab=$1; shift
    make_private_folders
    write_configuration
    export LIBVIRT_DEFAULT_URI=qemu:///system STILLPOINT_LAB="$lab/work" STILLPOINT_QEMU_USER="$user"
    export STILLPOINT_LIBVIRTD="$lab/libvirtd.sh" HOME="$lab/work" TMPDIR="$lab/work"
    unset XDG_RUNTIME_DIR XDG_CACHE_HOME XDG_CONFIG_HOME
    "$lab/libvirtd.sh" &
    wait_for_libvirtd
    code=0
    "$@" || code=$?
    [ "$code" = 0 ] || [ "$code" = 77 ] || { echo "--- libvirtd's log:"; tail -n 40 "$lab/libvirtd.log"; } >&2
    exit "$code"
}

if [ "${1:-}" = --inside ]; then shift; run_inside "$@"; fi
[ $# -gt 0 ] || { sed -n '2,16p' "$0" >&2; exit 2; }
start_outside "$@"
