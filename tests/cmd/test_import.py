"""mailseal import: their configurations in, ours out, and mail is signed as
before.

The real opendkim answers the same questions where it is unpacked
(tests/mta/test_import_opendkim.py does it), so that what the cases expect is
what it does.
"""
import glob
import gzip
import os
import re
import shutil
import sys
import tempfile

SRC = os.environ.get("MAILSEAL_SRCDIR", ".")
BUILD = os.environ.get("MAILSEAL_BUILDDIR", ".")
sys.path.insert(0, os.path.join(SRC, "tests", "lib"))
from daemon import Daemon, mailseal, sanitizer_report  # noqa: E402
from material import Key  # noqa: E402
from opendkim import OpenDKIM, opendkim_tree  # noqa: E402
from tap import Tap  # noqa: E402

CASES = os.path.join(SRC, "tests", "cases", "import")
OK, USAGE, DATAERR, NOINPUT, CANTCREAT, CONFIG = 0, 64, 65, 66, 73, 78


def lines_of(name):
    with open(os.path.join(CASES, name), encoding="utf-8") as f:
        return [x.rstrip("\n") for x in f
                if x.strip() and not x.startswith("#")]


def make_key():
    with tempfile.TemporaryDirectory() as folder:
        return Key(folder, "key").pem


PEM = make_key()


