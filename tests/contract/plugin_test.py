#!/usr/bin/env python3
"""Drives the plugin from another language through its C header alone.

    plugin_test.py libstillpoint-host.so
"""
import ctypes
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

LIBRARY = None


class Text(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("length", ctypes.c_size_t)]

    @staticmethod
    def of(content):
        raw = content.encode()
        text = Text(ctypes.cast(ctypes.c_char_p(raw), ctypes.c_void_p), len(raw))
        text.kept = raw
        return text

    def read(self):
        return ctypes.string_at(self.data, self.length).decode() if self.data else ""


LOG = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, Text)
EVENT = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64, Text)


class Manager(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("abi_version", ctypes.c_uint32),
                ("self", ctypes.c_void_p), ("log", LOG), ("event", EVENT),
                ("runs_libvirt_event_loop", ctypes.c_int), ("config", Text),
                ("hypervisor", ctypes.c_void_p)]


Session = ctypes.c_void_p
OPEN = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Manager), ctypes.POINTER(Session),
                        ctypes.POINTER(Text))
SUBMIT = ctypes.CFUNCTYPE(ctypes.c_int, Session, Text, Text, ctypes.POINTER(ctypes.c_uint64),
                          ctypes.POINTER(Text))
CANCEL = ctypes.CFUNCTYPE(ctypes.c_int, Session, ctypes.c_uint64)
WAIT = ctypes.CFUNCTYPE(ctypes.c_int, Session, ctypes.c_uint64, ctypes.c_int64,
                        ctypes.POINTER(ctypes.c_int), ctypes.POINTER(Text))
CLOSE = ctypes.CFUNCTYPE(None, Session)
FREE = ctypes.CFUNCTYPE(None, Text)


class Plugin(ctypes.Structure):
    _fields_ = [("struct_size", ctypes.c_uint32), ("abi_version", ctypes.c_uint32),
                ("version", ctypes.c_char_p), ("open", OPEN), ("submit", SUBMIT),
                ("cancel", CANCEL), ("wait", WAIT), ("close", CLOSE), ("free", FREE)]


def entry():
    function = ctypes.CDLL(LIBRARY).stillpoint_host_plugin
    function.restype = ctypes.POINTER(Plugin)
    function.argtypes = [ctypes.c_uint32]
    return function


class PluginTest(unittest.TestCase):
    def setUp(self):
        self.api = entry()(1).contents
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.events = []
        self.manager = Manager(ctypes.sizeof(Manager), 1, None, LOG(lambda *_: None),
                               EVENT(lambda _, job, text: self.events.append(text.read())), 0,
                               Text.of(""), None)

    def open(self):
        session, error = Session(), Text()
        code = self.api.open(ctypes.byref(self.manager), ctypes.byref(session), ctypes.byref(error))
        answer = error.read()
        self.api.free(error)
        return code, session, answer

    def session(self):
        code, session, answer = self.open()
        self.assertEqual(code, 0, answer)
        self.addCleanup(self.api.close, session)
        return session

    def call(self, session, request, secret=""):
        job, error = ctypes.c_uint64(), Text()
        code = self.api.submit(session, Text.of(json.dumps(request)), Text.of(secret),
                               ctypes.byref(job), ctypes.byref(error))
        self.assertEqual(code, 0, error.read())
        exit_code, result = ctypes.c_int(), Text()
        self.assertEqual(self.api.wait(session, job.value, 60000, ctypes.byref(exit_code),
                                       ctypes.byref(result)), 0)
        document = json.loads(result.read())
        self.api.free(result)
        return exit_code.value, document

    def vault(self):
        return str(pathlib.Path(self.folder.name) / "vault")

    def test_exports_one_symbol(self):
        listed = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], capture_output=True,
                                text=True, check=True).stdout
        names = [line.split()[-1] for line in listed.splitlines()]
        self.assertEqual(names, ["stillpoint_host_plugin"])

    def test_refuses_other_abi_versions(self):
        self.assertFalse(entry()(0))
        self.assertFalse(entry()(2))

    def test_refuses_a_manager_it_cannot_read(self):
        for field, value in (("struct_size", 8), ("abi_version", 9), ("hypervisor", 1)):
            kept = getattr(self.manager, field)
            setattr(self.manager, field, value)
            code, _, answer = self.open()
            self.assertEqual(code, -1)
            self.assertEqual(json.loads(answer)["error"]["code"], "abi.manager")
            setattr(self.manager, field, kept)

    def test_refuses_a_wrong_configuration(self):
        self.manager.config = Text.of("<host><nonsense a='b'/></host>")
        code, _, answer = self.open()
        self.assertEqual(code, -1)
        self.assertEqual(json.loads(answer)["error"]["code"], "config.invalid")

    def test_makes_and_reads_a_vault(self):
        session = self.session()
        init = {"kind": "vault.init", "vault": self.vault(), "encryption": "passphrase"}
        self.assertEqual(self.call(session, init, "secret")[0], 0)
        points = {"kind": "points", "vault": {"url": self.vault()}}
        self.assertEqual(self.call(session, points, "secret"),
                         (0, {"points": [], "unreadable": []}))
        code, answer = self.call(session, points, "wrong")
        self.assertEqual((code, answer["error"]["code"]), (1, "vault.wrong_key"))
        code, answer = self.call(session, points)
        self.assertEqual((code, answer["error"]["code"]), (1, "vault.key_needed"))

    def test_refuses_bad_documents(self):
        session = self.session()
        job, error = ctypes.c_uint64(), Text()
        for bad in ("", "{", "[" * 100000, '{"a":1e999}', '{"a":1}x'):
            self.assertEqual(self.api.submit(session, Text.of(bad), Text.of(""),
                                             ctypes.byref(job), ctypes.byref(error)), -1)
            self.api.free(error)
        code, answer = self.call(session, {"kind": "no.such"})
        self.assertEqual((code, answer["error"]["code"]), (2, "request.unknown"))

    def test_a_job_is_handed_out_once(self):
        session = self.session()
        code, result = ctypes.c_int(), Text()
        self.assertEqual(self.api.wait(session, 77, 0, ctypes.byref(code), ctypes.byref(result)),
                         -2)
        self.assertEqual(self.api.cancel(session, 77), -2)

    def test_events_come_back(self):
        session = self.session()
        self.call(session, {"kind": "vault.init", "vault": self.vault(), "encryption": "none"})
        code, answer = self.call(session, {"kind": "vault.check", "vault": {"url": self.vault()},
                                           "read_data": True})
        self.assertEqual((code, answer["ok"]), (0, True))
        for event in self.events:
            self.assertEqual(json.loads(event)["phase"], "check")


if __name__ == "__main__":
    LIBRARY = sys.argv.pop(1)
    unittest.main()
