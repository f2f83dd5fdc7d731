"""Cases as data: message, zone and expectation, through both front ends.

Every *.case file here holds cases, each begun by a line `case: NAME`; further
lines are `key: value`, then `--- zone` and `--- message` sections.

    client, helo, from      the session (helo and from may be empty)
    key: NAME KIND [BITS]   makes a key; in the zone, {NAME} is its p= value
    sign: KEY d= s= [c=] [h=a:b] [l=1] [i=]   dkimpy signs; in this order
    change: /OLD/NEW/       afterwards, the first OLD in the message
    append: TEXT            afterwards, at the end of the message
    prepend: TEXT           afterwards, at the beginning
    repeat: N TEXT          afterwards, N lines of it at the beginning
    expect: WHAT VALUE      helo, spf, dmarc: one result; dkim: "pass fail"
                            top down or "none"; policy; "not TEXT" and "has
                            TEXT" in the new Authentication-Results; "removed
                            N" of the message's own Authentication-Results;
                            "field N TEXT": the N-th field of the header
                            afterwards, unfolded, holds TEXT (the daemon's)
    honor: REPLY            the message again, under dmarc.disposition = honor:
                            "accept", or how the reply begins
    config: TEXT            more configuration, for the daemon alone
    internal: NET NET       networks.internal, by itself none; also for the
                            daemon alone, as is
    trusted: NET NET        networks.trusted; also for the daemon alone
    mta: MTA [NAME [RESOLVE]]  postfix or sendmail, the name that it gives the
                            client, and Sendmail's {client_resolve}
    only: verify | daemon   when one front end cannot have the case

In from, change, append, prepend and with `escapes: yes` in the message, \\n,
\\xNN and the like are read.  Each case runs through `mailseal verify --json`
and through the daemon's socket, and both must say the same.  What the daemon
recorded of it is then evaluated once more, with the same result.
"""
import functools
import glob
import json
import os
import re
import shlex
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import material  # noqa: E402
from authres import Authres  # noqa: E402
from daemon import Daemon, mailseal, sanitizer_report  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

OWN_ID = "mx.test"


def unescape(text):
    """\\n, \\xNN, \\uNNNN; other text as UTF-8."""
    return text.encode("latin-1", "backslashreplace") \
        .decode("unicode_escape")


def to_bytes(text):
    """Escapes below \\u0100 are bytes; with others the text is UTF-8."""
    text = unescape(text)
    return text.encode("utf-8" if max(text, default="") > "\xff"
                       else "latin-1")


class Case:
    def __init__(self, name, where):
        self.name, self.where = name, where
        self.one = {"client": "192.0.2.1", "helo": "client.example",
                    "from": ""}
        self.many = {"key": [], "sign": [], "change": [], "append": [],
                     "prepend": [], "expect": [], "config": []}
        self.zone = self.message = ""

    def set(self, key, value):
        if key in self.many:
            self.many[key].append(value)
        else:
            self.one[key] = value


def read_cases(path):
    """The cases of a file."""
    cases, section = [], None
    with open(path, encoding="utf-8", newline="\n") as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip("\n")
            if line.startswith("case: "):
                cases.append(Case(line[6:], f"{os.path.basename(path)}:"
                                            f"{number}"))
                section = None
            elif line.startswith("--- "):
                section = line[4:]
            elif section == "zone":
                cases[-1].zone += line + "\n"
            elif section == "message":
                cases[-1].message += line + "\n"
            elif line and not line.startswith("#"):
                key, colon, value = line.partition(":")
                if not colon or not cases:
                    raise ValueError(f"{path}:{number}: {line!r}")
                cases[-1].set(key.strip(), value.strip())
    return cases


