"""`mailseal spf`: its lines, its trace, its refusals.

What a policy means is tested in tests/cases; here is what an administrator
sees of it.  Answers come from zone files or from a name server on the loopback.
"""
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from tap import Tap  # noqa: E402

try:
    from dns_server import Server
    from dns_zone import SignedZone
except ImportError:  # dnspython or cryptography is missing
    Server = None

PROGRAM = os.path.join(os.environ.get("MAILSEAL_BUILDDIR", "."), "mailseal")
EX_USAGE, EX_CONFIG = 64, 78

ZONE = r"""
example.com TXT "v=spf1 include:_spf.mail.example mx exp=why.example.com -all"
example.com TXT "site-verification=1"
example.com 60 MX 10 mx.example.com
mx.example.com A 192.0.2.25
mx.example.com TXT "v=spf1 a -all"
_spf.mail.example TXT "v=spf1 ip4:192.0.2.128/28 a:gone.mail.example ?all"
why.example.com TXT "%{i} is not one of our servers."
red.example TXT "v=spf1 redirect=example.com exp=never.example"
macro.example TXT "v=spf1 exists:%{ir}.%{l}.%{h}.l.example -all"
9.2.0.192.bob.helo.example.l.example A 127.0.0.2
9.2.0.192.postmaster.macro.example.l.example A 127.0.0.2
bad.example TXT "v=spf1 ip4:192.0.2.0/24 a/33 -all"
inc.example TXT "v=spf1 include:bad.example -all"
two.example TXT "v=spf1 -all"
two.example TXT "v=spf1 +all"
evil.example TXT "v=spf1 ?all \027[31m\010\"\\ x\000y"
shout.example TXT "v=spf1 -all exp=x.shout.example"
x.shout.example TXT "See \\ %{h}"
slow.example TXT "v=spf1 a:late.example -all"
late.example A !TIMEOUT
silent.example ANY !SERVFAIL
loop.example TXT "v=spf1 include:loop.example -all"
void.example TXT "v=spf1 a:n1.example mx:n2.example exists:n3.example -all"
ptr.example TXT "v=spf1 ptr ~all"
9.2.0.192.in-addr.arpa PTR host.ptr.example
host.ptr.example A 192.0.2.9
null.example TXT "v=spf1 mx ?all"
null.example MX 0 .
v6.example TXT "v=spf1 a:six.example/0//64 -all"
six.example AAAA 2001:db8::1
empty.example A 192.0.2.1
"""

TRACE = """\
fail  (-all)
example.com explains: 192.0.2.9 is not one of our servers.

MAIL FROM, domain example.com:
example.com TXT: found 2 records, TTL 300
example.com: v=spf1 include:_spf.mail.example mx exp=why.example.com -all
  include:_spf.mail.example
    _spf.mail.example TXT: found 1 record, TTL 300
    _spf.mail.example: v=spf1 ip4:192.0.2.128/28 a:gone.mail.example ?all
      ip4:192.0.2.128/28: no match
      a:gone.mail.example
        gone.mail.example A: no such name, TTL 300
        no match
      ?all: match: neutral
    no match
  mx -> example.com
    example.com MX: found 1 record (10 mx.example.com), TTL 60
    mx.example.com A: found 1 record (192.0.2.25), TTL 300
    no match
  -all: match: fail
  exp=why.example.com
    why.example.com TXT: found 1 record, TTL 300
terms 3/10, voids 1/2, questions 6, N ms
"""

