"""Opening, updating and closing APVs from one reading of a repository's default branch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from immune import priority
from immune.events.log import Log
from immune.findings import Findings, Found, Package
from immune.inventory import Dependency
from immune.models import APV, APVNumber, DependencyRow, Repository
from immune.models.apvs import LIVE, APVStatus, Priority
from immune.reachability.judging import NOT_KNOWN, Reach
from immune.reading import Reading
from immune.severity import Severity
from immune.suppression.services import set_aside_covered
from immune.transitions import move_apv

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
    """Replaces the repository's dependency rows with those of this reading."""
    DependencyRow.objects.filter(repository=repository).delete()
    DependencyRow.objects.bulk_create(
        (
            DependencyRow(
                repository=repository,
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
        ),
        batch_size=1000,
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
    for found in findings.found:
        near = (reach or {}).get(found.identity, NOT_KNOWN)
        apv = known.pop(found.identity, None)
        if apv is None:
            _open(log, repository, found, near)
            changes.opened += 1
        else:
            _refresh(log, apv, found, near, changes)
    present = {(d.ecosystem, d.name) for d in reading.dependencies}
    for identity, apv in known.items():
        if apv.status not in LIVE:
            continue
        package = (apv.ecosystem, apv.package_name)
        if identity in findings.withdrawn:
            move_apv(
                apv, to=APVStatus.WITHDRAWN, log=log, why="advisory_withdrawn", reason="The advisory was withdrawn."
            )
        elif reading.refused or package in unresolved or identity in findings.undecided:
            continue
        elif package not in present:
            move_apv(
                apv, to=APVStatus.WITHDRAWN, log=log, why="package_removed", reason="The package is no longer required."
            )
        else:
            move_apv(
                apv,
                to=APVStatus.RESOLVED,
                log=log,
                why="read_again",
                reason=f"{reading.commit[:12]} on the default branch holds no affected version.",
            )
        changes.closed += 1
    changes.suppressed = set_aside_covered(log, repository)
    return changes


def _open(log: Log, repository: Repository, found: Found, near: Reach) -> APV:
    now = timezone.now()
    number = APVNumber.objects.create().pk
    assessment = _assess(found, near)
    apv = APV(
        apv_code=f"APV-{now.year}-{number:06d}",
        repository=repository,
        group_id=found.group.pk,
        ecosystem=found.ecosystem,
        package_name=found.package,
        due_at=now + timedelta(days=assessment.due_days),
        created_at=now,
        updated_at=now,
        **_facts(found, assessment),
    )
    apv.save(force_insert=True)
    log.record(
        "apv.opened",
        subject=f"apv:{apv.pk}",
        repository=repository.pk,
        data={
            "apv_code": apv.apv_code,
            "advisory": apv.advisory_id,
            "package": f"{apv.ecosystem}:{apv.package_name}",
            "severity": apv.severity,
            "priority": apv.priority,
        },
    )
    return apv


def _refresh(log: Log, apv: APV, found: Found, near: Reach, changes: Changes) -> None:
    assessment = _assess(found, near)
    facts = _facts(found, assessment)
    if any(getattr(apv, name) != value for name, value in facts.items()):
        # A changed priority moves the date it is due, counted from when it was opened.
        facts["due_at"] = apv.created_at + timedelta(days=assessment.due_days)
        APV.objects.filter(pk=apv.pk).update(updated_at=timezone.now(), **facts)
        for name, value in facts.items():
            setattr(apv, name, value)
        changes.updated += 1
        log.record(
            "apv.updated",
            subject=f"apv:{apv.pk}",
            repository=apv.repository_id,
            data={"apv_code": apv.apv_code, "severity": apv.severity, "priority": apv.priority},
        )
    if apv.status in (APVStatus.RESOLVED, APVStatus.WITHDRAWN):
        move_apv(
            apv,
            to=APVStatus.OPEN,
            log=log,
            why="found_again",
            reason="An affected version is on the default branch again.",
        )
        changes.reopened += 1


def _assess(found: Found, near: Reach) -> priority.Assessment:
    pace = priority.Pace(
        dict(zip((priority.Priority(p) for p in Priority.values), settings.PRIORITY_DUE_DAYS, strict=True))
    )
    return priority.assess(
        priority.Facts(
            severity=Severity(found.group.severity),
            cvss_score=found.group.score,
            direct=found.direct,
            fix_available=bool(found.fixed),
            reachability=near.value,
            reachability_source=near.source,
        ),
        pace,
    )


def _facts(found: Found, assessment: priority.Assessment) -> dict[str, Any]:
    return {
        "advisory_id": found.group.canonical,
        "cve_id": found.group.cve,
        "severity": found.group.severity,
        "score": found.group.score,
        "versions": list(found.versions),
        "fixed_versions": list(found.fixed),
        "manifests": list(found.manifests),
        "priority": assessment.priority.value,
        "priority_factors": [
            {"name": factor.name, "value": factor.value, "weight": factor.weight} for factor in assessment.factors
        ],
    }
