"""What a login may do, through the daemon: the strength of logins, scoped
credentials, TLS, and tables that are read again while mail flows."""
import os
import pwd
import re
import shutil
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from daemon import Daemon, check_end, mailseal, quote  # noqa: E402
from material import Key, crlf  # noqa: E402
from milter_client import (ALL_PROTOCOL, NO_REPLY,  # noqa: E402
                           Connection, Session, standard_macros)
from tap import Tap  # noqa: E402

SENDERS = """\
alice@example.com    alice
finance@example.com  alice
info@example.com     alice, bob
@example.org         carol
"""
TLS13 = {"{tls_version}": "TLSv1.3", "{cipher}": "TLS_AES_256_GCM_SHA384",
         "{cipher_bits}": "256"}
TLS11 = {"{tls_version}": "TLSv1.1", "{cipher}": "AES128-SHA",
         "{cipher_bits}": "128"}


def mail(author, extra="", subject="x"):
    return crlf(f"From: {author}\nTo: rcpt@example.net\nSubject: {subject}\n"
                "Date: Tue, 03 Nov 2026 10:00:00 +0000\n"
                f"Message-ID: <1@x.test>\n{extra}\nbody\n")


def by(mechanism, **more):
    return {"{auth_type}": mechanism,
            **{"{" + k + "}": v for k, v in more.items()}}


class Site:
    def __init__(self, t, key, name, submission=(), extra="", keys=None,
                 senders=SENDERS, groups=None, zone="", start=True,
                 listeners=(("submission", "outbound"), ("in", "inbound"))):
        self.t, self.name = t, name
        self.daemon = Daemon(
            zone=zone, start=False, sign=("198.51.100.0/24",),
            listeners=listeners,
            domains={d: [("s1", key.path)]
                     for d in ("example.com", "example.org")})
        rows = dict(submission)
        if senders is not None:
            rows["sender_table"] = quote(self.daemon.write("senders",
                                                           senders))
        if groups is not None:
            rows["sender_groups"] = quote(self.daemon.write("groups", groups))
        if keys is not None:
            self.keys(keys)
            rows["credentials"] = quote(self.path("keys"))
        with open(self.daemon.config, "a", encoding="utf-8") as f:
            f.write("submission = { " + "".join(
                f"{k} = {v}; " for k, v in rows.items()) + "};\n"
                + extra)
        if start:
            self.daemon.start()

    def path(self, name):
        return os.path.join(self.daemon.dir, name)

    def keys(self, entries):
        """Replaced at once, as an administrator should."""
        self.daemon.write("keys.new", f"credentials = (\n{entries}\n);\n")
        os.rename(self.path("keys.new"), self.path("keys"))

    def reload(self, said="reloaded"):
        before = self.daemon.log().count(said)
        self.daemon.signal(signal.SIGHUP)
        end = time.monotonic() + 10
        while self.daemon.log().count(said) == before:
            if time.monotonic() > end:
                return self.t.ok(False, f"{self.name}: {said}",
                                 self.daemon.log()[-2000:])
            time.sleep(0.01)
        return True

    def send(self, login, author, sender=None, extra="", **kw):
        sender = author if sender is None else sender
        return self.daemon.send(mail(author, extra), f"<{sender}>",
                                login=login, **kw)

    def signed(self, what, *args, **kw):
        o = self.send(*args, **kw)
        self.t.is_((o.verdict, len(o.fields("DKIM-Signature"))),
                   ("accept", 1), f"{self.name}: {what}: signed", o.reply,
                   self.daemon.log()[-700:])
        return o

    def unsigned(self, what, *args, **kw):
        o = self.send(*args, **kw)
        self.t.is_((o.verdict, len(o.fields("DKIM-Signature"))),
                   ("accept", 0), f"{self.name}: {what}: unsigned", o.reply,
                   self.daemon.log()[-700:])
        return o

    def refused(self, what, reply, *args, **kw):
        o = self.send(*args, **kw)
        self.t.is_((o.verdict, o.reply.text, o.edits),
                   ("replycode", reply, []),
                   f"{self.name}: {what}: refused", self.daemon.log()[-700:])
        return o

    def logged(self, what, part):
        self.t.ok(self.daemon.wait_log(part), f"{self.name}: {what}: logged",
                  part, self.daemon.log()[-1500:])

    def end(self):
        return check_end(self.t, self.daemon, self.name)


