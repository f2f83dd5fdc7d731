"""The control socket of a real daemon: what it tells, what a reload says, who
may ask for what, and what the service manager hears, also when a thread is
stuck."""
import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time

SRC = os.environ.get("MAILSEAL_SRCDIR", ".")
sys.path.insert(0, os.path.join(SRC, "tests", "lib"))
# pylint: disable=wrong-import-position
import milter_client  # noqa: E402
from daemon import (Daemon, SANITIZER, check_end, control_path,  # noqa: E402
                    mailseal, program)
from material import Key  # noqa: E402
from scrape import http  # noqa: E402
from tap import Tap  # noqa: E402

ZONE = 'example.org TXT "v=spf1 -all"\n'
MAIL = b"From: a@example.org\r\nTo: b@example.net\r\n\r\nhello\r\n"
USAGE, UNAVAILABLE, NOPERM, CONFIG = 64, 69, 77, 78
NAMES = {
    "": "version pid time started uptime stopping configuration reload "
        "sessions messages dns cache keys journal limits memory warnings",
    "reload": "time ok done failed",
    "sessions": "open messages",
    "messages": "inbound outbound ignored",
    "dns": "waiting asked cached sent timeouts tempfail refused outages "
           "outage",
    "cache": "answers bytes max_bytes",
    "keys": "entries domains loaded unusable list",
    "journal": "kept working written dropped",
    "limits": "kept working",
}


def status(d):
    code, out, err = mailseal("status", "--json", "-c", d.config)
    if code != 0:
        raise RuntimeError(f"{code} {err}")
    return json.loads(out)


def test_names(t, s):
    """Those that mailseal(1) promises, in its words."""
    with open(os.path.join(SRC, "doc", "mailseal.1"), encoding="utf-8") as f:
        man = f.read().split(".Ss Status as JSON")[1].split(".Sh ")[0]
    words = set(man.replace(",", " ").split())
    for name, members in NAMES.items():
        got = s if name == "" else s[name]
        t.is_(sorted(got), sorted(members.split()), f"JSON: {name or 'all'}")
        t.is_([w for w in members.split() if w not in words], [],
              f"JSON: {name or 'all'}: documented")


def test_status(t):
    with Daemon(zone=ZONE, state=True, start=False) as d:
        good_file = Key(d.dir, "good", "ed25519").path
        bad_file = d.write("bad.pem", "not a key\n")
        os.chmod(bad_file, 0o600)
        with open(d.config, "a", encoding="utf-8") as f:
            f.write(f'''outbound = {{ domains = (
  {{ domain = "example.org"; keys = (
     {{ selector = "s1"; file = "{good_file}"; }},
     {{ selector = "s2"; file = "{bad_file}"; }} ); }} ); }};\n''')
        d.write("good.pem.state",
                "active since 2026-11-01T00:00:00Z\n")
        d.start()
        s = status(d)
        test_names(t, s)
        t.is_(s["pid"], d.process.pid, "status: pid")
        t.is_(s["configuration"], d.config, "status: configuration")
        t.is_(s["reload"], {"time": None, "ok": None, "done": 0, "failed": 0},
              "status: no reload")
        t.is_((s["journal"]["kept"], s["journal"]["working"],
               s["limits"]["kept"]), (True, True, False), "status: stores")
        t.ok(10 ** 6 < s["memory"] < 10 ** 10, "status: memory", s["memory"])
        keys = s["keys"]
        t.is_((keys["entries"], keys["domains"], keys["loaded"],
               keys["unusable"]), (2, 1, 1, 1), "status: keys")
        t.is_([(k["selector"], k["usable"]) for k in keys["list"]],
              [("s2", False), ("s1", True)], "status: unusable ones first")
        t.has(keys["list"][0]["error"], "bad.pem: no PEM private key",
              "status: why one is unusable")
        t.is_((keys["list"][1]["state"], keys["list"][1]["since"]),
              ("active", 1793491200), "status: state and age")
        t.has(json.dumps(s["warnings"]), "bad.pem", "status: warnings")
        test_sessions(t, d)
        code, out, _ = mailseal("status", "-c", d.config)
        t.is_(code, 0, "status: text")
        for part in ("up 0 min", "keys: 2 of 1 domains, 1 loaded, 1 unusable",
                     "s2: UNUSABLE: ", "s1: active, ", " days old",
                     "journal: working, 1 written", "messages: 1 inbound"):
            t.has(out.decode(), part, f"status: text: {part}")
        check_end(t, d)
        code, _, err = mailseal("status", "-c", d.config)
        t.is_(code, UNAVAILABLE, "status: nobody answers", err)
        t.has(err, "control.sock: No such file", "status: and says so")


