"""Messages to sign, in the forms that an MTA may still edit after its filter,
and the check that what was delivered is what was signed.

What an MTA will break must not be signed, or the log must say so: each form
says which fields are then not in h=, and the warning.
"""
import json
import re

from daemon import Daemon, mailseal
from material import Key, crlf, dkimpy_verifies, key_record
from mta import submit

DOMAIN = "example.com"
DATE = "Date: Tue, 03 Nov 2026 10:00:00 +0000\n"
FROM = "From: alice@example.com\n"
TO = "To: rcpt@example.net\n"
MIME = "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
BODY = b"Hello,\r\n\r\n.dot and  spaces \r\nbye\r\n"
UNQUALIFIED = "an address without domain is not signed"
REWRITTEN = "a list of addresses that the MTA may rewrite is not signed"
ODD_FROM = "the MTA may rewrite the From field and so break the signature"


class Form:
    """A message; `head` is all but the fields that are added here.

    `warning`: in the log; {limit} is replaced.  `unsigned`: a name that is not
    in h=.  `broken`: the MTA breaks it, so the warning must be there.
    `only`: the MTA that gives that warning; others give none and sign all.
    """

    def __init__(self, name, head=FROM + TO + DATE, body=BODY, warning=None,
                 unsigned=None, broken=False, only=None, message_id=True):
        self.name, self.warning, self.unsigned = name, warning, unsigned
        self.broken, self.only = broken, only
        head = head.encode("utf-8") if isinstance(head, str) else head
        head += f"X-Form: {name}.\nSubject: {name}\n".encode()
        if message_id:
            head += f"Message-ID: <{name}@example.com>\n".encode()
        self.data = crlf(head) + b"\r\n" + body


def to(name, value, **kw):
    return Form(name, f"{FROM}To: {value}\n{DATE}", **kw)


def author(name, value, **kw):
    return Form(name, f"From: {value}\n{TO}{DATE}", **kw)


def extra(name, fields, **kw):
    return Form(name, FROM + TO + DATE + fields, **kw)


def names_and_addresses():
    many = [f"user{n}@example.net" for n in range(12)]
    long_names = ", ".join(f"User N. {n} <{a}>" for n, a in enumerate(many))
    sendmail = {"warning": REWRITTEN, "unsigned": "To", "only": "sendmail"}
    return [
        author("from-tab", "\talice@example.com"),
        author("from-spaces", "  alice@example.com  \t"),
        author("from-fold", "\n alice@example.com"),
        author("from-name", "Alice  Doe <alice@example.com>"),
        author("from-quoted", '"Doe,  Alice" <alice@example.com>'),
        author("from-escapes", '"A \\"x\\" Doe" <alice@example.com>'),
        author("from-encoded", "=?utf-8?q?J._D?= <alice@example.com>"),
        author("from-8bit", "Al\u00efce <alice@example.com>"),
        author("from-dot", "Alice B. Doe <alice@example.com>"),
        author("from-apostrophe", "Al O'Doe<alice@example.com>"),
        author("from-comment", "alice@example.com(Alice  Doe)"),
        author("from-comment-first", "(A. Doe)alice@example.com"),
        author("from-comments", "A (B. C) D <alice@example.com> (here)"),
        author("from-inner-space", "Alice < alice @ example.com >"),
        author("from-long", "Alice " * 30 + "<alice@example.com>"),
        author("from-two", "alice@example.com,bob@example.com\n"
               "Sender: alice@example.com"),
        author("from-mixed", '"A" B. <alice@example.com>', warning=ODD_FROM,
               broken=True, only="sendmail"),
        to("to-no-space", "a@example.net,b@example.net"),
        to("to-spaces", "a@example.net ,   b@example.net,"),
        to("to-fold", "a@example.net\n , b@example.net,\n\tc@example.net"),
        to("to-many", ",".join(many)),
        to("to-names", f'"B, C" <b@example.net>,{long_names}'),
        to("to-fold-in-name", '"A long\n name" <a@example.net>'),
        to("to-empty", ""),
        to("to-dot-end", "a@example.net."),
        to("to-group", "undisclosed-recipients:;"),
        to("to-group-space", "undisclosed-recipients: ;"),
        to("to-group-members", "Friends: a@example.net,b@example.net;",
           **sendmail),
        to("to-route", "<@x.example:a@example.net>", **sendmail),
        to("to-paren", "A) <a@example.net>", **sendmail),
        to("to-unqualified", "bob, x@example.net", warning=UNQUALIFIED,
           unsigned="To", only="sendmail"),
        extra("cc-unqualified", "Cc: bob\n", warning=UNQUALIFIED,
              unsigned="Cc", only="sendmail"),
        extra("cc-empty", "Cc:\n"),
        extra("sender", "Sender: Bob B.<bob@example.com>\n"),
        extra("reply-to", "Reply-To: a@example.com,b@example.com\n"),
        Form("resent", "Resent-From: Bob <bob@example.com>\n"
             "Resent-To: a@example.net,b@example.net\n"
             "Resent-Date: Tue, 03 Nov 2026 11:00:00 +0000\n"
             "Resent-Message-ID: <r@example.com>\n" + FROM + TO + DATE),
        Form("resent-some", "Resent-From: bob@example.com\n"
             "Resent-To: a@example.net\n" + FROM + TO + DATE),
    ]


