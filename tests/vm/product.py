"""Stillpoint as a user runs it: the command line of the build tree, its JSON and its exit codes."""
import json
import os
import pathlib
import shlex
import subprocess

import lab

BACKUP_SECONDS = 120
# Four times the default: emulation on a machine with other work may take seconds for a freeze.
FREEZE_BUDGET_SECONDS = 20
GREET_SECONDS = 15


class Answer:
    """What one command did: exit status, the JSON document on stdout, the log on stderr."""

    def __init__(self, command, done):
        self.command, self.status, self.log = command, done.returncode, done.stderr
        try:
            self.json = json.loads(done.stdout)
        except ValueError:
            self.json = {"not json": done.stdout}

    @property
    def error(self):
        """The code of the error document, for example "vault.wrong_key"; empty when none."""
        return self.json.get("error", {}).get("code", "")

    def __str__(self):
        return (f"{shlex.join(self.command)}: status {self.status}\n"
                f"{json.dumps(self.json, indent=1)[:4000]}\n{self.log[-4000:]}")

    __repr__ = __str__


class Stillpoint:
    """The command line with a vault, a key and state folders in the lab."""

    def __init__(self, place, *, vault="vault", environment=None, greet_seconds=3,
                 hooks_seconds=60, configuration=""):
        """@param greet_seconds how long the extension has to answer at all
        @param configuration more elements for host.xml
        @param hooks_seconds how long the guest's hooks may take together"""
        build = lab.build_folder() / "host-plugin"
        self.binary = build / "manager/stillpoint"
        self.place = place
        self.folder = place.folder / "sp"
        for name in ("lib", "run"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        # QEMU's user has to pass through on the way to its scratch files.
        os.chmod(self.folder, 0o755)
        os.chmod(self.folder / "lib", 0o755)
        config = self.folder / "host.xml"
        cache = "" if "<cache" in configuration else f'<cache dir="{self.folder}/cache"/>'
        config.write_text(f"""<host>
  <state dir="{self.folder}/lib"/>
  <run dir="{self.folder}/run"/>
  <guest freeze-budget="{FREEZE_BUDGET_SECONDS}s" greet-budget="{greet_seconds}s"
         hooks-budget="{hooks_seconds}s"/>{configuration}{cache}
</host>
""")
        self.jobs = self.folder / "lib/jobs"
        self.vault = place.folder / vault
        self.environment = os.environ | {
            "STILLPOINT_VAULT": f"file://{self.vault}",
            "STILLPOINT_KEY_FILE": str(self.folder / "key"),
            "STILLPOINT_PLUGIN": str(build / "abi/libstillpoint-host.so"),
        } | (environment or {})
        self.command = [str(self.binary), "--json", "--config", str(config)]

    def run(self, *arguments, seconds=BACKUP_SECONDS, expect=0):
        """@param expect the exit status, several, or None for any. @return an Answer"""
        command = [*self.command, *map(str, arguments)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True,
                              timeout=seconds, check=False, stdin=subprocess.DEVNULL)
        answer = Answer(command, done)
        if expect is not None and answer.status not in (expect if isinstance(expect, tuple)
                                                        else (expect,)):
            raise AssertionError(f"expected status {expect}: {answer}")
        return answer

    def text(self, *arguments, expect=0):
        """@return what the command prints for people"""
        command = [word for word in self.command if word != "--json"] + list(map(str, arguments))
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True,
                              timeout=BACKUP_SECONDS, check=False, stdin=subprocess.DEVNULL)
        if done.returncode != expect:
            raise AssertionError(f"expected status {expect}: {done}")
        return done.stdout

    def start(self, *arguments, log, **options):
        """Starts a command and leaves it running; @return the process"""
        return self.place.spawn(*self.command, *arguments, log=log, env=self.environment, **options)

    def job_files(self):
        """@return all that jobs have or left behind. Unlike rglob, walk takes it that folders go
        away under it: a keeper may be at them."""
        return [str(pathlib.Path(folder, name)) for folder, folders, files in os.walk(self.jobs)
                for name in folders + files]

    def init(self, encryption="keyfile"):
        key_file = self.environment["STILLPOINT_KEY_FILE"]
        key = [] if encryption == "none" else ["--key-file", key_file]
        return self.run("vault", "init", f"file://{self.vault}", "--encryption", encryption, *key)

    def backup(self, access, *arguments, expect=0):
        """@param access how the VM is reached: see `access_of`. @return the point's document"""
        return self.run("backup", *access, *arguments, expect=expect).json

    def restore(self, point, folder, *arguments):
        """Restores a point as raw images. @return {disk name: path}"""
        folder = pathlib.Path(folder)
        self.run("restore", point, "--to", folder, "--format", "raw", *arguments)
        os.chmod(folder, 0o755)
        images = {path.stem: path for path in folder.glob("*.raw")}
        for path in images.values():
            os.chmod(path, 0o644)
        return images


def access_of(vm, *, channel=True):
    """The arguments that name a machine to `backup` and `guest status`."""
    if hasattr(vm, "live_xml"):
        return [vm.name, "--connect", "qemu:///system"]
    extension = ["--guest-channel", vm.guest_socket] if channel and vm.guest_port else []
    return [vm.name, "--qmp", vm.qmp_socket, *extension]
