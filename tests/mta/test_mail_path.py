"""The whole mail path, the same rows behind Postfix and behind Sendmail, which
are set up as their guides say (tests/lib/guided.py): Postfix chrooted, with the
socket in its queue directory and the rights that the guide gives it.

What else there is, by the line of the mail path (P: Postfix, S: Sendmail):

    inbound             here; test_postfix P, test_sendmail S; test_attacks
    outbound            here; test_postfix P, test_sendmail S,
                        test_signing_postfix, test_signing_sendmail
    forged A-R          here; test_postfix P, test_sendmail S; test_attacks
    reject              here; test_disposition_* , test_rules_*
    quarantine          here (by header field); test_disposition_* (hold)
    tempfail            here (mailseald is down; no key to sign with);
                        test_postfix P (outage)
    local submission    here; test_postfix P, test_signing_postfix P
    bounce signing      here: Postfix signs, Sendmail's are not shown
    SMTPUTF8            here: Postfix; Sendmail refuses it; test_preflight_mta
    STARTTLS            here; test_gate_* (versions, certificates)
    connection reuse    here; test_postfix P (several)
    100 recipients      here
    re-injection        here; test_postfix P
"""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from authres import Authres  # noqa: E402
from daemon import BUILD, Daemon, check_end  # noqa: E402
from guided import (GuidedDaemon, GuidedPostfix,  # noqa: E402
                    GuidedSendmail, blocks, contrib)
from material import (Key, crlf, dkimpy_verifies, have_dkimpy,  # noqa: E402
                      key_record, sign)
from mta import (BINARY, Authority, Client, Postfix,  # noqa: E402
                 sendmail_tree, submit)
from tap import Tap, skip_all  # noqa: E402

ID = "mx.mta.test"
# every client is 127.0.0.1, which is taken for the outside
ZONE = """\
example.org TXT "v=spf1 ip4:127.0.0.0/8 -all"
_dmarc.example.org TXT "v=DMARC1; p=reject"
example.com TXT "v=spf1 -all"
_dmarc.example.com TXT "v=DMARC1; p=none"
_dmarc.reject.test TXT "v=DMARC1; p=reject"
_dmarc.quarantine.test TXT "v=DMARC1; p=quarantine"
"""
OURS = ("example.com", "mx.mta.test", "xn--jrg-hoa.example")
DISPOSITION = 'dmarc = { disposition = "honor"; quarantine = "tag"; };\n'


def mail(author, subject, extra=""):
    return crlf(f"From: {author}\nTo: rcpt@example.net\n"
                f"Subject: {subject}\nDate: Tue, 03 Nov 2026 10:00:00 +0000\n"
                f"Message-ID: <{subject}@mta.test>\n{extra}\n"
                "Hello,\n\n.dot and  spaces \nbye\n")


def lines_of(*name):
    """The guide's lines for mailseal.conf that the tests' own lack."""
    text = "".join(blocks(contrib(*name), "mailseal.conf"))
    return "".join(line + "\n" for line in text.splitlines()
                   if not line.startswith("socket"))


