"""What the MTA is told to do with mail that fails DMARC, in every mode.

Replies, holds and header fields as they go over the socket; policy.c has the
same matrix without one.
"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import milter_client as mc  # noqa: E402
from authres import Authres  # noqa: E402
from daemon import (BUILD, Daemon, check_end, program, quote,  # noqa: E402
                    sanitizer_report)
from material import Key, crlf, key_record  # noqa: E402
from tap import Tap  # noqa: E402

ZONE = """\
reject.test TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.reject.test TXT "v=DMARC1; p=reject"
quarantine.test TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.quarantine.test TXT "v=DMARC1; p=quarantine"
none.test TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.none.test TXT "v=DMARC1; p=none"
reject-t.test TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.reject-t.test TXT "v=DMARC1; p=reject; t=y"
quarantine-t.test TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.quarantine-t.test TXT "v=DMARC1; p=quarantine; t=y"
_dmarc.bad.test TXT "v=DMARC1; p=refuse"
_dmarc.sub.test TXT "v=DMARC1; p=none; sp=reject; np=quarantine"
a.sub.test A 192.0.2.1
_dmarc.slow.test TXT !TIMEOUT
_dmarc.broken.test TXT !SERVFAIL
spf-slow.test TXT !TIMEOUT
_dmarc.spf-slow.test TXT "v=DMARC1; p=reject"
spf-broken.test TXT !SERVFAIL
_dmarc.spf-broken.test TXT "v=DMARC1; p=reject"
key-slow.test TXT "v=spf1 -all"
s1._domainkey.key-slow.test TXT !TIMEOUT
_dmarc.key-slow.test TXT "v=DMARC1; p=reject"
_dmarc.np-slow.test TXT "v=DMARC1; p=none; sp=reject; np=none"
x.np-slow.test A !SERVFAIL
_dmarc.x.np-slow.test TXT "v=spf1"
"""
STRANGER, RIGHT, TRUSTED = "203.0.113.66", "192.0.2.10", "198.51.100.25"
TAG = "X-Mailseal-Quarantine"
MODES = [(m, q) for m in ("monitor", "quarantine", "honor")
         for q in ("tag", "hold", "both")]
# what each policy becomes: monitor, quarantine, honor (RFC 9989 4.7, 7.2, 7.4)
POLICIES = [
    ("reject.test", "reject", ("none", "quarantine", "reject")),
    ("quarantine.test", "quarantine", ("none", "quarantine", "quarantine")),
    ("none.test", "none", ("none", "none", "none")),
    ("reject-t.test", "quarantine", ("none", "quarantine", "quarantine")),
    ("quarantine-t.test", "none", ("none", "none", "none")),
    ("a.sub.test", "reject", ("none", "quarantine", "reject")),
    ("b.sub.test", "quarantine", ("none", "quarantine", "quarantine")),
    ("norecord.test", None, ("none", "none", "none")),
    ("bad.test", None, ("none", "none", "none")),
]


def dmarc(disposition, quarantine="tag"):
    return f"dmarc = {{ disposition = {quote(disposition)}; " \
           f"quarantine = {quote(quarantine)}; }};\n"


def daemon(disposition, quarantine="tag", more="", **kw):
    """A daemon of that mode which trusts 198.51.100.0/24."""
    return Daemon(zone=ZONE + kw.pop("zone", ""), trusted=("198.51.100.0/24",),
                  extra=dmarc(disposition, quarantine) + more, **kw)


def mail(author, extra=""):
    return crlf(f"From: {author}\nTo: bob@example.net\nSubject: x\n{extra}\n"
                "body\n")


def spoof(d, domain, extra="", client=STRANGER, sender="<x@other.test>", **kw):
    return d.send(mail(f"ceo@{domain}", extra), sender, client=client, **kw)


def authres(o):
    """Our result, which is the topmost field, or None."""
    name, value = o.headers[0]
    return Authres(value) if name == "Authentication-Results" else None


def check(t, o, what, done, how, why=None):
    """`done`: none, quarantine or reject; `how`: tag, hold or both."""
    if done == "reject":
        t.is_((o.verdict, o.edits, o.quarantine), ("replycode", [], None),
              f"{what}: rejected, and nothing else", o.reply)
        return
    held, tags = o.quarantine, o.fields(TAG)
    want = (done == "quarantine" and how in ("hold", "both"),
            done == "quarantine" and how in ("tag", "both"))
    t.is_((o.verdict, held is not None, len(tags) == 1), ("accept", *want),
          f"{what}: {done}", o.reply, o.edits)
    t.ok(re.search(rf"\bdis={done}\b", o.headers[0][1]) or done == "none",
         f"{what}: Authentication-Results says so", o.headers[0])
    for text in ([held] if held is not None else []) + tags:
        if why is not None:
            t.is_(text, why, f"{what}: why it is quarantined")


def check_quiet(t, d, name):
    """Instead of an end."""
    t.ok(d.alive and "the MTA refused" not in d.log() and
         not sanitizer_report(d.log()), f"{name}: nothing was refused",
         d.log()[-3000:])


def test_matrix(t):
    for mode, how in MODES:
        with daemon(mode, how) as d:
            at = ("monitor", "quarantine", "honor").index(mode)
            for domain, policy, done in POLICIES:
                o = spoof(d, domain)
                check(t, o, f"{mode}/{how}, {domain}", done[at], how,
                      f"dmarc=fail header.from={domain} policy.dmarc={policy}")
                if done[at] != "reject":
                    r = authres(o).all("dmarc")[0]
                    t.is_(r.prop("policy.dmarc"), policy,
                          f"{mode}, {domain}: policy.dmarc is what is to be "
                          "applied (RFC 9989 9.1)")
            o = spoof(d, "reject.test", client=RIGHT,
                      sender="<ceo@reject.test>")
            check(t, o, f"{mode}/{how}, a pass", "none", how)
            check_quiet(t, d, f"{mode}/{how}")


SIGNATURE = "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; " \
            "d={}; s=s1; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3" \
            "hSuFU=; b=AAAA\n"


def test_replies(t, d):
    """RFC 9989 7.2, RFC 7372 3.3."""
    o = spoof(d, "reject.test")
    t.is_(o.reply.text, "550 5.7.1 Email rejected per DMARC policy for "
          "reject.test: SPF none for other.test, no DKIM signature",
          "the reply names the domain and what failed")
    o = spoof(d, "reject.test", sender="<ceo@reject.test>")
    t.is_(o.reply.text, "550 5.7.1 Email rejected per DMARC policy for "
          "reject.test: SPF fail for reject.test, no DKIM signature",
          "one check failed: 5.7.1")
    o = spoof(d, "reject.test", SIGNATURE.format("reject.test"),
              sender="<ceo@reject.test>")
    t.is_(o.reply.text, "550 5.7.26 Email rejected per DMARC policy for "
          "reject.test: SPF fail for reject.test, DKIM permerror for "
          "reject.test", "both were there and failed: 5.7.26")
    o = spoof(d, "reject.test", client=RIGHT, sender="<a@none.test>")
    t.is_(o.reply.text, "550 5.7.1 Email rejected per DMARC policy for "
          "reject.test: SPF pass for none.test not aligned, no DKIM "
          "signature", "a pass of somebody else")
    # wire text has no way into the reply
    o = d.send(mail("ceo@reject.test"), '<"%s%n\r550 x"@%s.%n.test>',
               client=STRANGER, helo="%s%n.\x01\n.test")
    t.is_(o.reply.text, "550 5.7.1 Email rejected per DMARC policy for "
          "reject.test: SPF none, no DKIM signature", "no wire text in it")
    long = ".".join(["a" * 60] * 4)[:241] + ".reject.test"
    d_long = SIGNATURE.format(".".join(["b" * 60] * 4) + ".test")
    o = d.send(mail(f"x@{long}", d_long), f"<x@{'.'.join(['c' * 60] * 4)}>",
               client=STRANGER)
    t.ok(o.verdict == "replycode" and len(o.reply.text) <= 412 and
         ".reject.test: SPF none for ..." in o.reply.text,
         "long domains: one line", o.reply)
    line = d.wait_log("5TESTreject:")
    t.is_(line, None, "no line yet")
    o = spoof(d, "reject.test", queue_id="5TESTreject")
    line = d.wait_log("5TESTreject:") or ""
    t.has(line, " dmarc=fail disposition=reject(honor) would_be=reject ",
          "the log line has the rule")


def test_several(t, d):
    """The next message of the connection starts afresh."""
    with mc.Connection(d.address) as c:
        s = mc.Session(c, macros=mc.standard_macros())
        s.connect(STRANGER)
        s.helo("one.example")
        one = s.message(mail("ceo@reject.test"), "<x@other.test>", ["<a@b>"])
        two = s.message(mail("ceo@none.test"), "<x@other.test>", ["<a@b>"])
        three = s.message(mail("ceo@quarantine.test"), "<x@o.test>", ["<a@b>"])
        s.quit()
    t.is_([o.verdict for o in (one, two, three)],
          ["replycode", "accept", "accept"], "reject, accept, accept")
    t.is_([len(o.fields(TAG)) for o in (two, three)], [0, 1], "... and tag")
    t.is_(c.problems, [], "... and the protocol is kept")


NOT_TOLD = "550 5.7.1 Email rejected, the domain of its author cannot be " \
           "told (RFC 5322 3.6 From): "
MANY = ", ".join(f"x@d{n}.norecord.test" for n in range(5))
UNAUTHORED = [
    ("no From", b"To: b@example.net\r\n\r\nx\r\n", "no From field"),
    ("two From", mail("a@none.test", "From: b@none.test\n"),
     "several From fields"),
    ("the same From twice", mail("a@none.test", "From: a@none.test\n"),
     "several From fields"),
    ("From : and From", mail("a@none.test", "From : b@none.test\n"),
     "several From fields"),
    ("malformed", mail("Doe, John <a@none.test>"), None),
    ("empty group", mail("undisclosed:;"), "no author domain"),
    ("five authors' domains", mail(MANY), "too many author domains"),
    ("bare CR in the header", mail("a@none.test", "X-Bad: a\rb\n"),
     "control characters in the header"),
]


def test_unauthored(t):
    """RFC 9989 5.3.1: From does not tell whose policy is to be asked."""
    for mode, how in (("monitor", "both"), ("quarantine", "both"),
                      ("honor", "tag")):
        with daemon(mode, how) as d:
            for what, data, reason in UNAUTHORED:
                o = d.send(data, "<x@other.test>", client=STRANGER)
                done = {"monitor": "none", "quarantine": "quarantine",
                        "honor": "reject"}[mode]
                check(t, o, f"{mode}, {what}", done, how,
                      reason and f'dmarc=permerror reason="{reason}"')
                if mode == "honor":
                    t.ok(o.reply.text == NOT_TOLD + reason if reason else
                         o.reply.text.startswith(NOT_TOLD),
                         f"{what}: the reply", o.reply)
            four = MANY.rpartition(", ")[0]
            o = d.send(mail(four), "<x@other.test>", client=STRANGER)
            check(t, o, f"{mode}, four authors' domains", "none", how)
            check_quiet(t, d, mode)


def test_limits(t):
    """A limit of ours is no fault of the sender: never rejected."""
    large = [("fields", "X-F: x\n" * 1100), ("field", "X: " + "y" * 70000 +
                                             "\n"),
             ("header", ("X: " + "y" * 60000 + "\n") * 5)]
    for mode in ("monitor", "quarantine", "honor"):
        with daemon(mode) as d:
            for what, extra in large:
                o = spoof(d, "reject.test", extra)
                done = "none" if mode == "monitor" else "quarantine"
                check(t, o, f"{mode}, {what} over the limit", done, "tag")
                t.is_(authres(o).result("dmarc"), "permerror",
                      f"{mode}, {what}: not evaluated")
            check_quiet(t, d, mode)


def test_exempt(t, d):
    """Who is not at the border is not judged here."""
    for what, kw, rule in (
            ("internal", {"client": "127.0.0.1"},
             "client in networks.internal"),
            ("trusted", {"client": TRUSTED}, "client in networks.trusted"),
            ("unknown address", {"client": None}, "client address unknown"),
            ("sendmail(1)", {"client": "127.0.0.1", "port": 0,
                             "name": "localhost", "sender": "x@other.test",
                             "daemon": "in"}, "local submission")):
        o = spoof(d, "reject.test", queue_id=f"6{what[:3]}", **kw)
        check(t, o, what, "none", "tag")
        t.has(d.wait_log(f"6{what[:3]}:") or "",
              f" disposition=none({rule}) would_be=reject ",
              f"{what}: the log says why")
        t.is_(authres(o).all("dmarc")[0].prop("policy.dmarc"), "reject",
              f"{what}: the result says what was asked for")
    o = d.send(b"Subject: x\r\n\r\nx\r\n", "<>", client="127.0.0.1")
    check(t, o, "internal, no From", "none", "tag")


def test_outbound(t, d):
    o = spoof(d, "reject.test", login="bob")
    t.is_((o.verdict, o.quarantine, o.fields(TAG)), ("accept", None, []),
          "a login: outgoing mail has no disposition")
    o = d.send(b"Subject: x\r\n\r\nx\r\n", "<a@b>", client=STRANGER,
               daemon="submission")
    t.is_(o.verdict, "accept", "a submission without From")
    o = d.send(mail("a@signed.test"), "<a@b>", client=STRANGER, login="bob")
    t.is_(len(o.fields("DKIM-Signature")), 1, "... others are signed")
    o = spoof(d, "reject.test", daemon="quiet")
    t.is_((o.verdict, o.edits), ("accept", []), "a listener without direction")


TEMPORARY = [
    ("the policy: time-out", "slow.test", {}),
    ("the policy: SERVFAIL", "broken.test", {}),
    ("SPF: time-out", "spf-slow.test", {"sender": "<x@spf-slow.test>"}),
    ("SPF: SERVFAIL", "spf-broken.test", {"sender": "<x@spf-broken.test>"}),
    ("the key: time-out", "key-slow.test",
     {"extra": SIGNATURE.format("key-slow.test")}),
    ("whether the domain exists", "x.np-slow.test", {}),
]


def test_temporary(t):
    """RFC 9989 5.3.6, DM-31: what is not known is not held against it."""
    for mode, how in (("quarantine", "both"), ("honor", "both")):
        with daemon(mode, how) as d:
            for what, domain, kw in TEMPORARY:
                o = spoof(d, domain, **kw)
                check(t, o, f"{mode}, {what}", "none", how)
                r = authres(o).all("dmarc")[0]
                t.is_((r.result, r.prop("policy.dmarc")), ("temperror", None),
                      f"{mode}, {what}: temperror", o.headers[0])
            check_quiet(t, d, f"{mode}, temporary")


FORGED = "".join(f"{n}: {v}\n" for n, v in (
    (TAG, "dmarc=fail"), ("Authentication-Results", "mx.test; dmarc=pass"),
    (TAG.lower(), "x"), (TAG.upper() + " ", ""), ("X-Keep", "1"),
    ("Authentication-Results", "foreign.test; spf=pass"),
    ("Authentication-Results", "(c) MX.test 1; dmarc=pass")))


def test_forged(t, d):
    """AR-5, RFC 8601 5: fields in our name go, unless a trusted server's."""
    for mta in ("postfix", "sendmail"):
        o = spoof(d, "none.test", FORGED, mta=mta)
        t.is_((o.fields(TAG), len(o.fields("Authentication-Results"))),
              ([], 2), f"{mta}: forged ones are gone", o.headers)
        t.is_(o.fields("X-Keep"), ["1"], f"{mta}: others stay")
        t.is_(o.fields("Authentication-Results")[1], "foreign.test; spf=pass",
              f"{mta}: a foreign result stays")
        o = spoof(d, "quarantine.test", FORGED, mta=mta)
        t.is_(o.fields(TAG), ["dmarc=fail header.from=quarantine.test "
                              "policy.dmarc=quarantine"],
              f"{mta}: the one that is left is ours")
        t.is_([n for n, _ in o.headers[:2]], ["Authentication-Results", TAG],
              f"{mta}: below our result")
        o = spoof(d, "reject.test", FORGED, mta=mta, login="bob")
        t.is_((o.fields(TAG), o.fields("Authentication-Results")),
              ([], ["foreign.test; spf=pass"]), f"{mta}: outgoing mail too")
        for kw in ({}, {"login": "bob"}):
            o = spoof(d, "reject.test", FORGED, client=TRUSTED, mta=mta, **kw)
            n = len(o.fields("Authentication-Results"))
            t.is_((len(o.fields(TAG)), n), (3, 3 if kw else 4),
                  f"{mta}: a trusted server's stay {kw}", o.headers)
            t.is_([e[0] for e in o.edits], [] if kw else ["insheader"],
                  f"{mta}: ours comes on top {kw}")
    o = spoof(d, "none.test", f"{TAG}: x\n" * 300)
    t.is_(o.fields(TAG), [], "300 of them")
    o = spoof(d, "none.test", FORGED, client="127.0.0.1", port=0,
              name="localhost", sender="x@other.test")
    t.is_((o.fields(TAG), len(o.fields("Authentication-Results"))), ([], 1),
          "sendmail(1): gone")
    o = spoof(d, "none.test", FORGED, client="127.0.0.1")
    t.is_((o.fields(TAG), len(o.fields("Authentication-Results"))), ([], 2),
          "networks.internal is not trusted: gone")


