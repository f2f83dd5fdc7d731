"""`mailseal dmarc`: its sections, its trace, its refusals.

How a policy is found is tested in tests/unit and tests/cases; here is what an
administrator sees of it, and that it is what the daemon would say.  Answers
come from zone files or from a name server on the loopback.
"""
import json
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
FOUND, NO_POLICY = 0, 1
EX_USAGE, EX_IOERR, EX_TEMPFAIL, EX_CONFIG = 64, 74, 75, 78

ZONE = r"""
_dmarc.example.com TXT "v=DMARC1; p=reject; sp=quarantine; " "rua=mailto:a@example.com"
_dmarc.example.com TXT "site-verification=1"
_dmarc.mail.example.com TXT "v=DMARC1; p=none; sp=reject; rua=mailto:a@example.com"
_dmarc.unit.example.com TXT "v=DMARC1; p=quarantine; psd=n; rua=mailto:a@example.com"
_dmarc.two.example.com TXT "v=DMARC1; p=none"
_dmarc.two.example.com TXT "v=DMARC1; p=reject"
mail.example.com A 192.0.2.1
_dmarc.bank.example TXT "v=DMARC1; p=quarantine; sp=reject; psd=y"
_dmarc.registry.example TXT "v=DMARC1; p=reject; psd=y; rua=mailto:a@registry.example"
_dmarc.x.bank.example TXT "v=DMARC1; p=none"
_dmarc.b.c.bank.example TXT "v=DMARC1; p=none"
_dmarc.np.example TXT "v=DMARC1;p=reject;np=quarantine;sp=none"
_dmarc.psdu.example TXT "v=DMARC1; p=reject; sp=none; psd=u"
host.np.example A 192.0.2.1
late.np.example A !TIMEOUT
_dmarc.nosp.example TXT "v=DMARC1; p=reject; np=none"
host.nosp.example AAAA 2001:db8::1
_dmarc.pair.example TXT "v=DMARC1; p=none"
_dmarc.pair.example TXT "v=DMARC1; p=reject"
_dmarc.slow.example TXT !TIMEOUT
_dmarc.own.slow.example TXT "v=DMARC1; p=reject; sp=none; adkim=s; rua=mailto:a@other.example"
_dmarc.mid.slow.example TXT "v=DMARC1; p=reject"
_dmarc.low.mid.slow.example TXT "v=DMARC1; p=reject"
_dmarc.both.psdu.example TXT "v=DMARC1; p=reject; sp=none; np=none; rua=mailto:a@psdu.example"
_dmarc.n.slow.example TXT "v=DMARC1; p=none; psd=n"
_dmarc.full.example TXT "v=DMARC1; p=reject; sp=reject; np=reject; rua=,mailto:a@full.example,mailto:b@full.example?subject=x,,"
_dmarc.many.example TXT "v=DMARC1; p=reject; rua=mailto:a@1.test,mailto:a@2.test,mailto:a@3.test,mailto:a@4.test,mailto:a@5.test,mailto:a@6.test,mailto:a@7.test,mailto:a@8.test,mailto:a@9.test,mailto:a@10.test,mailto:a@11.test,mailto:a@many.example"
_dmarc.h8.a.b.c.d.e.f.long.example TXT "v=DMARC1; p=reject"
_dmarc.test.example TXT "v=DMARC1; p=reject; sp=none; t=y; rua=mailto:a@test.example"
_dmarc.bad.example TXT "v=DMARC1; p=rejected"
_dmarc.badrua.example TXT "v=DMARC1; p=reject; sp=x; rua=mailto:a@badrua.example"
_dmarc.nop.example TXT "v=DMARC1; rua=nobody@nop.example"
_dmarc.noprua.example TXT "v=DMARC1; rua=mailto:nobody@noprua.example"
_dmarc.case.example TXT "v=dmarc1; p=reject"
_dmarc.quote.example TXT "\"v=DMARC1; p=reject\""
_dmarc.apostrophe.example TXT "'v=DMARC1; p=reject'"
_dmarc.space.example TXT " v=DMARC1; p=reject"
_dmarc.semi.example TXT "v=DMARC1 p=reject"
_dmarc.order.example TXT "p=reject; v=DMARC1"
_dmarc.nov.example TXT "p=reject; rua=mailto:a@nov.example"
place.example TXT "v=DMARC1; p=reject"
_dmarc.dot.example.dot.example TXT "v=DMARC1; p=reject"
_dmarc.xn--bcher-kva.example TXT "v=DMARC1; p=reject; rua=mailto:a@xn--bcher-kva.example"
_dmarc.evil.example TXT "v=DMARC1; p=\027[31m; x\000y=\010; rua=mailto:\027[2J"
_dmarc.tags.example TXT "v=DMARC1; P=none; p=QUARANTINE; p=none; pct=50; rf=afrf; ri=86400; psd=z; t=yes; adkim=strict; aspf=S; fo=1:x:d; foo=bar; sp:none; ruf=mailto:f@tags.example;"
_dmarc.pct.example TXT "v=DMARC1; p=quarantine; pct=0; fo=1; rua=mailto:a@pct.example"
_dmarc.uri.example TXT "v=DMARC1; p=reject; rua=mailto:a@uri.example!10m, b@uri.example,mailto:c@other.example,mailto:d@agree.example,https://r.example/x,mailto:e@slow.example,mailto:f@sub.uri.example, mailto:g@uri.example ruf=mailto:h@uri.example,mailto:nobody"
uri.example._report._dmarc.agree.example TXT "v=DMARC1;"
uri.example._report._dmarc.slow.example TXT !SERVFAIL
silent.example ANY !SERVFAIL
_dmarc.site.blog.test TXT "v=DMARC1; p=reject; rua=mailto:a@site.blog.test"
_dmarc.blog.test TXT "v=DMARC1; p=none"
_dmarc.dept.uni.test TXT "v=DMARC1; p=none; psd=n"
_dmarc.uni.test TXT "v=DMARC1; p=reject"
"""

