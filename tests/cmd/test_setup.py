"""mailseal setup, and what check-config says of the MTA, without running one:
each setting that is wrong is named with its cure, what is right is left alone,
and a postconf that hangs, fails or babbles does no harm.

Rows about Postfix ask the real postconf(1), which needs no root; where it is
not there they are skipped.  tests/mta/test_setup.py has what needs root.
"""
import grp
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time

SRC = os.environ.get("MAILSEAL_SRCDIR", ".")
sys.path.insert(0, os.path.join(SRC, "tests", "lib"))
from daemon import SANITIZER, program  # noqa: E402  pylint: disable=C0413
from material import Key  # noqa: E402  pylint: disable=C0413
from tap import Tap  # noqa: E402  pylint: disable=wrong-import-position

PLACES = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
POSTCONF = shutil.which("postconf", path=PLACES)

MAIN = {"compatibility_level": "3.6", "myhostname": "mx.example.com",
        "smtpd_milters": "unix:mailseal/m.sock",
        "non_smtpd_milters": "$smtpd_milters",
        "internal_mail_filter_classes": "bounce",
        "smtpd_forbid_bare_newline": "normalize"}
MASTER = "smtp inet n - {chroot} - - smtpd\n" \
         "submission inet n - {chroot} - - smtpd\n{name}" \
         "cleanup unix n - {cleanup} - 0 cleanup\n"
