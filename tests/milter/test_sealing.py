"""Sealing (RFC 8617 5.1): which mail, what the set says, over which chain.

What the filter makes of a message is verified by `mailseal verify`, by dkimpy,
and the seal over a chain that fails by openssl(1).
"""
import base64
import json
import os
import re
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from authres import Authres  # noqa: E402
from chain import KINDS, Sealer, name_of, relaxed, split  # noqa: E402
from daemon import Daemon, check_end, mailseal  # noqa: E402
from material import Key, crlf, key_record, openssl, sign  # noqa: E402
from milter_client import Connection, Session  # noqa: E402
from tap import Tap  # noqa: E402

CLIENT = "203.0.113.66"
ID = "mx.test"
LIST = ("<team@lists.test>",)
SEAL = 'arc = { seal = ( %s ); };\n'
BY_RCPT = '{ domain = "own.test"; recipient = [ "@lists.test" ]; }'
ALL = '{ domain = "own.test"; }'
TAG = 'awareness = { subject_tag = "[EXTERNAL] "; };\n'


def mail(extra="", body="Hello,\n\n  this is  it. \n\n"):
    return crlf(f"From: Alice <alice@author.test>\nTo: team@lists.test\n"
                f"Subject: a subject\nDate: Tue, 03 Nov 2026 10:00:00 +0000\n"
                f"Message-ID: <1@author.test>\n{extra}\n{body}")


class World:
    def __init__(self, directory):
        self.dir = directory
        self.rsa, self.ed = Key(directory, "rsa"), Key(directory, "ed",
                                                       "ed25519")
        self.one = Sealer("one.test", "s", self.rsa)
        self.zone = "".join(key_record(d, "s", self.rsa) for d in
                            ("own.test", "one.test", "author.test"))
        self.zone += key_record("own.test", "e", self.ed)
        self.zone += ('author.test TXT "v=spf1 ip4:203.0.113.66 -all"\n'
                      '_dmarc.author.test TXT "v=DMARC1; p=reject"\n'
                      "s._domainkey.later.test TXT !SERVFAIL\n")
        self.file = os.path.join(directory, "zone")
        with open(self.file, "w", encoding="ascii") as f:
            f.write(self.zone)

    def daemon(self, seal=BY_RCPT, keys=None, more="", **kw):
        keys = [("s", self.rsa.path)] if keys is None else keys
        return Daemon(zone=self.zone, domains={"own.test": keys} if keys
                      else {}, extra=SEAL % seal + more, **kw)

    def verify(self, message):
        """The result of ARC at the next hop."""
        _, out, err = mailseal("verify", "--ip", CLIENT, "--from",
                               "<alice@author.test>", "--zone", self.file,
                               "--json", stdin=message)
        return json.loads(out)["arc"] if out else err

    def dkimpy(self, message):
        import dkim  # pylint: disable=import-outside-toplevel
        record = self.rsa.record().encode()
        return dkim.arc_verify(message, dnsfunc=lambda *_, **__: record)[0]


def sets(message):
    """{kind: field} of the topmost set, and the names of the first fields."""
    fields, _ = split(message)
    return {k: next((f for f in fields if name_of(f) == k), b"")
            for k in KINDS}, [name_of(f) for f in fields]


def tag(field, name):
    m = re.search(rb"[:; \t\n]%s=([^;]*)" % name.encode(), field)
    return re.sub(rb"\s", b"", m[1]).decode() if m else None


def send(d, data=None, rcpts=LIST, **kw):
    return d.send(data or mail(), kw.pop("sender", "<alice@author.test>"),
                  client=CLIENT, rcpts=rcpts, **kw)


def has_set(t, w, o, what, instance, cv, status="pass"):
    message = o.message
    own, names = sets(message)
    aar, ams, seal = (own[k] for k in KINDS)
    t.is_(names[:3], list(reversed(KINDS)), f"{what}: in order, at the top")
    t.is_([tag(f, "i") for f in (aar, ams, seal)], [str(instance)] * 3,
          f"{what}: i={instance}")
    t.is_(tag(seal, "cv"), cv, f"{what}: cv={cv}", seal)
    result = w.verify(message)
    t.is_(result["result"], status, f"{what}: arc={status} at the next hop",
          result, message)
    return own


