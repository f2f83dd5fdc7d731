"""The MTA's side of the milter protocol (version 6), for tests.

A Connection negotiates and exchanges packets; a Session plays SMTP stages on
it, with macros, and knows which steps the milter declined or does not answer.
Session.message() plays one whole message and applies the returned edits, so
that the outcome holds the bytes that an MTA would deliver.  The rules for
indexes and spaces are those of Postfix 3.7, or of Sendmail 8.17 with
mta="sendmail", as both were measured.

    with Connection("unix:/run/x.sock") as c:
        s = Session(c)
        s.connect("192.0.2.1", name="mx.example")
        s.helo("mx.example")
        outcome = s.message(data, "<a@example.org>", ["<b@example.net>"])

It is a client for tests: it trusts nothing that the milter sends, reports
breaches in Connection.problems, and waits for nothing without a time limit.
"""
import ipaddress
import socket
import struct

# actions (what a milter may change)
ADDHDRS, CHGBODY, ADDRCPT, DELRCPT = 0x1, 0x2, 0x4, 0x8
CHGHDRS, QUARANTINE, CHGFROM, ADDRCPT_PAR = 0x10, 0x20, 0x40, 0x80
SETSYMLIST = 0x100
ALL_ACTIONS = 0x1FF

# protocol (what a milter does not want, and does not answer)
NO_STEP = {"C": 0x1, "H": 0x2, "M": 0x4, "R": 0x8, "B": 0x10, "L": 0x20,
           "N": 0x40, "U": 0x100, "T": 0x200}
NO_REPLY = {"C": 0x1000, "H": 0x2000, "M": 0x4000, "R": 0x8000, "T": 0x10000,
            "U": 0x20000, "N": 0x40000, "B": 0x80000, "L": 0x80}
SKIP = 0x400
RCPT_REJ = 0x800
LEADSPC = 0x100000
ALL_PROTOCOL = 0x1FFFFF

SYMLIST_STAGE = {0: "C", 1: "H", 2: "M", 3: "R", 4: "T", 5: "E", 6: "N"}
CHUNK = 65535
EDITS = {"h": "addheader", "i": "insheader", "m": "chgheader",
         "b": "replbody", "q": "quarantine", "+": "addrcpt", "-": "delrcpt",
         "2": "addrcpt_par", "e": "chgfrom"}
# an edit needs the action that the milter asked for
NEEDED_ACTION = {"h": ADDHDRS, "i": ADDHDRS, "m": CHGHDRS, "b": CHGBODY,
                 "q": QUARANTINE, "+": ADDRCPT, "-": DELRCPT,
                 "2": ADDRCPT_PAR, "e": CHGFROM}
VERDICTS = {"a": "accept", "c": "continue", "d": "discard", "r": "reject",
            "t": "tempfail", "y": "replycode", "s": "skip", "f": "conn_fail"}


class MilterError(Exception):
    """The milter closed, hung or broke the protocol."""


class MilterClosed(MilterError):
    pass


class MilterTimeout(MilterError):
    pass


def dial(address, timeout):
    """Connects to unix:/path, local:/path or inet:port@host."""
    kind, _, rest = address.partition(":")
    if kind in ("unix", "local"):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(timeout)
        try:
            s.connect(rest)
        except OSError:
            s.close()
            raise
        return s
    port, _, host = rest.partition("@")
    s = socket.create_connection((host or "127.0.0.1", int(port)), timeout)
    # as Postfix, which writes the packets of a step at once: what waits for
    # an acknowledgement is then the other side alone
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


