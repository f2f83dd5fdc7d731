"""MTAs that are set up as contrib/postfix and contrib/sendmail say: their
files are used line by line, with private paths and ports in the place of those
that stand there.

The blocks of a README.md are those between ```LANGUAGE and ```.
"""
import os
import re
import shutil

from daemon import Daemon
from mta import SERVICES, Postfix, Sendmail, free_port

SRC = os.environ.get("MAILSEAL_SRCDIR", ".")
# of contrib/postfix/main.cf.in
MILTER = ("smtpd_milters", "non_smtpd_milters", "milter_default_action")


def contrib(*name):
    with open(os.path.join(SRC, "contrib", *name), encoding="utf-8") as f:
        return f.read()


def blocks(text, language):
    return re.findall(rf"^```{re.escape(language)}\n(.*?)^```$", text,
                      re.MULTILINE | re.DOTALL)


class GuidedDaemon(Daemon):
    """A mailseald with the socket of a guide: `folder` is as its README.md
    makes it, and `text` its lines for mailseal.conf, without the socket."""

    def __init__(self, folder, text="", group=None, **kw):
        super().__init__(directory=folder, start=False, **kw)
        with open(self.config, encoding="utf-8") as f:
            conf = f.read()
        self.write("mailseal.conf", conf.replace(
            'socket_mode = "0666"', 'socket_mode = "0660"') + text)
        if group is not None:
            shutil.chown(folder, group=group)
            os.chmod(folder, 0o2750)


class GuidedPostfix(Postfix):
    """Both daemons that talk to milters run chrooted, as on Debian.  The
    daemon's folder is `self.folder`, and must be there before start()."""

    def __init__(self, **kw):
        super().__init__("", **kw)
        self.reinject_port = free_port()
        self.queue = os.path.join(self.dir, "spool")
        self.folder = os.path.join(self.queue, "mailseal")
        os.makedirs(self.folder)

    def parameters(self):
        return {k: v for k, v in super().parameters().items()
                if k not in MILTER}

    def private(self, text):
        """A text of the guide with our paths and ports."""
        for theirs, ours in (("/var/spool/postfix", self.queue),
                             ("127.0.0.1:10025 ", f"{self.reinject_port} "),
                             ("submission inet",
                              f"{self.submission_port} inet")):
            text = text.replace(theirs, ours)
        return text

    def master(self):
        chrooted = SERVICES.replace("cleanup   unix n - n -",
                                    "cleanup   unix n - y -")
        return f"{self.port} inet n - y - - smtpd\n" + chrooted + \
            self.private(contrib("postfix", "master.cf.in"))

    def make_sasl(self, conf, owner, mechanisms="PLAIN LOGIN"):
        made = super().make_sasl(conf, owner, mechanisms)
        if made:  # where the chroot sees it too
            db = os.path.join(self.dir, "sasldb2")
            inside = self.queue + db
            os.makedirs(os.path.dirname(inside))
            shutil.copy(db, inside)
            shutil.chown(inside, owner)
        return made

    def configuration(self):
        return super().configuration() + contrib("postfix", "main.cf.in")


class GuidedSendmail(Sendmail):
    """The daemon's folder is `self.folder`."""

    def __init__(self, tree, **kw):
        super().__init__("", tree, **kw)
        self.reinject_port, self.local_port = free_port(), free_port()
        self.folder = os.path.join(self.dir, "mailseal")
        os.makedirs(self.folder)

    def hook(self):
        text = contrib("sendmail", "mailseal.m4")
        for theirs, ours in (("/run/mailseal", self.folder),
                             ("Port=587, M=Ea", "Addr=127.0.0.1, Port="
                              f"{self.submission_port}, M=Ea"),
                             ("Port=10587", f"Port={self.local_port}"),
                             ("Port=10025", f"Port={self.reinject_port}")):
            text = text.replace(theirs, ours)
        return text
