#!/usr/bin/env python3
"""Runs clang-tidy over our sources with the repository's .clang-tidy.

    run-clang-tidy.py changed|all BUILD-DIR [--budget SECONDS]

`changed` takes the .cpp files that differ from the main branch (or, on the main branch itself,
those of its newest commit; `all` is for the long run). A file whose preprocessed text and
configuration passed before is not checked again: results are kept in BUILD-DIR/clang-tidy-passed.
When the budget is used up, the files that were not reached are named; `all` has no budget.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import shlex
import subprocess
import sys
import time

TIDY = "clang-tidy-14"
# The commands were made for gcc, whose warnings clang does not all know.
FOR_CLANG = ["--extra-arg=-Wno-unknown-warning-option"]
DEFAULT_BUDGET_SECONDS = 480


def git(*arguments):
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def changed_files():
    base = git("merge-base", "HEAD", "origin/main")
    if not base or base == git("rev-parse", "HEAD"):
        base = git("rev-parse", "--verify", "--quiet", "HEAD~1")
    if not base:  # a history of one commit
        return None
    return {(pathlib.Path.cwd() / name).resolve()
            for name in git("diff", "--name-only", base).splitlines()}


class Unit:
    """One entry of compile_commands.json."""

    def __init__(self, entry):
        self.folder = pathlib.Path(entry["directory"])
        self.path = (self.folder / entry["file"]).resolve()
        self.command = shlex.split(entry["command"])

    def fingerprint(self, config):
        """Hash of what the compiler would see and of our configuration."""
        words = [word for word in self.command if word != "ccache"]
        cut = words.index("-o")
        words = [words[0], "-E", "-P"] + words[1:cut] + [str(self.path)]
        text = subprocess.run(words, cwd=self.folder, capture_output=True, check=False).stdout
        # Comments can hold NOLINT, so the file itself counts too.
        return hashlib.sha256(config + text + self.path.read_bytes()).hexdigest()


def check(unit, build, config, passed, ends_at):
    """@return (path, None when not reached, else True or the complaint)"""
    if time.monotonic() > ends_at:
        return unit.path, None
    mark = passed / unit.fingerprint(config)
    if mark.exists():
        return unit.path, True
    done = subprocess.run([TIDY, "-p", str(build), "--quiet", *FOR_CLANG, str(unit.path)],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return unit.path, done.stdout + done.stderr
    mark.touch()
    return unit.path, True


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scope", choices=["changed", "all"])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--budget", type=float, default=DEFAULT_BUDGET_SECONDS)
    options = parser.parse_args()
    root = pathlib.Path.cwd()
    units = {}
    for entry in json.loads((options.build / "compile_commands.json").read_text()):
        unit = Unit(entry)
        if root in unit.path.parents and options.build.resolve() not in unit.path.parents:
            units.setdefault(unit.path, unit)
    wanted = changed_files() if options.scope == "changed" else None
    if wanted is not None:
        units = {path: unit for path, unit in units.items() if path in wanted}
    passed = options.build / "clang-tidy-passed"
    passed.mkdir(exist_ok=True)
    config = b"".join(pathlib.Path(name).read_bytes()
                      for name in (".clang-tidy", "tests/.clang-tidy"))
    ends_at = time.monotonic() + (options.budget if options.scope == "changed" else 1e9)
    failed, missed = [], []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        jobs = [pool.submit(check, unit, options.build, config, passed, ends_at)
                for unit in units.values()]
        for job in concurrent.futures.as_completed(jobs):
            path, outcome = job.result()
            if outcome is None:
                missed.append(path)
            elif outcome is not True:
                failed.append(path)
                print(outcome)
    print(f"{len(units) - len(missed)} files checked, {len(failed)} with complaints")
    for path in sorted(failed):
        print(f"complaints: {path.relative_to(root)}")
    for path in sorted(missed):
        print(f"not reached in {options.budget:.0f} s: {path.relative_to(root)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
