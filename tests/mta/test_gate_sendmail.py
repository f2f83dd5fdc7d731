"""Who may send, behind a real Sendmail with SASL logins, TLS and client
certificates: refused, revoked, over the limit, too weak (tests/lib/gate.py).
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from daemon import BUILD  # noqa: E402
from gate import USERS, Gate  # noqa: E402
from mta import Sendmail, sendmail_tree  # noqa: E402
from tap import Tap, skip_all  # noqa: E402


def distinguished_name(name):
    """How Sendmail names a certificate: all of it, and each of the characters
    that could be read as something else as + and two hexadecimal digits."""
    return "/O=Example/CN=" + "".join(
        f"+{ord(c):02X}" if c in ' ()<>"+' else c for c in name)


def main():
    tree, why = sendmail_tree(BUILD)
    if tree is None:
        skip_all(why)
    t = Tap(240)
    with Gate(t, distinguished_name) as g:
        g.start("reject")
        with Sendmail(g.daemon.address, tree, users=USERS,
                      authority=g.ca) as m:
            if not m.has_auth:
                skip_all("no saslpasswd2")
            g.run(m)
    t.done()


if __name__ == "__main__":
    main()
