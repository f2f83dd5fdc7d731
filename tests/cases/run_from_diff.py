"""The From parser against another one: Python's email.headerregistry.

    run_from_diff.py [ROUNDS [SEED]]

Generated values, well formed and mutated, go through both.  Where we name
author domains, Python must name the same; where we refuse, Python must report
a defect.  Every other outcome belongs to a class below, with a reason, or the
test fails.  That Python is wrong is no class by itself: then its older parser,
email.utils.getaddresses, is the second opinion.

from.table has values by hand, a line for each: "malformed", "-" for no author
or the author domains, then " | " and the value, {NNNN} in it for the code
point U+NNNN.
"""
import collections
import os
import random
import re
import subprocess
import sys
import unicodedata
from email import policy, utils

SRC = os.environ.get("MAILSEAL_SRCDIR", ".")
BUILD = os.environ.get("MAILSEAL_BUILDDIR", ".")
sys.path.insert(0, os.path.join(SRC, "tests", "lib"))
from tap import Tap  # noqa: E402

ROUNDS, SEED = 6000, 20261124

# ---- values (RFC 5322 3.4, 4.4; RFC 6854) -----------------------------------

ATOMS = ("a", "bob", "x.y", "postmaster", "a+b", "!#$", "O'Hara") * 4 + (
    "a..b", "a.", ".a", "a b")
DOMAINS = ("legit.test", "attack.test", "a.b.example", "x.test", "LEGIT.test",
           "legit.test.", "b\u00fccher.example", "[192.0.2.1]", "legit",
           "a..b", "-a.test", "a_b.test", "legit.test\u2000", "legit .test",
           "legit. test", "legit(c).test", "xn--bcher-kva.example",
           "fa\u00df.test", "\u0430pple.test", "legit\u3002test",
           "\u2603.test", "\u0301legit.test", "le\u200bgit.test")
CFWS = ("", "", "", "", " ", "\t", "\r\n ", "(c)", " (a (b) c) ", "(\\))",
        "(@attack.test)", "(<x@attack.test>)")
QUOTED = ("a", "a b", "a@attack.test", "<x@attack.test>", 'a\\"b', "a,b", "",
          " ", "\\\\")
WORDS = ("=?utf-8?q?a?=", "=?utf-8?B?PGFAYXR0YWNrLnRlc3Q+?=", "J.",
         "\u00e9t\u00e9", "Q. Public")
ROUTES = ("",) * 8 + ("@a.test:", "@a.test,@b.test:",
                      "@attack.test,@any.test:")
COMMAS = (",", ", ", ",, ", " ,\r\n ")
JUNK = ("<", ">", "@", ",", ";", ":", '"', "\\", "(", ")", " ", ".", "[", "]",
        "=?utf-8?q?x?=", "\t", "admin@legit.test", "\r\n ", "%", "\0",
        "\u202e", "\u2000", "\udcff")


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.pick = self.random.choice

    def some(self, chance):
        return self.random.random() < chance

    def cfws(self, chance=1.0):
        return self.pick(CFWS) if self.some(chance) else ""

    def word(self):
        return f'"{self.pick(QUOTED)}"' if self.some(.3) else self.pick(ATOMS)

    def spec(self):
        return (self.word() + self.cfws(.1) + "@" + self.cfws(.1)
                + self.pick(DOMAINS))

    def phrase(self):
        return " ".join(self.pick(WORDS) if self.some(.3) else self.word()
                        for _ in range(self.random.randint(0, 3)))

    def mailbox(self):
        if self.some(.4):
            return self.spec()
        return (self.cfws() + self.phrase() + self.cfws() + "<"
                + self.cfws(.2) + self.pick(ROUTES) + self.spec()
                + self.cfws(.2) + ">" + self.cfws())

    def group(self):
        return self.phrase() + ":" + ",".join(
            self.mailbox() for _ in range(self.random.randint(0, 2))) + ";"

    def mutate(self, text):
        at, to = sorted(self.random.randint(0, len(text)) for _ in range(2))
        kind = self.random.random()
        if kind < .5:
            return text[:at] + self.pick(JUNK) + text[at:]
        return text[:at] + text[at + 1 if kind < .8 else to:]

    def value(self):
        text = self.pick(COMMAS).join(
            self.group() if self.some(.1) else self.mailbox()
            for _ in range(self.pick((1, 1, 1, 2, 2, 3))))
        for _ in range(self.pick((0, 0, 0, 1, 1, 2, 3))):
            text = self.mutate(text)
        return text.encode("utf-8", "surrogateescape")


