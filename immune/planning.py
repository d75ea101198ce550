"""Which version to move a package to. Pure.

``plan`` picks the smallest version above the current one that closes every problem that can be closed at all and adds
none. What no version closes comes back with its reason, never silently. The rules on what may be chosen: above the
current version, not yanked, a pre-release only when the current version is one, a local build ("+cu118") only when the
current version is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from immune.matching import AdvisoryIndex, Match
from immune.versions import Unparsable, VersionOrder, order_for
from immune.versions.base import type_of_key


class Bump(StrEnum):
    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"


@dataclass(frozen=True, slots=True)
class Release:
    """One version that can be installed."""

    version: str
    yanked: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of the current version, as planning sees it: its id, and the fixes its records name."""

    id: str
    fixed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NoFix:
    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """``target`` is None when nothing can be closed; then every problem stands in ``cannot_close``."""

    target: str | None
    closes: tuple[str, ...] = ()
    cannot_close: tuple[NoFix, ...] = ()
    bump: Bump | None = None


# Ids of the problems a version has; None where it could not be told, which is never good enough for a target.
Affecting = Callable[[str], frozenset[str] | None]


def plan(
    order: VersionOrder,
    current: str,
    problems: Iterable[Problem],
    affecting: Affecting,
    candidates: Iterable[Release],
) -> Plan:
    """The plan for one package at one version.

    ``affecting`` answers for any candidate which problem ids it has. Raises Unparsable when the current version cannot
    be ordered.
    """
    wanted = {problem.id: problem for problem in problems}
    if not wanted:
        return Plan(None)
    eligible, passed_over = _eligible(order, current, candidates)
    # Versions that bring a problem the current one does not have are no step forward, whatever they close.
    steps: list[tuple[str, frozenset[str]]] = []
    adding: dict[str, str] = {}
    for version in eligible:
        has = affecting(version)
        if has is None:
            continue
        closed = frozenset(wanted) - has
        if has - frozenset(wanted):
            adding.update(dict.fromkeys(closed, version))
        elif closed:
            steps.append((version, closed))
            if len(closed) == len(wanted):
                break  # lowest first: nothing higher can be better
    most = max((len(closed) for _, closed in steps), default=0)
    target, closes = next(((v, closed) for v, closed in steps if len(closed) == most), (None, frozenset[str]()))
    elsewhere = {problem: version for version, closed in reversed(steps) for problem in closed}
    search = _Search(order, current, eligible, passed_over, elsewhere, adding)
    cannot = tuple(NoFix(problem.id, search.reason(problem)) for problem in wanted.values() if problem.id not in closes)
    return Plan(
        target,
        tuple(problem for problem in wanted if problem in closes),
        cannot,
        bump(order, current, target) if target is not None else None,
    )


def plan_for(
    index: AdvisoryIndex,
    ecosystem: str,
    name: str,
    current: str,
    *,
    available: Iterable[Release] | None = None,
    group_of: Mapping[str, str] | None = None,
    ignore: frozenset[str] = frozenset(),
) -> Plan:
    """``plan`` on what an index knows of the package (normalised name).

    ``available``: the releases that exist; without it, every version the advisories write down. ``group_of`` maps a
    record id to its canonical id, so that aliases count once. ``ignore``: canonical ids not to be planned for
    (suppressed ones); they neither hold a version back nor count as added.
    """
    order = order_for(ecosystem)
    names = group_of or {}

    def findings(version: str) -> tuple[dict[str, list[Match]], bool]:
        matched: dict[str, list[Match]] = {}
        doubtful = False
        for finding in index.findings(ecosystem, name, version):
            canonical = names.get(finding.record.id, finding.record.id)
            if finding.withdrawn or canonical in ignore:
                continue
            if isinstance(finding.answer, Match):
                matched.setdefault(canonical, []).append(finding.answer)
            elif finding.record.id not in undecidable:
                doubtful = True
        return matched, doubtful

    # A record that cannot be decided for the current version either says nothing about the step.
    undecidable: set[str] = {
        f.record.id for f in index.findings(ecosystem, name, current) if not isinstance(f.answer, Match)
    }
    now, _ = findings(current)
    problems = [
        Problem(canonical, tuple(dict.fromkeys(fix for match in matches for fix in match.fixed)))
        for canonical, matches in now.items()
    ]

    def affecting(version: str) -> frozenset[str] | None:
        matched, doubtful = findings(version)
        return None if doubtful else frozenset(matched)

    if available is None:
        available = [Release(version) for version in index.mentioned_versions(ecosystem, name)]
    return plan(order, current, problems, affecting, available)


def bump(order: VersionOrder, current: str, target: str) -> Bump:
    """The size of the step by the place of the first number that differs; raises Unparsable."""
    before, after = order.release(current), order.release(target)
    for place, kind in ((0, Bump.MAJOR), (1, Bump.MINOR)):
        if (before[place : place + 1] or (0,)) != (after[place : place + 1] or (0,)):
            return kind
    return Bump.PATCH


def _eligible(order: VersionOrder, current: str, candidates: Iterable[Release]) -> tuple[list[str], dict[str, str]]:
    """Versions that may be chosen, lowest first, and why others above the current one may not."""
    here = order.key(current)
    prerelease_too = order.is_prerelease(current)
    local_too = "+" in current
    keyed: dict[type_of_key, str] = {}
    passed_over: dict[str, str] = {}
    for release in sorted(candidates, key=lambda release: (len(release.version), release.version)):
        version = release.version
        try:
            key = order.key(version)
            if not here < key:
                continue
            if release.yanked:
                passed_over[version] = "is yanked"
            elif not prerelease_too and order.is_prerelease(version):
                passed_over[version] = "is a pre-release"
            elif "+" in version and not local_too and order.ecosystem == "PyPI":
                passed_over[version] = "is a local build"
            else:
                keyed.setdefault(key, version)
        except Unparsable:
            continue
    return [keyed[key] for key in sorted(keyed)], passed_over


@dataclass(frozen=True, slots=True)
class _Search:
    """What the search for a target saw, to say of a problem why the target does not close it."""

    order: VersionOrder
    current: str
    eligible: list[str]
    passed_over: Mapping[str, str]
    elsewhere: Mapping[str, str]
    adding: Mapping[str, str]

    def reason(self, problem: Problem) -> str:
        if version := self.elsewhere.get(problem.id):
            return f"{version} closes it, but no version closes it together with the others"
        if version := self.adding.get(problem.id):
            return f"{version} closes it, but brings a vulnerability that {self.current} does not have"
        if not problem.fixed:
            return "no fixed version is published"
        above = [fix for fix in problem.fixed if _is_above(self.order, fix, self.current)]
        if not above:
            return f"its fixes ({', '.join(problem.fixed)}) are all below {self.current}"
        why_not = next((f"{fix}, which {self.passed_over[fix]}" for fix in above if fix in self.passed_over), "")
        if not why_not and not any(fix in self.eligible for fix in above):
            why_not = f"{above[0]}, which is not among the releases that can be installed"
        return f"fixed in {why_not}" if why_not else f"no release above {self.current} is known to be free of it"


def _is_above(order: VersionOrder, version: str, current: str) -> bool:
    try:
        return order.compare(current, version) < 0
    except Unparsable:
        return False
