"""DKIM between three implementations: mailseal (through the daemon's socket),
dkimpy and libopendkim (tests/unit/opendkim_verify.c).

Every form of message below goes through
  - dkimpy signs, mailseal verifies;
  - libopendkim signs, mailseal verifies;
  - mailseal signs, mailseal, dkimpy and libopendkim verify;
with each key and, where the signer lets one choose, each canonicalization
(RFC 6376 3.4).  Several signatures go on one message, each by itself; at most
ten of them are evaluated.  What libopendkim does wrong (KNOWN_...) must go
wrong: should it be repaired, this test says so.
"""
import itertools
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import material  # noqa: E402
from authres import Authres  # noqa: E402
from daemon import (BUILD, SANITIZER, Daemon, check_end,  # noqa: E402
                    sanitizer_report)
from tap import Tap, skip_all  # noqa: E402

DOMAIN = "example.org"
CANONS = ["/".join(c) for c in itertools.product(("simple", "relaxed"),
                                                 repeat=2)]
KINDS = {"rsa1024": ("rsa", 1024), "rsa2048": ("rsa", 2048),
         "rsa4096": ("rsa", 4096), "ed25519": ("ed25519", 0)}
SIGNING = ("rsa2048", "rsa4096", "ed25519")  # RFC 8301 3.2: 1024 only verifies

HEAD = b"""\
Received: from a by b; Tue, 03 Nov 2026 10:00:00 +0000
From: Alice <alice@example.org>
To: Bob <bob@example.net>
Subject: a subject
Date: Tue, 03 Nov 2026 10:00:00 +0000
Message-ID: <1@example.org>
"""
FORMS = {
    "plain": HEAD + b"\nHello Bob\n",
    "folds": b"""\
From: Alice
 <alice@example.org>
To: Bob <bob@example.net>,
\tCarol <carol@example.net>,
   \t  Dave <dave@example.net>
Subject:
 begins with a fold
 \tand goes on
References: <1@x.example>
 <2@x.example>
\t<3@x.example>

x
""",
    "tabs": b"""\
From:\tAlice\t<alice@example.org>
To:\t\tBob <bob@example.net>\t
Subject:  two  blanks\t tab \t
X-Empty:
X-Blank: \t

\ttab\tand  blanks \t here
 \t
""",
    "8-bit": "From: \u00c4lice <alice@example.org>\nSubject: gr\u00fc\u00df"
             "e\nTo: b@example.net\n\ngr\u00fc\u00dfe\n".encode()
             + b"\xff\xfe\x80\n",
    "no body": HEAD,
    "empty body": HEAD + b"\n",
    "blank lines alone": HEAD + b"\n\n\n\n",
    "blanks alone": HEAD + b"\n \t \n  \n",
    "no final CRLF": HEAD + b"\nfirst line\nno line end",
    "line of 1 MB": HEAD + b"\n" + b"0123456789abcde " * 65536 + b"\n",
    "leading dots": HEAD + b"\n.\n..\n.x\n. \n...\n",
    "trailing blanks": HEAD + b"\na \nb\t\n\n c \t \n \n\n\t\n\n\n",
    "like fields": HEAD + b"\nFrom: x@y.example\n\nSubject: no field\n",
}

# What libopendkim 2.11 does wrong, and why.
KNOWN_FOLD = "libopendkim breaks the line before b= by the length of the " \
    "signature, which it takes for 0 with Ed25519: it returns a fold that " \
    "it has not hashed (RFC 6376 3.4.1, 3.7)"
KNOWN_CRLF = "libopendkim calls a relaxed body without final CRLF a syntax " \
    "error (RFC 6376 3.4.4 adds the CRLF)"


def may_be_folded_wrong(kind, canon):
    return kind == "ed25519" and canon.startswith("simple/")


def has_no_crlf(canon, form):
    return form == "no final CRLF" and canon.endswith("/relaxed")