# For --psl: the rule that makes blog.test a public suffix.
SUFFIXES = "com\nexample\ntest\nblog.test\n"

WHOLE = """\
host.mail.example.com: quarantine  (sp=quarantine at _dmarc.example.com)

Names that were asked for a record:
  _dmarc.host.mail.example.com: no record (no such name)
  _dmarc.mail.example.com: a record, not used: it is neither at \
host.mail.example.com nor at its organizational domain
  _dmarc.example.com: a record, the policy
  _dmarc.com: no record (no such name)
Organizational domain: example.com, the shortest name with a record

Record at _dmarc.example.com:
  v=DMARC1; p=reject; sp=quarantine; rua=mailto:a@example.com
  p=reject: from this domain, mail that fails is to be rejected
  sp=quarantine: from names below, mail that fails is to be treated as \
suspicious
  rua=mailto:a@example.com: aggregate reports: 1 URI

Policy for mail from host.mail.example.com: quarantine
  sp=quarantine applies: host.mail.example.com has no record of its own; \
whether it exists does not matter, as there is no np
A message passes when one of these is true:
  SPF passes for a MAIL FROM domain whose organizational domain is \
example.com (relaxed)
  DKIM passes for a d= whose organizational domain is example.com (relaxed)
Reports go to:
  aggregate reports (rua):
    mailto:a@example.com
  failure reports (ruf): nowhere

Hints:
  The record at _dmarc.mail.example.com is for mail from mail.example.com \
alone; with psd=n it would be for names below too, and mail.example.com an \
organizational domain
  sp=quarantine asks for less than p=reject: forgers may choose names below \
example.com

Questions, in order:
_dmarc.host.mail.example.com TXT: no such name, TTL 300
_dmarc.mail.example.com TXT: found 1 record, TTL 300
  v=DMARC1; p=none; sp=reject; rua=mailto:a@example.com
_dmarc.example.com TXT: found 2 records, TTL 300
  v=DMARC1; p=reject; sp=quarantine; rua=mailto:a@example.com
  site-verification=1
_dmarc.com TXT: no such name, TTL 300
names 4/8, questions 4, N ms
"""