class Path:
    def __init__(self, tap, what, mta, daemon, key, tls):
        self.t, self.what, self.m, self.d = tap, what, mta, daemon
        self.key, self.tls = key, tls
        self.records = {f"s1._domainkey.{d}": key.record() for d in OURS}

    def name(self, text):
        return f"{self.what}: {text}"

    def arrived(self, subject, seconds=30):
        m = self.m.sink.wait_for(f"Subject: {subject}\r\n", seconds)
        self.t.ok(m is not None, self.name(f"{subject}: delivered"),
                  "" if m else self.m.log()[-3000:] + self.d.log()[-2000:])
        return m

    def send(self, data, sender, subject, port=None, **kw):
        code, text = submit(port or self.m.port, data, sender, **kw)
        self.t.is_(code, 250, self.name(f"{subject}: taken"), text,
                   self.m.log()[-3000:] if code != 250 else "")
        return self.arrived(subject)

    def result(self, m, subject, **wanted):
        """The topmost field is ours, the only one of ours, and says this."""
        name, value = m.fields[0]
        a = Authres(value)
        got = {w: a.result(w, "smtp.mailfrom" if w == "spf" else None)
               for w in wanted}
        self.t.is_((name, a.authserv_id, got),
                   ("Authentication-Results", ID, wanted),
                   self.name(f"{subject}: the result"), m.data)
        mine = [v for v in m.all("Authentication-Results")
                if v.lower().startswith(ID)]
        self.t.is_(len(mine), 1, self.name(f"{subject}: one field of ours"))

    def is_signed(self, m, subject, domain="example.com"):
        got = [v for v in m.all("DKIM-Signature") if f"d={domain};" in v]
        self.t.is_(len(got), 1, self.name(f"{subject}: signed by {domain}"),
                   m.data, self.d.log()[-2000:])
        self.t.is_(dkimpy_verifies(m.data, self.records), [True],
                   self.name(f"{subject}: dkimpy verifies it"), m.data)
        self.t.is_(m.all("Authentication-Results"), [],
                   self.name(f"{subject}: no result"))

    # ---- each line of the mail path ----

    def inbound(self):
        data = sign(mail("alice@example.org", "inbound"), "example.org", "s1",
                    self.key, headers=["from", "to", "subject", "date"])
        m = self.send(data, "alice@example.org", "inbound")
        self.result(m, "inbound", spf="pass", dkim="pass", dmarc="pass")
        line = self.d.wait_log("dmarc=pass") or ""
        self.t.ok(line and "NOQUEUE" not in line,
                  self.name("inbound: the log has the queue id"), line)

    def forged(self):
        fields = "".join(f"Authentication-Results: {v}\n" for v in (
            f"{ID}; dmarc=pass header.from=example.com", f"{ID.upper()} 1; "
            "spf=pass", "foreign.example; spf=pass"))
        m = self.send(mail("alice@example.com", "forged", fields),
                      "x@other.test", "forged")
        self.result(m, "forged", dkim="none", dmarc="fail")
        self.t.is_(m.all("Authentication-Results")[1:],
                   ["foreign.example; spf=pass"],
                   self.name("forged: the foreign field stays"))

    def reject(self):
        code, text = submit(self.m.port, mail("a@reject.test", "reject"),
                            "x@other.test")
        self.t.ok(code == 550 and text.startswith("5.7.1 ") and
                  "DMARC policy for reject.test" in text,
                  self.name("reject: 550 with the reason"), code, text)

    def quarantine(self):
        m = self.send(mail("a@quarantine.test", "quarantine"), "x@other.test",
                      "quarantine")
        self.t.is_(len(m.all("X-Mailseal-Quarantine")), 1,
                   self.name("quarantine: the field"), m.data)

    def outbound(self):
        """Submission over STARTTLS with a login."""
        m = self.send(mail("bob@example.com", "outbound"), "bob@example.com",
                      "outbound", port=self.m.submission_port, tls=self.tls,
                      login=True)
        self.is_signed(m, "outbound")
        line = self.d.wait_log("direction=outbound") or ""
        self.t.has(line, "direction=outbound", self.name("outbound: log"))
        m = self.send(mail("alice@example.com", "spoof-of-us"),
                      "alice@example.com", "spoof-of-us")
        self.t.is_(m.all("DKIM-Signature"), [],
                   self.name("the same without a login is not signed"))
        code, text = submit(self.m.submission_port,
                            mail("bob@example.com", "no-login"),
                            "bob@example.com", tls=self.tls)
        self.t.ok(500 <= code < 600, self.name("submission without a login is "
                                               "refused"), code, text)
        with Client(self.m.port) as c:
            self.t.ok("starttls" in c.smtp.esmtp_features,
                      self.name("STARTTLS is offered from outside too"))
        m = self.send(mail("alice@example.org", "tls-in"),
                      "alice@example.org", "tls-in", tls=self.tls)
        self.result(m, "tls-in", spf="pass", dmarc="pass")

    def reinjection(self):
        """What a content filter hands back is neither checked nor signed."""
        forged = f"Authentication-Results: {ID}; dmarc=pass\n"
        m = self.send(mail("alice@example.com", "reinjected", forged),
                      "x@other.test", "reinjected",
                      port=self.m.reinject_port)
        self.t.is_(m.all("DKIM-Signature"), [],
                   self.name("re-injected: not signed"))
        self.t.is_(len(m.all("Authentication-Results")), 1,
                   self.name("re-injected: its result stays"))

    def reuse(self):
        """One connection: inbound good and bad, refused, reset, again."""
        with Client(self.m.port) as c:
            for n, (author, spf, dmarc, code) in enumerate((
                    ("a@example.org", "pass", "pass", 250),
                    ("a@quarantine.test", "none", "fail", 250),
                    ("a@reject.test", None, None, 550),
                    ("a@example.org", "pass", "pass", 250))):
                subject = f"reuse-{n}"
                sender = author if spf == "pass" else "x@other.test"
                got, text = c.send(mail(author, subject), sender)
                self.t.is_(got, code, self.name(f"{subject}: reply"), text)
                if code == 250:
                    self.result(self.arrived(subject), subject, spf=spf,
                                dmarc=dmarc)
                c.smtp.rset()
        with Client(self.m.submission_port, tls=self.tls, login=True) as c:
            for n in range(3):
                subject = f"reuse-out-{n}"
                got, text = c.send(mail("bob@example.com", subject),
                                   "bob@example.com")
                self.t.is_(got, 250, self.name(f"{subject}: reply"), text)
                self.is_signed(self.arrived(subject), subject)

    def hundred(self):
        """One message, 100 recipients: one result, every copy has it."""
        rcpts = [f"r{n}@example.net" for n in range(100)]
        before = self.d.log().count("dmarc=pass")
        m = self.send(mail("a@example.org", "hundred"), "a@example.org",
                      "hundred", rcpts=rcpts)
        self.result(m, "hundred", spf="pass", dmarc="pass")
        self.m.sink.wait_rcpts("Subject: hundred\r\n", 100)
        copies = [x for x in self.m.sink.messages
                  if b"Subject: hundred\r\n" in x.data]
        got = sorted(r.strip("<>") for x in copies for r in x.rcpts)
        self.t.is_(got, sorted(rcpts), self.name("hundred: all of them"))
        self.t.is_(self.d.log().count("dmarc=pass") - before, 1,
                   self.name("hundred: evaluated once"))
        m = self.send(mail("bob@example.com", "hundred-out"),
                      "bob@example.com", "hundred-out", rcpts=rcpts,
                      port=self.m.submission_port, tls=self.tls, login=True)
        self.is_signed(m, "hundred-out")

    def unsignable(self):
        """A key that cannot be used: on_signing_error = tempfail."""
        code, text = submit(self.m.submission_port,
                            mail("bob@broken.test", "unsignable"),
                            "bob@broken.test", tls=self.tls, login=True)
        self.t.ok(400 <= code < 500, self.name("no signature: 4xx"), code,
                  text)

    def tempfail(self):
        """mailseald is down: the client is told to try again, and then the
        message passes as ever."""
        check_end(self.t, self.d, self.name("mailseald"))
        code, text = submit(self.m.port, mail("a@example.org", "down"),
                            "a@example.org")
        self.t.ok(400 <= code < 500, self.name("down: 4xx"), code, text)
        self.d.start()
        m = self.send(mail("a@example.org", "up"), "a@example.org", "up")
        self.result(m, "up", spf="pass", dmarc="pass")

    def common(self):
        for row in (self.inbound, self.forged, self.reject, self.quarantine,
                    self.outbound, self.reinjection, self.reuse,
                    self.hundred, self.unsignable):
            with self.t.group(self.name(row.__name__)):
                row()


