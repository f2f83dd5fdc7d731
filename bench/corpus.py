"""Domains with keys and records, and messages from them.

A message of 2 KB is text; a bigger one has a part of text (half of it, at most
60 KB) and a part in base64, as mail of that size has.  Sets:

    plain    not signed, from 192.0.2.10: for signing
    signed   an RSA-2048 signature
    dual     an Ed25519 signature besides
    results  "signed" with the Authentication-Results that an SPF and a DKIM
             filter would have added: for opendmarc alone

SPF passes in the last of two includes of the provider's record, four records in
all.  A message is in a file of its own with LF line ends, "ip helo sender" in
front.
"""
import base64
import concurrent.futures
import os
import random
import subprocess

import dkim

SIZES = {"2k": 2000, "20k": 20000, "200k": 200000, "5m": 5000000,
         "50m": 50000000}
COUNTS = {"2k": 300, "20k": 300, "200k": 60, "5m": 4, "50m": 1}
KINDS = ("plain", "signed", "dual", "results")
PROVIDERS = 10
BLOCK = 1 << 18
TEXT_MOST = 60000
WORDS = ("mail seal letter stamp envelope courier post parcel route carrier "
         "delivery signature sender receiver ledger harbour window").split()
SIGNED = (b"from", b"to", b"reply-to", b"subject", b"date", b"message-id",
          b"mime-version", b"content-type", b"list-unsubscribe")


