"""The recipe of etc/examples/guidance, run: its files, with paths, ports and
addresses replaced, in a private Postfix, Dovecot and mailseald.

What the recipe promises is seen from outside, by SMTP clients with TLS, client
certificates, passwords, SCRAM and tokens.
"""
import glob
import os
import re
import shutil
import signal
import smtplib
import ssl
import subprocess
import sys
import time
import warnings

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from daemon import BUILD, Daemon, check_end, mailseal  # noqa: E402
from dovecot import (Dovecot, Provider, Scram, dovecot_tree,  # noqa: E402
                     oauthbearer, plain, xoauth2)
from material import (Key, crlf, have_dkimpy, key_record,  # noqa: E402
                      openssl, sign)
from mta import SERVICES, Postfix, free_port, wait_port  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

SRC = os.environ.get("MAILSEAL_SRCDIR", ".")
EXAMPLE = os.path.join(SRC, "etc", "examples", "guidance")
HOST = "mail.example.com"
OFFICE, SHOP, BANK = "203.0.113.5", "192.0.2.17", "198.51.100.9"
NEWS = "192.0.2.32"
LIMIT = 20  # messages per hour of the shop's key

ZONE = """\
example.com TXT "v=spf1 ip4:192.0.2.25 ip6:2001:db8::25 -all"
_dmarc.example.com TXT "v=DMARC1; p=reject"
bank.example TXT "v=spf1 ip4:198.51.100.9 -all"
_dmarc.bank.example TXT "v=DMARC1; p=reject"
"""

TOKENS = {
    "token-of-alice": {"active": True, "username": "alice", "scope": "smtp"},
    "token-of-bob": {"active": True, "username": "bob", "scope": "smtp"},
    "token-of-carol": {"active": True, "username": "carol", "scope": "smtp"},
    "old-token": {"active": False, "username": "alice", "scope": "smtp"},
    "read-token": {"active": True, "username": "alice", "scope": "imap"},
}
PASSWORD = "correct horse"
UNSUBSCRIBE = "List-Unsubscribe: <https://example.com/u/1>\n" \
    "List-Unsubscribe-Post: List-Unsubscribe=One-Click\n"


def example(name):
    with open(os.path.join(EXAMPLE, name), encoding="utf-8") as f:
        return f.read()


def sure(text, old, new):
    """What is replaced must be there: the test is about these files."""
    if old not in text:
        raise RuntimeError(f"no {old!r} in the example")
    return text.replace(old, new)


class Certificates:
    """The host's certificate, and those of clients, by two authorities of
    which the host trusts one."""

    def __init__(self, directory):
        self.dir = directory
        os.makedirs(directory)
        for ca, name in (("ca", "Example Clients CA"),
                         ("stranger-ca", "Example Clients CA")):
            self.request(ca, name, "-x509", "-days", "2")
        self.host = self.issue("host", HOST, "ca")
        self.alice = self.issue("alice", "alice", "ca")
        self.bob = self.issue("bob", "bob", "ca")
        self.forged = self.issue("forged", "alice", "stranger-ca")
        self.ca = self.path("ca.pem")

    def path(self, name):
        return os.path.join(self.dir, name)

    def request(self, file, name, *more):
        out = "pem" if more else "csr"
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                "-keyout", self.path(f"{file}.key"),
                "-out", self.path(f"{file}.{out}"), *more)

    def issue(self, file, name, ca):
        """A file with key and certificate."""
        self.request(file, name)
        openssl("x509", "-req", "-in", self.path(f"{file}.csr"), "-days", "2",
                "-CA", self.path(f"{ca}.pem"), "-CAkey",
                self.path(f"{ca}.key"), "-CAcreateserial",
                "-out", self.path(f"{file}.crt"))
        both = self.path(f"{file}.pem")
        with open(both, "wb") as out:
            for part in ("key", "crt"):
                with open(self.path(f"{file}.{part}"), "rb") as f:
                    out.write(f.read())
        return both


