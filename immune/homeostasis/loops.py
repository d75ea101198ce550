"""Whether proposing a change once more would go round in circles. Pure: the history of one package in one repository in, a reason out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MERGED, CLOSED = "merged", "closed"


@dataclass(frozen=True, slots=True)
class Before:
    """An earlier change of the same package in the same repository, with the state it ended in."""

    from_version: str
    to_version: str
    state: str


def loop_in(history: Sequence[Before], *, from_version: str, to_version: str, most_closed: int) -> str:
    """Why a person should look before ``from_version`` → ``to_version`` is proposed; empty when nothing speaks against it.

    ``history`` holds what was proposed within the time that counts. Three ways round: the opposite was proposed before; the same
    was merged before and is wanted again, so somebody took it back; ``most_closed`` proposals were closed unmerged (0: not counted).
    """
    if any((one.from_version, one.to_version) == (to_version, from_version) for one in history):
        return f"{to_version} was left for {from_version} before: the same two versions go back and forth"
    same = [one for one in history if (one.from_version, one.to_version) == (from_version, to_version)]
    if any(one.state == MERGED for one in same):
        return f"the upgrade to {to_version} was merged before and was taken back since"
    closed = sum(one.state == CLOSED for one in history)
    if most_closed and closed >= most_closed:
        return f"{closed} proposals for this package were closed without a merge"
    return ""
