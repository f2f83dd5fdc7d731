"""The demonstration: real messages through the real daemon, without network.

Makes keys with `mailseal key new`, starts mailseald on a socket in a private
directory with an embedded zone file, and plays five messages through the
milter protocol, as an MTA would.  Everything printed is what came back.  The
exit status is 0 only when every outcome is the expected one.
"""
import json
import os
import re
import sys
import tempfile
import textwrap

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import material  # noqa: E402
from authres import Authres  # noqa: E402
from daemon import Daemon, mailseal  # noqa: E402
from milter_client import MilterError  # noqa: E402

ID = "mx.example.com"
ZONE = """\
news.example TXT "v=spf1 ip4:192.0.2.10 -all"
_dmarc.news.example TXT "v=DMARC1; p=quarantine"
bank.example TXT "v=spf1 ip4:198.51.100.0/24 -all"
_dmarc.bank.example TXT "v=DMARC1; p=reject"
office.example TXT "v=spf1 ip4:192.0.2.30 -all"
mail.evil.example A 203.0.113.66
"""


class Demo:
    def __init__(self, directory):
        self.dir = directory
        self.failures = []
        self.records = {}
        self.zone = ZONE

    def expect(self, what, got, wanted):
        good = got == wanted
        print(f"    {'ok' if good else 'NOT AS EXPECTED'}: {what} is {got}" +
              ("" if good else f", expected {wanted}"))
        if not good:
            self.failures.append(what)

    def new_key(self, domain, selector, kind):
        """A key by our own program; its DNS record goes into the zone."""
        path = os.path.join(self.dir, f"{domain}.{selector}.pem")
        status, out, err = mailseal("key", "new", "--domain", domain,
                                    "--selector", selector, "--type", kind,
                                    "--out", path)
        if status != 0:
            raise RuntimeError(f"mailseal key new: {err}")
        value = "".join(re.findall(r'"([^"]*)"', out.decode()))
        name = f"{selector}._domainkey.{domain}"
        self.records[name] = value
        self.zone += material.txt(name, value)
        print(f"    {kind} key for {domain}: publish\n"
              f"    {name} TXT \"{value[:48]}...\"")
        return path

    @staticmethod
    def activate(daemon, domain, selector):
        """A new key signs when its record is seen in the DNS."""
        status, out, err = mailseal("key", "activate", "-c", daemon.config,
                                    "--domain", domain, "--selector", selector)
        if status != 0:
            raise RuntimeError(f"mailseal key activate: {err}")
        print(textwrap.indent(out.decode(), "    "), end="")

    @staticmethod
    def read(name):
        with open(os.path.join(HERE, name), "rb") as f:
            return material.crlf(f.read())

    @staticmethod
    def show(title, message, session):
        print(f"\n{title}")
        print(f"  in:  {session}")
        head = message.partition(b"\r\n\r\n")[0].decode("ascii", "replace")
        for line in head.split("\r\n"):
            if line.startswith(("From:", "Subject:", "Authentication-")):
                print(f"       {line}")

    @staticmethod
    def show_field(name, value):
        value = " ".join(value.split())
        print(textwrap.fill(f"{name}: {value}", 78, initial_indent="  out: ",
                            subsequent_indent="         ",
                            break_long_words=False, break_on_hyphens=False))

    def why(self, daemon, queue_id):
        line = daemon.wait_log(queue_id + ":") or ""
        found = re.search(r'why="([^"]*)"', line)
        text = found.group(1) if found else line.partition(": ")[2]
        print(textwrap.fill(text, 78, initial_indent="  why: ",
                            subsequent_indent="       "))
        return text

    def inbound(self, daemon, title, message, client, sender, wanted):
        queue_id = "DEMO" + title.partition(".")[0]
        self.show(title, message, f"client {client}, MAIL FROM:{sender}")
        o = daemon.send(message, sender, client=client, queue_id=queue_id,
                        helo="mail." + sender.strip("<>").split("@")[1])
        value = o.field("Authentication-Results") or ""
        self.show_field("Authentication-Results", value)
        said = self.why(daemon, queue_id)
        a = Authres(value)
        for method, result in wanted.items():
            prop = "smtp.mailfrom" if method == "spf" else None
            self.expect(method, a.result(method, prop), result)
        self.expect("the authserv-id", a.authserv_id, ID)
        mine = [v for v in o.fields("Authentication-Results")
                if v.startswith(ID)]
        self.expect("the number of our fields", len(mine), 1)
        if not said:
            self.failures.append("why")

    def outbound(self, daemon, message):
        self.show("5. Outbound, by a user who logged in: signed with RSA-2048"
                  " and Ed25519", message,
                  "client 192.0.2.99, login bob, MAIL FROM:<bob@example.com>")
        o = daemon.send(message, "<bob@example.com>", client="192.0.2.99",
                        login="bob", queue_id="DEMOout")
        for value in o.fields("DKIM-Signature"):
            self.show_field("DKIM-Signature", value)
        self.why(daemon, "DEMOout")
        algorithms = [re.search(r"\ba=([a-z0-9-]+)", v).group(1)
                      for v in o.fields("DKIM-Signature")]
        self.expect("the signatures' algorithms", algorithms,
                    ["rsa-sha256", "ed25519-sha256"])
        self.verify_again(daemon, o.message)

    def verify_again(self, daemon, message):
        status, out, err = mailseal(
            "verify", "--ip", "192.0.2.20", "--helo", ID, "--from",
            "<bob@example.com>", "--zone", daemon.zone_file,
            "--authserv-id", "mx.news.example", "--json", stdin=message)
        if status != 0:
            raise RuntimeError(f"mailseal verify: {err}")
        value = json.loads(out)["authres"]
        self.show_field("Authentication-Results", value)
        results = [r.result for r in Authres(value).all("dkim")]
        self.expect("DKIM by `mailseal verify`", results, ["pass", "pass"])
        self.expect("DKIM by dkimpy",
                    material.dkimpy_verifies(message, self.records),
                    [True, True])

    def run(self):
        print("Keys")
        rsa = self.new_key("example.com", "rsa2026", "rsa")
        ed = self.new_key("example.com", "ed2026", "ed25519")
        sender = material.Key(self.dir, "news")
        self.zone += material.key_record("news.example", "s1", sender)
        domains = {"example.com": [("rsa2026", rsa), ("ed2026", ed)]}
        with Daemon(zone=self.zone, authserv_id=ID, domains=domains,
                    start=False) as d:
            for selector, _ in domains["example.com"]:
                self.activate(d, "example.com", selector)
            d.start()
            print(f"mailseald runs as process {d.process.pid} on "
                  f"{d.address}")
            self.messages(d, sender)
            status, _ = d.stop()
            print()
            self.expect("mailseald's exit status after SIGTERM", status, 0)

    def messages(self, d, key):
        signed = material.sign(self.read("signed.eml"), "news.example", "s1",
                               key)
        self.inbound(d, "1. A message signed by its author's domain", signed,
                     "192.0.2.10", "<alice@news.example>",
                     {"spf": "pass", "dkim": "pass", "dmarc": "pass"})
        self.inbound(d, "2. The same, one byte changed on the way (100 -> "
                     "900 euros)", signed.replace(b"pay 100", b"pay 900"),
                     "203.0.113.66", "<list@evil.example>",
                     {"spf": "none", "dkim": "fail", "dmarc": "fail"})
        self.inbound(d, "3. A spoof of a domain with p=reject, with a forged"
                     " result", self.read("spoof.eml"), "203.0.113.66",
                     "<security@bank.example>",
                     {"spf": "fail", "dkim": "none", "dmarc": "fail"})
        self.inbound(d, "4. Unsigned mail of a domain with SPF only",
                     self.read("spf-only.eml"), "192.0.2.30",
                     "<clerk@office.example>",
                     {"spf": "pass", "dkim": "none", "dmarc": "none"})
        self.outbound(d, self.read("outbound.eml"))


def main():
    if not material.have_dkimpy():
        sys.exit("demo: python3-dkim is needed")
    with tempfile.TemporaryDirectory(prefix="mailseal-demo-") as directory:
        demo = Demo(directory)
        try:
            demo.run()
        except (MilterError, OSError, RuntimeError) as e:
            print(f"\nFAILED: {e}")
            sys.exit(1)
    if demo.failures:
        print(f"FAILED: {', '.join(demo.failures)}")
        sys.exit(1)
    print("\nEvery outcome is the expected one.")


if __name__ == "__main__":
    main()
