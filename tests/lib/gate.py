"""Who may send, shown behind a real MTA: logins by SASL, over TLS, with client
certificates of the test's own authority.

What is the same behind both MTAs is here; what a client certificate is called
is not: Postfix tells its common name, Sendmail the whole of it, encoded.
"""
import json
import os
import re
import signal
import ssl
import time
from datetime import datetime, timezone

from authres import Authres
from daemon import Daemon, check_end, config_text, mailseal, quote
from material import Key, crlf, dkimpy_verifies, have_dkimpy, key_record
from mta import REALM, Authority, Client

ODD = "p+1=x"  # which Sendmail tells as xtext (RFC 3461 4)
USERS = ("bob", "shop", "api", "far", "late", ODD)
LOGIN, SHOP, API, FAR, LATE = (f"{name}@{REALM}" for name in USERS[:5])
DOMAINS = ("example.com", "example.org", "news.example.com")
MTA_ID = "mx.mta.test"
TLS13 = "tls=TLSv1.3/TLS_AES_256_GCM_SHA384/256"
SENDERS = f"""\
bob@example.com      {LOGIN}
finance@example.com  {LOGIN}
info@example.com     {LOGIN}
@example.org         {LOGIN}
ceo@example.com      carol@{REALM}
odd@example.com      {ODD}@{REALM}
"""
OWNS = "it owns bob@example.com, finance@example.com, info@example.com " \
       "and more. Ask it@example.com"
# of a file in which the entry of api may be another
CREDENTIALS = """\
credentials = (
    { login = "shop@mta.test"; addresses = [ "@news.example.com" ];
      tls_version = "TLSv1.3"; recipients = 2; messages_per_hour = 2; },
    { login = "api@mta.test"; addresses = [ "@example.com" ]; %s },
    { login = "far@mta.test"; addresses = [ "@example.com" ];
      networks = [ "192.0.2.0/24" ]; },
    { login = "late@mta.test"; addresses = [ "@example.com" ];
      expires = "2026-01-31"; }
);
"""

# client_a1 to client_a3 and A17 ("Composition Kills", USENIX Security 2020):
# bob is logged in, and it is to look like ceo.
SPOOFS = (
    ("client_a1", "From: bob@example.com\nFrom: ceo@example.com\n"),
    ("client_a1 reverse", "From: ceo@example.com\nFrom: bob@example.com\n"),
    ("client_a1 blank", "From: bob@example.com\nFrom : ceo@example.com\n"),
    ("client_a1 fold", "From\n : bob@example.com\nFrom: ceo@example.com\n"),
    ("client_a1 first line", " From: bob@example.com\n"
     "From: ceo@example.com\n"),
    ("client_a2", "From: bob@example.com, ceo@example.com\n"),
    ("client_a2 reverse", "From: <ceo@example.com>, <bob@example.com>\n"
     "Sender: bob@example.com\n"),
    ("client_a2 group", "From: x: ceo@example.com, bob@example.com;\n"),
    ("client_a2 escape", "From: <ceo@example.com>\\,<bob@example.com>\n"),
    ("client_a2 word", "From: <bob@example.com>ceo@example.com\n"),
    ("client_a3", "From: ceo@example.com\n"),
    ("client_a3 name", 'From: "bob@example.com" <ceo@example.com>\n'),
    ("client_a3 route", "From: <@example.com,@x.test:ceo@example.com>\n"),
    ("client_a3 encoded", "From: =?utf-8?B?PGNlb0BleGFtcGxlLmNvbT4=?=, "
     "<bob@example.com>\n"),
    ("A17 Sender", "From: bob@example.com\nSender: ceo@example.com\n"),
    ("A17 only Sender", "Sender: bob@example.com\n"),
    ("A17 Resent-From", "From: @example.com\nResent-From: bob@example.com\n"),
)


def mail(head, subject):
    return crlf(f"{head}To: rcpt@example.net\nSubject: {subject}\n"
                "Date: Tue, 03 Nov 2026 10:00:00 +0000\n"
                f"Message-ID: <{subject}@x.test>\n\nbody\n")


