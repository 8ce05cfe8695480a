#!/usr/bin/env python3
"""The shipped hooks against real servers: PostgreSQL, MariaDB and Redis under load are backed up,
the restored disks are booted, and what the servers then hold is compared with a ledger that the
host keeps: every transaction that was acknowledged before the snapshot, and none torn.

The tables lie on vda, the write-ahead logs on vdb.
"""
import calendar
import pathlib
import re
import socket
import threading
import time
import unittest

import database_guest
import lab
import machine
import product

HOOKS = lab.ROOT / "packaging/hooks"
SERVERS = {"postgresql": "20", "mariadb": "30", "redis": "40"}
CLIENTS = (1, 2)
ROUNDS = 20 if lab.length() == "long" else 1
LOAD_LINES = 15  # per client, before a backup begins
LOAD_SECONDS = 240
HOOKS_SECONDS = 240
BACKUP_SECONDS = 400

# How each hook reaches its server, and how long it tries: a machine that emulates others is slow.
ENVIRONMENT = {
    "postgresql": {"PGUSER": "stillpoint", "PGPASSFILE": "/run/secret/postgresql",
                   "PG_STEP_SECONDS": "40"},
    "mariadb": {"MARIADB_OPTIONS_FILE": "/run/secret/mariadb", "MARIADB_ASK_SECONDS": "15",
                "MARIADB_LOCK_SECONDS": "15"},
    "redis": {"REDIS_SOCKET": "/run/redis/redis.sock",
              "REDIS_PASSWORD_FILE": "/run/secret/redis", "REDIS_ASK_SECONDS": "15"},
}
SECRETS = """
mkdir -m 711 -p /os/run/secret
rm -f /os/run/secret/*
echo '*:*:*:stillpoint:{password}' >/os/run/secret/postgresql
printf '[client]\\nuser=stillpoint\\npassword={password}\\n' >/os/run/secret/mariadb
echo {password} >/os/run/secret/redis
chmod 600 /os/run/secret/*
chroot /os /bin/chown postgres /run/secret/postgresql
"""
EXTENSION = """
chroot /os /lab/bin/stillpoint-guest >/run/stillpoint-guest.log 2>&1 &
"""


def hook_files():
    """The hooks as an administrator would install them, with how to reach the server filled in."""
    files = {}
    for name, number in SERVERS.items():
        for path in (HOOKS / name).iterdir():
            content = path.read_bytes()
            if path.name == "hook.xml":
                content = with_environment(content.decode(), name).encode()
            files[f"etc/stillpoint/hooks.d/{number}-{name}/{path.name}"] = content
    return files


def with_environment(xml, name):
    lines = [f'<environment name="{key}" value="{value}"/>'
             for key, value in ENVIRONMENT[name].items()]
    # One try: what is refused here will be refused again. All hooks run, whatever one of them says.
    xml = xml.replace('tries="2"', 'tries="1"').replace('"fallback"', '"continue"')
    return xml.replace("</hook>", "\n".join([*lines, "</hook>"]))


class Ledger(threading.Thread):
    """What the servers have acknowledged, and when the host heard of it."""

    def __init__(self, place):
        super().__init__(daemon=True)
        self.path = place.vm_folder("ledger") / "ledger.sock"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.path.chmod(0o777)
        self.listener.listen(1)
        self.lines = []  # (wall clock, server, client, number)
        self.changed = threading.Condition()
        place.closing.callback(self.listener.close)
        self.start()

    def arguments(self):
        return ["-chardev", f"socket,id=ledger,path={self.path}",
                "-device", "virtserialport,chardev=ledger,name=lab.ledger"]

    def run(self):
        connection, _ = self.listener.accept()
        with connection, connection.makefile("r") as lines:
            for line in lines:
                server, client, number = line.split()
                with self.changed:
                    self.lines.append((time.time(), server, int(client), int(number)))
                    self.changed.notify_all()

    def newest(self, until=float("inf")):
        """@return {(server, client): the last number acknowledged by then}"""
        found = {}
        for when, server, client, number in self.lines:
            if when <= until:
                found[server, client] = number
        return found

    def wait_for_more(self, count):
        """Until every client of every server has `count` more transactions acknowledged."""
        with self.changed:
            before = self.newest()
            goal = {(server, client): before.get((server, client), 0) + count
                    for server in SERVERS for client in CLIENTS}
            reached = self.changed.wait_for(
                lambda: all(self.newest().get(key, 0) >= wanted for key, wanted in goal.items()),
                LOAD_SECONDS)
            if not reached:
                raise TimeoutError(f"wanted {goal}, heard {self.newest()}")


