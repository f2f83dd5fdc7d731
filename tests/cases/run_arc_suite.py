"""The public test suite of ARC validation (arc-draft-validation-tests.yml in
the folder that MAILSEAL_SUITES names), each message through the evaluation of
`mailseal verify`."""
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from daemon import mailseal  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

FILE = "arc-draft-validation-tests.yml"


def zone_of(records):
    rows = []
    for name, value in records.items():
        text = "".join(value.split("\n"))
        parts = [text[i:i + 200] for i in range(0, len(text), 200)]
        rows.append(f"{name} TXT " + " ".join(
            '"' + p.replace("\\", "\\\\").replace('"', '\\"') + '"'
            for p in parts))
    return "\n".join(rows) + "\n"


def run(t, name, case, zone):
    status, out, err = mailseal(
        "verify", "--ip", "192.0.2.1", "--from", "<a@example.org>", "--zone",
        zone, "--json", stdin=case["message"].encode())
    if status != 0:
        t.ok(False, name, status, err)
        return
    arc = json.loads(out)["arc"]
    want = (case["cv"] or "Fail").lower()  # as its authors read it
    t.is_(arc["result"], want, f"{name}: {case['description']}", arc,
          case.get("spec"))


def main():
    folder = os.environ.get("MAILSEAL_SUITES", "")
    path = os.path.join(folder, FILE)
    if not folder or not os.path.exists(path):
        skip_all(f"MAILSEAL_SUITES is not set: no {FILE}")
    import yaml  # pylint: disable=import-outside-toplevel
    t = Tap(240)
    with open(path, encoding="utf-8") as f:
        scenarios = list(yaml.safe_load_all(f))
    n = 0
    with tempfile.TemporaryDirectory() as directory:
        for number, scenario in enumerate(scenarios):
            zone = os.path.join(directory, f"zone{number}")
            with open(zone, "w", encoding="utf-8") as f:
                f.write(zone_of(scenario.get("txt-records") or {}))
            for name, case in scenario["tests"].items():
                run(t, name, case, zone)
                n += 1
    t.ok(n >= 150, f"{n} cases")
    t.done()


if __name__ == "__main__":
    main()
