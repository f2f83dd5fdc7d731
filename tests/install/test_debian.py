"""The Debian package: built, looked at by lintian, and in a clean Debian 12
installed, started, upgraded with a changed configuration, and purged.

Needs root and a mirror for debootstrap.  The Debian is a folder: what needs no
running systemd is done in a chroot, as in a container, and what does in the
same folder booted by systemd-nspawn; where that cannot boot, that part is
skipped.
"""
import contextlib
import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

SOURCE = os.environ.get("MAILSEAL_SRCDIR", ".")
sys.path.insert(0, os.path.join(SOURCE, "tests", "lib"))
import daemon  # noqa: E402
import milter_client  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

MIRROR = "http://deb.debian.org/debian"
SECONDS = 420
DEBOOTSTRAP = "/usr/sbin/debootstrap"
CHROOT = "/usr/sbin/chroot"
TOOLS = (DEBOOTSTRAP, "dpkg-buildpackage", "dh", "lintian", "unshare")
SOCKET = "/run/mailseal/mailseal.sock"
MESSAGE = b"From: a@example.org\r\nSubject: x\r\n\r\nhi\r\n"
FOLDER = "/var/spool/postfix/mailseal"
KEY = "/etc/mailseal/k.pem"
# What the administrator changes in the configuration that comes with it.
CHANGES = (('#target = "syslog"', 'target = "stderr"'),
           ('#zone_file = ""', 'zone_file = "/etc/mailseal/zone"'),
           ("#sign = [ ]", 'sign = [ "192.0.2.7" ]'),
           ("#domains = ( )", 'domains = ( { domain = "example.org"; keys = ('
            f' {{ selector = "s"; file = "{KEY}"; }} ); }} )'))
ZONE = 'example.org TXT "v=spf1 ip4:192.0.2.1 -all"\n'


def run(*args, timeout=240, **kw):
    """(exit status, what it said); cut short, its children end too."""
    with subprocess.Popen(args, stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                          errors="replace", start_new_session=True, **kw) as p:
        try:
            out = p.communicate(timeout=timeout)[0]
            return p.returncode, out
        except BaseException:
            os.killpg(p.pid, signal.SIGKILL)
            raise


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def write(path, text, mode=0o644):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, mode)


def check_needs():
    if os.geteuid() != 0:
        skip_all("debootstrap needs root")
    for tool in TOOLS:
        if not shutil.which(tool):
            skip_all(f"there is no {os.path.basename(tool)}")
    try:
        urllib.request.urlopen(MIRROR + "/dists/bookworm/Release",
                               timeout=15).close()
    except OSError as e:
        skip_all(f"no mirror: {MIRROR}: {e}")


def works(address):
    """A message that arrives is checked, and one that leaves signed."""
    fields = [milter_client.send_message(address, MESSAGE, "<a@example.org>",
                                         client=client, timeout=30).headers
              for client in ("192.0.2.1", "192.0.2.7")]
    return "spf=pass" in str(fields[0]) and "DKIM-Signature" in str(fields[1])


class Chroot:
    """A Debian in a folder, without a running systemd."""

    def __init__(self, root):
        self.root = root

    def command(self, *args):
        return ["unshare", "-mpf", f"--mount-proc={self.root}/proc", CHROOT,
                self.root, "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C",
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *args]

    def run(self, *args):
        return run(*self.command(*args))

    def shell(self, text):
        return self.run("sh", "-c", text)

    def install(self, package):
        shutil.copy(package, self.root + "/root/")
        return self.run("apt-get", "-y", "--no-install-recommends",
                        "-oDpkg::Options::=--force-confold", "install",
                        "/root/" + os.path.basename(package))