class Outcome:
    """The last reply, what was delivered or None, mailseald's log line."""

    def __init__(self, reply, message, line):
        self.reply, self.message, self.line = reply, message, line

    @property
    def signatures(self):
        return self.message.all("DKIM-Signature") if self.message else []


class Gate:
    """`name_of`: how the MTA writes a distinguished name /O=Example/CN=..."""

    def __init__(self, tap, name_of):
        self.t, self.name_of = tap, name_of
        self.mta = None
        self.count = 0
        self.files = Daemon(start=False)
        self.daemon = Daemon(start=False)
        self.state = os.path.join(self.files.dir, "state")
        os.mkdir(self.state)
        self.make_certificates()
        self.make_keys()
        self.senders = self.files.write("senders", SENDERS +
                                        self.more_senders())
        self.credentials = self.files.write("credentials", CREDENTIALS % "")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.daemon.close()
        self.files.close()

    def make_certificates(self):
        self.ca = Authority(os.path.join(self.files.dir, "ca"))
        other = Authority(os.path.join(self.files.dir, "other"))
        self.listed = self.ca.certificate("listed", "bob the (first)")
        self.another = self.ca.certificate("another", "shop")
        self.unlisted = self.ca.certificate("unlisted", "mallory")
        self.alone = self.ca.self_signed("alone", "bob the (first)")
        # subject and issuer have the names of the one that is listed
        self.forged = other.certificate("forged", "bob the (first)")

    def more_senders(self):
        """Lines of the table."""
        return ""

    def more_certificates(self):
        """(subject, login) that are listed."""
        return []

    def make_keys(self):
        key = Key(self.files.dir, "rsa")
        self.domains = {d: [("s1", key.path)] for d in DOMAINS}
        self.records = {f"s1._domainkey.{d}": key.record() for d in DOMAINS}
        self.zone = self.files.write("keys.zone", "".join(
            key_record(d, "s1", key) for d in DOMAINS))

    def configuration(self, mode, realm):
        issuer = f"issuer = {quote(self.name_of('Example CA'))};"
        certificates = ", ".join(
            f"{{ subject = {quote(subject)}; {issuer} "
            f"login = {quote(login)}; }}" for subject, login in (
                (self.name_of("bob the (first)"), LOGIN),
                (self.name_of("shop"), SHOP),
                *self.more_certificates()))
        strong = 'classes = [ "token", "certificate" ];'
        return f"""\
submission = {{
    sender_table = {quote(self.senders)};
    credentials = {quote(self.credentials)};
    login_realm = "{realm}"; sender_check = "{mode}"; login_check = "{mode}";
    credential_check = "{mode}";
    login_classes = (
        {{ address = "finance@example.com"; {strong} }},
        {{ address = "backup@example.com"; {strong} }} );
    certificates = ( {certificates} );
}};
tls = {{ mode = "{"reject" if mode == "reject" else "monitor"}";
    login_version = "TLSv1.2"; login_bits = 256;
    peers = (
        {{ domain = "bank.example"; version = "TLSv1.3"; }},
        {{ domain = "partner.example"; certificate = true; {issuer}
          subject = {quote(self.name_of("shop"))}; }} );
}};
coaching = {{ sender = "Ask it@example.com"; login = "Use the token"; }};
"""

    def start(self, mode, realm="keep"):
        d = self.daemon
        d.write("mailseal.conf", config_text(
            d.socket_path, d.zone_file, authserv_id=MTA_ID, internal=(),
            listeners=[("submission", "outbound")], domains=self.domains,
            state=self.state, extra=self.configuration(mode, realm)))
        d.start()

    def facts_of(self, name):
        """What the log says of TLS with that certificate."""
        return f'{TLS13} cert="{self.name_of(name)}" ' \
            f'issuer="{self.name_of("Example CA")}"'

    # ---- sending ----

    def connect(self, port=None, **kw):
        return Client(port or self.mta.port, **kw)

    def secure(self, certificate=None, login=True, **kw):
        """A connection with TLS and a login; True: bob's."""
        return self.connect(login=login, tls=self.ca.client(certificate),
                            **kw)

    def send(self, client, author, sender=None, head=None, rcpts=1):
        """One message of an open connection."""
        self.count += 1
        subject = f"m{self.count}."
        before = len(self.daemon.log())
        code, text = client.send(
            mail(head or f"From: {author}\n", subject),
            author if sender is None else sender,
            [f"r{n}@example.net" for n in range(rcpts)])
        m = self.mta.sink.wait_for(f"Subject: {subject}\r\n") \
            if code == 250 else None
        return Outcome(f"{code} {text}", m, self.line_after(before))

    def line_after(self, before, seconds=5):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for line in self.daemon.log()[before:].splitlines():
                if " direction=" in line and " ms=" in line:
                    return line
            time.sleep(0.02)
        return ""

    def once(self, author, sender=None, head=None, rcpts=1, **kw):
        """One message of a connection of its own."""
        with self.connect(**kw) as c:
            return self.send(c, author, sender, head, rcpts)

    # ---- checking ----

    def problems(self, data):
        """Who does not verify what was delivered."""
        _, out, err = mailseal("verify", "--ip", "127.0.0.1", "--from", "<>",
                               "--zone", self.zone, "--json", stdin=data)
        try:
            ours = [s["result"] for s in json.loads(out)["dkim"]]
        except (ValueError, KeyError):
            ours = [err]
        theirs = dkimpy_verifies(data, self.records) if have_dkimpy() \
            else [True]
        return [] if (ours, theirs) == (["pass"], [True]) else [ours, theirs]

    def signed(self, o, what, *parts):
        """Accepted, signed so that it verifies, and `parts` in the log."""
        if not self.t.ok(o.message is not None, f"{what}: accepted", o.reply,
                         self.mta.log()[-3000:]):
            return
        self.t.is_(self.problems(o.message.data), [],
                   f"{what}: the signature verifies", o.message.data)
        self.t.is_(o.message.all("Authentication-Results"), [],
                   f"{what}: no results")
        self.logged(o, what, *parts)

    def logged(self, o, what, *parts):
        for part in parts:
            self.t.has(o.line, f" {part} ", f"{what}: log: {part}")

    def refused(self, o, what, reply, *parts):
        self.t.is_((o.reply, o.message), (reply, None), what)
        self.logged(o, what, "refused=" + "/".join(reply.split()[:2]), *parts)

    # ---- what is shown ----

    def allowed(self):
        with self.secure() as c:
            facts = (f"login={LOGIN}", "mechanism=PLAIN", TLS13,
                     "class=password", "sender=owned",
                     "signed=example.com/s1")
            self.signed(self.send(c, "bob@example.com"), "own address",
                        *facts)
            self.signed(self.send(c, "BOB@Example.COM"), "in other case",
                        *facts)
            self.signed(self.send(c, "any@example.org"), "own domain",
                        "signed=example.org/s1")
            both = "bob@example.com, info@example.com"
            self.signed(self.send(c, both, "bob@example.com",
                                  f"From: {both}\n"
                                  "Sender: any@example.org\n"),
                        "two own authors, and an own Sender", "sender=owned")

        with self.secure(login=f"{ODD}@{REALM}") as c:
            self.signed(self.send(c, "odd@example.com"), "an odd login",
                        f"login={ODD}@{REALM}", "sender=owned")

    def forbidden(self):
        def text(field):
            return f"550 5.7.1 Sender address rejected, {field} " \
                   f"ceo@example.com is not owned by login {LOGIN}; {OWNS}"

        with self.secure() as c:
            self.refused(self.send(c, "ceo@example.com", "bob@example.com"),
                         "another's From", text("From"),
                         "sender=not-owned(From ceo@example.com)")
            self.refused(self.send(c, "bob@example.com", "ceo@example.com"),
                         "another's MAIL FROM", text("MAIL FROM"))
            self.refused(self.send(c, "", "bob@example.com",
                                   "From: bob@example.com\n"
                                   "Sender: ceo@example.com\n"),
                         "another's Sender", text("Sender"))
            self.refused(self.send(c, "ceo@example.com", ""),
                         "another's bounce", text("From"))
            self.signed(self.send(c, "bob@example.com"),
                        "own address, in the same session")
        self.refused(
            self.once("bob@example.com", port=self.mta.submission_port,
                      tls=self.ca.client(self.listed)),
            "no login where one is due", "550 5.7.1 Sender address rejected, "
            "MAIL FROM bob@example.com needs a login. Ask it@example.com")

    def spoofs(self):
        with self.secure() as c:
            for name, head in SPOOFS:
                o = self.send(c, "", "bob@example.com", head)
                self.t.ok(o.reply.startswith("550 5.7.1 Sender address "
                                             "rejected, "), name, o.reply)
                self.t.is_(o.message, None, f"{name}: not delivered")

    def unsigned_spoofs(self, mode):
        """`monitor` signs for two authors, not for two From fields."""
        with self.secure() as c:
            for name, head in SPOOFS if mode == "sign" else SPOOFS[:2]:
                o = self.send(c, "", "bob@example.com", head)
                self.t.ok(o.message and not o.signatures,
                          f"{mode}: {name}: not signed", o.reply, o.line)
                self.t.has(o.line, " sender=not-owned(",
                           f"{mode}: {name}: logged")

    def rewrite(self, api):
        """Other credentials from now on, without an end of any session."""
        before = len(self.daemon.log())
        self.files.write("credentials", CREDENTIALS % api)
        self.daemon.signal(signal.SIGHUP)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            if "reloaded " in self.daemon.log()[before:]:
                return
            time.sleep(0.02)
        raise RuntimeError("the credentials are not read again")

    def revoked(self):
        with self.secure(login=API) as c:
            self.signed(self.send(c, "x@example.com"), "API key",
                        "credential=ok")
            self.rewrite("revoked = true;")
            self.refused(self.send(c, "x@example.com"),
                         "API key, revoked while connected", "550 5.7.8 The "
                         f"credential of login {API} is revoked",
                         "credential=refused(revoked)")
            self.rewrite('expires = "2099-12-31";')
            self.signed(self.send(c, "x@example.com"), "API key, again valid")
            self.refused(self.send(c, "x@example.org"),
                         "API key, another domain", "550 5.7.1 Sender address "
                         "rejected, MAIL FROM x@example.org is not owned by "
                         f"login {API}; it owns @example.com. "
                         "Ask it@example.com")

    def scopes(self):
        for login, reply in (
                (FAR, "550 5.7.1 login far@mta.test may not send from "
                 "127.0.0.1"),
                (LATE, "550 5.7.8 The credential of login late@mta.test "
                 "expired 2026-01-31T00:00:00Z")):
            self.refused(self.once("x@example.com", login=login,
                                   tls=self.ca.client()), login, reply)
        with self.secure(login=SHOP) as c:
            self.refused(self.send(c, "x@news.example.com", rcpts=3),
                         "too many recipients", "550 5.5.3 3 recipients, "
                         "login shop@mta.test may have 2 in one message")

    def limits(self):
        with self.secure(login=SHOP) as c:
            for n in range(2):
                self.signed(self.send(c, "x@news.example.com", rcpts=2),
                            f"message {n} of 2", "credential=ok")
            o = self.send(c, "x@news.example.com")
        found = re.fullmatch(
            "450 4.7.1 Limit of 2 messages per hour of login shop@mta.test "
            r"is reached, it frees at (\S+)Z", o.reply)
        if self.t.ok(found, "message 3 of 2", o.reply, o.line):
            wait = datetime.fromisoformat(found[1]).replace(
                tzinfo=timezone.utc).timestamp() - time.time()
            self.t.ok(3000 < wait <= 3900, "when it frees", wait)
        self.t.is_(o.message, None, "message 3 of 2: not delivered")
        self.logged(o, "message 3 of 2", "refused=450/4.7.1", "signed=no")
        self.refused(self.once("x@news.example.com", login=SHOP,
                               tls=self.ca.client()),
                     "another session over the limit", o.reply)

    def strength(self):
        def reply(what):
            return "550 5.7.9 MAIL FROM finance@example.com needs a login " \
                   f"by token or certificate, this one is by {what}. " \
                   "Use the token"

        with self.secure() as c:
            self.refused(self.send(c, "finance@example.com"),
                         "password alone", reply("password"),
                         "class=password", TLS13, "login-check=weak(MAIL "
                         "FROM finance@example.com needs token|certificate)")
            o = self.send(c, "finance@example.com", "bob@example.com")
            self.refused(o, "password alone, in From", reply("password")
                         .replace("MAIL FROM", "From"))
        with self.secure(self.listed) as c:
            self.signed(self.send(c, "finance@example.com"),
                        "the listed certificate",
                        "class=password+certificate", "sender=owned",
                        self.facts_of("bob the (first)"))
        for what, certificate in (
                ("valid, not listed", self.unlisted),
                ("valid, listed for another login", self.another),
                ("self-signed", self.alone),
                ("the same names from another authority", self.forged)):
            with self.secure(certificate) as c:
                o = self.send(c, "finance@example.com")
            self.refused(o, what, reply("password"), "class=password")
            trusted = certificate in (self.unlisted, self.another)
            self.t.is_(" cert=" in o.line, trusted,
                       f"{what}: the log has trusted ones only", o.line)

    def login_tls(self):
        """RFC 3207 4; RFC 8314 3."""
        old = self.ca.client(version=ssl.TLSVersion.TLSv1_2)
        weak = self.ca.client(version=ssl.TLSVersion.TLSv1_2)
        weak.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        strong = "tls=TLSv1.2/ECDHE-ECDSA-AES256-GCM-SHA384/256"
        start = "530 5.7.0 Must issue a STARTTLS command first: login "
        self.refused(self.once("bob@example.com", login=True),
                     "a login without TLS", f"{start}{LOGIN} needs TLS",
                     "tls=none", f"tls-check=weak(login {LOGIN} needs TLS)")
        self.signed(self.once("bob@example.com", login=True, tls=old),
                    "TLSv1.2", strong)
        self.refused(self.once("bob@example.com", login=True, tls=weak),
                     "a cipher of 128 bits", f"550 5.7.1 login {LOGIN} needs "
                     "a cipher of 256 bits or more",
                     "tls=TLSv1.2/ECDHE-ECDSA-AES128-GCM-SHA256/128")
        self.refused(self.once("x@news.example.com", login=SHOP, tls=old),
                     "TLSv1.2 where the credential demands TLSv1.3",
                     f"550 5.7.1 login {SHOP} needs TLSv1.3 or later",
                     strong, "credential=refused("
                     f"login {SHOP} needs TLSv1.3 or later)")
        self.refused(self.once("x@news.example.com", login=SHOP),
                     "a credential without TLS",
                     f"{start}{SHOP} needs TLS")

    def arrived(self, o, what, *parts):
        """Accepted from outside; nothing of the connection in the results
        (RFC 8601 2.7.6)."""
        if not self.t.ok(o.message is not None, f"{what}: accepted",
                         o.reply):
            return
        self.logged(o, what, *parts)
        self.t.is_(o.signatures, [], f"{what}: not signed")
        values = o.message.all("Authentication-Results")
        self.t.is_([sorted({r.method for r in Authres(v).results})
                    for v in values],
                   [["arc", "dkim", "dmarc", "spf"]],
                   f"{what}: the results", values)
        self.t.ok(not re.search("tls|cipher|cert|auth=|bob|Example CA",
                                " ".join(values).replace(
                                    "bob@bank.example", ""), re.I),
                  f"{what}: none of the connection", values)

    def peers(self):
        old = self.ca.client(version=ssl.TLSVersion.TLSv1_2)
        new, partner = self.ca.client(), self.ca.client(self.another)
        self.arrived(self.once("x@other.example"), "anybody without TLS",
                     "tls=none")
        self.refused(self.once("x@mail.bank.example"), "a peer without TLS",
                     "530 5.7.0 Must issue a STARTTLS command first: "
                     "bank.example needs TLS", "direction=inbound(default)")
        self.refused(self.once("x@bank.example", "x@other.example", tls=old),
                     "an author of the peer, over TLSv1.2",
                     "550 5.7.1 bank.example needs TLSv1.3 or later")
        self.arrived(self.once("x@bank.example", tls=new), "the peer, TLSv1.3",
                     TLS13)
        for what, c in (("no certificate", new),
                        ("another certificate", self.ca.client(self.listed)),
                        ("self-signed", self.ca.client(self.alone)),
                        ("forged", self.ca.client(self.forged))):
            self.refused(self.once("x@partner.example", tls=c),
                         f"partner: {what}", "550 5.7.1 partner.example "
                         "needs a client certificate")
        self.arrived(self.once("x@partner.example", tls=partner),
                     "partner: its certificate",
                     self.facts_of("shop"))

    def lenient(self, mode):
        """What is refused by `reject` is delivered, logged, and signed by
        `monitor` alone."""
        for what, part, kw in (
                ("another's From", "sender=not-owned(From ceo@example.com)",
                 {"author": "ceo@example.com", "sender": "bob@example.com"}),
                ("weak login", "login-check=weak(MAIL FROM "
                 "finance@example.com needs token|certificate)",
                 {"author": "finance@example.com"}),
                ("expired", "credential=refused(expired "
                 "2026-01-31T00:00:00Z)",
                 {"author": "x@example.com", "login": LATE})):
            o = self.once(**{"login": True, "tls": self.ca.client(), **kw})
            what = f"{mode}: {what}"
            if mode == "monitor":
                self.signed(o, what, part)
            elif self.t.ok(o.message, f"{what}: accepted", o.reply):
                self.t.is_(o.signatures, [], f"{what}: not signed")
                self.logged(o, what, part, "signed=no")
            self.t.hasnt(o.line, "refused=5", f"{what}: not refused")
        self.signed(self.once("bob@example.com", login=True),
                    f"{mode}: no TLS", "tls=none",
                    f"tls-check=weak(login {LOGIN} needs TLS)")
        self.arrived(self.once("x@bank.example"), f"{mode}: peer without TLS",
                     "tls=none", "tls-check=weak(bank.example needs TLS)")

    def after_restart(self):
        o = self.once("x@news.example.com", login=SHOP, tls=self.ca.client())
        self.t.ok(o.reply.startswith("450 4.7.1 Limit of 2 messages per hour "
                                     f"of login {SHOP} is reached, it frees "),
                  "over the limit after restarts", o.reply, o.line)

    def realms(self):
        """A client may leave out its realm; Sendmail tells what it gave."""
        self.rewrite("revoked = true;")
        for login in (API, "api"):
            o = self.once("x@example.com", login=login, tls=self.ca.client())
            self.t.ok(re.fullmatch("550 5.7.8 The credential of login api"
                                   f"(@{REALM})? is revoked", o.reply),
                      f"strip: {login}: revoked", o.reply)
        for login in (LOGIN, "bob"):
            self.signed(self.once("bob@example.com", login=login,
                                  tls=self.ca.client()),
                        f"strip: {login}: allowed", "sender=owned")
        with self.secure(self.listed, login="bob") as c:
            self.signed(self.send(c, "finance@example.com"),
                        "strip: its certificate",
                        "class=password+certificate")

    def run(self, mta, *more):
        self.mta = mta
        for test in (self.allowed, self.forbidden, self.spoofs, self.revoked,
                     self.scopes, self.limits, self.strength, self.login_tls,
                     self.peers, *more):
            with self.t.group(test.__name__):
                test()
        check_end(self.t, self.daemon, "reject")
        for mode in ("sign", "monitor"):
            with self.t.group(mode):
                self.start(mode)
                self.lenient(mode)
                self.unsigned_spoofs(mode)
                check_end(self.t, self.daemon, mode)
        with self.t.group("realms"):
            self.start("reject", "strip")
            self.after_restart()
            self.realms()
            check_end(self.t, self.daemon, "strip")