def test_sessions(t, d):
    with milter_client.Connection(d.address) as c:
        session = milter_client.Session(c)
        session.connect("192.0.2.1")
        t.is_(status(d)["sessions"], {"open": 1, "messages": 0},
              "status: a session is open")
        session.helo("client.example")
        session.mail("<a@example.org>")
        t.is_(status(d)["sessions"], {"open": 1, "messages": 1},
              "status: a message is in flight")
        session.abort()
    d.send(MAIL, "<a@example.org>")
    for _ in range(100):
        s = status(d)
        if s["sessions"]["open"] == 0 and s["journal"]["written"] == 1:
            break
        time.sleep(0.02)
    t.is_((s["sessions"]["open"], s["messages"]["inbound"]), (0, 1),
          "status: the session ended, its message was counted")
    t.ok(s["dns"]["asked"] > 0, "status: DNS", s["dns"])


def test_metrics(t):
    with Daemon(zone=ZONE, start=False) as d:
        with open(d.config, encoding="utf-8") as f:
            text = f.read()
        d.start()
        d.send(MAIL, "<a@example.org>")
        code, out, err = mailseal("metrics", "-c", d.config)
        t.is_((code, err), (0, ""), "metrics: nobody listens for Prometheus")
        t.has(out.decode(), 'mailseal_messages_total{direction="inbound",'
              'result="accepted"} 1\n', "metrics: what was counted")
        t.ok(re.search(r"^process_resident_memory_bytes [1-9]\d{6}",
                       out.decode(), re.M), "metrics: memory", out)
        check_end(t, d)
        with open(d.config, "w", encoding="utf-8") as f:
            f.write(text + f'metrics = {{ listen = "unix:{d.dir}/m"; }};\n')
        d.start()
        out = mailseal("metrics", "-c", d.config)[1].decode()
        body = http(f"unix:{d.dir}/m", "/metrics")[2]
        t.is_(*([line.split()[0] for line in x.splitlines() if line[0] != "#"]
                for x in (out, body)), "metrics: the same as over HTTP")
        check_end(t, d)


def settled(d, n):
    """Waits until the journal has n records."""
    for _ in range(250):
        if status(d)["journal"]["written"] == n:
            return
        time.sleep(0.02)
    raise RuntimeError(f"no {n} records")


def plant(d, record):
    """A record that somebody else wrote, in place of the last one."""
    with contextlib.closing(sqlite3.connect(
            os.path.join(d.dir, "journal.sqlite"))) as db:
        db.execute("UPDATE records SET record = ? WHERE id = "
                   "(SELECT max(id) FROM records)", (json.dumps(
                       record, ensure_ascii=False),))
        db.commit()


