#!/usr/bin/env python3
"""Each rule of check.py can fail, and accepts what it should accept."""
import pathlib
import tempfile
import unittest

import check


def tree_of(files):
    """A Tree of the given {name: text}; every .cpp is listed in its folder's meson.build."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = pathlib.Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        tree = check.Tree(folder)
        present = {str(path.relative_to(folder)) for path in pathlib.Path(folder).rglob("*")}
    tree.exists = lambda name: str(pathlib.PurePosixPath(name)) in present
    return tree


def lines_found(rule, files):
    return [line for _, line, _ in rule(tree_of(files))]


class Rules(unittest.TestCase):
    def includes(self, includer, included):
        return lines_found(check.include_direction, {
            f"{includer}/a.cpp": f'#include "{included.partition("/")[2]}/b.hpp"\n',
            f"{included}/b.hpp": ""})

    def test_include_direction(self):
        for includer, included in [
                ("shared/base", "shared/serialization"), ("shared/serialization", "shared/quiesce"),
                ("host-plugin/env", "host-plugin/vault"),
                ("host-plugin/vault", "host-plugin/route"),
                ("host-plugin/vault", "shared/serialization"),
                ("host-plugin/chunk", "host-plugin/env"), ("host-plugin/route", "host-plugin/abi"),
                ("host-plugin/manager", "host-plugin/env"), ("shared/quiesce", "host-plugin/env"),
                ("host-plugin/capture", "host-plugin/hypervisor"),
                ("host-plugin/keeper", "host-plugin/hypervisor")]:
            self.assertEqual(self.includes(includer, included), [1], f"{includer} -> {included}")
        for includer, included in [
                ("host-plugin/vault", "shared/base"), ("host-plugin/guest", "shared/serialization"),
                ("host-plugin/abi", "host-plugin/chunk"), ("host-plugin/abi", "shared/quiesce"),
                ("host-plugin/route", "host-plugin/extents"), ("shared/quiesce", "shared/base")]:
            self.assertEqual(self.includes(includer, included), [], f"{includer} -> {included}")

    def test_guests_include_shared_only(self):
        guest = {"guest-linux/freeze/a.cpp": '#include "env/clock.hpp"\n',
                 "host-plugin/env/clock.hpp": ""}
        self.assertEqual(lines_found(check.include_direction, guest), [1])
        guest = {"guest-linux/freeze/a.cpp": '#include "base/x.hpp"\n#include "hooks/h.hpp"\n',
                 "shared/base/x.hpp": "", "guest-linux/hooks/h.hpp": ""}
        self.assertEqual(lines_found(check.include_direction, guest), [])

    def test_manager_sees_the_c_header(self):
        files = {"host-plugin/manager/a.cpp": '#include "stillpoint/host_plugin.h"\n',
                 "host-plugin/include/stillpoint/host_plugin.h": ""}
        self.assertEqual(lines_found(check.include_direction, files), [])

    def test_file_length(self):
        self.assertEqual(lines_found(check.file_length, {"a.cpp": "x\n" * 501}), [501])
        self.assertEqual(lines_found(check.file_length, {"a.cpp": "x\n" * 500}), [])

    def test_line_length(self):
        self.assertEqual(lines_found(check.line_length, {"a.hpp": "x" * 101}), [1])
        self.assertEqual(lines_found(check.line_length, {"a.hpp": "ä" * 100}), [])

    def test_banned_calls(self):
        for text in ["auto t = std::chrono::system_clock::now();", "int r = rand();",
                     "std::this_thread::sleep_for(1s);", "usleep(5);", "sleep (1);", "goto end;",
                     "worker.detach();", "void* p = dlopen(path, 0);", "assert(x);",
                     "auto* p = new Thing;", "using namespace std;"]:
            self.assertEqual(lines_found(check.banned_calls, {"host-plugin/vault/a.cpp": text}),
                             [1], text)
        for text in ["// never sleep_for", 'log("goto new Thing");', "static_assert(x);",
                     "std::unique_ptr<T> p{new T{}};", "/* new\n rand() */", "auto brand(int);"]:
            self.assertEqual(lines_found(check.banned_calls, {"host-plugin/vault/a.cpp": text}),
                             [], text)
        self.assertEqual(lines_found(check.banned_calls,
                                     {"host-plugin/env/a.cpp": "system_clock::now();"}), [])

    def test_heavy_headers(self):
        for text in ["#include <nlohmann/json.hpp>", "#include <spdlog/spdlog.h>"]:
            self.assertEqual(lines_found(check.heavy_headers, {"host-plugin/vault/a.cpp": text}),
                             [1])
        allowed = {"shared/serialization/value.cpp": "#include <nlohmann/json.hpp>"}
        self.assertEqual(lines_found(check.heavy_headers, allowed), [])

    def test_unfinished(self):
        self.assertEqual(lines_found(check.unfinished, {"a.md": "TO" + "DO: more"}), [1])
        self.assertEqual(lines_found(check.unfinished, {"a.md": "mastodons"}), [])

    def test_machine_paths(self):
        self.assertEqual(lines_found(check.machine_paths, {"a.sh": "cd /wor" + "k/project"}), [1])
        self.assertEqual(lines_found(check.machine_paths, {"a.sh": "ls /hom" + "e/jane/x"}), [1])
        self.assertEqual(lines_found(check.machine_paths, {"a.sh": "ls build/work/x /mnt/a"}), [])

    def test_dead_links(self):
        files = {"README.md": "[a](docs/a.md) [b](docs/b.md#top) [c](https://example.org)",
                 "docs/b.md": ""}
        self.assertEqual(lines_found(check.dead_links, files), [1])

    def test_unlisted_sources(self):
        files = {"m/a.cpp": "", "m/b.cpp": "", "m/meson.build": "library('m', 'a.cpp')"}
        self.assertEqual([name for name, _, _ in check.unlisted_sources(tree_of(files))],
                         ["m/b.cpp"])

    def test_warnings(self):
        body = "int long_one(int x) {\n" + "    ++x;\n" * 41 + "}\n"
        found = [line for _, line, _ in check.warnings(tree_of({"a.cpp": body}))]
        self.assertEqual(found, [1])
        branch = ("int f(int x) {\n    if (a(x) &&\n        b(x)) {\n" + "    ++x;\n" * 20 +
                  "    }\n")
        quiet = branch + "}\n" + "// a comment\n" * 40
        self.assertEqual(list(check.warnings(tree_of({"a.cpp": quiet}))), [])

    def test_comments_keep_lines(self):
        text = "a /* x\ny */ b\n'\"' c // d\n"
        self.assertEqual(check.without_comments(text).split(), ["a", "b", "c"])
        self.assertEqual(check.without_comments(text).count("\n"), 3)
        self.assertIn("new T", check.without_comments("f(1'000'000); new T;"))


if __name__ == "__main__":
    unittest.main()
