"""The daemon as an MTA sees it: stages, directions, edits, start and stop."""
import ctypes
import errno
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
import milter_client as mc  # noqa: E402
from authres import Authres  # noqa: E402
from daemon import (BUILD, Daemon, check_end, mailseal,  # noqa: E402
                    program, stale_socket)
from material import (Key, crlf, dkimpy_verifies, have_dkimpy,  # noqa: E402
                      key_record)
from tap import Tap  # noqa: E402

ZONE = """\
example.org TXT "v=spf1 ip4:192.0.2.10 ip6:2001:db8::25 -all"
_dmarc.example.org TXT "v=DMARC1; p=reject"
"""
MESSAGE = crlf("""From: alice@example.org
To: bob@example.net
Subject: hello
Authentication-Results: mx.test; dmarc=pass

body
""")
OWN = MESSAGE.replace(b"example.org", b"example.com")


def authres(outcome):
    return Authres(outcome.headers[0][1])


def test_inbound(t, d):
    o = d.send(MESSAGE, "<alice@example.org>", client="192.0.2.10")
    t.is_(o.verdict, "accept", "inbound: accepted")
    t.is_(o.problems, [], "inbound: the protocol is kept")
    t.is_([e[0] for e in o.edits], ["chgheader", "insheader"],
          "inbound: the forged field goes, then one comes (AR-4)")
    t.is_(o.edits[-1][1], 0, "inbound: at index 0, above own Received (MB-3)")
    t.is_(authres(o).result("spf", "smtp.mailfrom"), "pass", "spf=pass")
    t.is_(authres(o).result("dmarc"), "pass", "dmarc=pass")
    t.is_(len(o.fields("Authentication-Results")), 1, "one field is left")
    line = d.wait_log("4TESTid:")
    t.ok(line and re.search(r"\bfrom=\S+ .*client=192\.0\.2\.10 .*spf=pass"
                            r".*dkim=none.*dmarc=pass", line),
         "one log line says all", line or d.log())


def test_clients(t, d):
    for mta in ("postfix", "sendmail"):
        o = d.send(MESSAGE, "<alice@example.org>", client="2001:db8::25",
                   mta=mta)
        t.is_(authres(o).result("spf", "smtp.mailfrom"), "pass",
              f"IPv6 as {mta} spells it")
    o = d.send(MESSAGE, "<alice@example.org>", client="127.0.0.1")
    t.is_([(r.result, r.reason, r.props) for r in authres(o).all("spf")],
          [("none", "client in networks.internal", [])],
          "an internal client has no SPF, and that is said (SPF-3)")
    o = d.send(MESSAGE, "<alice@example.org>", client=None)
    t.is_(o.verdict, "accept", "a client without address")
    o = d.send(MESSAGE, "<alice@example.org>", client="unix:/x", name="local")
    t.is_(o.verdict, "accept", "a client on a unix socket")
    o = d.send(MESSAGE, "<alice@example.org>", client="192.0.2.10", helo=None)
    t.is_(authres(o).result("dmarc"), "pass", "a client without HELO")


def signed(outcome):
    return len(outcome.fields("DKIM-Signature"))


def test_directions(t, d, records):
    o = d.send(OWN, "<bob@example.com>", client="192.0.2.99", login="bob")
    t.is_(signed(o), 2, "a login: signed by both keys (DK-55)")
    t.is_(len(o.fields("Authentication-Results")), 0,
          "outbound: no result, and the forged one is gone")
    t.is_(o.problems, [], "outbound: the protocol is kept")
    if have_dkimpy():
        t.is_(dkimpy_verifies(o.message, records), [True, True],
              "dkimpy verifies both signatures")
    else:
        t.skip("dkimpy verifies both signatures", "no python3-dkim")
    o = d.send(OWN, "<bob@example.com>", client="192.0.2.99",
               daemon="submission")
    t.is_(signed(o), 2, "the outbound listener: signed")
    o = d.send(OWN, "<bob@example.com>", client="192.0.2.99", login="bob",
               daemon="reinject")
    t.is_(signed(o), 0, "a listener without direction: left alone")
    o = d.send(OWN, "<bob@example.com>", client="10.1.2.3")
    t.is_(signed(o), 2, "networks.sign: signed")
    o = d.send(OWN, "bob@example.com", client="127.0.0.1", port=0,
               name="localhost")
    t.is_(signed(o), 2, "sendmail(1) through Postfix: signed")
    o = d.send(OWN, "<bob@example.com>", client="127.0.0.1",
               name="localhost")
    t.is_(signed(o), 0, "SMTP from loopback, no login: a content filter's "
                        "re-injection of a spoof is not signed")
    o = d.send(OWN, "<bob@example.com>", client="127.0.0.1", port=0,
               name="localhost")
    t.is_(signed(o), 0, "a port of 0 alone does not make mail local")
    o = d.send(OWN, "<bob@example.com>", client="198.51.100.7")
    t.is_(signed(o), 0, "a spoof of our domain from outside: not signed")
    t.is_(authres(o).result("dmarc"), "fail", "... and dmarc=fail")
    o = d.send(MESSAGE, "<bob@example.com>", client="192.0.2.99", login="bob")
    t.is_(signed(o), 0, "a foreign From, logged in: not signed (DK-55)")
    two = OWN.replace(b"To:", b"From: x@example.com\r\nTo:")
    o = d.send(two, "<bob@example.com>", client="192.0.2.99", login="bob")
    t.is_(signed(o), 0, "two From fields, logged in: not signed (A17)")