def test_explain(t):
    with Daemon(zone=ZONE, state=True) as d:
        sock = ("--socket", control_path(d.socket_path))
        for i, helo in enumerate(("\x1b[2Jx.test", "y.test")):
            d.send(MAIL, "<a@example.org>", queue_id=f"4Q{i}", helo=helo)
        settled(d, 2)
        for more in ((), ("--json",)):
            asked = mailseal("explain", "4Q0", *more, *sock)
            t.is_(asked[0], 0, f"explain: asked {more}", asked)
            t.is_(asked, mailseal("explain", "4Q0", *more, "-c", d.config),
                  f"explain: as from the file {more}")
        t.has(asked[1].decode(), '"queue_id": "4Q0"', "explain: the record")
        code, out, err = mailseal("explain", "4Q9", *sock)
        t.is_((code, out), (65, b""), "explain: no record", err)
        t.has(err, "no record of 4Q9; it may be too old", "explain: told")
        for bad in ("a b", "a\nb", ""):
            t.is_(mailseal("explain", bad, *sock)[0], USAGE,
                  f"explain: asked for {bad!r}")
        t.is_(mailseal("explain", "4Q0", "--state", d.dir, *sock)[0], USAGE,
              "explain: a folder and a socket")
        t.has(mailseal("explain", "x" * 5000, *sock)[2], "at most 4096 bytes",
              "explain: a long id")
        to = [f"{i:03}" + "\u00e9" * 2000 for i in range(200)]
        plant(d, {"envelope": {"to": to}})
        code, out, err = mailseal("explain", "4Q1", *sock)
        t.is_((code, err), (0, ""), "explain: a long record")
        t.ok(10 ** 6 < len(out) <= 1 << 20, "explain: is cut", len(out))
        lines = out.decode("ascii").splitlines()
        t.is_(lines[-1][:5], "(cut:", "explain: which is told")
        t.is_({len(x) for x in lines if x.startswith("RCPT")}, {8012},
              "explain: at the end of a line")
        plant(d, {"x": ["\u0439" * 200000]})
        code, out, err = mailseal("explain", "4Q1", "--json", *sock)
        t.is_((code, out), (65, b""), "explain: JSON is not cut", err)
        t.has(err, "too long", "explain: which is told")
        d.send(MAIL, "<a@example.org>", queue_id="4Q2")
        settled(d, 3)
        os.rename(f"{d.dir}/journal.sqlite", f"{d.dir}/gone")
        os.mkdir(f"{d.dir}/journal.sqlite")  # or it is soon made anew
        code, _, err = mailseal("explain", "4Q2", *sock)
        t.is_(code, 66, "explain: no file", err)
        t.has(err, f"{d.dir}/journal.sqlite: is no regular file",
              "explain: which is told")
        check_end(t, d)
    with Daemon(zone=ZONE) as d:
        code, _, err = mailseal("explain", "4Q0", "--socket",
                                control_path(d.socket_path))
        t.is_(code, CONFIG, "explain: no journal")
        t.has(err, "state_directory is empty", "explain: which is told")
        check_end(t, d)


def test_reload(t):
    with Daemon(zone=ZONE) as d:
        with open(d.config, encoding="utf-8") as f:
            good = f.read()
        sock = control_path(d.socket_path)
        code, out, err = mailseal("reload", "-c", d.config)
        t.is_((code, err), (0, ""), "reload: done")
        t.has(out.decode(), "reloaded " + d.config, "reload: says what")
        d.write("mailseal.conf", good + "\nnonsense = 1;\n")
        code, out, err = mailseal("reload", "--socket", sock)
        t.is_((code, out), (CONFIG, b""), "reload: a bad one")
        line = good.count("\n") + 2
        t.has(err, f'{d.config}:{line}: unknown option "nonsense"',
              "reload: file and line")
        d.write("mailseal.conf", good)
        s = status(d)
        t.is_((s["reload"]["ok"], s["reload"]["done"], s["reload"]["failed"]),
              (False, 1, 1), "reload: the status knows")
        d.signal(signal.SIGHUP)
        for _ in range(100):
            s = status(d)
            if s["reload"]["done"] == 2:
                break
            time.sleep(0.02)
        t.is_((s["reload"]["ok"], s["reload"]["done"]), (True, 2),
              "reload: SIGHUP is the same")
        log = check_end(t, d)
        t.has(log, f"asked by uid={os.geteuid()} pid=", "log: who asked")
        t.has(log, f"status 78 for uid={os.geteuid()}", "log: the outcome")


KEYS = "domain signing_domain selector algorithm state since used usable " \
       "error file source"


def keys(d, *args):
    code, out, err = mailseal("keys", "-c", d.config, *args)
    if code != 0:
        raise RuntimeError(f"{code} {err}")
    return out.decode()


