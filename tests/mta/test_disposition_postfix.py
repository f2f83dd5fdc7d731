"""Quarantine and rejection behind a real Postfix: what its client is told,
what is in the hold queue, and what is delivered."""
import glob
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from authres import Authres  # noqa: E402
from daemon import Daemon, check_end  # noqa: E402
from material import Key, crlf, key_record, sign  # noqa: E402
from mta import Postfix, submit  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

ID = "mx.mta.test"
TAG = "X-Mailseal-Quarantine"
ZONE = """\
reject.test TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.reject.test TXT "v=DMARC1; p=reject"
_dmarc.quarantine.test TXT "v=DMARC1; p=quarantine"
_dmarc.none.test TXT "v=DMARC1; p=none"
_dmarc.slow.test TXT !TIMEOUT
_dmarc.broken.test TXT !SERVFAIL
spf-slow.test TXT !TIMEOUT
_dmarc.spf-slow.test TXT "v=DMARC1; p=reject"
spf-broken.test TXT !SERVFAIL
_dmarc.spf-broken.test TXT "v=DMARC1; p=reject"
"""
TEMPORARY = ("slow.test", "broken.test", "spf-slow.test", "spf-broken.test")
OUTSIDE = "NAME=[UNAVAILABLE] ADDR=203.0.113.66 PORT=2525"
RIGHT = "NAME=mx.reject.test ADDR=192.0.2.10 PORT=2525"
TRUSTED = "NAME=mx1.mta.test ADDR=198.51.100.25 PORT=2525"
SPOOF = "550 5.7.1 Email rejected per DMARC policy for reject.test: " \
        "SPF none for other.test, no DKIM signature"


def mail(domain, subject, extra=""):
    return crlf(f"From: alice@{domain}\nTo: rcpt@example.net\n"
                f"Subject: {subject}\nDate: Tue, 03 Nov 2026 10:00:00 +0000\n"
                f"Message-ID: <{subject}@{domain}>\n{extra}\nbody\n")


def daemon(disposition, quarantine, **kw):
    return Daemon(zone=ZONE + kw.pop("zone", ""), authserv_id=ID,
                  trusted=("198.51.100.0/24",),
                  extra=f'dmarc = {{ disposition = "{disposition}"; '
                        f'quarantine = "{quarantine}"; }};\n', **kw)


