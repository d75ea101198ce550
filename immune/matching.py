"""Which versions an advisory affects, and which advisories a package version has. Pure.

The rule is OSV's own (https://ossf.github.io/osv-schema/#evaluation): a version is affected when it is listed in
``versions`` or lies in a SEMVER or ECOSYSTEM range before its limits. A third answer exists: ``CouldNotTell``, for
bounds or versions that cannot be ordered; it is never folded into "not affected".

``AdvisoryIndex`` answers for whole inventories: bounds are parsed once, each distinct (ecosystem, name, version) is
evaluated once against the advisories of that package alone.

``fold_aliases`` joins records that name each other. The canonical id of a group is the id of one of its records, never
a bare alias: the record of the ecosystem's own database (PYSEC, GO, RUSTSEC ...) before GHSA before CVE before others,
live before withdrawn, the oldest number of equals. So the id is one that can be opened, with ranges behind it, and it
does not change when somebody adds a CVE to the aliases.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from immune.advisories.osv import AdvisoryRecord, Affected, Range
from immune.inventory import Dependency, Origin
from immune.versions import ECOSYSTEMS, Unparsable, VersionOrder, base_ecosystem, order_or_unknown, semver_order
from immune.versions.base import type_of_key

_HOME_DATABASES = ("PYSEC", "GO", "RUSTSEC", "PSF", "MAL", "HSEC", "RSEC", "OCAML")
_PREFERENCE = {**dict.fromkeys(_HOME_DATABASES, 0), "GHSA": 1, "CVE": 2}


@dataclass(frozen=True, slots=True)
class Match:
    """The version is affected. ``fixed``: every fixed version of the matching entries, lowest first."""

    fixed: tuple[str, ...] = ()
    first_fixed: str | None = None  # the lowest fix above the version


@dataclass(frozen=True, slots=True)
class NotAffected:
    pass


@dataclass(frozen=True, slots=True)
class CouldNotTell:
    """Neither affected nor not: a person must look. ``reason`` says what could not be read."""

    reason: str


Answer = Match | NotAffected | CouldNotTell
NOT_AFFECTED = NotAffected()
NO_VERSIONS = CouldNotTell("the advisory gives no versions")
NO_VERSIONS_BUT_COMMITS = CouldNotTell("the advisory gives no versions, only commits")

# Distinct (ecosystem, name, version) answers kept; beyond it they are worked out again.
MAX_ANSWERS = 500_000

# Events of one version apply in this order: what begins there begins, then what ends after it ends.
_TIE = {"introduced": 0, "fixed": 0, "limit": 0, "last_affected": 1}


class _Version:
    """A version asked about, parsed once. ``key`` is the reason where it cannot be; ``spellings`` are the ways in which
    the package's advisories list it."""

    __slots__ = ("key", "order", "spellings", "text")

    def __init__(self, text: str, order: VersionOrder, spellings: tuple[str, ...] = ()) -> None:
        self.text = text
        self.order = order
        self.spellings = spellings
        self.key: type_of_key | Unparsable
        try:
            self.key = order.key(text)
        except Unparsable as error:
            self.key = error


class _Listed:
    """Every version that the advisories of one package list, to find one in whatever spelling.

    "1.0" is listed when "1.0.0" is, where these are one version. Worked out once for the package, so that hundreds of
    advisories with hundreds of versions each are not searched one by one for a spelling that none of them has.
    """

    def __init__(self, lists: Iterable[Sequence[str]], order: VersionOrder) -> None:
        self._versions: frozenset[str] = frozenset().union(*lists)
        self._order = order

    @cached_property
    def _odd(self) -> dict[type_of_key, tuple[str, ...]]:
        return _by_key(self._order, (version for version in self._versions if not self._order.is_plain(version)))

    @cached_property
    def _all(self) -> dict[type_of_key, tuple[str, ...]]:
        return _by_key(self._order, self._versions)

    def ask(self, text: str) -> _Version:
        listed = self._versions
        version = _Version(text, self._order)
        if not listed:
            return version
        if isinstance(version.key, Unparsable):
            version.spellings = (text,) if text in listed else ()
        elif self._order.is_plain(text):
            plain = tuple(spelling for spelling in self._order.plain_spellings(text) if spelling in listed)
            version.spellings = plain + self._odd.get(version.key, ())
        else:
            version.spellings = self._all.get(version.key, ())
        return version


