"""Red Hat and its relatives: the order of rpm. Pure.

``[epoch:]version[-release]``, each compared by rpmvercmp: runs of digits and of letters, separators only separate, a
number beats a word, ``~`` sorts below the end and ``^`` just above it. A version without a release sorts below the same
one with a release. Source: rpm, rpmio/rpmvercmp.c; rpm-version(7).
"""

from __future__ import annotations

import re

from immune.versions.base import Unparsable, VersionOrder, type_of_key

_PIECE = re.compile(r"[0-9]+|[A-Za-z]+|~|\^", re.ASCII)
_TILDE, _END, _CARET, _WORD, _NUMBER = range(5)


def _piece(text: str) -> tuple[int, ...] | tuple[int, str]:
    if text == "~":
        return (_TILDE,)
    if text == "^":
        return (_CARET,)
    return (_NUMBER, int(text)) if text.isdigit() else (_WORD, text)


def _part(text: str) -> type_of_key:
    return (*(_piece(piece) for piece in _PIECE.findall(text)), (_END,))


class RpmOrder(VersionOrder):
    ecosystem = "Red Hat"

    def parse(self, version: str) -> type_of_key:
        text = version.strip()
        if not text or any(char.isspace() for char in text):
            raise Unparsable(version, "not an rpm version")
        epoch, colon, rest = text.partition(":")
        if not colon:
            epoch, rest = "0", text
        upstream, dash, release = rest.partition("-")
        return _part(epoch), _part(upstream), bool(dash), _part(release)

    def is_prerelease(self, version: str) -> bool:
        self.key(version)
        return "~" in version

    def release(self, version: str) -> tuple[int, ...]:
        return tuple(piece[1] for piece in self.key(version)[1] if piece[0] == _NUMBER)


class _Relative(RpmOrder):
    def __init__(self, ecosystem: str) -> None:
        self.ecosystem = ecosystem


RELATIVES = tuple(
    _Relative(name)
    for name in ("Rocky Linux", "AlmaLinux", "SUSE", "openSUSE", "openEuler", "Mageia", "Photon OS", "Azure Linux")
)
