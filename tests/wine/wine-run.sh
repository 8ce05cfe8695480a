#!/usr/bin/env bash
# Runs a Windows program of the build tree under Wine, without a display: meson's exe_wrapper.
#
#   tests/wine/wine-run.sh PROGRAM.exe ARGUMENT…
#
# The prefix (700 MB) lies in $STILLPOINT_WINE_PREFIX, default wine-prefix beside the running
# build's ninja file, and is made once. Wine's exit status is that of the program modulo 256.
set -euo pipefail

prefix=${STILLPOINT_WINE_PREFIX:-}
if [ -z "$prefix" ]; then
    folder=$(cd "$(dirname "$1")" && pwd)
    while [ "$folder" != / ] && [ ! -e "$folder/build.ninja" ]; do folder=$(dirname "$folder"); done
    prefix=$folder/wine-prefix
    [ "$folder" != / ] || prefix=${XDG_CACHE_HOME:-$HOME/.cache}/stillpoint/wine-prefix
fi
export WINEPREFIX=$prefix WINEDEBUG=${WINEDEBUG:--all}
export WINEDLLOVERRIDES=${WINEDLLOVERRIDES:-'mscoree,mshtml=;winemenubuilder.exe=d;vssapi=n,b'}
unset DISPLAY

mkdir -p "$prefix"
exec 9>"$prefix.lock"
flock 9 # tests run side by side. Closed for whatever is started here and stays
if [ ! -e "$prefix/ready" ]; then
    timeout 120 wineboot -i >"$prefix/wineboot.log" 2>&1 </dev/null 9>&- || {
        cat "$prefix/wineboot.log" >&2
        exit 1
    }
    touch "$prefix/ready"
fi
# Wine's server stays for a while (a start of it costs half a second), and so do the processes that
# stand for Windows' own services: children of the first program, with its streams. Who waits for
# the end of a test's output would wait for them, so the first is a program of nobody's.
if ! wineserver -k0 >/dev/null 2>&1 9>&-; then
    wineserver -p60 </dev/null >/dev/null 2>&1 9>&- || true
    wine cmd.exe /c exit </dev/null >/dev/null 2>&1 9>&- || true
fi
exec 9>&-
exec wine "$@"
