"""Logins that are revoked by hand: what `mailseal revoke` says and does, for
whom it holds, and what becomes of mail when the list cannot be trusted."""
import os
import pwd
import shutil
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from daemon import (Daemon, SANITIZER, check_end,  # noqa: E402
                    control_path, mailseal, program, quote,
                    sanitizer_report)
from milter_client import Connection, Session, standard_macros  # noqa: E402
from tap import Tap  # noqa: E402

MAIL = b"From: a@example.org\r\nTo: b@example.net\r\n\r\nhello\r\n"
SENDER = "<a@example.org>"
ZONE = 'example.org TXT "v=spf1 -all"\n'
REVOKED = "550 5.7.8 The credential of login {} is revoked"
UNKNOWN = "451 4.3.0 Whether the credential of login {} is revoked cannot " \
          "be told, try again later"
USAGE, DATA, UNAVAILABLE, IO, NOPERM, CONFIG = 64, 65, 69, 74, 77, 78
LISTENERS = (("submission", "outbound"), ("in", "inbound"))


def daemon(start=True, submission="", extra="", **config):
    config.setdefault("state", True)
    return Daemon(zone=ZONE, start=start, listeners=LISTENERS, extra=extra
                  + f"submission = {{ {submission} }};\n", **config)


class Asker:
    def __init__(self, t, d):
        self.t, self.d = t, d
        self.file = os.path.join(d.dir, "revoked")

    def revoke(self, what, want, *args, has=None):
        """`want`: the status, or all of standard output when that is 0."""
        code, out, err = mailseal("revoke", "-c", self.d.config, *args)
        self.t.is_(out.decode() if code == 0 else code, want,
                   f"revoke: {what}", out, err)
        if has is not None:
            self.t.has(err, has, f"revoke: {what}: says so")
        if code != 0:
            self.t.ok(out == b"" and err.count("\n") == 1,
                      f"revoke: {what}: one line", out, err)

    def send(self, login, **kw):
        return self.d.send(MAIL, SENDER, login=login, **kw)

    def refused(self, what, login, text=REVOKED, **kw):
        o = self.send(login, **kw)
        self.t.is_((o.verdict, o.reply.text, o.edits),
                   ("replycode", text.format(login), []), what,
                   self.d.log()[-900:])

    def taken(self, what, login, **kw):
        o = self.send(login, **kw)
        self.t.is_(o.verdict, "accept", what, o.reply, self.d.log()[-900:])


class Open:
    """A session that stays open."""

    def __init__(self, d, login):
        self.c = Connection(d.address)
        self.s = Session(self.c, "postfix",
                         standard_macros("postfix", login=login))
        self.s.connect("192.0.2.1")
        self.s.helo("client.example")

    def send(self):
        return self.s.message(MAIL, SENDER, ["<rcpt@example.net>"])

    def close(self):
        self.s.quit()
        self.c.close()


def basics(t):
    with daemon() as d:
        a = Asker(t, d)
        a.revoke("nobody yet", "", "--list")
        opened = Open(d, "shop")
        t.is_(opened.send().verdict, "accept", "not revoked")
        a.revoke("one", "revoked: shop\n", "shop")
        t.is_(opened.send().reply.text, REVOKED.format("shop"),
              "the next message of an open session is refused")
        opened.close()
        a.refused("without regard to case", "SHOP")
        a.refused("on a listener for incoming mail", "shop", daemon="in")
        a.refused("from the host itself", "shop", client="127.0.0.1")
        t.ok(d.wait_log("login=shop mechanism=PLAIN tls=none credential="
                        "refused(revoked) refused=550/5.7.8"), "logged",
             d.log())
        a.taken("another login", "shop2")
        a.taken("nobody", None, daemon="in")
        a.revoke("again", "was revoked before: Shop\n", "Shop")
        a.revoke("one more", "revoked: -odd\\xff\\x5c\n", "--",
                 b"-odd\xff\\")
        a.revoke("the list", "shop\n-odd\\xff\\x5c\n", "--list")
        st = os.stat(a.file)
        t.is_((st.st_mode & 0o7777, st.st_uid), (0o640, os.geteuid()),
              "the file's owner and mode")
        check_end(t, d)
        d.start()
        a.refused("after a restart", "shop")
        a.revoke("undo", "not revoked any more: SHOP\n", "SHOP", "--undo")
        a.taken("undone", "shop")
        a.revoke("undo again", DATA, "--undo", "shop",
                 has="is not in the list: shop; see mailseal revoke --list")
        a.revoke("what is left", "-odd\\xff\\x5c\n", "--list")
        log = check_end(t, d)
        t.has(log, f"control: asked by uid={os.geteuid()} pid=",
              "who asked is logged")
        t.has(log, ": revoke undo SHOP", "and for what")


