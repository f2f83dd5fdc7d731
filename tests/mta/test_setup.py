"""mailseal setup with real MTAs: what it prints and makes must work, the steps
of the guides are run as they stand there, and what check-config warns of is
what then happens.  tests/cmd/test_setup.py has the single settings.
"""
import glob
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from daemon import (BUILD, SANITIZER, Daemon, check_end,  # noqa: E402
                    mailseal)
from guided import (GuidedDaemon, GuidedPostfix,  # noqa: E402
                    GuidedSendmail, blocks, contrib)
from material import Key, crlf, key_record  # noqa: E402
from mta import Authority, Postfix, sendmail_tree, submit  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

DOMAIN = "example.com"
OTHER = "inet:127.0.0.1:9"  # a milter that is not there


def mail(subject):
    return crlf(f"From: bob@{DOMAIN}\nTo: rcpt@example.net\n"
                f"Subject: {subject}\nDate: Tue, 03 Nov 2026 10:00:00 +0000\n"
                f"Message-ID: <{subject}@mta.test>\n\nHello\n")


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


class PlainPostfix(GuidedPostfix):
    """Chrooted, and told nothing of mailseal yet."""

    def configuration(self):
        return Postfix.configuration(self)


class PlainSendmail(GuidedSendmail):
    """With the guide's daemons, without its filter; sendmail.mc includes the
    macro library, as Debian's does."""

    def hook(self):
        return "".join(line + "\n" for line in super().hook().splitlines()
                       if not line.startswith(("INPUT_MAIL_FILTER", "define")))

    def macros(self):
        lib = os.path.join(self.tree, "usr/share/sendmail/cf/")
        return f"define(`_CF_DIR_', `{lib}')dnl\n" \
               f"include(`{lib}m4/cf.m4')dnl\n" + super().macros()

    def make_cf(self, mc):
        return subprocess.run(["m4", mc], check=True,
                              capture_output=True).stdout.decode()

    def start(self):
        self.run()  # prepare() was called before


class Site:
    def __init__(self, tap, key, authority):
        self.t, self.key, self.authority = tap, key, authority

    def daemon(self, mta, guide, group=None, key=None):
        text = "".join(blocks(contrib(guide, "README.md"), "mailseal.conf"))
        lines = [x for x in text.splitlines() if not x.startswith("socket")]
        return GuidedDaemon(
            mta.folder, "\n".join(lines) + "\n", group,
            zone=key_record(DOMAIN, "s1", self.key), internal=(),
            domains={DOMAIN: [("s1", self.key.path)],
                     "mx.mta.test": [("s1", key or self.key.path)]})

    def login(self):
        return {"tls": self.authority.client(), "login": True}

    def passes(self, mta, subject, port, signed, **kw):
        code, text = submit(port, mail(subject), f"bob@{DOMAIN}", **kw)
        self.t.is_(code, 250, f"{subject}: taken", text, mta.log()[-2000:])
        m = mta.sink.wait_for(f"Subject: {subject}\r\n")
        self.t.ok(m is not None, f"{subject}: delivered")
        fields = [n for n, _ in m.fields]
        self.t.is_(("DKIM-Signature" in fields,
                    "Authentication-Results" in fields),
                   (signed, not signed and "reinject" not in subject),
                   f"{subject}: what mailseald did", fields)

    def nothing_to_do(self, what, conf, directory, name):
        status, out, err = mailseal("setup", what, "-c", conf, "--config-dir",
                                    directory)
        self.t.is_((status, out.decode().splitlines()[-1], err),
                   (0, "# nothing to do", ""), f"{name}: nothing to do", out)
        status, out, err = mailseal("check-config", conf, "--mta", what,
                                    "--config-dir", directory)
        self.t.is_((status, err), (0, ""), f"{name}: no warning", out)

    def steps(self, guide, replace, env=()):
        """The sh blocks of a README.md, as they stand there."""
        script = "".join(blocks(contrib(guide, "README.md"), "sh"))
        for theirs, ours in replace:
            self.t.has(script, theirs, f"{guide}/README.md has {theirs}")
            script = script.replace(theirs, ours)
        p = subprocess.run(
            ["sh", "-e", "-x", "-c", script], check=False, timeout=120,
            stdin=subprocess.DEVNULL, capture_output=True,
            env={**os.environ, **SANITIZER, **dict(env),
                 "PATH": f"{BUILD}:{os.environ['PATH']}:/usr/sbin"})
        self.t.is_(p.returncode, 0, f"the steps of {guide}/README.md",
                   p.stdout, p.stderr)
        return p.stdout.decode(), p.stderr.decode()