CLASSES = """(
    { address = "finance@example.com"; classes = [ "token", "certificate" ]; },
    { group = "staff"; classes = [ "kerberos", "bound" ]; } )"""
CERTIFICATES = """(
    { subject = "alice laptop"; issuer = "Example CA"; login = "alice"; } )"""
WEAK = "550 5.7.9 MAIL FROM finance@example.com needs a login by token or " \
       "certificate, this one is by "


def logins(t, key):
    """finance@ only over token or certificate, in each mode."""
    for mode in ("monitor", "sign", "reject"):
        s = Site(t, key, f"login {mode}", {
            "login_check": quote(mode), "login_classes": CLASSES,
            "certificates": CERTIFICATES}, groups="staff bob\n")

        def weak(what, of, *args, **kw):
            if mode == "reject":
                s.refused(what, of if of[:3] == "550" else WEAK + of, *args,
                          **kw)
            else:
                (s.signed if mode == "monitor" else s.unsigned)(
                    what, *args, **kw)

        own, f = ("alice", "alice@example.com"), ("alice",
                                                  "finance@example.com")
        with s.daemon:
            s.signed("password, an address without demand", *own)
            for m in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"):
                weak(m, "password" + (" and bound" if "PLUS" in m else ""),
                     *f, macros=by(m))
            s.logged("PLAIN", "mechanism=PLAIN tls=none class=password "
                     "sender=owned login-check=weak(MAIL FROM "
                     "finance@example.com needs "
                     "token|certificate)")
            weak("EXTERNAL alone", "none", *f, macros=by("EXTERNAL"))
            for m in ("OAUTHBEARER", "xoauth2"):
                s.signed(m, *f, macros=by(m))
            s.logged("token", "mechanism=OAUTHBEARER tls=none class=token "
                     "sender=owned")
            listed = {"cert_subject": "alice laptop",
                      "cert_issuer": "Example CA"}
            ext = {**TLS13, **by("EXTERNAL", **listed)}
            s.signed("listed certificate on Postfix", *f, macros=ext)
            s.logged("certificate", "tls=TLSv1.3/TLS_AES_256_GCM_SHA384/256 "
                     'cert="alice laptop" issuer="Example CA" '
                     "class=certificate")
            weak("valid, but not listed", "none", *f, macros={
                **ext, "{cert_subject}": "mallory"})
            weak("of another CA", "none", *f, macros={
                **ext, "{cert_issuer}": "Other CA"})
            weak("untrusted on Postfix", "none", *f, macros={
                **ext, "{cert_subject}": "", "{cert_issuer}": ""})
            s.signed("listed on Sendmail", *f, mta="sendmail",
                     macros={**ext, "{verify}": "OK"})
            for verify in ("FAIL", "NO", "NONE", "", None):
                more = {} if verify is None else {"{verify}": verify}
                weak(f"Sendmail says verify={verify}", "none", *f,
                     mta="sendmail", macros={**ext, **more})
            weak("of alice, with the login of bob",
                 "550 5.7.9 login bob needs a login by kerberos or bound, "
                 "this one is by password", "bob", "info@example.com",
                 macros={**TLS13, **by("PLAIN", **listed)})
            s.signed("a group by GSSAPI", "bob", "info@example.com",
                     macros=by("GSSAPI"))
            alone = WEAK.replace("MAIL FROM", "From") + "password"
            weak("finance in From alone", alone, "alice",
                 "finance@example.com", sender="alice@example.com")
            weak("finance in From, null path", alone, "alice",
                 "finance@example.com", sender="")
            log = s.end()
            t.ok(re.search(r"submission: .* weak-login=15 ", log),
                 f"{s.name}: counted", log[-800:])
            t.is_("login is too weak for the address" in log,
                  mode != "monitor", f"{s.name}: the reason")