class Opendkim:
    """One run of opendkim_verify for many messages."""

    def __init__(self, directory, records):
        path = os.path.join(directory, "keys")
        with open(path, "w", encoding="ascii") as f:
            for name, value in records.items():
                f.write(f"{name} {value}\n")
        self.errors = open(os.path.join(directory, "err"), "w+b")
        self.p = subprocess.Popen(
            [os.path.join(BUILD, "tests/unit/opendkim_verify"), path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.errors,
            # libopendkim leaks the key of each Ed25519 signature it makes
            env={**os.environ, **SANITIZER,
                 "ASAN_OPTIONS": "exitcode=77:detect_leaks=0"})

    def _ask(self, command, message):
        self.p.stdin.write(f"{command} {len(message)}\n".encode() + message)
        self.p.stdin.flush()
        answer = self.p.stdout.readline().decode().rstrip("\n")
        if not answer.strip():
            raise RuntimeError(f"opendkim_verify: no answer to {command}")
        return answer

    def verify(self, message):
        """What it says of each signature, top down."""
        return self._ask("verify", message).split("; ")

    def sign(self, message, key, selector, canon):
        """The field with its CRLF; None and the error."""
        header, body = canon.split("/")
        answer = self._ask(f"sign {key.kind} {header} {body} {DOMAIN} "
                           f"{selector} {key.path}", message)
        if answer.startswith("error"):
            return None, answer
        return material.crlf(self.p.stdout.read(int(answer))) + b"\r\n", None

    def close(self):
        """(status, what it wrote to standard error)."""
        self.p.stdin.close()
        self.p.stdout.close()
        status = self.p.wait(20)
        self.errors.seek(0)
        text = self.errors.read().decode("utf-8", "replace")
        self.errors.close()
        return status, text


class World:
    def __init__(self, directory):
        self.keys = {name: material.Key(directory, name, *kind)
                     for name, kind in KINDS.items()}
        self.records = {f"{name}._domainkey.{DOMAIN}": key.record()
                        for name, key in self.keys.items()}
        zone = "".join(material.txt(n, v) for n, v in self.records.items())
        self.daemon = Daemon(zone=zone, domains={
            DOMAIN: [(name, self.keys[name].path) for name in SIGNING]})
        self.opendkim = Opendkim(directory, self.records)
        self.folded_wrong = 0

    def verified(self, message):
        """mailseal's results, top down: "pass", or result and reason."""
        o = self.daemon.send(message, "<a@other.example>",
                             client="198.51.100.1")
        if o.problems or o.verdict not in ("accept", "continue"):
            raise RuntimeError(f"{o.verdict} {o.problems}")
        a = Authres(o.headers[0][1])
        return [r.result if r.result == "pass" else f"{r.result} {r.reason}"
                for r in a.all("dkim")]

    def signed(self, message):
        """`message` with mailseal's signatures above it."""
        o = self.daemon.send(message, "<a@example.org>", login="alice",
                             client="198.51.100.1")
        fields = o.fields("DKIM-Signature")
        if len(fields) != len(SIGNING):
            raise RuntimeError(f"{len(fields)} signatures: {o.verdict} "
                               f"{self.daemon.log()[-2000:]}")
        head = "".join(f"DKIM-Signature:{f}\n" for f in fields)
        return material.crlf(head) + message

    def close(self):
        self.daemon.close()


def chunks(pairs, size=8):
    for n in range(0, len(pairs), size):
        yield pairs[n:n + size]


def check_passes(t, name, results):
    """`results`: {label: what was said}; all must be "pass"."""
    bad = [f"{label}: {said}" for label, said in results.items()
           if said != "pass"]
    t.ok(results and not bad, f"{name} ({len(results)})", *bad)


def verify_all(world, message, pairs):
    """{label: mailseal's result} for fields [(label, bytes)]."""
    results = {}
    for part in chunks(pairs):
        said = world.verified(b"".join(f for _, f in part) + message)
        if len(said) != len(part):
            raise RuntimeError(f"{len(said)} results for {len(part)}")
        results.update(zip([label for label, _ in part], said))
    return results


def dkimpy_signs(t, world, form, message):
    pairs = []
    for kind, canon in itertools.product(KINDS, CANONS):
        key = world.keys[kind]
        whole = material.sign(message, DOMAIN, kind, key, canon=canon)
        pairs.append((f"{kind} {canon}", whole[:-len(message)]))
    check_passes(t, f"{form}: dkimpy signs, mailseal verifies",
                 verify_all(world, message, pairs))


def opendkim_signs(t, world, form, message):
    pairs, odd, refused = [], [], {}
    for kind, canon in itertools.product(KINDS, CANONS):
        label = f"{kind} {canon}"
        field, error = world.opendkim.sign(message, world.keys[kind], kind,
                                           canon)
        if field is None:
            refused[label] = error
        else:
            (odd if may_be_folded_wrong(kind, canon) else pairs).append(
                (label, field))
    check_passes(t, f"{form}: libopendkim signs, mailseal verifies",
                 verify_all(world, message, pairs))
    t.is_(refused, {f"{k} {c}": "error Syntax error" for k in KINDS
                    for c in CANONS if has_no_crlf(c, form)},
          f"{form}: libopendkim signs all" if not refused
          else f"{form}: known: {KNOWN_CRLF}")
    folded_wrong(t, world, form, message, odd)


def folded_wrong(t, world, form, message, pairs):
    """Ed25519 with a simple header: right as it is, or with the fold undone
    that was not hashed; the three verifiers agree."""
    returned = verify_all(world, message, pairs)
    undone = verify_all(world, message,
                        [(label, f.replace(b"\r\n\tb=", b" b="))
                         for label, f in pairs])
    t.ok(pairs and all((returned[k] == "pass") != (undone[k] == "pass")
                       for k in returned),
         f"{form}: libopendkim signs, Ed25519 and simple: only the fold "
         "before b= can be wrong", returned, undone)
    world.folded_wrong += sum(r != "pass" for r in returned.values())
    agree = []
    for label, field in pairs:
        ours = returned[label] == "pass"
        m = field + message
        agree.append(material.dkimpy_verifies(m, world.records) == [ours])
        agree.append((world.opendkim.verify(m) == ["pass"]) == ours)
    t.ok(all(agree), f"{form}: ... and all verifiers agree", returned, agree)


def mailseal_signs(t, world, form, message):
    whole = world.signed(message)
    check_passes(t, f"{form}: mailseal signs, mailseal verifies",
                 dict(zip(SIGNING, world.verified(whole))))
    t.is_(material.dkimpy_verifies(whole, world.records),
          [True] * len(SIGNING), f"{form}: mailseal signs, dkimpy verifies")
    said = world.opendkim.verify(whole)
    if has_no_crlf("relaxed/relaxed", form):
        t.ok(len(said) == len(SIGNING) and
             all("Syntax error" in s for s in said),
             f"{form}: known: {KNOWN_CRLF}", said)
        return
    check_passes(t, f"{form}: mailseal signs, libopendkim verifies",
                 dict(zip(SIGNING, said)))


def changes_are_seen(t, world):
    """The three verifiers can say no."""
    whole = world.signed(material.crlf(FORMS["plain"]))
    for old, new in ((b"Hello Bob", b"Hello Rob"),
                     (b"a subject", b"a subjecT")):
        m = whole.replace(old, new)
        said = world.verified(m)
        t.ok(len(said) == 3 and all(s.startswith("fail ") for s in said),
             f"{new.decode()}: mailseal: fail", said)
        t.is_(material.dkimpy_verifies(m, world.records), [False] * 3,
              f"{new.decode()}: dkimpy: fail")
        said = world.opendkim.verify(m)
        t.ok(len(said) == 3 and "pass" not in said,
             f"{new.decode()}: libopendkim: fail", said)


def main():
    if not material.have_dkimpy():
        skip_all("python3-dkim is not there")
    t = Tap(300)
    with tempfile.TemporaryDirectory() as directory:
        world = World(directory)
        try:
            for form, text in FORMS.items():
                message = material.crlf(text)
                for check in (dkimpy_signs, opendkim_signs, mailseal_signs):
                    with t.group(f"{form}: {check.__name__}"):
                        check(t, world, form, message)
            t.ok(world.folded_wrong > 0, f"known: {KNOWN_FOLD}")
            with t.group("changes"):
                changes_are_seen(t, world)
            status, errors = world.opendkim.close()
            t.ok(status == 0 and not sanitizer_report(errors),
                 "opendkim_verify ended orderly", status, errors)
            check_end(t, world.daemon)
        finally:
            world.close()
    t.done()


if __name__ == "__main__":
    main()
