"""A DNS server of the tests' own, on the loopback, that misbehaves on order.

    with Server('example.test TXT "v=spf1 -all"') as s:
        resolver(s.address)             # "127.0.0.1@PORT", UDP and TCP
        s.fault("silent", "bad.test")   # this name and all below; "." is all
        s.heal()
        s.asked("example.test", "TXT")  # how often the question came

It answers like a recursive server that knows everything: what is not in its
zone does not exist.  A zone is lines of `name [ttl] TYPE data`; a name without
a dot at the end is complete, `*.name` stands for all names that are missing
below `name` (RFC 4592).  The faults are those of the table FAULTS.

Signed zones (RFC 4033-4035) are objects: Server(zones=[SignedZone(...), ...]).
They have NSEC, one key each, and records that were damaged on order.

It is no reference: no zone transfer, no update, no NSEC3, no wildcards in a
signed zone.
"""
import contextlib
import datetime
import selectors
import socket
import struct
import threading
import time

import dns.dnssec
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from cryptography.hazmat.primitives.asymmetric import ec

IN = dns.rdataclass.IN
DEFAULT_TTL = 300
UDP_MAX = 1232
CNAME_MAX = 8
HUGE = 65000  # bytes of the TXT of the fault "huge": just fits a message
SOA = "ns.invalid hostmaster.invalid 1 3600 600 86400 60"


def to_name(text):
    return dns.name.from_text(str(text).rstrip(".") or ".").canonicalize()


def to_text(name):
    return name.to_text(omit_final_dot=True).lower()


def zone_line(line):
    """(name, ttl, type, data) of one line."""
    name, kind, data = line.split(None, 2)
    ttl = DEFAULT_TTL
    if kind.isdigit():
        ttl = int(kind)
        kind, data = data.split(None, 1)
    return to_name(name), ttl, dns.rdatatype.from_text(kind), data


def txt(text):
    """The data of one TXT record, in strings that fit."""
    return " ".join(f'"{text[n:n + 250]}"'
                    for n in range(0, max(len(text), 1), 250))


class Zone:
    """The records at and below `apex`, unsigned."""

    def __init__(self, text="", apex="."):
        self.apex = to_name(apex)
        self.records = {}
        self.exists = set()  # names with records, and those above them
        for line in text.splitlines():
            if line.strip():
                self.add(line)
        if not self.find(self.apex, dns.rdatatype.SOA):
            self.add(f"{self.apex} 60 SOA {SOA}")

    def add(self, line):
        name, ttl, kind, data = zone_line(line)
        rdata = dns.rdata.from_text(IN, kind, data, dns.name.root, False)
        rrset = self.records.get((name, kind))
        if rrset is None:
            rrset = self.records[name, kind] = dns.rrset.RRset(name, IN, kind)
        rrset.add(rdata, ttl)
        while name.is_subdomain(self.apex) and name not in self.exists:
            self.exists.add(name)
            if name == dns.name.root:
                break
            name = name.parent()

    def find(self, name, kind):
        return self.records.get((name, kind))

    def encloser(self, name):
        """The nearest name above that exists."""
        while name not in self.exists and name != self.apex:
            name = name.parent()
        return name

    def lookup(self, name, kind):
        """(rcode, record set or None); the set may be a CNAME."""
        source = name
        if name not in self.exists:
            source = dns.name.Name((b"*", *self.encloser(name).labels))
            if source not in self.exists:
                return dns.rcode.NXDOMAIN, None
        found = self.find(source, kind) or \
            self.find(source, dns.rdatatype.CNAME)
        if found is not None and source != name:
            found = dns.rrset.from_rdata_list(name, found.ttl, list(found))
        return dns.rcode.NOERROR, found

    def with_signature(self, rrset, _dnssec):
        return [rrset]

    def denial(self, _name, dnssec):
        """The authority section of a negative answer."""
        return self.with_signature(self.find(self.apex, dns.rdatatype.SOA),
                                   dnssec)


