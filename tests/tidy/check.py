#!/usr/bin/env python3
"""House rules that a machine can check, run as an ordinary test.

    check.py ROOT       prints violations (status 1) and budget warnings (status 0)

Each rule is a function that yields (path, line, text). DESIGN's module edges are in MAY_INCLUDE;
whoever may include a module may include what that module may include.
"""
import pathlib
import re
import subprocess
import sys

# Direct edges; the transitive closure is what is allowed. Keys are folders.
MAY_INCLUDE = {
    "shared/base": [],
    "shared/serialization": ["shared/base"],
    "shared/quiesce": ["shared/serialization"],
    "shared/hooks": ["shared/quiesce"],
    "guest-linux": ["shared/base", "shared/serialization", "shared/quiesce", "shared/hooks"],
    "guest-windows": ["shared/base", "shared/serialization", "shared/quiesce", "shared/hooks"],
    "host-plugin/include": [],
    "host-plugin/env": ["shared/base"],
    "host-plugin/extents": ["shared/base"],
    "host-plugin/chunk": ["shared/base"],
    "host-plugin/vault": ["host-plugin/chunk", "host-plugin/env"],
    "host-plugin/hypervisor": ["host-plugin/extents", "host-plugin/env", "shared/serialization"],
    "host-plugin/capture": ["host-plugin/extents", "host-plugin/env", "shared/serialization"],
    "host-plugin/guest": ["shared/quiesce", "host-plugin/env"],
    "host-plugin/restore": ["host-plugin/vault", "host-plugin/chunk", "host-plugin/extents",
                            "host-plugin/env"],
    "host-plugin/policy": ["shared/serialization", "host-plugin/env"],
    "host-plugin/keeper": ["shared/serialization", "host-plugin/env"],
    "host-plugin/route": ["host-plugin/vault", "host-plugin/hypervisor", "host-plugin/capture",
                          "host-plugin/guest", "host-plugin/restore", "host-plugin/policy",
                          "host-plugin/keeper"],
    "host-plugin/abi": ["host-plugin/route", "host-plugin/include"],
    "host-plugin/manager": ["host-plugin/include", "shared/base", "shared/serialization",
                            "shared/quiesce"],
}
INCLUDE_ROOTS = {
    "shared": ["shared"],
    "guest-linux": ["guest-linux", "shared"],
    "guest-windows": ["guest-windows", "shared"],
    "host-plugin": ["host-plugin", "host-plugin/include", "shared"],
}

FILE_LINES_HARD = 500
FILE_LINES_WANTED = {".hpp": 200, ".h": 200, ".cpp": 300}
FUNCTION_LINES_WANTED = 40  # clang-tidy stops at 70
COLUMNS = 100

# (pattern, why not, folders or files where it is allowed)
BANNED = [
    (r"\bsystem_clock::now\b", "ask the injected clock",
     ["host-plugin/env", "guest-linux/os"]),
    (r"\bs?rand\s*\(", "use env/random.hpp", []),
    (r"\bsleep_(for|until)\b|\b(u|nano)?sleep\s*\(", "wait for an event with a deadline",
     ["host-plugin/env", "guest-linux/os"]),
    (r"\bgoto\b", "use a scope (R5)", []),
    (r"\.detach\s*\(\)", "no thread is detached (R14)",
     ["host-plugin/hypervisor/libvirt/lane.cpp",  # a call stuck in libvirt: ADR-0009
      "host-plugin/env/blocking_calls.cpp"]),  # a call stuck in the kernel: ADR-0014
    (r"\bdlopen\s*\(", "only the manager loads the plugin",
     ["host-plugin/env", "host-plugin/manager", "tests/unit/abi"]),
    (r"(?<!static_)\bassert\s*\(", "use SP_CHECK: it stays on in release", []),
    (r"\busing namespace std\s*;", "name what you use", []),
]
# A private constructor is reached by `new` inside the smart pointer that owns the result.
RAW_NEW = re.compile(r"\bnew\s+[A-Za-z_:(]")
OWNED_NEW = re.compile(r"(unique_ptr|shared_ptr)<[^;]*[({]\s*new\s")

