"""What the daemon remembers of messages: explain, shadow, forget; and what
becomes of mail while it cannot remember."""
import json
import os
import re
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from daemon import (Daemon, SmallDisk, check_end, mailseal,  # noqa: E402
                    quote, remove_tree)
from material import Key, crlf  # noqa: E402
from tap import Tap  # noqa: E402

ZONE = """\
reject.test TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.reject.test TXT "v=DMARC1; p=reject"
list.test TXT "v=spf1 ip4:203.0.113.0/24 -all"
list.test MX 10 mx.list.test
slow.test TXT !TIMEOUT
"""
BH = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
RULES = """
rules = (
    { name = "no-spf"; spf = [ "fail" ]; action = "quarantine"; },
    { name = "pest"; helo = [ "pest.test" ]; action = "reject";
      text = "No.\\nNever."; mode = "enforce"; }
);
"""


def mail(author="ceo@reject.test", extra=""):
    return crlf(f"From: {author}\nTo: bob@example.net\nSubject: x\n"
                f"Message-ID: <1@x.test>\n{extra}\nbody\n")


def run(d, *args, stdin=b""):
    status, out, err = mailseal(*args, "-c", d.config, stdin=stdin)
    return status, out.decode(), err


def send(d, data, sender, queue_id, **kw):
    kw.setdefault("client", "203.0.113.66")
    return d.send(data, sender, queue_id=queue_id, **kw)


def explain(t, key):
    with Daemon(zone=ZONE, state=True, extra=RULES,
                domains={"example.com": [("s1", key.path)]}) as d:
        send(d, mail(), "<x@reject.test>", "4ONE", helo="\x1b[2Jx.test",
             rcpts=["<a@example.net>", "<b@example.net>"])
        send(d, mail("a@list.test"), "<x@list.test>", "4TWO",
             helo="pest.test")
        send(d, mail("a@example.com"), "<a@example.com>", "4OUT", login="ann")
        send(d, mail("a@slow.test"), "<x@slow.test>", "4SLOW")
        log = check_end(t, d, "explain")
        t.has(log, "journal: written=4 dropped=0", "four records")
        status, out, err = run(d, "explain", "4ONE")
        t.is_(status, 0, "explain", err)
        for part in ("4ONE <1@x.test>", "incoming mail (default)",
                     "Client: 203.0.113.66, [203.0.113.66] (not confirmed), "
                     "HELO \\x1b[2Jx.test", "MAIL FROM: <x@reject.test>",
                     "RCPT TO: <b@example.net>",
                     'SPF: fail for reject.test by "-all"',
                     "DKIM: no signature", "ARC: none",
                     "DMARC: fail: reject.test: record",
                     "Rule: none decided",
                     "Rule: no-spf matched, in mode monitor",
                     "Answer: accept", "the author's domain asked for reject",
                     "Field: insert Authentication-Results: mx.test;",
                     'DNS: reject.test TXT found "v=spf1 ip4:192.0.2.10 -all"',
                     'DNS: _dmarc.reject.test TXT found "v=DMARC1; p=reject"',
                     "Log: 4ONE: from=reject.test"):
            t.has(out, part, f"explain: {part[:40]}")
        status, out, _ = run(d, "explain", "4TWO")
        t.has(out, "Rule: pest decided", "the rule that decided")
        t.has(out, "Answer: reject, 550 5.7.1 No.\\x0aNever.", "the answer")
        status, out, _ = run(d, "explain", "4SLOW")
        t.has(out, "DNS: slow.test TXT tempfail: ", "a failed look-up")
        status, out, _ = run(d, "explain", "4OUT")
        t.ok("outgoing mail (login)" in out and "Login: ann" in out and
             "Field: insert DKIM-Signature" in out and "SPF:" not in out,
             "outgoing mail", out)
        status, out, _ = run(d, "explain", "<1@x.test>", "--json")
        t.is_(json.loads(out)["queue_id"], "4SLOW",
              "by Message-ID, the newest; as JSON")
        t.is_(os.stat(os.path.join(d.dir, "journal.sqlite")).st_mode & 0o777,
              0o640, "others cannot read the file")
        status, out, err = run(d, "explain", "4NONE")
        t.ok(status == 65 and not out and "no record of 4NONE" in err,
             "a record that is not there", status, err)
        again(t, d)


