"""/metrics and /healthz: each counter against the messages that were sent,
histograms, scrapes under load, peers that are a nuisance, outages, reload; and
that the manual names every metric."""
import fcntl
import os
import pwd
import re
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import milter_client as mc  # noqa: E402
from daemon import (SANITIZER, Daemon, check_end, mailseal,  # noqa: E402
                    program, quote)
from material import Key, crlf, have_dkimpy, key_record, sign  # noqa: E402
from mta import free_port  # noqa: E402
from scrape import Scrape, dial, http  # noqa: E402
from tap import Tap  # noqa: E402

SRC = os.environ.get("MAILSEAL_SRCDIR", ".")
ZONE = """\
reject.test TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.reject.test TXT "v=DMARC1; p=reject"
quarantine.test TXT "v=spf1 ip4:192.0.2.10 ~all"
_dmarc.quarantine.test TXT "v=DMARC1; p=quarantine"
none.test TXT "v=spf1 ip4:192.0.2.10 ?all"
_dmarc.signed.test TXT "v=DMARC1; p=none"
_dmarc.none.test TXT "v=DMARC1; p=none"
slow.test TXT !TIMEOUT
_dmarc.slow.test TXT !TIMEOUT
broken.test TXT "v=spf1 mist"
_dmarc.broken.test TXT "v=DMARC1; p=none"
10.2.0.192.in-addr.arpa PTR mail.reject.test
mail.reject.test A 192.0.2.10
"""
STRANGER, RIGHT = "203.0.113.66", "192.0.2.10"
RULES = """\
rules = (
  { name = "held"; sender = [ "x@held.test" ]; action = "quarantine";
    mode = "enforce"; },
  { name = "gone"; sender = [ "x@gone.test" ]; action = "discard";
    mode = "enforce"; },
  { name = "later"; sender = [ "x@later.test" ]; action = "tempfail";
    mode = "enforce"; },
  { name = "shadow"; sender = [ "x@shadow.test" ]; action = "reject";
    mode = "monitor"; } );
"""
SPF, HELO, DKIM, ARC, DMARC, IPREV = (
    ("mailseal_results_total", m)
    for m in ("spf", "spf-helo", "dkim", "arc", "dmarc", "iprev"))
MESSAGES, DONE, SHADOW, RULE, GATE, SIGNING, SIGNATURES, SEALING = (
    f"mailseal_{n}_total" for n in (
        "messages", "dispositions", "shadow_dispositions", "rules",
        "gate_checks", "signing", "signatures", "arc_sealing"))


def mail(author, extra=""):
    return crlf(f"From: {author}\nTo: bob@example.net\nSubject: x\n"
                "Date: Tue, 03 Nov 2026 10:00:00 +0000\n"
                f"Message-ID: <1@x.test>\n{extra}\nbody\n")


class Site:
    """A daemon that has everything: keys, a gate, rules, a journal."""

    def __init__(self, where=None, extra="", **kw):
        self.d = Daemon(start=False, state=True,
                        sign=("198.51.100.0/24",),
                        listeners=[("in", "inbound"), ("quiet", "none")],
                        **kw)
        self.where = where or f"unix:{self.d.dir}/metrics"
        self.key = Key(self.d.dir, "ed", "ed25519")
        self.d.write("zone", ZONE + key_record("signed.test", "s1", self.key))
        senders = self.d.write("senders", "alice@signed.test alice\n")
        gone = os.path.join(self.d.dir, "gone.pem")
        with open(self.d.config, "a", encoding="utf-8") as f:
            f.write(f"""
metrics = {{ listen = {quote(self.where)}; }};
dmarc = {{ disposition = "quarantine"; }};
inbound = {{ iprev = true; }};
submission = {{ sender_table = {quote(senders)}; sender_check = "reject"; }};
preflight = {{ format = "log"; }};
outbound = {{ domains = (
  {{ domain = "signed.test"; keys = (
    {{ selector = "s1"; file = {quote(self.key.path)}; }} ); }},
  {{ domain = "nokey.test"; keys = (
    {{ selector = "s1"; file = {quote(gone)}; }} ); }} ); }};
arc = {{ seal = ( {{ domain = "signed.test";
  recipient = [ "list@signed.test" ]; }} ); }};
{extra or RULES}""")
        self.d.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.d.close()

    def scrape(self):
        return Scrape(self.where)

    def in_(self, author, sender="<x@other.test>", client=STRANGER, **kw):
        return self.d.send(mail(author), sender, client=client, daemon="in",
                           **kw)

    def out(self, author, **kw):
        return self.d.send(mail(author), f"<{author}>", client=STRANGER, **kw)

    def grew(self, t, what, want, do):
        """Exactly these counters grow by what is done."""
        before = self.scrape()
        do()
        now = self.scrape()
        got = {k: n for k, n in now.since(before).items()
               if not k[0].startswith(tuple(
                   f"mailseal_{part}_" for part in ("dns", "journal", "key")))}
        want = {("mailseal_sessions_total",): 1, **want}
        t.is_(sorted(got.items() ^ want.items()), [], what)
        t.is_(now["mailseal_messages_in_flight"], 0, f"{what}: it is over")


