"""What one SPF record can make us ask, counted at the name server.

The real daemon asks a name server of the tests' own, so retries, prefetch and
the cache are in the count.  RFC 7208 4.6.4 and 11.1: the work that a record
causes is bounded, whatever its author wrote.
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from authres import Authres  # noqa: E402
from daemon import Daemon, check_end  # noqa: E402
from material import crlf  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

try:
    from dns_server import Server
    from dns_zone import txt
except ImportError as e:
    skip_all(f"dnspython or cryptography is missing: {e}")

CLIENT = "192.0.2.10"
# 4.6.4: ten terms, so the record itself and ten more, and one to spare;
# prefetch may ask for ten that are then not needed.
POLICIES = 12
PREFETCHED = 10


def spf(name, record):
    return f"{name} TXT {txt('v=spf1 ' + record)}\n"


# ---- zones ------------------------------------------------------------------

def bomb(top, first):
    """Six records, each with ten includes: the next record and nine leaves,
    with the next one first or last."""
    zone = ""
    for n in range(6):
        name = f"r{n}.{top}" if n else top
        leaves = [f"l{n}-{i}.{top}" for i in range(9 if n < 5 else 10)]
        after = [f"r{n + 1}.{top}"] if n < 5 else []
        names = after + leaves if first else leaves + after
        zone += spf(name, " ".join("include:" + i for i in names) + " -all")
        zone += "".join(spf(leaf, "?all") for leaf in leaves)
    return zone


def tree(name="tree.test", levels=4):
    """Nine includes in each record, four levels deep."""
    if levels == 0:
        return spf(name, "?all")
    below = [f"{n}.{name}" for n in range(9)]
    return spf(name, " ".join("include:" + b for b in below) + " -all") + \
        "".join(tree(b, levels - 1) for b in below)


def many_ptr(top, good):
    """Thirty names of one client; those that `good` says have its address."""
    octet = {"ptr.test": 30, "ptr-none.test": 31}[top]
    zone = spf(top, "ptr -all")
    for n in range(30):
        zone += f"{octet}.2.0.192.in-addr.arpa PTR n{n}.{top}\n"
        address = f"192.0.2.{octet}" if good(n) else "192.0.2.99"
        zone += f"n{n}.{top} A {address}\n"
    return zone


def many_mx(top, count, last=CLIENT):
    """`count` exchangers, of which one has the address `last`."""
    zone = spf(top, "mx -all")
    for n in range(count):
        zone += f"{top} MX {n} m{n}.{top}\n"
        zone += f"m{n}.{top} A {'192.0.2.99' if n < count - 1 else last}\n"
    return zone


LONG = " ".join(f"ip4:198.51.{n // 250}.{n % 250}" for n in range(299))
ZONE = (
    bomb("bomb-first.test", True) + bomb("bomb-last.test", False) +
    bomb("bomb-helo.test", True) + tree() +
    many_ptr("ptr.test", lambda n: True) +
    many_ptr("ptr-none.test", lambda n: False) +
    many_mx("mx10.test", 10) + many_mx("mx12.test", 12) +
    many_mx("mx-none.test", 10, "192.0.2.98") +
    # any name of that top is the same record
    spf("growth.bomb", "redirect=%{d}%{d}%{d}") +
    spf("*.bomb", "redirect=%{d}%{d}%{d}") +
    spf("long.test", f"{LONG} ip4:{CLIENT} -all") +
    spf("void2.test", "a:v1.void2.test a:v2.void2.test -all") +
    spf("void3.test", "a:v1.void3.test a:v2.void3.test a:v3.void3.test "
                      "ip4:192.0.2.10 -all") +
    spf("void-mx.test", "mx a:v1.void-mx.test a:v2.void-mx.test -all") +
    spf("slow-ptr.test", "ptr a:late-ptr.test -all") +
    spf("slow-p.test", "exists:%{p}.slow-p.test a:late-p.test -all") +
    "late-ptr.test A 192.0.2.99\nlate-p.test A 192.0.2.99\n" +
    "".join(f"41.2.0.192.in-addr.arpa PTR n{n}.mute.test\n"
            for n in range(10)) +
    "".join(spf(f"same{n}.test", "ip4:192.0.2.10 -all")
            for n in range(3)) +
    spf("ok.test", "ip4:192.0.2.10 -all"))


def prefetch_zone():
    """Records whose later includes are bad; p*.test, b*.bad.test."""
    return (
        spf("p-ip.test", "ip4:192.0.2.10 include:b1.bad.test "
                         "include:b2.bad.test -all") +
        spf("p-first.test", "include:ok.test include:b3.bad.test -all") +
        spf("p-second.test", "include:b4.bad.test include:ok.test -all") +
        spf("p-none.test", "include:ok.test include:b5.bad.test -all"))


# ---- helpers ----------------------------------------------------------------

class Case:
    """One message from `domain`, and what the server was asked meanwhile.

    The resolver goes on to repeat questions that nobody answered when their
    message is long gone, so a name is of the message that asked for it first;
    answers are cached, and no test counts names of another one."""
    earlier = set()

    def __init__(self, d, s, domain, client=CLIENT, helo="[192.0.2.10]"):
        s.forget()
        message = crlf(f"From: a@{domain}\nTo: b@example.net\n"
                       "Subject: x\n\nx\n")
        start = time.monotonic()
        o = d.send(message, f"<a@{domain}>", client=client, helo=helo)
        self.seconds = time.monotonic() - start
        s.settle()
        found = Authres(o.fields("Authentication-Results")[0])
        self.spf = [r for r in found.all("spf") if r.prop("smtp.mailfrom")][0]
        self.policies = {n for n in s.names("TXT") - Case.earlier
                         if not n.startswith("_dmarc.")}
        self.addresses = s.names("A")
        Case.earlier |= self.policies

    @property
    def result(self):
        return self.spf.result, self.spf.reason


def is_(t, case, result, reason, name):
    t.is_(case.result, (result, reason), name)


def at_most(t, names, limit, name):
    t.ok(0 < len(names) <= limit, f"{name}: 1 to {limit} asked",
         f"{len(names)}: {sorted(names)}")


# ---- tests ------------------------------------------------------------------

def test_bombs(t, d, s):
    for domain in ("bomb-first.test", "bomb-last.test", "tree.test"):
        c = Case(d, s, domain)
        is_(t, c, "permerror", "more than 10 DNS terms",
            f"{domain}: the eleventh term is an error (4.6.4)")
        at_most(t, c.policies, POLICIES + PREFETCHED, f"{domain}: records")
        t.is_(c.addresses, set(), f"{domain}: no addresses")
        # the walk is in order: what the RFC evaluates was asked
        walked = {"bomb-first.test": ["r5.bomb-first.test",
                                      "l5-4.bomb-first.test"],
                  "bomb-last.test": ["l0-8.bomb-last.test",
                                     "r1.bomb-last.test"],
                  "tree.test": ["0.0.0.0.tree.test", "6.0.0.0.tree.test"],
                  }[domain]
        t.is_([w for w in walked if w not in c.policies], [],
              f"{domain}: ten terms are evaluated", sorted(c.policies))


def test_prefetch(t, d, s):
    """It changes no result: the servers of later includes are silent, then
    the names do not exist."""
    s.fault("silent", "bad.test")
    for domain in ("p-ip.test", "p-first.test"):
        c = Case(d, s, domain)
        is_(t, c, "pass", None, f"{domain}: passes before the silent include")
        t.ok(any(n.endswith(".bad.test") for n in c.policies),
             f"{domain}: which was prefetched", sorted(c.policies))
        t.ok(c.seconds < 2, f"{domain}: nobody waited for it", c.seconds)
    c = Case(d, s, "p-second.test")
    is_(t, c, "temperror", "time-out", "a silent include is temperror (5.2)")
    s.heal()
    c = Case(d, s, "p-none.test", client="192.0.2.77")
    is_(t, c, "permerror", "include of a domain without SPF record",
        "an include that does not exist is permerror (5.2)")
    c = Case(d, s, "p-none.test")
    is_(t, c, "pass", None, "but not when an earlier one passes")


def test_addresses(t, d, s):
    c = Case(d, s, "ptr.test", "192.0.2.30")
    is_(t, c, "pass", None, "ptr with 30 names of the client")
    at_most(t, c.addresses, 10, "ptr with 30 names of the client")
    c = Case(d, s, "ptr-none.test", "192.0.2.31")
    is_(t, c, "fail", None, "ptr with 30 names of others: no error (4.6.4)")
    t.is_(len(c.addresses), 10, "ptr: ten of the 30 names are asked for")
    c = Case(d, s, "mx10.test")
    is_(t, c, "pass", None, "mx with 10 names, one of them the client")
    at_most(t, c.addresses, 10, "mx with 10 names, one of them the client")
    c = Case(d, s, "mx-none.test")
    is_(t, c, "fail", None, "mx with 10 names of others")
    t.is_(len(c.addresses), 10, "mx: all ten are asked for")
    c = Case(d, s, "mx12.test")
    is_(t, c, "permerror", "more than 10 MX names",
        "mx with 12 names is an error (4.6.4)")
    t.ok(len(c.addresses) <= 10, "mx with 12: at most 10 addresses",
         c.addresses)


def test_growth(t, d, s):
    c = Case(d, s, "growth.bomb")
    t.is_(c.spf.result, "permerror", "redirect that triples: permerror",
          c.spf.reason)
    at_most(t, c.policies, POLICIES, "redirect that triples: records")
    # 7.3: labels are dropped on the left until 253 are left
    longest = max(len(n) for n in c.policies)
    t.ok(100 < longest <= 253, "redirect that triples: names stay legal",
         longest)


def test_long(t, d, s):
    c = Case(d, s, "long.test")
    is_(t, c, "pass", None, "300 ip4 terms: the last one matches")
    t.ok(any(q[0] == "long.test" and q[2] == "tcp" for q in s.log()),
         "300 ip4 terms: over TCP", s.log())
    c = Case(d, s, "long.test", client="192.0.2.77")
    is_(t, c, "fail", None, "300 ip4 terms: then -all")


def test_voids(t, d, s):
    c = Case(d, s, "void2.test")
    is_(t, c, "fail", None, "two void look-ups are allowed")
    for domain in ("void3.test", "void-mx.test"):
        c = Case(d, s, domain)
        is_(t, c, "permerror", "more than 2 void lookups",
            f"{domain}: the third is an error (4.6.4)")


def test_same(t, d, s):
    # on a busy machine the library may repeat a question that is under way:
    # once is enough in one of three
    asked = []
    for n in range(3):
        name = f"same{n}.test"
        c = Case(d, s, name, helo=name)
        is_(t, c, "pass", None, f"{name}: HELO and MAIL FROM are of one domain")
        asked.append(s.asked(name))
    t.is_(min(asked), 1, "which is asked for once", asked)
    # and each identity has limits of its own
    c = Case(d, s, "tree.test", helo="bomb-first.test")
    is_(t, c, "permerror", "more than 10 DNS terms", "two bombs in a session")
    c = Case(d, s, "ok.test", helo="bomb-helo.test")
    is_(t, c, "pass", None, "a bomb at HELO leaves MAIL FROM alone")
    at_most(t, c.policies, 1 + POLICIES + PREFETCHED, "a bomb at HELO: records")


def test_slow_client(t, d, s):
    """A client whose names nobody answers for does not turn the "fail" of a
    domain with ptr or %{p} into temperror (5.5: such names are skipped)."""
    s.fault("silent", "40.2.0.192.in-addr.arpa")
    s.fault("silent", "mute.test")
    for what, domain, client in (
            ("no names", "slow-ptr.test", "192.0.2.40"),
            ("names without address", "slow-ptr.test", "192.0.2.41"),
            ("names without address, %{p}", "slow-p.test", "192.0.2.41")):
        c = Case(d, s, domain, client)
        is_(t, c, "fail", None, f"a client with {what}: fail")
        t.ok(c.seconds < 6, f"a client with {what}: in time", c.seconds)
    s.heal()


def main():
    t = Tap(120)
    with Server(ZONE + prefetch_zone()) as s, \
            Daemon(resolver=f'servers = [ "{s.address}" ]; '
                            "query_timeout = 3000; "
                            "message_timeout = 15;") as d:
        for test in (test_bombs, test_prefetch, test_addresses, test_growth,
                     test_long, test_voids, test_same, test_slow_client):
            with t.group(test.__name__):
                test(t, d, s)
        check_end(t, d)
    t.done()


main()