def instant_of(point):
    whole, _, rest = point["time"].partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float("0." + rest[:-1])


def what_holds(vm, server):
    """@return (torn, {client: (newest, how many)}) of a server's tables"""
    words = database_guest.control(vm, "check", server).split()
    torn = int(words[0].partition(":")[2])
    held = [tuple(int(part or 0) for part in word.split(":")) for word in words[1:]]
    return torn, {client: (newest, count) for client, newest, count in held}


class Databases(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = cls.enterClassContext(lab.Lab())
        cls.stillpoint = product.Stillpoint(cls.place, greet_seconds=product.GREET_SECONDS,
                                            hooks_seconds=HOOKS_SECONDS)
        cls.stillpoint.init()
        cls.ledger = Ledger(cls.place)
        guest_xml = f"""<guest>
  <freeze budget="{product.FREEZE_BUDGET_SECONDS}s"/>
</guest>"""
        cls.vm = database_guest.start(
            cls.place, database_guest.make_disks(cls.place), extra=cls.ledger.arguments(),
            files={"etc/stillpoint/guest.xml": guest_xml.encode(), **hook_files()},
            main=SECRETS.format(password="correct-horse") + EXTENSION)
        cls.access = product.access_of(cls.vm)
        database_guest.control(cls.vm, "start", *SERVERS)

    def load(self):
        database_guest.control(self.vm, "load", *SERVERS)
        self.ledger.wait_for_more(1)

    def unload(self):
        database_guest.control(self.vm, "unload")

    def backup(self, expect=0):
        return self.stillpoint.run("backup", *self.access, expect=expect,
                                   seconds=BACKUP_SECONDS).json

    def run(self, result=None):
        failed = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > failed:
            self.diagnose()

    def diagnose(self):
        print(self.vm.run("ps; tail -n 40 /run/stillpoint-guest.log /os/run/load/*.log"
                          " /os/run/*/log; true"))

    def check_restored(self, point, wal_of=None):
        """Boots the restored disks. @param wal_of the point that vdb is taken from, if another
        @return (acknowledged, missing, torn) over all servers"""
        acknowledged = self.ledger.newest(instant_of(point))
        with lab.Lab() as place:
            restored = self.stillpoint.restore(point["point"], place.vm_folder("restored"))
            if wal_of:
                other = self.stillpoint.restore(wal_of["point"], place.vm_folder("other"))
                restored["vdb"] = other["vdb"]
            disks = [machine.Disk(name, path, "raw") for name, path in sorted(restored.items())]
            for disk in disks:
                lab.qemu_owns(disk.path)
            vm = database_guest.start(place, disks, name="restored-guest", guest_port=False)
            database_guest.control(vm, "start", *SERVERS)
            found = {server: what_holds(vm, server) for server in SERVERS}
            vm.kill()
        torn = sum(torn for torn, _ in found.values())
        missing = 0
        for (server, client), newest in acknowledged.items():
            held, count = found[server][1][client]
            # Numbers begin with 1 and none is left out: fewer rows than the newest are holes.
            missing += max(0, newest - held) + held - count
        return sum(acknowledged.values()), missing, torn

    def test_1_restores_hold_all_that_was_acknowledged(self):
        totals = [0, 0, 0]
        for number in range(ROUNDS):
            self.load()
            self.ledger.wait_for_more(LOAD_LINES)
            point = self.backup()
            self.assertEqual(point["level"], "application", point)
            self.ledger.wait_for_more(1)  # nothing is frozen or locked any more
            self.unload()
            result = self.check_restored(point)
            print(f"round {number}: acknowledged {result[0]} missing {result[1]} torn {result[2]}"
                  f" frozen {point['frozen_ms']} ms", flush=True)
            totals = [total + one for total, one in zip(totals, result)]
        print(f"figure databases rounds={ROUNDS} acknowledged={totals[0]} missing={totals[1]} "
              f"torn={totals[2]}", flush=True)
        self.assertEqual(totals[1:], [0, 0])

    @unittest.skipUnless(lab.length() == "long", "proves the proof: long runs only")
    def test_7_disks_of_two_instants_are_noticed(self):
        self.load()
        earlier = self.backup()
        self.ledger.wait_for_more(LOAD_LINES)
        later = self.backup()
        self.unload()
        try:
            result = self.check_restored(later, wal_of=earlier)
        except RuntimeError as error:  # a server does not even start
            result = str(error)
        print(f"tables of one backup with logs of another: {result}", flush=True)
        self.assertNotEqual(result[1:], (0, 0))

    def refused(self, broken, repaired):
        """Backs up while `broken` is in force: not one hook may call its server quiesced, the rest
        of the backup is as good as ever, and nothing stays held afterwards."""
        broken()
        try:
            point = self.backup(expect=3)
        finally:
            repaired()
        self.assertEqual(point["level"], "filesystem", point)
        notes = {}
        for item in point["evidence"]:
            if item["kind"] == "hook":
                notes.setdefault(item["name"].partition(" ")[0].partition("-")[2], item)
        self.assertEqual(set(notes), set(SERVERS), point["evidence"])
        for server, item in notes.items():
            self.assertFalse(item["quiesced"], item)
            self.assertTrue(item["note"].startswith(f"exit code 1: {server}: "), item)
            print(f"{server}: {item['note']}", flush=True)
        self.load()
        self.unload()

    def test_2_a_stopped_server_is_not_quiesced(self):
        self.refused(lambda: database_guest.control(self.vm, "stop", *SERVERS),
                     lambda: database_guest.control(self.vm, "start", *SERVERS))

    def test_3_a_wrong_password_is_not_quiesced(self):
        self.refused(lambda: self.vm.run(SECRETS.format(password="wrong")),
                     lambda: self.vm.run(SECRETS.format(password="correct-horse")))

    def test_4_a_server_that_hangs_is_not_quiesced(self):
        self.refused(lambda: database_guest.control(self.vm, "pause", *SERVERS),
                     lambda: database_guest.control(self.vm, "resume", *SERVERS))

    def run_hook(self, server, phase):
        """Runs one script of a hook as the extension would. @return (status, output)"""
        name = f"{SERVERS[server]}-{server}"
        state = f"/run/direct/{name}"
        environment = " ".join(f"{key}={value}" for key, value in ENVIRONMENT[server].items())
        return self.vm.run(f"mkdir -p /os{state}; exec chroot /os /usr/bin/env -i {environment} "
                           "PATH=/usr/sbin:/usr/bin:/sbin:/bin STILLPOINT_STATE_DIR=" + state +
                           f" STILLPOINT_HOOK_DIR=/etc/stillpoint/hooks.d/{name} "
                           f"/etc/stillpoint/hooks.d/{name}/{phase}", check=False)

    def commits(self, seconds):
        """@return whether MariaDB commits a row within some seconds"""
        status, output = self.vm.run(
            f"exec chroot /os /usr/bin/timeout {seconds} /usr/bin/mariadb bank "
            "-e \"INSERT INTO entry VALUES (3, $(date +%s), 1, 10, 0, '', '')\"", check=False)
        self.assertIn(status, (0, 124), output)  # timeout's own status
        return status == 0

    def test_5_the_lock_dies_with_its_connection(self):
        status, output = self.run_hook("mariadb", "pre")
        self.assertEqual(status, 0, output)
        self.assertFalse(self.commits(3))
        self.vm.run("kill -9 $(cat /os/run/direct/30-mariadb/pid)")
        self.assertTrue(self.commits(60))
        status, output = self.run_hook("mariadb", "post")
        self.assertNotEqual(status, 0)
        self.assertIn("ended before the thaw", output)

    def test_6_a_lock_that_is_not_taken_in_time(self):
        self.vm.run("mkfifo /os/run/locker; "
                    "chroot /os /usr/bin/mariadb --batch --unbuffered -N bank "
                    "<>/os/run/locker >/os/run/locked 2>&1 & echo $! >/os/run/locker.pid; "
                    "echo \"LOCK TABLES account WRITE; SELECT 'locked';\" >/os/run/locker; "
                    "until grep -q locked /os/run/locked; do sleep 1; done")
        status, output = self.run_hook("mariadb", "pre")
        self.vm.run("kill $(cat /os/run/locker.pid)")
        self.assertNotEqual(status, 0, output)
        self.assertIn("not taken in", output)
        self.assertTrue(self.commits(60))


def main():
    database_guest.PROGRAMS.enter()
    unittest.main(verbosity=2)


if __name__ == "__main__":
    main()
