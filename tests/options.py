"""Every option stands in the table, the man page and the sample file, each
time with the same default; the sample file loads, as it is and with all its
defaults taken in; and so does the example of GUIDANCE."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

SRC = os.environ.get("MAILSEAL_SRCDIR", ".")
sys.path.insert(0, os.path.join(SRC, "tests", "lib"))
from material import Key  # noqa: E402  pylint: disable=C0413
from tap import Tap  # noqa: E402  pylint: disable=wrong-import-position

PROGRAM = os.path.join(os.environ.get("MAILSEAL_BUILDDIR", "."), "mailseal")
SAMPLE = os.path.join(SRC, "etc", "mailseal.conf")
GUIDANCE = os.path.join(SRC, "etc", "examples", "guidance")
MAN = os.path.join(SRC, "doc", "mailseal.conf.5")


def check_config(argument):
    p = subprocess.run([PROGRAM, "check-config", argument], timeout=30,
                       stdin=subprocess.DEVNULL, capture_output=True,
                       text=True, check=False)
    return p.returncode, p.stdout, p.stderr


def squeeze(text):
    return re.sub(r"\s+", "", text)


def table():
    status, out, err = check_config("--table")
    if status != 0:
        raise RuntimeError(err)
    rows = [line.split("\t") for line in out.splitlines()]
    return {name: squeeze(default) for name, _type, default in rows}


def manual():
    """`.It Va name No = default`, \\(dq for a quote."""
    ret = {}
    with open(MAN, encoding="utf-8") as f:
        for line in f:
            m = re.match(r'\.It Va (\S+) No "= (.*)"$', line)
            if m:
                ret[m[1]] = squeeze(m[2].replace(r"\(dq", '"'))
    return ret


def sample(text):
    """`#name = default;`, in a group or not."""
    ret, group = {}, ""
    for line in text.splitlines():
        if m := re.match(r"([a-z_]+) = \{$", line):
            group = m[1] + "."
        elif line == "};":
            group = ""
        elif m := re.match(r"\t?#([a-z_]+) = (.*);$", line):
            ret[group + m[1]] = squeeze(m[2])
    return ret


def with_host_name(text):
    """The host of a test may have a name that is no domain."""
    return re.sub(r'^#?authserv_id = .*$', 'authserv_id = "mx.test";', text,
                  flags=re.M)


def loads(t, text, name):
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as f:
        f.write(with_host_name(text))
        f.flush()
        status, out, err = check_config(f.name)
        t.is_(status, 0, name, out, err)


def guidance(t):
    """The example, with its tables and with keys, in another directory."""
    with tempfile.TemporaryDirectory() as d:
        os.mkdir(os.path.join(d, "keys"))
        Key(os.path.join(d, "keys"), "example.com.r1")
        Key(os.path.join(d, "keys"), "example.com.e1", "ed25519")
        for name in ("senders", "groups", "credentials.conf"):
            shutil.copy(os.path.join(GUIDANCE, name), d)
        with open(os.path.join(GUIDANCE, "mailseal.conf"),
                  encoding="utf-8") as f:
            text = f.read()
        loads(t, text.replace("/etc/mailseal/", d + "/"),
              "the example of GUIDANCE loads")


def main():
    t = Tap(60)
    with open(SAMPLE, encoding="utf-8") as f:
        text = f.read()
    with t.group("documents"):
        options = table()
        t.ok(len(options) > 25, "the table has its options")
        for where, found in (("manual", manual()), ("sample", sample(text))):
            for name in sorted(set(options) | set(found)):
                t.is_(found.get(name), options.get(name),
                      f"{where}: {name} and its default")
    with t.group("sample"):
        loads(t, text, "the sample file loads")
        loads(t, re.sub(r"^(\t?)#([a-z_]+ = .*;)$", r"\1\2", text,
                        flags=re.M), "and with every default written out")
        status, out, err = check_config("--defaults")
        t.is_(status, 0, "--defaults prints", err)
        loads(t, out, "what --defaults prints loads")
    with t.group("guidance"):
        guidance(t)
    with t.group("mistakes"):
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as f:
            f.write('sokcet = "fd:3";\nshutdown_timeout = 5000000000;\n')
            f.flush()
            status, out, err = check_config(f.name)
            t.is_(status, 78, "a mistake ends with EX_CONFIG")
            t.has(err, f'{f.name}:1: unknown option "sokcet"; did you mean '
                  '"socket"?', "with its place and the cure")
            t.has(err, f"{f.name}:2: 5000000000", "and so does the second")
    t.done()


if __name__ == "__main__":
    main()
