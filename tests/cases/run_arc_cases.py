"""ARC (RFC 8617 5.2): chains that pass, and each fault of one, through
`mailseal verify --json` and through mailseald.

Chains come from tests/lib/chain.py; those of other implementations are in
run_arc_interop.py.
"""
import json
import os
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from authres import Authres  # noqa: E402
from chain import Sealer, name_of, split  # noqa: E402
from daemon import Daemon, check_end, mailseal  # noqa: E402
from material import Key, crlf, txt  # noqa: E402
from tap import Tap  # noqa: E402

PLAIN = crlf("""\
From: Alice <alice@author.example>
To: list@one.example
Subject: a subject
Date: Tue, 03 Nov 2026 10:00:00 +0000
Message-ID: <1@author.example>

Hello,
  this is  the body.
""")
CLIENT = "192.0.2.1"
STRUCTURE = "ARC set is incomplete"
NUMBER = "ARC field without a valid i="
MANY = "more than 50 ARC sets"
ORDER = "cv= does not fit its place"
SEVERAL = "several ARC fields of one kind and instance"
SEAL = "ARC-Seal did not verify"
SIGNATURE = "ARC-Message-Signature did not verify"
BODY = "body hash did not verify"
ENDED = "the newest seal says cv=fail"


class World:
    """Sealers and the zone of their keys."""

    def __init__(self, directory):
        rsa, other = Key(directory, "rsa"), Key(directory, "other")
        ed = Key(directory, "ed", "ed25519")
        weak = {n: Key(directory, f"w{n}", bits=n) for n in (512, 768)}
        self.keys = {"rsa": rsa, "other": other, "ed": ed}
        self.one = Sealer("one.example", "s", rsa)
        self.two = Sealer("two.example", "s", other)
        self.ed = Sealer("ed.example", "s", ed)
        self.short = {n: Sealer(f"rsa{n}.example", "s", k)
                      for n, k in weak.items()}
        self.idn = Sealer("b\u00fccher.example", "s", rsa)
        self.named = {n: Sealer(f"{n}.example", "s", rsa) for n in (
            "missing", "revoked", "several", "servfail", "timeout", "other",
            "sha1", "web", "wrongtype", "badkey")}
        self.records = {
            "one.example": rsa.record(), "two.example": other.record(),
            "ed.example": ed.record(),
            "xn--bcher-kva.example": rsa.record(),
            "revoked.example": "v=DKIM1; p=",
            "other.example": other.record(),
            "sha1.example": rsa.record(" h=sha1;"),
            "web.example": rsa.record(" s=web;"),
            "wrongtype.example": ed.record(),
            "badkey.example": "v=DKIM1; p=AAAA"}
        for n, k in weak.items():
            self.records[f"rsa{n}.example"] = k.record()
        self.records = {f"s._domainkey.{n}": r
                        for n, r in self.records.items()}
        self.zone = "".join(txt(n, r) for n, r in self.records.items())
        self.zone += txt("s._domainkey.several.example", rsa.record())
        self.zone += txt("s._domainkey.several.example", other.record())
        self.zone += "s._domainkey.servfail.example TXT !SERVFAIL\n"
        self.zone += "s._domainkey.timeout.example TXT !TIMEOUT\n"

    def chain(self, n, message=PLAIN):
        sealers = (self.one, self.two, self.ed)
        for i in range(n):
            message = sealers[i % 3].seal(message)
        return message


class Case:
    """`reason` None: pass.  `smtp`: this can come through an MTA."""

    def __init__(self, name, message, reason=None, oldest=0, temporary=False,
                 smtp=True, result=None, log=None):
        self.name, self.message, self.reason = name, message, reason
        self.oldest, self.temporary, self.smtp = oldest, temporary, smtp
        self.result = result or ("pass" if reason is None else "fail")
        self.log = log


def without(message, kind, i):
    """`message` without that field of set `i`."""
    fields, body = split(message)
    left = [f for f in fields if not (name_of(f) == kind and
                                      re.search(rb"[: ]i=%d;" % i, f))]
    assert len(left) + 1 == len(fields)
    return b"".join(left) + b"\r\n" + body


def swap(message, old, new, times=1):
    assert old in message, old
    return message.replace(old, new, times)


def break_b(message, kind, i):
    """The signature in that field of set `i` is of something else."""
    fields, body = split(message)
    for n, f in enumerate(fields):
        if name_of(f) == kind and re.search(rb"[: ]i=%d;" % i, f):
            at = f.index(b" b=") + 20
            other = b"B" if f[at:at + 1] != b"B" else b"C"
            fields[n] = f[:at] + other + f[at + 1:]
            return b"".join(fields) + b"\r\n" + body
    raise ValueError(kind)


