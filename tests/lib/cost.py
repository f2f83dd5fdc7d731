"""What a case of abuse costs a daemon: CPU of the process in all its threads,
the most memory that was resident meanwhile, and the time.

    m = Meter(daemon.process.pid)
    with m.case("10,000 headers") as c:
        ...
    # abuse: 10,000 headers: 41.2 ms CPU, +1.2 MB, 0.05 s
    c.cpu, c.grown, c.wall              # seconds, bytes, seconds

CPU comes from the process' own clock, so what else the machine does hardly
counts.  No limit of time stands here: a case is compared with another one of
the same run.
"""
import contextlib
import os
import threading
import time

PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_of(pid):
    """Seconds of all threads, those that ended too (CPUCLOCK_SCHED of a
    process, as clock_getcpuclockid(3) makes it)."""
    return time.clock_gettime((~pid << 3) | 2)


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * PAGE


def peak(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        for line in f:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


class Cost:
    cpu = wall = 0.0
    grown = 0


class Meter:
    def __init__(self, pid):
        self.pid = pid

    def _sample(self, stop, seen):
        while not stop.wait(0.01):
            seen[0] = max(seen[0], resident(self.pid))

    def _forget_peak(self):
        """The kernel's own peak begins anew: root's right, since the daemon
        is not dumpable.  Else the samples alone tell, and a new record."""
        with contextlib.suppress(OSError):
            with open(f"/proc/{self.pid}/clear_refs", "w",
                      encoding="ascii") as f:
                f.write("5")

    @contextlib.contextmanager
    def case(self, name):
        """Prints the figures; without a name it keeps them."""
        cost, stop = Cost(), threading.Event()
        self._forget_peak()
        before, record = resident(self.pid), peak(self.pid)
        seen = [before]
        sampler = threading.Thread(target=self._sample, args=(stop, seen))
        sampler.start()
        cpu, wall = cpu_of(self.pid), time.monotonic()
        try:
            yield cost
        finally:
            cost.cpu = cpu_of(self.pid) - cpu
            cost.wall = time.monotonic() - wall
            stop.set()
            sampler.join()
            most = peak(self.pid)
            cost.grown = max(seen[0], resident(self.pid),
                             most if most > record else 0) - before
        if name:
            tell(name, cost)


def tell(name, cost, more=""):
    print(f"# abuse: {name}: {cost.cpu * 1000:.1f} ms CPU, "
          f"{cost.grown / 1e6:+.1f} MB, {cost.wall:.2f} s{more}", flush=True)