def test_several(t, d):
    """Messages of one connection do not see each other."""
    with mc.Connection(d.address) as c:
        s = mc.Session(c, macros=mc.standard_macros())
        s.connect("192.0.2.10")
        s.helo("one.example")
        one = s.message(MESSAGE, "<alice@example.org>", ["<a@b>"])
        for stage in "MRTLNBE":
            s.message(MESSAGE, "<alice@example.org>", ["<a@b>"], abort=stage)
        s.helo("two.example")
        two = s.message(OWN, "<x@other.example>", ["<a@b>", "<c@d>"])
        s.quit()
    t.is_(authres(one).result("dmarc"), "pass", "first message")
    t.is_(authres(two).result("dmarc"), "fail", "last, after seven aborts")
    t.is_(authres(two).result("spf", "smtp.mailfrom"), "none",
          "... with its own sender")


def test_protocols(t, d):
    """What the MTA does not offer is done without."""
    for name, protocol in (("nothing", 0),
                           ("no NR", mc.ALL_PROTOCOL & ~sum(
                               mc.NO_REPLY.values())),
                           ("no LEADSPC", mc.ALL_PROTOCOL & ~mc.LEADSPC)):
        with mc.Connection(d.address, protocol=protocol) as c:
            s = mc.Session(c, macros=mc.standard_macros(address="192.0.2.10"))
            s.connect("192.0.2.10")
            s.helo("h.example")
            o = s.message(MESSAGE, "<alice@example.org>", ["<a@b>"])
            s.quit()
        t.is_(authres(o).result("dmarc"), "pass", f"protocol: {name}",
              c.problems)
    refused = False
    try:
        with mc.Connection(d.address, actions=mc.ADDHDRS) as c:
            s = mc.Session(c)
            refused = s.connect("192.0.2.10").verdict in ("reject",
                                                           "tempfail")
    except mc.MilterError:
        refused = True
    t.ok(refused, "an MTA that cannot remove fields is refused")


def test_disconnects(t, d):
    """An MTA that goes away at any point leaves nothing behind."""
    fields, body = mc.split_message(MESSAGE)
    for n in range(7):
        with mc.Connection(d.address) as c:
            s = mc.Session(c, macros=mc.standard_macros())
            plays = [lambda: s.connect("192.0.2.10"), lambda: s.helo("h"),
                     lambda: s.mail("<a@b>"), lambda: s.rcpt("<c@d>"),
                     lambda: s.header(*fields[0]), s.end_of_header,
                     lambda: s.body(body)]
            for play in plays[:n + 1]:
                play()
    for junk in (b"", b"\0\0\0\x0d", b"\xff\xff\xff\xffO", b"GET / HTTP/1.0",
                 b"\0\0\0\x01B", b"\0\0\0\x01E", b"\0\0\0\0",
                 b"\0\0\0\x05LFrom"):
        s = mc.dial(d.address, 5)
        s.sendall(junk)
        s.close()
    o = d.send(MESSAGE, "<alice@example.org>", client="192.0.2.10")
    t.is_(authres(o).result("dmarc"), "pass", "alive after disconnects")


