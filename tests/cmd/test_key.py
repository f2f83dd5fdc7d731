"""mailseal key: from new to revoked, with the daemon as witness; key tables.

The DNS is a zone file that the test writes as an administrator would edit it.
"""
import os
import re
import signal
import sys
import time

SRC = os.environ.get("MAILSEAL_SRCDIR", ".")
sys.path.insert(0, os.path.join(SRC, "tests", "lib"))
from daemon import Daemon, mailseal, program  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

try:
    from dns_server import Server
except ImportError as e:
    skip_all(f"dnspython or cryptography is missing: {e}")

DOMAIN = "example.org"
MESSAGE = (b"From: Alice <alice@example.org>\r\nTo: bob@example.net\r\n"
           b"Subject: x\r\nDate: Tue, 03 Nov 2026 10:00:00 +0000\r\n"
           b"Message-ID: <1@example.org>\r\n\r\nbody\r\n")


def run(*args):
    status, out, err = mailseal(*args)
    return status, out.decode(), err


class Site:
    """A directory with keys, zone and configuration."""

    def __init__(self, t):
        self.t = t
        self.daemon = Daemon(start=False, sign=("192.0.2.0/24",))
        self.dir = self.daemon.dir
        self.records = {}
        self.selectors = []

    def path(self, selector):
        return os.path.join(self.dir, f"{selector}.pem")

    def configure(self):
        keys = ", ".join(f'{{ selector = "{s}"; file = "{self.path(s)}"; }}'
                         for s in self.selectors)
        with open(self.daemon.config, encoding="utf-8") as f:
            text = re.sub(r"outbound = .*\n", "", f.read())
        self.daemon.write("mailseal.conf", text + "outbound = { domains = ( "
                          f'{{ domain = "{DOMAIN}"; keys = ( {keys} ); }} ); '
                          "};\n")
        self.daemon.write("zone", "".join(
            f"{name} TXT {data}\n" for name, data in self.records.items()))

    def key(self, action, selector, *more):
        return run("key", action, "-c", self.daemon.config, "--domain", DOMAIN,
                   "--selector", selector, *more)

    def signed_by(self):
        """The selectors that sign, after a start of the daemon."""
        self.daemon.start()
        outcome = self.daemon.send(MESSAGE, "<alice@example.org>",
                                   client="192.0.2.1")
        self.daemon.signal(signal.SIGKILL)  # at once
        self.daemon.wait()
        return sorted(re.findall(r"s=(s\d);", " ".join(
            outcome.fields("DKIM-Signature"))))


def record_of(output):
    """The data of the zone line that was printed."""
    m = re.match(r"(\S+)\. \d+ IN TXT \((.*) \)$", output.strip())
    return m[1], m[2].strip()


def rotation(t):
    site = Site(t)
    status, out, err = run("key", "new", "--domain", DOMAIN, "--selector",
                           "s1", "--out", site.path("s1"))
    t.is_(status, 0, "key new", err)
    site.selectors = ["s1"]
    site.configure()
    t.is_(site.signed_by(), [], "a new key does not sign")
    status, _, err = site.key("activate", "s1")
    t.is_(status, 1, "activate refuses a key that is not published")
    t.has(err, "not activated", "and says so")

    status, out, _ = site.key("publish", "s1")
    name, data = record_of(out)
    t.is_((status, name), (0, f"s1._domainkey.{DOMAIN}"), "publish", out)
    status, update, _ = site.key("publish", "s1", "--format", "nsupdate")
    t.has(update, f"update add {name}. 3600 TXT {data}\nsend",
          "and as input of nsupdate")
    t.has(site.key("list", "s1")[1], "published since", "its state")
    t.is_(site.signed_by(), [], "a published key does not sign")

    site.records[name] = data.replace("MII", "MIJ", 1)
    site.configure()
    status, out, _ = site.key("activate", "s1")
    t.is_(status, 1, "activate refuses another key in the DNS", out)
    site.records[name] = '"v=DKIM1; t=y; k=rsa; "' + data.replace(
        '"v=DKIM1; k=rsa; ', ' "', 1)
    site.configure()
    status, out, _ = site.key("activate", "s1")
    t.is_(status, 1, "and one in testing (t=y)", out)
    t.has(out, "t=y", "and says so")
    site.records[name] = data
    site.configure()
    status, out, err = site.key("activate", "s1")
    t.is_(status, 0, "activate accepts the key that is there", out, err)
    t.is_(site.signed_by(), ["s1"], "an active key signs")

    run("key", "new", "--domain", DOMAIN, "--selector", "s2", "--type",
        "ed25519", "--out", site.path("s2"))
    site.selectors = ["s1", "s2"]
    site.configure()
    t.is_(site.signed_by(), ["s1"], "the second key waits")
    name, data = record_of(site.key("publish", "s2")[1])
    site.records[name] = data
    site.configure()
    t.is_(site.key("activate", "s2")[0], 0, "the second key is active")
    t.is_(site.signed_by(), ["s1", "s2"], "both sign")
    status, out, _ = site.key("retire", "s1")
    t.is_(status, 0, "the first one retires")
    until = re.search(r"must stay until (\S+)Z$", out.strip())
    t.ok(until and abs(time.mktime(time.strptime(
        until[1], "%Y-%m-%dT%H:%M:%S")) - time.timezone - time.time()
        - 1209600) < 100, "with the time that its record must stay (x=)", out)
    t.is_(site.signed_by(), ["s2"], "and signs no more")
    status, out, _ = run("key", "check", "-c", site.daemon.config)
    t.is_(status, 0, "check finds all in order", out)
    status, _, err = site.key("retire", "s1", "--revoked")
    t.is_(status, 1, "it is not revoked before that time")
    t.has(err, "may arrive until", "with the reason")
    status, out, _ = site.key("retire", "s1", "--revoked", "--force")
    name, data = record_of(out)
    t.is_((status, data), (0, '"v=DKIM1; p="'), "but by force")
    t.is_(run("key", "check", "-c", site.daemon.config)[0], 1,
          "check misses the revocation in the DNS")
    site.records[name] = data
    site.configure()
    t.is_(run("key", "check", "-c", site.daemon.config)[0], 0,
          "and finds it afterwards")
    site.daemon.close()


