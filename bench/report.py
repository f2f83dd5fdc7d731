"""The tables of bench.py.

Results are a list for each (row, size, connections), one entry for each round.
A ratio is taken within a round, where what is compared ran side by side, and
the median of the rounds is shown.
"""
import statistics


class Results:
    def __init__(self):
        self.cells = {}
        self.floors = {}  # by size

    def add(self, row, size, conns, result):
        self.cells.setdefault((row, size, conns), []).append(result)

    def rows(self):
        return list(dict.fromkeys(row for row, _, _ in self.cells))

    def has(self, *key):
        return key in self.cells

    def median(self, key, what="cpu_us"):
        return statistics.median(r[what] for r in self.cells[key])

    def ratio(self, key, other):
        return statistics.median(
            a["cpu_us"] / b["cpu_us"]
            for a, b in zip(self.cells[key], self.cells[other]))

    def floor(self, size, hashing, *operations):
        f = self.floors[size]
        return f[hashing] + sum(f[o] for o in operations)

    def wrong(self, prefix):
        return sum(r["messages"] - r["matched"]
                   for key, v in self.cells.items() for r in v
                   if key[0].startswith(prefix))


FLOORS = (
    ("libcrypto alone, verify", "sha256", ("rsa_verify",)),
    ("libcrypto alone, sign twice", "sha256", ("rsa_sign", "ed25519_sign")),
    ("with plain canonicalization, verify", "relaxed", ("rsa_verify",)),
    ("with plain canonicalization, sign twice", "relaxed",
     ("rsa_sign", "ed25519_sign")),
)


def line(*cells):
    print("| " + " | ".join(cells) + " |")


def head(*cells):
    line(*cells)
    line("---", *["---:"] * (len(cells) - 1))


def cpu_table(results, sizes, conns):
    print(f"\nCPU microseconds per message, {conns} connections "
          "(ratio to null without replies)\n")
    head("", *sizes)
    for row in results.rows():
        if not any(results.has(row, s, conns) for s in sizes):
            continue
        line(row, *(f"{results.median((row, s, conns)):.0f} "
                    f"""({results.ratio((row, s, conns),
                         ('null, no replies', s, conns)):.2f})"""
                    if results.has(row, s, conns) else "" for s in sizes))
    for name, hashing, operations in FLOORS:
        line(name, *(f"{results.floor(s, hashing, *operations):.0f}"
                     for s in sizes))


def wall_table(results, sizes, conns):
    print(f"\nThe same run, {conns} connections\n")
    head("", "messages/s", "p50 ms", "p99 ms", "RSS MB", "wrong")
    for row in results.rows():
        for size in sizes:
            key = row, size, conns
            if not results.has(*key):
                continue
            last = results.cells[key][-1]
            wrong = sum(r["messages"] - r["matched"]
                        for r in results.cells[key])
            line(f"{row}, {size}", f"{results.median(key, 'per_second'):.0f}",
                 f"{results.median(key, 'p50_ms'):.2f}",
                 f"{results.median(key, 'p99_ms'):.2f}",
                 f"{last['rss_kb'] / 1024:.1f}", str(wrong))


def verdict(value, limit, shown="{:.2f}"):
    if value <= limit:
        return shown.format(value) + " passed"
    return f"{shown.format(value)} missed by {100 * (value / limit - 1):.0f} %"


VERIFY, SIGN, NULL = "mailseal verify", "mailseal sign twice", \
    "null, no replies"


class Targets:
    """The rows of the table of targets."""

    def __init__(self, results, sizes, conns):
        self.r, self.sizes, self.conns = results, sizes, conns
        self.first = conns[0]

    def against(self, ours, theirs, limit):
        """limit: of a size."""
        def cell(size):
            key, other = (ours, size, self.first), (theirs, size, self.first)
            if not self.r.has(*key) or not self.r.has(*other):
                return ""
            return verdict(self.r.ratio(key, other), limit(size))
        return cell

    def floor(self, ours, hashing, operations):
        def cell(size):
            key = ours, size, self.first
            if not self.r.has(*key):
                return ""
            return verdict(
                self.r.median(key) /
                (self.r.median((NULL, size, self.first)) +
                 self.r.floor(size, hashing, *operations)), 1.5)
        return cell

    def many(self, ours):
        """What a message costs with more connections, against null's."""
        def cell(size):
            few, more = self.conns[0], self.conns[-1]
            if few == more or not self.r.has(ours, size, more):
                return ""
            ratio = statistics.median(
                a["cpu_us"] / b["cpu_us"] / (c["cpu_us"] / d["cpu_us"])
                for a, b, c, d in zip(*(
                    self.r.cells[row, size, n] for row in (ours, NULL)
                    for n in (more, few))))
            return verdict(ratio, 1.15)
        return cell

    def linear(self, ours):
        """Cost of a byte at 50 MB against 5 MB."""
        def cell(size):
            if size != "50m" or "5m" not in self.sizes:
                return ""
            return verdict(self.r.ratio((ours, "50m", self.first),
                                        (ours, "5m", self.first)) / 10, 1.1)
        return cell

    def rows(self):
        sign = ("rsa_sign", "ed25519_sign")
        few, more = self.conns[0], self.conns[-1]
        return (
            ("verify / opendkim verify, at most 0.6",
             self.against(VERIFY, "opendkim verify", lambda s: 0.6)),
            ("verify / chain, at most 0.125 (5m: 0.5)",
             self.against(VERIFY, "chain",
                          lambda s: 0.125 if s[-1] == "k" else 0.5)),
            ("sign twice / opendkim sign once, at most 0.5",
             self.against(SIGN, "opendkim sign once", lambda s: 0.5)),
            ("verify / (null + cryptography), at most 1.5",
             self.floor(VERIFY, "relaxed", ("rsa_verify",))),
            ("the same, without canonicalization",
             self.floor(VERIFY, "sha256", ("rsa_verify",))),
            ("sign twice / (null + cryptography), at most 1.5",
             self.floor(SIGN, "relaxed", sign)),
            ("the same, without canonicalization",
             self.floor(SIGN, "sha256", sign)),
            (f"verify, {more} / {few} connections over null's, at most 1.15",
             self.many(VERIFY)),
            (f"sign twice, {more} / {few} connections over null's, "
             "at most 1.15", self.many(SIGN)),
            ("verify, a byte of 50m / of 5m, at most 1.1",
             self.linear(VERIFY)),
            ("sign twice, a byte of 50m / of 5m, at most 1.1",
             self.linear(SIGN)),
        )

    def show(self):
        print("\nTargets\n")
        head("", *self.sizes)
        for name, cell in self.rows():
            cells = [cell(size) for size in self.sizes]
            if any(cells):
                line(name, *cells)
