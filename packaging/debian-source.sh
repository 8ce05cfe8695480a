#!/usr/bin/env bash
# Fetches a Debian source package (apt checks its signature) and prints the path of one of its files.
#
#   packaging/debian-source.sh PACKAGE PATTERN      PATTERN follows the name: '*.dsc', '*.orig.tar.*'
#
# Needs neither root nor a deb-src entry. The files are kept in $STILLPOINT_SOURCES (default
# ~/.cache/stillpoint/sources); what lies there is used without a network.
set -euo pipefail

package=$1
pattern=$2
cache=${STILLPOINT_SOURCES:-${XDG_CACHE_HOME:-$HOME/.cache}/stillpoint/sources}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

file_in() {
    find "$1" -maxdepth 1 -name "${package}_$pattern" ! -name '*.asc' -print -quit 2>/dev/null
}

# With the source lists that apt has already.
download() {
    (cd "$scratch" && apt-get -qq --download-only "$@" source "$package" >/dev/null 2>&1)
}

# With lists of our own: the deb-src twin of the Debian entries that apt already uses.
download_with_own_lists() {
    local origin uri suite component signed_by=
    [ ! -e /usr/share/keyrings/debian-archive-keyring.gpg ] ||
        signed_by='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
    mkdir -p "$scratch/lists/partial" "$scratch/apt/archives/partial"
    # shellcheck disable=SC2016  # the $(…) are apt's own format
    apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' | sort -u | while read -r origin uri suite component; do
        [ "$origin/$component" != Debian/main ] ||
            echo "deb-src $signed_by $uri $suite $component"
    done >"$scratch/sources.list"
    local options=(-o "Dir::Etc::sourcelist=$scratch/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State::lists=$scratch/lists" -o "Dir::Cache=$scratch/apt")
    apt-get -qq "${options[@]}" update >&2
    download "${options[@]}"
}

# Under its final name only when whole: builds may run side by side. The .dsc, which names the
# others, comes last.
keep() {
    local file
    mkdir -p "$cache"
    for file in "$scratch/${package}"_*.tar.* "$scratch/${package}"_*.dsc; do
        [ -f "$file" ] || continue
        cp "$file" "$cache/.partial.$$"
        mv "$cache/.partial.$$" "$cache/$(basename "$file")"
    done
}

found=$(file_in "$cache" || true)
if [ -z "$found" ]; then
    download || download_with_own_lists || {
        echo "debian-source: cannot fetch the source package $package: run" \
            "packaging/install-deps.sh, or put its files into $cache" >&2
        exit 1
    }
    keep
    found=$(file_in "$cache")
fi
echo "$found"
