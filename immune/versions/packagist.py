"""Packagist: PHP's ``version_compare``, after Composer's dropping of a leading v. Pure.

Parts are split at dots, dashes, underscores, pluses and between digits and letters. Words rank dev < alpha < beta < rc <
(end) < number < pl; any other word ranks with dev. Source: the PHP manual, version_compare.
"""

from __future__ import annotations

import re

from immune.versions.base import Unparsable, VersionOrder, type_of_key

_PIECE = re.compile(r"[0-9]+|[A-Za-z#]+", re.ASCII)
_PATTERN = re.compile(r"[vV]?[0-9A-Za-z#.+_-]+", re.ASCII)
_DEV, _ALPHA, _BETA, _RC, _END, _NUMBER, _PATCH = range(7)
_WORDS = (("dev", _DEV), ("a", _ALPHA), ("b", _BETA), ("rc", _RC), ("RC", _RC), ("#", _NUMBER), ("p", _PATCH))


def _piece(text: str) -> tuple[int, int]:
    if text.isdigit():
        return (_NUMBER, int(text))
    return (next((rank for word, rank in _WORDS if text.startswith(word)), _DEV), 0)


class PackagistOrder(VersionOrder):
    ecosystem = "Packagist"
    purl_type = "composer"

    def parse(self, version: str) -> type_of_key:
        text = version.strip()
        if not _PATTERN.fullmatch(text):
            raise Unparsable(version, "not a Packagist version")
        if text[0] in "vV":
            text = text[1:]
        return (*(_piece(piece) for piece in _PIECE.findall(text)), (_END, 0))

    def is_prerelease(self, version: str) -> bool:
        return any(rank < _END for rank, _ in self.key(version))

    def release(self, version: str) -> tuple[int, ...]:
        numbers: list[int] = []
        for rank, number in self.key(version):
            if rank != _NUMBER:
                break
            numbers.append(number)
        return tuple(numbers)

    def normalize_name(self, name: str) -> str:
        return name.strip().lower()

    def purl_parts(self, name: str) -> tuple[str, str]:
        vendor, slash, rest = name.partition("/")
        return (vendor, rest) if slash else ("", name)
