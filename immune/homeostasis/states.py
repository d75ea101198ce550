"""How the whole is doing, as one of six states, from figures that were measured. Pure: figures in, state and reasons out.

The state is the worst that any single figure asks for, so that no good figure hides a bad one. The thresholds below are the ones
docs/homeostasis.md shows; a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """From calm to worst; the order is the meaning."""

    REST = "rest"
    VIGILANCE = "vigilance"
    ATTENTION = "attention"
    ACTIVATION = "activation"
    INFLAMMATION = "inflammation"
    EMERGENCY = "emergency"


ORDER = tuple(State)
# Below this many ends in the hour a share of failures says nothing.
ENOUGH_ENDS = 10


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured. ``busy``: work is pending or running. ``queue`` counts rows that could be claimed now, ``oldest_seconds``
    is how long the first of them has been due. ``ended`` and ``failed`` count forge jobs and scans of the last hour.
    ``saturation`` is the fullest of the caps, 0 to 1 (more when a cap was lowered). ``given_up``: deliveries that wait for a
    person. ``alarms``: merges of the last day that went wrong on the default branch."""

    busy: bool = False
    queue: int = 0
    oldest_seconds: float = 0.0
    ended: int = 0
    failed: int = 0
    saturation: float = 0.0
    given_up: int = 0
    alarms: int = 0

    @property
    def failures(self) -> float:
        """Share of failures, 0 while too little has ended to say."""
        return self.failed / self.ended if self.ended >= ENOUGH_ENDS else 0.0


@dataclass(frozen=True, slots=True)
class Assessment:
    """The state, and the names of the figures that asked for it."""

    state: State
    reasons: tuple[str, ...]


# figure → (attention, activation, inflammation, emergency): reached when the figure is at least this. None: never asks for it.
THRESHOLDS: dict[str, tuple[float | None, float | None, float | None, float | None]] = {
    "queue": (200, 1000, 5000, 20000),
    "oldest_seconds": (300, 1800, 7200, 21600),
    "failures": (0.10, 0.25, 0.50, 0.80),
    "saturation": (0.8, 1.0, None, None),
    "given_up": (1, 20, 200, None),
    "alarms": (None, None, 1, 3),
}


def assess(figures: Figures) -> Assessment:
    """The worst state any figure asks for. Without one: vigilance while something is to be done, else rest."""
    asked = {name: _level(getattr(figures, name), limits) for name, limits in THRESHOLDS.items()}
    worst = max(asked.values())
    if worst:
        return Assessment(ORDER[worst + 1], tuple(name for name, level in asked.items() if level == worst))
    return Assessment(State.VIGILANCE if figures.busy or figures.queue else State.REST, ())


def _level(value: float, limits: tuple[float | None, ...]) -> int:
    """How many steps above vigilance; 0 for none."""
    return max((step for step, limit in enumerate(limits, 1) if limit is not None and value >= limit), default=0)


def automatic_approval(state: State) -> bool:
    """Whether a machine may still approve: not when things go wrong, for then a person should look."""
    return ORDER.index(state) < ORDER.index(State.INFLAMMATION)


def new_proposals(state: State) -> bool:
    """Whether new pull requests are opened. What people approved is merged in any state: it takes a vulnerability away."""
    return state is not State.EMERGENCY
