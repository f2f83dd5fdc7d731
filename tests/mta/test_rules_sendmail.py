"""Local rules behind a real Sendmail: what its client is told, what is put
into quarantine, delivered, and thrown away."""
import glob
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from daemon import BUILD, Daemon, check_end  # noqa: E402
from material import Key, crlf  # noqa: E402
from mta import Sendmail, sendmail_tree, submit  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

ID = "mx.mta.test"
QUARANTINE = "X-Mailseal-Quarantine"
RULE = "X-Mailseal-Rule"
ZONE = '_dmarc.reject.test TXT "v=DMARC1; p=reject"\n'
RULES = """
dmarc = { disposition = "honor"; quarantine = "%s"; };
rules = (
    { name = "trial"; client = [ "127.0.0.0/8" ]; action = "reject"; },
    { name = "known"; client = [ "127.0.0.1/32" ]; from = [ "reject.test" ];
      header = [ "List-Id" ]; action = "accept"; override = "mailing_list";
      mode = "enforce"; },
    { name = "strict"; recipient = [ "eve@example.net" ]; from = [ "x.test" ];
      action = "reject"; mode = "enforce";
      text = "Mail of {domain} is not wanted ({rule}).\\nQuote {queue_id}."; },
    { name = "later"; sender = [ "<>" ]; from = [ "x.test" ];
      action = "tempfail"; mode = "enforce"; },
    { name = "hold"; from = [ "hold.test" ]; action = "quarantine";
      mode = "enforce"; },
    { name = "gone"; from = [ "gone.test" ]; action = "discard";
      mode = "enforce"; },
    { name = "mark"; header = [ "X-Mark" ]; action = "tag"; mode = "enforce"; },
    { name = "big"; direction = "outbound"; size_above = 20000;
      action = "reject"; mode = "enforce"; },
    { name = "out-hold"; direction = "outbound"; header = [ "X-Hold" ];
      action = "quarantine"; mode = "enforce"; },
    { name = "out-mark"; direction = "outbound"; listener = [ "submission" ];
      action = "tag"; mode = "enforce"; }
);
"""


def mail(domain, subject, extra="", body="body\n"):
    return crlf(f"From: alice@{domain}\nTo: rcpt@example.net\n"
                f"Subject: {subject}\nDate: Tue, 03 Nov 2026 10:00:00 +0000\n"
                f"Message-ID: <{subject}@{domain}>\n{extra}\n{body}")


