"""Abuse of the sockets: bytes that no MTA sends, peers that stop in the middle
or say nothing, churn, many at once; the same for the control socket, the page
of metrics, and a file for `mailseal verify`.

Each time others must be served meanwhile, and the memory must be bounded.  The
figures are printed.  MAILSEAL_ABUSE=whole in the environment plays the long
ones in full: one byte a second, 2,500 connections, a file of 100 MB.
"""
import contextlib
import os
import re
import resource
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import milter_client as mc  # noqa: E402
from cost import Cost, Meter, resident, tell  # noqa: E402
from daemon import (SANITIZER, Daemon, check_end, control_path,  # noqa: E402
                    mailseal, program)
from scrape import http  # noqa: E402
from tap import Tap  # noqa: E402
from wire import begin, message, play  # noqa: E402

WHOLE = os.environ.get("MAILSEAL_ABUSE") == "whole"
FACTOR = 15  # see test_abuse.py
MB = 1 << 20
PACKET_MAX = MB  # of src/milter/milter.c
UNAVAILABLE, NOINPUT = 69, 66
ZONE = 'example.org TXT "v=spf1 ip4:192.0.2.10 -all"\n'
PLAIN = message([(b"From", b" alice@example.org")])
MAIL = b"From: a@example.org\r\nX-Long: "


def served(d, timeout=30):
    """Another MTA's message, and the seconds that it took."""
    began = time.monotonic()
    reply, edits = play(d.address, [PLAIN], timeout)
    return reply.verdict == "accept" and len(edits) == 1, \
        time.monotonic() - began


def check_served(t, d, name):
    good, seconds = served(d)
    t.ok(good, f"{name}: others are served", f"{seconds:.2f} s")


def check_served_at_last(t, d, name):
    """libmilter may hand a session to a thread that is just taken by another
    one; while all threads wait for the rest of a packet it stays there.  The
    next connection starts a thread, so an MTA that tries again is served."""
    good, tries = False, 0
    while not good and tries < 4:
        tries += 1
        with contextlib.suppress(mc.MilterError):
            good, _ = served(d, 5)
    t.ok(good, f"{name}: others are served")
    t.note(f"at the {tries}. try")


def check_memory(t, name, cost, most):
    t.ok(cost.grown <= most, f"{name}: memory",
         f"{cost.grown} bytes, at most {most}")


def closed(s, seconds=10):
    """Does the other side close?"""
    s.settimeout(seconds)
    try:
        return s.recv(1) == b""
    except ConnectionError:
        return True
    except socket.timeout:
        return False


def settle(pid, seconds=5):
    """Bytes resident once peers that left are forgotten."""
    end = time.monotonic() + seconds
    least = resident(pid)
    while time.monotonic() < end:
        time.sleep(0.2)
        now = resident(pid)
        if now >= least:
            break
        least = now
    return least


def test_long_line(t, d, m):
    """A header line of 100 MB."""
    name, sent = "a header line of 100 MB", 0
    with m.case(name) as c:
        conn, s = begin(d.address)
        s.mail("<alice@example.org>")
        s.rcpt("<bob@example.net>")
        with conn, contextlib.suppress(ConnectionError):
            conn.sock.sendall(struct.pack("!I", 100 * MB + 3) + b"LX\0")
            while sent < 100 * MB:
                conn.sock.sendall(b"y" * 65536)
                sent += 65536
    t.ok(sent < 100 * MB, f"{name}: the session is refused", sent)
    check_memory(t, name, c, 4 * PACKET_MAX)
    check_served(t, d, name)