def chains(w):
    yield Case("no set", PLAIN, result="none")
    for n in (1, 2, 3, 10, 50):
        yield Case(f"{n} sets", w.chain(n))
    yield Case("one sealer, Ed25519", w.ed.seal(PLAIN))
    yield Case("set below other fields", crlf("X-Top: x\n") + w.chain(2))
    yield Case("without From in h=",
               w.one.seal(PLAIN, names="to:subject"))
    yield Case("h= with the other fields of ARC", w.two.seal(
        w.one.seal(PLAIN), names="from:arc-authentication-results:"
        "arc-message-signature"))
    yield Case("v= in the signature (4.1.2)", w.one.seal(PLAIN, more="v=1;"))
    yield Case("without c=", w.one.seal(PLAIN, canon=""))
    yield Case("unknown tags", w.one.seal(PLAIN, more="zz=1;",
                                          seal={"more": "zz=1; t=1;"}))


def numbers(w):
    three = w.chain(3)
    yield Case("gap", w.two.seal(w.one.seal(PLAIN), i=3), STRUCTURE)
    yield Case("begins at 2", w.one.seal(PLAIN, i=2), STRUCTURE)
    for kind in (b"arc-seal", b"arc-message-signature",
                 b"arc-authentication-results"):
        for i in (1, 2, 3):
            yield Case(f"no {kind.decode()} in set {i}",
                       without(three, kind, i), STRUCTURE)
    fields, _ = split(three)
    for n, kind in ((0, "seal"), (4, "signature"), (8, "results")):
        yield Case(f"duplicate: {kind}", fields[n] + three, SEVERAL)
    yield Case("two sets with i=1", w.two.seal(w.one.seal(PLAIN), i=1,
                                               cv="none"), SEVERAL)
    many = ("51", "256", "4294967297", "18446744073709551617")
    for i in many + ("0", "01", "051", "-1", "+1", "1 1", "", "x", "0x1",
                     "1.0", "51x", "'1'"):
        for kind in ("Seal: i=", "Message-Signature: i=",
                     "Authentication-Results: i="):
            name = f"ARC-{kind}".encode()
            yield Case(f"{name.decode()}{i}", swap(
                w.one.seal(PLAIN), name + b"1;", name + i.encode() + b";"),
                MANY if i in many else NUMBER)
    whole = w.chain(50)
    yield Case("51 sets", w.one.seal(whole), MANY,
               log="arc=fail (")
    yield Case("1000 fields, i=1", crlf("ARC-Seal: i=1; cv=none\n" * 1000)
               + PLAIN, None, result="fail")
    yield Case("300 fields, no i=", crlf("ARC-Seal: x\n" * 300) + PLAIN,
               "syntax error in tag list")


def verdicts(w):
    one, two = w.one.seal(PLAIN), w.chain(2)
    yield Case("cv=pass at 1", w.one.seal(PLAIN, cv="pass"), ORDER)
    yield Case("cv=none at 2", w.two.seal(one, cv="none"), ORDER)
    yield Case("cv=fail at 2, passed on",
               w.one.seal(w.two.seal(one, cv="fail")), ORDER)
    yield Case("cv=fail newest", w.two.seal(one, cv="fail"), ENDED)
    yield Case("cv=FAIL newest", w.two.seal(one, cv="FAIL"), ENDED)
    yield Case("cv=fail alone", w.one.seal(PLAIN, cv="fail"), ENDED)
    # step 2 of 5.2 comes before step 3
    yield Case("cv=fail over a gap", w.two.seal(one, i=3, cv="fail"), ENDED)
    yield Case("cv=fail over a duplicate", w.two.seal(
        split(two)[0][0] + two, cv="fail"), ENDED)
    yield Case("cv=fail over i=0", w.two.seal(
        crlf("ARC-Seal: i=0; cv=none\n") + one, i=2, cv="fail"), ENDED)
    yield Case("cv=maybe", w.one.seal(PLAIN, cv="maybe"),
               "cv= is missing or unknown")
    yield Case("no cv=", swap(one, b"cv=none; ", b""),
               "cv= is missing or unknown")
    yield Case("AS with h=", w.one.seal(PLAIN, seal={"more": "h=from;"}),
               "ARC-Seal with h=")
    yield Case("h= with arc-seal", w.two.seal(
        one, names="from:ARC-Seal"), "h= with ARC-Seal")
    yield Case("AS(1) broken", break_b(two, b"arc-seal", 1), SEAL)
    yield Case("AS(2) broken", break_b(two, b"arc-seal", 2), SEAL)
    yield Case("AMS(2) broken", break_b(two, b"arc-message-signature", 2),
               SIGNATURE)
    yield Case("AMS(1) broken under seals", break_b(
        two, b"arc-message-signature", 1), SEAL)
    bad = one.replace(b"Subject: a", b"Subject: [list] a")
    yield Case("changed between 1 and 2", w.two.seal(bad), oldest=2)
    yield Case("changed between 1 and 2, of 3",
               w.ed.seal(w.two.seal(bad)), oldest=2)
    yield Case("changed between 2 and 3", w.ed.seal(
        w.two.seal(one).replace(b"Hello", b"Other")), oldest=3)
    yield Case("AMS(1) unreadable", w.two.seal(
        w.one.seal(PLAIN, algorithm="rsa-sha1", seal={
            "algorithm": "rsa-sha256"})), oldest=2)
    yield Case("body changed", swap(two, b"Hello", b"Other"), BODY)
    yield Case("body longer", two + b"more\r\n", BODY)
    yield Case("header changed", swap(two, b"Subject: a", b"Subject: b"),
               SIGNATURE)
    yield Case("field not in h= changed", swap(
        two, b"Tue, 03 Nov", b"Wed, 04 Nov"))
    yield Case("AAR changed", swap(two, b"mx.sealer.test; none",
                                   b"mx.sealer.test; dmarc=pass"), SEAL)