# Section of RFC 7208, arguments, all that is printed.
RESULTS = (
    ("5.2", "example.com --ip 192.0.2.129",
     "pass  (include:_spf.mail.example)\n"),
    ("5.4", "example.com --ip 192.0.2.25", "pass  (mx)\n"),
    ("5, a mapped address is IPv4", "example.com --ip ::ffff:192.0.2.25",
     "pass  (mx)\n"),
    ("6.2, 11.5.2", "example.com --ip 192.0.2.9",
     "fail  (-all)\n"
     "example.com explains: 192.0.2.9 is not one of our servers.\n"),
    ("6.2, the target of redirect explains", "red.example --ip 192.0.2.9",
     "fail  (-all)\n"
     "example.com explains: 192.0.2.9 is not one of our servers.\n"),
    ("7.2, %{l} and %{h}",
     "macro.example --ip 192.0.2.9 --sender bob --helo helo.example",
     "pass  (exists:%{ir}.%{l}.%{h}.l.example)\n"
     "HELO helo.example: none  no SPF record\n"),
    ("4.3, without them", "macro.example --ip 192.0.2.9",
     "pass  (exists:%{ir}.%{l}.%{h}.l.example)\n"),
    ("2.3", "example.com --ip 192.0.2.25 --helo mx.example.com",
     "pass  (mx)\nHELO mx.example.com: pass  (a)\n"),
    ("2.3, no domain", "example.com --ip 192.0.2.25 --helo [192.0.2.25]",
     "pass  (mx)\nHELO [192.0.2.25]: none  "
     "HELO is no multi-label domain\n"),
    ("4.6", "bad.example --ip 192.0.2.9",
     "permerror  syntax error in the SPF record\n"),
    ("5.2, permerror inside", "inc.example --ip 192.0.2.9",
     "permerror  (include:bad.example)  syntax error in the SPF record\n"),
    ("4.5", "two.example --ip 192.0.2.9",
     "permerror  more than one SPF record\n"),
    ("4.6.4, terms", "loop.example --ip 192.0.2.9",
     "permerror  (include:loop.example)  more than 10 DNS terms\n"),
    ("4.6.4, voids", "void.example --ip 192.0.2.9",
     "permerror  (exists:n3.example)  more than 2 void lookups\n"),
    ("5", "slow.example --ip 192.0.2.9",
     "temperror  (a:late.example)  time-out\n"),
    ("4.4", "silent.example --ip 192.0.2.9", "temperror  DNS server failure\n"),
    ("4.5, none", "empty.example --ip 192.0.2.9", "none  no SPF record\n"),
    ("8616 4, the domain is made canonical", "EXAMPLE.com. --ip 192.0.2.25",
     "pass  (mx)\n"),
    ("a sender with its domain",
     "example.com --ip 192.0.2.25 --sender <bob@Example.COM>",
     "pass  (mx)\n"),
    ("5.3, IPv6", "v6.example --ip 2001:db8::ffff",
     "pass  (a:six.example/0//64)\n"),
    ("11.5.3, what HELO holds is escaped",
     "shout.example --ip 192.0.2.9 --helo a\x1b[31m",
     "fail  (-all)\nshout.example explains: See \\x5c a?[31m\n"
     "HELO a\\x1b[31m: none  HELO is no multi-label domain\n"),
)

