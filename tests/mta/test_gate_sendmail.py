"""Who may send, behind a real Sendmail with SASL logins, TLS and client
certificates: refused, revoked, over the limit, too weak (tests/lib/gate.py).
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from daemon import BUILD  # noqa: E402
from gate import USERS, Gate  # noqa: E402
from mta import Sendmail, sendmail_tree  # noqa: E402
from tap import Tap, skip_all  # noqa: E402


def distinguished_name(name):
    """How Sendmail names a certificate: all of it, and each of the characters
    that could be read as something else as + and two hexadecimal digits."""
    return "/O=Example/CN=" + "".join(
        f"+{ord(c):02X}" if c in ' ()<>"+' else c for c in name)


class SendmailGate(Gate):
    """With AUTH EXTERNAL (RFC 4422, appendix A): the login is the subject of
    the client's certificate, which says nothing unless it is listed."""

    def __init__(self, tap):
        super().__init__(tap, distinguished_name)

    def make_certificates(self):
        super().make_certificates()
        self.backup = self.ca.certificate("backup", "the backup (1)")

    def more_senders(self):
        return "backup@example.com " + ", ".join(
            self.name_of(n) for n in ("the backup (1)", "mallory")) + "\n"

    def more_certificates(self):
        return [(self.name_of("the backup (1)"),) * 2]

    def without_realm(self):
        """With login_realm = "keep" that is another login, of no right."""
        o = self.once("x@example.com", login="api", tls=self.ca.client())
        self.refused(o, "without its realm", "550 5.7.1 Sender address "
                     "rejected, MAIL FROM x@example.com is not owned by login "
                     "api. Ask it@example.com", "login=api")

    def external(self):
        name, mallory = (self.name_of(n) for n in ("the backup (1)",
                                                   "mallory"))
        with self.secure(self.backup, login="EXTERNAL") as c:
            self.signed(self.send(c, "backup@example.com"), "EXTERNAL",
                        f"login={name}", "mechanism=EXTERNAL",
                        self.facts_of("the backup (1)"), "class=certificate",
                        "sender=owned")
            o = self.send(c, "bob@example.com")
            self.t.ok(o.reply.startswith(
                "550 5.7.1 Sender address rejected, MAIL FROM bob@example.com "
                "is not owned by "), "EXTERNAL: another's address", o.reply)
        with self.secure(self.unlisted, login="EXTERNAL") as c:
            self.refused(self.send(c, "backup@example.com"),
                         "EXTERNAL, not listed", "550 5.7.9 MAIL FROM "
                         "backup@example.com needs a login by token or "
                         "certificate, this one is by none. Use the token",
                         f"login={mallory}", "class=none", "sender=owned")
        for certificate in (None, self.alone, self.forged):
            try:
                with self.secure(certificate, login="EXTERNAL"):
                    self.t.ok(False, "EXTERNAL without trust")
            except RuntimeError as e:
                self.t.has(str(e), "EXTERNAL: 504", "EXTERNAL without trust")


def main():
    tree, why = sendmail_tree(BUILD)
    if tree is None:
        skip_all(why)
    t = Tap(240)
    with SendmailGate(t) as g:
        g.start("reject")
        with Sendmail(g.daemon.address, tree, users=USERS,
                      authority=g.ca) as m:
            if not m.has_auth:
                skip_all("no saslpasswd2")
            g.run(m, g.external, g.without_realm)
    t.done()


if __name__ == "__main__":
    main()