def evasion(t, key):
    """Whatever hides an address from the check is refused, or unsigned."""
    s = Site(t, key, "evasion", {
        "login_check": '"reject"', "recipient_delimiter": '"+"',
        "login_classes": CLASSES.replace(
            ', { group = "staff"; classes = [ "kerberos", "bound" ]; }', "")
        .replace('{ group = "staff"; classes = [ "kerberos", "bound" ]; }',
                 '{ domain = "bank.example"; classes = [ "token" ]; }')},
        senders=None)
    with s.daemon:
        a = "alice@example.com"
        s.signed("its own", "alice", a)
        for what, author, sender, extra, says in (
                ("two From fields", a, a, "From: finance@example.com\n",
                 "From (several From fields)"),
                ("From that is no list", "finance@example.com <x", a, "",
                 "From (text after an address)"),
                ("two authors", f"{a}, finance@example.com", a, "",
                 "From finance@example.com"),
                ("a group of authors", f"x: {a}, finance@example.com;", a, "",
                 "From finance@example.com"),
                ("quoted", '"finance"@example.com', a, "",
                 "From finance@example.com"),
                ("case", "FINANCE@Example.COM", a, "",
                 "From FINANCE@example.com"),
                ("an extension", "finance+x@example.com", a, "",
                 "From finance+x@example.com"),
                ("MAIL FROM without domain", a, "finance", "",
                 "MAIL FROM (no address with a domain)"),
                ("Sender", a, a, "Sender: finance@example.com\n",
                 "Sender finance@example.com"),
                ("two Sender fields", a, a,
                 f"Sender: {a}\nSender: finance@example.com\n",
                 "Sender (several Sender fields)"),
                ("a header over its limit", a, a,
                 "X: y\n" * 1200 + "Sender: finance@example.com\n",
                 "From (too many header fields)")):
            o = s.send("alice", author, sender, extra)
            t.is_((o.verdict, o.reply.text.split(" needs ")[0]),
                  ("replycode", "550 5.7.9 " + says),
                  f"evasion: {what}", o.reply)
        s.end()


def spoofs(t, key):
    """client_a1 to a3 and A17: two From, two addresses, another's address."""
    a, v = "alice@example.com", "admin@example.com"
    cases = (
        ("client_a1, two From fields", a, a, f"From: {v}\n"),
        ("client_a1 the other way round", v, a, f"From: {a}\n"),
        ("client_a2, two addresses", f"<{a}>, <{v}>", a, ""),
        ("client_a2 the other way round", f"<{v}>, <{a}>", a, ""),
        ("client_a2 with Sender", f"<{v}>, <{a}>", a, f"Sender: {a}\n"),
        ("client_a3, another's From", v, a, ""),
        ("client_a3, another's in both", v, v, ""),
        ("client_a3, null path", v, "", ""),
        ("A17, From : with a space", a, a, f"From : {v}\n"),
        ("A17, FROM", a, a, f"FROM: {v}\n"),
        ("A17, a route", f"<@example.com:{v}>", a, ""),
        ("A17, text before an address", f"{v}, {a} <x@y", a, ""),
    )
    for mode in ("sign", "reject"):
        s = Site(t, key, f"spoof {mode}", {"sender_check": quote(mode)})
        with s.daemon:
            for mta in ("postfix", "sendmail"):
                for what, author, sender, extra in cases:
                    o = s.send("alice", author, sender, extra, mta=mta)
                    n = len(o.fields("DKIM-Signature"))
                    what = f"{s.name}, {mta}: {what}"
                    if mode == "reject":
                        t.ok(o.verdict == "replycode" and n == 0 and
                             o.reply.text.startswith("550 5.7.1 "),
                             what, o.reply)
                    else:
                        t.is_((o.verdict, n), ("accept", 0), what, o.reply)
            s.end()


KEYS = """
{ login = "shop"; addresses = [ "orders@example.com", "@example.org" ];
  networks = [ "192.0.2.0/28" ]; tls_version = "TLSv1.2"; recipients = 2; },
{ login = "old"; revoked = true; },
{ login = "past"; expires = "2026-01-01"; },
{ login = "later"; expires = "2099-01-01"; },
{ login = "slow"; messages_per_hour = 2; }
"""


