"""A reader of Authentication-Results for tests (RFC 8601 2.2).

Written from the grammar and independent of the program under test: what the
program writes must parse here, and mean what was expected.
"""
import re


def tokens(value):
    """Yields (kind, text): "word", "string", or one of ";" "=" "." "/"."""
    at, n = 0, len(value)
    while at < n:
        c = value[at]
        if c in " \t\r\n":
            at += 1
        elif c == "(":
            depth = 0
            while at < n:
                if value[at] == "\\":
                    at += 1
                elif value[at] == "(":
                    depth += 1
                elif value[at] == ")":
                    depth -= 1
                at += 1
                if depth == 0:
                    break
            if depth:
                raise ValueError("open comment")
        elif c == '"':
            m = re.compile(r'"((?:[^"\\]|\\.)*)"', re.S).match(value, at)
            if not m:
                raise ValueError("open string")
            yield "string", re.sub(r"\\(.)", r"\1", m.group(1))
            at = m.end()
        elif c in ";=":
            yield c, c
            at += 1
        else:
            m = re.compile(r'[^\s();="]+').match(value, at)
            yield "word", m.group()
            at = m.end()


class Result:
    def __init__(self, method, result):
        self.method, self.result = method, result
        self.reason = None
        self.props = []

    def prop(self, name):
        for n, v in self.props:
            if n == name:
                return v
        return None

    def __repr__(self):
        return f"{self.method}={self.result} {self.props}"


class Authres:
    """authserv_id and results; ValueError when it is not well formed."""

    def __init__(self, value):
        sections, current = [], []
        for kind, text in tokens(value):
            if kind == ";":
                sections.append(current)
                current = []
            else:
                current.append((kind, text))
        sections.append(current)
        head = sections.pop(0)
        if not head or head[0][0] not in ("word", "string"):
            raise ValueError("no authserv-id")
        self.authserv_id = head[0][1]
        if len(head) > 2 or (len(head) == 2 and not head[1][1].isdigit()):
            raise ValueError("bad version")
        self.results = []
        if len(sections) == 1 and sections[0] == [("word", "none")]:
            return
        for s in sections:
            self.results.append(self._section(s))

    @staticmethod
    def _section(section):
        pairs, at = [], 0
        while at < len(section):
            # a value may hold "=" only in a string, or base64 at its end
            if at + 2 >= len(section) or section[at + 1][0] != "=" or \
                    section[at][0] != "word":
                raise ValueError(f"no name=value in {section}")
            name, value = section[at][1], section[at + 2][1]
            at += 3
            while at < len(section) and section[at][0] == "=":
                value += "="
                at += 1
            # an address with a quoted local-part
            if at < len(section) and section[at][1].startswith("@") and \
                    section[at - 1][0] == "string":
                value += section[at][1]
                at += 1
            pairs.append((name, value))
        if not pairs:
            raise ValueError("empty result")
        method, result = pairs[0]
        if not re.fullmatch(r"[A-Za-z0-9-]+(/\d+)?", method):
            raise ValueError(f"bad method {method!r}")
        r = Result(method.partition("/")[0].lower(), result)
        for name, value in pairs[1:]:
            if name == "reason":
                r.reason = value
            elif re.fullmatch(r"[a-z]+\.[A-Za-z0-9-]+", name):
                r.props.append((name, value))
            else:
                raise ValueError(f"bad property {name!r}")
        return r

    def all(self, method):
        return [r for r in self.results if r.method == method]

    def result(self, method, prop=None):
        """The result of a method (the one with that property), or None."""
        for r in self.all(method):
            if prop is None or r.prop(prop) is not None:
                return r.result
        return None
