#!/usr/bin/python3
"""SPF cases as data (spf*.table), through tests/unit/spf_suite.

The format is that of tests/lib/table.py; a row is

    NAME | CLIENT | RECORD | RESULT | WHY

The sender is user@sender.example and RECORD its policy without "v=spf1 ":
"exactly this", in quotes, is the data of a TXT record, `-` is none.  WHY is
the mechanism that matched or, with an error or `none`, a part of the reason.
Keys of a row:

    from: SENDER            `<>`: the null path; the record stays where it is
    helo: TEXT              client.example when left out
    check: helo             instead of MAIL FROM
    explain: TEXT           the explanation; without this key there is none
    terms: N, voids: N, queries: N      what must have been counted
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from table import BaseRow, quoted, run  # noqa: E402

SENDER = "sender.example"
MATCHED = ("pass", "fail", "softfail", "neutral")
COUNTS = ("terms", "voids", "queries")


class Row(BaseRow):
    COLUMNS = 5
    KEYS = ("from", "helo", "check", "explain") + COUNTS

    def __init__(self, *args):
        super().__init__(*args)
        self.client, self.policy, self.result, self.why = self.cells[1:]

    def zone_text(self):
        lines = list(self.zone)
        if self.policy.startswith('"'):
            lines.append(f"{SENDER} TXT {self.policy}")
        elif self.policy != "-":
            lines.append(f"{SENDER} TXT {quoted('v=spf1 ' + self.policy)}")
        return "\n".join(lines) + "\n"

    def question(self, zone_file):
        sender = self.keys.get("from", f"user@{SENDER}")
        return "\t".join((
            zone_file, self.keys.get("check", "mailfrom"), self.client,
            self.keys.get("helo", "client.example"),
            "" if sender == "<>" else sender))

    def wrong(self, answer):
        result, explanation, mechanism, reason, *more = answer.split("\t")
        found = dict(zip(COUNTS, more[1:]))
        bad = []
        if result != self.result:
            bad.append(f"got {result}, wanted {self.result}")
        if explanation != self.keys.get("explain", ""):
            bad.append(f"explanation {explanation!r}")
        good = (mechanism == self.why if self.result in MATCHED
                else self.why != "" and self.why in reason)
        if not good:
            bad.append(f"mechanism {mechanism!r}, reason {reason!r}")
        bad += [f"{k} {found[k]}, wanted {self.keys[k]}" for k in COUNTS
                if self.keys.get(k, found[k]) != found[k]]
        return bad


if __name__ == "__main__":
    run("tests/unit/spf_suite", Row, os.path.join(HERE, "spf*.table"),
        sys.argv[1:])
