"""The published attacks through a real Postfix and a real Sendmail.

What an MTA makes of odd lines before a milter sees them decides many of these
("Composition Kills", USENIX Security 2020; "Weak Links", 2021).  Whatever it
does: on top of what is delivered is one result of ours, no other in our name,
and never dmarc=pass for the victim.  The same cases without an MTA, with more
of each result, are tests/cases/attacks.case and weaklinks.case.
"""
import os
import re
import smtplib
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from authres import Authres  # noqa: E402
from daemon import BUILD, Daemon, check_end  # noqa: E402
from mta import Postfix, Sendmail, sendmail_tree, submit  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

ID = "mx.mta.test"
ALIAS = "xn--bcher-kva.test"
ZONE = """\
attack.test TXT "v=spf1 +all"
_dmarc.attack.test TXT "v=DMARC1; p=none"
_dmarc.legit.test TXT "v=DMARC1; p=reject"
"""
VICTIM = "admin@legit.test"

# The header's first lines, and what DMARC says behind Postfix and Sendmail;
# "MTA": it does not take the message.
PERM = ("permerror", "permerror")
FAIL = ("fail", "fail")
PASS = ("pass", "pass")  # for the attacker's own domain
HEADERS = (
    ("a8", "From: <first@attack.test>\r\nFrom: <admin@legit.test>", PERM),
    ("a8 reverse", "From: <admin@legit.test>\r\nFrom: <first@attack.test>",
     PERM),
    ("a9", " From: <first@attack.test>\r\nFrom: <admin@legit.test>", PERM),
    ("a10", "From: <first@attack.test>\r\nFrom : <admin@legit.test>", PERM),
    ("a11", "From\r\n : <first@attack.test>\r\nFrom: <admin@legit.test>",
     PERM),
    ("a12", "From: <first@attack.test\r\nSender: <admin@legit.test>", PERM),
    ("a13", "From: @attack.test\r\nResent-From: <admin@legit.test>", PERM),
    ("a14", "From: <first@attack.test>, <admin@legit.test>\r\n"
     "Sender: <first@attack.test>", FAIL),
    ("a15", "From: =?utf-8?B?PGFkbWluQGxlZ2l0LnRlc3Q+?=,<second@attack.test>",
     PERM),
    ("a16", "From: <@attack.test,@any.test:admin@legit.test>", FAIL),
    ("a17", "From: <admin@legit.test>\\,<second@attack.test>", PERM),
    ("a18", "From: admin@legit.test,<second@attack.test>", FAIL),
    ("a19", "From: <any@attack.test>admin@legit.test", PERM),
    ("B1", "From: admin@legit.test\u2000", PERM),
    ("B2", "From: =?utf-8?B?QWRtaW4gPGFkbWluQGxlZ2l0LnRlc3Q+?=", PERM),
    ("B3", "Sender: <admin@legit.test>", PERM),
    ("W13", "From: \u202eabc\u202c <admin@legit.test>", PERM),
    ("W14", "From: admin@legit.test\x08 <any@attack.test>", PERM),
    # Postfix gives the milter what stands before the NUL, Sendmail all else
    ("NUL", "From: admin@legit.test\0 <any@attack.test>",
     ("fail", "permerror")),
    ("bare CR", "From: <first@attack.test>\rFrom: <admin@legit.test>",
     ("permerror", "MTA")),
    ("quoted", 'From: "admin@legit.test" <first@attack.test>', PASS),
    ("group", "From: x:admin@legit.test;", FAIL),
    ("comment", "From: (admin@legit.test) <first@attack.test>", PASS),
)

# MAIL FROM paths; HELO is client.example, without SPF record.
PATHS = (
    ("a1", "any@nx.legit.test"),
    ("a2", "(any@legit.test"),
    ("a5", "any@legit.test(a.attack.test"),
    ("a6", "any@legit.test'@any.attack.test"),
    ("a7", "@legit.test,@any.test:'any@attack.test"),
    ("W2", "any@attack.test"),
    ("W3", ""),
    ("injection", '"a; dmarc=pass header.from=legit.test"@attack.test'),
)

