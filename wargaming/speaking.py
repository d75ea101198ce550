"""Which of several wargames speaks for an APV, and how far it counts. Pure: reads what the rows hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from wargaming.models import Trust, WargameState
from wargaming.verdict import WEAKEST_FIRST

# Drivers whose evidence may count without people; every other name does not, also one that nobody thought of yet.
COUNTING = frozenset({"bubblewrap", "podman", "docker"})


class Ended(Protocol):
    """A wargame, as far as it is needed here."""

    state: str
    verdict: str
    confidence: float | None
    trust: str
    accepted: bool
    driver: str


Game = TypeVar("Game", bound=Ended)


def vouched(game: Ended) -> bool:
    """Whether somebody stands for its scenario: the project that ships it, or a second person who accepted it."""
    return game.trust in ("", Trust.SHIPPED) or (game.trust == Trust.ATTACHED and game.accepted)


def counts(game: Ended) -> bool:
    """Whether its evidence may stand without people: it ran in a sandbox of ours. What ran elsewhere, or only within limits, is
    shown to people and never approves."""
    return game.driver in COUNTING


def speaking(games: Iterable[Game]) -> Game | None:
    """The weakest verdict, then one that somebody stands for, then the lowest confidence; a cancelled one could not tell.

    So a scenario nobody stands for can lower what is known, and never takes the place of an equal one somebody does stand for.
    """
    ended: Sequence[Game] = [game for game in games if game.state in (WargameState.FINISHED, WargameState.CANCELLED)]
    return min(ended, key=_strength, default=None)


def _strength(game: Ended) -> tuple[int, bool, float]:
    verdict = game.verdict or "INCONCLUSIVE"  # cancelled before cancelling wrote one
    return [str(each) for each in WEAKEST_FIRST].index(verdict), not vouched(game), game.confidence or 0.0