# Section of RFC 9989, domain, exit status, first line after the domain, the
# organizational domain with its reason.
POLICIES = (
    ("4.10.1, own record", "example.com", FOUND,
     "reject  (p=reject at _dmarc.example.com)",
     "example.com, the only name with a record"),
    ("4.10.1, record of the organizational domain", "a.example.com", FOUND,
     "quarantine  (sp=quarantine at _dmarc.example.com)",
     "example.com, the only name with a record"),
    ("4.10.1, own record below it", "mail.example.com", FOUND,
     "none  (p=none at _dmarc.mail.example.com)",
     "example.com, the shortest name with a record"),
    ("4.10.2, psd=n", "a.unit.example.com", FOUND,
     "quarantine  (p=quarantine at _dmarc.unit.example.com)",
     "unit.example.com, whose record has psd=n"),
    ("4.10, several records at one name", "a.two.example.com", FOUND,
     "quarantine  (sp=quarantine at _dmarc.example.com)",
     "example.com, the only name with a record"),
    ("4.10.2, psd=y at the start", "bank.example", FOUND,
     "quarantine  (p=quarantine at _dmarc.bank.example)",
     "bank.example, the only name with a record"),
    ("4.10.2, psd=y above", "x.bank.example", FOUND,
     "none  (p=none at _dmarc.x.bank.example)",
     "x.bank.example, one label below bank.example, which has psd=y"),
    ("4.10.1, the PSD's record", "a.b.c.bank.example", FOUND,
     "reject  (sp=reject at _dmarc.bank.example)",
     "c.bank.example, one label below bank.example, which has psd=y"),
    ("4.7, psd=u", "u.psdu.example", FOUND,
     "none  (sp=none at _dmarc.psdu.example)",
     "psdu.example, the only name with a record"),
    ("4.7, np", "gone.np.example", FOUND,
     "quarantine  (np=quarantine at _dmarc.np.example)",
     "np.example, the only name with a record"),
    ("4.7, np of a name that exists", "host.np.example", FOUND,
     "none  (sp=none at _dmarc.np.example)",
     "np.example, the only name with a record"),
    ("4.7, neither np nor sp", "host.nosp.example", FOUND,
     "reject  (p=reject at _dmarc.nosp.example)",
     "nosp.example, the only name with a record"),
    ("5.3.6, existence unknown", "late.np.example", EX_TEMPFAIL,
     "temporary failure  (whether late.np.example exists is unknown: "
     "time-out)", "np.example, the only name with a record"),
    ("4.7, t=y", "test.example", FOUND,
     "quarantine  (p=reject at _dmarc.test.example, t=y)",
     "test.example, the only name with a record"),
    ("4.7, t=y and none", "a.test.example", FOUND,
     "none  (sp=none at _dmarc.test.example, t=y)",
     "test.example, the only name with a record"),
    ("4.10, none at all", "nobody.example", NO_POLICY,
     "no policy  (no record)",
     "nobody.example, because no record was found"),
    ("4.10, two and no other", "pair.example", NO_POLICY,
     "no policy  (several records at one name)",
     "pair.example, because no record was found"),
    ("4.10, a name of 13 labels", "a1.a2.a3.a4.h8.a.b.c.d.e.f.long.example",
     NO_POLICY, "no policy  (no record)",
     "a1.a2.a3.a4.h8.a.b.c.d.e.f.long.example, because no record was found"),
    ("5.3.6, at the start", "slow.example", EX_TEMPFAIL,
     "temporary failure  (_dmarc.slow.example: time-out)",
     "unknown, because a look-up failed"),
    ("5.3.6, above", "a.slow.example", EX_TEMPFAIL,
     "temporary failure  (_dmarc.slow.example: time-out)",
     "unknown, because a look-up failed"),
    ("4.10.1, own record, a failure above", "own.slow.example", FOUND,
     "reject  (p=reject at _dmarc.own.slow.example)",
     "unknown, because a look-up failed"),
    ("4.10.1, no valid policy", "bad.example", NO_POLICY,
     "no policy  (record without a valid policy)",
     "bad.example, the only name with a record"),
    ("4.10.1, the same with rua", "badrua.example", FOUND,
     "none  (no valid policy at _dmarc.badrua.example)",
     "badrua.example, the only name with a record"),
    ("4.10.1, no p, rua malformed", "nop.example", NO_POLICY,
     "no policy  (record without a valid policy)",
     "nop.example, the only name with a record"),
    ("4.10.1, no p, with rua", "noprua.example", FOUND,
     "none  (no valid policy at _dmarc.noprua.example)",
     "noprua.example, the only name with a record"),
    ("4.7, values in capitals", "tags.example", FOUND,
     "quarantine  (p=quarantine at _dmarc.tags.example)",
     "tags.example, the only name with a record"),
    ("RFC 8616, case and dot", "EXAMPLE.Com.", FOUND,
     "reject  (p=reject at _dmarc.example.com)",
     "example.com, the only name with a record"),
    ("RFC 8616, U-labels", "B\u00fccher.example", FOUND,
     "reject  (p=reject at _dmarc.xn--bcher-kva.example)",
     "xn--bcher-kva.example, the only name with a record"),
)

