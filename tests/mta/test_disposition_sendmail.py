"""Quarantine and rejection behind a real Sendmail.

It knows no XCLIENT: the client is always 127.0.0.1, an address of the outside
here, except for the daemon that trusts it.
"""
import glob
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from authres import Authres  # noqa: E402
from daemon import BUILD, Daemon, check_end  # noqa: E402
from material import crlf  # noqa: E402
from mta import BINARY, Sendmail, sendmail_tree, submit  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

ID = "mx.mta.test"
TAG = "X-Mailseal-Quarantine"
ZONE = """\
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
FORGED = f"{TAG}: a\nX-Keep: 1\n{TAG.lower()}: b\n" \
    f"Authentication-Results: {ID}; dmarc=pass\n{TAG} : c\n" \
    "Authentication-Results: foreign.test; dmarc=pass\n" \
    f"Authentication-Results: {ID.upper()}; spf=pass\n"


def mail(domain, subject, extra=""):
    return crlf(f"From: alice@{domain}\nTo: rcpt@example.net\n"
                f"Subject: {subject}\nDate: Tue, 03 Nov 2026 10:00:00 +0000\n"
                f"Message-ID: <{subject}@{domain}>\n{extra}\nbody\n")


def daemon(disposition, quarantine, trusted="198.51.100.0/24"):
    return Daemon(zone=ZONE, authserv_id=ID, internal=(), trusted=(trusted,),
                  listeners=[("submission", "outbound")],
                  extra=f'dmarc = {{ disposition = "{disposition}"; '
                        f'quarantine = "{quarantine}"; }};\n')


class Run:
    def __init__(self, tap, mta):
        self.t, self.m = tap, mta

    def submit(self, data, port=None, sender="x@other.test"):
        code, text = submit(port or self.m.port, data, sender)
        return f"{code} {text}"

    def delivered(self, domain, subject, extra="", port=None, **kw):
        reply = self.submit(mail(domain, subject, extra), port, **kw)
        self.t.ok(reply.startswith("250 "), f"{subject}: accepted", reply)
        m = self.m.sink.wait_for(f"Subject: {subject}\r\n")
        self.t.ok(m is not None, f"{subject}: delivered",
                  self.m.log()[-3000:] if m is None else "")
        return m

    def quarantined(self, seconds=10):
        """The control files of quarantined messages, when there is one."""
        end = time.monotonic() + seconds
        while True:
            files = glob.glob(os.path.join(self.m.dir, "spool/hf*"))
            if files or time.monotonic() > end:
                return files
            time.sleep(0.1)

    def honor(self):
        self.t.is_(self.submit(mail("reject.test", "r1")),
                   "550 5.7.1 Email rejected per DMARC policy for reject.test:"
                   " SPF none for other.test, no DKIM signature",
                   "the client of Sendmail sees the reply at the end of DATA")
        self.t.is_(self.submit(mail("none.test", "r2",
                                    "From: b@none.test\n")),
                   "550 5.7.1 Email rejected, the domain of its author cannot "
                   "be told (RFC 5322 3.6 From): several From fields",
                   "two From fields")
        m = self.delivered("none.test", "monitored")
        self.t.is_(m.all(TAG), [], "p=none changes nothing (RFC 9989 5.4)")
        for domain in TEMPORARY:  # RFC 9989 5.3.6
            m = self.delivered(domain, domain, sender=f"x@{domain}")
            self.t.is_((Authres(m.fields[0][1]).result("dmarc"), m.all(TAG)),
                       ("temperror", []), f"{domain}: not held against it")
        m = self.delivered("reject.test", "outgoing",
                           port=self.m.submission_port)
        self.t.is_(m.all("Authentication-Results"), [],
                   "the submission listener: outgoing")
        self.t.is_(self.quarantined(0), [], "nothing is quarantined")

    def hold(self):
        reply = self.submit(mail("reject.test", "h1"))
        self.t.ok(reply.startswith("250 "), "it is accepted", reply)
        m = self.delivered("none.test", "not-held")
        self.t.is_(m.all(TAG), [], "other mail is delivered")
        files = self.quarantined()
        self.t.is_(len(files), 1, "one message is in quarantine",
                   os.listdir(os.path.join(self.m.dir, "spool")))
        with open(files[0], encoding="latin-1") as f:
            text = f.read()
        self.t.has(text, "\nqdmarc=fail header.from=reject.test "
                   "policy.dmarc=reject\n", "the q line has the reason")
        self.t.has(text, "dis=quarantine", "the result says what was done")
        self.t.has(text, f"{TAG}: dmarc=fail", "the field is there too (both)")
        # a host name without a dot costs a minute's sleep
        shown = subprocess.run(
            ["unshare", "--uts", "sh", "-c",
             'hostname mx.mta.test; exec "$@"', "sh",
             os.path.join(self.m.tree, BINARY), "-C",
             os.path.join(self.m.dir, "sendmail.cf"), "-bp", "-qQ"],
            check=False, capture_output=True, timeout=60).stdout.decode()
        self.t.has(shown, "QUARANTINE: dmarc=fail", "mailq -qQ shows it")
        self.t.is_([m for m in self.m.sink.messages
                    if b"Subject: h1\r\n" in m.data], [], "... undelivered")

    def tag(self):
        m = self.delivered("quarantine.test", "tagged", FORGED)
        self.t.is_(m.all(TAG), ["dmarc=fail header.from=quarantine.test "
                                "policy.dmarc=quarantine"],
                   "tagged once; forged ones are gone", m.data)
        self.t.is_([n for n, _ in m.fields[:2]],
                   ["Authentication-Results", TAG], "ours are on top", m.data)
        self.t.is_((len(m.all("Authentication-Results")), m.all("X-Keep")),
                   (2, ["1"]), "what is not ours stays")
        m = self.delivered("none.test", "untagged", FORGED)
        self.t.is_(m.all(TAG), [], "mail that is not tagged loses them too")
        m = self.delivered("none.test", "outgoing", FORGED,
                           self.m.submission_port)
        self.t.is_((m.all(TAG), len(m.all("Authentication-Results"))),
                   ([], 1), "outgoing mail loses them")
        self.t.is_(self.quarantined(0), [], "nothing is quarantined")

    def trusted(self):
        m = self.delivered("reject.test", "trusted", FORGED)
        self.t.is_((len(m.all(TAG)), len(m.all("Authentication-Results"))),
                   (3, 4), "a trusted server's stay (RFC 8601 5)", m.data)
        self.t.has(m.fields[0][1], "dmarc=fail", "ours is on top", m.data)
        m = self.delivered("reject.test", "trusted-out", FORGED,
                           self.m.submission_port)
        self.t.is_((len(m.all(TAG)), len(m.all("Authentication-Results"))),
                   (3, 3), "outgoing mail too", m.data)


def main():
    tree, why = sendmail_tree(BUILD)
    if tree is None:
        skip_all(why)
    t = Tap(280)
    for name, disposition, quarantine, trusted in (
            ("honor", "honor", "both", "198.51.100.0/24"),
            ("hold", "quarantine", "both", "198.51.100.0/24"),
            ("tag", "quarantine", "tag", "198.51.100.0/24"),
            ("trusted", "honor", "both", "127.0.0.1")):
        with t.group(name), daemon(disposition, quarantine, trusted) as d, \
                Sendmail(d.address, tree) as m:
            getattr(Run(t, m), name)()
            log = check_end(t, d, name)
            t.hasnt(log, "the MTA refused", f"{name}: all was taken")
    t.done()


if __name__ == "__main__":
    main()