class Booted(Chroot):
    """The same, with its systemd running."""

    def __enter__(self):
        self.log = open(self.root + ".boot", "wb")
        self.nspawn = subprocess.Popen(  # pylint: disable=R1732
            ["systemd-nspawn", "-q", "--keep-unit", "--register=no", "-D",
             self.root, "--boot", "--console=passive"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.init = None
        return self

    def __exit__(self, *_):
        for number in (signal.SIGTERM, signal.SIGKILL):
            self.nspawn.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.nspawn.wait(15)
                break
        self.log.close()

    def is_up(self, seconds=40):
        """Within this time; None of its processes is ours to see before."""
        end = time.monotonic() + seconds
        path = f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children"
        while time.monotonic() < end and self.nspawn.poll() is None:
            children = read(path).split()
            if children:
                self.init = children[0]
                with contextlib.suppress(subprocess.TimeoutExpired):
                    state = run(*self.command(
                        "systemctl", "is-system-running"), timeout=10)[1]
                    if state.strip() in ("running", "degraded"):
                        return True
            time.sleep(0.3)
        return False

    def command(self, *args):
        return ["nsenter", "-t", self.init, "-m", "-u", "-i", "-n", "-p", "-r",
                "-w", "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C",
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *args]

    def address(self, path=SOCKET):
        return f"unix:/proc/{self.init}/root{path}"

    def status(self, unit="mailseald"):
        """/proc/PID/status of the service."""
        pid = self.run("systemctl", "show", "-pMainPID", "--value", unit)[1]
        return self.run("cat", f"/proc/{pid.strip()}/status")[1]


def make_dist(t, version, env):
    status, out = run("make", "-s", "dist", cwd=daemon.BUILD, env=env)
    t.is_(status, 0, "make dist", out[-2000:])
    return f"{daemon.BUILD}/mailseal-{version}.tar.gz"


def build(t, tmp):
    """The package, and the next version of it with another default."""
    env = {k: v for k, v in os.environ.items()
           if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "DESTDIR")}
    env["DEB_BUILD_OPTIONS"] = f"nocheck parallel={os.cpu_count()}"
    version = run(daemon.program("mailseald"), "-V")[1].split()[1]
    tarball = shutil.move(make_dist(t, version, env), tmp)
    status, out = run("sh", SOURCE + "/contrib/debian/build.sh", tarball,
                      tmp + "/deb", env=env)
    if not t.is_(status, 0, "dpkg-buildpackage", out[-4000:]):
        raise RuntimeError("there is no package to go on with")
    status, out = run("lintian", "--allow-root", "--fail-on=warning",
                      "--pedantic", *glob.glob(tmp + "/deb/*.changes"))
    t.is_(status, 0, "lintian: no error and no warning", out)
    t.note(out)
    first = glob.glob(tmp + "/deb/mailseal_*.deb")[0]
    return first, next_version(first, tmp)


def next_version(package, tmp):
    tree = tmp + "/next"
    run("dpkg-deb", "-R", package, tree)
    control = read(tree + "/DEBIAN/control")
    write(tree + "/DEBIAN/control",
          re.sub(r"(?m)^(Version: .*)$", r"\1+next", control))
    conf = tree + "/etc/mailseal.conf"
    write(conf, read(conf) + "# a new default\n")
    run("dpkg-deb", "-b", tree, tmp + "/next.deb")
    return tmp + "/next.deb"


def check_installed(t, debian, package):
    status, out = debian.install(package)
    t.is_(status, 0, "the .deb installs in a clean Debian 12", out[-3000:])
    out = debian.shell("stat -c '%A %U %G %n' /etc/mailseal /etc/mailseal.conf"
                       " /var/lib/mailseal /run/mailseal; id -nG mailseal")[1]
    t.is_(out.splitlines(),
          ["drwxr-x--- root mailseal /etc/mailseal",
           "-rw-r--r-- root root /etc/mailseal.conf",
           "drwxr-x--- mailseal mailseal /var/lib/mailseal",
           "drwxr-xr-x mailseal mailseal /run/mailseal", "mailseal"],
          "owners and modes")
    out = debian.shell("cd /etc/systemd/system; ls *.wants | grep mailseal")[1]
    t.is_(out.split(), ["mailseald.service"], "only the service is enabled")
    status, out = debian.run("mailseal", "check-config", "/etc/mailseal.conf")
    t.is_(status, 0, "its configuration is accepted", out)


def change_configuration(debian):
    debian.shell("mailseal key new --domain example.org --selector s"
                 f" --out {KEY}; rm {KEY}.state; chgrp mailseal {KEY};"
                 f"chmod 0640 {KEY}")
    root = debian.root
    path = root + "/etc/mailseal.conf"
    text = read(path)
    for old, new in CHANGES:
        assert old in text, old
        text = text.replace(old, new)
    write(path, text)
    write(root + "/etc/mailseal/zone", ZONE)
    return text


def check_apparmor(t, debian):
    """Read and compiled; the kernel need not have AppArmor."""
    shutil.copy(SOURCE + "/contrib/apparmor/usr.sbin.mailseald",
                debian.root + "/root/profile")
    status, out = debian.run("apparmor_parser", "-QKT", "/root/profile")
    t.is_(status, 0, "the AppArmor profile is accepted", out)
    os.unlink(debian.root + "/root/profile")


def check_by_hand(t, root):
    """As the unit starts it, with us in the place of systemd."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(root + "/run/notify")
        os.chmod(root + "/run/notify", 0o666)
        manager.settimeout(20)
        p = subprocess.Popen(  # pylint: disable=R1732
            [CHROOT, "--userspec=mailseal:mailseal", root,
             "/usr/sbin/mailseald", "-f", "-c", "/etc/mailseal.conf"],
            stdin=subprocess.DEVNULL,
            env={"NOTIFY_SOCKET": "/run/notify", "PATH": "/usr/bin:/bin"})
        try:
            t.has(manager.recv(4096).decode(), "READY=1",
                  "started as its user: READY=1")
            t.ok(works(f"unix:{root}{SOCKET}"), "mail is checked and signed")
        finally:
            p.terminate()
            status = p.wait(30)
        t.is_(status, 0, "it stops")
    os.unlink(root + "/run/notify")
    out = run(CHROOT, root, "sh", "-c",
              "stat -c '%A %U %G' /var/lib/mailseal/*")[1]
    t.is_(set(out.splitlines()), {"-rw-r----- mailseal mailseal"},
          "what it keeps is for its user and group alone")


def check_service(t, debian):
    t.is_(debian.run("systemctl", "is-active", "mailseald")[1].strip(),
          "active", "systemd: the service runs after the boot",
          debian.run("journalctl", "--no-pager", "-u", "mailseald")[1])
    t.ok(works(debian.address()), "systemd: mail is checked and signed")
    status = debian.status()
    for part in ("CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"):
        t.has(status, part, f"systemd: {part}")
    status, out = debian.run("systemctl", "reload", "mailseald")
    t.is_(status, 0, "systemd: reload", out)
    conf = read(debian.root + "/etc/mailseal.conf")
    write(debian.root + "/etc/mailseal.conf", conf + "nonsense = 1;\n")
    status = debian.run("systemctl", "reload", "mailseald")[0]
    t.ok(status != 0 and works(debian.address()),
         "systemd: a bad configuration is no reload, and the old one stays")
    t.has(debian.run("journalctl", "--no-pager", "-u", "mailseald")[1],
          f"mailseal.conf:{conf.count(chr(10)) + 1}: ",
          "systemd: the journal has the line")
    write(debian.root + "/etc/mailseal.conf", conf)


def check_socket_unit(t, debian):
    """Restarted by the manager that holds the socket."""
    conf = read(debian.root + "/etc/mailseal.conf")
    write(debian.root + "/etc/mailseal.conf",
          conf.replace('#socket = "unix:' + SOCKET, 'socket = "fd:3'))
    status, out = debian.shell(
        "systemctl stop mailseald; systemctl start mailseald.socket &&"
        " systemctl start mailseald")
    t.is_(status, 0, "mailseald.socket: starts", out)
    t.ok(works(debian.address()),
         "mailseald.socket: mail is checked and signed")
    debian.run("systemctl", "stop", "mailseald")
    t.ok(works(debian.address()),
         "mailseald.socket: the next message starts the service")
    write(debian.root + "/etc/mailseal.conf", conf)
    debian.shell("systemctl stop mailseald.socket mailseald;"
                 "systemctl start mailseald")


def check_chroot_folder(t, debian, owner, name):
    """The socket where a Postfix in a chroot finds it."""
    conf = read(debian.root + "/etc/mailseal.conf")
    write(debian.root + "/etc/mailseal.conf",
          conf.replace("#socket = \"unix:" + SOCKET,
                       f'socket = "unix:{FOLDER}/m.sock'))
    status, out = debian.shell(
        "systemctl stop mailseald; groupadd -f -r postfix;"
        f"rm -rf {FOLDER}; mkdir -p /var/spool/postfix;"
        f"install -d -o {owner} -g postfix -m 2750 {FOLDER}; systemctl start"
        f" mailseald && stat -c '%A %G' {FOLDER}/m.sock")
    t.is_((status, out.splitlines()[-1:]), (0, ["srw-rw---- postfix"]),
          f"{name}: the socket is for the group of its folder", out)
    t.ok(works(debian.address(FOLDER + "/m.sock")),
         f"{name}: mail is checked and signed there")
    write(debian.root + "/etc/mailseal.conf", conf)
    debian.run("systemctl", "restart", "mailseald")


def check_folder(t, debian):
    check_chroot_folder(t, debian, "mailseal", "chroot of Postfix")


def check_socket_group(t, debian):
    """Given away by a user who is no root, and is in that group."""
    conf = read(debian.root + "/etc/mailseal.conf")
    write(debian.root + "/etc/mailseal.conf",
          conf.replace('#socket_group = ""', 'socket_group = "postfix"'))
    out = debian.shell("usermod -a -G postfix mailseal; systemctl restart"
                       f" mailseald; stat -c '%A %U %G' {SOCKET}")[1]
    t.is_(out.splitlines()[-1:], ["srw-rw---- mailseal postfix"],
          "socket_group: postfix, which mailseal is in", out)
    write(debian.root + "/etc/mailseal.conf", conf)
    debian.run("systemctl", "restart", "mailseald")


def check_root_conf(t, debian):
    status, out = debian.shell(
        f"chown root:root {KEY}; chmod 0600 {KEY};"
        "d=/etc/systemd/system/mailseald.service.d; mkdir $d; systemctl stop"
        " mailseald; cp /usr/share/doc/mailseal/examples/systemd/root.conf $d;"
        "systemctl daemon-reload; systemctl start mailseald &&"
        "systemctl reload mailseald")
    t.is_(status, 0, "root.conf: starts and reloads", out,
          debian.run("journalctl", "--no-pager", "-u", "mailseald")[1])
    t.ok(works(debian.address()), "root.conf: mail is checked and signed")
    status = debian.status()
    user = debian.run("id", "-u", "mailseal")[1].strip()
    t.has(status, "Uid:" + f"\t{user}" * 4, "root.conf: it is mailseal now")
    t.has(status, "CapPrm:\t0000000000000000",
          "root.conf: without a capability")
    out = debian.shell("ps -eo user:20=,comm= | grep mailseald | sort")[1]
    t.is_([line.split(None, 1) for line in out.splitlines()],
          [["mailseal", "mailseald"], ["root", "mailseald: keys"]],
          "root.conf: a key process of root's, a filter that is not")
    check_chroot_folder(t, debian, "root", "root.conf, chroot of Postfix")
    debian.shell(f"chgrp mailseal {KEY}; chmod 0640 {KEY};"
                 "systemctl stop mailseald;"
                 "rm -r /etc/systemd/system/mailseald.service.d;"
                 "systemctl daemon-reload; systemctl start mailseald")


def check_instances(t, debian):
    write(debian.root + "/etc/mailseal/common.conf",
          'resolver = { zone_file = "/etc/mailseal/zone"; };\n'
          'networks = { sign = [ "192.0.2.7" ]; };\n'
          'outbound = { domains = ( { domain = "example.org"; keys = ('
          f' {{ selector = "s"; file = "{KEY}"; }} ); }} ); }};\n')
    units = []
    for name in ("inbound", "outbound"):
        units.append("mailseald@" + name)
        write(f"{debian.root}/etc/mailseal/{name}.conf",
              '@include "common.conf"\n'
              f'socket = "unix:/run/mailseal/{name}.sock";\n'
              f'control = {{ socket = "/run/mailseal/{name}.control"; }};\n')
    status, out = debian.run("systemctl", "enable", "--now", *units)
    t.is_(status, 0, "two instances start", out)
    for name in ("inbound", "outbound"):
        t.ok(works(debian.address(f"/run/mailseal/{name}.sock")),
             f"mailseald@{name}: mail is checked and signed")


def check_upgrade(t, debian, package, conf, running):
    before = debian.status() if running else ""
    status, out = debian.install(package)
    t.is_(status, 0, "upgrade", out[-3000:])
    t.ok(read(debian.root + "/etc/mailseal.conf") == conf,
         "upgrade: the changed configuration is as it was")
    t.has(read(debian.root + "/etc/mailseal.conf.dpkg-dist"), "a new default",
          "upgrade: the new one lies beside it")
    if running:
        t.ok(debian.status() != before and works(debian.address()),
             "upgrade: the new service checks mail")
        t.ok(works(debian.address("/run/mailseal/inbound.sock")),
             "upgrade: so does the instance")


def check_purge(t, debian):
    """Nothing with our name, nothing that belongs to nobody."""
    status, out = debian.run("apt-get", "-y", "remove", "mailseal")
    t.is_(status, 0, "remove", out[-3000:])
    t.is_(debian.shell("pgrep -x mailseald")[1], "", "remove: nothing runs")
    t.ok(os.path.exists(debian.root + "/etc/mailseal.conf"),
         "remove: the configuration stays")
    status, out = debian.run("apt-get", "-y", "purge", "mailseal")
    t.is_(status, 0, "purge", out[-3000:])
    out = debian.shell(
        f"rm -f /root/*.deb; rm {KEY}; find / /run -xdev ! -path '/proc/*' '('"
        " -name '*mailseal*' -o -nouser -o -nogroup ')' -print;"
        " grep -h mailseal /etc/passwd /etc/shadow /etc/group /etc/gshadow")[1]
    t.is_(out.split(), ["/etc/mailseal"],
          "purge: what the administrator made in /etc/mailseal, else no trace")
    t.is_(os.stat(debian.root + "/etc/mailseal").st_gid, 0,
          "purge: and that is root's")


def check_running(t, debian, package, conf):
    """True when systemd ran, and purged."""
    os.unlink(debian.root + "/usr/sbin/policy-rc.d")
    if not shutil.which("systemd-nspawn"):
        t.skip("under systemd", "there is no systemd-nspawn")
        return False
    with Booted(debian.root) as booted:
        if not booted.is_up():
            t.note(read(debian.root + ".boot"))
            t.skip("under systemd", "systemd-nspawn cannot boot here")
            return False
        for check in (check_service, check_socket_unit, check_folder,
                      check_socket_group, check_root_conf, check_instances):
            with t.group(check.__name__):
                check(t, booted)
        with t.group("upgrade"):
            check_upgrade(t, booted, package, conf, True)
        with t.group("purge"):
            check_purge(t, booted)
    return True


def debootstrap(tmp):
    with open(tmp + "/debootstrap.log", "wb") as log:
        return subprocess.Popen(  # pylint: disable=R1732
            [DEBOOTSTRAP, "--variant=minbase",
             "--include=systemd,dbus,procps,apparmor", "bookworm",
             tmp + "/debian", MIRROR], start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def clean_up(tmp, bootstrap):
    """Also in the middle of debootstrap, which mounts /proc."""
    if bootstrap.poll() is None:
        os.killpg(bootstrap.pid, signal.SIGKILL)
        bootstrap.wait()
    while run("umount", "-l", tmp + "/debian/proc")[0] == 0:
        pass
    shutil.rmtree(tmp)


def check_debian(t, debian, first, following):
    write(debian.root + "/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n",
          0o755)
    shutil.copy("/etc/resolv.conf", debian.root + "/etc/resolv.conf")
    check_installed(t, debian, first)
    check_apparmor(t, debian)
    conf = change_configuration(debian)
    with t.group("by hand"):
        check_by_hand(t, debian.root)
    if not check_running(t, debian, following, conf):
        check_upgrade(t, debian, following, conf, False)
        check_purge(t, debian)


def main():
    check_needs()
    t = Tap(SECONDS)
    tmp = tempfile.mkdtemp(prefix="mailseal-debian-")
    os.chmod(tmp, 0o755)
    bootstrap = debootstrap(tmp)
    try:
        with t.group("package"):
            first, following = build(t, tmp)
            status = bootstrap.wait()
            t.is_(status, 0, "debootstrap",
                  read(tmp + "/debootstrap.log")[-2000:])
            check_debian(t, Chroot(tmp + "/debian"), first, following)
    finally:
        clean_up(tmp, bootstrap)
    t.done()


main()
