"""From what a report says about some packages to APVs and sightings, in a number of statements that does not grow with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from immune import priority
from immune.advisories.exploitation import NO_SIGNALS, Signals, signals_of, weighed
from immune.apvs import note_opened, note_updated
from immune.copying import copy_rows
from immune.events.log import Log
from immune.ingest.knowing import Known, known_of, strongest
from immune.ingest.rows import MAX_KEPT, Package, Row
from immune.ingest.spool import PackageRows
from immune.matching import natural_id
from immune.models import APV, APVNumber, DependencyRow, ReportStream, Sighting
from immune.models.apvs import LIVE, APVStatus
from immune.models.reports import Confirmation
from immune.severity import Severity, worst
from immune.transitions import move_apvs
from immune.versions import Unparsable, order_or_unknown

MAX_SHOWN = 200  # versions, fixes or targets one APV keeps from reports
BACK = (APVStatus.RESOLVED, APVStatus.WITHDRAWN)
Identity = tuple[int, str, str]  # (group, ecosystem, package)


@dataclass(slots=True)
class Counts:
    """What a report changed, in APVs. ``suppressed``: what was set aside: by its VEX statements where it has some, else
    findings the report itself sets aside and nothing else sees; and what opened and a suppression covers."""

    opened: int = 0
    updated: int = 0
    reopened: int = 0
    closed: int = 0
    suppressed: int = 0
    unchanged: int = 0

    @property
    def anything(self) -> bool:
        return bool(self.opened or self.updated or self.reopened or self.closed)


@dataclass(slots=True)
class Kept:
    """What is not let go although the report does not have it: what could not be read or decided is not gone."""

    everything: bool = False
    identities: set[Identity] = field(default_factory=set)
    packages: set[Package] = field(default_factory=set)

    def keeps(self, sighting: Sighting) -> bool:
        package = (sighting.ecosystem, sighting.package_name)
        return self.everything or package in self.packages or (sighting.apv.group_id, *package) in self.identities


@dataclass(slots=True)
class _Seen:
    """One problem of one package as this report sees it: the rows of it together."""

    identity: Identity
    rows: list[Row]
    digest: str
    confirmation: Confirmation
    fixed: tuple[str, ...]
    in_tree: bool = False

    @property
    def suppressed(self) -> bool:
        """Only when every row of it is: one that counts is enough."""
        return all(row.suppressed for row in self.rows)

    def facts(self) -> dict[str, Any]:
        """The columns of its sighting."""
        severity, score = worst([(Severity(row.severity), row.score) for row in self.rows])
        versions = _ordered(self.identity[1], {row.version for row in self.rows if row.version})
        named = {alias for row in self.rows for alias in (row.advisory, *row.aliases)} - {self.rows[0].advisory}
        return {
            "advisory": self.rows[0].advisory,
            "aliases": sorted(named, key=natural_id)[:MAX_KEPT],
            "versions": versions[:MAX_SHOWN],
            "fixed_versions": _ordered(self.identity[1], {*self.fixed, *(v for row in self.rows for v in row.fixed)})[
                :MAX_SHOWN
            ],
            "severity": severity.value,
            "score": score,
            "targets": sorted({row.target for row in self.rows if row.target})[:MAX_SHOWN],
            "state": next((row.state for row in self.rows if row.state), ""),
            "confirmation": self.confirmation.value,
            "suppressed": self.suppressed,
            "in_tree": self.in_tree,
            "gone": False,
            "digest": self.digest,
        }


@dataclass(slots=True)
class Batch:
    """Some packages of one report against what is stored of them."""

    stream: ReportStream
    log: Log
    counts: Counts
    keep: Kept
    now: datetime = field(default_factory=timezone.now)

    def apply(self, packages: list[PackageRows]) -> None:
        """Opens, refreshes and reopens what the packages have, and lets go of what the report no longer says of them."""
        fresh = self._changed(packages)
        if not fresh:
            return
        known = known_of((one.package, row) for one in fresh for row in one.rows)
        seen = {one.identity: one for one in _seen(fresh, known)}
        self._look_into_tree(seen.values())
        names = [one.package[1] for one in fresh]
        wanted = {one.package for one in fresh}
        held: dict[Identity, Sighting] = {}
        stale: list[Sighting] = []
        rows = Sighting.objects.filter(stream=self.stream, package_name__in=names).select_related("apv")
        for row in rows:
            if (row.ecosystem, row.package_name) not in wanted:
                continue
            identity = (row.apv.group_id, row.ecosystem, row.package_name)
            if identity in seen:
                held[identity] = row
            elif not self.keep.keeps(row):
                stale.append(row)
        self._write(seen, held, known)
        let_go(self.log, stale, self.counts)

    def _changed(self, packages: list[PackageRows]) -> list[PackageRows]:
        """The packages of which the report says something else than the one before."""
        before: dict[Package, set[str]] = defaultdict(set)
        stored = Sighting.objects.filter(
            stream=self.stream, package_name__in=[one.package[1] for one in packages]
        ).values_list("ecosystem", "package_name", "digest", "suppressed")
        set_aside: dict[Package, int] = defaultdict(int)
        total: dict[Package, int] = defaultdict(int)
        for ecosystem, name, digest, suppressed in stored:
            before[ecosystem, name].add(digest)
            total[ecosystem, name] += 1
            set_aside[ecosystem, name] += suppressed
        fresh = []
        for one in packages:
            if before.get(one.package) == {one.digest}:
                self.counts.unchanged += total[one.package]
                self.counts.suppressed += set_aside[one.package]
            else:
                fresh.append(one)
        return fresh

    def _look_into_tree(self, seen: Iterable[_Seen]) -> None:
        seen = list(seen)
        there: dict[Package, set[str | None]] = defaultdict(set)
        rows = DependencyRow.objects.filter(
            repository=self.stream.repository_id, stream=None, name__in={one.identity[2] for one in seen}
        ).values_list("ecosystem", "name", "version")
        for ecosystem, name, version in rows:
            there[ecosystem, name].add(version)
        for one in seen:
            versions = {row.version for row in one.rows if row.version}
            present = there.get((one.identity[1], one.identity[2]), set())
            one.in_tree = bool(versions & present if versions else present)

    def _write(self, seen: dict[Identity, _Seen], held: dict[Identity, Sighting], known: Known) -> None:
        apvs = self._apvs_of(seen)
        others = _others(self.stream, apvs.values())
        numbers = APVNumber.objects.bulk_create(
            [APVNumber() for identity, one in seen.items() if identity not in apvs and not one.suppressed]
        )
        signals = signals_of(known.groups[i[0]].cve if i[0] in known.groups else _cve(one) for i, one in seen.items())
        codes = iter(numbers)
        opened, refreshed, back, new, altered = [], [], [], [], []
        for identity, one in seen.items():
            apv, sighting = apvs.get(identity), held.get(identity)
            if apv is None and one.suppressed:
                # Nobody but this report knows of it, and the report sets it aside.
                self.counts.suppressed += 1
                continue
            facts = one.facts()
            if apv is None:
                apv = self._new_apv(identity, one, next(codes).pk)
                opened.append(apv)
            returning = sighting is None or sighting.gone or sighting.suppressed
            if apv.status in BACK and returning and not one.suppressed:
                back.append(apv)
            if sighting is None:
                new.append(
                    Sighting(
                        stream_id=self.stream.pk,
                        apv_id=apv.pk,
                        ecosystem=identity[1],
                        package_name=identity[2],
                        **facts,
                    )
                )
            elif any(getattr(sighting, name) != value for name, value in facts.items()):
                for name, value in facts.items():
                    setattr(sighting, name, value)
                sighting.changed_at = self.now
                altered.append(sighting)
            self.counts.suppressed += one.suppressed
            if not apv.scan_sees and self._fill(apv, one, facts, others.get(apv.pk, ()), known, signals):
                refreshed.append(apv)
        self._save(opened, refreshed, back, new, altered)

    def _apvs_of(self, seen: dict[Identity, _Seen]) -> dict[Identity, APV]:
        rows = (
            APV.objects.filter(
                repository=self.stream.repository_id,
                group__in={identity[0] for identity in seen},
                package_name__in={identity[2] for identity in seen},
            )
            .exclude(status=APVStatus.MERGED)
            .select_for_update(of=("self",))
        )
        found = {(apv.group_id, apv.ecosystem, apv.package_name): apv for apv in rows}
        return {identity: apv for identity, apv in found.items() if identity in seen}

    def _new_apv(self, identity: Identity, one: _Seen, number: int) -> APV:
        return APV(
            apv_code=f"APV-{self.now.year}-{number:06d}",
            repository_id=self.stream.repository_id,
            group_id=identity[0],
            ecosystem=identity[1],
            package_name=identity[2],
            created_at=self.now,
            updated_at=self.now,
            due_at=self.now,
            scan_sees=False,
        )

    def _fill(
        self,
        apv: APV,
        one: _Seen,
        facts: dict[str, Any],
        others: Iterable[Sighting],
        known: Known,
        signals: dict[str, Signals],
    ) -> bool:
        """Writes into an APV what all reports together say of it. Our own scan, where it sees it, knows better. True when changed."""
        others = list(others)
        group = known.groups.get(one.identity[0])
        if group is not None:
            severity, score, name, cve = group.severity, group.score, group.canonical, group.cve
        else:
            rated = [(Severity(s.severity), s.score) for s in others]
            found, score = worst([(Severity(facts["severity"]), facts["score"]), *rated])
            severity, name, cve = found.value, known.canonical.get(one.identity[0], facts["advisory"]), _cve(one)
        said = signals.get(cve, NO_SIGNALS)
        reachability, reachability_source = priority.reachability_in(apv.priority_factors)
        together = {
            key: _together(one.identity[1], key, [facts[key], *(getattr(s, key) for s in others)])
            for key in ("versions", "fixed_versions", "targets")
        }
        columns = {
            "advisory_id": name,
            "cve_id": cve[:40],
            "severity": severity,
            "score": score,
            "versions": together["versions"],
            "fixed_versions": together["fixed_versions"],
            "manifests": together["targets"],
            **weighed(
                priority.Facts(
                    severity=Severity(severity),
                    cvss_score=score,
                    epss=said.epss.probability if said.epss else None,
                    known_exploited=said.kev is not None,
                    fix_available=bool(together["fixed_versions"]),
                    # Only our own reading says how near the code comes: no report takes that away.
                    reachability=reachability,
                    reachability_source=reachability_source,
                ),
                apv.created_at,
                apv.raised_to,
            ),
        }
        changed = any(getattr(apv, key) != value for key, value in columns.items())
        for key, value in columns.items():
            setattr(apv, key, value)
        return changed

    def _save(
        self, opened: list[APV], refreshed: list[APV], back: list[APV], new: list[Sighting], altered: list[Sighting]
    ) -> None:
        fresh = {apv.pk for apv in opened}
        copy_rows(opened)
        for apv in opened:
            note_opened(self.log, apv)
        changed = [apv for apv in refreshed if apv.pk not in fresh]
        for apv in changed:
            apv.updated_at = self.now
            note_updated(self.log, apv)
        APV.objects.bulk_update(changed, [*_FILLED, "updated_at"])
        copy_rows(new)
        Sighting.objects.bulk_update(altered, [*_KEPT, "changed_at"])
        move_apvs(back, to=APVStatus.OPEN, log=self.log, why="reported_again", reason="A report sees it again.")
        self.counts.opened += len(opened)
        self.counts.reopened += len(back)
        # Also one whose source alone says something new: its page changes.
        touched = {apv.pk for apv in changed} | {sighting.apv_id for sighting in [*altered, *new]}
        self.counts.updated += len(touched - fresh - {apv.pk for apv in back})


_FILLED = (
    "advisory_id", "cve_id", "severity", "score", "versions", "fixed_versions", "manifests", "priority", "priority_factors",
    "due_at",
)  # fmt: skip
_KEPT = (
    "advisory", "aliases", "versions", "fixed_versions", "severity", "score", "targets", "state", "confirmation", "suppressed",
    "in_tree", "gone", "digest",
)  # fmt: skip


def let_go(log: Log, sightings: list[Sighting], counts: Counts) -> None:
    """Takes sightings away that their report no longer has, and closes the APVs that nothing else sees."""
    if not sightings:
        return
    concerned = {sighting.apv_id for sighting in sightings}
    Sighting.objects.filter(pk__in=[sighting.pk for sighting in sightings]).delete()
    still = set(Sighting.objects.filter(apv__in=concerned, gone=False, suppressed=False).values_list("apv", flat=True))
    rows = APV.objects.filter(pk__in=concerned - still, scan_sees=False, status__in=LIVE).select_for_update(
        of=("self",)
    )
    apvs = list(rows)
    move_apvs(
        apvs,
        to=APVStatus.RESOLVED,
        log=log,
        why="no_longer_reported",
        reason="The report that saw it no longer does, and nothing else sees it.",
    )
    counts.closed += len(apvs)


def _seen(packages: list[PackageRows], known: Known) -> list[_Seen]:
    found = []
    for one in packages:
        by_group: dict[int, list[Row]] = defaultdict(list)
        for row in one.rows:
            group = known.group(row)
            assert group is not None  # noqa: S101 - known_of gave every finding a group
            by_group[group].append(row)
        for group, rows in by_group.items():
            answers = [known.confirm(group, one.package, row) for row in rows]
            confirmation = strongest(answer for answer, _ in answers)
            fixed = tuple(dict.fromkeys(version for _, fixes in answers for version in fixes))
            found.append(_Seen((group, *one.package), rows, one.digest, confirmation, fixed))
    return found


def _others(stream: ReportStream, apvs: Iterable[APV]) -> dict[UUID, list[Sighting]]:
    """What other reports say of the APVs that our own scan does not see."""
    found: dict[UUID, list[Sighting]] = defaultdict(list)
    rows = Sighting.objects.filter(
        apv__in=[apv.pk for apv in apvs if not apv.scan_sees], gone=False, suppressed=False
    ).exclude(stream=stream)
    for row in rows:
        found[row.apv_id].append(row)
    return found


def _cve(one: _Seen) -> str:
    names = {name for row in one.rows for name in (row.advisory, *row.aliases)}
    found = [name for name in names if name.startswith("CVE-") and len(name) <= 28]
    return min(found, key=natural_id, default="") if len(found) != 1 else found[0]


def _together(ecosystem: str, key: str, lists: list[list[str]]) -> list[str]:
    values = {value for one in lists for value in one}
    return (sorted(values) if key == "targets" else _ordered(ecosystem, values))[:MAX_SHOWN]


def _ordered(ecosystem: str, versions: set[str]) -> list[str]:
    order = order_or_unknown(ecosystem)
    try:
        return sorted(versions, key=order.key)
    except Unparsable:
        return sorted(versions)