def results(spf, dmarc, dkim="none", arc="none", helo="none",
            iprev="permerror"):
    ret = {(*DMARC, dmarc): 1, (*DKIM, dkim): 1, (*ARC, arc): 1,
           (*HELO, helo): 1, (*IPREV, iprev): 1}
    ret[(*SPF, spf)] = 1
    return ret


def test_inbound(t, s):
    def case(what, want, *args, **kw):
        s.grew(t, what, want, lambda: s.in_(*args, **kw))

    none = {(DONE, "none"): 1}
    taken = {(MESSAGES, "inbound", "accepted"): 1, **none}
    case("pass", {**taken, **results("pass", "pass", iprev="pass")},
         "a@reject.test", "<a@reject.test>", RIGHT)
    case("p=reject, quarantined instead", {
        (MESSAGES, "inbound", "quarantined"): 1, (DONE, "quarantine"): 1,
        (SHADOW, "reject"): 1, **results("fail", "fail")},
        "a@reject.test", "<a@reject.test>")
    case("p=quarantine", {
        (MESSAGES, "inbound", "quarantined"): 1, (DONE, "quarantine"): 1,
        **results("softfail", "fail")}, "a@quarantine.test",
        "<a@quarantine.test>")
    case("p=none", {**taken, **results("neutral", "fail")},
         "a@none.test", "<a@none.test>")
    case("temperror", {**taken, **results("temperror", "temperror")},
         "a@slow.test", "<a@slow.test>")
    case("permerror", {**taken, **results("permerror", "fail")},
         "a@broken.test", "<a@broken.test>")
    case("nothing published", {**taken, **results("none", "none")}, "a@b.test")
    plain = results("none", "none")
    case("a rule: quarantine", {
        (MESSAGES, "inbound", "quarantined"): 1, (DONE, "quarantine"): 1,
        **plain,
        (RULE, "held", "quarantine", "enforce"): 1}, "a@b.test",
        "<x@held.test>")
    case("a rule: discard", {
        (MESSAGES, "inbound", "discarded"): 1, (DONE, "reject"): 1, **plain,
        (RULE, "gone", "discard", "enforce"): 1}, "a@b.test", "<x@gone.test>")
    case("a rule: tempfail", {
        (MESSAGES, "inbound", "tempfailed"): 1, **none, **plain,
        (RULE, "later", "tempfail", "enforce"): 1}, "a@b.test",
        "<x@later.test>")
    case("a rule that monitors", {
        **taken, **plain, (RULE, "shadow", "reject", "monitor"): 1},
        "a@b.test", "<x@shadow.test>")
    case("sealed", {**taken, **plain, (SEALING, "sealed"): 1}, "a@b.test",
         rcpts=("<list@signed.test>",))
    s.grew(t, "a listener without direction",
           {(MESSAGES, "none", "accepted"): 1},
           lambda: s.d.send(mail("a@b.test"), "<a@b.test>", daemon="quiet"))


def test_signatures(t, s):
    if not have_dkimpy():
        t.skip("two signatures", "dkimpy is not installed")
        return
    data = sign(mail("a@signed.test"), "signed.test", "s1", s.key)
    data = sign(data, "nokey.test", "s9", s.key)
    s.grew(t, "two signatures count as two", {
        (MESSAGES, "inbound", "accepted"): 1, (DONE, "none"): 1,
        (*DKIM, "pass"): 1, (*DKIM, "permerror"): 1, (*DMARC, "pass"): 1,
        (*SPF, "none"): 1, (*HELO, "none"): 1, (*ARC, "none"): 1,
        (*IPREV, "permerror"): 1},
        lambda: s.d.send(data, "<x@other.test>", client=STRANGER,
                         daemon="in"))


