"""Who may send as whom, behind a real Postfix with SASL logins.

The file of senders and their logins is Postfix's own: what mailseal refuses is
held against what Postfix says by reject_sender_login_mismatch, for MAIL FROM,
which is all that Postfix looks at.
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from daemon import Daemon, check_end, quote  # noqa: E402
from material import Key, crlf  # noqa: E402
from mta import REALM, USER, Postfix, submit  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

LOGIN = f"{USER}@{REALM}"
OUTSIDE = "NAME=[UNAVAILABLE] ADDR=203.0.113.66 PORT=2525"
TABLE = f"""\
# senders and their logins
bob@example.com    {LOGIN}
info@example.com   alice, {LOGIN}
@example.org       carol,
                   {LOGIN}
vip@example.org    carol
ceo@example.com    carol
"""

# MAIL FROM, and whether bob may
SENDERS = (
    ("bob@example.com", True), ("BOB@Example.COM", True),
    ("info@example.com", True), ("any@example.org", True),
    ("vip@example.org", False), ("ceo@example.com", False),
    ("nobody@example.com", False), ("x@sub.example.org", False),
)


def mail(author, subject, extra=""):
    return crlf(f"From: {author}\nTo: rcpt@example.net\nSubject: {subject}\n"
                "Date: Tue, 03 Nov 2026 10:00:00 +0000\n"
                f"Message-ID: <{subject}@x.test>\n{extra}\nbody\n")


class Run:
    def __init__(self, tap, postfix, daemon):
        self.t, self.p, self.d = tap, postfix, daemon
        self.count = 0

    def send(self, author, sender=None, extra="", **kw):
        """The last reply, and what was delivered or None."""
        self.count += 1
        subject = f"m{self.count}"
        code, text = submit(kw.pop("port", self.p.port),
                            mail(author, subject, extra),
                            author if sender is None else sender, **kw)
        m = self.p.sink.wait_for(f"Subject: {subject}\r\n") \
            if code == 250 else None
        return f"{code} {text}", m

    def senders(self):
        """MAIL FROM as Postfix has it."""
        for sender, may in SENDERS:
            reply, m = self.send(sender, login=True)
            self.t.is_(reply.startswith("250 "), may,
                       f"{sender}: {'owned' if may else 'refused'}", reply)
            if may:
                self.t.is_(len(m.all("DKIM-Signature")), 1,
                           f"{sender}: signed")

    def spoofs(self):
        """client_a1 to client_a3 and A17: what Postfix does not look at."""
        reply, m = self.send("ceo@example.com", "bob@example.com", login=True)
        self.t.is_((reply, m), (
            "550 5.7.1 Sender address rejected, From ceo@example.com is not "
            f"owned by login {LOGIN}; it owns bob@example.com, "
            "info@example.com, @example.org. Ask it@example.com", None),
            "another's From")
        for what, author, extra in (
                ("two From fields", "bob@example.com",
                 "From: ceo@example.com\n"),
                ("two authors", "bob@example.com, ceo@example.com", ""),
                ("another's Sender", "bob@example.com",
                 "Sender: ceo@example.com\n"),
                ("a bounce from another", "ceo@example.com", "")):
            sender = "" if "bounce" in what else "bob@example.com"
            reply, m = self.send(author, sender, extra, login=True)
            self.t.ok(reply.startswith("550 5.7.1 Sender address rejected"),
                      what, reply)
        reply, m = self.send("bob@example.com, info@example.com",
                             "bob@example.com", login=True)
        self.t.ok(m and len(m.all("DKIM-Signature")) == 1,
                  "two authors of its own", reply)

    def others(self):
        reply, m = self.send("bob@example.com", xclient=OUTSIDE,
                             port=self.p.submission_port)
        self.t.is_(reply, "550 5.7.1 Sender address rejected, MAIL FROM "
                   "bob@example.com needs a login. Ask it@example.com",
                   "the submission listener without a login")
        reply, m = self.send("ceo@example.com",
                             xclient=OUTSIDE + " LOGIN=carol")
        self.t.ok(m and len(m.all("DKIM-Signature")) == 1,
                  "another login, for its own", reply)
        reply, m = self.send("bob@example.com", xclient=OUTSIDE)
        self.t.ok(m and not m.all("DKIM-Signature"),
                  "mail from outside is not checked, and not signed", reply)
        p = self.p.sendmail(mail("ceo@example.com", "local"),
                            "ceo@example.com")
        self.t.is_(p.returncode, 0, "sendmail(1) needs no login", p.stderr)
        m = self.p.sink.wait_for("Subject: local\r\n")
        self.t.ok(m and len(m.all("DKIM-Signature")) == 1, "and is signed")
        self.t.has(self.d.log(), "sender=not-owned(From ceo@example.com)",
                   "the log says what was refused")


def compare(t, directory):
    """The same file, read by Postfix alone."""
    table = os.path.join(directory, "senders.postfix")
    with open(table, "w", encoding="utf-8") as f:
        f.write(TABLE)
    with Postfix("", more={
            "smtpd_sender_login_maps": f"texthash:{table}",
            "smtpd_sender_restrictions":
                "reject_sender_login_mismatch, permit"}) as p:
        if not p.has_auth:
            t.skip("Postfix's own check", "no saslpasswd2")
            return
        for sender, may in SENDERS:
            code, text = submit(p.port, mail(sender, "x"), sender, login=True)
            t.is_(code == 250, may, f"{sender}: so does Postfix", text)


def main():
    missing = Postfix.missing()
    if missing:
        skip_all(missing)
    t = Tap(200)
    with Daemon(start=False) as files:
        key = Key(files.dir, "rsa")
        table = files.write("senders", TABLE)
        with t.group("compare"):
            compare(t, files.dir)
        with Daemon(listeners=[("submission", "outbound")],
                    domains={d: [("s1", key.path)]
                             for d in ("example.com", "example.org")},
                    extra=f"submission = {{ sender_table = {quote(table)}; "
                          'sender_check = "reject"; '
                          '};\ncoaching = { sender = '
                          '"Ask it@example.com"; };\n') as d, \
                Postfix(d.address) as p:
            run = Run(t, p, d)
            for test in (run.senders, run.spoofs, run.others):
                if test == run.others or p.has_auth:
                    with t.group(test.__name__):
                        test()
                else:
                    t.skip(test.__name__, "no saslpasswd2")
            check_end(t, d, "submission")
    t.done()


if __name__ == "__main__":
    main()
