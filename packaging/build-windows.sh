#!/usr/bin/env bash
# Builds stillpoint-guest.exe and its tests with mingw-w64, from a machine with nothing but Debian.
#
#   packaging/build-windows.sh [BUILD-DIR]      default build-windows
#
# Then `meson test -C BUILD-DIR` runs them under Wine (tests/wine/wine-run.sh).
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
build=${1:-$root/build-windows}
target=x86_64-w64-mingw32
libraries=$("$root/packaging/windows-libraries.sh")

mkdir -p "$build"
# The compiler's own defaults have relocation, DEP and 64-bit address space; the rest is here. No
# time stamp: equal sources are equal bytes. The C library is msvcrt.dll, which every Windows has.
cat >"$build/cross.ini.new" <<CROSS
[binaries]
c = '$target-gcc-posix'
cpp = ['$(command -v ccache || command -v env)', '$target-g++-posix']
ar = '$target-ar'
strip = '$target-strip'
windres = '$target-windres'
exe_wrapper = '$root/tests/wine/wine-run.sh'

[properties]
needs_exe_wrapper = true
windows_libraries = '$libraries'

[built-in options]
cpp_args = ['-isystem', '$libraries/headers', '-isystem', '$libraries/include', '-DPOCO_STATIC',
            '-DPOCO_UTIL_NO_XMLCONFIGURATION', '-DUNICODE', '-D_UNICODE', '-DNOMINMAX',
            '-DWIN32_LEAN_AND_MEAN', '-D_WIN32_WINNT=0x0A00', '-DWINVER=0x0A00',
            '-fstack-protector-strong']
cpp_link_args = ['-static', '-L$libraries/lib', '-Wl,--no-insert-timestamp',
                 '-fstack-protector-strong']

[host_machine]
system = 'windows'
cpu_family = 'x86_64'
cpu = 'x86_64'
endian = 'little'
CROSS
if [ -f "$build/build.ninja" ] && cmp -s "$build/cross.ini.new" "$build/cross.ini"; then
    rm "$build/cross.ini.new"
else
    mv "$build/cross.ini.new" "$build/cross.ini"
    # Not --wipe: it would take the cross file and Wine's prefix along.
    rm -rf "$build/meson-private" "$build/meson-info" "$build/build.ninja"
    meson setup "$build" "$root" --cross-file "$build/cross.ini" -Dbuildtype=minsize
fi
exec ninja -C "$build"
