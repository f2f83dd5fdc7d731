"""Who may send as whom: the sender table, its modes, and its mistakes."""
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from daemon import Daemon, check_end, mailseal, quote  # noqa: E402
from material import Key, crlf  # noqa: E402
from tap import Tap  # noqa: E402

TABLE = """\
# the table that Postfix reads too (smtpd_sender_login_maps)
alice@example.com  alice
info@example.com   alice,
                   staff
@example.org       carol
bob                bob
"""
GROUPS = "staff  bob, dave\n"
OTHERS = "address is not owned by the login"


def mail(author, extra=""):
    return crlf(f"From: {author}\nTo: rcpt@example.net\nSubject: x\n"
                "Date: Tue, 03 Nov 2026 10:00:00 +0000\n"
                f"Message-ID: <1@x.test>\n{extra}\nbody\n")


class Site:
    def __init__(self, t, key, mode, coaching="", **options):
        self.t, self.mode = t, mode
        self.daemon = Daemon(
            start=False, sign=("198.51.100.0/24",),
            listeners=[("submission", "outbound")],
            domains={d: [("s1", key.path)]
                     for d in ("example.com", "example.org")})
        self.table = self.daemon.write("senders", TABLE)
        groups = self.daemon.write("groups", GROUPS)
        rows = {"sender_table": quote(self.table),
                "sender_groups": quote(groups),
                "sender_check": quote(mode), **options}
        with open(self.daemon.config, "a", encoding="utf-8") as f:
            f.write("submission = { " + "".join(
                f"{k} = {v}; " for k, v in rows.items()) + "};\n"
                f"coaching = {{ sender = {quote(coaching)}; }};\n")
        self.daemon.start()

    def send(self, login, author, sender=None, extra="", **kw):
        return self.daemon.send(mail(author, extra), f"<{sender or author}>",
                                login=login, **kw)

    def allowed(self, what, *args, **kw):
        o = self.send(*args, **kw)
        self.t.is_((o.verdict, len(o.fields("DKIM-Signature"))),
                   ("accept", 1), f"{self.mode}: {what}: signed", o.reply,
                   self.daemon.log()[-500:])

    def denied(self, what, reply, *args, **kw):
        o = self.send(*args, **kw)
        signed = len(o.fields("DKIM-Signature"))
        if self.mode == "reject":
            self.t.is_((o.verdict, o.reply.text, o.edits),
                       ("replycode", reply, []), f"reject: {what}")
        else:
            self.t.is_((o.verdict, signed),
                       ("accept", 1 if self.mode == "monitor" else 0),
                       f"{self.mode}: {what}", o.reply)
        self.t.ok(self.daemon.wait_log("sender=not-owned("),
                  f"{self.mode}: {what}: logged", self.daemon.log())


def reply(field, address, login, owned=""):
    return f"550 5.7.1 Sender address rejected, {field} {address} is not " \
           f"owned by login {login}{owned}"


ALICE = "; it owns alice@example.com, info@example.com"


def modes(t, key):
    for mode in ("monitor", "sign", "reject"):
        s = Site(t, key, mode)
        with s.daemon:
            s.allowed("an address of its own", "alice", "alice@example.com")
            s.allowed("of a group", "DAVE", "info@example.com")
            s.allowed("of a whole domain", "carol", "any@example.org")
            s.denied("another's From", reply(
                "From", "ceo@example.com", "alice", ALICE), "alice",
                "ceo@example.com", sender="alice@example.com")
            s.denied("another's MAIL FROM", reply(
                "MAIL FROM", "ceo@example.com", "alice", ALICE), "alice",
                "alice@example.com", sender="ceo@example.com")
            s.denied("another's Sender", reply(
                "Sender", "ceo@example.com", "alice", ALICE), "alice",
                "alice@example.com", extra="Sender: ceo@example.com\n")
            s.denied("a hosted domain of somebody else", reply(
                "MAIL FROM", "x@example.com", "carol",
                "; it owns @example.org"), "carol", "x@example.com")
            s.denied("an unknown login", reply(
                "MAIL FROM", "alice@example.com", "mallory"), "mallory",
                "alice@example.com")
            s.denied("no login on a listener for submission",
                     "550 5.7.1 Sender address rejected, MAIL FROM "
                     "alice@example.com needs a login", None,
                     "alice@example.com", daemon="submission")
            if mode != "monitor":  # never signed: RFC 6376 allows one From
                s.denied("client_a1, two From fields",
                         "550 5.7.1 Sender address rejected, From cannot be "
                         "checked: several From fields", "alice",
                         "alice@example.com", extra="From: ceo@example.com\n")
            s.allowed("networks.sign needs no login", None, "x@example.com",
                      client="198.51.100.7", daemon="submission")
            log = check_end(t, s.daemon, mode)
            t.has(log, "sender=owned", f"{mode}: what is owned is logged")
            t.has(log, "sender=not-owned(From ceo@example.com)",
                  f"{mode}: and what is not")
            t.has(log, f"owned=3 not-owned={6 if mode == 'monitor' else 7}",
                  f"{mode}: the counters")
            t.is_(OTHERS in log, mode != "monitor", f"{mode}: the reason")


