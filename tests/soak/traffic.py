"""Mail whose truth is known, and the MTA that hands it over: clients on up to
50 connections, who break off at every stage, and give again what they did not
get an answer for.  The Ledger holds what became of each message.
"""
import collections
import random
import re
import struct
import threading
import time

import milter_client as mc
from authres import Authres
from material import Key, crlf, dkimpy_verifies, key_record, sign

AUTHSERV_ID = "mx.test"
GOOD_CLIENT, BAD_CLIENT = "192.0.2.10", "192.0.2.99"
DOMAINS = 40
SIZES = [600, 600, 600, 20_000, 20_000, 200_000]
HUGE = 3_000_000
# what the MTA breaks off at: in the negotiation, and at each step
STAGES = "OCHMRTLNBE"
ANSWER_MAX = 25  # seconds: message_timeout of the site is 8


class Truth:
    """One kind of message, and the results that an all-knowing judge gives:
    (SPF of MAIL, DKIM, DMARC), or None for mail that leaves."""

    def __init__(self, name, results=None, login=None, refused=False):
        self.name, self.results = name, results
        self.login, self.refused = login, refused


KINDS = [Truth("signed", ("pass", "pass", "pass")),
         Truth("forwarded", ("fail", "pass", "pass")),
         Truth("altered", ("fail", "fail", "fail")),
         Truth("forged", ("fail", "none", "fail")),
         Truth("sent", login="alice"),
         Truth("shop", login="shop"),
         Truth("not-owned", login="bob", refused=True)]


class Material:
    """Keys, zone, and messages that were signed beforehand."""

    def __init__(self, rng, folder):
        self.signer = Key(folder, "signer")
        self.keys = {"one": Key(folder, "one"), "two": Key(folder, "two"),
                     "ed": Key(folder, "ed", "ed25519")}
        self.records = {f"{s}._domainkey.example.com": k.record()
                        for s, k in self.keys.items()}
        self.zone = "".join(self._zone(n) for n in range(DOMAINS))
        self.rng = rng
        self.bodies = [self._body(size) for size in (*SIZES, HUGE)]
        self.inbound = [self._signed(n) for n in range(DOMAINS)]

    def _zone(self, n):
        d = f"d{n}.example"
        return (f'{d} 1 TXT "v=spf1 ip4:{GOOD_CLIENT} -all"\n'
                f'_dmarc.{d} 1 TXT "v=DMARC1; p=reject"\n' +
                key_record(d, "s", self.signer).replace(" TXT", " 1 TXT"))

    def _body(self, size):
        lines = size // 72
        return b"".join(b"%070x\r\n" % self.rng.getrandbits(280)
                        for _ in range(max(lines, 1)))

    def _signed(self, n):
        head = (f"From: a@d{n}.example\nTo: b@example.net\n"
                f"Subject: message {n}\n\n")
        plain = crlf(head) + self.bodies[n % len(SIZES)]
        # signed an hour and more ago, however the daemon's clock may jump
        return plain, old_signature(plain, f"d{n}.example", self.signer)

    def message(self, rng, number):
        kind = rng.choice(KINDS)
        n = rng.randrange(DOMAINS)
        plain, signed = self.inbound[n]
        domain = f"d{n}.example"
        if kind.results is None:
            domain = "example.com"
            body = rng.choice(self.bodies[:-1])
            if rng.random() < 0.002:
                body = self.bodies[-1]
            data = crlf(f"From: a@example.com\nTo: b@example.net\n"
                        f"Subject: number {number}\n"
                        f"Message-ID: <{number}@example.com>\n\n") + body
        elif kind.name == "forged":
            data = plain
        elif kind.name == "altered":
            data = signed[:-4] + b"!\r\n"
        else:
            data = signed
        client = BAD_CLIENT if kind.name in ("forwarded", "altered", "forged") \
            else GOOD_CLIENT
        return Message(number, kind, domain, client, data)


def old_signature(plain, domain, key):
    real = time.time
    time.time = lambda: real() - 3 * 3600  # dkimpy writes t=
    try:
        return sign(plain, domain, "s", key)
    finally:
        time.time = real


class Message:
    def __init__(self, number, kind, domain, client, data):
        self.number, self.kind, self.domain = number, kind, domain
        self.client, self.data = client, data
        self.attempts = 0

    def queue_id(self):
        """Another for each attempt, as a server gives."""
        return f"Q{self.number:x}x{self.attempts:x}"


class Disconnect(Exception):
    """The MTA breaks off."""


