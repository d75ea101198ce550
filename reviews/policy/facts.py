"""What is known about a change when policy is asked. What is not known has a value of its own and is never taken for the milder."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

# Weakest first: what policy reads when a remedy's APVs have different verdicts.
WEAKEST_FIRST = ("REGRESSION", "PATCH_INSUFFICIENT", "INCONCLUSIVE", "NOT_REPRODUCED", "PATCH_EFFECTIVE")
EFFECTIVE = "PATCH_EFFECTIVE"
SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "NONE")  # worst first
PRIORITIES = ("P1", "P2", "P3", "P4")
BUMPS = ("major", "minor", "patch")
REACHABILITIES = ("runtime", "static", "potential", "unreachable")  # nearest first


class Proof(StrEnum):
    """How a change was proved, strongest first. Of several APVs the weakest kind is the change's."""

    SHIPPED = "shipped"  # a scenario of the shipped library
    ACCEPTED = "accepted"  # one that was attached, and a second person accepted
    AT_ACTIONS = (
        "at_actions"  # either of them, but run at GitHub Actions: its evidence was written beside what was tried
    )
    UNVOUCHED = "unvouched"  # one that nobody but its author stands for
    WITHOUT_SCENARIO = "without_scenario"  # what can be run without one


class Use(StrEnum):
    """What the repository needs the package for."""

    DIRECT = "direct"
    TRANSITIVE = "transitive"
    DEV = "dev"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about the change under review.

    ``verdicts`` holds one (verdict, confidence) per APV; may be empty. ``severity`` and ``reachability`` are the worst among the
    APVs, "UNKNOWN" and "unknown" when they cannot be told; ``bump`` and ``proof`` are then empty, ``uses`` too. More than one use:
    the package is needed for each of them, or it cannot be told for which. ``release_age``: days since the target was published.
    """

    verdicts: tuple[tuple[str, float], ...]
    severity: str
    priority: str
    bump: str
    has_remedy: bool
    vouched: bool = True  # whether somebody stands for every scenario that speaks
    known_exploited: bool | None = None
    proof: str = ""
    counts: bool = False  # whether every driver that ran is one whose evidence may count without people
    uses: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()
    release_age: float | None = None
    reachability: str = "unknown"

    def record(self) -> dict[str, Any]:
        """As plain data, to be kept with the review it was the ground of; ``read_facts`` reads it back."""
        return {**asdict(self), "uses": sorted(self.uses), "labels": sorted(self.labels)}


def read_facts(record: dict[str, Any]) -> Facts | None:
    """The facts kept in a record; None for one of a time when none were kept."""
    if not record:
        return None
    return Facts(
        **{
            **record,
            "verdicts": tuple((str(verdict), float(confidence)) for verdict, confidence in record["verdicts"]),
            "uses": frozenset(record["uses"]),
            "labels": frozenset(record["labels"]),
        }
    )


def weakest(verdicts: Sequence[tuple[str, float]]) -> tuple[str, float] | None:
    """The weakest verdict and the lowest confidence it was given; None when there is none."""
    if not verdicts:
        return None
    worst = min((verdict for verdict, _ in verdicts), key=WEAKEST_FIRST.index)
    return worst, min(confidence for verdict, confidence in verdicts if verdict == worst)


def worst_of(order: Sequence[str], values: Iterable[str], *, unknown: str) -> str:
    """The first in ``order`` among the values; ``unknown`` when one that is not known could be worse still."""
    found = set(values)
    known = [value for value in order if value in found]
    if not known or (found - set(order) and known[0] != order[0]):
        return unknown
    return known[0]


def weakest_proof(kinds: Collection[str]) -> str:
    """The weakest kind of proof among those of the APVs; empty without any."""
    return max(kinds, key=[kind.value for kind in Proof].index, default="")
