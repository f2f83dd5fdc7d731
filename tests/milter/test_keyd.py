"""The key process: keys that the filtering user cannot open.

As root: mailseald becomes another user, and its keys stay 0600 root:root.
"""
import os
import pwd
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from daemon import (Daemon, check_end, mailseal,  # noqa: E402
                    sanitizer_report)
from material import Key, crlf, dkimpy_verifies, have_dkimpy  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

USER = "daemon"  # of Debian's base-passwd
TITLE = "mailseald: keys"


def mail(domain):
    return crlf(f"From: alice@{domain}\nTo: bob@example.net\n"
                "Date: Tue, 03 Nov 2026 10:00:00 +0000\n"
                "Message-ID: <1@example.com>\n\nHello.\n")


def status_of(pid):
    """/proc/PID/status: {name: value}; {} when the process is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            ret = dict(line.rstrip("\n").split(":\t", 1) for line in f
                       if ":\t" in line)
    except OSError:
        return {}
    return {} if ret["State"].startswith("Z") else ret


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(word) for word in f.read().split()]


def gone(pid, seconds=10):
    end = time.monotonic() + seconds
    while status_of(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not status_of(pid)


class World:
    """A folder with keys that root alone can open, and a daemon."""

    def __init__(self):
        self.files = Daemon(start=False)
        self.keys = os.path.join(self.files.dir, "keys")
        os.mkdir(self.keys, 0o700)
        self.key = {}
        for name, kind in (("main", "rsa"), ("row", "ed25519"),
                           ("open", "ed25519"), ("old", "ed25519")):
            self.key[name] = Key(self.keys, name, kind)
        os.chmod(self.key["open"].path, 0o644)
        self.table = os.path.join(self.files.dir, "table")
        rows = [("row.test", "row.pem"), ("open.test", "open.pem"),
                ("none.test", "none.pem"), ("old.test", "old.pem")]
        with open(self.table, "w", encoding="ascii") as f:
            f.writelines(f"{d} s keys/{k}\n" for d, k in rows)
        with open(self.key["old"].path + ".state", "w",
                  encoding="ascii") as f:
            f.write("retiring since 2026-11-24T08:00:00Z\n")

    def daemon(self, **kw):
        d = Daemon(start=False, user=USER, extra="outbound = { domains = ( {"
                   f' domain = "main.test"; keys = ( {{ selector = "s"; '
                   f'file = "{self.key["main"].path}"; }} ); }} ); '
                   f'key_table = "{self.table}"; }};\n', **kw)
        os.chown(d.dir, pwd.getpwnam(USER).pw_uid, -1)
        d.start()
        return d

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.files.close()


def send(d, domain):
    return d.send(mail(domain), f"<alice@{domain}>", login="alice")


def code(out):
    return out.reply.text[:9] if out.verdict == "replycode" else out.verdict


def key_process(d):
    found = [p for p in children(d.process.pid)
             if status_of(p).get("Name") == TITLE]
    return found[0] if len(found) == 1 else None


def privileges(t, w, d):
    uid = str(pwd.getpwnam(USER).pw_uid)
    send(d, "main.test")  # then all threads are there
    s = status_of(d.process.pid)
    t.is_(s["Uid"].split(), [uid] * 4, "the filter is not root")
    t.is_(s["CapPrm"].strip("0"), "", "it has no capability")
    tasks = [status_of(f"{d.process.pid}/task/{n}")
             for n in os.listdir(f"/proc/{d.process.pid}/task")]
    t.ok(len(tasks) > 2 and {(s["NoNewPrivs"], s["Seccomp"]) for s in tasks}
         == {("1", "2")}, "each of its threads is confined", tasks)
    p = subprocess.run(["cat", w.key["main"].path], user=USER, check=False,
                       capture_output=True)
    t.has(p.stderr.decode(), "Permission denied", "its user cannot read a key")
    pid = key_process(d)
    if not t.ok(pid, "there is a key process"):
        return
    s = status_of(pid)
    t.is_(s["Uid"].split(), ["0"] * 4, "it is root")
    t.is_([int(s[c], 16) for c in ("CapPrm", "CapEff", "CapBnd", "CapInh",
                                   "CapAmb")], [4, 4, 0, 0, 0],
          "it may read all files, and no more")
    t.is_([s["NoNewPrivs"], s["Seccomp"], s["Threads"]], ["1", "2", "1"],
          "no new privileges, a filter of system calls, one thread")
    with open(f"/proc/{pid}/cmdline", "rb") as f:
        t.is_(f.read().rstrip(b"\0"), TITLE.encode(), "ps shows what it is")
    fds = {n: os.readlink(f"/proc/{pid}/fd/{n}")
           for n in os.listdir(f"/proc/{pid}/fd")}
    others = [v for n, v in fds.items() if n not in "012"]
    t.ok(len(others) == 1 and others[0].startswith("socket:"),
         "its one descriptor is the socket", fds)
    t.is_([fds["0"], fds["1"]], ["/dev/null"] * 2, "it has no input")


def signing(t, w, d):
    for domain, name in (("main.test", "main"), ("row.test", "row")):
        out = send(d, domain)
        t.is_(out.verdict, "accept", f"{domain}: is accepted", out.reply)
        signature = out.field("DKIM-Signature") or ""
        t.has(signature, f"d={domain}; s=s;", f"{domain}: is signed")
        if have_dkimpy():
            records = {f"s._domainkey.{domain}": w.key[name].record()}
            t.is_(dkimpy_verifies(out.message, records), [True],
                  f"{domain}: the signature verifies")
    out = send(d, "old.test")
    t.is_([out.verdict, out.field("DKIM-Signature")], ["accept", None],
          "old.test: a key that retires signs no more")


def refused(t, w, d):
    path = w.key["open"].path
    out = send(d, "open.test")
    t.is_(code(out), "451 4.7.1", "open.test: does not leave unsigned")
    t.ok(d.wait_log(f"{w.table}:2: {path}: mode 0644 lets others read the "
                    f"key; cure: chmod 0600 {path}"),
         "open.test: the log has the cure", d.log())
    path = os.path.join(w.keys, "none.pem")
    out = send(d, "none.test")
    t.is_(code(out), "451 4.7.1", "none.test: does not leave unsigned")
    t.ok(d.wait_log(f"{w.table}:3: {path}: No such file or directory; "
                    f"cure: mailseal key new --out {path}"),
         "none.test: the log has the cure", d.log())


def lasts(t, d):
    """A service manager signals all processes of a service at once."""
    pid = key_process(d)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(pid, number)
    time.sleep(0.2)
    t.ok(status_of(pid), "signals do not end the key process")
    check_end(t, d)
    t.ok(gone(pid), "it ends with the filter")


def reload(d, line):
    seen = d.log().count(line)
    d.signal(signal.SIGHUP)
    end = time.monotonic() + 10
    while d.log().count(line) == seen and time.monotonic() < end:
        time.sleep(0.02)
    return d.log().count(line) > seen


def reloads(t, w):
    """The key process reads its rows again, and sees new keys."""
    with w.daemon() as d:
        t.has(send(d, "main.test").field("DKIM-Signature") or "", "s=s;",
              "before the reload: is signed")
        old, new = w.key["main"].record(), Key(w.keys, "new")
        os.replace(new.path, w.key["main"].path)
        with open(w.table, "a", encoding="ascii") as f:
            f.write("late.test s keys/row.pem\n")
        t.ok(reload(d, f"reloaded {d.config}"), "reload", d.log())
        out = send(d, "main.test")
        if have_dkimpy():
            t.is_([dkimpy_verifies(out.message, {"s._domainkey.main.test": r})
                   for r in (old, w.key["main"].record())],
                  [[False], [True]],
                  "a new key in the same file signs")
        t.has(send(d, "late.test").field("DKIM-Signature") or "",
              "d=late.test", "a new row signs")
        with open(w.table, "a", encoding="ascii") as f:
            f.write("nonsense\n")
        d.signal(signal.SIGHUP)
        t.ok(d.wait_log(f'{w.table}:6: give "domain selector file"'),
             "a table that is wrong is told", d.log())
        t.has(send(d, "late.test").field("DKIM-Signature") or "",
              "d=late.test", "and the old one stays")
        check_end(t, d, "after reloads")


def moved(t, w):
    """What the sandbox forbids is told at the reload, not at the write."""
    with w.daemon() as d, open(d.config, encoding="utf-8") as f:
        text = f.read()
        other = os.path.join(w.files.dir, "state")
        os.mkdir(other)
        d.write("mailseal.conf", text.replace(
            'state_directory = "";', f'state_directory = "{other}";'))
        d.signal(signal.SIGHUP)
        t.ok(d.wait_log(f"{other}: the sandbox does not let us write there; "
                        "restart mailseald to move to another folder"),
             "another state_directory needs a restart", d.log())
        check_end(t, d, "state_directory moved")


def filter_killed(t, w):
    with w.daemon() as d:
        pid = key_process(d)
        d.signal(signal.SIGKILL)
        d.wait()
        t.ok(gone(pid), "it ends when the filter is killed")


def keys_killed(t, w):
    with w.daemon() as d:
        os.kill(key_process(d), signal.SIGKILL)
        t.is_(d.wait(), 71, "without it mailseald ends with an error",
              d.log())
        t.has(d.log(), "error: the key process ended or does not answer; "
              "stopping, to be started anew", "and says why")
        t.ok(not sanitizer_report(d.log()), "no sanitizer report", d.log())


def keys_stuck(t, w):
    """One that does not answer: its wait is bounded."""
    with w.daemon() as d:
        pid = key_process(d)
        os.kill(pid, signal.SIGSTOP)
        start = time.monotonic()
        out = send(d, "row.test")
        t.is_(code(out), "451 4.7.1", "a stuck key process: tempfail")
        t.ok(9 < time.monotonic() - start < 20, "after some seconds")
        t.is_(d.wait(40), 71, "then mailseald ends", d.log())
        t.has(d.log(), "the key process does not answer; start mailseald "
              "anew", "the log of the message says why")
        os.kill(pid, signal.SIGKILL)


def slow_reload(t, w):
    """Tables that take long to read: nobody waits for them but who asked."""
    with w.daemon() as d:
        pid = key_process(d)
        done = []
        asker = threading.Thread(
            target=lambda: done.append(mailseal("reload", "-c", d.config)))
        os.kill(pid, signal.SIGSTOP)
        try:
            asker.start()
            time.sleep(1)
            start = time.monotonic()
            t.is_(code(send(d, "row.test")), "451 4.7.1",
                  "a slow reload: a key that is not there: tempfail")
            t.ok(4 < time.monotonic() - start < 9, "it does not wait for it")
            t.has(d.log(), "the key process is reading tables; try again "
                  "later", "the log says why")
            t.has(send(d, "main.test").field("DKIM-Signature") or "", "s=s;",
                  "what is in memory signs")
            time.sleep(max(0, 12 - (time.monotonic() - start)))
            t.is_(done, [], "the reload goes on")
        finally:
            os.kill(pid, signal.SIGCONT)
        asker.join(30)
        t.is_([x[0] for x in done], [0], "a slow reload is done", done)
        t.has(send(d, "row.test").field("DKIM-Signature") or "", "s=s;",
              "then it signs")
        for _ in range(3):
            t.is_(mailseal("reload", "-c", d.config)[0], 0, "and again")
        check_end(t, d, "a slow reload")


def no_separation(t, w):
    """Who does not become another user needs no key process."""
    with Daemon(domains={"main.test": [("s", w.key["main"].path)]},
                extra="sandbox = false;\n") as d:
        t.is_(children(d.process.pid), [], "no user: no key process")
        t.is_(status_of(d.process.pid)["Seccomp"], "0",
              "sandbox = false: no filter of system calls")
        t.has(send(d, "main.test").field("DKIM-Signature") or "",
              "d=main.test", "no user: is signed")
        check_end(t, d, "no user")


def main():
    if os.geteuid() != 0:
        skip_all("needs root, to become another user")
    t = Tap(200)
    with World() as w:
        with w.daemon() as d:
            for check in (lambda: privileges(t, w, d),
                          lambda: signing(t, w, d),
                          lambda: refused(t, w, d), lambda: lasts(t, d)):
                with t.group("with keys"):
                    check()
        for check in (filter_killed, keys_killed, keys_stuck, slow_reload,
                      no_separation,
                      moved, reloads):
            with t.group(check.__name__):
                check(t, w)
    t.done()


if __name__ == "__main__":
    main()
