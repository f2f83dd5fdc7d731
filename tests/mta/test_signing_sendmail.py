"""What Sendmail delivers verifies (RFC 6376 5.3, 5.4), although it writes
lists of addresses anew and completes messages after the milter.  Its mailer
has the line limit that it has for mail without a smart host."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from daemon import BUILD, check_end  # noqa: E402
from material import have_dkimpy  # noqa: E402
from mta import Sendmail, sendmail_tree  # noqa: E402
from signing import (Signer, bodies, names_and_addresses,  # noqa: E402
                     other_fields)
from tap import Tap, skip_all  # noqa: E402


def edits(t, m):
    """Sendmail did edit what was signed; without that nothing is proven."""
    for form, name, wanted in (
            ("from-dot", "From", ['"Alice B. Doe" <alice@example.com>']),
            ("to-no-space", "To", ["a@example.net, b@example.net"]),
            ("to-unqualified", "To", ["bob@mx.mta.test, x@example.net"]),
            ("bcc", "Bcc", []), ("dropped", "Full-Name", [])):
        got = m.sink.wait_for(f"X-Form: {form}.\r\n")
        t.is_(got.all(name), wanted, f"{form}: Sendmail edits {name}")
    got = m.sink.wait_for("X-Form: no-date-no-id.\r\n")
    t.is_([len(got.all("Date")), len(got.all("Message-Id"))], [1, 1],
          "no-date-no-id: Sendmail adds them")


def main():
    if not have_dkimpy():
        skip_all("python3-dkim is not there")
    tree, why = sendmail_tree(BUILD)
    if tree is None:
        skip_all(why)
    t = Tap(120)
    with Signer(t, 990) as s, \
            Sendmail(s.daemon.address, tree, line_limit=990) as m:
        for forms in (names_and_addresses, other_fields, bodies):
            with t.group(forms.__name__):
                s.run(m, "sendmail", forms(), m.submission_port)
        with t.group("edits"):
            edits(t, m)
        with t.group("new keys"):
            s.new_keys(m)
        check_end(t, s.daemon, "signing behind Sendmail")
    t.done()


if __name__ == "__main__":
    main()
