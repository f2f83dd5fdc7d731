"""A dead or lying resolver behind the real daemon.

Whatever the name server does, a session ends by its deadline, others are not
held up, and what is not known is "temperror" with a reason, never "none" or
"fail" (RFC 7208 4.4 and 2.6.6, RFC 9989 5.3).

MAILSEAL_OUTAGE_SESSIONS: how many sessions wait in the outage (200).
They all send in one moment.  libmilter's pool then signals one idle thread for
many sessions, and starts no other (worker.c, tm_nb_idle): without
src/milter/kick.c they wait for a thread, some of them past their deadline.
"""
import os
import re
import resource
import selectors
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import milter_client as mc  # noqa: E402
from authres import Authres  # noqa: E402
from daemon import Daemon, check_end  # noqa: E402
from material import crlf  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

try:
    from dns_server import Server
except ImportError as e:
    skip_all(f"dnspython or cryptography is missing: {e}")

SESSIONS = int(os.environ.get("MAILSEAL_OUTAGE_SESSIONS", "200"))
CLIENT = "192.0.2.10"
DEADLINE = 3   # seconds that a message may wait
# More than a slow machine needs, less than libunbound, which gives a silent
# server up after 12 s.
SLACK = 5
RECOVERY = 4
RECORD = "v=spf1 ip4:192.0.2.10 -all"

# fault: (options, spf, dmarc); all of them at once
TEMPERROR = ("temperror", "temperror")
FAULTS = {
    "silent": ({}, *TEMPERROR),
    "servfail": ({}, *TEMPERROR),
    "refused": ({}, *TEMPERROR),
    "truncated": ({}, "pass", "pass"),
    "truncated-always": ({}, *TEMPERROR),
    "half": ({}, *TEMPERROR),
    "wrong-id": ({}, *TEMPERROR),
    "wrong-question": ({}, *TEMPERROR),
    "garbage": ({}, *TEMPERROR),
    "cname-loop": ({}, *TEMPERROR),
    # libunbound must not lose patience before we do
    "slow": ({"delay": 1200}, "pass", "pass"),
    # an answer, if a strange one: nothing in it is a record of ours
    "huge": ({}, "none", "none"),
    # and here it is one: an unknown modifier of 64 KiB (RFC 7208 6)
    "huge-spf": ({"text": RECORD + " x="}, "pass", "none"),
    "nxdomain": ({}, "none", "none"),
}


TOPS = ("healthy.test", "out.test", "mute.test", "nxdomain.example",
        "servfail.example", "refused.example", "dead.example")


def zone():
    """SPF for any name below these tops, and DMARC above them."""
    return "".join(f'*.{top} TXT "{RECORD}"\n'
                   f'_dmarc.{top} TXT "v=DMARC1; p=reject"\n'
                   for top in TOPS) + \
        "".join(f'{f}.test TXT "{RECORD}"\n'
                f'_dmarc.{f}.test TXT "v=DMARC1; p=reject"\n'
                for f in (*FAULTS, "once"))


def message(domain):
    return crlf(f"From: a@{domain}\nTo: b@example.net\nSubject: x\n\nx\n")


class Result:
    """What one session came to."""

    def __init__(self, value, seconds):
        found = Authres(value)
        self.seconds = seconds
        self.spf = [r for r in found.all("spf")
                    if r.prop("smtp.mailfrom")][0]
        self.dmarc = found.all("dmarc")[0]

    def __repr__(self):
        return f"{self.spf} reason={self.spf.reason!r}, {self.dmarc} " \
               f"reason={self.dmarc.reason!r}, {self.seconds:.2f} s"


def send(d, domain, helo="[192.0.2.10]"):
    start = time.monotonic()
    o = d.send(message(domain), f"<a@{domain}>", client=CLIENT, helo=helo)
    return Result(o.fields("Authentication-Results")[0],
                  time.monotonic() - start)


class Ahead(mc.Connection):
    """Keeps what is sent, once negotiated, until flush()."""

    def __init__(self, address):
        self.kept = None
        super().__init__(address, timeout=60)
        self.kept = []

    def send(self, command, data=b""):
        if self.kept is None:
            super().send(command, data)
        else:
            self.kept.append((command, data))

    def flush(self):
        packets = [struct.pack("!I", len(data) + 1) + command.encode() + data
                   for command, data in self.kept]
        self.kept = None
        self.sock.sendall(b"".join(packets))


