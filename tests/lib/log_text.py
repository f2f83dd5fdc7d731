"""The text form of a line of the log, made of its JSON form by what
mailseald(8) says of it: what cannot be made of it would not be told there."""


def escaped(s, also='\\" '):
    b = s.encode()
    return "".join(chr(c) if 32 <= c < 127 and chr(c) not in also
                   else f"\\x{c:02x}" for c in b)


def spf(o):
    if o["result"] == "skipped":
        return "skipped" + (f"({o['reason']})" if "reason" in o else "")
    return o["result"] + (":" + o["domain"] if "domain" in o else "")


def dkim(o):
    s = o["result"]
    if "domain" in o:
        s += f":{o['domain']}/{o['selector']}"
    return s + (f" ({o['reason']})" if "reason" in o else "")


def gate(o):
    return o["result"] + (f"({o['reason']})" if "reason" in o else "")


def rule(o):
    return f"{o['name']}({o['action']})"


def tls(o):
    if o["version"] == "none":
        return "none"
    s = "/".join((escaped(o["version"]), escaped(o["cipher"]),
                  str(o["bits"])))
    if "cert" in o:
        s += f' cert="{escaped(o["cert"], also=chr(92) + chr(34))}"'
        s += f' issuer="{escaped(o["issuer"], also=chr(92) + chr(34))}"'
    return s


def seal(o):
    if "reason" in o:
        return f"no({o['reason']})"
    return f"{o['instance']}/{o['chain']}/{o['domain']}/{o['selector']}"


def preflight(rows):
    parts = []
    for word in ("bad", "unknown"):
        found = [f"{r['rule']}: {r['reason']}" for r in rows
                 if r["result"] == word]
        if found:
            parts.append(f"{word}({'; '.join(found)})")
    return ", ".join(parts) or "ok"


def awareness(o):
    s = ",".join(o["awareness"]) or "none"
    for more in ("awareness_warning", "awareness_drill"):
        s += f"({o[more]})" if more in o else ""
    return s


def bracket(o, name):
    return f"({o[name]})" if name in o else ""


def text_of(o):
    """The line, by what mailseald(8) says of it."""
    more = ",..." if o.get("cut") else ""
    out = o.get("direction") == "outbound"
    show = {
        "from": lambda v: (",".join(v) or ("" if out else "-"))
        + (more if v and len(",".join(v)) > 300 else ""),
        "mailfrom": escaped, "helo": escaped, "spf_helo": spf, "spf": spf,
        "iprev": lambda v: v["result"] + (":" + v["name"] if "name" in v
                                          else ""),
        "dkim": lambda v: (",".join(map(dkim, v)) or "none") +
        (more if len(",".join(map(dkim, v))) > 495 else ""),
        "arc": lambda v: v["result"] + (":" + v["sealer"] if "sealer" in v
                                        else "") +
        (f" ({v['reason']})" if "reason" in v else ""),
        "disposition": lambda v: v + bracket(o, "disposition_rule"),
        "dns": lambda v: f"{v['queries']}/{v['ms']}ms",
        "override": lambda v: f'"{v}"', "why": lambda v: f'"{v}"',
        "rule": rule, "would": lambda v: ",".join(map(rule, v)),
        "direction": lambda v: v + bracket(o, "direction_rule"),
        "login": escaped, "mechanism": escaped, "tls": tls,
        "class": lambda v: "+".join(v) or "none",
        "credential": gate, "limit": gate, "sender": gate,
        "login_check": gate, "tls_check": gate,
        "refused": lambda v: f"{v['code']}/{v['enhanced']}",
        "signed": lambda v: ",".join(f"{k['domain']}/{k['selector']}"
                                     for k in v) or "no",
        "preflight": preflight, "awareness": lambda v: awareness(o),
        "arc_seal": seal,
    }
    skip = {"time", "level", "event", "queue_id", "text", "action",
            "recipients", "size", "cut", "disposition_rule",
            "direction_rule", "awareness_warning", "awareness_drill"}
    label = {"info": "", "warn": "warning: ", "error": "error: "}[o["level"]]
    words = [o["text"]] if "text" in o else []
    words += [f"{k.replace('_check', '-check')}={show.get(k, str)(v)}"
              for k, v in o.items() if k not in skip]
    if "queue_id" not in o:
        s = " ".join(words) if "repeated" not in o else \
            f"{o['text']}: repeated {o['repeated']} times in " \
            f"{o['seconds']} s"
        return "mailseald: " + label + s
    return f"mailseald: {label}{escaped(o['queue_id'], also=chr(92))}: " + \
        " ".join(words)
