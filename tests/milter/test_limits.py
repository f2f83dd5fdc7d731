"""Limits of service logins: what is refused and when it frees, restarts, other
instances, the end by SIGKILL, and a state folder that fails: mail is taken all
the same, or put off (on_store_error)."""
import calendar
import os
import re
import shutil
import signal
import sqlite3
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from daemon import (Daemon, SmallDisk, check_end, quote,  # noqa: E402
                    remove_tree,
                    sanitizer_report)
from material import Key, crlf  # noqa: E402
from tap import Tap  # noqa: E402

LIMIT = re.compile(r"450 4\.7\.1 Limit of (\d+) (\w+ per \w+) of login (\w+) "
                   r"is reached, it frees at (\d{4}-\d\d-\d\dT[\d:]{8}Z)$")
IN_MEMORY = "counting goes on in memory"
AGAIN = "meter.sqlite works again"
SLOT = 300


def mail(author="orders@example.com"):
    return crlf(f"From: {author}\nTo: rcpt@example.net\nSubject: x\n"
                "Date: Tue, 03 Nov 2026 10:00:00 +0000\n"
                "Message-ID: <1@x.test>\n\nbody\n")


class Site:
    """A daemon with the credential "shop", whose limits are `limits`."""

    def __init__(self, t, key, limits, folder=None, mode="reject", user="",
                 on_error="accept", **options):
        self.t = t
        self.own = folder is None
        self.folder = tempfile.mkdtemp(prefix="limits-") if self.own \
            else folder
        self.file = os.path.join(self.folder, "meter.sqlite")
        self.daemon = Daemon(start=False, domains={
            "example.com": [("s1", key.path)]}, state=self.folder)
        path = os.path.join(self.daemon.dir, "credentials")
        self.set_limits(limits)
        rows = {"credentials": quote(path), "credential_check": quote(mode),
                **options}
        with open(self.daemon.config, encoding="utf-8") as f:
            text = f.read().replace('user = "";', f"user = {quote(user)};")
        self.daemon.write("mailseal.conf", text + (
            f"on_store_error = {quote(on_error)};\n"
            "submission = { " + "".join(
                f"{k} = {v}; " for k, v in rows.items()) + "};\n"))

    def set_limits(self, limits):
        self.daemon.write("credentials", "credentials = ( { login = \"shop\"; "
                          "addresses = [ \"@example.com\" ]; " + limits +
                          " } );\n")

    def __enter__(self):
        self.daemon.start()
        return self

    def __exit__(self, *_):
        self.daemon.close()
        if self.own:
            shutil.rmtree(self.folder, ignore_errors=True)

    def send(self, rcpts=1, login="shop", author="orders@example.com"):
        return self.daemon.send(
            mail(author), f"<{author}>", login=login,
            rcpts=[f"<r{n}@example.net>" for n in range(rcpts)])

    def taken(self, what, rcpts=1, **kw):
        o = self.send(rcpts, **kw)
        self.t.is_((o.verdict, len(o.fields("DKIM-Signature"))),
                   ("accept", 1), f"{what}: taken and signed", o.reply,
                   self.daemon.log()[-500:])

    def over(self, what, limit, kind, rcpts=1, **kw):
        """Refused; returns the time at which it frees."""
        o = self.send(rcpts, **kw)
        found = LIMIT.match(o.reply.text)
        self.t.is_((o.verdict, o.edits, found and found.groups()[:3]),
                   ("replycode", [], (str(limit), kind, "shop")),
                   f"{what}: over the limit", o.reply)
        return calendar.timegm(time.strptime(
            found.group(4), "%Y-%m-%dT%H:%M:%SZ")) if found else 0

    def stored(self):
        """What the file says of the login: messages and recipients."""
        db = sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, timeout=5)
        try:
            return db.execute(
                "SELECT ifnull(sum(messages), 0), ifnull(sum(recipients), 0) "
                "FROM counts WHERE login = 'shop'").fetchone()
        finally:
            db.close()

    def wait_stored(self, what, wanted, seconds=5):
        end = time.monotonic() + seconds
        got = None
        while time.monotonic() < end:
            try:
                got = self.stored()
            except sqlite3.Error as e:
                got = str(e)
            if got == wanted:
                break
            time.sleep(0.05)
        self.t.is_(got, wanted, f"{what}: in the store")

    def kill(self):
        self.daemon.signal(signal.SIGKILL)
        self.daemon.wait()

    def restart(self, orderly=False):
        if orderly:
            status, log = self.daemon.stop()
            self.t.is_(status, 0, "restart: exit status 0", log[-2000:])
        else:
            self.kill()
        self.daemon.start()

    def end(self, what, warned=False, orderly=False):
        """An orderly end of an idle daemon may take five seconds."""
        if orderly:
            log = check_end(self.t, self.daemon, what)
        else:
            self.t.ok(self.daemon.alive, f"{what}: it runs")
            log = self.daemon.log()
            report = sanitizer_report(log)
            self.t.ok(not report, f"{what}: no sanitizer report", report)
        self.t.is_(IN_MEMORY in log, warned, f"{what}: warnings of the store",
                   log)
        return log