NAMED = "  -o milter_macro_daemon_name=submission\n"
# what differs in main.cf; what check-config must say; what setup must set
POSTFIX_ROWS = (
    ("right", {}, "", ""),
    ("no milter", {"smtpd_milters": ""}, "neither checked nor signed",
     "smtpd_milters = unix:mailseal/m.sock"),
    ("another milter", {"smtpd_milters": "inet:127.0.0.1:11332"},
     "neither checked nor signed",
     "smtpd_milters = unix:mailseal/m.sock, inet:127.0.0.1:11332"),
    ("another milter behind a variable",
     {"rspamd": "inet:127.0.0.1:11332", "smtpd_milters": "$rspamd",
      "non_smtpd_milters": "unix:mailseal/m.sock"},
     "neither checked nor signed",
     "smtpd_milters = unix:mailseal/m.sock, $rspamd"),
    ("ours behind a variable",
     {"seal": "unix:mailseal/m.sock", "smtpd_milters": "$seal"}, "", ""),
    ("ours in braces",
     {"smtpd_milters": "{ unix:mailseal/m.sock, connect_timeout=40s }"},
     "", ""),
    ("ours in braces, too short a time",
     {"smtpd_milters": "{ unix:mailseal/m.sock, command_timeout=20s }"},
     "command_timeout=20s }: is not longer than resolver.message_timeout = "
     "20", ""),
    ("another socket of ours",
     {"smtpd_milters": "inet:[::1]:1, unix:mailseal/old.sock"},
     "is not how smtpd and cleanup find the socket of",
     "smtpd_milters = inet:[::1]:1, unix:mailseal/m.sock"),
    ("another socket of ours behind a variable",
     {"seal": "unix:mailseal/old.sock", "smtpd_milters": "$seal"},
     'make it unix:mailseal/m.sock where "$seal" is set', ""),
    ("absolute path", {"smtpd_milters": "unix:{queue}/mailseal/m.sock"}, "",
     ""),
    ("no local mail", {"non_smtpd_milters": "inet:127.0.0.1:9"},
     "sendmail(1) and cron is not signed",
     "non_smtpd_milters = inet:127.0.0.1:9, unix:mailseal/m.sock"),
    ("no bounces", {"internal_mail_filter_classes": "notify"},
     "bounces are not signed",
     "internal_mail_filter_classes = notify, bounce"),
    ("accept", {"milter_default_action": "accept"},
     "on_signing_error = tempfail forbids", "milter_default_action = tempfail"),
    ("reject", {"milter_default_action": "reject"}, "refused for good",
     "milter_default_action = tempfail"),
    ("quarantine", {"milter_default_action": "quarantine"},
     "held until somebody", "milter_default_action = tempfail"),
    ("old protocol", {"milter_protocol": "4"}, "leading spaces are lost",
     "milter_protocol = 6"),
    ("command_timeout", {"milter_command_timeout": "20"},
     "is not longer than resolver.message_timeout = 20",
     "milter_command_timeout = 30s"),
    ("content_timeout", {"milter_content_timeout": "10s"},
     "is not longer than resolver.message_timeout = 20",
     "milter_content_timeout = 300s"),
    ("connect_timeout", {"milter_connect_timeout": "20s"},
     "is not longer than shutdown_timeout = 20",
     "milter_connect_timeout = 30s"),
    ("long enough", {"milter_content_timeout": "1m",
                     "milter_command_timeout": "21s"}, "", ""),
    ("bare newline", {"smtpd_forbid_bare_newline": "no"}, "CVE-2023-51764",
     "smtpd_forbid_bare_newline = normalize"),
    ("bare newline, noted only", {"smtpd_forbid_bare_newline": "note"},
     "CVE-2023-51764", "smtpd_forbid_bare_newline = normalize"),
    ("bare newline, refused", {"smtpd_forbid_bare_newline": "reject"}, "",
     ""),
    ("stray CR", {"cleanup_replace_stray_cr_lf": "no"},
     "CR or LF by itself", "cleanup_replace_stray_cr_lf = yes"),
)
X = "X{name}, S=local:{sock}, F={f}, T={t}\n"
TIMES = "C:30s;S:30s;R:30s;E:60s"
SENDMAIL_ROWS = (
    ("right", {}, ""),
    ("no filter", {"filter": ""}, "neither checked nor signed"),
    ("not used", {"list": "other"}, "is not used"),
    ("another socket", {"sock": "/run/old.sock"}, "is not the socket of"),
    ("another name", {"name": "milter1", "list": "milter1"}, ""),
    ("accept", {"f": ""}, "on_signing_error = tempfail forbids"),
    ("reject", {"f": "R"}, "refused for good"),
    ("421", {"f": "4"}, ""),
    ("short E", {"t": "R:30s;E:20s"}, "resolver.message_timeout"),
    ("default R", {"t": "E:1m"}, "T=R:10s: is not longer than shutdown"),
    ("minutes", {"t": "R:1m;E:1m"}, ""),
    ("old", {"version": "8.13.8"}, "milter protocol is too old"),
    ("8.17 of old", {"nul": ""}, "CVE-2023-51765"),
    ("8.18", {"version": "8.18.1", "nul": ""}, ""),
    ("NUL", {"nul": "#O RejectNUL=false\n"}, "RejectNUL=false"),
    ("a daemon of other filters",
     {"daemon": "Name=submission, InputFilter=x;y"},
     "mail that this daemon takes is not handed to mailseald"),
    ("a daemon of its own filters",
     {"daemon": "Name=submission, I=x;mailseal"}, ""),
    ("no daemon of that name", {"daemon": "Name=MSA, Port=587"},
     "no daemon has this name"),
)
# the tests' folder is in /tmp, where everybody can write
CF = "DZ{version}/Debian-1\nO DaemonPortOptions={daemon}\n{nul}" \
     "O InputMailFilters={list}\nO DontBlameSendmail={blame}\n"


