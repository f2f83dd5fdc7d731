"""What readers are told about mail from outside: the tag in the Subject,
X-Mailseal-External, X-Mailseal-Warning; through the daemon.

tests/unit/test_awareness.c has the rules without one, and the corpus.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import milter_client as mc  # noqa: E402
from authres import Authres  # noqa: E402
from daemon import Daemon, check_end, mailseal, quote  # noqa: E402
from material import (Key, crlf, dkimpy_verifies, have_dkimpy,  # noqa: E402
                      key_record, sign)
from tap import Tap  # noqa: E402

ALL = {"subject_tag": quote("[EXTERNAL]"), "external_header": "true",
       "lookalikes": "true", "domains": '[ "example.com" ]',
       "names": '[ "Jane Doe" ]', "drill_domains": '[ "drill.test" ]',
       "untagged": '[ "bob@fwd.test", "@list.test" ]'}
EXTERNAL, WARNING = "X-Mailseal-External", "X-Mailseal-Warning"
FORGED = f"{EXTERNAL}: no\n{WARNING}: none\nx-mailseal-warning: trust me\n"
OUTSIDE, INSIDE, TRUSTED, SIGNED = \
    "203.0.113.7", "192.0.2.7", "198.51.100.7", "192.0.2.129"


def mail(author="x@other.test", subject="Subject: hello\n", extra=""):
    return crlf(f"From: {author}\nTo: rcpt@example.net\n{subject}{extra}"
                "Date: Tue, 03 Nov 2026 10:00:00 +0000\n"
                "Message-ID: <1@x.test>\n\nbody\n")


class Site(Daemon):
    def __init__(self, options, zone="", **kw):
        self.messages = 0
        rows = "".join(f"{k} = {v}; " for k, v in options.items())
        kw.setdefault("extra", "")
        kw["extra"] += f"awareness = {{ {rows}}};\n"
        super().__init__(zone=zone, internal=("192.0.2.0/25",),
                         trusted=("198.51.100.0/24",),
                         sign=("192.0.2.128/25",), **kw)

    def get(self, data, client=OUTSIDE, sender="<x@other.test>", **kw):
        self.messages += 1
        o = self.send(data, sender, client=client,
                      queue_id=f"4Q{self.messages}", **kw)
        o.queue_id = f"4Q{self.messages}"
        return o

    def line(self, o):
        """What the log says of it."""
        return self.wait_log(f"{o.queue_id}: ")


def told(o):
    """What a reader sees: Subjects, the mark, the warning."""
    return (o.fields("Subject"), o.fields(EXTERNAL), o.fields(WARNING))


def dkim_of(o):
    results = Authres(o.field("Authentication-Results")).results
    return [r.result for r in results if r.method == "dkim"]


def outside(t, d):
    o = d.get(mail())
    t.is_(told(o), (["[EXTERNAL] hello"], ["yes"], []), "from outside")
    t.is_(o.edits[0], ("chgheader", 1, "Subject", " [EXTERNAL] hello"),
          "the Subject keeps its place and its space")
    t.ok(d.wait_log(" awareness=tag,header "), "logged", d.log())
    o = d.get(mail("x@examp1e.com"))
    warned = "lookalike examp1e.com of example.com"
    t.is_(told(o), (["[EXTERNAL] hello"], ["yes"], [warned]), "look-alike")
    t.ok(d.wait_log(f" awareness=tag,header,warning({warned}) "), "logged",
         d.log())
    for author, warning in (
            ("Jane Doe <x@evil.test>",
             "name Jane Doe on an address of evil.test"),
            ('"jane@example.com" <x@evil.test>',
             "address of example.com shown for one of evil.test"),
            ("x@ехаmple.com",  # Cyrillic e, x, a
             "lookalike xn--mple-63dke.com of example.com"),
            ("x@example.com.login.test",
             "lookalike example.com.login.test of example.com")):
        o = d.get(mail(author))
        if "xn--" in warning:
            t.has(o.field(WARNING) or "", "lookalike xn--", author)
        else:
            t.is_(o.fields(WARNING), [warning], author)
    o = d.get(mail("Jane Doe <jane@example.com>"))
    t.is_(told(o), (["[EXTERNAL] hello"], ["yes"], []),
          "our own name from outside: for DMARC to say")


def subjects(t, d):
    for name, subject, want in (
            ("a reply", "Subject: Re: [EXTERNAL] hello\n",
             ["Re: [EXTERNAL] hello"]),
            ("a reply, encoded",
             "Subject: =?utf-8?q?Re:_[EXTERNAL]_gr=C3=BC=C3=9Fe?=\n",
             ["=?utf-8?q?Re:_[EXTERNAL]_gr=C3=BC=C3=9Fe?="]),
            ("none", "", ["[EXTERNAL]"]),
            ("empty", "Subject:\n", ["[EXTERNAL]"]),
            ("no space", "Subject:hello\n", ["[EXTERNAL] hello"]),
            ("folded", "Subject: one\n\ttwo\n three\n",
             ["[EXTERNAL] one two three"]),
            ("of 8 bits", "Subject: grüße\n", ["[EXTERNAL] grüße"]),
            ("two", "Subject: one\nSubject: two\n",
             ["[EXTERNAL] one", "[EXTERNAL] two"]),
            ("two, one tagged", "Subject: [EXTERNAL] one\nSubject: two\n",
             ["[EXTERNAL] one", "[EXTERNAL] two"])):
        for mta in ("postfix", "sendmail"):
            o = d.get(mail(subject=subject), mta=mta)
            t.is_((o.verdict, o.fields("Subject")), ("accept", want),
                  f"Subject, {name}, {mta}")
    o = d.get(mail(subject="Subject: one\n\ttwo\n"))
    t.has(o.message, b"\r\nSubject: [EXTERNAL] one\r\n\ttwo\r\n",
          "folds stay where they were")
    bad = mail().replace(b"Subject: hello", b"Subject: a\xff\xfe\xc3")
    o = d.get(bad)
    t.has(o.message, b"\r\nSubject: [EXTERNAL] a\xff\xfe\xc3\r\n",
          "bytes that are no UTF-8 stay")
    # a header beyond our limits hides no Subject
    for name, extra in (("too long", f"X-Long: {'x' * 90000}\n"),
                        ("too many", "X-Many: x\n" * 2000),
                        ("long itself", "")):
        text = "hello" if extra else "word\n " * 20000
        o = d.get(mail(subject=f"{extra}Subject: {text}\n"))
        t.ok((o.field("Subject") or "").startswith("[EXTERNAL] "),
             f"header {name}: tagged", o.reply)
        t.is_(o.fields(EXTERNAL), ["yes"], f"header {name}: marked")
    t.ok(len(o.field("Subject")) < 33000, "a long Subject is cut")


def forged(t, d):
    o = d.get(mail(extra=FORGED))
    t.is_(told(o), (["[EXTERNAL] hello"], ["yes"], []),
          "forged fields go, ours stays")
    for mta in ("postfix", "sendmail"):
        o = d.get(mail("x@examp1e.com", extra=FORGED), mta=mta)
        t.is_(o.fields(WARNING), ["lookalike examp1e.com of example.com"],
              f"forged warnings go, ours stays, {mta}")


def ours(t, d):
    """Not from outside: untouched, but what is forged goes."""
    for name, want, kw in (
            ("networks.internal", [], {"client": INSIDE}),
            ("networks.trusted", ["no"], {"client": TRUSTED}),
            ("networks.sign", [], {"client": SIGNED}),
            ("login", [], {"login": "bob"}),
            ("local submission", [],
             {"client": "127.0.0.1", "port": 0, "sender": "x@other.test"})):
        o = d.get(mail("x@examp1e.com", extra=FORGED), **kw)
        t.is_((o.fields("Subject"), o.fields(EXTERNAL)), (["hello"], want),
              f"{name}: untouched")
        t.hasnt(" ".join(o.fields(WARNING)), "lookalike", f"{name}: no warning")
        t.hasnt(d.line(o), "awareness=", f"{name}: not logged")
    o = d.get(mail("x@examp1e.com"), login="bob", daemon="in")
    t.is_(told(o), (["hello"], [], []), "login on an inbound listener")


def untagged(t, d):
    for name, rcpts, tagged in (
            ("an address", ("<bob@fwd.test>",), False),
            ("in other case", ("<BOB@FWD.test>",), False),
            ("a domain", ("<any@list.test>",), False),
            ("among others", ("<a@x.test>", "<bob@fwd.test>", "<b@x.test>"),
             False),
            ("another", ("<eve@fwd.test>",), True)):
        o = d.get(mail("x@examp1e.com"), rcpts=rcpts)
        t.is_(told(o),
              (["[EXTERNAL] hello" if tagged else "hello"], ["yes"],
               ["lookalike examp1e.com of example.com"]),
              f"untagged: {name}")
    t.ok(d.wait_log(" awareness=untagged,header,warning("), "untagged: logged",
         d.log())
    with mc.Connection(d.address) as c:
        s = mc.Session(c, macros=mc.standard_macros(address=OUTSIDE))
        s.connect(OUTSIDE)
        s.helo("x.test")
        for rcpt, want in (("<bob@fwd.test>", "hello"),
                           ("<eve@fwd.test>", "[EXTERNAL] hello")):
            o = s.message(mail(), "<x@other.test>", [rcpt])
            t.is_(o.fields("Subject"), [want],
                  f"untagged: {rcpt} in the same session")


def signatures(t, d, key, zone):
    """Tagging comes after verification, and fields break no signature."""
    good = sign(mail("x@drill.test"), "drill.test", "s1", key)
    o = d.get(good, sender="<x@drill.test>")
    t.is_(told(o), (["hello"], [], []), "drill: nothing at all")
    t.is_(dkim_of(o), ["pass"], "drill: verified")
    t.ok(d.wait_log(" awareness=drill(drill.test) "), "drill: logged", d.log())
    o = d.get(good.replace(b"body", b"bodies"), sender="<x@drill.test>")
    t.is_(told(o), (["[EXTERNAL] hello"], ["yes"], []),
          "a signature that fails is no drill")
    other = sign(mail("x@signer.test"), "signer.test", "s1", key,
                 headers=["from", "subject", "date", "message-id", "to"])
    o = d.get(other, sender="<x@signer.test>")
    t.is_(told(o)[:2], (["[EXTERNAL] hello"], ["yes"]), "signed: tagged")
    t.is_(dkim_of(o), ["pass"],
          "signed: the result is that of the message as it came")
    t.is_(dkimpy_verifies(o.message, zone), [False],
          "signed: a tag breaks the signature")
    o = d.get(other, sender="<x@signer.test>", rcpts=("<bob@fwd.test>",))
    t.is_(dkimpy_verifies(o.message, zone), [True],
          "signed: without a tag it holds, fields or not")


def rejected(t, key):
    """DMARC still decides, of drills too; what is rejected is not marked."""
    zone = key_record("drill.test", "s1", key) + \
        '_dmarc.reject.test TXT "v=DMARC1; p=reject"\n'
    with Site(ALL, zone, extra='dmarc = { disposition = "honor"; };\n') as d:
        o = d.get(mail("x@reject.test"))
        t.is_((o.verdict, o.edits), ("replycode", []), "rejected: no edits")
        t.hasnt(d.line(o), "awareness=", "rejected: not logged")
        if have_dkimpy():
            o = d.get(sign(mail("x@reject.test"), "drill.test", "s1", key))
            t.is_(o.verdict, "replycode", "drill: rejected by DMARC all the "
                                          "same")
        check_end(t, d, "honor")


def alone(t):
    """Each option by itself."""
    lookalikes = {k: ALL[k] for k in ("lookalikes", "domains", "names")}
    for name, options, want in (
            ("subject_tag", {"subject_tag": ALL["subject_tag"]},
             (["[EXTERNAL] hello"], [], [])),
            ("external_header", {"external_header": "true"},
             (["hello"], ["yes"], [])),
            ("lookalikes", lookalikes,
             (["hello"], [], ["lookalike examp1e.com of example.com"])),
            ("nothing", {k: v for k, v in ALL.items() if k not in (
                "subject_tag", "external_header", "lookalikes")},
             (["hello"], [], []))):
        with Site(options) as d:
            o = d.get(mail("x@examp1e.com", extra=FORGED))
            t.is_(told(o), want, f"{name} alone")
            if name == "nothing":
                t.hasnt(d.log(), "awareness", "off by default: not logged")
            check_end(t, d, name)


def mistakes(t):
    many = ", ".join(f'"d{n}.test"' for n in range(1001))
    for name, domains, error in (
            ("too many domains", f"[ {many} ]",
             "awareness.domains: give at most 1000"),
            ("no domain", "[ ]",
             "awareness.lookalikes needs awareness.domains")):
        with Site({"lookalikes": "true", "domains": domains},
                  start=False) as d:
            status, _, err = mailseal("check-config", d.config)
            t.ok(status != 0 and error in err, f"{name}: check-config", err)
            d.start(wait=False)
            t.ok(d.wait() != 0, f"{name}: no start")
            t.has(d.log(), error, f"{name}: said so")
    with Site({"lookalikes": "true", "domains": '[ "-" ]'}, start=False) as d:
        status, _, _ = mailseal("check-config", d.config)
        t.is_(status, 0, "a label of a hyphen is a domain like others")


def main():
    t = Tap()
    with Daemon(start=False) as files:
        key = Key(files.dir, "ed", "ed25519")
        zone = key_record("drill.test", "s1", key) + \
            key_record("signer.test", "s1", key)
        records = {f"s1._domainkey.{d}": key.record()
                   for d in ("drill.test", "signer.test")}
        with Site(ALL, zone, listeners=[("in", "inbound")]) as d:
            for part in (outside, subjects, forged, ours, untagged):
                with t.group(part.__name__):
                    part(t, d)
            with t.group("signatures"):
                if have_dkimpy():
                    signatures(t, d, key, records)
                else:
                    t.skip("signatures", "no dkimpy")
            check_end(t, d)
        for part in (alone, mistakes):
            with t.group(part.__name__):
                part(t)
        with t.group("rejected"):
            rejected(t, key)
    t.done()


if __name__ == "__main__":
    main()
