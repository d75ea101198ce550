"""Maven: the order of ``org.apache.maven.artifact.versioning.ComparableVersion``. Pure.

A version is a list of numbers, qualifiers and sub-lists (opened by a hyphen or by a change between digits and letters);
"null" tail items (0, "", ga, final, release) are dropped before a sub-list and at the end, and a missing item compares
as null. That last rule is why keys are a small class and not tuples.
Source: the POM reference, "Version Order Specification", and the class as Maven 3 shipped it. Two rules of the
specification that the old class missed are followed: ``release`` is null like ``ga``, and "1-ga-1" equals "1-1". Like
Maven's own, the order is total among versions whose words follow a hyphen or a digit; words after a dot ("1.v") can
form circles with them, which only matters to sorting, never to asking whether one version lies below another.
"""

from __future__ import annotations

import re
from functools import total_ordering

from immune.versions.base import Unparsable, VersionOrder, type_of_key

_QUALIFIERS = ("alpha", "beta", "milestone", "rc", "snapshot", "", "sp")
_RANK = {word: str(rank) for rank, word in enumerate(_QUALIFIERS)}
_RELEASE_RANK = _RANK[""]
_ALIASES = {"ga": "", "final": "", "release": "", "cr": "rc"}
_SHORT = {"a": "alpha", "b": "beta", "m": "milestone"}
_NULLS: tuple[object, ...] = (0, "", [])

# Comparing goes down as deep as versions are nested; real ones are a handful deep.
MAX_DEPTH = 60
_ALLOWED = re.compile(r"[^\s/\\:\"<>|?*\[\](),]+")
_LEADING_NUMBERS = re.compile(r"[vV]?([0-9]+(?:\.[0-9]+)*)", re.ASCII)
_PRERELEASE = re.compile(r"(?:^|[^a-z])(?:alpha|a|beta|b|milestone|m|rc|cr|snapshot|pre|preview|ea|dev)(?=$|[^a-z])")


def _word(text: str, before_digit: bool) -> str:
    if before_digit and len(text) == 1:
        text = _SHORT.get(text, text)
    return _ALIASES.get(text, text)


def _trim(items: list[object]) -> None:
    """Drop null items from the end, and those standing before a sub-list (ListItem.normalize)."""
    for index in range(len(items) - 1, -1, -1):
        if items[index] in _NULLS and not isinstance(items[index], bool):
            del items[index]
        elif not isinstance(items[index], list):
            break


def _parse(version: str) -> list[object]:
    text = version.lower()
    top: list[object] = []
    current = top
    opened = [top]
    start = 0
    digits = False

    def item(piece: str, numeric: bool) -> object:
        return int(piece) if numeric else _word(piece, before_digit=False)

    def deeper() -> None:
        nonlocal current
        inner: list[object] = []
        current.append(inner)
        current = inner
        opened.append(inner)

    for index, char in enumerate(text):
        if char == ".":
            current.append(0 if index == start else item(text[start:index], digits))
            start = index + 1
        elif char == "-":
            current.append(0 if index == start else item(text[start:index], digits))
            start = index + 1
            deeper()
        elif char in "0123456789":
            if not digits and index > start:
                current.append(_word(text[start:index], before_digit=True))
                start = index
                deeper()
            digits = True
        else:
            if digits and index > start:
                current.append(int(text[start:index]))
                start = index
                deeper()
            digits = False
    if len(text) > start:
        current.append(item(text[start:], digits))
    for items in reversed(opened):
        _trim(items)
        if items is not top and len(items) == 1 and isinstance(items[0], list):
            # "1-ga-1" is "1-1": what is left of a list whose other items were null is its sub-list.
            items[:] = items[0]
    return top


def _depth(items: list[object]) -> int:
    depth = 0
    level = [items]
    while level:
        depth += 1
        level = [inner for outer in level for inner in outer if isinstance(inner, list)]
    return depth


def _sign(left: object, right: object) -> int:
    return 0 if left == right else -1 if left < right else 1  # type: ignore[operator]


def _qualifier(word: str) -> str:
    # Known qualifiers by rank ("0".."6"); unknown ones after all known, by their letters.
    return _RANK.get(word, f"{len(_QUALIFIERS)}-{word}")


def _against_null(item: object) -> int:
    if isinstance(item, int):
        return 0 if item == 0 else 1
    if isinstance(item, str):
        return _sign(_qualifier(item), _RELEASE_RANK)
    for inner in item:  # type: ignore[attr-defined]
        if (result := _against_null(inner)) != 0:
            return result
    return 0


# Which kind wins when two differ: a number over a list over a qualifier ("1.1" > "1-1" > "1-sp").
_KIND = {int: 2, list: 1, str: 0}


def _order(left: object, right: object) -> int:
    if isinstance(left, list) and isinstance(right, list):
        for index in range(max(len(left), len(right))):
            if index >= len(left):
                result = -_against_null(right[index])
            elif index >= len(right):
                result = _against_null(left[index])
            else:
                result = _order(left[index], right[index])
            if result != 0:
                return result
        return 0
    if type(left) is not type(right):
        return _sign(_KIND[type(left)], _KIND[type(right)])
    if isinstance(left, str) and isinstance(right, str):
        return _sign(_qualifier(left), _qualifier(right))
    return _sign(left, right)


def _frozen(item: object) -> object:
    return tuple(_frozen(inner) for inner in item) if isinstance(item, list) else item


@total_ordering
class MavenKey:
    """A parsed version; equal keys hash alike, as a list trimmed of its null items is the canonical form."""

    __slots__ = ("items",)

    def __init__(self, items: list[object]) -> None:
        self.items = items

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MavenKey) and _order(self.items, other.items) == 0

    def __lt__(self, other: MavenKey) -> bool:
        return _order(self.items, other.items) < 0

    def __hash__(self) -> int:
        return hash(_frozen(self.items))

    def __repr__(self) -> str:
        return f"MavenKey({self.items!r})"


class MavenOrder(VersionOrder):
    ecosystem = "Maven"
    purl_type = "maven"
    zeros_end_nothing = True

    def parse(self, version: str) -> type_of_key:
        text = version.strip()
        if not _ALLOWED.fullmatch(text):
            raise Unparsable(version, "not a Maven version")
        key = MavenKey(_parse(text))
        if _depth(key.items) > MAX_DEPTH:
            raise Unparsable(version, f"more than {MAX_DEPTH} parts within each other")
        return key

    def is_prerelease(self, version: str) -> bool:
        self.key(version)
        return _PRERELEASE.search(version.lower()) is not None

    def release(self, version: str) -> tuple[int, ...]:
        self.key(version)
        match = _LEADING_NUMBERS.match(version.strip())
        return tuple(int(part) for part in match[1].split(".")) if match else ()

    def purl_parts(self, name: str) -> tuple[str, str]:
        group, colon, artifact = name.partition(":")
        return (group, artifact) if colon else ("", name)
