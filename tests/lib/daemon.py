"""A mailseald of the test's own: configuration, start, log, stop.

    with Daemon(zone="example.org TXT ...") as d:
        outcome = d.send(data, "<a@example.org>")
        d.stop()                    # (status, log)

The binaries are those of $MAILSEAL_BUILDDIR.  Every daemon lives in a private
directory with its socket, zone, keys and log; no port is opened.
"""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import milter_client

BUILD = os.environ.get("MAILSEAL_BUILDDIR", os.getcwd())
# The sanitizers must not look like an orderly end, and leaks count.
SANITIZER = {"ASAN_OPTIONS": "exitcode=77:detect_leaks=1:quarantine_size_mb=1",
             "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"}


def remove_tree(folder):
    """A daemon may still write there."""
    end = time.monotonic() + 5
    while os.path.lexists(folder) and time.monotonic() < end:
        shutil.rmtree(folder, ignore_errors=True)


def program(name):
    return os.path.join(BUILD, name)


def quote(text):
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def control_path(socket_path):
    """The control socket, beside that of the MTA."""
    return os.path.join(os.path.dirname(socket_path), "control.sock")


def config_text(socket_path, zone_file, authserv_id="mx.test", domains=(),
                listeners=(), internal=("127.0.0.0/8", "::1/128"), sign=(),
                trusted=(), resolver=None, state="", user="", control="",
                extra=""):
    """`domains`: {domain: [(selector, key file)]}; `listeners`: pairs;
    `resolver`: what stands in that group in place of the zone file;
    `control`: more members of that group."""
    if resolver is None:
        resolver = f"zone_file = {quote(zone_file)};"
    nets = [", ".join(quote(n) for n in v) for v in (internal, sign, trusted)]
    lines = [f"socket = {quote('unix:' + socket_path)};",
             'socket_mode = "0666";',
             f"authserv_id = {quote(authserv_id)};",
             f"user = {quote(user)};",
             f"state_directory = {quote(state)};",
             'log = { target = "stderr"; };',
             f"control = {{ socket = {quote(control_path(socket_path))}; "
             f"{control} }};",
             f"resolver = {{ {resolver} }};",
             f"networks = {{ internal = [{nets[0]}]; sign = [{nets[1]}]; "
             f"trusted = [{nets[2]}]; }};"]
    if listeners:
        rows = ", ".join(f"{{ name = {quote(n)}; direction = {quote(d)}; }}"
                         for n, d in listeners)
        lines.append(f"listeners = ( {rows} );")
    rows = []
    for domain, keys in dict(domains).items():
        pairs = ", ".join(f"{{ selector = {quote(s)}; file = {quote(f)}; }}"
                          for s, f in keys)
        rows.append(f"{{ domain = {quote(domain)}; keys = ( {pairs} ); }}")
    if rows:
        lines.append(f"outbound = {{ domains = ( {', '.join(rows)} ); }};")
    return "\n".join(lines) + "\n" + extra


class Daemon:
    def __init__(self, zone="", start=True, directory=None, **config):
        self.own = directory is None
        self.dir = directory or tempfile.mkdtemp(prefix="mailseal-")
        os.chmod(self.dir, 0o755)
        self.socket_path = os.path.join(self.dir, "milter.sock")
        self.address = "unix:" + self.socket_path
        if config.get("state") is True:  # its own folder
            config["state"] = self.dir
        self.zone_file = self.write("zone", zone)
        self.config = self.write("mailseal.conf", config_text(
            self.socket_path, self.zone_file, **config))
        self.log_path = os.path.join(self.dir, "log")
        self.process = None
        if start:
            try:
                self.start()
            except BaseException:
                self.close()
                raise

    def write(self, name, content):
        path = os.path.join(self.dir, name)
        mode = "wb" if isinstance(content, bytes) else "w"
        with open(path, mode) as f:
            f.write(content)
        return path

    def start(self, wait=True):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(  # pylint: disable=R1732
                [program("mailseald"), "-f", "-c", self.config],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **SANITIZER}, cwd=self.dir)
        if wait:
            self.wait_ready()

    def wait_ready(self, seconds=15):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError("mailseald ended with status "
                                   f"{self.process.returncode}: {self.log()}")
            try:
                milter_client.dial(self.address, 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"mailseald does not listen: {self.log()}")

    def log(self):
        with open(self.log_path, "rb") as f:
            return f.read().decode("utf-8", "backslashreplace")

    def wait_log(self, part, seconds=5):
        """The first log line with `part` in it, or None in time."""
        end = time.monotonic() + seconds
        while True:
            for line in self.log().splitlines():
                if part in line:
                    return line
            if time.monotonic() > end:
                return None
            time.sleep(0.02)

    @property
    def alive(self):
        return self.process is not None and self.process.poll() is None

    def memory(self):
        """Bytes resident now."""
        with open(f"/proc/{self.process.pid}/status") as f:
            for line in f:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        return 0

    def send(self, data, sender, **kw):
        return milter_client.send_message(self.address, data, sender, **kw)

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self, seconds=20):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "hung"

    def stop(self):
        """(exit status, log); the status is 77 when a sanitizer spoke."""
        status = 0
        if self.process is not None:
            if self.alive:
                self.signal()
            status = self.wait()
            self.process = None
        return status, self.log()

    def close(self):
        if self.process is not None:
            if self.alive:
                self.process.kill()
            self.process.wait()
            self.process = None
        if self.own:
            shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def sanitizer_report(log):
    """The part of a log in which a sanitizer complains, or ''."""
    for mark in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer",
                 "WARNING: ThreadSanitizer", "runtime error:"):
        at = log.find(mark)
        if at >= 0:
            return log[at:at + 6000]
    return ""


def check_end(tap, daemon, name="SIGTERM"):
    """Stops; the end must be orderly and no sanitizer may have spoken."""
    status, log = daemon.stop()
    tap.is_(status, 0, f"{name}: exit status 0", log[-3000:])
    report = sanitizer_report(log)
    tap.ok(not report, f"{name}: no sanitizer report", report)
    return log


class SmallDisk:
    """A file system of `size` that can be filled, in `folder`; None when it
    cannot be mounted."""

    def __init__(self, size):
        self.size = size
        self.folder = tempfile.mkdtemp(prefix="mailseal-disk-")
        self.filler = os.path.join(self.folder, "filler")

    def __enter__(self):
        if os.geteuid() != 0 or subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={self.size},mode=700",
                 "tmpfs", self.folder], check=False,
                stderr=subprocess.DEVNULL).returncode:
            os.rmdir(self.folder)
            self.folder = None
        return self

    def __exit__(self, *_):
        if self.folder is not None:
            subprocess.run(["umount", "-l", self.folder], check=False)
            os.rmdir(self.folder)

    def fill(self):
        try:
            with open(self.filler, "wb", buffering=0) as f:
                while True:
                    f.write(b"x" * 4096)
        except OSError:
            pass

    def empty(self):
        os.unlink(self.filler)


def stale_socket(path):
    """Leaves a socket file that nobody listens on."""
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.close()


def mailseal(*args, stdin=b"", cwd=None, timeout=60):
    """Runs mailseal: (status, standard output, standard error)."""
    p = subprocess.run([program("mailseal"), *args], input=stdin, cwd=cwd,
                       capture_output=True, timeout=timeout, check=False,
                       env={**os.environ, **SANITIZER})
    return p.returncode, p.stdout, p.stderr.decode("utf-8", "replace")
