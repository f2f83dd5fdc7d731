"""Load with faults: mail in and out at full load while what mailseald stands on
fails at random, and the check that each message had one truthful outcome.

    faults.py [seconds] [seed]          # 1200, and one of its own

Every choice is drawn from the seed, which is
printed; the moments are those of the machine.  It ends with what it counted,
and status 1 with a line for each promise that was broken:

- A message that was handed over and got no answer is given again, until it is
  accepted with Authentication-Results or signatures, refused or put off: once.
- Good mail is never told to be bad, nor bad mail good; "temperror", "tempfail"
  and lost connections come of a fault, and end with it.
- Without such a fault, and whatever the clock does, all is as without faults.
- The process ends as it must, is started again, leaks neither descriptors nor
  memory, and what it stored is whole.
"""
import os
import random
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
sys.path.insert(0, os.path.dirname(__file__))
from daemon import mailseal  # noqa: E402
from fault_lanes import Faults, Windows  # noqa: E402
from site_under_load import Site  # noqa: E402
from traffic import Clients, Ledger, Material  # noqa: E402


# ---- after the load ---------------------------------------------------------

def check_outcomes(ledger):
    """Each message that was handed over has one outcome."""
    for number, outcomes in ledger.begun.items():
        if outcomes != 1:
            ledger.complain(f"message {number:x}: {outcomes} outcomes")


def check_traces(site, ledger):
    """One line of the log and at most one record for each attempt that was
    answered; what was answered just before an unclean end may be missing."""
    ends = [life.end for life in site.lives[:-1]]
    for queue_id, lines in site.seen.items():
        if lines > 1:
            ledger.complain(f"{queue_id}: {lines} lines in the log")
    for queue_id, when in ledger.accepted.items():
        if queue_id not in site.seen and \
                not any(-0.5 < end - when < 2 for end in ends):
            ledger.complain(f"{queue_id}: accepted, and not in the log")
    records = site.records()
    for queue_id, rows in records.items():
        if rows > 1:
            ledger.complain(f"{queue_id}: {rows} records")
    return records


def check_explain(site, ledger, records):
    """The records can be read, with a sample."""
    shown = 0
    for queue_id in sorted(records)[-20:]:
        status, out, err = mailseal("explain", queue_id, "--state", site.state)
        if status != 0 or queue_id.encode() not in out:
            ledger.complain(f"explain {queue_id}: {status} {err}")
        shown += status == 0
    return shown


def report(faults, ledger, site, records, out):
    def table(title, counter):
        out(f"{title}:")
        for name, n in sorted(counter.items()):
            out(f"    {n:8d}  {name}")

    table("faults", faults.done)
    out("    lies: " + ", ".join(f"{k} {n}" for k, n in
                                 sorted(faults.lies.items())))
    for text in faults.skipped:
        out(f"    skipped   {text}")
    table("what became of messages", ledger.counts)
    table("the MTA broke off", ledger.cuts)
    table("mailseald ended", site.ends)
    total = sum(n == 1 for n in ledger.begun.values())
    out(f"{len(ledger.begun)} messages handed over, {total} with one outcome, "
        f"{ledger.strict} of them while nothing failed")
    out(f"{faults.failed_allocations} allocations failed; clock seen from "
        f"{ledger.clock[0]:+d} to {ledger.clock[1]:+d} s")
    out(f"longest answer {ledger.latency * 1000:.0f} ms; {len(records)} "
        f"records in the journal")
    for fds, rss, more_fds, more_rss, age in faults.grown:
        out(f"a life of {age:.0f} s: {fds} descriptors {more_fds:+d}, "
            f"{rss >> 10} KB resident {more_rss >> 10:+d}")


def run(seconds, seed, out=print):
    """Broken promises; a short run of `make check` is the same."""
    windows = Windows()
    ledger = Ledger(windows.excuse)
    out(f"load with faults: {seconds} s, seed {seed}")
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        os.chmod(folder, 0o755)
        material = Material(random.Random(f"{seed} material"), folder)
        site = Site(material, folder, ledger)
        try:
            site.supervise()
            clients = Clients(seed, material, site.address, ledger)
            faults = Faults(seconds, seed, site, clients, windows)
            faults.run()
            faults.last_look()
            stuck = clients.end()
            if stuck:
                ledger.complain(f"{stuck} clients do not end")
            status = site.finish()
            if status != 0:
                ledger.complain(f"SIGTERM: status {status}")
            check_outcomes(ledger)
            for bad in site.check_state():
                ledger.complain(f"the state is not whole: {bad}")
            records = check_traces(site, ledger)
            out(f"{check_explain(site, ledger, records)} records explained")
            report(faults, ledger, site, records, out)
        finally:
            site.close()
    return ledger.broken, faults


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 1200
    seed = sys.argv[2] if len(sys.argv) > 2 else \
        str(random.SystemRandom().randrange(1 << 32))
    broken, _ = run(seconds, seed, lambda text: print(text, flush=True))
    for text in broken:
        print("BROKEN", text)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