JSON_FILES = {"shared/serialization/value.cpp"}
SPDLOG_FILES = {"host-plugin/manager/main.cpp", "host-plugin/abi/logging.cpp",
                "guest-linux/main.cpp"}

UNFINISHED = re.compile(r"\b(%s)\b" % "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"]))
MACHINE_PATH = re.compile(r"(?<![\w.*/])/(work|farm|root|home/[a-z]\w*)/(?!\.\.\.)")
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")
CODE = {".cpp", ".hpp", ".h"}
TEXT = CODE | {".py", ".sh", ".build", ".md", ".txt", ".xml", ".yml", ""}


def closure(edges):
    """@return {module: every module it may include, itself too}"""
    reach = {}

    def visit(module):
        if module not in reach:
            reach[module] = {module}
            for other in edges[module]:
                reach[module] |= visit(other)
        return reach[module]

    for module in edges:
        visit(module)
    return reach


def without_comments(text):
    """The code with comments and the contents of strings blanked; lines stay lines."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"'
                         r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])'", re.S)
    return pattern.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)


class Tree:
    """The files under review: those git knows, or all files below a folder without git."""

    def __init__(self, root):
        self.root = pathlib.Path(root).resolve()
        listed = subprocess.run(["git", "-C", str(self.root), "ls-files", "--cached", "--others",
                                 "--exclude-standard"], capture_output=True, text=True, check=False)
        names = listed.stdout.splitlines() if listed.returncode == 0 else [
            str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()]
        self.text = {}
        for name in sorted(names):
            path = self.root / name
            if path.suffix not in TEXT or not path.is_file():
                continue
            try:
                self.text[name] = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue  # a golden file or a corpus

    def code(self):
        for name, text in self.text.items():
            if pathlib.PurePath(name).suffix in CODE:
                yield name, text

    def exists(self, name):
        return (self.root / name).exists()


def module_of(name):
    """The key of MAY_INCLUDE that a file belongs to, or None (tests, packaging)."""
    parts = name.split("/")
    if parts[0] in ("guest-linux", "guest-windows"):
        return parts[0]
    module = "/".join(parts[:2])
    return module if module in MAY_INCLUDE else None


def include_direction(tree):
    reach = closure(MAY_INCLUDE)
    for name, text in tree.code():
        module = module_of(name)
        if module is None:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            found = re.match(r'\s*#\s*include\s+["<]([^">]+)[">]', line)
            if not found:
                continue
            target = resolve(tree, name, found[1])
            other = module_of(target) if target else None
            if target and other not in reach[module]:
                yield name, number, f"{module} may not include {other or target}"


def resolve(tree, name, included):
    """The file of ours that an include names, or None for a system header."""
    beside = str(pathlib.PurePosixPath(name).parent / included)
    roots = INCLUDE_ROOTS[name.split("/")[0]]
    others = [root for root in ("shared", "host-plugin", "guest-linux", "guest-windows", "tests")
              if root not in roots]
    for candidate in [beside] + [f"{root}/{included}" for root in roots + others]:
        if tree.exists(candidate):
            return candidate
    return None


def file_length(tree):
    for name, text in tree.code():
        lines = text.count("\n")
        if lines > FILE_LINES_HARD:
            yield name, lines, f"{lines} lines; {FILE_LINES_HARD} is the limit: split it"


def line_length(tree):
    for name, text in tree.text.items():
        if pathlib.PurePath(name).suffix not in CODE | {".py"}:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if len(line) > COLUMNS:
                yield name, number, f"{len(line)} columns; {COLUMNS} is the limit"


def banned_calls(tree):
    for name, text in tree.code():
        for number, line in enumerate(without_comments(text).splitlines(), 1):
            for pattern, why, allowed in BANNED:
                if re.search(pattern, line) and not any(name.startswith(to) for to in allowed):
                    yield name, number, f"{line.strip()}: {why}"
            if RAW_NEW.search(line) and not OWNED_NEW.search(line):
                yield name, number, f"{line.strip()}: no raw new (R5)"


def heavy_headers(tree):
    for name, text in tree.code():
        for number, line in enumerate(text.splitlines(), 1):
            if not re.match(r"\s*#\s*include", line):
                continue
            if "nlohmann/" in line and name not in JSON_FILES:
                yield name, number, "JSON is parsed and written in one place: use Value"
            if "spdlog/" in line and name not in SPDLOG_FILES:
                yield name, number, "libraries return errors, few named edges log (SPDLOG_FILES)"


def unfinished(tree):
    for name, text in tree.text.items():
        for number, line in enumerate(text.splitlines(), 1):
            found = UNFINISHED.search(line)
            if found:
                yield name, number, f"{found[0]}: finish it or file an issue"


def machine_paths(tree):
    for name, text in tree.text.items():
        for number, line in enumerate(text.splitlines(), 1):
            found = MACHINE_PATH.search(line)
            if found:
                yield name, number, f"{found[0]}: a path of one machine"


def dead_links(tree):
    for name, text in tree.text.items():
        if not name.endswith(".md"):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            for target, _ in LINK.findall(line):
                if re.match(r"[a-z]+:", target):
                    continue
                if not tree.exists(str(pathlib.PurePosixPath(name).parent / target)):
                    yield name, number, f"link to {target}, which does not exist"


def unlisted_sources(tree):
    """A .cpp that no meson.build names is dead code."""
    builds = "".join(text for name, text in tree.text.items() if name.endswith("meson.build"))
    for name, _ in tree.code():
        path = pathlib.PurePosixPath(name)
        # A loop over names may add the last word of the file's name: name + '_test.cpp'.
        first, _, last = path.stem.rpartition("_")
        listed = (re.search(rf"\b{re.escape(path.stem)}(\.cpp)?'", builds) or
                  (first and f"'{first}'" in builds and f"'_{last}.cpp'" in builds))
        if path.suffix == ".cpp" and not listed:
            yield name, 1, "no meson.build lists this file"


RULES = [include_direction, file_length, line_length, banned_calls, heavy_headers, unfinished,
         machine_paths, dead_links, unlisted_sources]


FUNCTION_OPENS = re.compile(
    r" *[^ /#}].*\)( const| noexcept| override| mutable)*( -> [^{]+)? \{$")
CONTROL = re.compile(r" *(\} )?(if|for|while|switch|else|do|catch|namespace)\b")
PAREN = {"(": 1, ")": -1}


def long_functions(lines):
    """Yields (line, length) of function bodies, as clang-format lays them out: the opening line
    ends in '{' after a ')', the closing brace stands below the first column of the head."""
    for opens, line in enumerate(lines):
        if not FUNCTION_OPENS.match(line):
            continue
        head = opens  # a head of several lines begins where its parentheses balance
        while head > 0 and sum(map(PAREN.__getitem__, filter(PAREN.get, "".join(
                lines[head:opens + 1])))) < 0:
            head -= 1
        if CONTROL.match(lines[head]):
            continue
        close = re.match(" *", lines[head])[0] + "}"
        for end in range(opens + 1, len(lines)):
            if lines[end].startswith(close):
                yield head + 1, end - opens - 1
                break


def warnings(tree):
    for name, text in tree.code():
        lines = text.splitlines()
        wanted = FILE_LINES_WANTED[pathlib.PurePath(name).suffix]
        if wanted < len(lines) <= FILE_LINES_HARD:
            yield name, len(lines), f"{len(lines)} lines; {wanted} are wanted at most"
        for number, length in long_functions(lines):
            if length > FUNCTION_LINES_WANTED:
                yield name, number, f"function of {length} lines; {FUNCTION_LINES_WANTED} wanted"


def main():
    tree = Tree(sys.argv[1])
    failures = [(rule.__name__, *found) for rule in RULES for found in rule(tree)]
    for name, line, text in warnings(tree):
        print(f"warning: {name}:{line}: {text}")
    for rule, name, line, text in failures:
        print(f"{name}:{line}: [{rule}] {text}")
    print(f"{len(tree.text)} files, {len(failures)} violations")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
