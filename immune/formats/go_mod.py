"""go.mod: the modules a Go module requires. Pure.

Source: "go.mod file reference" (go.dev/ref/mod). From go 1.17 on the file lists indirect modules too, marked so;
which module brings them in it does not say. ``replace`` is applied: what is built is the replacement, so that is the
row, with the required module as ``raw_name``. go.sum is not read: it also holds versions that are not built.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from immune.formats import limits
from immune.formats.rows import Rows
from immune.inventory import Inventory, Origin, Reader, Unreadable

FORMAT = "go.mod"
_DIRECTIVES = frozenset(
    {"module", "go", "toolchain", "require", "replace", "exclude", "retract", "godebug", "tool", "ignore"}
)
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|`([^`]*)`|(=>)|([^\s"`]+)')
_VERSION = re.compile(r"v\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?")


@dataclass(frozen=True, slots=True)
class _Statement:
    line: int
    directive: str
    words: tuple[str, ...]
    comment: str


def parse(text: str, *, path: str, read: Reader) -> Inventory:
    """Every required module, replacements applied. Raises Unreadable when no line is a directive of go.mod."""
    limits.check_size(path, text)
    rows = Rows(format=FORMAT, path=path, ecosystem="Go")
    statements = list(_statements(limits.without_mark(text)))
    if not any(one.directive in _DIRECTIVES for one in statements):
        raise Unreadable(path, "no directive of a go.mod file")
    replaced = {}
    for one in statements:
        if one.directive == "replace":
            old, arrow, new = _replacement(one.words)
            if not arrow:
                rows.refuse(one.line, "a replace without =>")
            else:
                replaced[old] = new
        elif one.directive in {"go", "toolchain"} and one.words:
            rows.note(one.line, "toolchain", f"{one.directive} {one.words[0]}")
        elif one.directive not in _DIRECTIVES:
            rows.refuse(one.line, f"an unknown directive: {limits.shown(one.directive)}")
    for one in statements:
        if one.directive == "require":
            _require(rows, one, replaced)
    return rows.inventory()


_Module = tuple[str, str]  # path, version ("" for every version)


def _replacement(words: tuple[str, ...]) -> tuple[_Module, bool, _Module]:
    if "=>" not in words:
        return ("", ""), False, ("", "")
    at = words.index("=>")
    old, new = words[:at], words[at + 1 :]
    if not 1 <= len(old) <= 2 or not 1 <= len(new) <= 2:
        return ("", ""), False, ("", "")
    return (old[0], old[1] if len(old) > 1 else ""), True, (new[0], new[1] if len(new) > 1 else "")


def _require(rows: Rows, one: _Statement, replaced: dict[_Module, _Module]) -> None:
    if len(one.words) != 2:
        rows.refuse(one.line, f"not a module and a version: {limits.shown(' '.join(one.words))}")
        return
    name, version = one.words
    if not _VERSION.fullmatch(version):
        rows.refuse(one.line, f"{limits.shown(name)}: not a version: {limits.shown(version)}")
        return
    new = replaced.get((name, version)) or replaced.get((name, ""))
    requirement = f"{name} {version}" + (f" => {' '.join(new).strip()}" if new else "")
    origin, reason, used = Origin.REGISTRY, "", version
    if new and (new[0].startswith(("./", "../", "/")) or not new[1]):
        origin, reason, used = Origin.PATH, f"replaced by the folder {limits.shown(new[0])}", ""
    elif new:
        name, used = new
    direct = not re.match(r"//\s*indirect(?:;|\s|$)", one.comment)
    rows.add(
        name,
        used or None,
        line=one.line,
        reason=reason,
        raw_name=one.words[0],
        requirement=requirement,
        origin=origin,
        direct=direct,
    )


def _statements(text: str) -> Iterable[_Statement]:
    """Directives, those in parentheses one by one. A comment runs from ``//`` to the end of its line."""
    block = ""
    for number, raw in enumerate(text.split("\n"), 1):
        code, comment = _split_comment(raw)
        words = _words(code)
        if not words:
            continue
        if block:
            if words == (")",):
                block = ""
            else:
                yield _Statement(number, block, words, comment)
        elif len(words) > 1 and words[1].startswith("("):
            block = words[0]
            inside = (words[1][1:], *words[2:]) if words[1] != "(" else words[2:]
            if inside and inside[-1].endswith(")"):
                inside, closed = (*inside[:-1], inside[-1][:-1]), True
            else:
                closed = False
            if any(inside):
                yield _Statement(number, block, tuple(one for one in inside if one), comment)
            block = "" if closed else block
        else:
            yield _Statement(number, words[0], words[1:], comment)


def _split_comment(line: str) -> tuple[str, str]:
    at = line.find("//")
    # an address in a quoted word may hold slashes; module paths are quoted only where they must be
    while at > 0 and line[:at].count('"') % 2:
        at = line.find("//", at + 2)
    return (line, "") if at == -1 else (line[:at], line[at:])


def _words(code: str) -> tuple[str, ...]:
    return tuple(one[1] or one[2] or one[3] or one[4] or "" for one in _WORD.finditer(code[: limits.MAX_STRING]))
