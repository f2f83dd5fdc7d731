"""Clients that send mail without a pause, in and out, and see that each message
is accepted, signed or verified.

    load = Load(daemon.address, 50)
    ...
    stuck = load.end()          # load.sent, load.bad
"""
import re
import threading

import milter_client as mc
from material import crlf

ZONE = """\
example.org TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.example.org TXT "v=DMARC1; p=reject"
"""
INBOUND = crlf("From: a@example.org\nTo: b@example.net\n"
               "Subject: hello\n\nbody\n")
OUTBOUND = INBOUND.replace(b"example.org", b"example.com")


def open_session(address, login=None, client="192.0.2.10"):
    c = mc.Connection(address)
    s = mc.Session(c, macros=mc.standard_macros(address=client, login=login))
    s.connect(client)
    s.helo("h.example")
    return c, s


def selectors(outcome):
    return [re.search(r"\bs=(\w+)", v).group(1)
            for v in outcome.fields("DKIM-Signature")]


class Load:
    """Clients that send without a pause, in and out, on sessions of some
    messages each."""

    def __init__(self, address, n):
        self.address, self.stop = address, threading.Event()
        self.sent, self.bad = 0, []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(i,),
                                         daemon=True) for i in range(n)]
        for th in self.threads:
            th.start()

    def run(self, n):
        try:
            while not self.stop.is_set():
                self.session(n)
        except Exception as e:  # pylint: disable=broad-except
            self.bad.append((n, repr(e)))

    def session(self, n):
        outbound = n % 2 == 0
        c, s = open_session(self.address, login="alice" if outbound else None)
        for _ in range(5):
            o = s.message(OUTBOUND if outbound else INBOUND,
                          "<a@example.com>" if outbound
                          else "<a@example.org>", ["<b@example.net>"])
            right = (selectors(o) in (["one"], ["two"]) if outbound else
                     "dmarc=pass" in str(o.fields("Authentication-Results")))
            with self.lock:
                self.sent += 1
                if o.verdict != "accept" or not right:
                    self.bad.append((n, o.verdict, str(o.edits)[:300]))
        s.quit()
        c.close()

    def end(self):
        self.stop.set()
        for th in self.threads:
            th.join(60)
        return sum(th.is_alive() for th in self.threads)
