#!/usr/bin/python3
"""The RFC 7208 suite of the openspf community, against tests/unit/spf_suite.

MAILSEAL_SUITES names the directory that holds rfc7208-tests.yml; without it
the test is skipped (our own cases are in spf*.table).  Each scenario's zone
data becomes a zone file, all of its cases go through one run of the helper,
and each case is one line of the result.
"""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
from tap import Tap, skip_all  # noqa: E402


def octets(text):
    """The suite's strings stand for octets, or for text in UTF-8."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8")


def quoted(text):
    """One TXT string, in pieces of 255, with \\DDD for what needs it."""
    data = octets(text)
    pieces = [data[i:i + 255] for i in range(0, len(data), 255)] or [b""]
    out = []
    for piece in pieces:
        chars = (chr(c) if 32 <= c < 127 and c not in b'"\\' else f"\\{c:03d}"
                 for c in piece)
        out.append('"' + "".join(chars) + '"')
    return " ".join(out)


def txt_data(value):
    if isinstance(value, list):
        return " ".join(quoted(part) for part in value) or '""'
    return quoted(value)


def zone_lines(name, entries):
    """Yields the zone-file lines of one name of a scenario."""
    records = [next(iter(e.items())) for e in entries if isinstance(e, dict)]
    timeout = "TIMEOUT" in entries
    if timeout and not records:
        yield f"{name} ANY !TIMEOUT"
        return
    # The suite's rule: SPF records without any TXT record are TXT as well;
    # "TXT: NONE" stands for "really none".
    has_txt = any(kind == "TXT" for kind, _ in records)
    given = False
    for kind, value in records:
        if kind == "SPF":
            if has_txt:
                continue
            kind = "TXT"
        if kind == "TXT":
            if value == "NONE":
                continue
            given = True
            yield f"{name} TXT {txt_data(value)}"
        elif kind == "MX":
            yield f"{name} MX {value[0]} {value[1].rstrip('.') or '.'}"
        elif kind in ("A", "AAAA"):
            yield f"{name} {kind} {value}"
        elif kind in ("PTR", "CNAME"):
            yield f"{name} {kind} {value.rstrip('.')}"
        else:
            raise ValueError(f"{name}: unknown type {kind}")
    if timeout and not given:
        yield f"{name} TXT !TIMEOUT"
    elif not given:
        yield f"{name} SOA ."  # the name exists, whatever else it has


def plain(name):
    return all(c.isalnum() or c in "-_." for c in name)


def write_zone(path, zonedata, spaces):
    """Two things of the suite have no place in our zone file.

    An MX name that is no host name is left out of answers: such a name gets a
    plain second name.  A name with a space cannot be written: with `spaces`,
    a wildcard beside it stands in (tests/unit/test_spf_macro.c checks the
    expansion itself).
    """
    second = {name: f"second-name-{i}.invalid"
              for i, name in enumerate(zonedata) if not plain(name)}
    with open(path, "w", encoding="ascii") as out:
        for name, entries in zonedata.items():
            entries = [{"MX": [e["MX"][0], second.get(e["MX"][1],
                                                      e["MX"][1])]}
                       if isinstance(e, dict) and "MX" in e else e
                       for e in entries]
            names = [name] + [second[n] for n in second if n == name]
            if " " in name:
                names = ["*." + name.split(".", 1)[1]] if spaces else []
            for owner in names:
                for line in zone_lines(owner, entries):
                    print(line, file=out)


def wants_space(zonedata, case):
    """Does the record of the sender make a name with a space?"""
    entries = zonedata.get(case["mailfrom"].rsplit("@", 1)[-1], [])
    return any("%_" in str(e.get("SPF")) for e in entries
               if isinstance(e, dict))


def run_scenario(tap, helper, scenario, zone):
    zonedata = scenario["zonedata"]
    for spaces in (False, True):
        tests = [(n, c) for n, c in scenario["tests"].items()
                 if wants_space(zonedata, c) == spaces]
        if not tests:
            continue
        write_zone(zone, zonedata, spaces)
        lines, errors = run_helper(helper, zone, [c for _, c in tests])
        for i, (name, case) in enumerate(tests):
            name = f"{scenario['description']}: {name}"
            if i < len(lines):
                compare(tap, name, case, lines[i])
            else:
                tap.ok(False, name, "no answer", errors)


def run_helper(helper, zone, cases):
    """The helper's lines (fewer when it died) and what it said."""
    text = "".join("\t".join((zone, "mailfrom", c["host"], c.get("helo", ""),
                              c["mailfrom"])) + "\n" for c in cases)
    done = subprocess.run([helper], input=text.encode("utf-8"),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=120, check=False)
    lines = done.stdout.decode("ascii").splitlines()
    # whoever answered last did not end orderly
    return (lines if done.returncode == 0 else lines[:-1],
            done.stderr.decode("utf-8", "replace"))


def compare(tap, name, case, line):
    result, explanation = line.split("\t")[:2]
    wanted = case["result"]
    if not isinstance(wanted, list):
        wanted = [wanted]
    good = result in wanted
    if "explanation" in case:
        # ours has no default text
        text = case["explanation"]
        good = good and explanation == ("" if text == "DEFAULT" else text)
    tap.ok(good, name, f"got {line!r}",
           f"wanted {wanted} {case.get('explanation')!r}",
           case.get("comment", ""))


def read_suite():
    directory = os.environ.get("MAILSEAL_SUITES")
    if not directory:
        skip_all("MAILSEAL_SUITES is not set: no rfc7208-tests.yml")
    try:
        import yaml
    except ImportError:
        skip_all("no python3-yaml")
    with open(os.path.join(directory, "rfc7208-tests.yml"),
              encoding="utf-8") as suite:
        return list(yaml.safe_load_all(suite))


def main():
    scenarios = read_suite()
    helper = os.path.join(os.environ.get("MAILSEAL_BUILDDIR", "."),
                          "tests/unit/spf_suite")
    tap = Tap()
    with tempfile.TemporaryDirectory() as work:
        for scenario in scenarios:
            with tap.group(scenario["description"]):
                run_scenario(tap, helper, scenario,
                             os.path.join(work, "zone"))
    cases = sum(len(s["tests"]) for s in scenarios)
    tap.note(f"{tap.count - tap.failed} of {cases} cases are right")
    tap.is_(tap.count, cases, "every case of the suite was counted")
    tap.done()


if __name__ == "__main__":
    main()
