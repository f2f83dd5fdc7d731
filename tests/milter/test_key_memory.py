"""Private keys stay out of core dumps.

What the kernel writes into one is every private mapping that may be written,
but those with MADV_DONTDUMP ("dd" in /proc/PID/smaps): these are searched for
the numbers of the keys, in each form in which a library may hold them.  Where
the kernel would leave a core file beside the daemon, such a file is too.
"""
import hashlib
import os
import re
import resource
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from daemon import Daemon, check_end  # noqa: E402
from material import Key, crlf, openssl  # noqa: E402
from tap import Tap  # noqa: E402

MAIL = crlf("From: a@%s\nTo: bob@example.net\nMessage-ID: <1@example.com>\n"
            "Date: Tue, 03 Nov 2026 10:00:00 +0000\n\nHello.\n")
CORE = "/proc/sys/kernel/core_pattern"


def numbers(key):
    """The secret numbers of a key, each with its name."""
    der = openssl("pkey", "-in", key.path, "-outform", "DER")
    if key.kind == "ed25519":
        seed = der[-32:]
        scalar = bytearray(hashlib.sha512(seed).digest()[:32])
        scalar[0] &= 248
        scalar[31] = scalar[31] & 63 | 64
        return {"seed": seed, "scalar": bytes(scalar)}
    text = openssl("pkey", "-in", key.path, "-noout", "-text").decode()
    found = re.findall(r"^(\w+):\n((?: {4}[0-9a-f:]+\n)+)", text, re.M)
    return {name: bytes.fromhex(re.sub(r"[\s:]", "", value)).lstrip(b"\0")
            for name, value in found}


def needles(key):
    """{what: bytes}; 24 bytes of each number, both byte orders, and the lines
    of the file."""
    ret = {}
    for name, value in numbers(key).items():
        if name == "modulus":
            continue
        ret[f"{key.name} {name}"] = value[4:28]
        ret[f"{key.name} {name}, reversed"] = value[::-1][4:28]
    for n, line in enumerate(key.pem.splitlines()[1:-1]):
        ret[f"{key.name} line {n}"] = line[:40]
    return ret


def mappings(pid):
    """(start, end, left out of a dump?) of all that is private and written."""
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as f:
        text = f.read()
    for block in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", text):
        start, end, mode = re.match(r"(\w+)-(\w+) (\S+)", block).groups()
        flags = re.search(r"^VmFlags:(.*)", block, re.M)[1].split()
        if mode.startswith("rw") and "io" not in flags:
            yield int(start, 16), int(end, 16), "dd" in flags


def search(pid, wanted, left_out):
    """Those of `wanted` that are in memory, and how much was looked at."""
    found, size = set(), 0
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as f:
        for start, end, dd in mappings(pid):
            # the shadows of a sanitizer are left out of dumps, and huge
            if dd != left_out or dd and end - start > 1 << 28:
                continue
            try:
                data = os.pread(f.fileno(), end - start, start)
            except OSError:
                continue
            size += len(data)
            found |= {name for name, part in wanted.items() if part in data}
    return sorted(found), size


def memory(t, d, wanted, when):
    found, size = search(d.process.pid, wanted, False)
    t.is_(found, [], f"{when}: nothing of a key would be in a core dump")
    t.ok(size > 1 << 20, f"{when}: which would have its memory", size)
    found, _ = search(d.process.pid, wanted, True)
    missing = {w.split(",")[0] for w in wanted if " line " not in w} - \
        {w.split(",")[0] for w in found} - {"ed scalar"}
    t.is_(missing, set(), f"{when}: the keys are in memory, all the same")
    t.is_([w for w in found if " line " in w], [],
          f"{when}: the text of the files is not")


def core_file(t, d, wanted):
    """Ends the daemon by a signal with which the kernel dumps it."""
    with open(CORE, encoding="utf-8") as f:
        pattern = f.read().strip()
    with open(f"/proc/{d.process.pid}/maps", encoding="utf-8") as f:
        sanitized = "libasan" in f.read()
    if sanitized:  # it leaves no core file; distcheck builds without
        t.note("a core file is for a build without sanitizers")
        return
    if pattern != "core":
        t.skip("a core file",
               f"core files are not beside the program: {pattern}")
        return
    resource.prlimit(d.process.pid, resource.RLIMIT_CORE,
                     (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    d.signal(signal.SIGABRT)
    d.wait()
    names = [n for n in os.listdir(d.dir) if n.startswith("core")]
    if not t.is_(len(names), 1, "the kernel leaves a core file", names):
        return
    with open(os.path.join(d.dir, names[0]), "rb") as f:
        data = f.read()
    t.is_([n for n, part in wanted.items() if part in data], [],
          "nothing of a key is in it")
    t.has(data, b"key-memory.test", "but what is no secret")


def main():
    t = Tap(120)
    resource.setrlimit(resource.RLIMIT_CORE,
                       (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with Daemon(start=False) as files:
        keys = [Key(files.dir, "rsa"), Key(files.dir, "ed", "ed25519")]
        row = Key(files.dir, "row")
        table = files.write("table", f"row.test s {row.path}\n")
        wanted = {}
        for key in (*keys, row):
            wanted |= needles(key)
        with Daemon(start=False, extra=f'outbound = {{ domains = ( {{ '
                    f'domain = "key-memory.test"; keys = ( {{ selector = "r"; '
                    f'file = "{keys[0].path}"; }}, {{ selector = "e"; '
                    f'file = "{keys[1].path}"; }} ); }} ); '
                    f'key_table = "{table}"; }};\n') as d:
            d.start()
            with t.group("memory"):
                for domain in ("key-memory.test", "row.test"):
                    for _ in range(5):
                        out = d.send(MAIL.replace(b"%s", domain.encode()),
                                     f"<a@{domain}>", login="a")
                    t.ok(out.field("DKIM-Signature"), f"{domain}: is signed",
                         d.log())
                memory(t, d, wanted, "after messages")
            with t.group("core file"):
                core_file(t, d, wanted)
            if d.alive:
                check_end(t, d)
    t.done()


if __name__ == "__main__":
    main()