class Site(Postfix):
    """Postfix with the example's main.cf and master.cf; the directories of
    mailseal and Dovecot are below its own."""

    def __init__(self):
        super().__init__("unix:mailseal/milter.sock")
        self.submissions_port = free_port()
        self.paths = (
            ("/etc/mailseal/", f"{self.dir}/mailseal/"),
            ("/etc/dovecot/", f"{self.dir}/dovecot/"),
            ("/etc/postfix/tls/", f"{self.dir}/tls/"),
            ("/var/spool/postfix/", f"{self.dir}/spool/"),
            ("/var/lib/mailseal", f"{self.dir}/state"))
        for name in ("mailseal/keys", "dovecot", "spool/mailseal", "state"):
            os.makedirs(os.path.join(self.dir, name))
        # as in README.md; nobody is the user mailseal
        self.own("mailseal", "root", "nogroup", 0o750)
        self.own("mailseal/keys", "root", "root", 0o700)
        self.own("state", "nobody", "nogroup", 0o750)
        self.own("spool/mailseal", "nobody", "postfix", 0o2750)
        self.certificates = Certificates(os.path.join(self.dir, "tls"))
        shutil.copy(self.certificates.host,
                    self.in_dir(f"tls/{HOST}.pem"))
        shutil.copy(self.certificates.ca, self.in_dir("tls/clients-ca.pem"))

    def in_dir(self, name):
        return os.path.join(self.dir, name)

    def own(self, name, user, group, mode):
        shutil.chown(self.in_dir(name), user, group)
        os.chmod(self.in_dir(name), mode)

    def write_owned(self, name, text, group="nogroup", mode=0o640):
        self.write(name, text)
        self.own(name, "root", group, mode)

    def example(self, name):
        text = example(name)
        for old, new in self.paths:
            text = text.replace(old, new)
        return text

    def main_cf(self):
        """The example, and what a main.cf has besides."""
        mine = dict(re.findall(r"^([a-z]\w*) = (.*)$", example("main.cf"),
                               re.M))
        rest = {
            **{k: v for k, v in self.parameters().items()
               if not k.startswith("smtpd_sasl_")},
            "inet_protocols": "ipv4",
            "relay_domains": "example.com",
            "relay_transport": f"smtp:[127.0.0.1]:{self.sink.port}",
            "transport_maps": "",
        }
        return self.example("main.cf") + "\n# of the test\n" + "".join(
            f"{k} = {v}\n" for k, v in rest.items() if k not in mine)

    def master_cf(self):
        """The example, on free ports and not in a chroot."""
        text = self.example("master.cf")
        for service, port in (("smtp", self.port),
                              ("submission", self.submission_port),
                              ("submissions", self.submissions_port)):
            text, n = re.subn(rf"^{service} +inet n - y ",
                              f"127.0.0.1:{port} inet n - n ", text,
                              flags=re.M)
            if n != 1:
                raise RuntimeError(f"{n} services {service} in the example")
        return text + "\n" + SERVICES

    def start(self):
        os.mkdir(self.in_dir("data"))
        shutil.chown(self.in_dir("data"), "postfix")
        self.write("etc/main.cf", self.main_cf())
        self.write("etc/master.cf", self.master_cf())
        p = subprocess.run(["postfix", "-c", self.etc, "start"], check=False,
                           stdin=subprocess.DEVNULL, capture_output=True)
        if p.returncode != 0:
            raise RuntimeError(f"postfix: {p.stderr.decode()} {self.log()}")
        self.started = True
        for port in (self.port, self.submission_port, self.submissions_port):
            wait_port(port, lambda: True)