# Section of RFC 9989, domain, lines that follow each other in the output.
PARTS = (
    ("4.10, the walk of a long name",
     "a1.a2.a3.a4.h8.a.b.c.d.e.f.long.example", """
  _dmarc.a1.a2.a3.a4.h8.a.b.c.d.e.f.long.example: no record (no such name)
  (names between these two are not asked: RFC 9989 4.10)
  _dmarc.b.c.d.e.f.long.example: no record (no such name)
"""),
    ("4.10, several records", "a.two.example.com", """
  _dmarc.two.example.com: 2 records, all discarded (RFC 9989 4.10)
  _dmarc.example.com: a record, the policy
"""),
    ("4.10, several records", "two.example.com", """
  Keep one record at _dmarc.two.example.com: of several none counts
"""),
    ("4.10, psd=n ends the walk", "a.unit.example.com", """
  _dmarc.unit.example.com: a record, the policy; psd=n ends the walk
Organizational domain: unit"""),
    ("4.10.1, beside one's own record", "mail.example.com", """
  _dmarc.mail.example.com: a record, the policy
  _dmarc.example.com: a record, not the policy: mail.example.com has its own
"""),
    ("4.7, sp where nobody uses it", "mail.example.com", """
  sp at _dmarc.mail.example.com is not used: the organizational domain of \
names below is example.com
"""),
    ("4.10.1, the PSD's record", "a.b.c.bank.example", """
  The policy is that of the public suffix domain bank.example; a record at \
_dmarc.c.bank.example would be your own
"""),
    ("4.10.1, the PSD's record is not used", "x.bank.example", """
  _dmarc.bank.example: a record, not the policy: there is one below; psd=y \
ends the walk
"""),
    ("4.7, psd=y", "bank.example", """
  psd=y is for registries: names below bank.example are organizations of \
their own
"""),
    ("5.3.6, a failure", "a.slow.example", """
  _dmarc.a.slow.example: no record (no such name)
  _dmarc.slow.example: temporary failure (time-out), nothing more was asked
Organizational domain: unknown, because a look-up failed
"""),
    ("5.3.6, alignment is unknown", "own.slow.example", """
  SPF passes for a MAIL FROM domain of the same organizational domain \
(relaxed), which is unknown now
  DKIM passes for a d= own.slow.example itself (strict)
"""),
    ("3.2.13, NXDOMAIN", "gone.np.example", """
Policy for mail from gone.np.example: quarantine
  np=quarantine applies: gone.np.example has no record of its own and does \
not exist
"""),
    ("3.2.13, a name that exists", "host.np.example", """
Policy for mail from host.np.example: none
  sp=none applies: host.np.example has no record of its own and exists, so np \
does not apply
"""),
    ("4.7, neither sp nor np", "host.nosp.example", """
  p=reject applies: host.nosp.example has no record of its own and exists, \
so np does not apply; there is no sp
"""),
    ("5.3.6, existence unknown", "late.np.example", """
Policy for mail from late.np.example: unknown
  sp=none applies if the name exists, np=quarantine if it does not
"""),
    ("5.3.6, and no hint about sp=none", "late.np.example", """
  failure reports (ruf): nowhere

Hints:
  No usable rua at _dmarc.np.example: nobody can tell you which mail fails
"""),
    ("4.7, weak sp and np", "np.example", """
  sp=none asks for less than p=reject: forgers may choose names below \
np.example
  np=quarantine asks for less than p=reject: forgers may choose names below \
np.example that do not exist
"""),
    ("4.7, t=y", "test.example", """
Policy for mail from test.example: quarantine
  p=reject applies: the domain has its own record
  t=y: reject becomes quarantine
"""),
    ("4.7, t=y", "test.example", """
  t=y: take it out when the reports show that your mail passes, then reject \
is asked for
"""),
    ("4.7, t=y and none", "a.test.example", """
  t=y changes nothing
"""),
    ("5.4, none", "a.test.example", """
  sp=none: nothing is asked of receivers; mail that fails is delivered like \
other mail
"""),
    ("4.10.1, no valid policy", "bad.example", """
  _dmarc.bad.example: a record, of no use
  _dmarc.example: no record (no such name)
"""),
    ("4.10.1, no valid policy", "bad.example", """
  p=rejected: not none, quarantine or reject: no valid policy
  Without a valid policy and a usable URI in rua it is as if there were no \
record (RFC 9989 4.10.1).

Hints:
  Mend the record at _dmarc.bad.example: p, and sp and np if they are there, \
are none, quarantine or reject
"""),
    ("4.10.1, with rua", "badrua.example", """
  p=reject: from this domain, mail that fails is to be rejected
  sp=x: not none, quarantine or reject: no valid policy
  rua=mailto:a@badrua.example: aggregate reports: 1 URI
  Without a valid policy this is p=none, because rua has a usable URI (RFC \
9989 4.10.1).

Policy for mail from badrua.example: none
  p=none is taken for the record without a valid policy
"""),
    ("4.10.1, no p", "nop.example", """
  rua=nobody@nop.example: aggregate reports: 1 URI, 1 of them malformed
  (there is no p)
  Without a valid policy and a usable URI"""),
    ("4.7 and 4.8, each tag", "tags.example", """
  P=none: ignored: tags are written in lower case
  p=QUARANTINE: from this domain, mail that fails is to be treated as \
suspicious
  p=none: ignored: the first p counts
  pct=50: ignored: historic (RFC 9989 9.3)
  rf=afrf: ignored: historic (RFC 9989 9.3)
  ri=86400: ignored: historic (RFC 9989 9.3)
  psd=z: ignored: not y, n or u; u is taken
  t=yes: ignored: not y or n; n is taken
  adkim=strict: ignored: not r or s; r is taken
  aspf=S: strict: MAIL FROM is at the domain of From itself
  fo=1:x:d: failure reports when SPF or DKIM did not pass or is not aligned, \
(ignored: x), when a DKIM signature failed
  foo=bar: ignored: unknown tag
  sp:none: ignored: no "="
  ruf=mailto:f@tags.example: failure reports: 1 URI

Policy"""),
    ("4.4, modes", "tags.example", """
A message passes when one of these is true:
  SPF passes for a MAIL FROM domain tags.example itself (strict)
  DKIM passes for a d= whose organizational domain is tags.example (relaxed)
Reports go to:
  aggregate reports (rua): nowhere
  failure reports (ruf):
    mailto:f@tags.example

Hints:
  No usable rua at _dmarc.tags.example: nobody can tell you which mail fails
  pct is not used any more: the policy is for all mail
"""),
    ("A.6, pct=0", "pct.example", """
  pct=0 is not used any more: t=y says what it said
"""),
    ("4.7, fo without ruf", "pct.example", """
  fo=1: failure reports are not sent: there is no ruf
"""),
    ("4.7 and RFC 9990 4, URIs", "uri.example", """
    mailto:a@uri.example!10m
    b@uri.example, malformed: begin it with mailto:
    mailto:c@other.example, not used: other.example does not agree with \
v=DMARC1 at uri.example._report._dmarc.other.example
    mailto:d@agree.example, agree.example agrees
    https://r.example/x, not used by receivers that know mailto: only
    mailto:e@slow.example, whether slow.example agrees is unknown (DNS \
server failure)
    mailto:f@sub.uri.example
    mailto:g@uri.example ruf=mailto:h@uri.example, malformed: it holds a space
    mailto:nobody, no address
  failure reports (ruf): nowhere
"""),
    ("4.7, empty URIs", "full.example", """
  aggregate reports (rua):
    mailto:a@full.example
    mailto:b@full.example?subject=x
  failure"""),
    ("RFC 9990 4, of a PSD", "a.registry.example", """
  aggregate reports (rua):
    mailto:a@registry.example
  failure"""),
    ("RFC 9990 4, the organization is unknown", "own.slow.example", """
  aggregate reports (rua):
    mailto:a@other.example
  failure"""),
    ("RFC 9990 4, only so many are asked", "many.example", """
    mailto:a@10.test, not used: 10.test does not agree with v=DMARC1 at \
many.example._report._dmarc.10.test
    mailto:a@11.test, whether 11.test agrees was not asked
    mailto:a@many.example
"""),
    ("5.3.6, a record before the failure", "a.mid.slow.example", """
  _dmarc.mid.slow.example: a record, not used: a look-up failed
  _dmarc.slow.example: temporary failure"""),
    ("4.7, v=", "case.example", """
  _dmarc.case.example: no record (1 other text)
    not a record, because upper and lower case count in v=DMARC1: v=dmarc1; \
p=reject
"""),
    ("4.7, v=", "case.example", """
Hints:
  Mend the text at _dmarc.case.example: a record begins with v=DMARC1 and a \
semicolon
"""),
    ("4.7, v=", "quote.example", """
    not a record, because it begins with a quotation mark: \
"v=DMARC1; p=reject"
"""),
    ("4.7, v=", "apostrophe.example", """
    not a record, because it begins with a quotation mark: 'v=DMARC1; \
p=reject'
"""),
    ("4.7, v=", "space.example", """
    not a record, because it begins with a space:  v=DMARC1; p=reject
"""),
    ("4.7, v=", "semi.example", """
    not a record, because there is no semicolon after v=DMARC1: v=DMARC1 \
p=reject
"""),
    ("4.7, v=", "order.example", """
    not a record, because v=DMARC1 is not its first tag: p=reject; v=DMARC1
"""),
    ("4.7, v=", "nov.example", """
    not a record, because it does not begin with v=DMARC1: p=reject; \
rua=mailto:a@nov.example
"""),
    ("4.5, the wrong place", "place.example", """
Hints:
  The record at place.example is where nobody looks: it belongs to \
_dmarc.place.example
"""),
    ("4.5, a dot was forgotten", "dot.example", """
Hints:
  The record at _dmarc.dot.example.dot.example is where nobody looks: it \
belongs to _dmarc.dot.example
"""),
    ("C, a beginning", "nobody.example", """
Hints:
  Begin with a record at _dmarc.nobody.example: v=DMARC1; p=none; \
rua=mailto:postmaster@nobody.example
"""),
    ("11, hostile text", "evil.example", r"""
  v=DMARC1; p=\x1b[31m; x\x00y=\x0a; rua=mailto:\x1b[2J
  p=\x1b[31m: not none, quarantine or reject: no valid policy
  x\x00y=\x0a: ignored: unknown tag
  rua=mailto:\x1b[2J: aggregate reports: 1 URI, 1 of them malformed
"""),
)