class Run:
    def __init__(self, tap, mta, daemon):
        self.t, self.m, self.d = tap, mta, daemon

    def submit(self, data, sender="x@other.test", port=None, **kw):
        code, text = submit(port or self.m.port, data, sender, **kw)
        return f"{code} {text}"

    def delivered(self, domain, subject, extra="", **kw):
        reply = self.submit(mail(domain, subject, extra), **kw)
        self.t.ok(reply.startswith("250 "), f"{subject}: accepted", reply)
        m = self.m.sink.wait_for(f"Subject: {subject}\r\n")
        self.t.ok(m is not None, f"{subject}: delivered",
                  self.m.log()[-3000:] if m is None else "")
        return m

    def quarantined(self, n, seconds=10):
        """The texts of the control files of quarantined messages."""
        end = time.monotonic() + seconds
        while True:
            files = glob.glob(os.path.join(self.m.dir, "spool/hf*"))
            if len(files) >= n or time.monotonic() > end:
                texts = []
                for name in files:
                    with open(name, encoding="latin-1") as f:
                        texts.append(f.read())
                return texts
            time.sleep(0.1)

    def hold(self):
        t, out = self.t, self.m.submission_port
        t.ok(self.submit(mail("reject.test", "spoof")).startswith(
            "550 5.7.1 Email rejected per DMARC"), "without a rule: DMARC")
        m = self.delivered("reject.test", "listed", "List-Id: <l.test>\n")
        t.has(m.fields[0][1], "dis=none rule=known", "a list is accepted")
        reply = self.submit(mail("x.test", "strict"),
                            rcpts=["bob@example.net", "eve@example.net"])
        t.ok(re.fullmatch(r"550 5\.7\.1 Mail of x\.test is not wanted \(strict"
                          r"\)\.\s+(5\.7\.1 )?Quote [0-9A-Za-z]{8,}\.", reply),
             "reject, with a text of two lines and the queue id", reply)
        t.is_(self.submit(mail("x.test", "later"), ""),
              "451 4.7.1 Deferred by local policy (later)", "tempfail")
        m = self.delivered("x.test", "marked", f"X-Mark: 1\n{RULE}: forged\n"
                           f"{RULE.lower()} : too\n")
        t.is_(m.all(RULE), ["mark"], "tag")
        m = self.delivered("x.test", "plain", f"{RULE}: forged\n")
        t.is_(m.all(RULE), [], "what is forged goes from other mail too")
        t.ok(self.submit(mail("hold.test", "held")).startswith("250 "),
             "quarantine is accepted")
        texts = self.quarantined(1)
        t.is_(len(texts), 1, "and held", self.m.log()[-2000:])
        t.has("".join(texts), "\nqrule=hold\n", "the q line has the reason")
        t.ok(self.submit(mail("gone.test", "gone")).startswith("250 "),
             "discard is accepted")
        m = self.delivered("example.com", "outgoing", "X-Mark: 1\n", port=out)
        t.is_((len(m.all("DKIM-Signature")), m.all(RULE)),
              (1, ["out-mark"]), "outgoing mail has rules of its own")
        t.is_(self.submit(mail("example.com", "big", body="x\n" * 15000),
                          port=out),
              "550 5.7.1 Rejected by local policy (big)",
              "outgoing mail that is too big")
        t.ok(self.submit(mail("example.com", "out-held", "X-Hold: 1\n"),
                         port=out).startswith("250 "),
             "outgoing quarantine is accepted")
        texts = self.quarantined(2)
        t.is_(len(texts), 2, "and held", self.m.log()[-2000:])
        t.has("".join(texts), "\nqrule=out-hold\n", "with its reason")
        self.delivered("x.test", "last")
        t.is_([m for m in self.m.sink.messages
               if re.search(rb"Subject: (gone|strict|later|held|out-held|big)"
                            rb"\r\n", m.data)],
              [], "what was refused, held or discarded is not delivered")
        log = self.d.log()
        t.has(log, "rule=gone(discard) would=trial(reject)",
              "the log tells what was thrown away, and what would be done")

    def tag(self):
        m = self.delivered("hold.test", "tagged", f"{QUARANTINE}: forged\n")
        self.t.is_(m.all(QUARANTINE), ["rule=hold"], "quarantine as a field")
        m = self.delivered("example.com", "out-tagged", "X-Hold: 1\n",
                           port=self.m.submission_port)
        self.t.is_((m.all(QUARANTINE), len(m.all("DKIM-Signature"))),
                   (["rule=out-hold"], 1), "of outgoing mail too")
        self.t.is_(self.quarantined(1, 0), [], "nothing is held")


def main():
    tree, why = sendmail_tree(BUILD)
    if tree is None:
        skip_all(why)
    t = Tap(200)
    with Daemon(start=False) as files:
        key = Key(files.dir, "rsa")
        for how in ("hold", "tag"):
            with t.group(how), \
                    Daemon(zone=ZONE, authserv_id=ID, internal=(), state=True,
                           listeners=[("submission", "outbound")],
                           extra=RULES % how,
                           domains={"example.com": [("s1", key.path)]}) as d, \
                    Sendmail(d.address, tree) as m:
                getattr(Run(t, m, d), how)()
                log = check_end(t, d, how)
                t.hasnt(log, "the MTA refused", f"{how}: all was taken")
                t.hasnt(log, "dropped=1", "no record was lost")
    t.done()


if __name__ == "__main__":
    main()