# ---- the two readers --------------------------------------------------------


def ours(values):
    """For each value a list of domains, or the reason why it is malformed."""
    feed = b"".join(b"%d\n%s" % (len(v), v) for v in values)
    run = subprocess.run([os.path.join(BUILD, "tests", "unit", "from_parse")],
                         input=feed, stdout=subprocess.PIPE, check=True,
                         timeout=240)
    lines = run.stdout.decode().split("\n")[:-1]
    return [line[len("malformed "):] if line.startswith("malformed ")
            else line.split() for line in lines]


def a_label(label):
    """Python knows IDNA2003, which maps U+00DF to "ss" (UTS46 4)."""
    if "\u00df" in label:
        return "xn--" + label.encode("punycode").decode()
    return label.encode("idna").decode()


def ascii_of(domain):
    """As we write it: lower-case A-labels, one trailing dot less."""
    domain = domain.lower().replace("\u3002", ".")
    domain = domain[:-1] if domain.endswith(".") else domain
    try:
        return ".".join(a_label(label) for label in domain.split("."))
    except UnicodeError:
        return domain


def text_of(value):
    """Unfolded (RFC 5322 2.2.3)."""
    return re.sub(r"\r\n(?=[ \t])", "",
                  value.decode("utf-8", "surrogateescape"))


class Python:
    """What headerregistry makes of it; domains is None when it fails."""

    def __init__(self, text):
        self.written, self.domains, self.defects = None, None, []
        try:
            field = policy.default.header_factory("From", text)
            self.written = [a.domain for a in field.addresses]
            self.domains = [ascii_of(d) for d in self.written]
            self.defects = [type(d).__name__ for d in field.defects]
        except Exception as e:  # pylint: disable=broad-except
            self.defects = [f"{type(e).__name__} raised"]
        # RFC 6532 3.2 has UTF-8 in local-parts.
        self.invalid = set(self.defects) - {"ObsoleteHeaderDefect",
                                            "NonASCIILocalPartDefect"}


def without_comments(text):
    out, depth, quoted, at = "", 0, False, 0
    while at < len(text):
        char = text[at:at + 2] if text[at] == "\\" else text[at]
        at += len(char)
        if char == '"' and depth == 0:
            quoted = not quoted
        if not quoted and char in "()":
            depth += 1 if char == "(" else -1
            char = " "
        if depth <= 0:
            out += char
    return out


def older(text):
    """Knows no obs-route (RFC 5322 4.4), which is passed over anyway, and
    trips over a bracket in a quoted string."""
    text = re.sub(r'"(?:[^"\\]|\\.)*"', '"q"', without_comments(text))
    found = utils.getaddresses([re.sub(r"<\s*@[^:<>]*:", "<", text)])
    return [ascii_of(a.rpartition("@")[2].replace(" ", ""))
            for _, a in found if "@" in a]


# ---- classes ----------------------------------------------------------------

