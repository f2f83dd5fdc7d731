"""Preflight of outbound mail: the rules by a table of good and bad messages,
what is done about a fault, the counts, and a DNS that does not answer."""
import os
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from daemon import Daemon, check_end, mailseal, quote  # noqa: E402
from milter_client import Connection, Session, standard_macros  # noqa: E402
from material import Key, crlf, key_record, txt  # noqa: E402
from table import BaseRow, Reader, repeat  # noqa: E402
from tap import Tap  # noqa: E402

try:
    from dns_server import Server
except ImportError:
    Server = None

RULES = ("dkim", "spf", "dmarc", "format", "unsubscribe", "feedback_id")
EGRESS = '[ "192.0.2.25", "2001:db8::25" ]'
BULK = '( { login = "news"; }, { header = "X-Campaign"; }, ' \
       '{ domain = "news.relaxed.example"; } )'
GOOD = [("From", "News <news@example.com>"), ("To", "Bob <bob@example.net>"),
        ("Subject", "Sale"), ("Date", "Tue, 24 Nov 2026 10:00:00 +0000"),
        ("Message-ID", "<1@example.com>"),
        ("List-Unsubscribe",
         "<mailto:u@example.com>, <https://example.com/u/1>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ("Feedback-ID", "1:2:promo:example"), ("Precedence", "bulk")]
# author domains whose one key is as it should be
PLAIN = ("example.com tight.example none.example norecord.example "
         "twodmarc.example badpolicy.example slowdmarc.example "
         "relaxed.example").split()


def text_of(fields, body="body"):
    head = "".join(f"{n}: {v}\n" for n, v in fields)
    return crlf((head + "\n" + body + "\n").encode())


class Keys:
    """Keys, their records, and the configuration that signs with them."""

    def __init__(self, directory):
        self.rsa = Key(directory, "rsa")
        self.other = Key(directory, "other")
        self.small = Key(directory, "small", bits=1024)
        self.ed = Key(directory, "ed", "ed25519")
        self.rows, self.zone = {}, ""
        for domain in PLAIN:
            self.add(domain)
        self.variants()

    def add(self, author, key=None, domain=None, selector="s1", record=None,
            more=""):
        """`record`: zone lines; None: what belongs there."""
        domain, key = domain or author, key or self.rsa
        self.rows.setdefault(author, []).append(
            f"{{ selector = {quote(selector)}; file = {quote(key.path)}; "
            f"domain = {quote(domain)}; {more} }}")
        if record is None:
            record = key_record(domain, selector, key)
        if record not in self.zone:
            self.zone += record

    def broken(self, domain, *values):
        self.add(domain, record="".join(
            txt(f"s1._domainkey.{domain}", v) for v in values))

    def variants(self):
        self.add("small.example", self.small)
        self.add("curve.example", self.ed)
        self.add("two.example")
        self.add("two.example", self.ed, selector="s2")
        self.add("half.example")
        self.add("half.example", self.ed, selector="s2", record="")
        self.add("nokey.example", record="")
        self.broken("other.example", self.other.record())
        self.broken("revoked.example", "v=DKIM1; p=")
        self.broken("testing.example", self.rsa.record(" t=y;"))
        self.broken("tlsrpt.example", self.rsa.record(" s=tlsrpt;"))
        self.broken("several.example", self.rsa.record(), self.other.record())
        self.broken("junk.example", "hello")
        self.add("slowkey.example",
                 record="s1._domainkey.slowkey.example TXT !TIMEOUT\n")
        self.rows.pop("tight.example")
        self.zone = self.zone.replace(
            key_record("tight.example", "s1", self.rsa), "")
        self.add("tight.example", record=key_record(
            "tight.example", "s1", self.rsa, " t=s;"),
            more='identity = "@news.tight.example";')
        for top in ("relaxed", "strict", "plain", "slowwalk"):
            self.add(f"news.{top}.example", domain=f"{top}.example")
        for author in ("foreign.example", "alien.example", "both.example"):
            self.add(author, domain="example.com")
        self.add("both.example", selector="s2")
        self.add("fewnames.example", more='headers = [ "From", "Subject", '
                 '"Feedback-ID", "List-Unsubscribe" ];')
        self.add("apart.example", more='headers = [ "From", '
                 '"List-Unsubscribe" ];')
        self.add("apart.example", selector="s2", more='headers = [ "From", '
                 '"List-Unsubscribe-Post" ];')
        self.add("onlyfrom.example", more='headers = [ "From" ];')
        for domain in ("small two half nokey other revoked testing tlsrpt "
                       "several junk slowkey curve tight both fewnames apart "
                       "onlyfrom").split():
            self.zone += txt(f"_dmarc.{domain}.example", "v=DMARC1; p=none")

    def config(self):
        return "outbound = { domains = ( " + ", ".join(
            f"{{ domain = {quote(d)}; keys = ( {', '.join(k)} ); }}"
            for d, k in self.rows.items()) + " ); };\n"


def preflight(modes, egress=EGRESS, bulk=BULK):
    """`modes`: one for all rules, or {rule: mode}."""
    if isinstance(modes, str):
        modes = dict.fromkeys(RULES, modes)
    return "preflight = { " + "".join(
        f"{r} = {quote(m)}; " for r, m in modes.items()) + \
        f"egress = {egress}; bulk = {bulk}; }};\n"


class Site:
    def __init__(self, modes, zone="", more="", resolver=None, start=True):
        self.daemon = Daemon(start=False, resolver=resolver,
                             listeners=[("submission", "outbound")])
        self.keys = Keys(self.daemon.dir)
        self.daemon.write("zone", zone + self.keys.zone)
        with open(self.daemon.config, "a", encoding="utf-8") as f:
            f.write(self.keys.config() + preflight(modes) + more)
        self.count = 0
        if start:
            self.daemon.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.daemon.close()

    @staticmethod
    def asked(server):
        return {n.rstrip(".") for n in server.names()}

    def send(self, data, sender="<bounce@example.com>", login="api", **kw):
        """(outcome, the text after "preflight=" in the log, the line)."""
        self.count += 1
        queue_id = f"Q{self.count}x"
        outcome = self.daemon.send(data, sender, login=login,
                                   queue_id=queue_id, **kw)
        line = self.daemon.wait_log(f"{queue_id}: from=") or "no line"
        found = re.search(r" preflight=(.*?)(?: refused=\S+)? ms=\d+$", line)
        return outcome, found[1] if found else None, line


# ---- the table ----------------------------------------------------------------

class Row(BaseRow):
    COLUMNS = 2
    KEYS = ("drop", "set", "add", "domain", "mail", "login", "parameter",
            "by", "body")

    def __init__(self, *args):
        super().__init__(*args)
        self.wanted = self.cells[1]
        self.fields = list(GOOD)
        self.mail, self.login, self.by = "<bounce@example.com>", "api", ""
        self.parameters, self.body = [], "body"

    def set(self, key, value):
        if key not in self.KEYS:
            raise ValueError(f"{self.where}: {key!r}")
        getattr(self, "on_" + key)(value.replace("\\n", "\n")
                                   .replace("\\t", "\t"))

    def question(self, zone_file):
        raise NotImplementedError

    def wrong(self, answer):
        raise NotImplementedError

    @staticmethod
    def parts(value):
        name, _, rest = value.partition(":")
        return name, rest.strip(" ")

    def on_drop(self, name):
        kept = [f for f in self.fields if f[0] != name]
        if len(kept) == len(self.fields):
            raise ValueError(f"{self.where}: there is no {name}")
        self.fields = kept

    def on_set(self, value):
        name, rest = self.parts(value)
        at = [n for n, _ in self.fields].index(name)
        self.fields[at] = (name, rest)

    def on_add(self, value):
        self.fields.append(self.parts(value))

    def on_domain(self, value):
        self.on_set(f"From: News <news@{value}>")

    def on_mail(self, value):
        self.mail = value

    def on_login(self, value):
        self.login = value

    def on_parameter(self, value):
        self.parameters.append(value)

    def on_by(self, value):
        if value not in ("postfix", "sendmail", "local"):
            raise ValueError(f"{self.where}: {value!r}")
        self.by = value

    def on_body(self, value):
        self.body = value

    def play(self, site):
        options = {"parameters": self.parameters, "login": self.login}
        if self.by == "sendmail":
            options["mta"] = "sendmail"
        sender = self.mail
        if self.by == "local":
            options.update(client="127.0.0.1", port=0, login=None)
            sender = sender.strip("<>")
        return site.send(text_of(self.fields, self.body), sender, **options)


def table(t):
    read = Reader(os.path.join(HERE, "..", "cases", "preflight.table"), Row)
    zone = repeat("\n".join(read.common) + "\n")
    with Site("log", zone) as s:
        for row in read.rows:
            with t.group(row.name):
                outcome, got, line = row.play(s)
                t.is_(got, row.wanted, f"{row.section}: {row.name}",
                      row.where, line[-1500:])
                t.is_((outcome.verdict, outcome.fields("X-Mailseal-Preflight"),
                       outcome.problems), ("accept", [], []),
                      f"{row.name}: it is only logged", outcome.reply)
        names = [row.name for row in read.rows]
        t.is_(len(names), len(set(names)), "no name is there twice")
        check_end(t, s.daemon, "table")



# ---- what is done -------------------------------------------------------------

ZONE = """\
example.com TXT "v=spf1 ip4:192.0.2.25 ip6:2001:db8::25 -all"
_dmarc.example.com TXT "v=DMARC1; p=reject"
soft.example TXT "v=spf1 ~all"
slowspf.example TXT !TIMEOUT
"""
SOFT = "softfail for 192.0.2.25 at soft.example"


def without(*names):
    return text_of([f for f in GOOD if f[0] not in names])


def header_mode(t):
    forged = [*GOOD, ("X-Mailseal-Preflight", "ok"),
              ("x-mailseal-preflight", "ok\n more")]
    with Site({"spf": "header", "format": "log", "dmarc": "log"}, ZONE) as s:
        outcome, got, _ = s.send(text_of(forged), "<b@soft.example>")
        t.is_((outcome.verdict, outcome.fields("X-Mailseal-Preflight")),
              ("accept", [f"bad(spf: {SOFT})"]),
              "header: the field is there, and no forged one")
        t.is_(got, f"bad(spf: {SOFT})", "header: the log has the same")
        t.is_(outcome.headers[0][0], "X-Mailseal-Preflight",
              "header: above the signature")
        t.hasnt(outcome.field("DKIM-Signature").lower(), "preflight",
                "header: it is not signed")
        outcome, _, _ = s.send(without("Date", "From"), "<b@soft.example>")
        t.is_(outcome.fields("X-Mailseal-Preflight"),
              [f"bad(spf: {SOFT}; dmarc: no From field; format: no From)"],
              "header: what is only logged stands there too")
        raw = dict(outcome.headers)["X-Mailseal-Preflight"]
        t.ok(all(len(line) < 78 for line in raw.split("\n")),
             "header: folded", raw)
        outcome, _, _ = s.send(text_of(GOOD))
        t.is_(outcome.fields("X-Mailseal-Preflight"), ["ok"],
              "header: a good message tells so")
        outcome = s.daemon.send(text_of(forged), "<x@y.example>",
                                client="203.0.113.1")
        t.is_(outcome.fields("X-Mailseal-Preflight"), [],
              "header: a forged one of inbound mail goes")
        check_end(t, s.daemon, "header")


def reject_mode(t):
    """RFC 3463 3.7, 3.8: 5.6.0 for a malformed header, 5.7.1 for policy."""
    rows = [
        ("dkim", ("From", "a@nokey.example"), "550 5.7.1",
         "dkim: s1._domainkey.nokey.example: no record"),
        ("dmarc", ("From", "a@norecord.example"), "550 5.7.1",
         "dmarc: no record"),
        ("format", ("Date", "today"), "554 5.6.0",
         "format: Date is malformed"),
        ("unsubscribe", ("List-Unsubscribe", "<mailto:a@b.example>"),
         "550 5.7.1", "unsubscribe: no https URI in List-Unsubscribe"),
        ("feedback_id", ("Feedback-ID", "a:b"), "550 5.7.1",
         "feedback_id: the last part of Feedback-ID has not 5 to 15 "
         "characters"),
    ]
    with Site("reject", ZONE, 'coaching = { preflight = "See '
              'https://it.example.com/bulk"; };\n') as s:
        for rule, (name, value), code, reason in rows:
            bad = text_of([(n, value if n == name else v) for n, v in GOOD])
            outcome, got, line = s.send(bad)
            t.is_((outcome.verdict, outcome.reply.text, outcome.edits),
                  ("replycode", f"{code} Message would not pass at its "
                   f"receiver, {reason}. See https://it.example.com/bulk",
                   []), f"reject {rule}: refused")
            t.is_(got, f"bad({reason})", f"reject {rule}: logged")
            t.has(line, f" refused={code.replace(' ', '/')} ms=",
                  f"reject {rule}: the log tells of it")
            t.has(line, 'signed=no why="preflight refuses the message"',
                  f"reject {rule}: no signature is told of")
            outcome, _, _ = s.send(bad, login=None)
            t.is_(outcome.verdict, "accept",
                  f"reject {rule}: inbound mail is not asked")
        outcome, got, _ = s.send(text_of(GOOD))
        t.is_((outcome.verdict, got), ("accept", "ok"),
              "reject: a good one leaves")
        t.is_(outcome.fields("X-Mailseal-Preflight"), [],
              "reject: without a field")
        check_end(t, s.daemon, "reject")
    with Site({"format": "reject"}) as s:
        outcome, _, _ = s.send(text_of(GOOD + [("X", "x" * 70000)]))
        t.is_(outcome.reply.text, "554 5.6.0 Message would not pass at its "
              "receiver, format: header field too long", "reject format: for "
              "good, rather than tried again until it can be signed")
        check_end(t, s.daemon, "reject unsignable")
    with Site({"spf": "reject"}, ZONE) as s:
        outcome, _, _ = s.send(text_of(GOOD), "<b@soft.example>")
        t.is_(outcome.reply.text, "550 5.7.1 Message would not pass at its "
              f"receiver, spf: {SOFT}", "reject spf: refused")
        outcome, got, _ = s.send(text_of(GOOD), "<b@slowspf.example>")
        t.is_((outcome.verdict, got),
              ("accept", "unknown(spf: temperror for 192.0.2.25 at "
               "slowspf.example (time-out))"),
              "reject spf: what is unknown is never refused")
        outcome, _, _ = s.send(text_of(GOOD), "<>")
        t.is_(outcome.verdict, "accept", "reject spf: nor is a null path")
        check_end(t, s.daemon, "reject spf")


def off(t):
    """No rule, no question and no word."""
    with Site("off", ZONE) as s:
        _, got, line = s.send(without("Date", "From"), "<b@soft.example>")
        t.is_(got, None, "off: nothing is said", line)
        log = check_end(t, s.daemon, "off")
        t.has(log, "dns: asked=0 ", "off: and nothing asked")
        t.hasnt(log, "preflight", "off: no counts")
    rules = ("format", "unsubscribe", "feedback_id")
    with Site(dict.fromkeys(rules, "log"), ZONE) as s:
        _, got, _ = s.send(without("Date"), "<b@soft.example>")
        t.is_(got, "bad(format: no Date)", "without DNS: the others work")
        log = check_end(t, s.daemon, "without DNS")
        t.has(log, "dns: asked=0 cached=0 sent=0 ", "without DNS: no question")


def counters(t):
    with Site("log", ZONE) as s:
        for _ in range(3):
            s.send(text_of(GOOD))
        for _ in range(2):
            s.send(without("Date"), "<b@soft.example>")
        s.send(text_of(GOOD), "<b@slowspf.example>")
        s.send(without("From"))
        log = check_end(t, s.daemon, "counters")
        t.has(log, "preflight: example.com checked=6 unknown=1 dkim=0 spf=2 "
              "dmarc=0 format=2 unsubscribe=0 feedback_id=0\n", "counters")
        t.has(log, "preflight: (none) checked=1 unknown=0 dkim=1 spf=0 "
              "dmarc=1 format=1 unsubscribe=1 feedback_id=1\n",
              "counters: without an author")
        first = [x for x in log.splitlines() if "the first message" in x]
        t.is_(len(first), 2, "a warning for the first of each domain", log)
        t.has(first[0], "the first message from example.com with "
              f"bad(spf: {SOFT}; format: no Date)", "and its fault")


def limits(t):
    """What preflight refuses does not count against the limits of a login;
    what the gate refuses is not looked at."""
    with Site({"format": "reject"}, start=False) as s:
        path = s.daemon.write("credentials.conf", '''credentials = (
            { login = "api"; addresses = [ "@example.com" ];
              messages_per_hour = 1; } );\n''')
        with open(s.daemon.config, "a", encoding="utf-8") as f:
            f.write(f"submission = {{ credentials = {quote(path)}; "
                    'sender_check = "reject"; };\n')
        s.daemon.start()
        for _ in range(3):
            outcome, _, _ = s.send(without("Date"))
            t.is_(outcome.reply.text[:9], "554 5.6.0", "limits: refused")
        outcome, got, _ = s.send(text_of(GOOD))
        t.is_((outcome.verdict, got), ("accept", "ok"),
              "limits: the first good one counts", outcome.reply)
        outcome, _, _ = s.send(text_of(GOOD))
        t.is_(outcome.reply.text[:9], "450 4.7.1", "limits: the second")
        outcome, got, line = s.send(
            text_of([("From", "a@example.org"), *GOOD[2:]]))
        t.is_((outcome.reply.text[:9], got), ("550 5.7.1", None),
              "limits: the gate comes first", line)
        check_end(t, s.daemon, "limits")


def many_domains(t):
    """Who sends chooses the domains: what is kept of them is bounded."""
    with Site({"format": "log"}) as s:
        for n in range(1003):
            s.daemon.send(text_of([("From", f"a@d{n}.example"), *GOOD[1:]]),
                          "<b@example.com>", login="api")
        log = check_end(t, s.daemon, "many domains")
        t.is_(log.count(" checked=1 "), 1000, "1000 domains are counted")
        t.has(log, "preflight: (other) checked=3 ", "and what is beyond")


# ---- a DNS that does not answer -------------------------------------------------

def resolver(server):
    return f'servers = [ "{server.address}" ]; query_timeout = 3000; ' \
           "message_timeout = 3;"


def silent(t):
    """Never more than one deadline, whatever there is to ask."""
    if Server is None:
        t.skip("silent DNS", "dnspython is missing")
        return
    with Server(ZONE) as server, \
            Site(dict.fromkeys(RULES, "reject"), start=False,
                 resolver=resolver(server)) as s:
        server.fault("silent", ".")
        s.daemon.start()
        begin = time.monotonic()
        outcome, got, _ = s.send(text_of(GOOD))
        took = time.monotonic() - begin
        t.is_(outcome.verdict, "accept", "silent: accepted", outcome.reply)
        t.is_(re.findall(r"(\w+): (?:s1|temp|policy)", got or ""),
              ["dkim", "spf", "dmarc"], "silent: all unknown", got)
        t.ok((got or "").startswith("unknown("), "silent: nothing is bad", got)
        t.ok(2 < took < 5, "silent: one deadline", took)
        check_end(t, s.daemon, "silent")


def cached(t):
    """A second message finds what the first one asked for."""
    if Server is None:
        t.skip("cached facts", "dnspython is missing")
        return
    with Server(start=False) as server:
        server.start()
        with Site("log", start=False, resolver=resolver(server)) as s:
            for line in (ZONE + s.keys.zone).splitlines():
                if "!TIMEOUT" not in line:
                    server.zones[0].add(line)
            s.daemon.start()
            _, got, _ = s.send(text_of(GOOD))
            t.is_(got, "ok", "cached: the first one")
            server.settle()
            names = {"s1._domainkey.example.com", "example.com",
                     "_dmarc.example.com"}
            t.is_(names - s.asked(server), set(), "cached: was asked for")
            server.forget()
            _, got, _ = s.send(text_of(GOOD))
            server.settle()
            t.is_((got, server.log()), ("ok", []),
                  "cached: the second one asks nothing")
            check_end(t, s.daemon, "cached")


def halfway(c):
    """A message to the end of its header."""
    s = Session(c, "postfix", standard_macros(
        "postfix", "192.0.2.1", None, "api", "smtpd"))
    s.connect("192.0.2.1")
    s.helo("client.example")
    s.mail("<bounce@example.com>")
    s.rcpt("<bob@example.net>")
    s.data()
    for name, value in GOOD:
        s.header(name, f" {value}")
    s.end_of_header()


def early(t):
    """The questions are on their way when the header is complete; a rule that
    is off asks none."""
    if Server is None:
        t.skip("early questions", "dnspython is missing")
        return
    for modes, wanted in (
            ({"dkim": "log"}, {"s1._domainkey.example.com"}),
            ({"spf": "log"}, {"example.com"}),
            ({"dmarc": "log"}, {"_dmarc.example.com", "_dmarc.com"}),
            ({"format": "log"}, set())):
        with Server(ZONE.replace("!TIMEOUT", '"x"')) as server, \
                Site(modes, resolver=resolver(server)) as s:
            with Connection(s.daemon.address) as c:
                halfway(c)
                end = time.monotonic() + 5
                while wanted - s.asked(server) and time.monotonic() < end:
                    time.sleep(0.02)
                server.settle()
                t.is_(s.asked(server), wanted, f"early: {modes}")


# ---- hostile input ----------------------------------------------------------------

def hostile(t):
    good = text_of(GOOD)
    huge = f"<https://example.com/{'u' * 65000}>"
    folds = "<https://example.com/" + "u\n " * 15000 + ">"
    rows = [
        ("1000 List-Unsubscribe", text_of(
            GOOD + [("List-Unsubscribe", "<https://example.com/u>")] * 980),
         "several List-Unsubscribe fields"),
        ("a URI of 64 KB", good.replace(
            b"<mailto:u@example.com>, <https://example.com/u/1>",
            huge.encode()), "a line of List-Unsubscribe is longer"),
        ("60 KB of folds", good.replace(
            b"<mailto:u@example.com>, <https://example.com/u/1>",
            folds.replace("\n", "\r\n").encode()), "larger than 32 KiB"),
        ("60 KB of brackets", good.replace(
            b"<mailto:u@example.com>", b"<" * 60000),
         "List-Unsubscribe is malformed"),
        ("60 KB of comments", good.replace(
            b"<mailto:u@example.com>", b"(" * 60000), "no https URI"),
        ("60 KB of URIs", good.replace(
            b"<mailto:u@example.com>", b"<https://a>," * 5000),
         "several https URIs"),
        ("a NUL in List-Unsubscribe", good.replace(b"/u/1", b"/u\0/1"),
         "List-Unsubscribe is malformed"),
        ("a NUL in Message-ID", good.replace(b"<1@", b"<1\0@"),
         "Message-ID is malformed"),
        ("60 KB of =? in To", good.replace(b"Bob <bob@", b"=?" * 30000 +
                                           b"<bob@"), "longer than 998"),
        ("60 KB of @ in Message-ID", good.replace(b"<1@", b"<" + b"@" * 60000),
         "Message-ID is malformed"),
        ("60 KB of : in Feedback-ID", good.replace(b"1:2", b":" * 60000),
         "longer than 998"),
        ("a field name of 60 KB", b"X-" + b"%" * 60000 + b": \xff\r\n" + good,
         "8-bit characters in a field without"),
        ("a body without line end", good + b"b" * 1200,
         "a line of the body is longer"),
        # the packet of 65,535 bytes ends after a CR
        ("lines of 998 bytes", text_of(
            GOOD, "a" * 534 + "\n" + ("b" * 998 + "\n") * 70), "ok"),
        ("8-bit everywhere", bytes(
            b | 0x80 if b > 64 and n > 200 else b
            for n, b in enumerate(good)), ""),
    ]
    with Site("log", ZONE, 'on_signing_error = "accept";\n') as s:
        for what, data, part in rows:
            begin = time.monotonic()
            outcome, got, line = s.send(data)
            took = time.monotonic() - begin
            t.is_(outcome.verdict, "accept", f"hostile: {what}: goes on",
                  line[-500:])
            t.has(got or "", part, f"hostile: {what}: its fault",
                  line[-500:])
            t.ok(took < 3, f"hostile: {what}: at once", took)
        outcome, got, _ = s.send(good)
        t.is_(got, "ok", "hostile: the next one is well")
        check_end(t, s.daemon, "hostile")
    coaching = 'coaching = { preflight = "' + "c" * 200 + '"; };\n'
    with Site("reject", ZONE, coaching) as s:
        domain = ".".join(["y" * 60] * 4)
        outcome, _, _ = s.send(text_of([("From", f"a@{domain}"), *GOOD[1:]]))
        t.ok(outcome.reply.text.startswith("550 5.7.1 Message would not") and
             len(outcome.reply.text) < 500, "hostile: a long reply is cut",
             outcome.reply)
        t.is_(outcome.problems, [], "hostile: and well formed")
        check_end(t, s.daemon, "hostile reject")


def mistakes(t):
    rows = [
        (preflight("off", '[ "192.0.2.0/24" ]'),
         "preflight.egress: 192.0.2.0/24 is a network; give each address "
         "from which mail leaves"),
        (preflight("off", '[ "192.0.2.1", "2001:db8::/127" ]'),
         "preflight.egress: 2001:db8::/127 is a network; give each address "
         "from which mail leaves"),
        (preflight("off", "[ " + ", ".join(
            f'"192.0.2.{n}"' for n in range(17)) + " ]"),
         "preflight.egress: 17 addresses are too many; give at most 16"),
        (preflight({"spf": "log"}, "[ ]"),
         "preflight.spf needs preflight.egress; give the addresses from "
         "which mail leaves"),
        (preflight("off", bulk="( { } )"),
         "preflight.bulk: give one of header, login and domain"),
    ]
    with Daemon(start=False) as d:
        with open(d.config, encoding="utf-8") as f:
            base = f.read()
        for more, wanted in rows:
            d.write("mailseal.conf", base + more)
            status, _, err = mailseal("check-config", d.config)
            t.is_(status, 78, f"mistake: {wanted}", err)
            t.has(err, wanted, f"mistake: {wanted}: is told")
            t.ok(re.match(re.escape(d.config) + r":\d+: ", err),
                 "with its place", err)
        d.write("mailseal.conf", base + preflight("reject", "[ " + ", ".join(
            f'"192.0.2.{n}"' for n in range(16)) + " ]"))
        status, _, err = mailseal("check-config", d.config)
        t.is_(status, 0, "16 addresses will do", err)


def main():
    t = Tap(280)
    for group in (table, header_mode, reject_mode, off, counters,
                  limits, many_domains, silent, cached, early, hostile, mistakes):
        with t.group(group.__name__):
            group(t)
    t.done()


if __name__ == "__main__":
    main()
