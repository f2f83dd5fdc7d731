"""The log as text and as JSON, of the same mail: each line is valid by
doc/log-schema.json, and the text form can be made of the JSON, so that both
tell the same.  What log.personal hides.  What journald gets."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from daemon import (Daemon, SANITIZER, check_end, program,  # noqa: E402
                    quote)
from log_text import text_of  # noqa: E402
from material import Key, crlf, key_record  # noqa: E402
from tap import Tap  # noqa: E402

try:
    import jsonschema
except ImportError:
    jsonschema = None

SRC = os.environ.get("MAILSEAL_SRCDIR", ".")
SCHEMA = os.path.join(SRC, "doc", "log-schema.json")
ZONE = """\
good.test TXT "v=spf1 ip4:192.0.2.1 -all"
_dmarc.good.test TXT "v=DMARC1; p=reject"
bad.test TXT "v=spf1 -all"
_dmarc.bad.test TXT "v=DMARC1; p=quarantine"
reject.test TXT "v=spf1 -all"
_dmarc.reject.test TXT "v=DMARC1; p=reject"
slow.test ANY !TIMEOUT
_dmarc.slow.test ANY !SERVFAIL
client.good.test A 192.0.2.1
_dmarc.github.io TXT "v=DMARC1; p=none"
1.2.0.192.in-addr.arpa PTR client.good.test
"""
SENDERS = "alice@own.test alice\nfinance@own.test alice\n"
CREDENTIALS = """\
credentials = (
    { login = "shop@own.test"; addresses = [ "shop@own.test" ];
      recipients = 1; },
    { login = "old"; addresses = [ "@own.test" ]; revoked = true; } );
"""
MORE = """\
inbound = { iprev = true; };
dmarc = { disposition = "honor"; discovery = "compare"; };
awareness = { subject_tag = "[EXT] "; external_header = true;
    lookalikes = true; domains = [ "example.com" ];
    names = [ "Erika Mustermann" ]; drill_domains = [ "drill.test" ]; };
arc = { seal = ( { domain = "own.test"; recipient = [ "@list.test" ]; },
                 { domain = "nokey.test"; recipient = [ "@list2.test" ]; } );
      };
preflight = { dkim = "log"; format = "reject"; dmarc = "log"; };
rules = ( { name = "hop"; mode = "enforce"; action = "reject";
            helo = [ "rule.test" ]; },
          { name = "try"; mode = "monitor"; action = "tag";
            direction = "inbound"; } );
