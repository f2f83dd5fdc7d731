"""Two parts of bench.py: what a daemon's memory does over many messages, and
what many open connections cost it.
"""
import contextlib
import time

import milter_client as mc
import report

CONNS = 64
STEPS = 10
MOST_MB = 40
OPEN = 2500
OPEN_MESSAGES = 400


def growth(rows, corpus, messages):
    """RSS after each tenth of the messages; the number of wrong results."""
    names = [row.name for row in rows]
    print(f"\nRSS in MB after so many messages of 2 KB, {CONNS} connections\n")
    report.head("messages", *names)
    memory = {name: [] for name in names}
    wrong = 0
    for step in range(STEPS):
        for row in rows:
            r = row.measure(corpus.files["2k", row.kind], CONNS,
                            messages // STEPS)
            wrong += r["messages"] - r["matched"]
            memory[row.name].append(row.peers[0].memory())
        report.line(str((step + 1) * messages // STEPS),
                    *(f"{memory[n][-1]:.1f}" for n in names))
    report.line(f"most, under {MOST_MB} MB",
                *(report.verdict(max(memory[n]), MOST_MB, "{:.1f}")
                  for n in names))
    report.line("growth in the second half, MB",
                *(f"{memory[n][-1] - memory[n][STEPS // 2 - 1]:+.1f}"
                  for n in names))
    print(f"\nwrong: {wrong}")
    return wrong


def open_connections(row, corpus, count):
    """One row: what it takes to have them, and a message beside them; the
    number of wrong results."""
    peer, files = row.peers[0], corpus.files["2k", row.kind]
    row.measure(files, CONNS, 4 * CONNS)
    before = peer.memory()
    with contextlib.ExitStack() as stack:
        began = time.monotonic()
        idle = [stack.enter_context(mc.Connection(f"unix:{peer.socket}"))
                for _ in range(count)]
        seconds = time.monotonic() - began
        memory = peer.memory()
        beside = row.measure(files, 8, OPEN_MESSAGES)
        waited = through(row, files[0], idle[count // 2])
    busy = row.measure(files, count, 2 * count)
    wrong = sum(r["messages"] - r["matched"] for r in (beside, busy))
    report.line(row.name, f"{seconds:.1f}", f"{before:.1f}", f"{memory:.1f}",
                f"{beside['p50_ms']:.1f} / {beside['p99_ms']:.1f}",
                f"{waited:.1f}",
                f"{busy['per_second']:.0f}", f"{peer.memory():.1f}",
                str(wrong))
    return wrong


def through(row, path, connection):
    """Milliseconds of a message through one that has been idle."""
    with open(path, "rb") as f:
        ip, helo, sender = f.readline().decode().split()
        fields, body = mc.split_message(f.read().replace(b"\n", b"\r\n"))
    began = time.monotonic()
    s = mc.Session(connection, macros=mc.standard_macros(address=ip))
    s.connect(ip)
    s.helo(helo)
    s.mail(f"<{sender}>")
    s.rcpt("<rcpt@receiver.example>")
    s.data()
    for field in fields:
        s.header(*field)
    s.end_of_header()
    s.body(body)
    edits = []
    s.end_of_message(edits)
    added = " ".join(str(e) for e in edits)
    missing = [w for w in row.wants if w not in added]
    if missing:
        raise RuntimeError(f"{row.name}: an idle connection: no {missing}")
    return (time.monotonic() - began) * 1000


def many_open(rows, corpus, count=OPEN):
    print(f"\n{count} connections open and idle; then as many at work\n")
    report.head("", "opened in s", "RSS before", "RSS MB",
                "8 beside them: p50 / p99 ms", "on an idle one, ms",
                "all at work: messages/s", "RSS then", "wrong")
    return sum(open_connections(row, corpus, count) for row in rows)
