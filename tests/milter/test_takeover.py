"""A restart without a gap: a new mailseald takes the socket of the one that
runs (--takeover), or the service manager keeps it (fd:N); under load no message
is lost, deferred or unsigned."""
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import milter_client as mc  # noqa: E402
from daemon import (Daemon, SANITIZER, check_end, mailseal,  # noqa: E402
                    program, sanitizer_report)
from load import (OUTBOUND, ZONE, Load, open_session,  # noqa: E402
                  selectors)
from material import Key  # noqa: E402
from tap import Tap  # noqa: E402

CLIENTS = 50


class Next:
    """Another mailseald with the configuration of `d`."""

    def __init__(self, d, name, args=("--takeover",), **popen):
        self.path = os.path.join(d.dir, "log." + name)
        env = {**os.environ, **SANITIZER, **popen.pop("env", {})}
        with open(self.path, "wb") as log:
            self.process = subprocess.Popen(  # pylint: disable=R1732
                [program("mailseald"), "-f", "-c", d.config, *args],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env,
                cwd=d.dir, **popen)

    def log(self):
        with open(self.path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait_log(self, part, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if part in self.log():
                return True
            if self.process.poll() is not None:
                return part in self.log()
            time.sleep(0.01)
        return False

    def wait(self, seconds=30):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "hung"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def site(key, **config):
    return Daemon(zone=ZONE, domains={"example.com": [("one", key.path)]},
                  state=True, **config)


def status_pid(d):
    """Who answers on the control socket."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(os.path.join(d.dir, "control.sock"))
        return int.from_bytes(s.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], sys.byteorder)


def test_open_session(t, key):
    """The old one serves what is open, the new one what comes."""
    port = free_port()
    with site(key, extra='metrics = { listen = "127.0.0.1:%d"; };' % port) as d:
        old = d.process
        c, s = open_session(d.address, login="alice")
        n = Next(d, "new")
        t.ok(n.wait_log("listens on"), "the new one serves", n.log())
        t.ok(d.wait_log("another mailseald has taken over; 1 sessions"),
             "the old one says so", d.log())
        t.is_(status_pid(d), n.process.pid, "it answers on the control socket")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz",
                                    timeout=5) as r:
            t.is_(r.read(), b"ok\n", "and on that of the metrics")
        for i in range(3):
            o = s.message(OUTBOUND, "<a@example.com>", ["<b@example.net>"],
                          queue_id=f"4OLD{i}")
            t.is_(selectors(o), ["one"], f"the open session: message {i}")
        t.is_(len(re.findall(r"4OLD\d: .*signed=", d.log())), 3,
              "by the old one")
        o = d.send(OUTBOUND, "<a@example.com>", login="alice",
                   queue_id="4NEW")
        t.is_(selectors(o), ["one"], "a new session")
        t.has(n.log(), "4NEW: ", "by the new one")
        t.is_(old.poll(), None, "the old one waits")
        s.quit()
        c.close()
        t.is_(old.wait(20), 0, "and ends with the session", d.log()[-1500:])
        t.is_(sanitizer_report(d.log()), "", "no sanitizer report")
        t.is_(os.path.exists(d.socket_path), True, "the socket stays")
        d.process, d.log_path = n.process, n.path
        check_end(t, d, "the new one")
        t.is_(os.path.exists(d.socket_path), False, "until that one ends")


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def until(is_so, seconds=20):
    end = time.monotonic() + seconds
    while not is_so() and time.monotonic() < end:
        time.sleep(0.01)
    return is_so()


def test_first_command(t, key):
    """A session that the old one has accepted, and that has said nothing
    yet, begins there."""
    with site(key) as d:
        old = d.process
        held = descriptors(old)
        c = mc.Connection(d.address, negotiate=False)
        t.ok(until(lambda: descriptors(old) > held), "it is accepted")
        n = Next(d, "new")
        t.ok(d.wait_log("another mailseald has taken over; 0 sessions"),
             "the old one counts none", d.log())
        c.negotiate(6, mc.ALL_ACTIONS, mc.ALL_PROTOCOL)
        s = mc.Session(c, macros=mc.standard_macros(address="192.0.2.10",
                                                    login="alice"))
        s.connect("192.0.2.10")
        s.helo("h.example")
        o = s.message(OUTBOUND, "<a@example.com>", ["<b@example.net>"],
                      queue_id="4FIRST")
        t.is_(selectors(o), ["one"], "first command: is signed")
        t.has(d.log(), "4FIRST: ", "first command: by the old one")
        s.quit()
        c.close()
        t.is_(old.wait(20), 0, "first command: which ends", d.log()[-1500:])
        t.is_(sanitizer_report(d.log()), "", "no sanitizer report")
        t.ok(n.wait_log("listens on"), "first command: the new one serves")
        d.process, d.log_path = n.process, n.path
        check_end(t, d, "first command: the new one")


def ask(d, request):
    """An answer of the control socket, and the descriptors with it."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(os.path.join(d.dir, "control.sock"))
        s.sendall(request + b"\n")
        text, fds, _, _ = socket.recv_fds(s, 4096, 1)
        return text.decode(), fds


def test_end_between(t, key):
    """The old one is stopped before the new one serves: the path that the
    MTA knows stays, and the new one gets the others."""
    with site(key, extra="shutdown_timeout = 5;") as d:
        c, s = open_session(d.address, login="alice")
        s.mail("<a@example.com>")  # a message in flight
        s.rcpt("<b@example.net>")
        s.header("From", " a@example.com")
        s.end_of_header()
        text, fds = ask(d, b"takeover")
        t.is_(text, f"status 0\n{d.address}\n", "between: it is ours, too")
        t.ok(fcntl.fcntl(fds[0], fcntl.F_GETFL) & os.O_NONBLOCK,
             "between: who comes too late to accept does not wait")
        d.signal()
        end = time.monotonic() + 5
        said = ""
        while "status 69" not in said and time.monotonic() < end:
            said, more = ask(d, b"takeover")
            for fd in more:
                os.close(fd)
        t.is_(said, "status 69\nmailseald is stopping\n",
              "between: nobody else gets it now")
        t.is_(ask(d, b"yield")[0], "status 0\n", "between: it yields")
        t.is_(os.path.exists(os.path.join(d.dir, "control.sock")), False,
              "between: the path of the control socket is free")
        s.end_of_message([])
        c.close()
        t.is_(d.wait(20), 0, "between: it ends", d.log()[-1500:])
        t.is_(sanitizer_report(d.log()), "", "between: no sanitizer report")
        with socket.socket(fileno=fds[0]) as listener, \
                socket.socket(socket.AF_UNIX) as mta:
            t.is_(mta.connect_ex(d.socket_path), 0,
                  "between: the MTA finds the socket")
            listener.accept()[0].close()


def test_drain(t, key):
    """drain_max, and one who is asked again."""
    with site(key, extra="drain_max = 1;") as d:
        c, _ = open_session(d.address)
        n = Next(d, "new")
        t.ok(n.wait_log("listens on"), "drain_max: the new one serves")
        began = time.monotonic()
        t.is_(d.wait(10), 0, "drain_max: the old one ends")
        t.ok(time.monotonic() - began < 6, "drain_max: in time")
        t.has(d.log(), "stopped, 1 sessions were open",
              "drain_max: what it left is counted")
        c.close()
        n.process.send_signal(signal.SIGTERM)
        t.is_(n.wait(), 0, "drain_max: the new one ends")
    with site(key, extra="drain_max = 300; shutdown_timeout = 1;") as d:
        c, _ = open_session(d.address)
        n = Next(d, "new")
        t.ok(n.wait_log("listens on"), "asked again: the new one serves")
        d.signal()
        t.is_(d.wait(10), 0, "asked again: the old one ends")
        c.close()
        n.process.send_signal(signal.SIGTERM)
        t.is_(n.wait(), 0, "asked again: the new one ends")


STRANGER = """
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
print("ready", flush=True)
c = s.accept()[0]
c.settimeout(20)
print(c.recv(100), flush=True)
"""


def test_stranger(t, d):
    """Somebody else has put a socket there."""
    if os.geteuid() != 0:
        t.skip("somebody else's socket", "needs root")
        return
    folder = os.path.join(d.dir, "theirs")
    os.mkdir(folder)
    os.chown(folder, 12345, 12345)
    path = os.path.join(folder, "control.sock")
    with open(d.config, encoding="utf-8") as f:
        text = f.read()
    d.write("mailseal.conf", text.replace(
        os.path.join(d.dir, "control.sock"), path))
    with subprocess.Popen([sys.executable, "-c", STRANGER, path], user=12345,
                          group=12345, stdout=subprocess.PIPE) as p:
        p.stdout.readline()
        n = Next(d, "stranger")
        t.is_(n.wait(), 78, "somebody else's socket: exit status 78", n.log())
        t.has(n.log(), f"{path}: it is a socket of user 12345, who is not "
              "trusted", "somebody else's socket: why")
        t.is_(p.stdout.readline(), b"b''\n",
              "somebody else's socket: is asked nothing")
    d.write("mailseal.conf", text)


def test_refused(t, key):
    """Whatever is wrong with the new one, the old one goes on."""
    with site(key) as d:
        with open(d.config, encoding="utf-8") as f:
            right = f.read()
        other = os.path.join(d.dir, "other.sock")
        for name, text, said in (
                ("a mistake", right + "nonsense = 1;\n", "unknown option"),
                ("another socket", right.replace(d.socket_path, other),
                 f"the mailseald that runs listens on {d.address}, not on "
                 f"unix:{other}; start without --takeover"),
                ("no control socket",
                 right.replace(os.path.join(d.dir, "control.sock"), ""),
                 "--takeover: needs control.socket"),
                ("no resolver", right.replace(d.zone_file, "/nonexistent"),
                 "/nonexistent")):
            d.write("mailseal.conf", text)
            n = Next(d, "bad")
            t.is_(n.wait(), 78, f"{name}: exit status 78", n.log())
            t.has(n.log(), said, f"{name}: what, and the cure")
            o = d.send(OUTBOUND, "<a@example.com>", login="alice")
            t.is_(selectors(o), ["one"], f"{name}: the old one goes on")
        d.write("mailseal.conf", right)
        t.is_(mailseal("status", "-c", d.config)[0], 0,
              "the control socket is still that of the old one")
        check_end(t, d, "refused")
        test_stranger(t, d)
        n = Next(d, "alone")
        t.is_(n.wait(), 78, "nobody runs: exit status 78")
        t.has(n.log(), "start without it when no mailseald runs",
              "nobody runs: what to do")


def test_load(t, key):
    """One after another, under 50 connections."""
    with site(key) as d:
        load = Load(d.address, CLIENTS)
        logs, ends = [], []
        for i in range(8):
            time.sleep(0.3)
            n = Next(d, str(i))
            t.ok(n.wait_log("listens on", 60), f"load: number {i} serves",
                 n.log()[-1500:])
            ends.append(d.wait(60))
            logs.append(d.log())
            d.process, d.log_path = n.process, n.path
        time.sleep(0.3)
        stuck = load.end()
        t.is_(ends, [0] * 8, "load: each ends when its sessions do")
        t.is_(load.bad[:5], [], "load: no message is lost, deferred or "
                                "unsigned")
        t.is_(stuck, 0, "load: every session ends")
        t.ok(load.sent > 200, "load: there was load", load.sent)
        t.note(f"{load.sent} messages on {CLIENTS} connections during 8 "
               "takeovers")
        logs.append(check_end(t, d, "load"))
        everything = "".join(logs)
        t.is_(sanitizer_report(everything), "", "load: no sanitizer report")
        t.is_(len(re.findall(r"signed=example.com/|dmarc=pass disposition",
                             everything)), load.sent,
              "load: each in one log, once")


def activated(d, listener, name):
    """mailseald as the service manager starts it, with the socket as 3."""
    def give():
        os.dup2(listener.fileno(), 3)

    return Next(d, name, (), pass_fds=[3], preexec_fn=give)


def test_activation(t, key):
    """The service manager keeps the socket: what comes between two daemons
    waits."""
    with site(key) as d, socket.socket(socket.AF_UNIX) as listener:
        d.stop()
        listener.bind(d.socket_path)
        listener.listen(1024)
        with open(d.config, encoding="utf-8") as f:
            text = f.read()
        d.write("mailseal.conf", text.replace(d.address, "fd:3"))
        n = activated(d, listener, "a")
        t.ok(n.wait_log("listens on"), "fd:3: serves", n.log())
        load = Load(d.address, CLIENTS)
        logs, ends = [], []
        for i in range(5):
            n.wait_log("listens on", 60)
            time.sleep(0.3)
            n.process.send_signal(signal.SIGTERM)
            ends.append(n.wait(60))
            logs.append(n.log())
            n = activated(d, listener, f"b{i}")
        n.wait_log("listens on", 60)
        time.sleep(0.3)
        stuck = load.end()
        n.process.send_signal(signal.SIGTERM)
        ends.append(n.wait(60))
        logs.append(n.log())
        t.is_(ends, [0] * 6, "fd:3: every end is orderly")
        t.is_(load.bad[:5], [], "fd:3: no message is lost, deferred or "
                                "unsigned")
        t.is_(stuck, 0, "fd:3: every session ends")
        t.ok(load.sent > 200, "fd:3: there was load", load.sent)
        t.note(f"{load.sent} messages on {CLIENTS} connections during 5 "
               "restarts")
        t.is_(sanitizer_report("".join(logs)), "", "fd:3: no sanitizer report")
        t.is_(os.path.exists(d.socket_path), True,
              "fd:3: the path is not ours to remove")


def main():
    t = Tap(280)
    with Daemon(start=False) as files:
        key = Key(files.dir, "key", "rsa")
        for part in (test_open_session, test_first_command, test_end_between,
                     test_drain, test_refused, test_load, test_activation):
            with t.group(part.__name__):
                part(t, key)
    t.done()


main()
