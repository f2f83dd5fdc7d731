"""A real Prometheus reads the metrics, and takes rules and configuration of
contrib/prometheus; promtool finds no fault with the text, nor with the rules,
and each alert is raised by what it is about.

The package is only unpacked.  It is fetched when promtool is not installed.
"""
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from daemon import BUILD, Daemon, check_end, quote  # noqa: E402
from material import Key, crlf  # noqa: E402
from mta import free_port  # noqa: E402
from scrape import http  # noqa: E402
from tap import Tap, skip_all  # noqa: E402

SRC = os.environ.get("MAILSEAL_SRCDIR", ".")
CONTRIB = os.path.join(SRC, "contrib", "prometheus")
RULES_TEST = os.path.join(SRC, "tests", "prometheus", "rules_test.yml")
SECONDS = 60


def unpacked():
    """The folder of prometheus and promtool, or (None, why)."""
    if shutil.which("promtool") and shutil.which("prometheus"):
        return os.path.dirname(shutil.which("promtool")), None
    tree = os.path.join(BUILD, "prometheus")
    binaries = os.path.join(tree, "usr", "bin")
    if not os.path.exists(os.path.join(binaries, "prometheus")):
        os.makedirs(tree, exist_ok=True)
        try:
            p = subprocess.run(
                ["apt-get", "-qq", "-o", "APT::Sandbox::User=root",
                 "download", "prometheus"], cwd=tree, check=False,
                timeout=120, stdin=subprocess.DEVNULL, capture_output=True)
        except (OSError, subprocess.TimeoutExpired) as e:
            return None, f"no download: {e}"
        for deb in glob.glob(os.path.join(tree, "*.deb")):
            subprocess.run(["dpkg", "-x", deb, tree], check=True)
            os.unlink(deb)
        if not os.path.exists(os.path.join(binaries, "prometheus")):
            return None, "no download: " + \
                p.stderr.decode("utf-8", "replace").replace("\n", " ")[:200]
    return binaries, None


def promtool(binaries, *args, stdin=b"", cwd=None):
    p = subprocess.run([os.path.join(binaries, "promtool"), *args],
                       input=stdin, capture_output=True, check=False,
                       timeout=120, cwd=cwd)
    return p.returncode, (p.stdout + p.stderr).decode()


def test_rules(t, binaries, folder):
    status, out = promtool(binaries, "check", "rules", "mailseal.rules.yml",
                           cwd=folder)
    t.is_(status, 0, "promtool check rules", out)
    status, out = promtool(binaries, "check", "config", "prometheus.yml",
                           cwd=folder)
    t.is_(status, 0, "promtool check config", out)
    shutil.copy(RULES_TEST, folder)
    status, out = promtool(binaries, "test", "rules", "rules_test.yml",
                           cwd=folder)
    t.is_(status, 0, "promtool test rules", out)
    with open(RULES_TEST, encoding="utf-8") as f:
        tested = f.read()
    with open(os.path.join(folder, "mailseal.rules.yml"),
              encoding="utf-8") as f:
        alerts = [line.split()[-1] for line in f if "- alert:" in line]
    t.ok(len(alerts) > 10, "there are alerts")
    t.is_([a for a in alerts if a not in tested], [], "each has its test")


