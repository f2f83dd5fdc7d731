"""Keys, DNS records and signed messages, made at the time of the test.

Keys come from openssl(1); signatures from dkimpy, which is an implementation
of its own: what it signs our verifier must accept, and the other way round.
Without dkimpy have_dkimpy() is false, and tests that need it skip.
"""
import base64
import os
import subprocess


def openssl(*args, stdin=None):
    return subprocess.run(["openssl", *args], input=stdin, check=True,
                          capture_output=True).stdout


class Key:
    """A private key in a PEM file."""

    def __init__(self, directory, name, kind="rsa", bits=2048):
        self.kind, self.name = kind, name
        self.path = os.path.join(directory, f"{name}.pem")
        if kind == "rsa":
            pem = openssl("genrsa", "-traditional", str(bits))
        else:
            pem = openssl("genpkey", "-algorithm", "ed25519")
        with open(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
                          0o600), "wb") as f:
            f.write(pem)
        self.pem = pem

    def public(self):
        """The p= tag: SPKI for RSA (RFC 6376 3.6.1), the bare 32 bytes for
        Ed25519 (RFC 8463 4)."""
        der = openssl("pkey", "-in", self.path, "-pubout", "-outform", "DER")
        if self.kind == "ed25519":
            der = der[-32:]
        return base64.b64encode(der).decode()

    def record(self, tags=""):
        return f"v=DKIM1; k={self.kind};{tags} p={self.public()}"

    def for_dkimpy(self):
        if self.kind == "rsa":
            return self.pem
        der = openssl("pkey", "-in", self.path, "-outform", "DER")
        return base64.b64encode(der[-32:])


def txt(name, value):
    """One zone line; a TXT of several strings when it is long."""
    parts = [value[n:n + 250] for n in range(0, len(value), 250)] or [""]
    return f"{name} TXT " + " ".join(f'"{p}"' for p in parts) + "\n"


def key_record(domain, selector, key, tags=""):
    return txt(f"{selector}._domainkey.{domain}", key.record(tags))


def have_dkimpy():
    try:
        import dkim  # noqa: F401  pylint: disable=import-outside-toplevel
        return True
    except ImportError:
        return False


def crlf(text):
    if isinstance(text, str):
        text = text.encode()
    return text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def sign(message, domain, selector, key, canon="relaxed/relaxed",
         headers=None, length=False, identity=None):
    """`message` with a signature by dkimpy above it."""
    import dkim  # pylint: disable=import-outside-toplevel
    parts = tuple(c.encode() for c in canon.split("/"))
    algorithm = b"rsa-sha256" if key.kind == "rsa" else b"ed25519-sha256"
    field = dkim.sign(message, selector.encode(), domain.encode(),
                      key.for_dkimpy(), canonicalize=parts, length=length,
                      signature_algorithm=algorithm,
                      identity=identity.encode() if identity else None,
                      include_headers=[h.encode() for h in headers]
                      if headers else None)
    return crlf(field) + message


def dkimpy_verifies(message, records):
    """One bool per DKIM-Signature field, top down; `records`: {name: TXT}."""
    import dkim  # pylint: disable=import-outside-toplevel

    def lookup(name, timeout=5):  # pylint: disable=unused-argument
        name = name.decode() if isinstance(name, bytes) else name
        value = records.get(name.rstrip(".").lower())
        return value.encode() if value is not None else None

    head = message.partition(b"\r\n\r\n")[0].lower()
    count = head.count(b"\r\ndkim-signature:") + \
        head.startswith(b"dkim-signature:")
    results = []
    for n in range(count):
        try:
            d = dkim.DKIM(message)
            results.append(bool(d.verify(idx=n, dnsfunc=lookup)))
        except dkim.DKIMException:
            results.append(False)
    return results