class Milter(Daemon):
    """mailseald with the example's mailseal.conf and tables."""

    def __init__(self, site):
        super().__init__(start=False)
        self.site = site
        self.socket_path = site.in_dir("spool/mailseal/milter.sock")
        self.address = "unix:" + self.socket_path
        self.config = site.in_dir("mailseal.conf")
        keys = {s: self.new_key(f"example.com.{s}", kind)
                for s, kind in (("r1", "rsa"), ("e1", "ed25519"))}
        self.drill = Key(site.in_dir("tls"), "drill")
        zone = site.write("zone", ZONE + "".join(
            key_record("example.com", s, k) for s, k in keys.items()) +
            key_record("drill.example", "d", self.drill))
        text = site.example("mailseal.conf")
        text = sure(text, 'user = "mailseal";', 'user = "nobody";')
        site.write("mailseal.conf", text +
                   '\nlog = { target = "stderr"; };\n'
                   'control = { socket = ""; };\n'
                   f'resolver = {{ zone_file = "{zone}"; }};\n')
        for name in ("senders", "groups"):
            site.write_owned(f"mailseal/{name}", site.example(name))
        self.expire("2099-12-31")

    def new_key(self, name, kind):
        return Key(self.site.in_dir("mailseal/keys"), name, kind)

    def write_credentials(self, text):
        self.site.write_owned("mailseal/credentials.conf", text)

    def expire(self, day, more=("", "")):
        """The example's dates pass one day; `more`: to replace."""
        text = sure(self.site.example("credentials.conf"),
                    'expires = "2027-06-30"', f'expires = "{day}"')
        self.write_credentials(sure(text, *more) if more[0] else text)

    def reload(self):
        """SIGHUP, and until it is done."""
        mark = "reloaded "
        before = self.log().count(mark)
        self.signal(signal.SIGHUP)
        end = time.monotonic() + 10
        while self.log().count(mark) == before:
            if time.monotonic() > end:
                raise RuntimeError(f"no reload: {self.log()[-2000:]}")
            time.sleep(0.02)


def dovecot_of(site, tree, provider):
    text = site.example("dovecot.conf")
    d = Dovecot(tree, site.in_dir("dovecot"), text)
    site.write_owned("dovecot/dovecot-oauth2.conf.ext",
                     sure(example("dovecot-oauth2.conf.ext"),
                          "https://sso.example.com/introspect", provider.url),
                     "root", 0o600)
    site.write_owned("dovecot/users", "".join(
        f"{user}:{d.hash('SCRAM-SHA-256', PASSWORD)}\n"
        for user in ("alice", "carol")) + f"bob:{{PLAIN}}{PASSWORD}\n")
    site.write_owned("dovecot/api-keys", "".join(
        f"{user}:{d.hash('SCRAM-SHA-256', PASSWORD)}\n"
        for user in ("shop", "newsletter")))
    return d


class Client:
    """A connection, with TLS and a login when asked for; the replies of
    smtplib as "code text"."""

    def __init__(self, port, client=None, tls=True, wrapped=False,
                 certificate=None):
        context = ssl.create_default_context(
            cafile=os.path.join(Client.trust))
        if certificate:
            context.load_cert_chain(certificate)
        if wrapped:
            self.s = smtplib.SMTP_SSL(  # to HOST, wherever that is
                "127.0.0.1", port, "client.example", timeout=60,
                context=Named(context))
        else:
            self.s = smtplib.SMTP("127.0.0.1", port, "client.example",
                                  timeout=60)
        self.s.ehlo()
        if client:
            self.xclient(client)
        if tls and not wrapped:
            self.s._host = HOST  # pylint: disable=protected-access
            self.s.starttls(context=context)
            self.s.ehlo()

    trust = ""

    def xclient(self, address):
        code, text = self.s.docmd(
            "XCLIENT", f"NAME=[UNAVAILABLE] ADDR={address} PORT=2525")
        if code != 220:
            raise RuntimeError(f"XCLIENT: {code} {text}")
        self.s.ehlo()

    def login(self, mechanism, step):
        """None, or the reply of a refusal."""
        try:
            self.s.auth(mechanism, step)
            return None
        except smtplib.SMTPAuthenticationError as e:
            return f"{e.smtp_code} {e.smtp_error.decode()}"

    def send(self, data, sender, rcpts=("rcpt@example.net",)):
        """The final reply."""
        for step in [("MAIL", f"FROM:<{sender}>")] + \
                [("RCPT", f"TO:<{r}>") for r in rcpts]:
            code, text = self.s.docmd(*step)
            if code != 250:
                self.s.rset()
                return f"{code} {text.decode()}"
        code, text = self.s.data(data)
        return f"{code} {text.decode()}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.s.quit()
        except (smtplib.SMTPException, OSError):
            self.s.close()