def first(t, w):
    forged = ("Authentication-Results: mx.test; dmarc=pass header.from=x.test\n"
              "Authentication-Results: other.test; dkim=pass\n")
    with w.daemon() as d:
        data = sign(mail(forged), "author.test", "s", w.rsa)
        o = send(d, data)
        own = has_set(t, w, o, "a message", 1, "none")
        aar, ams, seal = (own[k] for k in KINDS)
        results = o.fields("Authentication-Results")
        t.is_(len(results), 2, "the forged Authentication-Results is gone")
        t.is_(re.sub(rb"\s+", b" ", aar).decode().partition(": ")[2].strip(),
              f"i=1; {' '.join(results[0].split())}",
              "the AAR is our own Authentication-Results")
        t.hasnt(aar.decode(), "other.test", "and no other")
        a = Authres(aar.decode().partition(";")[2])
        t.is_((a.result("dmarc"), a.result("spf", "smtp.mailfrom"),
               a.result("dkim")), ("pass", "pass", "pass"),
              "it says what we found", aar)
        h = tag(ams, "h").lower().split(":")
        t.is_((h.count("from"), "dkim-signature" in h), (2, True),
              "h= has From twice, and the DKIM signature", h)
        t.ok(not [n for n in h if n.startswith("arc-") or
                  n in ("authentication-results", "received")],
             "and nothing that changes", h)
        t.is_((tag(ams, "d"), tag(ams, "s"), tag(seal, "d"), tag(seal, "h"),
               tag(ams, "c")), ("own.test", "s", "own.test", None,
                                "relaxed/relaxed"), "tags")
        t.ok(d.wait_log(" arc_seal=1/none/own.test/s"), "the log tells",
             d.log())
        t.ok(w.dkimpy(o.message) == b"pass", "dkimpy: pass")
        o = send(d, rcpts=("<bob@example.net>",))
        t.is_(o.fields("ARC-Seal"), [], "another recipient: not sealed")
        o = send(d, rcpts=("<bob@example.net>", "<team@lists.test>"))
        t.is_(len(o.fields("ARC-Seal")), 1, "one of two recipients: sealed")
        o = send(d, login="ann")
        t.is_(o.fields("ARC-Seal"), [], "outgoing mail is not sealed")
        check_end(t, d, "recipients")


def chains(t, w):
    with w.daemon(ALL) as d:
        one = w.one.seal(mail())
        has_set(t, w, send(d, one), "over one set", 2, "pass")
        own = send(d, one).message
        for n in range(3, 51):
            o = send(d, own)
            own = o.message
        has_set(t, w, o, "over 49 sets", 50, "pass")
        t.ok(w.dkimpy(own) == b"pass", "dkimpy: 50 sets pass")
        o = send(d, own)
        t.is_(len(o.fields("ARC-Seal")), 50, "no set over 50")
        t.ok(d.wait_log("arc_seal=no(the chain has 50 sets)"), "and the log")
        broken = one.replace(b"Hello", b"HELLO")
        own = has_set(t, w, send(d, broken), "over a chain that fails", 2,
                      "fail", "fail")
        t.ok(holds(w, own), "that seal covers its own set alone")
        again = send(d, send(d, broken).message)
        t.is_(len(again.fields("ARC-Seal")), 2, "only once")
        t.ok(d.wait_log("arc_seal=no(the newest seal says cv=fail)"),
             "and the log")
        for what, data in (
                ("a set with a hole", one.replace(b" i=1;", b" i=2;")),
                ("a second seal", b"ARC-Seal: i=1; cv=none; b=AAAA\r\n" + one)):
            o = send(d, data)
            t.is_(tag(sets(o.message)[0][KINDS[2]], "cv"), "fail",
                  f"{what}: cv=fail", o.message)
        later = Sealer("later.test", "s", w.rsa).seal(mail())
        t.is_(len(send(d, later).fields("ARC-Seal")), 1,
              "not sealed when the DNS does not answer")
        t.ok(d.wait_log("arc_seal=no(a key of the chain could not be looked"),
             "and the log")
        check_end(t, d, "chains")


