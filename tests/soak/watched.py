"""The daemon under load and under ThreadSanitizer, or valgrind's memcheck, while
it is reloaded, taken over, and asked on its control socket and for its metrics.

    watched.py tsan|valgrind [seconds] [seed]       # 300, and one of its own

$MAILSEAL_BUILDDIR is a build with --enable-tsan, or one without sanitizers.
Status 1 with a line for each report, lie or lost message.  What is suppressed
stands in tsan.supp and valgrind.supp, with the reason.
"""
import contextlib
import os
import random
import re
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
sys.path.insert(0, os.path.dirname(__file__))
from daemon import mailseal, quote  # noqa: E402
from scrape import Scrape  # noqa: E402
from site_under_load import Site  # noqa: E402
from traffic import Clients, Ledger, Material  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
CONNECTIONS = {"tsan": 50, "valgrind": 12}
STARTS = 120  # seconds that a start may take under valgrind
REPORTS = {"tsan": re.compile(r"WARNING: ThreadSanitizer.*?\n={18}", re.S),
           "valgrind": re.compile(r"(?:^==\d+== .*\n)+", re.M)}
# valgrind opens files and makes threads as the sandbox forbids
OPTIONS = """\
sandbox = {sandbox};
inbound = {{ iprev = true; }};
metrics = {{ listen = {listen}; }};
"""


def how(tool):
    """(what runs it, its environment)"""
    supp = os.path.join(HERE, f"{tool}.supp")
    if tool == "tsan":
        return (["setarch", "-R"],
                {"TSAN_OPTIONS": f"suppressions={supp}:exitcode=66:"
                 "history_size=3"})
    return (["valgrind", "--quiet", "--leak-check=full",
             "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite",
             "--soname-synonyms=somalloc=NONE", "--error-exitcode=66",
             "--num-callers=30", f"--suppressions={supp}"], {})


class Watched:
    def __init__(self, tool, seed, folder):
        prefix, env = how(tool)
        self.tool, self.rng = tool, random.Random(f"{seed} requests")
        # it is slow: then the DNS may come too late
        self.ledger = Ledger(lambda what, start, end: what == "temperror")
        material = Material(random.Random(f"{seed} material"), folder)
        self.site = Site(material, folder, self.ledger, prefix, env)
        self.metrics = "unix:" + os.path.join(self.site.dir, "metrics")
        self.site.options = OPTIONS.format(
            sandbox="true" if tool == "tsan" else "false",
            listen=quote(self.metrics))
        self.site.configure(*self.site.extra)
        self.done = dict.fromkeys(("reload", "control", "scrape", "takeover"),
                                  0)
        self.reports = []
        self.seed = seed

    def count(self, name):
        self.done[name] += 1

    # ---- what is asked of it -----------------------------------------------
    def reload(self):
        self.site.configure(self.rng.choice(("one", "two")),
                            self.rng.randrange(7, 14), "accept")
        status, err = self.site.reload()
        if status != 0:
            self.ledger.complain(f"reload: {status} {err}")

    def takeover(self):
        site, old = self.site, self.site.life
        new = site.begin("--takeover")
        if site.wait_log("listens on", STARTS) is None:
            self.ledger.complain(f"takeover: {site.log()[-1000:]}")
        self.end(old)
        return new

    def control(self):
        for args in (("status",), ("status", "--json"), ("metrics",),
                     ("explain", "Q1x1")):
            status, _, err = mailseal(*args, "-c", self.site.config,
                                      timeout=STARTS)
            if status != 0 and args[0] != "explain":
                self.ledger.complain(f"{args}: {status} {err}")

    def scrape(self):
        m = Scrape(self.metrics)
        if m.bad or not m.names:
            self.ledger.complain(f"metrics: {m.bad}")

    def end(self, life):
        """Waits for the orderly end of a process, and reads its reports."""
        try:
            status = life.process.wait(STARTS)
        except Exception:  # pylint: disable=broad-except
            life.process.kill()
            status = "hung"
        with open(life.log, encoding="utf-8", errors="replace") as f:
            found = REPORTS[self.tool].findall(f.read())
        self.reports += found
        if status != 0:
            self.ledger.complain(f"it ended with {status}, and {len(found)} "
                                 "reports")

    # ---- the whole ---------------------------------------------------------
    def run(self, seconds):
        site = self.site
        site.begin()
        site.wait_ready(STARTS)
        clients = Clients(self.seed, site.material, site.address, self.ledger,
                          CONNECTIONS[self.tool])
        end = time.monotonic() + seconds
        kinds = [self.reload, self.reload, self.control, self.scrape,
                 self.takeover]
        deck = []
        while time.monotonic() < end or deck:
            deck = deck or self.rng.sample(kinds, len(kinds))
            time.sleep(self.rng.uniform(0.1, 2))
            request = deck.pop()
            request()
            self.count(request.__name__)
        if clients.end(STARTS):
            self.ledger.complain("clients do not end")
        site.closing = True
        site.signal()
        self.end(site.life)


def watch(tool, seconds, seed):
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        os.chmod(folder, 0o755)
        w = Watched(tool, seed, folder)
        with contextlib.closing(w.site):
            w.run(seconds)
    return w


def main():
    tool = sys.argv[1]
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 300
    seed = sys.argv[3] if len(sys.argv) > 3 else \
        str(random.SystemRandom().randrange(1 << 32))
    print(f"{tool}: {seconds} s, seed {seed}", flush=True)
    w = watch(tool, seconds, seed)
    print(f"{len(w.ledger.begun)} messages; " + ", ".join(
        f"{name} {n}" for name, n in sorted(w.done.items())))
    print(f"{len(w.reports)} reports of {tool}, {len(w.ledger.broken)} broken "
          "promises")
    for text in w.reports + w.ledger.broken:
        print(text)
    sys.exit(1 if w.reports or w.ledger.broken else 0)


if __name__ == "__main__":
    main()