def send_without_hold(d, domain):
    with mc.Connection(d.address, actions=mc.ALL_ACTIONS &
                       ~mc.QUARANTINE) as c:
        s = mc.Session(c, macros=mc.standard_macros())
        s.connect(STRANGER)
        s.helo("h.example")
        o = s.message(mail(f"ceo@{domain}"), "<x@other.test>", ["<a@b>"])
        if o.verdict == "accept":
            s.quit()
        return o, c.problems


def test_no_hold(t):
    """An MTA that cannot hold: on_internal_error, and never like others."""
    with daemon("quarantine", "hold") as d:
        o, problems = send_without_hold(d, "reject.test")
        t.is_((o.verdict, o.quarantine, len(o.fields(TAG)), problems),
              ("accept", None, 1, []), "accept: tagged instead", o.edits)
        t.ok(d.wait_log("refused to hold a message"), "... and logged")
        o, problems = send_without_hold(d, "none.test")
        t.is_((o.verdict, o.fields(TAG)), ("accept", []),
              "... other mail is not concerned")
    with daemon("quarantine", "hold",
                'on_internal_error = "tempfail";\n') as d:
        o, problems = send_without_hold(d, "reject.test")
        t.is_((o.verdict, o.reply.text[:9], problems),
              ("replycode", "451 4.7.1", []), "tempfail: again later", o.reply)
        t.ok(d.alive and not sanitizer_report(d.log()), "... and alive")