def key_site(d):
    files = {name: Key(d.dir, name, kind).path for name, kind in (
        ("good", "ed25519"), ("rsa", "rsa"), ("old", "ed25519"),
        ("table", "ed25519"))}
    files["bad"] = d.write("bad.pem", "not a key\n")
    os.chmod(files["bad"], 0o600)
    d.write("good.pem.state", "active since 2026-11-01T00:00:00Z\n")
    d.write("old.pem.state", "retiring since 2026-11-02T00:00:00Z\n")
    d.write("table", f"other.example s9 {files['table']}\n")
    rows = ", ".join(f'{{ selector = "{s}"; file = "{files[n]}"; }}'
                     for s, n in (("s1", "good"), ("s2", "bad"),
                                  ("s3", "rsa"), ("s4", "old")))
    with open(d.config, "a", encoding="utf-8") as f:
        f.write(f'''outbound = {{ key_table = "{d.dir}/table"; domains = (
            {{ domain = "example.org"; keys = ( {rows} ); }} ); }};\n''')
    return files


def test_keys(t):
    with Daemon(zone=ZONE, sign=("192.0.2.0/24",), start=False) as d:
        files = key_site(d)
        d.start()
        rsa = time.strftime("%Y-%m-%dT%H:%M:%SZ",
                            time.gmtime(os.stat(files["rsa"]).st_mtime))
        want = [f"example.org s1: ed25519 active since 2026-11-01T00:00:00Z, "
                f"{files['good']}\n",
                f"example.org s2: UNUSABLE: {files['bad']}: no PEM private "
                "key",
                f"example.org s3: rsa-2048 active since {rsa}, "
                f"{files['rsa']}\n",
                "example.org s4: retiring since 2026-11-02T00:00:00Z, "
                f"{files['old']}\n",
                f"other.example s9: not in memory, {files['table']}\n"]
        lines = keys(d).splitlines(keepends=True)
        t.is_(len(lines), len(want), "keys: all of them", lines)
        for line, part in zip(lines, want):
            t.ok(line.startswith(part), "keys: " + part[:14], line, part)
        t.is_(keys(d, "Other.Example").splitlines(keepends=True), lines[4:],
              "keys: of one domain")
        t.is_(keys(d, "nobody.example"), "no key\n", "keys: of no domain")
        for author in ("a@example.org", "a@other.example"):
            began = int(time.time())
            o = d.send(MAIL.replace(b"a@example.org", author.encode()),
                       f"<{author}>")
            t.ok(o.fields("DKIM-Signature"), "keys: it is signed", d.log())
            got = json.loads(keys(d, "--json", author[2:]))
            t.is_(sorted(got), ["entries", "keys", "left_out"], "JSON: all")
            used = {k["selector"]: k["used"] for k in got["keys"]}
            for s in ("s1", "s3") if author == "a@example.org" else ("s9",):
                t.ok(began - 1 <= used[s] <= time.time() + 1,
                     f"keys: {s} was used", used, began)
        got = json.loads(keys(d, "--json"))
        t.is_((got["entries"], got["left_out"]), (5, 0), "JSON: how many")
        k = {k["selector"]: k for k in got["keys"]}
        with open(os.path.join(SRC, "doc", "mailseal.1"),
                  encoding="utf-8") as f:
            man = f.read().split(".Ss Keys as JSON")[1].split(".Sh ")[0]
        words = set(man.replace(",", " ").split())
        for s in k:
            t.is_(sorted(k[s]), sorted(KEYS.split()), f"JSON: {s}: names")
        t.is_([w for w in [*KEYS.split(), *got] if w not in words], [],
              "JSON: documented")
        t.is_([k[s]["algorithm"] for s in sorted(k)],
              ["ed25519", None, "rsa-2048", None, "ed25519"],
              "JSON: algorithms")
        t.is_([k[s]["state"] for s in sorted(k)],
              ["active", "active", "active", "retiring", "active"],
              "JSON: states")
        t.is_([k[s]["usable"] for s in sorted(k)],
              [True, False, True, True, True], "JSON: usable ones")
        t.is_((k["s2"]["used"], k["s4"]["used"]), (None, None),
              "JSON: those that did not sign")
        t.has(k["s2"]["error"], "no PEM private key", "JSON: why")
        t.has(k["s9"]["source"], d.dir + "/table:1", "JSON: from where")
        for name, path in files.items():
            with open(path, encoding="ascii") as f:
                body = f.read().splitlines()[-2:][0]
            t.hasnt(keys(d) + keys(d, "--json"), body,
                    f"keys: nothing of {name}")
        d.write("old.pem.state", "active since 2026-11-03T00:00:00Z\n")
        t.has(keys(d, "example.org"), "s4: retiring",
              "keys: as they were read")
        t.is_(mailseal("reload", "-c", d.config)[0], 0, "keys: reload")
        t.has(keys(d, "example.org"), "s4: ed25519 active since 2026-11-03",
              "keys: read again")
        t.hasnt(keys(d), "used", "keys: with a reload it begins anew")
        for args in (("a", "b"), ("",), ("a b",), ("--nonsense",)):
            t.is_(mailseal("keys", "-c", d.config, *args)[0], USAGE,
                  f"keys: usage: {args}")
        t.is_(mailseal("keys", "-c", d.config, "a..b")[0], USAGE,
              "keys: no domain")
        d.write("table", "".join(f"d{i}.example s {files['table']}\n"
                                 for i in range(20000)))
        t.is_(mailseal("reload", "-c", d.config)[0], 0, "keys: many")
        text = keys(d)
        t.ok(10 ** 6 < len(text) < 1 << 20 and text.splitlines()[-1].endswith(
            f"{20004 - text.count(chr(10)) + 1} more, for which an answer "
            "has no room; ask for one domain)"), "keys: too many for a text",
            text[-200:])
        got = json.loads(keys(d, "--json"))
        t.is_((got["entries"], got["left_out"] + len(got["keys"])),
              (20004, 20004), "JSON: too many")
        t.ok(got["left_out"] > 0, "JSON: some are left out")
        t.is_(keys(d, "d19999.example"),
              f"d19999.example s: not in memory, {files['table']}\n",
              "keys: one of many")
        check_end(t, d)