class Named:
    """A TLS context that asks for HOST whatever the address is."""

    def __init__(self, context):
        self.context = context

    def wrap_socket(self, sock, **_):
        return self.context.wrap_socket(sock, server_hostname=HOST)


class Run:
    def __init__(self, tap, site, milter):
        self.t, self.p, self.d = tap, site, milter
        self.certificates = site.certificates
        self.count = 0

    def mail(self, author, extra=""):
        self.count += 1
        return f"m{self.count}.", crlf(
            f"From: {author}\nTo: rcpt@example.net\nSubject: m{self.count}.\n"
            "Date: Tue, 03 Nov 2026 10:00:00 +0000\n"
            f"Message-ID: <{self.count}@x.test>\n{extra}\nbody\n")

    def client(self, user=None, mechanism="PLAIN", step=None, **kw):
        kw.setdefault("client", OFFICE)
        c = Client(kw.pop("port", self.p.submission_port), **kw)
        if user:
            step = step or plain(user, PASSWORD)
            self.t.is_(c.login(mechanism, step), None,
                       f"{user} logs in by {mechanism}")
        return c

    def signed(self, subject, reply, what, domain="example.com"):
        """It was accepted, and left with both signatures."""
        m = self.p.sink.wait_for(f"Subject: {subject}") \
            if reply.startswith("250 ") else None
        found = m and [re.search(r" d=([^;]*)", v)[1]
                       for v in m.all("DKIM-Signature")]
        self.t.is_(found, [domain, domain], f"{what}: accepted and signed",
                   reply, self.d.log()[-1500:])

    def refused(self, reply, wanted, what):
        self.t.is_(reply, wanted, f"{what}: refused", self.d.log()[-1500:])

    # ---- each a practice of the guidance ----

    def configuration(self):
        """Step "check" of the recipe."""
        status, out, err = mailseal("check-config", self.d.config, "--mta",
                                    "none")
        self.t.is_((status, err), (0, ""), "check-config: no mistake", out)

    def authenticated(self):
        """Mail only over authenticated SMTP."""
        with Client(self.p.submission_port, OFFICE, tls=False) as c:
            self.t.hasnt(c.s.esmtp_features, "auth",
                         "587 without TLS: no AUTH is offered")
            self.refused(c.login("PLAIN", plain("alice", PASSWORD)),
                         "530 5.7.0 Must issue a STARTTLS command first",
                         "587: PLAIN without TLS")
        with Client(self.p.port, OFFICE, tls=True) as c:
            self.t.hasnt(c.s.esmtp_features, "auth",
                         "25 with TLS: no AUTH is offered")
            subject, data = self.mail("alice@example.com")
            self.refused(c.send(data, "alice@example.com"),
                         "554 5.7.1 <rcpt@example.net>: Relay access denied",
                         "25: relaying")
        with self.client() as c:
            subject, data = self.mail("alice@example.com")
            reply = c.send(data, "alice@example.com")
            self.t.ok(reply.startswith("553 5.7.1 <alice@example.com>: "
                                       "Sender address rejected: not logged"),
                      "587: no login", reply)
            self.t.is_(c.login("PLAIN", plain("alice", "wrong"))[:10],
                       "535 5.7.8 ", "587: a wrong password")
        with self.client("alice") as c:
            subject, data = self.mail("alice@example.com")
            self.signed(subject, c.send(data, "alice@example.com"),
                        "587: alice by PLAIN over TLS")
            subject, data = self.mail("Alice <alice+x@example.com>")
            self.signed(subject, c.send(data, "alice+x@example.com"),
                        "587: an address extension")
        self.t.ok(self.d.wait_log("direction=outbound(listener) login=alice "
                                  "mechanism=PLAIN tls=TLSv1.3/"),
                  "the log has login, mechanism and TLS", self.d.log())
        with self.client("bob", port=self.p.submissions_port, client=None,
                         wrapped=True) as c:
            subject, data = self.mail("bob@example.com")
            self.signed(subject, c.send(data, "bob@example.com"),
                        "465: bob by PLAIN")

    def local_users(self):
        subject, data = self.mail("root@example.com")
        # where sendmail(1) looks for its configuration, for users
        p = subprocess.run(
            ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" '
             '/etc/postfix && exec setpriv --reuid nobody --clear-groups '
             '/usr/sbin/sendmail -f root@example.com rcpt@example.net',
             self.p.etc], input=data, check=False, timeout=60,
            capture_output=True)
        self.t.ok(p.returncode != 0 and b"not allowed to submit" in p.stderr,
                  "sendmail(1) is closed to users", p.stderr)
        p = self.p.sendmail(data, "root@example.com")
        self.signed(subject, "250 " if p.returncode == 0 else
                    p.stderr.decode(), "sendmail(1) of root")

    def senders(self):
        """Each login sends as what it owns."""
        with self.client("alice") as c:
            _, data = self.mail("bob@example.com")
            self.refused(
                c.send(data, "alice@example.com"),
                "550 5.7.1 Sender address rejected, From bob@example.com is "
                "not owned by login alice; it owns alice@example.com, "
                "finance@example.com. Send from an address of yours, or ask "
                "it@example.com", "another's From")
            _, data = self.mail("alice@example.com")
            reply = c.send(data, "bob@example.com")
            self.t.ok(reply.startswith(
                "553 5.7.1 <bob@example.com>: Sender address rejected: not "
                "owned by user alice"), "another's MAIL FROM, by Postfix",
                reply)

    def strong(self):
        """finance@ over single sign-on or a listed certificate alone."""
        weak = "550 5.7.9 MAIL FROM finance@example.com needs a login by " \
               "token or certificate, this one is by {}. Log in with single " \
               "sign-on; help: it@example.com"
        author = "finance@example.com"

        def send(what, wanted, *args, **kw):
            with self.client(*args, **kw) as c:
                subject, data = self.mail(author)
                reply = c.send(data, author)
            if wanted:
                self.refused(reply, wanted, f"finance@ by {what}")
            else:
                self.signed(subject, reply, f"finance@ by {what}")

        send("PLAIN", weak.format("password"), "alice")
        scram = Scram("alice", PASSWORD)
        send("SCRAM-SHA-256", weak.format("password"), "alice",
             "SCRAM-SHA-256", scram)
        self.t.ok(scram.verified, "SCRAM: the server has shown its proof")
        self.t.ok(self.d.wait_log("mechanism=SCRAM-SHA-256 "),
                  "SCRAM: the log has the mechanism", self.d.log())
        line = self.d.wait_log("mechanism=SCRAM-SHA-256 ")
        self.t.has(line or "", " class=password ", "SCRAM is a password")
        send("OAUTHBEARER", None, "alice", "OAUTHBEARER",
             oauthbearer("alice", "token-of-alice"))
        send("XOAUTH2", None, "bob", "XOAUTH2", xoauth2("bob", "token-of-bob"))
        send("certificate", None, "alice",
             certificate=self.certificates.alice)
        send("another's certificate", weak.format("password"), "bob",
             certificate=self.certificates.alice)
        send("a certificate that is not listed", weak.format("password"),
             "bob", certificate=self.certificates.bob)
        send("a forged certificate", weak.format("password"), "alice",
             certificate=self.certificates.forged)

    def admins(self):
        author = "carol@example.com"
        with self.client("carol") as c:
            _, data = self.mail(author)
            self.refused(c.send(data, author), "550 5.7.9 login carol needs "
                         "a login by token or certificate, this one is by "
                         "password. Log in with single sign-on; help: "
                         "it@example.com", "an administrator by password")
        with self.client("carol", "OAUTHBEARER",
                         oauthbearer("carol", "token-of-carol")) as c:
            subject, data = self.mail(author)
            self.signed(subject, c.send(data, author),
                        "an administrator by OAUTHBEARER")

    def tokens(self):
        """What is no token of the user logs nobody in."""
        for what, mechanism, step in (
                ("expired token", "OAUTHBEARER",
                 oauthbearer("alice", "old-token")),
                ("token for something else", "OAUTHBEARER",
                 oauthbearer("alice", "read-token")),
                ("another's token", "OAUTHBEARER",
                 oauthbearer("alice", "token-of-bob")),
                ("password as a token", "OAUTHBEARER",
                 oauthbearer("alice", PASSWORD)),
                ("password as a token", "XOAUTH2",
                 xoauth2("bob", PASSWORD)),
                ("API key as a token", "XOAUTH2", xoauth2("shop", PASSWORD)),
                ("token as a password", "PLAIN",
                 plain("alice", "token-of-alice"))):
            with self.client() as c:
                reply = c.login(mechanism, step)
            self.t.is_((reply or "")[:10], "535 5.7.8 ",
                       f"{mechanism}: {what}: refused", reply)

    def keys(self):
        """API keys: addresses, networks, limits."""
        with self.client("shop", client=SHOP) as c:
            _, data = self.mail("alice@example.com")
            self.refused(
                c.send(data, "orders@example.com"),
                "550 5.7.1 Sender address rejected, From alice@example.com "
                "is not owned by login shop; it owns orders@example.com. "
                "Send from an address of yours, or ask it@example.com",
                "API key with another From")
            for n in range(LIMIT):
                subject, data = self.mail("orders@example.com")
                reply = c.send(data, "orders@example.com")
                if n in (0, LIMIT - 1):
                    self.signed(subject, reply, f"API key: message {n + 1}")
            self.over_limit(c, "API key: over its limit")
        with self.client("newsletter", client=NEWS) as c:
            _, data = self.mail("news@example.com")
            self.refused(c.send(data, "news@example.com",
                                ("a@example.net", "b@example.net")),
                         "550 5.5.3 2 recipients, login newsletter may have 1 "
                         "in one message. Ask it@example.com for a new key",
                         "API key with too many recipients")
        with self.client("newsletter", client=OFFICE) as c:
            _, data = self.mail("news@example.com")
            self.refused(c.send(data, "news@example.com"),
                         "550 5.7.1 login newsletter may not send from "
                         f"{OFFICE}. Ask it@example.com for a new key",
                         "API key from another network")

    def over_limit(self, c, what):
        _, data = self.mail("orders@example.com")
        reply = c.send(data, "orders@example.com")
        self.t.ok(re.fullmatch(
            r"450 4\.7\.1 Limit of 20 messages per hour of login shop is "
            r"reached, it frees at 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ\. Ask "
            r"it@example\.com for a higher limit", reply), what, reply)

    def restart(self):
        """The counts outlive mailseald, in a folder of its user."""
        check_end(self.t, self.d, "before the restart")
        self.d.start()
        with self.client("shop", client=SHOP) as c:
            self.over_limit(c, "API key: over its limit after a restart")

    def revocation(self):
        """SIGHUP revokes, also for who is logged in."""
        with self.client("newsletter", client=NEWS) as c:
            subject, data = self.mail("news@example.com", UNSUBSCRIBE)
            self.signed(subject, c.send(data, "news@example.com"),
                        "API key: not revoked")
            self.d.expire("2099-12-31", ('{ login = "newsletter";',
                                         '{ login = "newsletter"; '
                                         'revoked = true;'))
            self.d.reload()
            _, data = self.mail("news@example.com", UNSUBSCRIBE)
            self.refused(c.send(data, "news@example.com"), "550 5.7.8 The "
                         "credential of login newsletter is revoked. Ask "
                         "it@example.com for a new key", "API key: revoked")
            self.d.expire("2026-01-01")
            self.d.reload()
            _, data = self.mail("news@example.com", UNSUBSCRIBE)
            self.refused(c.send(data, "news@example.com"), "550 5.7.8 The "
                         "credential of login newsletter expired "
                         "2026-01-01T00:00:00Z. Ask it@example.com for a new "
                         "key", "API key: expired")
        with self.client("shop", client=SHOP) as c:
            self.d.expire("2099-12-31", ("#revoked", "revoked"))
            self.d.reload()
            _, data = self.mail("orders@example.com")
            self.refused(c.send(data, "orders@example.com"), "550 5.7.8 The "
                         "credential of login shop is revoked. Ask "
                         "it@example.com for a new key",
                         "API key: revoked by the line of the example")

    def leaving(self):
        """Who is removed from the senders owns nothing, while logged in."""
        with self.client("bob") as c:
            subject, data = self.mail("bob@example.com")
            self.signed(subject, c.send(data, "bob@example.com"), "bob")
            text = self.p.example("senders")
            self.p.write_owned("mailseal/senders", sure(
                sure(text, "bob@example.com         bob\n", ""),
                "alice,\n                        bob\n", "alice\n"))
            self.d.reload()
            _, data = self.mail("bob@example.com")
            self.refused(c.send(data, "bob@example.com"),
                         "550 5.7.1 Sender address rejected, MAIL FROM "
                         "bob@example.com is not owned by login bob. Send "
                         "from an address of yours, or ask it@example.com",
                         "bob, who has left")

    def arriving(self, author, sender, client, tls=False,
                 rcpt="alice@example.com", change=lambda data: data):
        subject, data = self.mail(author)
        with Client(self.p.port, client, tls=tls) as c:
            return subject, c.send(change(data), sender, (rcpt,))

    def seen(self, *args, **kw):
        """What a reader of arriving mail sees: the Subject, and whether the
        two fields are there."""
        subject, reply = self.arriving(*args, **kw)
        m = self.p.sink.wait_for(f"{subject}\r\n") \
            if reply.startswith("250 ") else None
        if m is None:
            return reply
        return (m.all("Subject")[0].replace(subject, "..."),
                len(m.all("X-Mailseal-External")),
                len(m.all("X-Mailseal-Warning")))

    def preflight(self):
        """Bulk mail that its receivers would not take."""
        with self.client("newsletter", client=NEWS) as c:
            _, data = self.mail("news@example.com")
            reply = c.send(data, "news@example.com")
            self.t.ok(reply.startswith("550 5.7.1 ") and
                      "unsubscribe" in reply and
                      reply.endswith(". See https://it.example.com/bulk"),
                      "bulk mail without a way to unsubscribe: refused",
                      reply)
            subject, data = self.mail("news@example.com", UNSUBSCRIBE)
            self.signed(subject, c.send(data, "news@example.com"),
                        "bulk mail with one click to unsubscribe")
        with self.client("alice") as c:
            subject, data = self.mail("alice@example.com")
            self.signed(subject, c.send(data, "alice@example.com"),
                        "mail of a person")
        self.t.has(self.d.log().splitlines()[-1], " preflight=ok ",
                   "with keys, SPF and DMARC as the zone has them")

    def people(self):
        """Readers are told what comes from outside, and what imitates."""
        them = "x@other.example"
        for what, wanted, author, rcpt in (
                ("mail of others", ("[EXTERNAL] ...", 1, 0), them, None),
                ("a name of ours", ("[EXTERNAL] ...", 1, 1),
                 f"Carol Example <{them}>", None),
                ("a domain like ours", ("[EXTERNAL] ...", 1, 1),
                 "alice@exampel.com", None),
                ("a recipient whose mail is forwarded", ("...", 1, 0), them,
                 "archive@example.com")):
            self.t.is_(self.seen(author, them, OFFICE,
                                 rcpt=rcpt or "alice@example.com"),
                       wanted, f"readers: {what}")
        if not have_dkimpy():
            self.t.skip("readers: a drill", "no dkimpy")
            return
        self.t.is_(self.seen("Carol Example <x@drill.example>", them, OFFICE,
                             change=lambda data: sign(
                                 data, "drill.example", "d", self.d.drill)),
                   ("...", 0, 0), "readers: a drill")

    def spoofs(self):
        """Forged mail from outside."""
        _, reply = self.arriving("ceo@example.com", "x@attacker.example",
                                 OFFICE)
        self.t.ok(reply.startswith("550 5.7.") and "example.com" in reply and
                  reply.endswith("see https://example.com/mail or +1 555 "
                                 "0100"),
                  "our domain from outside: rejected by DMARC", reply)
        subject, reply = self.arriving("x@other.example", "x@other.example",
                                       OFFICE)
        m = self.p.sink.wait_for(f"{subject}\r\n")
        self.t.ok(m and not m.all("DKIM-Signature") and
                  len(m.all("Authentication-Results")) == 1,
                  "mail of others arrives, verified and not signed", reply)

    def bank(self):
        """TLS of a named peer."""
        _, reply = self.arriving("a@bank.example", "a@bank.example", BANK)
        self.refused(reply, "530 5.7.0 Must issue a STARTTLS command first: "
                     "bank.example needs TLS. Turn on TLS; help: "
                     "it@example.com", "the bank without TLS")
        subject, reply = self.arriving("a@bank.example", "a@bank.example",
                                       BANK, tls=True)
        m = self.p.sink.wait_for(f"{subject}\r\n")
        self.t.ok(m and "dmarc=pass" in m.all("Authentication-Results")[0],
                  "the bank over TLS", reply)
        self.t.ok(self.handshake(ssl.TLSVersion.TLSv1_1) and
                  not self.handshake(ssl.TLSVersion.TLSv1_2),
                  "TLS 1.2 is the least that Postfix takes")

    def handshake(self, newest):
        """Is it refused?"""
        s = smtplib.SMTP("127.0.0.1", self.p.port, "x.example", timeout=30)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():  # that these are old
            warnings.simplefilter("ignore")
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = newest
        try:
            s.starttls(context=context)
            return False
        except (ssl.SSLError, OSError):
            return True
        finally:
            s.close()


