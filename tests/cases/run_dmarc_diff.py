#!/usr/bin/python3
"""DMARC against a model of it: random zones and messages.

The model is written from RFC 9989 4.4, 4.7, 4.10 and 5.3 and shares nothing
with the program: it reads records with a dict and walks lists of labels.  The
program answers through tests/unit/dmarc_suite.  What failed in DNS has its own
tables (dmarc-failures.table): here every question has an answer.

    run_dmarc_diff.py [COUNT [SEED]]
"""
import os
import random
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from run_dmarc_cases import ANSWER, policy_of  # noqa: E402
from tap import Tap  # noqa: E402

COUNT = 1500
POLICIES = ("none", "quarantine", "reject")
WEAKER = {"reject": "quarantine", "quarantine": "none", "none": "none"}


# ---- the model --------------------------------------------------------------

def read_record(text):
    """{tag: value}, or None when it is no record (4.7, 4.8)."""
    first, *rest = text.split(";")
    name, equals, value = first.partition("=")
    if (name.rstrip(" \t"), equals, value.strip(" \t")) != \
            ("v", "=", "DMARC1"):
        return None
    tags = {}
    for tag in rest:
        name, equals, value = tag.partition("=")
        if equals:
            tags.setdefault(name.strip(" \t"), value.strip(" \t").lower())
    return tags


class Walk:
    """4.10 and 4.10.2; `zone` is {name: [text, ...]}."""

    def __init__(self, zone, start):
        self.start, self.found, self.duplicates = start, {}, False
        labels = start.split(".")
        target = labels
        while target:
            name = ".".join(target)
            records = [r for r in map(read_record, zone.get(name, []))
                       if r is not None]
            if len(records) == 1:
                self.found[name] = records[0]
                if records[0].get("psd") in ("y", "n"):
                    break
            self.duplicates = self.duplicates or len(records) > 1
            far = target == labels and len(labels) >= 8
            target = labels[-7:] if far else target[1:]
        self.org = self.organization()

    def organization(self):
        for name, record in self.found.items():  # longest first
            if record.get("psd") == "n":
                return name
            if record.get("psd") == "y" and name != self.start:
                below = len(name.split(".")) + 1
                return ".".join(self.start.split(".")[-below:])
        return min(self.found, key=len, default=self.start)

    def policy(self):
        """4.10.1: the name whose record it is, or None."""
        psd = [n for n, r in self.found.items() if r.get("psd") == "y"]
        for name in [self.start, self.org] + psd:
            if name in self.found:
                return name
        return None


def exists(zone, names, domain):
    """Anything at the name or below it (RFC 8020)."""
    present = names | {"_dmarc." + n for n in zone}
    return any(n == domain or n.endswith("." + domain) for n in present)


def model(zone, names, author, spf, dkim):
    """What run_dmarc_cases.py calls RESULT, ORG and POLICY."""
    walk = Walk(zone, author)
    where = walk.policy()
    if where is None:
        return "none", walk.org, ""
    record = walk.found[where]
    broken = record.get("p") not in POLICIES or any(
        record.get(t, "none") not in POLICIES for t in ("sp", "np"))
    if broken and not record.get("rua", "").startswith("mailto:"):
        return "none", walk.org, ""

    def aligned(identifiers, mode):
        return any(status == "pass" and (
            domain == author or (
                record.get(mode) != "s" and
                Walk(zone, domain).org == walk.org))
            for status, domain in identifiers)

    passed = [what for what, identifiers, mode in
              (("spf", spf, "aspf"), ("dkim", dkim, "adkim"))
              if aligned(identifiers, mode)]
    tag = "p"
    if where != author and not broken:
        if "np" in record and not exists(zone, names, author):
            tag = "np"
        elif "sp" in record:
            tag = "sp"
    published = "none" if broken else record[tag]
    policy = f"{where} {tag}={published}"
    if record.get("t") == "y" and WEAKER[published] != published:
        policy += " " + WEAKER[published]
    status = "pass " + "+".join(passed) if passed else "fail"
    return status, walk.org, policy


# ---- messages ---------------------------------------------------------------

