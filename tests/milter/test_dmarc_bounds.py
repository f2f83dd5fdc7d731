"""What DMARC can make us ask, counted at the name server.

The real daemon asks a name server of the tests' own, so retries, prefetch and
the cache are in the count.  RFC 9989 4.10: eight queries a walk, whatever name
its author chose; 4.10.2 and 11: a walk only for what may be aligned.

Each message has a top-level domain of its own: nothing of it is cached, and a
question that is repeated for an earlier message counts there.  Only distinct
names count.
"""
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from authres import Authres  # noqa: E402
from daemon import Daemon, check_end  # noqa: E402
from material import Key, crlf, have_dkimpy, sign  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

try:
    from dns_server import Server
    from dns_zone import txt
except ImportError as e:
    skip_all(f"dnspython or cryptography is missing: {e}")

CLIENT = "192.0.2.10"
WALK = 8
LABELS = (1, 2, 3, 6, 7, 8, 9, 10, 13, 100)
SIGNERS = "efghijklmn"  # as many as are verified: dkim.max_signatures
OUT_OF_AUTHORS = 4  # as many are evaluated


def deep(label, org, labels=100):
    """A name of so many labels, below an organizational domain of two."""
    return f"{label}." * (labels - 2) + org


def signer(label, org):
    """A shorter one for d=, which dkimpy would fold in the middle."""
    return deep(label, org, 30)


def walk(start, cuts=()):
    """The names of RFC 9989 4.10, up to one with psd=n."""
    labels = start.split(".")
    names = [labels]
    while len(names[-1]) > 1:
        last = names[-1]
        # steps 4 and 5: from eight labels on, the next name has seven
        names.append(labels[-7:] if last is labels and len(labels) >= 8
                     else last[1:])
    names = [".".join(n) for n in names]
    stop = [i for i, n in enumerate(names) if n in cuts]
    return set(names[:stop[0] + 1] if stop else names)


def union(*walks):
    return set().union(*walks)


# ---- zones ------------------------------------------------------------------

def dmarc(domain, tags):
    return f"_dmarc.{domain} TXT {txt('v=DMARC1; ' + tags)}\n"


def spf(domain, record=f"ip4:{CLIENT} -all"):
    return f"{domain} TXT {txt('v=spf1 ' + record)}\n"


def zone_of(key):
    """The records of all tests."""
    def keys(*domains):
        return "".join(f"s._domainkey.{domain} TXT {txt(key.record())}\n"
                       for domain in domains)

    zone = spf(deep("b", "x.lone")) + keys(signer("e", "x.lone"))
    zone += dmarc("x.all", "p=reject") + spf(deep("b", "x.all"))
    zone += dmarc("b.b.x.all", "p=none; psd=n")
    for n, label in enumerate(SIGNERS):
        zone += keys(signer(label, "x.all"))
        if n < len(SIGNERS) - 1:
            zone += dmarc(f"{label}.{label}.x.all", "p=none; psd=n")
    for top in ("other", "failed", "same", "strict", "first"):
        zone += dmarc(f"x.{top}", "p=reject" + (
            "; aspf=s; adkim=s" if top == "strict" else ""))
    zone += spf(deep("b", "evil.other")) + keys(signer("e", "evil.other"))
    zone += spf(deep("b", "x.failed"), "-all") + keys(signer("e", "x.failed"))
    zone += spf(signer("b", "x.same")) + keys(signer("b", "x.same"))
    zone += spf(deep("b", "x.strict")) + keys(signer("e", "x.strict"))
    zone += keys(signer("e", "x.first"), signer("f", "x.first"))
    zone += spf(deep("a", "x.own"))
    zone += dmarc(deep("a", "x.own"), "p=reject; psd=n")
    return zone


# ---- helpers ----------------------------------------------------------------

class Case:
    """One message, and the names below `top` that were asked with _dmarc."""

    def __init__(self, d, s, top, message, sender="<>"):
        s.forget()
        start = time.monotonic()
        o = d.send(message, sender, client=CLIENT, helo=f"[{CLIENT}]")
        self.seconds = time.monotonic() - start
        s.settle()
        found = Authres(o.fields("Authentication-Results")[0])
        self.dmarc = found.all("dmarc")[0]
        self.found = found
        self.names = {n.removeprefix("_dmarc.")
                      for n in s.names("TXT", top) if n.startswith("_dmarc.")}

    def passes(self, method):
        return sum(r.result == "pass" for r in self.found.all(method))


def message(*authors, body="x\n"):
    authors = ", ".join(f"a@{a}" for a in authors)
    return crlf(f"From: {authors}\nTo: b@example.net\nSubject: x\n\n{body}")


def names_are(t, case, wanted, name):
    t.is_(sorted(case.names), sorted(wanted), f"{name}: names asked")


# ---- tests ------------------------------------------------------------------

def test_author(t, d, s, _key):
    """Any number of labels, and no record anywhere."""
    for n in LABELS:
        top = f"labels{n}"
        author = deep("a", f"x.{top}", n) if n > 1 else top
        c = Case(d, s, top, message(author))
        t.is_(c.dmarc.result, "none", f"{n} labels: none", c.dmarc)
        names_are(t, c, walk(author), f"{n} labels")
        t.is_(len(c.names), min(n, WALK), f"{n} labels: so many")


