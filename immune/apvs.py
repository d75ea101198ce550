"""Opening, updating and closing APVs from one reading of a repository's default branch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from immune import priority
from immune.advisories.exploitation import NO_SIGNALS, Signals, signals_of, weighed
from immune.events.log import Log
from immune.findings import Findings, Found, Package
from immune.inventory import Dependency
from immune.models import APV, APVNumber, DependencyRow, ReportStream, Repository, Sighting
from immune.models.apvs import LIVE, APVStatus
from immune.reachability.judging import NOT_KNOWN, Reach
from immune.reading import Reading
from immune.severity import Severity
from immune.suppression.services import set_aside_covered
from immune.transitions import move_apv
from immune.vex.standing import set_aside_as_stated

Identity = tuple[int, str, str]


@dataclass(slots=True)
class Changes:
    """What a reading changed, counted."""

    opened: int = 0
    reopened: int = 0
    updated: int = 0
    closed: int = 0
    suppressed: int = 0


def store_dependencies(repository: Repository, dependencies: Iterable[Dependency]) -> None:
    """Replaces the repository's dependency rows with those of this reading; what SBOMs said stays."""
    DependencyRow.objects.filter(repository=repository, stream=None).delete()
    DependencyRow.objects.bulk_create(dependency_rows(repository, dependencies), batch_size=1000)


def dependency_rows(
    repository: Repository, dependencies: Iterable[Dependency], stream: ReportStream | None = None
) -> Iterator[DependencyRow]:
    return (
        DependencyRow(
            repository=repository,
            stream=stream,
            ecosystem=d.ecosystem,
            name=d.name,
            version=d.version,
            manifest=d.manifest,
            line=d.line,
            requirement=d.requirement,
            origin=d.origin.value,
            scope=d.scope.value,
            direct=d.direct,
            path=list(d.path),
            reason=d.reason,
        )
        for d in dependencies
    )


def apply_findings(
    log: Log,
    repository: Repository,
    findings: Findings,
    reading: Reading,
    *,
    unresolved: set[Package],
    reach: Mapping[Identity, Reach] | None = None,
) -> Changes:
    """Opens an APV for each new problem, refreshes the known ones, closes what this reading no longer holds.

    ``reach``: how near the repository's own code comes to each problem, where that was looked at; it weighs and never closes.
    Nothing is closed while a manifest could not be read, nor where a package's version or a record could not be decided.
    """
    changes = Changes()
    known = {
        (apv.group_id, apv.ecosystem, apv.package_name): apv
        for apv in APV.objects.filter(repository=repository).exclude(status=APVStatus.MERGED)
    }
    signals = signals_of(found.group.cve for found in findings.found)
    for found in findings.found:
        near = (reach or {}).get(found.identity, NOT_KNOWN)
        apv = known.pop(found.identity, None)
        said = signals.get(found.group.cve, NO_SIGNALS)
        if apv is None:
            _open(log, repository, found, said, near)
            changes.opened += 1
        else:
            _refresh(log, apv, found, said, near, changes)
    present: dict[Package, set[str]] = defaultdict(set)
    for dependency in reading.dependencies:
        present[dependency.ecosystem, dependency.name].add(dependency.version or "")
    standing = _still_reported(repository, known.values(), reading)
    for identity, apv in known.items():
        if apv.status not in LIVE:
            continue
        package = (apv.ecosystem, apv.package_name)
        if identity in findings.withdrawn:
            move_apv(
                apv,
                to=APVStatus.WITHDRAWN,
                log=log,
                why="advisory_withdrawn",
                reason="The advisory was withdrawn.",
                scan_sees=False,
            )
        elif reading.refused or package in unresolved or identity in findings.undecided:
            continue
        elif apv.pk in standing:
            _leave_to_reports(log, apv)
            continue
        elif package not in present:
            move_apv(
                apv,
                to=APVStatus.WITHDRAWN,
                log=log,
                why="package_removed",
                reason="The package is no longer required.",
                scan_sees=False,
            )
        elif left := sorted(present[package] & set(apv.versions)):
            move_apv(
                apv,
                to=APVStatus.RESOLVED,
                log=log,
                why="advisory_narrowed",
                reason=f"The advisory no longer says that {', '.join(left)} is affected.",
                scan_sees=False,
            )
        else:
            move_apv(
                apv,
                to=APVStatus.RESOLVED,
                log=log,
                why="read_again",
                scan_sees=False,
                reason=f"{reading.commit[:12]} on the default branch holds no affected version.",
            )
        changes.closed += 1
    changes.suppressed = set_aside_covered(log, repository) + set_aside_as_stated(log, repository)
    return changes