class Run:
    def __init__(self, tap, postfix, daemon, key):
        self.t, self.p, self.d, self.key = tap, postfix, daemon, key

    def submit(self, data, sender="x@other.test", xclient=OUTSIDE, **kw):
        """The final reply as one line."""
        code, text = submit(kw.pop("port", self.p.port), data, sender,
                            xclient=xclient, **kw)
        return f"{code} {text}"

    def delivered(self, domain, subject, extra="", **kw):
        reply = self.submit(mail(domain, subject, extra), **kw)
        self.t.ok(reply.startswith("250 "), f"{subject}: accepted", reply)
        m = self.p.sink.wait_for(f"Subject: {subject}\r\n")
        self.t.ok(m is not None, f"{subject}: delivered",
                  self.p.log()[-3000:] if m is None else "")
        return m

    def held(self):
        """Queue ids in the hold queue, as postqueue(1) sees them too."""
        files = glob.glob(os.path.join(self.p.dir, "spool/hold/*"))
        shown = subprocess.run(
            ["postqueue", "-c", self.p.etc, "-p"], check=True,
            capture_output=True).stdout.decode()
        ids = sorted(os.path.basename(f) for f in files)
        self.t.is_([i for i in ids if i + "!" not in shown], [],
                   "postqueue shows them as held", shown)
        return ids

    def honor(self):
        self.t.is_(self.submit(mail("reject.test", "r1")), SPOOF,
                   "the client of Postfix sees the reply at the end of DATA")
        bad = sign(mail("reject.test", "r2"), "reject.test", "s1",
                   self.key).replace(b"body", b"bodies")
        self.t.is_(self.submit(bad, "alice@reject.test"),
                   "550 5.7.26 Email rejected per DMARC policy for reject.test"
                   ": SPF fail for reject.test, DKIM fail for reject.test",
                   "two checks failed (RFC 7372)")
        self.t.is_(self.submit(mail("none.test", "r3",
                                    "From: a@none.test\n")),
                   "550 5.7.1 Email rejected, the domain of its author cannot "
                   "be told (RFC 5322 3.6 From): several From fields",
                   "two From fields")
        good = sign(mail("reject.test", "good"), "reject.test", "s1", self.key)
        reply = self.submit(good, xclient=RIGHT)
        self.t.ok(reply.startswith("250 "), "a pass: accepted", reply)
        m = self.p.sink.wait_for("Subject: good\r\n")
        self.t.is_(m and m.all(TAG), [], "a pass: delivered untouched")
        m = self.delivered("none.test", "monitored")
        self.t.is_(m.all(TAG), [], "p=none changes nothing (RFC 9989 5.4)")
        for domain in TEMPORARY:  # RFC 9989 5.3.6
            m = self.delivered(domain, domain, sender=f"x@{domain}")
            self.t.is_((Authres(m.fields[0][1]).result("dmarc"), m.all(TAG)),
                       ("temperror", []), f"{domain}: not held against it")
        m = self.delivered("reject.test", "own", xclient=None)
        self.t.is_(Authres(m.fields[0][1]).result("dmarc"), "fail",
                   "networks.internal: reported, not rejected")
        m = self.delivered("reject.test", "logged-in",
                           xclient=OUTSIDE + " LOGIN=alice")
        self.t.is_(m.all("Authentication-Results"), [], "a login: outgoing")
        log = self.p.log()
        self.t.is_(log.count("milter-reject: END-OF-MESSAGE"), 3,
                   "Postfix logs three rejections", log)
        self.t.is_([m for m in self.p.sink.messages
                    if any(f"Subject: r{n}\r\n".encode() in m.data
                           for n in (1, 2, 3))], [],
                   "what was rejected is not delivered")
        self.t.is_(self.held(), [], "nothing is held")

    def hold(self):
        reply = self.submit(mail("reject.test", "h1"))
        self.t.ok(reply.startswith("250 "), "held mail is accepted", reply)
        m = self.delivered("none.test", "not-held")
        self.t.is_(m.all(TAG), [], "other mail is delivered")
        ids = self.held()
        self.t.is_(len(ids), 1, "one message is held", self.p.log()[-3000:])
        text = subprocess.run(["postcat", "-c", self.p.etc, "-q", *ids],
                              check=True, capture_output=True).stdout.decode()
        self.t.has(text, "Subject: h1", "it is the one that failed")
        self.t.has(text, f"Authentication-Results: {ID}", "with its result")
        self.t.has(text, "dis=quarantine", "... which says what was done")
        self.t.has(text, f"{TAG}: dmarc=fail header.from=reject.test "
                   "policy.dmarc=reject", "... and the field (both)")
        for command in (["postsuper", "-c", self.p.etc, "-H", *ids],
                        ["postqueue", "-c", self.p.etc, "-f"]):
            subprocess.run(command, check=True, capture_output=True)
        m = self.p.sink.wait_for("Subject: h1\r\n")
        self.t.ok(m is not None and m.fields[0][0] ==
                  "Authentication-Results" and len(m.all(TAG)) == 1,
                  "released, it is delivered as it was held",
                  m and m.data, self.p.log()[-2000:])
        self.t.is_(self.held(), [], "nothing is left")

    def tag(self):
        forged = f"{TAG}: a\nX-Keep: 1\n{TAG.lower()}: b\n" \
            f"Authentication-Results: {ID}; dmarc=pass\n{TAG} : c\n" \
            f"Authentication-Results: foreign.test; dmarc=pass\n" \
            f"Authentication-Results: {ID.upper()}; spf=pass\n"
        m = self.delivered("quarantine.test", "tagged", forged)
        self.t.is_(m.all(TAG), ["dmarc=fail header.from=quarantine.test "
                                "policy.dmarc=quarantine"],
                   "tagged once; forged ones are gone", m.data)
        self.t.is_([n for n, _ in m.fields[:2]],
                   ["Authentication-Results", TAG], "ours are on top")
        self.t.is_((len(m.all("Authentication-Results")), m.all("X-Keep")),
                   (2, ["1"]), "what is not ours stays")
        m = self.delivered("none.test", "untagged", forged)
        self.t.is_(m.all(TAG), [], "mail that is not tagged loses them too")
        m = self.delivered("none.test", "trusted", forged, xclient=TRUSTED)
        self.t.is_((len(m.all(TAG)), len(m.all("Authentication-Results"))),
                   (3, 4), "a trusted server's stay (RFC 8601 5)", m.data)
        self.t.has(m.fields[0][1], "dmarc=fail", "... below ours")
        m = self.delivered("none.test", "outgoing", forged,
                           xclient=OUTSIDE + " LOGIN=alice")
        self.t.is_((m.all(TAG), len(m.all("Authentication-Results"))),
                   ([], 1), "outgoing mail loses them")
        p = self.p.sendmail(mail("none.test", "local", forged), "x@none.test")
        self.t.is_(p.returncode, 0, "sendmail(1)", p.stderr)
        m = self.p.sink.wait_for("Subject: local\r\n")
        self.t.is_((m.all(TAG), len(m.all("Authentication-Results"))),
                   ([], 1), "so does local submission")
        self.t.is_(self.held(), [], "nothing is held")


def main():
    missing = Postfix.missing()
    if missing:
        skip_all(missing)
    t = Tap(280)
    with Daemon(start=False) as files:
        key = Key(files.dir, "rsa")
        record = key_record("reject.test", "s1", key)
        for name, disposition, quarantine in (
                ("honor", "honor", "both"), ("hold", "quarantine", "both"),
                ("tag", "quarantine", "tag")):
            with t.group(name), \
                    daemon(disposition, quarantine, zone=record) as d, \
                    Postfix(d.address) as p:
                getattr(Run(t, p, d, key), name)()
                log = check_end(t, d, name)
                t.hasnt(log, "the MTA refused", f"{name}: all was taken")
    t.done()


if __name__ == "__main__":
    main()
