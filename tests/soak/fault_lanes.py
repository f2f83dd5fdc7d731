"""The faults, and when there are which: three lanes side by side, for the DNS
server, for reloads, and for all the rest, of which one at a time.

A Window says what a fault excuses while it lasts and shortly after.  The clock,
reloads and an MTA that breaks off excuse nothing.
"""
import collections
import contextlib
import os
import random
import signal
import threading
import time
import traceback

import milter_client as mc
from site_under_load import OUT_OF_MEMORY_END

BAD_CONFIGS = [("dmarc = {\n", "syntax error"),
               ('nonsense = "1";\n', 'unknown option "nonsense"'),
               ("outbound.domains_file = 3;\n", "")]
LIES = ["wrong-id", "wrong-question", "garbage", "truncated",
        "truncated-always", "half", "servfail", "refused", "nxdomain"]
ENDINGS = {f"end {OUT_OF_MEMORY_END}", "end status 70", "end status 71"}
DNS_GRACE = 15  # what failed is remembered for 6 s, and servers are probed
FD_GROWTH = 4  # SQLite keeps one after a reload, libunbound a socket
RSS_GROWTH = 24 << 20
WARM_UP = 15  # seconds of a long run


class Windows:
    """When which fault was there, and what it excuses."""

    def __init__(self):
        self.lock = threading.Lock()
        self.all = []

    @contextlib.contextmanager
    def open(self, *excuses, grace=0.0):
        window = [frozenset(excuses), time.monotonic(), None]
        with self.lock:
            self.all.append(window)
        try:
            yield
        finally:
            window[2] = time.monotonic() + grace

    def excuse(self, what, start, end):
        with self.lock:
            recent = self.all[-60:]
        return any((what in w[0] or what == "any" and w[0]) and
                   w[1] <= end and (w[2] is None or w[2] >= start)
                   for w in recent)


