"""Input that no MTA should send, or that only an attacker writes.

Each message must get a verdict and a truthful result; the daemon must neither
crash, nor hang, nor keep the memory.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import milter_client as mc  # noqa: E402
from authres import Authres  # noqa: E402
from daemon import Daemon, check_end  # noqa: E402
from material import Key, crlf, have_dkimpy, key_record, sign  # noqa: E402
from tap import Tap  # noqa: E402

CLIENT = "192.0.2.10"
ZONE = """\
example.org TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.example.org TXT "v=DMARC1; p=reject"
"""
FROM = [b"From", b" alice@example.org"]
SUBJECT = [b"Subject", b" x"]
BODY = b"body\r\n"
BAD_SIGNATURE = (b" v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; "
                 b"s=s1; h=from; bh=g3zLYH4xKxcPrHOD18z9YfpQcnk/GaJedfustWU5"
                 b"uGs=; b=AAAA")

# (name, fields, body, wanted dmarc, text that must not be in the field)
MESSAGES = [
    ("no header", [], BODY, "permerror", "dmarc=pass"),
    ("no header and no body", [], b"", "permerror", "dmarc=pass"),
    ("no From", [SUBJECT], BODY, "permerror", "dmarc=pass"),
    ("empty From", [[b"From", b""]], BODY, "permerror", "dmarc=pass"),
    ("empty body", [FROM], b"", "pass", "dkim=pass"),
    ("a field of 64 KiB", [FROM, [b"X-Long", b" " + b"y" * 65533]], BODY,
     None, "dkim=pass"),
    ("a field of 100 KiB", [FROM, [b"X-Long", b" " + b"y" * 102400]], BODY,
     None, "dkim=pass"),
    ("a folded field of 64 KiB", [FROM, [b"To", b" a@b,\n" * 9000]], BODY,
     None, "dkim=pass"),
    ("a From of 64 KiB", [[b"From", b" " + b"a@example.org," * 4600]], BODY,
     None, "dmarc=pass"),
    ("a From of nested comments", [[b"From", b" " + b"(" * 5000 +
                                    b" a@example.org"]], BODY, "permerror",
     "dmarc=pass"),
    ("a bare CR in a field", [FROM, [b"Subject", b" a\rFrom: b@c"]], BODY,
     None, "dkim=pass"),
    ("a bare LF in From", [[b"From", b" a@example.org\nTo: x"]], BODY,
     "permerror", "dmarc=pass"),
    ("controls in From", [[b"From", b" a@example.org\x01\x7f"]], BODY,
     "permerror", "dmarc=pass"),
    ("a direction override in From (W14)",
     [[b"From", b" a@exam\xe2\x80\xaeple.org"]], BODY, None, "dmarc=pass"),
    ("8-bit rubbish", [FROM, [b"X-\xff\xfe", b" \x80\xff"]], BODY, None,
     "dkim=pass"),
    ("bare CR, bare LF and NUL in the body", [FROM, SUBJECT],
     b"a\rb\nc\0d\r\n\r\r\n", "pass", "dkim=pass"),
    ("a body without line end", [FROM, SUBJECT], b"x", "pass", "dkim=pass"),
    ("a body of CR alone", [FROM, SUBJECT], b"\r" * 70000, "pass",
     "dkim=pass"),
    ("1,000 signatures", [FROM] + [[b"DKIM-Signature", BAD_SIGNATURE]] * 1000,
     BODY, None, "dkim=pass"),
    ("100 signatures", [FROM] + [[b"DKIM-Signature", BAD_SIGNATURE]] * 100,
     BODY, "pass", "dkim=pass"),
    ("a signature of 60 KiB of tags",
     [FROM, [b"DKIM-Signature", b" v=1; " + b"x=1; " * 12000]], BODY, None,
     "dkim=pass"),
    ("h= of 10,000 names",
     [FROM, [b"DKIM-Signature",
             BAD_SIGNATURE.replace(b"h=from", b"h=from" + b":x" * 10000)]],
     BODY, None, "dkim=pass"),
    ("10,000 fields", [FROM] + [[b"X-%d" % n, b" y"] for n in range(10000)],
     BODY, None, "dkim=pass"),
    ("300 forged results",
     [FROM] + [[b"Authentication-Results", b" mx.test; dmarc=pass"]] * 300,
     BODY, "pass", "dkim=pass"),
]
SENDERS = [b"<>", b"", b"<", b"<@>", b"<a@>", b"<@b>", b"<a@b@c>", b"a b c",
           b"<" + b"a" * 2000 + b"@" + b"b" * 2000 + b">", b"<\xff@\xfe>",
           b"<a@b\r\nX: y>", b'<"' + b"\\" * 999 + b'"@b>',
           b"<a@" + b"x." * 200 + b"org>"]
HELOS = [b"", b" ", b"[", b"[IPv6:", b"[1.2.3]", b"a" * 10000, b"\xff\xfe",
         b"a\r\nb", b"x; dmarc=pass", b"(", b'"', b"." * 300]


def send(d, fields, body, sender="<alice@example.org>", helo="h.example"):
    return d.send((fields, body), sender, client=CLIENT, helo=helo,
                  timeout=60)


def test_messages(t, d):
    for name, fields, body, dmarc, never in MESSAGES:
        with t.group(name):
            o = send(d, fields, body)
            value = o.headers[0][1]
            a = Authres(value)
            good = o.verdict == "accept" and not o.problems and \
                never not in value and \
                len(o.fields("Authentication-Results")) == 1 and \
                (dmarc is None or a.result("dmarc") == dmarc)
            t.ok(good, name, o.verdict, o.problems, value[:1500])


def test_envelopes(t, d):
    for n, sender in enumerate(SENDERS):
        with t.group(f"sender {n}"):
            o = send(d, [FROM, SUBJECT], BODY, sender=sender)
            a = Authres(o.headers[0][1])
            t.is_((o.verdict, a.result("dmarc") == "pass"),
                  ("accept", False), f"sender {sender[:40]!r}", o.headers[0])
    for helo in HELOS:
        with t.group(f"HELO {helo[:20]!r}"):
            o = send(d, [FROM, SUBJECT], BODY, helo=helo)
            a = Authres(o.headers[0][1])
            t.is_((o.verdict, a.result("dmarc")), ("accept", "pass"),
                  f"HELO {helo[:40]!r}", o.headers[0])


def test_big(t, d):
    """50 MB go through without being kept."""
    before = d.memory()
    line = b"x" * 997 + b" \r\n"
    o = send(d, [FROM, SUBJECT, [b"DKIM-Signature", BAD_SIGNATURE]],
             line * 50000)
    t.is_(o.verdict, "accept", "a body of 50 MB", o.headers[0])
    t.hasnt(o.headers[0][1], "dkim=pass", "... told truthfully")
    grown = d.memory() - before
    t.ok(grown < 40 << 20, "... and not kept in memory", grown)


def test_big_signed(t, d, key):
    body = b"".join(b"line %d\r\n" % n for n in range(400000))
    message = sign(crlf("From: alice@example.org\nSubject: big\n\n") + body,
                   "example.org", "s1", key)
    o = d.send(message, "<x@y.example>", client=CLIENT)
    t.is_(Authres(o.headers[0][1]).result("dkim"), "pass",
          "a signed body of several MB, in chunks", o.headers[0])


def test_out_of_order(t, d):
    """Stages that are missing or come twice.  libmilter ignores a step that
    cannot follow, or closes; neither may hurt the daemon."""
    plays = {
        "end of message at once": "E", "body first": "BE", "no MAIL": "LNBE",
        "MAIL twice": "MMRLNBE", "header after body": "MRLNBLBE",
        "end of header twice": "MRLNNBE", "HELO within": "MRHLNBE",
        "no end of header": "MRLBE", "end twice": "MRLNBEE",
        "a field without name": "MR0NBE",
    }
    for name, letters in plays.items():
        try:
            with mc.Connection(d.address, timeout=1) as c:
                s = mc.Session(c, macros=mc.standard_macros())
                s.connect(CLIENT)
                s.helo("h.example")
                steps = {"M": lambda: s.mail("<a@b>"), "H": lambda:
                         s.helo("i.example"), "R": lambda: s.rcpt("<c@d>"),
                         "L": lambda: s.header(*FROM),
                         "0": lambda: s.header(b"", b" x"),
                         "N": s.end_of_header, "B": lambda: s.body(BODY),
                         "E": lambda: s.end_of_message([])}
                for letter in letters:
                    steps[letter]()
            got = "answered"
        except mc.MilterTimeout:
            got = "ignored"
        except mc.MilterError:
            got = "closed"
        t.ok(d.alive, f"{name}: {got}", d.log()[-3000:])
    o = send(d, [FROM, SUBJECT], BODY)
    t.is_(Authres(o.headers[0][1]).result("dmarc"), "pass", "still right")


def test_outbound(t, d):
    """The signer gets the same: signs or says why not, never crashes."""
    for name, fields, body, _, _ in MESSAGES:
        with t.group(name):
            o = d.send((fields, body), "<alice@example.org>", login="alice",
                       timeout=60)
            forged = [v for v in o.fields("Authentication-Results")
                      if v.startswith("mx.test")]
            t.ok(o.verdict in ("accept", "replycode", "tempfail") and
                 not o.problems and (not forged or o.verdict != "accept"),
                 f"outbound: {name}", o.verdict, o.reply, o.problems)


def test_memory(t, d):
    """A thousand messages more need no more memory."""
    def rounds(n):
        with mc.Connection(d.address) as c:
            s = mc.Session(c, macros=mc.standard_macros())
            s.connect(CLIENT)
            s.helo("h.example")
            for _ in range(n):
                s.message((([FROM, SUBJECT,
                             [b"DKIM-Signature", BAD_SIGNATURE]]), BODY),
                          "<alice@example.org>", ["<a@b>"])
            s.quit()
        return d.memory()
    first = rounds(200)
    second = rounds(400)
    t.ok(second - first < 24 << 20, "memory after 400 more messages",
         first, second)


def main():
    t = Tap(280)
    with Daemon(start=False) as files:
        key = Key(files.dir, "k")
        with Daemon(zone=ZONE + key_record("example.org", "s1", key),
                    domains={"example.org": [("s1", key.path)]}) as d:
            for test in (test_messages, test_envelopes, test_big,
                         test_out_of_order, test_outbound, test_memory):
                with t.group(test.__name__):
                    test(t, d)
            if have_dkimpy():
                with t.group("test_big_signed"):
                    test_big_signed(t, d, key)
            else:
                t.skip("a signed body of several MB", "no python3-dkim")
            check_end(t, d, "bad input")
    t.done()


if __name__ == "__main__":
    main()