class PostfixPath(Path):
    def local(self):
        p = self.m.sendmail(mail("alice@example.com", "local"),
                            "alice@example.com")
        self.t.is_(p.returncode, 0, self.name("local: sendmail(1)"), p.stderr)
        self.is_signed(self.arrived("local"), "local")

    def bounce(self):
        p = self.m.sendmail(mail("alice@example.com", "to-nobody"),
                            "alice@example.com", ("refuse@example.net",))
        self.t.is_(p.returncode, 0, self.name("bounce: sendmail(1)"))
        m = self.m.sink.wait_for("Content-Description: Notification\r\n")
        self.t.ok(m is not None, self.name("bounce: it came"),
                  self.m.log()[-3000:])
        self.t.is_(m.sender, "<>", self.name("bounce: null sender"))
        self.is_signed(m, "bounce", "mx.mta.test")

    def smtputf8(self):
        """The author's domain as U-label: the key is that of the A-label."""
        text = mail("Jürg <jürg@jürg.example>", "utf-eight").replace(
            b"Hello", "Grüße".encode())
        with Client(self.m.submission_port, tls=self.tls, login=True) as c:
            c.smtp.command_encoding = "utf-8"
            code, reply = c.smtp.mail("jürg@jürg.example",
                                      ["SMTPUTF8", "BODY=8BITMIME"])
            self.t.is_(code, 250, self.name("SMTPUTF8: MAIL"), reply)
            c.smtp.docmd("RCPT", "TO:<rcpt@example.net>")
            code, reply = c.smtp.data(text)
        self.t.is_(code, 250, self.name("SMTPUTF8: taken"), reply)
        m = self.arrived("utf-eight")
        self.t.has(m.data, "jürg@jürg.example".encode(),
                   self.name("SMTPUTF8: as it was"))
        values = [v for v in m.all("DKIM-Signature")
                  if "d=xn--jrg-hoa.example" in v or "d=jürg" in
                  v.encode("latin-1").decode("utf-8", "replace")]
        self.t.is_(len(values), 1, self.name("SMTPUTF8: signed"), m.data,
                   self.d.log()[-1000:])