def again(t, d):
    status, out, err = run(d, "verify", "--recorded", "4ONE", stdin=mail())
    t.ok(status == 0 and "the same as in the record" in out,
         "the evaluation once more", status, out, err)
    status, out, _ = run(d, "verify", "--recorded", "4ONE",
                         stdin=mail("ceo@list.test"))
    t.ok(status == 1 and "Authentication-Results was:" in out,
         "of another message it differs", status, out)
    with open(d.config, "a", encoding="utf-8") as f:
        f.write('dmarc = { disposition = "honor"; };\n')
    status, out, _ = run(d, "verify", "--recorded", "4ONE", stdin=mail())
    t.ok(status == 1 and "the configuration is not the one of the record" in
         out and "disposition was: none\ndisposition is:  reject" in out,
         "and with another configuration", status, out)
    status, _, err = run(d, "verify", "--recorded", "4OUT", stdin=mail())
    t.ok(status == 65 and "was outgoing" in err, "not of outgoing mail", err)


def shadow(t):
    with Daemon(zone=ZONE, state=True, extra=RULES) as d:
        for n in range(3):
            send(d, mail(), "<x@reject.test>", f"4A{n}")
        send(d, mail(extra="List-Id: <l.list.test>\n"), "<x@list.test>", "4B")
        send(d, mail("a@list.test"), "<x@list.test>", "4C",
             client="203.0.113.1")
        check_end(t, d, "shadow")
        status, out, err = run(d, "shadow")
        t.is_((status, err), (0, ""), "shadow")
        t.is_(out, "dmarc would reject 4 messages, 1 of them by a list or a "
              "forwarder\n  domains: reject.test (4)\n"
              "  sources: 203.0.113.0/24 (4)\n"
              "no-spf would quarantine 3 messages, 0 of them by a list or a "
              "forwarder\n  domains: reject.test (3)\n"
              "  sources: 203.0.113.0/24 (3)\n", "what would have been done")
        d.start()
        send(d, mail(), "<x@reject.test>", "4D")
        check_end(t, d, "shadow, once more")
        t.has(run(d, "shadow", "--since", "24h")[1],
              "dmarc would reject 5 messages", "counts outlive a restart")
        for bad in ("7", "x", "0d", "7w"):
            t.is_(run(d, "shadow", "--since", bad)[0], 64,
                  f"--since {bad} is refused")


def shadow_and_rules(t):
    """A rule that leaves it to DMARC takes nothing away from its counts; one
    that decides does, and so does a client that DMARC does not touch."""
    def rule(name, action):
        return (f'{{ name = "{name}"; helo = [ "{name}.test" ]; client = '
                f'[ "0.0.0.0/0" ]; action = "{action}"; mode = "enforce"; }}')
    with Daemon(zone=ZONE, state=True, trusted=("198.51.100.0/24",),
                extra="rules = ( " + ", ".join((
                    rule("t", "tag"), rule("n", "none"),
                    rule("a", "accept"), rule("q", "quarantine"))) +
                " );\n") as d:
        for helo in "tnaqx":
            send(d, mail(), "<x@reject.test>", "4" + helo,
                 helo=helo + ".test")
        send(d, mail(), "<x@reject.test>", "4T", client="198.51.100.1")
        check_end(t, d, "shadow and rules")
        t.has(run(d, "shadow")[1], "dmarc would reject 3 messages",
              "of six messages three")


def large(t):
    """What a sender has made too large is told without the DNS answers."""
    text = " ".join('"' + "x" * 250 + '"' for _ in range(200))
    zone = "".join(f'k{n}._domainkey.big.test TXT {text}\n'
                   for n in range(6)) + 'big.test TXT "v=spf1 -all"\n'
    with Daemon(zone=zone, state=True) as d:
        extra = "".join(
            f"DKIM-Signature: v=1; a=rsa-sha256; d=big.test; s=k{n}; "
            f"h=from; bh={BH}; b=YWJj\n" for n in range(6))
        send(d, mail("a@big.test", extra), "<x@big.test>", "4BIG")
        send(d, mail("a@big.test", "Authentication-Results: mx.test; "
                     "spf=pass\n" * 900), "<x@big.test>", "4MANY")
        log = check_end(t, d, "large")
        t.has(log, "journal: written=2 dropped=0", "both are kept")
        status, out, err = run(d, "explain", "4BIG")
        t.ok(status == 0 and "SPF: fail for big.test" in out and
             "DNS: not kept, the record would be too large" in out,
             "explain tells what is missing", status, out[:2000], err)
        status, _, err = run(d, "verify", "--recorded", "4BIG",
                             stdin=mail("a@big.test", extra))
        t.ok(status == 65 and "cannot be made again" in err,
             "verify too", status, err)
        status, out, _ = run(d, "explain", "4MANY")
        t.ok(out.count("Field: delete") == 100 and
             "Field: 900 removed in all" in out and
             "Field: insert Authentication-Results" in out,
             "removed fields are counted", out[:2000])


