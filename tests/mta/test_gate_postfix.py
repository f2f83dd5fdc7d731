"""Who may send, behind a real Postfix with SASL logins, TLS and client
certificates: refused, revoked, over the limit, too weak (tests/lib/gate.py).
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from gate import USERS, Gate  # noqa: E402
from mta import Postfix  # noqa: E402
from tap import Tap, skip_all  # noqa: E402


def common_name(name):
    """How Postfix names a certificate: by its common name alone."""
    return name


def main():
    missing = Postfix.missing()
    if missing:
        skip_all(missing)
    t = Tap(240)
    with Gate(t, common_name) as g:
        g.start("reject")
        with Postfix(g.daemon.address, users=USERS, authority=g.ca) as p:
            if not p.has_auth:
                skip_all("no saslpasswd2")
            g.run(p)
    t.done()


if __name__ == "__main__":
    main()