def _by_key(order: VersionOrder, versions: Iterable[str]) -> dict[type_of_key, tuple[str, ...]]:
    found: dict[type_of_key, tuple[str, ...]] = {}
    for version in versions:
        try:
            key = order.key(version)
        except Unparsable:
            continue  # still found by its text
        found[key] = (*found.get(key, ()), version)
    return found


def _place(event: tuple[type_of_key, int, str]) -> tuple[type_of_key, int]:
    return event[:2]


class _Bounds:
    """One range with its bounds parsed. Bounds that cannot be read are kept as the doubt they cast."""

    __slots__ = ("doubt_about_end", "doubt_about_start", "events", "limits", "open_from_start", "order")

    def __init__(self, given: Range, order: VersionOrder) -> None:
        self.order = order
        self.open_from_start = False
        self.doubt_about_start: CouldNotTell | None = None
        self.doubt_about_end: CouldNotTell | None = None
        events: list[tuple[type_of_key, int, str]] = []
        limits: list[type_of_key] = []
        endless = False
        for event in given.events:
            if event.kind == "introduced" and event.version == "0":
                self.open_from_start = True
                continue
            if event.kind == "limit" and event.version == "*":
                endless = True
                continue
            try:
                key = order.key(event.version)
            except Unparsable as error:
                doubt = CouldNotTell(f"bound {error.version!r}: {error.reason}")
                if event.kind == "introduced":
                    self.doubt_about_start = doubt
                else:
                    self.doubt_about_end = doubt
                continue
            if event.kind == "limit":
                limits.append(key)
            else:
                events.append((key, _TIE[event.kind], event.kind))
        self.limits = limits if limits and not endless else None
        if len(events) > 1:
            events.sort(key=_place)
        self.events = [(key, kind) for key, _, kind in events]

    def holds(self, version: _Version) -> bool | CouldNotTell:
        key = version.key if version.order is self.order else _Version(version.text, self.order).key
        if isinstance(key, Unparsable):
            if self.open_from_start and not self.events and self.limits is None and self.doubt_about_end is None:
                return True  # every version there is
            return CouldNotTell(f"version {key.version!r}: {key.reason}")
        affected = self.open_from_start
        for bound, kind in self.events:
            if kind == "introduced":
                affected = affected or not key < bound
            elif kind == "fixed":
                affected = affected and key < bound
            else:
                affected = affected and not bound < key
        if affected and self.limits is not None:
            affected = any(key < limit for limit in self.limits)
        # An unread start could only add versions, an unread end only take some away.
        return (self.doubt_about_end if affected else self.doubt_about_start) or affected


class _Entry:
    """One affected entry made ready for many versions."""

    def __init__(self, ranges: Sequence[Range], versions: Sequence[str], order: VersionOrder, suffix: str = "") -> None:
        self.order = order
        self.suffix = suffix
        self._versions = versions
        self._ranges = ranges

    @cached_property
    def _bounds(self) -> list[_Bounds]:
        return [
            _Bounds(given, semver_order if given.type == "SEMVER" and not _is_semver(self.order) else self.order)
            for given in self._ranges
            if given.type != "GIT"
        ]

    @cached_property
    def fixed(self) -> tuple[tuple[type_of_key, str], ...]:
        """Fixed versions that can be ordered, lowest first, each once."""
        found: dict[str, type_of_key] = {}
        for given in self._ranges:
            if given.type == "GIT":
                continue
            for event in given.events:
                if event.kind == "fixed":
                    try:
                        found[event.version] = self.order.key(event.version)
                    except Unparsable:
                        continue
        return tuple(sorted(((key, version) for version, key in found.items()), key=lambda pair: pair[0]))

    def answer(self, version: _Version) -> bool | CouldNotTell:
        if version.spellings and any(spelling in self._versions for spelling in version.spellings):
            return True
        doubt: CouldNotTell | None = None
        for bounds in self._bounds:
            held = bounds.holds(version)
            if held is True:
                return True
            if held is not False:
                doubt = held
        if self._versions:
            if isinstance(version.key, Unparsable):
                doubt = doubt or CouldNotTell(f"version {version.key.version!r}: {version.key.reason}")
        elif not self._bounds:
            return NO_VERSIONS_BUT_COMMITS if self._ranges else NO_VERSIONS
        return doubt or False


def _suffix(ecosystem: str) -> str:
    return ecosystem.partition(":")[2]


