"""Another host, as far as libvirt can tell: a second daemon with a host name, a host uuid and state
of its own, on the same storage or with another one behind one folder. Its QEMUs end with the lab.
"""
import os
import subprocess
import uuid

import lab

PROGRAM = """set -eu
hostname {name}
for part in lib/libvirt log/libvirt cache/libvirt; do
    mkdir -p {folder}/$part/qemu
    mount --bind {folder}/$part /var/$part
done
mkdir -p {folder}/etc {folder}/run
cp -a /etc/libvirt/. {folder}/etc/
mount --bind {folder}/etc /etc/libvirt
if [ -n "{hidden}" ]; then mount --bind {folder}/images "{hidden}"; fi
mount --bind {folder}/run /run
echo 'host_uuid = "{uuid}"' >>/etc/libvirt/libvirtd.conf
exec libvirtd --config /etc/libvirt/libvirtd.conf --pid-file /run/libvirtd.pid
"""


class SecondLibvirtd:
    """`uri` reaches it from here and from the first daemon."""

    def __init__(self, place, name="elsewhere", *, hidden=""):
        """@param hidden a folder that is another one over there, `images`"""
        self.folder = place.vm_folder(name)
        self.folder.chmod(0o755)
        self.images = place.vm_folder(f"{name}/images")
        program = PROGRAM.format(name=name, folder=self.folder, uuid=uuid.uuid4(), hidden=hidden)
        self.process = place.spawn("unshare", "--mount", "--uts", "sh", "-c", program,
                                   log=f"{name}.libvirtd.log")
        self.uri = f"qemu+unix:///system?socket={self.folder}/run/libvirt/libvirt-sock"
        deadline = lab.Deadline(60)
        while subprocess.run(["virsh", "-c", self.uri, "version"], capture_output=True,
                             check=False).returncode != 0:
            if deadline.passed() or self.process.poll() is not None:
                raise RuntimeError((place.folder / f"{name}.libvirtd.log").read_text()[-3000:])
            os.sched_yield()