class PostfixSite(Site):
    def guide(self):
        """main.cf.in and master.cf.in are what setup asks for; the steps of
        README.md make of a Postfix that knows nothing one that signs."""
        mta = GuidedPostfix(authority=self.authority)
        with self.daemon(mta, "postfix", "postfix") as d, mta:
            self.nothing_to_do("postfix", d.config, mta.etc,
                               "the files of contrib/postfix")
        mta = PlainPostfix(authority=self.authority)
        with self.daemon(mta, "postfix", "postfix") as d, mta:
            d.start()
            out, _ = self.steps("postfix", (
                ("-o mailseal -g postfix", "-o root -g postfix"),
                ("/var/spool/postfix", mta.queue),
                ("/etc/mailseal.conf", d.config)), {"MAIL_CONFIG": mta.etc})
            self.t.has(out, "'smtpd_milters = unix:mailseal/milter.sock'",
                       "it is printed first")
            self.t.has(out, "\nsmtpd_milters = unix:mailseal/milter.sock\n",
                       "then made")
            self.nothing_to_do("postfix", d.config, mta.etc, "after them")
            copies = glob.glob(mta.etc + "/*.mailseal-*")
            self.t.is_([re.sub(r"-\d{14}$", "-T", os.path.basename(c))
                        for c in copies], ["main.cf.mailseal-T"],
                       "one copy, of what was changed")
            self.passes(mta, "after-setup", mta.port, False)
            self.passes(mta, "after-setup-out", mta.submission_port, True,
                        **self.login())
            self.passes(mta, "after-setup-reinject", mta.reinject_port, False)
            check_end(self.t, d, "postfix")

    def apply(self):
        """Other milters stay; the copies are the old files; the name of a
        listener comes to master.cf."""
        mta = PlainPostfix(authority=self.authority, more={
            "smtpd_milters": f"{{ {OTHER}, default_action=accept }}",
            "non_smtpd_milters": OTHER, "milter_protocol": "2"})
        with self.daemon(mta, "postfix", "postfix") as d, mta:
            master = os.path.join(mta.etc, "master.cf")
            text = read(master).replace(
                "  -o milter_macro_daemon_name=reinject\n", "")
            mta.write("etc/master.cf", text + "reinject inet n - y - - smtpd\n")
            before = read(os.path.join(mta.etc, "main.cf")), read(master)
            args = ("setup", "postfix", "-c", d.config, "--config-dir",
                    mta.etc, "--apply")
            status, out, err = mailseal(*args)
            self.t.is_((status, err), (0, ""), "--apply", out)
            main = read(os.path.join(mta.etc, "main.cf"))
            self.t.has(main, "\nsmtpd_milters = unix:mailseal/milter.sock, {",
                       "ours before another")
            self.t.has(main, f"\nnon_smtpd_milters = {OTHER}, "
                       "unix:mailseal/milter.sock\n", "ours behind another")
            self.t.is_([subprocess.run(
                ["postconf", "-c", mta.etc, "-h", n], check=True,
                capture_output=True).stdout.decode().strip()
                for n in ("milter_protocol", "milter_default_action")],
                ["6", "tempfail"], "postconf agrees")
            self.t.has(read(master), "-o milter_macro_daemon_name=reinject",
                       "the name of a listener")
            copies = sorted(glob.glob(mta.etc + "/*.mailseal-*"))
            self.t.is_([read(c) for c in copies], list(before),
                       "the copies are the old files")
            for name in ("main.cf", "master.cf"):
                st = os.stat(os.path.join(mta.etc, name))
                self.t.is_((st.st_uid, st.st_mode & 0o777), (0, 0o644),
                           f"{name}: owner and mode")
            status, out, err = mailseal(*args)
            self.t.is_((status, out.decode().splitlines()[-1]),
                       (0, "# nothing to do"), "--apply again", err)
            self.t.is_(sorted(glob.glob(mta.etc + "/*.mailseal-*")), copies,
                       "... makes no more copies")

    def roll_back(self):
        """`postfix check` says no: all is as it was."""
        mta = PlainPostfix(authority=self.authority, more={
            "mail_owner": "no-such-user"})
        os.makedirs(mta.etc)
        mta.write("etc/main.cf", mta.configuration())
        mta.write("etc/master.cf", mta.master())
        with self.daemon(mta, "postfix", "postfix") as d:
            before = {n: read(n) for n in glob.glob(mta.etc + "/*")}
            status, out, err = mailseal("setup", "postfix", "-c", d.config,
                                        "--config-dir", mta.etc, "--apply")
            self.t.is_(status, 78, "postfix check fails", out, err)
            self.t.has(err, "all is as it was: ", "... which is told")
            self.t.has(err, "postfix check: exit status 1", "... with its "
                       "reason")
            self.t.is_({n: read(n) for n in glob.glob(mta.etc + "/*")},
                       before, "... and true, without a copy left")
        mta.close()

    def refused_bounce(self):
        """What README.md says of internal_mail_filter_classes: a bounce that
        mailseald does not take keeps its message in the queue."""
        mta = GuidedPostfix(authority=self.authority)
        with self.daemon(mta, "postfix", "postfix", "/dev/null") as d:
            d.start()
            with mta:
                p = mta.sendmail(mail("to-nobody"), f"bob@{DOMAIN}",
                                 ("refuse@example.net",))
                self.t.is_(p.returncode, 0, "a bounce that cannot be signed")
                line = d.wait_log("key could not be loaded", 20) or ""
                self.t.has(line, "from=mx.mta.test ", "... is not taken",
                           d.log())
                end = time.monotonic() + 20
                while "(bounce failed)" not in mta.log() and \
                        time.monotonic() < end:
                    time.sleep(0.2)
                self.t.has(mta.log(), "status=deferred (bounce failed)",
                           "... and its message stays in the queue")
                self.t.ok(mta.sink.wait_for("Notification", 1) is None,
                          "... no bounce leaves unsigned")

    def rights(self):
        """What check-config says of the socket is what Postfix finds."""
        for mode, group, works in ((0o2750, "root", False),
                                   (0o2750, "postfix", True),
                                   (0o700, "postfix", False)):
            mta = GuidedPostfix(authority=self.authority)
            with self.daemon(mta, "postfix", group) as d:
                os.chmod(mta.folder, mode)
                d.start()
                with mta:
                    what = f"folder {mode:o} of group {group}"
                    _, _, err = mailseal(
                        "check-config", d.config, "--config-dir", mta.etc)
                    self.t.is_("the user postfix cannot" in err, not works,
                               f"{what}: check-config", err)
                    code, text = submit(mta.port, mail("rights"),
                                        f"bob@{DOMAIN}")
                    self.t.is_(code // 100, 2 if works else 4,
                               f"{what}: Postfix", text)


