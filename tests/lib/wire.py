"""The milter protocol as bytes, for what no MTA would send, and fast: nothing
is answered but the end of the message, when all of NO_REPLY is negotiated.

    wire = message([(b"From", b" a@example.org")], body=[b"x\\r\\n"])
    outcome = play(daemon.address, [wire])      # verdict, edits, replies

It knows no stages: milter_client.Session is the MTA that keeps to them.
"""
import struct

import milter_client as mc

CLIENT = "192.0.2.10"
SENDER = b"<alice@example.org>"


def packet(letter, data=b""):
    return struct.pack("!I", len(data) + 1) + letter + data


END = packet(b"E")
ABORT = packet(b"A")


def envelope(sender=SENDER, rcpts=(b"<bob@example.net>",)):
    return packet(b"M", sender + b"\0") + \
        b"".join(packet(b"R", r + b"\0") for r in rcpts)


def header(fields):
    return b"".join(packet(b"L", n + b"\0" + v + b"\0") for n, v in fields) + \
        packet(b"N")


def message(fields, rcpts=(b"<bob@example.net>",), body=b"x\r\n",
            sender=SENDER):
    """From MAIL to the end."""
    return envelope(sender, rcpts) + header(fields) + packet(b"B", body) + END


def stream(fields, piece, n):
    """The same with a body of n times `piece`, none of it kept."""
    yield envelope() + header(fields)
    each = packet(b"B", piece)
    many = max(1, 262144 // len(each))
    for _ in range(n // many):
        yield each * many
    yield each * (n % many) + END


def begin(address, timeout=60):
    """A session after HELO: (connection, session)."""
    c = mc.Connection(address, timeout=timeout)
    s = mc.Session(c, macros=mc.standard_macros())
    s.connect(CLIENT)
    s.helo("h.example")
    return c, s


def play(address, wire, timeout=60):
    """One session with these pieces: (reply, edits)."""
    edits = []
    c, s = begin(address, timeout)
    with c:
        for piece in wire:
            c.sock.sendall(piece)
        reply = s.answer("E", edits)
        s.quit()
    return reply, edits