class SendmailPath(Path):
    def local(self):
        """sendmail(1) with the submit.cf of the guide."""
        msp = "".join(blocks(contrib("sendmail", "README.md"), "submit.mc"))
        msp = msp.replace("10587", str(self.m.local_port))
        spool = os.path.join(self.m.dir, "client")
        os.mkdir(spool, 0o770)
        shutil.chown(spool, "mail", "mail")
        mc = self.m.write("submit.mc", "divert(0)dnl\n" + "".join(
            f"define(`{k}', `{v}')dnl\n" for k, v in {
                "MAIL_SETTINGS_DIR": self.m.dir + "/",
                "confCF_VERSION": "Submit", "confTIME_ZONE": "USE_TZ",
                "confDOMAIN_NAME": "mx.mta.test",
                "confRUN_AS_USER": "mail:mail", "confTRUSTED_USER": "mail",
                "confDONT_BLAME_SENDMAIL": "TrustStickyBit",
                "MSP_QUEUE_DIR": spool,
                "confPID_FILE": self.m.dir + "/client.pid"}.items()) +
            "OSTYPE(`linux')dnl\n" + msp)
        p = subprocess.run(
            ["unshare", "--uts", "sh", "-c",
             'hostname mx.mta.test; exec "$@"', "sh",
             os.path.join(self.m.tree, BINARY), "-Ac", "-C",
             self.m.write("submit.cf", self.m.make_cf(mc)), "-f", "alice@example.com",
             "rcpt@example.net"],
            input=mail("alice@example.com", "local").replace(b"\r\n", b"\n"),
            check=False, capture_output=True, timeout=60)
        self.t.is_(p.returncode, 0, self.name("local: sendmail(1)"), p.stderr,
                   p.stdout)
        self.is_signed(self.arrived("local"), "local")

    def bounce(self):
        """Not shown to a milter, as the guide says."""
        code, text = submit(self.m.local_port,
                            mail("alice@example.com", "to-nobody"),
                            "alice@example.com", ("refuse@example.net",))
        self.t.is_(code, 250, self.name("bounce: taken"), text)
        m = self.m.sink.wait_for("multipart/report")
        self.t.ok(m is not None, self.name("bounce: it came"),
                  self.m.log()[-3000:])
        self.t.is_((m.sender, [n for n, _ in m.fields
                               if n == "DKIM-Signature"]), ("<>", []),
                   self.name("bounce: unsigned"))

    def smtputf8(self):
        with Client(self.m.port) as c:
            self.t.ok("smtputf8" not in c.smtp.esmtp_features,
                      self.name("SMTPUTF8: not offered"))
            code, text = c.smtp.docmd("MAIL", "FROM:<a@example.org> SMTPUTF8")
            self.t.ok(500 <= code < 600, self.name("SMTPUTF8: refused"), code,
                      text)


def run(t, path):
    path.m.sink.keywords = ("8BITMIME", "SMTPUTF8")
    with t.group(path.what):
        path.common()
        for row in (path.local, path.bounce, path.smtputf8, path.tempfail):
            with t.group(path.name(row.__name__)):
                row()
        log = check_end(t, path.d, path.what)
        t.hasnt(log, "refused a header change", path.name("every edit"))


def daemon(mta, key, zone, guide, group=None):
    return GuidedDaemon(mta.folder, lines_of(guide, "README.md") +
                        DISPOSITION, group, zone=zone, authserv_id=ID,
                        internal=(),
                        domains={**{d: [("s1", key.path)] for d in OURS},
                                 "broken.test": [("s1", "/dev/null")]})


def main():
    missing = Postfix.missing()
    tree, why = sendmail_tree(BUILD)
    if missing and tree is None:
        skip_all(f"{missing}; {why}")
    if not have_dkimpy():
        skip_all("python3-dkim is not there")
    t = Tap(290)
    with Daemon(start=False) as files:
        key = Key(files.dir, "k")
        zone = ZONE + "".join(key_record(d, "s1", key)
                              for d in (*OURS, "example.org"))
        authority = Authority(os.path.join(files.dir, "tls"))
        if missing:
            t.skip("Postfix", missing)
        else:
            mta = GuidedPostfix(authority=authority)
            with daemon(mta, key, zone, "postfix", "postfix") as d:
                d.start()
                with mta:
                    run(t, PostfixPath(t, "Postfix", mta, d, key,
                                       authority.client()))
        if tree is None:
            t.skip("Sendmail", why)
        else:
            mta = GuidedSendmail(tree, authority=authority)
            with daemon(mta, key, zone, "sendmail") as d:
                d.start()
                with mta:
                    run(t, SendmailPath(t, "Sendmail", mta, d, key,
                                        authority.client()))
    t.done()


if __name__ == "__main__":
    main()