# A part of the trace that must be there as it stands.
TRACES = (
    ("6.1, redirect", "red.example --ip 192.0.2.129", """
  redirect=example.com
    example.com TXT: found 2 records, TTL 300
example.com: v=spf1 include:"""),
    ("7.2, what a macro stands for",
     "macro.example --ip 192.0.2.8 --sender bob", """
  exists:%{ir}.%{l}.%{h}.l.example -> 8.2.0.192.bob.macro.example.l.example
    8.2.0.192.bob.macro.example.l.example A: no such name, TTL 300
    no match
"""),
    ("4.6, where the mistake is", "inc.example --ip 192.0.2.9", """
    bad.example: v=spf1 ip4:192.0.2.0/24 a/33 -all
      a/33
        permerror: syntax error in the SPF record
terms 1/10, voids 0/2, questions 2, N ms
"""),
    ("4.5, both records", "two.example --ip 192.0.2.9", """
two.example TXT: found 2 records, TTL 300
two.example: v=spf1 -all
two.example: v=spf1 +all
permerror: more than one SPF record
"""),
    ("5, a temporary failure", "slow.example --ip 192.0.2.9", """
  a:late.example
    late.example A: temporary failure: time-out
    temperror: time-out
terms 1/10, voids 0/2, questions 2, N ms
"""),
    ("4.6.4, the eleventh term", "loop.example --ip 192.0.2.9", """
                                          include:loop.example
                                            permerror: more than 10 DNS terms
terms 11/10, voids 0/2, questions 1, N ms
"""),
    ("4.6.4, the third void look-up", "void.example --ip 192.0.2.9", """
  exists:n3.example
    n3.example A: no such name, TTL 300
    permerror: more than 2 void lookups
terms 3/10, voids 3/2, questions 4, N ms
"""),
    ("5.5, ptr", "ptr.example --ip 192.0.2.9", """
  ptr -> ptr.example
    9.2.0.192.in-addr.arpa PTR: found 1 record (host.ptr.example), TTL 300
    host.ptr.example A: found 1 record (192.0.2.9), TTL 300
    match: pass
"""),
    ("RFC 7505, no usable MX", "null.example --ip 192.0.2.9", """
    null.example MX: found no usable name, TTL 300
    no match
"""),
    ("5.3, AAAA", "v6.example --ip 2001:db8:1::1", """
    six.example AAAA: found 1 record (2001:db8::1), TTL 300
    no match
"""),
    ("4.5, none", "empty.example --ip 192.0.2.9", """
empty.example TXT: no data, TTL 300
terms 0/10, voids 0/2, questions 1, N ms
"""),
    ("11.3, hostile text", "evil.example --ip 192.0.2.9", r"""
evil.example: v=spf1 ?all \x1b[31m\x0a"\x5c x\x00y
  \x1b[31m\x0a"\x5c
    permerror: syntax error in the SPF record
"""),
    ("2.3, both identities",
     "example.com --ip 192.0.2.129 --helo mx.example.com", """
terms 1/10, voids 0/2, questions 2, N ms

HELO, domain mx.example.com:
mx.example.com TXT: found 1 record, TTL 300
mx.example.com: v=spf1 a -all
  a -> mx.example.com
"""),
)

# Arguments, exit status, what the one line on standard error says.
REFUSED = (
    ("", EX_USAGE, "no domain: write mailseal spf DOMAIN --ip ADDRESS"),
    ("example.com", EX_USAGE, "no client: give its address with --ip"),
    ("example.com --ip 192.0.2", EX_USAGE,
     "--ip 192.0.2 is no address: write it like 192.0.2.1 or 2001:db8::1"),
    ("a..b --ip 192.0.2.1", EX_USAGE,
     "a..b is no domain: write it like example.com"),
    ("example.com b.example --ip 192.0.2.1", EX_USAGE,
     "one domain at a time: leave b.example out"),
    ("example.com --ip 192.0.2.1 --sender a@mail.example.com", EX_USAGE,
     "--sender is not at example.com: give its own domain instead"),
    ("example.com --ip 192.0.2.1 --sender a@@example.com", EX_USAGE,
     "--sender is no address: write it like bob@example.com"),
    ("example.com --ip 192.0.2.1 --sender <>", EX_USAGE,
     "--sender <> is checked as postmaster at the HELO name: give that name "
     "as the domain"),
    ("example.com --ip", EX_USAGE, "--ip needs a value"),
    ("example.com --verbose", EX_USAGE,
     "unknown option --verbose: see mailseal(1)"),
    ("example.com --ip 192.0.2.1 --zone /dev/null --server 127.0.0.1",
     EX_USAGE, "--zone answers alone: leave --server, --recursion and "
     "--trust-anchor out"),
    ("example.com --ip 192.0.2.1 --recursion --server 127.0.0.1", EX_USAGE,
     "--recursion asks no --server: leave one of them out"),
    ("example.com --ip 192.0.2.1" + " --server 127.0.0.1" * 9, EX_USAGE,
     "more than 8 --server: leave some out"),
    ("example.com --ip 192.0.2.1 --server nowhere", EX_CONFIG,
     'bad server address "nowhere"'),
    ("example.com --ip 192.0.2.1 --zone /nonexistent/zone", EX_CONFIG,
     "/nonexistent/zone: No such file or directory"),
)


def run(arguments, *more):
    done = subprocess.run([PROGRAM, "spf", *arguments.split(), *more],
                          stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=30, check=False)
    out = re.sub(r"\d+ ms$", "N ms", done.stdout.decode("ascii"), flags=re.M)
    return done.returncode, out, done.stderr.decode("ascii")


def results(t, zone):
    for section, arguments, wanted in RESULTS:
        status, out, err = run(arguments, "--zone", zone)
        t.is_((status, out, err), (0, wanted, ""),
              f"RFC 7208 {section}: {arguments!r}")