# Domain, the first words of each hint, in order: there are no others.
HINTS = (
    ("mail.example.com", ["p=none: nothing", "sp at _dmarc.mail"]),
    ("a.two.example.com", ["Keep one record at _dmarc.two.example.com:",
                           "sp=quarantine asks for less"]),
    ("unit.example.com", []),
    ("full.example", []),
    ("a.full.example", []),
    ("com", []),
    ("pair.example", ["Keep one record at _dmarc.pair.example:"]),
    ("case.example", ["Mend the text at _dmarc.case.example:"]),
    ("x.bank.example", ["p=none: nothing", "No usable rua"]),
    ("a.b.c.bank.example", ["The record at _dmarc.b.c.bank.example is for",
                            "The policy is that of the public suffix"]),
    ("slow.example", []),
    ("a.mid.slow.example", []),
    ("a.low.mid.slow.example", []),
    ("both.psdu.example", ["sp at _dmarc.both", "np at _dmarc.both"]),
    ("own.slow.example", []),
    ("bad.example", ["Mend the record at _dmarc.bad.example:"]),
    ("badrua.example", ["Mend the record at _dmarc.badrua.example:"]),
    ("test.example", ["t=y: take it out", "sp=none asks for less"]),
)

# Arguments, exit status, what the one line on standard error says.
REFUSED = (
    ("", EX_USAGE, "no domain: write mailseal dmarc DOMAIN"),
    ("a..b", EX_USAGE, "a..b is no domain: write it like example.com"),
    ("https://example.com/", EX_USAGE,
     "https://example.com/ is no domain: write it like example.com"),
    ("a.example b.example", EX_USAGE,
     "one domain at a time: leave b.example out"),
    ("bob@Example.com", EX_USAGE,
     "bob@Example.com is an address: give its domain, example.com"),
    ("_DMARC.example.com", EX_USAGE,
     "_dmarc.example.com is where the record stands: give the domain, "
     "example.com"),
    ("192.0.2.1", EX_USAGE, "192.0.2.1 is the address of a host: give the "
     "domain of the From field"),
    ("a\x1b.example", EX_USAGE,
     "a\\x1b.example is no domain: write it like example.com"),
    ("example.com --discovery", EX_USAGE, "--discovery needs a value"),
    ("example.com --discovery both", EX_USAGE,
     "--discovery is walk, psl or compare, not both"),
    ("example.com --psl /dev/null", EX_USAGE,
     "the tree walk needs no --psl: add --discovery psl or compare"),
    ("example.com --discovery walk --psl /dev/null", EX_USAGE,
     "the tree walk needs no --psl: add --discovery psl or compare"),
    ("example.com --verbose", EX_USAGE,
     "unknown option --verbose: see mailseal(1)"),
    ("example.com --zone /dev/null --server 127.0.0.1", EX_USAGE,
     "--zone answers alone: leave --server, --recursion and --trust-anchor "
     "out"),
    ("example.com --server nowhere", EX_CONFIG,
     'bad server address "nowhere"'),
    ("example.com --zone /nonexistent/zone", EX_CONFIG,
     "/nonexistent/zone: No such file or directory"),
    ("example.com --discovery psl --psl /nonexistent/list", EX_CONFIG,
     "public suffix list: /nonexistent/list: No such file or directory"),
    ("example.com --discovery compare --psl /dev/null", EX_CONFIG,
     "public suffix list: /dev/null: holds no public suffix"),
)