def test_outbound(t, s):
    looked = {("mailseal_preflight_messages_total",): 1}

    def case(what, want, *args, **kw):
        s.grew(t, what, want, lambda: s.out(*args, **kw))

    case("signed", {(MESSAGES, "outbound", "accepted"): 1, **looked,
                    (SIGNING, "signed"): 1, (SIGNATURES, "signed.test"): 1,
                    (GATE, "sender", "ok"): 1}, "alice@signed.test",
         login="alice")
    case("refused by the gate", {
        (MESSAGES, "outbound", "rejected"): 1, (SIGNING, "unsigned"): 1,
        (GATE, "sender", "fault"): 1}, "alice@signed.test", login="mallory")
    s.grew(t, "its key is missing", {
        (MESSAGES, "outbound", "tempfailed"): 1, (SIGNING, "failed"): 1,
        **looked}, lambda: s.d.send(
            mail("a@nokey.test"), "<a@nokey.test>", client="198.51.100.1"))
    s.grew(t, "no key is due, and a line is too long", {
        (MESSAGES, "outbound", "accepted"): 1, (SIGNING, "unsigned"): 1,
        **looked, ("mailseal_preflight_faults_total", "format"): 1},
        lambda: s.d.send(mail("a@other.test") + b"x" * 1200 + b"\r\n",
                         "<a@other.test>", client="198.51.100.1"))


def test_gauges(t, s):
    m = s.scrape()
    t.is_([m["mailseal_keys"], m["mailseal_keys_loaded"],
           m["mailseal_keys_unusable"]], [2, 1, 1], "keys")
    t.is_((m["mailseal_sessions"], m["mailseal_journal_working"],
           m["mailseal_dns_outage"]), (0, 1, 0), "nothing is going on")
    t.is_(m["mailseal_config_last_reload_successful"], 1, "no reload failed")
    t.ok(0 <= time.time() - m["process_start_time_seconds"] < 300,
         "the time of the start")
    t.ok(abs(m["process_resident_memory_bytes"] - s.d.memory()) < 20e6,
         "memory", m["process_resident_memory_bytes"], s.d.memory())
    t.ok(m["process_cpu_seconds_total"] > 0, "time of processors")
    with mc.Connection(s.d.address) as c:
        session = mc.Session(c, macros=mc.standard_macros())
        session.connect(STRANGER)
        session.helo("x.test")
        session.mail("<a@b.test>")
        session.rcpt("<a@b.test>")
        for _ in range(100):  # nothing answers RCPT
            m = s.scrape()
            if m["mailseal_messages_in_flight"] == 1:
                break
            time.sleep(0.05)
        t.is_((m["mailseal_sessions"], m["mailseal_messages_in_flight"]),
              (1, 1), "a message on its way")
    for _ in range(100):
        m = s.scrape()
        if m["mailseal_sessions"] == 0:
            break
        time.sleep(0.05)
    t.is_((m["mailseal_sessions"], m["mailseal_messages_in_flight"]), (0, 0),
          "the MTA hung up: neither is left")
    t.is_(m.sum("mailseal_config_info"), 1, "one configuration")


def check_histogram(t, m, name, label, count):
    rows, total, n = m.histogram(name, label)
    what = f"{name} {label}"
    t.is_((rows[-1][0], rows[-1][1], n), ("+Inf", count, count),
          f"{what}: all of them")
    bounds = [float(b) for b, _ in rows]
    t.is_(bounds, sorted(set(bounds)), f"{what}: bounds ascend")
    numbers = [v for _, v in rows]
    t.is_(numbers, sorted(numbers), f"{what}: buckets are cumulative")
    least = sum((b - a) * lower for (_, a), (_, b), lower in
                zip([("", 0), *rows], rows, [0, *bounds]))
    t.ok(least <= total, f"{what}: the sum is not less than the buckets say",
         least, total)
    finite = [b for b in bounds if b < 1e9]
    if rows[-2][1] == n:  # none beyond the last bound
        most = sum((b - a) * upper for (_, a), (_, b), upper in
                   zip([("", 0), *rows], rows, finite))
        t.ok(total <= most, f"{what}: nor more", total, most)