class Site:
    def __init__(self, directory):
        self.dir = directory
        self.queue = os.path.join(directory, "spool")
        self.etc = os.path.join(directory, "etc")
        self.socket = os.path.join(self.queue, "mailseal", "m.sock")
        for d in (self.etc, os.path.dirname(self.socket)):
            os.makedirs(d)
        for d in (directory, self.queue, os.path.dirname(self.socket)):
            os.chmod(d, 0o755)
        self.key = Key(directory, "k")
        self.conf = self.configure()

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def configure(self, name="mailseal.conf", socket=None, extra=""):
        return self.write(
            name, f'socket = "{socket or "unix:" + self.socket}";\n'
            'socket_mode = "0666"; user = ""; state_directory = "";\n'
            'listeners = ( { name = "submission"; direction = "outbound"; } '
            ');\noutbound = { domains = ( { domain = "example.com"; keys = ( '
            f'{{ selector = "s"; file = "{self.key.path}"; }} ); }} ); }};\n'
            + extra)

    def postfix(self, changes=(), chroot="n", named=True, cleanup=None,
                **more):
        lines = {**MAIN, "queue_directory": self.queue, **dict(changes),
                 **more}
        self.write("etc/main.cf", "".join(
            f"{k} = {v}\n" for k, v in lines.items()
            ).replace("{queue}", self.queue))
        self.write("etc/master.cf", MASTER.format(
            chroot=chroot, cleanup=cleanup or chroot,
            name=NAMED if named else ""))

    def sendmail(self, **changes):
        v = {"version": "8.17.1.9", "daemon": "Name=submission, Port=587",
             "nul": "O RejectNUL=true\n", "list": "mailseal",
             "name": "mailseal", "sock": self.socket, "f": "T", "t": TIMES,
             "filter": X, "blame": "truststickybit", **changes}
        self.write("etc/sendmail.cf", (CF + v["filter"]).format(**v))

    def run(self, *args, path=None, conf=None, mta=("--mta", "postfix")):
        return self.start("check-config", conf or self.conf, *mta,
                          "--config-dir", self.etc, *args, path=path)

    def setup(self, what="postfix", *args, path=None, conf=None):
        return self.start("setup", what, "-c", conf or self.conf,
                          "--config-dir", self.etc, *args, path=path)

    def start(self, *args, path=None):
        env = {**os.environ, **SANITIZER, "PATH": path or PLACES}
        p = subprocess.run([program("mailseal"), *args], env=env, cwd=self.dir,
                           stdin=subprocess.DEVNULL, capture_output=True,
                           timeout=60, check=False)
        return p.returncode, p.stdout.decode(), p.stderr.decode()

    def fake(self, script):
        """A PATH with a postconf of ours at its beginning."""
        where = os.path.join(self.dir, "fake")
        os.makedirs(where, exist_ok=True)
        os.chmod(where, 0o755)
        self.write("fake/postconf", "#!/bin/sh\n" + script, 0o755)
        return where + ":" + PLACES


def postfix_rows(t, site):
    for name, changes, says, sets in POSTFIX_ROWS:
        site.postfix(changes)
        status, out, err = site.run()
        t.is_(status, 0, f"{name}: warnings do not fail", out, err)
        if says == "":
            t.is_(err, "", f"{name}: nothing to warn of")
        else:
            t.has(err, says, f"{name}: check-config")
            t.is_(err.count("\n"), 1, f"{name}: one line", err)
        status, out, err = site.setup()
        if sets:
            t.has(out, f"postconf -c {site.etc} -e '{sets}'\n",
                  f"{name}: setup", err)
        elif not says:
            t.ok(out.endswith("\n# nothing to do\n") and status == 0,
                 f"{name}: setup has nothing to do", status, out, err)
    site.postfix({"milter_default_action": "accept"})
    conf = site.configure("lax.conf", extra='on_signing_error = "accept";\n')
    t.is_(site.run(conf=conf)[2], "", "accept: as both of ours have it")
    site.postfix({"milter_content_timeout": "21s"})
    conf = site.configure("slow.conf",
                          extra="resolver = { message_timeout = 25; };\n")
    t.has(site.run(conf=conf)[2], "message_timeout = 25",
          "the deadline is that of the configuration")
    site.postfix({"milter_connect_timeout": "30s"})
    conf = site.configure("drain.conf", extra="shutdown_timeout = 90;\n")
    t.has(site.setup(conf=conf)[1], "'milter_connect_timeout = 95s'",
          "and setup sets more where ours takes longer")


