"""The site under load: a mailseald with what it stands on, each of which can
be made to fail, and the supervisor that starts it again when it ends.

As root it runs as nobody, like the unit of systemd, with its state on a file
system of its own that can be filled.
"""
import collections
import contextlib
import multiprocessing
import os
import re
import resource
import shutil
import signal
import sqlite3
import struct
import subprocess
import threading
import time

import dns_server
from daemon import Daemon, SmallDisk, config_text, mailseal, quote
from daemon import SANITIZER, program, sanitizer_report

NOBODY = 65534
HARD_DESCRIPTORS = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
STATE_SIZE = "64m"
QUEUE_ID = re.compile(rb"^mailseald: (?:warning: )?(Q[0-9a-f]+x[0-9a-f]+): "
                      rb"(?:from|direction)=", re.M)
OUT_OF_MEMORY = "mailseal: out of memory"
OUT_OF_MEMORY_END = "out of memory, says so"


# ---- a DNS server in a process of its own -----------------------------------

def dns_process(zone, pipe):
    server = dns_server.Server(zone)
    pipe.send(server.address)
    while True:
        try:
            name, args, options = pipe.recv()
        except EOFError:
            break
        getattr(server, name)(*args, **options)
        server.forget()
        pipe.send(None)


class Dns:
    def __init__(self, zone):
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=dns_process,
                                       args=(zone, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.address = self.pipe.recv()

    def order(self, name, *args, **options):
        self.pipe.send((name, args, options))
        self.pipe.recv()

    def close(self):
        self.process.kill()
        self.process.join()


# ---- mailseald --------------------------------------------------------------

class Life:
    """One process of mailseald, from its start to its end."""

    def __init__(self, process, log, who):
        self.process, self.log, self.who = process, log, who
        self.start, self.end = time.monotonic(), None
        self.base = None  # (descriptors, bytes resident) after the warm-up

    @property
    def pid(self):
        return self.process.pid

    def descriptors(self):
        folder = f"/proc/{self.pid}/fd"
        found = []
        for n in os.listdir(folder):
            with contextlib.suppress(OSError):
                found.append(os.readlink(os.path.join(folder, n)))
        return sorted(re.sub(r"\d+", "N", name) for name in found)

    def status(self, name):
        """A number of /proc/PID/status, in bytes."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as f:
            for line in f:
                if line.startswith(name + ":"):
                    return int(line.split()[1]) * 1024
        return 0

    def limit(self, what, soft=""):
        """Of "nofile" or "as", by its own user; none: up to the hard limit,
        which stays, so that it can be taken back."""
        hard = "unlimited" if what == "as" else HARD_DESCRIPTORS
        subprocess.run(["prlimit", f"--pid={self.pid}",
                        f"--{what}={soft or hard}:{hard}"], check=False,
                       stderr=subprocess.DEVNULL, **self.who)


def sanitized():
    with open(program("mailseald"), "rb") as f:
        data = f.read()
    return b"__asan_init" in data or b"__tsan_init" in data


class Site(Daemon):
    def __init__(self, material, folder, ledger, prefix=(), env=None,
                 options=""):
        """`prefix`: what runs it; `env`: with that environment, and nothing
        preloaded; `options`: more of its configuration."""
        super().__init__(start=False)
        self.prefix, self.env, self.options = list(prefix), env, options
        self.material, self.files, self.ledger = material, folder, ledger
        self.root = os.geteuid() == 0
        self.sanitized = sanitized()
        self.dns = Dns(material.zone)
        self.disk = contextlib.ExitStack()
        self.small = self.disk.enter_context(SmallDisk(STATE_SIZE))
        self.state = os.path.join(self.small.folder or self.dir, "state")
        os.mkdir(self.state)
        self.lives, self.life = [], None
        self.ends = collections.Counter()
        self.closing = False
        self.extra = ("one", 14, "accept")
        self.seen = {}  # queue id: lines of the log
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # its own, too
        self.make_files()
        self.watcher = None

    # ---- files -------------------------------------------------------------
    def make_files(self):
        self.write("senders", "@example.com alice, shop\n")
        self.write("credentials", 'credentials = ( { login = "shop"; '
                   'addresses = [ "@example.com" ]; '
                   "messages_per_hour = 100000000; } );\n")
        self.clock_file = self.write("clock", struct.pack("q", 0))
        self.order_file = self.write("order", struct.pack("II", 0, 0))
        self.configure(*self.extra)
        if self.root:
            for path in (self.dir, self.state, self.order_file,
                         *(k.path for k in self.material.keys.values())):
                os.chown(path, NOBODY, NOBODY)
            os.chmod(self.files, 0o755)
            if self.small.folder:
                os.chmod(self.small.folder, 0o755)

    def text(self, selector, days, on_store_error):
        keys = [(s, self.material.keys[s].path) for s in (selector, "ed")]
        return config_text(
            self.socket_path, "", domains={"example.com": keys},
            state=self.state, resolver=f'servers = [ "{self.dns.address}" ]; '
            "message_timeout = 8; cache_size = 1048576;",
            extra=f"""\
on_internal_error = "tempfail";
on_store_error = "{on_store_error}";
journal = {{ record_days = {days}; max_size = 16777216; }};
submission = {{
    sender_table = {quote(os.path.join(self.dir, "senders"))};
    credentials = {quote(os.path.join(self.dir, "credentials"))};
    sender_check = "reject"; credential_check = "reject";
}};
""" + self.options)

    def put(self, text):
        self.write("conf.new", text)
        os.rename(os.path.join(self.dir, "conf.new"), self.config)

    def configure(self, *values):
        self.extra = values
        self.put(self.text(*values))

    def reload(self):
        """The exit status of `mailseal reload`, and what it says."""
        status, _, err = mailseal("reload", "-c", self.config, timeout=120)
        return status, err

    def set_clock(self, ahead):
        with open(self.clock_file, "r+b") as f:
            f.write(struct.pack("q", ahead))

    def order_failures(self, every):
        with open(self.order_file, "r+b") as f:
            f.write(struct.pack("I", every))

    def failures(self):
        with open(self.order_file, "rb") as f:
            return struct.unpack("II", f.read(8))[1]

    # ---- its life ----------------------------------------------------------
    def environment(self):
        if self.env is not None:
            return {**os.environ, **self.env}
        env = {**os.environ, **SANITIZER, "MOVE_CLOCK": self.clock_file,
               "FAIL_ALLOC": self.order_file}
        preload = [self.library("move_clock")]
        if self.sanitized:
            env["ASAN_OPTIONS"] += ":verify_asan_link_order=0"
        else:  # a sanitizer has an allocator of its own
            preload.append(self.library("fail_alloc"))
        env["LD_PRELOAD"] = ":".join(preload)
        return env

    def library(self, name):
        path = os.path.join(self.files, name + ".so")
        if not os.path.exists(path):
            source = os.path.join(os.path.dirname(__file__), name + ".c")
            subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-shared", "-fPIC",
                            "-o", path, source], check=True)
        return path

    def begin(self, *args):
        log = os.path.join(self.dir, f"log.{len(self.lives)}")
        who = {"user": NOBODY, "group": NOBODY, "extra_groups": []} \
            if self.root else {}
        with open(log, "wb") as f:
            process = subprocess.Popen(  # pylint: disable=R1732
                [*self.prefix, program("mailseald"), "-f", "-c", self.config,
                 *args], stdin=subprocess.DEVNULL, stdout=f, stderr=f,
                cwd=self.dir, env=self.environment(), **who)
        life = Life(process, log, who)
        self.lives.append(life)
        self.process, self.log_path, self.life = process, log, life
        return life

    def supervise(self):
        """Starts it whenever it has ended."""
        self.begin()
        self.wait_ready()
        self.watcher = threading.Thread(target=self.watch, daemon=True)
        self.watcher.start()

    def watch(self):
        while not self.closing:
            life = self.life
            status = life.process.wait()
            life.end = time.monotonic()
            self.ended(life, status)
            if self.closing:
                break
            time.sleep(0.1)
            self.begin()

    def ended(self, life, status):
        with open(life.log, "rb") as f:
            log = f.read()
        text = log[-20000:].decode("utf-8", "backslashreplace")
        name = how_it_ended(status, text)
        self.ends[name] += 1
        report = sanitizer_report(log.decode("utf-8", "backslashreplace"))
        if report:
            self.ledger.complain(f"sanitizer: {report[:3000]}")
        elif not self.closing and not self.ledger.excuses(
                f"end {name}", life.end - 1, life.end):
            self.ledger.complain(f"mailseald ended: {name}: {text[-1500:]}")
        for queue_id in QUEUE_ID.findall(log):
            key = queue_id.decode()
            self.seen[key] = self.seen.get(key, 0) + 1
        os.unlink(life.log)

    def finish(self):
        """An orderly end, of the last life."""
        self.closing = True
        if self.life.process.poll() is None:
            self.signal(signal.SIGTERM)
        status = self.wait(30)
        if self.watcher is not None:
            self.watcher.join(30)
        return status

    def close(self):
        self.closing = True
        os.chmod(self.state, 0o700)
        super().close()
        self.dns.close()
        if self.small.folder:
            shutil.rmtree(self.state, ignore_errors=True)
        self.disk.close()

    # ---- what is stored ----------------------------------------------------
    def check_state(self):
        """Is every database whole?  What is wrong."""
        bad = []
        for name in sorted(os.listdir(self.state)):
            if not name.endswith(".sqlite"):
                continue
            path = os.path.join(self.state, name)
            try:
                with contextlib.closing(sqlite3.connect(path)) as db:
                    rows = db.execute("PRAGMA integrity_check").fetchall()
            except sqlite3.Error as e:
                rows = [(repr(e),)]
            if rows != [("ok",)]:
                bad.append(f"{name}: {rows[:3]}")
        return bad

    def records(self):
        """queue id: rows of the journal"""
        path = os.path.join(self.state, "journal.sqlite")
        with contextlib.closing(sqlite3.connect(path)) as db:
            return dict(db.execute("SELECT queue_id, count(*) FROM records "
                                   "GROUP BY queue_id"))


def how_it_ended(status, text):
    if status == -signal.SIGABRT and OUT_OF_MEMORY in text:
        return OUT_OF_MEMORY_END
    if status < 0:
        return signal.Signals(-status).name
    return f"status {status}"
