"""Local rules: each condition, each action, in both directions."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from chain import Sealer  # noqa: E402
from daemon import Daemon, check_end, mailseal, quote  # noqa: E402
from material import Key, crlf, key_record, sign  # noqa: E402
from tap import Tap  # noqa: E402

ZONE = """\
reject.test TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.reject.test TXT "v=DMARC1; p=reject"
none.test TXT "v=spf1 ip4:192.0.2.10 -all"
"""
LONG = ".".join(["l" * 59] * 4)
CLIENT = "203.0.113.66"


def rule(name, action, mode="enforce", **conditions):
    """A group of the list; str, int or list values."""
    def text(v):
        if isinstance(v, list):
            return "[ " + ", ".join(quote(x) for x in v) + " ]"
        return quote(v) if isinstance(v, str) else str(v)
    rows = {"name": name, "action": action, "mode": mode, **conditions}
    return "{ " + "".join(f"{k} = {text(v)}; " for k, v in rows.items()) + "}"


def rules(*rows, secret=""):
    return f"rules = ( {', '.join(rows)} );\nsecret = {quote(secret)};\n"


def mail(author="ceo@reject.test", extra="", body="body\n"):
    return crlf(f"From: {author}\nTo: bob@example.net\nSubject: x\n"
                f"Message-ID: <1@x.test>\n{extra}\n{body}")


class Site:
    def __init__(self, t, *rows, zone="", more="", secret="", **kw):
        self.t = t
        self.daemon = Daemon(
            zone=ZONE + zone, extra=rules(*rows, secret=secret) +
            'dmarc = { disposition = "honor"; };\n' + more, **kw)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.daemon.close()

    def send(self, data=None, sender="<x@none.test>", **kw):
        kw.setdefault("client", CLIENT)
        return self.daemon.send(data or mail(), sender, **kw)

    def gives(self, what, verdict, part=None, reply=None, **kw):
        o = self.send(**kw)
        self.t.is_(o.verdict, verdict, what, o.reply, self.daemon.log()[-600:])
        if reply is not None:
            self.t.is_(str(o.reply).split(" ", 1)[1], reply, f"{what}: reply")
        if part is not None:
            self.t.ok(self.daemon.wait_log(part) is not None,
                      f"{what}: log has {part}", self.daemon.log()[-600:])
        return o

    def end(self, what):
        return check_end(self.t, self.daemon, what)


def actions(t):
    with Site(t,
              rule("ok", "accept", helo=["ok.test"],
                   override="trusted_forwarder"),
              rule("as-is", "none", helo=["none.test"]),
              rule("label", "tag", helo=["tag.test"]),
              rule("hold-it", "quarantine", helo=["quarantine.test"]),
              rule("later", "tempfail", helo=["tempfail.test"]),
              rule("no", "reject", helo=["reject.test"]),
              rule("own-text", "reject", helo=["text.test"],
                   text="Mail of {domain} is refused by {rule}, {queue_id}.\n"
                        "See https://example.com/mail"),
              rule("gone", "discard", helo=["discard.test"])) as s:
        o = s.gives("accept against p=reject", "accept", "rule=ok(accept)",
                    helo="ok.test")
        t.ok("dis=none rule=ok" in o.headers[0][1], "A-R names the rule",
             o.headers[0])
        t.is_(o.fields("X-Mailseal-Quarantine"), [], "and it is not marked")
        s.gives("none leaves it to DMARC", "replycode", "rule=as-is(none)",
                helo="none.test")
        o = s.gives("tag, of mail that DMARC does not mind", "accept",
                    "rule=label(tag)", helo="tag.test",
                    data=mail("a@none.test", "X-Mailseal-Rule: forged\n"))
        t.is_(o.fields("X-Mailseal-Rule"), ["label"],
              "the field is ours alone")
        s.gives("tag does not hinder DMARC", "replycode", helo="tag.test")
        o = s.gives("quarantine in place of reject", "accept",
                    "disposition=quarantine(rule hold-it) would_be=reject",
                    helo="quarantine.test")
        t.is_(o.fields("X-Mailseal-Quarantine"), ["rule=hold-it"],
              "quarantine is marked")
        t.ok("dis=quarantine rule=hold-it" in o.headers[0][1],
             "and told in A-R", o.headers[0])
        s.gives("tempfail", "replycode", "rule=later(tempfail)",
                "451 4.7.1 Deferred by local policy (later)",
                helo="tempfail.test", data=mail("a@none.test"))
        s.gives("reject", "replycode", "disposition=reject(rule no)",
                "550 5.7.1 Rejected by local policy (no)",
                helo="reject.test", data=mail("a@none.test"))
        s.gives("a text of two lines", "replycode", "rule=own-text",
                "550-5.7.1 Mail of none.test is refused by own-text, "
                "4TESTid.\r\n550 5.7.1 See https://example.com/mail",
                helo="text.test", data=mail("a@none.test"))
        s.gives("discard", "discard", "rule=gone(discard)",
                helo="discard.test", data=mail("a@none.test"))
        s.gives("no rule matches", "replycode", helo="other.test")
        s.end("actions")


def conditions(t, key):
    zone = key_record("list.test", "s1", key)
    signed = sign(mail("a@none.test", "List-Id: <x.list.test>\n"),
                  "list.test", "s1", key)
    yes = [
        ("client", {"client": ["203.0.113.0/24"]}, {}),
        ("client_name", {"client_name": [".isp.test"]},
         {"name": "c66.isp.test"}),
        ("helo", {"helo": ["mx.none.test"]}, {"helo": "mx.none.test"}),
        ("sender", {"sender": ["X@none.test"]}, {}),
        ("null sender", {"sender": ["<>"]}, {"sender": "<>"}),
        ("from", {"from": [".test"]}, {}),
        ("recipient", {"recipient": ["@example.net"]},
         {"rcpts": ["<b@example.org>", "<a@example.net>"]}),
        ("listener", {"listener": ["smtpd2"]}, {"daemon": "smtpd2"}),
        ("spf", {"spf": ["fail", "softfail"]}, {}),
        ("dkim", {"dkim": ["pass"]}, {"data": signed}),
        ("dkim none", {"dkim": ["none"]}, {}),
        ("dmarc", {"dmarc": ["none"]}, {}),
        ("iprev", {"iprev": ["unchecked"]}, {}),
        ("dkim_domain", {"dkim_domain": ["list.test"]}, {"data": signed}),
        ("header", {"header": ["List-ID"]}, {"data": signed}),
        ("size_above", {"size_above": 5000},
         {"data": mail("a@none.test", body="y\n" * 2500)}),
    ]
    plain = {"data": mail("a@none.test")}
    for name, condition, kw in yes:
        with Site(t, rule("it", "reject", **condition), zone=zone) as s:
            s.gives(f"{name}: matches", "replycode", "rule=it(reject)",
                    **{**plain, **kw})
            s.end(name)
    no = [
        ("client", {"client": ["198.51.100.0/24"]}),
        ("client_name", {"client_name": [".other.test"]}),
        ("helo", {"helo": [".mx.none.test", "none.test"]}),
        ("sender", {"sender": ["y@none.test", "<>", "@.none.test"]}),
        ("from", {"from": ["test", "a.none.test"]}),
        ("recipient", {"recipient": ["x@example.net"]}),
        ("listener", {"listener": ["submission"]}),
        ("login", {"login": ["*"]}),
        ("spf", {"spf": ["pass", "none", "unchecked"]}),
        ("dkim", {"dkim": ["pass", "fail"]}),
        ("dmarc", {"dmarc": ["fail", "pass"]}),
        ("iprev", {"iprev": ["pass", "fail"]}),
        ("dkim_domain", {"dkim_domain": ["none.test"]}),
        ("header", {"header": ["List-Id"]}),
        ("size_above", {"size_above": 5000}),
        ("direction", {"direction": "outbound"}),
    ]
    with Site(t, *(rule(f"r{i}-{n}", "reject", **c)
                   for i, (n, c) in enumerate(no))) as s:
        s.gives("none of these matches", "accept", helo="mx.none.test",
                **plain)
        log = s.end("conditions that do not match")
        t.ok("rule=" not in log, "nor does the log name one", log[-500:])


def codes(t):
    """RFC 7372 3, RFC 8617 5.2.2."""
    cases = [("spf", {"spf": ["fail"]}, "550 5.7.23", "x@none.test"),
             ("spf-error", {"spf": ["permerror", "fail"]}, "550 5.7.24",
              "x@bad.test"),
             ("dkim", {"dkim": ["none"]}, "550 5.7.20", "x@none.test"),
             ("iprev", {"iprev": ["unchecked", "fail"]}, "550 5.7.25",
              "x@none.test"),
             ("arc", {"arc": ["none", "fail"]}, "550 5.7.29", "x@none.test"),
             ("both", {"spf": ["fail"], "dkim": ["none"]}, "550 5.7.26",
              "x@none.test"),
             ("good", {"spf": ["pass", "fail"]}, "550 5.7.1", "x@none.test")]
    with Site(t, *(rule(n, "reject", helo=[f"{n}.test"], **c)
                   for n, c, _, _ in cases),
              rule("later", "tempfail", spf=["temperror"]),
              zone='bad.test TXT "v=spf1 nonsense"\n'
                   "slow.test TXT !TIMEOUT\n") as s:
        for name, _, code, sender in cases:
            s.gives(name, "replycode", reply=code + " Rejected by local "
                    f"policy ({name})", helo=f"{name}.test",
                    data=mail("a@none.test"), sender=f"<{sender}>")
        s.gives("temporary", "replycode",
                reply="451 4.7.24 Deferred by local policy (later)",
                data=mail("a@none.test"), sender="<x@slow.test>")
        s.end("codes")


def order(t):
    with Site(t, rule("watch", "reject", "monitor"),
              rule("never-mind", "discard", "monitor", size_above=10**9),
              rule("first", "tag"), rule("second", "reject"),
              rule("third", "reject", "monitor")) as s:
        o = s.gives("a monitored rule decides nothing, the first enforced all",
                    "accept", "rule=first(tag) would=watch(reject)",
                    data=mail("a@none.test"))
        t.is_(o.fields("X-Mailseal-Rule"), ["first"], "its action is done")
        log = s.end("order")
        t.ok('"second" is never reached' in log, "a warning tells of the rest",
             log[:800])


def recipients(t):
    to = ["<bob@example.net>", "<eve@example.net>"]
    with Site(t, rule("mild", "accept", recipient=["bob@example.net"]),
              rule("strict", "tempfail", recipient=["eve@example.net"])) as s:
        s.gives("a mild rule for all recipients", "accept",
                "rule=mild(accept)", rcpts=to[:1])
        s.gives("for some it does not count, a strict one does", "replycode",
                "rule=strict(tempfail)", rcpts=to)
        s.end("recipients")


def percent(t):
    answers = []
    for _ in range(2):
        with Site(t, rule("share", "reject", percent=40),
                  secret="of the fleet") as s:
            answers.append([s.send(crlf(
                f"From: a@none.test\nMessage-ID: <{n}@x.test>\n\nbody\n"),
                helo=f"h{n}-{len(answers)}.test").verdict
                for n in range(60)])
            s.gives("without Message-ID it counts", "replycode",
                    "rule=share(reject)", data=crlf("From: a@none.test\n\nx\n"))
            log = s.end("percent")
            t.has(log, "would=share(reject)", "the others are told of")
    t.is_(answers[0], answers[1], "two hosts answer the same")
    n = answers[0].count("replycode")
    t.ok(12 <= n <= 36, "about 40 percent", n)


def sealed(key, domain, results, message=None):
    """With one more ARC set of that domain."""
    return Sealer(domain, "s1", key).seal(message or mail("ceo@reject.test"),
                                          results=f"{domain}; {results}")


def unfolded(o):
    return " ".join(o.headers[0][1].split())


def arc(t, key):
    zone = "".join(key_record(d, "s1", key)
                   for d in ("list.test", "fwd.test", LONG, "evil.test"))
    good = "dmarc=pass header.from=reject.test"
    with Site(t, rule("watch", "tag", "monitor", arc=["pass"]),
              rule("arc", "accept", dmarc=["fail"],
                   arc_sealer=["list.test", "fwd.test", LONG]), zone=zone) as s:
        o = s.gives("sealed by one who is trusted", "accept",
                    "rule=arc(accept)", data=sealed(key, "list.test", good))
        t.has(o.headers[0][1], "arc=pass", "A-R tells of the chain")
        t.has(o.headers[0][1], "dis=none rule=arc", "and of the rule")
        t.has(unfolded(o), "arc=pass as[1].d=list.test as[1].s=s1)",
              "and on whose word (RFC 8617 7.2.2)")
        first = sealed(key, "list.test",
                       good + "; arc=none smtp.remote-ip=\"2001:DB8::1\"")
        o = s.gives("by two of them", "accept", "rule=arc(accept)",
                    data=sealed(key, "fwd.test", "dmarc=fail; arc=pass",
                                first))
        said = "arc=pass as[2].d=fwd.test as[2].s=s1 " \
            "as[1].d=list.test as[1].s=s1 remote-ip[1]=2001:db8::1"
        t.has(unfolded(o), f"rule=arc {said})", "A-R: of both")
        t.has(s.daemon.log(), f' override="{said}" ', "log")
        o = s.gives("with long names", "accept", "rule=arc(accept)",
                    data=sealed(key, "fwd.test", "dmarc=fail; arc=pass",
                                sealed(key, LONG, good, first)))
        t.has(unfolded(o), "rule=arc arc=pass as[3].d=fwd.test "
              "as[3].s=s1 as[1].d=list.test as[1].s=s1 remote-ip", "bounded")
        o = s.gives("with long names", "accept", "rule=arc(accept)",
                    data=sealed(key, LONG, good + "; arc=none "
                                "smtp.remote-ip=192.0.2.7"))
        t.has(unfolded(o), "rule=arc arc=pass remote-ip[1]=192.0.2.7)",
              "a name is whole or left out", o.headers[0][1])
        t.has(s.daemon.log(), f" as[1].d={LONG} as[1].s=s1 remote-ip", "log")
        for told in ("smtp.remote-ip=x", "smtp.remote-ip=\"1) x=(\"",
                     "header.remote-ip=192.0.2.1"):
            o = s.gives(f"... with {told}", "accept", "rule=arc(accept)",
                        data=sealed(key, "list.test",
                                    f"{good}; arc=none {told}"))
            t.has(unfolded(o), "as[1].s=s1) header", "what is no address is "
                  "left out", o.headers[0][1])
        refused = [
            ("not sealed", mail()),
            ("by nobody who is trusted", sealed(key, "evil.test", good)),
            ("by another one afterwards",
             sealed(key, "evil.test", good, sealed(key, "list.test", good))),
            ("only after another one",
             sealed(key, "list.test", "dmarc=fail",
                    sealed(key, "evil.test", good))),
            ("of what had failed there",
             sealed(key, "list.test", "dmarc=fail header.from=reject.test")),
            ("of another author",
             sealed(key, "list.test", "dmarc=pass header.from=other.test")),
            ("with two results", sealed(key, "list.test",
                                        good + "; dmarc=fail")),
            ("without a result", sealed(key, "list.test", "spf=pass")),
            ("and changed",
             sealed(key, "list.test", good).replace(b"body", b"BODY")),
        ]
        for what, data in refused:
            s.gives(what, "replycode", "would_be=reject", data=data)
        s.end("arc")
    with Site(t, rule("all", "accept", dmarc=["fail"]), zone=zone) as s:
        o = s.gives("by a rule that asks for no sealer", "accept",
                    "rule=all(accept)", data=sealed(key, "list.test", good))
        t.has(unfolded(o), "rule=all)", "the chain is not why")
        t.hasnt(s.daemon.log(), "override=", "nor in the log")


def outbound(t, key):
    with Site(t, rule("big", "reject", direction="outbound", size_above=9000),
              rule("svc", "tempfail", direction="outbound", login=["svc"]),
              rule("mark", "tag", direction="outbound", login=["*"]),
              domains={"example.com": [("s1", key.path)]}) as s:
        own = mail("a@example.com")
        kw = {"sender": "<a@example.com>"}
        o = s.gives("tag", "accept", "rule=mark(tag)", data=own, login="ann",
                    **kw)
        t.is_((o.fields("X-Mailseal-Rule"), len(o.fields("DKIM-Signature"))),
              (["mark"], 1), "tagged and signed")
        s.gives("login", "replycode", "rule=svc(tempfail)", data=own,
                login="svc", **kw)
        s.gives("size", "replycode", "rule=big(reject)",
                data=mail("a@example.com", body="x\n" * 9000), login="ann",
                **kw)
        s.end("outbound")
    hold = 'dmarc = { disposition = "honor"; quarantine = "%s"; };\n'
    for how, marks in (("tag", ["rule=hold"]), ("hold", []),
                       ("both", ["rule=hold"])):
        with Daemon(zone=ZONE, domains={"example.com": [("s1", key.path)]},
                    extra=hold % how + rules(
                        rule("hold", "quarantine", direction="outbound"))) \
                as d:
            o = d.send(own, login="ann", **kw)
            t.is_((o.verdict, o.fields("X-Mailseal-Quarantine"),
                   o.quarantine is not None, len(o.fields("DKIM-Signature"))),
                  ("accept", marks, how != "tag", 1),
                  f"outgoing, quarantine by {how}", d.log()[-500:])
            check_end(t, d, f"outbound {how}")
    with Site(t, rule("no", "reject", direction="outbound",
                      text="{domain} by {rule}"),
              domains={"example.com": [("s1", key.path)]}) as s:
        s.gives("its text names the author's domain", "replycode",
                'signed=no why="not taken, by a local rule"',
                "550 5.7.1 example.com by no", data=own, login="ann", **kw)
        s.end("outbound text")


def mistakes(t):
    with Daemon(start=False) as d:
        with open(d.config, encoding="utf-8") as f:
            conf = f.read()
        for what, text, part in (
                ("unknown field", rules(rule("a", "tag", colour="red")),
                 'unknown key "colour"'),
                ("unknown action", rules(rule("a", "redirect")), '"discard"'),
                ("no name", 'rules = ( { action = "tag"; } );\n',
                 '"name" is missing'),
                ("twice", rules(rule("a", "tag"), rule("a", "tag")),
                 "stands here twice"),
                ("percent without a key", rules(rule("a", "tag", percent=5)),
                 "secret"),
                ("percent of 0", rules(rule("a", "tag", percent=0)),
                 "out of range"),
                ("bad network", rules(rule("a", "tag", client=["x"])),
                 "networks"),
                ("bad domain", rules(rule("a", "tag", helo=["a b"])),
                 '".example.com"'),
                ("bad address", rules(rule("a", "tag", sender=["x"])), '"<>"'),
                ("bad result", rules(rule("a", "tag", spf=["good"])),
                 '"softfail"'),
                ("an unnamed result", rules(rule("a", "tag", dkim=[""])),
                 '"permerror"'),
                ("bad text", rules(rule("a", "reject", text="100%")),
                 "{queue_id}"),
                ("a field that is none",
                 rules(rule("a", "reject", text="{password}")), "{queue_id}"),
                ("skip without accept",
                 rules(rule("a", "tag", skip=["tls"])), "skip belong"),
                ("a reserved name", rules(rule("dmarc", "tag")),
                 "cannot be the name"),
                ("results of outgoing mail",
                 rules(rule("a", "tag", direction="outbound", spf=["pass"])),
                 "outgoing mail has no results")):
            d.write("mailseal.conf", conf + text)
            status, _, err = mailseal("check-config", d.config)
            t.ok(status == 78 and "mailseal.conf:" in err and part in err,
                 f"{what} is told", err)


def main():
    t = Tap(240)
    with Daemon(start=False) as files:
        key = Key(files.dir, "rsa")
        with t.group("actions"):
            actions(t)
        with t.group("conditions"):
            conditions(t, key)
        with t.group("codes"):
            codes(t)
        with t.group("order"):
            order(t)
        with t.group("recipients"):
            recipients(t)
        with t.group("percent"):
            percent(t)
        with t.group("arc"):
            arc(t, key)
        with t.group("outbound"):
            outbound(t, key)
        with t.group("mistakes"):
            mistakes(t)
    t.done()


if __name__ == "__main__":
    main()