def running(t):
    """A mailseald that runs follows at once, when it can be asked."""
    site = Site(t)
    run("key", "new", "--domain", DOMAIN, "--selector", "s1", "--type",
        "ed25519", "--out", site.path("s1"))
    site.selectors = ["s1"]
    site.configure()
    name, data = record_of(site.key("publish", "s1")[1])
    site.records[name] = data
    site.configure()
    with site.daemon as d:
        d.start()

        def signs():
            return d.send(MESSAGE, "<alice@example.org>", client="192.0.2.1"
                          ).field("DKIM-Signature") is not None

        t.ok(not signs(), "running: published, and not yet active")
        status, _, err = site.key("activate", "s1")
        t.is_((status, err), (0, "mailseald was reloaded, and does so from "
                              "now on\n"), "running: activate reloads")
        t.ok(signs(), "running: and it signs")
        status, _, err = site.key("retire", "s1")
        t.is_(status, 0, "running: retire")
        t.ok(not signs(), "running: and it signs no more")
        status, _ = d.stop()
        t.is_(status, 0, "running: the end")
    site = Site(t)
    site.selectors = ["s1"]
    run("key", "new", "--domain", DOMAIN, "--selector", "s1", "--type",
        "ed25519", "--out", site.path("s1"))
    site.configure()
    name, data = record_of(site.key("publish", "s1")[1])
    site.records[name] = data
    site.configure()
    status, _, err = site.key("activate", "s1")
    t.is_(status, 0, "not running: activate", err)
    t.has(err, "does so after mailseal reload, or its next start",
          "not running: what is left to do")
    t.has(err, "control.sock: No such file", "not running: and why")
    site.daemon.close()


def check_finds(t):
    """Every way in which the DNS can be wrong."""
    site = Site(t)
    site.selectors = ["s1", "s2"]
    run("key", "new", "--domain", DOMAIN, "--selector", "s1", "--out",
        site.path("s1"))
    run("key", "new", "--domain", DOMAIN, "--selector", "s2", "--bits", "1024",
        "--out", site.path("s2"))
    for s in site.selectors:
        os.unlink(site.path(s) + ".state")  # active
    site.configure()
    good = {s: record_of(site.key("publish", s)[1]) for s in site.selectors}
    name, data = good["s1"]
    for what, record in (
            ("no record", None), ("another key", good["s2"][1]),
            ("revoked", '"v=DKIM1; p="'), ("the record is no key", '"x"'),
            ("several key records", f"{data}\n{name} TXT {good['s2'][1]}"),
            ("does not allow sha256", data.replace("k=rsa", "h=sha1", 1)),
            ("timed out", "!TIMEOUT")):
        site.records = {name: record} if record else {}
        site.configure()
        status, out, _ = run("key", "check", "-c", site.daemon.config,
                             "--selector", "s1")
        t.is_(status, 1, f"check: {what}")
        t.ok("WRONG: active, in DNS" in out and
             (what in out or what == "timed out"), f"says so: {what}", out)
    site.records = dict(good.values())
    site.configure()
    status, out, _ = run("key", "check", "-c", site.daemon.config)
    t.is_(status, 1, "check: an RSA key of 1024 bits")
    t.has(out, "RSA key of 1024 bits is too short", "says so")
    t.has(out, "example.org s1: ok: active, in DNS the same key",
          "the other is in order")
    t.has(out, "needs 2 strings", "and the length of its record is told")
    site.daemon.close()