class Connection:
    """Packets and the negotiation."""

    def __init__(self, address, timeout=20, version=6, actions=ALL_ACTIONS,
                 protocol=ALL_PROTOCOL, negotiate=True):
        self.problems = []
        self.timeout = timeout
        self.sock = dial(address, timeout)
        self.buffer = b""
        self.version = self.actions = self.protocol = 0
        self.symlist = {}
        if negotiate:
            self.negotiate(version, actions, protocol)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, command, data=b""):
        packet = struct.pack("!I", len(data) + 1) + command.encode() + data
        try:
            self.sock.sendall(packet)
        except socket.timeout:
            raise MilterTimeout(f"timeout sending {command}") from None
        except OSError as e:
            raise MilterClosed(f"milter closed at {command}: {e}") from None

    def _read(self, n, where):
        while len(self.buffer) < n:
            try:
                got = self.sock.recv(262144)
            except socket.timeout:
                raise MilterTimeout(f"timeout at {where}") from None
            except OSError as e:
                raise MilterClosed(f"milter closed at {where}: {e}") from None
            if not got:
                raise MilterClosed(f"milter closed at {where}")
            self.buffer += got
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def receive(self, where):
        """One packet: (letter, data)."""
        size = struct.unpack("!I", self._read(4, where))[0]
        if not 1 <= size <= 1 << 24:
            raise MilterError(f"packet of {size} bytes at {where}")
        packet = self._read(size, where)
        return chr(packet[0]), packet[1:]

    def negotiate(self, version, actions, protocol):
        self.send("O", struct.pack("!III", version, actions, protocol))
        letter, data = self.receive("negotiation")
        if letter != "O" or len(data) < 12:
            raise MilterError(f"no negotiation but {letter!r}")
        self.version, self.actions, self.protocol = \
            struct.unpack("!III", data[:12])
        if self.version > version:
            self.problems.append(f"version {self.version} > {version}")
        if self.actions & ~actions:
            self.problems.append("asks for actions that were not offered")
        if self.protocol & ~protocol & 0xFFFFFF:
            self.problems.append("asks for protocol that was not offered")
        self._read_symlist(data[12:])

    def _read_symlist(self, data):
        while len(data) >= 4:
            stage = struct.unpack("!I", data[:4])[0]
            names, nul, data = data[4:].partition(b"\0")
            if not nul or stage not in SYMLIST_STAGE:
                self.problems.append(f"bad macro list, stage {stage}")
                return
            self.symlist[SYMLIST_STAGE[stage]] = names.decode().split()

    def wants(self, step):
        return not self.protocol & NO_STEP.get(step, 0)

    def answers(self, step):
        return not self.protocol & NO_REPLY.get(step, 0)


class Reply:
    """The last word of the milter on one step."""

    def __init__(self, verdict, text=b""):
        self.verdict = verdict
        self.text = text.rstrip(b"\0").decode("utf-8", "backslashreplace")

    @property
    def goes_on(self):
        return self.verdict in ("continue", "skip")

    def __repr__(self):
        return f"{self.verdict} {self.text}".strip()


CONTINUE = Reply("continue")


class Outcome:
    """One message: verdict, edits in their order, and the edited message."""

    def __init__(self, reply, stage):
        self.reply = reply
        self.verdict = reply.verdict
        self.stage = stage  # letter of the step that decided
        self.edits = []
        self.quarantine = None
        self.sender = None
        self.rcpts = []
        self.headers = []
        self.body = b""
        self.own_received = None
        self.leadspc = True

    def fields(self, name):
        """Values of that name, top down, unfolded and stripped."""
        return [" ".join(v.split()) for n, v in self.headers
                if n.lower() == name.lower()]

    def field(self, name):
        found = self.fields(name)
        return found[0] if found else None

    @property
    def message(self):
        """The bytes an MTA would deliver, lines ended by CRLF, without the
        MTA's own Received."""
        out = [f"{n}:{v}".encode("utf-8", "surrogateescape")
               .replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + b"\r\n"
               for n, v in self.headers if v is not self.own_received]
        return b"".join(out) + b"\r\n" + self.body


