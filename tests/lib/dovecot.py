"""A private Dovecot for tests, which checks logins for a private Postfix.

Dovecot is unpacked below the build directory and not installed: its package
would start a service.  The master process runs with a configuration, folders
and a log of its own; it opens no port, but a socket in the queue directory of
the private Postfix.  Needs root, since it changes to other users.

Besides: the clients' side of SASL that smtplib lacks, and an identity provider
that says which tokens are good (RFC 7662).
"""
import base64
import glob
import hashlib
import hmac
import http.server
import json
import os
import shutil
import subprocess
import threading
import time
import urllib.parse

PACKAGE = "dovecot-core"
LIBEXEC = "usr/lib/dovecot"


def dovecot_tree(build):
    """(path, None) or (None, why not)."""
    if os.geteuid() != 0:
        return None, "not root"
    tree = os.path.join(build, "dovecot-tree")
    binary = os.path.join(tree, "usr/sbin/dovecot")
    if not os.path.exists(binary):
        os.makedirs(tree, exist_ok=True)
        try:
            p = subprocess.run(
                ["apt-get", "-qq", "-o", "APT::Sandbox::User=root",
                 "download", PACKAGE], cwd=tree, check=False, timeout=120,
                stdin=subprocess.DEVNULL, capture_output=True)
        except (OSError, subprocess.TimeoutExpired) as e:
            return None, f"no download: {e}"
        for deb in glob.glob(os.path.join(tree, "*.deb")):
            subprocess.run(["dpkg", "-x", deb, tree], check=True)
        if not os.path.exists(binary):
            return None, "no download: " + \
                p.stderr.decode("utf-8", "replace").replace("\n", " ")[:200]
    out = "".join(subprocess.run(
        ["ldd", os.path.join(tree, name)], check=False, capture_output=True,
        env=environment(tree)).stdout.decode()
        for name in (LIBEXEC + "/auth", "usr/bin/doveadm"))
    missing = {x.split()[0] for x in out.splitlines() if "not found" in x}
    if missing:
        return None, f"libraries missing: {sorted(missing)}"
    return tree, None


def library_path(tree):
    return ":".join(os.path.join(tree, LIBEXEC, d)
                    for d in ("", "modules", "modules/old-stats"))


def environment(tree):
    return {**os.environ, "LD_LIBRARY_PATH": library_path(tree)}


