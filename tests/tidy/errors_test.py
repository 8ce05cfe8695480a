#!/usr/bin/env python3
"""docs/errors.md and the source name the same errors: every id that the source makes stands in the
page with its code, and the page names no id that the source does not.

    errors_test.py SOURCE_ROOT
"""
import pathlib
import re
import sys
import unittest

ROOT = None
ID = r'"([a-z][a-z0-9_]*\.[a-z0-9_.]+)"'
# fail(Errc::io, "x.y", …) and tables of {Errc::io, "x.y"}; the id may stand on the next line.
MADE = re.compile(r"Errc::([a-z_]+),\s*" + ID)
WARNED = re.compile(r"\b(?:Warning|Check)\{\s*" + ID +
                    r"|warnings?\w*(?:\.|->)push_back\(\{\s*" + ID)
SET = re.compile(r"\.id = " + ID)
# Ids of a table, by the text they belong to: only their presence is compared.
NAMED = re.compile(ID)
FOLDERS = ("shared", "guest-linux", "guest-windows", "host-plugin")
ROW = re.compile(r"^\| `([a-z0-9_.]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.M)
RETRY = {"yes", "later", "after repair", "no", "as the text", "–"}


def sources():
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.[ch]pp")):
            yield path.read_text()


def made():
    """id -> codes, of everything the source makes."""
    found = {}
    for text in sources():
        for code, name in MADE.findall(text):
            found.setdefault(name, set()).add(code)
        for names in WARNED.findall(text):
            found.setdefault(next(filter(None, names)), set()).add("warning")
        for name in SET.findall(text):
            found.setdefault(name, set())
    return found


def page_rows():
    return ROW.findall((ROOT / "docs/errors.md").read_text())


class ErrorCatalogue(unittest.TestCase):
    def test_every_error_is_in_the_page(self):
        listed = {row[0] for row in page_rows()}
        self.assertEqual(sorted(set(made()) - listed), [])

    def test_no_error_is_invented(self):
        named = set()
        for text in sources():
            named |= set(NAMED.findall(text))
        self.assertEqual([row[0] for row in page_rows() if row[0] not in named], [])

    def test_codes_are_true(self):
        codes = made()
        for name, listed, *_ in page_rows():
            if listed == "as the cause" or name not in codes:
                continue
            self.assertLessEqual(codes[name], set(listed.split(", ")), name)

    def test_rows_are_whole_and_once(self):
        rows = page_rows()
        text = (ROOT / "docs/errors.md").read_text()
        self.assertEqual(len(rows), text.count("\n| `") - text.count("\n| `io`")
                         - sum(text.count(f"\n| `{code}`") for code in
                               ("not_found", "busy", "invalid", "warning", "corrupt", "cancelled")))
        names = [row[0] for row in rows]
        self.assertEqual(sorted(names), sorted(set(names)))
        for row in rows:
            self.assertIn(row[2], RETRY, row[0])


if __name__ == "__main__":
    ROOT = pathlib.Path(sys.argv.pop())
    unittest.main()
