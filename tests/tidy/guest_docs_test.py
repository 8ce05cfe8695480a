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


class GuestPages(unittest.TestCase):
    def test_every_option_and_command_of_help_is_documented_and_no_other(self):
        told = set(re.findall(r"(?<![\w-])(--[a-z-]+|-[a-z])\b", help_text()))
        page = man("stillpoint-guest.8").split(".SH OPTIONS")[1].split(".SH WHAT IS")[0]
        documented = set(re.findall(r"(?<![\w-])(--[a-z-]+|-[a-z])(?![\w-])", page))
        self.assertEqual(told, documented)
        for command in re.findall(r"^  ([a-z]+)  ", help_text(), re.MULTILINE):
            self.assertIn(f"\n.B {command}\n", man("stillpoint-guest.8"))

    def test_unknown_words_are_refused(self):
        for words in (["--no-such"], ["freeze"], ["run", "plan"], ["--config"], ["--json"]):
            done = subprocess.run([PROGRAM, *words], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2, words)
            self.assertIn("--help", done.stderr)

    def test_every_key_of_guest_xml_is_documented(self):
        source = (ROOT / "guest-linux/service/guest_config.hpp").read_text()
        table = source.split("guest_config_keys{")[1].split("}")[0]
        keys = re.findall(r'"([a-z]+)(?:@([a-z-]+))?"', table)
        self.assertGreater(len(keys), 10)
        page = man("stillpoint-guest.xml.5")
        for element, attribute in keys:
            headline = next((line for line in page.splitlines()
                             if re.match(r"\.(B|BI) \"?<" + element + r"\b", line)), None)
            self.assertIsNotNone(headline, element)
            self.assertIn(attribute, headline)

    def test_the_reader_knows_no_other_keys(self):
        sources = [ROOT / "guest-linux/service" / name
                   for name in ("guest_config.cpp", "freeze_config.cpp")]
        names = {name for source in sources
                 for name in re.findall(r'[{(]"([a-z]+)", &Reader::', source.read_text())}
        header = (ROOT / "guest-linux/service/guest_config.hpp").read_text()
        table = header.split("guest_config_keys{")[1].split("}")[0]
        self.assertEqual(names | {"guest"}, {key.split("@")[0]
                                             for key in re.findall(r'"([a-z@-]+)"', table)})


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    ROOT = pathlib.Path(sys.argv.pop(1))
    unittest.main()
