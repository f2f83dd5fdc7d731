"""What Postfix delivers verifies (RFC 6376 5.3, 5.4): it keeps what it was
given, but for long lines; what cleanup(8) adds and completes comes before the
signature.  Postfix has its usual settings here."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from daemon import check_end  # noqa: E402
from material import have_dkimpy  # noqa: E402
from mta import Postfix, submit  # noqa: E402
from signing import (DATE, DOMAIN, FROM, TO, UNQUALIFIED,  # noqa: E402
                     Signer, bodies, names_and_addresses, other_fields,
                     queue_id_of)
from tap import Tap, skip_all  # noqa: E402

SETTINGS = {"smtp_line_length_limit": None,
            "local_header_rewrite_clients": None, "myorigin": DOMAIN}


def local(t, s, p):
    """sendmail(1): cleanup adds and completes fields, then asks the milter."""
    for name, data in {
            "complete": f"{FROM}{TO}{DATE}Message-ID: <l@example.com>\n\nx\n",
            "nothing": "To: rcpt@example.net\n\nx\n",
            "bare-name": "From: alice\nTo: bob,c@example.net\nCc: dan\n\nx\n",
            "no-line-end": f"{FROM}{TO}\nno end",
            "dots": f"{FROM}{TO}\n.\n..\n. x\n",
            "bcc": f"{FROM}{TO}Bcc: x@example.net\nReturn-Path: <y@z>\n\nx",
            "space": f"From:  alice@example.com \n{TO}Subject:  a  b \n\nx \n",
    }.items():
        mark = f"X-Form: local-{name}."
        r = p.sendmail(f"{mark}\n{data}".encode(), f"alice@{DOMAIN}",
                       options=("-i",))
        t.is_(r.returncode, 0, f"local-{name}: accepted", r.stderr)
        m = p.sink.wait_for(mark + "\r\n")
        if t.ok(m is not None, f"local-{name}: delivered", p.log()[-3000:]):
            t.is_(s.problems(m.data), [], f"local-{name}: verifies", m.data)
            t.ok(m.all("Date") and m.all("Message-Id"),
                 f"local-{name}: has Date and Message-Id", m.data)


def outside(t, s, p):
    """Of a client that is not local nothing is completed; whether a later
    pass through Postfix will is not known."""
    data = f"{FROM}To: bob\n{DATE}X-Form: outside.\n\nx\n"
    code, text = submit(p.port, data.encode(), f"alice@{DOMAIN}",
                        xclient="NAME=[UNAVAILABLE] ADDR=192.0.2.99 "
                        "LOGIN=alice")
    t.is_(code, 250, "outside: accepted", text)
    m = p.sink.wait_for("X-Form: outside.\r\n")
    t.is_(m.all("To"), ["bob"], "outside: not completed")
    t.is_(s.problems(m.data), [], "outside: verifies", m.data)
    s.check_log("outside", queue_id_of(text), UNQUALIFIED)


def main():
    missing = Postfix.missing()
    if missing:
        skip_all(missing)
    if not have_dkimpy():
        skip_all("python3-dkim is not there")
    t = Tap(120)
    with Signer(t, 998) as s, Postfix(s.daemon.address, more=SETTINGS) as p:
        for forms in (names_and_addresses, other_fields, bodies):
            with t.group(forms.__name__):
                s.run(p, "postfix", forms(), p.submission_port)
        with t.group("local"):
            local(t, s, p)
        with t.group("outside"):
            outside(t, s, p)
        with t.group("new keys"):
            s.new_keys(p)
        check_end(t, s.daemon, "signing behind Postfix")
    t.done()


if __name__ == "__main__":
    main()
