"""mailseald behind a real Sendmail: one message each way, and forgeries.

Sendmail knows no XCLIENT: the client is always 127.0.0.1, which the zone and
the configuration treat as an address of the outside.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from authres import Authres  # noqa: E402
from daemon import BUILD, Daemon, check_end  # noqa: E402
from material import (Key, crlf, dkimpy_verifies, have_dkimpy,  # noqa: E402
                      key_record, sign)
from mta import Sendmail, sendmail_tree, submit  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

ID = "mx.mta.test"
ZONE = """\
example.org TXT "v=spf1 ip4:127.0.0.0/8 -all"
_dmarc.example.org TXT "v=DMARC1; p=reject"
"""


def mail(domain, subject, extra=""):
    return crlf(f"From: alice@{domain}\nTo: rcpt@example.net\n"
                f"Subject: {subject}\nDate: Tue, 03 Nov 2026 10:00:00 +0000\n"
                f"Message-ID: <{subject}@{domain}>\n{extra}\n"
                "Hello,\n\n.dot and  spaces \nbye\n")


class Run:
    def __init__(self, tap, mta, daemon, records, key):
        self.t, self.m, self.d = tap, mta, daemon
        self.records, self.key = records, key

    def send(self, message, sender, subject, port=None):
        code, text = submit(port or self.m.port, message, sender)
        self.t.is_(code, 250, f"{subject}: accepted", text,
                   self.m.log()[-3000:] if code != 250 else "")
        m = self.m.sink.wait_for(f"Subject: {subject}\r\n")
        self.t.ok(m is not None, f"{subject}: delivered",
                  self.m.log()[-3000:] if m is None else "")
        return m

    def inbound(self):
        forged = "Received-SPF: fail (foreign)\n"
        forged += "".join(f"Authentication-Results: {v}\n" for v in (
            f"{ID}; dmarc=pass", "foreign.example; spf=pass",
            f"{ID.upper()}; spf=pass", f"{ID} 1; dkim=pass"))
        data = sign(mail("example.org", "in", forged), "example.org", "s1",
                    self.key, headers=["from", "to", "subject", "date"])
        m = self.send(data, "alice@example.org", "in")
        values = m.all("Authentication-Results")
        a = Authres(values[0])
        self.t.is_((a.authserv_id, a.result("spf", "smtp.mailfrom"),
                    a.result("dkim"), a.result("dmarc")),
                   (ID, "pass", "pass", "pass"), "in: the result", m.data)
        self.t.is_(m.fields[0][0], "Authentication-Results",
                   "in: above everything")
        self.t.is_(values[1:], ["foreign.example; spf=pass"],
                   "in: the forged ones went, the foreign one stays")
        # the zone has no name for 127.0.0.1: Sendmail has confirmed it
        self.t.has(values[0], "iprev=pass (", "in: {client_resolve} came")
        self.t.is_([n for n, _ in m.fields[1:4]],
                   ["Received-SPF", "Received-SPF", "Received"],
                   "in: two fields Received-SPF below it", m.data)
        self.t.is_([v.split()[0] for v in m.all("Received-SPF")],
                   ["pass", "none", "fail"],
                   "in: MAIL FROM, HELO, and the foreign one stays", m.data)
        line = self.d.wait_log("dmarc=pass") or ""
        self.t.hasnt(line, "NOQUEUE", "in: the log line has the queue id")

    def outbound(self):
        m = self.send(mail("example.com", "out"), "alice@example.com", "out",
                      self.m.submission_port)
        self.t.is_(len(m.all("DKIM-Signature")), 2, "out: two signatures",
                   self.d.log()[-2000:])
        self.t.is_(dkimpy_verifies(m.data, self.records), [True, True],
                   "out: dkimpy verifies what was delivered", m.data)
        m = self.send(mail("example.com", "spoofed"), "alice@example.com",
                      "spoofed")
        self.t.is_(m.all("DKIM-Signature"), [], "a spoof is not signed")


def main():
    if not have_dkimpy():
        skip_all("python3-dkim is not there")
    tree, why = sendmail_tree(BUILD)
    if tree is None:
        skip_all(why)
    t = Tap(200)
    with Daemon(start=False) as files:
        rsa, ed = Key(files.dir, "rsa"), Key(files.dir, "ed", "ed25519")
        zone = ZONE + key_record("example.org", "s1", rsa)
        records = {"r._domainkey.example.com": rsa.record(),
                   "e._domainkey.example.com": ed.record()}
        with Daemon(zone=zone, authserv_id=ID, internal=(),
                    extra="inbound = { iprev = true; received_spf = true; };",
                    listeners=[("submission", "outbound")],
                    domains={"example.com": [("r", rsa.path),
                                             ("e", ed.path)]}) as d, \
                Sendmail(d.address, tree) as m:
            run = Run(t, m, d, records, rsa)
            for test in (run.inbound, run.outbound):
                with t.group(test.__name__):
                    test()
            check_end(t, d, "behind Sendmail")
    t.done()


if __name__ == "__main__":
    main()