def test_counters(t):
    with daemon("quarantine") as d:
        for domain in ("reject.test", "quarantine.test", "quarantine.test",
                       "none.test", "slow.test", "norecord.test"):
            spoof(d, domain)
        spoof(d, "reject.test", client="127.0.0.1")
        d.send(b"Subject: x\r\n\r\nx\r\n", "<>", client=STRANGER)
        spoof(d, "reject.test", client=RIGHT, sender="<a@reject.test>")
        spoof(d, "reject.test", login="bob")
        log = check_end(t, d, "counters")
        t.has(log, "dmarc: pass=1 fail=5 none=1 temperror=1 permerror=1 "
              "would-quarantine=0 would-reject=3 quarantined=4 rejected=0",
              "what became of the mail is summed up at the end")


def main():
    if not os.path.exists(program("mailseald")):
        sys.exit(f"no mailseald in {BUILD}")
    t = Tap(300)
    for test in (test_matrix, test_unauthored, test_limits, test_temporary,
                 test_no_hold, test_counters):
        with t.group(test.__name__):
            test(t)
    with Daemon(start=False) as files:
        key = Key(files.dir, "ed", "ed25519")
        with daemon("honor", zone=key_record("signed.test", "s", key),
                    listeners=[("in", "inbound"), ("submission", "outbound"),
                               ("quiet", "none")],
                    domains={"signed.test": [("s", key.path)]}) as d:
            for test in (test_replies, test_several, test_exempt,
                         test_outbound, test_forged):
                with t.group(test.__name__):
                    test(t, d)
            check_end(t, d, "honor")
    t.done()


if __name__ == "__main__":
    main()