def holds(w, own):
    """The seal over these three fields alone, by openssl(1)."""
    seal = own[KINDS[2]]
    cut = seal.rindex(b"b=") + 2
    data = b"".join(relaxed(own[k]) + b"\r\n" for k in KINDS[:2]) + \
        relaxed(seal[:cut])
    names = [os.path.join(w.dir, n) for n in ("public", "signature")]
    with open(names[0], "wb") as f:
        f.write(openssl("pkey", "-in", w.rsa.path, "-pubout"))
    with open(names[1], "wb") as f:
        f.write(base64.b64decode(re.sub(rb"\s", b"", seal[cut:])))
    try:
        return b"Verified OK" in openssl(
            "dgst", "-sha256", "-verify", names[0], "-signature", names[1],
            stdin=data)
    except Exception:  # pylint: disable=broad-except
        return False


def changed(t, w):
    tagged = 'rules = ( { name = "mark"; action = "%s"; mode = "enforce"; } );'
    with w.daemon(ALL, more=TAG) as d:
        o = send(d, w.one.seal(mail()))
        t.is_(o.field("Subject"), "[EXTERNAL] a subject", "a tagged Subject")
        has_set(t, w, o, "with a tagged Subject", 2, "pass")
        o = send(d, crlf("From: alice@author.test\n\nx\n"))
        has_set(t, w, o, "with a Subject that was added", 1, "none")
        check_end(t, d, "Subject")
    for how in ("tag", "quarantine"):
        with w.daemon(ALL, more=tagged % how) as d:
            has_set(t, w, send(d), how, 1, "none")
            check_end(t, d, how)
    with w.daemon(ALL, more=tagged % "reject") as d:
        o = send(d)
        t.is_((o.verdict, o.fields("ARC-Seal")), ("replycode", []),
              "a rejected message is not sealed")
        check_end(t, d, "reject")
    with w.daemon(ALL) as d:
        for mta in ("postfix", "sendmail"):
            data = mail("Cc: b@x.test, a@x.test\nReply-To: A <a@x.test>\n")
            has_set(t, w, send(d, data, mta=mta), mta, 1, "none")
        check_end(t, d, "MTAs")


def bodies(t, w):
    with w.daemon(ALL) as d:
        for what, body in (("no body", b""), ("empty lines", b"\r\n\r\n\r\n"),
                           ("no line end", b"x"), ("large", b"abc \t d\r\n" *
                                                   60000)):
            has_set(t, w, send(d, crlf(mail()[:-len(b"x")]).partition(
                b"\r\n\r\n")[0] + b"\r\n\r\n" + body), what, 1, "none")
        with Connection(d.address) as c:
            s = Session(c)
            s.connect(CLIENT)
            s.helo("h.test")
            for n in range(2):  # what one message leaves is not another's
                o = s.message(mail(), "<alice@author.test>", LIST)
                has_set(t, w, o, f"message {n} of a connection", 1, "none")
        check_end(t, d, "bodies")


def keys(t, w):
    both = [("e", w.ed.path), ("s", w.rsa.path)]
    with w.daemon(ALL, keys=both) as d:
        own = has_set(t, w, send(d), "of two keys", 1, "none")
        t.is_(tag(own[KINDS[2]], "a"), "rsa-sha256", "RSA is taken")
        check_end(t, d, "two keys")
    with w.daemon(ALL, keys=both[:1]) as d:
        own = has_set(t, w, send(d), "an Ed25519 key", 1, "none")
        t.is_(tag(own[KINDS[1]], "a"), "ed25519-sha256", "alone")
        check_end(t, d, "Ed25519")
    with w.daemon(ALL, keys=[]) as d:
        o = send(d)
        t.is_((o.verdict, o.fields("ARC-Seal")), ("accept", []),
              "without a key mail flows, not sealed")
        t.ok(d.wait_log("arc.seal: mail is not sealed by own.test"),
             "a warning at start", d.log())
        t.ok(d.wait_log(" arc_seal=no("), "and in the line of the message")
        check_end(t, d, "no key")
    with w.daemon(ALL, more="limits = { header_fields = 50; };\n") as d:
        o = send(d, mail("X: 1\n" * 60))
        t.is_((o.verdict, o.fields("ARC-Seal")), ("accept", []),
              "a header over a limit is not sealed")
        t.ok(d.wait_log(" arc_seal=no("), "and the log says so", d.log())
        check_end(t, d, "limits")