class Dovecot:
    """`text`: dovecot.conf; `directory`: of everything else."""

    def __init__(self, tree, directory, text):
        self.tree, self.dir, self.process = tree, directory, None
        for name in ("base", "state"):
            os.makedirs(os.path.join(directory, name), exist_ok=True)
        self.log_path = os.path.join(directory, "log")
        self.config = os.path.join(directory, "dovecot.conf")
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(f"{text}\n"
                    "# of the test\n"
                    f"base_dir = {directory}/base\n"
                    f"state_dir = {directory}/state\n"
                    f"libexec_dir = {tree}/{LIBEXEC}\n"
                    f"mail_plugin_dir = {tree}/{LIBEXEC}/modules\n"
                    "import_environment = LD_LIBRARY_PATH="
                    f"{library_path(tree)}\n"
                    "default_internal_user = nobody\n"
                    "default_internal_group = nogroup\n"
                    "default_login_user = postfix\n"
                    f"log_path = {self.log_path}\n"
                    "auth_verbose = yes\n"
                    "auth_failure_delay = 0\n"
                    # no growing delays for a client that fails
                    "service anvil {\n  unix_listener anvil-auth-penalty {\n"
                    "    mode = 0\n  }\n}\n"
                    "ssl = no\n")

    def command(self, *args):
        """doveconf(1) reads the file for others, that look for it in /usr/bin:
        so it must be the one to start them."""
        binaries = os.path.join(self.tree, "usr/bin")
        return [os.path.join(binaries, "doveconf"), "-c", self.config, "-e",
                *args]

    def hash(self, scheme, password):
        """What doveadm pw prints."""
        p = subprocess.run(
            self.command(os.path.join(self.tree, "usr/bin/doveadm"), "pw",
                         "-s", scheme, "-p", password), check=True,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
            env=environment(self.tree))
        return p.stdout.decode().strip()

    def start(self, wait_for):
        """Until the socket `wait_for` is there."""
        binary = os.path.join(self.tree, "usr/sbin/dovecot")
        with open(os.path.join(self.dir, "out"), "wb") as out:
            self.process = subprocess.Popen(  # pylint: disable=R1732
                self.command(binary, "-F", "-c", self.config),
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env=environment(self.tree))
        end = time.monotonic() + 20
        while not os.path.exists(wait_for):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"Dovecot does not start: {self.log()}")
            time.sleep(0.05)

    def log(self):
        text = ""
        for path in (os.path.join(self.dir, "out"), self.log_path):
            try:
                with open(path, encoding="utf-8", errors="replace") as f:
                    text += f.read()
            except OSError:
                pass
        return text

    def stop(self):
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None
        shutil.rmtree(os.path.join(self.dir, "base"), ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Provider(http.server.ThreadingHTTPServer):
    """Answers questions about tokens (RFC 7662); `tokens`: what it knows."""
    daemon_threads = True

    def __init__(self, tokens):
        super().__init__(("127.0.0.1", 0), ProviderHandler)
        self.tokens = tokens
        self.asked = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}/introspect"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class ProviderHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):  # pylint: disable=invalid-name
        size = min(int(self.headers.get("Content-Length", "0")), 65536)
        form = urllib.parse.parse_qs(self.rfile.read(size).decode("latin-1"))
        known = self.server.tokens.get(form.get("token", [""])[0],
                                       {"active": False})
        self.server.asked += 1
        body = json.dumps(known).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


# ---- SASL clients, for smtplib.SMTP.auth() ----

def plain(user, password):
    return lambda _=None: f"\0{user}\0{password}"


def oauthbearer(user, token):
    """RFC 7628 3.1; an error is answered with one byte (3.2.3)."""
    return lambda challenge=None: "\x01" if challenge else \
        f"n,a={user},\x01auth=Bearer {token}\x01\x01"


def xoauth2(user, token):
    return lambda challenge=None: "" if challenge else \
        f"user={user}\x01auth=Bearer {token}\x01\x01"


class Scram:
    """SCRAM-SHA-256 (RFC 5802, 7677) without channel binding.  `verified`:
    the server has shown that it knows the password too."""

    def __init__(self, user, password):
        self.user, self.password = user, password
        self.nonce = base64.b64encode(os.urandom(18)).decode()
        self.first = f"n={user},r={self.nonce}"
        self.proof_of_server = None
        self.verified = False

    @staticmethod
    def hmac(key, text):
        return hmac.new(key, text.encode(), hashlib.sha256).digest()

    def __call__(self, challenge=None):
        if challenge is None:
            return "n,," + self.first
        challenge = challenge.decode() if isinstance(challenge, bytes) \
            else challenge
        if self.proof_of_server is None:
            return self.final(challenge)
        self.verified = challenge == "v=" + self.proof_of_server
        return ""

    def final(self, server_first):
        parts = dict(p.split("=", 1) for p in server_first.split(","))
        if not parts["r"].startswith(self.nonce):
            raise RuntimeError("SCRAM: the nonce is not ours")
        salted = hashlib.pbkdf2_hmac(
            "sha256", self.password.encode(), base64.b64decode(parts["s"]),
            int(parts["i"]))
        bare = "c=biws,r=" + parts["r"]
        message = f"{self.first},{server_first},{bare}"
        key = self.hmac(salted, "Client Key")
        mask = self.hmac(hashlib.sha256(key).digest(), message)
        proof = bytes(a ^ b for a, b in zip(key, mask))
        self.proof_of_server = base64.b64encode(self.hmac(
            self.hmac(salted, "Server Key"), message)).decode()
        return bare + ",p=" + base64.b64encode(proof).decode()
