"""The milter client against a milter of a few lines: a test of the tool.

A client that reads edits wrongly would make every other test worthless, so
its rules for indexes, spaces and skipped steps are checked first.
"""
import os
import socket
import struct
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import milter_client as mc  # noqa: E402
from tap import Tap  # noqa: E402


class FakeMilter(threading.Thread):
    """Answers one connection: `script` maps a step to packets."""

    def __init__(self, path, script, actions=mc.ALL_ACTIONS,
                 protocol=mc.LEADSPC, symlist=b""):
        super().__init__(daemon=True)
        self.script, self.seen = script, []
        self.optneg = struct.pack("!III", 6, actions, protocol) + symlist
        self.protocol = protocol
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)
        self.start()

    def run(self):
        s, _ = self.listener.accept()
        stream = s.makefile("rwb")
        while True:
            head = stream.read(4)
            if len(head) < 4:
                return
            packet = stream.read(struct.unpack("!I", head)[0])
            letter = chr(packet[0])
            self.seen.append((letter, packet[1:]))
            if letter == "O":
                self._write(stream, "O", self.optneg)
            elif letter == "Q":
                return
            elif letter not in "DA" and \
                    not self.protocol & mc.NO_REPLY.get(letter, 0):
                for kind, data in self.script.get(letter, [("c", b"")]):
                    if kind == "X":
                        s.shutdown(socket.SHUT_RDWR)
                        return
                    self._write(stream, kind, data)

    @staticmethod
    def _write(stream, kind, data):
        stream.write(struct.pack("!I", len(data) + 1) + kind.encode() + data)
        stream.flush()

    def letters(self):
        return "".join(k for k, _ in self.seen)


MESSAGE = (b"A: 1\r\nB:  two\r\nA: 2\r\n folded\r\nA: 3\r\n\r\nbody\r\n")


def edit(index, name, value):
    return struct.pack("!I", index) + name + b"\0" + value + b"\0"


def names(outcome):
    return [n + v for n, v in outcome.headers]


def run(where, script, mta="postfix", own_received=True, **kw):
    path = os.path.join(where, f"s{len(os.listdir(where))}")
    fake = FakeMilter(path, script, **kw)
    with mc.Connection("unix:" + path, timeout=5) as c:
        s = mc.Session(c, mta, mc.standard_macros(mta))
        s.connect("2001:db8::1")
        s.helo("h.example")
        o = s.message(MESSAGE, "<a@b>", ["<c@d>", "<e@f>"],
                      own_received=own_received)
        s.quit()
    fake.join(5)
    o.problems = c.problems
    return fake, o


def test_parse(t):
    fields, body = mc.split_message(b"From: a\r\n b\r\n: x\r\n\r\ny")
    t.is_(fields, [[b"From", b" a\n b"]], "a line without a name ends header")
    t.is_(body, b": x\r\n\r\ny", "... and begins the body")
    t.is_(mc.split_message(b" From: x\r\nTo: y\r\n\r\n")[0], [],
          "a first line with leading space begins the body (MB-4)")
    t.is_(mc.split_message(b"From : x\r\n\r\n")[0], [[b"From", b" x"]],
          "space before the colon goes (MB-2)")


def test_edits(t, where):
    eom = [("i", edit(0, b"New", b" top")), ("i", edit(1, b"Two", b" 2")),
           ("m", edit(1, b"a", b"")), ("m", edit(2, b"a", b"")),
           ("q", b"held\0"), ("b", b"other\r\n"), ("b", b"text\r\n"),
           ("c", b"")]
    _, o = run(where, {"E": eom})
    t.is_(names(o), ["New top", "Two 2", o.headers[2][0] + o.headers[2][1],
                     "B  two", "A 2\n folded"],
          "Postfix: index 1 is below New; deletions move indexes")
    t.is_(o.headers[2][0], "Received", "Postfix: index 0 is above Received")
    t.is_(o.quarantine, "held", "quarantine")
    t.is_(o.body, b"other\r\ntext\r\n", "chunks of a new body are joined")
    t.is_(o.problems, [], "no problems")
    eom = [("m", edit(1, b"a", b"")), ("m", edit(2, b"a", b"")), ("a", b"")]
    _, o = run(where, {"E": eom}, mta="sendmail", own_received=False)
    t.is_(names(o), ["B  two", "A 3"], "Sendmail: deletions keep indexes")
    eom = [("h", b"B\0 x\0"), ("m", edit(9, b"C", b" y")), ("c", b"")]
    _, o = run(where, {"E": eom}, own_received=False)
    t.is_(names(o)[-2:], ["B x", "C y"], "addheader; change of none adds")
    t.is_(o.message[-14:], b"C: y\r\n\r\nbody\r\n", "the message's bytes")


def test_protocol(t, where):
    protocol = (mc.LEADSPC | mc.NO_REPLY["L"] | mc.NO_STEP["R"] |
                mc.NO_STEP["U"] | mc.NO_REPLY["N"])
    fake, o = run(where, {}, protocol=protocol)
    t.is_(o.verdict, "continue", "unanswered and declined steps")
    t.ok("R" not in fake.letters(), "a declined step is not sent")
    t.is_(fake.letters().count("L"), 4, "unanswered steps are sent")
    fake, _ = run(where, {}, protocol=0)
    t.ok(("L", b"B\0 two\0") in fake.seen, "without LEADSPC one space goes")
    fake, _ = run(where, {}, symlist=struct.pack("!I", 0) + b"j\0")
    got = [d for k, d in fake.seen if k == "D" and d[:1] == b"C"]
    t.is_(got, [b"Cj\0mx.test\0"], "a macro list limits the macros")
    conn = [d for k, d in fake.seen if k == "C"]
    t.is_(conn, [b"[2001:db8::1]\0" + b"6" + struct.pack("!H", 25025) +
                 b"2001:db8::1\0"], "connect")
    with_i = [d[:1] for k, d in fake.seen if k == "D" and b"i\0" in d]
    t.is_(with_i[:2], [b"R", b"T"], "Postfix: i first at the second RCPT")


def test_answers(t, where):
    _, o = run(where, {"M": [("y", b"451 4.7.1 later\0")]})
    t.is_((o.verdict, o.stage, o.reply.text),
          ("replycode", "M", "451 4.7.1 later"), "a reply code at MAIL")
    _, o = run(where, {"B": [("s", b"")], "E": [("p", b""), ("c", b"")]})
    t.is_(o.verdict, "continue", "skip and progress")
    _, o = run(where, {"E": [("m", edit(1, b"A", b"")), ("c", b"")]},
               actions=mc.ADDHDRS)
    t.is_(o.edits, [], "an edit without its action is refused")
    t.is_(len(o.problems), 1, "... and noted")
    for script, error in (({"N": [("X", b"")]}, mc.MilterClosed),
                          ({"N": []}, mc.MilterTimeout),
                          ({"E": [("Z", b"")]}, mc.MilterError)):
        got = None
        try:
            path = os.path.join(where, f"x{len(os.listdir(where))}")
            FakeMilter(path, script)
            with mc.Connection("unix:" + path, timeout=0.3) as c:
                mc.Session(c).message(MESSAGE, "<>", ["<a@b>"])
        except mc.MilterError as e:
            got = e
        t.ok(isinstance(got, error), f"{error.__name__} is raised", repr(got))


def main():
    t = Tap(60)
    with tempfile.TemporaryDirectory() as where:
        test_parse(t)
        for test in (test_edits, test_protocol, test_answers):
            with t.group(test.__name__):
                test(t, where)
    t.done()


if __name__ == "__main__":
    main()
