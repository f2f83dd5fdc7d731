"""The public test suite of ARC sealing (arc-draft-sign-tests.yml in the folder
that MAILSEAL_SUITES names), each message through mailseald.

What is compared: whether there is a new set, its i= and cv=, d=, s=, a=, c= and
the body hash bh=; whether the chain then verifies as cv= says; and that no text
of another's Authentication-Results is in the set.

Left out, in every case: the values of b= and t=, since a filter seals at the
time of the message and signs more fields than the suite's five; and the text of
ARC-Authentication-Results, which the suite takes from Authentication-Results
fields of the message.  In mail from outside these are forged or another's: a
filter says what it found (RFC 8617 4.1.1).  So ar_merged1 and ar_merged2, which
are about joining several such fields, are of this suite only as i0_base is.
"""
import json
import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from daemon import Daemon, check_end, mailseal  # noqa: E402
from material import crlf, txt  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

FILE = "arc-draft-sign-tests.yml"
CLIENT = "192.0.2.1"
TAGS = {"AS": ("i", "cv", "a", "d", "s"), "AMS": ("i", "a", "c", "d", "s",
                                                 "bh")}
NAMES = {"AS": "ARC-Seal", "AMS": "ARC-Message-Signature",
         "AAR": "ARC-Authentication-Results"}


def tags(text):
    out = {}
    for part in text.split(";"):
        name, _, value = part.partition("=")
        out[name.strip()] = re.sub(r"\s", "", value)
    return out


def verified(message, zone):
    status, out, err = mailseal(
        "verify", "--ip", CLIENT, "--from", "<jqd@d1.example.org>", "--zone",
        zone, "--json", stdin=message)
    return json.loads(out)["arc"]["result"] if status == 0 else err


def run(t, d, name, case):
    o = d.send(crlf(case["message"]), "<jqd@d1.example.org>", client=CLIENT)
    before = len(re.findall(r"^ARC-Seal:", case["message"], re.M))
    sets = {k: o.fields(n) for k, n in NAMES.items()}
    if not case["AS"].strip():
        t.is_([len(v) for v in sets.values()], [before] * 3,
              f"{name}: no new set")
        return
    t.is_([len(v) for v in sets.values()], [before + 1] * 3,
          f"{name}: one new set", d.log()[-400:])
    for kind, which in TAGS.items():
        got, want = tags(sets[kind][0]), tags(case[kind])
        t.is_({k: got.get(k) for k in which}, {k: want[k] for k in which},
              f"{name}: {kind}")
    cv = tags(case["AS"])["cv"]
    aar, wanted = sets["AAR"][0], case["AAR"].split(";")
    t.is_([x.strip() for x in aar.split(";")[:2]],
          [x.strip() for x in wanted[:2]], f"{name}: AAR is ours")
    t.has(aar, f" arc={cv}", f"{name}: with arc={cv}")
    t.ok("nobody" not in aar and "1024-bit" not in aar and
         "dkim=pass" not in aar, f"{name}: and what we found alone", aar)
    t.is_(verified(o.message, d.zone_file), "fail" if cv == "fail" else "pass",
          f"{name}: verifies as it says")


def main():
    folder = os.environ.get("MAILSEAL_SUITES", "")
    path = os.path.join(folder, FILE)
    if not folder or not os.path.exists(path):
        skip_all(f"MAILSEAL_SUITES is not set: no {FILE}")
    import yaml  # pylint: disable=import-outside-toplevel
    t = Tap(120)
    n = 0
    with open(path, encoding="utf-8") as f:
        scenarios = list(yaml.safe_load_all(f))
    for scenario in scenarios:
        with tempfile.TemporaryDirectory() as directory:
            key = os.path.join(directory, "key.pem")
            with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "w",
                      encoding="ascii") as f:
                f.write(scenario["privatekey"])
            zone = "".join(txt(k, "".join(v.split("\n"))) for k, v in
                           scenario["txt-records"].items())
            domain = scenario["domain"]
            with Daemon(zone=zone, authserv_id="lists.example.org",
                        domains={domain: [(scenario["sel"], key)]},
                        extra=f'arc = {{ seal = ( {{ domain = "{domain}"; }} '
                              ');};\n') as d:
                for name, case in scenario["tests"].items():
                    run(t, d, name, case)
                    n += 1
                check_end(t, d, scenario["description"])
    t.is_(n, 17, "cases")
    t.done()


if __name__ == "__main__":
    main()