def run(arguments, *more):
    done = subprocess.run([PROGRAM, "dmarc", *arguments.split(), *more],
                          stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=30, check=False)
    out = re.sub(r"\d+ ms$", "N ms", done.stdout.decode("ascii"), flags=re.M)
    return done.returncode, out, done.stderr.decode("ascii")


def policies(t, zone):
    for section, domain, wanted, first, org in POLICIES:
        status, out, err = run(domain, "--zone", zone)
        name, line = out.splitlines()[0].split(": ", 1)
        t.is_((status, line, err), (wanted, first, ""),
              f"RFC 9989 {section}: {domain}")
        t.is_(re.findall("^Organizational domain: (.*)$", out, re.M), [org],
              "its organizational domain", out)
        t.ok(name.isascii() and name == name.lower(), "a canonical name")


def parts(t, zone):
    status, out, err = run("host.mail.example.com --trace --zone", zone)
    t.is_((status, out, err), (FOUND, WHOLE, ""), "all sections, in order")
    for section, domain, part in PARTS:
        _, out, err = run(domain, "--zone", zone)
        t.has(out, part, f"RFC 9989 {section}: {domain}", err)
        t.ok(all(c == "\n" or " " <= c <= "~" for c in out),
             "nothing but printable text")


def hints(t, zone):
    for domain, wanted in HINTS:
        _, out, _ = run(domain, "--zone", zone)
        _, _, text = out.partition("\nHints:\n")
        lines = text.splitlines()
        t.ok(len(lines) == len(wanted) and
             all(line.startswith("  " + w)
                 for line, w in zip(lines, wanted)),
             f"hints: {domain}", out)
        t.is_("\nHints" in out, bool(wanted), "no empty section")