def broken_key(t):
    """A key that cannot be loaded stops nobody else."""
    site = Site(t)
    site.selectors = ["s1"]
    run("key", "new", "--domain", DOMAIN, "--selector", "s1", "--type",
        "ed25519", "--out", site.path("s1"))
    os.unlink(site.path("s1") + ".state")
    site.configure()
    with open(site.daemon.config, encoding="utf-8") as f:
        text = f.read()
    broken = os.path.join(site.dir, "none.pem")
    site.daemon.write("mailseal.conf", text.replace(
        "domains = (", 'domains = ( { domain = "broken.example"; keys = ( '
        f'{{ selector = "s1"; file = "{broken}"; }} ); }},'))
    status, _, err = run("check-config", site.daemon.config)
    t.is_(status, 78, "check-config refuses a key that is not there")
    t.has(err, f"{broken}: No such file", "and names it")
    site.daemon.start()
    outcome = site.daemon.send(MESSAGE, "<a@example.org>", client="192.0.2.1")
    t.ok(outcome.field("DKIM-Signature"),
         "the daemon starts and signs with the others")
    bad = MESSAGE.replace(b"alice@example.org", b"a@broken.example")
    outcome = site.daemon.send(bad, "<a@broken.example>", client="192.0.2.1")
    t.has(str(outcome.reply), "451", "mail of that domain waits")
    site.daemon.stop()
    t.has(site.daemon.log(), f"{broken}: No such file", "the log says why")
    site.daemon.close()


def big_table(t):
    """100,000 domains start within 2 s and 60 MB (not with sanitizers)."""
    site = Site(t)
    run("key", "new", "--domain", DOMAIN, "--selector", "s1", "--type",
        "ed25519", "--out", site.path("s1"))
    os.unlink(site.path("s1") + ".state")
    table = site.daemon.write("table", "".join(
        f"d{i}.customer.example.net selector2026 {site.path('s1')}\n"
        for i in range(100000)) + f"{DOMAIN} s1 {site.path('s1')}\n")
    with open(site.daemon.config, "a", encoding="utf-8") as f:
        f.write(f'outbound = {{ key_table = "{table}"; }};\n')
    begin = time.monotonic()
    site.daemon.start()
    seconds = time.monotonic() - begin
    with open(f"/proc/{site.daemon.process.pid}/status",
              encoding="ascii") as f:
        rss = int(re.search(r"VmHWM:\s+(\d+)", f.read())[1]) // 1024
    t.note(f"100,001 entries: {seconds:.2f} s, {rss} MB")
    outcome = site.daemon.send(MESSAGE, "<a@example.org>", client="192.0.2.1")
    t.ok(outcome.field("DKIM-Signature"),
         "a key of a large table signs")
    last = MESSAGE.replace(b"alice@example.org",
                           b"a@d99999.customer.example.net")
    outcome = site.daemon.send(last, "<a@example.org>", client="192.0.2.1")
    t.has(outcome.field("DKIM-Signature") or "",
          "d=d99999.customer.example.net", "and so does the last")
    with open(program("mailseald"), "rb") as f:
        sanitized = b"__asan_init" in f.read()
    t.ok(rss <= 60 or sanitized, "within 60 MB", f"{rss} MB")
    site.daemon.stop()
    site.daemon.close()


def bad_arguments(t):
    for args, part in (
            (("key",), "is needed"),
            (("key", "activate"), "--domain and --selector are needed"),
            (("key", "new", "--domain", "a..b", "--selector", "s"),
             "--domain is no domain"),
            (("key", "new", "--domain", "a.b", "--selector", "s", "--bits",
              "512"), "1024 to 4096"),
            (("key", "publish", "--domain", "a.b", "--selector", "s",
              "--format", "json"), "zone or nsupdate")):
        status, out, err = run(*args)
        t.ok(status == 64 and part in err and out == "", " ".join(args), err)
    status, _, err = run("key", "list", "-c", "/nonexistent/conf")
    t.ok(status == 78 and "/nonexistent/conf" in err, "no configuration", err)


def every_server(t):
    """activate asks each configured server by itself: a secondary that still
    has the old zone would make receivers reject the mail."""
    site = Site(t)
    run("key", "new", "--domain", DOMAIN, "--selector", "s1", "--out",
        site.path("s1"))
    site.selectors = ["s1"]
    site.configure()
    name, data = record_of(site.key("publish", "s1")[1])
    with Server(f"{name} TXT {data}\n") as ready, Server() as late:
        with open(site.daemon.config, encoding="utf-8") as f:
            text = f.read()
        both = f'"{ready.address}", "{late.address}"'
        site.daemon.write("mailseal.conf", re.sub(
            r"zone_file = [^;]*;", f"servers = [ {both} ];", text))
        status, out, err = site.key("activate", "s1")
        t.is_(status, 1, "activate refuses while one server lacks the record")
        t.has(out + err, late.address, "and names that server")
        t.ok(ready.asked(name) > 0 and late.asked(name) > 0, "both were asked")
        t.has(site.key("list", "s1")[1], "published since", "no change")
        late.zones = ready.zones
        status, out, err = site.key("activate", "s1")
        t.is_(status, 0, "activate when both have it", out + err)
        t.has(site.key("list", "s1")[1], "active since", "the state changes")


def main():
    t = Tap()
    for part in (rotation, running, every_server, check_finds, broken_key,
                 big_table, bad_arguments):
        with t.group(part.__name__):
            part(t)
    t.done()


if __name__ == "__main__":
    main()