def messages(t, key):
    with Site(t, key, "messages_per_hour = 3;") as s:
        began = time.time()
        s.taken("first")
        s.taken("second, in capitals", login="SHOP")
        s.taken("third, to many", rcpts=20)
        frees = s.over("fourth", 3, "messages per hour")
        # the slot of five minutes must be an hour old
        t.ok(began + 3600 < frees <= time.time() + 3600 + SLOT and
             frees % SLOT == 0, "it frees when all of the slot is an hour old",
             began, frees)
        s.taken("a login without entry is not limited", login="other")
        s.restart(orderly=True)
        again = s.over("after a restart", 3, "messages per hour")
        t.is_(again, frees, "and it frees at the same time")
        s.wait_stored("three messages", (3, 22))
        mode = os.stat(s.file).st_mode & 0o7777
        t.is_(oct(mode), oct(0o640), "mode of the file")
        log = s.end("messages", orderly=True)
        t.has(log, "limit=over(messages per hour, frees ", "the log tells it")
        t.has(log, "refused=450/4.7.1", "and the refusal")
        t.has(log, "over-limit=1", "the counter, since the restart")


def recipients(t, key):
    with Site(t, key, "recipients_per_hour = 10; recipients_per_day = 12;") \
            as s:
        s.taken("four recipients", rcpts=4)
        s.over("seven more", 10, "recipients per hour", rcpts=7)
        s.taken("six more", rcpts=6)
        early = time.time()
        frees = s.over("one more", 10, "recipients per hour")
        t.ok(frees > early + 3000, "within the hour", frees)
        frees = s.over("three more, which the day does not allow", 12,
                       "recipients per day", rcpts=3)
        t.ok(frees > early + 86000, "the later time is told", frees)
        s.wait_stored("what was refused is not counted", (2, 10))
        s.end("recipients")


def reload(t, key):
    with Site(t, key, "messages_per_day = 1;") as s:
        s.taken("one of one")
        s.over("two of one", 1, "messages per day")
        s.set_limits("messages_per_day = 2;")
        s.daemon.signal(signal.SIGHUP)
        t.ok(s.daemon.wait_log("reloaded "), "the file is read again")
        s.taken("two of two: counts stay")
        s.over("three of two", 2, "messages per day")
        s.end("reload")


def uncounted(t, key):
    """Refused for another reason, or by an expired credential."""
    with Site(t, key, "messages_per_hour = 1; recipients = 2;",
              sender_check='"reject"') as s:
        for what, code, kw in (
                ("another's address", "550", {"author": "x@example.org"}),
                ("too many recipients", "550", {"rcpts": 3})):
            o = s.send(**kw)
            t.is_((o.verdict, o.reply.text[:3]), ("replycode", code),
                  f"{what}: refused", o.reply)
        s.taken("neither was counted")
        s.over("but this was", 1, "messages per hour")
        s.wait_stored("one message", (1, 1))
        s.end("uncounted")


def modes(t, key):
    for mode, signed in (("monitor", 1), ("sign", 0)):
        with Site(t, key, "messages_per_hour = 1;", mode=mode) as s:
            s.taken(f"{mode}: within the limit")
            o = s.send()
            t.is_((o.verdict, len(o.fields("DKIM-Signature"))),
                  ("accept", signed), f"{mode}: over the limit", o.reply)
            s.wait_stored(f"{mode}: what is over is not counted", (1, 1))
            log = s.end(mode)
            t.has(log, "limit=over(", f"{mode}: it is logged")


def instances(t, key):
    """Two daemons on one folder; between them lies a second."""
    with Site(t, key, "messages_per_hour = 4;") as a, \
            Site(t, key, "messages_per_hour = 4;", a.folder) as b:
        a.taken("one, by the first")
        a.taken("two, by the first")
        a.wait_stored("the first wrote", (2, 2))
        time.sleep(1.5)
        b.taken("three, by the second")
        b.taken("four, by the second")
        b.over("five, by the second", 4, "messages per hour")
        b.wait_stored("the second wrote", (4, 4))
        time.sleep(1.5)
        a.over("five, by the first", 4, "messages per hour")
        b.end("the second")
        a.end("the first", orderly=True)
        a.wait_stored("nothing is lost or doubled", (4, 4))