class SendmailSite(Site):
    def __init__(self, tap, key, authority, tree):
        super().__init__(tap, key, authority)
        self.tree = tree

    def files(self):
        """mailseal.m4 is what setup asks for."""
        mta = GuidedSendmail(self.tree, authority=self.authority)
        with self.daemon(mta, "sendmail") as d:
            d.start()
            with mta:
                self.nothing_to_do("sendmail", d.config, mta.dir,
                                   "the file of contrib/sendmail")

    def guide(self):
        """The steps of README.md with a Sendmail that knows nothing."""
        mta = PlainSendmail(self.tree, authority=self.authority)
        mta.prepare()
        with self.daemon(mta, "sendmail") as d:
            _, _, err = mailseal("check-config", d.config, "--mta",
                                 "sendmail", "--config-dir", mta.dir)
            self.t.has(err, "neither checked nor signed",
                       "before: check-config warns")
            out, err = self.steps("sendmail", (
                ("-o mailseal -m 0750 /run/mailseal",
                 f"-o root -m 0750 {mta.folder}"),
                ("setup sendmail", f"setup sendmail --config-dir {mta.dir}"),
                ("check-config /etc/mailseal.conf", "check-config "
                 f"/etc/mailseal.conf --mta sendmail --config-dir {mta.dir}"),
                ("/etc/mailseal.conf", d.config)))
            self.t.has(out, "INPUT_MAIL_FILTER(`mailseal', `S=local:"
                       f"{mta.folder}/milter.sock, F=T, T=", "it is made", err)
            self.t.hasnt(err, "neither checked", "... check-config is content")
            self.nothing_to_do("sendmail", d.config, mta.dir, "after them")
            self.t.is_(sorted(re.sub(r"-\d{14}$", "-T", os.path.basename(c))
                              for c in glob.glob(mta.dir + "/*.mailseal-*")),
                       ["sendmail.cf.mailseal-T", "sendmail.mc.mailseal-T"],
                       "copies of both")
            d.start()
            with mta:
                self.passes(mta, "in", mta.port, False)
                self.passes(mta, "out", mta.submission_port, True,
                            **self.login())
                self.passes(mta, "local", mta.local_port, True)
                self.passes(mta, "reinject", mta.reinject_port, False)
                check_end(self.t, d, "sendmail")

    def debian(self):
        """The sendmail.mc of Debian's package, through a symbolic link."""
        mta = PlainSendmail(self.tree, authority=self.authority)
        share = os.path.join(self.tree, "usr/share/sendmail")
        text = read(os.path.join(share, "cf/debian/sendmail.mc")).replace(
            "include(`/etc/mail/m4/", "sinclude(`/nosuch/")
        mta.write("real.mc", text)
        os.symlink("real.mc", os.path.join(mta.dir, "sendmail.mc"))
        mta.write("sendmail.cf", "DZ8.17.1.9\n")
        with self.daemon(mta, "sendmail") as d:
            # the macro library where it belongs, for this process alone
            p = subprocess.run(
                ["unshare", "-m", "sh", "-e", "-c",
                 "mount -t tmpfs share /usr/share || exit 99\n"
                 "mkdir /usr/share/sendmail\n"
                 'mount --bind "$0" /usr/share/sendmail\nexec "$@"', share,
                 os.path.join(BUILD, "mailseal"), "setup", "sendmail", "-c",
                 d.config, "--config-dir", mta.dir, "--apply"],
                check=False, timeout=60, stdin=subprocess.DEVNULL,
                capture_output=True, env={**os.environ, **SANITIZER})
            status, out, err = p.returncode, p.stdout, p.stderr.decode()
            if status == 99:
                self.t.skip("Debian's sendmail.mc", "nothing can be mounted")
                mta.close()
                return
            self.t.is_(status, 78, "Debian's sendmail.mc: --apply", out, err)
            self.t.has(err, 'listener "submission"',
                       "... and its daemons have other names")
            made = read(os.path.join(mta.dir, "sendmail.cf"))
            self.t.is_(re.findall(r"^(?:X|O InputM|O RejectN).*$", made,
                                  re.MULTILINE),
                       ["O InputMailFilters=mailseal", "O RejectNUL=true",
                        f"Xmailseal, S=local:{mta.folder}/milter.sock, F=T, "
                        "T=C:30s;S:30s;R:30s;E:60s"], "... sendmail.cf")
            self.t.ok(os.path.islink(os.path.join(mta.dir, "sendmail.mc")),
                      "... the link stays")
            new = read(os.path.join(mta.dir, "real.mc"))
            self.t.is_(new.replace("".join(
                x for x in new.splitlines(True)
                if x.startswith("INPUT_MAIL_FILTER(`mailseal'")), ""), text,
                "... one line more, and nothing else")
        mta.close()

    def unsafe(self):
        """A folder that its group can write to: check-config says that
        Sendmail does not start, and it does not."""
        mta = GuidedSendmail(self.tree, authority=self.authority)
        mta.prepare()
        with self.daemon(mta, "sendmail") as d:
            d.start()
            os.chmod(mta.folder, 0o770)
            _, _, err = mailseal("check-config", d.config, "--mta",
                                 "sendmail", "--config-dir", mta.dir)
            self.t.has(err, "Sendmail does not start with a socket in",
                       "an unsafe folder: check-config")
            try:
                mta.run()
                self.t.ok(False, "an unsafe folder: it started")
            except RuntimeError as e:
                self.t.has(str(e), "unsafe", "an unsafe folder: no start")
        mta.close()


def main():
    missing = Postfix.missing()
    tree, why = sendmail_tree(BUILD)
    if missing and tree is None:
        skip_all(f"{missing}; {why}")
    t = Tap(290)
    with Daemon(start=False) as files:
        key = Key(files.dir, "k")
        authority = Authority(os.path.join(files.dir, "tls"))
        tests = []
        if missing:
            t.skip("Postfix", missing)
        else:
            s = PostfixSite(t, key, authority)
            tests += [s.guide, s.apply, s.roll_back, s.rights,
                      s.refused_bounce]
        if tree is None:
            t.skip("Sendmail", why)
        else:
            s = SendmailSite(t, key, authority, tree)
            tests += [s.files, s.guide, s.debian, s.unsafe]
        for test in tests:
            with t.group(test.__qualname__):
                test()
    t.done()


if __name__ == "__main__":
    main()