def test_authors(t, d, s, _key):
    authors = [deep("a", f"x{n}.authors") for n in range(6)]
    c = Case(d, s, "authors", message(*authors))
    t.is_(c.dmarc.result, "permerror", "six author domains: permerror",
          c.dmarc)
    names_are(t, c, union(*(walk(a) for a in authors[:OUT_OF_AUTHORS])),
              "six author domains")
    t.ok(len(c.names) <= WALK * OUT_OF_AUTHORS, "six author domains: bound")


def test_all(t, d, s, key):
    """SPF and ten signatures pass, each with a walk of its own; all but the
    last are cut off from the author by psd=n."""
    author, sender = deep("a", "x.all"), deep("b", "x.all")
    m = message(author)
    signers = [signer(label, "x.all") for label in SIGNERS]
    for domain in reversed(signers):
        m = sign(m, domain, "s", key)
    c = Case(d, s, "all", m, f"<a@{sender}>")
    t.is_((c.passes("spf"), c.passes("dkim")), (1, len(signers)),
          "all at once: SPF and every signature passes", c.found.results)
    t.is_(c.dmarc.result, "pass", "all at once: the last is aligned", c.dmarc)
    cuts = {f"{label}.{label}.x.all" for label in "b" + SIGNERS[:-1]}
    walks = [walk(author)] + [walk(w, cuts) for w in [sender] + signers]
    names_are(t, c, union(*walks), "all at once")
    t.is_([len(w) <= WALK for w in walks], [True] * 12,
          "all at once: twelve walks of at most eight")
    t.ok(c.seconds < 10, "all at once: in time", c.seconds)


def test_no_walk(t, d, s, key):
    """For what can make no difference."""
    for top, result, what in (
            ("lone", "none", "no policy"), ("other", "fail", "cannot align"),
            ("failed", "fail", "did not pass"), ("strict", "fail", "strict")):
        org = "evil.other" if top == "other" else f"x.{top}"
        author = deep("a", f"x.{top}")
        m = sign(message(author), signer("e", org), "s", key)
        if top == "failed":
            m += b"more\r\n"
        c = Case(d, s, top, m, f"<a@{deep('b', org)}>")
        passed = 0 if top == "failed" else 1
        t.is_((c.passes("spf"), c.passes("dkim")), (passed, passed),
              f"{what}: SPF and DKIM", c.found.results)
        t.is_(c.dmarc.result, result, f"{what}: {result}", c.dmarc)
        names_are(t, c, walk(author), what)


def test_one_walk(t, d, s, key):
    author, other = deep("a", "x.same"), signer("b", "x.same")
    c = Case(d, s, "same", sign(message(author), other, "s", key),
             f"<a@{other}>")
    t.is_((c.passes("spf"), c.passes("dkim"), c.dmarc.result),
          (1, 1, "pass"), "identical identifiers: pass", c.found.results)
    names_are(t, c, walk(author) | walk(other), "identical identifiers")
    # the first aligned signature is enough
    author, first = deep("a", "x.first"), signer("e", "x.first")
    m = sign(message(author), signer("f", "x.first"), "s", key)
    c = Case(d, s, "first", sign(m, first, "s", key))
    t.is_((c.passes("dkim"), c.dmarc.result), (2, "pass"),
          "two aligned signatures: pass", c.found.results)
    names_are(t, c, walk(author) | walk(first), "two aligned signatures")
    # the author's own name needs no other walk; prefetch asks ahead
    author = deep("a", "x.own")
    c = Case(d, s, "own", message(author), f"<a@{author}>")
    t.is_(c.dmarc.result, "pass", "the author's own name: pass", c.dmarc)
    t.ok(c.names <= walk(author), "the author's own name: one walk", c.names)


def test_failures(t, d, s, _key):
    """No more names than else, and not for long."""
    for kind in ("servfail", "silent"):
        top = f"f-{kind}"
        s.fault(kind, top)
        author = deep("a", f"x.{top}")
        c = Case(d, s, top, message(author))
        t.is_(c.dmarc.result, "temperror", f"{kind}: temperror", c.dmarc)
        t.ok(author in c.names and c.names <= walk(author),
             f"{kind}: names of one walk", c.names)
        t.ok(c.seconds < 8, f"{kind}: in time", c.seconds)


def main():
    if not have_dkimpy():
        skip_all("dkimpy is missing")
    t = Tap(120)
    with tempfile.TemporaryDirectory() as directory:
        key = Key(directory, "key")
        with Server(zone_of(key)) as s, \
                Daemon(resolver=f'servers = [ "{s.address}" ]; '
                                "query_timeout = 3000; "
                                "message_timeout = 15;") as d:
            for test in (test_author, test_authors, test_all, test_no_walk,
                         test_one_walk, test_failures):
                with t.group(test.__name__):
                    test(t, d, s, key)
            check_end(t, d)
    t.done()


main()