def sockets(t, site):
    site.postfix(chroot="y")
    status, out, err = site.run()
    t.is_((status, err), (0, ""), "a socket within the chroot", out)
    site.postfix({"smtpd_milters": "unix:/mailseal/m.sock"}, chroot="y")
    t.is_(site.run()[2], "", "... as its path is there")
    site.postfix({"smtpd_milters": "unix:/mailseal/m.sock"}, chroot="y",
                 cleanup="n")
    t.has(site.setup()[1], "'smtpd_milters = unix:mailseal/m.sock'",
          "... but with cleanup outside it must be below the queue directory")
    for chroot, there in (("n", "unix:/mailseal/m.sock"),
                          ("y", f"unix:{site.socket}")):
        site.postfix({"smtpd_milters": there}, chroot=chroot)
        t.has(site.run()[2], "is not how smtpd and cleanup find",
              f"chroot {chroot}: {there.replace(site.dir, '')}")
    conf = site.configure("out.conf", "unix:/run/mailseal/m.sock")
    site.postfix({"smtpd_milters": "unix:/run/mailseal/m.sock"}, chroot="y")
    status, _, err = site.run(conf=conf)
    cure = f'set socket = "unix:{site.queue}/mailseal/m.sock", which is ' \
           "unix:mailseal/m.sock there"
    t.has(err, cure, "a socket outside of it")
    t.has(err, "etc/master.cf, column 5", "... says where that is set")
    status, out, err = site.setup(conf=conf)
    t.is_(status, 78, "setup: the configuration is wrong", out)
    t.has(err, cure, "setup: the same cure")
    status, out, err = site.setup("postfix", "--apply", conf=conf)
    t.is_((status, "nothing was changed" in err), (78, True),
          "--apply refuses", out, err)
    site.postfix({"compatibility_level": "0"}, chroot="-")
    t.has(site.run(conf=conf)[2], "runs chrooted",
          "- is y at compatibility level 0")
    site.postfix(chroot="-")
    t.hasnt(site.run(conf=conf)[2], "chrooted", "- is n from level 1 on")
    site.postfix({"smtpd_milters": "unix:none/m.sock"}, chroot="y")
    conf = site.configure("none.conf", f"unix:{site.queue}/none/m.sock")
    with open(conf, encoding="utf-8") as f:
        text = f.read()
    site.write("none.conf", text.replace('user = ""', 'user = "mailseal"'))
    t.has(site.setup(conf=conf)[2], "its directory is not there; install -d "
          f"-o mailseal -g postfix -m 2750 {site.queue}/none\n",
          "a directory that has to be made")
    conf = site.configure("tcp.conf", "inet:8891@127.0.0.1")
    for there in ("inet:127.0.0.1:8891", "inet:localhost:8891"):
        site.postfix({"smtpd_milters": there}, chroot="y")
        t.is_(site.run(conf=conf)[2], "", f"TCP: {there}")
    site.postfix({"smtpd_milters": ""})
    t.has(site.setup(conf=conf)[1], "'smtpd_milters = inet:127.0.0.1:8891'",
          "TCP: setup")
    conf = site.configure("tcp6.conf", "inet:8891@[::]")
    t.has(site.setup(conf=conf)[1], "'smtpd_milters = inet:[::1]:8891'",
          "TCP, any address: setup")
    conf = site.configure("fd.conf", "fd:3")
    status, _, err = site.setup(conf=conf)
    t.is_((status, "give --socket" in err), (78, True),
          "fd:N: setup says why it cannot", err)
    site.postfix({"smtpd_milters": ""}, chroot="y")
    there = "unix:" + site.socket
    status, out, err = site.setup("postfix", "--socket", there, conf=conf)
    t.has(out, "'smtpd_milters = unix:mailseal/m.sock'", "... and can with it")
    t.is_((status, err), (0, ""), "... without complaint")
    t.has(site.run("--socket", there, conf=conf)[2], "neither checked",
          "... so can check-config")
    t.is_(site.run(conf=conf)[2].count("smtpd_milters"), 0,
          "... which else says nothing of it")
    t.is_(site.setup("postfix", "--socket", "fd:3", conf=conf)[0], 64,
          "--socket fd:3: usage")


def access(t, site):
    """The user of the MTA and the socket: from modes alone."""
    site.postfix(mail_owner="nobody")
    os.chmod(os.path.dirname(site.socket), 0o700)
    nobody = pwd.getpwnam("nobody")
    group = grp.getgrgid(nobody.pw_gid).gr_name
    if os.geteuid() == nobody.pw_uid:
        t.skip("access", "we are nobody")
        os.chmod(os.path.dirname(site.socket), 0o755)
        return
    t.has(site.run()[2], "the user nobody cannot enter " +
          os.path.dirname(site.socket), "a closed directory")
    os.chmod(os.path.dirname(site.socket), 0o755)
    conf = site.configure("mode.conf")
    with open(conf, encoding="utf-8") as f:
        text = f.read()
    site.write("mode.conf", text.replace('"0666"', '"0600"').replace(
        'user = ""', 'user = "bin"'))
    t.has(site.run(conf=conf)[2], f'set socket_group = "{group}"',
          "a socket that will be for its owner only")
    site.write("mode.conf", text.replace(
        '"0666"', f'"0660"; socket_group = "{group}"').replace(
            'user = ""', 'user = "bin"'))
    t.is_(site.run(conf=conf)[2], "", "a socket that will be of its group")


