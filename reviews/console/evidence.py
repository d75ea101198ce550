"""Arranging what a wargame observed for a reader: four cells from many runs, factors as bars, two environments side by side. Pure.

What is stored is read with patience: a missing or odd part is shown as missing, never as good.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

PHASES = ("before", "after")
# What each cell has to say for the patch to be proved.
WANTED = {
    ("control", "before"): "pass",
    ("reproduce", "before"): "present",
    ("control", "after"): "pass",
    ("reproduce", "after"): "absent",
}


class Observed(Protocol):
    """A stored run, as far as it is needed here."""

    step: str
    phase: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Cell:
    """All runs of one step on one side. ``outcome`` is their common one, ``flaky`` when they differ, ``not_run`` for none."""

    step: str
    phase: str
    outcome: str
    wanted: str
    runs: tuple[Any, ...]

    @property
    def as_wanted(self) -> bool:
        return self.outcome == self.wanted

    @property
    def repeats(self) -> int:
        return len(self.runs)


@dataclass(frozen=True, slots=True)
class Bar:
    """One factor of a confidence: how much of its weight it gave."""

    name: str
    weight: float
    value: float
    gives: float
    why: str


@dataclass(frozen=True, slots=True)
class Look:
    """One thing looked at without a scenario. ``ok`` is None where it could not be tried, or says neither."""

    name: str
    ok: bool | None
    detail: str


@dataclass(frozen=True, slots=True)
class PackageRow:
    """One package of the two environments. ``change`` is same, changed, added, removed."""

    name: str
    before: str
    after: str
    change: str


def cells(runs: Iterable[Observed]) -> tuple[Cell, ...]:
    """The four cells in the order they were run in; a step's variants (``reproduce_two``) count to their step."""
    listed = list(runs)
    found = []
    for phase in PHASES:
        for step in ("control", "reproduce"):
            mine = tuple(run for run in listed if run.phase == phase and _is_step(run.step, step))
            outcomes = {run.outcome for run in mine}
            outcome = next(iter(outcomes)) if len(outcomes) == 1 else "flaky" if outcomes else "not_run"
            found.append(Cell(step, phase, outcome, WANTED[step, phase], mine))
    return tuple(found)


def other_runs(runs: Iterable[Observed]) -> tuple[Any, ...]:
    """Runs that belong to none of the four cells: the repository's own tests, imports and the like."""
    return tuple(
        run
        for run in runs
        if run.phase not in PHASES or not any(_is_step(run.step, step) for step in ("control", "reproduce"))
    )


def _is_step(name: str, step: str) -> bool:
    return name == step or name.startswith((f"{step}_", f"{step}.", f"{step}:"))


def bars(factors: Any) -> tuple[Bar, ...]:
    """Confidence factors as stored: a list of objects with name, weight, value and why."""
    found = []
    for factor in factors if isinstance(factors, list) else []:
        if not isinstance(factor, Mapping):
            continue
        weight, value = _number(factor.get("weight")), _number(factor.get("value"))
        found.append(
            Bar(str(factor.get("name", "?")), weight, value, round(weight * value, 3), str(factor.get("why", "")))
        )
    return tuple(found)


def side(environments: Any, phase: str) -> Mapping[str, Any]:
    """What is stored of one side's environment; empty when nothing is."""
    found = environments.get(phase) if isinstance(environments, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def packages(environments: Any) -> tuple[PackageRow, ...]:
    """Both environments' packages, those that differ first. The observed versions count; the resolved ones where none are."""
    before, after = (_versions(side(environments, phase)) for phase in PHASES)
    rows = [
        PackageRow(name, before.get(name, ""), after.get(name, ""), _change(before.get(name), after.get(name)))
        for name in sorted(before.keys() | after.keys())
    ]
    return tuple(sorted(rows, key=lambda row: row.change == "same"))


def _versions(side: Mapping[str, Any]) -> dict[str, str]:
    """As ``wargaming.services`` keeps them: ``name version``, one text a package."""
    for key in ("observed", "pins"):
        found = side.get(key)
        if isinstance(found, list) and found:
            pairs = (str(text).rpartition(" ") for text in found)
            return {name: version for name, _, version in pairs}
    return {}


def seen_without_scenario(checks: Any) -> tuple[Look, ...]:
    """What was looked at where there is no reproduction test, as stored: a list of objects with name, ok and detail."""
    return tuple(
        Look(
            str(check.get("name", "?")),
            check.get("ok") if isinstance(check.get("ok"), bool) else None,
            str(check.get("detail", "")),
        )
        for check in (checks if isinstance(checks, list) else [])
        if isinstance(check, Mapping)
    )


def _change(before: str | None, after: str | None) -> str:
    if before == after:
        return "same"
    return "added" if before is None else "removed" if after is None else "changed"


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
