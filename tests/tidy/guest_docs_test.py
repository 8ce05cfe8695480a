#!/usr/bin/env python3
"""The guest's man pages and its program tell the same: options, commands, configuration keys.

    guest_docs_test.py STILLPOINT_GUEST SOURCE_ROOT
"""
import pathlib
import re
import subprocess
import sys
import unittest

PROGRAM = ROOT = None


def help_text():
    done = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True)
    return done.stdout


def man(name):
    return (ROOT / "docs/man" / name).read_text().replace("\\-", "-").replace("\\(dq", '"')


def keys_of(header, table):
    """The entries of a table of "element" and "element@attribute" in a header."""
    text = (ROOT / "guest-linux" / header).read_text()
    return re.findall(r'"([a-z]+(?:@[a-z-]+)?)"', text.split(table + "{")[1].split("}")[0])


class GuestPages(unittest.TestCase):
    def test_every_option_and_command_of_help_is_documented_and_no_other(self):
        told = set(re.findall(r"(?<![\w-])(--[a-z-]+|-[a-z])\b", help_text()))
        page = man("stillpoint-guest.8").split(".SH OPTIONS")[1].split(".SH WHAT IS")[0]
        documented = set(re.findall(r"(?<![\w-])(--[a-z-]+|-[a-z])(?![\w-])", page))
        self.assertEqual(told, documented)
        for command in re.findall(r"^  ([a-z-]+)  ", help_text(), re.MULTILINE):
            self.assertIn(f"\n.B {command}\n", man("stillpoint-guest.8"))

    def test_unknown_words_are_refused(self):
        for words in (["--no-such"], ["freeze"], ["run", "plan"], ["--config"], ["--json"]):
            done = subprocess.run([PROGRAM, *words], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2, words)
            self.assertIn("--help", done.stderr)

    def check_keys(self, header, table, page):
        keys = keys_of(header, table)
        self.assertGreater(len(keys), 9)
        for element, _, attribute in (key.partition("@") for key in keys):
            headline = next((line for line in man(page).splitlines()
                             if re.match(r"\.(B|BI) \"?<" + element + r"\b", line)), None)
            self.assertIsNotNone(headline, element)
            self.assertIn(attribute, man(page) if element == "pre" else headline)

    def test_every_key_of_guest_xml_is_documented(self):
        self.check_keys("service/guest_config.hpp", "guest_config_keys", "stillpoint-guest.xml.5")

    def test_every_key_of_hook_xml_is_documented(self):
        self.check_keys("../shared/hooks/hook_file.hpp", "hook_file_keys", "stillpoint-hooks.5")

    def test_every_key_of_a_windows_guest_xml_is_documented(self):
        page = (ROOT / "docs/windows.md").read_text().split("## Configuration")[1].split("\n## ")[0]
        keys = keys_of("../guest-windows/service/guest_config.hpp", "guest_config_keys")
        self.assertGreater(len(keys), 9)
        for element, _, attribute in (key.partition("@") for key in keys):
            row = re.search(r"^\| `<" + element + r"\b[^|]*`", page.replace("\\|", "/"), re.M)
            self.assertIsNotNone(row, element)
            self.assertIn(attribute, row[0])

    def test_the_readers_know_no_other_elements(self):
        for sources, header, table, root in (
                (("service/guest_config", "service/freeze_config"),
                 "service/guest_config.hpp", "guest_config_keys", "guest"),
                (("../shared/hooks/hook_file",), "../shared/hooks/hook_file.hpp",
                 "hook_file_keys", "hook")):
            text = "".join((ROOT / f"guest-linux/{source}.cpp").read_text() for source in sources)
            reader = r"(?:&Reader::|command\(|defaults\}|\[)"
            names = set(re.findall(r'[{(]"([a-z]+)",\s*' + reader, text))
            self.assertEqual(names | {root}, {key.split("@")[0]
                                              for key in keys_of(header, table)})


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    ROOT = pathlib.Path(sys.argv.pop(1))
    unittest.main()