def listeners(t, site):
    site.postfix(named=False)
    status, _, err = site.run()
    t.is_(status, 0, "a listener without its name")
    t.has(err, "add -o milter_macro_daemon_name=submission to "
          "submission/inet", "... is told")
    t.has(site.setup()[1], f"postconf -c {site.etc} -P 'submission/inet/"
          "milter_macro_daemon_name=submission'\n", "... and set")
    site.postfix()
    master = os.path.join(site.etc, "master.cf")
    with open(master, "a", encoding="utf-8") as f:
        f.write("2525 inet n - n - - smtpd\n  -o smtpd_milters=\n"
                "  -o milter_macro_daemon_name=other\n")
    conf = site.configure("two.conf", extra="")
    with open(conf, encoding="utf-8") as f:
        text = f.read()
    site.write("two.conf", text.replace(
        "listeners = (", 'listeners = ( { name = "other"; direction = '
        '"outbound"; },'))
    t.has(site.run(conf=conf)[2], "2525/inet -o smtpd_milters: mail that this "
          "listener takes is not handed to mailseald",
          "a listener that does not ask us")
    site.write("two.conf", text.replace(
        "listeners = (", 'listeners = ( { name = "other"; direction = '
        '"none"; },'))
    t.is_(site.run(conf=conf)[2], "", "... but where it need not")
    site.write("two.conf", text.replace('"submission"', '"nosuch"'))
    status, _, err = site.setup(conf=conf)
    t.is_(status, 78, "a name that is nowhere")
    t.has(err, "add -o milter_macro_daemon_name=nosuch to that smtpd",
          "... is for the administrator")


def only_verifies(t, site):
    site.postfix({"non_smtpd_milters": "",
                  "internal_mail_filter_classes": "",
                  "milter_default_action": "accept"})
    conf = site.write("verify.conf", f'socket = "unix:{site.socket}";\n'
                      'socket_mode = "0666"; user = ""; state_directory = '
                      '"";\n')
    t.is_(site.run(conf=conf)[2], "", "without keys nothing needs signing")


OLD = """
for a; do case $a in
-M) echo 'smtp inet n - n - - smtpd'; exit;;
-P) exit;;
esac; done
cat <<END
mail_version = 2.11.3
config_directory = /etc/postfix
queue_directory = /var/spool/postfix
smtpd_milters = unix:mailseal/m.sock
smtpd_data_restrictions = reject_multi_recipient_bounce
smtpd_discard_ehlo_keywords =
END
"""


