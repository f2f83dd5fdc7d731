"""CPU time per message of mailseald beside opendkim and a filter that does
nothing, in one run, interleaved.

    make bench                      short: 2 KB and 20 KB
    bench.py --sizes 2k,20k,200k,5m --rounds 5

Every daemon gets the same messages over a unix socket, one message in a
connection, with warm DNS from a name server of our own on the loopback.  What is compared is CPU time of the daemon (user and
system, all threads); machines are shared, so trust the ratios.  Each result is
checked: "matched" counts the messages that got the header that they must.
"""
import argparse
import base64
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

SRC = os.environ.get("MAILSEAL_SRCDIR",
                     os.path.join(os.path.dirname(__file__), ".."))
BUILD = os.environ.get("MAILSEAL_BUILDDIR", os.getcwd())
sys.path.insert(0, os.path.join(SRC, "tests", "lib"))
import dkim  # noqa: E402  pylint: disable=wrong-import-position
from dns_server import Server  # noqa: E402  pylint: disable=C0413

SIZES = {"2k": 2000, "20k": 20000, "200k": 200000, "5m": 5000000}
MESSAGES = {"2k": 2000, "20k": 1500, "200k": 400, "5m": 40}
WORDS = ("mail seal letter stamp envelope courier post parcel route carrier "
         "delivery signature sender receiver ledger harbour window").split()


def body_of(size, rng):
    lines, n = [], 0
    while n < size:
        line = " ".join(rng.choice(WORDS) for _ in range(rng.randint(4, 11)))
        lines.append(line)
        n += len(line) + 2
    return "\n".join(lines) + "\n"


def header_of(domain, number):
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
            "Content-Type: text/plain; charset=utf-8\n"
            "Content-Transfer-Encoding: 8bit\n"
            f"List-Unsubscribe: <https://{domain}/u/{number}>\n"
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click\n"
            "User-Agent: bench\n\n")


class Corpus:
    """Keys, zone and messages in a directory."""

    def __init__(self, directory, domains, sizes):
        self.dir = directory
        self.domains = [f"d{i:03}.example" for i in range(domains)]
        self.keys, self.zone, self.files = {}, [], {}
        for domain in self.domains:
            self.add_domain(domain)
        for size in sizes:
            self.add_messages(size)

    def path(self, name):
        return os.path.join(self.dir, name)

    def add_domain(self, domain):
        for kind in ("rsa", "ed25519"):
            pem = self.path(f"{domain}.{kind}.pem")
            algorithm = ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"] \
                if kind == "rsa" else ["ED25519"]
            subprocess.run(["openssl", "genpkey", "-algorithm", *algorithm,
                            "-out", pem], check=True, capture_output=True)
            os.chmod(pem, 0o600)
            self.keys[domain, kind] = pem
        der = subprocess.run(["openssl", "pkey", "-in",
                              self.keys[domain, "rsa"], "-pubout", "-outform",
                              "DER"], check=True, capture_output=True).stdout
        p = base64.b64encode(der).decode()
        self.zone += [
            f'{domain} TXT "v=spf1 include:_spf.{domain} -all"',
            f'_spf.{domain} TXT "v=spf1 ip4:198.51.100.0/24 '
            f'ip4:192.0.2.10 -all"',
            f'rsa._domainkey.{domain} TXT "v=DKIM1; k=rsa; " '
            f'"p={p[:200]}" "{p[200:]}"',
            f'_dmarc.{domain} TXT "v=DMARC1; p=reject"',
        ]

    def add_messages(self, size):
        rng = random.Random(size)
        count = {"2k": 300, "20k": 300, "200k": 60, "5m": 4}[size]
        body = body_of(SIZES[size], rng)
        for i in range(min(count, len(self.domains))):
            domain = self.domains[i]
            raw = (header_of(domain, i) + body).encode()
            with open(self.keys[domain, "rsa"], "rb") as f:
                signature = dkim.sign(
                    raw.replace(b"\n", b"\r\n"), b"rsa", domain.encode(),
                    f.read(), canonicalize=(b"relaxed", b"relaxed"))
            envelope = f"192.0.2.10 out.{domain} bounce@{domain}\n".encode()
            for kind, text in (("signed",
                                signature.replace(b"\r\n", b"\n") + raw),
                               ("plain", raw)):
                path = self.path(f"{size}.{kind}.{i}")
                with open(path, "wb") as f:
                    f.write(envelope + text)
                self.files.setdefault((size, kind), []).append(path)


