#!/usr/bin/env bash
# Installs what is needed, builds, and runs the tests.
#
#   ./run-tests.sh           everything but soaks: all suites with gcc, the memory-safety suites
#                            under clang's sanitizers, the fuzz smoke, the Windows guest under Wine,
#                            the linters
#   ./run-tests.sh --fast    linters that take seconds, build, suites without virtual machines
#   ./run-tests.sh --long    everything, soaks and kill matrices in full length, the thread sanitizer,
#                            all files linted
#
# Ends with a line "N passed, N failed, N skipped"; exit status 0 only when nothing failed.
set -euo pipefail
cd "$(dirname "$0")"

length=normal
case "${1:-}" in
    '') ;;
    --fast) length=fast ;;
    --long) length=long ;;
    *) echo "usage: ./run-tests.sh [--fast|--long]" >&2; exit 2 ;;
esac
export STILLPOINT_TEST_LENGTH=$length

packaging/install-deps.sh

logs=build/run-tests
rm -rf "$logs"
mkdir -p "$logs"
results=$logs/results.tsv # suite, test, result, seconds, why
: >"$results"

now_ms() { date +%s%3N; }
say() { printf '\n== %s\n' "$*"; }
record() { printf '%s\t%s\t%s\t%s\t%s\n' "$@" >>"$results"; }

# step SUITE NAME COMMAND…: a check that either works or not; its output is shown when it fails.
step() {
    local suite=$1 name=$2 log start result=OK
    shift 2
    log=$logs/$suite-${name//[^a-z0-9]/-}.log
    start=$(now_ms)
    "$@" >"$log" 2>&1 || result=FAIL
    [ "$result" = OK ] || tail -n 60 "$log"
    record "$suite" "$name" "$result" "$(($(now_ms) - start))e-3" "see $log"
    printf '   %-4s %s\n' "$result" "$name"
    [ "$result" = OK ]
}

configure() { # configure BUILD-DIR MESON-OPTION…; the compiler comes from CC and CXX
    local dir=$1
    shift
    if [ -f "$dir/build.ninja" ]; then
        [ $# = 0 ] || meson configure "$dir" "$@"
    else
        meson setup "$dir" "$@"
    fi
}

build_suites() { # build_suites BUILD-DIR SUITE…: only what the suites run
    local dir=$1 targets
    mapfile -t targets < <(tests/support/summary.py targets "$@")
    ninja -C "$dir" "${targets[@]}"
}

# suites LABEL BUILD-DIR SUITE…: runs meson suites of a built tree and records every test.
suites() {
    local label=$1 dir=$2 suite arguments=()
    shift 2
    # Instrumented and not optimized, a program takes several times as long.
    case $label in asan | tsan) arguments+=(--timeout-multiplier 5) ;; esac
    for suite in "$@"; do arguments+=(--suite "$suite"); done
    rm -f "$dir"/meson-logs/testlog*.json
    meson test -C "$dir" --no-rebuild --print-errorlogs "${arguments[@]}" \
        >"$logs/$label-tests.log" 2>&1 || true
    tests/support/summary.py collect "$label" "$dir/meson-logs" "$logs/$label-tests.log" "$results"
}

say 'linters'
step lint clang-format bash -c 'git ls-files "*.cpp" "*.hpp" "*.h" |
    xargs -r clang-format-14 --dry-run --Werror' || true
step lint codespell bash -c 'git ls-files | grep -vE "^tests/(fuzz|golden)/" | grep -v "^LICENSE$" |
    xargs -r codespell --ignore-words=tests/support/codespell-ignore.txt' || true
step lint shellcheck bash -c 'git ls-files -z "*.sh" .ci/run \
    "packaging/hooks/*/pre" "packaging/hooks/*/post" "packaging/hooks/*/abort" |
    xargs -0 -r shellcheck -x' || true

say 'gcc: build'
memory_suites=(unit contract property golden fault)
small_suites=(unit contract property golden tidy docs)
large_suites=(fault sim peers vm) # fuzz targets run where they are instrumented
windows_suites=(unit golden wine)
gcc_build=(ninja -C build)
[ "$length" != fast ] || gcc_build=(build_suites build "${small_suites[@]}")
if step build gcc-configure configure build && step build gcc "${gcc_build[@]}"; then
    say 'gcc: suites'
    suites gcc build "${small_suites[@]}"
    # meson has glibc fill memory that is taken or freed: 32 MiB for each pack, which is most of
    # the time of whole backups.
    [ "$length" = fast ] || MALLOC_PERTURB_=0 suites gcc build "${large_suites[@]}"
fi

if [ "$length" != fast ]; then
    say 'clang with address, undefined-behaviour and fuzzing instrumentation: build'
    export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
    export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
    # Without optimization: half the time to compile, and nothing is optimized away that could be found.
    if CC=clang-14 CXX=clang++-14 step build asan-configure configure build-asan \
            -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false -Dstatic_guest=false \
            -Doptimization=0 -Dcpp_args=-g1 \
        && step build asan build_suites build-asan "${memory_suites[@]}" fuzz; then
        say 'clang with sanitizers: suites, fuzz smoke'
        suites asan build-asan "${memory_suites[@]}" fuzz
    fi

    # The simulation takes a minute of its ten here: it is five times as slow. One test has an
    # operator new of its own, which the sanitizer's library has as well.
    if [ "$length" = long ]; then
        say 'clang with the thread sanitizer: build, suites'
        thread_suites=(unit contract property fault sim)
        if CC=clang-14 CXX=clang++-14 step build tsan-configure configure build-tsan \
                -Db_sanitize=thread -Db_lundef=false -Dstatic_guest=false \
                -Doptimization=1 -Dcpp_args=-g1 \
                -Dcpp_link_args=-Wl,--allow-multiple-definition \
            && step build tsan build_suites build-tsan "${thread_suites[@]}"; then
            STILLPOINT_SIM_SECONDS=60 suites tsan build-tsan "${thread_suites[@]}"
        fi
    fi

    # A second build folder with a cross file. Wine is one of the packages installed above: where it
    # does not run, the tests fail.
    say 'Windows: build with mingw-w64'
    if step build windows-libraries packaging/windows-libraries.sh &&
            step build windows packaging/build-windows.sh build-windows; then
        say 'Windows: suites under Wine'
        STILLPOINT_BUILD=$PWD/build suites wine build-windows "${windows_suites[@]}"
        WINEPREFIX=$PWD/build-windows/wine-prefix wineserver -k || true
    fi

    say 'clang-tidy'
    scope=changed
    [ "$length" = long ] && scope=all
    step lint clang-tidy tests/tidy/run-clang-tidy.py "$scope" build || true
fi

tests/support/summary.py report "$results"