def test_usage(t):
    for args in (("status", "x"), ("reload", "x"), ("metrics", "x"),
                 ("status", "--nonsense")):
        t.is_(mailseal(*args)[0], USAGE, "usage: " + " ".join(args))
    code, _, err = mailseal("status", "--socket", "/nonexistent/sock")
    t.is_(code, UNAVAILABLE, "usage: no such socket", err)
    with Daemon(zone=ZONE, control='read_group = "no-such-group";',
                start=False) as d:
        d.start(wait=False)
        t.is_(d.wait(), CONFIG, "an unknown group")
        t.has(d.log(), 'control.read_group: "no-such-group" is no group',
              "an unknown group is named")


def test_second(t):
    """Whoever comes second does not take the socket of the first."""
    with Daemon(zone=ZONE) as d:
        with open(d.config, encoding="utf-8") as f:
            text = f.read()
        with Daemon(zone=ZONE, start=False) as e:
            e.write("mailseal.conf",
                    text.replace(d.socket_path, e.socket_path))
            e.start(wait=False)
            t.is_(e.wait(), CONFIG, "a second daemon on the socket ends")
            t.has(e.log(), "is in use: another mailseald",
                  "and says why")
            t.ok(not os.path.exists(e.socket_path),
                 "and leaves no socket for the MTA")
        t.is_(status(d)["pid"], d.process.pid, "the first is still there")
        check_end(t, d)


def test_no_socket(t):
    with Daemon(zone=ZONE, start=False) as d:
        with open(d.config, encoding="utf-8") as f:
            text = f.read()
        d.write("mailseal.conf",
                text.replace(control_path(d.socket_path), ""))
        d.start()
        t.ok(not os.path.exists(control_path(d.socket_path)), "none is made")
        code, _, err = mailseal("status", "-c", d.config)
        t.is_(code, CONFIG, "no socket", err)
        t.has(err, "control.socket is empty", "no socket: says so")
        check_end(t, d)


