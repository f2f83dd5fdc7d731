"""make install: what is installed, the units, and starting as they do.

No root.  What needs systemd's own tools is skipped where they are missing;
test_debian.py has the same under a real package manager.
"""
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.environ.get("MAILSEAL_SRCDIR", "."),
                                "tests", "lib"))
import daemon  # noqa: E402
from tap import Tap  # noqa: E402

SOURCE = os.environ.get("MAILSEAL_SRCDIR", ".")
MESSAGE = b"From: a@example.org\r\nSubject: x\r\n\r\nhi\r\n"
GUIDANCE = ("README.md credentials.conf dovecot-oauth2.conf.ext dovecot.conf "
            "groups mailseal.conf main.cf master.cf senders").split()
VARIABLES = ("bindir sbindir mandir docdir sysconfdir prefix "
             "systemdsystemunitdir").split()


def run(*args, timeout=120, **kw):
    """(exit status, what it said)"""
    p = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       check=False, timeout=timeout, text=True, **kw)
    return p.returncode, p.stdout


def make(*args):
    """make in the build folder, by itself rather than below `make check`."""
    env = {k: v for k, v in os.environ.items()
           if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "DESTDIR")}
    return run("make", "-s", *args, cwd=daemon.BUILD, env=env)


def directories():
    """What configure decided, in full."""
    text = "".join(f"{v}=@{v}@\n" for v in VARIABLES + ["exec_prefix",
                                                        "datarootdir",
                                                        "PACKAGE_TARNAME"])
    out = subprocess.run(["./config.status", "-q", "--file=-"], input=text,
                         stdout=subprocess.PIPE, check=True, text=True,
                         cwd=daemon.BUILD).stdout
    values = dict(line.split("=", 1) for line in out.splitlines())
    for _ in range(4):
        for name, value in values.items():
            values[name] = re.sub(r"\$\{(\w+)\}",
                                  lambda m: values[m[1]], value)
    return values


def files_wanted(d):
    doc = d["docdir"] + "/examples"
    wanted = {d["bindir"] + "/mailseal": 0o755,
              d["sbindir"] + "/mailseald": 0o755}
    for path in ([d["sysconfdir"] + "/mailseal.conf", doc + "/mailseal.conf",
                  doc + "/systemd/root.conf",
                  doc + "/prometheus/mailseal.rules.yml",
                  doc + "/prometheus/prometheus.yml",
                  doc + "/grafana/mailseal.json",
                  d["docdir"] + "/log-schema.json",
                  d["prefix"] + "/lib/sysusers.d/mailseal.conf",
                  d["prefix"] + "/lib/tmpfiles.d/mailseal.conf"] +
                 [f"{doc}/guidance/{name}" for name in GUIDANCE] +
                 [f"{d['mandir']}/man{page[-1]}/{page}" for page in
                  os.listdir(SOURCE + "/doc") if page[-2] == "."] +
                 [f"{d['systemdsystemunitdir']}/mailseald{kind}"
                  for kind in (".service", "@.service", ".socket")]):
        wanted[path] = 0o644
    return wanted


def files_found(root):
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            found[path[len(root):]] = os.lstat(path).st_mode & 0o7777
    return found


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def check_files(t, root, d):
    status, out = make("install", "DESTDIR=" + root)
    t.is_(status, 0, "make install", out)
    found, wanted = files_found(root), files_wanted(d)
    t.is_(sorted(found), sorted(wanted), "the files that are installed")
    t.is_({k: oct(found.get(k, 0)) for k in wanted},
          {k: oct(v) for k, v in wanted.items()}, "their modes")
    for path in found:
        if "/systemd/" in path or path.endswith(".d/mailseal.conf"):
            t.ok(not re.search("@[a-z]+@", read(root + path)),
                 f"{os.path.basename(path)}: every word is filled in")


def check_again(t, root, d):
    """The administrator's file."""
    conf = f"{root}{d['sysconfdir']}/mailseal.conf"
    with open(conf, "a", encoding="utf-8") as f:
        f.write('authserv_id = "mx.example.com";\n')
    changed = read(conf)
    status, out = make("install", "DESTDIR=" + root)
    t.is_((status, read(conf) == changed), (0, True),
          "installed again: mailseal.conf keeps what was changed", out)
    status, out = make("uninstall", "DESTDIR=" + root)
    t.is_((status, list(files_found(root))), (0, [conf[len(root):]]),
          "make uninstall leaves the changed mailseal.conf", out)
    t.has(out, "mailseal.conf was changed, and stays", "and says so")
    os.unlink(conf)
    make("install", "DESTDIR=" + root)
    status, out = make("uninstall", "DESTDIR=" + root)
    t.is_((status, list(files_found(root))), (0, []),
          "one that was not changed is removed as well", out)


def copy_units(folder, root, d):
    """The units, with the daemon where DESTDIR has put it."""
    os.mkdir(folder)
    source = root + d["systemdsystemunitdir"]
    paths = []
    for name in sorted(os.listdir(source)):
        text = read(os.path.join(source, name))
        paths.append(os.path.join(folder, name))
        with open(paths[-1], "w", encoding="utf-8") as f:
            for program in (d["sbindir"] + "/mailseald",
                            d["bindir"] + "/mailseal "):
                text = text.replace(program, root + program)
            f.write(text)
    return paths


