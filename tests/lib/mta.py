"""Private MTAs for tests: Postfix (installed) and Sendmail (unpacked only).

Each has its own configuration, queue and log in a private directory, listens
on loopback ports that were free, asks one milter, and relays everything to a
Sink of the test's own, where what was delivered is read.  Both need root: they
change to users of their own.  Nothing of an installed MTA is used or changed
but its binaries.
"""
import glob
import os
import shutil
import smtplib
import socket
import socketserver
import ssl
import subprocess
import tempfile
import threading
import time

USER, PASSWORD, REALM = "bob", "secret", "mta.test"


def free_port():
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port, alive, seconds=20):
    """Until something listens there; without a connection, which would begin
    a milter session."""
    want = f":{port:04X} 00000000:0000 0A"
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with open("/proc/net/tcp", encoding="ascii") as f:
            if want in f.read():
                return
        if not alive():
            break
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}")


class Delivered:
    def __init__(self, sender, rcpts, data):
        self.sender, self.rcpts, self.data = sender, rcpts, data

    @property
    def fields(self):
        """(name, unfolded value), top down."""
        out = []
        for line in self.data.partition(b"\r\n\r\n")[0].split(b"\r\n"):
            if line[:1] in (b" ", b"\t") and out:
                out[-1] = (out[-1][0], out[-1][1] + b" " + line.strip())
            else:
                name, _, value = line.partition(b":")
                out.append((name, value.strip()))
        return [(n.decode("latin-1"), v.decode("latin-1")) for n, v in out]

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]


class Sink(socketserver.ThreadingTCPServer):
    """An SMTP server that takes everything, but for recipients with "refuse"
    in their address.  `keywords`: of EHLO."""
    keywords = ("8BITMIME",)
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), SinkHandler)
        self.port = self.server_address[1]
        self.messages = []
        self.arrived = threading.Condition()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def wait_for(self, part, seconds=30):
        """The delivered message with these bytes in it, or None in time."""
        part = part.encode() if isinstance(part, str) else part
        end = time.monotonic() + seconds
        with self.arrived:
            while True:
                for m in self.messages:
                    if part in m.data:
                        return m
                left = end - time.monotonic()
                if left <= 0:
                    return None
                self.arrived.wait(left)


    def wait_rcpts(self, part, n, seconds=30):
        """Until messages with these bytes went to `n` recipients."""
        part = part.encode()
        with self.arrived:
            self.arrived.wait_for(
                lambda: sum(len(m.rcpts) for m in self.messages
                            if part in m.data) >= n, seconds)


class SinkHandler(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        sender, rcpts = "", []
        self.say("220 sink")
        ehlo = "\r\n".join(f"250-{k}" for k in ("sink", *self.server.keywords))
        while True:
            line = self.rfile.readline(65536).decode("latin-1").strip()
            verb = line[:4].upper()
            if verb in ("", "QUIT"):
                self.say("221 bye")
                return
            if verb == "MAIL":
                sender, rcpts = line[10:].split(" ")[0], []
            elif verb == "RCPT":
                rcpts.append(line[8:].split(" ")[0])
            if verb == "EHLO":
                self.say(ehlo + "\r\n250 HELP")
            elif verb == "RCPT" and "refuse" in rcpts[-1]:
                rcpts.pop()
                self.say("550 5.1.1 no such user")
            elif verb == "DATA":
                self.say("354 go on")
                self.take(sender, rcpts)
                self.say("250 taken")
            else:
                self.say("250 ok")

    def take(self, sender, rcpts):
        lines = []
        while True:
            line = self.rfile.readline()
            if line in (b".\r\n", b""):
                break
            lines.append(line[1:] if line[:1] == b"." else line)
        with self.server.arrived:
            self.server.messages.append(
                Delivered(sender, rcpts, b"".join(lines)))
            self.server.arrived.notify_all()


class Authority:
    """Certificates for TLS: a CA, and whom it vouches for (RFC 5280)."""

    def __init__(self, directory, name="Example CA"):
        self.dir, self.name = directory, name
        os.makedirs(directory, exist_ok=True)
        self.config = os.path.join(directory, "openssl.cnf")
        with open(self.config, "w", encoding="utf-8") as f:
            f.write("[req]\ndistinguished_name = dn\n[dn]\n"
                    "[ca]\nbasicConstraints = critical, CA:TRUE\n"
                    "[leaf]\nbasicConstraints = CA:FALSE\n")
        self.pem = self._make("ca", name, "ca")

    def _make(self, file, common_name, section, *options):
        """The path of a file with a key and its certificate."""
        path = os.path.join(self.dir, file + ".pem")
        key, cert = path + ".key", path + ".crt"
        subprocess.run(
            ["openssl", "req", "-x509", "-config", self.config, "-nodes",
             "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-days", "2", "-extensions", section, "-keyout", key,
             "-out", cert, "-subj", f"/O=Example/CN={common_name}", *options],
            check=True, stdin=subprocess.DEVNULL, capture_output=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600),
                  "wb") as out:
            for part in (key, cert):
                with open(part, "rb") as f:
                    out.write(f.read())
        return path

    def certificate(self, file, common_name):
        return self._make(file, common_name, "leaf",
                          "-CA", self.pem, "-CAkey", self.pem + ".key")

    def self_signed(self, file, common_name):
        return self._make(file, common_name, "leaf")

    def client(self, certificate=None, version=None):
        """What a client does TLS with; `version`: ssl.TLSVersion at most."""
        c = ssl.create_default_context(cafile=self.pem)
        c.check_hostname = False
        if version is not None:
            c.maximum_version = version
        if certificate:
            c.load_cert_chain(certificate)
        return c