def as_user(uid, gid, groups, *args):
    """mailseal with these; the copy is where anybody may run it."""
    p = subprocess.run([as_user.program, *args], capture_output=True,
                       timeout=30, check=False, user=uid, group=gid,
                       extra_groups=groups, cwd="/",
                       env={**os.environ, **SANITIZER})
    return p.returncode, p.stderr.decode() + p.stdout.decode()


def roles_explain(t, d, nobody, readers):
    """Whoever may not open the journal asks mailseald."""
    d.send(MAIL, "<a@example.org>", queue_id="4Q0")
    settled(d, 1)
    args = ("explain", "4Q0", "-c", d.config)
    code, text = as_user(nobody, nobody, [readers], *args)
    t.is_(code, 0, "explain: a reader", text)
    t.is_(text, mailseal(*args)[1].decode(), "explain: all that root is told")
    code, text = as_user(nobody, nobody, [], *args)
    t.is_(code, NOPERM, "explain: nobody", text)
    t.has(text, "control.read_group", "explain: nobody: the cure")
    t.has(text, f"the journal in {d.dir} may not be read",
          "explain: nobody: and why it was asked")
    code, text = as_user(nobody, nobody, [readers], "explain", "4Q0",
                         "--state", d.dir)
    t.is_(code, 66, "explain: with a folder nobody is asked", text)
    time.sleep(1.1)  # a refusal is logged once in a second


def test_roles(t):
    if os.geteuid() != 0:
        t.skip("roles", "needs root")
        return
    # two groups that any Debian has, and users that are in neither
    readers, admins, nobody = 100, 50, 65534  # users, staff
    with Daemon(zone=ZONE, state=True, control='read_group = "users"; '
                'admin_group = "staff";') as d:
        as_user.program = os.path.join(d.dir, "mailseal")
        shutil.copy(program("mailseal"), as_user.program)
        os.chmod(as_user.program, 0o755)
        sock = ("--socket", control_path(d.socket_path))
        for name, groups, want in (
                ("nobody", [], (NOPERM,) * 4),
                ("read", [readers], (0, 0, NOPERM, NOPERM)),
                ("admin", [admins], (0,) * 4),
                ("both", [readers, admins], (0,) * 4)):
            got = [as_user(nobody, nobody, groups, c, *sock)
                   for c in ("status", "metrics", "reload", "keys")]
            t.is_(tuple(g[0] for g in got), want, f"role: {name}", got)
            time.sleep(1.1)  # a refusal is logged once in a second
        roles_explain(t, d, nobody, readers)
        got = as_user(nobody, admins, [], "reload", *sock)
        t.is_(got[0], 0, "role: admin by the first group", got)
        code, text = as_user(nobody, nobody, [], "reload", *sock)
        t.has(text, "reload: permission denied", "refused: says so")
        t.has(text, "control.admin_group", "refused: names the cure")
        log = check_end(t, d)
        t.has(log, f"control: refused to uid={nobody} pid=",
              "log: who was refused")
        t.has(log, f"control: asked by uid={nobody} pid=",
              "log: who was not")
        t.ok(": status" in log.split("refused to uid", 1)[1],
             "log: what was refused")


# ---- the service manager