def credentials(t, key):
    for mode in ("monitor", "sign", "reject"):
        s = Site(t, key, f"credential {mode}", {
            "credential_check": quote(mode), "sender_check": quote(mode),
            "recipient_delimiter": '"+"'},
            'coaching = { credential = "Ask it@example.com"; };\n',
            keys=KEYS, senders=None)

        def wrong(what, reply, *args, **kw):
            if mode == "reject":
                s.refused(what, reply, *args, **kw)
            else:
                (s.signed if mode == "monitor" else s.unsigned)(
                    what, *args, **kw)

        ok = ("shop", "orders@example.com")
        with s.daemon:
            s.signed("within its scope", *ok, macros=TLS13)
            s.signed("login in other case", "SHOP", *ok[1:], macros=TLS13)
            s.signed("a domain of its own", "shop", "x@example.org",
                     macros=TLS13)
            s.signed("an extension", "shop", "orders+7@example.com",
                     macros=TLS13)
            wrong("forbidden address",
                  "550 5.7.1 Sender address rejected, From ceo@example.com "
                  "is not owned by login shop; it owns orders@example.com, "
                  "@example.org", "shop", "ceo@example.com",
                  sender="orders@example.com", macros=TLS13)
            wrong("another network", "550 5.7.1 login shop may not send from "
                  "192.0.2.16. Ask it@example.com", *ok, macros=TLS13,
                  client="192.0.2.16")
            wrong("TLS too old", "550 5.7.1 login shop needs TLSv1.2 or "
                  "later. Ask it@example.com", *ok, macros=TLS11)
            wrong("no TLS", "530 5.7.0 Must issue a STARTTLS command first: "
                  "login shop needs TLS. Ask it@example.com", *ok)
            three = [f"<r{n}@example.net>" for n in range(3)]
            wrong("too many recipients", "550 5.5.3 3 recipients, login shop "
                  "may have 2 in one message. Ask it@example.com", *ok,
                  macros=TLS13, rcpts=three)
            s.signed("as many as allowed", *ok, macros=TLS13, rcpts=three[:2])
            wrong("revoked", "550 5.7.8 The credential of login old is "
                  "revoked. Ask it@example.com", "old", "a@example.com")
            wrong("revoked, on a listener for submission", "550 5.7.8 The "
                  "credential of login old is revoked. Ask it@example.com",
                  "old", "a@example.com", daemon="submission")
            wrong("revoked, from networks.sign", "550 5.7.8 The credential "
                  "of login old is revoked. Ask it@example.com",
                  "old", "a@example.com", client="198.51.100.7")
            wrong("expired", "550 5.7.8 The credential of login past expired "
                  "2026-01-01T00:00:00Z. Ask it@example.com", "past",
                  "a@example.com")
            s.signed("not yet expired", "later", "a@example.com")
            s.signed("first of two", "slow", "a@example.com")
            s.signed("second of two", "slow", "a@example.com")
            o = s.send("slow", "a@example.com")
            if mode == "reject":
                t.ok(o.verdict == "replycode" and o.reply.text.startswith(
                    "450 4.7.1 Limit of 2 messages per hour of login slow is "
                    "reached, it frees at 20"), "credential: over its limit",
                     o.reply)
            else:
                t.is_((o.verdict, len(o.fields("DKIM-Signature"))),
                      ("accept", 1 if mode == "monitor" else 0),
                      f"{s.name}: over its limit", o.reply)
            s.signed("a login without entry", "human", "a@example.com")
            for part in ("credential=refused(revoked)",
                         "credential=refused(expired 2026-01-01T00:00:00Z)",
                         "credential=refused(client 192.0.2.16)",
                         "credential=refused(3 recipients)",
                         "credential=refused(login shop needs TLS)",
                         "limit=over(messages per hour, frees ",
                         "credential=ok class=password sender=owned"):
                s.logged(part, part)
            log = s.end()
            t.ok(re.search("not-owned=1 weak-login=0 refused-credential=8 "
                           "over-limit=1 weak-tls=0", log),
                 f"{s.name}: counted", log[-800:])


def inbound_login(t, key):
    """A login on a listener for incoming mail: not signed, but checked."""
    s = Site(t, key, "inbound login", {"sender_check": '"reject"'},
             keys=KEYS, zone="example.com TXT \"v=spf1 -all\"\n")
    with s.daemon:
        o = s.unsigned("its own address", "alice", "alice@example.com",
                       daemon="in")
        t.is_(len(o.fields("Authentication-Results")), 1, "it is verified")
        s.logged("who it was", "direction=inbound(listener) login=alice "
                 "mechanism=PLAIN tls=none class=password sender=owned")
        s.refused("revoked", "550 5.7.8 The credential of login old is "
                  "revoked", "old", "a@example.com", daemon="in")
        s.refused("another's address", "550 5.7.1 Sender address rejected, "
                  "MAIL FROM alice@example.com is not owned by login bob; it "
                  "owns info@example.com", "bob", "alice@example.com",
                  daemon="in")
        s.keys('{ login = "slow"; messages_per_hour = 1; addresses = '
               '[ "@example.com" ]; }')
        s.reload()
        s.unsigned("within its limit", "slow", "a@example.com", daemon="in")
        o = s.send("slow", "a@example.com", daemon="in")
        t.ok(o.reply.text.startswith("450 4.7.1 Limit of 1 messages per "),
             "inbound login: over its limit", o.reply)
        s.unsigned("nobody logged in", None, "x@example.com", daemon="in")
        s.end()