def test_histograms(t, s):
    m = s.scrape()
    inbound = m.sum(MESSAGES, "inbound")
    outbound = m.sum(MESSAGES, "outbound")
    t.ok(inbound > 5 and outbound > 2, "there is something to look at")
    check_histogram(t, m, "mailseal_message_seconds", "inbound", inbound)
    check_histogram(t, m, "mailseal_message_seconds", "outbound", outbound)
    check_histogram(t, m, "mailseal_stage_seconds", "verify", inbound)
    check_histogram(t, m, "mailseal_stage_seconds", "dns", inbound)
    check_histogram(t, m, "mailseal_stage_seconds", "sign",
                    m[SIGNING, "signed"] + m[SEALING, "sealed"])


def test_text(t, s):
    status, head, text = http(s.where)
    m = Scrape(text=text)
    t.is_(status, 200, "status")
    t.has(head, "Content-Type: text/plain; version=0.0.4", "its type")
    t.is_(m.bad, [], "every line is as the format has it, and none is twice")
    t.is_(set(m.types), set(m.helps), "each metric has help and type")
    for name, kind in m.types.items():
        t.is_(name.endswith("_total"), kind == "counter",
              f"{name}: is called as a {kind} is")
    strange = {k[0] for k in m} - m.names - {
        n + x for n in m.names for x in ("_bucket", "_sum", "_count")}
    t.is_(strange, set(), "no sample without its metric")
    path = os.path.join(SRC, "doc", "mailseal-metrics.7")
    with open(path, encoding="utf-8") as f:
        manual = re.findall(r"^\.It Ic (\S+)", f.read(), re.M)
    t.is_(sorted(manual), sorted(m.names), "the manual has each once")
    t.is_(http(s.where, method="HEAD")[2], "", "HEAD has no text")
    t.is_(http(s.where, "/")[0], 404, "another path")
    t.is_(http(s.where, method="POST", more="Content-Length: 9\r\n")[0], 405,
          "another method")
    t.is_(http(s.where, "/healthz")[0::2], (200, "ok\n"), "/healthz")


def test_users(t, s):
    """What the dashboard and the alerts ask for is there."""
    told = s.scrape().names
    for path in ("grafana/mailseal.json", "prometheus/mailseal.rules.yml"):
        with open(os.path.join(SRC, "contrib", path), encoding="utf-8") as f:
            used = set(re.findall(r"\b(?:mailseal|process)_[a-z_]+", f.read()))
        t.ok(len(used) > 10, f"{path}: uses metrics")
        plain = {n if n in told else re.sub("_(bucket|sum|count)$", "", n)
                 for n in used}
        t.is_(sorted(plain - told), [], f"{path}: all of them exist")


def test_reload(t, s):
    before = s.scrape()
    s.d.signal(signal.SIGHUP)
    t.ok(s.d.wait_log("eload"), "SIGHUP")
    for _ in range(200):
        now = s.scrape()
        if now["mailseal_config_reloads_total", "ok"] == 1:
            break
        time.sleep(0.05)
    t.is_([now["mailseal_config_reloads_total", r] for r in ("ok", "failed")],
          [1, 0], "a reload is counted")
    lost = {k: (v, now[k]) for k, v in before.items()
            if (k[0].endswith(("_total", "_bucket", "_count", "_sum"))) and
            now[k] < v and not k[0].startswith("mailseal_key_load")}
    t.is_(lost, {}, "no counter goes back")
    s.grew(t, "it counts on", {
        (MESSAGES, "inbound", "accepted"): 1, (DONE, "none"): 1,
        **results("none", "none")}, lambda: s.in_("a@b.test"))
    with open(s.d.config, "a", encoding="utf-8") as f:
        f.write("nonsense = 1;\n")
    s.d.signal(signal.SIGHUP)
    for _ in range(200):
        now = s.scrape()
        if now["mailseal_config_reloads_total", "failed"] == 1:
            break
        time.sleep(0.05)
    t.is_([now["mailseal_config_reloads_total", r] for r in ("ok", "failed")],
          [1, 1], "a reload that failed is counted")
    t.is_(now["mailseal_config_last_reload_successful"], 0, "... and shown")
    t.ok(now["mailseal_config_last_reload_timestamp_seconds"] >=
         before["process_start_time_seconds"], "... with its time")