def conditions(t, w):
    rows = ('{ domain = "own.test"; listener = [ "smtp" ]; recipient = '
            '[ "team@lists.test" ]; }, { domain = "own.test"; client = '
            '[ "198.51.100.0/24" ]; }')
    with w.daemon(rows) as d:
        for what, kw, n in (
                ("listener and recipient", {"daemon": "smtp"}, 1),
                ("another listener", {"daemon": "mx"}, 0),
                ("another recipient", {"daemon": "smtp",
                                       "rcpts": ("<bob@lists.test>",)}, 0)):
            t.is_(len(send(d, **kw).fields("ARC-Seal")), n, what)
        o = d.send(mail(), "<alice@author.test>", client="198.51.100.9")
        t.is_(len(o.fields("ARC-Seal")), 1, "the second rule")
        check_end(t, d, "conditions")
    for text, part in (('{ recipient = [ "@x.test" ]; }', "domain"),
                       ('{ domain = "own.test"; recipients = [ "a@x" ]; }',
                        "recipients"),
                       ('{ domain = "own.test"; recipient = [ ]; }', "empty")):
        with Daemon(start=False, extra=SEAL % text) as d:
            status, _, err = mailseal("check-config", d.config)
            t.ok(status != 0 and part in err and d.config in err,
                 f"refused: {text}", err)


def tells(t, d, data):
    """`mailseal explain` names the sealers; the record comes in a second."""
    for what, part in ((data, b"ARC: pass, sealed by one.test, own.test, "
                        b"one.test\n"),
                       (data.replace(b"Hello", b"HELLO"), b"ARC: fail: body "
                        b"hash did not verify, sealed by one.test, ")):
        queue_id = "4X" + part[5:9].decode()
        d.send(what, "<alice@author.test>", client="192.0.2.99", rcpts=LIST,
               queue_id=queue_id)
        end = time.monotonic() + 10
        while True:
            _, out, err = mailseal("explain", queue_id, "-c", d.config)
            if out or time.monotonic() > end:
                break
            time.sleep(0.1)
        t.ok(part in out, f"explain: {part[:9].decode()}", out, err)


def trust(t, w):
    """Between sealers who are trusted, and after them, we may have sealed."""
    results = "mx.one.test; dmarc=pass header.from=author.test"
    rule = ('rules = ( { name = "fwd"; arc_sealer = [ "one.test" ]; '
            'dmarc = [ "fail" ]; action = "accept"; mode = "enforce"; } );\n'
            'dmarc = { disposition = "honor"; };\n')
    one, own = w.one, Sealer("own.test", "s", w.rsa)
    once = one.seal(mail(), results=results)
    for seal, good in ((ALL, True), ('', False)):
        with w.daemon(seal, more=rule, state=True) as d:
            for what, data, taken in (
                    ("one who is trusted", once, True),
                    ("and we after it", own.seal(once), good),
                    ("and we between", one.seal(own.seal(once)), good),
                    ("we alone", own.seal(mail(), results=results), False)):
                o = d.send(data, "<alice@author.test>", client="192.0.2.99",
                           rcpts=LIST)
                t.is_(o.verdict, "accept" if taken else "replycode",
                      f"{what}, arc.seal {'set' if seal else 'not set'}",
                      d.log()[-500:])
            tells(t, d, one.seal(own.seal(once)))
            check_end(t, d, "trust")


def main():
    t = Tap()
    with tempfile.TemporaryDirectory(prefix="mailseal-") as directory:
        w = World(directory)
        for group in (first, chains, changed, bodies, keys, conditions,
                      trust):
            with t.group(group.__name__):
                group(t, w)
    t.done()


if __name__ == "__main__":
    main()