class Open:
    """A session that stays open, with one login.  Every step is answered, so
    that each is over before the next thing is done."""

    def __init__(self, site, login, macros=None, mta="postfix"):
        self.c = Connection(site.daemon.address, protocol=ALL_PROTOCOL &
                            ~sum(NO_REPLY.values()))
        values = standard_macros(mta, login=login)
        values["M"].update(macros or {})
        self.s = Session(self.c, mta, values)
        self.s.connect("192.0.2.1")
        self.s.helo("client.example")

    def send(self, author):
        return self.s.message(mail(author), f"<{author}>",
                              ["<rcpt@example.net>"])

    def close(self):
        self.s.quit()
        self.c.close()


def revoked_while_open(t, key):
    one = '{ login = "shop"; addresses = [ "@example.com" ]; }'
    for mta in ("postfix", "sendmail"):
        s = Site(t, key, f"revoked while open, {mta}",
                 {"sender_check": '"reject"'}, keys=one)
        with s.daemon:
            c = Open(s, "shop", mta=mta)
            o = c.send("orders@example.com")
            t.is_((o.verdict, len(o.fields("DKIM-Signature"))),
                  ("accept", 1), f"{s.name}: the first is signed", o.reply)
            # in the midst of a message: it ends as it began
            c.s.mail("<orders@example.com>")
            s.keys('{ login = "shop"; revoked = true; }')
            s.reload()
            c.s.rcpt("<rcpt@example.net>")
            c.s.header("From", " orders@example.com")
            c.s.end_of_header()
            edits = []
            r = c.s.end_of_message(edits)
            t.is_((r.verdict, [e[2] for e in edits]),
                  ("accept", ["DKIM-Signature"]),
                  f"{s.name}: what had begun is", r)
            if mta == "postfix":
                c.s.abort()
            o = c.send("orders@example.com")
            t.is_((o.verdict, o.reply.text), (
                "replycode", "550 5.7.8 The credential of login shop is "
                "revoked"), f"{s.name}: the next is refused")
            s.keys(one)
            s.reload()
            o = c.send("orders@example.com")
            t.is_(o.verdict, "accept", f"{s.name}: and back")
            c.close()
            s.end()


def bad_reload(t, key):
    """A mistake: file:line in the log, the old tables stay, both of them."""
    s = Site(t, key, "bad reload", {"sender_check": '"reject"'},
             keys='{ login = "old"; revoked = true; }')
    kept = "the old one stays"
    with s.daemon:
        def still():
            s.signed("the old owner", "alice", "alice@example.com")
            s.refused("the old revocation", "550 5.7.8 The credential of "
                      "login old is revoked", "old", "alice@example.com")

        for text, line in (
                ("alice@example.com bob\nx@..y z\n", 2),
                ("alice@example.com bob\nlonely@example.com\n", 2),
                ("# c\n\n\"open@example.com alice\n", 3)):
            s.daemon.write("senders", text)
            s.reload(kept)
            s.logged("a bad sender", f"error: {s.path('senders')}:{line}: ")
            still()
        s.daemon.write("senders", SENDERS.replace("alice@example.com    alice",
                                                  "alice@example.com  bob"))
        for text, line in (
                ('{ login = "old"; revoked = 1; }', 2),
                ('{ login = "new"; },\n{ login = "NEW"; }', 3),
                ('{ login = "old"; }\n{ login = "new"; }', 3),
                ('{ login = "new"; expires = "soon"; }', 2)):
            s.keys(text)
            s.reload(kept)
            s.logged("a bad credential", f"error: {s.path('keys')}:{line}: ")
            still()
        for text in ("", "# cut off"):
            s.daemon.write("keys", text + "\n")
            s.reload(kept)
            s.logged("an empty file", f"error: {s.path('keys')}:0: ")
            still()
        os.unlink(s.path("keys"))
        s.reload(kept)
        s.logged("no file", f"error: {s.path('keys')}:0: No such file")
        still()
        os.mkfifo(s.path("keys"))
        s.reload(kept)
        s.logged("a FIFO", f"error: {s.path('keys')}:0: is no regular file")
        still()
        os.unlink(s.path("keys"))
        s.keys('{ login = "new"; revoked = true; }')
        s.reload()
        s.signed("the new owner", "bob", "alice@example.com")
        s.refused("the new revocation", "550 5.7.8 The credential of login "
                  "new is revoked", "new", "alice@example.com")
        s.end()