def _leave_to_reports(log: Log, apv: APV) -> None:
    """The tree no longer holds it, and a report sees it elsewhere: it stays, with nothing of ours under way for it."""
    if not apv.scan_sees:
        return
    if apv.status in (APVStatus.OPEN, APVStatus.SUPPRESSED):
        APV.objects.filter(pk=apv.pk).update(scan_sees=False)
        return
    move_apv(
        apv,
        to=APVStatus.OPEN,
        log=log,
        why="seen_elsewhere",
        reason="The default branch no longer holds it, and a report still sees it elsewhere.",
        remedy=None,
        scan_sees=False,
    )


def _still_reported(repository: Repository, apvs: Iterable[APV], reading: Reading) -> set[UUID]:
    """The APVs a report still vouches for. What a report saw in our tree is over once the tree no longer holds it: it was
    read again, and the report is of before."""
    by_pk = {apv.pk: apv for apv in apvs if apv.status in LIVE}
    if not by_pk:
        return set()
    present: dict[Package, set[str]] = defaultdict(set)
    for dependency in reading.dependencies:
        present[dependency.ecosystem, dependency.name].add(dependency.version or "")
    standing: set[UUID] = set()
    over: list[int] = []
    for sighting in Sighting.objects.filter(stream__repository=repository, gone=False, suppressed=False).iterator():
        apv = by_pk.get(sighting.apv_id)
        if apv is None:
            continue
        there = present.get((sighting.ecosystem, sighting.package_name), set())
        left = there & set(sighting.versions) if sighting.versions else there and not apv.scan_sees
        if sighting.in_tree and not left:
            over.append(sighting.pk)
        else:
            standing.add(sighting.apv_id)
    for start in range(0, len(over), 500):
        Sighting.objects.filter(pk__in=over[start : start + 500]).update(gone=True, changed_at=timezone.now())
    return standing


def _open(log: Log, repository: Repository, found: Found, signals: Signals, near: Reach) -> APV:
    now = timezone.now()
    number = APVNumber.objects.create().pk
    apv = APV(
        apv_code=f"APV-{now.year}-{number:06d}",
        repository=repository,
        group_id=found.group.pk,
        ecosystem=found.ecosystem,
        package_name=found.package,
        created_at=now,
        updated_at=now,
        **facts_of(found, signals, near, now),
    )
    apv.save(force_insert=True)
    note_opened(log, apv)
    return apv


def note_opened(log: Log, apv: APV) -> None:
    log.record(
        "apv.opened",
        subject=f"apv:{apv.pk}",
        repository=apv.repository_id,
        data={
            "apv_code": apv.apv_code,
            "advisory": apv.advisory_id,
            "package": f"{apv.ecosystem}:{apv.package_name}",
            "severity": apv.severity,
            "priority": apv.priority,
        },
    )


def note_updated(log: Log, apv: APV) -> None:
    log.record(
        "apv.updated",
        subject=f"apv:{apv.pk}",
        repository=apv.repository_id,
        data={"apv_code": apv.apv_code, "severity": apv.severity, "priority": apv.priority},
    )


def _refresh(log: Log, apv: APV, found: Found, signals: Signals, near: Reach, changes: Changes) -> None:
    facts = facts_of(found, signals, near, apv.created_at, apv.raised_to)
    if any(getattr(apv, name) != value for name, value in facts.items()):
        APV.objects.filter(pk=apv.pk).update(updated_at=timezone.now(), **facts)
        for name, value in facts.items():
            setattr(apv, name, value)
        changes.updated += 1
        note_updated(log, apv)
    if apv.status in (APVStatus.RESOLVED, APVStatus.WITHDRAWN):
        move_apv(
            apv,
            to=APVStatus.OPEN,
            log=log,
            why="found_again",
            reason="An affected version is on the default branch again.",
            remedy=None,  # the one it had has ended; it waits for another
        )
        changes.reopened += 1


def facts_of(found: Found, signals: Signals, near: Reach, opened: datetime, raised_to: str = "") -> dict[str, Any]:
    """The columns of an APV that our own matching fills."""
    return {
        "advisory_id": found.group.canonical,
        "cve_id": found.group.cve,
        "severity": found.group.severity,
        "score": found.group.score,
        "versions": list(found.versions),
        "fixed_versions": list(found.fixed),
        "manifests": list(found.manifests),
        "scan_sees": True,
        **weighed(
            priority.Facts(
                severity=Severity(found.group.severity),
                cvss_score=found.group.score,
                epss=signals.epss.probability if signals.epss else None,
                known_exploited=signals.kev is not None,
                direct=found.direct,
                fix_available=bool(found.fixed),
                reachability=near.value,
                reachability_source=near.source,
            ),
            opened,
            raised_to,
        ),
    }
