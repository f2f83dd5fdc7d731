"""DNSSEC behind the real daemon: signed, damaged, unsigned, denied.

A name server of the tests' own serves a signed root with signed and unsigned
zones below it; the daemon trusts its key.  What is bogus must be a temporary
error of SPF and DMARC, never "none" or "pass" (RFC 4035 5.5, RFC 7208 4.4).
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from authres import Authres  # noqa: E402
from daemon import Daemon, check_end, mailseal  # noqa: E402
from material import crlf  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

try:
    from dns_server import Server
    from dns_zone import SignedZone, Zone
except ImportError as e:
    skip_all(f"dnspython or cryptography is missing: {e}")

CLIENT = "192.0.2.10"
BOGUS = "DNSSEC validation failed"
SPF = 'TXT "v=spf1 ip4:192.0.2.10 -all"'
DMARC = 'TXT "v=DMARC1; p=reject"'
SECURE = f"""\
good.example {SPF}
_dmarc.good.example {DMARC}
www.good.example A 192.0.2.1
alias.good.example CNAME good.example
changed.good.example {SPF}
late.good.example {SPF}
bare.good.example {SPF}
include.good.example TXT "v=spf1 include:changed.good.example -all"
mx.good.example TXT "v=spf1 mx -all"
mx.good.example MX 10 host.mx.good.example
host.mx.good.example A 192.0.2.10
_dmarc.mx.good.example {DMARC}
"""
UNSIGNED = f"""\
unsigned.example {SPF}
_dmarc.unsigned.example {DMARC}
"""


def zones():
    """The root, signed and unsigned zones, one whose DS is of another key."""
    root = SignedZone("unsigned.example NS ns.invalid")
    good = SignedZone(SECURE, "good.example",
                      tampered=["changed.good.example"],
                      expired=["late.good.example"],
                      stripped=["bare.good.example"])
    # of its own, so that no NSEC seen before denies the name (RFC 8198)
    opaque = SignedZone(apex="opaque.example",
                        unproven=["hidden.opaque.example"])
    forged = SignedZone(f"forged.example {SPF}", "forged.example")
    root.delegate(good)
    root.delegate(opaque)
    root.delegate(SignedZone(apex="forged.example"))
    return [root, good, opaque, forged,
            Zone(UNSIGNED, "unsigned.example")]


def ask(d, domain):
    """(Authentication-Results, its SPF result) for mail from the domain."""
    message = crlf(f"From: a@{domain}\nTo: b@example.net\nSubject: x\n\nx\n")
    o = d.send(message, f"<a@{domain}>", client=CLIENT, helo="[192.0.2.10]")
    found = Authres(o.fields("Authentication-Results")[0])
    spf = [r for r in found.all("spf") if r.prop("smtp.mailfrom")]
    return found, spf[0] if spf else None


def is_spf(t, d, domain, wanted, reason, name):
    _, spf = ask(d, domain)
    t.is_((spf.result, spf.reason), (wanted, reason), name)


def test_secure(t, d):
    found, spf = ask(d, "good.example")
    t.is_(spf.result, "pass", "a signed zone: spf=pass")
    t.is_(found.result("dmarc"), "pass", "a signed zone: dmarc=pass")
    is_spf(t, d, "alias.good.example", "pass", None, "a signed CNAME")
    is_spf(t, d, "mx.good.example", "pass", None, "signed MX and A")


def test_bogus(t, d):
    for domain, what in (
            ("changed.good.example", "a changed record"),
            ("late.good.example", "an expired signature (RFC 4035 5.3.1)"),
            ("bare.good.example", "missing signatures"),
            ("forged.example", "a zone signed by another key than its DS"),
            ("include.good.example", "a changed record in an include")):
        is_spf(t, d, domain, "temperror", BOGUS, f"{what}: temperror")
    found, _ = ask(d, "forged.example")
    t.is_(found.result("dmarc"), "temperror", "bogus: dmarc=temperror")


def test_insecure(t, d):
    found, spf = ask(d, "unsigned.example")
    t.is_(spf.result, "pass", "an unsigned delegation works (RFC 4035 5.2)")
    t.is_(found.result("dmarc"), "pass", "and its DMARC record is found")


def test_denial(t, d):
    is_spf(t, d, "absent.good.example", "none", "no SPF record",
           "a name that is proven not to exist (RFC 4035 5.4)")
    is_spf(t, d, "www.good.example", "none", "no SPF record",
           "a type that is proven not to exist")
    is_spf(t, d, "hidden.opaque.example", "temperror", BOGUS,
           "a denial without proof is no denial")


def test_trace(t, s, anchor):
    """`mailseal spf --trace` tells which answers are validated."""
    for domain, answer in (
            ("good.example", "found 1 record, TTL 300, secure"),
            ("absent.good.example", "no such name, TTL 60, secure"),
            ("unsigned.example", "found 1 record, TTL 300"),
            ("changed.good.example", "temporary failure: " + BOGUS)):
        status, out, err = mailseal("spf", domain, "--ip", CLIENT, "--server",
                                    s.address, "--trust-anchor", anchor,
                                    "--trace")
        lines = out.decode().splitlines()
        t.ok(status == 0 and f"{domain} TXT: {answer}" in lines,
             f"trace: {domain}: {answer}", out, err)
    _, out, err = mailseal("spf", "good.example", "--ip", CLIENT, "--server",
                           s.address, "--trace")
    t.ok(b"TXT: found" in out and b"secure" not in out,
         "trace: without an anchor nothing is secure", out, err)


def test_off(t, s):
    """The same server without validation: the checks above can fail."""
    with Daemon(resolver=f'servers = [ "{s.address}" ];') as d:
        _, spf = ask(d, "late.good.example")
        t.is_(spf.result, "pass", "without dnssec an expired signature passes")
        # the last byte of "-all" is another one: a syntax error
        _, spf = ask(d, "changed.good.example")
        t.is_(spf.result, "permerror", "without dnssec the change passes")
        _, spf = ask(d, "hidden.opaque.example")
        t.is_(spf.result, "none", "without dnssec no proof is asked for")


def main():
    t = Tap(120)
    tree = zones()
    with Server(zones=tree) as s, Daemon(start=False) as d:
        anchor = d.write("anchor", tree[0].ds() + "\n")
        with Daemon(resolver=f'servers = [ "{s.address}" ]; dnssec = true; '
                             f'trust_anchor = "{anchor}"; '
                             "query_timeout = 15000;") as validating:
            for test in (test_secure, test_bogus, test_insecure, test_denial):
                with t.group(test.__name__):
                    test(t, validating)
            t.ok(s.asked(".", "DNSKEY") and s.asked("good.example", "DS"),
                 "the chain of trust was asked for", s.log())
            check_end(t, validating, "dnssec on")
        with t.group("trace"):
            test_trace(t, s, anchor)
        with t.group("off"):
            test_off(t, s)
    t.done()


main()