class Builder:
    """Makes keys once per run and messages of cases."""

    def __init__(self, directory):
        self.dir, self.keys = directory, {}

    def key(self, kind, bits):
        if (kind, bits) not in self.keys:
            self.keys[kind, bits] = material.Key(
                self.dir, f"{kind}{bits}", kind, bits)
        return self.keys[kind, bits]

    def keys_of(self, case):
        keys = {}
        for row in case.many["key"]:
            name, kind, *bits = row.split()
            keys[name] = self.key(kind, int(bits[0]) if bits else 2048)
        return keys

    def zone(self, case, keys):
        out = ""
        for line in case.zone.splitlines():
            for name, key in keys.items():
                if "{" + name + "}" not in line:
                    continue
                owner, _, value = line.partition(" TXT ")
                value = value.strip().strip('"')
                line = material.txt(owner, value.replace(
                    "{" + name + "}", key.public())).rstrip("\n")
            out += line + "\n"
        return out

    def message(self, case, keys):
        m = case.message
        # a blank line before the next case is for the reader's eye
        if m.endswith("\n\n"):
            m = m[:-1]
        m = to_bytes(m) if case.one.get("escapes") == "yes" else m.encode()
        if case.one.get("raw") != "yes":
            m = material.crlf(m)
        for row in case.many["sign"]:
            m = self._sign(m, row, keys)
        for row in case.many["change"]:
            old, new = row[1:-1].split(row[0])
            if to_bytes(old) not in m:
                raise ValueError(f"{case.where}: nothing to change")
            m = m.replace(to_bytes(old), to_bytes(new), 1)
        for row in case.many["append"]:
            m += to_bytes(row)
        for row in case.many["prepend"]:
            m = to_bytes(row) + m
        if "repeat" in case.one:
            n, text = case.one["repeat"].split(" ", 1)
            m = (to_bytes(text) + b"\r\n") * int(n) + m
        return m

    @staticmethod
    def _sign(m, row, keys):
        words = row.split()
        tags = dict(w.split("=", 1) for w in words[1:])
        return material.sign(
            m, tags["d"], tags["s"], keys[words[0]],
            canon=tags.get("c", "relaxed/relaxed"),
            headers=tags["h"].split(":") if "h" in tags else None,
            length="l" in tags, identity=tags.get("i"))


class Found:
    """What a front end said, in one shape."""

    def __init__(self, value, policy=None, removed=None, fields=None):
        self.authres = value
        self.fields = fields
        self.removed = removed
        self.policy = policy
        a = Authres(value)
        spf = {"helo": None, "spf": None}
        for r in a.all("spf"):
            spf["helo" if r.prop("smtp.helo") else "spf"] = r.result
        self.helo, self.spf = spf["helo"], spf["spf"]
        self.dkim = " ".join(r.result for r in a.all("dkim"))
        self.dmarc = a.result("dmarc")
        self.authserv_id = a.authserv_id

    def check(self, what, value):
        """(good, got) of one expectation."""
        if what == "has":
            return value in self.authres, self.authres
        if what == "not":
            return value not in self.authres, self.authres
        if what == "field":
            return self._check_field(*value.split(" ", 1))
        got = getattr(self, what)
        if got is None and what in ("policy", "removed"):
            return True, None  # this front end does not tell
        if what == "removed":
            value = int(value)
        if what in ("helo", "spf") and value == "-":
            value = None
        return got == value, got

    def _check_field(self, number, text):
        if self.fields is None:
            return True, None
        name, value = self.fields[int(number) - 1]
        got = re.sub(r"[\r\n\t ]+", " ", f"{name}: {value.strip()}")
        return text in got, got


def by_verify(case, message, zone_file):
    status, out, err = mailseal(
        "verify", "--ip", case.one["client"], "--helo", case.one["helo"],
        "--from", unescape(case.one["from"]), "--zone", zone_file,
        "--authserv-id", OWN_ID, "--json", stdin=message)
    if status != 0:
        raise RuntimeError(f"mailseal verify: status {status}: {err}")
    o = json.loads(out)
    f = Found(o["authres"], o["dmarc"].get("policy"))
    said = (o["dmarc"]["result"], [d["result"] for d in o["dkim"]])
    if said != (f.dmarc, [r for r in f.dkim.split() if r != "none"]):
        raise RuntimeError(f"JSON and field differ: {said} {f.authres}")
    return f


