"""How urgent an APV is: P1 to P4 with a due time, every factor visible with its weight. Pure.

The score is a sum, 0 to 100, so that a reviewer can follow it with a finger; the band it falls in is the priority.
Three floors stand above the sum: known exploitation is never below P1 when severity is high, critical or unknown, and
never below P2 otherwise; an unknown severity is never P4. Unreachability lowers and never closes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from immune.severity import Severity


class Priority(StrEnum):
    P1 = "P1"
    P2 = "P2"
    P3 = "P3"
    P4 = "P4"


class Reachability(StrEnum):
    """How near the vulnerable code is to running in the repository."""

    RUNTIME = "runtime"  # seen being called; nothing here says so yet
    STATIC = "static"  # a file that imports the package uses a name the advisory gives
    POTENTIAL = "potential"  # the package is imported
    UNREACHABLE = "unreachable"  # it is not, as far as static looking goes
    UNKNOWN = "unknown"


class Criticality(StrEnum):
    CRITICAL = "critical"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


DUE_DAYS: Mapping[Priority, int] = {Priority.P1: 2, Priority.P2: 7, Priority.P3: 30, Priority.P4: 90}
# Lowest score of each band.
BANDS = ((Priority.P1, 60), (Priority.P2, 40), (Priority.P3, 20), (Priority.P4, 0))

_SEVERITY = {
    Severity.CRITICAL: 40,
    Severity.HIGH: 30,
    Severity.UNKNOWN: 25,  # between medium and high: nobody has said it is mild
    Severity.MEDIUM: 18,
    Severity.LOW: 6,
    Severity.NONE: 0,
}
_KEV = 30
# Probability of exploitation in the next 30 days (FIRST EPSS), lower bound of each step.
_EPSS = ((0.5, 20), (0.1, 12), (0.01, 5), (0.0, 0))
_DIRECT = {True: 5, None: 3, False: 0}
_FIX = {True: 5, None: 2, False: 0}
_REACHABILITY = {
    Reachability.RUNTIME: 8,
    Reachability.STATIC: 8,
    Reachability.POTENTIAL: 4,
    Reachability.UNKNOWN: 3,
    Reachability.UNREACHABLE: -15,
}
_CRITICALITY = {Criticality.CRITICAL: 10, Criticality.HIGH: 6, Criticality.NORMAL: 0, Criticality.LOW: -6}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one APV. None means not known, which is weighed as such and never as "no"."""

    severity: Severity = Severity.UNKNOWN
    cvss_score: float | None = None
    epss: float | None = None  # probability, 0 to 1
    known_exploited: bool = False
    direct: bool | None = None
    fix_available: bool | None = None
    reachability: Reachability = Reachability.UNKNOWN
    reachability_source: str = ""  # where it was seen, or why it is not known
    criticality: Criticality = Criticality.NORMAL


@dataclass(frozen=True, slots=True)
class Factor:
    """One thing that was weighed: its name, the value as shown to a person, and what it added."""

    name: str
    value: str
    weight: int


@dataclass(frozen=True, slots=True)
class Assessment:
    priority: Priority
    score: int  # 0 to 100
    factors: tuple[Factor, ...]
    due_days: int
    floor: str = ""  # the rule that raised the priority above its score, if one did


@dataclass(frozen=True, slots=True)
class Pace:
    """Days a priority leaves, as settings give them."""

    due_days: Mapping[Priority, int] = field(default_factory=lambda: DUE_DAYS)


def assess(facts: Facts, pace: Pace | None = None) -> Assessment:
    """The priority of an APV with everything that led to it."""
    factors = (
        Factor("severity", _shown_severity(facts), _SEVERITY[facts.severity]),
        Factor("known_exploited", _word(facts.known_exploited), _KEV if facts.known_exploited else 0),
        Factor("epss", "unknown" if facts.epss is None else f"{facts.epss:.3f}", _epss_weight(facts.epss)),
        Factor("direct", _word(facts.direct), _DIRECT[facts.direct]),
        Factor("fix_available", _word(facts.fix_available), _FIX[facts.fix_available]),
        Factor("reachability", _shown_reachability(facts), _REACHABILITY[facts.reachability]),
        Factor("criticality", facts.criticality.value, _CRITICALITY[facts.criticality]),
    )
    score = max(0, min(100, sum(factor.weight for factor in factors)))
    by_score = next(priority for priority, lowest in BANDS if score >= lowest)
    floor, rule = _floor(facts)
    # P1 < P2 as text: the more urgent of the two.
    priority = min(by_score, floor)
    days = (pace or Pace()).due_days[priority]
    return Assessment(priority, score, factors, days, rule if priority != by_score else "")


def _floor(facts: Facts) -> tuple[Priority, str]:
    if facts.known_exploited:
        grave = facts.severity in (Severity.CRITICAL, Severity.HIGH, Severity.UNKNOWN)
        return (Priority.P1 if grave else Priority.P2), "known_exploited"
    if facts.severity is Severity.UNKNOWN:
        return Priority.P3, "unknown_severity"
    return Priority.P4, ""


def _epss_weight(epss: float | None) -> int:
    # A record too young to be scored is not one that nobody attacks.
    return 3 if epss is None else next((weight for lowest, weight in _EPSS if epss >= lowest), 0)


def _word(value: bool | None) -> str:
    return "unknown" if value is None else "yes" if value else "no"


def _shown_reachability(facts: Facts) -> str:
    return facts.reachability.value + (f" ({facts.reachability_source})" if facts.reachability_source else "")


def reachability_in(factors: Iterable[Mapping[str, Any]]) -> tuple[Reachability, str]:
    """What factors kept as ``name`` and ``value`` say of reachability, with its source: what ``assess`` showed, read back.

    Who weighs again without looking at the code carries it over. Unknown where nothing, or no word of ours, is said.
    """
    shown = next((str(factor["value"]) for factor in factors if factor["name"] == "reachability"), "")
    word, _, source = shown.partition(" (")
    if word not in {one.value for one in Reachability}:
        return Reachability.UNKNOWN, ""
    return Reachability(word), source.removesuffix(")")


def _shown_severity(facts: Facts) -> str:
    return facts.severity.value if facts.cvss_score is None else f"{facts.severity.value} ({facts.cvss_score:.1f})"
