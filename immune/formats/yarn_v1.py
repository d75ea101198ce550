"""yarn.lock of Yarn 1: a format of its own, neither YAML nor JSON. Pure.

Source: ``@yarnpkg/lockfile`` (its ``parse.js`` and ``stringify.js``). Each entry's key lists the wishes it answers
(``name@range``); which of them the project itself has, its package.json tells, read when it stands beside the lock.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NoReturn

from immune.formats import limits
from immune.formats.graph import standings
from immune.formats.npm_spec import REASONS, resolved_origin, wish
from immune.formats.package_json import asked_beside
from immune.formats.rows import Rows
from immune.inventory import Inventory, Origin, Reader, Unreadable

FORMAT = "yarn.lock"
HEADER = "# yarn lockfile v1"
_WORD = re.compile(r'"(?:[^"\\\n]|\\.)*"|[^\s",:]+(?::[^\s",:]+)*')
_CONFLICT = ("<<<<<<<", "=======", ">>>>>>>")


@dataclass(slots=True)
class Entry:
    """One entry: the wishes it answers and its properties, each with the texts after its name."""

    line: int
    keys: list[str]
    values: dict[str, str] = field(default_factory=dict)
    wishes: dict[str, str] = field(default_factory=dict)


def parse(text: str, *, path: str, read: Reader) -> Inventory:
    """Every entry. Raises Unreadable when the text is not a Yarn 1 lock file or holds a merge conflict."""
    limits.check_size(path, text)
    rows = Rows(format=FORMAT, path=path, ecosystem="npm")
    found = list(entries(path, text))
    if not found and HEADER not in text:
        raise Unreadable(path, "neither entries nor Yarn's header: not a yarn.lock")
    by_key: dict[str, int] = {}
    for at, entry in enumerate(found):
        for key in entry.keys:
            if key in by_key:
                rows.refuse(entry.line, f"{limits.shown(key)} stands in two entries")
            by_key[key] = at
    edges = {
        at: [by_key[f"{name}@{wanted}"] for name, wanted in entry.wishes.items() if f"{name}@{wanted}" in by_key]
        for at, entry in enumerate(found)
    }
    asked = asked_beside(path, read)
    roots = {
        scope: [by_key[f"{name}@{wanted}"] for name, wanted in wishes.items() if f"{name}@{wanted}" in by_key]
        for scope, wishes in (asked[0] if asked else {}).items()
    }
    names = [identity(entry) for entry in found]
    known = standings(edges, roots, lambda at: names[at][1])
    for at, entry in enumerate(found):
        raw, name, origin = names[at]
        standing = known[at]
        version = entry.values.get("version")
        # wishes of workspaces stand in package.json files this lock does not name: "not direct" cannot be said then
        direct = None if asked is None or (asked[1] and not standing.direct) else standing.direct
        rows.add(
            name,
            version,
            line=entry.line,
            raw_name=raw,
            requirement=", ".join(entry.keys),
            origin=origin,
            reason=REASONS[origin],
            scope=standing.scope,
            direct=direct,
            path=standing.path,
            hashes=tuple(entry.values.get("integrity", "").split()),
        )
    return rows.inventory()


def identity(entry: Entry) -> tuple[str, str, Origin]:
    """The name it is asked for by, the package's own name, and where it comes from."""
    raw, wanted = split_key(entry.keys[0])
    found = wish(raw, wanted)
    version = entry.values.get("version", "")
    origin = found.origin
    if origin is Origin.REGISTRY:
        origin = resolved_origin(entry.values.get("resolved", ""), found.name, version)
    return raw, found.name, origin


def split_key(key: str) -> tuple[str, str]:
    """``name@wish`` in its two parts; a scope's own ``@`` is part of the name."""
    at = key.find("@", 1)
    return (key, "") if at == -1 else (key[:at], key[at + 1 :])


def entries(path: str, text: str) -> Iterable[Entry]:
    """Every entry in its order. Raises Unreadable."""
    entry: Entry | None = None
    section = ""
    for number, raw in enumerate(limits.without_mark(text).split("\n"), 1):
        line = raw.rstrip("\r")
        body = line.strip()
        if not body or body.startswith("#"):
            continue
        if body.startswith(_CONFLICT):
            raise Unreadable(path, f"line {number}: a merge conflict")
        if len(line) > limits.MAX_LINE:
            raise Unreadable(path, f"line {number}: longer than {limits.MAX_LINE} characters")
        indent = len(line) - len(line.lstrip(" "))
        words, ended = _words(path, number, body)
        if indent == 0 and ended and words:
            if entry:
                yield entry
            entry, section = Entry(number, words), ""
        elif entry and indent == 2 and ended and len(words) == 1:
            section = words[0]
        elif entry and indent == 2 and not ended and len(words) == 2:
            section = ""
            _once(path, number, entry.values, words)
        elif entry and indent == 4 and section and not ended and len(words) == 2:
            if section in {"dependencies", "optionalDependencies"}:
                entry.wishes[words[0]] = words[1]
        else:
            _stop(path, number)
    if entry:
        yield entry


def _once(path: str, number: int, values: dict[str, str], words: list[str]) -> None:
    if words[0] in values:
        raise Unreadable(path, f"line {number}: {limits.shown(words[0])} stands twice in one entry")
    values[words[0]] = words[1]


def _words(path: str, number: int, body: str) -> tuple[list[str], bool]:
    """The words of a line, quotes taken off, and whether it ends with a colon."""
    found: list[str] = []
    at = 0
    while at < len(body):
        if body[at] in " ,":
            at += 1
        elif body[at] == ":" and at == len(body) - 1:
            return found, True
        elif match := _WORD.match(body, at):
            found.append(_unquoted(path, number, match[0]))
            at = match.end()
        else:
            _stop(path, number)
    return found, False


def _unquoted(path: str, number: int, word: str) -> str:
    if not word.startswith('"'):
        return word
    try:
        return str(json.loads(word))
    except ValueError:
        _stop(path, number)


def _stop(path: str, number: int) -> NoReturn:
    raise Unreadable(path, f"line {number}: not understood as a Yarn 1 lock file")