def test_parallel(t, d):
    bad = []

    def run(n):
        try:
            o = d.send(MESSAGE, "<alice@example.org>",
                       client="192.0.2.10" if n % 2 else "192.0.2.11")
            if authres(o).result("dmarc") != ("pass" if n % 2 else "fail"):
                bad.append(o.headers[0])
        except Exception as e:  # pylint: disable=broad-except
            bad.append(e)
    threads = [threading.Thread(target=run, args=(n,)) for n in range(40)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    t.is_(bad, [], "forty sessions at once")


def test_second_start(t, d):
    p = subprocess.run([program("mailseald"), "-f", "-c", d.config],
                       capture_output=True, timeout=20, check=False)
    t.ok(p.returncode not in (0, 77) and p.returncode > 0,
         "a second start on a live socket is refused", p.returncode, p.stderr)
    t.ok(d.socket_path.encode() in p.stderr, "... and says which", p.stderr)
    o = d.send(MESSAGE, "<alice@example.org>", client="192.0.2.10")
    t.is_(o.verdict, "accept", "the first is not disturbed")


def test_start_again(t):
    with Daemon(zone=ZONE, start=False) as d:
        stale_socket(d.socket_path)
        d.start()
        t.is_(d.send(MESSAGE, "<a@b>").verdict, "accept",
              "a stale socket is replaced")
        d.process.kill()
        d.wait()
        d.start()
        t.is_(d.send(MESSAGE, "<a@b>").verdict, "accept",
              "a start after a kill")
        check_end(t, d, "started twice")
        t.ok(not os.path.exists(d.socket_path), "no socket file is left")
    with Daemon(start=False) as d:
        d.write("milter.sock", "precious")
        d.start(wait=False)
        t.ok(d.wait(15) not in (0, "hung"), "a file in the socket's place")
        d.process = None
        with open(d.socket_path) as f:
            t.is_(f.read(), "precious", "... is not touched")
    with Daemon(start=False, extra="no_such_option = 1;\n") as d:
        d.start(wait=False)
        t.ok(d.wait(15) not in (0, "hung"), "a bad configuration is refused")
        d.process = None
        t.ok("no_such_option" in d.log(), "... and the mistake named", d.log())
    if os.geteuid() == 0:
        with Daemon(start=False) as d:
            with open(d.config) as f:
                text = f.read()
            d.write("mailseal.conf",
                    text.replace('user = ""', 'user = "no-such-user"'))
            # without -f: the mistake must be told before the fork
            p = subprocess.run([program("mailseald"), "-c", d.config],
                               capture_output=True, timeout=20, check=False)
            t.is_(p.returncode, 78, "an unknown user is refused", p.stderr)
            t.ok(b"no-such-user" in p.stderr, "... and named", p.stderr)
            t.ok(not os.path.exists(d.socket_path), "... no socket is left")
    with Daemon(start=False,
                domains={"example.com": [("s1", "/nonexistent.pem")]}) as d:
        d.start()
        t.has(d.log(), "nonexistent.pem", "a missing key is named")


def test_graceful(t):
    """SIGTERM while a message is half way: it comes to its end first."""
    for number in (signal.SIGTERM, signal.SIGINT):
        with Daemon(zone=ZONE) as d, mc.Connection(d.address) as c:
            s = mc.Session(c, macros=mc.standard_macros())
            s.connect("192.0.2.10")
            s.helo("h.example")
            fields, body = mc.split_message(MESSAGE)
            s.mail("<alice@example.org>")
            s.rcpt("<a@b>")
            s.header(*fields[0])
            d.wait_log("", 0)
            time.sleep(0.2)
            d.signal(number)
            time.sleep(0.4)
            for f in fields[1:]:
                s.header(*f)
            s.end_of_header()
            s.body(body)
            edits = []
            verdict = s.end_of_message(edits).verdict
            t.is_(verdict, "accept", f"signal {number}: finished")
            t.ok(edits and "dmarc=pass" in edits[-1][3],
                 f"signal {number}: with its result", edits)
            s.quit()
            c.close()
            check_end(t, d, f"signal {number}")


def test_quick_stop(t):
    with Daemon(zone=ZONE) as d:
        idle = mc.Connection(d.address)
        start = time.monotonic()
        check_end(t, d, "with an idle connection")
        t.ok(time.monotonic() - start < 10, "an idle connection does not "
                                            "hold up the end")
        idle.close()


def test_descriptors(t):
    """It takes as many as it is allowed: each session needs one, and each
    question that is on its way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with Daemon() as d:
            t.is_(resource.prlimit(d.process.pid, resource.RLIMIT_NOFILE),
                  (hard, hard), "the limit of descriptors is raised")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def run_on(t, where, address, **popen):
    """A daemon on another kind of socket answers there and ends well."""
    with Daemon(zone=ZONE, start=False) as d:
        with open(d.config) as f:
            text = f.read()
        d.write("mailseal.conf", text.replace("unix:" + d.socket_path, where))
        with open(d.log_path, "ab") as log:
            d.process = subprocess.Popen(  # pylint: disable=R1732
                [program("mailseald"), "-f", "-c", d.config],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, **popen)
        d.address = address
        d.wait_ready()
        o = d.send(MESSAGE, "<alice@example.org>", client="192.0.2.10")
        t.is_(authres(o).result("dmarc"), "pass", f"a message over {where}")
        check_end(t, d, where)


def nodelay(pid, port):
    """TCP_NODELAY of the daemon's end of each connection to that port."""
    ret = []
    own = os.pidfd_open(pid)
    for n in os.listdir(f"/proc/{pid}/fd"):
        # pidfd_getfd(2) has no function in Python
        fd = ctypes.CDLL(None, use_errno=True).syscall(438, own, int(n), 0)
        if fd < 0:
            if ctypes.get_errno() == errno.EBADF:  # gone meanwhile
                continue
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        try:
            with socket.socket(fileno=fd) as s:
                if s.family == socket.AF_INET and s.getpeername() and \
                        s.getsockname()[1] == port:
                    ret.append(s.getsockopt(socket.IPPROTO_TCP,
                                            socket.TCP_NODELAY))
        except OSError:  # no socket, or none that is connected
            pass
    os.close(own)
    return ret


def test_nodelay(t):
    """libmilter writes each packet by itself, and does not ask for this: a
    verdict would wait for the acknowledgement of the edit before it."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    with Daemon(zone=ZONE, start=False) as d:
        d.address = f"inet:{port}@127.0.0.1"
        with open(d.config, encoding="utf-8") as f:
            text = f.read()
        d.write("mailseal.conf",
                text.replace("unix:" + d.socket_path, d.address))
        d.start()
        with mc.Connection(d.address):
            try:
                got = nodelay(d.process.pid, port)
            except PermissionError as e:
                return t.skip("TCP_NODELAY", f"cannot look: {e}")
        t.ok(got and all(got), "accepted connections have TCP_NODELAY", got)
        return check_end(t, d, "TCP_NODELAY")


def test_sockets(t):
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
        run_on(t, f"fd:{s.fileno()}", f"inet:{port}@127.0.0.1",
               pass_fds=[s.fileno()])
    run_on(t, f"inet:{port}@127.0.0.1", f"inet:{port}@127.0.0.1")
    with Daemon(start=False) as d:
        path = os.path.join(d.dir, "local.sock")
        run_on(t, f"local:{path}", f"local:{path}")
        t.is_(os.path.exists(path), False, "local: removed at the end")


SUFFIXES = "// of the test\nexample\nblog.example\n"
BLOGS = """\
_dmarc.blog.example TXT "v=DMARC1; p=reject"
you.blog.example TXT "v=spf1 +all"
"""


def test_discovery(t):
    """dmarc.discovery: a hosting domain that is a public suffix, with one
    customer who writes as another."""
    mail = crlf("From: ceo@me.blog.example\nSubject: x\n\nx\n")
    for mode, result in (("walk", "pass"), ("compare", "pass"),
                         ("psl", "none")):
        with Daemon(zone=BLOGS, internal=(), start=False) as d:
            suffixes = d.write("suffixes", SUFFIXES)
            with open(d.config, "a", encoding="utf-8") as f:
                f.write(f'dmarc = {{ discovery = "{mode}"; '
                        f'public_suffix_file = "{suffixes}"; }};\n')
            d.start()
            o = d.send(mail, "<x@you.blog.example>", client="203.0.113.66")
            t.is_(authres(o).result("dmarc"), result, f"{mode}: the result")
            log = check_end(t, d, mode)
            t.is_(log.count("dmarc.discovery differs: me.blog.example: tree "
                            "walk dmarc=pass policy=reject record=blog.example"
                            " organizational-domain=blog.example; public "
                            "suffix list dmarc=none"), mode == "compare",
                  f"{mode}: a difference is logged", log)
            with open(suffixes, "w", encoding="utf-8"):
                pass  # no list is needed for the walk
            status, _, err = mailseal("check-config", d.config)
            t.is_((status, "public_suffix_file" in err),
                  (0, False) if mode == "walk" else (78, True),
                  f"{mode}: a list without suffixes", err)


def main():
    if not os.path.exists(program("mailseald")):
        sys.exit(f"no mailseald in {BUILD}")
    t = Tap(240)
    with Daemon(start=False) as d:
        rsa, ed = Key(d.dir, "rsa"), Key(d.dir, "ed", "ed25519")
        zone = ZONE + key_record("example.com", "r", rsa) + \
            key_record("example.com", "e", ed) + \
            '_dmarc.example.com TXT "v=DMARC1; p=reject"\n'
        records = {f"{n}._domainkey.example.com": k.record()
                   for n, k in (("r", rsa), ("e", ed))}
        with Daemon(zone=zone, sign=["10.0.0.0/8"],
                    listeners=[("submission", "outbound"),
                               ("reinject", "none")],
                    domains={"example.com": [("r", rsa.path),
                                             ("e", ed.path)]}) as d2:
            for test in (test_inbound, test_clients, test_several,
                         test_protocols, test_disconnects, test_parallel,
                         test_second_start):
                with t.group(test.__name__):
                    test(t, d2)
            with t.group("test_directions"):
                test_directions(t, d2, records)
            check_end(t, d2, "all stages")
    for test in (test_discovery, test_start_again, test_graceful,
                 test_quick_stop, test_descriptors, test_sockets,
                 test_nodelay):
        with t.group(test.__name__):
            test(t)
    t.done()


if __name__ == "__main__":
    socket.setdefaulttimeout(30)
    main()