def split_message(data):
    """(header fields as (name, raw value with LF folds), body).

    A field's value keeps its leading space.  The first line that is no field
    begins the body, as both MTAs have it.
    """
    fields, at = [], 0
    while at < len(data):
        end = data.find(b"\r\n", at)
        end = len(data) if end < 0 else end
        line, after = data[at:end], min(end + 2, len(data))
        if not line:
            return fields, data[after:]
        if line[:1] in b" \t" and fields:
            fields[-1][1] += b"\n" + line
        else:
            name, colon, value = line.partition(b":")
            stripped = name.rstrip(b" \t")
            if not colon or not stripped or \
                    any(not 33 <= c <= 126 for c in stripped):
                return fields, data[at:]
            fields.append([stripped, value])
        at = after
    return fields, b""


def text(raw):
    return raw.decode("utf-8", "surrogateescape")


def raw(value):
    if isinstance(value, bytes):
        return value
    return value.encode("utf-8", "surrogateescape")


class Session:
    """One SMTP session over a negotiated Connection."""

    def __init__(self, connection, mta="postfix", macros=None):
        self.c = connection
        self.mta = mta
        self.macros = {stage: dict(m) for stage, m in (macros or {}).items()}
        self.queue_id = None
        self.skip_body = False

    # ---- steps -----------------------------------------------------------
    def _send_macros(self, step):
        values = dict(self.macros.get(step, {}))
        if self.queue_id and step in "MRTLNBE":
            if self.mta == "postfix" or step == "M":
                values.setdefault("i", self.queue_id)
        wanted = self.c.symlist.get(step)
        if wanted is not None:
            values = {k: v for k, v in values.items() if k in wanted}
        if not values:
            return
        data = step.encode()
        for name, value in values.items():
            data += raw(name) + b"\0" + raw(value) + b"\0"
        self.c.send("D", data)

    def step(self, command, data=b"", edits=None):
        """Sends one step, unless the milter declined it; waits for the
        answer, unless it gives none."""
        if not self.c.wants(command):
            return CONTINUE
        if command not in "LB":
            self._send_macros(command)
        self.c.send(command, data)
        if not self.c.answers(command):
            return CONTINUE
        return self.answer(command, edits)

    def answer(self, command, edits=None):
        while True:
            letter, data = self.c.receive(f"step {command}")
            if letter == "p":
                continue
            if letter in EDITS:
                if edits is None:
                    self.c.problems.append(f"{EDITS[letter]} at {command}")
                elif not self.c.actions & NEEDED_ACTION[letter]:
                    self.c.problems.append(f"{EDITS[letter]} without action")
                else:
                    edits.append(self._parse_edit(letter, data))
                continue
            if letter not in VERDICTS:
                raise MilterError(f"answer {letter!r} at {command}")
            if letter == "s" and command != "B":
                self.c.problems.append(f"skip at {command}")
            return Reply(VERDICTS[letter], data)

    @staticmethod
    def _parse_edit(letter, data):
        name = EDITS[letter]
        if letter == "b":
            return (name, data)
        if letter in "im":
            if len(data) < 4:
                raise MilterError(f"short {name}")
            index = struct.unpack("!I", data[:4])[0]
            parts = data[4:].split(b"\0")
            if len(parts) != 3:
                raise MilterError(f"bad strings in {name}")
            return (name, index, text(parts[0]), text(parts[1]))
        parts = data.split(b"\0")
        return (name, *[text(p) for p in parts[:-1]])

    def connect(self, address, name=None, port=25025):
        """`address`: an IP address, "unix:/path", or None for unknown."""
        if name is None:
            name = f"[{address}]"
        head = raw(name) + b"\0"
        if address is None:
            return self.step("C", head + b"U")
        if address.startswith("unix:"):
            return self.step("C", head + b"L" + struct.pack("!H", 0) +
                             raw(address[5:]) + b"\0")
        ip = ipaddress.ip_address(address)
        shown = str(ip)
        if ip.version == 6 and self.mta == "sendmail":
            shown = "IPv6:" + ":".join(f"{int(g, 16):x}"
                                       for g in ip.exploded.split(":"))
        return self.step("C", head + (b"4" if ip.version == 4 else b"6") +
                         struct.pack("!H", port) + raw(shown) + b"\0")

    def helo(self, name):
        return self.step("H", raw(name) + b"\0")

    def mail(self, sender, *parameters):
        self.skip_body = False
        return self.step("M", b"".join(raw(a) + b"\0"
                                       for a in (sender, *parameters)))

    def rcpt(self, rcpt, *parameters):
        return self.step("R", b"".join(raw(a) + b"\0"
                                       for a in (rcpt, *parameters)))

    def data(self):
        return self.step("T")

    def header(self, name, value):
        """`value`: with its leading space and LF folds."""
        value = raw(value)
        if not self.c.protocol & LEADSPC and value[:1] == b" ":
            value = value[1:]
        return self.step("L", raw(name) + b"\0" + value + b"\0")

    def end_of_header(self):
        return self.step("N")

    def body(self, chunk):
        if self.skip_body:
            return CONTINUE
        reply = self.step("B", chunk)
        if reply.verdict == "skip":
            self.skip_body = True
        return reply

    def end_of_message(self, edits):
        return self.step("E", b"", edits)

    def abort(self):
        self.c.send("A")

    def quit(self):
        self.c.send("Q")

    # ---- a whole message -------------------------------------------------
    def message(self, data, sender, rcpts, queue_id="4TESTid",
                own_received=True, abort=None, parameters=()):
        """Plays MAIL to end of message.

        `data`: bytes, CRLF lines (or a pair of fields and body).  `abort`: the
        letter of a step before which the MTA gives up with ABORT.
        `parameters`: of MAIL.
        """
        fields, body = split_message(data) if isinstance(data, bytes) else data
        rcpts = list(rcpts)
        early = self.mta == "sendmail"
        self.queue_id = queue_id if early else None
        steps = [("M", lambda: self.mail(sender, *parameters))]
        for n, r in enumerate(rcpts):
            steps.append(("R", lambda r=r, n=n: self._rcpt(r, n, queue_id)))
        steps.append(("T", lambda: self._data(queue_id)))
        steps += [("L", lambda f=f: self.header(*f)) for f in fields]
        steps.append(("N", self.end_of_header))
        steps += [("B", lambda o=o: self.body(body[o:o + CHUNK]))
                  for o in range(0, len(body), CHUNK)]
        for letter, play in steps:
            if letter == abort:
                self.abort()
                return Outcome(Reply("aborted"), letter)
            reply = play()
            if not reply.goes_on:
                outcome = Outcome(reply, letter)
                return self._finish(outcome, fields, body, sender, rcpts,
                                    own_received)
        if abort == "E":
            self.abort()
            return Outcome(Reply("aborted"), "E")
        edits = []
        reply = self.end_of_message(edits)
        outcome = Outcome(reply, "E")
        outcome.edits = edits
        return self._finish(outcome, fields, body, sender, rcpts,
                            own_received)

    def _rcpt(self, rcpt, n, queue_id):
        if n == 1:
            self.queue_id = queue_id
        return self.rcpt(rcpt)

    def _data(self, queue_id):
        self.queue_id = queue_id
        return self.data()

    def _finish(self, outcome, fields, body, sender, rcpts, own_received):
        outcome.leadspc = bool(self.c.protocol & LEADSPC)
        outcome.sender, outcome.rcpts = sender, rcpts
        outcome.body = body
        outcome.headers = [(text(n), text(v)) for n, v in
                           (f[:2] for f in fields)]
        if own_received:
            received = " from client by mx.test; Thu, 1 Jan 1970 00:00:00 GMT"
            outcome.own_received = received
            outcome.headers.insert(0, ("Received", received))
        Editor(outcome, self.mta).apply()
        if self.mta == "postfix":  # after every message, finished or not
            self.abort()
        return outcome