def by_daemon(case, message, zone, ending):
    d = Daemon(zone=zone, authserv_id=OWN_ID,
               internal=case.one.get("internal", "").split(),
               trusted=case.one.get("trusted", "").split(),
               state=True, extra="\n".join(case.many["config"]))
    ending.append((case, d, message))
    mta, *name = case.one.get("mta", "postfix").split()
    before = len(re.findall(rb"(?im)^authentication-results[ \t]*:",
                            message))
    o = d.send(message, unescape(case.one["from"]) or "<>",
               client=case.one["client"], helo=case.one["helo"] or None,
               mta=mta, name=(name or [None])[0],
               resolve=(name[1:] or [None])[0])
    d.signal()  # libmilter takes seconds to stop: see end_all()
    if o.problems or o.verdict not in ("accept", "continue"):
        raise RuntimeError(f"{o.verdict} {o.problems}: {d.log()}")
    fields = [h for h in o.headers if h[0] == "Authentication-Results"]
    if not fields or o.headers[0] is not fields[0]:
        raise RuntimeError(f"no field at the top: {o.headers[:2]}")
    kept = [h for h in o.headers[1:]
            if h[0].lower() == "authentication-results"]
    f = Found(fields[0][1].strip(), removed=before - len(kept),
              fields=o.headers)
    if f.authserv_id != OWN_ID:
        raise RuntimeError(f"authserv-id {f.authserv_id}")
    return f


def by_honor(case, message, zone, ending):
    """What is wrong with the answer where policies are honored, or None."""
    d = Daemon(zone=zone, authserv_id=OWN_ID, internal=(), state=True,
               extra='dmarc = { disposition = "honor"; };\n')
    ending.append((case, d, message))
    o = d.send(message, unescape(case.one["from"]) or "<>",
               client=case.one["client"], helo=case.one["helo"] or None)
    d.signal()
    want = case.one["honor"]
    got = o.reply.text if o.verdict == "replycode" else o.verdict
    got = "accept" if got == "continue" else got
    good = got == want if want == "accept" else got.startswith(want)
    return None if good else f"honor: got {got!r}, wanted {want!r}"


def end_all(t, ending):
    """Waits for the daemons; each must end orderly and without a word from a
    sanitizer, and leave a record that tells the same."""
    bad, different = [], []
    for case, d, message in ending:
        status, log = d.stop()
        report = sanitizer_report(log)
        if status != 0 or report:
            bad.append(f"{case.name}: status {status} {report}")
        status, out, err = mailseal("verify", "--recorded", "4TESTid", "-c",
                                    d.config, stdin=message)
        if status != 0:
            different.append(f"{case.name}: status {status} {out} {err}")
        d.close()
    if ending:
        t.ok(not bad, "every daemon ended orderly", *bad)
        t.ok(not different, f"{len(ending)} records tell the same once more",
             *different[:5])
    ending.clear()


def run_case(t, case, builder, directory, ending):
    keys = builder.keys_of(case)
    zone = builder.zone(case, keys)
    message = builder.message(case, keys)
    zone_file = os.path.join(directory, "zone")
    with open(zone_file, "w", encoding="utf-8") as f:
        f.write(zone)
    for way, run, source in (("verify", by_verify, zone_file),
                             ("daemon", functools.partial(
                                   by_daemon, ending=ending), zone)):
        if case.one.get("only", way) != way:
            continue
        bad = []
        try:
            found = run(case, message, source)
            for row in case.many["expect"]:
                what, _, value = row.partition(" ")
                good, got = found.check(what, value.strip())
                if not good:
                    bad.append(f"{row}: got {got!r}")
            bad += [found.authres] if bad else []
        except Exception as e:  # pylint: disable=broad-except
            bad.append(f"{type(e).__name__}: {e}")
        t.ok(not bad, f"{case.name} ({way})", case.where, *bad)
    if "honor" in case.one:
        bad = by_honor(case, message, zone, ending)
        t.ok(bad is None, f"{case.name} (honor)", case.where, bad)


def main():
    if not material.have_dkimpy():
        skip_all("python3-dkim is not there")
    paths = sys.argv[1:] or sorted(glob.glob(os.path.join(HERE, "*.case")))
    wanted = shlex.split(os.environ.get("MAILSEAL_CASES", ""))
    t = Tap(600)
    with tempfile.TemporaryDirectory() as directory:
        builder, ending = Builder(directory), []
        for path in paths:
            for case in read_cases(path):
                if wanted and not any(w in case.name for w in wanted):
                    continue
                if not case.many["expect"]:
                    raise ValueError(f"{case.where}: expects nothing")
                if (case.many["config"] or {"internal", "trusted", "mta"} &
                        case.one.keys()) and \
                        case.one.get("only") != "daemon":
                    raise ValueError(f"{case.where}: only: daemon is missing")
                with t.group(case.name):
                    run_case(t, case, builder, directory, ending)
            end_all(t, ending)
    t.done()


if __name__ == "__main__":
    main()
