"""A part of bench.py: how long the MTA waits for a verdict when the DNS is slow
and nothing is in a cache.

Each answer takes 30 ms.  SPF has two includes one in the other, the message has
two signatures with a key each, and DMARC's record is the third name that is
asked for.  100 ms after MAIL the message ends; then the MTA sends the header
and the body to each filter in turn, as Postfix does.  Each message has domains
of its own.
"""
import base64
import os
import statistics
import time

import dkim
import milter_client as mc
import report
from corpus import openssl, txt

ANSWER_MS = 30
MAIL_MS = 100
MOST_MS = 35
IP = "203.0.113.77"


class Sender:
    """The domains and the message of one sender."""

    def __init__(self, number, keys):
        # opendmarc finds no record below a suffix that is not in the list
        self.domain = f"mailseal-slow-{number:03}.org"
        self.author = f"a.b.{self.domain}"
        d = self.domain
        self.zone = [
            txt(d, f"v=spf1 include:_one.{d} -all"),
            txt(f"_one.{d}", f"v=spf1 include:_two.{d} -all"),
            txt(f"_two.{d}", f"v=spf1 ip4:{IP} -all"),
            txt(f"_dmarc.{d}", "v=DMARC1; p=reject"),
        ]
        message = (f"From: <news@{self.author}>\nTo: <rcpt@receiver.example>\n"
                   f"Subject: {number}\nDate: Tue, 03 Nov 2026 10:00:00 +0000\n"
                   f"Message-ID: <{number}@{d}>\n\nbody\n"
                   ).replace("\n", "\r\n").encode()
        signatures = b""
        for kind, (private, public) in keys.items():
            self.zone.append(txt(f"{kind}._domainkey.{d}",
                                 f"v=DKIM1; k={kind}; p={public}"))
            signatures += dkim.sign(
                message, kind.encode(), d.encode(), private,
                canonicalize=(b"relaxed", b"relaxed"),
                signature_algorithm=f"{kind}-sha256".encode())
        self.message = signatures + message


def make_keys(directory):
    """(what dkim signs with, p=) of each kind."""
    ret = {}
    for kind, options in (("rsa", ["RSA", "-pkeyopt",
                                   "rsa_keygen_bits:2048"]),
                          ("ed25519", ["ED25519"])):
        path = os.path.join(directory, f"latency.{kind}.pem")
        openssl("genpkey", "-algorithm", *options, "-out", path)
        der = openssl("pkey", "-in", path, "-pubout", "-outform", "DER")
        if kind == "rsa":
            with open(path, "rb") as f:
                ret[kind] = f.read(), base64.b64encode(der).decode()
        else:
            seed = openssl("pkey", "-in", path, "-outform", "DER")[-32:]
            ret[kind] = (base64.b64encode(seed),
                         base64.b64encode(der[-32:]).decode())
    return ret


def end_of_data(s, fields, body, added):
    """What the MTA sends to one filter after the end of data; the fields that
    it adds go in front."""
    for field in added + fields:
        s.header(*field)
    s.end_of_header()
    s.body(body)
    edits = []
    s.end_of_message(edits)
    return [(e[2], " " + e[3]) for e in edits if e[0] == "insheader"] + added


def wait(row, sender):
    """Milliseconds from the end of data, and from MAIL, to the verdict."""
    fields, body = mc.split_message(sender.message)
    connections = [mc.Connection(f"unix:{p.socket}") for p in row.peers]
    sessions = [mc.Session(c, macros=mc.standard_macros(address=IP))
                for c in connections]
    for s in sessions:
        s.connect(IP)
        s.helo(f"mail.{sender.domain}")
    began = time.monotonic()
    for s in sessions:
        s.mail(f"<bounce@{sender.domain}>")
    for s in sessions:
        s.rcpt("<rcpt@receiver.example>")
    for s in sessions:
        s.data()
    time.sleep(max(0, began + MAIL_MS / 1000 - time.monotonic()))
    end = time.monotonic()
    added = []
    for s in sessions:
        added = end_of_data(s, fields, body, added)
    now = time.monotonic()
    for s, c in zip(sessions, connections):
        s.quit()
        c.close()
    text = " ".join(value for _, value in added)
    missing = [w for w in row.wants if w not in text]
    if missing:
        raise RuntimeError(f"{row.name}: no {missing} in {text}")
    return (now - end) * 1000, (now - began) * 1000


def run(rows, server, senders):
    """A sender for each row in turn; none is seen twice."""
    waits = {row.name: [] for row in rows}
    server.fault("slow", delay=ANSWER_MS)
    for i, sender in enumerate(senders):
        row = rows[i % len(rows)]
        waits[row.name].append(wait(row, sender))
    server.heal()
    n = len(senders) // len(rows)
    print(f"\nMilliseconds until the verdict, {ANSWER_MS} ms for each DNS "
          f"answer, {MAIL_MS} ms between MAIL and the end of data, {n} "
          "messages, nothing cached\n")
    report.head("", "from the end of data, median", "most",
                "from MAIL, median")
    for name, v in waits.items():
        ends = [e for e, _ in v]
        median = statistics.median(ends)
        report.line(
            name,
            report.verdict(median, MOST_MS, "{:.1f}")
            if name.startswith("mailseal") else f"{median:.1f}",
            f"{max(ends):.1f}", f"{statistics.median(m for _, m in v):.1f}")