class Crowd:
    """Many sessions at once: each sends its whole message ahead, all within
    a second, and one thread notes when the answers come."""

    def __init__(self, d, domains):
        self.began, self.ended = {}, {}
        self.open = [self.prepare(d, domain) for domain in domains]
        self.ready = selectors.DefaultSelector()
        for s in self.open:
            self.ready.register(s.c.sock, selectors.EVENT_READ, s)
        watcher = threading.Thread(target=self.watch, args=(len(domains),),
                                   daemon=True)
        watcher.start()
        for s in self.open:
            self.began[s] = time.monotonic()
            s.c.flush()
        self.burst = time.monotonic() - self.began[self.open[0]]
        watcher.join()

    @staticmethod
    def prepare(d, domain):
        s = mc.Session(Ahead(d.address),
                       macros=mc.standard_macros(address=CLIENT))
        s.connect(CLIENT)
        s.helo("[192.0.2.10]")
        s.mail(f"<a@{domain}>")
        s.rcpt("<b@example.net>")
        s.data()
        fields, body = mc.split_message(message(domain))
        for field in fields:
            s.header(*field)
        s.end_of_header()
        s.body(body)
        s.c.send("E")
        return s

    def watch(self, count):
        end = time.monotonic() + 60
        while len(self.ended) < count and time.monotonic() < end:
            for key, _ in self.ready.select(0.1):
                self.ended[key.data] = time.monotonic()
                self.ready.unregister(key.fileobj)

    def results(self):
        """The Result of each session that was answered."""
        out = []
        for s in self.open:
            if s in self.ended:
                edits = []
                s.answer("E", edits)
                value = [e[3] for e in edits if e[0] == "insheader"][0]
                out.append(Result(value, self.ended[s] - self.began[s]))
                s.quit()
            s.c.close()
        return out


def status(d, name):
    """A number of /proc/PID/status."""
    with open(f"/proc/{d.process.pid}/status") as f:
        for line in f:
            if line.startswith(name + ":"):
                return int(line.split()[1])
    return 0


# ---- one name misbehaves, others do not -------------------------------------

def healthy(d, stop, results):
    """Sessions of names never asked before, until `stop` is set."""
    n = 0
    while not stop.is_set():
        n += 1
        results.append(send(d, f"n{n}.healthy.test"))
        time.sleep(0.05)


def check_fault(t, fault, r):
    _, spf, dmarc = FAULTS[fault]
    t.is_((r.spf.result, r.dmarc.result), (spf, dmarc),
          f"{fault}: spf={spf}, dmarc={dmarc}", r)
    for x, wanted in ((r.spf, spf), (r.dmarc, dmarc)):
        if wanted == "temperror":
            t.ok(x.reason, f"{fault}: {x.method} says why", r)
    t.ok(r.seconds < DEADLINE + SLACK, f"{fault}: ends by its deadline", r)