def forget(t):
    with Daemon(zone=ZONE, state=True) as d:
        send(d, mail("ann@list.test"), "<ann@list.test>", "4A")
        send(d, mail("bob@list.test"), "<x@reject.test>", "4B")
        send(d, mail("ceo@reject.test"), "<x@other.test>", "4C")
        check_end(t, d, "forget")
        t.is_(run(d, "forget", "ann@list.test")[:2], (0, "1 erased\n"),
              "an address")
        t.is_([run(d, "explain", q)[0] for q in ("4A", "4B", "4C")],
              [65, 0, 0], "its record is gone, others stay")
        status, out, _ = run(d, "forget", "reject.test")
        t.ok(status == 0 and out != "0 erased\n", "a domain", out)
        t.is_([run(d, "explain", q)[0] for q in ("4B", "4C")], [65, 65],
              "sender or author")
        t.is_(run(d, "shadow")[1], "nothing would have been done\n",
              "and its counts")
        with open(os.path.join(d.dir, "journal.sqlite"), "rb") as f:
            t.ok(b"ann@list" not in f.read(), "nothing is left in the file")


def digests(t):
    with Daemon(zone=ZONE, state=True, extra='secret = "s";\n'
                "journal = { hash_local_parts = true; };\n") as d:
        send(d, mail("ann@list.test"), "<ann@list.test>", "4A", login="ann",
             rcpts=["<carol@example.net>"])
        check_end(t, d, "digests")
        _, out, _ = run(d, "explain", "4A", "--json")
        t.ok("ann@" not in out and "carol" not in out and
             "sha256:" in out and "@list.test" in out, "no local-part", out)
        with open(os.path.join(d.dir, "journal.sqlite"), "rb") as f:
            text = f.read()
        t.ok(b"carol" not in text and b"ann@" not in text,
             "nor in the file")
    macros = ('macro.test TXT "v=spf1 exists:%{lr-}.x.macro.test '
              'exists:%{l}.y.macro.test -all exp=why.macro.test"\n'
              'why.macro.test TXT "no %{s} please"\n')
    with Daemon(zone=macros, state=True, extra='secret = "s";\n'
                "inbound = { received_spf = true; };\n"
                "journal = { hash_local_parts = true; };\n") as d:
        o = send(d, mail('"zora" <zora-quill@macro.test>', "DKIM-Signature: "
                         "v=1; a=rsa-sha256; d=macro.test; s=k; i=zora-quill"
                         f"@macro.test; h=from; bh={BH}; b=YWJj\n"),
                 "<zora-quill@macro.test>", "4M", login="zora-quill",
                 daemon="smtpd", rcpts=["<zora-quill>"])
        t.is_(o.verdict, "accept", "mail with macros")
        send(d, mail("zora-quill@macro.test"), "<zora-quill@macro.test>",
             "4N")
        check_end(t, d, "digests of macros")
        for queue_id in ("4M", "4N"):
            status, out, _ = run(d, "explain", queue_id, "--json")
            t.ok(status == 0 and "zora" not in out and "quill" not in out,
                 f"{queue_id}: no part of a local-part", out)
        status, _, err = run(d, "verify", "--recorded", "4N",
                             stdin=mail("zora-quill@macro.test"))
        t.ok(status == 65 and "digests in place of local-parts" in err,
             "verify says that it cannot", status, err)
        t.ok("_dmarc.macro.test" in out and "Received-SPF" in out,
             "other answers and fields stay", out)
        with open(os.path.join(d.dir, "journal.sqlite"), "rb") as f:
            text = f.read()
        t.ok(b"zora" not in text and b"quill" not in text, "nor in the file")


