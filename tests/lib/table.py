"""Cases as tables: the format and the runner.

A table is made of sections; each begins with `== RFC-SECTION TITLE`.

    zone: RECORD            of dns/zone.c, for the whole section; for all of
                            them when it stands before the first
    CELL | CELL | ...       a row; its first cell is its name
        key: value          belongs to the row above
        zone: RECORD        of this row only

`zone*N: RECORD` stands for N records with {n} from 1 to N; `{{N: TEXT}}` in
any value for N times TEXT, spaces and all.  Each row has a zone of its own.
A helper program (a driver in tests/unit) reads a line for each row and
answers with one.
"""
import glob
import os
import re
import subprocess
import tempfile

from tap import Tap


def repeat(text):
    return re.sub(r"\{\{(\d+):(.*?)\}\}",
                  lambda m: m.group(2) * int(m.group(1)), text)


def quoted(text):
    """A TXT string for each 255 octets; the text has no quotes in it."""
    return " ".join(f'"{text[i:i + 255]}"'
                    for i in range(0, len(text), 255))


class BaseRow:
    """A kind of table says which columns and keys it has, and overrides
    question() and wrong()."""
    COLUMNS = 0
    KEYS = ()

    def __init__(self, line, section, zone, where):
        self.cells = [repeat(c.strip()) for c in line.split(" | ")]
        if len(self.cells) != self.COLUMNS:
            raise ValueError(f"{where}: a row has {self.COLUMNS} columns")
        self.name = self.cells[0]
        self.section, self.where = section, where
        self.zone, self.keys = list(zone), {}

    def set(self, key, value):
        if key not in self.KEYS or key in self.keys:
            raise ValueError(f"{self.where}: {key!r}")
        self.keys[key] = value

    def zone_text(self):
        return "\n".join(self.zone) + "\n"

    def question(self, zone_file):
        """A line for the helper."""
        raise NotImplementedError

    def wrong(self, answer):
        """What is wrong with a line of the helper's."""
        raise NotImplementedError


class Reader:
    """Reads one table."""

    def __init__(self, path, kind):
        self.rows, self.section, self.kind = [], None, kind
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
            self.rows.append(self.kind(line, self.section, self.zone, where))
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


def answers(helper, rows, directory):
    """The helper's lines; fewer when it died."""
    questions = []
    for i, row in enumerate(rows):
        path = os.path.join(directory, f"zone{i}")
        with open(path, "w", encoding="utf-8") as f:
            f.write(row.zone_text())
        questions.append(row.question(path) + "\n")
    path = os.path.join(os.environ.get("MAILSEAL_BUILDDIR", "."), helper)
    done = subprocess.run([path], input="".join(questions).encode("utf-8"),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=120, check=False)
    return (done.stdout.decode("ascii", "replace").splitlines(),
            done.returncode, done.stderr.decode("utf-8", "replace"))


def run(helper, kind, pattern, paths=()):
    """All rows of the tables of a pattern, or of those named, as tests."""
    rows = []
    for path in paths or sorted(glob.glob(pattern)):
        rows += Reader(path, kind).rows
    t = Tap(120)
    with tempfile.TemporaryDirectory() as directory:
        lines, status, errors = answers(helper, rows, directory)
    for i, row in enumerate(rows):
        bad = row.wrong(lines[i]) if i < len(lines) else ["no answer", errors]
        t.ok(not bad, f"{row.section}: {row.name}", row.where, *bad)
    t.ok(rows, "there are rows")
    t.is_(status, 0, "the helper ended orderly", errors)
    names = [row.name for row in rows]
    t.is_(sorted({n for n in names if names.count(n) > 1}), [],
          "no name is there twice")
    t.done()