class SignedZone(Zone):
    """A zone with one key, RRSIG and NSEC (RFC 4034).

    Sets of names: `tampered` (a byte of TXT changes after signing), `expired`
    (signatures of last year), `stripped` (no signatures at all), `unproven`
    (denied without NSEC).  A delegation is an NS line, with delegate() for
    the DS of a signed child.
    """

    def __init__(self, text="", apex=".", tampered=(), expired=(),
                 stripped=(), unproven=()):
        super().__init__(text, apex)
        self.tampered = {to_name(n) for n in tampered}
        self.expired = {to_name(n) for n in expired}
        self.stripped = {to_name(n) for n in stripped}
        self.unproven = {to_name(n) for n in unproven}
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.dnskey = dns.dnssec.make_dnskey(
            self.key.public_key(), dns.dnssec.Algorithm.ECDSAP256SHA256, 257)
        self.add(f"{self.apex} DNSKEY {self.dnskey.to_text()}")
        if not self.find(self.apex, dns.rdatatype.NS):
            self.add(f"{self.apex} NS ns.invalid")
        self.signed = {}
        self.chain = None

    def ds(self):
        """The line that a parent publishes, or a validator trusts."""
        ds = dns.dnssec.make_ds(self.apex, self.dnskey, "SHA256")
        return f"{self.apex.to_text()} 300 IN DS {ds.to_text()}"

    def delegate(self, child):
        """`child` is a signed zone below this one."""
        self.add(f"{child.apex} NS ns.invalid")
        self.add(child.ds().replace(" IN ", " "))

    def sign(self, rrset):
        start = datetime.datetime.now(datetime.timezone.utc) - \
            datetime.timedelta(days=400 if rrset.name in self.expired else 1)
        rrsig = dns.dnssec.sign(
            rrset, self.key, self.apex, self.dnskey,
            inception=start, expiration=start + datetime.timedelta(days=30))
        return dns.rrset.from_rdata(rrset.name, rrset.ttl, rrsig)

    def with_signature(self, rrset, dnssec):
        cut = self.find(rrset.name, dns.rdatatype.NS) and \
            rrset.name != self.apex and \
            rrset.rdtype not in (dns.rdatatype.DS, dns.rdatatype.NSEC)
        key = rrset.name, rrset.rdtype
        if key not in self.signed:
            self.signed[key] = self.sign(rrset)
        signature = self.signed[key]
        if rrset.name in self.tampered and rrset.rdtype == dns.rdatatype.TXT:
            rrset = self.damage(rrset)
        if not dnssec or cut or rrset.name in self.stripped:
            return [rrset]
        return [rrset, signature]

    @staticmethod
    def damage(rrset):
        """The same records with another last byte."""
        changed = []
        for rdata in rrset:
            parts = list(rdata.strings)
            parts[-1] = parts[-1][:-1] + bytes([parts[-1][-1] ^ 1])
            changed.append(rdata.replace(strings=tuple(parts)))
        return dns.rrset.from_rdata_list(rrset.name, rrset.ttl, changed)

    def nsec_chain(self):
        """[(owner, NSEC)] in canonical order (RFC 4034 6.1)."""
        if self.chain is None:
            kinds = {}
            for name, kind in self.records:
                kinds.setdefault(name, set()).add(kind)
            names = sorted(kinds)
            self.chain = []
            for n, name in enumerate(names):
                types = kinds[name] | {dns.rdatatype.NSEC,
                                       dns.rdatatype.RRSIG}
                data = " ".join([names[(n + 1) % len(names)].to_text(),
                                 *(dns.rdatatype.to_text(k)
                                   for k in sorted(types))])
                self.chain.append((name, dns.rrset.from_text(
                    name, 60, "IN", "NSEC", data)))
        return self.chain

    def nsec_at(self, name):
        """The NSEC of the name, or the one that covers it."""
        best = self.nsec_chain()[-1]
        for owner, nsec in self.nsec_chain():
            if owner <= name:
                best = (owner, nsec)
        return best[1]

    def denial(self, name, dnssec):
        out = super().denial(name, dnssec)
        if not dnssec or name in self.unproven:
            return out
        proofs = [self.nsec_at(name)]
        if name not in self.exists:  # RFC 4035 3.1.3.2: no wildcard either
            above = self.encloser(name)
            star = self.nsec_at(dns.name.Name((b"*", *above.labels)))
            if star is not proofs[0]:
                proofs.append(star)
        for nsec in proofs:
            out += self.with_signature(nsec, dnssec)
        return out


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
            fault.delay / 1000

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


def huge(_server, query, tcp, fault):
    """64 KiB of TXT that begins with the text of the fault."""
    response = respond(query)
    question = query.question[0]
    if question.rdtype == dns.rdatatype.TXT:
        text = fault.text + "x" * (HUGE - len(fault.text) - HUGE // 250)
        response.answer.append(dns.rrset.from_text(
            question.name, 60, "IN", "TXT", txt(text)))
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
    "slow": slow,  # delay= milliseconds
    "huge": huge,  # text= what it begins with
}
