"""Debian and Ubuntu: the order of dpkg. Pure.

``[epoch:]upstream[-revision]``; each part alternates between non-digits and numbers; ``~`` sorts before the end of the
part, the end before letters, letters before everything else. Source: deb-version(7).
"""

from __future__ import annotations

import re

from immune.versions.base import Unparsable, VersionOrder, type_of_key

_PATTERN = re.compile(
    r"(?:(?P<epoch>[0-9]+):)?(?P<upstream>[0-9A-Za-z.+~:-]+?)(?:-(?P<revision>[0-9A-Za-z.+~]+))?", re.ASCII
)
_PIECE = re.compile(r"([^0-9]*)([0-9]*)", re.ASCII)
_TILDE, _END, _NOT_A_LETTER = -1, 0, 256


def _rank(char: str) -> int:
    if char == "~":
        return _TILDE
    return ord(char) if char.isalpha() else ord(char) + _NOT_A_LETTER


def _part(text: str) -> type_of_key:
    key: list[tuple[int, ...] | int] = []
    for words, number in _PIECE.findall(text):
        if words or number:
            key += [(*map(_rank, words), _END), int(number or 0)]
    # A part that has ended compares as an empty word and the number 0, for ever.
    while key[-2:] == [(_END,), 0]:
        del key[-2:]
    return (*key, (_END,))


class DebianOrder(VersionOrder):
    ecosystem = "Debian"

    def parse(self, version: str) -> type_of_key:
        match = _PATTERN.fullmatch(version.strip())
        if match is None:
            raise Unparsable(version, "not a Debian version")
        return int(match["epoch"] or 0), _part(match["upstream"]), _part(match["revision"] or "")

    def is_prerelease(self, version: str) -> bool:
        self.key(version)
        return "~" in version

    def release(self, version: str) -> tuple[int, ...]:
        self.key(version)
        upstream = version.strip().rpartition(":")[2]
        numbers = re.match(r"[0-9]+(?:\.[0-9]+)*", upstream)
        return tuple(int(part) for part in numbers[0].split(".")) if numbers else ()


class UbuntuOrder(DebianOrder):
    ecosystem = "Ubuntu"
