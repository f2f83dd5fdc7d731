"""A sealer of ARC chains (RFC 8617 5.1) of the tests' own: relaxed/relaxed,
rsa-sha256, written after the RFC and not after mailseal.

    message = seal(message, "list.test", "s1", key, "dmarc=pass")

Any part can be made wrong: see the arguments of seal().
"""
import base64
import hashlib
import re

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

SIGNED = ("from", "to", "subject", "date", "message-id")


def fields_of(message):
    """[(name, value)] with folds, and the body."""
    head, _, body = message.partition(b"\r\n\r\n")
    out = []
    for line in head.split(b"\r\n"):
        if line[:1] in (b" ", b"\t") and out:
            out[-1][1] += b"\r\n" + line
        else:
            name, _, value = line.partition(b":")
            out.append([name, value])
    return out, body


def relaxed(name, value):
    value = re.sub(rb"[ \t]+", b" ", value.replace(b"\r\n", b"")).strip()
    return name.strip().lower() + b":" + value


def relaxed_body(body):
    lines = [re.sub(rb"[ \t]+", b" ", x).rstrip(b" ")
             for x in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(x + b"\r\n" for x in lines)


def sign(key, data):
    with open(key.path, "rb") as f:
        private = serialization.load_pem_private_key(f.read(), None)
    return base64.b64encode(private.sign(data, padding.PKCS1v15(),
                                         hashes.SHA256())).decode()


def instance_of(value):
    m = re.search(rb"\bi=(\d+)", value)
    return int(m[1]) if m else 0


def sets_of(fields):
    """{i: {kind: field}} of what is there."""
    out = {}
    for name, value in fields:
        if name.lower().startswith(b"arc-"):
            out.setdefault(instance_of(value), {})[name.lower()] = \
                (name, value)
    return out


def message_signature(key, domain, selector, i, fields, body, signed, more):
    text = f" {more}i={i}; a=rsa-sha256; c=relaxed/relaxed; d={domain}; " \
        f"s={selector}; h={':'.join(signed)};\r\n\tbh=" + base64.b64encode(
            hashlib.sha256(relaxed_body(body)).digest()).decode() + ";\r\n\tb="
    data, left = b"", list(fields)
    for name in signed:  # bottom up
        for at in range(len(left) - 1, -1, -1):
            if left[at][0].lower() == name.lower().encode():
                data += relaxed(*left.pop(at)) + b"\r\n"
                break
    data += relaxed(b"ARC-Message-Signature", text.encode())
    return (text + sign(key, data)).encode()


def seal(message, domain, selector, key, results, cv=None, i=None,
         signed=SIGNED, ams_tags="", as_tags=""):
    """`message` with one more set on top.  `cv`, `i`: else as they must be;
    `ams_tags`, `as_tags`: more tags, "x=1; "."""
    fields, body = fields_of(message)
    sets = sets_of(fields)
    i = i or len(sets) + 1
    cv = cv or ("none" if i == 1 else "pass")
    aar = f" i={i}; {domain}; {results}".encode()
    ams = message_signature(key, domain, selector, i, fields, body, signed,
                            ams_tags)
    text = f" {as_tags}i={i}; a=rsa-sha256; cv={cv}; d={domain}; " \
        f"s={selector};\r\n\tb="
    data = b""
    for n in sorted(sets):
        for kind in (b"arc-authentication-results", b"arc-message-signature",
                     b"arc-seal"):
            if kind in sets[n]:
                data += relaxed(*sets[n][kind]) + b"\r\n"
    data += relaxed(b"ARC-Authentication-Results", aar) + b"\r\n"
    data += relaxed(b"ARC-Message-Signature", ams) + b"\r\n"
    data += relaxed(b"ARC-Seal", text.encode())
    top = b"ARC-Seal:" + text.encode() + sign(key, data).encode() + b"\r\n"
    top += b"ARC-Message-Signature:" + ams + b"\r\n"
    return top + b"ARC-Authentication-Results:" + aar + b"\r\n" + message
