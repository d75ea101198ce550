"""The unified diff of one edited file, as git writes it: what a reviewer sees and `git apply` takes. Pure."""

from __future__ import annotations

import difflib

_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\t": "\\t",
    "\n": "\\n",
    "\v": "\\v",
    "\f": "\\f",
    "\r": "\\r",
    '"': '\\"',
    "\\": "\\\\",
}


def diff(path: str, before: str, after: str) -> str:
    """Git's unified diff from ``before`` to ``after``; empty when they are equal.

    Lines end at ``\\n`` only, as git sees them: a carriage return or a form feed belongs to its line and survives.
    """
    if before == after:
        return ""
    old, new = _quoted(f"a/{path}"), _quoted(f"b/{path}")
    out = [f"diff --git {old} {new}\n", f"--- {_ended(old)}\n", f"+++ {_ended(new)}\n"]
    body = difflib.unified_diff(_lines(before), _lines(after), lineterm="\n")
    for line in list(body)[2:]:  # its own two file headers would carry no quoting
        out.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return "".join(out)


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    last = lines.pop()
    return [line + "\n" for line in lines] + ([last] if last else [])


def _quoted(path: str) -> str:
    """Git's core.quotePath form: quoted, with escapes, when a byte is outside plain printable ASCII."""
    if all(32 <= ord(c) < 127 and c not in '"\\' for c in path):
        return path
    out = []
    for c in path:
        if c in _ESCAPES:
            out.append(_ESCAPES[c])
        elif 32 <= ord(c) < 127:
            out.append(c)
        else:
            out.extend(f"\\{byte:03o}" for byte in c.encode("utf-8", "surrogateescape"))
    return '"' + "".join(out) + '"'


def _ended(name: str) -> str:
    # git ends an unquoted name holding a space with a tab, so that the name's end is known
    return name + "\t" if " " in name and not name.startswith('"') else name