# Fields in our name; ALIAS is one of our names too.
FORGED = (
    f"Authentication-Results: {ID}; dmarc=pass header.from=legit.test",
    f"AUTHENTICATION-RESULTS: {ID.upper()}; spf=pass",
    f"Authentication-Results: {ID}.; spf=pass",
    f"Authentication-Results: (c) {ID}; spf=pass",
    f'Authentication-Results: "{ID}"; spf=pass',
    f"Authentication-Results:\r\n {ID}\r\n ; spf=pass",
    f"Authentication-Results: {ID} 1; spf=pass",
    f"Authentication-Results: {ID} 99; spf=pass",
    f"Authentication-Results : {ID}; spf=pass",
    f"Authentication-Results: {ALIAS.upper()}; spf=pass",
    "Authentication-Results: b\u00fccher.test; spf=pass",
    f"Authentication-Results: {ID}\0; spf=pass",
    f"Authentication-Results: {ID} spf=pass",
    f"Authentication-Results: ({ID}; spf=pass",
)
FOREIGN = (
    "foreign.test; dmarc=pass",
    f"{ID}.foreign.test; spf=pass",
    f"x{ID}; spf=fail",
)

# Ends of DATA that are none (VU#302671).
ENDS = (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r")


def message(subject, head):
    return (f"{head}\r\nTo: rcpt@example.net\r\nSubject: {subject}\r\n"
            "Date: Tue, 03 Nov 2026 10:00:00 +0000\r\n"
            f"Message-ID: <{subject.replace(' ', '')}@x.test>\r\n"
            "\r\nbody\r\n").encode()


class Site:
    def __init__(self, tap, column, mta, xclient):
        self.t, self.column, self.mta = tap, column, mta
        self.xclient = xclient
        self.name = type(mta).__name__

    def send(self, subject, data, sender="any@attack.test"):
        """What was delivered, or None and why not."""
        code, text = submit(self.mta.port, data, sender, xclient=self.xclient)
        if code != 250:
            return None, f"{code} {text}"
        m = self.mta.sink.wait_for(f"Subject: {subject}\r\n")
        return m, None if m else self.mta.log()[-3000:]

    def result(self, m, what):
        """That of DMARC; checks that it is ours, on top, and the only one."""
        name, value = m.fields[0]
        a = Authres(value)
        mine = [v for v in m.all("Authentication-Results")
                if is_ours(v)]
        self.t.is_((name, a.authserv_id, mine), ("Authentication-Results", ID,
                                                 [value]),
                   f"{what}: one result of ours, on top", m.data)
        r = a.all("dmarc")[0]
        self.t.ok(r.result != "pass" or r.prop("header.from") == "attack.test",
                  f"{what}: no pass for the victim", value)
        return r.result

    def headers(self):
        for subject, head, wanted in HEADERS:
            what = f"{self.name}: {subject}"
            m, why = self.send(subject, message(subject, head))
            got = self.result(m, what) if m else "MTA"
            self.t.is_(got, wanted[self.column], f"{what}: dmarc", why)

    def paths(self):
        taken = 0
        for subject, path in PATHS:
            what = f"{self.name}: MAIL {subject}"
            m, why = self.send(f"path {subject}", message(
                f"path {subject}", f"From: {VICTIM}"), path)
            if m is None:
                self.t.ok(why.startswith("5"), f"{what}: the MTA refuses it",
                          why)
                continue
            taken += 1
            self.t.is_(self.result(m, what), "fail", f"{what}: dmarc")
            spf = [r for r in Authres(m.fields[0][1]).all("spf")
                   if r.result == "pass"]
            self.t.ok(not any("legit.test" in v for r in spf
                              for _, v in r.props),
                      f"{what}: no SPF pass for the victim", m.fields[0])
        self.t.ok(taken >= 3, f"{self.name}: some paths were taken", taken)

    def forged(self):
        head = [f"From: {VICTIM}"]
        for n, line in enumerate(FORGED):
            head.append(line)
            if n < len(FOREIGN):
                head.append(f"Authentication-Results: {FOREIGN[n]}")
        head += [f"Authentication-Results: {ID}; spf=pass"] * 300
        m, why = self.send("forged", message("forged", "\r\n".join(head)))
        if not self.t.ok(m is not None, f"{self.name}: forged: delivered",
                         why):
            return
        self.t.is_(self.result(m, f"{self.name}: forged"), "fail",
                   f"{self.name}: forged: dmarc")
        values = [" ".join(v.split())
                  for v in m.all("Authentication-Results")[1:]]
        self.t.is_(values, list(FOREIGN),
                   f"{self.name}: forged: only foreign fields stay, in order")

    def smuggle(self):
        """No second message leaves the body of the first."""
        for n, end in enumerate(ENDS):
            self.smuggle_one(f"{self.name}: {end!r}", f"outer{n}",
                             f"inner{n}", end)

    def smuggle_one(self, what, outer, inner, end):
        data = message(outer, "From: any@attack.test")[:-2] + end + (
            f"MAIL FROM:<{VICTIM}>\r\nRCPT TO:<rcpt@example.net>\r\n"
            "DATA\r\n").encode() + message(inner, f"From: {VICTIM}")
        reply = self.submit_raw(data)
        if reply.startswith("250"):
            m = self.mta.sink.wait_for(f"Subject: {outer}\r\n")
            self.t.ok(m is not None, f"{what}: delivered",
                      self.mta.log()[-2000:] if m is None else "")
        # in order: what came before it is delivered by then
        self.send(f"after {outer}", message(f"after {outer}",
                                            "From: any@attack.test"))
        second = [m for m in self.mta.sink.messages
                  if (m.all("Subject") or [""])[0] == inner]
        self.t.is_(len(second), 0, f"{what}: no second message", reply,
                   *[m.data for m in second])

    def submit_raw(self, data):
        s = smtplib.SMTP("127.0.0.1", self.mta.port, timeout=60,
                         local_hostname="client.example")
        try:
            s.ehlo()
            for step in (("MAIL", "FROM:<any@attack.test>"),
                         ("RCPT", "TO:<rcpt@example.net>"), ("DATA", "")):
                s.docmd(*step)
            s.send(data + b"\r\n.\r\n")
            code, text = s.getreply()
            return f"{code} {text.decode()}"
        except smtplib.SMTPServerDisconnected:
            return "disconnected"
        finally:
            s.close()


def is_ours(value):
    """Does the field begin with a name of ours, however it is written?"""
    head = re.sub(r"\([^()]*\)", " ", value.partition(";")[0]).lower()
    head = re.sub(r'["\s]+', " ", head.replace("\0", " ")).strip(" .")
    return head.partition(" ")[0].strip("(.") in (ID, ALIAS,
                                                  "b\u00fccher.test")


def behind(t, column, make, xclient):
    with Daemon(zone=ZONE, authserv_id=ID, internal=(),
                extra=f'authserv_aliases = [ "{ALIAS}" ];\n') as d, \
            make(d.address) as mta:
        site = Site(t, column, mta, xclient)
        for test in (site.headers, site.paths, site.forged, site.smuggle):
            with t.group(f"{site.name}: {test.__name__}"):
                test()
        check_end(t, d, f"behind {site.name}")


def main():
    t = Tap(280)
    tree, why = sendmail_tree(BUILD)
    if Postfix.missing() and tree is None:
        skip_all(f"{Postfix.missing()}, {why}")
    if Postfix.missing():
        t.skip("Postfix", Postfix.missing())
    else:
        # as Postfix 3.9 has it by default
        behind(t, 0, lambda a: Postfix(a, more={
            "smtpd_forbid_bare_newline": "normalize",
            "smtpd_forbid_bare_newline_exclusions": "",
            "cleanup_replace_stray_cr_lf": "yes"}),
            "NAME=[UNAVAILABLE] ADDR=203.0.113.66 PORT=2525")
    if tree is None:
        t.skip("Sendmail", why)
    else:
        behind(t, 1, lambda a: Sendmail(a, tree), None)
    t.done()


if __name__ == "__main__":
    main()
