"""Asks a daemon for its metrics, over TCP or a unix socket.

    m = Scrape(endpoint)                # "127.0.0.1:9879", "unix:/path"
    m["mailseal_messages_total", "inbound", "accepted"]     # of the labels
    m.names                             # every metric that it tells
"""
import re
import socket

SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\.)*)"(?:,|$)')


def dial(endpoint, timeout=20):
    if endpoint.startswith("unix:"):
        s = socket.socket(socket.AF_UNIX)
        address = endpoint[5:]
    else:
        host, _, port = endpoint.rpartition(":")
        v6 = host.startswith("[")
        s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET)
        address = (host.strip("[]"), int(port))
    s.settimeout(timeout)
    try:
        s.connect(address)
    except OSError:
        s.close()
        raise
    return s


def http(endpoint, path="/metrics", method="GET", more="", timeout=20):
    """(status, header, text)"""
    with dial(endpoint, timeout) as s:
        s.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n"
                  .encode())
        got = b""
        while part := s.recv(65536):
            got += part
    head, _, text = got.decode().partition("\r\n\r\n")
    return int(head.split()[1]), head, text


class Scrape(dict):
    """(name, label values in their order) -> number"""

    def __init__(self, endpoint=None, text=None):
        super().__init__()
        if text is None:
            status, self.head, text = http(endpoint)
            if status != 200:
                raise RuntimeError(f"status {status}: {text}")
        self.text, self.types, self.helps, self.bad = text, {}, {}, []
        for line in text.splitlines():
            self._take(line)

    def _take(self, line):
        if m := re.match(r"# (HELP|TYPE) (\S+) (.+)$", line):
            (self.types if m[1] == "TYPE" else self.helps)[m[2]] = m[3]
            return
        m = SAMPLE.match(line)
        labels = LABEL.findall(m[2] or "") if m else []
        key = m and (m[1], *(v for _, v in labels))
        if not m or key in self or \
                ",".join(f'{k}="{v}"' for k, v in labels) != (m[2] or ""):
            self.bad.append(line)
        else:
            self[key] = float(m[3])

    def __missing__(self, key):
        return self[(key,)] if isinstance(key, str) else 0.0

    @property
    def names(self):
        return set(self.types)

    def sum(self, name, *begin):
        return sum(v for k, v in self.items()
                   if k[:1 + len(begin)] == (name, *begin))

    def since(self, before):
        """What grew, without what did not, and without times."""
        return {k: int(v - before.get(k, 0)) for k, v in self.items()
                if k[0].endswith("_total") and v != before.get(k, 0) and
                not k[0].startswith("process_")}

    def histogram(self, name, label):
        """([(bound, number)] as told, sum, count)"""
        rows = [(k[2], v) for k, v in self.items()
                if k[:2] == (name + "_bucket", label)]
        return rows, self[name + "_sum", label], self[name + "_count", label]