def bad_input(t):
    with daemon() as d:
        a = Asker(t, d)
        for name, login in (("empty", ""), ("a space", "a b"),
                            ("a line feed", "a\nb"), ("DEL", "a\x7f"),
                            ("far too long", "x" * 5000)):
            a.revoke(name, USAGE, login)
        a.revoke("too long", DATA, "x" * 1025, has="longer than 1024 bytes")
        for args in ((), ("a", "b"), ("--list", "a"), ("--list", "--undo"),
                     ("a", "--nonsense")):
            t.is_(mailseal("revoke", *args, "-c", d.config)[0], USAGE,
                  f"usage: {args}")
        for request in (b"revoke", b"revoke add", b"revoke add a b",
                        b"revoke list x", b"revoke nonsense a"):
            with socket.socket(socket.AF_UNIX) as c:
                c.connect(control_path(d.socket_path))
                c.sendall(request + b"\n")
                got = c.recv(1000)
            t.ok(got.startswith(b"status 64\nusage: revoke add LOGIN"),
                 f"request: {request}", got)
        t.ok(not os.path.exists(a.file), "nothing was written")
        a.revoke("as long as may be", "revoked: " + "x" * 1024 + "\n",
                 "x" * 1024)
        for n in (1024, 1500):  # the second is cut
            a.refused(f"a login of {n} bytes", "x" * n,
                      REVOKED.replace("login {}", "this login"))
        a.taken("a login of 1023 bytes", "x" * 1023)
        d.write("revoked", "".join(f"u{i}\n" for i in range(10000)))
        os.chmod(a.file, 0o640)
        a.refused("a list from elsewhere", "u9999")
        a.revoke("one too many", DATA, "more",
                 has="10000 logins are revoked, and no more can be")
        a.taken("it is not revoked", "more")
        check_end(t, d)


def modes(t):
    for mode, said in (("sign", "not signed"), ("monitor", "only logged")):
        with daemon(submission=f'credential_check = "{mode}";') as d:
            a = Asker(t, d)
            a.revoke(mode, "revoked: shop\nwarning: submission."
                     f'credential_check is "{mode}", so mail of a revoked '
                     f'login is {said}; set it to "reject"\n', "shop")
            a.taken(f"{mode}: it is sent", "shop")
            t.ok(d.wait_log("credential=refused(revoked) class="),
                 f"{mode}: logged", d.log())
            os.chmod(a.file, 0o666)
            a.taken(f"{mode}: also when it cannot be told", "shop")
            check_end(t, d)


def entries(t):
    """Beside the table of credentials."""
    with daemon(start=False) as d:
        table = d.write("keys", '''credentials = (
            { login = "good"; addresses = [ "@example.org" ]; },
            { login = "old"; revoked = true; } );\n''')
        with open(d.config, encoding="utf-8") as f:
            text = f.read()
        d.write("mailseal.conf", text.replace(
            "submission = {", f"submission = {{ credentials = {quote(table)};"
        ))
        d.start()
        a = Asker(t, d)
        a.taken("an entry", "good")
        a.revoke("an entry", "revoked: good\n", "good")
        a.refused("its entry does not help", "good")
        a.revoke("an entry again", "not revoked any more: good\n", "--undo",
                 "good")
        a.taken("its entry counts again", "good")
        a.revoke("revoked there, too", "revoked: old\n", "old")
        code, out, _ = mailseal("revoke", "--undo", "old", "-c", d.config)
        t.is_((code, out.decode()), (
            0, "not revoked any more: old\nwarning: " + table
            + ":3 has revoked = true for it; remove that and reload\n"),
            "undone here alone")
        a.refused("which is why it is told", "old")
        check_end(t, d)


