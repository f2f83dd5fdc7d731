"""How long an MTA waits for the end of a message over TCP: mailseald beside
opendkim, one connection, both in one run.

    bench/tcp.py [MESSAGES]                    or bench.py --parts tcp

libmilter writes each change of the header and the verdict by themselves.
Without TCP_NODELAY the second write waits for the acknowledgement of the first,
which the other side delays by some 40 ms.
"""
import os
import socket
import statistics
import sys
import time

SRC = os.environ.get("MAILSEAL_SRCDIR",
                     os.path.join(os.path.dirname(__file__), ".."))
BUILD = os.environ.setdefault("MAILSEAL_BUILDDIR", os.getcwd())
sys.path.insert(0, os.path.join(SRC, "tests", "lib"))
import milter_client as mc  # noqa: E402
from daemon import Daemon  # noqa: E402
from material import Key, crlf  # noqa: E402
from opendkim import OPENDKIM, OpenDKIM  # noqa: E402

MESSAGE = crlf("From: a@example.com\nTo: b@example.net\nSubject: hello\n"
               "Date: Tue, 03 Nov 2026 10:00:00 +0000\n\nbody\n")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def waits(address, n):
    """Milliseconds that the end of each message took."""
    ret = []
    for _ in range(n):
        with mc.Connection(address) as c:
            s = mc.Session(c, macros=mc.standard_macros(login="alice"))
            s.connect("192.0.2.10")
            s.helo("h.example")
            fields, body = mc.split_message(MESSAGE)
            s.mail("<a@example.com>")
            s.rcpt("<b@example.net>")
            for f in fields:
                s.header(*f)
            s.end_of_header()
            s.body(body)
            began = time.monotonic()
            edits = []
            verdict = s.end_of_message(edits).verdict
            ret.append((time.monotonic() - began) * 1000)
            if verdict not in ("accept", "continue") or not edits:
                sys.exit(f"{address}: {verdict}, {edits}")
            s.quit()
    return ret


def report(name, times):
    print(f"| {name} | {statistics.median(times):.1f} | {max(times):.1f} |")


def run(n):
    print(f"\nMilliseconds at the end of a message that is signed once, one "
          f"connection, {n} messages\n\n| | median | most |\n"
          "| --- | ---: | ---: |")
    with Daemon(start=False) as files:
        key = Key(files.dir, "key", "rsa")
        domains = {"example.com": [("s", key.path)]}
        port = free_port()
        with Daemon(domains=domains, start=False) as d:
            report_daemon(d, "unix", d.address, n)
            with open(d.config, encoding="utf-8") as f:
                text = f.read()
            d.address = f"inet:{port}@127.0.0.1"
            d.write("mailseal.conf", text.replace("unix:" + d.socket_path,
                                                  d.address))
            report_daemon(d, "TCP", d.address, n)
        if not os.path.exists("/" + OPENDKIM):
            print("\nopendkim is not installed")
            return
        conf = (f"Mode s\nDomain example.com\nSelector s\n"
                f"KeyFile {key.path}\nInternalHosts 0.0.0.0/0\n"
                "RequireSafeKeys no\n")
        with OpenDKIM("/", conf) as o:
            report("opendkim, unix", waits(o.address, n))
        port = free_port()
        with OpenDKIM("/", conf, f"inet:{port}@127.0.0.1") as o:
            report("opendkim, TCP", waits(o.address, n))


def report_daemon(d, name, address, n):
    d.start()
    report(f"mailseald, {name}", waits(address, n))
    d.stop()


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
