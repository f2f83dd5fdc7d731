"""mailseald behind a real Postfix: what is delivered must be right."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from authres import Authres  # noqa: E402
from daemon import Daemon, check_end  # noqa: E402
from material import (Key, crlf, dkimpy_verifies, have_dkimpy,  # noqa: E402
                      key_record, sign)
from mta import Postfix, submit  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

ID = "mx.mta.test"
ZONE = """\
example.org TXT "v=spf1 ip4:192.0.2.10 ip6:2001:db8::25 -all"
_dmarc.example.org TXT "v=DMARC1; p=reject"
_dmarc.example.com TXT "v=DMARC1; p=reject"
"""
OUTSIDE = "NAME=[UNAVAILABLE] ADDR=203.0.113.66 PORT=2525"
HOST = "NAME=localhost ADDR=127.0.0.2 PORT=2525"
RIGHT = "NAME=mx.example.org ADDR=192.0.2.10 PORT=2525"


def mail(domain, subject, extra=""):
    return crlf(f"From: alice@{domain}\nTo: rcpt@example.net\n"
                f"Subject: {subject}\nDate: Tue, 03 Nov 2026 10:00:00 +0000\n"
                f"Message-ID: <{subject}@{domain}>\n{extra}\n"
                "Hello,\n\n.dot and  spaces \nbye\n")


class Run:
    def __init__(self, tap, postfix, daemon, key, records):
        self.t, self.p, self.d = tap, postfix, daemon
        self.key, self.records = key, records

    def send(self, message, sender, subject, **kw):
        """Sends by SMTP and waits for the delivery."""
        code, text = submit(kw.pop("port", self.p.port), message, sender, **kw)
        if code != 250:
            self.t.ok(False, f"{subject}: accepted", code, text, self.p.log())
            return None
        m = self.p.sink.wait_for(f"Subject: {subject}\r\n")
        self.t.ok(m is not None, f"{subject}: delivered",
                  self.p.log()[-3000:] if m is None else "")
        return m

    def result(self, m, subject, wanted):
        """The topmost field is ours and says this."""
        name, value = m.fields[0]
        a = Authres(value)
        got = {w: a.result(w, "smtp.mailfrom" if w == "spf" else None)
               for w in wanted}
        self.t.is_((name, a.authserv_id, got),
                   ("Authentication-Results", ID, wanted), subject, value)
        mine = [v for v in m.all("Authentication-Results")
                if ID in v.partition(";")[0].lower()]
        self.t.is_(len(mine), 1, f"{subject}: one field of ours")

    def inbound(self):
        m = self.send(sign(mail("example.org", "aligned"), "example.org",
                           "s1", self.key), "alice@example.org", "aligned",
                      xclient=RIGHT)
        self.result(m, "aligned", {"spf": "pass", "dkim": "pass",
                                   "dmarc": "pass"})
        line = self.d.wait_log("client=192.0.2.10") or ""
        self.t.ok("NOQUEUE" not in line and "dmarc=pass" in line,
                  "the log line has the queue id", line)
        bad = sign(mail("example.org", "changed"), "example.org", "s1",
                   self.key).replace(b"Hello", b"Hallo")
        m = self.send(bad, "x@other.example", "changed", xclient=OUTSIDE)
        self.result(m, "changed", {"spf": "none", "dkim": "fail",
                                   "dmarc": "fail"})
        m = self.send(mail("example.org", "spoof"), "alice@example.org",
                      "spoof", xclient=OUTSIDE)
        self.result(m, "spoof", {"spf": "fail", "dkim": "none",
                                 "dmarc": "fail"})
        if os.path.exists("/proc/net/if_inet6"):
            v6 = "NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::25 PORT=2525"
            m = self.send(mail("example.org", "six"), "alice@example.org",
                          "six", xclient=v6)
            self.result(m, "six", {"spf": "pass", "dmarc": "pass"})
        else:
            self.t.skip("six", "no IPv6: Postfix refuses the address")
        m = self.send(mail("example.org", "null-sender"), "", "null-sender",
                      xclient=OUTSIDE)
        self.result(m, "null-sender", {"spf": "none", "dmarc": "fail"})

    def forged(self):
        fields = "".join(f"Authentication-Results: {v}\n" for v in (
            f"{ID}; dmarc=pass header.from=example.org", f"{ID.upper()} 1;"
            " spf=pass", f"\n {ID} ; dkim=pass", f'"{ID}"; spf=pass',
            f"(x) {ID}.; spf=pass", "foreign.example; spf=pass"))
        m = self.send(mail("example.org", "forged", fields),
                      "x@other.example", "forged", xclient=OUTSIDE)
        self.result(m, "forged", {"dkim": "none", "dmarc": "fail"})
        others = [v for v in m.all("Authentication-Results")
                  if v.startswith("foreign.example")]
        self.t.is_(len(others), 1, "forged: a foreign field stays")

    def check_signed(self, m, name):
        self.t.is_(len(m.all("DKIM-Signature")), 2, f"{name}: two signatures",
                   self.d.log()[-2000:])
        self.t.is_(m.all("Authentication-Results"), [], f"{name}: no result")
        if have_dkimpy():
            self.t.is_(dkimpy_verifies(m.data, self.records), [True, True],
                       f"{name}: dkimpy verifies what was delivered", m.data)
        else:
            self.t.skip(f"{name}: dkimpy", "no python3-dkim")

    def outbound(self):
        m = self.send(mail("example.com", "xclient-login"),
                      "alice@example.com", "xclient-login",
                      xclient=OUTSIDE + " LOGIN=alice")
        self.check_signed(m, "XCLIENT LOGIN")
        if self.p.has_auth:
            m = self.send(mail("example.com", "auth"), "alice@example.com",
                          "auth", login=True)
            self.check_signed(m, "AUTH")
        else:
            self.t.skip("AUTH", "no saslpasswd2")
        m = self.send(mail("example.com", "port"), "alice@example.com",
                      "port", port=self.p.submission_port, xclient=OUTSIDE)
        self.check_signed(m, "submission listener")
        forged = f"Authentication-Results: {ID}; dmarc=pass\n"
        p = self.p.sendmail(mail("example.com", "local", forged),
                            "alice@example.com")
        self.t.is_(p.returncode, 0, "sendmail(1)", p.stderr)
        m = self.p.sink.wait_for("Subject: local\r\n")
        self.t.ok(m is not None, "sendmail(1): delivered", self.p.log())
        self.check_signed(m, "sendmail(1)")

    def reinjection(self):
        """A content filter hands inbound mail back from 127.0.0.1 without a
        login: a spoof of our own domain must not get our signature."""
        m = self.send(mail("example.com", "filter"), "alice@example.com",
                      "filter")
        self.t.is_(m.all("DKIM-Signature"), [], "re-injected: not signed")
        m = self.send(mail("example.com", "outside"), "alice@example.com",
                      "outside", xclient=OUTSIDE)
        self.t.is_(m.all("DKIM-Signature"), [], "from outside: not signed")
        self.result(m, "outside", {"dmarc": "fail"})

    def reinjection_by_own_host(self):
        """The same where the loopback signs: only what began there."""
        m = self.send(mail("example.com", "own"), "alice@example.com", "own",
                      xclient=HOST)
        self.check_signed(m, "networks.sign")
        came = "Received: from evil.example by mx.mta.test with ESMTP; " \
               "Tue, 3 Nov 2026 10:00:00 +0000\n"
        spoof = mail("example.com", "spoof", came)
        m = self.send(spoof, "alice@example.com", "spoof", xclient=HOST)
        self.t.is_(m.all("DKIM-Signature"), [], "a spoof that a content filter"
                   " hands in again: not signed")
        self.result(m, "spoof", {"dmarc": "fail"})
        data = mail("example.com", "procmail", came)
        p = self.p.sendmail(data, "alice@example.com")
        self.t.is_(p.returncode, 0, "forwarded by sendmail(1)", p.stderr)
        m = self.p.sink.wait_for("Subject: procmail\r\n")
        self.t.is_(m.all("DKIM-Signature"), [], "... not signed either")
        self.t.has(self.d.log(), "direction=inbound(re-injected)",
                   "the log names the rule")

    def long_fields(self):
        for size in (65535, 65536, 102400):
            subject = f"long-{size}"
            value = "y" * (size - len("X-Long: "))
            m = self.send(mail("example.org", subject, f"X-Long: {value}\n"),
                          "alice@example.org", subject, xclient=RIGHT)
            if m is not None:
                a = Authres(m.all("Authentication-Results")[0])
                self.t.ok(a.result("dkim") is not None and
                          a.result("spf", "smtp.mailfrom") == "pass" and
                          a.result("dmarc") in ("pass", "permerror"),
                          f"{subject}: truthful", a.results)
        fold = "X-Long:" + "".join(f" {'z' * 70}\n" for _ in range(1000))
        m = self.send(mail("example.org", "folded", fold),
                      "alice@example.org", "folded", xclient=RIGHT)
        self.t.ok(m is not None and m.fields[0][0] ==
                  "Authentication-Results", "a field of 1,000 lines")

    def first_line_space(self):
        """MB-4: what is inserted must not be continued by the message."""
        data = crlf(" From: evil@attack.example\nSubject: first-line\n") + \
            mail("example.org", "second")
        code, _ = submit(self.p.port, data, "alice@example.org",
                         xclient=RIGHT)
        self.t.is_(code, 250, "a first line with space: accepted")
        m = self.p.sink.wait_for("evil@attack.example")
        values = m.all("Authentication-Results") if m else []
        self.t.ok(values and "evil" not in values[0] and
                  Authres(values[0]).result("dmarc") == "permerror",
                  "... no From, so permerror", values)

    def several(self):
        """Two messages of one session, with a reset between."""
        for n in range(3):
            m = self.send(mail("example.org", f"again-{n}"),
                          "alice@example.org", f"again-{n}", xclient=RIGHT,
                          rcpts=("one@example.net", "two@example.net"))
            self.result(m, f"again-{n}", {"spf": "pass", "dmarc": "pass"})

    def outage(self):
        """Without the daemon Postfix defers, and loses nothing."""
        log = check_end(self.t, self.d, "behind Postfix")
        self.t.hasnt(log, "refused a header change", "every edit was taken")
        code, _ = submit(self.p.port, mail("example.org", "down"),
                         "alice@example.org")
        self.t.ok(400 <= code < 500, "daemon down: 4xx", code)
        self.d.start()
        m = self.send(mail("example.org", "up"), "alice@example.org", "up",
                      xclient=RIGHT)
        self.result(m, "up", {"spf": "pass", "dmarc": "pass"})
        check_end(self.t, self.d, "second daemon")


def main():
    missing = Postfix.missing()
    if missing:
        skip_all(missing)
    if not have_dkimpy():
        skip_all("python3-dkim is not there")
    t = Tap(280)
    with Daemon(start=False) as files:
        rsa, ed = Key(files.dir, "rsa"), Key(files.dir, "ed", "ed25519")
        zone = ZONE + key_record("example.com", "r", rsa) + \
            key_record("example.com", "e", ed) + \
            key_record("example.org", "s1", rsa)
        records = {"r._domainkey.example.com": rsa.record(),
                   "e._domainkey.example.com": ed.record()}
        with Daemon(zone=zone, authserv_id=ID,
                    listeners=[("submission", "outbound")],
                    sign=("127.0.0.2/32",),
                    domains={"example.com": [("r", rsa.path),
                                             ("e", ed.path)]}) as d, \
                Postfix(d.address) as p:
            run = Run(t, p, d, rsa, records)
            for test in (run.inbound, run.forged, run.outbound,
                         run.reinjection, run.reinjection_by_own_host,
                         run.long_fields,
                         run.first_line_space, run.several, run.outage):
                with t.group(test.__name__):
                    test()
    t.done()


if __name__ == "__main__":
    main()
