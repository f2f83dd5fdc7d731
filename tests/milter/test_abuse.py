"""What one message can cost: more and larger parts than any mail has.

Each case is played in two sizes, the larger ten times the smaller.  The CPU
may at most be in proportion, with room for noise, and the memory must stay
what the limits allow.  All with the default limits, where what is over them
is no longer examined, and with the highest ones, where it is.  The figures
are printed.

MAILSEAL_ABUSE=whole in the environment plays the large bodies in full: 1 GB,
and 5 MB in pieces of one byte.
"""
import itertools
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from cost import Meter, tell  # noqa: E402
from daemon import Daemon, check_end  # noqa: E402
from material import Key  # noqa: E402
from tap import Tap  # noqa: E402
from wire import (ABORT, END, message, packet, play, stream)  # noqa: E402

WHOLE = os.environ.get("MAILSEAL_ABUSE") == "whole"
# Ten times as much may cost ten times as much, and half of that for noise:
# what is quadratic costs a hundred times.
FACTOR = 15
# Bytes resident beyond what was before.  The header may be there three times:
# as it came, parsed and canonical.  Of a body, less than the smallest here.
HEADER_ROOM = 3 * 4194304
BODY_ROOM = 8 << 20
# One for each signature that is verified, and the message's own: SPF of MAIL
# and of HELO, DMARC, and the same for a list's author.
QUESTIONS = 50 + 20
HIGHEST = """limits = { header_fields = 10000; field_size = 1048576;
  header_size = 4194304; };
dkim = { max_signatures = 50; };
"""
SEAL = """arc = { seal = ( { domain = "example.org"; } ); };
awareness = { subject_tag = "[EXTERNAL] "; };
"""
LOGIN = packet(b"D", b"M{auth_authen}\0alice\0{auth_type}\0PLAIN\0")
FROM = (b"From", b" alice@example.org")
BH = b"g3zLYH4xKxcPrHOD18z9YfpQcnk/GaJedfustWU5uGs="
SIZES = (6500, 65000)


