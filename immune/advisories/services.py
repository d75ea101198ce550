"""Keeping advisories current: reading sources into rows, folding aliases, and asking for a new look where an answer may change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from immune.advisories.osv import AdvisoryRecord, read_osv
from immune.advisories.sources import Raw, iter_records
from immune.events.actors import Actor
from immune.events.log import Log, act
from immune.folding import ask_about_taken_away, fold_into_groups, names_of_records
from immune.inventory import Refusal, Unreadable
from immune.models import Advisory, AdvisoryName, AffectedPackage, AliasGroup, DependencyRow, Repository, Sighting
from immune.services import request_scan
from immune.severity import rate
from immune.versions import base_ecosystem

BATCH = 500
Package = tuple[str, str]


# Grows with every change of the reading that gives another answer for the same bytes: then all are read again.
READER = 1


@dataclass(frozen=True, slots=True)
class Read:
    """A record with its text as it is stored and the digest of the bytes it came from."""

    record: AdvisoryRecord
    text: str
    raw_digest: str


@dataclass(slots=True)
class SyncReport:
    """What a sync did. ``withdrawn`` counts, among the added and updated, those that say they are withdrawn."""

    read: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    withdrawn: int = 0
    refused: list[Refusal] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def sync_advisories(
    *, actor: Actor, paths: Iterable[str | Path], progress: Callable[[dict[str, int]], None] | None = None
) -> SyncReport:
    """Reads OSV records from files, folders and archives. Idempotent; a broken record is refused and the rest taken.

    Repositories that hold a package whose matching may have changed are asked to be read again. ``progress`` is told of
    records ``read`` and ``applied``; what it raises ends the sync, and what was taken by then stays.
    """
    report, touched = SyncReport(), set[Package]()
    for batch in _batches(paths, report):
        if progress:
            progress({"read": report.read, "applied": report.added + report.updated})
        if not batch:
            continue
        with act(actor) as log:
            touched |= _store(batch, report, log)
    if report.added or report.updated:
        with act(actor) as log:
            log.record(
                "advisories.synced",
                subject="advisories",
                data={
                    "read": report.read,
                    "added": report.added,
                    "updated": report.updated,
                    "refused": len(report.refused),
                },
            )
            for repository in repositories_holding(touched):
                request_scan(actor=actor, repository=repository, cause="advisories_changed")
    return report


def _batches(paths: Iterable[str | Path], report: SyncReport) -> Iterator[dict[str, Read]]:
    """Records that are not stored as they are, some at a time. A dict: when a source holds one id twice, the later one counts."""
    found = iter_records(paths)
    while some := list(islice(found, BATCH)):
        digests = {id(raw): _digest(raw) for raw in some if isinstance(raw, Raw)}
        stored = dict(
            Advisory.objects.filter(raw_digest__in=digests.values()).values_list("raw_digest", "pk").order_by("pk")
        )
        batch: dict[str, Read] = {}
        for raw in some:
            if isinstance(raw, Refusal):
                report.refused.append(raw)
            elif (pk := stored.get(digests[id(raw)])) is not None:
                report.read += 1
                report.unchanged += 1
                batch.pop(pk, None)
            elif (read := _read(raw, digests[id(raw)], report)) is not None:
                batch[read.record.id] = read
        yield batch


def _digest(raw: Raw) -> str:
    return hashlib.sha256(f"{READER}:{raw.kind}:{raw.digest}".encode()).hexdigest()


def _read(raw: Raw, digest: str, report: SyncReport) -> Read | None:
    try:
        value = raw.read()
        record = read_osv(value, raw.source)
    except Unreadable as error:
        report.refused.append(Refusal(error.source, error.reason))
        return None
    report.read += 1
    return Read(record, json.dumps(value, ensure_ascii=False, separators=(",", ":")), digest)


def _store(batch: dict[str, Read], report: SyncReport, log: Log) -> set[Package]:
    known = {
        row.pk: row for row in Advisory.objects.filter(pk__in=batch).only("pk", "digest", "matching_digest", "modified")
    }
    changed = {
        pk: item
        for pk, item in batch.items()
        if pk not in known or (known[pk].digest != item.record.digest and not _older(item.record, known[pk]))
    }
    report.unchanged += len(batch) - len(changed)
    # The same content from other bytes: what it is read from now is what will be met again.
    same = [pk for pk, item in batch.items() if pk in known and known[pk].digest == item.record.digest]
    Advisory.objects.bulk_update([Advisory(pk=pk, raw_digest=batch[pk].raw_digest) for pk in same], ["raw_digest"])
    report.added += sum(1 for pk in changed if pk not in known)
    report.updated += sum(1 for pk in changed if pk in known)
    report.withdrawn += sum(1 for item in changed.values() if item.record.withdrawn is not None)
    if not changed:
        return set()
    matters = {
        pk
        for pk, item in changed.items()
        if pk not in known or known[pk].matching_digest != item.record.matching_digest
    }
    touched = set(AffectedPackage.objects.filter(advisory__in=matters).values_list("ecosystem", "name"))
    # Each new record is a group of its own until folding joins it with the others.
    AliasGroup.objects.bulk_create(
        [AliasGroup(canonical_id=pk) for pk in changed if pk not in known], ignore_conflicts=True
    )
    groups = dict(AliasGroup.objects.filter(canonical_id__in=changed).values_list("canonical_id", "pk"))
    rows = [_row(item, groups.get(pk, 0)) for pk, item in changed.items()]
    columns = [f.name for f in Advisory._meta.concrete_fields if f.name not in ("id", "group")]
    Advisory.objects.bulk_create([row for row in rows if row.pk not in known])
    Advisory.objects.bulk_update([row for row in rows if row.pk in known], columns)
    names_before = names_of_records(matters & known.keys())
    AdvisoryName.objects.filter(advisory__in=matters).delete()
    AffectedPackage.objects.filter(advisory__in=matters).delete()
    AdvisoryName.objects.bulk_create(
        AdvisoryName(advisory_id=pk, name=name) for pk in sorted(matters) for name in {pk, *changed[pk].record.aliases}
    )
    packages = {(pk, *package) for pk in matters for package in packages_of(changed[pk].record)}
    AffectedPackage.objects.bulk_create(
        AffectedPackage(advisory_id=pk, ecosystem=ecosystem, name=name) for pk, ecosystem, name in sorted(packages)
    )
    fold_into_groups(log, matters)
    ask_about_taken_away(log, names_before)
    return touched | {(ecosystem, name) for _, ecosystem, name in packages}


def _older(record: AdvisoryRecord, row: Advisory) -> bool:
    """Whether a mirror that lags behind brought an older state of the record than we have."""
    return row.modified is not None and record.modified < row.modified


def packages_of(record: AdvisoryRecord) -> set[Package]:
    return {(base_ecosystem(entry.ecosystem), entry.name) for entry in record.affected if entry.name}


def _row(read: Read, group: int) -> Advisory:
    record = read.record
    vectors = [*record.severities, *(vector for entry in record.affected for vector in entry.severities)]
    rating = rate(vectors, record.database_severity)
    return Advisory(
        id=record.id,
        group_id=group,
        aliases=list(record.aliases),
        related=list(record.related),
        summary=record.summary,
        details=record.details,
        vectors=[{"type": vector.type, "score": vector.score} for vector in dict.fromkeys(vectors)],
        record=read.text,
        severity=rating.severity.value,
        score=rating.score,
        cwes=list(record.cwes),
        references=[{"type": reference.type, "url": reference.url} for reference in record.references],
        published=record.published,
        modified=record.modified,
        withdrawn=record.withdrawn,
        digest=record.digest,
        matching_digest=record.matching_digest,
        raw_digest=read.raw_digest,
        source=record.source[-300:],
    )


def repositories_holding(packages: set[Package]) -> list[Repository]:
    """The repositories whose last reading found one of these packages, or of which a report names one."""
    names = {name for _, name in packages}
    found: set[Any] = set()
    for chunk in _chunks(sorted(names), 500):
        rows = DependencyRow.objects.filter(name__in=chunk).values_list("ecosystem", "name", "repository").distinct()
        found |= {repository for ecosystem, name, repository in rows if (ecosystem, name) in packages}
        seen = Sighting.objects.filter(package_name__in=chunk)
        reported = seen.values_list("ecosystem", "package_name", "stream__repository").distinct()
        found |= {repository for ecosystem, name, repository in reported if (ecosystem, name) in packages}
    return list(Repository.objects.filter(pk__in=found).order_by("name"))


def _chunks(values: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
