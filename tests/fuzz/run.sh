#!/usr/bin/env bash
# run.sh TARGET NAME WORK-DIR [ENGINE]: replays corpus/NAME and regressions/NAME with a target's replay
# build; with ENGINE "libfuzzer" the inputs are also mutated for some seconds, longer when
# STILLPOINT_TEST_LENGTH=long or as STILLPOINT_FUZZ_SECONDS says.
set -euo pipefail
target=$1 name=$2 work=$3 engine=${4:-replay}
here=$(cd "$(dirname "$0")" && pwd)

inputs=()
for folder in "$here/corpus/$name" "$here/regressions/$name"; do
    [ ! -d "$folder" ] || inputs+=("$folder")
done
[ "$engine" = libfuzzer ] || exec "$target" "${inputs[@]}"

seconds=5
[ "${STILLPOINT_TEST_LENGTH:-}" != long ] || seconds=120
seconds=${STILLPOINT_FUZZ_SECONDS:-$seconds}
# libFuzzer writes what it finds into the *first* folder: never the source tree.
mkdir -p "$work/found-$name"
exec "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=256 \
    -max_len=8192 -print_final_stats=1 -artifact_prefix="$work/$name-" \
    "$work/found-$name" "${inputs[@]}"
