"""Load with faults for some seconds: each kind of fault once, see faults.py."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
sys.path.insert(0, os.path.dirname(__file__))
from faults import run  # noqa: E402
from material import have_dkimpy  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

SECONDS = 20
SEED = 10


def main():
    if not have_dkimpy():
        skip_all("python3-dkim is not installed")
    t = Tap(280)
    with t.group("faults"):
        broken, faults = run(SECONDS, SEED, t.note)
        t.is_(broken[:20], [], "no promise was broken")
        for name, times in faults.done.items():
            t.ok(times, f"fault: {name}")
        ledger = faults.ledger
        t.ok(len(ledger.begun) > 1000, "there was load", len(ledger.begun))
        for name in ("accepted and signed", "accepted and told",
                     "refused as it must be", "attempts with ABORT",
                     "attempts that mailseald broke off"):
            t.ok(ledger.counts[name], f"messages: {name}")
        t.is_(sorted(ledger.cuts), sorted(f"at {c}" for c in "OCHMRLNBE"),
              "the MTA broke off at every stage")
        t.ok(ledger.clock[0] < -3500 and ledger.clock[1] > 3500,
             "the clock of the daemon jumped", ledger.clock)
    t.done()


main()