def other_fields():
    ids = [f"<{'r' * 60}.{n}@example.net>" for n in range(38)]
    long_field = {"warning": "a field with a line longer than {limit} bytes "
                  "is not signed"}
    return [
        Form("plain"),
        Form("no-date-no-id", FROM + TO, message_id=False),
        Form("no-to", FROM + DATE),
        extra("bcc-bare", "Bcc:\n"),
        extra("bcc", "Bcc: hidden@example.net\n"),
        Form("dropped", "Return-Path: <x@example.com>\nFull-Name: Alice\n"
             "Content-Length: 12\n" + FROM + TO + DATE),
        extra("list", "List-Id:  A  list <list.example.com>\nErrors-To: x@y\n"
              "List-Unsubscribe: <mailto:x@example.com>,<https://a.example/>"
              "\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\n"
              "Precedence: list\nMailing-List: x\n"),
        extra("space-at-end", "In-Reply-To:  <a@example.com> \t\n"),
        Form("date-odd", FROM + TO + "Date:  Tue,  3 Nov 2026 10:00:00 GMT "
             "(UTC) \nMessage-ID:  < a@example.com > \n", message_id=False),
        extra("references", "References:\n " + "\n ".join(ids) + "\n"),
        extra("references-line", "References: " + " ".join(ids) + "\n",
              unsigned="References", **long_field),
        extra("field-990", f"In-Reply-To: {'y' * 977}\n"),
        extra("field-1200", f"In-Reply-To: {'y' * 1187}\n",
              unsigned="In-Reply-To", **long_field),
        extra("fold-blank", "In-Reply-To: <a@b>\n \n\t\n <c@d>\n \n"),
        Form("field-latin1", (FROM + TO + DATE).encode() +
             b"In-Reply-To: gr\xfc\xdfe\n"),
        extra("field-utf8", "In-Reply-To: gr\u00fc\u00dfe\n"),
    ]


def line(n):
    return b"x" * n + b"\r\nend\r\n"


def bodies():
    long_line = {"warning": "a body line is longer than {limit} bytes",
                 "broken": True}
    return [
        extra("body-8bit", MIME + "Content-Transfer-Encoding: 8bit\n",
              body="gr\u00fc\u00dfe\r\n".encode()),
        Form("body-8bit-unlabelled", body=b"gr\xfc\xdfe \xff\x80\r\n"),
        Form("body-dots", body=b".\r\n..\r\n.x\r\n...\r\n"),
        Form("body-from", body=b"From here\r\n\r\nFrom there\r\n>From\r\n"),
        Form("body-blank", body=b"\r\n\r\n\r\n"),
        Form("body-spaces", body=b"x \t \r\n \r\n\t\r\n\r\n\r\n"),
        Form("body-empty", body=b""),
        Form("body-control", body=b"a\x01\x08\x0c\x7f\x1a\r\n"),
        Form("body-900", body=line(900)),
        Form("body-990", body=line(990)),
        Form("body-998", body=line(998), only="sendmail", **long_line),
        Form("body-999", body=line(999), **long_line),
        Form("body-1200", body=line(1200), **long_line),
        Form("body-3000", body=line(3000), **long_line),
        extra("mime", "MIME-Version: 1.0\n"
              "Content-Type: multipart/mixed;\n\tboundary=\"=_b\"\n",
              body=b"pre\r\n--=_b\r\nContent-Type: text/plain\r\n\r\nhi\r\n"
              b"--=_b\r\nContent-Type: application/octet-stream\r\n"
              b"Content-Transfer-Encoding: base64\r\n\r\n" +
              (b"AAECAwQF/+8=" * 6 + b"\r\n") * 40 + b"--=_b--\r\n"),
    ]