def cannot_read(t, key):
    """A table that only root can read is told at start."""
    if os.geteuid() != 0:
        t.skip("a table that only root can read", "needs root")
        return
    s = Site(t, key, "root's table", keys='{ login = "a"; }', senders=None,
             start=False)
    with s.daemon:
        with open(s.daemon.config, encoding="utf-8") as f:
            text = f.read().replace('user = "";', 'user = "nobody";')
        s.daemon.write("mailseal.conf", text)
        os.chmod(s.path("keys"), 0o600)
        shutil.chown(s.daemon.dir, pwd.getpwnam("nobody").pw_uid)
        s.daemon.start()
        s.logged("warned", f"warning: {s.path('keys')}: Permission denied, "
                 "so a reload cannot read it again")
        s.end()


def warnings(t, key):
    """What can be meant, but hardly is."""
    s = Site(t, key, "warnings", {
        "login_classes": '( { group = "stuff"; classes = [ "token" ]; } )'},
        keys='{ login = "a"; }', groups="staff bob\n", start=False)
    with s.daemon:
        status, _, err = mailseal("check-config", s.daemon.config)
        t.ok(status == 0 and "mailseal.conf:" in err and
             'no group "stuff" in ' in err, "an unknown group is told",
             status, err)
        t.hasnt(err, "may write", "nobody else may write the files")
        for mode in (0o664, 0o646):
            os.chmod(s.path("keys"), mode)
            status, _, err = mailseal("check-config", s.daemon.config)
            t.ok(status == 0 and f"{s.path('keys')}:0: others may write it; "
                 "cure: chmod go-w" in err, f"mode {mode:o} is told", status,
                 err)


def under_load(t, key):
    """100 reloads while 20 connections send: no message is lost, refused,
    deferred or unsigned."""
    one = '{ login = "shop"; addresses = [ "@example.com" ]; }'
    s = Site(t, key, "under load", {"sender_check": '"reject"'}, keys=one)
    stop, bad, sent = threading.Event(), [], []

    def client(n):
        login = ("shop", "alice")[n % 2]
        try:
            c = Open(s, login)
            count = 0
            while not stop.is_set() and count < 2000:
                o = c.send("alice@example.com")
                count += 1
                if o.verdict != "accept" or \
                        len(o.fields("DKIM-Signature")) != 1:
                    bad.append((n, count, str(o.reply)))
                    break
            c.close()
            sent.append(count)
        except Exception as e:  # pylint: disable=broad-except
            bad.append((n, repr(e)))

    with s.daemon:
        threads = [threading.Thread(target=client, args=(n,), daemon=True)
                   for n in range(20)]
        for th in threads:
            th.start()
        memory = 0
        for n in range(100):
            s.keys(one + ',\n{ login = "n%d"; }' % n)
            s.daemon.write("senders.new", SENDERS + f"n{n}@x.test n{n}\n")
            os.rename(s.path("senders.new"), s.path("senders"))
            if not s.reload():
                break
            if n == 20:
                memory = s.daemon.memory()
        grown = s.daemon.memory() - memory
        stop.set()
        for th in threads:
            th.join(30)
        t.is_(bad, [], "under load: every message is signed",
              s.daemon.log()[-2000:])
        t.is_(len(sent), 20, "under load: every session ends")
        t.ok(sum(sent) > 100, "under load: there was load", sum(sent))
        t.note(f"100 reloads, {sum(sent)} messages, {grown >> 10} KiB more")
        t.ok(grown < 64 << 20, "under load: memory does not grow", grown)
        log = s.end()
        t.is_(log.count("reloaded "), 100, "under load: 100 reloads")
        t.is_(log.count("signed=example.com/s1"), sum(sent),
              "under load: each in the log")


FACTS = "tls=TLSv1.3/TLS_AES_256_GCM_SHA384/256"


