#!/usr/bin/env bash
# Shows Stillpoint at work: installs what it needs, builds, boots a small VM in a private place,
# backs it up while it writes (full, then incremental), restores, and proves what came back.
# Touches no VM, daemon or file of yours; leaves nothing running.
set -euo pipefail
cd "$(dirname "$0")"

log=build/quickstart.log
mkdir -p build
: >"$log"

# task TEXT COMMAND…: output goes to the log; on failure its end is shown.
task() {
    local text=$1 start=$SECONDS
    shift
    printf '  %-22s' "$text"
    if ! "$@" >>"$log" 2>&1; then
        printf 'FAILED\n\n'
        tail -n 30 "$log"
        printf '\nThe whole log is %s\n' "$log"
        exit 1
    fi
    printf '%d s\n' "$((SECONDS - start))"
}

build() {
    [ -f build/build.ninja ] || meson setup build
    ninja -C build host-plugin/manager/stillpoint host-plugin/abi/libstillpoint-host.so \
        host-plugin/abi/stillpoint-keeper guest-linux/stillpoint-guest \
        tests/vm/guest/stamper tests/vm/guest/lying_freeze
}

echo 'Stillpoint quickstart'
task 'Debian packages' packaging/install-deps.sh
task 'build' build
exec /usr/bin/python3 tests/vm/quickstart.py