def words(rng, size):
    lines, n = [], 0
    while n < min(size, BLOCK):
        line = " ".join(rng.choice(WORDS) for _ in range(rng.randint(4, 11)))
        if rng.random() < 0.05:
            line += "  "
        lines.append(line)
        n += len(line) + 1
        if rng.random() < 0.1:
            lines.append("")
    text = "\n".join(lines) + "\n"
    return text * (size // len(text)) + text[:size % len(text)].rstrip() + "\n"


def attachment(rng, size):
    block = base64.encodebytes(rng.randbytes(57 * 1000)).decode()
    return block * (size // len(block)) + block[:size % len(block) // 77 * 77]


def body_of(size, rng, text_only):
    if size <= 3000 or text_only:
        return words(rng, size)
    text = words(rng, min(size // 2, TEXT_MOST))
    return ("--=_part\nContent-Type: text/plain; charset=utf-8\n\n" + text +
            "\n--=_part\nContent-Type: application/pdf; name=a.pdf\n"
            "Content-Transfer-Encoding: base64\n\n" +
            attachment(rng, size - len(text)) + "\n--=_part--\n")


def header_of(domain, number, multipart):
    kind = "multipart/mixed;\n\tboundary=\"=_part\"" if multipart else \
        "text/plain; charset=utf-8"
    return (f"Received: from out.{domain} (out.{domain} [192.0.2.10])\n"
            "\tby mx.receiver.example (Postfix) with ESMTPS id 4XYZ12\n"
            "\tfor <rcpt@receiver.example>; Tue, 03 Nov 2026 10:00:00 +0000\n"
            f"From: News <news@{domain}>\n"
            "To: Someone <rcpt@receiver.example>\n"
            f"Reply-To: <answers@{domain}>\n"
            f"Subject: Letter number {number} of this month, with a subject\n"
            " that is folded\n"
            "Date: Tue, 03 Nov 2026 10:00:00 +0000\n"
            f"Message-ID: <{number}.letter@{domain}>\n"
            "MIME-Version: 1.0\n"
            f"Content-Type: {kind}\n"
            f"List-Id: <news.{domain}>\n"
            f"List-Unsubscribe: <https://{domain}/u/{number}>\n"
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click\n"
            "X-Mailer: bench\n\n")


def openssl(*args):
    return subprocess.run(["openssl", *args], check=True,
                          capture_output=True).stdout


def txt(name, value):
    parts = " ".join(f'"{value[i:i + 250]}"'
                     for i in range(0, len(value), 250))
    return f"{name} 3600 TXT {parts}"


class Corpus:
    """Keys, zone and messages in a directory; made once if it is kept."""

    def __init__(self, directory, domains, sizes, text_only=False):
        self.dir = directory
        self.text_only = text_only
        self.domains = [f"d{i:03}.example" for i in range(domains)]
        self.zone, self.files = [], {}
        os.makedirs(directory, exist_ok=True)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(self.make_keys, self.domains))
        for i, domain in enumerate(self.domains):
            self.add_records(i, domain)
        for i in range(PROVIDERS):
            self.add_provider(i)
        for size in sizes:
            self.add_messages(size)

    def path(self, name):
        return os.path.join(self.dir, name)

    def key(self, domain, kind):
        return self.path(f"{domain}.{kind}.pem")

    def make_keys(self, domain):
        for kind, options in (
                ("rsa", ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
                ("ed25519", ["ED25519"])):
            path = self.key(domain, kind)
            if not os.path.exists(path):
                openssl("genpkey", "-algorithm", *options, "-out",
                        path + ".new")
                os.chmod(path + ".new", 0o600)
                os.rename(path + ".new", path)

    def add_records(self, i, domain):
        for kind in ("rsa", "ed25519"):
            der = openssl("pkey", "-in", self.key(domain, kind), "-pubout",
                          "-outform", "DER")
            p = base64.b64encode(der if kind == "rsa" else der[-32:]).decode()
            self.zone.append(txt(f"{kind}._domainkey.{domain}",
                                 f"v=DKIM1; k={kind}; p={p}"))
        self.zone += [
            txt(domain, "v=spf1 include:_spf."
                        f"prov{i % PROVIDERS}.example ~all"),
            txt(f"_dmarc.{domain}",
                f"v=DMARC1; p=reject; rua=mailto:dmarc@{domain}"),
            f"{domain} 3600 A 203.0.113.10",
            f"{domain} 3600 MX 10 mail.prov{i % PROVIDERS}.example",
        ]

    def add_provider(self, i):
        name, ip = f"prov{i}.example", f"203.0.113.{10 + i}"
        blocks = " ".join(f"ip4:10.{i}.{16 * k}.0/20" for k in range(12))
        self.zone += [
            txt(f"_spf.{name}",
                f"v=spf1 include:_a.{name} include:_b.{name} ~all"),
            txt(f"_a.{name}", f"v=spf1 {blocks} ~all"),
            txt(f"_b.{name}", f"v=spf1 ip4:172.16.{i}.0/24 ip4:{ip} ~all"),
            f"mail.{name} 3600 A {ip}",
            txt(f"mail.{name}", "v=spf1 a -all"),
            f"{10 + i}.113.0.203.in-addr.arpa 3600 PTR mail.{name}.",
        ]

    def sign(self, raw, domain, kind):
        with open(self.key(domain, kind), "rb") as f:
            key = f.read()
        if kind == "ed25519":
            der = openssl("pkey", "-in", self.key(domain, kind), "-outform",
                          "DER")
            key = base64.b64encode(der[-32:])
        return dkim.sign(raw, kind.encode(), domain.encode(), key,
                         canonicalize=(b"relaxed", b"relaxed"),
                         include_headers=list(SIGNED),
                         signature_algorithm=f"{kind}-sha256".encode()
                         ).replace(b"\r\n", b"\n")

    def add_messages(self, size):
        rng = random.Random(SIZES[size])
        body = body_of(SIZES[size], rng, self.text_only)
        tag = size + ("-text" if self.text_only else "")
        for i in range(min(COUNTS[size], len(self.domains))):
            paths = {k: self.path(f"{tag}.{k}.{i}") for k in KINDS}
            for kind, path in paths.items():
                self.files.setdefault((size, kind), []).append(path)
            if not all(os.path.exists(p) for p in paths.values()):
                self.write_message(i, body, paths)

    def write_message(self, i, body, paths):
        domain, provider = self.domains[i], i % PROVIDERS
        helo, ip = f"mail.prov{provider}.example", f"203.0.113.{10 + provider}"
        raw = (header_of(domain, i, body.startswith("--=_part")) +
               body).encode()
        crlf = raw.replace(b"\n", b"\r\n")
        rsa = self.sign(crlf, domain, "rsa")
        sender = f"bounce@{domain}"
        results = (f"Authentication-Results: mx.bench.example; spf=pass\n"
                   f"\tsmtp.mailfrom={sender}\n"
                   f"Authentication-Results: mx.bench.example; dkim=pass\n"
                   f"\t(2048-bit key) header.d={domain} header.i=@{domain}\n"
                   "\theader.a=rsa-sha256 header.s=rsa\n").encode()
        texts = {"plain": raw, "signed": rsa + raw,
                 "dual": self.sign(crlf, domain, "ed25519") + rsa + raw,
                 "results": results + rsa + raw}
        for kind, path in paths.items():
            client = f"192.0.2.10 out.{domain}" if kind == "plain" else \
                f"{ip} {helo}"
            with open(path, "wb") as f:
                f.write(f"{client} {sender}\n".encode() + texts[kind])

