"""Who may go next where there is room for a few: the most urgent first, within a cap for each repository and one over all. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)
Place = TypeVar("Place", bound=Hashable)


class Held(StrEnum):
    """Why something waits that could otherwise begin."""

    REPOSITORY_FULL = "repository_full"
    ALL_FULL = "all_full"
    REPOSITORY_PACE = "repository_pace"
    ALL_PACE = "all_pace"
    EMERGENCY = "emergency"


@dataclass(frozen=True, slots=True)
class Cap:
    """The most for each repository and over all (0: no limit), and the words for either being reached."""

    each: int
    in_all: int
    each_reached: Held
    all_reached: Held


def places(waiting: Iterable[tuple[Key, Place]], taken: Mapping[Place, int], cap: Cap) -> dict[Key, Held | None]:
    """What becomes of each that waits, given most urgent first as (key, repository): None for one that may begin, else why not.

    One whose repository is full does not keep others from going; one that finds all places taken does not either, there is none.
    """
    held: Counter[Place] = Counter(taken)
    total = sum(held.values())
    answers: dict[Key, Held | None] = {}
    for key, place in waiting:
        if cap.in_all and total >= cap.in_all:
            answers[key] = cap.all_reached
        elif cap.each and held[place] >= cap.each:
            answers[key] = cap.each_reached
        else:
            held[place] += 1
            total += 1
            answers[key] = None
    return answers