def _is_semver(order: VersionOrder) -> bool:
    return order.ecosystem in ("npm", "Go", "crates.io")


def _combine(entries: Sequence[_Entry], version: _Version) -> Answer:
    doubt: CouldNotTell | None = None
    matching: list[_Entry] = []
    for entry in entries:
        held = entry.answer(version)
        if held is True:
            matching.append(entry)
        elif held is not False:
            doubt = held
    if not matching:
        return doubt or NOT_AFFECTED
    fixes = matching[0].fixed
    if len(matching) > 1:
        together = {pair[1]: pair for entry in matching for pair in entry.fixed}
        fixes = tuple(sorted(together.values(), key=lambda pair: pair[0]))
    key = version.key
    first = None if isinstance(key, Unparsable) else next((text for bound, text in fixes if key < bound), None)
    return Match(tuple(text for _, text in fixes), first)


def affected(ranges: Sequence[Range], versions: Sequence[str], version: str, order: VersionOrder) -> Answer:
    """The answer of one affected entry for one version."""
    return _combine([_Entry(ranges, versions, order)], _Listed([versions], order).ask(version))


@dataclass(frozen=True, slots=True)
class Finding:
    """One advisory record that has something to say about one version: a Match or a CouldNotTell."""

    record: AdvisoryRecord
    answer: Match | CouldNotTell

    @property
    def withdrawn(self) -> bool:
        return self.record.withdrawn is not None


class _Package:
    """All advisories of one package, made ready."""

    def __init__(self, given: Sequence[tuple[AdvisoryRecord, Affected]], order: VersionOrder) -> None:
        self.advisories: list[tuple[AdvisoryRecord, list[_Entry]]] = []
        for record, affected in given:
            entry = _Entry(affected.ranges, affected.versions, order, _suffix(affected.ecosystem))
            # The entries of one record follow each other.
            if self.advisories and self.advisories[-1][0] is record:
                self.advisories[-1][1].append(entry)
            else:
                self.advisories.append((record, [entry]))
        self.listed = _Listed((affected.versions for _, affected in given), order)


