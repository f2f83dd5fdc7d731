"""The whole configuration is read again while mail flows: no message is lost,
deferred or unsigned, each keeps what it began with, and what is wrong changes
nothing."""
import os
import re
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import milter_client as mc  # noqa: E402
from authres import Authres  # noqa: E402
from daemon import Daemon, check_end, config_text  # noqa: E402
from load import (INBOUND, OUTBOUND, ZONE, Load,  # noqa: E402
                  open_session, selectors)
from material import Key  # noqa: E402
from tap import Tap  # noqa: E402

CLIENTS = 50
RELOADS = 100


class Site(Daemon):
    """A daemon whose configuration is written anew."""

    def configure(self, **config):
        """Replaced at once, as an administrator should."""
        self.write("conf.new", config_text(self.socket_path, self.zone_file,
                                           **config))
        os.rename(os.path.join(self.dir, "conf.new"), self.config)

    def reload(self, said="reloaded", seconds=20):
        """SIGHUP, and wait until the log says so: True, or what it says."""
        before = self.log().count(said)
        self.signal(signal.SIGHUP)
        end = time.monotonic() + seconds
        while self.log().count(said) == before:
            if time.monotonic() > end or not self.alive:
                return self.log()[-3000:]
            time.sleep(0.005)
        return True


def begin(s, data, sender):
    """MAIL to the first field of a message; what is left of it."""
    fields, body = mc.split_message(data)
    s.mail(sender)
    s.rcpt("<b@example.net>")
    s.header(*fields[0])
    return fields[1:], body


def finish(s, rest):
    fields, body = rest
    for f in fields:
        s.header(*f)
    s.end_of_header()
    s.body(body)
    edits = []
    return s.end_of_message(edits).verdict, " ".join(
        str(e[3]) for e in edits if e[0] == "insheader")


def test_in_flight(t, keys):
    """What a message began with decides it; the next has the new."""
    domains = {"example.com": [("old", keys[0].path)]}
    with Site(zone=ZONE, domains=domains) as d:
        held, s = open_session(d.address, login="alice")
        idle, other = open_session(d.address, login="alice")
        rest = begin(s, OUTBOUND, "<a@example.com>")
        d.configure(domains={"example.com": [("new", keys[1].path)]},
                    authserv_id="new.test")
        t.is_(d.reload(), True, "in flight: reloaded")
        verdict, made = finish(s, rest)
        t.is_(verdict, "accept", "in flight: accepted")
        t.ok("s=old" in made, "in flight: signed with the key that it began "
                              "with", made)
        for c, name in ((s, "the same session"), (other, "an idle session")):
            o = c.message(OUTBOUND, "<a@example.com>", ["<b@example.net>"])
            t.is_(selectors(o), ["new"], f"{name}: the next has the new key")
        o = d.send(INBOUND, "<a@example.org>", client="192.0.2.10")
        t.is_(Authres(o.headers[0][1]).authserv_id, "new.test",
              "a new session: the new name")
        held.close()
        idle.close()
        check_end(t, d, "in flight")


def test_wrong(t, keys):
    """file:line, and all stays as it was."""
    domains = {"example.com": [("old", keys[0].path)]}
    kept = "the old one stays"
    with Site(zone=ZONE, domains=domains) as d:
        with open(d.config) as f:
            right = f.read()
        missing = os.path.join(d.dir, "none.pem")
        for name, text, said in (
                ("syntax", right + "dmarc = {\n",
                 f"{d.config}:{right.count(chr(10)) + 2}: syntax error"),
                ("an option", right + 'nonsense = "1";\n',
                 f'{d.config}:{right.count(chr(10)) + 1}: unknown option '
                 '"nonsense"'),
                ("a key that is gone", right.replace(keys[0].path, missing),
                 f"{missing}: No such file"),
                ("a zone", right.replace(d.zone_file, missing), missing)):
            d.write("mailseal.conf", text)
            t.is_(d.reload(kept), True, f"{name}: the old one stays")
            t.has(d.log(), said, f"{name}: where and what")
            o = d.send(OUTBOUND, "<a@example.com>", login="alice")
            t.is_(selectors(o), ["old"], f"{name}: mail goes on")
        d.write("mailseal.conf", right)
        t.is_(d.reload(), True, "mended: reloaded")
        d.write("mailseal.conf", right.replace(d.socket_path, missing))
        t.is_(d.reload(), True, "another socket: reloaded")
        t.ok(d.wait_log("socket is another, and takes effect at a restart"),
             "another socket: that it needs a restart is told")
        t.is_(selectors(d.send(OUTBOUND, "<a@example.com>", login="alice")),
              ["old"], "another socket: the one that it has stays")
        d.write("mailseal.conf", right.replace(
            "control.sock", "another.sock").replace(d.socket_path, missing))
        t.is_(d.reload(), True, "another control.socket: reloaded")
        t.ok(d.wait_log("control.socket is another, and takes effect at a "
                        "restart"), "another control.socket: that is told")
        d.write("none.pem", "of somebody else\n")
        check_end(t, d, "wrong")
        t.is_((os.path.exists(d.socket_path), os.path.exists(missing)),
              (False, True), "another socket: at the end its own goes")


