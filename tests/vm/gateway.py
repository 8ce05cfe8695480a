"""A Ceph RADOS gateway of a test's own: real S3, on the loopback of the lab's network namespace."""
import os
import pathlib
import select
import signal
import subprocess
import urllib.request

import lab

PORT, TLS_PORT, MONITOR_PORT = 17480, 17443, 16789
KEY, SECRET = "LABKEY", "lab-secret-hunter2"
# A second user, who owns nothing: what it may do a bucket's policy says.
WRITER_KEY, WRITER_SECRET = "WRITERKEY", "writer-secret-hunter2"
PROGRAMS = ("radosgw", "ceph-mon", "ceph-mgr", "ceph-osd", "radosgw-admin", "curl", "openssl")


class Gateway:
    """Started once in a test program; the lab's end ends it."""

    def __init__(self, place):
        self.folder = place.folder / "ceph"
        self.folder.mkdir()
        self.place = place
        self.url = f"http://127.0.0.1:{PORT}"
        self.tls_url = f"https://127.0.0.1:{TLS_PORT}"
        self.authority = self.folder / "gateway.crt"
        self.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                 "-keyout", self.folder / "key.pem", "-out", self.authority, "-subj", "/CN=gateway",
                 "-addext", "subjectAltName=IP:127.0.0.1")
        both = self.folder / "gateway.pem"
        both.write_text((self.folder / "key.pem").read_text() + self.authority.read_text())
        self.run(pathlib.Path(__file__).with_name("rados-gateway.sh"), self.folder, PORT,
                 MONITOR_PORT, f"ssl_endpoint=127.0.0.1:{TLS_PORT} ssl_certificate={both}")
        for user, key, secret in (("owner", KEY, SECRET), ("writer", WRITER_KEY, WRITER_SECRET)):
            self.run("radosgw-admin", "-c", self.folder / "ceph.conf", "user", "create",
                     f"--uid={user}", f"--display-name={user}", f"--access-key={key}",
                     f"--secret-key={secret}")

    @staticmethod
    def run(*command):
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                              check=False, timeout=180)
        if done.returncode != 0:
            raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
        return done.stdout

    def request(self, method, path, *arguments):
        """A signed request by curl(1), as the owner. @return the body"""
        return self.run("curl", "-sS", "--fail-with-body", "-X", method, "--aws-sigv4",
                        "aws:amz:us-east-1:s3", "--user", f"{KEY}:{SECRET}", "-H",
                        "x-amz-content-sha256: UNSIGNED-PAYLOAD", *arguments, self.url + path)

    def make_bucket(self, name, policy=None, *, lock=False):
        """@param lock with object lock, and so with versions"""
        header = ["-H", "x-amz-bucket-object-lock-enabled: true"] if lock else []
        self.request("PUT", f"/{name}", *header)
        if policy is not None:
            self.request("PUT", f"/{name}?policy=", "--data-binary", policy)

    def keys(self, bucket, prefix):
        """How many objects of a bucket begin with a prefix, at most 1000."""
        encoded = prefix.replace("/", "%2F")
        listed = self.request("GET", f"/{bucket}?list-type=2&prefix={encoded}")
        return listed.count("<Key>")

    def kill(self):
        """kill -9: what was under way has no answer."""
        pid = int((self.folder / "client.rgw.a.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)  # a daemon's parent is the namespace's first process: this one

    def start(self, *options):
        """The gateway alone; the cluster behind it has gone on. @param options of ceph.conf"""
        self.run("radosgw", "-n", "client.rgw.a", "-c", self.folder / "ceph.conf", *options)
        deadline = lab.Deadline(60)
        while True:
            try:
                with urllib.request.urlopen(self.url, timeout=5):
                    return
            except OSError:
                if deadline.passed():
                    raise
                select.select([], [], [], 0.05)

    def log(self):
        """What the gateway wrote, a line for each request with its status among others."""
        return (self.folder / "client.rgw.a.log").read_text(errors="replace")

    def environment(self, **more):
        """What makes `stillpoint` talk to it, whatever the machine has set for another store."""
        nothing = {name: "" for name in os.environ if name.startswith("AWS_")}
        return nothing | {"AWS_ENDPOINT_URL": self.url, "AWS_ACCESS_KEY_ID": KEY,
                "AWS_SECRET_ACCESS_KEY": SECRET, "HOME": str(self.folder)} | more