def large(t, work):
    """Answers as long as they can be: what is shown has an end."""
    record = '_dmarc.large.example TXT "v=DMARC1;p=none;{}"\n'
    mistakes = '_dmarc.{}example TXT "dmarc1"\n'
    for name, text, wanted, end in (
            ("URIs", record.format("rua=" + "a," * 30000), FOUND,
             "    ... and 29950 more\n"),
            ("tags", record.format("x;" * 30000), FOUND,
             "  ... and 29951 more\n"),
            ("texts", mistakes.format("large.") * 10000 +
             mistakes.format("") * 10000, NO_POLICY, "\n... (cut here)\n")):
        zone = os.path.join(work, "large")
        with open(zone, "w", encoding="ascii") as f:
            f.write(text)
        status, out, err = run("large.example --trace --zone", zone)
        t.is_((status, err), (wanted, ""), f"many {name}")
        t.ok(end in out, "and it says that there are more", out[-500:])
        t.ok(len(out) < 1100000, "a limit", len(out))
        t.ok(status == NO_POLICY or len(out) < 100000, "and a closer one",
             len(out))


def verdict(domain, zone):
    """What `mailseal verify` says of mail from there that nothing passes."""
    done = subprocess.run(
        [PROGRAM, "verify", "--json", "--ip", "192.0.2.99", "--from", "<>",
         "--zone", zone], input=f"From: a@{domain}\n\nHi.\n".encode(),
        capture_output=True, timeout=30, check=False)
    return json.loads(done.stdout)["dmarc"]


def same_as_verify(t, zone):
    """One evaluation: the command says what is done with mail."""
    for _, domain, status, _, _ in POLICIES:
        _, out, _ = run(domain, "--zone", zone)
        # what is said at its end, or that there is none
        policy = re.findall(r"^Policy for mail from \S+: (\w+)$", out, re.M)
        org = re.findall("^Organizational domain: ([^,]*)", out, re.M)
        seen = verdict(domain, zone)
        result = {FOUND: "fail", NO_POLICY: "none",
                  EX_TEMPFAIL: "temperror"}[status]
        t.is_(seen["result"], result, f"verify: {domain}: result")
        if status == FOUND:
            t.is_(policy, [seen["policy"]], "and policy")
        t.is_(org, [seen["org_domain"] or "unknown"],
              "and organizational domain")


def questions(t, zone):
    """The trace: all that is asked, once, in order (RFC 9989 4.10)."""
    for domain, wanted in (
            ("gone.np.example", ["_dmarc.gone.np.example TXT",
                                 "_dmarc.np.example TXT",
                                 "_dmarc.example TXT", "gone.np.example A"]),
            ("np.example", ["_dmarc.np.example TXT", "_dmarc.example TXT"]),
            ("bank.example", ["_dmarc.bank.example TXT"]),
            ("nobody.example", [
                "_dmarc.nobody.example TXT", "_dmarc.example TXT",
                "nobody.example TXT",
                "_dmarc.nobody.example.nobody.example TXT"]),
            ("slow.example", ["_dmarc.slow.example TXT"])):
        _, out, _ = run(f"{domain} --trace --zone", zone)
        trace = out.split("\nQuestions, in order:\n")[1]
        t.is_(re.findall(r"^(\S+ [A-Z]+): ", trace, re.M), wanted,
              f"asked for {domain}")
        t.has(trace, f", questions {len(wanted)}, ", "as many as it counts")


