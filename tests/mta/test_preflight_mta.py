"""Preflight behind a real Postfix and a real Sendmail: what is refused, what the
MTA completes by itself after the milter, and what each tells of SMTPUTF8."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from daemon import BUILD, Daemon, check_end, quote  # noqa: E402
from material import (Key, crlf, dkimpy_verifies, have_dkimpy,  # noqa: E402
                      key_record)
from mta import Client, Postfix, Sendmail, sendmail_tree  # noqa: E402
from tap import Tap  # noqa: E402

ZONE = """\
example.com TXT "v=spf1 ip4:192.0.2.25 -all"
_dmarc.example.com TXT "v=DMARC1; p=reject"
"""
MODES = ("dkim", "spf", "dmarc", "format", "unsubscribe")
BULK = """\
Precedence: bulk
List-Unsubscribe: <mailto:u@example.com>,
 <https://example.com/u/1>
List-Unsubscribe-Post: List-Unsubscribe=One-Click
Feedback-ID: 1:2:promo:example
"""
LATE = """\
Date: Tue, 24 Nov 2026 10:00:00 +0000
Message-ID: <1@example.com>
"""


def mail(subject, *parts):
    return crlf(f"From: News <news@example.com>\nTo: rcpt@example.net\n"
                f"Subject: {subject}\n{''.join(parts)}\nbody\n")


class Run:
    def __init__(self, t, what, mta, daemon, key):
        self.t, self.what, self.m, self.d = t, what, mta, daemon
        self.key = key

    def send(self, data, options=()):
        with Client(self.m.submission_port) as c:
            c.smtp.mail("bounce@example.com", list(options))
            c.smtp.rcpt("rcpt@example.net")
            code, text = c.smtp.data(data)
        return f"{code} {text.decode()}"

    def delivered(self, subject, reply):
        self.t.ok(reply.startswith("250 "), f"{self.what}: {subject}: taken",
                  reply, self.d.log()[-1500:])
        m = self.m.sink.wait_for(f"Subject: {subject}\r\n")
        self.t.ok(m, f"{self.what}: {subject}: delivered")
        return m

    def says(self, subject, text):
        """The last line of the log about a message."""
        found = re.findall(r" preflight=(.*?)(?: refused=\S+)? ms=\d+$",
                           self.d.log(), re.M)
        self.t.is_(found[-1:], [text], f"{self.what}: {subject}: preflight",
                   self.d.log()[-1500:])

    def bulk(self):
        m = self.delivered("sale", self.send(mail("sale", LATE, BULK)))
        self.says("sale", "ok")
        if m and have_dkimpy():
            self.t.is_(dkimpy_verifies(m.data, {
                "s1._domainkey.example.com": self.key.record()}), [True],
                f"{self.what}: the signature is good")
            names = re.search(r"h=([^;]*);", m.all("DKIM-Signature")[0])[1]
            names = re.sub(r"\s", "", names).lower().split(":")
            self.t.ok({"list-unsubscribe", "list-unsubscribe-post",
                       "feedback-id"} <= set(names),
                      f"{self.what}: and covers what it has to", names)
        reply = self.send(mail("nolink", LATE, "Precedence: bulk\n"))
        self.t.is_(reply, "550 5.7.1 Message would not pass at its receiver, "
                   "unsubscribe: no List-Unsubscribe",
                   f"{self.what}: no link: refused")
        reply = self.send(mail("twice", LATE, "Subject: twice\n"))
        self.t.is_(reply, "554 5.6.0 Message would not pass at its receiver, "
                   "format: several Subject fields",
                   f"{self.what}: two Subjects: refused")

    def completed(self, subject, reply):
        m = self.delivered(subject, reply)
        self.says(subject, "ok")
        if m:
            self.t.is_((len(m.all("Date")), len(m.all("Message-ID"))), (1, 1),
                       f"{self.what}: {subject}: the MTA adds Date and "
                       "Message-ID", m.data)


def postfix(t, d, key):
    missing = Postfix.missing()
    if missing:
        t.skip("Postfix", missing)
        return
    with Postfix(d.address) as p:
        run = Run(t, "Postfix", p, d, key)
        run.bulk()
        t.is_(run.send(mail("bare")), "554 5.6.0 Message would not pass at "
              "its receiver, format: no Date", "Postfix: no Date: refused")
        done = p.sendmail(mail("local"), "bounce@example.com")
        run.completed("local", "250 " if done.returncode == 0
                      else done.stderr.decode())
        eight = mail("eight", LATE).replace(b"News", "Nëws".encode())
        t.is_(run.send(eight, ["BODY=8BITMIME"]),
              "554 5.6.0 Message would not pass at its receiver, format: "
              "8-bit characters in From without SMTPUTF8",
              "Postfix: 8-bit characters: refused")
        reply = run.send(eight, ["BODY=8BITMIME", "SMTPUTF8"])
        t.ok(reply.startswith("250 "), "Postfix: with SMTPUTF8: taken", reply)
        run.says("with SMTPUTF8", "ok")


def sendmail(t, d, key):
    tree, why = sendmail_tree(BUILD)
    if tree is None:
        t.skip("Sendmail", why)
        return
    with Sendmail(d.address, tree) as m:
        run = Run(t, "Sendmail", m, d, key)
        run.bulk()
        run.completed("bare", run.send(mail("bare")))


def main():
    t = Tap(200)
    with Daemon(start=False, listeners=[("submission", "outbound")]) as d:
        key = Key(d.dir, "rsa")
        d.write("zone", ZONE + key_record("example.com", "s1", key))
        with open(d.config, "a", encoding="utf-8") as f:
            f.write("outbound = { domains = ( { domain = \"example.com\"; "
                    "keys = ( { selector = \"s1\"; "
                    f"file = {quote(key.path)}; }} ); }} ); }};\n"
                    "preflight = { egress = [ \"192.0.2.25\" ]; " + "".join(
                        f"{r} = \"reject\"; " for r in MODES) + "};\n")
        d.start()
        for test in (postfix, sendmail):
            with t.group(test.__name__):
                test(t, d, key)
        check_end(t, d, "preflight")
    t.done()


if __name__ == "__main__":
    main()