def keys(w):
    reasons = {"missing": "no key", "revoked": "no key", "several": "no key",
               "sha1": "no key", "web": "no key", "wrongtype": "no key",
               "other": SIGNATURE}
    for name, reason in reasons.items():
        yield Case(f"key: {name}", w.named[name].seal(PLAIN), reason)
        yield Case(f"key of the first seal: {name}", w.two.seal(
            w.named[name].seal(PLAIN)), reason if name != "other" else SEAL)
    yield Case("key: unreadable", w.named["badkey"].seal(PLAIN), "",
               result="fail")
    for n, sealer in w.short.items():
        yield Case(f"RSA of {n} bits", sealer.seal(PLAIN),
                   "key too short or too long")
    for name in ("servfail", "timeout"):
        first = w.named[name].seal(PLAIN)
        yield Case(f"DNS: {name}", first, "", temporary=True, result="fail")
        yield Case(f"DNS: {name}, first seal", w.two.seal(first), "",
                   temporary=True, result="fail")
        yield Case(f"DNS: {name}, and no c=", w.named[name].seal(
            PLAIN, canon=""), "", temporary=True, result="fail")
        yield Case(f"DNS: {name}, but the body changed",
                   swap(first, b"Hello", b"Other"), BODY)
    yield Case("rsa-sha1: signature", w.one.seal(PLAIN, algorithm="rsa-sha1"),
               "a= is missing or not accepted")
    yield Case("rsa-sha1: seal", w.one.seal(
        PLAIN, seal={"algorithm": "rsa-sha1"}),
        "a= is missing or not accepted")
    size = len(PLAIN.partition(b"\r\n\r\n")[2]) - 1  # two spaces are one
    size -= 1
    yield Case("l= of the whole body", w.one.seal(PLAIN, more=f"l={size};"))
    yield Case("l=, and an addition", w.one.seal(
        PLAIN, more=f"l={size};") + b"more\r\n", "l= does not cover the body")
    yield Case("l= too small", w.one.seal(PLAIN, more="l=1;"), BODY)
    yield Case("l=x", w.one.seal(PLAIN, more="l=x;"), "l= is malformed")