class Editor:
    """Applies a milter's edits to an Outcome the way the MTA does."""

    def __init__(self, outcome, mta):
        self.o = outcome
        self.mta = mta
        self.dead = []  # Sendmail keeps the places of deleted fields
        self.new_body = None

    def apply(self):
        for edit in self.o.edits:
            getattr(self, "_" + edit[0])(*edit[1:])
        self.o.headers = [h for h in self.o.headers
                          if not any(h is d for d in self.dead)]
        if self.new_body is not None:
            self.o.body = self.new_body

    def _value(self, value):
        return value if self.o.leadspc else " " + value

    def _addheader(self, name, value):
        headers, new = self.o.headers, (name, self._value(value))
        if self.mta == "sendmail":
            for n, h in enumerate(headers):
                if h[0].lower() == name.lower():
                    headers.insert(n, new)
                    return
        headers.append(new)

    def _insheader(self, index, name, value):
        if self.mta == "sendmail":  # it counts default fields of its own
            index = 0 if index <= 8 else index - 8
        index = min(index, len(self.o.headers))
        self.o.headers.insert(index, (name, self._value(value)))

    def _chgheader(self, index, name, value):
        seen = 0
        for n, h in enumerate(self.o.headers):
            if h[0].lower() != name.lower() or h[1] is self.o.own_received:
                continue
            seen += 1
            if seen != max(index, 1):
                continue
            if value:
                kept = h[0] if self.mta == "sendmail" else name
                self.o.headers[n] = (kept, self._value(value))
            elif self.mta == "sendmail":
                self.dead.append(h)
            else:
                del self.o.headers[n]
            return
        if value:
            self._addheader(name, value)

    def _replbody(self, data):
        self.new_body = (self.new_body or b"") + data

    def _quarantine(self, reason):
        self.o.quarantine = reason

    def _chgfrom(self, sender, *_):
        self.o.sender = sender

    def _addrcpt(self, rcpt, *_):
        self.o.rcpts.append(rcpt)

    _addrcpt_par = _addrcpt

    def _delrcpt(self, rcpt):
        if rcpt in self.o.rcpts:
            self.o.rcpts.remove(rcpt)