def shared(t):
    """Two instances, a reload, realms, and one that is taken over."""
    with daemon() as d, daemon(state=d.dir,
                               submission='login_realm = "strip";') as e:
        a, b = Asker(t, d), Asker(t, e)
        a.taken("the first", "shop@example.org")
        b.taken("the second", "shop")
        b.revoke("by the second", "revoked: shop@example.org\n",
                 "shop@example.org")
        a.refused("the first has it", "shop@example.org")
        a.taken("the first has realms", "shop")
        b.refused("the second has none", "shop@example.net")
        b.revoke("nothing without its realm", DATA, "@example.org",
                 has="the login is nothing without its realm")
        code, _, err = mailseal("reload", "-c", d.config)
        t.is_(code, 0, "reload", err)
        a.refused("after a reload", "shop@example.org")
        with open(d.config, encoding="utf-8") as f:
            text = f.read()
        d.write("mailseal.conf", text.replace(
            "submission = {", 'submission = { login_realm = "strip";'))
        t.is_(mailseal("reload", "-c", d.config)[0], 0, "reload: strip")
        a.refused("after a reload without realms", "shop")
        a.revoke("any realm will do", "not revoked any more: shop@x\n",
                 "--undo", "shop@x")
        b.taken("the second has it", "shop")
        check_end(t, d)
        check_end(t, e)