def forms(w):
    two = w.chain(2)
    fields, body = split(two)
    rest = b"".join(fields[1:]) + b"\r\n" + body
    yield Case("newest seal refolded", re.sub(
        rb"; ", b";\r\n\t", fields[0]) + rest)
    at = fields[0].index(b" b=") + 23
    yield Case("newest b= folded", fields[0][:at] + b"\r\n  " +
               fields[0][at:] + rest)
    yield Case("old b= folded", swap(two, fields[3], fields[3][:at] +
                                     b"\r\n  " + fields[3][at:]), SEAL)
    yield Case("unfolded", swap(two, b";\r\n bh=", b"; bh=", 2))
    yield Case("names in other case", b"".join(
        f.replace(b"ARC-", b"arc-", 1) for f in fields) + b"\r\n" + body)
    aar = "ARC-Authentication-Results: {cfws} i {cfws} = {cfws} {{i}} " \
        "{cfws} ; {{results}}\r\n"
    for cfws in ("(c)", "((a)b;c)", "(\\))", "(;)", "\r\n\t", "(a\r\n b)",
                 "(a)(b)"):
        yield Case(f"AAR: i= with {cfws!r}", w.one.seal(
            PLAIN, aar=aar.format(cfws=cfws)))
    for text in ("i={i} (; x; y\r\n", "(i={i}; x; y\r\n", "i={i}\r\n",
                 "i={i};\r\n", "x; i={i}; y\r\n", "i=(x;\r\n", "=1;x\r\n",
                 "i={i} 2; x\r\n", "i={i} x; y\r\n", "j={i}; y\r\n",
                 "i=1(a)0; y\r\n"):
        yield Case(f"AAR: {text.strip()!r}", w.one.seal(
            PLAIN, aar="ARC-Authentication-Results: " + text), NUMBER)
    yield Case("U-label", w.idn.seal(PLAIN), log="arc=pass:xn--bcher-kva.")
    yield Case("d= with a dot at the end", swap(
        w.one.seal(PLAIN), b"d=one.example;", b"d=one.example.;", 2),
        "d= or s= is missing or no domain")
    one = w.one.seal(PLAIN)
    yield Case("b= with a comment", swap(one, b"; b=", b"; b=(x)", 1),
               "b= is missing or malformed")
    yield Case("duplicate tag", swap(one, b"cv=none;", b"cv=none; cv=none;"),
               "duplicate tag")
    yield Case("NUL in the body", w.one.seal(PLAIN + b"a\0b\r\n"))
    for kind in (b"ARC-Seal: ", b"ARC-Message-Signature: ",
                 b"ARC-Authentication-Results: "):
        yield Case(f"NUL in {kind.decode()}", swap(
            one, kind, kind + b"\0"), "", smtp=False, result="fail")


class Runner:
    def __init__(self, tap, world, daemon):
        self.t, self.w, self.d = tap, world, daemon

    def check_json(self, c):
        status, out, err = mailseal(
            "verify", "--ip", CLIENT, "--from", "<x@one.example>", "--zone",
            self.d.zone_file, "--json", stdin=c.message)
        arc = json.loads(out)["arc"] if status == 0 else {"result": err}
        self.t.is_(arc["result"], c.result, f"{c.name}: {c.result}", arc)
        if c.result != "fail":
            self.t.is_(arc.get("reason"), None, f"{c.name}: no reason")
        elif c.reason:
            self.t.is_(arc.get("reason"), c.reason, f"{c.name}: reason")
        else:
            self.t.ok(arc.get("reason"), f"{c.name}: has a reason", arc)
        self.t.is_(arc.get("temporary"), c.temporary, f"{c.name}: temporary")
        self.t.is_(arc.get("oldest_pass"), c.oldest
                   if c.result == "pass" else None, f"{c.name}: oldest-pass")
        return arc

    def log_line(self, n):
        end = time.monotonic() + 10
        while time.monotonic() < end:
            lines = [x for x in self.d.log().splitlines() if " arc=" in x]
            if len(lines) > n:
                return lines[n]
            time.sleep(0.01)
        return ""

    def check_daemon(self, c, number, arc):
        outcome = self.d.send(c.message, "<x@one.example>", client=CLIENT)
        found = Authres(outcome.field("Authentication-Results")).all("arc")
        line = self.log_line(number)
        self.t.has(line, f" {c.log or 'arc=' + c.result}", f"{c.name}: log")
        got = [(r.result, r.reason, r.prop("smtp.remote-ip"),
                r.prop("header.oldest-pass")) for r in found]
        oldest = str(c.oldest) if c.result == "pass" else None
        self.t.is_(got, [(c.result, arc.get("reason"), CLIENT, oldest)],
                   f"{c.name}: A-R", outcome.field("Authentication-Results"))
        if c.result == "fail":
            self.t.has(line, f"({arc.get('reason')})", f"{c.name}: log says")

    def run(self, cases):
        number = 0
        for c in cases:
            with self.t.group(c.name):
                arc = self.check_json(c)
                if c.smtp:
                    number += 1
                    self.check_daemon(c, number - 1, arc)


def main():
    t = Tap(280)
    files = Daemon(start=False)
    w = World(files.dir)
    with Daemon(zone=w.zone, internal=()) as d:
        Runner(t, w, d).run(c for part in (
            chains, numbers, verdicts, keys, forms) for c in part(w))
        check_end(t, d)
    files.close()
    t.done()


if __name__ == "__main__":
    main()
