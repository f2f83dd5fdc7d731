#!/usr/bin/python3
"""SPF cases as data (spf*.table), through tests/unit/spf_suite.

A table is made of sections; each begins with `== RFC-SECTION TITLE`.

    zone: RECORD            of dns/zone.c, for the whole section; for all of
                            them when it stands before the first
    NAME | CLIENT | RECORD | RESULT | WHY
        key: value          belongs to the row above

The sender is user@sender.example and RECORD its policy without "v=spf1 ":
"exactly this", in quotes, is the data of a TXT record, `-` is none.  WHY is
the mechanism that matched or, with an error or `none`, a part of the reason.
Keys of a row:

    zone: RECORD            of this row only
    from: SENDER            `<>`: the null path; the record stays where it is
    helo: TEXT              client.example when left out
    check: helo             instead of MAIL FROM
    explain: TEXT           the explanation; without this key there is none
    terms: N, voids: N, queries: N      what must have been counted

`zone*N: RECORD` stands for N records with {n} from 1 to N; `{{N: TEXT}}` in
any value for N times TEXT, spaces and all.  Each row has a zone of its own.
"""
import glob
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from tap import Tap  # noqa: E402

SENDER = "sender.example"
MATCHED = ("pass", "fail", "softfail", "neutral")
COUNTS = ("terms", "voids", "queries")
KEYS = ("from", "helo", "check", "explain") + COUNTS


def repeat(text):
    return re.sub(r"\{\{(\d+):(.*?)\}\}",
                  lambda m: m.group(2) * int(m.group(1)), text)


def quoted(text):
    """A TXT string for each 255 octets; RECORD has no quotes in it."""
    return " ".join(f'"{text[i:i + 255]}"'
                    for i in range(0, len(text), 255))


class Row:
    def __init__(self, line, section, zone, where):
        cells = [repeat(c.strip()) for c in line.split(" | ")]
        if len(cells) != 5:
            raise ValueError(f"{where}: a row has 5 columns")
        self.name, self.client, self.policy, self.result, self.why = cells
        self.section, self.where = section, where
        self.zone, self.keys = list(zone), {}

    def set(self, key, value):
        if key not in KEYS or key in self.keys:
            raise ValueError(f"{self.where}: {key!r}")
        self.keys[key] = value

    def zone_text(self):
        lines = list(self.zone)
        if self.policy.startswith('"'):
            lines.append(f"{SENDER} TXT {self.policy}")
        elif self.policy != "-":
            lines.append(f"{SENDER} TXT {quoted('v=spf1 ' + self.policy)}")
        return "\n".join(lines) + "\n"

    def question(self, zone_file):
        sender = self.keys.get("from", f"user@{SENDER}")
        return "\t".join((
            zone_file, self.keys.get("check", "mailfrom"), self.client,
            self.keys.get("helo", "client.example"),
            "" if sender == "<>" else sender))

    def wrong(self, answer):
        """What is wrong with a line of the helper's."""
        result, explanation, mechanism, reason, *more = answer.split("\t")
        found = dict(zip(COUNTS, more[1:]))
        bad = []
        if result != self.result:
            bad.append(f"got {result}, wanted {self.result}")
        if explanation != self.keys.get("explain", ""):
            bad.append(f"explanation {explanation!r}")
        good = (mechanism == self.why if self.result in MATCHED
                else self.why != "" and self.why in reason)
        if not good:
            bad.append(f"mechanism {mechanism!r}, reason {reason!r}")
        bad += [f"{k} {found[k]}, wanted {self.keys[k]}" for k in COUNTS
                if self.keys.get(k, found[k]) != found[k]]
        return bad


class Reader:
    """Reads one table."""

    def __init__(self, path):
        self.rows, self.section = [], None
        self.zone, self.common = [], []
        with open(path, encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                where = f"{os.path.basename(path)}:{number}"
                if line.strip() and not line.startswith("#"):
                    self.line(line.rstrip("\n"), where)

    def line(self, line, where):
        if line.startswith("== "):
            if self.section is None:
                self.common = self.zone
            self.section, self.zone = line[3:], list(self.common)
            return
        key = re.match(r"(\s*)([a-z]+)(?:\*(\d+))?: ?(.*)", line)
        if key is None:
            if self.section is None:
                raise ValueError(f"{where}: no section yet")
            self.rows.append(Row(line, self.section, self.zone, where))
            return
        indent, name, times, value = key.groups()
        value = repeat(value)
        if name != "zone":
            if not indent or times:
                raise ValueError(f"{where}: {name!r} belongs to no row")
            self.rows[-1].set(name, value)
            return
        lines = [value.replace("{n}", str(n + 1))
                 for n in range(int(times))] if times else [value]
        (self.rows[-1].zone if indent else self.zone).extend(lines)


def answers(rows, directory):
    """The helper's lines; fewer when it died."""
    questions = []
    for i, row in enumerate(rows):
        path = os.path.join(directory, f"zone{i}")
        with open(path, "w", encoding="utf-8") as f:
            f.write(row.zone_text())
        questions.append(row.question(path) + "\n")
    helper = os.path.join(os.environ.get("MAILSEAL_BUILDDIR", "."),
                          "tests/unit/spf_suite")
    done = subprocess.run([helper], input="".join(questions).encode("utf-8"),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=120, check=False)
    return (done.stdout.decode("ascii", "replace").splitlines(),
            done.returncode, done.stderr.decode("utf-8", "replace"))


def main():
    rows = []
    for path in sys.argv[1:] or sorted(glob.glob(
            os.path.join(HERE, "spf*.table"))):
        rows += Reader(path).rows
    t = Tap(120)
    with tempfile.TemporaryDirectory() as directory:
        lines, status, errors = answers(rows, directory)
    for i, row in enumerate(rows):
        bad = row.wrong(lines[i]) if i < len(lines) else ["no answer", errors]
        t.ok(not bad, f"{row.section}: {row.name}", row.where, *bad)
    t.is_(status, 0, "the helper ended orderly", errors)
    names = [row.name for row in rows]
    t.is_(sorted({n for n in names if names.count(n) > 1}), [],
          "no name is there twice")
    t.done()


if __name__ == "__main__":
    main()
