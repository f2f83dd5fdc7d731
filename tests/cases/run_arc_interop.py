"""ARC between implementations: chains of 1, 2, 3, 10 and 50 sets by mailseald
(arc.seal), by dkimpy (arc_sign, which wants the authres module) and by
Mail::DKIM (Perl), and mixed ones of all three: each verifies here and there.
What is not installed is skipped."""
import json
import os
import re
import subprocess
import sys

try:  # before tests/lib, which has an authres of its own
    import authres
    import dkim
    HAVE_DKIMPY = hasattr(authres, "AuthenticationResultsHeader")
except ImportError:
    HAVE_DKIMPY = False

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from daemon import Daemon, check_end, mailseal  # noqa: E402
from material import Key, crlf, txt  # noqa: E402
from tap import Tap  # noqa: E402

SCRIPT = os.path.join(HERE, "..", "lib", "arc.pl")
PLAIN = crlf("""\
From: Alice <alice@author.example>
To: list@one.example
Subject: a subject
Date: Tue, 03 Nov 2026 10:00:00 +0000
Message-ID: <1@author.example>

Hello,
  this is  the body.
""")
COUNTS = (1, 2, 3, 10, 50)
DOMAINS = ("one.example", "two.example", "three.example")


def bare(pem):
    """What Mail::DKIM reads: the key without its first and last line."""
    return "".join(x for x in pem.decode().splitlines() if x[:1] != "-")


class World:
    def __init__(self):
        self.files = Daemon(start=False, extra="arc = { seal = ( " + ", ".join(
            f'{{ domain = "{d}"; recipient = [ "@{d}" ]; }}'
            for d in DOMAINS) + " ); };\n")
        self.keys = [Key(self.files.dir, d) for d in DOMAINS]
        self.bare = [self.files.write(f"{d}.b64", bare(k.pem))
                     for d, k in zip(DOMAINS, self.keys)]
        records = {f"s._domainkey.{d}": k.record()
                   for d, k in zip(DOMAINS, self.keys)}
        self.records = records
        self.zone = self.files.write("zone", "".join(
            txt(n, r) for n, r in records.items()))
        with open(self.files.config, "a", encoding="ascii") as f:
            f.write("outbound = { domains = ( " + ", ".join(
                f'{{ domain = "{d}"; keys = ( {{ selector = "s"; '
                f'file = "{k.path}"; }} ); }}'
                for d, k in zip(DOMAINS, self.keys)) + " ); };\n")
        self.files.start()
        self.table = self.files.write("keys.txt", "".join(
            f"{n} {r}\n" for n, r in records.items()))

    def lookup(self, name, timeout=5):  # pylint: disable=unused-argument
        value = self.records.get(name.decode().rstrip(".").lower())
        return value.encode() if value is not None else None

    def with_results(self, message, n, domain):
        """What the sealer is to quote, as its border MTA wrote it."""
        arc = "none" if n == 0 else "pass"
        message = re.sub(rb"(?m)^Authentication-Results:.*\r\n .*\r\n", b"",
                         message)  # of the hop before (RFC 8601 5)
        return crlf(f"Authentication-Results: {domain}; arc={arc};\n"
                    " spf=pass smtp.mailfrom=author.example\n") + message

    def own(self, message, n):
        o = self.files.send(message, "<alice@author.example>",
                            client="192.0.2.1",
                            rcpts=[f"<list@{DOMAINS[n % 3]}>"])
        return o.message

    def dkimpy(self, message, n):
        domain, key = DOMAINS[n % 3], self.keys[n % 3]
        message = self.with_results(message, n, domain)
        fields = dkim.arc_sign(
            message, b"s", domain.encode(), key.for_dkimpy(), domain.encode(),
            include_headers=[b"from", b"to", b"subject"])
        if len(fields) != 3:
            raise ValueError("dkimpy made no set")
        return b"".join(crlf(f.rstrip(b"\r\n") + b"\r\n")
                        for f in fields) + message

    def perl(self, message, n):
        domain = DOMAINS[n % 3]
        message = self.with_results(message, n, domain)
        return subprocess.run(
            ["perl", SCRIPT, self.table, "sign", self.bare[n % 3], domain, "s",
             "pass" if n else "none"], input=message, check=True,
            capture_output=True, timeout=60).stdout

    def dkimpy_says(self, message):
        return dkim.arc_verify(message, dnsfunc=self.lookup)[0].decode()

    def perl_says(self, message):
        return subprocess.run(
            ["perl", SCRIPT, self.table, "verify"], input=message, check=True,
            capture_output=True, timeout=60).stdout.decode().strip()

    def says(self, message):
        status, out, err = mailseal(
            "verify", "--ip", "192.0.2.1", "--from", "<>", "--zone",
            self.zone, "--json", stdin=message)
        return json.loads(out)["arc"] if status == 0 else err


def available(w):
    """{name: seal(message, number of sets on it) -> message}"""
    ret = {"mailseald": w.own}
    if HAVE_DKIMPY:
        ret["dkimpy"] = w.dkimpy
    if subprocess.run(["perl", "-MMail::DKIM::ARC::Signer", "-e", "1"],
                      check=False, capture_output=True).returncode == 0:
        ret["Mail::DKIM"] = w.perl
    return ret


def check(t, w, name, message, count, others):
    got = w.says(message)
    t.is_([got["result"], got.get("oldest_pass"), len(got["sealers"])],
          ["pass", 0, count], f"{name}: passes here", got)
    for who, verifier in others.items():
        t.is_(verifier(message), "pass", f"{name}: passes in {who}")
    if count > 10:  # dkimpy takes long
        return
    changed = message.replace(b"Subject: a", b"Subject: b")
    t.is_(w.says(changed)["result"], "fail", f"{name}: changed, fails here")
    for who, verifier in others.items():
        t.is_(verifier(changed), "fail", f"{name}: changed, fails in {who}")


def main():
    t = Tap(280)
    w = World()
    makers = available(w)
    others = {n: f for n, f in (("dkimpy", w.dkimpy_says),
                                ("Mail::DKIM", w.perl_says)) if n in makers}
    for name in ("dkimpy", "Mail::DKIM"):
        if name not in makers:
            t.skip(name, "it is not installed")
    if len(makers) > 2:
        makers["mixed"] = None
    turns = [makers[n] for n in makers if makers[n] is not None]
    for name, maker in makers.items():
        with t.group(name):
            message = PLAIN
            for n in range(max(COUNTS)):
                seal = maker or turns[(n * n + n // 3) % len(turns)]
                message = seal(message, n)
                if n + 1 in COUNTS:
                    check(t, w, f"{name}, {n + 1} sets", message, n + 1,
                          others)
    check_end(t, w.files)
    w.files.close()
    t.done()


if __name__ == "__main__":
    main()