class Faults:
    def __init__(self, seconds, seed, site, clients, windows):
        self.seconds, self.seed = seconds, seed
        self.site, self.clients = site, clients
        self.ledger, self.windows = site.ledger, windows
        self.scale = min(max(seconds / 200, 0.08), 1)
        self.began = time.monotonic()
        self.done = collections.Counter()
        self.lies = collections.Counter()
        self.skipped = []
        self.grown = []  # descriptors, bytes, how many more, age
        self.failed_allocations = 0

    # ---- lanes -------------------------------------------------------------
    def lane(self, name, faults, idle, length):
        """Deals `faults` in a random order again and again, each at least
        once."""
        rng = random.Random(f"{self.seed} {name}")
        for fault in faults:
            self.done[fault] = 0
        deck = []
        try:
            while self.elapsed() < self.seconds or \
                    (not all(self.done[f] for f in faults) and
                     self.elapsed() < 4 * self.seconds):
                if not deck:
                    deck = rng.sample(sorted(faults), len(faults))
                fault = deck.pop()
                time.sleep(rng.uniform(*idle) * self.scale)
                if name == "house":
                    self.look(rng)
                if self.timely(faults[fault]):
                    self.done[fault] += faults[fault](
                        rng, rng.uniform(*length) * self.scale) is not False
        except Exception:  # pylint: disable=broad-except
            self.ledger.complain(f"lane {name}: {traceback.format_exc()}")

    def elapsed(self):
        return time.monotonic() - self.began

    def timely(self, fault):
        """The last quarter of a long run leaves the process alone, so that
        one of its lives is long."""
        return self.seconds < 300 or self.elapsed() < 0.75 * self.seconds or \
            fault not in (self.kill, self.allocations, self.address_space,
                          self.descriptors)

    def lanes(self):
        """Name, faults, and seconds: between two, and of each."""
        house = {"state folder read-only": self.state_read_only,
                 "clock an hour ahead, and back": self.clock_ahead,
                 "clock an hour back, and ahead": self.clock_back,
                 "descriptors run out": self.descriptors,
                 "killed with SIGKILL": self.kill,
                 "MTA breaks off half of its sessions": self.mta,
                 "fewer connections": self.crowd}
        if self.site.small.folder:
            house["state folder full"] = self.state_full
        else:
            self.skipped.append("state folder full: needs root")
        if not self.site.sanitized:
            house["allocations fail"] = self.allocations
            house["address space bounded"] = self.address_space
        else:
            self.skipped.append("allocations fail, address space bounded: a "
                                "sanitizer has an allocator of its own")
        dns = {"DNS server dead": self.dns_dead,
               "DNS server hangs": self.dns_hangs,
               "DNS server lies": self.dns_lies}
        reload = {"reload, good": self.reload_good,
                  "reload, bad": self.reload_bad}
        return [("dns", dns, (3, 40), (1, 9)),
                ("reload", reload, (0.5, 10), (0, 0)),
                ("house", house, (1, 12), (1, 8))]

    def run(self):
        threads = [threading.Thread(target=self.lane, args=lane)
                   for lane in self.lanes()]
        for th in threads:
            th.start()
        for th in threads:
            th.join()

    # ---- the DNS -----------------------------------------------------------
    def dns_dead(self, _rng, length):
        with self.windows.open("temperror", grace=DNS_GRACE):
            self.site.dns.order("stop")
            time.sleep(length)
            self.site.dns.order("start")

    def dns_hangs(self, _rng, length):
        self.dns_fault("silent", length)

    def dns_lies(self, rng, length):
        kind = rng.choice(LIES)
        self.dns_fault(kind, length)
        self.lies[kind] += 1

    def dns_fault(self, kind, length):
        more = ["lie"] if kind == "nxdomain" else []
        with self.windows.open("temperror", *more, grace=DNS_GRACE):
            self.site.dns.order("fault", kind)
            time.sleep(length)
            self.site.dns.order("heal")

    # ---- the MTA -----------------------------------------------------------
    def mta(self, _rng, length):
        self.clients.cut_rate = 0.5
        time.sleep(length)
        self.clients.cut_rate = 0.03

    def crowd(self, rng, length):
        self.clients.active = rng.choice((8, 16, 30))
        time.sleep(length)
        self.clients.active = 50

    # ---- reloads -----------------------------------------------------------
    def reload_good(self, rng, _length):
        site = self.site
        start = time.monotonic()
        site.configure(rng.choice(("one", "two")), rng.randrange(7, 14),
                       rng.choice(("accept", "tempfail")))
        status, err = site.reload()
        if status != 0 and not self.windows.excuse(
                "reload", start - 1, time.monotonic()):
            self.ledger.complain(f"a good reload: {status} {err}")
        return status == 0

    def reload_bad(self, rng, _length):
        site = self.site
        start = time.monotonic()
        text, said = rng.choice(BAD_CONFIGS)
        with self.windows.open("end status 78"):
            site.put(site.text(*site.extra) + text)
            status, err = site.reload()
            site.configure(*site.extra)
        right = status == 78 and said in err and f"{site.config}:" in err
        if not right and not self.windows.excuse("reload", start - 1,
                                                 time.monotonic()):
            self.ledger.complain(f"a bad reload: {status} {err}")
        return right

    # ---- the state folder --------------------------------------------------
    def state_read_only(self, _rng, length):
        state = self.site.state
        with self.windows.open("tempfail", "reload", grace=5):
            os.chmod(state, 0o500)
            for name in os.listdir(state):
                with contextlib.suppress(OSError):
                    os.chmod(os.path.join(state, name), 0o400)
            time.sleep(length)
            os.chmod(state, 0o700)
            for name in os.listdir(state):
                with contextlib.suppress(OSError):
                    os.chmod(os.path.join(state, name), 0o640)

    def state_full(self, _rng, length):
        with self.windows.open("tempfail", "reload", grace=5):
            self.site.small.fill()
            time.sleep(length)
            self.site.small.empty()

    # ---- the clock: nothing is excused -------------------------------------
    def clock_ahead(self, _rng, length):
        self.clock(3600, length)

    def clock_back(self, _rng, length):
        self.clock(-3600, length)

    def clock(self, offset, length):
        self.site.set_clock(offset)
        time.sleep(length + 1)  # mail is signed meanwhile
        self.site.set_clock(0)

    # ---- the process -------------------------------------------------------
    def settle(self):
        """Until it serves again."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                mc.Connection(self.site.address, 10).close()
                return
            except (OSError, mc.MilterError):
                time.sleep(0.05)
        self.ledger.complain("mailseald does not serve again: " +
                             self.site.log()[-2000:])

    def descriptors(self, rng, length):
        life = self.site.life
        with self.windows.open("temperror", "tempfail", "lost", "hang",
                               "reload", *ENDINGS, grace=DNS_GRACE):
            try:
                n = len(life.descriptors())
            except OSError:
                return False  # it just ended
            # not below what is open: poll(2) would fail, and with it libmilter
            life.limit("nofile", n + rng.randrange(4))
            time.sleep(length)
            life.limit("nofile")
            self.settle()
        return True

    def address_space(self, rng, length):
        life = self.site.life
        with self.windows.open("temperror", "tempfail", "lost", "reload",
                               *ENDINGS, grace=DNS_GRACE):
            try:
                size = life.status("VmSize")
            except OSError:
                return False
            life.limit("as", size - rng.randrange(4 << 20))
            time.sleep(length)
            life.limit("as")
            self.settle()
        return True

    def allocations(self, rng, length):
        """Until the process ends, or the time is over."""
        life = self.site.life
        before = self.site.failures()
        with self.windows.open("temperror", "tempfail", "lost", "reload",
                               *ENDINGS, grace=DNS_GRACE):
            self.site.order_failures(rng.choice((7, 100, 1000, 5000, 20000)))
            end = time.monotonic() + length
            while life.end is None and time.monotonic() < end:
                time.sleep(0.01)
            self.site.order_failures(0)
            self.settle()
        self.failed_allocations += self.site.failures() - before

    def kill(self, rng, length):
        if rng.random() < 0.5:
            self.measure()
        with self.windows.open("lost", "reload", "end SIGKILL", grace=2):
            self.site.life.process.send_signal(signal.SIGKILL)
            time.sleep(0.05)
            self.settle()
        time.sleep(length)

    # ---- leaks -------------------------------------------------------------
    def look(self, rng):
        """After the warm-up of each life, and now and then."""
        life = self.site.life
        if time.monotonic() - life.start > WARM_UP * self.scale and \
                (life.base is None or rng.random() < 0.1):
            self.measure()

    def last_look(self):
        for _ in range(2 if self.site.life.base is None else 1):
            time.sleep(max(WARM_UP * self.scale, 2))
            self.measure()

    def measure(self):
        """Descriptors and memory with no session open, against those after
        the warm-up of this life."""
        life = self.site.life
        try:
            if not self.clients.pause():
                self.ledger.complain("a session does not end")
                return
            time.sleep(0.5)
            names, rss = life.descriptors(), life.status("VmRSS")
        except OSError:
            return  # it ended
        finally:
            self.clients.resume()
        if life.base is None:
            life.base = (names, rss)
            return
        more = len(names) - len(life.base[0]), rss - life.base[1]
        self.grown.append((len(life.base[0]), life.base[1], *more,
                           time.monotonic() - life.start))
        if more[0] > FD_GROWTH:
            self.ledger.complain(f"{more[0]} descriptors more than "
                                 f"{life.base[0]}: {names}")
        if more[1] > RSS_GROWTH and not self.site.sanitized:
            self.ledger.complain(f"{more[1] >> 10} KB more than "
                                 f"{life.base[1] >> 10}")