def suffix_list(t, zone, work):
    """--discovery: RFC 7489 6.6.3 beside RFC 9989 4.10."""
    path = os.path.join(work, "suffixes")
    with open(path, "w", encoding="ascii") as f:
        f.write(SUFFIXES)
    psl = f"--zone {zone} --psl {path} --discovery psl"
    both = f"--zone {zone} --psl {path} --discovery compare"
    status, out, _ = run(f"site.blog.test {psl}")
    t.is_(status, FOUND, "psl: found")
    t.has(out, "\nOrganizational domain: site.blog.test, by the public "
          "suffix list\n", "psl: the organizational domain")
    status, out, _ = run(f"a.dept.uni.test {psl} --trace")
    t.is_((status, out.splitlines()[0]),
          (FOUND, "a.dept.uni.test: reject  (p=reject at _dmarc.uni.test)"),
          "psl: no name in between is asked")
    t.has(out, "\nnames 2/2, questions 2, N ms\n", "psl: two questions")
    status, out, _ = run(f"a1.a2.a3.a4.h8.a.b.long.example {psl}")
    t.hasnt(out, "RFC 9989 4.10)", "psl: not a walk")
    status, out, _ = run(f"pair.example {psl}")
    t.is_(status, NO_POLICY, "psl: several records")
    t.has(out, "_dmarc.pair.example: 2 records, all discarded (RFC 7489 "
          "6.6.3)\n", "psl: end the search")
    status, out, _ = run(f"a.dept.uni.test {both}")
    t.is_((status, out.splitlines()[0]),
          (FOUND, "a.dept.uni.test: none  (p=none at _dmarc.dept.uni.test)"),
          "compare: the walk decides")
    t.has(out, "\nBy the public suffix list, as RFC 7489 had it:\n"
          "  organizational domain uni.test\n"
          "  policy reject (p at _dmarc.uni.test)\n"
          "  DIFFERENT from the tree walk\n", "compare: the list differs")
    _, out, _ = run(f"a.example.com {both} --trace")
    t.has(out, "  organizational domain example.com\n"
          "  policy quarantine (sp at _dmarc.example.com)\n"
          "  the same as by the tree walk\n", "compare: the same")
    t.has(out, "\nnames 3/8, questions 3, N ms\n", "compare: asks once")
    _, out, _ = run(f"a.slow.example {both}")
    t.has(out, "  policy unknown: a look-up failed\n",
          "compare: a failure is no difference")
    t.hasnt(out, "tree walk\n", "and not the same either")
    _, out, _ = run(f"a.n.slow.example {both}")
    t.has(out, "a.n.slow.example: none ", "compare: the walk ended in time")
    t.has(out, "\n  organizational domain slow.example\n"
          "  policy unknown: a look-up failed\n", "compare: the list failed")
    t.hasnt(out, "tree walk\n", "neither different nor the same")
    _, out, _ = run(f"nobody.example {both}")
    t.has(out, "  organizational domain nobody.example\n  no policy\n"
          "  the same as by the tree walk\n", "compare: no policy")


def refusals(t):
    for arguments, wanted, text in REFUSED:
        status, out, err = run(arguments)
        t.is_((status, out, err), (wanted, "", f"mailseal dmarc: {text}\n"),
              f"refused: {arguments!r}")
    status, out, err = run("", "")
    t.is_((status, err), (EX_USAGE, "mailseal dmarc: no domain: write "
                          "mailseal dmarc DOMAIN\n"), "an empty one")
    done = subprocess.run([PROGRAM, "--help"], capture_output=True,
                          timeout=30, check=False)
    t.has(done.stdout, b"mailseal dmarc DOMAIN [--discovery ", "--help")


def servers(t, work):
    """--server, --trust-anchor: what was validated is secure, what is bogus
    is a temporary failure (RFC 4035 5.5)."""
    if Server is None:
        t.skip("--server, --trust-anchor", "no dnspython or cryptography")
        return
    root = SignedZone('_dmarc.good.example TXT "v=DMARC1; p=reject"\n'
                      '_dmarc.bad.example TXT "v=DMARC1; p=reject"\n',
                      tampered=["_dmarc.bad.example"])
    anchor = os.path.join(work, "anchor")
    with open(anchor, "w", encoding="ascii") as f:
        f.write(root.ds() + "\n")
    with Server(zones=[root]) as server:
        ask = f"--trace --server {server.address}"
        status, out, err = run(f"good.example {ask}")
        t.is_((status, out.splitlines()[0], err),
              (FOUND, "good.example: reject  (p=reject at "
               "_dmarc.good.example)", ""), "--server: asked for the policy")
        t.ok(server.asked("_dmarc.good.example") > 0, "by name")
        t.hasnt(out, "secure", "nothing is secure without --trust-anchor")
        ask += f" --trust-anchor {anchor}"
        _, out, err = run(f"good.example {ask}")
        t.has(out, "\n_dmarc.good.example TXT: found 1 record, TTL ",
              "--trust-anchor", err)
        t.ok(re.search("found 1 record, TTL [0-9]+, secure$", out, re.M),
             "secure answers say so", out)
        status, out, err = run(f"bad.example {ask}")
        t.is_((status, out.splitlines()[0]),
              (EX_TEMPFAIL, "bad.example: temporary failure  "
               "(_dmarc.bad.example: DNSSEC validation failed)"), "bogus",
              out, err)


def full_disk(t, zone):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [PROGRAM, "dmarc", "example.com", "--zone", zone], stdout=full,
            stderr=subprocess.PIPE, timeout=30, check=False)
    t.is_((done.returncode, done.stderr),
          (EX_IOERR, b"mailseal dmarc: cannot write standard output\n"),
          "a full disk is told")


def main():
    t = Tap(120)
    with tempfile.TemporaryDirectory() as work:
        zone = os.path.join(work, "zone")
        with open(zone, "w", encoding="ascii") as f:
            f.write(ZONE)
        for group in (policies, parts, hints, same_as_verify, questions,
                      full_disk):
            with t.group(group.__name__):
                group(t, zone)
        with t.group("suffix_list"):
            suffix_list(t, zone, work)
        with t.group("large"):
            large(t, work)
        with t.group("refusals"):
            refusals(t)
        with t.group("servers"):
            servers(t, work)
    t.done()


if __name__ == "__main__":
    main()
