"""Local rules behind a real Postfix: what its client is told, what is held,
delivered, and thrown away."""
import glob
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from daemon import Daemon, check_end, mailseal  # noqa: E402
from material import Key, crlf  # noqa: E402
from mta import Postfix, submit  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

ID = "mx.mta.test"
ZONE = """\
reject.test TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.reject.test TXT "v=DMARC1; p=reject"
"""
OUTSIDE = "NAME=mx.isp.test ADDR=203.0.113.66 PORT=2525"
FORWARDER = "NAME=fwd.test ADDR=198.51.100.25 PORT=2525"
RULES = """
dmarc = { disposition = "honor"; quarantine = "hold"; };
rules = (
    { name = "trial"; client_name = [ ".isp.test" ]; action = "reject"; },
    { name = "fwd"; client = [ "198.51.100.0/24" ]; dmarc = [ "fail" ];
      action = "accept"; override = "trusted_forwarder"; mode = "enforce"; },
    { name = "strict"; recipient = [ "eve@example.net" ]; from = [ "x.test" ];
      action = "reject"; mode = "enforce";
      text = "Mail of {domain} is not wanted ({rule}).\\nQuote {queue_id}."; },
    { name = "later"; sender = [ "<>" ]; from = [ "x.test" ];
      action = "tempfail"; mode = "enforce"; },
    { name = "hold"; from = [ "hold.test" ]; action = "quarantine";
      mode = "enforce"; },
    { name = "gone"; from = [ "gone.test" ]; action = "discard";
      mode = "enforce"; },
    { name = "big"; direction = "outbound"; size_above = 20000;
      action = "reject"; mode = "enforce"; },
    { name = "mark"; header = [ "X-Mark" ]; action = "tag"; mode = "enforce"; }
);
"""


def mail(domain, subject, extra="", body="body\n"):
    return crlf(f"From: alice@{domain}\nTo: rcpt@example.net\n"
                f"Subject: {subject}\nDate: Tue, 03 Nov 2026 10:00:00 +0000\n"
                f"Message-ID: <{subject}@{domain}>\n{extra}\n{body}")


class Run:
    def __init__(self, tap, postfix, daemon):
        self.t, self.p, self.d = tap, postfix, daemon

    def submit(self, data, sender="x@other.test", xclient=OUTSIDE, **kw):
        code, text = submit(self.p.port, data, sender, xclient=xclient, **kw)
        return f"{code} {text}"

    def logged(self, part, seconds=10):
        """Postfix writes its log in its own time."""
        end = time.monotonic() + seconds
        while part not in self.p.log() and time.monotonic() < end:
            time.sleep(0.05)
        return part in self.p.log()

    def delivered(self, domain, subject, extra="", **kw):
        reply = self.submit(mail(domain, subject, extra), **kw)
        self.t.ok(reply.startswith("250 "), f"{subject}: accepted", reply)
        m = self.p.sink.wait_for(f"Subject: {subject}\r\n")
        self.t.ok(m is not None, f"{subject}: delivered",
                  self.p.log()[-3000:] if m is None else "")
        return m

    def all(self):
        t = self.t
        t.ok(self.submit(mail("reject.test", "spoof")).startswith(
            "550 5.7.1 Email rejected per DMARC"), "without a rule: DMARC")
        m = self.delivered("reject.test", "forwarded", xclient=FORWARDER)
        t.has(m.fields[0][1], "dis=none rule=fwd", "a forwarder is accepted")
        reply = self.submit(mail("x.test", "strict"),
                            rcpts=["bob@example.net", "eve@example.net"])
        t.ok(re.fullmatch(r"550 5\.7\.1 Mail of x\.test is not wanted \(strict"
                          r"\)\.\s+(5\.7\.1 )?Quote [0-9A-F]{8,}\.", reply),
             "reject, with a text of two lines and the queue id", reply)
        t.is_(self.submit(mail("x.test", "later"), ""),
              "451 4.7.1 Deferred by local policy (later)", "tempfail")
        self.delivered("x.test", "milder")
        m = self.delivered("x.test", "marked", "X-Mark: 1\n"
                           "X-Mailseal-Rule: forged\n")
        t.is_(m.all("X-Mailseal-Rule"), ["mark"], "tag")
        t.ok(self.submit(mail("hold.test", "held")).startswith("250 "),
             "quarantine is accepted")
        t.is_(len(glob.glob(os.path.join(self.p.dir, "spool/hold/*"))), 1,
              "and held", self.p.log()[-2000:])
        t.ok(self.submit(mail("gone.test", "gone")).startswith("250 "),
             "discard is accepted")
        t.ok(self.logged("milter-discard"), "Postfix throws it away",
             self.p.log()[-2000:])
        login = OUTSIDE + " LOGIN=alice"
        m = self.delivered("example.com", "outgoing", "X-Mark: 1\n",
                           xclient=login)
        t.is_((len(m.all("DKIM-Signature")), m.all("X-Mailseal-Rule")),
              (1, []), "outgoing mail has rules of its own")
        reply = self.submit(mail("example.com", "big", body="x\n" * 15000),
                            xclient=login)
        t.is_(reply, "550 5.7.1 Rejected by local policy (big)",
              "outgoing mail that is too big")
        self.delivered("x.test", "last")
        t.is_([m for m in self.p.sink.messages
               if b"Subject: gone" in m.data or b"Subject: strict" in m.data],
              [], "what was refused or discarded is not delivered")

    def remembered(self):
        """By the queue id that Postfix gave."""
        t = self.t
        line = next(x for x in self.d.log().splitlines()
                    if "rule=fwd(accept)" in x)
        queue_id = line.split()[1].rstrip(":")
        end = time.monotonic() + 10  # it is written once a second
        while True:
            status, out, err = mailseal("explain", queue_id, "-c",
                                        self.d.config)
            if status != 65 or time.monotonic() > end:
                break
            time.sleep(0.1)
        t.ok(status == 0 and b"Rule: fwd decided" in out,
             "explain, while the daemon runs", queue_id, out, err)
        status, out, _ = mailseal("shadow", "-c", self.d.config)
        t.ok(status == 0 and b"trial would reject" in out and
             b"203.0.113.0/24" in out, "shadow", out)


def main():
    missing = Postfix.missing()
    if missing:
        skip_all(missing)
    t = Tap(120)
    with Daemon(start=False) as files:
        key = Key(files.dir, "rsa")
        with Daemon(zone=ZONE, authserv_id=ID, state=True, extra=RULES,
                    domains={"example.com": [("s1", key.path)]}) as d, \
                Postfix(d.address) as p:
            run = Run(t, p, d)
            with t.group("all"):
                run.all()
            with t.group("remembered"):
                run.remembered()
            log = check_end(t, d, "rules")
            t.hasnt(log, "the MTA refused", "all was taken")
    t.done()


if __name__ == "__main__":
    main()