def standard_macros(mta="postfix", address="192.0.2.1", name=None,
                    login=None, daemon="smtpd", tls=None, resolve=None):
    """The macros per step, in the spelling of the MTA.  `resolve`: Sendmail's
    {client_resolve}, by itself OK with a name and FAIL without."""
    name = name or f"[{address}]"
    host = "unknown" if name.startswith("[") else name
    under = f"{host} [{address}]" if mta == "postfix" else name
    macros = {
        "C": {"j": "mx.test", "{daemon_name}": daemon, "_": under,
              "{client_addr}": address, "{client_name}": name},
        "H": {},
        "M": {"{mail_addr}": "", "{mail_mailer}": "smtp"},
    }
    if mta == "postfix":
        macros["C"]["v"] = "Postfix 3.7.11"
    else:
        macros["C"]["v"] = "8.17.1.9"
        macros["C"]["{client_resolve}"] = \
            resolve or ("FAIL" if name.startswith("[") else "OK")
    if tls:
        macros["H"].update({"{tls_version}": tls,
                            "{cipher}": "TLS_AES_256_GCM_SHA384",
                            "{cipher_bits}": "256"})
    if login:
        macros["M"].update({"{auth_type}": "PLAIN", "{auth_authen}": login})
    return macros


def send_message(address, data, sender, rcpts=("<rcpt@example.net>",),
                 client="192.0.2.1", name=None, helo="client.example",
                 login=None, daemon="smtpd", mta="postfix", port=25025,
                 resolve=None, timeout=30, macros=None, **kw):
    """One session with one message: the Outcome, with problems noted.
    `macros`: others at MAIL, {"{tls_version}": "TLSv1.3"}."""
    with Connection(address, timeout=timeout) as c:
        shown = client or "127.0.0.1"
        values = standard_macros(mta, shown, name, login, daemon,
                                 resolve=resolve)
        values["M"].update(macros or {})
        s = Session(c, mta, values)
        s.connect(client, name, port)
        if helo is not None:
            s.helo(helo)
        outcome = s.message(data, sender, rcpts, **kw)
        outcome.problems = c.problems
        if outcome.verdict not in ("reject", "tempfail"):
            s.quit()
        return outcome