class Client:
    """An SMTP connection; `login`: True for USER, or one with its realm, or
    EXTERNAL; `tls`: an ssl.SSLContext."""

    def __init__(self, port, xclient=None, login=False, helo="client.example",
                 tls=None):
        self.smtp = smtplib.SMTP("127.0.0.1", port, local_hostname=helo,
                                 timeout=60)
        try:
            self.begin(xclient, login, tls)
        except BaseException:
            self.smtp.close()
            raise

    def begin(self, xclient, login, tls):
        s = self.smtp
        s.ehlo()
        if xclient:
            code, text = s.docmd("XCLIENT", xclient)
            if code != 220:
                raise RuntimeError(f"XCLIENT: {code} {text}")
            s.ehlo()
        if tls:
            s.starttls(context=tls)
            s.ehlo()
        if login == "EXTERNAL":  # RFC 4422, appendix A
            code, text = s.docmd("AUTH", "EXTERNAL =")
            if code != 235:
                raise RuntimeError(f"EXTERNAL: {code} {text}")
        elif login:
            s.login(f"{USER}@{REALM}" if login is True else login, PASSWORD)

    def send(self, data, sender, rcpts=("rcpt@example.net",)):
        """One transaction; the final reply as (code, text)."""
        for step in [("MAIL", f"FROM:<{sender}>")] + \
                [("RCPT", f"TO:<{r}>") for r in rcpts]:
            code, text = self.smtp.docmd(*step)
            if code != 250:
                self.smtp.rset()
                return code, text.decode("utf-8", "replace")
        code, text = self.smtp.data(data)
        return code, text.decode("utf-8", "replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.smtp.quit()
        except smtplib.SMTPServerDisconnected:
            self.smtp.close()


def submit(port, data, sender, rcpts=("rcpt@example.net",), **connection):
    """One transaction of its own connection; (code, text)."""
    with Client(port, **connection) as c:
        return c.send(data, sender, rcpts)


class Mta:
    """`users`: who can log in, with PASSWORD.  `authority`: of the server's
    certificate, and of those of clients that it trusts; None: no TLS."""

    def __init__(self, name, users=(USER,), authority=None):
        self.users, self.authority = users, authority
        self.server_pem = authority and authority.certificate(
            "server", "mx.mta.test")
        self.dir = tempfile.mkdtemp(prefix=f"mailseal-{name}-")
        os.chmod(self.dir, 0o755)  # the mail system's users must get in
        self.sink = Sink()
        self.port, self.submission_port = free_port(), free_port()

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def make_sasl(self, conf, owner, mechanisms="PLAIN LOGIN"):
        """The users for AUTH; False when the tools are not there."""
        if not shutil.which("saslpasswd2"):
            return False
        db = os.path.join(self.dir, "sasldb2")
        self.write(conf, "pwcheck_method: auxprop\nauxprop_plugin: sasldb\n"
                         f"sasldb_path: {db}\nmech_list: {mechanisms}\n")
        for user in self.users:
            subprocess.run(["saslpasswd2", "-p", "-c", "-f", db, "-u", REALM,
                            user], input=PASSWORD.encode(), check=True,
                           capture_output=True)
        shutil.chown(db, owner)
        return True

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def start(self):
        raise NotImplementedError

    def stop(self):
        raise NotImplementedError

    def log(self):
        return ""

    def close(self):
        try:
            self.stop()
        finally:
            self.sink.shutdown()
            self.sink.server_close()
            shutil.rmtree(self.dir, ignore_errors=True)


# service, type, private, unprivileged, chroot, wakeup, limit, command
SERVICES = """\
pickup    unix n - n 1 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
tlsmgr    unix - - n 1000? 1 tlsmgr
smtp      unix - - n - - smtp
local     unix - n n - - local
scache    unix - - n - 1 scache
showq     unix n - n - - showq
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
anvil     unix - - n - 1 anvil
postlog   unix-dgram n - n - 1 postlogd
"""


class Postfix(Mta):
    """`more`: parameters instead of those below; None takes one out."""

    def __init__(self, milter, action="tempfail", more=(), **kw):
        super().__init__("postfix", **kw)
        self.milter, self.action, self.more = milter, action, dict(more)
        self.etc = os.path.join(self.dir, "etc")
        self.started = False
        self.has_auth = False

    @staticmethod
    def missing():
        """What keeps it from running, or None."""
        if os.geteuid() != 0:
            return "not root"
        if not os.path.exists("/usr/sbin/postfix"):
            return "no Postfix"
        return None

    def parameters(self):
        return {
            "compatibility_level": "3.6",
            "queue_directory": f"{self.dir}/spool",
            "data_directory": f"{self.dir}/data",
            "maillog_file": f"{self.dir}/maillog",
            "maillog_file_prefixes": self.dir,
            "myhostname": "mx.mta.test",
            "mydestination": "", "local_recipient_maps": "",
            "alias_maps": "", "alias_database": "",
            "inet_interfaces": "loopback-only", "inet_protocols": "all",
            "default_transport": f"smtp:[127.0.0.1]:{self.sink.port}",
            "smtp_dns_support_level": "disabled",
            "smtp_line_length_limit": "0",
            "smtpd_relay_restrictions":
                "check_client_access static:OK, reject",
            "smtpd_authorized_xclient_hosts": "127.0.0.0/8",
            "smtpd_client_connection_count_limit": "0",
            "smtpd_error_sleep_time": "0",
            "local_header_rewrite_clients": "",
            "smtpd_sasl_auth_enable": "yes" if self.has_auth else "no",
            "smtpd_sasl_path": "smtpd",
            "smtpd_sasl_local_domain": REALM,
            "smtpd_milters": self.milter, "non_smtpd_milters": self.milter,
            "milter_default_action": self.action,
        }

    def tls(self):
        if self.authority is None:
            return {}
        return {"smtpd_tls_security_level": "may",
                "smtpd_tls_chain_files": self.server_pem,
                "smtpd_tls_CAfile": self.authority.pem + ".crt",
                "smtpd_tls_ask_ccert": "yes"}

    def configuration(self):
        return "".join(
            f"{k} = {v}\n" for k, v in
            {**self.parameters(), **self.tls(), **self.more}.items()
            if v is not None)

    def master(self):
        return f"{self.port} inet n - n - - smtpd\n" \
               "  -o local_header_rewrite_clients=\n" \
               f"{self.submission_port} inet n - n - - smtpd\n" \
               "  -o milter_macro_daemon_name=submission\n" + SERVICES

    def start(self):
        for name in ("spool", "data"):
            os.makedirs(os.path.join(self.dir, name), exist_ok=True)
        shutil.chown(os.path.join(self.dir, "data"), "postfix")
        # Debian's build looks for smtpd.conf below the configuration
        self.has_auth = self.make_sasl("etc/sasl/smtpd.conf", "postfix")
        self.write("etc/main.cf", self.configuration())
        self.write("etc/master.cf", self.master())
        p = subprocess.run(["postfix", "-c", self.etc, "start"], check=False,
                           stdin=subprocess.DEVNULL, capture_output=True)
        if p.returncode != 0:
            raise RuntimeError(f"postfix: {p.stderr.decode()} {self.log()}")
        self.started = True
        wait_port(self.port, lambda: True)

    def stop(self):
        if self.started:
            subprocess.run(["postfix", "-c", self.etc, "stop"], check=False,
                           stdin=subprocess.DEVNULL, capture_output=True)
            self.started = False

    def sendmail(self, data, sender, rcpts=("rcpt@example.net",),
                 options=()):
        """Local submission with sendmail(1)."""
        return subprocess.run(
            ["/usr/sbin/sendmail", "-C", self.etc, *options, "-f", sender,
             *rcpts],
            input=data.replace(b"\r\n", b"\n"), check=False,
            capture_output=True, timeout=60)

    def log(self):
        try:
            with open(os.path.join(self.dir, "maillog"),
                      encoding="utf-8", errors="replace") as f:
                return f.read()
        except OSError:
            return ""


PACKAGES = ("sendmail-bin", "sendmail-base", "sendmail-cf")
BINARY = "usr/libexec/sendmail/sendmail"


def sendmail_tree(build):
    """Debian's Sendmail, unpacked below the build directory: its packages
    conflict with Postfix's.  (path, None) or (None, why not)."""
    if os.geteuid() != 0:
        return None, "not root"
    for tool in ("m4", "unshare"):
        if not shutil.which(tool):
            return None, f"no {tool}"
    tree = os.path.join(build, "sendmail-tree")
    if not os.path.exists(os.path.join(tree, BINARY)):
        os.makedirs(tree, exist_ok=True)
        try:
            p = subprocess.run(
                ["apt-get", "-qq", "-o", "APT::Sandbox::User=root",
                 "download", *PACKAGES], cwd=tree, check=False, timeout=120,
                stdin=subprocess.DEVNULL, capture_output=True)
        except (OSError, subprocess.TimeoutExpired) as e:
            return None, f"no download: {e}"
        for deb in glob.glob(os.path.join(tree, "*.deb")):
            subprocess.run(["dpkg", "-x", deb, tree], check=True)
        if not os.path.exists(os.path.join(tree, BINARY)):
            return None, "no download: " + \
                p.stderr.decode("utf-8", "replace").replace("\n", " ")[:200]
    libs = subprocess.run(["ldd", os.path.join(tree, BINARY)], check=False,
                          capture_output=True).stdout.decode()
    missing = [x.split()[0] for x in libs.splitlines() if "not found" in x]
    if missing:
        return None, f"libraries missing: {missing}"
    return tree, None


def define(name, value):
    return f"define(`{name}', `{value}')dnl\n"


class Sendmail(Mta):
    """`line_limit`: of the mailer; 990 is that of mail without a smart
    host.  AUTH is there with TLS only.  `aliases`: lines of aliases(5), of
    `local_domain`."""
    MECHANISMS = "PLAIN LOGIN EXTERNAL"

    def __init__(self, milter, tree, line_limit=2040, aliases="",
                 local_domain=None, **kw):
        super().__init__("sendmail", **kw)
        self.aliases, self.local_domain = aliases, local_domain
        self.milter, self.tree = milter, tree
        self.line_limit = line_limit
        self.process = None
        self.has_auth = False

    def tls(self):
        if self.authority is None:
            return ""
        return "".join(define(name, value) for name, value in {
            "confSERVER_CERT": self.server_pem,
            "confSERVER_KEY": self.server_pem,
            "confCACERT": self.authority.pem + ".crt",
            "confCACERT_PATH": self.dir, "confAUTH_REALM": REALM,
            "confAUTH_MECHANISMS": self.MECHANISMS}.items()) + \
            f"TRUST_AUTH_MECH(`{self.MECHANISMS}')dnl\n"

    def hook(self):
        """The lines that make it use the milter."""
        socket_path = self.milter.partition(":")[2]
        return f"DAEMON_OPTIONS(`Name=submission, Addr=127.0.0.1, " \
               f"Port={self.submission_port}')dnl\n" \
               f"INPUT_MAIL_FILTER(`mailseal', `S=local:{socket_path}, " \
               "F=T, T=C:30s;S:30s;R:30s;E:60s')dnl\n"

    def macros(self):
        out = "divert(0)dnl\n" + define("confDOMAIN_NAME", "mx.mta.test")
        out += define("MAIL_SETTINGS_DIR", self.dir + "/")
        out += "OSTYPE(`linux')dnl\n"
        for name, value in {
                "QUEUE_DIR": f"{self.dir}/spool",
                "STATUS_FILE": f"{self.dir}/statistics",
                "ALIAS_FILE": f"{self.dir}/aliases",
                "confPID_FILE": f"{self.dir}/sendmail.pid",
                "confSERVICE_SWITCH_FILE": f"{self.dir}/switch",
                "confCONTROL_SOCKET_NAME": "",
                "confDONT_BLAME_SENDMAIL": "TrustStickyBit",
                "confTO_IDENT": "0", "confTO_RESOLVER_RETRANS": "1s",
                "confTO_RESOLVER_RETRY": "1",
                "SMART_HOST": "relay:[127.0.0.1]",
                "RELAY_MAILER_LL": self.line_limit,
                "RELAY_MAILER_ARGS": f"TCP $h {self.sink.port}"}.items():
            out += define(name, value)
        out += self.tls()
        for feature in ("nocanonify", "promiscuous_relay", "no_default_msa",
                        "accept_unresolvable_domains",
                        "accept_unqualified_senders"):
            out += f"FEATURE(`{feature}')dnl\n"
        out += f"DAEMON_OPTIONS(`Name=smtpd, Addr=127.0.0.1, " \
               f"Port={self.port}')dnl\n"
        out += self.hook()
        if self.local_domain is not None:
            out += f"LOCAL_DOMAIN(`{self.local_domain}')dnl\n" \
                   "MAILER(`local')dnl\n"
        return out + "MAILER(`smtp')dnl\nLOCAL_CONFIG\n" \
            f"ESASL_CONF_PATH={self.dir}/sasl\n"

    def make_cf(self, mc):
        cf = os.path.join(self.tree, "usr/share/sendmail/cf/")
        return subprocess.run(
            ["m4", f"-D_CF_DIR_={cf}", cf + "m4/cf.m4", mc],
            check=True, capture_output=True).stdout.decode()

    def prepare(self):
        """Its files; run() starts it."""
        os.mkdir(os.path.join(self.dir, "spool"), 0o700)
        self.write("switch", "hosts files dns\n")
        self.write("aliases", self.aliases)
        self.has_auth = self.authority is not None and \
            self.make_sasl("sasl/Sendmail.conf", "root", self.MECHANISMS)
        mc = self.write("sendmail.mc", self.macros())
        self.write("sendmail.cf", self.make_cf(mc))
        if self.aliases:
            subprocess.run([os.path.join(self.tree, BINARY), "-C",
                            os.path.join(self.dir, "sendmail.cf"), "-bi"],
                           check=True, capture_output=True)

    def start(self):
        self.prepare()
        self.run()

    def run(self):
        # a host name without a dot costs a minute's sleep
        with open(os.path.join(self.dir, "out"), "wb") as out:
            self.process = subprocess.Popen(  # pylint: disable=R1732
                ["unshare", "--uts", "sh", "-c",
                 'hostname mx.mta.test; exec "$@"', "sh",
                 os.path.join(self.tree, BINARY), "-C",
                 os.path.join(self.dir, "sendmail.cf"), "-bD", "-q5s",
                 "-X", os.path.join(self.dir, "traffic")],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            wait_port(self.port, lambda: self.process.poll() is None)
        except RuntimeError as e:
            raise RuntimeError(f"{e}: {self.log()}") from None

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def log(self):
        text = ""
        for name in ("out", "traffic"):
            try:
                with open(os.path.join(self.dir, name), encoding="utf-8",
                          errors="replace") as f:
                    text += f.read()
            except OSError:
                pass
        return text