class Folder:
    """Files of one case, and a key."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="import-")
        self.key = self.write("key.pem", PEM)

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, content, mode=0o600):
        path = self.path(name)
        if isinstance(content, str):
            content = content.replace("@PEM@", PEM.decode().strip()) \
                .replace("@DIR@", self.dir).replace("@KEY@", self.key) \
                .encode()
        with open(path, "wb") as f:
            f.write(content)
        os.chmod(path, mode)
        return path

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir, ignore_errors=True)


def run(t, name, *args, status=OK):
    """(standard output, standard error), after a look at both."""
    got, out, err = mailseal("import", *args)
    t.is_(got, status, f"{name}: exit status {status}", err)
    t.ok(not sanitizer_report(err), f"{name}: no sanitizer report", err)
    return out.decode(), err


def message(author):
    return (f"From: {author}\r\nTo: rcpt@example.net\r\nSubject: x\r\n"
            "Date: Tue, 03 Nov 2026 10:00:00 +0000\r\n"
            "Message-ID: <1@example.org>\r\n\r\nbody\r\n").encode()


def signatures(outcome):
    """{"d/s", "d/s/i"}; the i= that is the default is left out by us."""
    found = set()
    for field in outcome.fields("DKIM-Signature"):
        tags = dict(re.findall(r"(?:^|;)\s*([a-z]+)=\s*([^;]*)", field))
        parts = [tags["d"].strip(), tags["s"].strip()]
        i = tags.get("i", "").strip()
        if i and i != "@" + parts[0]:
            parts.append(i)
        found.add("/".join(parts))
    return found


def signed(server, author, client="127.0.0.1", name=None):
    """By mail that begins at `client`, as a mail program hands it in."""
    return signatures(server.send(message(author), f"<{author}>",
                                  client=client, name=name))


class Ours(Daemon):
    """mailseald with a configuration that was imported, and the user and
    folder of the test."""

    def __init__(self, text):
        super().__init__(start=False)
        text = re.sub(r"^socket = .*$", "", text, flags=re.M)
        self.write("mailseal.conf", f'socket = "{self.address}";\nuser = "";\n'
                   f'state_directory = "";\n'
                   f'control = {{ socket = ""; }};\n{text}')
        self.start()


# ---- signing ---------------------------------------------------------------

def read_cases():
    """(name, {file: text}, [(verb, address, {signatures})], [told])"""
    cases = []
    part = None
    for line in lines_of("signing.cases"):
        verb, _, rest = line.partition(" ")
        if verb == "==":
            cases.append((rest, {}, [], []))
            part = None
        elif re.fullmatch(r"\[\S+\]", line):
            part = line[1:-1]
            cases[-1][1][part] = ""
        elif verb in ("sign", "only"):
            address, *want = rest.split()
            cases[-1][2].append((verb, address, set(want)))
        elif verb == "tell":
            cases[-1][3].append(rest)
        else:
            cases[-1][1][part] += line + "\n"
    return cases


def default_identity(want):
    """Without the i= that says what d= says."""
    return {x.rpartition("/@")[0] if x.split("/")[-1] == "@" + x.split("/")[0]
            else x for x in want}


def signing_case(t, tree, case):
    name, files, asked, told = case
    with Folder() as f:
        for file, text in files.items():
            f.write(file, text)
        conf = f.path("opendkim.conf")
        out, err = run(t, name, conf)
        for part in told:
            t.has(err, part, f"{name}: told {part}")
        with Ours(out) as d:
            for verb, author, want in asked:
                want = set() if verb == "only" else default_identity(want)
                t.is_(signed(d, author), want, f"{name}: {author}", out)
        if tree is None:
            return
        with open(conf, encoding="utf-8") as text, \
                OpenDKIM(tree, text.read()) as o:
            for _, author, want in asked:
                t.is_(signed(o, author), default_identity(want),
                      f"{name}: {author} with opendkim")


def hosts(t, tree):
    head = "Domain one.example\nSelector s1\nKeyFile @KEY@\n"
    for line in lines_of("hosts.table"):
        value, client, name, want = re.split(r"\t+", line)
        with Folder() as f:
            kind, colon, rest = value.partition(":")
            if colon and kind in ("file", "refile"):
                f.write("hosts", rest.replace("|", "\n") + "\n")
                value = f"{kind}:{f.path('hosts')}"
            conf = f.write("opendkim.conf", head + (
                f"InternalHosts {value}\n" if value != "-" else ""))
            out, _ = run(t, line, conf)
            name = None if name == "-" else name
            servers = [("mailseald", Ours(out))]
            if tree is not None:
                with open(conf, encoding="utf-8") as text:
                    servers.append(("opendkim", OpenDKIM(tree, text.read())))
            for who, server in servers:
                with server:
                    got = signed(server, "u@one.example", client, name)
                    t.is_("yes" if got else "no", want, f"{line}: {who}", out)


BULK = 1000


def bulk_files(f):
    os.mkdir(f.path("keys"))
    names = [f"d{n:04}.example" for n in range(BULK)]
    keys = rows = ""
    for n, domain in enumerate(names):
        f.write(f"keys/{domain}.pem", PEM)
        keys += f"k{n} {domain}:s{n % 7}:@DIR@/keys/{domain}.pem\n"
        rows += f"*@{domain} k{n}\n"
    f.write("keytable", keys)
    f.write("signingtable", rows)
    f.write("trusted", "127.0.0.1\n::1\n10.0.0.0/8\n")
    return names, f.write("opendkim.conf",
                          "KeyTable file:@DIR@/keytable\n"
                          "SigningTable refile:@DIR@/signingtable\n"
                          "InternalHosts refile:@DIR@/trusted\n"
                          "ExternalIgnoreList refile:@DIR@/trusted\n")


def bulk(t, tree):
    """A thousand domains: a key table beside the configuration."""
    with Folder() as f:
        names, conf = bulk_files(f)
        ours = f.path("mailseal.conf")
        _, err = run(t, "bulk", conf, "-o", ours)
        t.has(err, f"{BULK} signatures for {BULK} domains", "bulk: told")
        with open(f.path("mailseal.keytable"), encoding="utf-8") as table:
            t.is_(table.read().count("\nd"), BULK, "bulk: rows of the table")
        status, out, err = mailseal("check-config", "--mta", "none",
                                         ours)
        t.is_(status, OK, "bulk: check-config", err)
        t.has(out.decode(), f"{BULK} domains", "bulk: check-config counts")
        with open(ours, encoding="utf-8") as text, Ours(text.read()) as d:
            got = [signed(d, f"u@{x}", "10.1.2.3") for x in names]
            t.is_(signed(d, "u@other.example", "10.1.2.3"), set(),
                  "bulk: nobody else is signed for")
        want = [{f"{x}/s{n % 7}"} for n, x in enumerate(names)]
        t.is_([x for x in zip(got, want) if x[0] != x[1]], [],
              "bulk: each domain has its signature")
        if tree is None:
            return
        with open(conf, encoding="utf-8") as text, \
                OpenDKIM(tree, text.read()) as o:
            theirs = [signed(o, f"u@{x}", "10.1.2.3") for x in names]
        t.is_([x for x in zip(got, theirs) if x[0] != x[1]], [],
              "bulk: each is that of opendkim")


# ---- settings --------------------------------------------------------------

def settings(t):
    for line in lines_of("settings.table"):
        program, theirs, told, ours = line.split("|")
        theirs = theirs.replace("\\x7c", "|")
        with Folder() as f:
            args = [f.write("opendkim.conf",
                            theirs if program == "opendkim" else "")]
            if program == "opendmarc":
                args.append(f.write("opendmarc.conf", theirs))
            out, err = run(t, theirs, *args)
            t.has(err, told, f"{theirs}: told")
            t.ok(f"{program}.conf:1: " in err, f"{theirs}: with its place",
                 err)
            if ours == "-":
                t.ok(not re.search(r"^\s*[a-z_]+ = [^{(]", out, re.M),
                     f"{theirs}: no setting", out)
            else:
                t.has(out, ours, f"{theirs}: set")
            t.hasnt(out + err, "sesame", f"{theirs}: no secret")


def man_names(tree, program):
    path = os.path.join(tree, f"usr/share/man/man5/{program}.conf.5.gz")
    with gzip.open(path, "rt", encoding="utf-8") as f:
        return re.findall(r"^\.I ([A-Za-z0-9-]+) \(", f.read(), re.M)


def options(t, tree):
    """Each option of the manual pages has its row."""
    names = [x.split() for x in lines_of("options.list")]
    t.ok(len(names) > 150, "the list of options")
    for program, name in names:
        with Folder() as f:
            args = [f.write("opendkim.conf", "")]
            path = f.write(f"{program}.conf", f"{name.upper()} 1\n")
            args = [path] if program == "opendkim" else [*args, path]
            _, _, err = mailseal("import", *args)
            t.ok(re.search(rf":1: .*{name}", err, re.I) and
                 "no option" not in err, f"{program}: {name}", err)
    if tree is None:
        return
    known = {(p, n.lower()) for p, n in names}
    for program in ("opendkim", "opendmarc"):
        found = man_names(tree, program)
        t.ok(len(found) > 40, f"{program}.conf(5) was read")
        t.is_([x for x in found if (program, x.lower()) not in known], [],
              f"{program}.conf(5): all are in the list")


# ---- set-ups that there are ------------------------------------------------

def whole(t, name, files, parts):
    """opendkim.conf and opendmarc.conf as they stand; check-config agrees."""
    with Folder() as f:
        args = [f.write(n, x) for n, x in files]
        ours = f.path("mailseal.conf")
        _, err = run(t, name, *args, "-o", ours)
        status, _, complaints = mailseal("check-config", "--mta", "none",
                                         ours)
        t.is_(status, OK, f"{name}: check-config", complaints)
        with open(ours, encoding="utf-8") as g:
            text = g.read()
        for part in parts:
            t.has(text, part, f"{name}: {part}", err)
        return text, err


PEER_VERIFY = """Syslog			no
Mode			v
Canonicalization	relaxed/simple
OversignHeaders		From
AuthservID		mx.bench.example
Nameservers		127.0.0.53
UMask			000
Socket			local:@DIR@/sock
"""
PEER_DMARC = """PublicSuffixList /usr/share/publicsuffix/public_suffix_list.dat
AuthservID mx.bench.example
TrustedAuthservIDs mx.bench.example
Socket local:@DIR@/dmarc.sock
Syslog false
UMask 0000
"""
PEER_SIGN = """Syslog			no
Mode			s
Canonicalization	relaxed/relaxed
OversignHeaders		From
Domain			csl:d000.example,d001.example,d002.example
Selector		rsa
KeyFile			@KEY@
InternalHosts		127.0.0.1
RequireSafeKeys		no
UMask			000
Socket			local:@DIR@/sock
"""


def other_files(t):
    """Files of opendmarc, and paths below BaseDirectory."""
    with Folder() as f:
        f.write("hosts", "192.0.2.0/24 # ours\nmail.example\n")
        f.write("arc", "lists.example\n\n# none\n")
        f.write("keys", "k one.example:s1:./key.pem\n*x two.example:s:@KEY@\n")
        conf = f.write("opendkim.conf", "BaseDirectory @DIR@\n"
                       "KeyTable refile:keys\nPeerList 198.51.100.1\n"
                       "SigningTable csl:one.example=k,two.example=nix\n")
        dmarc = f.write("opendmarc.conf", "IgnoreHosts @DIR@/hosts\n"
                        "DomainWhitelistFile @DIR@/arc\n"
                        "BaseDirectory @DIR@\nPublicSuffixList ./psl\n")
        out, err = run(t, "other files", conf, dmarc)
        for part in ('internal = [ "127.0.0.0/8", "::1", "198.51.100.1", '
                     '"192.0.2.0/24" ];', 'arc_sealer = [ "lists.example" ];',
                     f'file = "{f.dir}/./key.pem"',
                     f'public_suffix_file = "{f.dir}/./psl"'):
            t.has(out, part, f"other files: {part}")
        for part in ("/hosts:2: no counterpart", "/keys:2: no counterpart",
                     'no usable key "nix"'):
            t.has(err, part, f"other files: {part}")


def peers(t, tree):
    whole(t, "verifier", [("opendkim.conf", PEER_VERIFY),
                          ("opendmarc.conf", PEER_DMARC)],
          ['authserv_id = "mx.bench.example"', 'servers = [ "127.0.0.53" ]',
           'socket_mode = "0666"', 'public_suffix_file = "/usr/share'])
    text, _ = whole(t, "signer", [("opendkim.conf", PEER_SIGN)],
                    ['sign = [ "127.0.0.1" ]', 'domain = "d002.example"'])
    t.hasnt(text, "authserv_aliases", "signer: no aliases")
    if tree is None:
        return
    samples = glob.glob(os.path.join(tree, "etc", "open*.conf"))
    t.is_(len(samples), 2, "Debian's samples are there")
    files = []
    for path in sorted(samples):
        with open(path, encoding="utf-8") as f:
            files.append((os.path.basename(path), f.read()))
    _, err = whole(t, "Debian", files, ["dnssec = true", "recursion = true",
                                        'socket_mode = "0660"'])
    t.has(err, "0 without counterpart", "Debian: nothing is lost")


# ---- bad input -------------------------------------------------------------

BAD = [
    ("unknown", "Syslog yes\nDomian x\n", DATAERR,
     r'opendkim.conf:2: opendkim has no option "Domian"; remove'),
    ("no value", "Domain\n", DATAERR, r":1: Domain has no value; give one"),
    ("boolean", "Syslog ja\n", DATAERR, r':1: Syslog: "ja" .*true or false'),
    ("number", "\nClockDrift 5m\n", DATAERR, r':2: ClockDrift: "5m" .*number'),
    ("large", "ClockDrift 99999999999\n", DATAERR, "give a number"),
    ("control", "Domain a\x01b\n", DATAERR, r":1: a control character"),
    ("NUL", b"Domain a\0b\n", DATAERR, r":1: a control character"),
    ("Include missing", "Include /nonexistent/x\n", NOINPUT,
     r':1: Include "/nonexistent/x": No such file'),
    ("Include relative", "Include x\n", DATAERR, r":1: Include .*absolute"),
    ("Include itself", "Include @DIR@/opendkim.conf\n", DATAERR,
     r":1: more than 5 levels"),
    ("Include a folder", "Include @DIR@\n", NOINPUT, "no regular file"),
    ("key without selector", "Domain x.example\nKeyFile @KEY@\n", DATAERR,
     r":1: Domain needs KeyFile and Selector; give both"),
    ("table missing", "SigningTable csl:a=k\nKeyTable /nonexistent/kt\n",
     NOINPUT, r":2: KeyTable: /nonexistent/kt: No such file"),
    ("relative table", "SigningTable csl:a=k\nKeyTable file:kt\n", DATAERR,
     r':2: KeyTable: "kt" depends .*absolute'),
    ("Mode", "Mode x\n", DATAERR, r':1: Mode: "x" will not do; give s, v'),
    ("action", "On-NoSignature bounce\n", DATAERR, r"is no action; give acc"),
    ("nameserver", "Nameservers ns.example\n", DATAERR, r"is no address; gi"),
    ("UMask", "UMask -1\n", DATAERR, r":1: UMask: .*octal"),
    ("settings", "Syslog yes\n" * 10001, DATAERR,
     ":10001: more than 10000 settings"),
    ("names", "MTA " + ",".join(f"l{n}" for n in range(1001)), DATAERR,
     ":1: MTA: more than 1000 names"),
    ("aliases", "RemoveARFrom " + ",".join(f"a{n}.x" for n in range(1001)),
     DATAERR, ":1: more than 1000 names"),
    ("exclusions", "InternalHosts 10.0.0.0/8" + "".join(
        f",!10.0.0.{n}" for n in range(101)), DATAERR,
     ":1: more than 100 exclusions"),
    ("rows for many", "KeyTable csl:a.b=a.b:s:/k\nSigningTable csl:" +
     ",".join(f".a{n}.b=%" for n in range(101)), DATAERR,
     ':2: more than 100 rows with "%"'),
    ("escape", "Domi\x7fan x\n", DATAERR, r'no option "Domi\\x7fan"'),
]


def bad_input(t):
    for name, text, status, want in BAD:
        with Folder() as f:
            conf = f.write("opendkim.conf", text)
            ours = f.path("mailseal.conf")
            _, err = run(t, name, conf, "-o", ours, status=status)
            t.ok(re.search(want, err), f"{name}: {want}", err)
            t.is_(err.count("\n"), 1, f"{name}: one line", err)
            t.ok(not os.path.exists(ours), f"{name}: nothing is written")
    with Folder() as f:
        run(t, "no file", f.path("none"), status=NOINPUT)
        os.mkfifo(f.path("fifo"))
        run(t, "FIFO", f.path("fifo"), status=NOINPUT)
        large = f.write("large", "# " + "x" * 1048576 + "\n")
        _, err = run(t, "large file", large, status=NOINPUT)
        t.has(err, "too large", "large file: told")
        run(t, "no argument", status=USAGE)
        run(t, "unknown option", "--frob", large, status=USAGE)


def whole_files(t):
    """What is there stays, unless --force; no half is left."""
    with Folder() as f:
        conf = f.write("opendkim.conf", "ClockDrift 60\n")
        ours = f.write("mailseal.conf", "mine\n")
        _, err = run(t, "file is there", conf, "-o", ours, status=CANTCREAT)
        t.has(err, "--force", "file is there: the cure")
        with open(ours, encoding="utf-8") as g:
            t.is_(g.read(), "mine\n", "file is there: it stays")
        run(t, "--force", conf, "-o", ours, "--force")
        with open(ours, encoding="utf-8") as g:
            t.has(g.read(), "clock_skew = 60;", "--force: it is replaced")
        run(t, "no folder", conf, "-o", f.path("none/x.conf"),
            status=CANTCREAT)
        t.is_(sorted(x for x in os.listdir(f.dir) if ".conf" in x),
              ["mailseal.conf", "opendkim.conf"], "nothing else is left")


def both_or_none(t):
    """Two files: when one cannot be replaced, the other is not."""
    keys = "".join(f"k{i} d{i}.example:s:/nonexistent/k\n"
                   for i in range(101))
    signing = "".join(f"d{i}.example k{i}\n" for i in range(101))
    for old in ("mine\n", None):
        with Folder() as f:
            f.write("keys", keys)
            f.write("signing", signing)
            conf = f.write("opendkim.conf", "KeyTable file:@DIR@/keys\n"
                           "SigningTable file:@DIR@/signing\n")
            if old is not None:
                f.write("mailseal.keytable", old)
            os.mkdir(f.path("mailseal.conf"))
            before = sorted(os.listdir(f.dir))
            _, err = run(t, f"a folder is there, {old!r}", conf, "-o",
                         f.path("mailseal.conf"), "--force",
                         status=CANTCREAT)
            t.has(err, f.path("mailseal.conf") + ": ", "it is named")
            t.is_(sorted(os.listdir(f.dir)), before, "nothing else is left")
            if old is not None:
                with open(f.path("mailseal.keytable"),
                          encoding="utf-8") as g:
                    t.is_(g.read(), old, "the key table is what it was")
            os.rmdir(f.path("mailseal.conf"))
            f.write("mailseal.conf", "mine\n")
            run(t, f"no folder is there, {old!r}", conf, "-o",
                f.path("mailseal.conf"), "--force", status=CONFIG)
            with open(f.path("mailseal.keytable"), encoding="utf-8") as g:
                t.has(g.read(), "d100.example ", "both are replaced")
            with open(f.path("mailseal.conf"), encoding="utf-8") as g:
                t.has(g.read(), "mailseal.keytable", "both are replaced")
            t.is_(sorted(os.listdir(f.dir)),
                  sorted({*before, "mailseal.keytable"}),
                  "and nothing is left")


def keys_to_mend(t):
    """A key that cannot be used is told; what is written names it."""
    with Folder() as f:
        f.write("open.pem", "@PEM@\n", 0o644)
        f.write("keys", "k1 one.example:s1:/nonexistent/k.pem\n"
                "k2 two.example:s2:@DIR@/open.pem\n"
                "k3 three.example:s3:MIIEogIBAAKCAQEA\n")
        conf = f.write("opendkim.conf", "KeyTable @DIR@/keys\nSigningTable "
                       "csl:one.example=k1,two.example=k2,three.example=k3\n")
        out, err = run(t, "keys", conf, status=CONFIG)
        t.ok(re.search(r"opendkim.conf:2: key /nonexistent/k.pem: No such",
                       err), "keys: one is missing", err)
        t.ok(re.search(r"open.pem: mode 0644 .*chmod 0600", err),
             "keys: one can be read by others", err)
        t.has(err, "2 key files cannot be used yet", "keys: their number")
        t.has(err, "stands in the table itself", "keys: one in the table")
        t.hasnt(out + err, "MIIEogIBAAKCAQEA", "keys: and is not shown")
        t.has(out, "/nonexistent/k.pem", "keys: the file is named")


def main():
    t = Tap(time_limit=600)
    tree, why = opendkim_tree(BUILD, fetch=False)
    if tree is None:
        t.note(f"what opendkim itself does is for make check-mta: {why}")
    for case in read_cases():
        with t.group(case[0]):
            signing_case(t, tree, case)
    for name, check in (("hosts", hosts), ("bulk", bulk),
                        ("options", options), ("peers", peers)):
        with t.group(name):
            check(t, tree)
    for name, check in (("settings", settings), ("bad input", bad_input),
                        ("files", whole_files), ("both", both_or_none),
                        ("other files", other_files), ("keys", keys_to_mend)):
        with t.group(name):
            check(t)
    t.done()


if __name__ == "__main__":
    main()