def long_txt(name, start, n):
    """A record of n bytes; an answer has at most 65,535."""
    rest = " ".join([f'"{"x" * 250}"'] * ((n - len(start)) // 251))
    return f'{name} TXT "{start}" {rest}\n'


ZONE = """\
example.org TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.example.org TXT "v=DMARC1; p=reject"
""" + "".join(long_txt(f"spf{n}.example", "v=spf1 ip4:192.0.2.11 ", n) +
              long_txt(f"s1._domainkey.key{n}.example", "v=DKIM1; p=", n) +
              long_txt(f"_dmarc.dmarc{n}.example", "v=DMARC1; p=reject; x=",
                       n) for n in SIZES)


def signature(d=b"example.org", h=b"from", b=b"AAAA", more=b""):
    return (b"DKIM-Signature", b" v=1; a=rsa-sha256; c=relaxed/relaxed; d=" +
            d + b"; s=s1; h=" + h + b"; " + more + b"bh=" + BH + b"; b=" + b)


def arc_set(i):
    n = b" i=%d; " % i
    seal = b"a=rsa-sha256; d=example.org; s=s1; t=1700000000; "
    return [(b"ARC-Authentication-Results", n + b"mx.test; spf=pass"),
            (b"ARC-Message-Signature", n + seal + b"c=relaxed/relaxed; h=from;"
             b" bh=" + BH + b"; b=" + b"A" * 344),
            (b"ARC-Seal", n + seal + (b"cv=pass; " if i > 1 else b"cv=none; ")
             + b"b=" + b"A" * 344)]


def from_of(values, between=b","):
    return [(b"From", b" " + between.join(values))]


def mime_nest(n):
    return b"".join(b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d"
                    b"\r\n\r\n" % (i, i + 1) for i in range(n))


PLAIN = message([FROM])
# (name with {} for the number, smaller number, wire of that many); each is
# played ten times as large, too
CASES = [
    ("{} recipients", 1000, lambda n: message(
        [FROM], rcpts=[b"<r%d@example.net>" % i for i in range(n)])),
    ("{} headers", 1000, lambda n: message(
        [FROM] + [(b"X-%d" % i, b" y") for i in range(n - 1)])),
    ("{} headers of one name", 1000, lambda n: message(
        [FROM] + [(b"X", b" y")] * (n - 1))),
    ("{} Received fields", 1000, lambda n: message(
        [(b"Received", b" from a.example (a.example [192.0.2.1])\n\tby b;"
          b" Thu, 1 Jan 1970 00:00:00 GMT")] * (n - 1) + [FROM])),
    ("{} fields of 64 KB", 6, lambda n: message(
        [FROM] + [(b"X-%d" % i, b" " + b"y" * 65400) for i in range(n)])),
    ("{} field names of 64 KB", 6, lambda n: message(
        [FROM] + [(b"X-%d-" % i + b"y" * 65400, b" z") for i in range(n)])),
    ("a field of {} bytes", 100000, lambda n: message(
        [FROM, (b"Subject", b" " + b"y" * n)])),
    ("{} folds in a field", 10000, lambda n: message(
        [FROM, (b"To", b"\n a@b," * n)])),
    ("{} From fields", 1000, lambda n: message([FROM] * n)),
    ("From with {} addresses", 100, lambda n: message(
        from_of(b"a%d@d%d.example" % (i, i) for i in range(n)))),
    ("From with {} nested comments", 1000, lambda n: message(
        from_of([b"(" * n + b"a@example.org"]))),
    ("From with {} comments", 1000, lambda n: message(
        from_of([b"a@example.org"] + [b"(c)"] * n, b" "))),
    ("From with {} quotes", 1000, lambda n: message(
        from_of([b'"\\"' * n + b"a@example.org"]))),
    ("From with {} encoded words", 100, lambda n: message(
        from_of([b"=?utf-8?q?a?="] * n + [b"<a@example.org>"], b" "))),
    ("From with {} groups", 100, lambda n: message(
        from_of(b"g: a@d%d.example;" % i for i in range(n)))),
    ("{} signatures", 100, lambda n: message(
        [signature()] * (n - 1) + [FROM])),
    ("{} signatures of as many domains", 100, lambda n: message(
        [signature(b"d%d.example" % i) for i in range(n - 1)] + [FROM])),
    ("a signature of {} tags", 1000, lambda n: message(
        [signature(more=b"".join(b"x%d=1; " % i for i in range(n))), FROM])),
    ("a signature with b= of {} bytes", 100000, lambda n: message(
        [signature(b=b"A" * n), FROM])),
    ("a signature with h= of {} names", 1000, lambda n: message(
        [signature(h=b"from" + b":x" * n), FROM])),
    ("ten signatures with h= of {} names", 20, lambda n: message(
        [signature(h=b"from" + b":x" * n)] * 10 + [FROM] +
        [(b"X", b" y")] * 200)),
    ("{} ARC sets", 5, lambda n: message(
        [f for i in range(n, 0, -1) for f in arc_set(i)] + [FROM])),
    ("{} ARC fields of one instance", 60, lambda n: message(
        arc_set(1) * (n // 3) + [FROM])),
    ("{} forged Authentication-Results", 1000, lambda n: message(
        [(b"Authentication-Results", b" mx.test; dmarc=pass")] * (n - 1) +
        [FROM])),
    ("an Authentication-Results of {} results", 1000, lambda n: message(
        [(b"Authentication-Results", b" mx.test" + b"; spf=pass" * n),
         FROM])),
    ("a MIME nest of {}", 1000, lambda n: message(
        [FROM, (b"Content-Type", b" multipart/mixed; boundary=b0")],
        body=mime_nest(n))),
    ("an SPF record of {} bytes", SIZES[0], lambda n: message(
        [FROM], sender=b"<a@spf%d.example>" % n)),
    ("a key record of {} bytes", SIZES[0], lambda n: message(
        [signature(b"key%d.example" % n), FROM])),
    ("a DMARC record of {} bytes", SIZES[0], lambda n: message(
        [(b"From", b" a@dmarc%d.example" % n)])),
    ("{} times HELO", 1000, lambda n: packet(b"H", b"h.example\0") * n +
     PLAIN),
    ("{} times MAIL, RCPT, abort", 1000, lambda n:
     (PLAIN[:-len(END)] + ABORT) * n + PLAIN),
    ("{} macros, one at a time", 1000, lambda n: b"".join(
        packet(b"D", b"M{x%d}\0v\0" % i) for i in range(n)) + PLAIN),
    ("{} macros at once", 1000, lambda n: packet(b"D", b"M" + b"".join(
        b"{x%d}\0v\0" % i for i in range(n))) + PLAIN),
    ("macros of {} bytes", 100000, lambda n: b"".join(
        packet(b"D", s + b"i\0" + b"q" * n + b"\0") for s in
        (b"M", b"R", b"N", b"E")) + PLAIN),
]
# (name, number of pieces, fields, piece)
LARGE = 100 if WHOLE else 1
BODIES = [
    ("a body of {} KB", 1000 * LARGE, [FROM], b"x" * 998 + b"\r\n"),
    ("a signed body of {} KB", 1000 * LARGE, [signature(), FROM],
     b"x" * 998 + b"\r\n"),
    ("a signed body of {} KB of CR", 1000, [signature(), FROM], b"\r" * 1000),
    ("a signed body of {} KB of empty lines", 1000, [signature(), FROM],
     b"\r\n" * 500),
    ("a signed body of {} KB of spaces", 1000, [signature(), FROM],
     b" " * 1000),
    ("a body of {} pieces of a byte", 5000 * LARGE, [signature(), FROM],
     b"x"),
]


class Abuser:
    """A daemon to abuse; `first` is what comes before each message."""

    def __init__(self, tap, daemon, name, first):
        self.t, self.d, self.name, self.first = tap, daemon, name, first
        self.meter = Meter(daemon.process.pid)
        for _ in range(5):  # what is made once
            play(daemon.address, [first, PLAIN])
        self.plain = min(self.cost([PLAIN]).cpu for _ in range(5))

    def cost(self, wire):
        """Of one message; with its reply and Authentication-Results."""
        with self.meter.case(None) as c:
            c.reply, edits = play(self.d.address,
                                  itertools.chain([self.first], wire))
        c.added = [e for e in edits if e[0] == "insheader"]
        return c

    def asked(self):
        """Questions for the last message."""
        found = re.findall(r" dns=(\d+)/", self.d.log())
        return int(found[-1]) if found else 0

    def case(self, name, n, wire_of):
        small, big = self.cost(wire_of(n)), self.cost(wire_of(10 * n))
        asked = self.asked()
        for _ in range(4):  # noise
            small.cpu = max(small.cpu, self.plain)
            if big.cpu <= FACTOR * small.cpu:
                break
            big.cpu = min(big.cpu, self.cost(wire_of(10 * n)).cpu)
        name = f"{self.name}: {name.format(f'{10 * n:,}')}"
        tell(name, big, f", {big.cpu / small.cpu:.1f} times a tenth, "
             f"{asked} questions")
        self.t.ok(big.cpu <= FACTOR * small.cpu, f"{name}: CPU",
                  f"{big.cpu} s, a tenth: {small.cpu} s")
        self.t.ok(asked <= QUESTIONS, f"{name}: DNS", asked)
        return name, big

    def header(self, case, n, wire_of):
        name, big = self.case(case, n, lambda n: [wire_of(n)])
        self.t.ok(big.grown <= HEADER_ROOM, f"{name}: memory", big.grown)
        self.truth(name, big)

    def body(self, case, n, fields, piece):
        name, big = self.case(case, n, lambda n: stream(fields, piece, n))
        self.t.ok(big.grown <= BODY_ROOM, f"{name}: memory", big.grown)
        self.truth(name, big)

    def truth(self, name, cost):
        """Nothing here has a good signature, and mail flows."""
        values = [e[3] for e in cost.added
                  if e[2] == "Authentication-Results"]
        good = cost.reply.verdict == "accept" and \
            (len(values) == 1 or bool(self.first)) and \
            not any("dkim=pass" in v for v in values)
        self.t.ok(good, f"{name}: a truthful result", cost.reply, values)


def abuse(t, name, bodies=(), first=b"", **config):
    with Daemon(zone=ZONE, **config) as d:
        a = Abuser(t, d, name, first)
        for case in CASES:
            with t.group(case[0]):
                a.header(*case)
        for case in bodies:
            with t.group(case[0]):
                a.body(*case)
        check_end(t, d, name)


def main():
    t = Tap(3000 if WHOLE else 280)
    with Daemon(start=False) as files:
        key = Key(files.dir, "k")
        own = {"example.org": [("s1", key.path)]}
        abuse(t, "default limits")
        abuse(t, "highest limits", BODIES, extra=HIGHEST + SEAL, domains=own)
        abuse(t, "signing", BODIES[:1], LOGIN, extra=HIGHEST, domains=own)
    t.done()


if __name__ == "__main__":
    main()