class Prometheus:
    def __init__(self, binaries, folder, target):
        self.port = free_port()
        path = os.path.join(folder, "prometheus.yml")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        assert "127.0.0.1:9879" in text
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace('["127.0.0.1:9879"]', f'["{target}"]')
                    .replace("15s", "1s"))
        self.log = open(os.path.join(folder, "log"), "wb")  # noqa: R1732
        self.process = subprocess.Popen(  # pylint: disable=R1732
            [os.path.join(binaries, "prometheus"), "--config.file", path,
             "--storage.tsdb.path", os.path.join(folder, "data"),
             "--web.listen-address", f"127.0.0.1:{self.port}"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def ask(self, path, **arguments):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?" + \
            urllib.parse.urlencode(arguments)
        with urllib.request.urlopen(url, timeout=5) as f:
            return json.load(f)["data"]

    def wait(self, what):
        """What `what` returns once that is something, or its last answer."""
        end, got = time.monotonic() + SECONDS, None
        while time.monotonic() < end and not got:
            time.sleep(0.2)
            try:
                got = what()
            except OSError:
                pass
        return got

    def value(self, query):
        result = self.ask("query", query=query)["result"]
        return float(result[0]["value"][1]) if result else 0


def test_server(t, binaries, folder, where):
    with Prometheus(binaries, folder, where) as p:
        got = p.wait(lambda: p.value(
            'mailseal_messages_total{direction="inbound",'
            'result="accepted"}'))
        t.is_(got, 3, "Prometheus has the count of messages")
        t.is_(p.value('up{job="mailseal"}'), 1, "... and says that it is up")
        targets = p.ask("targets")["activeTargets"]
        t.is_([(x["health"], x["lastError"]) for x in targets], [("up", "")],
              "the scrape had no error")
        got = p.wait(lambda: [r for g in p.ask("rules")["groups"]
                              for r in g["rules"]
                              if r["health"] != "unknown"])
        t.ok(len(got) > 10, "the rules are loaded")
        t.is_([(r["name"], r.get("lastError")) for r in got
               if r["health"] != "ok"], [], "and each can be evaluated")
        kinds = p.ask("metadata", metric="mailseal_message_seconds")
        t.is_(kinds["mailseal_message_seconds"][0]["type"], "histogram",
              "it knows the type")
        with open(os.path.join(SRC, "contrib", "grafana", "mailseal.json"),
                  encoding="utf-8") as f:
            panels = json.load(f)["panels"]
        bad, asked = [], 0
        for query in (x["expr"] for panel in panels
                      for x in panel.get("targets", ())):
            query = query.replace("$__rate_interval", "1m").replace(
                "$instance", ".*")
            asked += 1
            try:
                p.ask("query", query=query)
            except OSError as e:
                bad.append((query, str(e)))
        t.is_(bad, [], f"each of {asked} queries of the dashboard is one")
        t.ok(asked > 40, "there are queries")


def main():
    binaries, why = unpacked()
    if binaries is None:
        skip_all(why)
    t = Tap(240)
    folder = tempfile.mkdtemp(prefix="mailseal-prometheus-")
    for name in os.listdir(CONTRIB):
        shutil.copy(os.path.join(CONTRIB, name), folder)
    port = free_port()
    with Daemon(start=False, state=True) as d:
        key = Key(d.dir, "ed", "ed25519")
        with open(d.config, "a", encoding="utf-8") as f:
            f.write(f"metrics = {{ listen = \"127.0.0.1:{port}\"; }};\n"
                    "outbound = { domains = ( { domain = \"signed.test\"; "
                    "keys = ( { selector = \"s\"; "
                    f"file = {quote(key.path)}; }} ); }} ); }};\n")
        d.start()
        for _ in range(3):
            d.send(crlf("From: a@b.test\nSubject: x\n\nx\n"), "<a@b.test>",
                   client="203.0.113.66")
        d.send(crlf("From: a@signed.test\nSubject: x\n\nx\n"), "<a@b.test>",
               login="bob")
        status, _, text = http(f"127.0.0.1:{port}")
        t.is_(status, 200, "the scrape")
        status, out = promtool(binaries, "check", "metrics",
                               stdin=text.encode())
        t.is_((status, out), (0, ""), "promtool check metrics")
        with t.group("rules"):
            test_rules(t, binaries, folder)
        with t.group("server"):
            test_server(t, binaries, folder, f"127.0.0.1:{port}")
        check_end(t, d)
    shutil.rmtree(folder, ignore_errors=True)
    t.done()


if __name__ == "__main__":
    main()
