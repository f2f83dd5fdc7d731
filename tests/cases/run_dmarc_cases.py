#!/usr/bin/python3
"""DMARC cases as data (dmarc*.table), through tests/unit/dmarc_suite.

The format is that of tests/lib/table.py; a row is

    NAME | AUTHORS | SPF | DKIM | RESULT | ORG | POLICY

AUTHORS are the author domains, with a comma between.  SPF is the result of
MAIL FROM as STATUS:DOMAIN, DKIM such a result for each signature, `-` none.
RESULT is the status; after `pass`, what is aligned: spf, dkim or spf+dkim.
ORG is the organizational domain, `=` the author domain itself, `-` unknown.
POLICY is where the record is, which tag applies with which value, and what
t=y makes of it when that is something else: "example.com sp=reject
quarantine"; `-` when there is no policy.  Keys of a row:

    from: TEXT              the From field, when AUTHORS do not make it
    record: TEXT            a TXT record at _dmarc. and the author domain
    decides: DOMAIN         which of several authors the result is of
    by: DOMAIN              the signature that is aligned
    duplicates: yes         several records were discarded; without it, none
    reason: TEXT            a part of it; without this key there is none
    walks: N, queries: N    what must have been counted
    names: NAME NAME ...    the walk from the (first) author domain
    discovery: psl          or compare; the list is suffixes.psl
    difference: TEXT        a part of what compare says; without it, nothing

In every row libopendmarc must agree, as far as it can.
"""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from table import BaseRow, quoted, run  # noqa: E402

ANSWER = ("status", "reason", "author", "org", "where", "tag", "published",
          "policy", "aligned", "by", "duplicates", "walks", "queries",
          "difference", "opinion", "names")


def optional(cell):
    return "" if cell == "-" else cell


def policy_of(answer):
    """As in the column POLICY."""
    if not answer["where"]:
        return ""
    text = f"{answer['where']} {answer['tag']}={answer['published']}"
    if answer["policy"] != answer["published"]:
        text += " " + answer["policy"]
    return text


class Row(BaseRow):
    COLUMNS = 7
    KEYS = ("from", "record", "decides", "by", "duplicates", "reason",
            "walks", "queries", "names", "discovery", "difference")

    def __init__(self, *args):
        super().__init__(*args)
        authors, self.spf, self.dkim, self.result, self.org, self.policy = \
            (optional(cell) for cell in self.cells[1:])
        self.authors = authors.split(", ") if authors else []

    def zone_text(self):
        lines = list(self.zone)
        record = self.keys.get("record")
        if record is not None:
            data = record if record.startswith('"') else quoted(record)
            lines.append(f"_dmarc.{self.authors[0]} TXT {data}")
        return "\n".join(lines) + "\n"

    def question(self, zone_file):
        made = ", ".join(f"user@{domain}" for domain in self.authors)
        return "\t".join((
            zone_file, self.keys.get("discovery", "walk"),
            os.path.join(HERE, "suffixes.psl"), self.keys.get("from", made),
            self.spf, self.dkim))

    def wanted(self):
        """{what: text}, for all that must be exactly so."""
        status, _, aligned = self.result.partition(" ")
        author = self.keys.get("decides", "".join(self.authors[:1]))
        wanted = {"status": status, "aligned": aligned, "author": author,
                  "org": author if self.org == "=" else self.org,
                  "duplicates": "", "opinion": "", "POLICY": self.policy}
        wanted.update((k, self.keys[k]) for k in
                      ("by", "duplicates", "walks", "queries", "names")
                      if k in self.keys)
        return wanted

    def wrong(self, answer):
        found = dict(zip(ANSWER, answer.split("\t")))
        found["POLICY"] = policy_of(found)
        bad = [f"{what}: got {found[what]!r}, wanted {text!r}"
               for what, text in self.wanted().items() if found[what] != text]
        for what in ("reason", "difference"):
            part = self.keys.get(what, "")
            if part not in found[what] or (found[what] and not part):
                bad.append(f"{what}: got {found[what]!r}, wanted {part!r}")
        return bad


if __name__ == "__main__":
    run("tests/unit/dmarc_suite", Row, os.path.join(HERE, "dmarc*.table"),
        sys.argv[1:])