def bad_postconf(t, site):
    """Whatever postconf does: an end in time, and one line."""
    begun = time.monotonic()
    path = site.fake("sleep 100 & sleep 100")
    status, out, err = site.run(path=path)
    t.ok(time.monotonic() - begun < 25, "a postconf that hangs is ended")
    t.is_(status, 0, "... and fails nothing", out, err)
    t.has(err, "the MTA cannot be looked at: postconf does not answer",
          "... but is told")
    for name, script, says in (
            ("that fails", "echo 'postconf: fatal: \033[2Jno' >&2; exit 1",
             "fatal: \\x1b[2Jno"),
            ("that babbles", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxx"
             "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done",
             "postconf writes too much"),
            ("of something else", "echo hello", "does not tell"),
            ("that is killed", "kill -9 $$", "did not end as it should")):
        path = site.fake(script)
        status, out, err = site.run(path=path)
        t.is_(status, 0, f"a postconf {name}", out)
        t.has(err, says, "... is told")
        t.is_(err.count("\n"), 1, "... in one line", err)
        status, out, err = site.setup(path=path)
        t.is_(status, 69, "... setup: no Postfix", out, err)
    path = site.fake("echo \"$0: fatal: open /x/main.cf: No such file or "
                     "directory\" >&2; exit 1")
    t.is_(site.run(path=path, mta=())[2], "", "no main.cf: no Postfix")
    t.has(site.run(path=path)[2], "cannot be looked at",
          "... but where it was asked for")
    t.is_(site.run(path=site.fake("exit 1"), mta=("--mta", "none"))[2], "",
          "--mta none")
    path = site.fake("id -u >> " + site.write("uid", "", 0o666) +
                     "; env | sort >> " + site.write("env", "", 0o666) +
                     "; exit 1")
    site.run(path=path)
    with open(os.path.join(site.dir, "uid"), encoding="ascii") as f:
        uid = f.readline().strip()
    t.is_(uid, "65534" if os.geteuid() == 0 else str(os.geteuid()),
          "root is nobody for what only reads")
    with open(os.path.join(site.dir, "env"), encoding="utf-8") as f:
        names = {line.partition("=")[0] for line in f}
    t.ok(names <= {"PATH", "LC_ALL", "MAIL_CONFIG", "PWD", "_", "OLDPWD",
                   "SHLVL"}, "the environment is not handed on", names)
    status, out, err = site.setup(path=site.fake(OLD), conf=site.configure(
        "old.conf", "unix:/var/spool/postfix/mailseal/m.sock"))
    t.has(out, "'smtpd_data_restrictions = reject_multi_recipient_bounce, "
          "reject_unauth_pipelining'", "a Postfix without the cure", err)
    t.has(out, "'smtpd_discard_ehlo_keywords = chunking'", "... nor BDAT")
    t.hasnt(out, "smtpd_forbid_bare_newline =", "... what it does not know")
    _, out, err = site.setup(
        path=site.fake(OLD.replace("keywords =\n", "keywords =\n"
                                   "smtpd_forbid_bare_newline = no\n")),
        conf=site.configure("old.conf",
                            "unix:/var/spool/postfix/mailseal/m.sock"))
    t.has(out, "'smtpd_forbid_bare_newline = yes'",
          "a Postfix that only forbids", err)
    t.hasnt(out, "smtpd_data_restrictions", "... needs no other cure")


def sendmail_rows(t, site):
    nowhere = site.fake("echo \"$0: fatal: open main.cf: No such file\" >&2; "
                        "exit 1")
    for name, changes, says in SENDMAIL_ROWS:
        site.sendmail(**changes)
        status, out, err = site.run(path=nowhere, mta=())
        t.is_(status, 0, f"Sendmail, {name}: warnings do not fail", out)
        if says == "":
            t.is_(err, "", f"Sendmail, {name}: nothing to warn of")
        else:
            t.has(err, says, f"Sendmail, {name}: check-config")
            t.is_(err.count("\n"), 1, f"Sendmail, {name}: one line", err)
    site.sendmail()
    os.chmod(os.path.dirname(site.socket), 0o775)
    t.has(site.run(mta=("--mta", "sendmail"))[2], "Sendmail does not start",
          "Sendmail: a directory that its group can write to")
    site.sendmail(blame="groupwritabledirpathsafe,truststickybit")
    t.is_(site.run(mta=("--mta", "sendmail"))[2], "",
          "... unless it is not to blame")
    os.chmod(os.path.dirname(site.socket), 0o755)


LINE = "INPUT_MAIL_FILTER(`mailseal', `S=local:{sock}, F=T, " \
       "T=C:30s;S:30s;R:30s;E:60s')dnl\n"
MC = "divert(-1)\ninclude(`{m4}')dnl\ndnl INPUT_MAIL_FILTER(`no')\n{filter}" \
     "INPUT_MAIL_FILTER(`other', `S=inet:1@127.0.0.1')dnl\n" \
     "MAILER(`smtp')dnl\n"
# a macro library of a few lines, for what m4 makes of it
LIBRARY = "define(`INPUT_MAIL_FILTER', `divert(0)X$1, $2\ndivert(-1)" \
          "define(`_F_', ifdef(`_F_', `defn(`_F_')`, '')`$1')')\n" \
          "define(`MAILER', `divert(0)O InputMailFilters=_F_\nDZ8.17.1\n" \
          "O RejectNUL=true\nO DaemonPortOptions=Name=submission\n" \
          "O DontBlameSendmail=TrustStickyBit\n" \
          "divert(-1)')\n"


