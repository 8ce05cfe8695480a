#!/usr/bin/env bash
# Puts the one library of the static guest into a folder, from Debian's source package: its shared
# object is of no use to a binary that runs anywhere.
#
#   packaging/guest-sources.sh FOLDER     leaves FOLDER/tinyxml2.cpp and FOLDER/tinyxml2.h
set -euo pipefail

folder=$1
found=$("$(dirname "$0")/debian-source.sh" tinyxml2 '*.orig.tar.*')
mkdir -p "$folder"
tar -xf "$found" -C "$folder" --strip-components=1 --wildcards '*/tinyxml2.cpp' '*/tinyxml2.h'
touch "$folder/tinyxml2.cpp" "$folder/tinyxml2.h"
