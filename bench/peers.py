"""The daemons that are measured, each with a folder of its own, and the rows of
the tables: which of them a message goes through.

mailseald, a filter on libmilter that does nothing, and from Debian 12 opendkim,
opendmarc and pyspf-milter.  The last two ask the name server of resolv.conf and
no other; see inside() for where that is ours.
"""
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import time

BUILD = os.environ.get("MAILSEAL_BUILDDIR", os.getcwd())
HOST = "mx.bench.example"
SUFFIXES = "/usr/share/publicsuffix/public_suffix_list.dat"
UNSHARE = ("unshare", "-m", "-n", "-u", "-p", "-f", "--kill-child",
           "--mount-proc")
INSIDE = "MAILSEAL_BENCH_INSIDE"
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def can_enter():
    """May there be a network of our own?"""
    return shutil.which("unshare") is not None and subprocess.run(
        [*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


def enter(argv):
    """Starts again where host name, network and resolv.conf are ours; all that
    is started there ends with it."""
    os.environ[INSIDE] = "1"
    os.execvp(UNSHARE[0], [*UNSHARE, *argv])


def inside(directory):
    """Whether we are there; once: prepares the place."""
    if INSIDE not in os.environ:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        name = struct.pack("16sh", b"lo", 0)
        flags, = struct.unpack("16xh", fcntl.ioctl(s, SIOCGIFFLAGS, name)[:18])
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh", b"lo",
                                                 flags | IFF_UP))
    socket.sethostname(HOST)
    path = write(os.path.join(directory, "resolv.conf"),
                 "nameserver 127.0.0.1\n")
    subprocess.run(["mount", "--bind", path, "/etc/resolv.conf"], check=True)
    return True


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


class Peer:
    """A daemon under measurement."""

    def __init__(self, name, directory):
        self.name = name
        self.dir = os.path.join(directory, name.replace(" ", "-"))
        os.makedirs(self.dir)
        os.chmod(self.dir, 0o777)  # some give up root before they bind
        self.socket = os.path.join(self.dir, "sock")
        self.process = None

    def configure(self, text):
        return write(os.path.join(self.dir, "conf"), text)

    def log(self):
        with open(os.path.join(self.dir, "log"), encoding="utf-8",
                  errors="replace") as f:
            return f.read()

    def start(self, *argv):
        with open(os.path.join(self.dir, "log"), "ab") as log:
            self.process = subprocess.Popen(  # pylint: disable=R1732
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 20
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self.name}: {self.log()}")
            time.sleep(0.05)
        return self

    def answers(self):
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(self.socket) == 0

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def memory(self):
        """RSS in MB."""
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class Row:
    """What is measured: the peers that a message goes through, the set of
    messages, and what the fields that are added must hold."""

    def __init__(self, name, peers, kind="signed", wants=()):
        self.name, self.peers, self.kind, self.wants = name, peers, kind, wants

    def measure(self, files, conns, messages, seconds=None):
        argv = [os.path.join(BUILD, "bench", "load"), "-c", str(conns),
                "-n", str(messages)]
        if seconds is not None:
            argv += ["-t", str(seconds)]
        for want in self.wants:
            argv += ["-w", want]
        for peer in self.peers:
            argv += ["-m", f"{peer.socket}:{peer.process.pid}"]
        p = subprocess.run([*argv, *files], capture_output=True, text=True,
                           timeout=600, check=False)
        if p.returncode != 0:
            raise RuntimeError(f"{self.name}: {p.stderr}" + "".join(
                peer.log()[-2000:] for peer in self.peers))
        return json.loads(p.stdout)


def null(directory, *options):
    peer = Peer("null" + "".join(options), directory)
    return peer.start(os.path.join(BUILD, "bench", "null"), *options,
                      peer.socket)


def mailseal(name, directory, dns, extra=""):
    peer = Peer(name, directory)
    conf = peer.configure(f"""
socket = "unix:{peer.socket}"; authserv_id = "{HOST}"; user = "";
state_directory = "{peer.dir}";
log = {{ target = "stderr"; level = "error"; }};
control = {{ socket = ""; }};
resolver = {{ servers = [ "{dns}" ]; }};
{extra}
""")
    return peer.start(os.path.join(BUILD, "mailseald"), "-f", "-c", conf)


