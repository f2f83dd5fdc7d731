"""ARC sets (RFC 8617) for tests, good and bad: made with openssl(1) from the
text of the RFC, not with the program under test.  What a Sealer makes by
default is a good set; what is given else is a fault.
"""
import base64
import hashlib
import re
import tempfile

from material import openssl

KINDS = (b"arc-authentication-results", b"arc-message-signature", b"arc-seal")


def digest_signature(key, data):
    """RFC 8301 and RFC 8463: SHA-256 of `data`, signed."""
    if key.kind == "rsa":
        return openssl("dgst", "-sha256", "-sign", key.path, stdin=data)
    with tempfile.NamedTemporaryFile() as f:
        f.write(hashlib.sha256(data).digest())
        f.flush()
        return openssl("pkeyutl", "-sign", "-rawin", "-inkey", key.path,
                       "-in", f.name)


def split(message):
    """(fields with their CRLF, top down; body)"""
    head, _, body = message.partition(b"\r\n\r\n")
    return re.findall(rb"[^\r\n]+(?:\r\n[ \t][^\r\n]*)*\r\n",
                      head + b"\r\n"), body


def name_of(field):
    return field.partition(b":")[0].strip().lower()


def relaxed(field):
    """RFC 6376 3.4.2, without the final CRLF."""
    name, _, value = field.partition(b":")
    value = re.sub(rb"[ \t]+", b" ", value.replace(b"\r\n", b"")).strip()
    return name.strip().lower() + b":" + value


def relaxed_body(body):
    """RFC 6376 3.4.4"""
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ")
             for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


def instance_of(field):
    found = re.search(rb"\bi\s*=\s*(\d+)", field)
    return int(found.group(1)) if found else 0


def sets_of(fields, up_to):
    """Fields of the sets below `up_to` in the order in which seals hash."""
    return [f for i in range(1, up_to) for kind in KINDS for f in fields
            if name_of(f) == kind and instance_of(f) == i]


def highest(fields):
    return max([instance_of(f) for f in fields if name_of(f) in KINDS] or [0])


class Sealer:
    def __init__(self, domain, selector, key):
        self.domain, self.selector, self.key = domain, selector, key

    def sign(self, data):
        return base64.b64encode(digest_signature(self.key, data))

    def tags(self, i, algorithm=None):
        algorithm = algorithm or f"{self.key.kind}-sha256"
        return f"i={i}; a={algorithm}; d={self.domain}; s={self.selector};"

    def signature(self, message, i, names="from:to:subject", more="",
                  canon="c=relaxed/relaxed;", algorithm=None, fold=""):
        """ARC-Message-Signature; `more`: other tags."""
        fields, body = split(message)
        hashed = hashlib.sha256(relaxed_body(body)).digest()
        text = (f"ARC-Message-Signature: {self.tags(i, algorithm)} {canon} "
                f"{more} h={names};{fold}\r\n bh="
                f"{base64.b64encode(hashed).decode()}; b=").encode()
        left, data = list(fields), []
        for name in names.lower().encode().split(b":"):
            for at in range(len(left) - 1, -1, -1):  # from the bottom up
                if name_of(left[at]) == name.strip():
                    data.append(relaxed(left.pop(at)) + b"\r\n")
                    break
        return text + self.sign(b"".join(data) + relaxed(text)) + b"\r\n"

    def seal_field(self, fields, i, own, cv, more="", algorithm=None):
        """ARC-Seal over the sets below `i` and the `own` two fields."""
        text = (f"ARC-Seal: {self.tags(i, algorithm)} cv={cv}; {more} b="
                ).encode()
        before = [] if cv == "fail" else sets_of(fields, i)
        data = b"".join(relaxed(f) + b"\r\n" for f in before + own)
        return text + self.sign(data + relaxed(text)) + b"\r\n"

    def seal(self, message, i=None, cv=None, results="mx.sealer.test; none",
             aar="ARC-Authentication-Results: i={i}; {results}\r\n",
             seal=None, **signature):
        """`message` with one more set on top of it."""
        fields, _ = split(message)
        i = i or highest(fields) + 1
        cv = cv or ("none" if i == 1 else "pass")
        own = [aar.format(i=i, results=results).encode(),
               self.signature(message, i, **signature)]
        top = self.seal_field(fields, i, own, cv, **(seal or {}))
        return top + own[1] + own[0] + message