class Signer:
    """A daemon that signs for example.com with two keys."""

    def __init__(self, tap, limit):
        self.t, self.limit = tap, limit
        self.files = Daemon(start=False)
        rsa = Key(self.files.dir, "rsa")
        ed = Key(self.files.dir, "ed", "ed25519")
        fresh = Key(self.files.dir, "fresh", "ed25519")
        self.files.write("fresh.pem.state", "new since 2026-11-24T08:00:00Z\n")
        keys = {"r": rsa, "e": ed}
        self.zone = self.files.write("keys.zone", "".join(
            key_record(DOMAIN, s, k) for s, k in keys.items()))
        self.records = {f"{s}._domainkey.{DOMAIN}": k.record()
                        for s, k in keys.items()}
        self.daemon = Daemon(
            authserv_id="mx.mta.test", internal=(),
            listeners=[("submission", "outbound")],
            domains={DOMAIN: [(s, k.path) for s, k in keys.items()],
                     "new.example": [("f", fresh.path)]})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.daemon.close()
        self.files.close()

    def problems(self, data):
        """Who does not verify what was delivered."""
        _, out, err = mailseal("verify", "--ip", "127.0.0.1", "--from", "<>",
                               "--zone", self.zone, "--json", stdin=data)
        try:
            ours = [s["result"] for s in json.loads(out)["dkim"]]
        except (ValueError, KeyError):
            ours = [err]
        theirs = dkimpy_verifies(data, self.records)
        return [text for text, good in (
            (f"mailseal: {ours}", ours == ["pass", "pass"]),
            (f"dkimpy: {theirs}", theirs == [True, True])) if not good]

    def lines(self, queue_id):
        """(the line of the message, the warnings without time)."""
        mine = [line for line in self.daemon.log().splitlines()
                if f" {queue_id}: " in line]
        warnings = [re.sub(r".*?: warning: \S+: (.*) ms=\d+$", r"\1", line)
                    for line in mine if ": warning: " in line]
        return [line for line in mine if ": warning: " not in line], warnings

    def check_log(self, name, queue_id, warning):
        info, warnings = self.lines(queue_id)
        self.t.is_([len(info), warnings], [1, [warning] if warning else []],
                   f"{name}: one line, and the warning", *info)
        self.t.has(info[0] if info else "",
                   f" signed={DOMAIN}/r,{DOMAIN}/e ms=",
                   f"{name}: signed with both keys")

    def check(self, mta, form, reply, m):
        """One form, sent and delivered."""
        name = form.name
        affected = form.only in (None, mta)
        warning = form.warning if affected else None
        problems = self.problems(m.data)
        if affected and form.broken:
            self.t.ok(problems, f"{name}: is broken on the way", m.data)
        else:
            self.t.is_(problems, [], f"{name}: verifies", form.data, m.data)
        if affected and form.unsigned:
            names = [re.findall(r"[ ;]h=([^;]*);", v)[0].replace(" ", "")
                     .lower().split(":") for v in m.all("DKIM-Signature")]
            self.t.ok(len(names) == 2 and not any(
                form.unsigned.lower() in v for v in names),
                f"{name}: {form.unsigned} is not signed", names)
        self.check_log(name, queue_id_of(reply),
                       warning and warning.format(limit=self.limit))

    def run(self, mta, name, forms, port):
        replies = {}
        for form in forms:
            code, text = submit(port, form.data, f"alice@{DOMAIN}")
            if self.t.is_(code, 250, f"{form.name}: accepted", text):
                replies[form] = text
        for form, text in replies.items():
            m = mta.sink.wait_for(f"X-Form: {form.name}.\r\n")
            if m is None:
                self.t.ok(False, f"{form.name}: delivered", mta.log()[-3000:])
            else:
                self.check(name, form, text, m)

    def new_keys(self, mta):
        """A domain whose keys are all new is not signed yet."""
        data = crlf(f"From: a@new.example\n{TO}{DATE}X-Form: new.\n\nx\n")
        code, text = submit(mta.submission_port, data, "a@new.example")
        self.t.is_(code, 250, "new keys: accepted", text)
        m = mta.sink.wait_for("X-Form: new.\r\n")
        self.t.is_(m.all("DKIM-Signature"), [], "new keys: not signed")
        info, warnings = self.lines(queue_id_of(text))
        self.t.is_(warnings, [], "new keys: no warning")
        self.t.has(info[0], 'from=new.example client=127.0.0.1 '
                   'direction=outbound(listener) tls=none signed=no '
                   'why="no key of the author domain is active" ms=',
                   "new keys: the log says why")


def queue_id_of(reply):
    """Of "2.0.0 Ok: queued as ID" or "2.0.0 ID Message accepted ..."."""
    found = re.search(r"queued as (\w+)|2\.0\.0 (\w+) Message", reply)
    return (found.group(1) or found.group(2)) if found else "?"