class Fragile(mc.Connection):
    """Breaks off at the packet `cut`: (command, before, in or after it)."""

    def __init__(self, address, timeout, cut=None):
        self.cut = cut
        super().__init__(address, timeout)

    def send(self, command, data=b""):
        if self.cut is not None and self.cut[0] == command:
            if self.cut[1] == "in":
                packet = struct.pack("!I", len(data) + 1) + command.encode() \
                    + data
                super_send(self.sock, packet[:max(len(packet) // 2, 3)])
            elif self.cut[1] == "after":
                super().send(command, data)
            raise Disconnect(command)
        super().send(command, data)


def super_send(sock, data):
    try:
        sock.sendall(data)
    except OSError:
        pass  # it is gone already


class Ledger:
    """What became of each message; `broken` are promises that were not
    kept.  `excuses(kind, start, end)`: was there a fault that explains it?"""

    def __init__(self, excuses):
        self.excuses = excuses
        self.lock = threading.Lock()
        self.counts = collections.Counter()
        self.cuts = collections.Counter()
        self.begun = {}  # number: final outcomes
        self.accepted = {}  # queue id: (time, kind)
        self.broken = []
        self.latency = 0.0
        self.clock = [0, 0]  # how far off the daemon's was seen, in seconds
        self.strict = 0  # messages without any excuse

    def count(self, name, more=1):
        with self.lock:
            self.counts[name] += more

    def complain(self, text):
        with self.lock:
            if len(self.broken) < 200:
                self.broken.append(text)

    def begin(self, m):
        with self.lock:
            self.begun.setdefault(m.number, 0)

    def finish(self, m, name):
        with self.lock:
            self.counts[name] += 1
            self.begun[m.number] += 1

    def saw_clock(self, t):
        off = t - int(time.time())
        with self.lock:
            self.clock = [min(self.clock[0], off), max(self.clock[1], off)]

    def took(self, seconds):
        with self.lock:
            self.latency = max(self.latency, seconds)


class Judge:
    """Is the outcome of one message true?"""

    def __init__(self, ledger, records):
        self.ledger, self.records = ledger, records

    def outcome(self, m, o, helo, start, end):
        if o.verdict == "accept":
            name = self.accepted(m, o, helo, start, end)
        elif o.verdict == "tempfail" or o.reply.text.startswith("4"):
            name = "tempfail"
            if not self.ledger.excuses("tempfail", start, end):
                self.lie(m, "tempfailed without a fault", o.reply)
        elif o.verdict == "replycode" and m.kind.refused:
            name = "refused as it must be"
        else:
            name = o.verdict
            self.lie(m, "refused", o.reply)
        self.ledger.finish(m, name)

    def lie(self, m, what, *details):
        self.ledger.complain(f"{m.queue_id()} ({m.kind.name}): {what}: " +
                             " ".join(str(d)[:600] for d in details))

    def accepted(self, m, o, helo, start, end):
        with self.ledger.lock:
            self.ledger.accepted[m.queue_id()] = end
        if m.kind.results is None:
            return self.leaving(m, o)
        return self.arrived(m, o, helo, start, end)

    def leaving(self, m, o):
        if m.kind.refused:
            self.lie(m, "accepted, though the login does not own the address")
        signatures = o.fields("DKIM-Signature")
        good = dkimpy_verifies(o.message, self.records)
        if good != [True, True]:
            self.lie(m, f"accepted with signatures {good}", signatures)
        elif made := re.search(r"\bt=(\d+)", signatures[0]):
            self.ledger.saw_clock(int(made[1]))
        return "accepted and signed"

    def arrived(self, m, o, helo, start, end):
        fields = o.fields("Authentication-Results")
        if len(fields) != 1:
            self.lie(m, f"accepted with {len(fields)} A-R", o.edits)
            return "accepted and told"
        try:
            a = Authres(o.edits[0][3])
        except (ValueError, IndexError) as e:
            self.lie(m, f"A-R is not well formed: {e}", fields)
            return "accepted and told"
        self.names(m, a, helo, fields)
        got = tuple(a.result(method, prop) or "-" for method, prop in (
            ("spf", "smtp.mailfrom"), ("dkim", None), ("dmarc", None)))
        if got == m.kind.results:
            return "accepted and told"
        for result, truth, method in zip(got, m.kind.results,
                                         ("spf", "dkim", "dmarc")):
            self.result(m, method, result, truth, (start, end), fields)
        return "accepted with temperror" if "temperror" in got else \
            "accepted, told what a lying server said"

    def names(self, m, a, helo, fields):
        """Is it of this message, and of this session?"""
        told = [(r.method, p) for r in a.results for p in r.props]
        for method, name, value in (("spf", "smtp.helo", helo),
                                    ("dmarc", "header.from", m.domain)):
            if (method, (name, value)) not in told:
                self.lie(m, f"A-R is not of this message: {name}", fields)

    def result(self, m, method, got, truth, span, fields):
        if got == truth:
            return
        if "pass" == got:
            self.lie(m, f"{method}=pass is a lie", fields)
        elif got == "temperror":
            if not self.ledger.excuses("temperror", *span):
                self.lie(m, f"{method}=temperror without a fault", fields)
        elif self.ledger.excuses("lie", *span) and \
                (got != "fail" or method == "dmarc"):
            pass  # as the DNS server said: there is no such name
        else:
            self.lie(m, f"{method}={got} and not {truth}", fields)


class Clients:
    """The MTA.  `active` of `most` connections send; pause() lets every session
    end, and resume() goes on."""

    def __init__(self, seed, material, address, ledger, most=50):
        self.material, self.address, self.ledger = material, address, ledger
        self.judge = Judge(ledger, material.records)
        self.active = most
        self.cut_rate = 0.03
        self.stop = threading.Event()
        self.go = threading.Event()
        self.go.set()
        self.next = 0
        self.threads = [threading.Thread(target=self.run, args=(
            n, random.Random(f"{seed} client {n}")), daemon=True)
            for n in range(most)]
        self.busy = 0
        for th in self.threads:
            th.start()

    def number(self):
        with self.ledger.lock:
            self.next += 1
            return self.next

    def run(self, n, rng):
        queue = []
        try:
            while not self.stop.is_set() or queue:
                if n >= self.active and not self.stop.is_set():
                    time.sleep(0.05)
                    continue
                self.go.wait()
                with self.ledger.lock:
                    self.busy += 1
                try:
                    queue = self.session(rng, queue)
                finally:
                    with self.ledger.lock:
                        self.busy -= 1
        except Exception as e:  # pylint: disable=broad-except
            self.ledger.complain(f"client {n}: {e!r}")

    def session(self, rng, queue):
        """Messages of one client over one connection; what must be given
        again."""
        if not queue:
            if self.stop.is_set():
                return []
            queue = [self.material.message(rng, self.number())
                     for _ in range(rng.choice((1, 1, 2, 5)))]
            client, login = queue[0].client, queue[0].kind.login
            queue = [m for m in queue
                     if (m.client, m.kind.login) == (client, login)]
        cut = None
        if rng.random() < self.cut_rate and not self.stop.is_set():
            cut = (rng.choice(STAGES), rng.choice(("before", "in", "after")))
        abort = rng.choice("MRTLNBE") if rng.random() < self.cut_rate else None
        try:
            with Fragile(self.address, ANSWER_MAX + 10, cut) as c:
                self.converse(rng, c, queue, abort)
        except Disconnect as e:
            with self.ledger.lock:
                self.ledger.cuts[f"at {e}"] += 1
                self.ledger.counts["attempts that the MTA broke off"] += 1
        except mc.MilterTimeout as e:
            if not self.ledger.excuses("hang", time.monotonic() - ANSWER_MAX,
                                       time.monotonic()):
                self.ledger.complain(f"no answer: {e}")
            self.ledger.count("attempts without an answer")
        except (mc.MilterClosed, OSError) as e:
            self.lost(e)
            time.sleep(0.05)
        return queue

    def lost(self, e):
        now = time.monotonic()
        if isinstance(e, OSError):
            self.ledger.count("connections refused")
        else:
            self.ledger.count("attempts that mailseald broke off")
        if not self.ledger.excuses("lost", now - 1, now):
            self.ledger.complain(f"connection lost without a fault: {e}")

    def converse(self, rng, c, queue, abort):
        m = queue[0]
        helo = f"h{m.number}-{m.attempts}.example"
        s = mc.Session(c, macros=mc.standard_macros(address=m.client,
                                                    login=m.kind.login))
        if not (s.connect(m.client).goes_on and s.helo(helo).goes_on):
            self.ledger.count("sessions put off")
            return
        while queue:
            m = queue[0]
            m.attempts += 1
            self.ledger.begin(m)
            start = time.monotonic()
            o = s.message(m.data, f"<{m.number}@{m.domain}>",
                          ["<b@example.net>"], queue_id=m.queue_id(),
                          abort=abort)
            end = time.monotonic()
            if o.verdict == "aborted":
                self.ledger.count("attempts with ABORT")
                abort = None
                continue
            self.answered(c, m, o, (helo, start, end))
            queue.pop(0)
        s.quit()
        if rng.random() < 0.2 and c.sock.recv(1) != b"":
            self.ledger.complain(f"{m.queue_id()}: a second answer")

    def answered(self, c, m, o, facts):
        helo, start, end = facts
        self.ledger.took(end - start)
        if end - start > ANSWER_MAX:
            self.ledger.complain(f"{m.queue_id()}: {end - start:.1f} s until "
                                 "the answer")
        if c.buffer or c.problems:
            self.ledger.complain(f"{m.queue_id()}: breach of the protocol: "
                                 f"{c.buffer[:100]} {c.problems}")
        if not self.ledger.excuses("any", start, end):
            with self.ledger.lock:
                self.ledger.strict += 1
        self.judge.outcome(m, o, helo, start, end)

    # ---- for who steers ----------------------------------------------------
    def pause(self, seconds=60):
        """True when every session has ended."""
        self.go.clear()
        end = time.monotonic() + seconds
        while self.busy and time.monotonic() < end:
            time.sleep(0.02)
        return not self.busy

    def resume(self):
        self.go.set()

    def end(self, seconds=90):
        """Gives all again that had no answer, and ends; how many do not."""
        self.stop.set()
        self.go.set()
        end = time.monotonic() + seconds
        for th in self.threads:
            th.join(max(end - time.monotonic(), 0.01))
        return sum(th.is_alive() for th in self.threads)