def killed(t, key):
    with Site(t, key, "messages_per_hour = 4;") as s:
        for n in range(3):
            s.taken(f"{n + 1} of 4")
        time.sleep(1.5)
        s.taken("4 of 4, in the last second")
        s.kill()
        t.ok(s.stored()[0] >= 3, "SIGKILL loses a second at most", s.stored())
        s.daemon.start()
        left = [s.send().verdict for _ in range(2)]
        t.ok(left[1] == "replycode", "and opens no more than that", left)
        s.end("killed")


def in_memory(t, key):
    s = Site(t, key, "messages_per_hour = 2;")
    folder, s.folder = s.folder, ""
    with open(s.daemon.config, encoding="utf-8") as f:
        s.daemon.write("mailseal.conf", f.read().replace(quote(folder), '""'))
    with s:
        s.taken("one of two, without a folder")
        s.taken("two of two")
        s.over("three of two", 2, "messages per hour")
        s.end("without a folder")
        t.is_(os.listdir(folder), [], "no file is made")
    os.rmdir(folder)


def missing(t, key):
    """The folder is not there at first, and vanishes later."""
    with Site(t, key, "messages_per_hour = 4;") as s:
        s.kill()
        remove_tree(s.folder)
        s.daemon.start()
        t.ok(s.daemon.wait_log(f"{s.file}: No such file or directory; "
                               + IN_MEMORY), "missing: a warning",
             s.daemon.log())
        s.taken("without the folder")
        os.mkdir(s.folder, 0o700)
        t.ok(s.daemon.wait_log(AGAIN), "missing: it is told that it works",
             s.daemon.log())
        s.wait_stored("missing: then it is written", (1, 1))
        remove_tree(s.folder)
        s.taken("after the folder vanished")
        end = time.monotonic() + 5
        while s.daemon.log().count(IN_MEMORY) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        s.taken("third")
        s.taken("fourth")
        s.over("fifth", 4, "messages per hour")
        os.mkdir(s.folder, 0o700)
        s.wait_stored("missing: all is written to a new file", (4, 4), 10)
        s.restart()
        s.over("after a restart", 4, "messages per hour")
        log = s.end("missing", True)
        t.is_((log.count(IN_MEMORY), log.count(AGAIN)), (2, 2),
              "missing: one line each", log)


def read_only(t, key):
    user = "nobody" if os.geteuid() == 0 else ""
    s = Site(t, key, "messages_per_hour = 2;", user=user)
    os.chmod(s.folder, 0o555)
    with s:
        t.ok(s.daemon.wait_log("Permission denied; " + IN_MEMORY),
             "read-only: a warning", s.daemon.log())
        s.taken("one, read-only")
        s.taken("two, read-only")
        s.over("three, read-only", 2, "messages per hour")
        os.chmod(s.folder, 0o700)
        if user:
            shutil.chown(s.folder, user)
        s.wait_stored("read-only: written when it can be", (2, 2))
        s.restart()
        s.over("after a restart", 2, "messages per hour")
        log = s.end("read-only", True)
        t.is_((log.count(IN_MEMORY), log.count(AGAIN)), (1, 1),
              "read-only: one line each", log)


def full(t, key):
    """A file system of 256 KB without room."""
    with SmallDisk("256k") as disk:
        if disk.folder is None:
            t.skip("full", "cannot mount a file system")
            return
        disk.fill()
        with Site(t, key, "messages_per_hour = 2;", disk.folder) as s:
            t.ok(s.daemon.wait_log(IN_MEMORY), "full: a warning",
                 s.daemon.log())
            s.taken("one, without room")
            s.taken("two, without room")
            s.over("three, without room", 2, "messages per hour")
            disk.empty()
            s.wait_stored("full: written when there is room", (2, 2))
            disk.fill()
            s.set_limits("messages_per_hour = 4;")
            s.daemon.signal(signal.SIGHUP)
            t.ok(s.daemon.wait_log("reloaded "), "full: reload")
            s.taken("three of four")
            s.taken("four of four")
            s.over("five of four", 4, "messages per hour")
            began = time.monotonic()
            disk.empty()
            s.restart(orderly=True)
            s.over("after a restart", 4, "messages per hour")
            t.ok(time.monotonic() - began < 15, "full: it stops")
            disk.fill()
            s.end("full", True, orderly=True)


def broken(t, key):
    """Garbage in place of the file, which stays as it is."""
    s = Site(t, key, "messages_per_hour = 2;")
    garbage = bytes(range(256)) * 64
    with open(s.file, "wb") as f:
        f.write(garbage)
    with s:
        t.ok(s.daemon.wait_log("file is not a database; " + IN_MEMORY),
             "broken: a warning", s.daemon.log())
        s.taken("one, beside a broken file")
        s.taken("two, beside a broken file")
        s.over("three", 2, "messages per hour")
        with open(s.file, "rb") as f:
            t.ok(f.read() == garbage, "broken: the file is left alone")
        os.unlink(s.file)
        s.wait_stored("broken: written once it is gone", (2, 2))
        log = s.end("broken", True)
        t.is_((log.count(IN_MEMORY), log.count(AGAIN)), (1, 1),
              "broken: one line each", log)


