#!/usr/bin/env bash
# Puts the one library of the static guest into a folder, from Debian's source package (apt checks
# its signature): its shared object is of no use to a binary that runs anywhere.
#
#   packaging/guest-sources.sh FOLDER     leaves FOLDER/tinyxml2.cpp and FOLDER/tinyxml2.h
#
# Needs neither root nor a deb-src entry. The archive is kept in $STILLPOINT_SOURCES (default
# ~/.cache/stillpoint/sources); one that lies there is used without a network.
set -euo pipefail

package=tinyxml2
folder=$1
cache=${STILLPOINT_SOURCES:-${XDG_CACHE_HOME:-$HOME/.cache}/stillpoint/sources}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

archive() {
    find "$1" -maxdepth 1 -name "${package}_*.orig.tar.*" ! -name '*.asc' -print -quit 2>/dev/null
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

found=$(archive "$cache" || true)
if [ -z "$found" ]; then
    download || download_with_own_lists || {
        echo "guest-sources: cannot fetch the source package $package: run packaging/install-deps.sh," \
            "or put its .orig.tar.xz into $cache" >&2
        exit 1
    }
    mkdir -p "$cache"
    fetched=$(archive "$scratch")
    # Under its final name only when whole: builds may run side by side.
    cp "$fetched" "$cache/.partial.$$"
    found=$cache/$(basename "$fetched")
    mv "$cache/.partial.$$" "$found"
fi
mkdir -p "$folder"
tar -xf "$found" -C "$folder" --strip-components=1 --wildcards '*/tinyxml2.cpp' '*/tinyxml2.h'
touch "$folder/tinyxml2.cpp" "$folder/tinyxml2.h"