class Manager:
    """A stand-in for the socket of systemd."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.all = []

    def listen(self, seconds, until=None):
        """What comes in that time, or until a message holds `until`."""
        end = time.monotonic() + seconds
        got = []
        while (left := end - time.monotonic()) > 0:
            self.sock.settimeout(left)
            try:
                text = self.sock.recv(4096).decode()
            except socket.timeout:
                break
            got.append(text)
            if until is not None and until in text:
                break
        self.all += got
        return got

    def start(self, d, usec, **how):
        d.process = subprocess.Popen(  # pylint: disable=R1732
            [program("mailseald"), "-f", "-c", d.config],
            stdin=subprocess.DEVNULL, cwd=d.dir, **how,
            env={**os.environ, **SANITIZER, "NOTIFY_SOCKET": self.path,
                 "WATCHDOG_USEC": str(usec)})


def test_notify(t):
    with Daemon(zone=ZONE, start=False) as d:
        m = Manager(d.dir)
        with open(d.log_path, "ab") as log:
            m.start(d, 1000000, stdout=log, stderr=log)
        t.ok("READY=1" in m.listen(15, "READY=1")[-1:], "notify: READY")
        got = m.listen(2.6)
        n = got.count("WATCHDOG=1")
        t.ok(4 <= n <= 7, "watchdog: twice in its second", got)
        t.ok(any(g.startswith("STATUS=0 sessions") for g in m.all),
             "notify: STATUS", m.all)
        d.signal(signal.SIGHUP)
        got = m.listen(5, "RELOADING=1")
        t.ok(got and got[-1].startswith("RELOADING=1\nMONOTONIC_USEC="),
             "notify: RELOADING", got)
        usec = int(got[-1].split("MONOTONIC_USEC=")[1])
        t.ok(0 <= time.monotonic() - usec / 1e6 < 5, "notify: its time", usec)
        t.ok(m.listen(5, "READY=1")[-1:] == ["READY=1"],
             "notify: READY again")
        d.signal()
        t.ok(m.listen(5, "STOPPING=1")[-1:] == ["STOPPING=1"],
             "notify: STOPPING", m.all)
        check_end(t, d)


class Held:
    """One thread of a process, kept from running as a debugger does it."""
    SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000

    def __init__(self, tid):
        self.tid = tid
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.restype = ctypes.c_long
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int,
                                     ctypes.c_void_p, ctypes.c_void_p]

    def _call(self, request):
        if self.libc.ptrace(request, self.tid, None, None) < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def __enter__(self):
        self._call(self.SEIZE)
        self._call(self.INTERRUPT)
        os.waitpid(self.tid, self.WALL)
        return self

    def __exit__(self, *_):
        self._call(self.DETACH)


def thread_of(pid, name, seconds=5):
    """It gives itself the name when it begins to run."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for tid in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{tid}/comm", encoding="utf-8") as f:
                if f.read().strip() == name:
                    return int(tid)
        time.sleep(0.02)
    raise RuntimeError(f"no thread {name}")


def test_stuck(t):
    """The event thread of a real resolver, then the main thread."""
    with Daemon(zone=ZONE, resolver='servers = [ "127.0.0.1@9" ];',
                start=False) as d:
        m = Manager(d.dir)
        with open(d.log_path, "ab") as log:
            m.start(d, 2000000, stdout=log, stderr=log)
        m.listen(15, "READY=1")
        pid = d.process.pid
        t.ok("WATCHDOG=1" in m.listen(5, "WATCHDOG=1"), "stuck: none yet")
        for name, tid in (("resolver's", thread_of(pid, "dns")),
                          ("main", pid)):
            try:
                with Held(tid):
                    m.listen(4.5)  # 3 s are allowed
                    got = m.listen(2.5)
                    code = mailseal("status", "-c", d.config)[0]
            except PermissionError as e:
                t.skip(f"stuck: {name} thread", f"ptrace: {e}")
                continue
            t.ok("WATCHDOG=1" not in got,
                 f"stuck: {name} thread: nothing is told", got)
            t.is_(code, 0, f"stuck: {name} thread: mailseal status answers")
            t.has(d.log(), f"the {name} thread is stuck",
                  f"stuck: {name} thread: the log names it")
            t.ok("WATCHDOG=1" in m.listen(5, "WATCHDOG=1"),
                 f"stuck: {name} thread: it moves again", m.all)
        check_end(t, d)


def main():
    t = Tap(240)
    for test in (test_status, test_metrics, test_explain, test_reload,
                 test_keys, test_usage, test_second, test_no_socket,
                 test_roles, test_notify, test_stuck):
        with t.group(test.__name__):
            test(t)
    t.done()


if __name__ == "__main__":
    main()