def signing_mailseal(directory, dns, corpus):
    table = write(os.path.join(directory, "mailseal.table"), "".join(
        f"{d} {kind} {corpus.key(d, kind)}\n"
        for d in corpus.domains for kind in ("rsa", "ed25519")))
    return mailseal("mailseal sign", directory, dns,
                    'networks = { sign = [ "192.0.2.0/24" ]; };\n'
                    f'outbound = {{ key_table = "{table}"; }};')


def opendkim(name, directory, dns, extra):
    peer = Peer(name, directory)
    conf = peer.configure(f"""
Syslog no
Canonicalization relaxed/relaxed
OversignHeaders From
AuthservID {HOST}
Nameservers {dns}
UMask 000
RequireSafeKeys no
Socket local:{peer.socket}
{extra}
""")
    return peer.start("opendkim", "-f", "-x", conf)


def signing_opendkim(directory, dns, corpus):
    keys = write(os.path.join(directory, "opendkim.keys"), "".join(
        f"{d} {d}:rsa:{corpus.key(d, 'rsa')}\n" for d in corpus.domains))
    table = write(os.path.join(directory, "opendkim.table"), "".join(
        f"*@{d} {d}\n" for d in corpus.domains))
    return opendkim("opendkim sign", directory, dns,
                    f"Mode s\nKeyTable file:{keys}\n"
                    f"SigningTable refile:{table}\n"
                    "InternalHosts 0.0.0.0/0")


def opendmarc(directory):
    peer = Peer("opendmarc", directory)
    conf = peer.configure(f"""
PublicSuffixList {SUFFIXES}
AuthservID {HOST}
TrustedAuthservIDs {HOST}
Socket local:{peer.socket}
Syslog false
UMask 0000
""")
    return peer.start("opendmarc", "-f", "-c", conf)


def pyspf(directory):
    peer = Peer("pyspf-milter", directory)
    conf = peer.configure(f"""
debugLevel = 1
TestOnly = 1
HELO_reject = Fail
Mail_From_reject = Fail
PermError_reject = False
TempError_Defer = False
skip_addresses = 127.0.0.0/8,::ffff:127.0.0.0/104,::1
Socket = local:{peer.socket}
PidFile = {peer.dir}/pid
UserID = pyspf-milter
InternalHosts = 127.0.0.1
""")
    return peer.start("pyspf-milter", conf)


def chain_of(directory, ours, verifier):
    """pyspf-milter and opendmarc, or why they are left out."""
    if not ours:
        return None, "no network of our own: run it as root"
    missing = [p for p in ("pyspf-milter", "opendmarc")
               if shutil.which(p) is None]
    if not os.path.exists(SUFFIXES):
        missing.append("publicsuffix")
    if missing or verifier is None:
        return None, ", ".join(missing or ["opendkim"]) + " not installed"
    return [pyspf(directory), verifier, opendmarc(directory)], ""


def rows_of(corpus, directory, dns, ours):
    """Rows in the order of the tables, and notes on what is left out."""
    notes = []
    verify = ("spf=pass", "dkim=pass", "dmarc=pass")
    full = mailseal("mailseal verify", directory, dns)
    rows = [
        Row("null", [null(directory)]),
        Row("null, no replies", [null(directory, "-r")]),
        Row("mailseal verify", [full], "signed", verify),
        Row("mailseal verify, two signatures", [full], "dual", verify),
        Row("mailseal verify, no records",
            [mailseal("mailseal no records", directory, dns,
                      "journal = { records = false; };")], "signed", verify),
        Row("mailseal sign twice", [signing_mailseal(directory, dns, corpus)],
            "plain", ("rsa-sha256", "ed25519-sha256")),
    ]
    verifier = None
    if shutil.which("opendkim") is None:
        notes.append("opendkim is left out: not installed")
    else:
        verifier = opendkim("opendkim verify", directory, dns, "Mode v")
        rows += [
            Row("opendkim verify", [verifier], "signed", ("dkim=pass",)),
            Row("opendkim sign once",
                [signing_opendkim(directory, dns, corpus)], "plain",
                ("rsa-sha256",)),
        ]
    chain, why = chain_of(directory, ours, verifier)
    if chain is None:
        notes.append(f"opendmarc, pyspf-milter and the chain are left out: "
                     f"{why}")
        return rows, notes
    rows += [
        Row("opendmarc", [chain[2]], "results", ("dmarc=pass",)),
        Row("pyspf-milter", [chain[0]], "signed", ("spf=pass",)),
        Row("chain", chain, "signed", verify),
    ]
    return rows, notes


def stop_all(rows):
    for peer in {p for row in rows for p in row.peers}:
        peer.stop()
