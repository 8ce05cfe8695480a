#!/usr/bin/env python3
"""What the shipped program needs and how it is hardened, read from its headers.

    check_program.py STILLPOINT-GUEST.EXE VERSION
"""
import pathlib
import re
import struct
import subprocess
import sys
import unittest

PROGRAM = VERSION = None
ROOT = pathlib.Path(__file__).resolve().parents[2]

# Every Windows has them since long; no Visual C++ runtime, nothing of the compiler's.
SYSTEM = {"ADVAPI32.DLL", "IPHLPAPI.DLL", "KERNEL32.DLL", "MSVCRT.DLL", "OLE32.DLL", "OLEAUT32.DLL",
          "WS2_32.DLL"}
HARDENING = ["HIGH_ENTROPY_VA", "DYNAMIC_BASE", "NX_COMPAT"]
BYTES_MAX = 4 << 20


class Program(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        done = subprocess.run(["x86_64-w64-mingw32-objdump", "-p", PROGRAM], check=True,
                              capture_output=True, text=True)
        cls.headers = done.stdout
        cls.bytes = pathlib.Path(PROGRAM).read_bytes()

    def test_it_imports_nothing_but_the_system(self):
        imported = {name.upper() for name in re.findall(r"DLL Name: (\S+)", self.headers)}
        self.assertEqual(sorted(imported - SYSTEM), [])
        # It must start where VSS is broken, and load VSS from the system's folder alone.
        self.assertNotIn("VSSAPI.DLL", imported)
        print("imports:", *sorted(imported))

    def test_it_is_hardened(self):
        for flag in HARDENING:
            self.assertIn(flag, self.headers)
        self.assertIn(b"__stack_chk_fail", self.bytes + self.symbols())

    def symbols(self):
        """Of the program before it is stripped there is nothing left: what is checked is whether
        the library it is made of was compiled with the protector."""
        library = pathlib.Path(PROGRAM).parent / "libsp_guest_windows.a"
        return subprocess.run(["x86_64-w64-mingw32-nm", library], capture_output=True,
                              check=False).stdout

    def test_nothing_is_both_written_and_run(self):
        """@source Microsoft, "PE Format": the section table follows the optional header"""
        pe, = struct.unpack_from("<I", self.bytes, 0x3c)
        count, = struct.unpack_from("<H", self.bytes, pe + 6)
        optional, = struct.unpack_from("<H", self.bytes, pe + 20)
        rights = {}
        for i in range(count):
            at = pe + 24 + optional + 40 * i
            name = self.bytes[at:at + 8].rstrip(b"\0").decode()
            rights[name], = struct.unpack_from("<I", self.bytes, at + 36)
        executable, writable = 0x20000000, 0x80000000
        self.assertEqual([name for name, flags in rights.items() if flags & executable], [".text"])
        self.assertFalse(rights[".text"] & writable)

    def test_equal_sources_are_equal_bytes(self):
        stamp = re.search(r"Time/Date\s+(.*)", self.headers)[1]
        self.assertRegex(stamp, "1970")

    def test_it_says_which_version_it_is(self):
        self.assertIn(VERSION.encode("utf-16-le"), self.bytes)
        self.assertIn("Stillpoint guest extension".encode("utf-16-le"), self.bytes)
        # VS_FIXEDFILEINFO: what installers and inventories compare.
        fixed = self.bytes.index(struct.pack("<II", 0xfeef04bd, 0x10000))
        high, low, product_high, product_low = struct.unpack_from("<4I", self.bytes, fixed + 8)
        major, minor, patch = map(int, VERSION.split("."))
        self.assertEqual((high, low), (major << 16 | minor, patch << 16))
        self.assertEqual((product_high, product_low), (high, low))

    def test_the_event_log_finds_its_texts(self):
        """@source Microsoft, "PE Format", the .rsrc section; MESSAGE_RESOURCE_DATA of winnt.h"""
        table = self.resource(11)
        count, = struct.unpack_from("<I", table, 0)
        blocks = [struct.unpack_from("<3I", table, 4 + 12 * i) for i in range(count)]
        numbers = [n for low, high, _ in blocks for n in range(low, high + 1)]
        source = (ROOT / "guest-windows/os/event_log.cpp").read_text()
        self.assertEqual(numbers, sorted(int(n, 16) for n in re.findall("_TYPE, (0x[0-9a-f]+)",
                                                                        source)))
        for _, _, at in blocks:
            length, wide = struct.unpack_from("<2H", table, at)
            self.assertEqual(wide, 1)
            self.assertEqual(table[at + 4:at + length].decode("utf-16-le").rstrip("\r\n\0"), "%1")

    def resource(self, kind):
        """@return the bytes of the first resource of this kind"""
        pe, = struct.unpack_from("<I", self.bytes, 0x3c)
        count, = struct.unpack_from("<H", self.bytes, pe + 6)
        optional, = struct.unpack_from("<H", self.bytes, pe + 20)
        sections = [struct.unpack_from("<8s4I", self.bytes, pe + 24 + optional + 40 * i)
                    for i in range(count)]
        address, start = next((s[2], s[4]) for s in sections if s[0].rstrip(b"\0") == b".rsrc")
        folder, wanted = start, kind
        while True:
            named, numbered = struct.unpack_from("<2H", self.bytes, folder + 12)
            entries = [struct.unpack_from("<2I", self.bytes, folder + 16 + 8 * i)
                       for i in range(named + numbered)]
            at = next(at for number, at in entries if wanted in (None, number))
            if not at & 1 << 31:
                break
            folder, wanted = start + (at & ~(1 << 31)), None
        where, size = struct.unpack_from("<2I", self.bytes, start + at)
        return self.bytes[where - address + start:][:size]

    def test_it_is_small(self):
        print("bytes:", len(self.bytes))
        self.assertLess(len(self.bytes), BYTES_MAX)


if __name__ == "__main__":
    PROGRAM, VERSION = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1], verbosity=2)
