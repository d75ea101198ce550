"""Who brings a pinned package in, as the comments of a compiled requirements file say. Pure.

``pip-compile`` and ``uv pip compile`` write ``# via`` after each pin: the packages that ask for it, or ``-r FILE``
where a person did. Older pip-compile wrote nothing for what a person asked for. A file without any such comment says
nothing, and everything it names counts as asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from packaging.utils import canonicalize_name

from immune.formats.graph import collected, standings
from immune.formats.requirements_lines import LogicalLine
from immune.inventory import Dependency, Scope


def with_origins(
    path: str, text: str, lines: Sequence[LogicalLine], dependencies: Sequence[Dependency]
) -> list[Dependency]:
    """The dependencies of the file at ``path`` with ``direct`` and ``path`` by its comments; others as they are."""
    said = _said(text, lines)
    mine = [one for one in dependencies if one.manifest == path]
    if not any(said.get(one.line or 0) for one in mine):
        return list(dependencies)
    asked = {one.name for one in mine if _by_a_person(said.get(one.line or 0, []))}
    by_parent: dict[str, list[str]] = {}
    for one in mine:
        for parent in said.get(one.line or 0, []):
            by_parent.setdefault(canonicalize_name(parent), []).append(one.name)
    edges = collected(path, ((one.name, by_parent.get(one.name, ())) for one in mine))
    known = standings(edges, {Scope.UNKNOWN: [one.name for one in mine if one.name in asked]}, lambda name: name)
    return [
        replace(one, direct=one.name in asked, path=known[one.name].path) if one.manifest == path else one
        for one in dependencies
    ]


def _by_a_person(parents: list[str]) -> bool:
    """Asked for by a file (``-r x.in``, ``project (pyproject.toml)``), or, in the older form, by nobody named."""
    return not parents or any(one.startswith("-r") or one.endswith(")") for one in parents)


def _said(text: str, lines: Sequence[LogicalLine]) -> dict[int, list[str]]:
    """By the first line of each requirement: what stands after its ``# via``."""
    found: dict[int, list[str]] = {}
    starts = {line.number: line for line in lines}
    at, listing = 0, False
    for number, raw in enumerate(text.splitlines(), 1):
        if number in starts:
            at, listing = number, False
            comment = starts[number].comment
            if comment.startswith("#"):
                listing = _take(found, at, comment[1:].strip(), listing=False)
            continue
        body = raw.strip()
        if at and body.startswith("#"):
            listing = _take(found, at, body[1:].strip(), listing=listing)
    return found


def _take(found: dict[int, list[str]], at: int, words: str, *, listing: bool) -> bool:
    """Adds what one comment line says; returns whether the next one may go on listing."""
    if words == "via" or words.startswith("via "):
        found.setdefault(at, []).extend(one.strip() for one in words[3:].split(",") if one.strip())
        return True
    if listing and words:
        found.setdefault(at, []).append(words)
        return True
    return False
