"""Zones for dns_server.py, plain and signed.

A zone is lines of `name [ttl] TYPE data`; a name without a dot at the end is
complete, `*.name` stands for all names that are missing below `name`
(RFC 4592).  Signed zones (RFC 4033-4035) have one key each, NSEC, and records
that were damaged on order.  They are no reference: no NSEC3, no wildcards in a
signed zone.
"""
import datetime

import dns.dnssec
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from cryptography.hazmat.primitives.asymmetric import ec

IN = dns.rdataclass.IN
DEFAULT_TTL = 300
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