# RFC 1035 2.3.1 with the underscore of RFC 8552 (HP-8)
DOMAIN = re.compile(r"(?!.{254})([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*"
                    r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
# A dot that ends a domain: before what ends an address.
LAST_DOT = re.compile(r'(?<=[\w-])\.(?=[\s(]*(?:[>,;:]|$|\())')
# RFC 2047 2 and 5 (3): no white space in an encoded-word, no specials in one
# of a phrase; Python takes them.
IN_WORD = r"(?:(?!\?=).)*"
FALSE_WORD = re.compile(rf'=\?[^ ]*[][()<>@,;:"\\][^ ]*\?='
                        rf"|=\?{IN_WORD}\s{IN_WORD}\?=")


def same(domains, others):
    return set(domains) == set(others)


def without_last_dots(text):
    """HP-8: one trailing dot belongs to the domain (RFC 1034 3.1); RFC 5322
    3.4.1 knows none, and Python refuses it."""
    return LAST_DOT.sub("", text)


def why_accepted(text, domains):
    """The class of a value that is well formed for us, or None."""
    python = Python(text)
    if python.domains is not None and same(domains, python.domains) and \
            not python.invalid:
        return "same" if not python.defects else \
            "same, in an obsolete form (RFC 5322 4)"
    bare = Python(without_last_dots(text))
    if bare.domains is not None and same(domains, bare.domains) and \
            not bare.invalid:
        return "same but for a trailing dot (HP-8)"
    bare = Python(without_last_dots(re.sub(r"=\?+", "x", text)))
    # HP-5; Python wants white space around an encoded-word, and its content
    # to be good (RFC 2047 5)
    if "=?" in text and bare.domains is not None and not bare.invalid and \
            same(domains, bare.domains):
        return "same when encoded-words are not decoded"
    # RFC 6532 3.2: U+2000 is an atom's; for Python it is white space
    bare = Python(without_last_dots(text.replace("\u2000", "u")))
    if "\u2000" in text and bare.domains is not None and not bare.invalid \
            and same(domains, bare.domains):
        return "same where U+2000 is no white space"
    # obs-phrase ("J. Doe", RFC 5322 4.1) and empty groups make it fail
    if bare.domains is None and same(domains, older(without_last_dots(text))):
        return "headerregistry fails, getaddresses says the same"
    if bare.domains is None and not domains and ":" in text:
        return "headerregistry fails on an empty group (RFC 6854)"
    return None


def routes_of(text):
    """The domains that obs-routes name."""
    return [ascii_of(part.strip(" \t@"))
            for route in ROUTE.findall(without_comments(text))
            for part in route.split(",") if part.strip()]


def is_u_label(label):
    """Letters, marks and digits, no mark first, hyphens inside, but not two
    where an A-label has them (RFC 5891 4.2.3, 5892 2)."""
    kinds = [unicodedata.category(c) for c in label if c != "-"]
    return all(kind[0] in "LM" or kind == "Nd" for kind in kinds) and \
        kinds[0][0] != "M" and label.strip("-") == label and \
        label[2:4] != "--"


def malformed_domain(text, python):
    """HP-8, HP-9: Python takes any text for a domain, decodes an encoded-word
    in it, and passes over what stands in a route."""
    return UNSEEN.search(text) or re.search(r"@[^,<>;:]*=\?", text) or any(
        not DOMAIN.fullmatch(d) for d in python.domains + routes_of(text)) \
        or not all(is_u_label(label) for d in python.written
                   for label in d.split(".") if not label.isascii())


def has_control(text):
    return re.search(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]", text)


# Our reason -> what must be true where Python sees nothing wrong.
STRICTER = {
    "malformed domain": malformed_domain,
    # HP-8: it names no domain that could be an author's
    "address literal instead of a domain": lambda text, p:
        any(d.startswith("[") for d in p.domains),
    # W13
    "text direction override": lambda text, p:
        re.search("[\u202a-\u202e\u2066-\u2069]", text),
    # HP-7
    "control character": lambda text, p: has_control(text),
    # HP-9
    "invalid UTF-8": lambda text, p: re.search("[\udc80-\udcff]", text),
    # HP-5: Python decodes it
    "encoded-word instead of an address": lambda text, p:
        "=?" in text.replace("\\", ""),
    # RFC 5322 3.4: an address without domain is local to the receiver
    "address without domain": lambda text, p: "" in p.domains,
    "no address where one must be": lambda text, p: "" in p.domains,
    "empty address list": lambda text, p: not p.domains,
}


# RFC 5322 4.4: CFWS around the dots of a domain (HP-8); readers that stop at
# it have another domain.
OBS_DOMAIN = re.compile(r'@[^,<>;:"]*(\s\.|\.\s)')
# RFC 5322 4.4: commas may stand at both ends of an obs-route.
OBS_ROUTE = re.compile(r"<[\s,]*,\s*@|<\s*@[^:<>]*,\s*:")
ROUTE = re.compile(r"<\s*(@[^:<>]*):")
# HP-8: what UTS46 drops or maps to a space, and nobody sees
UNSEEN = re.compile("[\u00ad\u1680\u2000-\u200f\u202f\u205f-\u206f\u3000"
                    "\ufeff]")


# What Python takes and we or RFC 5322 do not, whatever our reason then is.
LENIENT = (
    ("a false encoded-word (RFC 2047 2)", FALSE_WORD.search),
    ("U+2000 as white space (HP-8)", lambda text: "\u2000" in text),
    ("white space in a domain (RFC 5322 4.4)", lambda text:
        OBS_DOMAIN.search(without_comments(text))),
    ("a comma around a route (RFC 5322 4.4)", lambda text:
        OBS_ROUTE.search(without_comments(text))),
)


def why_refused(value, text, reason):
    """The class of a value that is malformed for us, or None."""
    python = Python(text)
    if python.domains is None:
        return "refused, and headerregistry fails"
    if python.invalid:
        return "refused by both"
    for name, check in LENIENT:
        if check(text):
            return f"stricter: Python takes {name}"
    # HP-4: does it quote CR, or the white space after the fold?
    if reason == "backslash without a character" and b"\\\r\n" in value:
        return "stricter: backslash before a fold"
    check = STRICTER.get(reason)
    if check is not None and check(text, python):
        return f"stricter: {reason}"
    return None


def classify(value, outcome):
    text = text_of(value)
    if isinstance(outcome, str):
        return why_refused(value, text, outcome)
    return why_accepted(text, outcome)


def read_table():
    """Pairs of what is wanted and the value."""
    with open(os.path.join(SRC, "tests", "cases", "from.table"),
              encoding="ascii") as file:
        for line in file.read().split("\n"):
            if line and not line.startswith("#"):
                want, _, value = line.partition(" | ")
                yield want, re.sub(r"{([0-9A-F]{4})}",
                                   lambda m: chr(int(m.group(1), 16)),
                                   value).encode()


def check_picked(t):
    rows = list(read_table())
    for (want, value), outcome in zip(rows, ours([v for _, v in rows])):
        got = "malformed" if isinstance(outcome, str) else \
            " ".join(outcome) or "-"
        t.is_(got, want, ascii(value.decode()), outcome)
        t.ok(classify(value, outcome), "the difference is explained",
             outcome, vars(Python(text_of(value))))


def check_generated(t, rounds, seed):
    maker = Maker(seed)
    values = [maker.value() for _ in range(rounds)]
    outcomes = ours(values)
    t.is_(len(outcomes), rounds, f"{rounds} values, seed {seed}")
    classes, unexplained = collections.Counter(), []
    for value, outcome in zip(values, outcomes):
        name = classify(value, outcome)
        classes[name] += 1
        if name is None:
            unexplained.append((value, outcome,
                                vars(Python(text_of(value)))))
    t.ok(not unexplained, "every difference is explained",
         *unexplained[:20])
    for name, n in classes.most_common():
        t.note(f"{n:6} {name}")
    # A generator or a parser that does nothing is seen here.
    accepted = sum(not isinstance(o, str) for o in outcomes)
    t.ok(rounds / 5 < accepted < rounds * 4 / 5, "both outcomes are frequent",
         accepted)


def main():
    t = Tap()
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else SEED
    with t.group("values by hand"):
        check_picked(t)
    with t.group("generated values"):
        check_generated(t, rounds, seed)
    t.done()


if __name__ == "__main__":
    main()
