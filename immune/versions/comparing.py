"""Which of two versions is the older, in signs: what the command and the API answer. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from immune.formats.limits import shown
from immune.versions import Unparsable, VersionOrder

UNKNOWN = "?"
SIGNS = {-1: "<", 0: "=", 1: ">"}
LONGEST = 300  # characters of one version
MOST = 500  # pairs at a time: more are for the command, which reads any number


def sign(order: VersionOrder, a: str, b: str) -> str:
    """``<``, ``=`` or ``>``. Raises Unparsable."""
    return SIGNS[order.compare(a, b)]


def signs(order: VersionOrder, pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """(answer, reason) of each pair: ``?`` with the reason where it cannot be compared."""
    found: list[tuple[str, str]] = []
    for a, b in pairs:
        try:
            found.append((sign(order, a, b), ""))
        except Unparsable as error:
            found.append((UNKNOWN, shown(str(error), 400)))
    return found