def trouble(t):
    with Daemon(zone=ZONE, state="/nonexistent/mailseal") as d:
        o = send(d, mail("a@list.test"), "<x@list.test>", "4A")
        t.is_(o.verdict, "accept", "mail flows without a journal")
        log = check_end(t, d, "no folder")
        t.has(log, "/nonexistent/mailseal", "the log says why")
        status, _, err = run(d, "explain", "4A")
        t.ok(status == 66 and "/nonexistent/mailseal" in err,
             "so does explain", status, err)
    with Daemon(zone=ZONE, state="") as d:
        send(d, mail("a@list.test"), "<x@list.test>", "4A")
        check_end(t, d, "no journal")
        status, _, err = run(d, "explain", "4A")
        t.ok(status == 78 and "state_directory" in err, "none is kept", err)
    with Daemon(zone=ZONE, state=True,
                extra="journal = { records = false; };\n") as d:
        send(d, mail(), "<x@list.test>", "4A")
        check_end(t, d, "no records")
        t.is_(run(d, "explain", "4A")[0], 65, "records can be left out")
        t.has(run(d, "shadow")[1], "dmarc would reject 1 messages",
              "counts are kept all the same")


TROUBLE = "messages leave no record"
AGAIN = "journal.sqlite works again"
PUT_OFF = "journal cannot be written: tempfailed"


class Site:
    """A daemon with a state folder `folder` of its own, and `option`."""

    def __init__(self, t, key, option, folder=None, user=""):
        self.t = t
        self.own = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="journal-")
        self.file = os.path.join(self.folder, "journal.sqlite")
        self.daemon = Daemon(start=False, zone=ZONE, state=self.folder,
                             domains={"example.com": [("s1", key.path)]},
                             listeners=[("quiet", "none")],
                             extra=f"on_store_error = {quote(option)};\n")
        with open(self.daemon.config, encoding="utf-8") as f:
            text = f.read().replace('user = "";', f"user = {quote(user)};")
        self.daemon.write("mailseal.conf", text)

    def __enter__(self):
        self.daemon.start()
        return self

    def __exit__(self, *_):
        self.daemon.close()
        if self.own:
            shutil.rmtree(self.folder, ignore_errors=True)

    def wait_log(self, part, times):
        end = time.monotonic() + 15
        while self.daemon.log().count(part) < times and \
                time.monotonic() < end:
            time.sleep(0.02)
        self.t.is_(self.daemon.log().count(part), times,
                   f"{part!r} in the log", self.daemon.log()[-3000:])

    def send_all(self, queue_id):
        """Incoming, outgoing and ignored mail."""
        d = self.daemon
        return [send(d, mail("a@list.test"), "<x@list.test>", queue_id),
                send(d, mail("a@example.com"), "<a@example.com>", queue_id,
                     login="ann"),
                send(d, mail("a@list.test"), "<x@list.test>", queue_id,
                     daemon="quiet")]

    def taken(self, what):
        into, out, quiet = self.send_all("4TAKEN")
        self.t.is_([o.verdict for o in (into, out, quiet)], ["accept"] * 3,
                   f"{what}: all mail is taken", into.reply, out.reply)
        self.t.is_((len(into.fields("Authentication-Results")),
                    len(out.fields("DKIM-Signature")), quiet.edits),
                   (1, 1, []), f"{what}: and examined, and signed")

    def put_off(self, what):
        before = self.daemon.log().count(PUT_OFF)
        into, out, quiet = self.send_all("4PUTOFF")
        for way, o in (("incoming", into), ("outgoing", out)):
            self.t.is_((o.verdict, o.edits, o.reply and o.reply.text),
                       ("replycode", [],
                        "451 4.3.0 state cannot be kept, try again later"),
                       f"{what}: {way} mail is put off", o)
        self.t.is_((quiet.verdict, quiet.edits), ("accept", []),
                   f"{what}: ignored mail is not", quiet.reply)
        lines = [line for line in self.daemon.log().splitlines()
                 if PUT_OFF in line]
        self.t.ok(len(lines) == before + 2 and
                  all("warning: 4PUTOFF: " in line
                      for line in lines[before:]),
                  f"{what}: one line each in the log", *lines)

    def works_again(self, what, times=1):
        """By itself: no message is sent meanwhile."""
        self.wait_log(AGAIN, times)
        self.taken(what)

    def end(self, what, recorded=2):
        log = check_end(self.t, self.daemon, what)
        if recorded is not None:
            self.t.has(log, f"journal: written={recorded} ",
                       f"{what}: what was taken is recorded")
        _, out, _ = run(self.daemon, "explain", "4PUTOFF")
        self.t.is_(out, "", f"{what}: what was put off is not")
        return log


