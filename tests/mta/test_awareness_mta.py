"""What readers are told, as a real Postfix and a real Sendmail deliver it: a
Subject that is changed or added, and the fields.

Neither the place of a field that is changed nor that of one that is added where
there was none is in the protocol: each MTA has its own ways.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from daemon import BUILD, Daemon, check_end  # noqa: E402
from material import crlf  # noqa: E402
from mta import Postfix, Sendmail, sendmail_tree, submit  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

CONF = """\
awareness = { subject_tag = "[EXTERNAL]"; external_header = true;
	lookalikes = true; domains = [ "example.com" ];
	untagged = [ "fwd@example.net" ]; };
"""
EXTERNAL, WARNING = "X-Mailseal-External", "X-Mailseal-Warning"
LONG = "=?utf-8?q?" + 52 * "a" + "?="
CASES = (  # name, header lines, Subjects as delivered (LF folds)
    ("plain", "Subject: hello", ["[EXTERNAL] hello"]),
    ("none", "X-None: 1", ["[EXTERNAL]"]),
    ("empty", "Subject:", ["[EXTERNAL]"]),
    ("no-space", "Subject:hello", ["[EXTERNAL] hello"]),
    ("folded", "Subject: one\n\ttwo\n three", ["[EXTERNAL] one\n\ttwo\n three"]),
    ("8-bit", "Subject: grüße", ["[EXTERNAL] grüße"]),
    ("encoded", f"Subject: {LONG}\n {LONG}", [f"[EXTERNAL]\n {LONG}\n {LONG}"]),
    ("reply", "Subject: Re: [EXTERNAL] hello", ["Re: [EXTERNAL] hello"]),
    ("reply-encoded", "Subject: =?utf-8?q?Re:_[EXTERNAL]_=C3=BC?=",
     ["=?utf-8?q?Re:_[EXTERNAL]_=C3=BC?="]),
    ("two", "Subject: one\nX-Between: 1\nSubject: two",
     ["[EXTERNAL] one", "[EXTERNAL] two"]),
    ("two-one-tagged", "Subject: [EXTERNAL] one\nsubject: two",
     ["[EXTERNAL] one", "[EXTERNAL] two"]),
)


def mail(name, header, author="x@other.test"):
    return crlf(f"From: {author}\nTo: rcpt@example.net\n{header}\n"
                "Date: Tue, 03 Nov 2026 10:00:00 +0000\n"
                f"Message-ID: <{name}@x.test>\n{WARNING}: none\n"
                f"{EXTERNAL}: no\n{WARNING}: trust me\n\nbody\n")


def subjects(m):
    """With their folds; the value without white space around it."""
    head = m.data.replace(b"\r\n", b"\n").split(b"\n\n")[0]
    lines = head.decode("utf-8", "backslashreplace").split("\n")
    found, inside = [], False
    for line in lines:
        if line[:1] in (" ", "\t"):
            if inside:
                found[-1] += "\n" + line
            continue
        inside = line.lower().startswith("subject:")
        if inside:
            found.append(line[8:])
    return [s.strip() for s in found]


class Run:
    def __init__(self, tap, mta):
        self.t, self.m = tap, mta
        self.name = type(mta).__name__

    def delivered(self, name, *args, **kw):
        code, text = submit(self.m.port, mail(name, *args), "x@other.test",
                            **kw)
        self.t.is_(code, 250, f"{self.name}: {name}: accepted", text)
        m = self.m.sink.wait_for(f"<{name}@x.test>")
        self.t.ok(m is not None, f"{self.name}: {name}: delivered",
                  self.m.log()[-3000:] if m is None else "")
        return m

    def run(self):
        for name, header, want in CASES:
            m = self.delivered(name, header)
            self.t.is_(subjects(m), want, f"{self.name}: {name}: Subject",
                       m.data[:2000])
            self.t.is_((m.all(EXTERNAL), m.all(WARNING)), (["yes"], []),
                       f"{self.name}: {name}: the fields are ours", m.data)
        m = self.delivered("imitation", "Subject: hello", "x@examp1e.com")
        self.t.is_((m.all(EXTERNAL), m.all(WARNING)),
                   (["yes"], ["lookalike examp1e.com of example.com"]),
                   f"{self.name}: imitation: warned", m.data)
        m = self.delivered("untagged", "Subject: hello",
                           rcpts=("fwd@example.net",))
        self.t.is_((subjects(m), m.all(EXTERNAL)), (["hello"], ["yes"]),
                   f"{self.name}: untagged", m.data)
        # Sendmail takes headers of 32,768 bytes
        lines = 8000 if self.name == "Postfix" else 4000
        m = self.delivered("long", "Subject: word\n" + " word\n" * lines +
                           " end")
        got = subjects(m)
        self.t.ok(len(got) == 1 and got[0].startswith("[EXTERNAL] word\n word")
                  and len(got[0]) < 33000,
                  f"{self.name}: a long Subject", got[0][:200])


def main():
    tree, why = sendmail_tree(BUILD)
    missing = Postfix.missing()
    if tree is None and missing:
        skip_all(f"{why}; {missing}")
    t = Tap(280)
    for name, skipped, make in (
            ("Postfix", missing, Postfix),
            ("Sendmail", why if tree is None else None,
             lambda milter: Sendmail(milter, tree))):
        if skipped:
            t.skip(name, skipped)
            continue
        with t.group(name), Daemon(internal=(), extra=CONF) as d, \
                make(d.address) as m:
            Run(t, m).run()
            log = check_end(t, d, name)
            t.hasnt(log, "the MTA refused", f"{name}: all was taken")
    t.done()


if __name__ == "__main__":
    main()