def exposure(t, path, name):
    status, out = run("systemd-analyze", "security", "--offline=true",
                      "--no-pager", path)
    m = re.search(r"Overall exposure level for \S+: ([0-9.]+)", out)
    if t.ok(status == 0 and m, f"{name}: systemd-analyze security", out):
        t.note(f"exposure of {name}: {m[1]}")
        return float(m[1])
    return 10.0


def check_units(t, tmp, root, d):
    if not shutil.which("systemd-analyze"):
        t.skip("units", "there is no systemd-analyze")
        return
    for path in copy_units(os.path.join(tmp, "units"), root, d):
        name = os.path.basename(path)
        path = path.replace("@.", "@inbound.")  # an instance of the template
        if name == "mailseald@.service":
            os.symlink(name, path)
        status, out = run("systemd-analyze", "verify", "--man=no", path)
        t.is_((status, out), (0, ""), f"{name}: systemd-analyze verify")
    plain = os.path.join(tmp, "units", "mailseald.service")
    score = exposure(t, plain, "mailseald.service")
    t.ok(score < 1.5, "mailseald.service: exposure below 1.5", score)
    copy_units(os.path.join(tmp, "as-root"), root, d)
    rooted = os.path.join(tmp, "as-root", "mailseald.service")
    os.mkdir(rooted + ".d")
    shutil.copy(root + d["docdir"] + "/examples/systemd/root.conf",
                rooted + ".d")
    status, out = run("systemd-analyze", "verify", "--man=no", rooted)
    t.is_((status, out), (0, ""), "root.conf: systemd-analyze verify")
    t.ok(1.5 < exposure(t, rooted, "mailseald.service with root.conf") < 4,
         "root.conf: read, and still a sandbox")


def check_sysusers(t, tmp, root, d):
    if not shutil.which("systemd-sysusers"):
        t.skip("sysusers", "there is no systemd-sysusers")
        return
    os.makedirs(os.path.join(tmp, "sysroot", "etc"))
    status, out = run("systemd-sysusers", "--root=" + tmp + "/sysroot",
                      root + d["prefix"] + "/lib/sysusers.d/mailseal.conf")
    user = [line.split(":") for line in
            read(tmp + "/sysroot/etc/passwd").splitlines()]
    t.is_([(u[0], u[5], u[6]) for u in user],
          [("mailseal", "/var/lib/mailseal", "/usr/sbin/nologin")],
          "sysusers makes the user mailseal, without a login", status, out)


def notified(sock, seconds=15):
    """The next state, but for its text."""
    sock.settimeout(seconds)
    try:
        while (text := sock.recv(4096).decode()).startswith("STATUS="):
            pass
        return text
    except TimeoutError:
        return "nothing in time"


def wait_for(path, seconds=10):
    end = time.monotonic() + seconds
    while not os.path.exists(path) and time.monotonic() < end:
        time.sleep(0.02)


def activated(t, d, manager):
    """The client's connection starts mailseald, which gets the socket."""
    with open(d.config, "a", encoding="utf-8") as f:
        f.write('socket = "fd:3";\n')
    listener = subprocess.Popen(  # pylint: disable=R1732
        ["systemd-socket-activate", "-l", d.socket_path,
         "-E", "NOTIFY_SOCKET=" + manager.getsockname(),
         *(f"-E{k}={v}" for k, v in daemon.SANITIZER.items()),
         daemon.program("mailseald"), "-f", "-c", d.config],
        stdout=subprocess.DEVNULL, stderr=open(d.log_path, "wb"))
    d.process = listener
    wait_for(d.socket_path)
    d.wait_ready()
    t.has(notified(manager), "READY=1", "the manager hears READY=1")
    outcome = d.send(MESSAGE, "<a@example.org>")
    t.has(str(outcome.headers), "Authentication-Results",
          "a message passes through the socket that it was given")
    d.signal()
    t.has(notified(manager), "STOPPING=1", "the manager hears STOPPING=1")
    daemon.check_end(t, d)
    t.ok(os.path.exists(d.socket_path), "the manager's socket is left alone")


def check_activation(t, tmp):
    if not shutil.which("systemd-socket-activate"):
        t.skip("socket activation", "there is no systemd-socket-activate")
        return
    with contextlib.closing(socket.socket(socket.AF_UNIX,
                                          socket.SOCK_DGRAM)) as manager, \
            daemon.Daemon("example.org TXT \"v=spf1 -all\"\n", start=False) \
            as d:
        manager.bind(os.path.join(tmp, "notify"))
        text = read(d.config)
        d.write("mailseal.conf", "\n".join(
            line for line in text.splitlines()
            if not line.startswith("socket =")) + "\n")
        activated(t, d, manager)


def main():
    t = Tap()
    d = directories()
    with tempfile.TemporaryDirectory(prefix="mailseal-install-") as tmp:
        root = os.path.join(tmp, "root")
        with t.group("files"):
            check_files(t, root, d)
        with t.group("units"):
            check_units(t, tmp, root, d)
        with t.group("sysusers"):
            check_sysusers(t, tmp, root, d)
        with t.group("again"):
            check_again(t, root, d)
        with t.group("socket activation"):
            check_activation(t, tmp)
    t.done()


main()
