"""Gemfile.lock (and gems.locked): every gem Bundler resolved. Pure.

Source: Bundler's ``lockfile_parser.rb``. ``DEPENDENCIES`` names what the Gemfile asks for; groups are not in the
lock. The same version for several platforms is one row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from immune.formats import limits
from immune.formats.graph import collected, standings
from immune.formats.rows import Rows
from immune.inventory import Inventory, Origin, Reader, Scope, Unreadable

FORMAT = "Gemfile.lock"
_SOURCES = {"GEM": Origin.REGISTRY, "GIT": Origin.GIT, "PATH": Origin.PATH, "PLUGIN SOURCE": Origin.URL}
_SECTIONS = frozenset({*_SOURCES, "PLATFORMS", "DEPENDENCIES", "RUBY VERSION", "BUNDLED WITH", "CHECKSUMS"})
# Bundler's NAME_VERSION: the platform follows the first dash of the version
_NAME_VERSION = re.compile(r"(?! )([^()]*?)(?: \(([^-()]*)(?:-([^()]*))?\))?(!)?(?: ([a-z0-9]+=[0-9a-zA-Z+/=,]*.*))?")


@dataclass(slots=True)
class _Gem:
    name: str
    version: str
    origin: Origin
    line: int
    wishes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Lock:
    gems: dict[tuple[str, str], _Gem] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)
    checksums: dict[tuple[str, str], list[str]] = field(default_factory=dict)


def parse(text: str, *, path: str, read: Reader) -> Inventory:
    """Every gem of every source. Raises Unreadable when no section of a Gemfile.lock is there, or at a merge
    conflict."""
    limits.check_size(path, text)
    rows = Rows(format=FORMAT, path=path, ecosystem="RubyGems")
    lock = _read(rows, text)
    by_name: dict[str, list[tuple[str, str]]] = {}
    for key in lock.gems:
        by_name.setdefault(key[0], []).append(key)
    edges = collected(
        path, ((key, (t for wish in gem.wishes for t in by_name.get(wish, ()))) for key, gem in lock.gems.items())
    )
    roots = {Scope.UNKNOWN: [key for name in lock.asked for key in by_name.get(name, ())]}
    known = standings(edges, roots, lambda key: key[0])
    for key, gem in lock.gems.items():
        rows.add(
            gem.name,
            gem.version,
            line=gem.line,
            requirement=lock.asked.get(gem.name, ""),
            origin=gem.origin,
            reason="" if gem.origin is Origin.REGISTRY else f"comes from {gem.origin.value}, not from the gem index",
            direct=known[key].direct,
            path=known[key].path,
            hashes=tuple(lock.checksums.get(key, ())),
        )
    return rows.inventory()


def _read(rows: Rows, text: str) -> _Lock:
    lock = _Lock()
    section = ""
    seen = False
    gem: _Gem | None = None
    for number, raw in enumerate(limits.without_mark(text).split("\n"), 1):
        line = raw.rstrip("\r").rstrip()
        if not line:
            continue
        if line.startswith(("<<<<<<<", "=======", ">>>>>>>")):
            raise Unreadable(rows.path, f"line {number}: a merge conflict")
        if not line.startswith(" "):
            section, gem = line, None
            seen = seen or section in _SECTIONS
            continue
        if len(line) > limits.MAX_STRING:
            rows.refuse(number, f"line longer than {limits.MAX_STRING} characters")
        elif section in _SOURCES:
            gem = _source_line(rows, lock, gem, line, number=number, origin=_SOURCES[section])
        elif section == "DEPENDENCIES" and (match := _NAME_VERSION.fullmatch(line.strip())):
            lock.asked[match[1]] = line.strip()
        elif section == "CHECKSUMS" and (match := _NAME_VERSION.fullmatch(line.strip())) and match[2] and match[5]:
            found = [one.replace("=", ":", 1) for one in match[5].split(",")]
            lock.checksums.setdefault((match[1], match[2]), []).extend(found)
    if not seen:
        raise Unreadable(rows.path, "no section of a Gemfile.lock")
    return lock


def _source_line(rows: Rows, lock: _Lock, gem: _Gem | None, line: str, *, number: int, origin: Origin) -> _Gem | None:
    """A line of a source: its settings stand two deep, gems four, what a gem asks for six."""
    indent = len(line) - len(line.lstrip(" "))
    body = line.strip()
    if indent == 2:
        if body.startswith("remote:") and origin is Origin.REGISTRY:
            rows.note(number, "index", body.removeprefix("remote:").strip())
        return None
    match = _NAME_VERSION.fullmatch(body)
    if indent == 6 and gem is not None and match:
        gem.wishes.append(match[1])
        return gem
    if indent == 4 and match and match[2]:
        return lock.gems.setdefault((match[1], match[2]), _Gem(match[1], match[2], origin, number))
    rows.refuse(number, f"not a gem with a version: {limits.shown(body)}")
    return None