def settled(d, wanted=None):
    """How many threads it has; when they are `wanted`, or no others come."""
    end = time.monotonic() + 10
    n, since = 0, time.monotonic()
    while time.monotonic() < end:
        now = len(os.listdir(f"/proc/{d.process.pid}/task"))
        if now != n:
            n, since = now, time.monotonic()
        if n == wanted or (wanted is None and time.monotonic() > since + 1):
            break
        time.sleep(0.02)
    return n


def test_first_services(t):
    """Those of the first configuration end as others do."""
    with Site(zone=ZONE, state=True) as d:
        before = settled(d)
        d.configure(state=d.dir, extra="journal = { record_days = 3; };")
        t.is_(d.reload(), True, "another journal: reloaded")
        t.is_(settled(d, before), before,
              "another journal: the thread of the first one ends")
        check_end(t, d, "first services")


def test_services(t, keys):
    """The resolver's cache outlives a reload, unless its options changed."""
    with Site(zone=ZONE, domains={"example.com": [("s", keys[0].path)]}) as d:
        d.write("zone", ZONE.replace("192.0.2.10", "192.0.2.99"))
        t.is_(d.reload(), True, "a zone file: reloaded")
        o = d.send(INBOUND, "<a@example.org>", client="192.0.2.99")
        t.is_(Authres(o.headers[0][1]).result("spf", "smtp.mailfrom"), "pass",
              "a file that changed is a new resolver")
        check_end(t, d, "services")


def test_storm(t, keys):
    """Signals without a pause: none of them ends it."""
    domains = {"example.com": [("s", keys[0].path)]}
    with Site(zone=ZONE, domains=domains) as d:
        c, s = open_session(d.address, login="alice")
        signed = 0
        for _ in range(60):
            for _ in range(20):
                d.signal(signal.SIGHUP)
            o = s.message(OUTBOUND, "<a@example.com>", ["<b@example.net>"])
            signed += selectors(o) == ["s"]
        t.is_(signed, 60, "1200 times SIGHUP: every message is signed")
        t.ok(d.alive, "1200 times SIGHUP: it is there", d.log()[-2000:])
        c.close()
        check_end(t, d, "storm")


def test_load(t, keys):
    """100 reloads of everything under 50 connections."""
    def domains(n):
        return {"example.com": [(("one", "two")[n % 2], keys[n % 2].path)]}

    with Site(zone=ZONE, domains=domains(0), state=True) as d:
        load = Load(d.address, CLIENTS)
        failed = []
        for n in range(1, RELOADS + 1):
            if n % 10 == 0:  # now and then a new resolver, and a new journal
                d.write("zone", ZONE + f"n{n}.test A 192.0.2.1\n")
            d.configure(domains=domains(n), state=d.dir,
                        extra=f"journal = {{ record_days = {n // 10 + 1}; }};")
            said = d.reload()
            if said is not True:
                failed.append(said)
                break
        stuck = load.end()
        t.is_(failed, [], "load: 100 reloads")
        t.is_(load.bad[:5], [], "load: no message is lost, deferred or "
                                "unsigned")
        t.is_(stuck, 0, "load: every session ends")
        t.ok(load.sent > 500, "load: there was load", load.sent)
        t.note(f"{load.sent} messages on {CLIENTS} connections during "
               f"{RELOADS} reloads")
        log = check_end(t, d, "load")
        t.is_(len(re.findall(r"signed=example.com/|dmarc=pass disposition",
                             log)), load.sent, "load: each in the log, once")
        t.is_(log.count("reloaded "), RELOADS, "load: and each reload")


def main():
    t = Tap(180)
    with Daemon(start=False) as files:
        keys = [Key(files.dir, name, "rsa") for name in ("k1", "k2")]
        for part in (test_in_flight, test_wrong, test_services, test_storm,
                     test_load):
            with t.group(part.__name__):
                part(t, keys)
        with t.group("test_first_services"):
            test_first_services(t)
    t.done()


main()
