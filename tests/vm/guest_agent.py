"""The real qemu-guest-agent in a guest, and what one asks it over its port."""
import json

import lab
import machine

PORT = "org.qemu.guest_agent.0"
PROGRAM = "usr/sbin/qemu-ga"  # of the package qemu-guest-agent
ANSWER_SECONDS = 60


class GuestAgent:
    """One machine's agent; its socket on the host is qga.sock in the machine's folder."""

    def __init__(self, vm):
        self.vm = vm
        self.connection = None

    @staticmethod
    def device(folder):
        """More arguments of QEMU: the agent's port."""
        return ["-chardev", f"socket,id=qga,path={folder}/qga.sock,server=on,wait=off",
                "-device", f"virtserialport,chardev=qga,name={PORT}"]

    def __enter__(self):
        self.vm.run(f"qemu-ga -m virtio-serial -p /dev/virtio-ports/{PORT} -t /run "
                    "-f /run/qemu-ga.pid -l /run/qemu-ga.log >/dev/null 2>&1 &")
        self.connection = machine.connect(self.vm.folder / "qga.sock").__enter__()
        return self

    def __exit__(self, *_):
        self.connection.__exit__()
        self.vm.run("kill $(pidof qemu-ga); while pidof qemu-ga; do :; done", check=False)

    def ask(self, command, **arguments):
        """@return what it answers; raises RuntimeError where it refuses"""
        message = {"execute": command, "arguments": arguments}
        self.connection.socket.sendall(json.dumps(message).encode() + b"\n")
        answer = json.loads(self.connection.line(lab.Deadline(ANSWER_SECONDS)))
        if "error" in answer:
            raise RuntimeError(f"{command}: {answer['error']}")
        return answer["return"]