def test_lengths(t, d, m):
    """Packets that say how long they are, and stop there."""
    for length in (0, 1, PACKET_MAX, PACKET_MAX + 2, 2 ** 31 - 1, 2 ** 31,
                   2 ** 31 + 1, 2 ** 32 - 1):
        name, conns = f"20 packets of length {length:,} without data", []
        over = PACKET_MAX + 1 < length <= 2 ** 31
        with m.case(name) as c:
            for _ in range(20):
                conn, s = begin(d.address)
                conns.append(conn)
                s.mail("<alice@example.org>")
                conn.sock.sendall(struct.pack("!I", length) + b"L")
            if over:
                t.ok(all(closed(x.sock) for x in conns),
                     f"{name}: the sessions are refused")
            check_served_at_last(t, d, name)
        # nothing is kept for what has not come
        check_memory(t, name, c, 20 * PACKET_MAX // 2)
        for conn in conns:
            conn.close()


def test_strings(t, d, m):
    """A million empty strings in a packet, for which libmilter makes as many
    pointers; of each stage it keeps the macros."""
    name = "a million empty macros for each stage"
    with m.case(name) as c:
        conn, s = begin(d.address)
        with conn:
            for stage in "CHMRTEN":
                conn.send("D", stage.encode() + b"\0" * 1000000)
            reply = s.message((([[b"From", b" a@example.org"]]), b"x\r\n"),
                              "<a@example.org>", ["<b@example.net>"]).reply
    t.is_(reply.verdict, "accept", f"{name}: the message is served")
    check_memory(t, name, c, 8 * 9 * PACKET_MAX)
    name = "MAIL with a million empty parameters"
    with m.case(name) as c:
        conn, s = begin(d.address)
        with conn:
            conn.send("M", b"<a@example.org>\0" + b"\0" * 1000000)
            conn.sock.sendall(PLAIN)
            t.is_(s.answer("E", []).verdict, "accept", f"{name}: is served")
    check_memory(t, name, c, 9 * 2 * PACKET_MAX)


def test_slow(t, d, m):
    """One byte after another; each costs at most what a message does."""
    pause, n = (1.0, len(PLAIN)) if WHOLE else (0.02, 60)
    name = f"ten MTAs, a byte each {pause} s"
    with m.case(None) as plain:
        served(d)
    with m.case(name) as c:
        sessions = [begin(d.address) for _ in range(10)]
        for at in range(n):
            piece = PLAIN[at:at + 1] if at < n - 1 else PLAIN[at:]
            for conn, _ in sessions:
                conn.sock.sendall(piece)
            time.sleep(pause)
        verdicts = {s.answer("E", []).verdict for _, s in sessions}
    for conn, _ in sessions:
        conn.close()
    t.is_(verdicts, {"accept"}, f"{name}: are served")
    t.ok(c.cpu <= 10 * n * plain.cpu, f"{name}: CPU", c.cpu, plain.cpu)
    check_memory(t, name, c, 10 * PACKET_MAX)
    check_served(t, d, name)


def open_many(d, n, play_to):
    """`n` connections, as far as `play_to` goes with each."""
    conns = []
    for _ in range(n):
        conns.append(mc.Connection(d.address, timeout=30, negotiate=False))
        play_to(conns[-1])
    return conns


STOPS = [
    ("say nothing", 2500 if WHOLE else 1000, lambda c: None),
    ("negotiate and stay", 500, lambda c: c.negotiate(6, mc.ALL_ACTIONS,
                                                      mc.ALL_PROTOCOL)),
    ("stop in the middle of a packet", 300, lambda c: c.sock.sendall(
        struct.pack("!I", PACKET_MAX) + b"O")),
]


def test_stops(t, d, m):
    """Per connection: libmilter's context and a thread's pages, with what the
    sanitizers keep for a thread."""
    for what, n, play_to in STOPS:
        name = f"{n:,} connections that {what}"
        before = settle(d.process.pid)
        with m.case(name) as c:
            conns = open_many(d, n, play_to)
            check_served_at_last(t, d, name)
        check_memory(t, name, c, 10 * MB + n * 131072)
        for conn in conns:
            conn.close()
        left = settle(d.process.pid) - before
        t.ok(left <= 10 * MB + n * 32768,
             f"{name}: memory when they left", left)


def churn(d, n):
    for i in range(n):
        if i % 4 == 0:
            mc.dial(d.address, 30).close()
            continue
        conn = mc.Connection(d.address, timeout=30)
        if i % 4 > 1:
            conn.sock.sendall(PLAIN[:20 * (i % 5 + 1)])
        conn.close()


def test_churn(t, d, m):
    """Connections that come and go at every stage."""
    n = 1000
    with m.case(None) as small:
        churn(d, n // 10)
    name = f"{n:,} connections that come and go"
    with m.case(name) as c:
        churn(d, n)
    t.ok(c.cpu <= FACTOR * small.cpu, f"{name}: CPU", c.cpu, small.cpu)
    check_memory(t, name, c, 10 * MB)
    check_served(t, d, name)


def test_together(t, d, m):
    """Four abusers at once cost what they cost one after another."""
    wires = [message([(b"X-%d" % i, b" y") for i in range(10000)]),
             message([(b"Authentication-Results", b" mx.test; x")] * 5000),
             message([], rcpts=[b"<r@example.net>"] * 10000),
             message([], body=b"x" * 60000)[:-5] +
             message([], body=b"x" * 60000)]
    with m.case(None) as alone:
        for wire in wires:
            play(d.address, [wire])
    threads = [threading.Thread(target=play, args=(d.address, [w]))
               for w in wires]
    name = "four abusers at once"
    with m.case(name) as c:
        for x in threads:
            x.start()
        check_served(t, d, name)
        for x in threads:
            x.join()
    t.ok(c.cpu <= FACTOR / 10 * 3 * alone.cpu, f"{name}: CPU", c.cpu,
         alone.cpu)
    check_memory(t, name, c, len(wires) * 3 * MB)


def dial_all(make, n):
    """Up to n sockets, and how many were refused or full."""
    socks, failed = [], 0
    for _ in range(n):
        try:
            socks.append(make())
        except OSError:
            failed += 1
    return socks, failed


def send_all(socks, data):
    for s in socks:
        with contextlib.suppress(OSError):
            s.settimeout(0.2)
            s.sendall(data)


def unix_stream(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(0.2)
    try:
        s.connect(path)
    except OSError:
        s.close()
        raise
    return s


def offend(t, d, m, name, make, data, again):
    """1,000 connections, of which ten send `data`; mail goes on, and whoever
    asks afterwards is answered."""
    with m.case(name) as c:
        socks, failed = dial_all(make, 1000)
        send_all(socks[:10], data)
        check_served(t, d, name)
    t.note(f"{len(socks)} were taken or wait, {failed} were refused")
    check_memory(t, name, c, 10 * MB)
    for s in socks:
        s.close()
    end = time.monotonic() + 10
    while not (good := again()) and time.monotonic() < end:
        time.sleep(0.1)
    t.ok(good, f"{name}: it answers when they left")


def test_control(t, d, m):
    def status():
        return mailseal("status", "-c", d.config)[0] == 0
    path = control_path(d.socket_path)
    offend(t, d, m, "control: 1,000 that say nothing",
           lambda: unix_stream(path), b"", status)
    offend(t, d, m, "control: requests without end",
           lambda: unix_stream(path), b"x" * MB, status)
    with contextlib.closing(unix_stream(path)) as s:
        s.sendall(b"sta")
        t.ok(status(), "control: one slow request does not hold up others")


def test_metrics(t, d, m, page):
    def scrape():
        try:
            return http(page)[0] == 200
        except (OSError, IndexError, ValueError):
            return False
    path = page[5:]
    offend(t, d, m, "metrics: 1,000 that say nothing",
           lambda: unix_stream(path), b"", scrape)
    offend(t, d, m, "metrics: headers without end", lambda: unix_stream(path),
           b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 100000, scrape)
    with contextlib.closing(unix_stream(path)) as s:
        s.sendall(b"GET /met")
        t.ok(scrape(), "metrics: one slow request does not hold up others")


def verify(stdin):
    """(status, standard output, cost)"""
    p = subprocess.Popen(  # pylint: disable=consider-using-with
        [program("mailseal"), "verify", "--zone", "/dev/null", "--ip",
         "192.0.2.1", "--from", "<a@example.org>"],
        stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, **SANITIZER})
    watch = threading.Timer(60, p.kill)
    watch.start()
    out = p.stdout.read() + p.stderr.read()
    watch.cancel()
    p.stdout.close()
    p.stderr.close()
    _, status, use = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    cost = Cost()
    cost.cpu = use.ru_utime + use.ru_stime
    cost.grown = use.ru_maxrss * 1024
    return p.returncode, out.decode(), cost


def write_line(f, n, end):
    f.seek(0)
    f.truncate()
    f.write(MAIL)
    for _ in range(n):
        f.write(b"y" * 10 ** 6)
    f.write(end + b"To: b@example.net" + end + end + b"body" + end)
    f.seek(0)


def test_verify(t, d):
    """The whole message is read into a buffer that doubles, so at most four
    times its size; with LF alone it is copied once more."""
    size = 100 if WHOLE else 10
    with open(os.path.join(d.dir, "big"), "w+b", buffering=0) as f:
        for end, copies in ((b"\r\n", 4), (b"\n", 5)):
            name = f"verify: a header line of {size} MB, {end!r}"
            write_line(f, 1, end)
            _, _, small = verify(f)
            write_line(f, size, end)
            status, out, c = verify(f)
            tell(name, c)
            t.is_(status, 0, f"{name}: status", out[:300])
            t.has(out, 'dmarc=permerror reason="header field too long"',
                  f"{name}: permerror")
            c.grown -= small.grown
            check_memory(t, name, c, copies * size * 10 ** 6)
        f.truncate(0)
    with open("/dev/zero", "rb") as f:
        name = "verify: input without end"
        status, out, c = verify(f)
        tell(name, c)
        t.is_((status, "too large" in out), (NOINPUT, True), f"{name}: is "
              "refused", out[:300])
        check_memory(t, name, c, 4 * 256 * MB)


def main():
    t = Tap(1200 if WHOLE else 280)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Daemon(zone=ZONE, start=False) as d:
        page = f"unix:{d.dir}/metrics.sock"
        with open(d.config, "a", encoding="ascii") as f:
            f.write(f'metrics = {{ listen = "{page}"; }};\n')
        d.start()
        m = Meter(d.process.pid)
        for test in (test_long_line, test_lengths, test_strings, test_slow,
                     test_stops, test_churn, test_together, test_control):
            with t.group(test.__name__):
                test(t, d, m)
        with t.group("metrics"):
            test_metrics(t, d, m, page)
        with t.group("verify"):
            test_verify(t, d)
        log = check_end(t, d, "abuse")
        t.is_(re.findall(r".*internal error.*", log), [], "no fault of ours")
    t.done()


if __name__ == "__main__":
    main()