def peers(t, key):
    """TLS of peers, by domain and by network, and facts in the log."""
    rows = """( { domain = "bank.example"; version = "TLSv1.2"; bits = 128; },
        { networks = [ "203.0.113.0/24" ]; certificate = true; } )"""
    for mode in ("monitor", "reject"):
        s = Site(t, key, f"peers {mode}", {}, "tls = { mode = " + quote(mode) +
                 f"; login_version = \"TLSv1.2\"; peers = {rows}; }};\n",
                 senders=None)

        def weak(what, reply, *args, **kw):
            if mode == "reject":
                return s.refused(what, reply, *args, **kw)
            o = s.unsigned(what, *args, **kw)
            t.is_(len(o.fields("Authentication-Results")), 1,
                  f"{s.name}: {what}: verified")
            return o

        with s.daemon:
            must = "530 5.7.0 Must issue a STARTTLS command first: "
            weak("a bank without TLS", must + "bank.example needs TLS", None,
                 "x@bank.example")
            weak("below it", must + "bank.example needs TLS", None,
                 "x@mail.bank.example")
            weak("in From alone", must + "bank.example needs TLS", None,
                 "x@bank.example", sender="x@other.example")
            weak("TLS too old", "550 5.7.1 bank.example needs TLSv1.2 or "
                 "later", None, "x@bank.example", macros=TLS11)
            weak("no certificate", "550 5.7.1 your network needs a client "
                 "certificate", None, "x@other.example", macros=TLS13,
                 client="203.0.113.5")
            trusted = {**TLS13, "{cert_subject}": "bank\" spf=pass x=\"\n",
                       "{cert_issuer}": "CA"}
            s.unsigned("with one", None, "x@other.example", macros=trusted,
                       client="203.0.113.5")
            s.logged("a subject cannot look like a field", FACTS +
                     r' cert="bank\x22 spf=pass x=\x22\x0a" issuer="CA"')
            weak("Sendmail does not trust it", "550 5.7.1 your network needs "
                 "a client certificate", None, "x@other.example",
                 macros={**trusted, "{verify}": "FAIL"}, mta="sendmail",
                 client="203.0.113.5")
            o = s.unsigned("a bank with TLS", None, "x@bank.example",
                           macros=TLS13)
            s.logged("inbound", f"direction=inbound(default) {FACTS}")
            ar = " ".join(o.fields("Authentication-Results"))
            t.ok("tls" not in ar.lower(), f"{s.name}: no TLS in A-R", ar)
            s.unsigned("another without TLS", None, "x@other.example")
            s.logged("inbound", "direction=inbound(default) tls=none")
            o = s.signed("a login over TLS", "alice", "alice@example.com",
                         macros=TLS13)
            s.logged("outbound", f"login=alice mechanism=PLAIN {FACTS} "
                     "class=password signed=example.com/s1")
            if mode == "reject":
                s.refused("a login without TLS", must + "login alice needs "
                          "TLS", "alice", "alice@example.com")
            else:
                s.signed("a login without TLS", "alice", "alice@example.com")
            s.signed("networks.sign needs none", None, "a@example.com",
                     client="198.51.100.7")
            s.logged("what was weak",
                     "tls-check=weak(bank.example needs TLS)")
            log = s.end()
            t.has(log, " weak-tls=7", f"{s.name}: counted")
            t.is_(log.count("refused=5"), 7 if mode == "reject" else 0,
                  f"{s.name}: refusals in the log")


def log_lines(t, key):
    """Names that the client chose do not forge fields or lines."""
    s = Site(t, key, "log", {"sender_check": '"reject"'},
             listeners=(("submission", "outbound"), ("off", "none")))
    evil = 'x class=token sender=owned "\n%n%s\\ signed=yes'
    with s.daemon:
        o = s.send(evil, "alice@example.com", macros=by("PL AIN\r\n class=x"))
        t.is_((o.verdict, o.reply.text), (
            "replycode", "550 5.7.1 Sender address rejected, MAIL FROM "
            "alice@example.com is not owned by this login"),
              "log: an evil login", o.reply)
        s.logged("the login is one word", r" login=x\x20class=token\x20sender="
                 r"owned\x20\x22\x0a%n%s\x5c\x20signed=yes mechanism=PL\x20"
                 r"AIN\x0d\x0a\x20class=x tls=none class=none sender=not-own")
        s.send(None, "alice@example.com", helo='a dmarc=pass "\n b',
               sender='"a dmarc=pass"@example.com')
        s.logged("HELO and MAIL FROM are words",
                 r'mailfrom=<\x22a\x20dmarc=pass\x22@example.com> '
                 r'client=192.0.2.1 helo=a\x20dmarc=pass\x20\x22\x0a\x20b ')
        many = ", ".join(f"a@{n}{'x' * 60}.{'y' * 60}.{'z' * 60}.example"
                         for n in range(40))
        s.send("alice", many, sender="alice@example.com")
        s.logged("many authors leave room", "example,... client=192.0.2.1 "
                 "direction=outbound(login) login=alice mechanism=PLAIN "
                 "tls=none class=password sender=not-owned(From ")
        before = s.daemon.log().count("tls=none")
        s.send(None, many, extra="".join(
            "DKIM-Signature: v=1; a=rsa-sha256; b=AAAA; bh=AAAA; h=From;\n"
            f" d={n}{'x' * 60}.{'y' * 60}.{'z' * 60}.example;\n"
            f" s={'s' * 60}.{'t' * 60}.{'u' * 60}\n" for n in range(9)))
        t.is_(s.daemon.log().count("tls=none"), before + 1,
              "log: many authors and signatures leave room",
              s.daemon.log()[-5000:])
        s.send("alice", "alice@example.com", daemon="off", macros=TLS13)
        s.logged("direction none", "direction=none(listener) login=alice "
                 f"mechanism=PLAIN {FACTS}")
        log = s.end()
        bad = [line for line in log.splitlines()
               if " from=" in line and line.startswith((" ", "%"))]
        t.is_(bad, [], "log: no line is broken")


