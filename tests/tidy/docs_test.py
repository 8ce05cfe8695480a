#!/usr/bin/env python3
"""The man pages and the programs tell the same: every command and option of --help stands in the
man page, every option of the man page exists, and every key of host.xml is documented.

    docs_test.py STILLPOINT SOURCE_ROOT
"""
import pathlib
import re
import subprocess
import sys
import unittest

PROGRAM = ROOT = None


def help_of(*words):
    done = subprocess.run([PROGRAM, *words, "--help"], capture_output=True, text=True, check=True)
    return done.stdout


def commands_of(text):
    listed = text.split("Subcommands:")
    return re.findall(r"^  ([a-z]+) ", listed[1], re.MULTILINE) if len(listed) > 1 else []


def options_of(text):
    return set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+|-[a-z])\b", text.split("Options:")[-1]))


def all_help(*words):
    """(words, text) of every command, depth first."""
    text = help_of(*words)
    yield words, text
    for command in commands_of(text):
        yield from all_help(*words, command)


def man(name):
    text = (ROOT / "docs/man" / name).read_text()
    return text.replace("\\-", "-").replace("\\fB", "").replace("\\fR", "").replace("\\fI", "")


class ManPage(unittest.TestCase):
    def test_every_command_is_documented(self):
        page = man("stillpoint.1")
        for words, text in all_help():
            if words and not commands_of(text):
                self.assertIn("\n.B " + " ".join(words) + "\n", page)

    def test_every_option_is_documented(self):
        page = man("stillpoint.1")
        for words, text in all_help():
            for option in options_of(text):
                self.assertRegex(page, re.escape(option) + r"(?![\w-])", f"{words}: {option}")

    def test_no_option_is_invented(self):
        known = set()
        for _, text in all_help():
            known |= options_of(text)
        page = man("stillpoint.1").split(".SH OPTIONS")[1].split(".SH CONSISTENCY")[0]
        for option in re.findall(r"^\.B\S* \"?(--?[a-z-]+)", page, re.MULTILINE):
            self.assertIn(option, known)

    def test_every_key_of_host_xml_is_documented(self):
        source = (ROOT / "host-plugin/abi/config_keys.cpp").read_text()
        keys = re.findall(r'\{"([a-z]+)",\s*"([a-z-]+)",', source)
        self.assertGreater(len(keys), 5)
        page = man("stillpoint-host.xml.5")
        for element, attribute in keys:
            self.assertIn(f"<{element} {attribute}=", page)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    ROOT = pathlib.Path(sys.argv.pop(1))
    unittest.main()
