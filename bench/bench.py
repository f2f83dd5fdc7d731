"""What a message costs: mailseal beside a filter that does nothing, opendkim,
opendmarc, pyspf-milter, and the three as a chain, interleaved in one run.

    make bench                                  short: 2 KB and 20 KB
    make bench BENCH_FLAGS=--whole              all sizes, all parts

Every daemon gets the same messages over a unix socket, one message in a
connection, with warm DNS from a name server of our own on the loopback.  What
is compared is CPU time of the daemon (user and system, all threads); machines
are shared, so trust the ratios.  Each result is checked: "wrong" counts the
messages that did not get the fields that they must.
"""
import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile

SRC = os.environ.get("MAILSEAL_SRCDIR",
                     os.path.join(os.path.dirname(__file__), ".."))
BUILD = os.environ.setdefault("MAILSEAL_BUILDDIR", os.getcwd())
sys.path.insert(0, os.path.join(SRC, "tests", "lib"))
# pylint: disable=wrong-import-position
import endure  # noqa: E402
import latency  # noqa: E402
import peers  # noqa: E402
import report  # noqa: E402
import tcp  # noqa: E402
from corpus import SIZES, Corpus  # noqa: E402
from dns_server import Server  # noqa: E402

PARTS = ("matrix", "growth", "open", "latency", "tcp")
MOST = {"2k": 4000, "20k": 3000, "200k": 800, "5m": 80, "50m": 8}


def options(argv):
    ap = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    ap.add_argument("--whole", action="store_true",
                    help="every size and part, 300 domains")
    ap.add_argument("--sizes", help=f"of {','.join(SIZES)}")
    ap.add_argument("--conns", help="connections at once: 8,64")
    ap.add_argument("--parts", help=f"of {','.join(PARTS)}")
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--seconds", type=float, default=1.0,
                    help="at most, for one row and size in a round")
    ap.add_argument("--domains", type=int)
    ap.add_argument("--messages", type=int, default=100000,
                    help="of the part growth")
    ap.add_argument("--open", type=int, default=endure.OPEN,
                    help="connections of the part open")
    ap.add_argument("--latency", type=int, default=40,
                    help="messages of the parts latency and tcp")
    ap.add_argument("--text", action="store_true",
                    help="bodies of words only, no base64")
    ap.add_argument("--keep", metavar="DIR",
                    help="where the corpus is kept for the next run")
    ap.add_argument("--json", metavar="FILE", help="the results of the matrix")
    o = ap.parse_args(argv)
    short = ("2k,20k", "8", "matrix", 30)
    whole = (",".join(SIZES), "8,64", ",".join(PARTS), 300)
    default = whole if o.whole else short
    o.sizes = (o.sizes or default[0]).split(",")
    o.conns = [int(c) for c in (o.conns or default[1]).split(",")]
    o.parts = (o.parts or default[2]).split(",")
    o.domains = o.domains or default[3]
    for name in o.parts:
        if name not in PARTS:
            ap.error(f"no part {name}")
    for size in o.sizes:
        if size not in SIZES:
            ap.error(f"no size {size}")
    return o


def turns(o):
    """(round, size, connections); in round -1 each message goes through once:
    caches are warm from there."""
    for size in o.sizes:
        yield -1, size, o.conns[0]
    for turn in range(o.rounds):
        for size in o.sizes:
            for conns in o.conns:
                yield turn, size, conns


def floors(corpus, sizes):
    p = subprocess.run([os.path.join(BUILD, "bench", "floor"),
                        *(corpus.files[s, "plain"][0] for s in sizes)],
                       check=True, capture_output=True, text=True)
    return dict(zip(sizes, map(json.loads, p.stdout.splitlines())))


def matrix(o, corpus, rows):
    """The number of our wrong results."""
    results = report.Results()
    for turn, size, conns in turns(o):
        for row in rows:
            files = corpus.files[size, row.kind]
            if turn < 0:
                row.measure(files, conns, len(files))
                continue
            results.add(row.name, size, conns, row.measure(
                files, conns, MOST[size], o.seconds))
    results.floors = floors(corpus, o.sizes)
    for conns in o.conns:
        report.cpu_table(results, o.sizes, conns)
    report.Targets(results, o.sizes, o.conns).show()
    for conns in o.conns:
        report.wall_table(results, o.sizes, conns)
    if o.json:
        with open(o.json, "w", encoding="utf-8") as f:
            json.dump([{"row": row, "size": size, "conns": conns, "rounds": v}
                       for (row, size, conns), v in results.cells.items()], f)
    return results.wrong("mailseal")


def other_parts(o, corpus, rows, server, senders):
    """What looks at some of the daemons only; the number of wrong results."""
    wrong = 0
    by_name = {row.name: row for row in rows}
    verify, sign = by_name["mailseal verify"], by_name["mailseal sign twice"]
    opendkim = by_name.get("opendkim verify")
    if "growth" in o.parts:
        wrong += endure.growth([verify, sign], corpus, o.messages)
    if "open" in o.parts:
        wrong += endure.many_open([r for r in (verify, opendkim) if r], corpus,
                                  o.open)
    if "latency" in o.parts:
        latency.run([r for r in (verify, by_name.get("chain")) if r], server,
                    senders)
    if "tcp" in o.parts:
        tcp.run(o.latency)
    return wrong


def run(o, directory):
    """The number of our wrong results."""
    ours = peers.inside(directory)
    corpus = Corpus(o.keep or os.path.join(directory, "corpus"), o.domains,
                    o.sizes, o.text)
    keys = latency.make_keys(directory)
    senders = [latency.Sender(i, keys) for i in range(o.latency)]
    server = Server("\n".join(corpus.zone + [
        z for s in senders for z in s.zone]), start=False)
    server.port = 53 if ours else 0
    server.start()
    rows = []
    try:
        rows, notes = peers.rows_of(corpus, directory, server.address, ours)
        print(f"{o.domains} domains, {o.rounds} rounds of at most "
              f"{o.seconds} s, medians")
        for note in notes:
            print(f"# {note}")
        wrong = matrix(o, corpus, rows) if "matrix" in o.parts else 0
        return wrong + other_parts(o, corpus, rows, server, senders)
    finally:
        peers.stop_all(rows)
        server.stop()


def main():
    o = options(sys.argv[1:])
    if peers.INSIDE not in os.environ and peers.can_enter():
        peers.enter([sys.executable, "-B", *sys.argv])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    directory = tempfile.mkdtemp(prefix="mailseal-bench-")
    os.chmod(directory, 0o755)
    try:
        wrong = run(o, directory)
    finally:
        shutil.rmtree(directory)
    if wrong > 0:
        sys.exit(f"bench: {wrong} messages without the fields they must get")


if __name__ == "__main__":
    main()
