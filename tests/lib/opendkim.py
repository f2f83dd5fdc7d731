"""The real opendkim and opendmarc, to compare with: Debian's packages,
unpacked below the build directory and never installed.

    tree, why = opendkim_tree(build, fetch=True)
    with OpenDKIM(tree, text) as o:     # a configuration but for Socket
        outcome = o.send(data, "<a@example.org>")

Each daemon lives in a private directory and opens no port.  Root is not
needed.
"""
import glob
import os
import re
import shutil
import subprocess
import tempfile
import time

import milter_client

PACKAGES = ("opendkim", "opendmarc", "liblua5.3-0", "libmemcached11",
            "libhashkit2", "libopendbx1", "librbl1", "libvbr2")
OPENDKIM, OPENDMARC = "usr/sbin/opendkim", "usr/sbin/opendmarc"


def libraries(tree):
    """The environment in which the programs find theirs."""
    lib = os.path.join(tree, "usr", "lib")
    path = [lib] + glob.glob(os.path.join(lib, "*-linux-gnu"))
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(path)}


def download(tree):
    """None, or why not."""
    os.makedirs(tree, exist_ok=True)
    try:
        p = subprocess.run(
            ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download",
             *PACKAGES], cwd=tree, check=False, timeout=120,
            stdin=subprocess.DEVNULL, capture_output=True)
    except (OSError, subprocess.TimeoutExpired) as e:
        return f"no download: {e}"
    for deb in glob.glob(os.path.join(tree, "*.deb")):
        subprocess.run(["dpkg", "-x", deb, tree], check=True)
    if os.path.exists(os.path.join(tree, OPENDKIM)):
        return None
    return "no download: " + \
        p.stderr.decode("utf-8", "replace").replace("\n", " ")[:200]


def opendkim_tree(build, fetch):
    """(path, None) or (None, why not).  `fetch`: over the network, if it is
    not there yet."""
    tree = os.path.join(build, "opendkim-tree")
    if not os.path.exists(os.path.join(tree, OPENDKIM)):
        if not fetch:
            return None, "opendkim is not there: make check-mta gets it"
        if not shutil.which("dpkg") or not shutil.which("apt-get"):
            return None, "no Debian"
        why = download(tree)
        if why is not None:
            return None, why
    for name in (OPENDKIM, OPENDMARC):
        libs = subprocess.run(["ldd", os.path.join(tree, name)], check=False,
                              env=libraries(tree), capture_output=True)
        missing = re.findall(r"(\S+) => not found", libs.stdout.decode())
        if missing:
            return None, f"libraries missing: {missing}"
    return tree, None


class OpenDKIM:
    """A running opendkim.  `address`: "inet:PORT@ADDRESS"; None: its own
    unix socket."""

    def __init__(self, tree, text, address=None):
        self.dir = tempfile.mkdtemp(prefix="opendkim-")
        path = os.path.join(self.dir, "sock")
        self.address = address or "unix:" + path
        conf = os.path.join(self.dir, "opendkim.conf")
        with open(conf, "w", encoding="utf-8") as f:
            f.write(text + f"\nSocket {address or 'local:' + path}\n"
                    "Syslog no\n"
                    "RequireSafeKeys no\n")
        with open(os.path.join(self.dir, "log"), "wb") as log:
            self.process = subprocess.Popen(  # pylint: disable=R1732
                [os.path.join(tree, OPENDKIM), "-f", "-x", conf],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=libraries(tree), cwd=self.dir)
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self):
        end = time.monotonic() + 15
        while self.process.poll() is None and time.monotonic() < end:
            try:
                milter_client.dial(self.address, 1).close()
                return
            except OSError:
                time.sleep(0.02)
        with open(os.path.join(self.dir, "log"), encoding="utf-8") as f:
            raise RuntimeError(f"opendkim does not run: {f.read()}")

    def send(self, data, sender, **kw):
        return milter_client.send_message(self.address, data, sender, **kw)

    def close(self):
        # It takes 5 s to end when it is asked to.
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
