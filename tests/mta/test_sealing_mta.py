"""An alias that forwards, on a real Postfix and a real Sendmail: the first hop
seals, SPF and DKIM do not survive, and the second hop lets the message through
since it trusts the sealer."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from daemon import BUILD, Daemon, check_end  # noqa: E402
from material import Key, crlf, key_record, sign  # noqa: E402
from mta import Postfix, Sendmail, sendmail_tree, submit  # noqa: E402
from tap import Tap  # noqa: E402

ID, SECOND = "mx.mta.test", "mx.second.test"
OUTSIDE = "NAME=mx.isp.test ADDR=203.0.113.66 PORT=2525"
FORWARDER = "NAME=mx.mta.test ADDR=198.51.100.25 PORT=2525"
ZONE = """\
author.test TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.author.test TXT "v=DMARC1; p=reject"
"""
SEAL = """
arc = { seal = ( { domain = "own.test"; recipient = [ "@lists.test" ]; } ); };
awareness = { subject_tag = "[EXT] "; };
"""
TRUST = """
dmarc = { disposition = "honor"; };
rules = ( { name = "forwarder"; arc_sealer = [ "own.test" ];
            dmarc = [ "fail" ]; action = "accept"; mode = "enforce";
            override = "trusted_forwarder"; } );
"""
ALIAS = "team: bob@second.test\n"


def mail(subject):
    """Two addresses of To as Sendmail does not keep them."""
    return crlf("Authentication-Results: mx.mta.test; dmarc=pass "
                "header.from=author.test\n"
                "From: \"Alice\"<alice@author.test>\n"
                "To: team@lists.test,bob@x.test\n"
                f"Subject: {subject}\nDate: Tue, 03 Nov 2026 10:00:00 +0000\n"
                f"Message-ID: <{subject}@author.test>\n\nHello\n\n.dot\n")


class Hops:
    def __init__(self, tap, key, first, second):
        self.t, self.key, self.first, self.second = tap, key, first, second

    def forwarded(self, subject, signed, xclient):
        """The message as it leaves the first hop."""
        data = mail(subject)
        if signed:
            data = sign(data, "author.test", "s", self.key,
                        headers=["from", "subject", "date"])
        code, text = submit(self.first.port, data, "alice@author.test",
                            ["team@lists.test"], xclient=xclient)
        self.t.is_(code, 250, f"{subject}: taken by the first hop", text)
        m = self.first.sink.wait_for(f"Message-ID: <{subject}@")
        self.t.ok(m is not None and b"Returned" not in m.data,
                  f"{subject}: forwarded", self.first.log()[-3000:])
        return m

    def at_second(self, data, subject):
        code, text = submit(self.second.port, data, "alice@author.test",
                            ["bob@second.test"], xclient=FORWARDER)
        m = self.second.sink.wait_for(f"Message-ID: <{subject}@", 10) \
            if code == 250 else None
        return f"{code} {text}", m

    def all(self, name, xclient):
        t = self.t
        m = self.forwarded("honest", True, xclient)
        t.has(m.all("Subject")[0], "[EXT] honest", "its Subject is tagged")
        aar = m.all("ARC-Authentication-Results")[0]
        t.ok("dmarc=pass" in aar and "dkim=pass" in aar,
             "the seal tells that DKIM and DMARC passed", aar)
        ams = m.all("ARC-Message-Signature")[0]
        t.ok("From" in ams and "To:To" in "".join(ams.split()),
             "it covers To, in the form that is sent", ams)
        reply, got = self.at_second(m.data, "honest")
        t.ok(got is not None, f"{name}: the second hop takes it", reply)
        results = got.fields[0][1] if got else ""
        for part in (" arc=pass", "dmarc=fail", "rule=forwarder", "spf=fail",
                     "dkim=fail"):
            t.has(results, part, f"with {part}")
        broken = m.data.replace(b"Hello", b"HELLO")
        t.ok(self.at_second(broken, "honest")[0].startswith("550 5.7"),
             "not when it was changed")
        m = self.forwarded("spoofed", False, xclient)
        aar = m.all("ARC-Authentication-Results")[0]
        t.ok("dmarc=fail" in aar and "dmarc=pass" not in aar,
             "what was forged is not in the seal", aar)
        reply, _ = self.at_second(m.data, "spoofed")
        t.ok(reply.startswith("550 5.7"), "and the second hop rejects",
             reply)


def postfix(t, key, first, second):
    p = Postfix(first.address)
    p.more.update({"mydestination": "lists.test",
                   "alias_maps": f"texthash:{p.dir}/aliases"})
    p.write("aliases", ALIAS.replace(":", ""))
    with p, Postfix(second.address) as q:
        Hops(t, key, p, q).all("Postfix", OUTSIDE)


def sendmail(t, key, first, second):
    tree, missing = sendmail_tree(BUILD)
    if missing:
        t.skip("sendmail", missing)
        return
    with Sendmail(first.address, tree, aliases=ALIAS,
                  local_domain="lists.test") as m, \
            Postfix(second.address) as q:
        Hops(t, key, m, q).all("Sendmail", None)


def main():
    t = Tap(200)
    missing = Postfix.missing()
    with Daemon(start=False) as files:
        key = Key(files.dir, "rsa")
        zone = ZONE + key_record("own.test", "s", key) + \
            key_record("author.test", "s", key)
        with Daemon(zone=zone, authserv_id=ID, extra=SEAL, internal=(),
                    domains={"own.test": [("s", key.path)]}) as first, \
                Daemon(zone=zone, authserv_id=SECOND, extra=TRUST) as second:
            for test in (postfix, sendmail):
                with t.group(test.__name__):
                    if missing:
                        t.skip(test.__name__, missing)
                    else:
                        test(t, key, first, second)
            for d in (first, second):
                log = check_end(t, d, "ARC")
                t.hasnt(log, "the MTA refused", "all was taken")
    t.done()


if __name__ == "__main__":
    main()