TESTS = ("configuration", "authenticated", "local_users", "senders", "strong",
         "admins", "tokens", "keys", "preflight", "restart", "revocation",
         "spoofs", "bank", "people", "leaving")


def complete(t):
    """The README names each file, and no other."""
    files = {os.path.basename(p) for p in glob.glob(EXAMPLE + "/*")}
    text = example("README.md")
    for name in sorted(files - {"README.md"}):
        t.has(text, f"`{name}`", f"README: {name}")


def main():
    missing = Postfix.missing()
    tree, why = dovecot_tree(BUILD)
    if missing or why:
        skip_all(missing or f"Dovecot: {why}")
    t = Tap(280)
    with t.group("files"):
        complete(t)
    site = Site()
    with t.group("site"):
        try:
            with Milter(site) as d, Provider(TOKENS) as provider, \
                    dovecot_of(site, tree, provider) as dovecot:
                os.makedirs(site.in_dir("spool/private"), exist_ok=True)
                shutil.chown(site.in_dir("spool/private"), "postfix")
                d.start()
                dovecot.start(site.in_dir("spool/private/auth"))
                with site:
                    Client.trust = site.certificates.ca
                    run = Run(t, site, d)
                    for name in TESTS:
                        with t.group(name):
                            getattr(run, name)()
                    t.ok(provider.asked > 5, "the provider was asked")
                    t.hasnt(site.log(), "fatal:", "Postfix: nothing fatal")
                    check_end(t, d, "guidance")
                    if t.failed:
                        t.note(dovecot.log()[-8000:])
                        t.note(site.log()[-4000:])
        finally:
            site.close()
    t.done()


if __name__ == "__main__":
    main()