class Message:
    """A random message about a few names of one tree."""

    def __init__(self, r):
        self.r = r
        deepest = r.choice((2, 3, 3, 4, 4, 5, 8, 9, 12))
        self.labels = [r.choice("ab") for _ in range(deepest - 1)] + ["t"]
        self.zone, self.names = {}, {"unrelated.example"}
        for _ in range(r.randrange(1, 5)):
            self.zone.setdefault(self.name(), []).append(self.record())
        for _ in range(r.randrange(3)):
            self.names.add(self.name())
        self.author = self.name()
        self.spf = [self.identifier() for _ in range(r.randrange(2))]
        self.dkim = [self.identifier() for _ in range(r.randrange(4))]

    def name(self):
        """A suffix of the deepest name, with other labels in front."""
        r = self.r
        name = self.labels[-r.randrange(1, len(self.labels) + 1):]
        if r.random() < 0.3:
            name = [r.choice("abc")] + name
        return ".".join(name)

    def identifier(self):
        domain = self.author if self.r.random() < 0.1 else self.name()
        return self.r.choice(("pass", "pass", "pass", "fail")), domain

    def record(self):
        r = self.r
        if r.random() < 0.1:
            return r.choice(("v=spf1 -all", "v=dmarc1; p=reject", "x",
                             "V=DMARC1; p=reject", "v=DMARC1x; p=none"))
        tags = [f"p={r.choice(POLICIES)}"] if r.random() < 0.9 else []
        if r.random() < 0.05:
            tags.append("p=" + r.choice(("r", "reject none", "")))
        for tag, chance, values in (
                ("sp", 0.4, POLICIES), ("np", 0.4, POLICIES),
                ("sp", 0.03, ("x",)), ("np", 0.03, ("", "no")),
                ("psd", 0.4, "ynu"), ("t", 0.2, "yn"),
                ("aspf", 0.3, "rs"), ("adkim", 0.3, "rSz"),
                ("rua", 0.3, ("mailto:a@b.example", "nobody")),
                ("pct", 0.1, ("0", "x"))):
            if r.random() < chance:
                tags.append(f"{tag}={r.choice(values)}")
        r.shuffle(tags)
        wsp = r.choice(("", " ", " \t"))
        tags = [wsp + t.replace("=", wsp + "=" + wsp) + wsp for t in tags]
        return ";".join(["v=DMARC1"] + tags) + r.choice(("", ";", ";;"))

    def zone_text(self):
        lines = [f"{name} A 192.0.2.1" for name in self.names]
        lines += [f'_dmarc.{name} TXT "{record}"'
                  for name, records in self.zone.items()
                  for record in records]
        return "\n".join(lines) + "\n"

    def question(self, path):
        spf, dkim = (" ".join(":".join(i) for i in ids)
                     for ids in (self.spf, self.dkim))
        return "\t".join((path, "walk", "", f"u@{self.author}", spf, dkim))

    def wanted(self):
        return model(self.zone, self.names, self.author, self.spf, self.dkim)

    def wrong(self, answer):
        """What is wrong with a line of the helper's, or None."""
        found = dict(zip(ANSWER, answer.split("\t")))
        got = (f"{found['status']} {found['aligned']}".strip(), found["org"],
               policy_of(found))
        if got == self.wanted() and not found["opinion"]:
            return None
        return (f"got    {got} {found['opinion']}\nwanted {self.wanted()}\n"
                f"{self.question('')}\n{self.zone_text()}")


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else COUNT
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 9989
    t = Tap(120)
    messages = [Message(random.Random(f"{seed} {n}")) for n in range(count)]
    helper = os.path.join(os.environ.get("MAILSEAL_BUILDDIR", "."),
                          "tests/unit/dmarc_suite")
    with tempfile.TemporaryDirectory() as directory:
        questions = []
        for n, m in enumerate(messages):
            path = os.path.join(directory, f"zone{n}")
            with open(path, "w", encoding="ascii") as f:
                f.write(m.zone_text())
            questions.append(m.question(path) + "\n")
        done = subprocess.run([helper], input="".join(questions),
                              capture_output=True, timeout=100, check=False,
                              encoding="ascii")
    lines = done.stdout.splitlines()
    wrong = [w for m, line in zip(messages, lines) if (w := m.wrong(line))]
    t.is_((len(lines), done.returncode), (count, 0),
          "the helper answers all and ends orderly", done.stderr)
    t.is_(len(wrong), 0, f"{count} messages are as the model has them",
          *wrong[:3])
    seen = [m.wanted()[0] for m in messages]
    kinds = {"none", "fail", "pass spf", "pass dkim", "pass spf+dkim"}
    rare = [k for k in sorted(kinds) if seen.count(k) < count // 50]
    t.is_(rare, [], "every result is there often enough")
    tags = [m.wanted()[2].partition(" ")[2].partition("=")[0]
            for m in messages]
    rare = [k for k in ("p", "sp", "np") if tags.count(k) < count // 50]
    t.is_(rare, [], "every tag is there often enough")
    t.done()


if __name__ == "__main__":
    main()