def realms(t, key):
    """The realm does not get round a revocation where it is stripped."""
    s = Site(t, key, "realms", {"sender_check": '"reject"',
                                "login_realm": '"strip"'},
             keys='{ login = "old"; revoked = true; }')
    with s.daemon:
        for login in ("old", "old@any.example", "OLD@", "old@mx.test"):
            s.refused(login, "550 5.7.8 The credential of login "
                      f"{login} is revoked", login, "alice@example.com")
        s.refused("nothing before the realm", "550 5.7.1 Sender address "
                  "rejected, MAIL FROM alice@example.com is not owned by "
                  "login @any.example", "@any.example", "alice@example.com")
        s.refused("no login", "550 5.7.1 Sender address rejected, MAIL FROM "
                  "alice@example.com needs a login", None,
                  "alice@example.com", daemon="submission")
        s.end()


def big(t, key):
    """100,000 credentials load in seconds."""
    s = Site(t, key, "big", {"sender_check": '"reject"'}, keys=",\n".join(
        f'{{ login = "key{n}"; addresses = [ "a{n}@example.com", '
        f'"@d{n % 1000}.example.org" ]; networks = [ "192.0.2.0/24", '
        '"2001:db8::/32" ]; tls_version = "TLSv1.2"; recipients = 50; '
        'messages_per_hour = 500; messages_per_day = 5000; expires = '
        f'"2099-06-30"; revoked = {"true" if n % 10 == 0 else "false"}; }}'
        for n in range(100000)), senders=None, start=False)
    with s.daemon:
        size = os.path.getsize(s.path("keys"))
        began = time.monotonic()
        s.daemon.start(wait=False)
        s.daemon.wait_ready(60)
        took = time.monotonic() - began
        t.ok(took < 45, "100,000 credentials load", took)
        s.signed("one of 100,000", "key77777", "a77777@example.com",
                 macros=TLS13)
        s.refused("a revoked one", "550 5.7.8 The credential of login "
                  "key77770 is revoked", "key77770", "a77770@example.com",
                  macros=TLS13)
        began = time.monotonic()
        s.daemon.signal(signal.SIGHUP)
        s.signed("while they are read again", "key5", "a5@example.com",
                 macros=TLS13)
        waited = time.monotonic() - began
        t.ok(s.daemon.wait_log("reloaded ", 60), "they are read again")
        t.note(f"100,000 credentials, {size >> 20} MiB: start {took:.2f} s, "
               f"again {time.monotonic() - began:.2f} s, a message meanwhile "
               f"{waited * 1000:.0f} ms, {s.daemon.memory() >> 20} MiB")
        s.end()


def main():
    t = Tap()
    parts = (logins, evasion, spoofs, credentials, inbound_login,
             revoked_while_open, bad_reload, cannot_read, warnings,
             under_load, peers, log_lines, realms, big)
    chosen = sys.argv[1:]
    with Daemon(start=False) as files:
        key = Key(files.dir, "rsa")
        for part in parts:
            if chosen and part.__name__ not in chosen:
                continue
            began = time.monotonic()
            with t.group(part.__name__):
                part(t, key)
            t.note(f"{part.__name__}: {time.monotonic() - began:.1f} s")
    t.done()


if __name__ == "__main__":
    main()