tls = { mode = "monitor"; login_version = "TLSv1.3"; };
"""
TLS = {"{tls_version}": "TLSv1.2", "{cipher}": "ECDHE-RSA-AES128",
       "{cipher_bits}": "128", "{cert_subject}": 'CN=Bob "B" \xfcber',
       "{cert_issuer}": "CN=CA one", "{verify}": "OK"}


def mail(author, extra="", subject="x", date=True):
    return crlf((f"From: {author}\nTo: r@example.net\nSubject: {subject}\n"
                 + ("Date: Tue, 24 Nov 2026 10:00:00 +0000\n" if date else "")
                 + f"Message-ID: <1@x.test>\n{extra}\nbody\n").encode("utf-8"))


class Site:
    """A daemon with everything that a line can tell of."""

    def __init__(self, directory, log, more="", **kw):
        self.key = Key(directory, "k")
        zone = ZONE + key_record("own.test", "s1", self.key) + \
            key_record("drill.test", "s1", self.key) + \
            '_dmarc.own.test TXT "v=DMARC1; p=none"\n'
        self.daemon = Daemon(
            zone=zone, start=False, domains={
                "own.test": [("s1", self.key.path)],
                "broken.test": [("s1", directory + "/missing.pem")]},
            sign=("198.51.100.0/24",),
            listeners=(("in", "inbound"), ("out", "outbound"),
                       ("off", "none")), **kw)
        d = self.daemon
        rows = {"sender_table": quote(d.write("senders", SENDERS)),
                "credentials": quote(d.write("keys", CREDENTIALS)),
                "sender_check": '"reject"', "credential_check": '"reject"',
                "login_check": '"monitor"',
                "login_classes": '( { address = "finance@own.test"; '
                                 'classes = [ "token" ]; } )'}
        group = "".join(f"{k} = {v}; " for k, v in rows.items())
        with open(d.config, encoding="utf-8") as f:
            text = f.read()
        text = text.replace('log = { target = "stderr"; };', log)
        d.write("mailseal.conf",
                text + f"submission = {{ {group} }};\n" + MORE + more)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.daemon.close()

    def play(self):
        """One message of each kind."""
        d = self.daemon
        d.wait_log("listens on")  # it does before it says so
        inbound = {"daemon": "in", "helo": "client.good.test"}
        d.send(mail("a@good.test"), "<a@good.test>", queue_id="Qgood",
               name="client.good.test", **inbound)
        d.send(mail("a@bad.test"), "<a@bad.test>", queue_id="Qquarantine",
               **inbound)
        d.send(mail("a@reject.test"), "<a@reject.test>", queue_id="Qreject",
               **inbound)
        d.send(mail("a@slow.test"), "<a@slow.test>", queue_id="Qslow",
               **inbound)
        d.send(mail("a@good.test"), "<>", queue_id="Qbounce", client=None,
               daemon="in", helo=None)
        d.send(mail("a@good.test", "DKIM-Signature: v=1; x\n" * 30), "<a b\t"
               "\"@good.test>", queue_id="Qodd", daemon="in",
               helo="h\xfc \udcff\"\\")
        d.send(mail(", ".join(f"a@d{i}.{'l' * 50}.test" for i in range(30))),
               "<" + "x" * 3000 + "@good.test>", queue_id="Q" * 90, **inbound)
        d.send(mail("Erika Mustermann <x@good.test>"), "<x@good.test>",
               queue_id="Qname", **inbound)
        d.send(mail("x@examp1e.com"), "<x@good.test>", queue_id="Qlooks",
               **inbound)
        d.send(mail("a@good.test"), "<a@good.test>", queue_id="Qsealed",
               rcpts=("<r@list.test>", "<r@example.net>"), **inbound)
        d.send(mail("a@good.test"), "<a@good.test>", queue_id="Qunsealed",
               rcpts=("<r@list2.test>",), **inbound)
        d.send(mail("a@good.test"), "<a@good.test>", queue_id="Qrule",
               daemon="in", helo="rule.test")
        d.send(mail("a@good.test"), "<a@good.test>", queue_id="Qoff",
               daemon="off", login="carol")
        d.send(mail("not an address"), "<a@good.test>", queue_id="Qfrom",
               **inbound)
        for n, (author, login, more) in enumerate((
                ("alice@own.test", "alice", {}),
                ("alice@own.test", "alice", {"macros": TLS}),
                ("Bob <bob=x@own.test>", "alice", {}),
                ("finance@own.test", "alice", {}),
                ("shop@own.test", "shop@own.test",
                 {"rcpts": ("<a@x.test>", "<b@x.test>")}),
                ("shop@own.test", "shop@own.test", {}),
                ("alice@own.test", "old", {}),
                ("u@other.test", None, {"client": "198.51.100.1"}),
                ("u@broken.test", None, {"client": "198.51.100.1"}))):
            d.send(mail(author), f"<{author.split('<')[-1].strip('>')}>",
                   queue_id=f"Qout{n}", daemon="out", login=login, **more)
        d.send(mail("alice@own.test", date=False,
                    extra="From: b@own.test\n"), "<alice@own.test>",
               queue_id="Qformat", daemon="out", login="alice")
        for _ in range(12):
            d.send(mail("u@x.github.io"), "<a@good.test>",
                   queue_id="Qagain", **inbound)


def without_times(line):
    line = re.sub(r" dns=(\d+)/\d+ms", r" dns=\1/ms", line)
    line = re.sub(r" in \d+ s$", " in s", line)
    line = re.sub(r"/tmp/mailseal-\w+", "DIR", line)
    line = line.replace(": from=malformed ", ": from=- ")
    line = line.replace("\\xff", "\\xef\\xbf\\xbd")  # U+FFFD
    line = re.sub(r"version (\S+) listens", "version listens", line)
    return re.sub(r" ms=\d+$", " ms=", line)


def objects(t, log):
    """The lines of a log, which are JSON, each valid."""
    ret = []
    if jsonschema is not None:
        with open(SCHEMA, encoding="ascii") as f:
            schema = json.load(f)
        jsonschema.Draft202012Validator.check_schema(schema)
        check = jsonschema.Draft202012Validator(schema)
    for line in log.splitlines():
        if not line.startswith("{"):
            t.ok(line.startswith("DIR") or "warning" in line or
                 line.startswith("/"), "only the start is told otherwise",
                 line)
            continue
        t.ok(len(line) < 4096 and line.isascii() and line.isprintable(),
             "printable ASCII, below 4096 bytes", line)
        ret.append(json.loads(line))
        if jsonschema is None:
            continue
        wrong = [e.message[:300] for e in check.iter_errors(ret[-1])]
        t.is_(wrong, [], f"valid: {ret[-1].get('queue_id')} "
              f"{ret[-1]['event']}", line)
    return ret


def both_forms(t, directory):
    logs = {}
    for form in ("text", "json"):
        with Site(directory, f'log = {{ target = "stderr"; format = "{form}";'
                  " };") as s:
            s.daemon.start()
            s.play()
            logs[form] = check_end(t, s.daemon, form)
    if jsonschema is None:
        t.skip("schema", "python3-jsonschema is not installed")
    with t.group("schema"):
        lines = objects(t, logs["json"])
    text = [line for line in logs["text"].splitlines()
            if line.startswith("mailseald: ")]
    t.is_(len(lines), len(text), "as many lines")
    with t.group("the same"):
        for a, b in zip(lines, text):
            # cut values differ in how their ends are escaped
            if a.get("queue_id", "").startswith("QQ"):
                continue
            t.is_(without_times(text_of(a)), without_times(b), b[:60])
    kinds(t, lines)


def kinds(t, lines):
    """That the run had what the schema tells of."""
    with open(SCHEMA, encoding="ascii") as f:
        names = set(json.load(f)["properties"])
    seen = set().union(*lines)
    t.is_(sorted(names - seen), ["awareness_drill", "limit", "override"],
          "what this run does not show; other tests do")
    by = {o.get("queue_id"): o for o in lines if "direction" in o}
    t.is_(by["Qreject"]["action"], "reject", "the action is told")
    t.is_(by["Qsealed"]["recipients"], 2, "and how many recipients")
    t.is_(by["Qsealed"]["arc_seal"]["instance"], 1, "numbers are numbers")
    t.is_(by["Qodd"]["helo"], "h\xfc \ufffd\"\\",
          "UTF-8 stays, other bytes are U+FFFD")
    long = next(o for q, o in by.items() if q and q.startswith("QQ"))
    t.ok(long["cut"] is True and long["mailfrom"].endswith("x..."),
         "what is long is cut, and it says so", long)
    t.is_([o["event"] for o in lines if o["level"] == "info" and
           o["event"] not in ("message", "stop")], ["start"], "one start")
    t.is_(lines[-1]["event"], "stop", "and a stop at the end")
    again = [o for o in lines if "repeated" in o]
    warned = [o for o in lines if o["level"] == "warn" and
              "discovery differs" in o.get("text", "") and "repeated" not in o]
    t.is_(len(again), 1, "what is repeated is told once", again)
    t.is_(len(warned), 10, "after ten times", warned)
    t.is_(again[0]["repeated"], 2, "with its number")
    t.is_(sum(o.get("queue_id") == "Qagain" and "direction" in o
              for o in lines), 12, "the line of a message is always there")


# ---- persons ----------------------------------------------------------------
def personal(t, directory):
    secret = 'secret = "a secret";\n'
    for mode, pattern in (("hash", r"sha256:[0-9a-f]{16}"), ("omit", "-")):
        for form in ("text", "json"):
            with Site(directory, 'log = { target = "stderr"; '
                      f'format = "{form}"; personal = "{mode}"; }};',
                      secret) as s:
                s.daemon.start()
                s.play()
                log = check_end(t, s.daemon, f"{mode} {form}")
            lines = [line for line in log.splitlines() if ": Q" in line or
                     '"queue_id"' in line]
            log = "\n".join(lines)
            t.ok(len(lines) > 30, f"{mode} {form}: lines", log[-500:])
            left = [w for w in re.findall(r"[^ <\"(:=]+@[\w.]+", log)
                    if not re.fullmatch(r"(sha256:)?[0-9a-f]{16}@.*|-@.*", w)]
            t.is_(left, [], f"{mode} {form}: no local-part is left")
            for word in ("alice", "carol", "shop", "Mustermann", "Bob",
                         "bob"):
                t.ok(re.search(rf"\b{word}\b", log) is None,
                     f"{mode} {form}: {word} is not there",
                     re.findall(rf".*\b{word}\b.*", log)[:1])
            t.ok(re.search(rf"login\W+{pattern}", log) is not None,
                 f"{mode} {form}: a login in its place", log[-500:])
            t.ok("own.test" in log and "198.51.100.1" in log,
                 f"{mode} {form}: domains and clients stay")


# ---- journald ---------------------------------------------------------------
def entries(journal):
    """What is there, as dictionaries."""
    ret = []
    journal.setblocking(False)
    try:
        while True:
            raw = journal.recv(65536).decode("ascii")
            ret.append(dict(line.split("=", 1) for line in raw.splitlines()))
    except BlockingIOError:
        return ret


def started_anew(t, daemon, path):
    """Lines go to the new socket, also out of the sandbox."""
    os.unlink(path)
    daemon.send(mail("a@good.test"), "<a@good.test>", daemon="in")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(path)
        daemon.send(mail("a@good.test"), "<a@good.test>", queue_id="Qanew",
                    daemon="in")
        end = time.monotonic() + 5
        seen = []
        while len(seen) < 2 and time.monotonic() < end:
            seen += entries(journal)
            time.sleep(0.02)
    t.is_([e.get("MAILSEAL_QUEUE_ID", e["MAILSEAL_EVENT"]) for e in seen],
          ["Qanew", "log"], "started anew: the line, and what was lost")
    t.ok(re.fullmatch(r"warning: \d+ lines of the log were lost, since nobody "
                      "took them", seen[-1]["MESSAGE"]) is not None,
         "started anew: how many were lost", seen[-1])


def journald(t, directory):
    """In a mount namespace of its own, where journald's socket is ours."""
    here = os.path.join(directory, "run")
    os.mkdir(here)
    inside = ["unshare", "-m", "--propagation", "private", "sh", "-ec",
              f"mkdir -p /run/systemd; mount --bind {here} /run/systemd; "
              'exec "$@"', "sh"]
    if os.geteuid() != 0 or subprocess.run(
            inside + ["true"], check=False,
            stderr=subprocess.DEVNULL).returncode:
        t.skip("journald", "needs root and a mount namespace")
        return
    os.mkdir(os.path.join(here, "journal"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal, \
            Site(directory, 'log = { target = "journald"; };') as s:
        journal.bind(os.path.join(here, "journal", "socket"))
        journal.settimeout(5)
        d = s.daemon
        with open(d.log_path, "ab") as log:
            d.process = subprocess.Popen(  # pylint: disable=R1732
                inside + [program("mailseald"), "-f", "-c", d.config],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **SANITIZER}, cwd=d.dir)
        d.wait_ready()
        d.send(mail("a@good.test"), "<a@good.test>", queue_id="Qjournal",
               daemon="in", helo="client.good.test")
        entry = {}
        while "MAILSEAL_QUEUE_ID" not in entry:
            raw = journal.recv(65536).decode("ascii")
            entry = dict(line.split("=", 1) for line in raw.splitlines())
        for name, value in (("PRIORITY", "6"), ("SYSLOG_FACILITY", "2"),
                            ("SYSLOG_IDENTIFIER", "mailseald"),
                            ("MAILSEAL_EVENT", "message"),
                            ("MAILSEAL_QUEUE_ID", "Qjournal"),
                            ("MAILSEAL_SPF_RESULT", "pass"),
                            ("MAILSEAL_DMARC", "pass"),
                            ("MAILSEAL_FROM", "good.test")):
            t.is_(entry.get(name), value, f"journald: {name}")
        t.ok(entry["MESSAGE"].startswith("Qjournal: from=good.test "),
             "journald: MESSAGE is the line", entry["MESSAGE"])
        # nobody reads any more: mail flows
        began = time.monotonic()
        outcomes = [d.send(mail("a@good.test"), "<a@good.test>",
                           daemon="in").verdict for _ in range(40)]
        t.is_(set(outcomes), {"accept"}, "a full journal stops no mail")
        t.ok(time.monotonic() - began < 20, "nor holds it up")
        journal.close()
        started_anew(t, d, os.path.join(here, "journal", "socket"))
        d.stop()


def reloaded(t, directory):
    """The options of the log are read again as all others are."""
    with Site(directory, 'log = { target = "stderr"; };',
              'secret = "a secret";\n') as s:
        d = s.daemon
        d.start()
        d.wait_log("listens on")

        def one(queue_id, part):
            d.send(mail("a@good.test"), "<a@good.test>", queue_id=queue_id,
                   daemon="in")
            return d.wait_log(part + queue_id) or d.log()[-400:]

        def again(group, part):
            with open(d.config, encoding="utf-8") as f:
                text = f.read()
            d.write("mailseal.conf", re.sub(r"log = \{[^}]*\};",
                                            f"log = {{ {group} }};", text))
            d.signal(signal.SIGHUP)
            t.ok(d.wait_log(part) is not None, f"read again: {group}",
                 d.log()[-600:])

        t.ok(one("Q1", "mailseald: ").startswith("mailseald: Q1: from="),
             "text")
        again('target = "stderr"; format = "json"; personal = "hash";',
              '"event":"reload"')
        o = json.loads(one("Q2", '"queue_id":"'))
        t.ok(o["mailfrom"].startswith("<sha256:"), "JSON, and hashed", o)
        again('target = "stderr"; format = "json"; level = "never";',
              '"level":"error","event":"reload"')
        again('target = "stderr"; level = "debug";',
              "mailseald: reloaded ")
        one("Q3", "mailseald: ")
        # now nothing tells that it was read but that nothing is told; a line
        # is written before the MTA has its answer
        again('target = "stderr"; level = "warn";', "mailseald: ")
        end = time.monotonic() + 10
        n, quiet = 0, False
        while not quiet and time.monotonic() < end:
            n += 1
            d.send(mail("a@good.test"), "<a@good.test>", daemon="in",
                   queue_id=f"W{n}w")
            quiet = f"W{n}w" not in d.log()
        t.ok(quiet, "no line of a message at level warn",
             d.log()[-400:])
        objects(t, "\n".join(line for line in d.log().splitlines()
                             if line.startswith("{")))
        check_end(t, d, "reloaded")


def options(t, directory):
    with Site(directory, 'log = { target = "stderr"; personal = "hash"; };'
              ) as s:
        s.daemon.start(wait=False)
        t.is_(s.daemon.wait(), 78, "hash needs the secret")
        t.ok("log.personal = \"hash\" needs secret" in s.daemon.log(),
             "and it says so", s.daemon.log())
        s.daemon.process = None


def main():
    t = Tap(240)
    directory = tempfile.mkdtemp(prefix="mailseal-log-")
    try:
        for group in (both_forms, personal, journald, reloaded, options):
            with t.group(group.__name__):
                group(t, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    t.done()


if __name__ == "__main__":
    main()
