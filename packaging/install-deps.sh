#!/usr/bin/env bash
# Installs the Debian 12 packages that building and testing Stillpoint needs.
#
#   packaging/install-deps.sh           everything: build, tests, lab, linters
#   packaging/install-deps.sh --list    prints the packages and changes nothing
#
# Safe to run again; ends at once when everything is there. Source packages are needed too (the
# static guest builds its XML library from Debian's source), so a deb-src entry is added when apt
# has none.
set -euo pipefail

build=(g++ pkg-config meson ninja-build ccache cmake git dpkg-dev ca-certificates
    libpoco-dev libtinyxml2-dev libspdlog-dev nlohmann-json3-dev libexpected-dev libcli11-dev
    libhowardhinnant-date-dev libnbd-dev libvirt-dev libssl-dev libsodium-dev libzstd-dev
    liblz4-dev libcurl4-openssl-dev nbdkit-plugin-dev)
[ "$(dpkg --print-architecture)" != amd64 ] || build+=(libipsec-mb-dev)
tests=(doctest-dev librapidcheck-dev clang-14 clang clang-tidy-14 clang-format-14
    libclang-rt-14-dev llvm-14 codespell shellcheck mandoc python3 python3-libnbd python3-libvirt
    jq strace)
lab=(qemu-system-x86 qemu-utils libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients
    nbdkit libnbd-bin busybox-static cpio zstd xz-utils e2fsprogs xfsprogs btrfs-progs dosfstools kmod
    util-linux dmsetup iproute2 swtpm swtpm-tools ovmf)
s3=(ceph-mon ceph-mgr ceph-osd radosgw ceph-common curl openssl) # 70 MB: a real object store
# The Windows guest is cross-built and runs under Wine; by its full name, because only the posix
# variant of the compiler has threads.
windows=(g++-mingw-w64-x86-64-posix gcc-mingw-w64-x86-64-posix mingw-w64-tools wine wine64
    wine64-tools)
packages=("${build[@]}" "${tests[@]}" "${lab[@]}" "${s3[@]}" "${windows[@]}")

if [ "${1:-}" = --list ]; then
    printf '%s\n' "${packages[@]}"
    exit 0
fi

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "install-deps: run this as root (or install sudo): $*" >&2
        return 1
    fi
}

# shellcheck disable=SC2016  # the ${…} are dpkg's and apt's own formats, here and below
installed=" $(dpkg-query -W -f '${Package}=${db:Status-Status} ' "${packages[@]}" 2>/dev/null || true)"
missing=()
for package in "${packages[@]}"; do
    [[ $installed == *" $package=installed "* ]] || missing+=("$package")
done

# The deb-src twin of every Debian entry that apt already uses: same mirror, same suite.
debian_sources() {
    local uri suite component
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' | while read -r origin uri suite component; do
        [ "$origin/$component" = Debian/main ] || continue
        printf 'Types: deb-src\nURIs: %s\nSuites: %s\nComponents: main\n' "$uri" "$suite"
        [ ! -e /usr/share/keyrings/debian-archive-keyring.gpg ] ||
            echo 'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg'
        echo
    done
}

fresh_lists=no
refresh_lists() {
    [ "$fresh_lists" = yes ] || as_root apt-get update -qq
    fresh_lists=yes
}

if [ "${#missing[@]}" -gt 0 ]; then
    echo "install-deps: ${#missing[@]} of ${#packages[@]} packages are missing: ${missing[*]}"
    refresh_lists
    # Daemons that come with the packages are not to be started: the lab runs its own.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
        trap 'as_root rm -f "$policy"' EXIT
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o Dpkg::Use-Pty=0 "${missing[@]}" >/dev/null
fi

# Nothing listed yet (a machine whose package lists were cleaned): learn the mirror first.
[ -n "$(apt-get indextargets 'Created-By: Packages' 2>/dev/null)" ] || refresh_lists
if [ -z "$(apt-get indextargets 'Created-By: Sources' 2>/dev/null)" ]; then
    debian_sources | as_root tee /etc/apt/sources.list.d/stillpoint-source.sources >/dev/null
    fresh_lists=no
fi
if ! apt-cache showsrc tinyxml2 2>/dev/null | grep -q '^Directory:'; then
    refresh_lists
fi