def test_faults(t, d, s):
    # "half" alone: libunbound has one TCP connection for all, which it closes
    faults = [f for f in FAULTS if f != "half"]
    for fault, (options, *_) in FAULTS.items():
        kind = "huge" if fault == "huge-spf" else fault
        s.fault(kind, f"{fault}.test", **options)
    results, others, stop = {}, [], threading.Event()

    def run(fault):
        results[fault] = send(d, f"{fault}.test")

    threads = [threading.Thread(target=run, args=(f,)) for f in faults]
    beside = threading.Thread(target=healthy, args=(d, stop, others))
    for thread in (beside, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    beside.join()
    run("half")
    s.heal()
    for fault in FAULTS:
        with t.group(fault):
            check_fault(t, fault, results[fault])
    t.ok(results["slow"].seconds >= 1.2, "slow: was waited for",
         results["slow"])
    bad = [r for r in others if r.spf.result != "pass" or
           r.dmarc.result != "pass"]
    t.ok(len(others) > 3 and not bad,
         "healthy names are answered meanwhile", len(others), bad)
    times = sorted(r.seconds for r in others)
    t.ok(times[len(times) // 2] < 1, "and do not wait for the others", times)
    t.note(f"{len(others)} healthy sessions, the slowest {times[-1]:.3f} s")


# ---- equal questions --------------------------------------------------------

def test_once(t, d, s):
    s.forget()
    s.fault("slow", "once.test", delay=200)
    results = Crowd(d, ["once.test"] * 50).results()
    s.heal()
    t.is_([r for r in results if r.spf.result != "pass"], [],
          "50 sessions of one domain: spf=pass")
    t.is_(len(results), 50, "50 sessions of one domain: all end")
    # one more is a datagram sent again, should this machine be that slow
    for name in ("once.test", "_dmarc.once.test"):
        t.ok(1 <= s.asked(name) <= 2, f"{name} was asked for once",
             s.asked(name))


# ---- the whole server -------------------------------------------------------

def is_well(r):
    return (r.spf.result, r.dmarc.result) == ("pass", "pass")


def recovers(t, d, what, domain, more=0):
    """The next messages are right soon after the servers are."""
    start = time.monotonic()
    limit = RECOVERY + more
    r = send(d, domain)
    while not is_well(r) and time.monotonic() < start + limit:
        time.sleep(0.1)
        r = send(d, domain)
    seconds = time.monotonic() - start
    t.ok(is_well(r) and seconds < limit + 1, f"{what}: then all is well again",
         f"{seconds:.2f} s", r)
    t.note(f"{what}: well again after {seconds:.2f} s")


def test_all(t, d, s):
    for fault, spf in (("nxdomain", "none"), ("servfail", "temperror"),
                       ("refused", "temperror"), ("dead", "temperror")):
        domain = f"x.{fault}.example"
        if fault == "dead":
            s.stop()
        else:
            s.fault(fault)
        r = send(d, domain)
        if fault == "dead":
            s.start()
        s.heal()
        t.is_((r.spf.result, r.dmarc.result), (spf, spf),
              f"{fault} server: {spf}", r)
        t.ok(r.seconds < DEADLINE + SLACK, f"{fault} server: in time", r)
        recovers(t, d, f"{fault} server", f"{fault}.healthy.test")
    # libunbound remembers for 5 s what failed; what does not exist, by its TTL
    for fault in ("servfail", "refused", "dead"):
        recovers(t, d, f"{fault} server, same name", f"x.{fault}.example",
                 SLACK)


def test_outage(t, d, s):
    send(d, "warm.healthy.test")
    t.note(f"before: {status(d, 'Threads')} threads, "
           f"{status(d, 'VmRSS')} KiB")
    s.fault("silent")
    most = {"Threads": 0, "VmRSS": 0}
    stop = threading.Event()

    def measure():
        while not stop.is_set():
            for name in most:
                most[name] = max(most[name], status(d, name))
            time.sleep(0.05)

    meter = threading.Thread(target=measure)
    meter.start()
    crowd = Crowd(d, [f"o{n}.out.test" for n in range(SESSIONS)])
    results = crowd.results()
    stop.set()
    meter.join()
    t.note(f"{SESSIONS} sessions, sent in {crowd.burst:.2f} s: "
           f"{most['Threads']} threads, {most['VmRSS']} KiB")
    t.is_(len(results), SESSIONS, f"outage: {SESSIONS} sessions all end")
    bad = [r for r in results
           if (r.spf.result, r.dmarc.result) != TEMPERROR or
           not r.spf.reason or not r.dmarc.reason]
    t.ok(not bad, "outage: temperror with a reason", bad[:5])
    slowest = max(r.seconds for r in results)
    t.ok(slowest < DEADLINE + SLACK, "outage: each by its deadline",
         f"{slowest:.2f} s")
    waits = re.findall(r"from=<a@o\d+\.out\.test>.* dns=\d+/(\d+)ms", d.log())
    t.note(f"the slowest session took {slowest:.2f} s; "
           f"{sum(int(ms) > 100 for ms in waits)} of {len(waits)} waited for "
           f"the DNS, at most {max(map(int, waits), default=0)} ms")


def test_breaker(t, d, s):
    """The servers are known to be silent: nobody waits for them."""
    for n in range(3):
        r = send(d, f"later{n}.out.test")
        t.is_((r.spf.result, r.spf.reason),
              ("temperror", "DNS servers do not answer"),
              "known outage: said so", r)
        t.ok(r.seconds < 0.5, "known outage: at once", r)
    s.heal()
    recovers(t, d, "outage", "outage.healthy.test")
    recovers(t, d, "outage, same name", "o0.out.test", SLACK)


def test_mute_names(t, d, s):
    """Names that nobody answers for are no outage of the servers, or none
    that lasts."""
    s.fault("silent", "mute.test")
    results = Crowd(d, [f"m{n}.mute.test" for n in range(20)]).results()
    t.is_({(r.spf.result, r.dmarc.result) for r in results}, {TEMPERROR},
          "20 silent names: temperror", results)
    recovers(t, d, "20 silent names", "after.healthy.test")
    s.heal()


def many_names(n):
    """A message that asks for more than 40 names nobody answers for: those of
    four author domains (RFC 9989 4.10, 11.5), and ten keys."""
    authors = ", ".join(f"a@a{i}.b.c.d.e.f.many{n}x{i}.mute.test"
                        for i in range(4))
    return crlf("".join(
        f"DKIM-Signature: v=1; a=rsa-sha256; d=many{n}.mute.test; s=s{i};"
        " h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;"
        f" b=AAAA{i}AAA\n" for i in range(10)) +
        f"From: {authors}\nSubject: x\n\nx\n")


def test_many_names(t, d, s):
    """Messages with many such names do not take the sockets that the
    questions of others need."""
    s.fault("silent", "mute.test")

    def run(n):
        d.send(many_names(n), f"<a@many{n}.mute.test>", client=CLIENT,
               helo="[192.0.2.10]")

    threads = [threading.Thread(target=run, args=(n,)) for n in range(15)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    results = []
    while any(thread.is_alive() for thread in threads):
        results.append(send(d, f"beside{len(results)}.healthy.test"))
        time.sleep(0.1)
    s.heal()
    bad = [r for r in results if not is_well(r) or r.seconds > 1.5]
    t.ok(results and not bad, "many silent names: others do not wait", bad)
    asked = len(s.names(under="mute.test"))
    t.ok(asked > 200, "many silent names: they were asked for", asked)


def main():
    t = Tap(300)
    # the sessions' sockets, here and in the daemon
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Server(zone()) as s, \
            Daemon(resolver=f'servers = [ "{s.address}" ]; '
                            f"message_timeout = {DEADLINE}; "
                            "query_timeout = 2000;") as d:
        for test in (test_faults, test_once, test_all, test_outage,
                     test_breaker, test_mute_names, test_many_names):
            with t.group(test.__name__):
                test(t, d, s)
        check_end(t, d)
    t.done()


main()
