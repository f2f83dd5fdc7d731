"""The daemon under ThreadSanitizer (a build with --enable-tsan) or valgrind (one
without sanitizers) for some seconds, see watched.py; `bootstrap check` makes
the former, and so does `make distcheck` the latter.  With the sanitizers of
address and behaviour there is only what is suppressed to look at."""
import os
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
sys.path.insert(0, os.path.dirname(__file__))
from daemon import program  # noqa: E402
from material import have_dkimpy  # noqa: E402
from tap import Tap, skip_all  # noqa: E402
from watched import HERE, watch  # noqa: E402

SECONDS = {"tsan": 20, "valgrind": 10}
SEED = 10


def paragraphs(tool):
    """The lines of each suppression with those before it, up to a blank."""
    with open(os.path.join(HERE, f"{tool}.supp"), encoding="ascii") as f:
        return f.read().strip().split("\n\n")[1:]


def test_suppressions(t, tool):
    for p in paragraphs(tool):
        name = p.splitlines()[-1] if tool == "tsan" else p.splitlines()[0]
        t.ok(p.startswith("# ") and p.count("#") >= 2,
             f"{tool}.supp: the reason of {name.strip('# ')}", p)
        t.ok(not re.search(r"\*|mailseal|^race:.*src/", p, re.M),
             f"{tool}.supp: it names a function of a library", p)


def tool_of_build():
    with open(program("mailseald"), "rb") as f:
        data = f.read()
    if b"__tsan_init" in data:
        return "tsan"
    return None if b"__asan_init" in data else "valgrind"


def main():
    if not have_dkimpy():
        skip_all("python3-dkim is not installed")
    t = Tap(600)
    for tool in SECONDS:
        with t.group(tool):
            test_suppressions(t, tool)
    tool = tool_of_build()
    if tool is None:
        t.note("this build has an address sanitizer")
    elif tool == "valgrind" and not shutil.which("valgrind"):
        t.skip("valgrind", "it is not installed")
    else:
        with t.group("watch"):
            w = watch(tool, SECONDS[tool], SEED)
            t.is_(w.reports, [], f"{tool}: no report")
            t.is_(w.ledger.broken[:20], [], "no promise was broken")
            for name, n in w.done.items():
                t.ok(n, f"it was asked: {name}")
            t.ok(len(w.ledger.begun) > 50, "there was load",
                 len(w.ledger.begun))
    t.done()


main()