def locked(t, key):
    """Another process holds the file; messages and the end do not wait."""
    with Site(t, key, "messages_per_hour = 9;") as s:
        s.taken("one")
        s.wait_stored("locked: one", (1, 1))
        db = sqlite3.connect(s.file, isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        for n in range(8):
            began = time.monotonic()
            s.send()
            t.ok(time.monotonic() - began < 1, f"locked: message {n + 2}")
            time.sleep(0.5)
        s.over("and the limit holds", 9, "messages per hour")
        t.ok(s.daemon.wait_log("database is locked; " + IN_MEMORY),
             "locked: a warning", s.daemon.log())
        db.execute("ROLLBACK")
        s.wait_stored("locked: written afterwards", (9, 9), 12)
        db.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        s.end("locked", True, orderly=True)
        t.ok(time.monotonic() - began < 8, "locked: the end does not wait")
        db.close()


def put_off(s, what):
    """Nothing is taken or counted, coming or going."""
    for way, o in (("outgoing", s.send()),
                   ("incoming", s.daemon.send(mail("a@x.test"),
                                              "<a@x.test>"))):
        s.t.is_((o.verdict, o.edits, o.reply and o.reply.text),
                ("replycode", [],
                 "451 4.3.0 state cannot be kept, try again later"),
                f"{what}: {way} mail is put off", o)
    s.t.has(s.daemon.log(), "limits cannot be written: tempfailed",
            f"{what}: the log says why")


def tempfail(t, key):
    """Garbage in place of the counts; the journal works.  Then a lock."""
    s = Site(t, key, "messages_per_hour = 2;", on_error="tempfail")
    with open(s.file, "wb") as f:
        f.write(b"garbage " * 4096)
    with s:
        for n in range(3):
            put_off(s, f"broken, {n + 1}")
        os.unlink(s.file)
        t.ok(s.daemon.wait_log(AGAIN, 12), "tempfail: it works by itself",
             s.daemon.log())
        s.taken("tempfail: one of two, none was counted before")
        s.taken("tempfail: two of two")
        s.over("tempfail: three", 2, "messages per hour")
        s.wait_stored("tempfail", (2, 2))
        s.set_limits("messages_per_hour = 4;")
        s.daemon.signal(signal.SIGHUP)
        t.ok(s.daemon.wait_log("reloaded "), "tempfail: reload")
        db = sqlite3.connect(s.file, isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        s.taken("tempfail: three of four, before it is known")
        t.ok(s.daemon.wait_log("database is locked; " + IN_MEMORY, 12),
             "tempfail: locked", s.daemon.log())
        put_off(s, "locked")
        db.execute("ROLLBACK")
        db.close()
        s.wait_stored("tempfail, what was counted before", (3, 3), 12)
        end = time.monotonic() + 5
        while s.daemon.log().count(AGAIN) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        s.taken("tempfail: four of four")
        s.over("tempfail: five", 4, "messages per hour")
        s.end("tempfail", True)


def tempfail_in_memory(t, key):
    """Counts that are not to be kept are not missed."""
    s = Site(t, key, "messages_per_hour = 1;", on_error="tempfail")
    folder, s.folder = s.folder, ""
    with open(s.daemon.config, encoding="utf-8") as f:
        s.daemon.write("mailseal.conf", f.read().replace(quote(folder), '""'))
    with s:
        s.taken("tempfail without a folder: one of one")
        s.over("two of one", 1, "messages per hour")
        s.end("tempfail without a folder")
    os.rmdir(folder)


def unlimited(t, key):
    """Without credentials there is no file."""
    with Site(t, key, "") as s:
        s.kill()
        remove_tree(s.folder)
        os.mkdir(s.folder, 0o700)
        with open(s.daemon.config, encoding="utf-8") as f:
            s.daemon.write("mailseal.conf", re.sub(
                r"submission = .*\n", "", f.read()))
        s.daemon.start()
        t.ok(not os.path.exists(s.file), "no credentials: no file")
        s.end("no credentials")


def main():
    t = Tap()
    with Daemon(start=False) as files:
        key = Key(files.dir, "rsa")
        for part in (messages, recipients, reload, uncounted, modes,
                     instances, killed, in_memory, missing, read_only, full,
                     broken, locked, tempfail, tempfail_in_memory,
                     unlimited):
            with t.group(part.__name__):
                part(t, key)
    t.done()


if __name__ == "__main__":
    main()