def taken_over(t):
    with daemon() as d:
        a = Asker(t, d)
        opened = Open(d, "shop")
        t.is_(opened.send().verdict, "accept", "before")
        path = os.path.join(d.dir, "log.next")
        with open(path, "wb") as log:
            p = subprocess.Popen(  # pylint: disable=R1732
                [program("mailseald"), "-f", "-c", d.config, "--takeover"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=d.dir,
                env={**os.environ, **SANITIZER})
        try:
            t.ok(d.wait_log("another mailseald has taken over", 20),
                 "it is taken over", d.log())
            t.is_(opened.send().verdict, "accept", "the old one serves")
            a.revoke("the new one is asked", "revoked: shop\n", "shop")
            t.is_(opened.send().reply.text, REVOKED.format("shop"),
                  "the old one refuses")
            a.refused("the new one, too", "shop")
            opened.close()
            t.is_(d.wait(), 0, "the old one ends")
            d.process = None
        finally:
            p.terminate()
            code = p.wait(20)
        with open(path, encoding="utf-8") as f:
            t.is_((code, sanitizer_report(f.read())), (0, ""),
                  "the new one ends")


def untrusted(t):
    with daemon() as d:
        a = Asker(t, d)
        a.revoke("one", "revoked: shop\n", "shop")
        os.chmod(a.file, 0o660)
        why = f"{a.file}: others may write it; cure: chmod go-w"
        a.refused("others may write: shop", "shop", UNKNOWN)
        a.refused("others may write: anybody", "other", UNKNOWN)
        a.taken("others may write: not who has no login", None, daemon="in")
        t.ok(d.wait_log("credential=unknown(list of revoked logins cannot "
                        "be read) refused=451/4.3.0"), "logged", d.log())
        t.ok(d.wait_log("warning: it cannot be told which logins are "
                        "revoked: " + why), "and why", d.log())
        t.has(mailseal("status", "-c", d.config)[1].decode(), why,
              "status has the warning")
        for args in (("x",), ("--undo", "shop"), ("--list",)):
            a.revoke(f"others may write: {args}", IO, *args, has=why)
        os.chmod(a.file, 0o640)
        a.refused("mended", "shop")
        a.taken("mended: another", "other")
        os.rename(a.file, a.file + ".real")
        os.symlink(a.file + ".real", a.file)
        a.refused("a link", "other", UNKNOWN)
        a.revoke("a link", IO, "x", has="is a symbolic link")
        code, out, err = mailseal("reload", "-c", d.config)
        t.ok(code == 0 and b"it cannot be told which logins are revoked: "
             in out, "a reload warns", code, out, err)
        check_end(t, d)
        os.rename(d.log_path, d.log_path + ".before")
        d.start()
        t.ok(d.wait_log("warning: it cannot be told which logins are "
                        "revoked: "), "so does a start", d.log())
        os.unlink(a.file)
        a.taken("no file", "shop")
        check_end(t, d)
    with daemon(state="") as d:
        a = Asker(t, d)
        a.revoke("no folder", CONFIG, "x", has="state_directory is empty")
        a.revoke("no folder", CONFIG, "--list", has="state_directory is "
                 "empty")
        check_end(t, d)


def at_once(t):
    """Twenty commands, by two daemons, while mail flows."""
    with daemon() as d, daemon(state=d.dir) as e:
        a = Asker(t, d)
        codes, verdicts, done = [], [], threading.Event()

        def revoke(i):
            codes.append(mailseal("revoke", f"u{i}", "-c",
                                  (d, e)[i % 2].config)[0])

        def flow():
            while not done.is_set():
                verdicts.append(a.send("other").verdict)

        flowing = threading.Thread(target=flow)
        flowing.start()
        threads = [threading.Thread(target=revoke, args=(i,))
                   for i in range(20)]
        for x in threads:
            x.start()
        for x in threads:
            x.join()
        done.set()
        flowing.join()
        t.is_(codes, [0] * 20, "at once: all are done")
        t.is_(set(verdicts), {"accept"}, "at once: mail flows")
        out = mailseal("revoke", "--list", "-c", e.config)[1].decode()
        t.is_(sorted(out.split()), sorted(f"u{i}" for i in range(20)),
              "at once: none is lost")
        t.is_([f for f in os.listdir(d.dir) if f.startswith("revoked")],
              ["revoked"], "at once: nothing else is left")
        check_end(t, d)
        check_end(t, e)


def personal(t):
    for how in ("omit", "hash"):
        with daemon(start=False) as d:
            with open(d.config, encoding="utf-8") as f:
                text = f.read()
            d.write("mailseal.conf", text.replace(
                "log = {", f'secret = "s"; log = {{ personal = "{how}";'))
            d.start()
            a = Asker(t, d)
            a.revoke(how, "revoked: walter\n", "walter")
            a.refused(how, "walter")
            log = check_end(t, d)
            t.hasnt(log, "walter", f"{how}: the log does not have it")
            word = "-" if how == "omit" else "sha256:"
            t.has(log, ": revoke add " + word, f"{how}: but the command")


def another_user(t):
    """Started as root, and by members of groups."""
    if os.geteuid() != 0:
        t.skip("another user", "needs root")
        return
    nobody = pwd.getpwnam("nobody")
    with daemon(start=False, user="nobody", control='read_group = "users"; '
                'admin_group = "staff";') as d:
        shutil.chown(d.dir, "nobody")
        d.start()
        a = Asker(t, d)
        a.revoke("as nobody", "revoked: shop\n", "shop")
        st = os.stat(a.file)
        t.is_((st.st_uid, st.st_mode & 0o7777), (nobody.pw_uid, 0o640),
              "it is the daemon's file")
        a.refused("refused", "shop")
        os.chown(a.file, 12345, 0)
        a.refused("another's file", "shop", UNKNOWN)
        a.revoke("another's file", IO, "x", has="is another user's")
        os.chown(a.file, 0, 0)
        a.refused("root's file that it may not read", "shop", UNKNOWN)
        os.chmod(a.file, 0o644)
        a.refused("root's file", "shop")
        os.chmod(d.dir, 0o555)
        a.revoke("a folder that it may not write", IO, "x",
                 has=f"{a.file}: Permission denied")
        a.refused("but read", "shop")
        os.chmod(d.dir, 0o755)
        a.revoke("again", "not revoked any more: shop\n", "shop", "--undo")
        copy = os.path.join(d.dir, "mailseal")
        shutil.copy(program("mailseal"), copy)
        for name, groups, want in (("nobody of these", [], NOPERM),
                                   ("reader", [100], NOPERM),
                                   ("admin", [50], 0)):
            for args in (("x",), ("--list",), ("--undo", "x")):
                p = subprocess.run(
                    [copy, "revoke", *args, "--socket",
                     control_path(d.socket_path)], user=12345, group=12345,
                    extra_groups=groups, cwd="/", capture_output=True,
                    timeout=30, check=False, env={**os.environ, **SANITIZER})
                t.is_(p.returncode, want, f"role: {name} {args}", p.stderr)
        t.ok(d.wait_log("status 0 for uid=12345"), "the log has who it was")
        check_end(t, d)


def main():
    t = Tap(400)
    for part in (basics, bad_input, modes, entries, shared, taken_over,
                 untrusted, at_once, personal, another_user):
        if sys.argv[1:] and part.__name__ not in sys.argv[1:]:
            continue
        began = time.monotonic()
        with t.group(part.__name__):
            part(t)
        t.note(f"{part.__name__}: {time.monotonic() - began:.1f} s")
    t.done()


if __name__ == "__main__":
    main()