def accepts(t, key):
    s = Site(t, key, "accept")
    with open(s.daemon.config, "a", encoding="utf-8") as f:
        f.write("sandbox = false;\n")  # holds on to the folder of the start
    with s:
        remove_tree(s.folder)
        s.taken("accept")  # the first whose record fails
        s.wait_log(TROUBLE, 1)
        s.taken("accept, and it is known")
        t.hasnt(s.daemon.log(), "tempfailed", "nothing is put off")
        os.mkdir(s.folder, 0o700)
        s.works_again("accept, and it works")
        log = s.end("accept", None)
        n = re.search(r"journal: written=(\d+) dropped=(\d+)", log)
        t.ok(n and int(n[1]) >= 2 and int(n[1]) + int(n[2]) == 6,
             "what was lost is counted", n and n[0])


def no_folder(t, key):
    s = Site(t, key, "tempfail")
    os.rmdir(s.folder)
    with s:
        s.put_off("no folder")
        os.mkdir(s.folder, 0o700)
        s.works_again("no folder")
        time.sleep(1.5)  # their records are written
        remove_tree(s.folder)
        s.wait_log(TROUBLE, 2)  # the first at the start
        s.put_off("vanished")
        os.mkdir(s.folder, 0o700)
        s.works_again("vanished", 2)
        s.end("no folder", 4)


def broken_file(t, key):
    s = Site(t, key, "tempfail")
    with open(s.file, "wb") as f:
        f.write(b"garbage " * 4096)
    with s:
        s.put_off("broken file")
        with open(s.file, "rb") as f:
            t.ok(f.read() == b"garbage " * 4096, "it is left alone")
        os.unlink(s.file)
        s.works_again("broken file")
        s.end("broken file")


def read_only(t, key):
    user = "nobody" if os.geteuid() == 0 else ""
    s = Site(t, key, "tempfail", user=user)
    os.chmod(s.folder, 0o555)
    with s:
        s.put_off("read-only")
        os.chmod(s.folder, 0o700)
        if user:
            shutil.chown(s.folder, user)
        s.works_again("read-only")
        s.end("read-only")


def full(t, key):
    """A file system without room: at the start, and later."""
    with SmallDisk("512k") as disk:
        if disk.folder is None:
            t.skip("full", "cannot mount a file system")
            return
        disk.fill()
        with Site(t, key, "tempfail", disk.folder) as s:
            s.put_off("full at the start")
            disk.empty()
            s.works_again("room again")
            time.sleep(1.5)
            disk.fill()
            for n in range(200):  # what is left in SQLite's log
                o = send(s.daemon, mail("a@list.test", "X-Fill: " +
                                        "x" * 3000 + "\n"),
                         "<x@list.test>", f"4F{n}")
                if o.verdict != "accept":
                    break
                time.sleep(0.05)
            t.is_(o.verdict, "replycode", "full: mail comes to be put off")
            for n in range(5):
                time.sleep(0.5)
                s.put_off(f"full, after {n + 1}")
            t.is_(s.daemon.log().count(AGAIN), 1, "no line in between",
                  s.daemon.log()[-3000:])
            disk.empty()
            s.works_again("room once more", 2)
            s.end("full", None)


def without(t, key):
    """A journal that nobody asked for is not missed."""
    with Daemon(zone=ZONE, state="", domains={
            "example.com": [("s1", key.path)]},
            extra='on_store_error = "tempfail";\n') as d:
        o = send(d, mail("a@list.test"), "<x@list.test>", "4A")
        t.is_(o.verdict, "accept", "no state folder: mail is taken")
        check_end(t, d, "no state folder")


def main():
    t = Tap(300)
    with Daemon(start=False) as files:
        key = Key(files.dir, "rsa")
        with t.group("explain"):
            explain(t, key)
        for part in (accepts, no_folder, broken_file, read_only, full,
                     without):
            with t.group(part.__name__):
                part(t, key)
        for part in (shadow, shadow_and_rules, large, forget, digests,
                     trouble):
            with t.group(part.__name__):
                part(t)
    t.done()


if __name__ == "__main__":
    main()
