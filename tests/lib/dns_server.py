"""A DNS server of the tests' own, on the loopback, that misbehaves on order.

    with Server('example.test TXT "v=spf1 -all"') as s:
        resolver(s.address)             # "127.0.0.1@PORT", UDP and TCP
        s.fault("silent", "bad.test")   # this name and all below; "." is all
        s.heal()
        s.asked("example.test", "TXT")  # how often the question came

It answers like a recursive server that knows everything: what is not in its
zone does not exist.  The zone is text, or zones=[SignedZone(...), ...], see
dns_zone.py.  The faults are those of the table FAULTS.
"""
import contextlib
import functools
import selectors
import socket
import struct
import threading
import time

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.rrset

from dns_zone import IN, Zone, to_name, to_text, txt

UDP_MAX = 1232
CNAME_MAX = 8
HUGE = 65000  # bytes of the TXT of the fault "huge": just fits a message


class Fault:
    def __init__(self, kind, delay=0, text=""):
        if kind not in FAULTS:
            raise ValueError(f"no fault {kind!r}")
        self.kind, self.delay, self.text = kind, delay, text


class Server:
    def __init__(self, zone="", zones=None, start=True):
        self.zones = list(zones or [Zone(zone)])
        self.lock = threading.Lock()
        self.faults = {}
        self.questions = []  # (name, type, "udp" or "tcp", time)
        self.began = {}  # (name, type): when a slow answer was first asked
        self.port = 0
        self.thread = None
        self.streams = set()
        if start:
            self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def address(self):
        return f"127.0.0.1@{self.port}"

    # ---- what tests do -----------------------------------------------------
    def fault(self, kind, name=".", **options):
        """From now on, for a name and all below it."""
        fault = Fault(kind, **options)
        with self.lock:
            self.faults = {**self.faults, to_name(name): fault}
            self.began = {}

    def heal(self, name=None):
        with self.lock:
            self.faults = {} if name is None else {
                n: f for n, f in self.faults.items() if n != to_name(name)}

    def forget(self):
        with self.lock:
            self.questions = []

    def log(self):
        with self.lock:
            return list(self.questions)

    def settle(self):
        """Waits until no more questions come."""
        count = -1
        while len(self.log()) != count:
            count = len(self.log())
            time.sleep(0.15)

    def asked(self, name, kind="TXT"):
        """How often, whichever way it came."""
        wanted = (to_text(to_name(name)), kind)
        return sum(q[:2] == wanted for q in self.log())

    def names(self, kind="TXT", under="."):
        """The distinct names that were asked for."""
        top = to_name(under)
        return {q[0] for q in self.log()
                if q[1] == kind and to_name(q[0]).is_subdomain(top)}

    # ---- answers -----------------------------------------------------------
    def zone_of(self, name, kind):
        """The nearest zone; a DS is its parent's (RFC 4035 3.1.4.1)."""
        best = None
        for zone in self.zones:
            if not name.is_subdomain(zone.apex) or \
                    (kind == dns.rdatatype.DS and name == zone.apex and
                     name != dns.name.root):
                continue
            if best is None or zone.apex.is_subdomain(best.apex):
                best = zone
        return best

    def answer(self, query):
        """The honest response."""
        response = respond(query)
        dnssec = bool(query.ednsflags & dns.flags.DO)
        name, kind = query.question[0].name.canonicalize(), \
            query.question[0].rdtype
        for _ in range(CNAME_MAX):
            zone = self.zone_of(name, kind)
            if zone is None:
                response.set_rcode(dns.rcode.REFUSED)
                return response
            rcode, rrset = zone.lookup(name, kind)
            response.set_rcode(rcode)
            if rrset is None:
                response.authority += zone.denial(name, dnssec)
                return response
            response.answer += zone.with_signature(rrset, dnssec)
            if rrset.rdtype == kind:
                return response
            name = rrset[0].target.canonicalize()
        return response

    def fault_of(self, name):
        faults = self.faults
        while True:
            if name in faults:
                return faults[name]
            if name == dns.name.root:
                return None
            name = name.parent()

    def reply(self, wire, tcp):
        """(bytes or None, delay in seconds) for what came in."""
        try:
            query = dns.message.from_wire(wire)
            question = query.question[0]
        except (dns.exception.DNSException, IndexError):
            return None, 0
        name = question.name.canonicalize()
        with self.lock:
            self.questions.append(
                (to_text(name), dns.rdatatype.to_text(question.rdtype),
                 "tcp" if tcp else "udp", time.monotonic()))
        fault = self.fault_of(name)
        if fault is None:
            return pack(query, self.answer(query), tcp), 0
        return FAULTS[fault.kind](self, query, tcp, fault), \
            self.delay_of((name, question.rdtype), fault)

    def delay_of(self, key, fault):
        """Seconds until the answer is ready: who asks again finds it sooner,
        as with a server that has to ask others first."""
        now = time.monotonic()
        return max(self.began.setdefault(key, now) + fault.delay / 1000 - now,
                   0)

    # ---- sockets -----------------------------------------------------------
    def start(self):
        """Also after stop(): on the same port."""
        for _ in range(50):
            try:
                self._bind()
                break
            except OSError:
                time.sleep(0.05)
        else:
            raise RuntimeError("no free port for UDP and TCP")
        self.wake, self.woken = socket.socketpair()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _bind(self):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            udp.bind(("127.0.0.1", self.port))
            tcp.bind(("127.0.0.1", udp.getsockname()[1]))
            tcp.listen(128)
        except OSError:
            udp.close()
            tcp.close()
            raise
        self.udp, self.tcp = udp, tcp
        self.port = udp.getsockname()[1]

    def stop(self):
        """Death: nobody listens on the port."""
        if self.thread is None:
            return
        self.wake.send(b"x")
        self.thread.join()
        self.thread = None
        for s in (self.udp, self.tcp, self.wake, self.woken):
            s.close()
        with self.lock:
            for s in self.streams:
                with contextlib.suppress(OSError):  # it may have left
                    s.shutdown(socket.SHUT_RDWR)

    def _run(self):
        with selectors.DefaultSelector() as ready:
            for s in (self.udp, self.tcp, self.woken):
                ready.register(s, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    if key.fileobj is self.woken:
                        return
                    if key.fileobj is self.udp:
                        self._datagram()
                    else:
                        self._accept()

    def _datagram(self):
        wire, peer = self.udp.recvfrom(4096)
        data, delay = self.reply(wire, False)
        if data is None:
            return
        if delay == 0:
            self._send(data, peer)
            return
        timer = threading.Timer(delay, self._send, (data, peer))
        timer.daemon = True
        timer.start()

    def _send(self, data, peer):
        try:
            self.udp.sendto(data, peer)
        except OSError:
            pass  # it died before a slow answer was due

    def _accept(self):
        connection, _ = self.tcp.accept()
        threading.Thread(target=self._stream, args=(connection,),
                         daemon=True).start()

    def _stream(self, connection):
        connection.settimeout(30)
        with self.lock:
            self.streams.add(connection)
        with connection:
            try:
                while self._exchange(connection):
                    pass
            except OSError:
                pass
            with self.lock:
                self.streams.discard(connection)

    def _exchange(self, connection):
        """One question over TCP; False: the connection ends."""
        head = receive(connection, 2)
        wire = receive(connection, struct.unpack("!H", head)[0]) \
            if head else b""
        if not wire:
            return False
        data, delay = self.reply(wire, True)
        time.sleep(delay)
        if data is None:
            return receive(connection, 1) != b""  # silent, until it leaves
        if isinstance(data, Half):
            connection.sendall(struct.pack("!H", len(data)) +
                               data[:len(data) // 2])
            return False
        connection.sendall(struct.pack("!H", len(data)) + data)
        return True


def receive(connection, n):
    """Exactly n bytes, or b"" at the end."""
    data = b""
    while len(data) < n:
        got = connection.recv(n - len(data))
        if not got:
            return b""
        data += got
    return data


# ---- messages ---------------------------------------------------------------

def respond(query):
    response = dns.message.make_response(query, recursion_available=True)
    if query.edns >= 0:
        response.use_edns(0, query.ednsflags & dns.flags.DO, UDP_MAX)
    return response


def pack(query, response, tcp):
    """Bytes; over UDP what is too long is cut, with TC (RFC 2181 9)."""
    room = UDP_MAX if query.edns >= 0 else 512
    if query.edns >= 0:
        room = min(room, max(query.payload, 512))
    try:
        return response.to_wire(max_size=65535 if tcp else room)
    except dns.exception.TooBig:
        return cut(query)


def cut(query):
    response = respond(query)
    response.flags |= dns.flags.TC
    return response.to_wire()


# ---- faults: what is sent instead; None is silence --------------------------

class Half(bytes):
    """A message of which only the first half is sent over TCP."""


def rcode(code):
    def make(_server, query, tcp, _fault):
        response = respond(query)
        response.set_rcode(code)
        return pack(query, response, tcp)
    return make


def silent(_server, _query, _tcp, _fault):
    return None


def slow(server, query, tcp, _fault):
    return pack(query, server.answer(query), tcp)


def truncated(server, query, tcp, _fault):
    return pack(query, server.answer(query), tcp) if tcp else cut(query)


def truncated_always(_server, query, _tcp, _fault):
    return cut(query)


def half(server, query, tcp, _fault):
    return Half(pack(query, server.answer(query), tcp)) if tcp else cut(query)


def wrong_id(server, query, tcp, _fault):
    data = pack(query, server.answer(query), tcp)
    return bytes([data[0] ^ 0x55, data[1] ^ 0xAA]) + data[2:]


def wrong_question(server, query, tcp, _fault):
    response = server.answer(query)
    question = response.question[0]
    other = dns.rrset.RRset(to_name("other.invalid"), IN, question.rdtype)
    response.question = [other]
    return pack(query, response, tcp)


def garbage(_server, query, _tcp, _fault):
    """The right id, a promise of records, and then nonsense."""
    return struct.pack("!H", query.id) + b"\x81\x80" + b"\xff" * 40


def cname_loop(_server, query, tcp, _fault):
    response = respond(query)
    name = query.question[0].name
    other = name.parent() if name.labels[0] == b"loop" else \
        dns.name.Name((b"loop", *name.labels))
    for a, b in ((name, other), (other, name)):
        response.answer.append(
            dns.rrset.from_text(a, 60, "IN", "CNAME", b.to_text()))
    return pack(query, response, tcp)


@functools.lru_cache
def huge_txt(text):
    room = HUGE - len(text) - HUGE // 250
    return dns.rdata.from_text(IN, dns.rdatatype.TXT, txt(text + "x" * room))


def huge(_server, query, tcp, fault):
    """64 KiB of TXT that begins with the text of the fault."""
    response = respond(query)
    question = query.question[0]
    if not tcp:
        return cut(query)
    if question.rdtype == dns.rdatatype.TXT:
        response.answer.append(dns.rrset.from_rdata(
            question.name, 60, huge_txt(fault.text)))
    return pack(query, response, tcp)


FAULTS = {
    "silent": silent,
    "servfail": rcode(dns.rcode.SERVFAIL),
    "refused": rcode(dns.rcode.REFUSED),
    "nxdomain": rcode(dns.rcode.NXDOMAIN),
    "truncated": truncated,  # over UDP only
    "truncated-always": truncated_always,
    "half": half,  # TC, and TCP closes half way
    "wrong-id": wrong_id,
    "wrong-question": wrong_question,
    "garbage": garbage,
    "cname-loop": cname_loop,
    "slow": slow,  # delay= milliseconds from the first question
    "huge": huge,  # text= what it begins with
}
