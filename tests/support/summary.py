#!/usr/bin/env python3
"""Collects test results for run-tests.sh and prints the closing summary.

    summary.py collect LABEL MESON-LOGS CONSOLE-LOG RESULTS   appends meson's results to RESULTS
    summary.py report RESULTS                                 prints the table and the last line
    summary.py targets BUILD-DIR SUITE…                       what ninja must build for the suites

RESULTS has one line per test: suite, test, result, seconds, reason; tab-separated. What failed
tests printed stands beside it, in NAME.failed, and its end is shown once more before the last line:
a log that was cut in the middle still says why.
"""
import collections
import json
import os
import pathlib
import sys

PASSED = {"OK", "EXPECTEDFAIL"}
SKIPPED = {"SKIP"}
SHOWN_LINES = 40  # of a failed test, at the end
SHOWN_TESTS = 5


def reason_of(test):
    """The last line a test printed about why it was skipped, or the end of its output."""
    lines = (test.get("stdout", "") + "\n" + test.get("stderr", "")).splitlines()
    for line in reversed(lines):
        if "SKIP" in line.upper():
            return line.strip()
    return next((line.strip() for line in reversed(lines) if line.strip()), "no reason given")


def targets(build, suites):
    """The programs that a build tree's tests of some suites run, as ninja calls them."""
    build = pathlib.Path(build).resolve()
    tests = json.loads((build / "meson-info/intro-tests.json").read_text())
    wanted = [test for test in tests
              if {suite.rpartition(":")[2] for suite in test["suite"]} & set(suites)]
    # Scripts of the source tree are written as "build/../tests/…": they are nobody's target.
    paths = {pathlib.Path(os.path.normpath(word)) for test in wanted for word in test["cmd"]}
    # Programs that a test starts by itself are named as its dependencies.
    built = json.loads((build / "meson-info/intro-targets.json").read_text())
    needed = {identity for test in wanted for identity in test.get("depends", [])}
    files = {pathlib.Path(name): target["id"] for target in built for name in target["filename"]}
    return sorted(str(path.relative_to(build)) for path, identity in files.items()
                  if build in path.parents and (path in paths or identity in needed))


def suites_by_command(meson_logs):
    """The log names no suite, the introspection data does; the command is what both have."""
    tests = json.loads((meson_logs.parent / "meson-info/intro-tests.json").read_text())
    return {tuple(test["cmd"]): test["suite"][0].rpartition(":")[2] for test in tests}


def failed_log(results, suite, name):
    """Where the output of a failed test is kept."""
    safe = "".join(c if c.isalnum() else "-" for c in f"{suite}-{name}")
    return pathlib.Path(results).parent / f"{safe}.failed"


def end_of(results, suite, name, reason):
    """The last lines of a failed test's or step's output; empty where nothing was kept."""
    log = failed_log(results, suite, name)
    if reason.startswith("see "):  # a step of run-tests.sh
        log = pathlib.Path(reason.removeprefix("see "))
    if not log.exists():
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "".join(f"   | {line}\n" for line in lines[-SHOWN_LINES:])


def collect(label, meson_logs, console_log, results):
    meson_logs = pathlib.Path(meson_logs)
    logs = sorted(meson_logs.glob("testlog*.json"))
    suites = suites_by_command(meson_logs)
    rows = []
    for log in logs:
        for line in log.read_text(encoding="utf-8").splitlines():
            test = json.loads(line)
            suite = suites.get(tuple(test["command"]), "other")
            rows.append((f"{label}/{suite}", test["name"], test["result"], test["duration"],
                         reason_of(test)))
            if test["result"] not in PASSED | SKIPPED:
                failed_log(results, f"{label}/{suite}", test["name"]).write_text(
                    test.get("stdout", "") + test.get("stderr", ""), encoding="utf-8")
    console = pathlib.Path(console_log).read_text(encoding="utf-8", errors="replace")
    none_defined = "No suitable tests defined" in console or "No tests defined" in console
    if not rows and not none_defined:
        print(console[-4000:])
        rows.append((f"{label}/meson", "meson test", "FAIL", 0.0, "meson wrote no results"))
    if any(row[2] not in PASSED | SKIPPED for row in rows):
        print(console[-20000:])
    with open(results, "a", encoding="utf-8") as out:
        for suite, name, result, seconds, reason in rows:
            reason = " ".join(reason.split())[:200]
            out.write(f"{suite}\t{name}\t{result}\t{seconds:.2f}\t{reason}\n")
            print(f"   {result:<4} {suite}: {name} ({seconds:.1f} s)")


def report(results):
    rows = [line.split("\t") for line in
            pathlib.Path(results).read_text(encoding="utf-8").splitlines()]
    totals = collections.Counter()
    seconds = collections.Counter()
    per_suite = collections.defaultdict(collections.Counter)
    for suite, name, result, duration, _ in rows:
        kind = "passed" if result in PASSED else "skipped" if result in SKIPPED else "failed"
        totals[kind] += 1
        per_suite[suite][kind] += 1
        seconds[suite] += float(duration)
    print("\n== seconds of every suite")
    for suite in sorted(per_suite):
        counts = per_suite[suite]
        print(f"   {suite:<18} {seconds[suite]:8.1f} s   {counts['passed']} passed, "
              f"{counts['failed']} failed, {counts['skipped']} skipped")
    shown = 0
    for suite, name, result, _, reason in rows:
        if result in SKIPPED:
            print(f"   skipped {suite}: {name}: {reason}")
        elif result not in PASSED:
            print(f"   FAILED  {suite}: {name}")
            shown += 1
            print(end_of(results, suite, name, reason) if shown <= SHOWN_TESTS else "", end="")
    print(f"\n{totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped")
    return 0 if totals["failed"] == 0 and totals["passed"] > 0 else 1


if __name__ == "__main__":
    if sys.argv[1] == "collect":
        collect(*sys.argv[2:6])
    elif sys.argv[1] == "targets":
        print("\n".join(targets(sys.argv[2], sys.argv[3:])))
    else:
        sys.exit(report(sys.argv[2]))
