"""Changing one exact pin in a requirements file, and nothing else in it. Pure.

Reads through the same logical lines as the parser, so what was parsed is what is edited. Comments, order, markers,
white space, line endings and the final newline stay; a pin with hashes gets the new ones in the old ones' layout.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from immune.formats import limits
from immune.formats.diff import diff
from immune.formats.requirements_lines import VARIABLE, LogicalLine, logical_lines
from immune.formats.requirements_txt import pinned, split_options

__all__ = ["CannotEdit", "change_pin", "diff"]

_SHA256 = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_HASH_OPTION = re.compile(r"(--hash(?:=|[ \t]+))(\S+)")
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_VERSION_CHARACTERS = re.compile(r"[A-Za-z0-9.!+_-]+")


class CannotEdit(Exception):
    """The file cannot be edited as asked without touching more than the pin. ``reason`` says why, for a person."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def change_pin(text: str, *, name: str, from_version: str, to_version: str, hashes: Sequence[str] | None = None) -> str:
    """The file's text with every pin ``name==from_version`` (also ``===``) at ``to_version``.

    ``hashes`` are the SHA-256 digests (64 hex digits, with or without ``sha256:``) of the new version's files; required
    where a pin carries hashes, unused where it carries none. Pins of the same package at other versions stay. Raises
    CannotEdit when there is no such pin, hashes are missing, or the line's form does not allow a change of the version
    alone.
    """
    _check_version(to_version)
    digests = _digests(hashes)
    wanted = canonicalize_name(name)
    changes: list[tuple[int, int, str]] = []
    for line in logical_lines(text):
        changes.extend(
            _changes(text, line, name=wanted, from_version=from_version, to_version=to_version, digests=digests)
        )
    if not changes:
        raise CannotEdit(f"no pin of {limits.shown(name)} at {limits.shown(from_version)}")
    out, at = [], 0
    for start, end, new in sorted(changes):
        out += [text[at:start], new]
        at = end
    return "".join([*out, text[at:]])


def _check_version(version: str) -> None:
    # A version from an advisory is untrusted: nothing but a version may reach the file.
    try:
        Version(version)
    except (InvalidVersion, ValueError) as error:
        raise CannotEdit(f"not a PEP 440 version: {limits.shown(version)!r}") from error
    if not _VERSION_CHARACTERS.fullmatch(version):
        raise CannotEdit(f"not a plain version: {limits.shown(version)!r}")


def _digests(hashes: Sequence[str] | None) -> list[str]:
    found = []
    for one in hashes or ():
        match = _SHA256.fullmatch(one)
        if not match:
            raise CannotEdit(f"not a SHA-256 digest: {limits.shown(one)!r}")
        found.append(match[1])
    return list(dict.fromkeys(found))


def _changes(
    text: str, line: LogicalLine, *, name: str, from_version: str, to_version: str, digests: list[str]
) -> list[tuple[int, int, str]]:
    wanted, options = split_options(line.text)
    if len(line.text) > limits.MAX_LINE or len(wanted) > limits.MAX_REQUIREMENT or VARIABLE.search(wanted):
        return []
    head = _NAME.match(wanted)
    if head is None or canonicalize_name(head[1]) != name:
        return []  # spares most lines of a large file the full parse
    try:
        parsed = Requirement(wanted.strip())
    except (InvalidRequirement, ValueError, RecursionError):
        return []
    if parsed.url is not None:
        return []
    current, _ = pinned(parsed.specifier)
    if current is None or not _same(current, from_version):
        return []
    _check_others(parsed, current, to_version)
    changes = [(*_place(line, wanted, current), to_version)]
    if options:
        changes += _hash_changes(text, line, len(line.text) - len(options), name, digests)
    return changes


def _same(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        return Version(one) == Version(other)
    except (InvalidVersion, ValueError):
        return False


def _check_others(parsed: Requirement, current: str, to_version: str) -> None:
    others = SpecifierSet(
        ",".join(str(s) for s in parsed.specifier if not (s.operator in {"==", "==="} and s.version == current))
    )
    if not others.contains(to_version, prereleases=True):
        raise CannotEdit(f"the same line also asks for {limits.shown(str(others))}, which {to_version} does not meet")


def _place(line: LogicalLine, wanted: str, current: str) -> tuple[int, int]:
    before_marker = wanted.split(";", 1)[0]
    pins = list(re.finditer(r"===?\s*(" + re.escape(current) + r")(?=[\s,)]|$)", before_marker))
    if len(pins) != 1:
        raise CannotEdit("the version stands more than once in its line")
    place = line.span(*pins[0].span(1))
    if place is None:
        raise CannotEdit("the version is split over two lines")
    return place


def _hash_changes(
    text: str, line: LogicalLine, start: int, name: str, digests: list[str]
) -> list[tuple[int, int, str]]:
    found = list(_HASH_OPTION.finditer(line.text, start))
    if not found:
        return []
    if not digests:
        raise CannotEdit(f"{name} is pinned with hashes and none were given for the new version")
    for one, following in pairwise(found):
        if line.text[one.end() : following.start()].strip():
            raise CannotEdit("other options stand between the hashes")
    region = line.stretch(found[0].start(), found[-1].end())
    first_end = line.stretch(found[0].start(), found[0].end())
    # Between two hashes stands what stood between the first two, else what stood before the only one.
    if len(found) > 1:
        gap = line.stretch(found[0].end() - 1, found[1].start() + 1)
    else:
        led = len(line.text[: found[0].start()].rstrip())
        gap = line.stretch(led - 1, found[0].start() + 1)
    if region is None or first_end is None or gap is None:
        raise CannotEdit("a hash is split over two lines")
    between = text[gap[0] + 1 : gap[1] - 1]
    if between.strip(" \t\r\n\\") or not between.strip("\\\r\n"):
        raise CannotEdit("the hashes' layout is not understood")
    option = found[0][1]
    return [(*region, between.join(f"{option}sha256:{digest}" for digest in digests))]