class Peer:
    """A daemon under measurement."""

    def __init__(self, name, kind, want, directory):
        self.name, self.kind, self.want = name, kind, want
        self.dir = os.path.join(directory, name)
        os.makedirs(self.dir)
        self.socket = os.path.join(self.dir, "sock")
        self.process = None

    def start(self, argv):
        with open(os.path.join(self.dir, "log"), "ab") as log:
            self.process = subprocess.Popen(  # pylint: disable=R1732
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 20
        while not os.path.exists(self.socket):
            if self.process.poll() is not None or time.monotonic() > end:
                with open(os.path.join(self.dir, "log"),
                          encoding="utf-8") as f:
                    raise RuntimeError(f"{self.name}: {f.read()}")
            time.sleep(0.05)

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def measure(self, files, conns, messages):
        p = subprocess.run([os.path.join(BUILD, "bench", "load"), self.socket,
                            str(conns), str(messages), str(self.process.pid),
                            self.want, *files], check=True,
                           capture_output=True, text=True, timeout=300)
        return json.loads(p.stdout)


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def mailseal(name, kind, want, directory, dns, extra):
    peer = Peer(name, kind, want, directory)
    conf = write(os.path.join(peer.dir, "conf"), f"""
socket = "unix:{peer.socket}"; authserv_id = "mx.bench.example"; user = "";
state_directory = "{peer.dir}";
log = {{ target = "stderr"; level = "error"; }};
control = {{ socket = ""; }};
resolver = {{ servers = [ "{dns}" ]; }};
{extra}
""")
    peer.start([os.path.join(BUILD, "mailseald"), "-f", "-c", conf])
    return peer


def opendkim(name, kind, want, directory, dns, extra):
    peer = Peer(name, kind, want, directory)
    conf = write(os.path.join(peer.dir, "conf"), f"""
Syslog no
Canonicalization relaxed/relaxed
OversignHeaders From
AuthservID mx.bench.example
Nameservers {dns}
UMask 000
RequireSafeKeys no
Socket local:{peer.socket}
{extra}
""")
    peer.start(["opendkim", "-f", "-x", conf])
    return peer


def peers_of(corpus, directory, dns):
    ret = [Peer("null", "signed", "", directory)]
    ret[0].start([os.path.join(BUILD, "bench", "null"), ret[0].socket])
    ret.append(mailseal("mailseal verify", "signed", "dkim=pass", directory,
                        dns, ""))
    ret.append(mailseal("mailseal verify, no records", "signed", "dkim=pass",
                        directory, dns, "journal = { records = false; };"))
    table = write(corpus.path("mailseal.table"), "".join(
        f"{d} {kind} {corpus.keys[d, kind]}\n"
        for d in corpus.domains for kind in ("rsa", "ed25519")))
    ret.append(mailseal(
        "mailseal sign twice", "plain", "ed25519-sha256", directory, dns,
        f'networks = {{ sign = [ "192.0.2.0/24" ]; }};\n'
        f'outbound = {{ key_table = "{table}"; }};'))
    if shutil.which("opendkim") is None:
        print("# opendkim is not installed: apt-get install opendkim")
        return ret
    ret.append(opendkim("opendkim verify", "signed", "dkim=pass", directory,
                        dns, "Mode v"))
    keys = write(corpus.path("opendkim.keys"), "".join(
        f"{d} {d}:rsa:{corpus.keys[d, 'rsa']}\n" for d in corpus.domains))
    table = write(corpus.path("opendkim.table"), "".join(
        f"*@{d} {d}\n" for d in corpus.domains))
    ret.append(opendkim("opendkim sign once", "plain", "rsa-sha256",
                        directory, dns,
                        f"Mode s\nKeyTable file:{keys}\n"
                        f"SigningTable refile:{table}\n"
                        "InternalHosts 0.0.0.0/0"))
    return ret


def table_of(results, sizes, floors):
    print("\nCPU microseconds per message (ratio to null)\n")
    print("| | " + " | ".join(sizes) + " |")
    print("| --- |" + " ---: |" * len(sizes))
    names = list(dict.fromkeys(name for name, _ in results))
    for name in names:
        cells = []
        for size in sizes:
            cpu = statistics.median(r["cpu_us"] for r in results[name, size])
            null = statistics.median(r["cpu_us"]
                                     for r in results["null", size])
            cells.append(f"{cpu:.0f} ({cpu / null:.2f})")
        print(f"| {name} | " + " | ".join(cells) + " |")
    for what, parts in (("libcrypto alone, verify", ("rsa_verify",)),
                        ("libcrypto alone, sign twice",
                         ("rsa_sign", "ed25519_sign"))):
        cells = [f"{f['sha256'] + sum(f[p] for p in parts):.0f}"
                 for f in floors]
        print(f"| {what} | " + " | ".join(cells) + " |")
    print("\n| | messages/s | p50 ms | p99 ms | RSS MB | wrong |")
    print("| --- |" + " ---: |" * 5)
    for name in names:
        for size in sizes:
            rows = results[name, size]
            wrong = sum(r["messages"] - r["matched"] for r in rows)
            print(f"| {name}, {size} | " + " | ".join(
                f"{statistics.median(r[k] for r in rows):.{n}f}"
                for k, n in (("per_second", 0), ("p50_ms", 2),
                             ("p99_ms", 2))) +
                f" | {rows[-1]['rss_kb'] / 1024:.1f} | "
                f"{'-' if name == 'null' else wrong} |")


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    ap.add_argument("--sizes", default="2k,20k")
    ap.add_argument("--conns", type=int, default=8)
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--domains", type=int, default=30)
    o = ap.parse_args()
    sizes = o.sizes.split(",")
    directory = tempfile.mkdtemp(prefix="mailseal-bench-")
    peers = []
    server = None
    try:
        corpus = Corpus(directory, o.domains, sizes)
        server = Server("\n".join(corpus.zone))
        peers = peers_of(corpus, directory, server.address)
        results = {}
        for turn in range(-1, o.rounds):  # the first one warms up
            for size in sizes:
                for peer in peers:
                    r = peer.measure(corpus.files[size, peer.kind], o.conns,
                                     MESSAGES[size])
                    if turn >= 0:
                        results.setdefault((peer.name, size), []).append(r)
        floors = [json.loads(line) for line in subprocess.run(
            [os.path.join(BUILD, "bench", "floor"),
             *(str(SIZES[s]) for s in sizes)], check=True,
            capture_output=True, text=True).stdout.splitlines()]
        print(f"{o.conns} connections, {o.rounds} rounds, {o.domains} domains")
        table_of(results, sizes, floors)
    finally:
        for peer in peers:
            peer.stop()
        if server is not None:
            server.stop()
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