def traces(t, zone):
    status, out, err = run("example.com --ip 192.0.2.9 --trace --zone", zone)
    t.is_((status, out, err), (0, TRACE, ""), "the whole trace, in order")
    for section, arguments, part in TRACES:
        status, out, err = run(arguments, "--trace", "--zone", zone)
        t.has(out, part, f"RFC 7208 {section}: {arguments!r}", err)
        t.ok(status == 0 and all(c == "\n" or " " <= c <= "~" for c in out),
             "nothing but printable text")


def refusals(t):
    for arguments, wanted, text in REFUSED:
        status, out, err = run(arguments)
        t.is_((status, out, err), (wanted, "", f"mailseal spf: {text}\n"),
              f"refused: {arguments!r}")


def servers(t, work):
    """--server, --trust-anchor: what was validated is secure, what is bogus
    is a temporary failure (RFC 7208 4.4, RFC 4035 5.5)."""
    if Server is None:
        t.skip("--server, --trust-anchor", "no dnspython or cryptography")
        return
    root = SignedZone('good.example TXT "v=spf1 a -all"\n'
                      "good.example A 192.0.2.9\n"
                      'bad.example TXT "v=spf1 -all"\n',
                      tampered=["bad.example"])
    anchor = os.path.join(work, "anchor")
    with open(anchor, "w", encoding="ascii") as f:
        f.write(root.ds() + "\n")
    with Server(zones=[root]) as server:
        ask = f"--ip 192.0.2.9 --trace --server {server.address}"
        status, out, err = run(f"good.example {ask}")
        t.is_((status, out.splitlines()[0], err), (0, "pass  (a)", ""),
              "--server: asked for the policy")
        t.ok(server.asked("good.example") > 0, "by name")
        t.hasnt(out, "secure", "nothing is secure without --trust-anchor")
        validated = f"{ask} --trust-anchor {anchor}"
        status, out, err = run(f"good.example {validated}")
        t.is_(re.findall(r"^ *(\S+ \S+: .*), TTL \d+, secure$", out, re.M),
              ["good.example TXT: found 1 record",
               "good.example A: found 1 record (192.0.2.9)"],
              "--trust-anchor: secure answers say so", out, err)
        status, out, err = run(f"bad.example {validated}")
        t.is_((status, out.splitlines()[0]),
              (0, "temperror  DNSSEC validation failed"), "bogus", out, err)
        t.has(out, "bad.example TXT: temporary failure: DNSSEC validation "
              "failed\ntemperror: ", "and so says the trace")


def full_disk(t, zone):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [PROGRAM, "spf", "example.com", "--ip", "192.0.2.9", "--zone",
             zone], stdout=full, stderr=subprocess.PIPE, timeout=30,
            check=False)
    t.is_((done.returncode, done.stderr),
          (74, b"mailseal spf: cannot write standard output\n"),
          "a full disk is told")


def verify_takes_them_too(t, zone):
    """One helper reads the resolver's options of both commands."""
    message = b"From: a@example.com\n\nHi.\n"
    for options, wanted in ((["--zone", zone], 0),
                            (["--zone", zone, "--recursion"], EX_USAGE),
                            (["--server", "nowhere"], EX_CONFIG)):
        done = subprocess.run(
            [PROGRAM, "verify", "--ip", "192.0.2.25", "--from",
             "a@example.com", *options], input=message, capture_output=True,
            timeout=30, check=False)
        t.is_(done.returncode, wanted, f"verify {options}", done.stderr)
        t.is_(b"spf=pass" in done.stdout, wanted == 0, "and its result")


def main():
    t = Tap(120)
    with tempfile.TemporaryDirectory() as work:
        zone = os.path.join(work, "zone")
        with open(zone, "w", encoding="ascii") as f:
            f.write(ZONE)
        for group in (results, traces, full_disk, verify_takes_them_too):
            with t.group(group.__name__):
                group(t, zone)
        with t.group("refusals"):
            refusals(t)
        with t.group("servers"):
            servers(t, work)
    t.done()


if __name__ == "__main__":
    main()
