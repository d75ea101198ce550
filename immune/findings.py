"""From what a repository holds and what is known to what is wrong in it: plain values, no rows. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from immune.inventory import Dependency, Origin, Refusal, Scope
from immune.matching import Match
from immune.versions import order_for

if TYPE_CHECKING:
    from immune.advisories.selectors import Group, Knowledge

Package = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """One problem in one package: what becomes one APV. ``versions`` are the affected ones that are present."""

    group: Group
    ecosystem: str
    package: str
    versions: tuple[str, ...]
    fixed: tuple[str, ...]
    first_fixed: str | None
    manifests: tuple[str, ...]
    direct: bool | None
    dev_only: bool
    symbols: tuple[str, ...] = ()  # functions the advisories name

    @property
    def identity(self) -> tuple[int, str, str]:
        return self.group.pk, self.ecosystem, self.package


@dataclass(frozen=True, slots=True)
class Place:
    """One problem in one version of a package, at one manifest that names it."""

    group: Group
    ecosystem: str
    package: str
    version: str
    manifest: str
    fixed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """``places``: where each of ``found`` stands.

    ``withdrawn``: problems that every record of the group withdrew. ``doubts``: what could not be decided."""

    found: tuple[Found, ...]
    withdrawn: frozenset[tuple[int, str, str]]
    doubts: tuple[Refusal, ...]
    undecided: frozenset[tuple[int, str, str]]
    places: tuple[Place, ...] = ()


def findings_in(dependencies: Iterable[Dependency], knowledge: Knowledge) -> Findings:
    """Matches every pinned registry dependency against what is known of its package."""
    hits: dict[tuple[int, str, str], list[tuple[Dependency, Match]]] = defaultdict(list)
    symbols: dict[tuple[int, str, str], set[str]] = defaultdict(set)
    withdrawn: set[tuple[int, str, str]] = set()
    undecided: set[tuple[int, str, str]] = set()
    doubts: list[Refusal] = []
    groups: dict[int, Group] = {}
    for dependency, findings in knowledge.index.match(dependencies):
        for finding in findings:
            group = knowledge.groups[finding.record.id]
            groups[group.pk] = group
            identity = (group.pk, dependency.ecosystem, dependency.name)
            if finding.withdrawn:
                withdrawn.add(identity)
            elif isinstance(finding.answer, Match):
                hits[identity].append((dependency, finding.answer))
                about = (entry for entry in finding.record.affected if entry.package == identity[1:])
                symbols[identity] |= {symbol for entry in about for symbol in entry.symbols}
            else:
                undecided.add(identity)
                where = f"{dependency.manifest}:{dependency.line or ''} {dependency.name} {dependency.version}"
                doubts.append(Refusal(where, f"{finding.record.id}: {finding.answer.reason}"))
    found = [_found(groups[identity[0]], identity, matches, symbols[identity]) for identity, matches in hits.items()]
    return Findings(
        found=tuple(sorted(found, key=lambda f: (f.ecosystem, f.package, f.group.canonical))),
        withdrawn=frozenset(withdrawn - set(hits)),
        doubts=tuple(dict.fromkeys(doubts)),
        undecided=frozenset(undecided - set(hits)),
        places=tuple(place for identity, matches in hits.items() for place in _places(groups[identity[0]], matches)),
    )


def _places(group: Group, matches: list[tuple[Dependency, Match]]) -> list[Place]:
    fixed: dict[tuple[str, str, str, str], set[str]] = defaultdict(set)
    for dependency, match in matches:
        where = (dependency.ecosystem, dependency.name, dependency.version or "", dependency.manifest)
        fixed[where] |= set(match.fixed)
    return [
        Place(group, *where, fixed=tuple(sorted(versions, key=order_for(where[0]).key)))
        for where, versions in sorted(fixed.items())
    ]


def _found(
    group: Group, identity: tuple[int, str, str], matches: list[tuple[Dependency, Match]], symbols: set[str]
) -> Found:
    _, ecosystem, package = identity
    order = order_for(ecosystem)
    versions = {dependency.version or "" for dependency, _ in matches}
    fixed = {version for _, match in matches for version in match.fixed}
    firsts = [match.first_fixed for _, match in matches if match.first_fixed]
    directs = {dependency.direct for dependency, _ in matches}
    return Found(
        group=group,
        ecosystem=ecosystem,
        package=package,
        versions=tuple(sorted(versions, key=order.key)),
        fixed=tuple(sorted(fixed, key=order.key)),
        first_fixed=max(firsts, key=order.key) if firsts else None,
        manifests=tuple(sorted({dependency.manifest for dependency, _ in matches})),
        direct=True if True in directs else (False if directs == {False} else None),
        dev_only=all(dependency.scope is Scope.DEV for dependency, _ in matches),
        symbols=tuple(sorted(symbols)),
    )


def packages_in(dependencies: Iterable[Dependency]) -> set[Package]:
    """(ecosystem, name) of every registry dependency, pinned or not."""
    return {(d.ecosystem, d.name) for d in dependencies if d.origin is Origin.REGISTRY}


def unresolved_packages(dependencies: Iterable[Dependency]) -> set[Package]:
    """The packages of which at least one place does not say the version: nothing may be called gone there."""
    return {(d.ecosystem, d.name) for d in dependencies if d.version is None}