class AdvisoryIndex:
    """Advisories by package, ready to be asked about versions. Not for sharing between threads that add.

    ``only``: the (ecosystem, normalised name) pairs that will be asked about, when they are known beforehand.
    """

    def __init__(self, records: Iterable[AdvisoryRecord] = (), only: Container[tuple[str, str]] | None = None) -> None:
        self._packages: dict[tuple[str, str], list[tuple[AdvisoryRecord, Affected]]] = defaultdict(list)
        self._ready: dict[tuple[str, str], _Package] = {}
        self._answers: dict[tuple[str, str, str], tuple[Finding, ...]] = {}
        packages = self._packages
        for record in records:
            for entry in record.affected:
                package = entry.package
                if (only is None and entry.name) or (only is not None and package in only):
                    packages[package].append((record, entry))

    def add(self, record: AdvisoryRecord) -> None:
        """Take one record; a second one of the same id is a second record, so add only current ones."""
        ready = self._ready
        for entry in record.affected:
            if entry.name:
                self._packages[entry.package].append((record, entry))
                if ready:
                    ready.pop(entry.package, None)
        if self._answers:
            self._answers.clear()

    def packages(self) -> frozenset[tuple[str, str]]:
        """(ecosystem, normalised name) of every package an advisory names."""
        return frozenset(self._packages)

    def records(self, ecosystem: str, name: str) -> tuple[AdvisoryRecord, ...]:
        """Every record that names the package (normalised name), withdrawn ones too."""
        named = self._packages.get((base_ecosystem(ecosystem), name), ())
        return tuple({id(record): record for record, _ in named}.values())

    def mentioned_versions(self, ecosystem: str, name: str) -> frozenset[str]:
        """Every version the package's advisories write down, as fix, bound or list entry."""
        return frozenset(
            version
            for _, entry in self._packages.get((base_ecosystem(ecosystem), name), ())
            for version in (
                *entry.versions,
                *(e.version for r in entry.ranges if r.type != "GIT" for e in r.events if e.version not in ("0", "*")),
            )
        )

    def findings(self, ecosystem: str, name: str, version: str) -> tuple[Finding, ...]:
        """Findings for a version of a package (normalised name), withdrawn records included and marked."""
        asked = (ecosystem, name, version)
        known = self._answers.get(asked)
        if known is None:
            if len(self._answers) >= MAX_ANSWERS:
                self._answers.clear()
            known = self._answers[asked] = self._evaluate(base_ecosystem(ecosystem), _suffix(ecosystem), name, version)
        return known

    def match(self, dependencies: Iterable[Dependency]) -> Iterator[tuple[Dependency, tuple[Finding, ...]]]:
        """Each pinned registry dependency that has findings, with them; others are the caller's to report."""
        answers, packages = self._answers, self._packages
        for dependency in dependencies:
            ecosystem, name, version = dependency.ecosystem, dependency.name, dependency.version
            # Most packages have no advisory: for them one look-up is all the work there is.
            if (ecosystem, name) not in packages and ecosystem in ECOSYSTEMS:
                continue
            if version is None or dependency.origin is not Origin.REGISTRY:
                continue
            found = answers.get((ecosystem, name, version))
            if found is None:
                found = self.findings(ecosystem, name, version)
            if found:
                yield dependency, found

    def _evaluate(self, ecosystem: str, suffix: str, name: str, version: str) -> tuple[Finding, ...]:
        package = (ecosystem, name)
        advisories = self._packages.get(package)
        if not advisories:
            return ()
        ready = self._ready.get(package)
        if ready is None:
            ready = self._ready[package] = _Package(advisories, order_or_unknown(ecosystem))
        asked = ready.listed.ask(version)
        found = []
        for record, entries in ready.advisories:
            # "Debian:11" is not touched by what "Debian:12" says; an entry without a suffix speaks of all.
            meant = [entry for entry in entries if entry.suffix in ("", suffix)] if suffix else entries
            answer = _combine(meant, asked)
            if not isinstance(answer, NotAffected):
                found.append(Finding(record, answer))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class AliasGroup:
    """Records that speak of one problem. ``ids``: every id and alias; ``aliases``: the same without ``canonical``."""

    canonical: str
    ids: frozenset[str]
    records: tuple[AdvisoryRecord, ...]  # the canonical one first

    @property
    def aliases(self) -> tuple[str, ...]:
        return tuple(sorted(self.ids - {self.canonical}, key=natural_id))

    @property
    def cve(self) -> str | None:
        """The lowest CVE id of the group, None when it has none."""
        return min((i for i in self.ids if i.startswith("CVE-")), key=natural_id, default=None)

    @property
    def withdrawn(self) -> bool:
        """True when every record was withdrawn."""
        return all(record.withdrawn is not None for record in self.records)


def natural_id(identifier: str) -> tuple[tuple[int, int | str], ...]:
    """A sort key that reads numbers as numbers, so that PYSEC-2024-9 comes before PYSEC-2024-10."""
    parts = re.split(r"(\d+)", identifier)
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in parts if part)


def canonical_record(records: Iterable[AdvisoryRecord]) -> AdvisoryRecord:
    """The record whose id names a group; see the module's opening for the rule."""
    return min(records, key=_preference)


def _preference(record: AdvisoryRecord) -> tuple[object, ...]:
    return preference(record.id, withdrawn=record.withdrawn is not None)


def preference(identifier: str, *, withdrawn: bool) -> tuple[object, ...]:
    """Sorts record ids by how well they name their group: the lowest does."""
    return withdrawn, _PREFERENCE.get(identifier.partition("-")[0], 3), natural_id(identifier)


def fold_aliases(records: Iterable[AdvisoryRecord]) -> list[AliasGroup]:
    """Groups of records joined by id and aliases, transitively, sorted by canonical id. ``related`` never joins."""
    parent: dict[str, str] = {}

    def root(identifier: str) -> str:
        parent.setdefault(identifier, identifier)
        while parent[identifier] != identifier:
            parent[identifier] = parent[parent[identifier]]
            identifier = parent[identifier]
        return identifier

    kept = list(records)
    for record in kept:
        for alias in record.ids:
            parent[root(alias)] = root(record.id)
    members: dict[str, list[AdvisoryRecord]] = defaultdict(list)
    for record in kept:
        members[root(record.id)].append(record)
    groups = [
        AliasGroup(
            canonical=canonical_record(joined).id,
            ids=frozenset(identifier for record in joined for identifier in record.ids),
            records=tuple(sorted(joined, key=_preference)),
        )
        for joined in members.values()
    ]
    return sorted(groups, key=lambda group: natural_id(group.canonical))
