"""The include rule (HACKING.md, "Layers"): arrows point down only, each
foreign library stands behind its own file, some functions are banned, and no
symbol of ours hides one of a library."""
import glob
import os
import re
import subprocess
import sys

SRC = os.environ.get("MAILSEAL_SRCDIR", ".")
BUILD = os.environ.get("MAILSEAL_BUILDDIR", ".")
sys.path.insert(0, os.path.join(SRC, "tests", "lib"))
from tap import Tap  # noqa: E402  pylint: disable=wrong-import-position

EVAL = "eval spf iprev dkim arc dmarc keys dns crypto mail base"
ALLOWED = {
    "base": "base",
    "mail": "mail base",
    "crypto": "crypto base",
    "dns": "dns mail base",
    "spf": "spf dns mail base",
    "iprev": "iprev dns mail base",
    "dkim": "dkim crypto dns mail base",
    "arc": "arc crypto dns mail base",
    "dmarc": "dmarc spf dkim dns mail base",
    "keys": "keys dkim crypto mail base",
    "eval": EVAL,
    "gate": "gate spf dkim dmarc keys dns crypto mail base",
    "store": "store gate mail base",
    "report": "report " + EVAL,
    "config": "config gate " + EVAL,
    "control": "control base",
    "milter": "milter report config store gate " + EVAL,
    "cmd": "cmd milter control report config store gate " + EVAL,
}
FOREIGN = {
    r"libmilter/": "milter/milter.c milter/apply.c milter/milter.h",
    r"spf2/": "spf/match.c",
    r"opendkim/": "dkim/hash.c",
    r"opendmarc/": "dmarc/second.c",
    r"libconfig\.h": "config/tree.c",
    r"unbound.*\.h": "dns/unbound.c dns/context.c",
    r"event2?/|event\.h": "dns/unbound.c",
    r"openssl/": "crypto/openssl.c",
    r"idn2\.h": "mail/domain.c",
    r"libpsl\.h": "dmarc/psl.c",
    r"unicode/": "mail/lookalike.c",
    r"seccomp\.h": "control/sandbox.c",
    r"microhttpd\.h": "control/http.c",
    r"jansson\.h": "control/json_log.c",
    r"sqlite3\.h": "store/sqlite.c store/journal_db.h",
}
BANNED = ("strcpy strcat sprintf vsprintf atoi strtok gets tolower toupper "
          "isalpha").split()
LIBRARIES = "libopendkim libspf2 libopendmarc libmilter libjansson".split()


def without_text(source):
    """The source without comments, strings and characters."""
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"'
                  r"|'(?:\\.|[^'\\\n])*'", " ", source, flags=re.S)


def includes(source):
    return re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', source, re.M)


def ours(path, name):
    """What is wrong with including one of our headers, or None."""
    if name == "config.h":  # of configure
        return None
    if "/" not in name:
        return f'"{name}": write it with its directory'
    if name.split("/")[0] not in ALLOWED[path.split("/")[0]].split():
        return f'"{name}" is not below'
    return None


def foreign(path, name):
    for pattern, files in FOREIGN.items():
        if re.match(pattern, name) and path not in files.split():
            return f"<{name}> belongs to {files}"
    return None


def faults(path, source):
    for kind, name in includes(source):
        fault = ours(path, name) if kind == '"' else None
        fault = fault or foreign(path, name)
        if fault:
            yield fault
    text = without_text(source)
    for word in BANNED:
        if re.search(rf"\b{word}\s*\(", text):
            yield f"{word}() is banned"


def self_test(t):
    """The rule itself can fail."""
    for path, source, bad in (
            ("mail/x.c", '#include "dns/dns.h"', True),
            ("dns/x.c", '#include "mail/field.h"\n#include <stdio.h>', False),
            ("spf/x.c", '#include "dkim/dkim.h"', True),
            ("milter/session.c", "#include <libmilter/mfapi.h>", True),
            ("milter/apply.c", "#include <libmilter/mfapi.h>", False),
            ("base/x.c", 'x = atoi (s);', True),
            ("base/x.c", '/* atoi() */ f("atoi(x)"); my_atoi(s);', False)):
        t.is_(bool(list(faults(path, source))), bad,
              f"rule: {path}: {source!r}")


def nm(path, *options):
    p = subprocess.run(["nm", "-P", *options, path], capture_output=True,
                       text=True, timeout=60, check=False)
    ret = set()
    for line in p.stdout.splitlines():
        words = line.split()
        if len(words) >= 2 and words[1] in "TDBRVWGS":
            ret.add(words[0].split("@")[0])
    return ret


def shared_objects(program):
    p = subprocess.run(["ldd", program], capture_output=True, text=True,
                       timeout=60, check=False)
    return [path for name, path in
            re.findall(r"(\S+) => (\S+)", p.stdout)
            if name.split(".so")[0] in LIBRARIES]


def own_symbols():
    """What our own objects define for others to see."""
    ret = set()
    for path in glob.glob(os.path.join(BUILD, "src", "*", "*.o")):
        ret |= nm(path, "-g")
    return ret - {"main"}


def symbols(t):
    program = os.path.join(BUILD, "mailseald")
    if not os.path.exists(program):
        t.skip("symbols", "mailseald is not built")
        return
    mine = own_symbols()
    t.ok(len(mine) > 50, "our symbols were found")
    libraries = shared_objects(program)
    t.is_(len(libraries), len(LIBRARIES), "the libraries were found")
    for path in libraries:
        theirs = nm(path, "-D")
        t.ok(theirs, f"{os.path.basename(path)}: has symbols")
        t.is_(sorted(mine & theirs), [],
              f"{os.path.basename(path)}: no symbol is ours too")


def needed(program):
    """Names of the libraries that a program of ours asks for, without libc."""
    p = subprocess.run(["objdump", "-p", program], capture_output=True,
                       text=True, timeout=60, check=False)
    names = {re.sub(r"_core$|_pthreads$|i18n$|uc$", "", name) for name in
             re.findall(r"NEEDED\s+(\w+)[-.\d]*\.so", p.stdout)}
    return names - {"libc", "libm", "libasan", "libubsan", "libtsan"}


def dependencies(t):
    """SECURITY.md has a row for each library, and none too many."""
    programs = [os.path.join(BUILD, name) for name in ("mailseald", "mailseal")]
    if not all(os.path.exists(p) for p in programs):
        t.skip("dependencies", "the programs are not built")
        return
    with open(os.path.join(SRC, "SECURITY.md"), encoding="utf-8") as f:
        rows = set(re.findall(r"^\| (lib\w+) \|", f.read(), re.M)) - {"library"}
    t.is_(sorted(rows), sorted(needed(programs[0]) | needed(programs[1])),
          "SECURITY.md tells of each library")


def main():
    t = Tap(120)
    self_test(t)
    root = os.path.join(SRC, "src")
    paths = sorted(glob.glob(os.path.join(root, "*", "*.[ch]")))
    t.ok(len(paths) > 30, "the sources were found")
    for path in paths:
        with t.group(path), open(path, encoding="utf-8") as f:
            name = os.path.relpath(path, root)
            t.is_(list(faults(name, f.read())), [], name)
    with t.group("symbols"):
        symbols(t)
    dependencies(t)
    t.done()


if __name__ == "__main__":
    main()