def test_load(t, s, senders=8, each=40):
    """Scrapes while others send: none fails, no number goes back, and in the
    end all is counted."""
    before, seen, failed = s.scrape(), [], []

    def send():
        try:
            for _ in range(each):
                s.in_("a@b.test")
        except Exception as e:  # pylint: disable=broad-except
            failed.append(repr(e))

    threads = [threading.Thread(target=send) for _ in range(senders)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        seen.append(s.scrape())
    for thread in threads:
        thread.join()
    seen.append(s.scrape())
    t.is_(failed, [], "every message was dealt with")
    t.ok(len(seen) > 5, f"{len(seen)} scrapes meanwhile")
    back = [k for a, b in zip([before, *seen], seen) for k in a
            if k[0].endswith(("_total", "_bucket", "_count")) and b[k] < a[k]]
    t.is_(back, [], "no number goes back")
    uneven = [m for m in seen if m.histogram(
        "mailseal_message_seconds", "inbound")[0][-1][1] !=
        m["mailseal_message_seconds_count", "inbound"]]
    t.is_(uneven, [], "each scrape is even in itself")
    t.is_(seen[-1].sum(MESSAGES, "inbound") - before.sum(MESSAGES, "inbound"),
          senders * each, "all are counted")


def test_nuisance(t, s):
    """Peers that say nothing, too much or nonsense keep no mail up, and only
    for a while other peers."""
    silent = [dial(s.where) for _ in range(12)]
    for n, peer in enumerate(silent):
        peer.sendall((b"", b"GET /metr", b"\0\1\2", b"A" * 5000)[n % 4])
    t.is_(s.in_("a@b.test").verdict, "accept", "mail flows meanwhile")
    t.is_(http(s.where)[0], 200, "there is room for others")
    with dial(s.where) as peer:
        try:
            for _ in range(200):
                peer.sendall(b"X-Header: " + b"x" * 8000 + b"\r\n")
            got = peer.recv(100)
        except OSError:
            got = b""
    t.ok(b" 200 " not in got, "a header of 1.6 MB is not taken", got)
    for peer in silent:
        peer.close()
    t.is_(http(s.where)[0], 200, "all is well afterwards")


def wait_health(where, status, seconds=15):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = http(where, "/healthz")
        if got[0] == status:
            break
        time.sleep(0.1)
    return got[0], got[2]


def test_outage(t):
    try:
        from dns_server import Server  # pylint: disable=C0415
    except ImportError as e:
        t.skip("DNS outage", f"dnspython or cryptography is missing: {e}")
        return
    with Server("healthy.test TXT \"v=spf1 -all\"\n") as server, Site(
            resolver=f'servers = [ "{server.address}" ]; '
                     "message_timeout = 2; query_timeout = 300;") as s:
        t.is_(wait_health(s.where, 200), (200, "ok\n"), "it is well")
        server.fault("silent")
        threads = [threading.Thread(target=s.in_, args=(
            f"a@o{n}.test", f"<a@p{n}.test>")) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        t.is_(wait_health(s.where, 503), (503, "no DNS server answers\n"),
              "an outage of the DNS")
        m = s.scrape()
        t.is_((m["mailseal_dns_outage"], m["mailseal_dns_outages_total"]),
              (1, 1), "... is in the metrics")
        t.ok(m["mailseal_dns_answers_total", "tempfail"] > 0,
             "... with its temporary failures")
        t.is_(m[(*DMARC, "temperror")], 8, "... and what became of mail")
        server.heal()
        t.is_(wait_health(s.where, 200), (200, "ok\n"), "it is over")
        check_end(t, s.d, "outage")


def test_broken_store(t):
    d = Daemon(start=False)
    with Site(directory=d.dir) as s:
        s.d.stop()
        path = os.path.join(d.dir, "journal.sqlite")
        with open(path, "wb") as f:
            f.write(b"no database" * 1000)
        for name in ("-wal", "-shm"):
            if os.path.exists(path + name):
                os.unlink(path + name)
        s.d.start()
        t.is_(wait_health(s.where, 503),
              (503, "the journal cannot be written\n"), "a broken journal")
        t.is_(s.scrape()["mailseal_journal_working"], 0, "... in the metrics")
        check_end(t, s.d, "broken store")
    d.close()


def test_as_root(t):
    """Started as root: the socket is made before, and removed after it has
    become somebody else who may do little."""
    if os.geteuid() != 0:
        t.skip("started as root", "not root")
        return
    who = pwd.getpwnam("nobody")
    with Site() as s:
        s.d.stop()
        with open(s.d.config, encoding="utf-8") as f:
            text = f.read()
        t.is_(text.count('user = "";'), 1, "the user is named")
        s.d.write("mailseal.conf",
                  text.replace('user = "";', 'user = "nobody";'))
        os.chown(s.d.dir, who.pw_uid, who.pw_gid)
        for name in os.listdir(s.d.dir):
            if name.startswith("journal"):
                os.chown(os.path.join(s.d.dir, name), who.pw_uid, who.pw_gid)
        s.d.start()
        with open(f"/proc/{s.d.process.pid}/status", encoding="ascii") as f:
            status = f.read()
        t.has(status, f"\nUid:\t{who.pw_uid}\t{who.pw_uid}\t",
              "as root: it is nobody now")
        t.ok(http(s.where)[0] == 200, "as root: it answers")
        t.is_(os.stat(s.where[5:]).st_gid, who.pw_gid,
              "as root: its group may ask")
        t.ok(s.scrape()["process_resident_memory_bytes"] > 1e6,
             "as root: it still knows its memory")
        check_end(t, s.d, "as root")
        t.ok(not os.path.exists(s.where[5:]), "as root: no socket is left")


def test_log_lost(t):
    """Nobody reads standard error: lines are lost, and that is counted."""
    with Site() as s:
        s.d.stop()
        reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        s.d.process = subprocess.Popen(  # pylint: disable=R1732
            [program("mailseald"), "-f", "-c", s.d.config], stderr=writer,
            stdin=subprocess.DEVNULL, env={**os.environ, **SANITIZER})
        os.close(writer)
        s.d.wait_ready()
        t.is_(s.scrape()["mailseal_log_lost_total"], 0, "no line is lost")
        for _ in range(30):
            s.in_("a@b.test")
        lost = s.scrape()["mailseal_log_lost_total"]
        # what is told of them is lost, too
        t.ok(10 < lost < 70, f"30 messages, {int(lost)} lines are lost")
        s.d.signal()
        with os.fdopen(reader, "rb") as f:
            log = f.read().decode()
        t.is_(s.d.wait(), 0, "it ends", log)


def test_places(t):
    """Where it listens."""
    port = free_port()
    with Site(f"127.0.0.1:{port}") as s:
        t.is_(http(s.where, "/healthz")[0], 200, "a port")
        other = Daemon(start=False, extra=f'metrics = {{ listen = '
                       f'"127.0.0.1:{port}"; }};\n')
        other.start(wait=False)
        t.is_(other.wait(), 78, "a port that is taken: no start")
        t.has(other.log(), f"metrics.listen: 127.0.0.1:{port} is in use",
              "... and why")
        other.close()
        check_end(t, s.d, "port")
    with Site() as s:
        path = s.where[5:]
        t.is_(os.stat(path).st_mode & 0o7777, 0o660, "a socket: its mode")
        s.d.process.kill()
        s.d.process.wait()
        s.d.start()
        t.is_(wait_health(s.where, 200)[0], 200, "one that was left behind")
        check_end(t, s.d, "socket")
        t.ok(not os.path.exists(path), "it is removed at the end")
    d = Daemon(start=False)
    for where in ("0.0.0.0:9879", "192.0.2.1:9879", "localhost:9879",
                  "127.0.0.1"):
        path = d.write("wrong.conf", f'\nmetrics = {{ listen = "{where}"; '
                       '};\n')
        status, _, err = mailseal("check-config", path)
        t.is_(status, 78, f"{where}: refused")
        t.ok(err.startswith(f"{path}:2: metrics.listen: \"{where}\" will not "
                            "do; give ") and "SSH or a reverse proxy" in err,
             f"{where}: with its place and the cure", err)
    d.close()


def main():
    t = Tap(300)
    with Site() as s:
        for test in (test_inbound, test_outbound, test_histograms,
                     test_signatures, test_gauges, test_text, test_users,
                     test_nuisance, test_load, test_reload):
            with t.group(test.__name__):
                test(t, s)
        check_end(t, s.d)
    for test in (test_as_root, test_log_lost, test_places, test_broken_store,
                 test_outage):
        with t.group(test.__name__):
            test(t)
    t.done()


if __name__ == "__main__":
    main()