def sendmail_setup(t, site):
    lib = os.path.join(site.dir, "m4")
    os.makedirs(lib, exist_ok=True)
    m4 = site.write("m4/cf.m4", LIBRARY)
    line = LINE.format(sock=site.socket)
    mc = os.path.join(site.etc, "sendmail.mc")

    def write(filter_line):
        site.write("etc/sendmail.mc", MC.format(m4=m4, filter=filter_line))
        site.sendmail(filter="")

    def read(path=mc):
        with open(path, encoding="utf-8") as f:
            return f.read()

    for name, before in (
            ("nothing", ""),
            ("an old one", line.replace(site.socket, "/run/x.sock")),
            ("two lines", line.replace(", `S", ",\n\t`S").replace("F=T, ",
                                                                  ""))):
        write(before)
        status, out, _ = site.setup("sendmail")
        t.is_(status, 0, f"sendmail.mc, {name}: setup")
        t.has(out, line, f"{name}: the line")
        t.is_(read(), MC.format(m4=m4, filter=before), f"{name}: only printed")
        if not shutil.which("m4"):
            t.skip(f"{name}: --apply", "no m4")
            continue
        status, out, err = site.setup("sendmail", "--apply")
        t.is_(status, 0, f"{name}: --apply", out, err)
        t.is_(read(), MC.format(m4=m4, filter=line), f"{name}: done")
        copies = [f for f in os.listdir(site.etc) if ".mailseal-2" in f]
        t.is_(len(copies), 2, f"{name}: two copies", copies)
        t.has(read(os.path.join(site.etc, "sendmail.cf")),
              f"Xmailseal, S=local:{site.socket}, F=T", f"{name}: m4 ran")
        status, out, err = site.setup("sendmail")
        t.ok(status == 0 and out.endswith("\n# nothing to do\n"),
             f"{name}: and again", status, out, err)
        t.is_(site.run(mta=("--mta", "sendmail"))[2], "",
              f"{name}: check-config agrees")
        for f in copies:
            os.unlink(os.path.join(site.etc, f))
    site.write("etc/sendmail.mc", MC.format(m4=m4, filter=line))
    site.sendmail(filter="")
    t.has(site.setup("sendmail")[1], "sendmail.cf is older",
          "a sendmail.cf that was not made anew")
    if shutil.which("m4"):
        write("")
        site.write("m4/cf.m4", "m4exit(1)\n")
        status, out, err = site.setup("sendmail", "--apply")
        t.is_(status, 69, "m4 fails", out, err)
        t.has(err, "sendmail.cf is not", "... which is told")
        t.has(err, f"m4 {mc} > ", "... with what is left to do")
        t.hasnt(read(os.path.join(site.etc, "sendmail.cf")), "Xmailseal",
                "... and sendmail.cf is as it was")


def arguments(t, site):
    for args in ((), ("exim",), ("postfix", "sendmail"),
                 ("postfix", "--nosuch")):
        status, out, err = site.start("setup", *args)
        t.ok(status == 64 and "usage: mailseal setup" in err,
             f"setup {args}: usage", status, out, err)
    for args in ((), ("--mta", "exim", site.conf), (site.conf, "x")):
        t.is_(site.start("check-config", *args)[0], 64,
              f"check-config {args}: usage")
    status, out, err = site.start("setup", "postfix", "-c", "/nosuch")
    t.ok(status == 78 and "/nosuch" in err, "no configuration", out, err)


def main():
    t = Tap(280)
    directory = tempfile.mkdtemp(prefix="mailseal-setup-")
    try:
        site = Site(directory)
        if POSTCONF:
            for test in (postfix_rows, sockets, access, listeners,
                         only_verifies):
                with t.group(test.__name__):
                    test(t, site)
        else:
            t.skip("rows about Postfix", "no postconf")
        for test in (bad_postconf, sendmail_rows, sendmail_setup, arguments):
            with t.group(test.__name__):
                test(t, site)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    t.done()


if __name__ == "__main__":
    main()