def inbound(t, key):
    s = Site(t, key, "reject")
    with s.daemon:
        o = s.send(None, "alice@example.com")
        t.is_(o.verdict, "accept", "mail from outside is not checked")
        t.is_(len(o.fields("Authentication-Results")), 1, "but verified")
        check_end(t, s.daemon, "inbound")


def options(t, key):
    s = Site(t, key, "reject", login_realm='"strip"',
             recipient_delimiter='"+"', local_domains='[ "example.com" ]',
             coaching="Ask it@example.com")
    with s.daemon:
        s.allowed("login with a realm", "alice@sso.example",
                  "alice@example.com")
        s.allowed("address extension", "alice", "alice+news@example.com")
        s.allowed("user of a local domain", "bob", "bob@example.com")
        s.denied("user of another domain", reply(
            "MAIL FROM", "bob@example.org", "bob",
            "; it owns info@example.com, bob. Ask it@example.com"),
            "bob", "bob@example.org")
        check_end(t, s.daemon, "options")


def mistakes(t, key):
    s = Site(t, key, "reject")
    with s.daemon:
        s.daemon.signal(signal.SIGKILL)
        s.daemon.wait()
        for text, part in (
                ("alice@example.com\n", "senders:1: "),
                ("a@b.test x\nbob@..test bob\n", "senders:2: ")):
            s.daemon.write("senders", text)
            status, out, err = mailseal("check-config", s.daemon.config)
            t.ok(status == 78 and part in err and not out,
                 f"a bad line is told: {text!r}", status, err)
        os.unlink(s.table)
        status, _, err = mailseal("check-config", s.daemon.config)
        t.ok(status == 78 and s.table in err and "No such file" in err,
             "a missing table is told", err)
        with open(s.daemon.config, encoding="utf-8") as f:
            conf = f.read()
        for bad in ('"100%"', '"' + "x" * 201 + '"', '"a\\nb"'):
            s.daemon.write("mailseal.conf", conf.replace(
                "coaching = { ", f"coaching = {{ login = {bad}; "))
            status, _, err = mailseal("check-config", s.daemon.config)
            t.ok(status == 78 and "coaching.login" in err,
                 f"coaching {bad[:10]} is refused", err)


def big(t, key):
    """Tables of 100,000 logins load in seconds."""
    s = Site(t, key, "reject")
    with s.daemon:
        s.daemon.signal(signal.SIGKILL)
        s.daemon.wait()
        s.daemon.write("senders", "".join(
            f"u{n}@d{n % 1000}.example.com  u{n}, team{n % 100}\n"
            for n in range(100000)) + "alice@example.com alice\n")
        began = time.monotonic()
        s.daemon.start()
        t.ok(time.monotonic() - began < 20, "100,000 entries load",
             time.monotonic() - began)
        t.note(f"start with 100,000 entries: {time.monotonic() - began:.2f} s")
        s.allowed("one of 100,000", "alice", "alice@example.com")
        s.denied("not of 100,000", reply(
            "MAIL FROM", "u1@d2.example.com", "u1", "; it owns "
            "u1@d1.example.com"), "u1", "u1@d2.example.com")
        check_end(t, s.daemon, "100,000 entries")


def main():
    t = Tap()
    with Daemon(start=False) as files:
        key = Key(files.dir, "rsa")
        for part in (modes, inbound, options, mistakes, big):
            with t.group(part.__name__):
                part(t, key)
    t.done()


if __name__ == "__main__":
    main()
