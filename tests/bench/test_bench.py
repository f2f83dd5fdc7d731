#!/usr/bin/python3
"""make bench runs: every part of it, short, with every daemon that is there.
How long anything took is not looked at."""
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(__file__)
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from tap import Tap  # noqa: E402

SRC = os.environ.get("MAILSEAL_SRCDIR", os.path.join(HERE, "..", ".."))
SHORT = ("--sizes", "2k,20k", "--conns", "2,8", "--rounds", "1", "--seconds",
         "0.1", "--domains", "2", "--parts",
         "matrix,growth,open,latency,tcp", "--messages", "100", "--open",
         "20", "--latency", "4")
OURS = ("mailseal verify", "mailseal verify, two signatures",
        "mailseal verify, no records", "mailseal sign twice")


def main():
    t = Tap()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "results")
        p = subprocess.run(
            [sys.executable, "-B", os.path.join(SRC, "bench", "bench.py"),
             *SHORT, "--json", path], capture_output=True, text=True,
            timeout=300, check=False)
        t.is_(p.returncode, 0, "bench.py ends well")
        if p.returncode != 0:
            t.note(p.stderr[-2000:])
            t.done()
            return
        with open(path, encoding="utf-8") as f:
            cells = json.load(f)
    for name in OURS:
        mine = [c for c in cells if c["row"] == name]
        t.is_(sorted((c["size"], c["conns"]) for c in mine),
              [("20k", 2), ("20k", 8), ("2k", 2), ("2k", 8)],
              f"{name}: every size and number of connections")
        rounds = [r for c in mine for r in c["rounds"]]
        t.ok(all(r["messages"] > 0 and r["matched"] == r["messages"] and
                 r["cpu_us"] > 0 for r in rounds),
             f"{name}: every message has the fields that it must")
    for part in ("Targets", "RSS in MB", "connections open and idle",
                 "until the verdict", "mailseald, TCP"):
        t.ok(part in p.stdout, f"there is a table: {part}")
    t.done()


main()
